//! The receiving side as a program: verifies requests, and prints each event once, as one line of JSON.
//!
//! ```text
//! cargo run --example receiver --features full -- \
//!     --listen 127.0.0.1:8080 --contract allison --secret "$WEBHOOK_SECRET"
//! ```
//!
//! With `--provider NAME` in place of a contract, it receives from any of [`hookwire::provider::presets`],
//! and answers its challenges:
//!
//! ```text
//! cargo run --example receiver --features full -- \
//!     --listen 127.0.0.1:8080 --provider stripe --secret "$WEBHOOK_SECRET"
//! ```
//!
//! Senders POST to `/`. A line holds `id`, `type`, `created_at` (null if the platform sends none), `data` as
//! it was sent, and `duplicate`, which is always false: a duplicate is answered 200 and not printed. An event
//! counts as handled when its line was written. If the disk is full or the pipe is closed, the sender repeats
//! the event. Refused requests are logged on the standard error. The program remembers events as long as it
//! runs, or with `--inbox sqlite:FILE` also after a restart.

#[path = "shared/ending.rs"]
mod ending;
#[path = "shared/flags.rs"]
mod flags;
#[path = "shared/provider.rs"]
mod provider;
#[path = "shared/refused.rs"]
mod refused;
#[path = "shared/serving.rs"]
mod serving;

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use flags::{Flags, Names};
use hookwire::event::{EnvelopeFormat, Field, TimePrecision};
use hookwire::provider::Provider;
use hookwire::receive::Receiver;
use hookwire::receive::axum::handler;
use hookwire::store::sqlite::SqliteStore;
use hookwire::{Contract, DataError, Envelope, EventId, Inbox, MemoryStore, RawEvent, Secret};
use provider::Given;
use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::macros::format_description;

#[tokio::main]
async fn main() -> ExitCode {
    let names = Names {
        needed: &["--listen"],
        optional: &[
            "--contract",
            "--provider",
            "--secret",
            "--keys",
            "--url",
            "--verify-token",
            "--key-id",
            "--audience",
            "--email",
            "--inbox",
        ],
        alone: &["--unsigned"],
        repeated: &["--secret", "--keys"],
    };
    flags::main(USAGE, names, Options::parse, run).await
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let Options { listen, receiver, inbox } = options;
    match inbox {
        Some(file) => serve(&listen, receiver.with_inbox(SqliteStore::open(file).await?)).await?,
        None => serve(&listen, receiver.with_inbox(MemoryStore::new())).await?,
    }
    Ok(())
}

async fn serve<I: Inbox + 'static>(listen: &str, receiver: Receiver<I>) -> io::Result<()> {
    let receiver = Arc::new(receiver.with_rejection_observer(refused::log));
    let sent_as = SentAs {
        format: receiver.contract().format(),
        has_time: receiver.provider().is_none_or(Provider::sends_time),
    };
    // An event is committed if its handler returns without an error.
    let print =
        move |event: Result<Envelope<RawEvent>, Box<DataError>>| async move { print(&event?, sent_as) };
    // A provider calls its own path, which is any.
    let app = Router::new()
        .route("/", handler(Arc::clone(&receiver), print))
        .route("/{*path}", handler(Arc::clone(&receiver), print));
    serving::serve(listen, app, receiver).await
}

/// How the sender writes times.
#[derive(Clone, Copy)]
struct SentAs {
    format: EnvelopeFormat,
    /// Whether it sends the time of an event at all.
    has_time: bool,
}

fn print(envelope: &Envelope<RawEvent>, sent_as: SentAs) -> Result<(), Box<dyn Error + Send + Sync>> {
    // In JSON, line ends stand only between tokens.
    let data = RawValue::from_string(envelope.data.data().get().replace(['\r', '\n'], " "))?;
    let line = Line {
        id: &envelope.id,
        event_type: envelope.event_type(),
        created_at: if sent_as.has_time { created_at(envelope.created_at, sent_as.format)? } else { None },
        data: &data,
        duplicate: false,
    };
    let mut line = serde_json::to_vec(&line)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a EventId,
    #[serde(rename = "type")]
    event_type: &'a str,
    created_at: Option<String>,
    data: &'a RawValue,
    duplicate: bool,
}

/// The time as the platform writes it, or `None` if it sends none: the envelope then has the time of arrival.
fn created_at(at: OffsetDateTime, format: EnvelopeFormat) -> Result<Option<String>, time::error::Format> {
    let precision = format.fields().iter().find_map(|field| match field {
        Field::CreatedAt(_, precision) => Some(*precision),
        _ => None,
    });
    match precision {
        None => Ok(None),
        Some(TimePrecision::Milliseconds) => at
            .format(format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
            ))
            .map(Some),
        Some(_) => at
            .format(format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z"
            ))
            .map(Some),
    }
}

struct Options {
    listen: String,
    receiver: Receiver,
    inbox: Option<String>,
}

impl Options {
    fn parse(flags: &Flags) -> Result<Self, Box<dyn Error>> {
        let receiver = match (flags.get("--contract"), flags.get("--provider")) {
            (Some(contract), None) => Self::of_contract(flags, contract.parse()?)?,
            (None, Some(name)) => Self::of_provider(flags, name)?,
            _ => return Err("either --contract or --provider is needed".into()),
        };
        let inbox = match flags.get("--inbox").map(|inbox| inbox.strip_prefix("sqlite:")) {
            Some(None | Some("")) => return Err("--inbox is not of the form sqlite:FILE".into()),
            file => file.flatten().map(str::to_owned),
        };
        Ok(Self { listen: flags.needed("--listen").to_owned(), receiver, inbox })
    }

    fn of_contract(flags: &Flags, contract: Contract) -> Result<Receiver, Box<dyn Error>> {
        Ok(match (flags.get("--secret"), flags.get("--unsigned")) {
            (Some(_), None) if contract.scheme().is_none() => {
                return Err(
                    "this contract signs nothing, so that --unsigned is needed in place of --secret".into()
                );
            }
            (Some(first), None) => {
                let verifier = contract.verifier(&first.parse::<Secret>()?)?;
                let others = flags.all("--secret").skip(1);
                let verifier = others
                    .map(str::parse::<Secret>)
                    .try_fold(verifier, |verifier, secret| verifier.with_secret(&secret?))?;
                Receiver::verified(contract, verifier)
            }
            (None, Some(_)) => Receiver::dangerous_unguarded(contract),
            _ => return Err("either --secret or --unsigned is needed".into()),
        })
    }

    fn of_provider(flags: &Flags, name: &str) -> Result<Receiver, Box<dyn Error>> {
        let owned = |name: &str| flags.get(name).map(str::to_owned);
        let given = Given {
            secrets: flags.all("--secret").map(str::to_owned).collect(),
            files: flags.all("--keys").map(str::to_owned).collect(),
            verify_token: owned("--verify-token"),
            key_id: owned("--key-id"),
            audience: owned("--audience"),
            email: owned("--email"),
        };
        let mut provider = provider::named(name)?;
        if flags.get("--unsigned").is_some() {
            // It lives as long as the program.
            provider = Box::leak(Box::new(provider.dangerous_unproven()));
        }
        let mut keys = given.keys()?;
        if keys.is_empty() && flags.get("--unsigned").is_none() {
            eprintln!("no key is given, so no event is proven; challenges that need no proof are answered");
            keys = Secret::generate().into();
        }
        let receiver = Receiver::of(provider, keys)?;
        let receiver = receiver.with_secret_observer(|secret| {
            // An operator pastes it, and passes it with --secret from then on.
            eprintln!("the provider hands a secret over: {}", secret.expose());
        });
        Ok(match flags.get("--url") {
            Some(url) => receiver.with_url(url),
            None => receiver,
        })
    }
}

const USAGE: &str = "\
usage: receiver --listen ADDR --contract NAME (--secret S | --unsigned) [--inbox sqlite:FILE]
       receiver --listen ADDR --provider NAME [--secret S]... [--keys FILE]... [--url URL] [--inbox sqlite:FILE]

  --listen ADDR        such as 127.0.0.1:8080; port 0 takes a free one and says which
  --contract NAME      allison, allo, allo_v1, nectar_desk, recept_ai or standard_webhooks
  --provider NAME      stripe, github, meta_whatsapp, twilio_form or any other preset
  --secret S           the secret, as the platform shows it
  --unsigned           takes anything from anybody, and answers every challenge
  --keys FILE          a file with keys: PEM of public keys or certificates, a JSON Web Key Set, or secrets, one a line
  --url URL            the URL that the provider was given, if it signs that
  --verify-token T     the token that a challenge shows (Meta)
  --key-id ID          the public name of the key (Braintree), or the id of the webhook (PayPal)
  --email E            the service account that tokens name (Google Pub/Sub)
  --audience A         the audience of tokens, if it is another than the URL (Google Pub/Sub)
  --inbox sqlite:FILE  where it is remembered which events were handled; in memory, if not given
";

//! The receiving side as a program: verifies, and prints each event once, a line of JSON for each.
//!
//! ```text
//! cargo run --example receiver --features full -- --listen 127.0.0.1:8080 --contract allison --secret "$WEBHOOK_SECRET"
//! ```
//!
//! Senders POST to `/`. A line holds `id`, `type`, `created_at` (null where the platform sends none), `data` as it came, and
//! `duplicate`, which is always false: an event that comes again is answered 200 and not printed. An event counts as handled
//! when its line was written, so that a full disk or a closed pipe has the sender repeat it. What is refused is told on the standard
//! error. With `--inbox sqlite:FILE` that is
//! remembered when the program starts anew; otherwise as long as it runs.

#[path = "shared/ending.rs"]
mod ending;
#[path = "shared/flags.rs"]
mod flags;
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
use hookwire::receive::Receiver;
use hookwire::receive::axum::hook;
use hookwire::store::sqlite::SqliteStore;
use hookwire::{
    Contract, DataError, Envelope, EnvelopeFormat, EventId, Field, Inbox, MemoryStore, RawEvent, Secret,
    TimePrecision,
};
use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::macros::format_description;

#[tokio::main]
async fn main() -> ExitCode {
    let names = Names {
        needed: &["--listen", "--contract"],
        optional: &["--secret", "--inbox"],
        alone: &["--unsigned"],
        ..Names::default()
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
    let format = receiver.contract().format();
    // An event is committed when its handler comes back without an error.
    let handler =
        move |event: Result<Envelope<RawEvent>, Box<DataError>>| async move { print(&event?, format) };
    let app = Router::new().route("/", hook(Arc::clone(&receiver), handler));
    serving::serve(listen, app, receiver).await
}

fn print(envelope: &Envelope<RawEvent>, format: EnvelopeFormat) -> Result<(), Box<dyn Error + Send + Sync>> {
    // Line ends in JSON stand between its tokens only.
    let data = RawValue::from_string(envelope.data.data().get().replace(['\r', '\n'], " "))?;
    let line = Line {
        id: &envelope.id,
        event_type: envelope.event_type(),
        created_at: created_at(envelope.created_at, format)?,
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

/// As the platform writes it; a time that it does not send would be ours.
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
        let contract: Contract = flags.needed("--contract").parse()?;
        let receiver = match (flags.get("--secret"), flags.get("--unsigned")) {
            (Some(_), None) if contract.scheme().is_none() => {
                return Err(
                    "this contract signs nothing, so that --unsigned is needed in place of --secret".into()
                );
            }
            (Some(secret), None) => Receiver::signed(contract, &secret.parse::<Secret>()?)?,
            (None, Some(_)) => Receiver::dangerous_unguarded(contract),
            _ => return Err("either --secret or --unsigned is needed".into()),
        };
        let inbox = match flags.get("--inbox").map(|inbox| inbox.strip_prefix("sqlite:")) {
            Some(None | Some("")) => return Err("--inbox is not of the form sqlite:FILE".into()),
            file => file.flatten().map(str::to_owned),
        };
        Ok(Self { listen: flags.needed("--listen").to_owned(), receiver, inbox })
    }
}

const USAGE: &str = "\
usage: receiver --listen ADDR --contract NAME (--secret S | --unsigned) [--inbox sqlite:FILE]

  --listen ADDR        such as 127.0.0.1:8080; port 0 takes a free one and says which
  --contract NAME      allison, allo, allo_v1, nectar_desk, recept_ai or standard_webhooks
  --secret S           the secret, as the platform shows it
  --unsigned           takes anything from anybody
  --inbox sqlite:FILE  where it is remembered which events were handled; in memory, if not given
";

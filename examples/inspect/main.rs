//! A payload inspector: says which scheme signed a captured request, whether it verifies and, if not, why.
//!
//! ```text
//! cargo run --example inspect -- request.txt --secret "$WEBHOOK_SECRET"
//! cargo run --example inspect -- --secret "$WEBHOOK_SECRET" --now 1776453123 < request.txt
//! ```
//!
//! A captured request is its request line, its headers, an empty line and the body, byte for byte:
//!
//! ```text
//! POST /hooks HTTP/1.1
//! Content-Type: application/json
//! Webhook-Id: msg_1
//! Webhook-Timestamp: 1776453123
//! Webhook-Signature: v1,...
//!
//! {"type":"invoice.paid","timestamp":"2026-04-17T19:12:03Z","data":{}}
//! ```
//!
//! With `--provider NAME` it judges the request by the rule of that provider, any of
//! [`hookwire::provider::presets`], and answers it if it is a challenge, as a receiver would:
//!
//! ```text
//! cargo run --example inspect --features full -- --provider twilio_form --secret "$AUTH_TOKEN" \
//!     --url https://example.com/twilio < request.txt
//! ```
//!
//! Without a provider it recognizes Standard Webhooks (`v1` and `v1a`), Svix, Allison, Stripe, GitHub, Slack
//! and Shopify by their headers, every other preset by what it carries where, and the platforms that sign
//! nothing by their envelopes. You may give several secrets while one replaces another: it says which one
//! signed.
//!
//! It reads more than raw requests: the output of `curl -v` (with `--body FILE`), a `curl` command, a HAR
//! file, the JSON of API Gateway, of Lambda URLs and of request bins, folded headers, and those of HTTP/2.
//!
//! If a request does not verify, the program undoes the usual mistakes one after the other, and names the
//! mistake that explains it: a clock that is off, a body that was parsed and serialized again, a newline that
//! an editor added, a secret in the wrong form. The exit code is 0 if the request verifies, 1 if it does not,
//! and 2 for a command line that makes no sense.
//!
//! Ed25519 (`v1a`) needs the crate's feature: `cargo run --features ed25519 --example inspect`.

mod bodies;
mod capture;
mod curl;
mod event;
mod formats;
#[path = "../shared/provider.rs"]
mod given;
mod json;
mod keys;
mod mistakes;
mod options;
mod order;
mod printed;
mod provider;
mod recorded;
mod repairs;
mod schemes;
mod text;
mod verdict;

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use capture::Captured;
use hookwire::Scheme;
use hookwire::provider::{Keys, Provider};
use hookwire::signature::Request;
use options::{Options, USAGE};
use provider::Question;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print(USAGE);
            return ExitCode::SUCCESS;
        }
        Err(problem) => return usage_error(&problem),
    };
    let input = match options.read() {
        Ok(input) => input,
        // The path stays out: a user who forgets `--secret` gives the secret as the path.
        Err(error) => return usage_error(&format!("the file cannot be read: {error}")),
    };
    let body = match options.read_body() {
        Ok(body) => body,
        Err(error) => return usage_error(&format!("the body cannot be read: {error}")),
    };
    let made = formats::made(&input);
    let bytes = made.as_ref().map_or(&*input, |made| &made.bytes);
    let mut captured = match capture::parse(bytes, body.as_deref()) {
        Ok(captured) => captured,
        Err(problem) => {
            print(&format!("verdict     not verified: this is no request, {problem}\n"));
            return ExitCode::FAILURE;
        }
    };
    // A body that was given needs no remark that it is missing.
    let notes = made.iter().flat_map(|made| made.notes.iter().cloned());
    captured.notes.extend(notes.filter(|_| body.is_none()));
    let inspected = match &options.provider {
        Some(name) => inspect_provider(name, &captured, &options),
        None => inspect(&captured, &options),
    };
    let (report, verified) = match inspected {
        Ok(inspected) => inspected,
        Err(problem) => return usage_error(&problem.to_string()),
    };
    print(&report);
    ExitCode::from(u8::from(!verified))
}

/// The report about a request of a named provider, and whether it is proven or answered.
fn inspect_provider(
    name: &str,
    captured: &Captured<'_>,
    options: &Options,
) -> Result<(String, bool), Box<dyn Error>> {
    let question = question(given::named(name)?, &options.given.keys()?, captured, options);
    let (told, verified) = question.answer();
    // An answer is a challenge's, byte for byte.
    let notes = if told.starts_with("answer: ") { String::new() } else { notes(captured) };
    Ok((notes + &told, verified))
}

/// The report, and whether the request verifies.
fn inspect(captured: &Captured<'_>, options: &Options) -> Result<(String, bool), Box<dyn Error>> {
    let (secrets, now) = (&options.secrets, options.now);
    let mut report = String::new();
    report += &format!("request     {}\n", text::printable(&captured.request_line));
    report +=
        &format!("            {} headers, {} bytes of body\n", captured.headers.len(), captured.body.len());
    report += &notes(captured);
    let verdict = verdict::judge(captured, secrets, now);
    let is_proven = verdict.verified.is_some();
    let (told, verified) = match by_recognized_provider(captured, options, is_proven)? {
        Some((told, verified)) if told.starts_with("answer: ") => return Ok((told, verified)),
        Some(told) => told,
        None => (verdict.report.clone() + &event::report(captured, &verdict, now), is_proven),
    };
    Ok((report + &told, verified))
}

fn notes(captured: &Captured<'_>) -> String {
    captured.notes.iter().map(|note| format!("note        {note}\n")).collect()
}

/// The report of the recognized provider that proves the request, or of the likeliest; `None` if a scheme or
/// a platform that is no provider tells more.
fn by_recognized_provider(
    captured: &Captured<'_>,
    options: &Options,
    is_proven: bool,
) -> Result<Option<(String, bool)>, Box<dyn Error>> {
    let (method, url) = (provider::method(captured), provider::url(captured, options.url.as_deref()));
    let request = Request::new(&method, &captured.headers, captured.body).with_url(&url);
    let all = Provider::recognize(&request);
    // A key of another form is a mistake to explain, not one to stop at.
    let keys = options.given.keys().unwrap_or_default();
    let Some(likely) = all.first() else { return Ok(None) };
    let schemes = schemes::candidates(&captured.headers);
    let is_known = |provider: &Provider| {
        provider.scheme().is_some_and(|scheme| schemes.iter().any(|known| is_same(*known, scheme)))
    };
    let settled = all.iter().find(|provider| question(provider, &keys, captured, options).is_settled());
    if let Some(provider) = settled {
        let told = question(provider, &keys, captured, options).answer();
        // The schemes that the crate names have a report of their own. It explains a secret of their form
        // whose text was the key; a secret of another form belongs to a provider whose key is the text.
        let is_mistaken =
            is_known(provider) && options.secrets.iter().all(|text| text.trim().starts_with("whsec_"));
        let is_better = told.0.starts_with("answer: ") || !is_proven && !is_mistaken;
        return Ok(is_better.then_some(told));
    }
    let is_platform = schemes.is_empty() && event::platform(captured.body).is_some();
    let is_other = is_proven || schemes.contains(&Scheme::ALLISON) || is_known(likely) || is_platform;
    Ok((!is_other).then(|| question(likely, &keys, captured, options).answer()))
}

/// Whether a request of `scheme` is one of `known`. The form of the key does not matter: to have it wrong is
/// a mistake to explain.
fn is_same(known: Scheme, scheme: Scheme) -> bool {
    let own = |scheme: Scheme| (scheme.signature_header(), scheme.id_header(), scheme.timestamp_header());
    let other = scheme.other_headers().map(|family| family.signature_header());
    (own(known) == own(scheme) || other == Some(known.signature_header()))
        && known.algorithm() == scheme.algorithm()
        && known.content() == scheme.content()
}

fn question<'a>(
    provider: &'static Provider,
    keys: &Keys,
    captured: &'a Captured<'a>,
    options: &'a Options,
) -> Question<'a> {
    Question {
        provider,
        keys: keys.clone(),
        secrets: &options.secrets,
        captured,
        url: options.url.clone(),
        now: options.now,
    }
}

fn usage_error(problem: &str) -> ExitCode {
    eprintln!("inspect: {problem}\n\n{USAGE}");
    ExitCode::from(2)
}

/// Prints a text. `print!` would panic if the reader is gone, such as `head`.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

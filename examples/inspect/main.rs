//! A payload inspector: which scheme signed a captured request, whether it verifies and, if not, why.
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
//! It knows Standard Webhooks (`v1` and `v1a`), Svix, Allison, Stripe, GitHub, Slack and Shopify by their headers, and the
//! platforms that sign nothing by their envelopes. Several secrets may be given while one replaces another: it tells which has
//! signed.
//!
//! When a request does not verify, the usual mistakes are undone one after the other, and the one that explains it is
//! told: a clock that is off, a body that was parsed and written again, a newline that an editor added, a secret in the
//! wrong form. Exit code 0 when it verifies, 1 when it does not, 2 for a command line that makes no sense.
//!
//! Ed25519 (`v1a`) needs the crate's feature: `cargo run --features ed25519 --example inspect`.

mod bodies;
mod capture;
mod event;
mod json;
mod keys;
mod mistakes;
mod options;
mod order;
mod printed;
mod schemes;
mod text;
mod verdict;

use std::io::{self, Write as _};
use std::process::ExitCode;

use options::{Options, USAGE};
use time::OffsetDateTime;

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
        // Without the path: whoever forgets `--secret` gives the secret as one.
        Err(error) => return usage_error(&format!("the file cannot be read: {error}")),
    };
    let (report, verified) = inspect(&input, &options.secrets, options.now);
    print(&report);
    ExitCode::from(u8::from(!verified))
}

/// The report, and whether the request verifies.
fn inspect(input: &[u8], secrets: &[String], now: OffsetDateTime) -> (String, bool) {
    let captured = match capture::parse(input) {
        Ok(captured) => captured,
        Err(problem) => return (format!("verdict     not verified: this is no request, {problem}\n"), false),
    };
    let mut report = String::new();
    report += &format!("request     {}\n", text::printable(captured.request_line));
    report +=
        &format!("            {} headers, {} bytes of body\n", captured.headers.len(), captured.body.len());
    for note in &captured.notes {
        report += &format!("note        {note}\n");
    }
    let verdict = verdict::judge(&captured, secrets, now);
    report += &verdict.report;
    report += &event::report(&captured, &verdict, now);
    (report, verdict.verified.is_some())
}

fn usage_error(problem: &str) -> ExitCode {
    eprintln!("inspect: {problem}\n\n{USAGE}");
    ExitCode::from(2)
}

/// Not `print!`, which panics when whoever reads has left, such as `head`.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

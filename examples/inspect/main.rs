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
//! When a request does not verify, the usual mistakes are undone one after the other, and the one that explains it is
//! told: a clock that is off, a body that was parsed and written again, a newline that an editor added, a secret in the
//! wrong form. Exit code 0 when it verifies, 1 when it does not, 2 for a command line that makes no sense.
//!
//! Ed25519 (`v1a`) needs the crate's feature: `cargo run --features ed25519 --example inspect`.

mod capture;
mod event;
mod mistakes;
mod text;
mod verdict;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

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
    let (report, verified) = inspect(&input, options.secret.as_deref(), options.now);
    print(&report);
    ExitCode::from(u8::from(!verified))
}

/// The report, and whether the request verifies.
fn inspect(input: &[u8], secret: Option<&str>, now: OffsetDateTime) -> (String, bool) {
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
    let verdict = verdict::judge(&captured, secret, now);
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

struct Options {
    /// `None` for the standard input.
    file: Option<PathBuf>,
    secret: Option<String>,
    now: OffsetDateTime,
}

impl Options {
    /// By hand: two flags are no reason for every user of the crate to build an argument parser with the examples.
    ///
    /// `None` when help was asked for. No argument's value is repeated in an error: it may be the secret.
    fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Option<Self>, String> {
        let (mut file, mut secret, mut now) = (None, None, None);
        while let Some(arg) = args.next() {
            let (name, inline) = match arg.to_str().and_then(|arg| arg.split_once('=')) {
                Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ => (arg.to_string_lossy().into_owned(), None),
            };
            let mut value = || match inline.clone() {
                Some(value) => Ok(value),
                None => args
                    .next()
                    .ok_or_else(|| format!("{name} needs a value"))?
                    .into_string()
                    .map_err(|_| format!("the value of {name} is not UTF-8")),
            };
            let again = match name.as_str() {
                "--help" | "-h" => return Ok(None),
                "--secret" => secret.replace(value()?).is_some(),
                "--now" => {
                    let at = value()?
                        .parse()
                        .ok()
                        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
                        .ok_or("--now is not a time in Unix seconds")?;
                    now.replace(at).is_some()
                }
                "-" => file.replace(None).is_some(),
                option if option.starts_with('-') => {
                    return Err("unknown option, expected --secret or --now".to_owned());
                }
                _ => file.replace(Some(PathBuf::from(arg))).is_some(),
            };
            if again {
                return Err("a file or an option is given twice".to_owned());
            }
        }
        let now = now.unwrap_or_else(OffsetDateTime::now_utc);
        Ok(Some(Self { file: file.flatten(), secret, now }))
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut input = Vec::new();
        let source: Box<dyn Read> = match &self.file {
            Some(path) => Box::new(File::open(path)?),
            None => Box::new(io::stdin()),
        };
        source.take(MAX_INPUT + 1).read_to_end(&mut input)?;
        if input.len() as u64 > MAX_INPUT {
            return Err(io::Error::other("it is larger than 16 MiB"));
        }
        Ok(input)
    }
}

const MAX_INPUT: u64 = 16 << 20;

const USAGE: &str = "\
usage: inspect [FILE] [--secret S] [--now UNIX]

  FILE        a captured request: request line, headers, empty line, body; `-` or nothing for the standard input
  --secret S  the secret, as the platform shows it; without it nothing can be verified
  --now UNIX  when the request came in, in Unix seconds; now, if not given
";

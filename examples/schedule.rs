//! Prints a contract's retry timeline: the time of each attempt of a delivery, if all attempts before it
//! fail.
//!
//! ```text
//! cargo run --example schedule -- allison
//! cargo run --example schedule -- allison --from 2026-04-17T19:12:03Z
//! ```
//!
//! It shows how to choose a contract by name, how to ask it for its judgement of a response, and how to walk
//! its retry policy. The times are nominal: jitter moves them, and a `Retry-After` can lengthen a wait. The
//! exit code is 2 for a command line that is not valid.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use hookwire::contract::Judgement;
use hookwire::{Contract, ErrorClass, Outcome};
use http::StatusCode;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

fn main() -> ExitCode {
    let text = match Options::parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => schedule(&options.contract, options.from),
        Ok(None) => USAGE.to_owned(),
        Err(problem) => {
            eprintln!("schedule: {problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // `println!` would panic after the reader has left, such as `head`.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn schedule(contract: &Contract, from: OffsetDateTime) -> String {
    let plan: Vec<_> = contract.retry().timeline(from).collect();
    let total = plan.last().map_or(Duration::ZERO, |last| last.elapsed);
    let attempts = match plan.len() {
        1 => "1 attempt".to_owned(),
        several => format!("{several} attempts over {}", human(total)),
    };
    let mut text = format!("contract  {}: {attempts}\n", contract.name());
    text += &format!("time-out  {}\n", human(contract.timeout()));
    text += &format!("success   {}\n", statuses(contract, Judgement::Success));
    text += &match retried(contract) {
        Some(what) => format!("retried   {what}\n"),
        None => "retried   nothing, there is one attempt\n".to_owned(),
    };
    if contract.judge(&Outcome::answered(StatusCode::GONE)) == Judgement::Gone {
        text += "ended by  410, which ends the subscription too\n";
    }
    text += "\n";

    let mut rows = vec![["attempt", "wait", "elapsed", "at"].map(str::to_owned)];
    rows.extend(plan.iter().map(|planned| {
        [planned.attempt.to_string(), human(planned.delay), human(planned.elapsed), instant(planned.at)]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2)];
    for [attempt, wait, elapsed, at] in &rows {
        text += &format!("{attempt:>0$}  {wait:>1$}  {elapsed:>2$}  {at}\n", widths[0], widths[1], widths[2]);
    }
    if contract.retry().max_attempts().is_some_and(|max| plan.len() < max as usize) {
        text += "the calendar ends before the next attempt\n";
    }
    text
}

/// The failures that are tried again. The contract itself is asked, so that the answer is true for any
/// contract.
fn retried(contract: &Contract) -> Option<String> {
    contract.retry().delay_after(1)?;
    let mut what = statuses(contract, Judgement::Retry);
    if contract.judge(&Outcome::Failed(ErrorClass::Connect)) == Judgement::Retry {
        what += " and no answer at all (time-out, network fault)";
    }
    Some(what)
}

/// The statuses with this judgement, as ranges such as `300-409, 411-599`.
fn statuses(contract: &Contract, judgement: Judgement) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    // Statuses below 200 are interim (RFC 9110 section 15.2).
    for status in (200..=599).filter_map(|code| StatusCode::from_u16(code).ok()) {
        if contract.judge(&Outcome::answered(status)) != judgement {
            continue;
        }
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == status.as_u16() => *last = status.as_u16(),
            _ => ranges.push((status.as_u16(), status.as_u16())),
        }
    }
    let ranges: Vec<_> = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
    ranges.join(", ")
}

/// A duration as `31h 16m`: hours, minutes and seconds, without the parts that are zero.
fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (duration.subsec_millis().into(), "ms"),
    ];
    let shown: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if shown.is_empty() { "0s".to_owned() } else { shown.join(" ") }
}

fn instant(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    at.format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}

struct Options {
    contract: Contract,
    from: OffsetDateTime,
}

impl Options {
    /// Reads the command line; `None` if it asks for help.
    ///
    /// It is written by hand, because one flag does not justify an argument parser as a dependency.
    fn parse(args: impl Iterator<Item = OsString>) -> Result<Option<Self>, String> {
        let mut contract = None;
        let mut from = None;
        // Neither a name nor a time has a byte that is not UTF-8, so its replacement is refused below.
        let mut args = args.map(|arg| arg.to_string_lossy().into_owned());
        while let Some(arg) = args.next() {
            if arg == "--help" || arg == "-h" {
                return Ok(None);
            } else if arg == "--from" || arg.starts_with("--from=") {
                let value = match arg.strip_prefix("--from=") {
                    Some(value) => value.to_owned(),
                    None => args.next().ok_or("--from needs a time")?,
                };
                let time = OffsetDateTime::parse(&value, &Rfc3339)
                    .map_err(|_| "--from is not an RFC 3339 time, such as 2026-04-17T19:12:03Z")?;
                if from.replace(time).is_some() {
                    return Err("--from is given twice".to_owned());
                }
            } else if arg.starts_with('-') {
                return Err(format!("unknown option {arg:?}"));
            } else {
                let named = arg.parse::<Contract>().map_err(|error| format!("{arg:?}: {error}"))?;
                if contract.replace(named).is_some() {
                    return Err("more than one contract is named".to_owned());
                }
            }
        }
        let contract = contract
            .ok_or_else(|| format!("no contract is named, expected one of {}", Contract::NAMES.join(", ")))?;
        // Whole seconds are easier to read.
        let now = OffsetDateTime::now_utc();
        let from = from.unwrap_or_else(|| now.replace_nanosecond(0).unwrap_or(now));
        Ok(Some(Self { contract, from }))
    }
}

const USAGE: &str = "\
usage: schedule NAME [--from RFC3339]

  NAME            allison, allo, allo_v1, nectar_desk, recept_ai or standard_webhooks
  --from RFC3339  when the first attempt is made; now, if not given
";

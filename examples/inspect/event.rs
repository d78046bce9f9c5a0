//! Finds the platform whose envelope a body is, and prints the event in it.

use std::collections::HashMap;

use hookwire::event::Field;
use hookwire::{Contract, Envelope, RawEvent, Scheme, Verified};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::capture::Captured;
use crate::text::{pretty, printable};
use crate::verdict::Verdict;

pub(crate) fn report(captured: &Captured<'_>, verdict: &Verdict<'_>, now: OffsetDateTime) -> String {
    let contract = platform(captured.body)
        // No other platform signs like Allison, so this is its body, even if a field is missing.
        .or_else(|| (verdict.scheme == Some(Scheme::ALLISON)).then(Contract::allison));
    let Some(contract) = contract else {
        let mut report = "envelope    none of a known platform\n".to_owned();
        match std::str::from_utf8(captured.body) {
            Ok(text) if serde_json::from_str::<IgnoredAny>(text).is_ok() => report += &pretty(text, MARGIN),
            _ => report += "            the body is not JSON\n",
        }
        return report;
    };
    let mut report = format!("envelope    {}", contract.name());
    if contract.scheme().is_none() {
        report += ", a platform that does not sign";
    }
    report.push('\n');
    // Show an unproven event too: a user who debugs a signature wants to see what was sent.
    let unproven;
    let verified = match &verdict.verified {
        Some(verified) => verified,
        None => {
            report += "            everything below is unproven: anybody may have sent it\n";
            unproven = Verified::dangerous_unsigned_at(&captured.headers, captured.body, now);
            &unproven
        }
    };
    // The headers say how the id travels, even if the platform has another scheme by default.
    let contract = match verdict.scheme {
        Some(scheme) => contract.with_scheme(scheme),
        None => contract,
    };
    match contract.decode::<RawEvent>(verified) {
        Ok(envelope) => report + &event(&contract, &envelope),
        Err(error) => {
            report + &format!("            but it cannot be read: {}\n", printable(error.to_string()))
        }
    }
}

fn event(contract: &Contract, envelope: &Envelope<RawEvent>) -> String {
    let event_type = envelope.event_type();
    let known = match contract.catalogue().find(event_type) {
        Some(kind) => kind.description(),
        None if contract.catalogue().is_open() => "this platform's types are open",
        None => "a type that is not in the catalogue, which is fine",
    };
    let id_from = match envelope.id.as_str() {
        _ if contract.format().carries_id() => "from the body",
        id if id.starts_with("sha256_") => "none was sent or signed: the SHA-256 of the body",
        _ => "from the header",
    };
    let created_at = envelope.created_at;
    let created_at = created_at.format(&Rfc3339).unwrap_or_else(|_| created_at.to_string());
    let mut report = format!("type        {} ({known})\n", printable(event_type));
    report +=
        &format!("id          {} ({id_from})\ncreated_at  {created_at}\n", printable(envelope.id.as_str()));
    match contract.catalogue().check(event_type, envelope.data.data()) {
        Ok(()) => report += "data\n",
        Err(problem) => {
            report += &format!("data        does not fit its type at `{}`", printable(problem.field()));
            if let Some(expected) = problem.expected() {
                report += &format!(", expected {}", printable(expected));
            }
            report.push('\n');
        }
    }
    report + &pretty(envelope.data.data().get(), MARGIN)
}

/// An event of the type that a body names, as its platform would write it.
pub(crate) fn sample(body: &[u8]) -> Option<String> {
    let contract = platform(body)?;
    let fields: HashMap<String, &RawValue> = serde_json::from_slice(body).ok()?;
    let type_field = contract.format().fields().iter().find(|field| matches!(field, Field::Type(_)))?;
    let event_type: String = serde_json::from_str(fields.get(type_field.name())?.get()).ok()?;
    let data = contract.catalogue().find(&event_type).map(|kind| kind.sample());
    let event = RawEvent::new(&event_type, data).ok()?;
    let envelope = Envelope::from_parts("sample".parse().ok()?, OffsetDateTime::UNIX_EPOCH, event);
    String::from_utf8(contract.encode(&envelope).ok()?.into()).ok()
}

/// The contract with the largest envelope whose fields are all present. The version does not count, because
/// it does not tell platforms apart.
pub(crate) fn platform(body: &[u8]) -> Option<Contract> {
    let fields: HashMap<String, IgnoredAny> = serde_json::from_slice(body).ok()?;
    let named = Contract::NAMES.iter().filter_map(|name| name.parse::<Contract>().ok());
    named
        .filter(|contract| {
            contract
                .format()
                .fields()
                .iter()
                .all(|field| matches!(field, Field::Version(..)) || fields.contains_key(field.name()))
        })
        .max_by_key(|contract| contract.format().fields().len())
}

const MARGIN: &str = "            ";

//! The contracts of a crowd, and the bodies of their events.

use std::time::Duration;

use bytes::Bytes;
use hookwire::contract::Versions;
use hookwire::event::{EnvelopeFormat, Field, TimePrecision};
use hookwire::{Contract, Envelope, RawEvent, RetryPolicy};
use serde_json::json;

/// A contract in its versions.
pub(super) struct Platform {
    pub(super) versions: Versions,
    pub(super) event_type: &'static str,
    /// The waits between attempts, in seconds.
    pub(super) waits: &'static [u64],
    /// Whether every failure is retried, or only silence and 5xx.
    pub(super) retries_all: bool,
    /// Whether 410 disables the subscription.
    pub(super) is_disabled_when_gone: bool,
}

/// The contracts that the two processes serve, by their places in [`platforms`].
pub(super) const SERVED: [[usize; 2]; 2] = [[0, 1], [0, 2]];

/// The contracts: one in two versions, two in one, and one that no process serves.
pub(super) fn platforms() -> [Platform; 4] {
    let versioned = |name: &str| Platform {
        versions: two_versions(name),
        event_type: "call.ended",
        waits: &[2, 20, 60],
        retries_all: true,
        is_disabled_when_gone: true,
    };
    let allison = Contract::allison().with_retry(delays(&[5, 60, 300]));
    let allison = Platform { versions: Versions::new(allison), waits: &[5, 60, 300], ..versioned("allison") };
    let nectar = Platform {
        versions: Versions::new(Contract::nectar_desk()),
        event_type: "Call Ended",
        waits: &[1, 2, 4],
        retries_all: false,
        is_disabled_when_gone: false,
    };
    [versioned("shop"), allison, nectar, versioned("orphan")]
}

fn two_versions(name: &str) -> Versions {
    let version = |version: &str, format| {
        let contract = Contract::standard_webhooks().with_name(name).unwrap().with_version(version).unwrap();
        contract.with_format(format).with_retry(delays(&[2, 20, 60]))
    };
    let older = |event: RawEvent| {
        let data: serde_json::Value = serde_json::from_str(event.data().get())?;
        let old = json!({ "text": data["number"].to_string() });
        Ok(Some(RawEvent::new(event.event_type(), old)?))
    };
    Versions::new(version("v2", FORMAT_2)).with_older(version("v1", FORMAT_1), older).unwrap()
}

fn delays(seconds: &[u64]) -> RetryPolicy {
    RetryPolicy::delays(seconds.iter().copied().map(Duration::from_secs)).unwrap()
}

impl Platform {
    /// The bodies of an event in each version. Those of the contract in two versions are written by hand.
    pub(super) fn bodies(&self, envelope: &Envelope<RawEvent>, number: u64) -> Vec<(String, Bytes)> {
        let newest = self.versions.newest();
        if newest.version() != "v2" {
            return vec![(newest.version().to_owned(), newest.encode(envelope).unwrap())];
        }
        let (id, at) = (&envelope.id, envelope.created_at);
        let at = format!("{}T{:02}:{:02}:{:02}.000Z", at.date(), at.hour(), at.minute(), at.second());
        let body = |version: u8, data: String| {
            let event_type = self.event_type;
            let text = format!(
                r#"{{"id":"{id}","type":"{event_type}","at":"{at}","version":"{version}","data":{data}}}"#
            );
            (format!("v{version}"), Bytes::from(text))
        };
        vec![body(2, format!(r#"{{"number":{number}}}"#)), body(1, format!(r#"{{"text":"{number}"}}"#))]
    }
}

const FORMAT_1: EnvelopeFormat = EnvelopeFormat::new(&[
    Field::Id("id"),
    Field::Type("type"),
    Field::CreatedAt("at", TimePrecision::Milliseconds),
    Field::Version("version", "1"),
    Field::Data("data"),
]);
const FORMAT_2: EnvelopeFormat = EnvelopeFormat::new(&[
    Field::Id("id"),
    Field::Type("type"),
    Field::CreatedAt("at", TimePrecision::Milliseconds),
    Field::Version("version", "2"),
    Field::Data("data"),
]);

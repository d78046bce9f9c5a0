//! Receiving a `call.ended` of about 600 bytes: verified and decoded into the typed enum, compared with
//! handwritten code.
//!
//! The handwritten code looks up three headers, compares the time, finishes the hash, decodes the hex and
//! compares it in constant time. Then one pass of serde_json fills a struct that owns its fields.

mod rounds;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use hmac::{Hmac, KeyInit, Mac};
use hookwire::allison::{CallEnded, Direction, Disposition, Event};
use hookwire::{Contract, Envelope, Secret, Verifier};
use http::HeaderMap;
use serde::Deserialize;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::rounds::{heading, interleaved, row};

fn main() {
    let subject = Subject::new();
    let mut criterion = Criterion::default()
        .configure_from_args()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    let mut group = criterion.benchmark_group(format!("call.ended of {} B", subject.body.len()));
    group.throughput(Throughput::Bytes(subject.body.len() as u64));
    group.bench_function("by hand", |bencher| bencher.iter(|| subject.by_hand()));
    group.bench_function("verify + decode", |bencher| bencher.iter(|| subject.ours()));
    group.finish();
    criterion.final_summary();
    if !std::env::args().any(|argument| ["--profile-time", "--test", "--list"].contains(&argument.as_str())) {
        table(&subject);
    }
}

fn table(subject: &Subject) {
    let len = subject.body.len();
    heading();
    let [hand_verify, hand, verify, ours] = interleaved(
        500,
        [
            &|| _ = black_box(subject.verify_by_hand()),
            &|| drop(black_box(subject.by_hand())),
            &|| {
                _ = black_box(
                    subject.verifier.verify_at(black_box(&subject.headers), &subject.body, NOW).is_ok(),
                )
            },
            &|| drop(black_box(subject.ours())),
        ],
    );
    row("verify", len, &verify, &hand_verify, None);
    row("verify + decode", len, &ours, &hand, Some(1.0));
}

struct Subject {
    contract: Contract,
    verifier: Verifier,
    keyed: Hmac<Sha256>,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Subject {
    fn new() -> Self {
        let contract = Contract::allison();
        let secret = Secret::from_random([7; 32]);
        let mut call = CallEnded::new("5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11");
        call.location_id = Some("loc_12".into());
        call.started_at = Some(datetime!(2026-04-17 19:09:40 UTC));
        call.ended_at = Some(datetime!(2026-04-17 19:12:03 UTC));
        call.duration_seconds = Some(143);
        call.direction = Some(Direction::Inbound);
        call.from_number = Some("+15550100142".into());
        call.disposition = Some(Disposition::Completed);
        call.summary = Some("The caller moved the appointment to Friday and asked for a reminder.".into());
        call.outcome_tags = vec!["rescheduled".into(), "reminder".into()];
        call.contact_id = Some("con_7f3a".into());
        call.call_url = Some("https://app.allison.example/calls/5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11".into());
        let id = "evt_0198c2f4b7a97c1e8f00d1c2b3a49586".parse().expect("the id is valid");
        let envelope = Envelope::from_parts(id, NOW, call);
        let body = contract.encode(&envelope).expect("the event can be written").to_vec();
        let signer = contract.signer(&secret).expect("the secret is long enough");
        let headers = signer.sign(envelope.id.as_str(), NOW, &body).expect("the id and the time are fine");
        Self {
            verifier: contract.verifier(&secret).expect("the secret is long enough"),
            keyed: Hmac::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes any key"),
            contract,
            headers,
            body,
        }
    }

    fn ours(&self) -> Envelope<Event> {
        let verified = self
            .verifier
            .verify_at(black_box(&self.headers), black_box(&self.body), black_box(NOW))
            .expect("the signature is good");
        self.contract.decode(&verified).expect("the event is good")
    }

    fn by_hand(&self) -> OwnedEnvelope {
        assert!(self.verify_by_hand());
        serde_json::from_slice(black_box(&self.body)).expect("the event is good")
    }

    fn verify_by_hand(&self) -> bool {
        let headers = black_box(&self.headers);
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (Some(_id), Some(timestamp), Some(signature)) =
            (header("x-allison-event-id"), header("x-allison-timestamp"), header("x-allison-signature"))
        else {
            return false;
        };
        let Ok(seconds) = timestamp.parse::<i64>() else { return false };
        if black_box(NOW).unix_timestamp().abs_diff(seconds) > 300 {
            return false;
        }
        let mut told = [0; 32];
        let hex = signature.strip_prefix("v1=").unwrap_or_default();
        if hex::decode_to_slice(hex, &mut told).is_err() {
            return false;
        }
        let mut state = self.keyed.clone();
        state.update(timestamp.as_bytes());
        state.update(b".");
        state.update(black_box(&self.body));
        state.finalize().into_bytes().ct_eq(&told).into()
    }
}

/// The code that a careful colleague would write for this one event.
#[derive(Deserialize)]
#[allow(dead_code, reason = "filling the fields is what is measured")]
struct OwnedEnvelope {
    id: String,
    r#type: String,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    api_version: String,
    data: OwnedCall,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "filling the fields is what is measured")]
struct OwnedCall {
    call_id: String,
    location_id: Option<String>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    started_at: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    ended_at: Option<OffsetDateTime>,
    duration_seconds: Option<u64>,
    direction: Option<String>,
    from_number: Option<String>,
    disposition: Option<String>,
    summary: Option<String>,
    #[serde(default)]
    outcome_tags: Vec<String>,
    contact_id: Option<String>,
    call_url: Option<String>,
    transcript: Option<String>,
    outcome: Option<String>,
}

const NOW: OffsetDateTime = datetime!(2026-04-17 19:12:03 UTC);

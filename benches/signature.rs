//! Signing and verifying compared with their lower bound: the hash itself.
//!
//! Criterion reports absolute times, which change with the machine. So a table of ratios follows: each round
//! measures every contestant once, one right after the other, and takes the ratio within the round.

mod rounds;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use hmac::{Hmac, KeyInit, Mac};
use hookwire::{Scheme, Secret, Signer, Verifier};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::rounds::{heading, interleaved, row};

fn main() {
    let mut criterion = Criterion::default()
        .configure_from_args()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    for len in BODY_LENS {
        absolute(&mut criterion, &Subject::new(len));
    }
    criterion.final_summary();
    // Profiles and trial runs do not need the table.
    if !std::env::args().any(|argument| ["--profile-time", "--test", "--list"].contains(&argument.as_str())) {
        table();
    }
}

/// The data of one body length that every contestant works on.
struct Subject {
    body: Vec<u8>,
    /// `id.timestamp.`, so that the limit hashes the same content.
    prefix: Vec<u8>,
    keyed: Hmac<Sha256>,
    signer: Signer,
    verifier: Verifier,
    headers: HeaderMap,
    names: [HeaderName; 3],
}

impl Subject {
    fn new(len: usize) -> Self {
        let secret = Secret::from_bytes(KEY);
        let body: Vec<u8> =
            br#"{"id":"evt_0","type":"call.ended"}"#.iter().copied().cycle().take(len).collect();
        let signer = Signer::new(SCHEME, &secret).expect("the key is long enough");
        let headers = signer.sign(ID, NOW, &body).expect("the id and the time are fine");
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        Self {
            prefix: format!("{ID}.{}.", NOW.unix_timestamp()).into_bytes(),
            keyed: Hmac::new_from_slice(&KEY).expect("HMAC takes any key"),
            verifier: Verifier::new(SCHEME, &secret).expect("the key is long enough"),
            names: names.map(HeaderName::from_static),
            body,
            signer,
            headers,
        }
    }

    fn limit(&self) -> [u8; 32] {
        let mut state = self.keyed.clone();
        state.update(&self.prefix);
        state.update(&self.body);
        state.finalize().into_bytes().into()
    }

    /// The limit, plus the header map that `sign` returns, made from ready values.
    fn limit_and_map(&self) -> HeaderMap {
        black_box(self.limit());
        let [id, timestamp, signature] = &self.names;
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(id.clone(), value(black_box(self.headers[id].as_bytes())));
        headers.insert(timestamp.clone(), value(black_box(self.headers[timestamp].as_bytes())));
        headers.insert(signature.clone(), value(black_box(self.headers[signature].as_bytes())));
        headers
    }

    fn signature(&self) -> String {
        self.signer
            .signature(black_box(ID), black_box(NOW), &self.body)
            .expect("the id and the time are fine")
    }

    fn sign(&self) -> HeaderMap {
        self.signer.sign(black_box(ID), black_box(NOW), &self.body).expect("the id and the time are fine")
    }

    fn verify_at(&self) -> bool {
        self.verifier.verify_at(black_box(&self.headers), black_box(&self.body), black_box(NOW)).is_ok()
    }
}

fn value(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).expect("the value was a header's")
}

fn absolute(criterion: &mut Criterion, subject: &Subject) {
    let len = subject.body.len();
    let mut group = criterion.benchmark_group(format!("{len} B"));
    group.throughput(Throughput::Bytes(len as u64));
    group.bench_function("limit", |bencher| bencher.iter(|| subject.limit()));
    group.bench_function("limit + map", |bencher| bencher.iter(|| subject.limit_and_map()));
    group.bench_function("signature", |bencher| bencher.iter(|| subject.signature()));
    group.bench_function("sign", |bencher| bencher.iter(|| subject.sign()));
    group.bench_function("verify_at", |bencher| bencher.iter(|| subject.verify_at()));
    group.finish();
}

fn table() {
    heading();
    for (len, bounds) in BODY_LENS.into_iter().zip(BOUNDS) {
        let subject = Subject::new(len);
        // The fixed cost of a call counts as 500 bytes.
        let [limit, map, signature, sign, verify] = interleaved(
            (CALL_BYTES / (len + 500)).max(1),
            [
                &|| _ = black_box(subject.limit()),
                &|| drop(black_box(subject.limit_and_map())),
                &|| drop(black_box(subject.signature())),
                &|| drop(black_box(subject.sign())),
                &|| _ = black_box(subject.verify_at()),
            ],
        );
        row("signature", len, &signature, &limit, bounds.signature);
        row("sign", len, &sign, &map, bounds.sign);
        row("verify_at", len, &verify, &limit, bounds.verify);
    }
}

/// The upper bounds, each a multiple of its baseline.
#[derive(Clone, Copy)]
struct Bounds {
    signature: Option<f64>,
    /// The baseline is the limit plus the same map made by hand.
    sign: Option<f64>,
    verify: Option<f64>,
}

const BODY_LENS: [usize; 4] = [300, 2 << 10, 16 << 10, 256 << 10];
const BOUNDS: [Bounds; 4] = [
    Bounds { signature: Some(1.15), sign: Some(1.10), verify: Some(1.50) },
    Bounds { signature: Some(1.03), sign: Some(1.10), verify: Some(1.10) },
    Bounds { signature: None, sign: Some(1.10), verify: None },
    Bounds { signature: None, sign: Some(1.10), verify: None },
];
/// Bytes that one contestant hashes in one round.
const CALL_BYTES: usize = 1 << 20;
const SCHEME: Scheme = Scheme::STANDARD_WEBHOOKS;
const KEY: [u8; 32] = *b"0123456789abcdef0123456789abcdef";
const ID: &str = "evt_0198c2f4b7a97c1e8f00d1c2b3a49586";
const NOW: OffsetDateTime = datetime!(2026-04-17 19:12:03 UTC);

//! Signing and verifying beside the crates `standardwebhooks` and `svix`, in interleaved rounds of one run.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml
//! ```

use std::hint::black_box;
use std::time::Instant;

use hookwire::{Scheme, Secret, Signer, Verifier};
use http::HeaderMap;
use time::OffsetDateTime;

fn main() {
    println!(
        "{:<10}{:>10}{:>14}{:>26}{:>18}",
        "", "body", "hookwire ns", "standardwebhooks (ratio)", "svix (ratio)"
    );
    for len in BODY_LENS {
        let subject = Subject::new(len);
        subject.check();
        // The peers return the signature as text and verify by the system's clock, so this crate does the
        // same here.
        let sign = interleaved(
            len,
            [
                &|| _ = black_box(subject.signer.signature(ID, subject.now, &subject.body)),
                &|| _ = black_box(subject.standard.sign(ID, subject.now.unix_timestamp(), &subject.body)),
                &|| _ = black_box(subject.svix.sign(ID, subject.now.unix_timestamp(), &subject.body)),
            ],
        );
        let verify = interleaved(
            len,
            [
                &|| _ = black_box(subject.verifier.verify(&subject.headers, &subject.body).is_ok()),
                &|| _ = black_box(subject.standard.verify(&subject.body, &subject.headers).is_ok()),
                &|| _ = black_box(subject.svix.verify(&subject.body, &subject.headers).is_ok()),
            ],
        );
        row("signature", len, &sign);
        row("verify", len, &verify);
    }
}

struct Subject {
    body: Vec<u8>,
    now: OffsetDateTime,
    headers: HeaderMap,
    signer: Signer,
    verifier: Verifier,
    standard: standardwebhooks::Webhook,
    svix: svix::webhooks::Webhook,
}

impl Subject {
    fn new(len: usize) -> Self {
        let secret: Secret = SECRET.parse().expect("the secret is text");
        let signer = Signer::new(Scheme::STANDARD_WEBHOOKS, &secret).expect("the key is long enough");
        let body: Vec<u8> =
            br#"{"id":"evt_0","type":"call.ended"}"#.iter().copied().cycle().take(len).collect();
        // A time in the future, so that the run stays within the peers' fixed tolerance.
        let now = OffsetDateTime::now_utc() + time::Duration::minutes(2);
        Self {
            headers: signer.sign(ID, now, &body).expect("the id and the time are fine"),
            verifier: Verifier::new(Scheme::STANDARD_WEBHOOKS, &secret).expect("the key is long enough"),
            standard: standardwebhooks::Webhook::new(SECRET).expect("the secret is base64"),
            svix: svix::webhooks::Webhook::new(SECRET).expect("the secret is base64"),
            body,
            now,
            signer,
        }
    }

    /// Checks that all three do the same work, so that none is fast because it fails.
    fn check(&self) {
        let ours = self.signer.signature(ID, self.now, &self.body).expect("the id and the time are fine");
        let seconds = self.now.unix_timestamp();
        assert_eq!(self.standard.sign(ID, seconds, &self.body).expect("signs"), ours);
        assert_eq!(self.svix.sign(ID, seconds, &self.body).expect("signs"), ours);
        self.verifier.verify(&self.headers, &self.body).expect("verifies");
        self.standard.verify(&self.body, &self.headers).expect("verifies");
        self.svix.verify(&self.body, &self.headers).expect("verifies");
    }
}

/// Nanoseconds per call of each contestant in each round.
fn interleaved<const N: usize>(len: usize, contestants: [&dyn Fn(); N]) -> [Vec<f64>; N] {
    let calls = (CALL_BYTES / (len + 500)).max(1);
    let mut rounds = [const { Vec::new() }; N];
    for round in 0..ROUNDS {
        for offset in 0..N {
            let which = (round + offset) % N;
            let start = Instant::now();
            for _ in 0..calls {
                contestants[which]();
            }
            rounds[which].push(start.elapsed().as_nanos() as f64 / calls as f64);
        }
    }
    rounds
}

fn row(name: &str, len: usize, [ours, standard, svix]: &[Vec<f64>; 3]) {
    let ratio = |peer: &[f64]| median(peer.iter().zip(ours).map(|(peer, ours)| peer / ours).collect());
    let (standard_ratio, svix_ratio) = (ratio(standard), ratio(svix));
    print!("{name:<10}{len:>10}{:>14.0}", median(ours.clone()));
    print!("{:>16.0} ({standard_ratio:>5.2} x)", median(standard.clone()));
    print!("{:>12.0} ({svix_ratio:>5.2} x)", median(svix.clone()));
    match len {
        2048.. if standard_ratio.min(svix_ratio) < LEAST_RATIO => println!("  under {LEAST_RATIO} x"),
        2048.. => println!("  PASS"),
        _ => println!(),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const BODY_LENS: [usize; 4] = [300, 2 << 10, 16 << 10, 256 << 10];
/// This crate has to be this many times faster than either peer, from 2 KiB up.
const LEAST_RATIO: f64 = 5.0;
const CALL_BYTES: usize = 1 << 18;
const ROUNDS: usize = 201;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "evt_0198c2f4b7a97c1e8f00d1c2b3a49586";

//! Reads any bytes as a `Retry-After` value: no panic, and no value moves a retry out of its bounds.
#![no_main]

use std::time::Duration;

use hookwire::RetryPolicy;
use hookwire::retry::parse_retry_after;
use libfuzzer_sys::fuzz_target;
use time::macros::datetime;

fuzz_target!(|value: &[u8]| {
    let asked = parse_retry_after(value, datetime!(2026-04-17 19:12:03.482 UTC));
    let policy = RetryPolicy::delays([60, 900, 3_600, 21_600, 86_400].map(Duration::from_secs)).unwrap();
    for attempt in 1..=5 {
        let wait = policy.next(attempt, Duration::ZERO, 42, asked).unwrap();
        assert!(wait >= policy.delay_after(attempt).unwrap(), "never before the planned delay");
        assert!(wait <= policy.largest_delay().unwrap(), "never later than the largest delay");
    }
    assert_eq!(policy.next(6, Duration::ZERO, 42, asked), None, "no retry where the policy gives up");
});

//! Retry policies in configuration files, TOML and JSON: accepted texts, written texts, and the error of each
//! refusal.

use std::time::Duration;

use hookwire::{Contract, Jitter, RetryPolicy};
use serde_json::json;

#[test]
fn a_list_of_delays_is_read_with_its_limits_and_jitter() {
    let policy = read(
        r#"
        delays = ["5s", "1m 30s", "2h", "250ms"]
        max_attempts = 4
        max_elapsed = "1 day"
        jitter = { proportional = 0.1 }
        "#,
    );
    let expected = RetryPolicy::delays([5_000, 90_000, 7_200_000, 250].map(Duration::from_millis))
        .and_then(|policy| policy.with_max_attempts(4))
        .and_then(|policy| policy.with_max_elapsed(Duration::from_secs(86_400)))
        .and_then(|policy| policy.with_jitter(Jitter::Proportional(0.1)));
    assert_eq!(policy, expected.unwrap());
}

#[test]
fn exponential_delays_are_read() {
    let policy = read("first_delay = '30s'\nfactor = 2\nmax_delay = '1h'\nmax_attempts = 8\njitter = 'full'");
    let expected = RetryPolicy::exponential(Duration::from_secs(30), 2.0)
        .with_max_delay(Duration::from_secs(3_600))
        .with_max_attempts(8)
        .with_jitter(Jitter::Full);
    assert_eq!(policy, expected.build().unwrap());
    assert_eq!(read("first_delay = '1s'\nfactor = 1.5\nmax_delay = '1m'").max_attempts(), None);
}

#[test]
fn an_empty_list_is_no_retry() {
    assert_eq!(read("delays = []"), RetryPolicy::none());
}

#[test]
fn every_policy_of_a_platform_and_every_jitter_reads_the_same_again() {
    for name in ["allison", "allo", "allo_v1", "nectar_desk", "recept_ai", "standard_webhooks"] {
        written(name.parse::<Contract>().unwrap().retry());
    }
    written(&RetryPolicy::none());
    let uneven = RetryPolicy::exponential(Duration::from_nanos(1_500_000_001), 1.7)
        .with_max_delay(RetryPolicy::MAX_DELAY)
        .with_max_elapsed(Duration::from_secs(1_000_000));
    for jitter in
        [Jitter::None, Jitter::Proportional(0.25), Jitter::Full, Jitter::Equal, Jitter::Decorrelated]
    {
        written(&uneven.clone().with_jitter(jitter).build().unwrap());
        let json = serde_json::to_string(&jitter).unwrap();
        assert_eq!(serde_json::from_str::<Jitter>(&json).unwrap(), jitter);
    }
}

#[test]
fn a_policy_is_written_as_a_person_would() {
    let policy = RetryPolicy::delays([60, 900, 86_400].map(Duration::from_secs)).unwrap();
    assert_eq!(serde_json::to_value(&policy).unwrap(), json!({"delays": ["1m", "15m", "1day"]}));
    let policy = RetryPolicy::exponential(Duration::from_secs(30), 2.0)
        .with_max_attempts(8)
        .with_jitter(Jitter::Proportional(0.1))
        .build()
        .unwrap();
    assert_eq!(
        serde_json::to_value(&policy).unwrap(),
        json!({
            "first_delay": "30s", "factor": 2.0, "max_attempts": 8, "jitter": {"proportional": 0.1}
        })
    );
}

#[test]
fn nonsense_is_refused_with_a_text_that_says_what_is_expected() {
    for (config, message) in [
        (
            "",
            "policy has no delays, expected `delays` (an empty list for no retry) or `first_delay` and `factor`",
        ),
        ("factor = 2", "policy has no delays, expected `delays`"),
        ("dealys = ['1m']", "unknown field `dealys`, expected one of `delays`, `first_delay`"),
        (
            "delays = ['1m']\nfirst_delay = '1m'\nfactor = 2",
            "policy has `delays` and `first_delay`, expected one of them",
        ),
        (
            "delays = ['1m']\nfactor = 2",
            "policy has `delays` and `factor` or `max_delay`, expected those only with",
        ),
        (
            "delays = []\nmax_delay = '1m'",
            "policy has `delays` and `factor` or `max_delay`, expected those only with",
        ),
        ("first_delay = '1m'", "policy has `first_delay` and no `factor`, expected both"),
        (
            "delays = [60]",
            "invalid type: integer `60`, expected a duration as text with units, such as \"1m 30s\"",
        ),
        ("delays = '1m'", "expected a sequence"),
        ("delays = ['60']", "duration \"60\" cannot be read ("),
        ("delays = ['']", "expected text with units, such as \"1m 30s\""),
        ("delays = ['-1s']", "expected text with units, such as \"1m 30s\""),
        ("delays = ['1 fortnight']", "expected text with units, such as \"1m 30s\""),
        ("delays = ['99999999999999999999 years']", "expected text with units, such as \"1m 30s\""),
        ("delays = ['366 days']", "expected at most 31536000s"),
        ("delays = ['0s']", "every delay is zero, expected at least one that is longer"),
        ("delays = ['1m']\nmax_attempts = 0", "maximum of attempts is zero, expected at least 1"),
        ("delays = ['1m']\nmax_attempts = -1", "invalid value: integer `-1`, expected u32"),
        ("delays = ['1m']\nmax_attempts = 3", "maximum of attempts is 3, expected at most 2"),
        ("delays = []\nmax_attempts = 2", "maximum of attempts is 2, expected 1"),
        (
            "delays = ['1m']\nmax_elapsed = '59s'",
            "maximum elapsed time is 59s, expected at least the first delay",
        ),
        (
            "first_delay = '1m'\nfactor = nan\nmax_attempts = 3",
            "exponential factor is NaN, expected a finite number",
        ),
        (
            "first_delay = '1m'\nfactor = 0.5\nmax_attempts = 3",
            "exponential factor is 0.5, expected a finite number",
        ),
        ("first_delay = '1m'\nfactor = 2", "exponential delay grows past"),
        (
            "delays = ['1m']\njitter = 'ful'",
            "unknown variant `ful`, expected one of `none`, `proportional`, `full`",
        ),
        (
            "delays = ['1m']\njitter = { proportional = 1.5 }",
            "jitter ratio is 1.5, expected a number from 0 to 1",
        ),
        ("delays = ['1m']\njitter = 'proportional'", "expected"),
    ] {
        let error = toml::from_str::<RetryPolicy>(config).unwrap_err();
        assert!(error.to_string().contains(message), "{config}\n{error}");
    }
}

fn read(config: &str) -> RetryPolicy {
    toml::from_str(config).unwrap()
}

fn written(policy: &RetryPolicy) {
    assert_eq!(read(&toml::to_string(policy).unwrap()), *policy);
    let json = serde_json::to_string(policy).unwrap();
    assert_eq!(serde_json::from_str::<RetryPolicy>(&json).unwrap(), *policy, "{json}");
}

//! A subscription's options, and the health of its endpoint.

use std::time::Duration;

use hookwire::contract::AutoDisable;
use hookwire::subscription::{Authentication, Health, Options, Rate, TokenSource};
use hookwire::{
    AddressPolicy, Contract, EndpointUrl, Error, ErrorKind, EventFilter, Jitter, Scheme, Secret,
    Subscription, SubscriptionId,
};
use http::HeaderMap;
use proptest::prelude::*;
use time::OffsetDateTime;
use time::macros::datetime;

#[test]
fn fresh_options_hold_nothing_and_put_nothing_on_a_request() {
    let options = Options::new();
    assert_eq!((options.max_in_flight(), options.rate()), (None, None));
    assert_eq!(*options.authentication(), Authentication::None);
    assert!(applied(&options).is_empty());
}

#[test]
fn a_cap_that_nothing_could_pass_is_refused() {
    assert_refused(Options::new().with_max_in_flight(0), "expected 1 or more");
    assert_eq!(Options::new().with_max_in_flight(1).unwrap().max_in_flight(), Some(1));
}

#[test]
fn retries_of_its_own_stand_in_for_the_contracts_and_are_spread_as_those_are() {
    let contract = Contract::allison();
    let contract = contract.clone().with_retry(contract.retry().clone().with_jitter(Jitter::Equal).unwrap());
    let waits = |options: &Options| {
        let retry = options.retry(&contract);
        assert_eq!(
            (1..).map_while(|attempt| retry.delay_after(attempt)).count() + 1,
            retry.max_attempts().unwrap() as usize
        );
        (retry.delay_after(1), retry.jitter())
    };
    let second = Duration::from_secs(1);
    assert_eq!(waits(&Options::new()), (Some(60 * second), Jitter::Equal));
    let own = Options::new().with_retry_delays([second, 2 * second]).unwrap();
    assert_eq!(waits(&own), (Some(second), Jitter::Equal));
    assert_eq!(Options::from_storage(&own.to_storage()).unwrap(), own);
    let none = Options::new().with_retry_delays([]).unwrap();
    assert_eq!(waits(&none).0, None);
    assert_eq!(Options::from_storage(&none.to_storage()).unwrap(), none);
    assert_refused(
        Options::new().with_retry_delays([second; Options::MAX_RETRIES + 1]),
        "more than 100 retries",
    );
    assert_refused(Options::new().with_retry_delays([Duration::ZERO]), "");
}

/// The newest secret keeps signing beside the added one, and the older ones keep their end times.
#[test]
fn a_secret_that_is_added_moves_no_time_to_another() {
    let url = EndpointUrl::parse("https://hooks.example.com/", &AddressPolicy::new()).unwrap();
    let secrets = [1, 2, 3].map(|byte| Secret::from_random([byte; 32]));
    let start = datetime!(2026-04-17 19:12 UTC);
    let mut subscription = Subscription::new("org_1", &Contract::allison(), url, EventFilter::all());
    for secret in &secrets[..2] {
        subscription = subscription.with_secret(secret.clone());
    }
    subscription.secrets_until = vec![start];
    let subscription = subscription.with_secret(secrets[2].clone());
    let signing =
        |now| -> Vec<_> { subscription.signing_secrets(now).map(|secret| secret.preview()).collect() };
    let [first, second, third] = secrets.each_ref().map(Secret::preview);
    let before = start - Duration::from_secs(1);
    assert_eq!(signing(before), [third.clone(), second.clone(), first]);
    assert_eq!(signing(start), [third, second]);
}

#[test]
fn a_rate_is_finite_and_more_than_nothing() {
    for per_second in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE] {
        assert_refused(
            Options::new().with_rate(per_second, 1),
            "expected a finite number of at least 0.00001",
        );
    }
    let error = Rate::new(1.0, 0).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Rate, "burst is 0, expected 1 or more")
    );
    assert_refused(Options::new().with_rate(1.0, 0), "burst is 0");
    let rate = Options::new().with_rate(0.00001, u32::MAX).unwrap().rate().unwrap();
    assert_eq!((rate.per_second(), rate.burst()), (0.00001, u32::MAX));
}

#[test]
fn headers_of_a_connection_are_refused() {
    for name in [
        "Connection",
        "keep-alive",
        "Proxy-Connection",
        "proxy-authenticate",
        "proxy-authorization",
        "TE",
        "trailer",
        "Transfer-Encoding",
        "upgrade",
        "HTTP2-Settings",
    ] {
        assert_refused(Options::new().with_header(name, "x"), "RFC 9110 section 7.6.1");
    }
}

#[test]
fn headers_of_the_client_and_of_the_body_are_refused() {
    for name in ["host", "Host", "user-agent", "accept-encoding", "expect"] {
        assert_refused(Options::new().with_header(name, "x"), "is the HTTP client's");
    }
    for name in ["content-type", "Content-Length", "content-encoding", "content-digest"] {
        assert_refused(Options::new().with_header(name, "x"), "describes the body");
    }
}

#[test]
fn signature_headers_of_every_scheme_are_refused_as_headers_and_for_keys() {
    for name in [
        "x-allison-signature",
        "X-Allison-Timestamp",
        "x-allison-event-id",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "svix-id",
        "svix-timestamp",
        "svix-signature",
        "stripe-signature",
        "x-hub-signature-256",
        "x-slack-request-timestamp",
        "x-slack-signature",
        "x-shopify-hmac-sha256",
    ] {
        assert_refused(Options::new().with_header(name, "x"), "carries a signature");
        assert_refused(Authentication::api_key(name, secret("k")), "carries a signature");
    }
}

#[test]
fn headers_of_a_scheme_of_ones_own_are_told_by_the_check() {
    const ACME: Scheme = Scheme::new("acme", "x-acme-signature").with_timestamp_header("x-acme-time");
    let clean = Options::new().with_header("x-tenant", "7").unwrap();
    clean.check(Some(ACME)).unwrap();
    for contract in [Contract::allison(), Contract::allo(), Contract::allo_v1(), Contract::recept_ai()] {
        clean.check(contract.scheme()).unwrap();
    }
    let header = Options::new().with_header("X-Acme-Time", "7").unwrap();
    header.check(None).unwrap();
    assert_refused(header.check(Some(ACME)), "header x-acme-time carries the signature");
    let key = Authentication::api_key("x-acme-signature", secret("k")).unwrap();
    let key = Options::new().with_authentication(key).unwrap();
    assert_refused(key.check(Some(ACME)), "header x-acme-signature carries the signature");
}

#[test]
fn the_header_of_the_credentials_is_set_once() {
    for authentication in [
        Authentication::basic("user", secret("word")).unwrap(),
        Authentication::bearer(secret("token")).unwrap(),
        Authentication::BearerFromSource,
        Authentication::api_key("authorization", secret("key")).unwrap(),
    ] {
        let set = Options::new().with_authentication(authentication.clone()).unwrap();
        assert_refused(set.with_header("Authorization", "x"), "carries the subscription's credentials");
        let header = Options::new().with_header("Authorization", "x").unwrap();
        assert_refused(header.with_authentication(authentication), "carries the subscription's credentials");
    }
    let key = Authentication::api_key("x-api-key", secret("key")).unwrap();
    let options = Options::new().with_authentication(key).unwrap();
    assert_refused(options.clone().with_header("X-API-Key", "x"), "credentials");
    options.with_header("authorization", "x").unwrap();
}

#[test]
fn a_header_set_again_is_replaced() {
    let options = Options::new().with_header("x-tenant", "a").unwrap().with_header("X-Tenant", "b").unwrap();
    assert_eq!(applied(&options).get_all("x-tenant").iter().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn names_and_values_that_no_header_can_have_are_refused() {
    for name in ["", "two words", "x:y", "x\r\nhost", "\u{e9}"] {
        assert_refused(Options::new().with_header(name, "x"), "header name is not valid");
    }
    for value in ["a\r\nhost: b", "a\nb", "a\0b", "\u{e9}", " a", "a ", "a\tb", "\x7f"] {
        assert_refused(
            Options::new().with_header("x-tenant", value),
            "value of header x-tenant cannot be sent",
        );
    }
    for value in ["", "a b", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"] {
        Options::new().with_header("x-tenant", value).unwrap();
    }
}

#[test]
fn headers_are_bounded_in_number_and_size() {
    let mut options = Options::new();
    for number in 0..Options::MAX_HEADERS {
        options = options.with_header(&format!("x-{number}"), "").unwrap();
    }
    options.clone().with_header("x-0", "again").unwrap();
    assert_refused(options.with_header("x-more", ""), "more than 32 headers");
    let most = "v".repeat(Options::MAX_HEADERS_LEN - 1);
    let options = Options::new().with_header("x", &most).unwrap();
    options.clone().with_header("x", &most).unwrap();
    assert_refused(options.with_header("y", ""), "headers have 8193 bytes together, expected at most 8192");
}

#[test]
fn credentials_that_could_not_be_sent_are_refused() {
    assert_refused(Authentication::api_key("x key", secret("k")), "header name is not valid");
    assert_refused(Authentication::api_key("host", secret("k")), "is the HTTP client's");
    assert_refused(Authentication::api_key("x-api-key", secret("cl\u{e9}")), "expected visible ASCII");
    assert_refused(Authentication::basic("user:name", secret("w")), "user name holds a colon");
    assert_refused(Authentication::basic("us\ner", secret("w")), "control character");
    for token in ["a b", "=", "==", "a=b", "a,b", "\u{e9}", "a\"b"] {
        assert_refused(Authentication::bearer(secret(token)), "RFC 6750 section 2.1");
    }
    let long = secret(&"k".repeat(Authentication::MAX_LEN + 1));
    assert_refused(Authentication::bearer(long.clone()), "has 8193 bytes, expected at most 8192");
    assert_refused(Authentication::basic("user", long.clone()), "has 8193 bytes");
    assert_refused(Authentication::api_key("x-api-key", long.clone()), "has 8193 bytes");
    assert_refused(Authentication::basic(long.expose(), secret("w")), "has 8193 bytes");
}

#[test]
fn credentials_are_sent_as_their_rfc_has_it() {
    // The examples of RFC 7617 section 2, and of section 2.1 for UTF-8.
    for (user, password, sent) in [
        ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("test", "123\u{a3}", "Basic dGVzdDoxMjPCow=="),
        ("", "a:b", "Basic OmE6Yg=="),
    ] {
        let options = with(Authentication::basic(user, secret(password)).unwrap());
        assert_eq!(applied(&options)["authorization"], sent);
    }
    // The example of RFC 6750 section 2.1.
    let options = with(Authentication::bearer(secret("mF_9.B5f-4.1JqM")).unwrap());
    assert_eq!(applied(&options)["authorization"], "Bearer mF_9.B5f-4.1JqM");
    with(Authentication::bearer(secret("aZ0-._~+/==")).unwrap());
    let options = with(Authentication::api_key("X-Api-Key", secret("two words")).unwrap());
    assert_eq!(applied(&options)["x-api-key"], "two words");
}

#[test]
fn a_token_is_the_sources_and_checked() {
    let options = with(Authentication::BearerFromSource);
    let mut headers = HeaderMap::new();
    options.apply(&mut headers, Some("t.1")).unwrap();
    assert_eq!(headers["authorization"], "Bearer t.1");
    let mut headers = HeaderMap::new();
    assert_refused(options.apply(&mut headers, None), "no bearer token was given");
    assert_refused(options.apply(&mut headers, Some("hush\r\nx: y")), "RFC 6750 section 2.1");
    assert!(headers.is_empty());
    let fixed = with(Authentication::bearer(secret("fixed")).unwrap());
    fixed.apply(&mut headers, Some("other")).unwrap();
    assert_eq!(headers["authorization"], "Bearer fixed");
}

#[test]
fn what_a_request_already_has_is_not_replaced() {
    let mut headers = HeaderMap::new();
    headers.insert("x-acme-signature", "v1=00".parse().unwrap());
    let before = headers.clone();
    let extra = Options::new()
        .with_header("x-a", "1")
        .and_then(|options| options.with_header("x-acme-signature", "v1=11"))
        .unwrap();
    assert_refused(extra.apply(&mut headers, None), "request already has a header x-acme-signature");
    let key = with(Authentication::api_key("x-acme-signature", secret("k")).unwrap());
    assert_refused(key.apply(&mut headers, None), "request already has a header x-acme-signature");
    assert_eq!(headers, before);
}

#[test]
fn everything_put_on_a_request_is_sensitive() {
    let options = Options::new()
        .with_header("cookie", "hush=1")
        .and_then(|options| options.with_authentication(Authentication::bearer(secret("hush"))?))
        .unwrap();
    for options in [options.clone(), Options::from_storage(&options.to_storage()).unwrap()] {
        let headers = applied(&options);
        assert_eq!(headers.len(), 2);
        assert!(headers.values().all(http::HeaderValue::is_sensitive));
    }
}

#[test]
fn no_debug_text_and_no_error_shows_a_secret() {
    let options = |authentication| {
        Options::new()
            .with_header("x-extra", "hush")
            .and_then(|options| options.with_authentication(authentication))
            .unwrap()
    };
    let made = [
        options(Authentication::api_key("x-api-key", secret("hush")).unwrap()),
        options(Authentication::basic("hush", secret("hush")).unwrap()),
        options(Authentication::bearer(secret("hush")).unwrap()),
    ];
    for options in made {
        assert!(!format!("{options:?}{:?}", options.headers()).contains("hush"), "{options:?}");
    }
    let errors = [
        Options::new().with_header("hush hush", "x").unwrap_err(),
        Options::new().with_header("x-extra", "hush\n").unwrap_err(),
        Authentication::api_key("x-api-key", secret("hush\u{e9}")).unwrap_err(),
        Authentication::basic("hush:", secret("hush")).unwrap_err(),
        Authentication::bearer(secret("hush hush")).unwrap_err(),
        Options::from_storage(r#"{"authentication":{"bearer":{"secret":7,"hush":"hush"}}}"#).unwrap_err(),
        Options::from_storage(r#"{"authentication":{"bearer":{"secret":"hush"}}}"#).unwrap_err(),
        Options::from_storage(r#"{"headers":[["x-extra","hush\n"]]}"#).unwrap_err(),
    ];
    for error in errors {
        assert!(!format!("{error}{error:?}").contains("hush"), "{error:?}");
    }
}

#[test]
fn stored_options_that_could_not_have_been_made_are_refused() {
    for stored in [
        "",
        "null",
        "{}x",
        r#"{"unknown":1}"#,
        r#"{"max_in_flight":0}"#,
        r#"{"rate":["NaN",1]}"#,
        r#"{"rate":["1",0]}"#,
        r#"{"rate":["one",1]}"#,
        r#"{"headers":[["host","x"]]}"#,
        r#"{"authentication":{"basic":{"user":"a:b","secret":"text:x"}}}"#,
        r#"{"authentication":{"bearer":{"secret":"text:a b"}}}"#,
        r#"{"authentication":"bearer_from_source","headers":[["authorization","x"]]}"#,
    ] {
        let error = Options::from_storage(stored).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Subscription, "{stored}");
    }
}

#[tokio::test]
async fn a_shared_token_source_is_one() {
    struct Named;

    impl TokenSource for Named {
        async fn token(
            &self,
            subscription: SubscriptionId,
        ) -> Result<Secret, Box<dyn std::error::Error + Send + Sync>> {
            Ok(subscription.to_string().parse()?)
        }
    }

    async fn ask(source: impl TokenSource, id: SubscriptionId) -> Secret {
        source.token(id).await.unwrap()
    }

    let id = SubscriptionId::generate();
    let expected = secret(&id.to_string());
    assert!(ask(std::sync::Arc::new(Named), id).await == expected);
    assert!(ask(&Named, id).await == expected);
}

proptest! {
    #[test]
    fn options_come_back_from_storage_as_they_were(options in any_options()) {
        let stored = options.to_storage();
        let read = Options::from_storage(&stored).unwrap();
        prop_assert!(read == options);
        prop_assert_eq!(read.to_storage(), stored);
        prop_assert_eq!(applied(&read), applied(&options));
    }

    #[test]
    fn whatever_is_accepted_can_be_sent(name in "\\PC{0,12}", value in "\\PC{0,12}", key in "\\PC{1,12}") {
        if let Ok(options) = Options::new().with_header(&name, &value) {
            let sent = applied(&options);
            prop_assert_eq!(sent[name.as_str()].to_str().unwrap(), value);
        }
        let Ok(key) = key.parse::<Secret>() else { return Ok(()) };
        let made = [
            Authentication::api_key("x-api-key", key.clone()),
            Authentication::basic(name, key.clone()),
            Authentication::bearer(key),
        ];
        for authentication in made.into_iter().flatten() {
            prop_assert_eq!(applied(&with(authentication)).len(), 1);
        }
    }
}

#[test]
fn allos_timer_needs_three_failures_half_a_day_apart_within_a_day() {
    let rule = allo();
    for (hours, starts) in [
        (&[0.0, 12.0][..], false),
        (&[0.0, 6.0, 11.99], false),
        (&[0.0, 6.0, 12.0], true),
        (&[0.0, 0.0, 12.0], true),
        (&[0.0, 12.0, 12.0], true),
        (&[0.0, 20.0, 24.1], false),
        (&[0.0, 10.0, 11.0, 24.1], true),
        // The failures of each day are close together, never half a day apart within a day.
        (&[0.0, 1.0, 2.0, 24.9], true),
        (&[0.0, 1.0, 2.0, 25.9, 26.1, 26.2], false),
        // The first failure of a burst has left the window, the last has not.
        (&[0.0, 0.5, 0.9, 24.1], true),
        (&[0.0, 25.0, 50.0, 75.0], false),
    ] {
        let last = hours.last().unwrap();
        let health = failing(&rule, hours.iter().map(|hour| at(*hour)));
        assert!(!health.is_hopeless(&rule, at(last + 119.9)), "{hours:?}");
        assert_eq!(health.is_hopeless(&rule, at(last + 120.0)), starts, "{hours:?}");
    }
}

#[test]
fn a_brief_outage_starts_no_timer_however_many_attempts_fail() {
    let rule = allo();
    let mut health = failing(&rule, (0..10_000).map(|number| at(f64::from(number) * 11.9 / 10_000.0)));
    assert!(!health.is_hopeless(&rule, at(10_000.0)));
    assert_eq!(health.failures(), 10_000);
    health = health.succeeded();
    assert_eq!(health, Health::default());
    assert!(!failing_on(health, &rule, [12.0, 13.0, 14.0].map(at)).is_hopeless(&rule, at(10_000.0)));
}

#[test]
fn one_success_clears_a_running_timer() {
    let rule = allo();
    let health = failing(&rule, [0.0, 6.0, 12.0].map(at)).succeeded();
    let health = failing_on(health, &rule, [130.0, 131.0, 132.0].map(at));
    assert!(!health.is_hopeless(&rule, at(132.0)));
    assert_eq!(health.failing_since(), Some(at(130.0)));
}

#[test]
fn a_rule_without_a_trigger_counts_from_the_first_failure() {
    let rule = AutoDisable::failing_for(Duration::from_secs(5 * 86_400));
    let health = failing(&rule, [0.0, 50.0, 119.0].map(at));
    assert!(!health.is_hopeless(&rule, at(119.9)));
    assert!(health.is_hopeless(&rule, at(120.0)));
}

#[test]
fn without_a_rule_failures_are_counted_and_start_nothing() {
    let health = Health::default().failed(at(0.0), None).failed(at(500.0), None);
    assert_eq!((health.failures(), health.failing_since()), (2, Some(at(0.0))));
    assert!(!health.is_hopeless(&allo(), at(10_000.0)));
}

#[test]
fn a_clock_put_back_starts_no_timer_early_and_stops_none_for_ever() {
    let rule = allo();
    // Failures with a time one year ahead are not half a day before any other.
    let health = failing(&rule, [8_760.0, 8_760.1, 0.0, 0.1].map(at));
    assert!(!health.is_hopeless(&rule, at(10_000.0)));
    assert_eq!(health.failing_since(), Some(at(0.0)));
    assert!(failing_on(health, &rule, [12.0].map(at)).is_hopeless(&rule, at(132.0)));
    // A timer that was started one year ahead counts from the time at which the clock was right again.
    let health = failing(&rule, [8_760.0, 8_766.0, 8_772.0].map(at));
    assert!(!health.is_hopeless(&rule, at(8_772.0)));
    let health = failing_on(health, &rule, [0.0].map(at));
    assert!(!health.is_hopeless(&rule, at(119.9)));
    assert!(failing_on(health, &rule, [119.0].map(at)).is_hopeless(&rule, at(120.0)));
}

#[test]
fn stored_health_stays_small_and_unreadable_health_is_an_error() {
    let rule = AutoDisable::failing_for(Duration::from_secs(86_400)).with_trigger(
        1_000_000,
        Duration::from_secs(86_400),
        Duration::from_secs(86_400),
    );
    let health = failing(&rule, (0..2_000).map(|second| START + time::Duration::seconds(second)));
    assert!(health.to_storage().len() < 8_192, "{}", health.to_storage().len());
    let health = failing(&allo(), (0..10_000).map(|number| at(f64::from(number) / 1_000.0)));
    assert!(health.to_storage().len() < 512, "{}", health.to_storage());
    assert_eq!(Health::from_storage("").unwrap(), Health::default());
    assert_eq!(Health::default().to_storage(), "");
    assert_eq!(Health::from_storage("{").unwrap_err().kind(), ErrorKind::Subscription);
}

proptest! {
    /// Compares with the rule's own words over all failures, with a restart after each.
    #[test]
    fn the_timer_starts_exactly_when_the_rule_says(
        steps in prop::collection::vec(prop_oneof![0..120_i64, 0..7_200_i64, 0..90_000_i64], 1..60),
        failures in 1..6_u32,
        spread in 0..30_000_u64,
        range in 0..60_000_u64,
    ) {
        let (spread, window) = (Duration::from_secs(spread), Duration::from_secs(spread + range));
        let rule = AutoDisable::failing_for(Duration::from_secs(1)).with_trigger(failures, spread, window);
        let mut health = Health::default();
        let mut told: Vec<OffsetDateTime> = Vec::new();
        let mut now = START + time::Duration::nanoseconds(1_999);
        for step in steps {
            now += time::Duration::seconds(step);
            told.push(now);
            health = Health::from_storage(&health.failed(now, Some(&rule)).to_storage()).unwrap();
            let inside: Vec<_> = told.iter().filter(|at| now - **at <= window).collect();
            let starts = inside.len() >= failures as usize && now - *inside[0] >= spread;
            prop_assert_eq!(health.is_hopeless(&rule, now + time::Duration::seconds(1)), starts);
            if starts {
                break;
            }
        }
    }

    #[test]
    fn health_comes_back_from_storage_as_it_was(
        nanos in prop::collection::vec(0..200_000_000_000_000_i64, 0..20),
    ) {
        let rule = allo();
        let health = failing(&rule, nanos.into_iter().map(|nanos| START + time::Duration::nanoseconds(nanos)));
        let read = Health::from_storage(&health.to_storage()).unwrap();
        prop_assert_eq!(&read, &health);
        prop_assert_eq!(read.to_storage(), health.to_storage());
    }
}

fn any_options() -> impl Strategy<Value = Options> {
    let authentication = prop_oneof![
        Just(Authentication::None),
        Just(Authentication::BearerFromSource),
        "[!-~]{1,20}".prop_map(|key| Authentication::api_key("x-api-key", secret(&key)).unwrap()),
        ("[^:\\pC]{0,10}", "[^\\pC\\pZ]{1,20}").prop_map(|(user, password)| Authentication::basic(
            user,
            secret(&password)
        )
        .unwrap()),
        "[A-Za-z0-9._~+/-]{1,20}={0,2}".prop_map(|token| Authentication::bearer(secret(&token)).unwrap()),
        any::<[u8; 9]>().prop_map(|raw| Authentication::api_key("x-key", Secret::from_bytes(raw)).unwrap()),
    ];
    let rate = prop::option::of((0.00001..1e12_f64, 1..=u32::MAX));
    let headers = prop::collection::vec(("x-e[a-z]{0,8}", "([!-~]([ -~]{0,10}[!-~])?)?"), 0..6);
    (prop::option::of(1..=u32::MAX), rate, authentication, headers).prop_map(
        |(in_flight, rate, authentication, headers)| {
            let mut options = Options::new().with_authentication(authentication).unwrap();
            if let Some(attempts) = in_flight {
                options = options.with_max_in_flight(attempts).unwrap();
            }
            if let Some((per_second, burst)) = rate {
                options = options.with_rate(per_second, burst).unwrap();
            }
            for (name, value) in headers {
                options = options.with_header(&name, &value).unwrap();
            }
            options
        },
    )
}

fn with(authentication: Authentication) -> Options {
    Options::new().with_authentication(authentication).unwrap()
}

fn applied(options: &Options) -> HeaderMap {
    let mut headers = HeaderMap::new();
    options.apply(&mut headers, Some("t")).unwrap();
    headers
}

fn assert_refused<T>(made: Result<T, Error>, says: &str) {
    let Err(error) = made else { panic!("it was accepted, and was to be refused with: {says}") };
    assert_eq!(error.kind(), ErrorKind::Subscription);
    assert!(error.to_string().contains(says), "{error}");
}

fn secret(text: &str) -> Secret {
    text.parse().unwrap()
}

fn allo() -> AutoDisable {
    Contract::allo().auto_disable().expect("Allo disables endpoints that keep failing").clone()
}

fn failing(rule: &AutoDisable, times: impl IntoIterator<Item = OffsetDateTime>) -> Health {
    failing_on(Health::default(), rule, times)
}

fn failing_on(health: Health, rule: &AutoDisable, times: impl IntoIterator<Item = OffsetDateTime>) -> Health {
    times.into_iter().fold(health, |health, at| health.failed(at, Some(rule)))
}

fn at(hour: f64) -> OffsetDateTime {
    START + time::Duration::seconds_f64(hour * 3_600.0)
}

const START: OffsetDateTime = datetime!(2026-04-13 12:00 UTC);

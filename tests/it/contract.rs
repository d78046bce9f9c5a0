//! Contracts: every published fact of every platform, and the judgement of outcomes.

use std::ops::RangeInclusive;
use std::time::Duration;

use hookwire::contract::{AutoDisable, Judgement, OrderingRule, Retryable, Rotation};
use hookwire::event::{Catalogue, EnvelopeFormat, Field, TimePrecision};
use hookwire::signature::Part;
use hookwire::{
    Contract, ContractId, Envelope, ErrorClass, ErrorKind, EventId, Outcome, RawEvent, RetryPolicy, Scheme,
    Secret, allison, allo, allo_v1, nectar_desk, recept_ai,
};
use http::StatusCode;
use serde_json::json;
use serde_json::value::RawValue;
use time::macros::datetime;

// The published facts.

#[test]
fn every_platform_delivers_as_it_publishes() {
    for fact in facts() {
        let by_name: Contract = fact.contract.name().parse().unwrap();
        for contract in [&fact.contract, &by_name] {
            let name = fact.name;
            assert_eq!(contract.name(), name);
            assert_eq!(contract.scheme(), fact.scheme, "{name}");
            assert_eq!(contract.tolerance(), Duration::from_secs(300), "{name}");
            assert_eq!(contract.timeout(), fact.timeout, "{name}");
            assert_eq!(contract.success(), &fact.success, "{name}");
            assert_eq!(contract.retryable(), fact.retryable, "{name}");
            assert_eq!(contract.disables_on_gone(), fact.disables_on_gone, "{name}");
            assert_eq!(contract.auto_disable(), fact.auto_disable.as_ref(), "{name}");
            assert_eq!(contract.rotation(), fact.rotation, "{name}");
            assert_eq!(contract.dedupe_window(), Duration::from_secs(7 * DAY), "{name}");
            assert_eq!(contract.format().fields(), fact.fields, "{name}");
            assert_eq!(contract.format(), fact.format, "{name}");
            assert_eq!(format!("{:?}", contract.catalogue()), format!("{:?}", fact.catalogue), "{name}");
        }
    }
}

#[test]
fn every_platform_retries_as_it_publishes() {
    for fact in facts() {
        let policy = fact.contract.retry();
        let attempts = u32::try_from(fact.delays.len()).unwrap() + 1;
        let delays: Vec<_> =
            (1..attempts).map(|attempt| policy.delay_after(attempt).unwrap().as_secs()).collect();
        assert_eq!(delays, fact.delays, "{}", fact.name);
        assert_eq!(policy.max_attempts(), Some(attempts), "{}", fact.name);
        assert_eq!(policy.delay_after(attempts), None, "{}", fact.name);
        assert_eq!(policy.max_elapsed(), None, "{}", fact.name);
        let last = policy.timeline(datetime!(2026-04-17 19:12 UTC)).last().unwrap();
        assert_eq!(last.attempt, attempts, "{}", fact.name);
        assert_eq!(last.elapsed, Duration::from_secs(fact.total), "{}", fact.name);
    }
}

#[test]
fn recept_ai_waits_at_most_an_hour_however_many_attempts_are_set() {
    let longer = Contract::recept_ai().retry().clone().with_max_attempts(10).unwrap();
    assert_eq!(longer.delay_after(7), Some(Duration::from_secs(1_920)));
    assert_eq!(longer.delay_after(8), Some(Duration::from_secs(HOUR)));
    assert_eq!(longer.delay_after(9), Some(Duration::from_secs(HOUR)));
}

#[test]
fn ids_outlive_the_last_attempt_in_every_receivers_memory() {
    for fact in facts() {
        assert!(fact.contract.dedupe_window() > Duration::from_secs(fact.total), "{}", fact.name);
    }
}

#[test]
fn the_names_are_those_that_parse() {
    assert_eq!(Contract::NAMES.to_vec(), facts().map(|fact| fact.name).to_vec());
}

#[test]
fn an_unknown_name_is_told_the_known_ones() {
    for name in ["", "Allison", "allison ", "svix", "nectar-desk"] {
        let error = name.parse::<Contract>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Contract);
        assert_eq!(
            error.to_string(),
            "unknown contract, expected one of allison, allo, allo_v1, nectar_desk, recept_ai, standard_webhooks"
        );
    }
}

#[test]
fn every_part_can_be_set() {
    const FORMAT: EnvelopeFormat = EnvelopeFormat::new(&[Field::Type("name"), Field::Data("payload")]);
    const RULES: &[OrderingRule] = &[OrderingRule::new("order.", &["/order/id"])];
    let retry = RetryPolicy::delays([Duration::from_secs(9)]).unwrap();
    let rule = AutoDisable::failing_for(Duration::from_secs(1));

    let contract = Contract::allison()
        .with_name("acme")
        .unwrap()
        .with_version("v7")
        .unwrap()
        .with_format(FORMAT)
        .with_catalogue(Catalogue::OPEN)
        .with_scheme(Scheme::SLACK)
        .with_tolerance(Duration::from_secs(1))
        .with_timeout(Duration::from_secs(2))
        .with_success(200..=204)
        .with_retry(retry.clone())
        .with_retryable(Retryable::FaultsAndServerErrors)
        .with_disables_on_gone(false)
        .with_auto_disable(rule.clone())
        .with_rotation(Rotation::Overlap(Duration::from_secs(3)))
        .with_ordering(RULES)
        .with_dedupe_window(Duration::from_secs(4));

    assert_eq!(contract.name(), "acme");
    assert_eq!(contract.format(), FORMAT);
    assert!(contract.catalogue().is_open());
    assert_eq!(contract.scheme(), Some(Scheme::SLACK));
    assert_eq!(contract.tolerance(), Duration::from_secs(1));
    assert_eq!(contract.timeout(), Duration::from_secs(2));
    assert_eq!(contract.success(), &(200..=204));
    assert_eq!(contract.retry(), &retry);
    assert_eq!(contract.retryable(), Retryable::FaultsAndServerErrors);
    assert!(!contract.disables_on_gone());
    assert_eq!(contract.auto_disable(), Some(&rule));
    assert_eq!(contract.rotation(), Rotation::Overlap(Duration::from_secs(3)));
    assert_eq!(contract.ordering(), RULES);
    assert_eq!((RULES[0].prefix(), RULES[0].pointers()), ("order.", ["/order/id"].as_slice()));
    assert_eq!(contract.dedupe_window(), Duration::from_secs(4));

    let bare = contract.with_scheme(None).with_auto_disable(None).with_ordering(&[]);
    assert_eq!((bare.scheme(), bare.auto_disable(), bare.ordering()), (None, None, [].as_slice()));
}

#[test]
fn the_parts_of_a_rule_that_disables_are_told() {
    let plain = AutoDisable::failing_for(Duration::from_secs(5 * DAY));
    assert_eq!((plain.after(), plain.failures()), (Duration::from_secs(5 * DAY), 1));
    assert_eq!((plain.spread(), plain.window()), (Duration::ZERO, Duration::MAX));
    let allo = Contract::allo();
    let allo = allo.auto_disable().unwrap();
    assert_eq!((allo.after(), allo.failures()), (Duration::from_secs(5 * DAY), 3));
    assert_eq!((allo.spread(), allo.window()), (Duration::from_secs(12 * HOUR), Duration::from_secs(DAY)));
}

// Judgement of outcomes.

#[test]
fn allison_retries_everything_but_2xx_and_is_ended_by_410() {
    judges(&Contract::allison(), |status| match status {
        200..=299 => Judgement::Success,
        410 => Judgement::Gone,
        _ => Judgement::Retry,
    });
}

#[test]
fn allo_and_standard_webhooks_judge_as_allison_does() {
    for contract in [Contract::allo(), Contract::standard_webhooks()] {
        judges(&contract, |status| match status {
            200..=299 => Judgement::Success,
            410 => Judgement::Gone,
            _ => Judgement::Retry,
        });
    }
}

#[test]
fn allo_v1_and_recept_ai_are_not_ended_by_410() {
    for contract in [Contract::allo_v1(), Contract::recept_ai()] {
        judges(&contract, |status| match status {
            200..=299 => Judgement::Success,
            _ => Judgement::Retry,
        });
    }
}

#[test]
fn nectar_desk_retries_faults_and_5xx_alone() {
    judges(&Contract::nectar_desk(), |status| match status {
        200..=299 => Judgement::Success,
        500..=599 => Judgement::Retry,
        // 3xx, 4xx except 410 and 429, and statuses without a standard.
        _ => Judgement::Final,
    });
}

#[test]
fn a_retry_after_does_not_make_a_final_answer_retryable() {
    for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::MOVED_PERMANENTLY, StatusCode::GONE] {
        let asked = Outcome::answered(status).with_retry_after(Some(Duration::from_secs(1)));
        assert_eq!(Contract::nectar_desk().judge(&asked), Judgement::Final, "{status}");
    }
    let gone = Outcome::answered(StatusCode::GONE).with_retry_after(Some(Duration::from_secs(1)));
    assert_eq!(Contract::allison().judge(&gone), Judgement::Gone);
}

#[test]
fn what_410_means_is_a_part_of_its_own() {
    let gone = Outcome::answered(StatusCode::GONE);
    assert_eq!(Contract::allison().with_disables_on_gone(false).judge(&gone), Judgement::Retry);
    assert_eq!(Contract::nectar_desk().with_disables_on_gone(true).judge(&gone), Judgement::Gone);
    assert_eq!(Contract::allo_v1().with_disables_on_gone(true).judge(&gone), Judgement::Gone);
    assert_eq!(Contract::allison().with_success(400..=499).judge(&gone), Judgement::Success);
}

#[test]
fn success_is_the_range_that_was_set_both_ends_included() {
    let contract = Contract::allison().with_success(200..=204);
    for (status, judgement) in [
        (199, Judgement::Retry),
        (200, Judgement::Success),
        (204, Judgement::Success),
        (205, Judgement::Retry),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(contract.judge(&Outcome::answered(status)), judgement, "{status}");
    }
}

fn judges(contract: &Contract, expected: fn(u16) -> Judgement) {
    for status in 100..=999 {
        let outcome = Outcome::answered(StatusCode::from_u16(status).unwrap());
        assert_eq!(contract.judge(&outcome), expected(status), "{} {status}", contract.name());
    }
    for class in ErrorClass::ALL.iter().copied() {
        assert_eq!(contract.judge(&Outcome::Failed(class)), Judgement::Retry, "{} {class}", contract.name());
    }
}

// Order.

#[test]
fn nectar_desk_orders_by_the_calls_or_messages_id() {
    let contract = Contract::nectar_desk();
    for (event_type, data, key) in [
        ("Call Ended", json!({"call_id": "9041", "id": "x"}), Some("9041")),
        ("Call Recording Received", json!({"callId": 9041}), Some("9041")),
        ("Call Abandoned", json!({"id": "9041"}), Some("9041")),
        ("Call Ended", json!({"call_id": "", "id": 7}), Some("7")),
        ("Call Ended", json!({"call_id": null, "id": 7}), Some("7")),
        ("Call Ended", json!({"call_id": ["9041"]}), None),
        ("Call Ended", json!({}), None),
        ("Call Ended", json!([]), None),
        ("Call Ended", json!(null), None),
        // A type that is newer than this crate.
        ("Call Parked", json!({"call_id": "9041"}), Some("9041")),
        ("Message Received", json!({"call_id": "9041", "message_id": "m-3"}), Some("m-3")),
        ("Message Sent", json!({"messageId": "m-3"}), Some("m-3")),
        ("Message Sent", json!({"id": "m-3"}), Some("m-3")),
        ("Contact Created", json!({"id": "c-7", "call_id": "9041"}), None),
        ("Contact List Modified", json!({"id": "l-1"}), None),
        ("Recall", json!({"call_id": "9041"}), None),
    ] {
        assert_eq!(contract.ordering_key(event_type, &raw(&data)).as_deref(), key, "{event_type} {data}");
    }
}

#[test]
fn the_contract_and_the_event_name_the_same_key() {
    for event in nectar_desk::Event::samples() {
        let kind = nectar_desk::Event::CATALOGUE.find(event.event_type()).unwrap();
        let by_contract = Contract::nectar_desk().ordering_key(kind.name(), &kind.sample());
        assert_eq!(by_contract.as_deref(), event.ordering_key().as_deref(), "{}", kind.name());
        assert_eq!(by_contract.is_some(), !kind.name().starts_with("Contact"), "{}", kind.name());
    }
}

#[test]
fn the_other_contracts_promise_no_order() {
    let data = raw(&json!({"id": "1", "call_id": "1", "message_id": "1"}));
    for name in Contract::NAMES.iter().filter(|name| **name != "nectar_desk") {
        let contract: Contract = name.parse().unwrap();
        for kind in contract.catalogue().iter() {
            assert_eq!(contract.ordering_key(kind.name(), &data), None, "{name} {}", kind.name());
        }
        assert!(contract.ordering().is_empty());
    }
}

#[test]
fn an_ordering_rule_of_ones_own_reads_json_pointers() {
    const RULES: &[OrderingRule] =
        &[OrderingRule::new("order.", &["/order/id", "/items/0/a~1b"]), OrderingRule::new("", &["/tenant"])];
    let contract = Contract::standard_webhooks().with_ordering(RULES);
    let key = |event_type, data| contract.ordering_key(event_type, &raw(&data));
    assert_eq!(key("order.paid", json!({"order": {"id": 5}})).as_deref(), Some("5"));
    assert_eq!(key("order.paid", json!({"items": [{"a/b": "x"}]})).as_deref(), Some("x"));
    assert_eq!(key("order.paid", json!({"tenant": "t"})), None, "the first rule that fits is the only one");
    assert_eq!(key("anything", json!({"tenant": "t"})).as_deref(), Some("t"));
}

#[test]
fn a_key_is_found_beside_data_that_a_parser_of_values_refuses() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (data, key) in [
        (format!(r#"{{"call_id":"9041","x":{deep}}}"#), Some("9041")),
        (r#"{"call_id":9041,"x":1e400}"#.to_owned(), Some("9041")),
        (r#"{"call_id":123456789012345678901234567890}"#.to_owned(), Some("123456789012345678901234567890")),
        (r#"{"call_id":"a\u0062","\ud800":"\udc00"}"#.to_owned(), Some("ab")),
        (r#"{"call_id":"first","call_id":"last"}"#.to_owned(), Some("last")),
        (r#"{"call_id":""}"#.to_owned(), None),
        (r#"{"call_id":["9041"]}"#.to_owned(), None),
    ] {
        let data = RawValue::from_string(data).unwrap();
        assert_eq!(Contract::nectar_desk().ordering_key("Call Ended", &data).as_deref(), key, "{data}");
    }
}

#[test]
fn the_example_of_every_extra_field_passes_its_check() {
    let mut count = 0;
    for name in Contract::NAMES {
        for field in name.parse::<Contract>().unwrap().subscription_fields() {
            assert!(field.accepts(field.example()), "{name} {}", field.name());
            assert!(!field.accepts(""), "{name} {}", field.name());
            count += 1;
        }
    }
    assert_eq!(count, 4);
    let fields = Contract::allo_v1().subscription_fields();
    let number = fields.iter().find(|field| field.name() == "allo_number").unwrap();
    for (text, is_right) in [
        ("+4930123", true),
        ("+123456789012345", true),
        ("+1234567890123456", false),
        ("+", false),
        ("1", false),
    ] {
        assert_eq!(number.accepts(text), is_right, "{text}");
    }
}

// Signing.

#[test]
fn an_unsigned_contract_has_no_signer_and_no_verifier_and_says_so() {
    let secret = Secret::generate();
    for contract in [
        Contract::allo_v1(),
        Contract::nectar_desk(),
        Contract::allison().with_scheme(None).with_name("acme").unwrap(),
    ] {
        let errors = [contract.signer(&secret).unwrap_err(), contract.verifier(&secret).unwrap_err()];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Unsigned);
            assert_eq!(
                error.to_string(),
                format!(
                    "contract `{}` does not sign its requests, so there is nothing to sign or verify with",
                    contract.name()
                )
            );
        }
    }
}

#[test]
fn a_secret_of_the_wrong_form_is_refused_by_the_contract() {
    let short: Secret = "whsec_c2hvcnQ=".parse().unwrap();
    assert_eq!(Contract::allo().signer(&short).unwrap_err().kind(), ErrorKind::Secret);
    assert_eq!(Contract::allo().verifier(&short).unwrap_err().kind(), ErrorKind::Secret);
    assert!(Contract::allison().signer(&short).is_ok(), "Allison takes any text");
}

#[test]
fn the_contracts_tolerance_is_its_verifiers() {
    let secret = Secret::generate();
    let contract = Contract::allison().with_tolerance(Duration::from_secs(10));
    let now = datetime!(2026-04-17 19:12:03 UTC);
    let headers = contract.signer(&secret).unwrap().sign("evt_1", now, b"{}").unwrap();
    let verifier = contract.verifier(&secret).unwrap();
    assert!(verifier.verify_at(&headers, b"{}", now + Duration::from_secs(10)).is_ok());
    assert!(verifier.verify_at(&headers, b"{}", now + Duration::from_secs(11)).is_err());
}

#[test]
fn an_id_that_could_not_be_signed_is_refused_before_it_is_stored() {
    const COLONS: Scheme = Scheme::new("colons", "x-signature").with_id_header("x-id").with_content(&[
        Part::Id,
        Part::Text(":"),
        Part::Body,
    ]);
    let envelope = |id: &str| {
        Envelope::from_parts(
            id.parse().unwrap(),
            datetime!(2026-04-17 19:12:03 UTC),
            RawEvent::new("call.ended", json!({})).unwrap(),
        )
    };
    for (contract, id, fits) in [
        (Contract::allo(), "evt.1", false),
        (Contract::recept_ai(), "evt.1", false),
        (Contract::standard_webhooks(), "evt.1", false),
        (Contract::standard_webhooks(), "evt:1", true),
        (Contract::standard_webhooks().with_scheme(COLONS), "evt:1", false),
        (Contract::standard_webhooks().with_scheme(COLONS), "evt.1", false),
        // These schemes do not sign an id.
        (Contract::allison(), "evt.1", true),
        (Contract::allo_v1(), "evt.1", true),
        (Contract::nectar_desk(), "evt.1", true),
    ] {
        let encoded = contract.encode(&envelope(id));
        assert_eq!(encoded.is_ok(), fits, "{} {id}", contract.name());
        if let Err(error) = encoded {
            assert_eq!(error.kind(), ErrorKind::Event);
        }
        if let Ok(signer) =
            contract.scheme().map_or(Err(()), |_| contract.signer(&Secret::generate()).map_err(drop))
        {
            let signed = signer.sign(id, datetime!(2026-04-17 19:12:03 UTC), b"{}");
            assert_eq!(signed.is_ok(), fits, "what is encoded can be signed: {} {id}", contract.name());
        }
    }
}

// The calls of the design, word for word.

#[test]
fn the_calls_of_the_design_compile_and_do_what_they_say() -> Result<(), Box<dyn std::error::Error>> {
    use hookwire::allison::{self, CallEnded, Event};
    use hookwire::{
        Contract, Envelope, RetryPolicy, Scheme, Secret, Signer, Verified, Verifier, VerifyError,
    };

    let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?;
    let old = Secret::generate();
    let old_secret = old.clone();
    let now = time::OffsetDateTime::now_utc();

    // an event and its bytes
    let mut call = CallEnded::new("5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11");
    call.summary = Some("rescheduled".into());
    let envelope = Envelope::new(call);
    let contract = Contract::allison();
    assert_eq!("allison".parse::<Contract>()?.name(), contract.name());
    let body: bytes::Bytes = contract.encode(&envelope)?;
    let signer = contract.signer(&secret)?;
    let rotating = Signer::new(Scheme::ALLISON, &secret)?.with_secret(&old)?;
    let headers: http::HeaderMap = signer.sign(envelope.id.as_str(), now, &body)?;
    let value: String = signer.signature(envelope.id.as_str(), now, &body)?;
    assert_eq!(headers["x-allison-signature"], value);
    assert_eq!(rotating.signature(envelope.id.as_str(), now, &body)?, value, "the newest signs alone");
    let id = envelope.id.clone();

    // a receiver
    let fresh = Secret::generate();
    let _: (&str, String) = (fresh.expose(), fresh.preview());
    let _ = Secret::from_bytes([7; 32]);
    let _ = Verifier::new(Scheme::STANDARD_WEBHOOKS, &secret)?
        .with_secret(&old_secret)?
        .with_tolerance(std::time::Duration::from_secs(300));
    let verifier = contract.verifier(&secret)?;
    let verified = verifier.verify_at(&headers, &body, now)?;
    let _: (Option<&str>, Option<time::OffsetDateTime>, &[u8]) =
        (verified.id(), verified.timestamp(), verified.body());
    assert_eq!(verifier.verify(&headers, &body)?.body(), &body[..]);
    let envelope: Envelope<Event> = contract.decode(&verified)?;
    assert_eq!(envelope.id, id);
    match envelope.data {
        Event::CallEnded(call) => assert_eq!(call.summary.as_deref(), Some("rescheduled")),
        Event::Other(other) => panic!("{}", other.event_type()),
        _ => panic!("another type"),
    }
    let _: Option<Scheme> = contract.scheme();
    let verified = Verified::dangerous_unsigned(&headers, &body);
    assert_eq!(contract.decode::<allison::Event>(&verified)?.id, id);
    assert_eq!(Envelope::from_parts(id.clone(), now, CallEnded::new("c")).id, id);

    // schemes as data
    let _ = [
        Scheme::ALLISON,
        Scheme::STANDARD_WEBHOOKS,
        Scheme::SVIX,
        Scheme::STRIPE,
        Scheme::GITHUB,
        Scheme::SLACK,
        Scheme::SHOPIFY,
    ];
    match verifier.verify_at(&headers, b"{}", now).unwrap_err() {
        VerifyError::MissingHeader { .. }
        | VerifyError::DuplicateHeader { .. }
        | VerifyError::MalformedHeader { .. }
        | VerifyError::TimestampTooOld { .. }
        | VerifyError::TimestampInFuture { .. } => panic!("the signature is wrong"),
        error => assert_eq!(error, VerifyError::SignatureMismatch),
    }

    // a custom scheduler
    let policy: &RetryPolicy = contract.retry();
    assert_eq!(policy.max_attempts(), Some(6));
    assert_eq!(policy.delay_after(1), Some(Duration::from_secs(60)));
    let (attempt, elapsed, seed, retry_after) = (1, Duration::ZERO, 42, Some(Duration::from_secs(61)));
    assert_eq!(policy.next(attempt, elapsed, seed, retry_after), Some(Duration::from_secs(61)));
    for planned in policy.timeline(now) {
        let _ = (planned.attempt, planned.delay, planned.elapsed, planned.at);
    }
    let _ = RetryPolicy::delays([Duration::from_secs(1)])?;
    let _ = RetryPolicy::exponential(Duration::from_secs(1), 2.0)
        .with_max_delay(Duration::from_secs(60))
        .with_max_attempts(9)
        .with_jitter(hookwire::Jitter::Full)
        .build()?;
    Ok(())
}

#[test]
fn a_fresh_envelope_has_an_id_of_its_own_and_whole_milliseconds() {
    let (one, two) =
        (Envelope::new(allison::CallEnded::new("c")), Envelope::new(allison::CallEnded::new("c")));
    assert_ne!(one.id, two.id);
    assert!(one.id.as_str().starts_with("evt_") && one.id.as_str().len() == 36);
    assert_eq!(one.created_at.nanosecond() % 1_000_000, 0);
    assert_eq!(one.version, None);
    let id: EventId = one.id.clone();
    assert_eq!(one.map(allison::Event::from).id, id);
}

// The facts as data.

struct Facts {
    name: &'static str,
    contract: Contract,
    scheme: Option<Scheme>,
    timeout: Duration,
    success: RangeInclusive<u16>,
    delays: &'static [u64],
    total: u64,
    retryable: Retryable,
    disables_on_gone: bool,
    auto_disable: Option<AutoDisable>,
    rotation: Rotation,
    format: EnvelopeFormat,
    fields: &'static [Field],
    catalogue: Catalogue,
}

fn facts() -> [Facts; 6] {
    let overlap = Rotation::Overlap(Duration::from_secs(DAY));
    let five_days = AutoDisable::failing_for(Duration::from_secs(5 * DAY));
    [
        Facts {
            name: "allison",
            contract: Contract::allison(),
            scheme: Some(Scheme::ALLISON),
            timeout: Duration::from_secs(10),
            success: 200..=299,
            delays: &[60, 900, 3_600, 21_600, 86_400],
            total: 31 * HOUR + 16 * MINUTE,
            retryable: Retryable::AnyFailure,
            disables_on_gone: true,
            auto_disable: Some(five_days.clone()),
            rotation: Rotation::Immediate,
            format: EnvelopeFormat::ALLISON,
            fields: &[
                Field::Id("id"),
                Field::Type("type"),
                Field::CreatedAt("created_at", TimePrecision::Milliseconds),
                Field::Version("api_version", "v1"),
                Field::Data("data"),
            ],
            catalogue: allison::Event::CATALOGUE,
        },
        Facts {
            name: "allo",
            contract: Contract::allo(),
            scheme: Some(Scheme::STANDARD_WEBHOOKS),
            timeout: Duration::from_secs(20),
            success: 200..=299,
            delays: &[5, 300, 1_800, 7_200, 18_000, 36_000, 36_000],
            total: 27 * HOUR + 35 * MINUTE + 5,
            retryable: Retryable::AnyFailure,
            disables_on_gone: true,
            auto_disable: Some(five_days.clone().with_trigger(
                3,
                Duration::from_secs(12 * HOUR),
                Duration::from_secs(24 * HOUR),
            )),
            rotation: overlap,
            format: EnvelopeFormat::ALLO,
            fields: &[
                Field::Type("topic"),
                Field::Version("version", "2.0"),
                Field::CreatedAt("timestamp", TimePrecision::Microseconds),
                Field::Data("data"),
            ],
            catalogue: allo::Event::CATALOGUE,
        },
        Facts {
            name: "allo_v1",
            contract: Contract::allo_v1(),
            scheme: None,
            timeout: Duration::from_secs(30),
            success: 200..=299,
            delays: &[],
            total: 0,
            retryable: Retryable::AnyFailure,
            disables_on_gone: false,
            auto_disable: None,
            rotation: Rotation::Immediate,
            format: EnvelopeFormat::ALLO_V1,
            fields: &[Field::Type("topic"), Field::Data("data")],
            catalogue: allo_v1::Event::CATALOGUE,
        },
        Facts {
            name: "nectar_desk",
            contract: Contract::nectar_desk(),
            scheme: None,
            timeout: Duration::from_secs(10),
            success: 200..=299,
            delays: &[1, 2, 4],
            total: 7,
            retryable: Retryable::FaultsAndServerErrors,
            disables_on_gone: false,
            auto_disable: None,
            rotation: Rotation::Immediate,
            format: EnvelopeFormat::NECTAR_DESK,
            fields: &[Field::Type("event"), Field::Data("data")],
            catalogue: nectar_desk::Event::CATALOGUE,
        },
        Facts {
            name: "recept_ai",
            contract: Contract::recept_ai(),
            scheme: Some(Scheme::STANDARD_WEBHOOKS),
            timeout: Duration::from_secs(10),
            success: 200..=299,
            delays: &[30, 60, 120, 240, 480, 960, 1_920],
            total: 3_810,
            retryable: Retryable::AnyFailure,
            disables_on_gone: false,
            auto_disable: None,
            rotation: overlap,
            format: EnvelopeFormat::RECEPT_AI,
            fields: &[
                Field::Type("event"),
                Field::CreatedAt("timestamp", TimePrecision::Milliseconds),
                Field::Data("data"),
            ],
            catalogue: recept_ai::Event::CATALOGUE,
        },
        Facts {
            name: "standard_webhooks",
            contract: Contract::standard_webhooks(),
            scheme: Some(Scheme::STANDARD_WEBHOOKS),
            timeout: Duration::from_secs(20),
            success: 200..=299,
            delays: &[5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400],
            total: 75 * HOUR + 35 * MINUTE + 5,
            retryable: Retryable::AnyFailure,
            disables_on_gone: true,
            auto_disable: Some(five_days),
            rotation: overlap,
            format: EnvelopeFormat::STANDARD_WEBHOOKS,
            fields: &[
                Field::Type("type"),
                Field::CreatedAt("timestamp", TimePrecision::Microseconds),
                Field::Data("data"),
            ],
            catalogue: Catalogue::OPEN,
        },
    ]
}

fn raw(data: &serde_json::Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(data).unwrap()
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

#[test]
fn the_id_of_a_contract_has_a_name_and_a_version_that_can_be_read_back() {
    let id = ContractId::from(&Contract::nectar_desk());
    assert_eq!((id.name(), id.version()), (Contract::nectar_desk().name(), "v1"));
    assert_eq!(id.to_string().parse::<ContractId>().unwrap(), id);
    let older = id.with_version("v0").unwrap();
    assert_eq!((older.name(), older.version()), (id.name(), "v0"));
    assert!(older < id && ContractId::new("a", "v9").unwrap() < ContractId::new("b", "v1").unwrap());
    // The name is compared first, and as a whole: a name that begins with another one comes after it.
    assert!(ContractId::new("ab", "v1").unwrap() < ContractId::new("ab-c", "v0").unwrap());
    let json = serde_json::to_string(&id).unwrap();
    assert_eq!(serde_json::from_str::<ContractId>(&json).unwrap(), id);
}

#[test]
fn the_parts_of_a_contract_id_are_short_visible_and_without_a_slash() {
    for part in ["", "a/b", "a b", "caf\u{e9}", "tab\t", &"x".repeat(65)] {
        for made in [ContractId::new(part, "v1"), ContractId::new("acme", part)] {
            let error = made.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Contract, "{part:?}");
            assert_eq!(
                error.expected(),
                Some("1 to 64 visible ASCII characters without a slash"),
                "{part:?}"
            );
        }
        assert!(Contract::allison().with_version(part).is_err(), "{part:?}");
    }
    assert!(ContractId::new(&"x".repeat(64), &"y".repeat(64)).is_ok());
    assert_eq!("acme".parse::<ContractId>().unwrap_err().expected(), Some("a name, a slash and a version"));
    assert!("acme/v1/x".parse::<ContractId>().is_err());
}

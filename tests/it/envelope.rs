//! Envelopes: the written bytes, and every error of reading.

use std::borrow::Cow;

use hookwire::event::{DecodeError, EnvelopeFormat, Field};
use hookwire::{
    Contract, Envelope, EventData, EventId, RawEvent, Scheme, Secret, Verified, allison, allo, allo_v1,
    nectar_desk, recept_ai,
};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::macros::datetime;
use time::{Duration, OffsetDateTime, PrimitiveDateTime, UtcOffset};

// Writing.

#[test]
fn every_contracts_envelope_is_exact_to_the_byte() {
    let at = datetime!(2026-04-17 19:12:03.482_913_777 UTC);
    for (name, expected) in [
        (
            "allison",
            r#"{"id":"evt_1","type":"a.b","created_at":"2026-04-17T19:12:03.482Z","api_version":"v1","data":{"n":1}}"#,
        ),
        (
            "allo",
            r#"{"topic":"a.b","version":"2.0","timestamp":"2026-04-17T19:12:03.482913Z","data":{"n":1}}"#,
        ),
        ("allo_v1", r#"{"topic":"a.b","data":{"n":1}}"#),
        ("nectar_desk", r#"{"event":"a.b","data":{"n":1}}"#),
        ("recept_ai", r#"{"event":"a.b","timestamp":"2026-04-17T19:12:03.482Z","data":{"n":1}}"#),
        ("standard_webhooks", r#"{"type":"a.b","timestamp":"2026-04-17T19:12:03.482913Z","data":{"n":1}}"#),
    ] {
        let contract: Contract = name.parse().unwrap();
        let event = RawEvent::new("a.b", json!({"n": 1})).unwrap();
        assert_eq!(text(&contract, &Envelope::from_parts(id("evt_1"), at, event)), expected, "{name}");
    }
}

#[test]
fn a_time_is_cut_and_never_rounded() {
    for (nanosecond, millis, micros) in [
        (0, "000", "000000"),
        (999, "000", "000000"),
        (1_000_000, "001", "001000"),
        (999_999_999, "999", "999999"),
    ] {
        let at = datetime!(2026-12-31 23:59:59 UTC).replace_nanosecond(nanosecond).unwrap();
        assert_eq!(written_time(&Contract::allison(), at), format!("2026-12-31T23:59:59.{millis}Z"));
        assert_eq!(written_time(&Contract::allo(), at), format!("2026-12-31T23:59:59.{micros}Z"));
    }
}

#[test]
fn a_time_of_another_offset_is_written_in_utc() {
    for at in [datetime!(2026-04-17 21:12:03 +2), datetime!(2026-04-17 10:42:03 -8:30)] {
        assert_eq!(written_time(&Contract::allison(), at), "2026-04-17T19:12:03.000Z");
    }
    assert_eq!(
        written_time(&Contract::allison(), datetime!(0000-01-01 0:00 UTC)),
        "0000-01-01T00:00:00.000Z"
    );
    assert_eq!(
        written_time(&Contract::allison(), datetime!(9999-12-31 23:59:59.999 UTC)),
        "9999-12-31T23:59:59.999Z"
    );
}

#[test]
fn a_time_that_rfc_3339_cannot_write_is_an_error_and_no_panic() {
    for at in [
        datetime!(-0001-12-31 23:59:59 UTC),
        datetime!(-9999-01-01 0:00 UTC),
        datetime!(0000-01-01 0:00 +1),
        datetime!(9999-12-31 23:59:59 -1),
        PrimitiveDateTime::MIN.assume_offset(UtcOffset::from_hms(23, 0, 0).unwrap()),
        PrimitiveDateTime::MAX.assume_offset(UtcOffset::from_hms(-23, 0, 0).unwrap()),
    ] {
        let error = Contract::allison().encode(&Envelope::from_parts(id("evt_1"), at, call())).unwrap_err();
        assert_eq!(error.kind(), hookwire::ErrorKind::Encode, "{at}");
        assert!(chain(&error).contains("time is outside the years 0 to 9999"), "{}", chain(&error));
        // A format without a time has no such limit.
        assert!(Contract::allo_v1().encode(&Envelope::from_parts(id("evt_1"), at, call())).is_ok());
    }
}

#[test]
fn what_needs_escaping_is_escaped() {
    let event = RawEvent::new("quote\" back\\slash", json!(1)).unwrap();
    let written = text(&Contract::allo_v1(), &Envelope::from_parts(id("evt_1"), AT, event));
    assert_eq!(written, r#"{"topic":"quote\" back\\slash","data":1}"#);
}

#[test]
fn data_that_cannot_be_json_is_refused_without_showing_it() {
    #[derive(Clone, Debug, Deserialize, PartialEq)]
    struct Broken {}

    impl Serialize for Broken {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("cannot be written"))
        }
    }

    hookwire::catalogue! {
        enum BrokenEvent {
            /// It broke.
            Broken = "it.broke", sample: Broken {};
        }
    }

    let event: BrokenEvent = Broken {}.into();
    let error = Contract::allison().encode(&Envelope::from_parts(id("evt_1"), AT, event)).unwrap_err();
    assert_eq!(error.kind(), hookwire::ErrorKind::Encode);
    assert_eq!(error.to_string(), "event cannot be written as JSON in this envelope");
}

#[test]
fn a_type_whose_name_no_receiver_would_take_is_not_sent() {
    struct Nameless;

    impl EventData for Nameless {
        fn event_type(&self) -> &str {
            ""
        }

        fn accepts(_: &str) -> bool {
            true
        }

        fn serialize_data<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_unit()
        }

        fn deserialize_data<'de, D: serde::Deserializer<'de>>(_: &str, _: D) -> Result<Self, D::Error> {
            Ok(Self)
        }
    }

    let error = Contract::allison().encode(&Envelope::from_parts(id("evt_1"), AT, Nameless)).unwrap_err();
    assert_eq!(error.kind(), hookwire::ErrorKind::Encode);
    assert!(error.to_string().starts_with("event type is empty"));
}

#[test]
fn a_format_that_makes_no_sense_does_not_come_into_being() {
    const TWO_TYPES: &[Field] = &[Field::Type("a"), Field::Type("b"), Field::Data("c")];
    const NO_TYPE: &[Field] = &[Field::Data("c")];
    const NO_DATA: &[Field] = &[Field::Type("a")];
    const SAME_NAME: &[Field] = &[Field::Type("a"), Field::Data("a")];
    const TWO_IDS: &[Field] = &[Field::Id("i"), Field::Id("j"), Field::Type("a"), Field::Data("c")];
    for fields in [TWO_TYPES, NO_TYPE, NO_DATA, SAME_NAME, TWO_IDS] {
        assert!(std::panic::catch_unwind(|| EnvelopeFormat::new(fields)).is_err(), "{fields:?}");
    }
}

// Reading: the whole.

#[test]
fn fields_are_read_in_any_order() {
    let fields = [
        r#""id":"evt_1""#,
        r#""type":"call.ended""#,
        r#""created_at":"2026-04-17T19:12:03.482Z""#,
        r#""api_version":"v1""#,
        r#""data":{"call_id":"c"}"#,
    ];
    let mut expected = Envelope::from_parts(id("evt_1"), AT, allison::Event::from(call()));
    expected.version = Some(Cow::Borrowed("v1"));
    for order in permutations(&fields) {
        let body = format!("{{{}}}", order.join(","));
        assert_eq!(decode::<allison::Event>(&Contract::allison(), &body).unwrap(), expected, "{body}");
    }
}

#[test]
fn space_between_tokens_means_nothing() {
    let body = "\r\n\t { \"topic\" :\n \"CALL_NEW\" , \"data\" : [ 1 , 2 ]  }\n ";
    let envelope = decode::<RawEvent>(&Contract::allo_v1(), body).unwrap();
    assert_eq!((envelope.event_type(), envelope.data.data().get()), ("CALL_NEW", "[ 1 , 2 ]"));
}

#[test]
fn unknown_members_are_ignored_whatever_they_hold() {
    for value in
        ["null", "1e999", r#""\ud800""#, "{}", r#"{"a":1,"a":2}"#, "-0", "123456789012345678901234567890"]
    {
        for body in [
            format!(r#"{{"new":{value},{ALLISON_REST}}}"#),
            format!(r#"{{{ALLISON_REST},"new":{value},"newer":{value}}}"#),
        ] {
            assert_eq!(
                decode::<allison::CallEnded>(&Contract::allison(), &body).unwrap().data,
                call(),
                "{body}"
            );
        }
    }
}

#[test]
fn a_doubled_field_is_refused_wherever_it_stands() {
    for name in ["id", "type", "created_at", "api_version", "data"] {
        let again = format!(r#""{name}":"evt_1""#);
        let escaped = format!(r#""\u{:04x}{}":"evt_1""#, name.as_bytes()[0], &name[1..]);
        for again in [again, escaped] {
            for body in [format!("{{{again},{ALLISON_REST}}}"), format!("{{{ALLISON_REST},{again}}}")] {
                let error = decode::<allison::Event>(&Contract::allison(), &body).unwrap_err();
                // If the added field comes first, it may be refused because of its value.
                let first = body.starts_with(&format!("{{{again}"));
                match error {
                    DecodeError::DuplicateField { field, .. } => assert_eq!(field, Some(name), "{body}"),
                    DecodeError::InvalidField { field, .. } if first => assert_eq!(field, name, "{body}"),
                    error => panic!("{body}: {error}"),
                }
            }
        }
    }
    let error = decode::<RawEvent>(&Contract::allo_v1(), r#"{"topic":"A","data":1,"data":1}"#).unwrap_err();
    assert_eq!(error.to_string(), "envelope has field `data` twice");
}

#[test]
fn a_doubled_unknown_member_is_refused_and_not_named() {
    for doubled in [r#""MARKER":1,"MARKER":1"#, r#""MARKER":1,"\u004dARKER":2"#] {
        for body in [format!("{{{doubled},{ALLISON_REST}}}"), format!("{{{ALLISON_REST},{doubled}}}")] {
            let error = decode::<allison::Event>(&Contract::allison(), &body).unwrap_err();
            assert!(matches!(error, DecodeError::DuplicateField { field: None, .. }), "{error}");
            assert_eq!(error.to_string(), "envelope has an unknown field twice");
            assert_silent(&error);
        }
    }
}

#[test]
fn an_escaped_key_is_the_same_key() {
    let body = r#"{"\u0069d":"evt_1","t\u0079pe":"call.ended","created_at":"2026-04-17T19:12:03Z","d\u0061ta":{"call\u005fid":"c"}}"#;
    let envelope = decode::<allison::CallEnded>(&Contract::allison(), body).unwrap();
    assert_eq!((envelope.id, envelope.data), (id("evt_1"), call()));
}

#[test]
fn keys_differ_by_case() {
    let body = format!(r#"{{"ID":"evt_2","Type":"x",{ALLISON_REST}}}"#);
    assert_eq!(decode::<RawEvent>(&Contract::allison(), &body).unwrap().id, id("evt_1"));
}

#[test]
fn every_field_but_the_version_must_be_there() {
    for contract in contracts() {
        for missing in contract.format().fields() {
            let fields: Vec<_> = contract
                .format()
                .fields()
                .iter()
                .filter(|field| *field != missing)
                .map(|field| match field {
                    Field::CreatedAt(name, _) => format!(r#""{name}":"2026-04-17T19:12:03Z""#),
                    Field::Data(name) => format!(r#""{name}":{{}}"#),
                    field => format!(r#""{}":"evt_1""#, field.name()),
                })
                .collect();
            let body = format!("{{{}}}", fields.join(","));
            let decoded = decode::<RawEvent>(&contract, &body);
            match missing {
                Field::Version(..) => assert_eq!(decoded.unwrap().version, None),
                // Its data is the whole body.
                Field::Data(_) if contract.name() == "nectar_desk" => {
                    assert_eq!(decoded.unwrap().data.data().get(), body);
                }
                _ => {
                    let error = decoded.unwrap_err();
                    assert_eq!(error.to_string(), format!("envelope has no field `{}`", missing.name()));
                    assert!(matches!(error, DecodeError::MissingField { .. }));
                }
            }
        }
    }
}

#[test]
fn nectar_desks_data_may_be_flat_missing_or_null() {
    let contract = Contract::nectar_desk();
    let read = |body: &str| {
        let event = decode::<nectar_desk::Event>(&contract, body).unwrap().data;
        let nectar_desk::Event::CallEnded(data) = event else { panic!("{event:?}") };
        data
    };
    let flat = read(r#" {"event":"Call Ended","call_id":9041,"note":"a\ud83d"} "#);
    assert_eq!(flat.call_id().as_deref(), Some("9041"));
    assert_eq!(flat.text("note").as_deref(), Some("a\u{fffd}"));
    // The type may stand behind the data.
    assert_eq!(read(r#"{"call_id":"c","event":"Call Ended"}"#).call_id().as_deref(), Some("c"));
    assert_eq!(read(r#"{"event":"Call Ended"}"#).call_id(), None);
    assert_eq!(read(r#"{"event":"Call Ended","data":null}"#), nectar_desk::Data::new());
    assert_eq!(read(r#"{"event":"Call Ended","data":[]}"#), nectar_desk::Data::new());
    let error = decode::<RawEvent>(&contract, r#"{"call_id":9041}"#).unwrap_err();
    assert!(matches!(error, DecodeError::MissingField { field: "event", .. }), "{error}");
    // Other platforms' bodies are never flat.
    assert!(decode::<RawEvent>(&Contract::allo_v1(), r#"{"topic":"CALL_RECEIVED","id":"c"}"#).is_err());
}

#[test]
fn a_field_of_the_wrong_kind_is_named() {
    for wrong in
        ["null", "5", "-1.5", "true", "[]", r#"["evt_1"]"#, "{}", r#"{"a":"b"}"#, r#""""#, r#""a\u0000b""#]
    {
        for name in ["id", "type", "created_at"] {
            let body = allison_with(name, wrong);
            let error = decode::<allison::Event>(&Contract::allison(), &body).unwrap_err();
            assert!(
                matches!(error, DecodeError::InvalidField { field, .. } if field == name),
                "{body}: {error}"
            );
        }
    }
    for (name, wrong) in [
        ("id", format!(r#""{}""#, "x".repeat(257))),
        ("id", r#""two words""#.into()),
        ("id", r#""größe""#.into()),
        ("type", format!(r#""{}""#, "x".repeat(257))),
        ("type", r#""a\nb""#.into()),
        ("created_at", r#""2026-04-17""#.into()),
        ("created_at", r#""2026-04-17T19:12:03""#.into()),
        ("created_at", r#""2026-02-30T19:12:03Z""#.into()),
        ("created_at", r#""1776453123""#.into()),
        // In UTC, these are in the years -1 and 10000.
        ("created_at", r#""0000-01-01T00:00:00+00:01""#.into()),
        ("created_at", r#""9999-12-31T23:59:59-00:01""#.into()),
    ] {
        let error = decode::<allison::Event>(&Contract::allison(), &allison_with(name, &wrong)).unwrap_err();
        assert!(
            matches!(error, DecodeError::InvalidField { field, .. } if field == name),
            "{wrong}: {error}"
        );
    }
}

#[test]
fn a_version_of_another_value_or_kind_is_tolerated() {
    for (version, told) in [
        (r#""v1""#, Some("v1")),
        (r#""v2""#, Some("v2")),
        (r#""\u00761""#, Some("v1")),
        (r#""""#, Some("")),
        ("2", None),
        ("null", None),
        ("[1]", None),
        (r#"{"major":2}"#, None),
        ("true", None),
        ("0.5", None),
    ] {
        let body = allison_with("api_version", version);
        let envelope = decode::<allison::CallEnded>(&Contract::allison(), &body).unwrap();
        assert_eq!((envelope.version.as_deref(), envelope.data), (told, call()), "{version}");
    }
}

#[test]
fn a_time_is_read_with_any_precision_and_offset_and_given_in_utc() {
    for (written, at) in [
        ("2026-04-17T19:12:03Z", datetime!(2026-04-17 19:12:03 UTC)),
        ("2026-04-17T21:12:03.4+02:00", datetime!(2026-04-17 19:12:03.4 UTC)),
        ("2026-04-17T19:12:03.123456789Z", datetime!(2026-04-17 19:12:03.123_456_789 UTC)),
    ] {
        let body = allison_with("created_at", &format!("{written:?}"));
        let created_at = decode::<RawEvent>(&Contract::allison(), &body).unwrap().created_at;
        assert_eq!((created_at, created_at.offset()), (at, UtcOffset::UTC), "{written}");
    }
}

#[test]
fn what_is_no_json_object_in_utf_8_is_malformed() {
    let whole = format!("{{{ALLISON_REST}}}");
    let bodies: Vec<Vec<u8>> = vec![
        b"".into(),
        b" ".into(),
        b"null".into(),
        b"[]".into(),
        b"\"text\"".into(),
        b"5".into(),
        b"{".into(),
        b"{]".into(),
        b"{'id':1}".into(),
        b"{id:1}".into(),
        b"{\"id\":}".into(),
        b"{\"a\":1,}".into(),
        b"{\"a\":01}".into(),
        b"{\"a\":NaN}".into(),
        b"{\"a\":\"\x01\"}".into(),
        // After the end.
        format!("{whole}x").into(),
        format!("{whole}{{}}").into(),
        format!("{whole}\0").into(),
        // Two byte order marks. One is skipped (RFC 8259 section 8.1).
        [b"\xef\xbb\xbf\xef\xbb\xbf", whole.as_bytes()].concat(),
        // Not UTF-8, outside and inside the data.
        [b"\xff", whole.as_bytes()].concat(),
        whole
            .replace("\"c\"", "\"?\"")
            .into_bytes()
            .iter()
            .map(|b| if *b == b'?' { 0xff } else { *b })
            .collect(),
        whole.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        // A number that is too large for the field that is read.
        allison_with("type", "1e999").into(),
        "[".repeat(10_000).into(),
        r#"{"a":"#.repeat(10_000).into(),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        let headers = HeaderMap::new();
        let verified = Verified::dangerous_unsigned_at(&headers, &body, AT);
        let error = Contract::allison().decode::<allison::Event>(&verified).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed { .. }), "{shown}: {error:?}");
        assert!(error.to_string().starts_with("body is not an envelope: "), "{error}");
    }
}

#[test]
fn a_malformed_body_is_told_where_and_a_fault_without_a_place_has_none() {
    let error = |body: &[u8]| {
        let headers = HeaderMap::new();
        let verified = Verified::dangerous_unsigned_at(&headers, body, AT);
        Contract::allison().decode::<RawEvent>(&verified).unwrap_err().to_string()
    };
    assert_eq!(
        error(b"{\n \"id\" 5}"),
        "body is not an envelope: JSON is not well-formed, at line 2 column 7"
    );
    assert_eq!(error(b"{\xff}"), "body is not an envelope: body is not UTF-8 (RFC 8259 section 8.1)");
    assert!(error(b"[]").contains("expected a JSON object"));
    assert!(error(b"").contains("JSON ends too early"));
}

#[test]
fn deep_nesting_is_read_or_refused_and_never_overflows_the_stack() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let inner = if open == "[" { "" } else { "1" };
        let deep = format!("{}{inner}{}", open.repeat(10_000), close.repeat(10_000));

        // In an unread field, the value is kept unchanged.
        let unknown = format!(r#"{{"topic":"NEW","data":{deep}}}"#);
        assert_eq!(
            decode::<allo_v1::Event>(&Contract::allo_v1(), &unknown).unwrap().data.event_type(),
            "NEW"
        );
        let member = format!(r#"{{"x":{deep},{ALLISON_REST},"y":{deep}}}"#);
        assert!(decode::<allison::Event>(&Contract::allison(), &member).is_ok());
        let version = allison_with("api_version", &deep);
        assert!(decode::<allison::Event>(&Contract::allison(), &version).is_ok());
        let field = allison_with("data", &format!(r#"{{"call_id":"c","new":{deep}}}"#));
        assert!(decode::<allison::Event>(&Contract::allison(), &field).is_ok());

        // In a field that is read, it is refused.
        for name in ["id", "type", "created_at"] {
            let error =
                decode::<allison::Event>(&Contract::allison(), &allison_with(name, &deep)).unwrap_err();
            assert!(matches!(error, DecodeError::InvalidField { field, .. } if field == name));
        }
        for body in [
            allison_with("data", &deep),
            allison_with("data", &format!(r#"{{"call_id":{deep}}}"#)),
            allison_with("data", &format!(r#"{{"call_id":"c","outcome":{deep}}}"#)),
        ] {
            let error = decode::<allison::Event>(&Contract::allison(), &body).unwrap_err();
            assert!(matches!(error, DecodeError::Data(_)), "{error}");
        }
        let open_data = format!(r#"{{"event":"Call Ended","data":{{"x":{deep}}}}}"#);
        let error = decode::<nectar_desk::Event>(&Contract::nectar_desk(), &open_data).unwrap_err();
        assert!(matches!(error, DecodeError::Data(_)), "{error}");
    }
}

// Reading: the id.

#[test]
fn a_body_id_that_is_not_the_headers_is_refused() {
    let contract = Contract::allison();
    let secret = Secret::generate();
    let body = format!("{{{ALLISON_REST}}}");
    let mut headers = contract.signer(&secret).unwrap().sign("evt_1", AT, body.as_bytes()).unwrap();
    let verifier = contract.verifier(&secret).unwrap();
    let same = verifier.verify_at(&headers, body.as_bytes(), AT).unwrap();
    assert_eq!(contract.decode::<allison::Event>(&same).unwrap().id, id("evt_1"));

    // The header is not signed, so a forger can change it and the signature still holds.
    headers.insert("x-allison-event-id", HeaderValue::from_static("evt_2"));
    let verified = verifier.verify_at(&headers, body.as_bytes(), AT).unwrap();
    let error = contract.decode::<allison::Event>(&verified).unwrap_err();
    assert!(matches!(error, DecodeError::IdMismatch { header: "x-allison-event-id", .. }));
    assert_eq!(error.to_string(), "event id in the body differs from the one in header `x-allison-event-id`");
    let by_guard = Verified::dangerous_unsigned_at(&headers, body.as_bytes(), AT);
    assert!(matches!(
        contract.decode::<allison::Event>(&by_guard).unwrap_err(),
        DecodeError::IdMismatch { header: "x-allison-event-id", .. }
    ));

    // Data that does not fit is refused for the same reason, under either id.
    let unfit = allison_with("data", "{}");
    let mut headers = contract.signer(&secret).unwrap().sign("evt_1", AT, unfit.as_bytes()).unwrap();
    headers.insert("x-allison-event-id", HeaderValue::from_static("evt_2"));
    let verified = verifier.verify_at(&headers, unfit.as_bytes(), AT).unwrap();
    let error = contract.decode::<allison::Event>(&verified).unwrap_err();
    assert!(matches!(error, DecodeError::IdMismatch { .. }), "{error}");
}

#[test]
fn an_id_of_the_message_that_the_signature_covers_may_differ_from_the_events() {
    let secret = Secret::generate();
    let contract = Contract::allison().with_scheme(None);
    let other = Contract::allison().with_scheme(Scheme::SVIX);
    let body = format!("{{{ALLISON_REST}}}");
    let headers = other.signer(&secret).unwrap().sign("msg_2", AT, body.as_bytes()).unwrap();
    let verifier = other.verifier(&secret).unwrap();
    let verified = verifier.verify_at(&headers, body.as_bytes(), AT).unwrap();
    assert_eq!(contract.decode::<RawEvent>(&verified).unwrap().id, id("evt_1"));
    assert_eq!(verified.id(), Some("msg_2"));
    // Without a proof, somebody changed one of the two.
    let unsigned = Verified::dangerous_unsigned_at(&headers, body.as_bytes(), AT);
    let error = other.decode::<RawEvent>(&unsigned).unwrap_err();
    assert!(matches!(error, DecodeError::IdMismatch { header: "svix-id", .. }), "{error}");
}

#[test]
fn standard_webhooks_formats_take_the_id_from_the_signed_header() {
    let secret = Secret::generate();
    for contract in [Contract::allo(), Contract::recept_ai(), Contract::standard_webhooks()] {
        let sent = Envelope::from_parts(id("msg_7"), AT, RawEvent::new("call.received", json!({})).unwrap());
        let body = contract.encode(&sent).unwrap();
        let headers = contract.signer(&secret).unwrap().sign("msg_7", AT, &body).unwrap();
        let verifier = contract.verifier(&secret).unwrap();
        let verified = verifier.verify_at(&headers, &body, AT).unwrap();
        assert_eq!(contract.decode::<RawEvent>(&verified).unwrap().id, id("msg_7"), "{}", contract.name());
    }
}

#[test]
fn data_that_does_not_fit_keeps_the_id_from_the_signed_header() {
    let secret = Secret::generate();
    let contract = Contract::standard_webhooks().with_catalogue(allison::Event::CATALOGUE);
    let sent = Envelope::from_parts(id("msg_7"), AT, RawEvent::new("call.ended", json!({})).unwrap());
    let body = contract.encode(&sent).unwrap();
    let headers = contract.signer(&secret).unwrap().sign("msg_7", AT, &body).unwrap();
    let verifier = contract.verifier(&secret).unwrap();
    let verified = verifier.verify_at(&headers, &body, AT).unwrap();
    let DecodeError::Data(error) = contract.decode::<allison::Event>(&verified).unwrap_err() else {
        panic!("expected data that does not fit");
    };
    assert_eq!(error.id(), Some(&id("msg_7")));
}

#[test]
fn an_event_without_an_id_is_named_by_its_bodys_hash() {
    for (contract, body) in [
        (Contract::allo_v1(), r#"{"topic":"NEW","data":1}"#),
        (Contract::nectar_desk(), r#"{"event":"New","data":1}"#),
    ] {
        // A header that the platform does not use changes nothing.
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", HeaderValue::from_static("msg_7"));
        let verified = Verified::dangerous_unsigned_at(&headers, body.as_bytes(), AT);
        let decoded = contract.decode::<RawEvent>(&verified).unwrap().id;
        assert_eq!(decoded, EventId::of_body(body.as_bytes()));
        assert!(decoded.as_str().starts_with("sha256_") && decoded.as_str().len() == 71);
        let spaced = decode::<RawEvent>(&contract, &format!("{body} ")).unwrap().id;
        assert_ne!(spaced, decoded, "other bytes are another event");
    }
    assert_eq!(
        EventId::of_body(b"abc").as_str(),
        // The example of FIPS 180-4.
        "sha256_ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn an_id_header_that_the_signature_does_not_cover_is_not_believed() {
    const BODY_ALONE: Scheme = Scheme::new("body", "x-signature").with_id_header("x-id");
    let secret = Secret::generate();
    let contract = Contract::allo_v1().with_scheme(BODY_ALONE);
    let body = br#"{"topic":"NEW","data":1}"#;
    let mut headers = contract.signer(&secret).unwrap().sign("evt_1", AT, body).unwrap();
    let verifier = contract.verifier(&secret).unwrap();
    for forged in ["evt_1", "evt_2"] {
        headers.insert("x-id", HeaderValue::from_static(forged));
        let verified = verifier.verify_at(&headers, body, AT).unwrap();
        assert_eq!(verified.id(), Some(forged));
        assert_eq!(contract.decode::<RawEvent>(&verified).unwrap().id, EventId::of_body(body));
    }
}

#[test]
fn an_unsigned_request_of_a_signing_contract_is_named_by_its_header() {
    let contract = Contract::standard_webhooks();
    let body = br#"{"type":"a","timestamp":"2026-04-17T19:12:03Z","data":1}"#;
    let decode = |headers: &HeaderMap| {
        contract.decode::<RawEvent>(&Verified::dangerous_unsigned_at(headers, body, AT)).map(|event| event.id)
    };
    let mut headers = HeaderMap::new();
    assert_eq!(decode(&headers).unwrap(), EventId::of_body(body), "no header");
    headers.insert("webhook-id", HeaderValue::from_static("msg_7"));
    assert_eq!(decode(&headers).unwrap(), id("msg_7"));
    headers.append("webhook-id", HeaderValue::from_static("msg_8"));
    assert_eq!(decode(&headers).unwrap(), EventId::of_body(body), "two headers name none");
    headers.insert("webhook-id", HeaderValue::from_static("two words"));
    let error = decode(&headers).unwrap_err();
    assert!(matches!(error, DecodeError::InvalidField { field: "webhook-id", .. }), "{error}");
}

// Reading: the time.

#[test]
fn the_time_is_the_bodys_or_that_of_signing_or_that_of_receipt() {
    let signed_at = datetime!(2026-04-17 19:12:03 UTC);
    let received_at = datetime!(2026-04-17 21:12:05.5 +2);
    let secret = Secret::generate();
    let receive = |contract: &Contract, body: &[u8]| {
        let headers = contract.signer(&secret).unwrap().sign("evt_1", signed_at, body).unwrap();
        let verifier = contract.verifier(&secret).unwrap();
        let verified = verifier.verify_at(&headers, body, received_at).unwrap();
        contract.decode::<RawEvent>(&verified).unwrap().created_at
    };
    let body = br#"{"type":"a","timestamp":"2026-04-16T00:00:00Z","data":1}"#;
    assert_eq!(receive(&Contract::standard_webhooks(), body), datetime!(2026-04-16 0:00 UTC));

    let timeless = br#"{"topic":"NEW","data":1}"#;
    let signed = Contract::allo_v1().with_scheme(Scheme::STANDARD_WEBHOOKS);
    assert_eq!(receive(&signed, timeless), signed_at);

    // GitHub's signature covers no timestamp.
    let github = Contract::allo_v1().with_scheme(Scheme::GITHUB);
    let received = receive(&github, timeless);
    assert_eq!((received, received.offset()), (received_at, UtcOffset::UTC));

    let headers = HeaderMap::new();
    let verified = Verified::dangerous_unsigned_at(&headers, timeless, received_at);
    assert_eq!(Contract::allo_v1().decode::<RawEvent>(&verified).unwrap().created_at, received_at);
}

// Reading: the data.

#[test]
fn data_that_does_not_fit_is_told_by_field_and_kept_byte_for_byte() {
    let data = r#"{ "call_id" : "MARKER", "duration_seconds":"MARKER" }"#;
    let error = decode::<allison::Event>(&Contract::allison(), &allison_with("data", data)).unwrap_err();
    assert_silent(&error);
    let DecodeError::Data(error) = error else { panic!("expected data that does not fit, not {error}") };
    assert_eq!(error.event_type(), &"call.ended");
    assert_eq!(error.field(), "duration_seconds");
    assert!(error.expected().is_some());
    assert_eq!(error.id(), Some(&id("evt_1")));
    assert_eq!(error.data().get(), data);
    assert!(std::error::Error::source(&*error).is_none());
    let (event_type, kept) = error.into_raw();
    assert_eq!((event_type.as_str(), kept.get()), ("call.ended", data));

    // The same, with the type after the data.
    let late =
        format!(r#"{{"data":{data},"id":"evt_1","created_at":"2026-04-17T19:12:03Z","type":"call.ended"}}"#);
    let error = decode::<allison::CallEnded>(&Contract::allison(), &late).unwrap_err();
    let DecodeError::Data(error) = error else { panic!("expected data that does not fit, not {error}") };
    assert_eq!((error.field(), error.data().get()), ("duration_seconds", data));
}

#[test]
fn an_array_is_no_struct_even_where_its_values_would_fit_the_fields() {
    for data in [r#"["c"]"#, "[]", r#"["c",null,null]"#] {
        let body = allison_with("data", data);
        for error in [
            decode::<allison::Event>(&Contract::allison(), &body).unwrap_err(),
            decode::<allison::CallEnded>(&Contract::allison(), &body).map(drop).unwrap_err(),
        ] {
            let DecodeError::Data(error) = error else { panic!("{error}") };
            assert_eq!((error.field(), error.expected()), (".", Some("struct CallEnded")), "{data}");
        }
    }
    // An array is valid data for a type that is an array.
    let shop = decode::<ListEvent>(&Contract::allo_v1(), r#"{"topic":"list.sent","data":[1,2]}"#).unwrap();
    assert_eq!(shop.data, ListEvent::ListSent(vec![1, 2]));
    let shop = decode::<ListEvent>(&Contract::allo_v1(), r#"{"topic":"note.sent","data":null}"#).unwrap();
    assert_eq!(shop.data, ListEvent::NoteSent(None));
}

hookwire::catalogue! {
    /// Events with data that is not an object.
    enum ListEvent {
        /// A list was sent.
        ListSent(Vec<u8>) = "list.sent", sample: vec![1];
        /// A note was sent, or an empty one.
        NoteSent(Option<String>) = "note.sent", sample: None;
    }
}

#[test]
fn a_key_that_stands_in_the_data_is_in_the_path_and_in_no_message() {
    let call = |data: &str| {
        let body = format!(r#"{{"topic":"CALL_RECEIVED","data":{data}}}"#);
        match decode::<allo_v1::Event>(&Contract::allo_v1(), &body).unwrap_err() {
            DecodeError::Data(error) => error,
            error => panic!("expected data that does not fit, not {error}"),
        }
    };
    let error = call(r#"{"id":"c","data_collected":{"MARKER":1e999}}"#);
    assert_eq!(error.field(), "data_collected.MARKER");
    assert_eq!(error.to_string(), "data of `CALL_RECEIVED` does not fit its type at `data_collected`");
    assert_silent(&DecodeError::Data(error));

    let error = call(r#"{"id":"c","transcriptions":[{},{"text":{}}]}"#);
    assert_eq!(error.field(), "transcriptions[1].text");
    assert!(
        error.to_string().starts_with("data of `CALL_RECEIVED` does not fit its type at `transcriptions[1]`")
    );

    // In open data, every key comes from the peer.
    let body = r#"{"event":"Call Ended","data":{"MARKER":1e999}}"#;
    let error = decode::<nectar_desk::Event>(&Contract::nectar_desk(), body).unwrap_err();
    assert_eq!(error.to_string(), "data of `Call Ended` does not fit its type");
    assert_silent(&error);

    let error = call("5");
    assert_eq!(error.field(), ".");
    assert!(error.to_string().contains(" at `.`"), "{error}");
}

#[test]
fn no_error_shows_the_payload() {
    for body in [
        r#"{"id":"MARKER MARKER"}"#.into(),
        r#"{"MARKER":"MARKER""#.into(),
        r#"{"MARKER"MARKER}"#.into(),
        "MARKER".into(),
        r#"["MARKER"]"#.into(),
        allison_with("created_at", r#""MARKER""#),
        allison_with("created_at", r#"["MARKER"]"#),
        allison_with("type", r#""\u0000MARKER""#),
        allison_with("data", r#""MARKER""#),
        allison_with("data", r#"["MARKER"]"#),
        allison_with("data", r#"{"MARKER":1}"#),
        allison_with("data", r#"{"call_id":{"MARKER":"MARKER"}}"#),
        allison_with("data", r#"{"call_id":"c","started_at":"MARKER, expected MARKER"}"#),
        allison_with("data", r#"{"call_id":"c","outcome_tags":[{"MARKER":1}]}"#),
        allison_with("data", r#"{"call_id":"MARKER","call_id":"MARKER"}"#),
    ] {
        assert_silent(&decode::<allison::Event>(&Contract::allison(), &body).unwrap_err());
    }
}

#[test]
fn one_types_decode_refuses_another_type() {
    for data in [r#"{"contact_id":"c"}"#, "null", r#"{"call_id":"c"}"#] {
        let body = allison_with("data", data).replace("call.ended", "contact.created");
        let error = decode::<allison::CallEnded>(&Contract::allison(), &body).unwrap_err();
        let DecodeError::UnexpectedType { event_type, .. } = &error else { panic!("{error}") };
        assert_eq!(event_type, &"contact.created");
        assert_eq!(error.to_string(), "event type `contact.created` is not the one asked for");
    }
}

#[test]
fn an_unknown_type_survives_byte_for_byte() {
    // No parser would write back these numbers, escapes, spaces and doubled keys unchanged.
    let data =
        r#"{ "a":1.0,"a":1e2, "n":123456789012345678901234567890.10, "s":"\u0041\/\ud800" , "x":[ ] }"#;
    for contract in contracts() {
        let sent = Envelope::from_parts(id("evt_1"), AT, raw_event("call_order.status_changed", data));
        let body = contract.encode(&sent).unwrap();
        assert!(String::from_utf8_lossy(&body).contains(data));
        let decoded = round_trip(&contract, &sent.id, &body);
        assert_eq!(decoded.data.data().get(), data);
        assert_eq!(
            contract.encode(&Envelope::from_parts(sent.id, decoded.created_at, decoded.data)).unwrap(),
            body,
            "{}",
            contract.name()
        );
    }
    let body = allison_with("data", data).replace("call.ended", "call_order.status_changed");
    let envelope = decode::<allison::Event>(&Contract::allison(), &body).unwrap();
    let allison::Event::Other(other) = &envelope.data else { panic!("expected `Other`") };
    assert_eq!(other.data().get(), data);
    assert!(text(&Contract::allison(), &envelope).contains(data));
}

#[test]
fn every_sample_of_every_platform_comes_back_as_it_went_in() {
    fn each<T: EventData + PartialEq + std::fmt::Debug + Clone>(
        contract: &Contract,
        events: impl Iterator<Item = T>,
    ) {
        let secret = Secret::generate();
        for (n, event) in events.enumerate() {
            let sent = Envelope::from_parts(id(&format!("evt_{n}")), AT, event);
            let body = contract.encode(&sent).unwrap();
            let received = if contract.scheme().is_some() {
                let headers = contract.signer(&secret).unwrap().sign(sent.id.as_str(), AT, &body).unwrap();
                let verifier = contract.verifier(&secret).unwrap();
                let verified = verifier.verify_at(&headers, &body, AT).unwrap();
                contract.decode::<T>(&verified).unwrap()
            } else {
                let headers = HeaderMap::new();
                contract.decode::<T>(&Verified::dangerous_unsigned_at(&headers, &body, AT)).unwrap()
            };
            assert_eq!(received.data, sent.data);
            assert_eq!(received.created_at, AT);
            assert_eq!(received.event_type(), sent.event_type());
            let named = contract.scheme().is_some() || contract.format().carries_id();
            assert_eq!(received.id, if named { sent.id } else { EventId::of_body(&body) });
        }
    }

    each(&Contract::allison(), allison::Event::samples());
    each(&Contract::allo(), allo::Event::samples());
    each(&Contract::allo_v1(), allo_v1::Event::samples());
    each(&Contract::nectar_desk(), nectar_desk::Event::samples());
    each(&Contract::recept_ai(), recept_ai::Event::samples());
    each(&Contract::standard_webhooks(), allison::Event::samples());
}

// Properties.

proptest! {
    #[test]
    fn decoding_any_bytes_never_panics(body in any::<Vec<u8>>()) {
        decode_as_everything(&body);
    }

    #[test]
    fn decoding_any_tokens_never_panics(
        tokens in prop::collection::vec(prop::sample::select(TOKENS.to_vec()), 0..40),
    ) {
        decode_as_everything(tokens.concat().as_bytes());
        decode_as_everything(format!("{{{}}}", tokens.join(",")).as_bytes());
    }

    #[test]
    fn decoding_a_changed_envelope_never_panics(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..6),
    ) {
        let bodies = sample_bodies();
        let mut body = bodies[which.index(bodies.len())].clone();
        for (at, byte, change) in changes {
            if body.is_empty() {
                break;
            }
            let at = at.index(body.len());
            match change {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ => drop(body.remove(at)),
            }
        }
        decode_as_everything(&body);
    }

    #[test]
    fn any_raw_event_survives_every_contract(
        name in "[^\\p{Cc}]{1,60}",
        event_id in "[!-\\-/-~]{1,60}",
        millis in -62_167_219_200_000i64..253_402_300_800_000,
        number in any::<i64>(),
        words in ".{0,20}",
    ) {
        let at = OffsetDateTime::UNIX_EPOCH + Duration::milliseconds(millis);
        let event = RawEvent::new(&name, json!({"n": number, "words": words})).unwrap();
        for contract in contracts() {
            let sent = Envelope::from_parts(id(&event_id), at, event.clone());
            let body = contract.encode(&sent).unwrap();
            let received = round_trip(&contract, &sent.id, &body);
            prop_assert_eq!(&received.data, &event);
            if contract.format().fields().iter().any(|field| matches!(field, Field::CreatedAt(..))) {
                prop_assert_eq!(received.created_at, at);
            }
            if contract.format().carries_id() || contract.scheme().is_some() {
                prop_assert_eq!(received.id.as_str(), event_id.as_str());
            }
        }
    }
}

const TOKENS: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "1e999",
    "-0",
    "\"id\":\"evt_1\"",
    "\"id\":",
    "\"type\":\"call.ended\"",
    "\"topic\":\"CALL_RECEIVED\"",
    "\"event\":\"Call Ended\"",
    "\"data\":{\"call_id\":\"c\"}",
    "\"data\":[]",
    "\"data\":",
    "\"created_at\":\"2026-04-17T19:12:03Z\"",
    "\"timestamp\":\"2026-04-17T19:12:03Z\"",
    "\"api_version\":2",
    "\"\\ud800\":1",
    "\"x\":1",
    " ",
    "\u{feff}",
];

// Helpers.

/// Signs and verifies the body with the contract, then decodes it.
fn round_trip(contract: &Contract, id: &EventId, body: &[u8]) -> Envelope<RawEvent> {
    let mut headers = HeaderMap::new();
    if contract.scheme().is_none() {
        return contract.decode(&Verified::dangerous_unsigned_at(&headers, body, AT)).unwrap();
    }
    let secret = Secret::from_bytes([7; 32]);
    contract.signer(&secret).unwrap().sign_into(&mut headers, id.as_str(), AT, body).unwrap();
    let verifier = contract.verifier(&secret).unwrap();
    contract.decode(&verifier.verify_at(&headers, body, AT).unwrap()).unwrap()
}

/// Decodes the body with every contract, and formats each error, which must not panic either.
fn decode_as_everything(body: &[u8]) {
    fn one<T: EventData>(contract: &Contract, body: &[u8]) {
        let headers = HeaderMap::new();
        if let Err(error) = contract.decode::<T>(&Verified::dangerous_unsigned_at(&headers, body, AT)) {
            let _ = format!("{error} {error:?}");
        }
    }

    for contract in contracts() {
        one::<RawEvent>(&contract, body);
    }
    one::<allison::Event>(&Contract::allison(), body);
    one::<allison::CallEnded>(&Contract::allison(), body);
    one::<allo::Event>(&Contract::allo(), body);
    one::<allo_v1::Event>(&Contract::allo_v1(), body);
    one::<nectar_desk::Event>(&Contract::nectar_desk(), body);
    one::<recept_ai::Event>(&Contract::recept_ai(), body);
}

fn sample_bodies() -> Vec<Vec<u8>> {
    contracts()
        .flat_map(|contract| {
            contract.catalogue().iter().map(move |kind| {
                let event = raw_event(kind.name(), kind.sample().get());
                contract.encode(&Envelope::from_parts(id("evt_1"), AT, event)).unwrap().to_vec()
            })
        })
        .collect()
}

fn contracts() -> impl Iterator<Item = Contract> {
    Contract::NAMES.iter().map(|name| name.parse().unwrap())
}

fn decode<T: EventData>(contract: &Contract, body: &str) -> Result<Envelope<T>, DecodeError> {
    let headers = HeaderMap::new();
    contract.decode(&Verified::dangerous_unsigned_at(&headers, body.as_bytes(), AT))
}

fn text<T: EventData>(contract: &Contract, envelope: &Envelope<T>) -> String {
    String::from_utf8(contract.encode(envelope).unwrap().to_vec()).unwrap()
}

fn written_time(contract: &Contract, at: OffsetDateTime) -> String {
    let body: serde_json::Value =
        serde_json::from_str(&text(contract, &Envelope::from_parts(id("evt_1"), at, call()))).unwrap();
    let field = if contract.name() == "allison" { "created_at" } else { "timestamp" };
    body[field].as_str().unwrap().to_owned()
}

/// A complete `call.ended` with another JSON value in one field.
fn allison_with(name: &str, value: &str) -> String {
    let fields = [
        ("id", r#""evt_1""#),
        ("type", r#""call.ended""#),
        ("created_at", r#""2026-04-17T19:12:03.482Z""#),
        ("api_version", r#""v1""#),
        ("data", r#"{"call_id":"c"}"#),
    ];
    let fields =
        fields.map(|(field, ours)| format!(r#""{field}":{}"#, if field == name { value } else { ours }));
    format!("{{{}}}", fields.join(","))
}

fn call() -> allison::CallEnded {
    allison::CallEnded::new("c")
}

fn id(text: &str) -> EventId {
    text.parse().unwrap()
}

fn raw_event(name: &str, data: &str) -> RawEvent {
    RawEvent::new(name, serde_json::value::RawValue::from_string(data.to_owned()).unwrap()).unwrap()
}

fn permutations<'a>(items: &[&'a str]) -> Vec<Vec<&'a str>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, first) in items.iter().enumerate() {
        let mut rest = items.to_vec();
        rest.remove(at);
        for mut order in permutations(&rest) {
            order.insert(0, first);
            all.push(order);
        }
    }
    all
}

fn chain(error: &dyn std::error::Error) -> String {
    let source = error.source().map(chain).unwrap_or_default();
    format!("{error}: {source}")
}

fn assert_silent(error: &DecodeError) {
    for text in [chain(error), format!("{error:?}"), format!("{error:#?}")] {
        assert!(!text.contains("MARKER"), "an error shows the payload: {text}");
    }
}

const AT: OffsetDateTime = datetime!(2026-04-17 19:12:03.482 UTC);
const ALLISON_REST: &str = r#""id":"evt_1","type":"call.ended","created_at":"2026-04-17T19:12:03.482Z","api_version":"v1","data":{"call_id":"c"}"#;

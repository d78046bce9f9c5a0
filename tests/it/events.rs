//! Event catalogues, their samples, ids, types, patterns and formats.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hookwire::event::{Catalogue, EnvelopeFormat, EventPattern, Field, TimePrecision};
use hookwire::{
    Contract, DataError, Envelope, EventData, EventId, EventType, RawEvent, allison, allo, allo_v1,
    nectar_desk, recept_ai,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

// Samples.

// After an intended change, the failing test prints the new content of each file.
#[test]
fn every_sample_is_the_golden_file_byte_for_byte() {
    let mut faults = Vec::new();
    for (platform, catalogue) in platforms() {
        let folder = samples().join(platform);
        let mut expected = BTreeSet::new();
        for kind in catalogue.iter() {
            let name = format!("{}.json", kind.name());
            let sample = format!("{}\n", kind.sample().get());
            if fs::read_to_string(folder.join(&name)).ok().as_deref() != Some(sample.as_str()) {
                faults.push(format!("{platform}/{name} should be\n{sample}"));
            }
            expected.insert(name);
        }
        for file in fs::read_dir(&folder).into_iter().flatten() {
            let name = file.unwrap().file_name().into_string().unwrap();
            if !expected.contains(&name) {
                faults.push(format!("{platform}/{name} is no type's sample"));
            }
        }
    }
    assert!(faults.is_empty(), "in {}:\n{}", samples().display(), faults.join("\n"));
}

#[test]
fn every_sample_decodes_into_its_own_variant_and_back() {
    fn each<T: EventData + PartialEq + std::fmt::Debug>(
        catalogue: Catalogue,
        events: impl Iterator<Item = T>,
        is_other: fn(&T) -> bool,
    ) {
        let events: Vec<_> = events.collect();
        assert_eq!(events.len(), catalogue.iter().len());
        for (event, kind) in events.iter().zip(catalogue.iter()) {
            let sample = kind.sample();
            assert_eq!(event.event_type(), kind.name());
            assert!(!is_other(event), "{} is Other", kind.name());
            assert_eq!(write(event), sample.get());
            assert_eq!(&read::<T>(kind.name(), sample.get()).unwrap(), event);
            kind.check(&sample).unwrap();
        }
    }

    each(allison::Event::CATALOGUE, allison::Event::samples(), |e| matches!(e, allison::Event::Other(_)));
    each(allo::Event::CATALOGUE, allo::Event::samples(), |e| matches!(e, allo::Event::Other(_)));
    each(allo_v1::Event::CATALOGUE, allo_v1::Event::samples(), |e| matches!(e, allo_v1::Event::Other(_)));
    each(nectar_desk::Event::CATALOGUE, nectar_desk::Event::samples(), |e| {
        matches!(e, nectar_desk::Event::Other(_))
    });
    each(recept_ai::Event::CATALOGUE, recept_ai::Event::samples(), |e| {
        matches!(e, recept_ai::Event::Other(_))
    });
}

#[test]
fn every_type_has_a_description_and_its_own_name() {
    for (platform, catalogue) in platforms() {
        let mut names = BTreeSet::new();
        for kind in catalogue.iter() {
            assert!(kind.description().ends_with('.'), "{platform} {kind:?}: {}", kind.description());
            assert!(!kind.description().starts_with(' '));
            assert!(kind.name().parse::<EventType>().is_ok());
            assert!(names.insert(kind.name()), "{platform} names {kind:?} twice");
        }
    }
}

#[test]
fn the_catalogues_hold_the_published_types() {
    let names = |catalogue: Catalogue| catalogue.iter().map(|kind| kind.name()).collect::<Vec<_>>();
    assert_eq!(
        names(allison::Event::CATALOGUE),
        [
            "call.ended",
            "call.callback_requested",
            "call.message_taken",
            "call.escalation_triggered",
            "call.appointment_booked",
            "contact.created",
        ]
    );
    assert_eq!(
        names(allo::Event::CATALOGUE),
        [
            "call.received",
            "call.triggered",
            "call.answered",
            "call.completed",
            "tag.added",
            "tag.removed",
            "sms.received",
            "sms.sent",
            "contact.created",
            "contact.updated",
        ]
    );
    assert_eq!(
        names(allo_v1::Event::CATALOGUE),
        ["CALL_RECEIVED", "SMS_RECEIVED", "SMS_SENT", "CONTACT_CREATED", "CONTACT_UPDATED"]
    );
    assert_eq!(
        names(nectar_desk::Event::CATALOGUE),
        [
            "Contact Created",
            "Contact Modified",
            "Contact List Created",
            "Contact List Modified",
            "Call Ended",
            "Call Abandoned",
            "Call Overflowed To Voicemail",
            "Call Disposition Saved",
            "Call Disposition Modified",
            "Call Recording Received",
            "Message Received",
            "Message Sent",
        ]
    );
    assert_eq!(
        names(recept_ai::Event::CATALOGUE),
        [
            "Call Started",
            "Call Ended",
            "Call Failed",
            "Call Queued",
            "Transcript Available",
            "Recording Ready",
            "Quality Score",
            "Cost Calculated",
            "Agent Status Change",
            "Configuration Update",
            "Sync Status",
            "Performance Alerts",
            "Knowledge Base Update",
            "Phone Number Changes",
            "User Actions",
            "System Maintenance",
        ]
    );
}

#[test]
fn samples_fill_every_field_and_name_nobody() {
    for (platform, catalogue) in platforms() {
        for kind in catalogue.iter() {
            let text = kind.sample().get().to_owned();
            assert!(!text.contains("null"), "{platform} {kind:?} leaves a field empty: {text}");
            for (at, _) in text.match_indices("+1") {
                assert!(
                    text[at..].starts_with("+1555"),
                    "{platform} {kind:?} has a number that may be somebody's"
                );
            }
        }
    }
}

// Tolerance.

#[test]
fn each_optional_field_may_be_null_missing_or_an_empty_array() {
    for (platform, catalogue) in platforms() {
        for kind in catalogue.iter() {
            for key in object(kind.sample().get())
                .keys()
                .filter(|key| Some(key.as_str()) != required(platform, kind.name()))
            {
                for replacement in [Some(Value::Null), None, Some(json!([]))] {
                    let mut data = object(kind.sample().get());
                    data.remove(key);
                    data.extend(replacement.clone().map(|value| (key.clone(), value)));
                    let checked = catalogue.check(kind.name(), &raw(&data));
                    assert!(checked.is_ok(), "{kind:?} with `{key}` as {replacement:?}: {checked:?}");
                }
            }
        }
    }
}

#[test]
fn an_event_of_which_only_the_id_is_known_is_read() {
    for (platform, catalogue) in platforms() {
        for kind in catalogue.iter() {
            let data: Map<_, _> = required(platform, kind.name())
                .map(|key| (key.to_owned(), json!("only")))
                .into_iter()
                .collect();
            catalogue.check(kind.name(), &raw(&data)).unwrap();
        }
    }
}

#[test]
fn the_id_must_be_there_as_text() {
    for (platform, catalogue) in platforms() {
        for kind in catalogue.iter() {
            let Some(id) = required(platform, kind.name()) else { continue };
            let mut data = object(kind.sample().get());
            data.insert(id.to_owned(), Value::Null);
            assert_eq!(catalogue.check(kind.name(), &raw(&data)).unwrap_err().field(), id);
            data.remove(id);
            let error = catalogue.check(kind.name(), &raw(&data)).unwrap_err();
            assert_eq!(error.expected(), Some(format!("a field `{id}`").as_str()));
        }
    }
}

#[test]
fn unknown_fields_are_ignored() {
    for (_, catalogue) in platforms() {
        for kind in catalogue.iter() {
            let mut data = object(kind.sample().get());
            data.insert("added_later".into(), json!({"deep": [1, {"er": null}]}));
            catalogue.check(kind.name(), &raw(&data)).unwrap();
        }
    }
    let data = r#"{"call_id":"c","added_later":1}"#;
    assert_eq!(read::<allison::CallEnded>("call.ended", data).unwrap(), allison::CallEnded::new("c"));
}

#[test]
fn unknown_values_of_open_enums_are_kept_and_written_back_unchanged() {
    let cases = [
        (allison::Event::CATALOGUE, "call.ended", "/direction"),
        (allison::Event::CATALOGUE, "call.ended", "/disposition"),
        (allison::Event::CATALOGUE, "call.escalation_triggered", "/action"),
        (allo_v1::Event::CATALOGUE, "CALL_RECEIVED", "/type"),
        (allo_v1::Event::CATALOGUE, "CALL_RECEIVED", "/transcriptions/1/source"),
        (allo_v1::Event::CATALOGUE, "SMS_RECEIVED", "/direction"),
        (allo_v1::Event::CATALOGUE, "SMS_SENT", "/type"),
    ];
    for (catalogue, event_type, pointer) in cases {
        for value in ["brand_new", "", "Inbound", "ünïcode \" \\ \u{1}"] {
            let mut data: Value =
                serde_json::from_str(catalogue.find(event_type).unwrap().sample().get()).unwrap();
            *data.pointer_mut(pointer).unwrap() = value.into();
            let text = data.to_string();
            let written = match catalogue.find("CALL_RECEIVED") {
                Some(_) => write(&read::<allo_v1::Event>(event_type, &text).unwrap()),
                None => write(&read::<allison::Event>(event_type, &text).unwrap()),
            };
            assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), data, "{event_type} {pointer}");
        }
    }
    assert_eq!(allison::Direction::from("sideways"), allison::Direction::Other("sideways".into()));
    assert_eq!(allison::Direction::from("inbound"), allison::Direction::Inbound);
    assert_eq!(allison::Disposition::Hangup.to_string(), "hangup");
}

#[test]
fn data_that_is_no_object_does_not_fit_a_typed_event() {
    for data in ["1", "\"text\"", "[1]", "true", "null"] {
        let data = RawValue::from_string(data.to_owned()).unwrap();
        assert!(allison::Event::CATALOGUE.check("call.ended", &data).is_err(), "{data}");
    }
}

// Errors.

#[test]
fn an_error_names_the_field_and_what_would_fit() {
    let data = RawValue::from_string(r#"{"call_id":"c","outcome_tags":["a","b",3]}"#.into()).unwrap();
    let error = allison::Event::CATALOGUE.check("call.ended", &data).unwrap_err();
    assert_eq!(error.event_type(), &"call.ended");
    assert_eq!(error.field(), "outcome_tags[2]");
    assert_eq!(error.expected(), Some("a string"));
    assert_eq!(
        error.to_string(),
        "data of `call.ended` does not fit its type at `outcome_tags[2]`, expected a string"
    );
    assert_eq!(error.data().get(), data.get());
    assert_eq!(error.id(), None);
    let (event_type, kept) = error.into_raw();
    assert_eq!((event_type.as_str(), kept.get()), ("call.ended", data.get()));
}

#[test]
fn a_time_that_is_none_is_named_with_what_would_fit() {
    for time in [r#""yesterday""#, r#""2026-04-17 19:12""#, "5", "{}"] {
        let data = RawValue::from_string(format!(r#"{{"call_id":"c","started_at":{time}}}"#)).unwrap();
        let error = allison::Event::CATALOGUE.check("call.ended", &data).unwrap_err();
        assert_eq!(
            (error.field(), error.expected()),
            ("started_at", Some("a time as RFC 3339 text")),
            "{time}"
        );
    }
}

#[test]
fn a_field_inside_a_field_is_named_by_its_path() {
    let data = r#"{"id":"c","transfer_to":{"number":5}}"#;
    let data = RawValue::from_string(data.into()).unwrap();
    let error = allo_v1::Event::CATALOGUE.check("CALL_RECEIVED", &data).unwrap_err();
    assert_eq!(error.field(), "transfer_to.number");
}

#[test]
fn an_error_never_shows_the_data() {
    const MARKER: &str = "SECRET-MARKER";
    let wrong = [
        json!(MARKER),
        json!([MARKER]),
        json!([[MARKER], {MARKER: MARKER}]),
        json!({MARKER: MARKER}),
        json!([{"source": {MARKER: 1}, "time": MARKER, "text": [MARKER]}]),
        json!({"number": [MARKER], "user_email": {MARKER: MARKER}}),
        json!(format!("{MARKER}, expected {MARKER}")),
        json!(format!("missing field {MARKER}")),
        json!(format!("2026-04-17T19:12:03Z{MARKER}")),
    ];
    let mut errors = 0;
    for (_, catalogue) in platforms() {
        for kind in catalogue.iter() {
            let whole = wrong.iter().map(raw);
            let fields = object(kind.sample().get());
            let by_field = fields.keys().flat_map(|key| {
                wrong.iter().map(|value| {
                    let mut data = fields.clone();
                    data.insert(key.clone(), value.clone());
                    raw(&data)
                })
            });
            for data in whole.chain(by_field) {
                let Err(error) = catalogue.check(kind.name(), &data) else { continue };
                errors += 1;
                assert_silent(&error, MARKER);
            }
        }
    }
    assert!(errors > 300, "only {errors} errors were made");
}

#[test]
fn an_error_of_the_users_own_making_is_not_shown_either() {
    #[derive(Clone, Debug, PartialEq, Serialize)]
    struct Color(String);

    impl<'de> Deserialize<'de> for Color {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            Err(serde::de::Error::custom(format!("no such color: {text}")))
        }
    }

    #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
    struct Painted {
        color: Color,
    }

    #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    hookwire::catalogue! {
        enum PaintEvent {
            /// A wall was painted.
            Painted = "wall.painted", sample: Painted { color: Color("red".into()) };
            /// Nothing was painted.
            Nothing = "wall.left", sample: Nothing {};
        }
    }

    let data = raw(&json!({"color": "x, expected SECRET-MARKER"}));
    let error = PaintEvent::CATALOGUE.check("wall.painted", &data).unwrap_err();
    assert_eq!((error.field(), error.expected()), ("color", None));
    assert_silent(&error, "SECRET-MARKER");

    let data = raw(&json!({"x, expected SECRET": 1}));
    let error = PaintEvent::CATALOGUE.check("wall.left", &data).unwrap_err();
    assert_eq!(error.expected(), None);
}

#[test]
fn a_type_that_is_not_in_the_catalogue_fits_anything() {
    let data = RawValue::from_string("[1, 2]".into()).unwrap();
    for (_, catalogue) in platforms() {
        assert!(catalogue.check("something.new", &data).is_ok());
        assert!(catalogue.find("something.new").is_none());
    }
    assert!(Catalogue::OPEN.is_open());
    assert!(Catalogue::OPEN.check("anything", &data).is_ok());
    assert!(!allison::Event::CATALOGUE.is_open());
}

// Raw events.

#[test]
fn an_event_of_an_unknown_type_keeps_its_bytes() {
    let data = "{ \"b\" : 1.50, \"a\":\t[1e999, \"\\u00e9\"], \"b\":12345678901234567890123 }";
    let event: allison::Event = read("call_order.status_changed", data).unwrap();
    let allison::Event::Other(other) = &event else { panic!("expected Other, got {event:?}") };
    assert_eq!(other.event_type(), "call_order.status_changed");
    assert_eq!(other.data().get(), data);
    assert_eq!(event.event_type(), "call_order.status_changed");
    assert_eq!(write(&event), data);
}

#[test]
fn raw_events_are_equal_when_their_text_is() {
    let event = |data| read::<RawEvent>("a.b", data).unwrap();
    assert_eq!(event("{\"a\":1}"), event("{\"a\":1}"));
    assert_ne!(event("{\"a\":1}"), event("{\"a\": 1}"));
    assert_ne!(event("{}"), read::<RawEvent>("a.c", "{}").unwrap());
}

#[test]
fn a_raw_event_needs_a_name_and_json() {
    assert!(RawEvent::new("", json!({})).is_err());
    assert!(RawEvent::new("a\nb", json!({})).is_err());
    let not_json = std::collections::BTreeMap::from([((1, 2), 3)]);
    assert_eq!(RawEvent::new("a.b", not_json).unwrap_err().kind(), hookwire::ErrorKind::Encode);
}

// Ids, types, patterns.

#[test]
fn an_event_id_is_1_to_256_visible_ascii_characters() {
    for good in ["a", "evt_0123", "!~", "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", "a.b", &"x".repeat(256)] {
        let id: EventId = good.parse().unwrap();
        assert_eq!((id.as_str(), id.to_string().as_str()), (good, good));
        assert_eq!(serde_json::from_str::<EventId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
    }
    for bad in ["", " ", "two words", "tab\t", "line\n", "\u{7f}", "é", "a\0", &"x".repeat(257)] {
        let error = bad.parse::<EventId>().unwrap_err();
        assert_eq!(error.kind(), hookwire::ErrorKind::Event, "{bad:?}");
        assert!(serde_json::from_str::<EventId>(&json!(bad).to_string()).is_err(), "{bad:?}");
    }
}

#[test]
fn a_made_event_id_is_evt_and_32_hex_digits_that_sort_by_time() {
    let id = EventId::from_parts(datetime!(2026-04-17 19:12:03.482 UTC), [0xff; 10]);
    assert_eq!(id.as_str(), "evt_019d9cdb7d9a7fffbfffffffffffffff");
    let later = EventId::from_parts(datetime!(2026-04-17 19:12:03.483 UTC), [0; 10]);
    assert!(id < later);
    let early = EventId::from_parts(datetime!(1969-12-31 23:59:59 UTC), [0; 10]);
    assert_eq!(early, EventId::from_parts(OffsetDateTime::UNIX_EPOCH, [0; 10]));
    let fresh = EventId::generate();
    assert!(fresh.as_str().strip_prefix("evt_").is_some_and(|hex| {
        hex.len() == 32 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }));
    assert_ne!(fresh, EventId::generate());
}

#[test]
fn an_event_type_is_1_to_256_bytes_without_control_characters() {
    for good in ["a", "call.ended", "Call Ended", "CALL_RECEIVED", "é", &"x".repeat(256)] {
        let name: EventType = good.parse().unwrap();
        assert_eq!(name, good);
        assert_eq!(name.to_string(), good);
    }
    for bad in ["", "a\n", "\0", "a\u{85}b", &"x".repeat(257), &"é".repeat(129)] {
        assert_eq!(bad.parse::<EventType>().unwrap_err().kind(), hookwire::ErrorKind::Event, "{bad:?}");
    }
}

#[test]
fn a_pattern_is_a_name_a_prefix_or_all() {
    let cases: [(&str, &[&str], &[&str]); 4] = [
        ("*", &["call.ended", "x"], &[]),
        (
            "call.*",
            &["call.ended", "call.a.b", "call.*"],
            &["call", "call.", "callback.requested", "a.call.b"],
        ),
        ("call.ended", &["call.ended"], &["call.ended2", "call", "Call.ended"]),
        ("Call Ended", &["Call Ended"], &["Call", "call ended"]),
    ];
    for (text, matching, others) in cases {
        let pattern: EventPattern = text.parse().unwrap();
        assert_eq!(pattern.to_string(), text);
        for name in matching {
            assert!(pattern.matches(name), "{text} should match {name}");
        }
        for name in others {
            assert!(!pattern.matches(name), "{text} should not match {name}");
        }
    }
    assert!("".parse::<EventPattern>().is_err());
    assert!("a\n.*".parse::<EventPattern>().is_err());
}

#[test]
fn a_pattern_that_could_never_match_is_refused() {
    for text in ["call*", "SMS_*", "*.ended", "call.*.ended", "call.**", "**", "*call.*"] {
        assert_eq!(text.parse::<EventPattern>().unwrap_err().kind(), hookwire::ErrorKind::Event, "{text}");
    }
}

#[test]
fn a_catalogue_is_searched_by_pattern() {
    let catalogue = allo::Event::CATALOGUE;
    let matching = |text: &str| {
        let pattern = text.parse().unwrap();
        catalogue.matching(&pattern).map(|kind| kind.name()).collect::<Vec<_>>()
    };
    assert_eq!(matching("tag.*"), ["tag.added", "tag.removed"]);
    assert_eq!(matching("sms.sent"), ["sms.sent"]);
    assert_eq!(matching("*").len(), 10);
    assert!(matching("fax.*").is_empty());
    assert_eq!(
        format!("{:?}", allo_v1::Event::CATALOGUE),
        r#"["CALL_RECEIVED", "SMS_RECEIVED", "SMS_SENT", "CONTACT_CREATED", "CONTACT_UPDATED"]"#
    );
}

// Envelopes and their formats.

#[test]
fn a_new_envelope_has_a_fresh_id_and_whole_milliseconds() {
    let envelope = Envelope::new(allison::ContactCreated::new("con_1"));
    assert_eq!(envelope.event_type(), "contact.created");
    assert_eq!(envelope.created_at.nanosecond() % 1_000_000, 0);
    assert!(envelope.created_at.offset().is_utc());
    assert_eq!(envelope.version, None);
    let id = envelope.id.clone();
    let mapped = envelope.map(allison::Event::from);
    assert_eq!(mapped.id, id);
    assert!(matches!(mapped.data, allison::Event::ContactCreated(contact) if contact.contact_id == "con_1"));
}

#[test]
fn a_format_knows_whether_the_body_carries_the_id() {
    assert!(EnvelopeFormat::ALLISON.carries_id());
    for format in [
        EnvelopeFormat::ALLO,
        EnvelopeFormat::ALLO_V1,
        EnvelopeFormat::NECTAR_DESK,
        EnvelopeFormat::RECEPT_AI,
        EnvelopeFormat::STANDARD_WEBHOOKS,
    ] {
        assert!(!format.carries_id());
    }
    let names = |format: EnvelopeFormat| format.fields().iter().map(Field::name).collect::<Vec<_>>();
    assert_eq!(names(EnvelopeFormat::ALLISON), ["id", "type", "created_at", "api_version", "data"]);
    assert_eq!(names(EnvelopeFormat::ALLO), ["topic", "version", "timestamp", "data"]);
    assert_eq!(names(EnvelopeFormat::ALLO_V1), ["topic", "data"]);
    assert_eq!(names(EnvelopeFormat::NECTAR_DESK), ["event", "data"]);
    assert_eq!(names(EnvelopeFormat::RECEPT_AI), ["event", "timestamp", "data"]);
}

#[test]
#[should_panic(expected = "exactly one type field")]
fn a_format_without_fields_is_refused() {
    let _ = EnvelopeFormat::new(&[]);
}

#[test]
#[should_panic(expected = "exactly one type field")]
fn a_format_without_a_type_is_refused() {
    let _ = EnvelopeFormat::new(&[Field::Id("id"), Field::Data("data")]);
}

#[test]
#[should_panic(expected = "exactly one type field")]
fn a_format_with_two_types_is_refused() {
    let _ = EnvelopeFormat::new(&[Field::Type("a"), Field::Type("b"), Field::Data("data")]);
}

#[test]
#[should_panic(expected = "exactly one data field")]
fn a_format_without_data_is_refused() {
    let _ = EnvelopeFormat::new(&[Field::Type("type")]);
}

#[test]
#[should_panic(expected = "same name")]
fn a_format_with_one_name_for_two_fields_is_refused() {
    let _ = EnvelopeFormat::new(&[Field::Type("event"), Field::Data("event")]);
}

#[test]
#[should_panic(expected = "stands twice")]
fn a_format_with_two_times_is_refused() {
    let _ = EnvelopeFormat::new(&[
        Field::Type("type"),
        Field::CreatedAt("at", TimePrecision::Milliseconds),
        Field::CreatedAt("created", TimePrecision::Microseconds),
        Field::Data("data"),
    ]);
}

// Allison.

#[test]
fn a_transcript_is_one_text_or_a_list_of_turns() {
    let read = |transcript: Value| {
        let data = json!({"call_id": "c", "transcript": transcript}).to_string();
        read::<allison::CallEnded>("call.ended", &data).map(|call| call.transcript)
    };
    assert_eq!(read(json!("all of it")).unwrap(), Some(allison::Transcript::Text("all of it".into())));
    assert_eq!(
        read(json!([{"who": "agent"}, "a turn"])).unwrap(),
        Some(allison::Transcript::Turns(vec![json!({"who": "agent"}), json!("a turn")]))
    );
    assert_eq!(read(Value::Null).unwrap(), None);
    assert!(read(json!(5)).is_err());
}

#[test]
fn times_are_read_with_any_offset_and_written_as_rfc_3339() {
    let data = r#"{"call_id":"c","started_at":"2026-04-17T21:09:40.5+02:00"}"#;
    let call: allison::CallEnded = read("call.ended", data).unwrap();
    assert_eq!(call.started_at.unwrap(), datetime!(2026-04-17 19:09:40.5 UTC));
    let again: allison::CallEnded = read("call.ended", &write(&call)).unwrap();
    assert_eq!(again, call);
}

#[test]
fn ids_are_kept_as_text() {
    let call: allison::CallEnded = read("call.ended", r#"{"call_id":"not a uuid"}"#).unwrap();
    assert_eq!(call.call_id, "not a uuid");
}

// Allo's first API.

#[test]
fn an_allo_call_derives_its_length() {
    let call =
        |length| allo_v1::Call::new("c", allo_v1::Direction::Inbound, OffsetDateTime::UNIX_EPOCH, length);
    let cases = [(330, 5.5, "5m 30s"), (0, 0.0, "0m 0s"), (45, 0.75, "0m 45s"), (3900, 65.0, "65m 0s")];
    for (seconds, minutes, words) in cases {
        let call = call(Duration::from_secs(seconds));
        assert_eq!((call.length_in_minutes, call.length.as_str()), (minutes, words));
    }
    assert_eq!(call(Duration::from_millis(59_999)).length, "0m 59s");
    assert_eq!(call(Duration::MAX).with_length(Duration::from_secs(60)).length, "1m 0s");
}

#[test]
fn an_allo_call_derives_its_concatenated_transcript() {
    let turn = |text: &str| {
        allo_v1::Transcription::new(allo_v1::Source::Agent, datetime!(2026-04-17 19:06:35 UTC), text)
    };
    let call =
        allo_v1::Call::new("c", allo_v1::Direction::Outbound, OffsetDateTime::UNIX_EPOCH, Duration::ZERO);
    assert_eq!(call.concatenated_transcript, "");
    let call = call.with_transcriptions([turn("One."), turn("Two.")]);
    assert_eq!(
        (call.transcriptions.len(), call.concatenated_transcript.as_str()),
        (2, "AGENT: One.\nAGENT: Two.")
    );
    assert_eq!(call.with_transcriptions([]).concatenated_transcript, "");
}

#[test]
fn an_allo_call_writes_its_nullable_fields_as_null_and_no_others() {
    let call = allo_v1::Call::new(
        "c",
        allo_v1::Direction::Inbound,
        OffsetDateTime::UNIX_EPOCH,
        Duration::from_secs(330),
    );
    let data = object(&write(&allo_v1::Event::CallReceived(call)));
    let mut nulls: Vec<_> =
        data.iter().filter(|(_, value)| value.is_null()).map(|(key, _)| key.as_str()).collect();
    nulls.sort_unstable();
    assert_eq!(
        nulls,
        [
            "from_name",
            "integration_id",
            "one_sentence_summary",
            "original_to_name",
            "original_to_number",
            "recording_url",
            "summary",
            "tag",
            "to_name",
            "transfer_from",
            "transfer_original_call_id",
            "transfer_to",
        ]
    );
    assert_eq!(data.len(), 23);
    let contact = object(&write(&allo_v1::Event::ContactCreated(allo_v1::Contact::new("x"))));
    assert_eq!(
        Value::Object(contact),
        json!({"id": "x", "name": null, "last_name": null, "company": null, "emails": [], "numbers": []})
    );
}

#[test]
fn what_allo_leaves_out_reads_as_nothing_of_its_kind() {
    let call: allo_v1::Event =
        read("CALL_RECEIVED", r#"{"id":"c","data_collected":[],"transcriptions":[{}]}"#).unwrap();
    let allo_v1::Event::CallReceived(call) = call else { panic!("expected a call") };
    assert_eq!(call.start_date, OffsetDateTime::UNIX_EPOCH);
    assert_eq!((call.from_number.as_str(), call.length_in_minutes), ("", 0.0));
    assert_eq!(call.direction, allo_v1::Direction::Other(String::new()));
    assert!(call.data_collected.is_empty());
    assert_eq!(call.transcriptions[0].text, "");
}

#[test]
fn an_allo_length_may_be_a_whole_number() {
    let call: allo_v1::Event = read("CALL_RECEIVED", r#"{"id":"c","length_in_minutes":5}"#).unwrap();
    assert!(matches!(call, allo_v1::Event::CallReceived(call) if call.length_in_minutes == 5.0));
}

// Open data.

#[test]
fn open_data_keeps_every_field_and_reads_the_obvious_ones() {
    let text = r#"{"from":15550100142,"from_number":null,"id":"","nested":{"a":[1]},"to":["x"]}"#;
    let event: nectar_desk::Event = read("Call Ended", text).unwrap();
    assert_eq!(write(&event), text);
    let nectar_desk::Event::CallEnded(data) = event else { panic!("expected a call") };
    assert_eq!(data.from_number().as_deref(), Some("15550100142"));
    assert_eq!(data.to_number(), None);
    assert_eq!(data.id(), None);
    assert_eq!(data.field("nested"), Some(&json!({"a": [1]})));
    assert_eq!(data.text("nested"), None);
}

#[test]
fn the_samples_of_open_data_are_read_by_their_accessors() {
    let events: Vec<_> = nectar_desk::Event::samples().collect();
    let nectar_desk::Event::CallRecordingReceived(call) = &events[9] else { panic!("expected a recording") };
    assert_eq!(call.call_id().as_deref(), Some("9041"));
    assert_eq!(call.recording_url().as_deref(), Some("https://recordings.example.com/9041.mp3"));
    let nectar_desk::Event::MessageReceived(message) = &events[10] else { panic!("expected a message") };
    assert_eq!(message.message_id().as_deref(), Some("m-311"));
    assert_eq!(message.contact_id().as_deref(), Some("c-7"));
    assert_eq!(message.from_number().as_deref(), Some("+15550100142"));
    assert_eq!(message.to_number().as_deref(), Some("+15550100100"));
}

#[test]
fn open_data_reads_null_and_an_empty_array_as_no_fields_and_refuses_other_json() {
    for (event_type, catalogue) in [
        ("call.received", allo::Event::CATALOGUE),
        ("Call Ended", nectar_desk::Event::CATALOGUE),
        ("Call Ended", recept_ai::Event::CATALOGUE),
    ] {
        for (data, fits) in
            [("null", true), ("[]", true), ("{}", true), ("5", false), ("\"x\"", false), ("[1]", false)]
        {
            let data = RawValue::from_string(data.to_owned()).unwrap();
            assert_eq!(catalogue.check(event_type, &data).is_ok(), fits, "{event_type} {data}");
        }
    }
}

#[test]
fn nectar_desk_orders_the_events_of_one_call_or_message() {
    let key = |event_type: &str, data: Value| {
        let event: nectar_desk::Event = read(event_type, &data.to_string()).unwrap();
        event.ordering_key().map(|key| key.into_owned())
    };
    assert_eq!(key("Call Ended", json!({"call_id": "7", "id": "1"})).as_deref(), Some("7"));
    assert_eq!(key("Call Disposition Saved", json!({"callId": 7})).as_deref(), Some("7"));
    assert_eq!(key("Call Abandoned", json!({"id": "7"})).as_deref(), Some("7"));
    assert_eq!(key("Message Sent", json!({"message_id": "m", "call_id": "7"})).as_deref(), Some("m"));
    assert_eq!(key("Contact Created", json!({"id": "c"})), None);
    assert_eq!(key("Call Ended", json!({})), None);
    assert_eq!(key("Something New", json!({"call_id": "7"})), None);
}

#[test]
fn every_recept_ai_event_has_a_family_and_an_unknown_one_has_none() {
    use recept_ai::Family;

    let families: Vec<_> = recept_ai::Event::samples().map(|event| event.family().unwrap()).collect();
    let count = |family| families.iter().filter(|&&other| other == family).count();
    assert_eq!(
        [count(Family::Call), count(Family::Agent), count(Family::System), count(Family::User)],
        [8, 4, 3, 1]
    );
    assert_eq!(read::<recept_ai::Event>("Something New", "{}").unwrap().family(), None);
}

#[test]
fn the_published_payloads_of_allo_are_typed() {
    let published = |name: &str| fs::read_to_string(samples().join("../allo").join(name)).unwrap();
    let event: allo::Event = read("call.received", &published("call.received.json")).unwrap();
    let allo::Event::CallReceived(call) = &event else { panic!("expected a call") };
    assert_eq!(call.from_number.as_deref(), Some("+33612345678"));
    assert_eq!(call.to_number.as_deref(), Some("+33112345678"));
    assert_eq!(call.started_at, Some(datetime!(2025-03-15 14:30:00 UTC)));
    assert_eq!(call.user_email.as_deref(), Some("agent@example.com"));
    let person = call.person.as_ref().unwrap();
    assert_eq!((person.name.as_deref(), person.last_name.as_deref()), (Some("Marie"), Some("Dupont")));
    assert_eq!(person.numbers.as_deref(), Some(&["+33612345678".to_owned()][..]));
    assert_eq!(person.job_title.as_deref(), Some("Head of Sales"));
    // The account defines further properties.
    assert_eq!(person.open["lead_source"], "Inbound");
    assert_eq!(call.company.as_ref().unwrap().name.as_deref(), Some("Acme Corp"));
    let deal = &call.deals.as_ref().unwrap()[0];
    assert_eq!(deal.status.as_deref(), Some("qualified"));
    assert_eq!(deal.value.as_ref().and_then(|value| value.as_f64()), Some(25000.0));
    assert_eq!(deal.close_date.as_deref(), Some("2025-06-15T00:00:00"));
    assert!(call.open.is_empty());

    let event: allo::Event = read("call.completed", &published("call.completed.json")).unwrap();
    let allo::Event::CallCompleted(call) = &event else { panic!("expected a call") };
    assert_eq!(call.id.as_deref(), Some("cll_2NfDKEm9sF8xK3pQr1Zt"));
    assert_eq!(call.to.as_deref(), Some("+33112345678"));
    assert_eq!(call.direction, Some(allo::Direction::Inbound));
    assert_eq!(call.result, Some(allo::CallResult::Answered));
    let turn = &call.transcript.as_ref().unwrap()[0];
    assert_eq!((turn.source.clone(), turn.text.as_deref()), (Some(allo::Source::Agent), Some("Hello")));

    let event: allo::Event = read("sms.received", &published("sms.received.json")).unwrap();
    let allo::Event::SmsReceived(sms) = &event else { panic!("expected a message") };
    assert_eq!(sms.content.as_deref(), Some("Hello, I am looking for a flat."));
    assert_eq!(sms.message_type, Some(allo::MessageType::Sms));
    assert_eq!(sms.sent_at, Some(datetime!(2025-03-15 16:00:00 UTC)));
}

/// Without a match, `person` is missing, and `company` and `deals` are null.
#[test]
fn an_allo_call_without_a_contact_is_promised_and_read() {
    let data = json!({
        "from_number": "+33612345678", "to_number": "+33112345678", "started_at": "2025-03-15T14:30:00.000Z",
        "user_email": "agent@example.com", "company": null, "deals": null,
    });
    let kind = allo::Event::CATALOGUE.find("call.received").unwrap();
    kind.check_schema(&raw(&data)).unwrap();
    let event: allo::Event = read("call.received", &data.to_string()).unwrap();
    let allo::Event::CallReceived(call) = event else { panic!("expected a call") };
    assert_eq!((call.person, call.company, call.deals), (None, None, None));
    // A null is written back.
    assert_eq!(call.open["company"], Value::Null);
}

#[test]
fn an_allo_field_of_another_kind_stays_in_the_open_json() {
    let data = json!({
        "id": 7, "type": "SIDEWAYS", "duration": "2m", "transcript": [{"source": "ROBOT", "time": 3, "text": "a"}, 4],
        "tags": [{"id": "tag_1"}], "sentiment": {"score": 0.5}, "start_date": "yesterday",
    });
    let event: allo::Event = read("call.completed", &data.to_string()).unwrap();
    let allo::Event::CallCompleted(call) = &event else { panic!("expected a call") };
    assert_eq!((call.id.as_deref(), call.duration.as_ref(), call.start_date), (None, None, None));
    assert_eq!(call.direction, Some(allo::Direction::Other("SIDEWAYS".into())));
    assert_eq!(call.transcript, None, "one turn is of another kind");
    assert_eq!(call.tags.as_deref(), Some(&[json!({"id": "tag_1"})][..]));
    assert_eq!(call.open["sentiment"], json!({"score": 0.5}));
    assert_eq!(serde_json::from_str::<Value>(&write(&event)).unwrap(), data);
}

/// A receiver reads more than a sender promises.
#[test]
fn data_that_a_receiver_tolerates_may_break_the_senders_schema() {
    let broken = |catalogue: Catalogue, name: &str, data: Value| {
        let kind = catalogue.find(name).unwrap();
        assert!(kind.check(&raw(&data)).is_ok(), "a receiver reads {data}");
        let error = kind.check_schema(&raw(&data)).unwrap_err();
        (error.field().to_owned(), error.expected().unwrap().to_owned())
    };
    let field = |field: &str, expected: &str| (field.to_owned(), expected.to_owned());
    let allison = allison::Event::CATALOGUE;
    assert_eq!(
        broken(allison, "call.ended", json!({"call_id": "c", "direction": "sideways"})),
        field("direction", "one of inbound, outbound, or null")
    );
    assert_eq!(
        broken(allison, "call.ended", json!({"call_id": "c", "summary": []})),
        field("summary", "text, or null")
    );
    let order = json!({"call_id": "c", "order": {"call_order_number": 7, "items": null}});
    allison.find("call.ended").unwrap().check_schema(&raw(&order)).unwrap();

    let allo_v1 = allo_v1::Event::CATALOGUE;
    let mut call: Value =
        serde_json::from_str(allo_v1.find("CALL_RECEIVED").unwrap().sample().get()).unwrap();
    call["transcriptions"][1]["source"] = "ROBOT".into();
    assert_eq!(
        broken(allo_v1, "CALL_RECEIVED", call.clone()),
        field("transcriptions[1].source", "one of AGENT, USER")
    );
    call["transcriptions"][1] = json!({"source": "AGENT", "time": "2026-04-17T19:06:35Z"});
    assert_eq!(broken(allo_v1, "CALL_RECEIVED", call), field("transcriptions[1]", "a field `text`"));
    assert_eq!(broken(allo_v1, "CONTACT_CREATED", json!({"id": "c"})), field(".", "a field `name`"));

    let allo = allo::Event::CATALOGUE;
    assert_eq!(broken(allo, "call.received", json!({})), field(".", "a field `from_number`"));
    assert_eq!(
        broken(allo, "sms.sent", json!({"id": "m", "type": "FAX"})),
        field("type", "one of SMS, MMS, or null")
    );
    assert_eq!(broken(nectar_desk::Event::CATALOGUE, "Call Ended", json!(null)), field(".", "an object"));
}

#[test]
fn allisons_order_fields_are_typed() {
    let data = json!({
        "call_id": "c", "outcome_tags": [], "outcome": "order", "order_status": "new",
        "order": {"call_order_number": 12, "profile_id": "p", "profile_name": "Bakery", "items": [{"name": "Roll"}]},
    });
    let event: allison::Event = read("call.ended", &data.to_string()).unwrap();
    let allison::Event::CallEnded(call) = &event else { panic!("expected a call") };
    assert_eq!(call.order_status, Some(allison::OrderStatus::New));
    let order = call.order.as_ref().unwrap();
    assert_eq!((order.call_order_number, order.profile_name.as_deref()), (Some(12), Some("Bakery")));
    assert_eq!(order.items, [json!({"name": "Roll"})]);
    assert_eq!(serde_json::from_str::<Value>(&write(&event)).unwrap(), data);
}

#[test]
fn a_recept_ai_field_of_another_kind_stays_in_the_open_json() {
    let data =
        json!({"id": 7, "duration": "2m", "cost": 0.35, "participants": null, "status": "ok", "more": [1]});
    let event: recept_ai::Event = read("Call Ended", &data.to_string()).unwrap();
    let recept_ai::Event::CallEnded(call) = &event else { panic!("expected a call") };
    assert_eq!(
        (call.id.as_deref(), call.duration.as_ref(), call.status.as_deref()),
        (None, None, Some("ok"))
    );
    assert_eq!(call.cost.as_ref().and_then(|cost| cost.as_f64()), Some(0.35));
    assert_eq!(call.open.get("id"), Some(&json!(7)));
    assert_eq!(serde_json::from_str::<Value>(&write(&event)).unwrap(), data);
}

#[test]
fn a_recept_ai_field_is_never_written_twice() {
    let mut agent = recept_ai::AgentData::new();
    agent.id = Some("typed".into());
    agent.open.insert("id".into(), "open".into());
    agent.open.insert("status".into(), Value::Null);
    let written = write(&recept_ai::Event::AgentStatusChange(agent));
    assert_eq!(written, r#"{"id":"typed","status":null}"#);
}

// A custom catalogue.

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct OrderPaid {
    order_id: String,
    cents: u64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Parcel {
    parcel_id: String,
}

hookwire::catalogue! {
    /// The shop's events.
    enum ShopEvent {
        /// An order was paid,
        /// in full.
        OrderPaid = "order.paid", sample: OrderPaid { order_id: "o-1".into(), cents: 1999 };
        /// A parcel left the warehouse.
        Shipped(Parcel) = "parcel.shipped", sample: Parcel { parcel_id: "p-1".into() };
        /// A parcel came back.
        Returned(Parcel) = "parcel.returned", sample: Parcel { parcel_id: "p-1".into() };
    }
}

#[test]
fn a_catalogue_can_be_defined_by_anybody() {
    let catalogue = ShopEvent::CATALOGUE;
    assert_eq!(format!("{catalogue:?}"), r#"["order.paid", "parcel.shipped", "parcel.returned"]"#);
    assert_eq!(catalogue.find("order.paid").unwrap().description(), "An order was paid, in full.");
    assert_eq!(catalogue.find("order.paid").unwrap().sample().get(), r#"{"order_id":"o-1","cents":1999}"#);
    assert_eq!(ShopEvent::samples().count(), 3);

    let returned: ShopEvent = read("parcel.returned", r#"{"parcel_id":"p-9"}"#).unwrap();
    assert_eq!(returned, ShopEvent::Returned(Parcel { parcel_id: "p-9".into() }));
    assert!(matches!(read("parcel.lost", "{}").unwrap(), ShopEvent::Other(_)));
    assert!(<ShopEvent as EventData>::accepts("parcel.lost"));

    let paid = OrderPaid { order_id: "o-7".into(), cents: 5 };
    assert_eq!(EventData::event_type(&paid), "order.paid");
    assert!(OrderPaid::accepts("order.paid"));
    assert!(!OrderPaid::accepts("parcel.shipped"));
    assert_eq!(ShopEvent::from(paid.clone()), ShopEvent::OrderPaid(paid));
}

// Properties.

proptest! {
    #[test]
    fn a_raw_event_survives_a_round_trip(data in json_value()) {
        let event = RawEvent::new("some.thing", &data).unwrap();
        let text = write(&event);
        prop_assert_eq!(&read::<RawEvent>("some.thing", &text).unwrap(), &event);
        let other: allison::Event = read("some.thing", &text).unwrap();
        prop_assert_eq!(write(&other), text);
    }

    #[test]
    fn checking_any_json_never_panics(data in json_value()) {
        let data = raw(&data);
        for (_, catalogue) in platforms() {
            for kind in catalogue.iter() {
                let _ = kind.check(&data);
            }
        }
    }

    #[test]
    fn what_fits_is_the_same_after_a_round_trip(
        which in any::<prop::sample::Index>(),
        key in any::<prop::sample::Index>(),
        value in json_value(),
    ) {
        fn stable<T: EventData + PartialEq + std::fmt::Debug>(event_type: &str, data: &str) {
            if let Ok(event) = read::<T>(event_type, data) {
                assert_eq!(read::<T>(event_type, &write(&event)).unwrap(), event);
            }
        }

        for (platform, catalogue) in platforms() {
            let kind = catalogue.iter().nth(which.index(catalogue.iter().len())).unwrap();
            let mut data = object(kind.sample().get());
            let key = data.keys().nth(key.index(data.len())).unwrap().clone();
            data.insert(key, value.clone());
            let data = raw(&data);
            match platform {
                "allison" => stable::<allison::Event>(kind.name(), data.get()),
                "allo" => stable::<allo::Event>(kind.name(), data.get()),
                "allo_v1" => stable::<allo_v1::Event>(kind.name(), data.get()),
                "nectar_desk" => stable::<nectar_desk::Event>(kind.name(), data.get()),
                _ => stable::<recept_ai::Event>(kind.name(), data.get()),
            }
        }
    }

    #[test]
    fn any_text_is_an_event_id_or_an_error(text in ".{0,300}") {
        if let Ok(id) = text.parse::<EventId>() {
            prop_assert_eq!(id.as_str(), text);
        }
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // Few digits, because serde_json reads back exactly the shortest form of these.
        (-1_000_000i32..1_000_000).prop_map(|thousandths| Value::from(f64::from(thousandths) / 1000.0)),
        ".*".prop_map(Value::from),
        prop::sample::select(vec![
            "id",
            "call_id",
            "2026-04-17T19:12:03Z",
            "INBOUND",
            "9999-12-31T23:59:59-23:59"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        let key = prop_oneof![
            ".*",
            prop::sample::select(vec!["id", "call_id", "contact_id", "transcriptions", "source", "number"])
                .prop_map(str::to_owned),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

// Helpers.

/// The catalogues that publish types, with the names of their contracts.
fn platforms() -> impl Iterator<Item = (&'static str, Catalogue)> {
    let catalogues = Contract::NAMES.iter().map(|name| (*name, *contract(name).catalogue()));
    catalogues.filter(|(_, catalogue)| !catalogue.is_open())
}

fn contract(name: &str) -> Contract {
    name.parse().unwrap()
}

/// The required field of an event type's data.
fn required(platform: &str, event_type: &str) -> Option<&'static str> {
    match (platform, event_type) {
        ("allison", "contact.created") => Some("contact_id"),
        ("allison", _) => Some("call_id"),
        ("allo_v1", _) => Some("id"),
        _ => None,
    }
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/samples")
}

fn read<T: EventData>(event_type: &str, data: &str) -> serde_json::Result<T> {
    T::deserialize_data(event_type, &mut serde_json::Deserializer::from_str(data))
}

fn write<T: EventData>(event: &T) -> String {
    let mut text = Vec::new();
    event.serialize_data(&mut serde_json::Serializer::new(&mut text)).expect("an event can be written");
    String::from_utf8(text).expect("JSON is UTF-8")
}

fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).expect("an object")
}

fn raw(data: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(data).expect("data can be written")
}

fn assert_silent(error: &DataError, marker: &str) {
    for text in [error.to_string(), format!("{error:?}"), format!("{error:#?}")] {
        assert!(!text.contains(marker), "an error shows the data: {text}");
    }
}

//! No two different messages have the same signed content, under any scheme that can be built.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use hookwire::Scheme;
use hookwire::signature::{Part, Request, TimeForm};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use proptest::sample::select;
use time::OffsetDateTime;

/// Texts that may be taken for a part of their neighbours.
const TEXTS: [&str; 10] = ["a", "a.", ".a", ":", "a:a", "1", "11", "2023-11-14T22:13:2", "T", "v0"];
const TIMES: [i64; 4] = [1_111_111_111, 1_700_000_000, 1_700_000_001, 1_170_000_000];

/// One message, as far as a scheme can cover it.
#[derive(Clone, Debug)]
struct Message {
    id: &'static str,
    at: i64,
    headers: [&'static str; 2],
    fields: [&'static str; 3],
    rest: &'static str,
}

impl Message {
    fn body(&self, is_json: bool) -> String {
        let [a, b, c] = self.fields;
        match is_json {
            true => serde_json::json!({"a": a, "b": b, "c": c, "rest": self.rest}).to_string(),
            false => self.rest.to_owned(),
        }
    }

    /// The parts that the scheme covers.
    fn covered(&self, parts: &[Part], body: &str) -> Vec<String> {
        let covered = parts.iter().filter_map(|part| match part {
            Part::Id => Some(self.id.to_owned()),
            Part::Timestamp => Some(self.at.to_string()),
            Part::Body => Some(body.to_owned()),
            Part::Header("x-a") => Some(self.headers[0].to_owned()),
            Part::Header(_) => Some(self.headers[1].to_owned()),
            Part::Json("/a") => Some(self.fields[0].to_owned()),
            Part::Json(_) => Some(self.fields[1].to_owned()),
            Part::AnyJson(_) => Some(self.fields[2].to_owned()),
            _ => None,
        });
        covered.collect()
    }
}

/// The scheme of these parts, if it can be built.
fn scheme(parts: &[Part], form: TimeForm) -> Option<Scheme> {
    // A scheme is a constant; this one lives as long as the test.
    let parts: &'static [Part] = Box::leak(parts.into());
    let build = || {
        Scheme::new("any", "x-signature")
            .with_id_header("x-id")
            .with_timestamp_header("x-time")
            .with_time_form(form)
            .with_content(parts)
    };
    catch_unwind(AssertUnwindSafe(build)).ok()
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let all = [
        Part::Id,
        Part::Timestamp,
        Part::Body,
        Part::Text("."),
        Part::Text(":"),
        Part::Text("a"),
        Part::Method,
        Part::Header("x-a"),
        Part::Header("x-b"),
        Part::Json("/a"),
        Part::Json("/b"),
        Part::AnyJson("/c"),
    ];
    prop::collection::vec(select(all.to_vec()), 1..6)
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let text = || select(TEXTS.to_vec());
    let message = (text(), select(TIMES.to_vec()), [text(), text()], [text(), text(), text()], text())
        .prop_map(|(id, at, headers, fields, rest)| Message { id, at, headers, fields, rest });
    prop::collection::vec(message, 120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn different_messages_have_different_contents(
        parts in parts(),
        form in select(vec![TimeForm::Seconds, TimeForm::Milliseconds, TimeForm::Rfc3339]),
        messages in messages(),
    ) {
        let Some(scheme) = scheme(&parts, form) else { return Ok(()) };
        let is_json = parts.iter().any(|part| matches!(part, Part::Json(_) | Part::AnyJson(_)));
        let mut seen: HashMap<Vec<u8>, Vec<String>> = HashMap::new();
        for message in messages {
            let body = message.body(is_json);
            let mut headers = HeaderMap::new();
            for (name, value) in ["x-a", "x-b"].into_iter().zip(message.headers) {
                headers.insert(name, HeaderValue::from_static(value));
            }
            let at = OffsetDateTime::from_unix_timestamp(message.at).unwrap();
            // Messages that no verifier accepts have no content.
            let Ok(content) = scheme.signed_bytes(&Request::post(&headers, body.as_bytes()), message.id, at) else {
                continue;
            };
            let covered = message.covered(&parts, &body);
            let known = seen.entry(content).or_insert_with(|| covered.clone());
            prop_assert_eq!(&*known, &covered, "{:?} {:?}", parts, form);
        }
    }
}

/// Contents whose parts could be split in two ways cannot be built.
#[test]
fn ambiguous_contents_are_refused() {
    let refused: [(&[Part], TimeForm); 6] = [
        (&[Part::Id, Part::Timestamp, Part::Body], TimeForm::Seconds),
        (&[Part::Id, Part::Timestamp, Part::Body], TimeForm::Milliseconds),
        (&[Part::Id, Part::Body], TimeForm::Seconds),
        (&[Part::Body, Part::Body], TimeForm::Seconds),
        (&[Part::Header("x-a"), Part::Body], TimeForm::Seconds),
        (&[Part::Body, Part::Header("x-a")], TimeForm::Seconds),
    ];
    for (parts, form) in refused {
        assert!(scheme(parts, form).is_none(), "{parts:?} {form:?}");
    }
    assert!(scheme(&[Part::Id, Part::Timestamp, Part::Body], TimeForm::Rfc3339).is_some());
}

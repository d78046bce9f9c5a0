//! Event filters that judge more than the type.

use std::collections::BTreeMap;

use hookwire::subscription::{Candidate, Condition, Subject};
use hookwire::{Contract, Envelope, EventFilter, RawEvent};
use serde_json::{Value, json};

#[test]
fn a_condition_is_met_by_any_of_its_values_at_its_place() {
    let data = json!({
        "location": {"id": "loc_1", "a/b": "slash", "m~n": "tilde"},
        "tags": ["vip", 7],
        "duration": 5,
        "share": 2.0,
        "void": null,
        "open": true,
    });
    for (pointer, values, passes) in [
        ("/location/id", json!(["loc_2", "loc_1"]), true),
        ("/location/id", json!(["loc_2"]), false),
        ("/location/a~1b", json!(["slash"]), true),
        ("/location/m~0n", json!(["tilde"]), true),
        ("/tags", json!(["vip"]), true),
        ("/tags", json!(["none"]), false),
        ("/tags/1", json!([7]), true),
        ("/tags/0", json!([7]), false),
        ("/tags/2", json!([7]), false),
        ("/duration", json!([5.0]), true),
        ("/duration", json!(["5"]), false),
        ("/share", json!([2]), true),
        ("/void", json!([null]), true),
        ("/missing", json!([null]), false),
        ("/open", json!([true]), true),
        ("/open", json!([1]), false),
        ("/location", json!(["loc_1"]), false),
        ("/type", json!(["call.ended"]), false),
    ] {
        let condition = Condition::data(pointer, list(&values)).unwrap();
        assert_eq!(passes_with(condition, &data), passes, "{pointer} {values}");
    }
    let whole = |pointer, value: Value| Condition::new(Subject::Envelope, pointer, [value]).unwrap();
    assert!(passes_with(whole("/type", json!("call.ended")), &data));
    assert!(passes_with(whole("/api_version", json!("v1")), &data));
    assert!(passes_with(whole("/data/duration", json!(5)), &data));
    assert!(!passes_with(whole("/duration", json!(5)), &data));
}

#[test]
fn a_condition_reads_what_other_parsers_read() {
    let deep = |levels: usize, inner: &str| format!("{}{inner}{}", "[".repeat(levels), "]".repeat(levels));
    let odd = format!(
        r#"{{"huge": 1e400, "deep": {}, "half": "\ud800", "\ud800": 1, "big": 18446744073709551616,
            "minus": -0, "last": 7, "twice": 1, "twice": 2, "exact": 9007199254740993, "zeros": 5.000,
            "tenth": 0.10000000000000000555, "text": "\u0061\ud83e\udd8a", "inner": {{"twice": 3, "twice": [4]}},
            "list": [1e400, "\udc00", [1], 8]}}"#,
        deep(400, "1")
    );
    let meets = |pointer: &str, value: Value| {
        let filter = EventFilter::all().with_condition(Condition::data(pointer, [value]).unwrap()).unwrap();
        let data = serde_json::value::RawValue::from_string(odd.clone()).unwrap();
        let contract = Contract::standard_webhooks();
        let body = contract.encode(&Envelope::new(RawEvent::new("odd", data).unwrap())).unwrap();
        filter.passes(&Candidate::new(&contract, "odd", &body, &BTreeMap::new()))
    };
    for (pointer, value, expected) in [
        ("/last", json!(7), true),
        ("/huge", json!(7), false),
        ("/huge", json!(f64::MAX), false),
        ("/big", json!(18_446_744_073_709_551_616.0), true),
        ("/big", json!(u64::MAX), false),
        ("/minus", json!(0), true),
        ("/minus", json!(-0.0), true),
        ("/twice", json!(2), true),
        ("/twice", json!(1), false),
        ("/inner/twice", json!(4), true),
        ("/inner/twice", json!(3), false),
        ("/exact", json!(9_007_199_254_740_993_u64), true),
        ("/exact", json!(9_007_199_254_740_992_u64), false),
        ("/zeros", json!(5), true),
        ("/tenth", json!(0.1), true),
        ("/half", json!("\u{fffd}"), false),
        ("/text", json!("a\u{1f98a}"), true),
        ("/list", json!(8), true),
        ("/list/3", json!(8), true),
        ("/list/03", json!(8), false),
        ("/list/2", json!(1), true),
    ] {
        assert_eq!(meets(pointer, value.clone()), expected, "{pointer} {value}");
    }
    assert!(!meets(&format!("/deep{}", "/0".repeat(200)), json!(1)), "lists are inside");
    let whole = Condition::envelope("/type", ["odd"]).unwrap();
    let data = serde_json::value::RawValue::from_string(deep(2_000, "1e999")).unwrap();
    let contract = Contract::standard_webhooks();
    let body = contract.encode(&Envelope::new(RawEvent::new("odd", data).unwrap())).unwrap();
    let filter = EventFilter::all().with_condition(whole).unwrap();
    assert!(filter.passes(&Candidate::new(&contract, "odd", &body, &BTreeMap::new())));
}

#[test]
fn bytes_that_are_no_json_meet_no_condition() {
    let contract = Contract::standard_webhooks();
    let filter = EventFilter::all().with_condition(Condition::data("/a", [1]).unwrap()).unwrap();
    for body in [&b"\xff"[..], b"", b"{", b"{\"data\": {\"a\": 1}", b"[1"] {
        assert!(!filter.passes(&Candidate::new(&contract, "odd", body, &BTreeMap::new())));
    }
}

#[test]
fn every_condition_and_attribute_has_to_be_met_and_the_type_too() {
    let filter = EventFilter::new(["call.*"])
        .unwrap()
        .with_condition(Condition::data("/a", [1]).unwrap())
        .unwrap()
        .with_condition(Condition::data("/b", [2]).unwrap())
        .unwrap()
        .with_attribute("contact_list", ["leads", "customers"])
        .unwrap()
        .with_attribute("allo_number", ["+491"])
        .unwrap();
    let all: [(&str, &[&str]); 2] = [("contact_list", &["others", "leads"]), ("allo_number", &["+491"])];
    let right = json!({"a": 1, "b": 2});
    assert!(passes(&filter, "call.ended", &right, &all));
    assert!(!passes(&filter, "contact.created", &right, &all));
    assert!(!passes(&filter, "call.ended", &json!({"a": 1, "b": 1}), &all));
    assert!(!passes(&filter, "call.ended", &json!({"b": 2}), &all));
    assert!(!passes(&filter, "call.ended", &right, &all[..1]));
    assert!(!passes(&filter, "call.ended", &right, &[("contact_list", &["others"]), all[1]]));
    assert!(!passes(&filter, "call.ended", &right, &[]));
}

#[test]
fn a_filter_that_could_not_be_right_is_refused() {
    for pointer in ["a", "a/b", "/a~", "/a~2", "/~x/b"] {
        let error = Condition::data(pointer, [1]).unwrap_err().to_string();
        assert!(error.contains("RFC 6901"), "{pointer}: {error}");
    }
    assert!(Condition::data("", [1]).is_ok(), "the whole");
    assert!(Condition::data("/a", Vec::<Value>::new()).is_err());
    assert!(Condition::data("/a", [json!([1])]).is_err());
    assert!(Condition::data("/a", [json!({})]).is_err());
    let long = "/".repeat(Condition::MAX_POINTER_LEN + 1);
    assert!(Condition::data(long.as_str(), [1]).is_err());
    assert!(Condition::data(&long[1..], [1]).is_ok());
    assert!(EventFilter::all().with_attribute("", ["x"]).is_err());
    assert!(EventFilter::all().with_attribute("x", Vec::<String>::new()).is_err());
    assert!(EventFilter::all().with_attribute("x", ["v".repeat(EventFilter::MAX_LEN)]).is_err());
    let mut filter = EventFilter::all();
    for number in 0..EventFilter::MAX_CONDITIONS {
        filter = filter.with_attribute(format!("a{number}"), ["x"]).unwrap();
    }
    assert!(filter.with_condition(Condition::data("/a", [1]).unwrap()).is_err());
}

#[test]
fn a_filter_comes_back_from_storage_as_it_was() {
    let plain = EventFilter::new(["call.*", "contact.created"]).unwrap();
    assert_eq!(plain.to_storage(), r#"["call.*","contact.created"]"#, "as it always was");
    let whole = plain
        .clone()
        .with_condition(Condition::data("/a~1b", [json!("x"), json!(null), json!(1.5)]).unwrap())
        .unwrap()
        .with_condition(Condition::envelope("/type", ["call.ended"]).unwrap())
        .unwrap()
        .with_attribute("contact_list", ["\"leads\"", "\u{1F98A}"])
        .unwrap();
    for filter in [plain, whole] {
        assert_eq!(EventFilter::from_storage(&filter.to_storage()).unwrap(), filter);
    }
    for text in ["", "7", "{}", r#"{"patterns":["*"],"conditions":[],"attributes":{"x":[]}}"#, r#"["a*b"]"#] {
        assert!(EventFilter::from_storage(text).is_err(), "{text}");
    }
}

fn passes_with(condition: Condition, data: &Value) -> bool {
    passes(&EventFilter::all().with_condition(condition).unwrap(), "call.ended", data, &[])
}

fn passes(filter: &EventFilter, event_type: &str, data: &Value, attributes: &[(&str, &[&str])]) -> bool {
    let contract = Contract::allison();
    let body = contract.encode(&Envelope::new(RawEvent::new(event_type, data).unwrap())).unwrap();
    let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    let attributes: BTreeMap<_, Vec<_>> =
        attributes.iter().map(|(name, values)| ((*name).to_owned(), owned(values))).collect();
    filter.passes(&Candidate::new(&contract, event_type, &body, &attributes))
}

fn list(values: &Value) -> Vec<Value> {
    values.as_array().unwrap().clone()
}

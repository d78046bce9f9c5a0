//! Signed bodies that are not events, or that look like events to a careless reader.

use super::requests::deep;
use super::sender::Sender;
use super::sender::Sender::Allison;
use super::{Row, Told};
use Told::{Misfit, Refused, Taken};

pub(super) const ROWS: &[Row] = &[
    // Not an object.
    ("nothing", Allison, |s| s.says(""), Refused(400)),
    ("a space", Allison, |s| s.says(" "), Refused(400)),
    ("null", Allison, |s| s.says("null"), Refused(400)),
    ("true", Allison, |s| s.says("true"), Refused(400)),
    ("a number", Allison, |s| s.says("1"), Refused(400)),
    ("text", Allison, |s| s.says(r#""call.ended""#), Refused(400)),
    ("an empty array", Allison, |s| s.says("[]"), Refused(400)),
    ("an event in an array", Allison, |s| s.says(format!("[{}]", s.event())), Refused(400)),
    ("an event as text", Allison, |s| s.says(format!("{:?}", s.event())), Refused(400)),
    (
        "the fields in an array",
        Allison,
        |s| s.says(r#"["%id%","call.ended","2026-04-17T19:12:03Z","v1",{"call_id":"c"}]"#),
        Refused(400),
    ),
    ("an empty object", Allison, |s| s.says("{}"), Refused(400)),
    ("a form", Allison, |s| s.says("id=%id%&type=call.ended"), Refused(400)),
    (
        "XML",
        Allison,
        |s| {
            s.says(
                "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>",
            )
        },
        Refused(400),
    ),
    // Not JSON.
    ("cut in the middle", Allison, |s| s.says(&s.event()[..60]), Refused(400)),
    ("cut before its end", Allison, |s| s.says(&s.event()[..s.event().len() - 1]), Refused(400)),
    ("cut in an escape", Allison, |s| s.says(r#"{"id":"%id%\u00"#), Refused(400)),
    ("two of them", Allison, |s| s.says(s.event().repeat(2)), Refused(400)),
    ("garbage behind it", Allison, |s| s.says(format!("{}x", s.event())), Refused(400)),
    ("a NUL behind it", Allison, |s| s.says(format!("{}\0", s.event())), Refused(400)),
    ("space around it", Allison, |s| s.says(format!("\r\n\t {} \r\n", s.event())), Taken),
    ("a form feed before it", Allison, |s| s.says(format!("\x0c{}", s.event())), Refused(400)),
    ("a no-break space before it", Allison, |s| s.says(format!("\u{a0}{}", s.event())), Refused(400)),
    ("a comma too many", Allison, |s| s.says(s.event().replace("}}", "},}")), Refused(400)),
    ("a comment", Allison, |s| s.says(format!("/* */{}", s.event())), Refused(400)),
    ("single quotation marks", Allison, |s| s.says(s.event().replace('"', "'")), Refused(400)),
    ("keys without quotation marks", Allison, |s| s.says(s.event().replace("\"id\"", "id")), Refused(400)),
    ("no colon", Allison, |s| s.says(s.event().replace("\"id\":", "\"id\" ")), Refused(400)),
    ("a key that is a number", Allison, |s| s.says(more(s, "1:2")), Refused(400)),
    // Not UTF-8.
    ("a mark of byte order", Allison, |s| s.says(format!("\u{feff}{}", s.event())), Taken),
    ("UTF-16", Allison, |s| s.says(utf_16(s.event())), Refused(400)),
    ("UTF-32", Allison, |s| s.says(utf_32(s.event())), Refused(400)),
    ("Latin-1 in the data", Allison, |s| s.says(bytes(s, b"\xe9")), Refused(400)),
    ("a byte that is nowhere in UTF-8", Allison, |s| s.says(bytes(s, b"\xff")), Refused(400)),
    ("a slash in too many bytes", Allison, |s| s.says(bytes(s, b"\xc0\xaf")), Refused(400)),
    ("a NUL in two bytes", Allison, |s| s.says(bytes(s, b"\xc0\x80")), Refused(400)),
    ("half a pair as bytes", Allison, |s| s.says(bytes(s, b"\xed\xa0\x80")), Refused(400)),
    ("a character beyond Unicode", Allison, |s| s.says(bytes(s, b"\xf4\x90\x80\x80")), Refused(400)),
    ("a character cut", Allison, |s| s.says(bytes(s, b"\xe2\x82")), Refused(400)),
    ("a character that is none yet", Allison, |s| s.says(bytes(s, "\u{10ffff}".as_bytes())), Taken),
    (
        "letters that are written from right to left",
        Allison,
        |s| s.says(bytes(s, "\u{202e}".as_bytes())),
        Taken,
    ),
    // Escapes.
    ("half a pair in the data", Allison, |s| s.says(data(s, r#""summary":"\ud800""#)), Taken),
    ("the other half in the data", Allison, |s| s.says(data(s, r#""summary":"\udc00\ud800""#)), Taken),
    ("half a pair in an unknown field of the data", Allison, |s| s.says(data(s, r#""x":"\ud800""#)), Taken),
    ("half a pair in an unknown field", Allison, |s| s.says(more(s, r#""x":"\ud800""#)), Taken),
    ("half a pair as a key", Allison, |s| s.says(more(s, r#""\ud800":1"#)), Taken),
    ("half a pair in the type", Allison, |s| s.says(s.event().replace("call.ended", r"\ud800")), Taken),
    ("half a pair in the id", Allison, |s| s.says(s.event().replace("%id%", r"\ud800")), Refused(400)),
    ("an escape that is none", Allison, |s| s.says(data(s, r#""summary":"\x41""#)), Refused(400)),
    ("an escape without digits", Allison, |s| s.says(data(s, r#""summary":"\uzzzz""#)), Refused(400)),
    ("a NUL in text", Allison, |s| s.says(data(s, "\"summary\":\"a\0b\"")), Refused(400)),
    ("a line feed in text", Allison, |s| s.says(data(s, "\"summary\":\"a\nb\"")), Refused(400)),
    ("an escaped NUL in text", Allison, |s| s.says(data(s, r#""summary":"a\u0000b""#)), Taken),
    ("an escaped NUL in the id", Allison, |s| s.says(s.event().replace("%id%", r"%id%\u0000")), Refused(400)),
    (
        "an escaped NUL in the type",
        Allison,
        |s| s.says(s.event().replace("call.ended", r"call.ended\u0000")),
        Refused(400),
    ),
    (
        "escaped letters of the type",
        Allison,
        |s| s.says(s.event().replace("call.ended", r"call\u002eended")),
        Taken,
    ),
    ("escaped letters of a key", Allison, |s| s.says(s.event().replace("\"id\"", r#""\u0069d""#)), Taken),
    // Doubled keys.
    ("the id twice", Allison, |s| s.says(more(s, r#""id":"%id%""#)), Refused(400)),
    ("another id too", Allison, |s| s.says(more(s, r#""id":"evt_1""#)), Refused(400)),
    ("another id first", Allison, |s| s.says(s.event().replacen('{', r#"{"id":"evt_1","#, 1)), Refused(400)),
    ("another id under an escaped key", Allison, |s| s.says(more(s, r#""\u0069d":"evt_1""#)), Refused(400)),
    ("the type twice", Allison, |s| s.says(more(s, r#""type":"contact.created""#)), Refused(400)),
    ("the time twice", Allison, |s| s.says(more(s, r#""created_at":"2026-04-17T19:12:03Z""#)), Refused(400)),
    ("the version twice", Allison, |s| s.says(more(s, r#""api_version":"v2""#)), Refused(400)),
    ("the data twice", Allison, |s| s.says(more(s, r#""data":{"call_id":"d"}"#)), Refused(400)),
    (
        "the data under an escaped key too",
        Allison,
        |s| s.says(more(s, r#""dat\u0061":{"call_id":"d"}"#)),
        Refused(400),
    ),
    ("an unknown field twice", Allison, |s| s.says(more(s, r#""x":1,"x":2"#)), Refused(400)),
    (
        "an unknown field under an escaped key too",
        Allison,
        |s| s.says(more(s, r#""x":1,"\u0078":2"#)),
        Refused(400),
    ),
    ("a prototype twice", Allison, |s| s.says(more(s, r#""__proto__":1,"__proto__":2"#)), Refused(400)),
    ("a field of the data twice", Allison, |s| s.says(data(s, r#""call_id":"d""#)), Misfit),
    (
        "a field of the data under an escaped key too",
        Allison,
        |s| s.says(data(s, r#""call\u005fid":"d""#)),
        Misfit,
    ),
    ("an unknown field of the data twice", Allison, |s| s.says(data(s, r#""x":1,"x":2"#)), Taken),
    ("the same key in other letters", Allison, |s| s.says(more(s, r#""ID":"evt_1""#)), Taken),
    ("the same key and a NUL", Allison, |s| s.says(more(s, r#""id\u0000":"evt_1""#)), Taken),
    ("the same key and a space", Allison, |s| s.says(more(s, r#""id ":"evt_1""#)), Taken),
    // Keys that a prototype or a template would interpret.
    ("a prototype", Allison, |s| s.says(more(s, r#""__proto__":{"type":"x","admin":true}"#)), Taken),
    ("a constructor", Allison, |s| s.says(more(s, r#""constructor":{"prototype":{"admin":true}}"#)), Taken),
    ("a prototype in the data", Allison, |s| s.says(data(s, r#""__proto__":{"call_id":"x"}"#)), Taken),
    ("a prototype as the type", Allison, |s| s.says(s.event().replace("call.ended", "__proto__")), Taken),
    ("a constructor as the type", Allison, |s| s.says(s.event().replace("call.ended", "constructor")), Taken),
    (
        "a raw value's own token as a key",
        Allison,
        |s| s.says(more(s, r#""$serde_json::private::RawValue":"{}""#)),
        Taken,
    ),
    (
        "a raw value's own token as the data",
        Allison,
        |s| s.says(s.event().replace("call_id", "$serde_json::private::RawValue")),
        Misfit,
    ),
    (
        "a number's own token as the data",
        Allison,
        |s| s.says(data(s, r#""outcome":{"$serde_json::private::Number":"1"}"#)),
        Taken,
    ),
    (
        "a template",
        Allison,
        |s| s.says(data(s, r#""summary":"${jndi:ldap://a/b} {{7*7}} '; DROP TABLE calls; --""#)),
        Taken,
    ),
    ("a path", Allison, |s| s.says(data(s, r#""summary":"../../etc/passwd\u0000.json""#)), Taken),
    // Depth and length.
    (
        "an unknown field a hundred thousand deep",
        Allison,
        |s| s.says(deep(&more(s, r#""x":%,"y":1"#))),
        Taken,
    ),
    (
        "an unknown field of the data a hundred thousand deep",
        Allison,
        |s| s.says(deep(&data(s, r#""x":%,"y":1"#))),
        Taken,
    ),
    (
        "a known field a hundred thousand deep",
        Allison,
        |s| s.says(deep(&data(s, r#""outcome":%,"y":1"#))),
        Misfit,
    ),
    (
        "data of an unknown type a hundred thousand deep",
        Allison,
        |s| s.says(deep(&data(s, r#""x":%,"y":1"#).replace("call.ended", "x"))),
        Taken,
    ),
    (
        "the id a hundred thousand deep",
        Allison,
        |s| s.says(deep(r#"{"id":%,"type":"call.ended"}"#)),
        Refused(400),
    ),
    ("a hundred thousand arrays that never end", Allison, |s| s.says("[".repeat(100_000)), Refused(400)),
    (
        "a hundred thousand objects that never end",
        Allison,
        |s| s.says(r#"{"a":"#.repeat(100_000)),
        Refused(400),
    ),
    ("twenty thousand unknown fields", Allison, |s| s.says(more(s, &fields(20_000))), Taken),
    (
        "twenty thousand unknown fields and one of them twice",
        Allison,
        |s| s.says(more(s, &format!("{},\"f7\":1", fields(20_000)))),
        Refused(400),
    ),
    (
        "a hundred thousand tags",
        Allison,
        |s| s.says(data(s, &format!(r#""outcome_tags":[{}""]"#, "\"\",".repeat(100_000)))),
        Taken,
    ),
    (
        "a key of half a megabyte",
        Allison,
        |s| s.says(more(s, &format!("\"{}\":1", "k".repeat(500_000)))),
        Taken,
    ),
    (
        "half a megabyte of backslashes",
        Allison,
        |s| s.says(data(s, &format!(r#""summary":"{}""#, r"\\".repeat(250_000)))),
        Taken,
    ),
    // Numbers.
    ("an infinite number", Allison, |s| s.says(data(s, r#""duration_seconds":1e999"#)), Misfit),
    (
        "an infinite number in a field of any kind",
        Allison,
        |s| s.says(data(s, r#""outcome":-1e999"#)),
        Misfit,
    ),
    ("an infinite number in an unknown field", Allison, |s| s.says(more(s, r#""x":1e999"#)), Taken),
    (
        "an infinite number as the id",
        Allison,
        |s| s.says(s.event().replace("\"%id%\"", "1e999")),
        Refused(400),
    ),
    (
        "an infinite number as the version",
        Allison,
        |s| s.says(s.event().replace("\"v1\"", "1e999")),
        Refused(400),
    ),
    (
        "400 digits",
        Allison,
        |s| s.says(data(s, &format!(r#""duration_seconds":{}"#, "9".repeat(400)))),
        Misfit,
    ),
    (
        "400 digits in an unknown field",
        Allison,
        |s| s.says(more(s, &format!(r#""x":{}"#, "9".repeat(400)))),
        Taken,
    ),
    (
        "a hundred thousand digits in an unknown field",
        Allison,
        |s| s.says(data(s, &format!(r#""x":{}"#, "9".repeat(100_000)))),
        Taken,
    ),
    (
        "one more than u64::MAX",
        Allison,
        |s| s.says(data(s, r#""duration_seconds":18446744073709551616"#)),
        Misfit,
    ),
    ("a negative number", Allison, |s| s.says(data(s, r#""duration_seconds":-1"#)), Misfit),
    ("a fraction", Allison, |s| s.says(data(s, r#""duration_seconds":1.5"#)), Misfit),
    ("no number", Allison, |s| s.says(data(s, r#""duration_seconds":NaN"#)), Refused(400)),
    ("infinity as a word", Allison, |s| s.says(data(s, r#""duration_seconds":Infinity"#)), Refused(400)),
    ("a plus sign", Allison, |s| s.says(data(s, r#""duration_seconds":+1"#)), Refused(400)),
    ("a leading zero", Allison, |s| s.says(data(s, r#""duration_seconds":01"#)), Refused(400)),
    ("hex", Allison, |s| s.says(data(s, r#""duration_seconds":0x1"#)), Refused(400)),
    ("a number as text", Allison, |s| s.says(data(s, r#""duration_seconds":"1""#)), Misfit),
    // The envelope's own fields.
    ("no id", Allison, |s| s.says(s.event().replace(r#""id":"%id%","#, "")), Refused(400)),
    ("no type", Allison, |s| s.says(s.event().replace(r#""type":"call.ended","#, "")), Refused(400)),
    ("no time", Allison, |s| s.says(s.event().replace("created_at", "created")), Refused(400)),
    ("no data", Allison, |s| s.says(s.event().replace("\"data\"", "\"dat\"")), Refused(400)),
    ("no version", Allison, |s| s.says(s.event().replace(r#""api_version":"v1","#, "")), Taken),
    ("a version that is an array", Allison, |s| s.says(s.event().replace("\"v1\"", "[[]]")), Taken),
    ("an empty id", Allison, |s| s.says(s.event().replace("%id%", "")), Refused(400)),
    ("another id than the header's", Allison, |s| s.says(s.event().replace("%id%", "evt_1")), Refused(400)),
    ("the header's id and a space", Allison, |s| s.says(s.event().replace("%id%", "%id% ")), Refused(400)),
    ("the id in an array", Allison, |s| s.says(s.event().replace("\"%id%\"", "[\"%id%\"]")), Refused(400)),
    ("an id that is null", Allison, |s| s.says(s.event().replace("\"%id%\"", "null")), Refused(400)),
    ("an id that is a number", Allison, |s| s.says(s.event().replace("\"%id%\"", "1")), Refused(400)),
    (
        "an id that is an object",
        Allison,
        |s| s.says(s.event().replace("\"%id%\"", r#"{"$ne":null}"#)),
        Refused(400),
    ),
    (
        "an id of 257 characters",
        Allison,
        |s| s.says(s.event().replace("%id%", &"e".repeat(257))),
        Refused(400),
    ),
    ("an id beyond ASCII", Allison, |s| s.says(s.event().replace("%id%", "\u{e9}vt_1")), Refused(400)),
    ("an empty type", Allison, |s| s.says(s.event().replace("call.ended", "")), Refused(400)),
    (
        "a type of 257 bytes",
        Allison,
        |s| s.says(s.event().replace("call.ended", &"t".repeat(257))),
        Refused(400),
    ),
    ("a type that is a number", Allison, |s| s.says(s.event().replace("\"call.ended\"", "1")), Refused(400)),
    (
        "a type with a line feed",
        Allison,
        |s| s.says(s.event().replace("call.ended", r"call.ended\n")),
        Refused(400),
    ),
    (
        "a type that nobody knows",
        Allison,
        |s| s.says(s.event().replace("call.ended", "call_order.status_changed")),
        Taken,
    ),
    ("a type in other letters", Allison, |s| s.says(s.event().replace("call.ended", "Call.Ended")), Taken),
    ("a type beyond ASCII", Allison, |s| s.says(s.event().replace("call.ended", "anruf.gehört")), Taken),
    ("a time that is a number", Allison, |s| s.says(time(s, "1776453123")), Refused(400)),
    ("a time that is null", Allison, |s| s.says(time(s, "null")), Refused(400)),
    ("a time that is a word", Allison, |s| s.says(time(s, "\"yesterday\"")), Refused(400)),
    ("a day without a time", Allison, |s| s.says(time(s, "\"2026-04-17\"")), Refused(400)),
    ("the 30th of February", Allison, |s| s.says(time(s, "\"2026-02-30T00:00:00Z\"")), Refused(400)),
    ("the year 10000", Allison, |s| s.says(time(s, "\"10000-01-01T00:00:00Z\"")), Refused(400)),
    (
        "a year that its offset moves beyond 9999",
        Allison,
        |s| s.says(time(s, "\"9999-12-31T23:59:59-23:59\"")),
        Refused(400),
    ),
    (
        "a time with 400 digits of a second",
        Allison,
        |s| s.says(time(s, &format!("\"2026-04-17T19:12:03.{}Z\"", "0".repeat(400)))),
        Taken,
    ),
    ("a time a thousand years from now", Allison, |s| s.says(time(s, "\"3026-04-17T19:12:03Z\"")), Taken),
    // Data that does not fit.
    ("data that is null", Allison, |s| s.says(whole(s, "null")), Misfit),
    ("data that is an array", Allison, |s| s.says(whole(s, r#"["c"]"#)), Misfit),
    ("data that is text", Allison, |s| s.says(whole(s, "\"c\"")), Misfit),
    ("data that is empty", Allison, |s| s.says(whole(s, "{}")), Misfit),
    ("a call's id that is a number", Allison, |s| s.says(whole(s, r#"{"call_id":5}"#)), Misfit),
    ("a call's id that is null", Allison, |s| s.says(whole(s, r#"{"call_id":null}"#)), Misfit),
    ("tags that are text", Allison, |s| s.says(data(s, r#""outcome_tags":"a""#)), Misfit),
    ("tags of another kind", Allison, |s| s.says(data(s, r#""outcome_tags":[{}]"#)), Misfit),
    ("a time in the data that is none", Allison, |s| s.says(data(s, r#""started_at":"soon""#)), Misfit),
    (
        "data before its type",
        Allison,
        |s| {
            s.says(r#"{"data":{"call_id":"c"},"created_at":"2026-04-17T19:12:03Z","id":"%id%","type":"call.ended"}"#)
        },
        Taken,
    ),
    (
        "data of another kind before its type",
        Allison,
        |s| s.says(r#"{"data":1,"created_at":"2026-04-17T19:12:03Z","id":"%id%","type":"call.ended"}"#),
        Misfit,
    ),
];

/// The event with more members in its envelope.
fn more(sender: Sender, members: &str) -> String {
    let event = sender.event();
    format!("{},{members}}}", &event[..event.len() - 1])
}

/// The event with more members in its data.
fn data(sender: Sender, members: &str) -> String {
    let event = sender.event();
    format!("{},{members}}}}}", &event[..event.len() - 2])
}

/// The event with other data.
fn whole(sender: Sender, data: &str) -> String {
    sender.event().replace(r#"{"call_id":"c"}"#, data)
}

/// The event with another time.
fn time(sender: Sender, time: &str) -> String {
    sender.event().replace(r#""2026-04-17T19:12:03.482Z""#, time)
}

/// The event with these bytes in a text of its data.
fn bytes(sender: Sender, bytes: &[u8]) -> Vec<u8> {
    super::sender::replace(
        data(sender, r#""summary":"%""#).as_bytes(),
        b"\"%\"",
        &[b"\"", bytes, b"\""].concat(),
    )
}

fn fields(count: u32) -> String {
    (0..count).map(|n| format!("\"f{n}\":1")).collect::<Vec<_>>().join(",")
}

fn utf_16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn utf_32(text: &str) -> Vec<u8> {
    text.chars().flat_map(|char| u32::from(char).to_be_bytes()).collect()
}

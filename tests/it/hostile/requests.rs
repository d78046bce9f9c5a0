//! Requests that are wrong before their proof: method, content type, size, path; and requests of senders that
//! sign nothing.

use super::sender::Sender::{Allison, AlloV1, NectarDesk, ReceptAi, StandardWebhooks};
use super::sender::{Sender, token};
use super::{Row, Told};
use Told::{Misfit, Refused, Taken};

pub(super) const ROWS: &[Row] = &[
    ("GET", Allison, |s| s.genuine().method("GET"), Refused(405)),
    ("HEAD", Allison, |s| s.genuine().method("HEAD"), Refused(405)),
    ("PUT", Allison, |s| s.genuine().method("PUT"), Refused(405)),
    ("PATCH", Allison, |s| s.genuine().method("PATCH"), Refused(405)),
    ("DELETE", Allison, |s| s.genuine().method("DELETE"), Refused(405)),
    ("OPTIONS", Allison, |s| s.genuine().method("OPTIONS"), Refused(405)),
    ("TRACE", Allison, |s| s.genuine().method("TRACE"), Refused(405)),
    ("a method of one's own", Allison, |s| s.genuine().method("HACK"), Refused(405)),
    ("post in small letters", Allison, |s| s.genuine().method("post"), Refused(405)),
    ("GET without anything", Allison, |s| nothing(s).method("GET"), Refused(405)),
    ("GET of a sender that signs nothing", NectarDesk, |s| s.genuine().method("GET"), Refused(405)),
    ("plain text", Allison, |s| of(s, "text/plain"), Refused(415)),
    ("a form", Allison, |s| of(s, "application/x-www-form-urlencoded"), Refused(415)),
    ("a form of parts", Allison, |s| of(s, "multipart/form-data; boundary=x"), Refused(415)),
    ("XML", Allison, |s| of(s, "application/xml"), Refused(415)),
    ("bytes", Allison, |s| of(s, "application/octet-stream"), Refused(415)),
    ("the type's name alone", Allison, |s| of(s, "json"), Refused(415)),
    ("text that is JSON", Allison, |s| of(s, "text/json"), Refused(415)),
    ("JSON with padding", Allison, |s| of(s, "application/jsonp"), Refused(415)),
    ("JSON as a parameter", Allison, |s| of(s, "text/plain; application/json"), Refused(415)),
    ("two types in one", Allison, |s| of(s, "application/json, text/plain"), Refused(415)),
    ("two types", Allison, |s| s.genuine().twice("content-type"), Refused(415)),
    ("another type too", Allison, |s| s.genuine().also("content-type", "text/plain"), Refused(415)),
    ("an empty type", Allison, |s| of(s, ""), Refused(415)),
    ("a type beyond ASCII", Allison, |s| of(s, "application/js\u{f6}n"), Refused(415)),
    (
        "a type of bytes that are no text",
        Allison,
        |s| s.genuine().with("content-type", b"\xff"),
        Refused(415),
    ),
    ("a suffix of another family", Allison, |s| of(s, "text/x+json"), Refused(415)),
    ("capitals", Allison, |s| of(s, "APPLICATION/JSON"), Taken),
    ("a parameter", Allison, |s| of(s, "application/json; charset=utf-8"), Taken),
    ("a type built on JSON", Allison, |s| of(s, "application/cloudevents+json"), Taken),
    ("no type", Allison, |s| s.genuine().without("content-type"), Taken),
    ("a form, and not proven", Allison, |s| nothing(s).with("content-type", "text/plain"), Refused(415)),
    ("a form by a wrong method", Allison, |s| of(s, "text/plain").method("PUT"), Refused(405)),
    ("a body of exactly 1 MiB", Allison, |s| s.says(padded(s, 1 << 20)), Taken),
    ("a body of a byte more", Allison, |s| s.says(padded(s, (1 << 20) + 1)), Refused(413)),
    ("a body of 3 MiB, not proven", Allison, |s| nothing(s).tampered(|_| vec![b'x'; 3 << 20]), Refused(413)),
    ("a body too long without a password", AlloV1, |s| too_long(s).without("authorization"), Refused(413)),
    ("a query", Allison, |s| s.genuine().path(|p| format!("{p}?a=b&a[]=c&__proto__[x]=1")), Taken),
    (
        "a signature in the query",
        Allison,
        |s| nothing(s).path(|p| format!("{p}?x-allison-signature=v1=0")),
        Refused(401),
    ),
    ("a longer path", Allison, |s| s.genuine().path(|p| format!("{p}/{}", "a/".repeat(2_000))), Taken),
    ("JSON said to be compressed", Allison, |s| s.genuine().also("content-encoding", "gzip"), Refused(415)),
    ("compressed JSON", Allison, |s| s.says(GZIP).also("content-encoding", "gzip"), Refused(415)),
    // A token in the path.
    ("no token", NectarDesk, |s| s.genuine().path(|_| "/nectar_desk".into()), Refused(401)),
    ("an empty token", NectarDesk, |s| s.genuine().path(|_| "/nectar_desk//".into()), Refused(401)),
    (
        "another token",
        NectarDesk,
        |s| s.genuine().path(|_| "/nectar_desk/Zk3v9QpX7rT2mB8wLc5nH1yE".into()),
        Refused(401),
    ),
    ("the token cut", NectarDesk, |s| s.genuine().path(|p| p[..p.len() - 1].into()), Refused(401)),
    ("the token and more", NectarDesk, |s| s.genuine().path(|p| format!("{p}x")), Refused(401)),
    ("the token and a slash", NectarDesk, |s| s.genuine().path(|p| format!("{p}/")), Refused(401)),
    ("the token in small letters", NectarDesk, |s| s.genuine().path(str::to_lowercase), Refused(401)),
    ("the token in percent", NectarDesk, |s| s.genuine().path(|p| p.replace("/Z", "/%5A")), Refused(401)),
    ("the token not last", NectarDesk, |s| s.genuine().path(|p| format!("{p}/x")), Refused(401)),
    ("the token and a NUL", NectarDesk, |s| s.genuine().path(|p| format!("{p}%00")), Refused(401)),
    (
        "the token in the query",
        NectarDesk,
        |s| s.genuine().path(|_| format!("/nectar_desk?{}", token().expose())),
        Refused(401),
    ),
    (
        "the token in a header",
        NectarDesk,
        |s| s.genuine().path(|_| "/nectar_desk".into()).also("x-token", token().expose()),
        Refused(401),
    ),
    ("a query after the token", NectarDesk, |s| s.genuine().path(|p| format!("{p}?a=b")), Taken),
    (
        "the token a directory down",
        NectarDesk,
        |s| s.genuine().path(|p| p.replace("desk/", "desk/x/")),
        Taken,
    ),
    // A bearer token.
    ("no token", AlloV1, |s| s.genuine().without("authorization"), Refused(401)),
    ("the token twice", AlloV1, |s| s.genuine().twice("authorization"), Refused(401)),
    ("another token too", AlloV1, |s| s.genuine().also("authorization", "Bearer x"), Refused(401)),
    ("the scheme alone", AlloV1, |s| s.genuine().with("authorization", "Bearer"), Refused(401)),
    ("the token alone", AlloV1, |s| s.genuine().with("authorization", token().expose()), Refused(401)),
    ("the token as a password", AlloV1, |s| bearer(s, |v| v.replace("Bearer", "Basic")), Refused(401)),
    ("the token cut", AlloV1, |s| bearer(s, |v| v[..v.len() - 1].into()), Refused(401)),
    ("the token and more", AlloV1, |s| bearer(s, |v| format!("{v}x")), Refused(401)),
    ("two spaces before the token", AlloV1, |s| bearer(s, |v| v.replace(' ', "  ")), Refused(401)),
    ("a tab before the token", AlloV1, |s| bearer(s, |v| v.replace(' ', "\t")), Refused(401)),
    (
        "a token of bytes that are no text",
        AlloV1,
        |s| s.genuine().with("authorization", b"Bearer \xff"),
        Refused(401),
    ),
    ("the scheme in small letters", AlloV1, |s| bearer(s, |v| v.replace("Bearer", "bearer")), Taken),
    (
        "the token in a cookie",
        AlloV1,
        |s| s.genuine().renamed(|n| n.replace("authorization", "cookie")),
        Refused(401),
    ),
    (
        "the token in the query",
        AlloV1,
        |s| s.genuine().without("authorization").path(|p| format!("{p}?access_token={}", token().expose())),
        Refused(401),
    ),
    ("the token and a body that is no event", AlloV1, |s| s.says("{}"), Refused(400)),
    (
        "the token and a doubled topic",
        AlloV1,
        |s| s.says(r#"{"topic":"A","topic":"B","data":{}}"#),
        Refused(400),
    ),
    (
        "the token and data that does not fit",
        AlloV1,
        |s| s.says(r#"{"topic":"CALL_RECEIVED","data":{"id":["%id%"]}}"#),
        Misfit,
    ),
    ("the token and no data", AlloV1, |s| s.says(r#"{"topic":"CALL_RECEIVED"}"#), Refused(400)),
    (
        "the token and a topic of one's own",
        AlloV1,
        |s| s.says(r#"{"topic":"CALL_SOLD","data":["%id%"]}"#),
        Taken,
    ),
    // Data whose fields are not published.
    ("data that is null", NectarDesk, |s| s.says(r#"{"event":"Call Ended","data":null,"x":"%id%"}"#), Taken),
    (
        "data that is an empty array",
        NectarDesk,
        |s| s.says(r#"{"event":"Call Ended","data":[],"x":"%id%"}"#),
        Taken,
    ),
    ("data that is an array", NectarDesk, |s| s.says(r#"{"event":"Call Ended","data":["%id%"]}"#), Misfit),
    ("data that is text", NectarDesk, |s| s.says(r#"{"event":"Call Ended","data":"%id%"}"#), Misfit),
    (
        "prototypes in open data",
        NectarDesk,
        |s| s.says(r#"{"event":"Call Ended","data":{"__proto__":{"admin":true},"id":"%id%"}}"#),
        Taken,
    ),
    (
        "an infinite number in open data",
        NectarDesk,
        |s| s.says(r#"{"event":"Call Ended","data":{"n":1e999,"id":"%id%"}}"#),
        Misfit,
    ),
    (
        "open data a hundred thousand deep",
        ReceptAi,
        |s| {
            s.says(deep(
                r#"{"event":"Call Ended","timestamp":"2026-04-17T19:12:03Z","data":{"a":%,"id":"%id%"}}"#,
            ))
        },
        Misfit,
    ),
    ("no event at all", StandardWebhooks, |s| s.says("[]"), Refused(400)),
    (
        "a doubled type",
        StandardWebhooks,
        |s| s.says(r#"{"type":"a","timestamp":"2026-04-17T19:12:03Z","type":"b","data":1}"#),
        Refused(400),
    ),
    ("no time in the envelope", StandardWebhooks, |s| s.says(r#"{"type":"a","data":1}"#), Refused(400)),
];

use super::request::Request;

fn of(sender: Sender, content_type: &str) -> Request {
    sender.genuine().with("content-type", content_type)
}

/// A request with only its body and its content type.
fn nothing(sender: Sender) -> Request {
    let request = sender.genuine();
    Request { headers: vec![("content-type".into(), b"application/json".into())], ..request }
}

fn bearer(sender: Sender, edit: fn(&str) -> String) -> Request {
    sender.genuine().edited("authorization", edit)
}

fn too_long(sender: Sender) -> Request {
    sender.says(padded(sender, (1 << 20) + 1))
}

/// A genuine body of this length, padded with spaces.
fn padded(sender: Sender, len: usize) -> Vec<u8> {
    // The id is longer than its placeholder.
    let grows = "evt_".len() + 32 - "%id%".len();
    let mut body = sender.event().as_bytes().to_vec();
    body.resize(len - grows, b' ');
    body
}

/// Replaces `%,` by deeply nested arrays.
pub(super) fn deep(text: &str) -> String {
    text.replace("%,", &format!("{}{},", "[".repeat(100_000), "]".repeat(100_000)))
}

/// `{}` compressed with gzip.
const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\xae\x05\0\x43\xbf\xa6\xa3\x02\0\0\0";

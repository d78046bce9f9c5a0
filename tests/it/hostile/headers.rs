//! Requests with wrong headers: missing, doubled, or not in the scheme's form.

use super::sender::Sender::{
    Allison, Allo, Github, ReceptAi, Shopify, Slack, StandardWebhooks, Stripe, Svix,
};
use super::sender::{Sender, secret, stamp};
use super::{Row, Told};
use Told::{Refused, Taken};

pub(super) const ROWS: &[Row] = &[
    // One signature in a header of its own.
    ("nothing proven", Allison, bare, Refused(401)),
    ("no signature", Allison, |s| s.genuine().without(SIGNATURE), Refused(401)),
    ("no time", Allison, |s| s.genuine().without(TIME), Refused(401)),
    ("no id", Allison, |s| s.genuine().without(ID), Refused(401)),
    ("signature twice", Allison, |s| s.genuine().twice(SIGNATURE), Refused(401)),
    ("a wrong signature before the right one", Allison, |s| s.genuine().after(wrong()), Refused(401)),
    ("time twice", Allison, |s| s.genuine().twice(TIME), Refused(401)),
    ("another time too", Allison, |s| s.genuine().also(TIME, stamp(1)), Refused(401)),
    ("id twice", Allison, |s| s.genuine().twice(ID), Refused(401)),
    ("another id too", Allison, |s| s.genuine().also(ID, "evt_1"), Refused(401)),
    ("empty signature", Allison, |s| s.genuine().with(SIGNATURE, ""), Refused(401)),
    ("empty time", Allison, |s| s.genuine().with(TIME, ""), Refused(401)),
    ("empty id", Allison, |s| s.genuine().with(ID, ""), Refused(401)),
    ("signature of spaces", Allison, |s| s.genuine().with(SIGNATURE, "   "), Refused(401)),
    (
        "signature of bytes that are no text",
        Allison,
        |s| s.genuine().with(SIGNATURE, b"v1=\xff\xfe"),
        Refused(401),
    ),
    ("signature in full-width digits", Allison, |s| s.genuine().with(SIGNATURE, "v1=\u{ff11}"), Refused(401)),
    ("id of bytes that are no text", Allison, |s| s.genuine().with(ID, b"\x80"), Refused(401)),
    ("id beyond ASCII", Allison, |s| s.genuine().with(ID, "\u{e9}vt_1"), Refused(401)),
    ("header names in capitals", Allison, |s| s.genuine().renamed(str::to_uppercase), Taken),
    (
        "header names with underscores",
        Allison,
        |s| s.genuine().renamed(|name| name.replace('-', "_")),
        Refused(401),
    ),
    ("prefix in capitals", Allison, |s| signature(s, |v| v.replace("v1=", "V1=")), Refused(401)),
    ("no prefix", Allison, |s| signature(s, |v| v.replace("v1=", "")), Refused(401)),
    ("version v0", Allison, |s| signature(s, |v| v.replace("v1=", "v0=")), Refused(401)),
    ("version v2", Allison, |s| signature(s, |v| v.replace("v1=", "v2=")), Refused(401)),
    ("version v11", Allison, |s| signature(s, |v| v.replace("v1=", "v11=")), Refused(401)),
    ("GitHub's prefix", Allison, |s| signature(s, |v| v.replace("v1=", "sha256=")), Refused(401)),
    ("prefix with a comma", Allison, |s| signature(s, |v| v.replace("v1=", "v1,")), Refused(401)),
    ("prefix with a space", Allison, |s| signature(s, |v| v.replace("v1=", "v1 =")), Refused(401)),
    ("prefix twice", Allison, |s| signature(s, |v| format!("v1={v}")), Refused(401)),
    ("prefix alone", Allison, |s| signature(s, |_| "v1=".into()), Refused(401)),
    ("hex in capitals", Allison, |s| signature(s, |v| v.to_uppercase().replace("V1=", "v1=")), Taken),
    ("an odd number of digits", Allison, |s| signature(s, |v| v[..66].into()), Refused(401)),
    ("one digit too many", Allison, |s| signature(s, |v| format!("{v}0")), Refused(401)),
    ("half of the digits", Allison, |s| signature(s, |v| v[..35].into()), Refused(401)),
    ("the digits twice", Allison, |s| signature(s, |v| format!("{v}{}", &v[3..])), Refused(401)),
    ("a digit that is none", Allison, |s| signature(s, |v| format!("{}g", &v[..66])), Refused(401)),
    ("0x before the digits", Allison, |s| signature(s, |v| v.replace("v1=", "v1=0x")), Refused(401)),
    (
        "a space among the digits",
        Allison,
        |s| signature(s, |v| format!("{} {}", &v[..10], &v[10..])),
        Refused(401),
    ),
    (
        "a tab among the digits",
        Allison,
        |s| signature(s, |v| format!("{}\t{}", &v[..10], &v[10..])),
        Refused(401),
    ),
    ("a comma at the end", Allison, |s| signature(s, |v| format!("{v},")), Refused(401)),
    ("garbage at the end", Allison, |s| signature(s, |v| format!("{v};algorithm=none")), Refused(401)),
    ("a list where there is none", Allison, |s| signature(s, |v| format!("{v},{v}")), Refused(401)),
    ("quotation marks", Allison, |s| signature(s, |v| format!("\"{v}\"")), Refused(401)),
    ("base64 for hex", Allison, |s| s.genuine().with(SIGNATURE, BASE64), Refused(401)),
    ("nothing but zeros", Allison, |s| s.genuine().with(SIGNATURE, ZEROS), Refused(401)),
    ("signature of 16 KiB", Allison, |s| signature(s, |v| v.repeat(250)), Refused(401)),
    ("id of 257 characters", Allison, |s| s.genuine().with(ID, "e".repeat(257)), Refused(401)),
    ("id of 16 KiB", Allison, |s| s.genuine().with(ID, "e".repeat(16 << 10)), Refused(401)),
    ("id of two words", Allison, |s| s.genuine().with(ID, "evt 1"), Refused(401)),
    ("id with a tab", Allison, |s| s.genuine().with(ID, "evt\t1"), Refused(401)),
    ("id with a header in it", Allison, |s| s.genuine().with(ID, "evt_1, evt_2"), Refused(401)),
    ("another event's id", Allison, |s| s.genuine().with(ID, "evt_1"), Refused(400)),
    ("the id in capitals", Allison, |s| s.genuine().edited(ID, str::to_uppercase), Refused(400)),
    ("the id and a full stop", Allison, |s| s.genuine().edited(ID, |id| format!("{id}.")), Refused(400)),
    ("the id cut", Allison, |s| s.genuine().edited(ID, |id| id[..10].into()), Refused(400)),
    (
        "another secret",
        Allison,
        |s| by(s, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        Refused(401),
    ),
    ("the secret without its prefix", Allison, |s| by(s, &secret().expose()[6..]), Refused(401)),
    ("the secret and a line feed", Allison, |s| by(s, &format!("{}\n", secret().expose())), Refused(401)),
    ("the empty secret", Allison, |s| by(s, ""), Refused(401)),
    ("another body", Allison, |s| s.genuine().tampered(|b| b[..b.len() - 1].to_vec()), Refused(401)),
    (
        "one bit of the body",
        Allison,
        |s| s.genuine().tampered(|b| [&[b[0] ^ 1], &b[1..]].concat()),
        Refused(401),
    ),
    ("a line feed after the body", Allison, |s| s.genuine().tampered(|b| [b, b"\n"].concat()), Refused(401)),
    (
        "the body written anew",
        Allison,
        |s| s.genuine().tampered(|b| super::sender::replace(b, b":", b": ")),
        Refused(401),
    ),
    ("no body under the signature of one", Allison, |s| s.genuine().tampered(|_| Vec::new()), Refused(401)),
    (
        "signature over the body alone",
        Allison,
        |s| s.genuine().with(SIGNATURE, over_the_body()),
        Refused(401),
    ),
    ("another scheme's headers", Allison, |s| only(s, StandardWebhooks), Refused(401)),
    ("another scheme's headers too", Allison, |s| s.genuine().also("webhook-signature", "v1,x"), Taken),
    (
        "ninety other headers",
        Allison,
        |s| (0..90).fold(s.genuine(), |r, n| r.also(&format!("x-{n}"), "x")),
        Taken,
    ),
    ("another header twice", Allison, |s| s.genuine().also("x-a", "1").also("x-a", "2"), Taken),
    ("an invented sender", Allison, |s| s.genuine().also("x-forwarded-for", "127.0.0.1"), Taken),
    ("an invented method", Allison, |s| s.genuine().also("x-http-method-override", "GET"), Taken),
    ("an invented path", Allison, |s| s.genuine().also("x-original-url", "/admin"), Taken),
    ("a password that nobody asked for", Allison, |s| s.genuine().also("authorization", "Basic Og=="), Taken),
    // A list of signatures.
    ("no signature", StandardWebhooks, |s| s.genuine().without(LIST), Refused(401)),
    ("no id", StandardWebhooks, |s| s.genuine().without("webhook-id"), Refused(401)),
    ("no time", StandardWebhooks, |s| s.genuine().without("webhook-timestamp"), Refused(401)),
    ("signature twice", StandardWebhooks, |s| s.genuine().twice(LIST), Refused(401)),
    ("id twice", StandardWebhooks, |s| s.genuine().twice("webhook-id"), Refused(401)),
    ("empty list", StandardWebhooks, |s| list(s, |_| String::new()), Refused(401)),
    (
        "the right one last of 16",
        StandardWebhooks,
        |s| list(s, |v| format!("{}{v}", "v1,x ".repeat(15))),
        Taken,
    ),
    (
        "the right one first of 17",
        StandardWebhooks,
        |s| list(s, |v| format!("{v}{}", " v1,x".repeat(16))),
        Refused(401),
    ),
    ("a thousand of them", StandardWebhooks, |s| list(s, |v| [v; 1_000].join(" ")), Refused(401)),
    ("a version without a signature first", StandardWebhooks, |s| list(s, |v| format!("v1, {v}")), Taken),
    ("an unknown version first", StandardWebhooks, |s| list(s, |v| format!("v9,abc {v}")), Taken),
    (
        "the right one under another version",
        StandardWebhooks,
        |s| list(s, |v| v.replace("v1,", "v2,")),
        Refused(401),
    ),
    ("the right one as Ed25519's", StandardWebhooks, |s| list(s, |v| v.replace("v1,", "v1a,")), Refused(401)),
    ("the version in capitals", StandardWebhooks, |s| list(s, |v| v.replace("v1,", "V1,")), Refused(401)),
    ("no version", StandardWebhooks, |s| list(s, |v| v.replace("v1,", "")), Refused(401)),
    (
        "an equals sign for the comma",
        StandardWebhooks,
        |s| list(s, |v| v.replace("v1,", "v1=")),
        Refused(401),
    ),
    ("commas between the entries", StandardWebhooks, |s| list(s, |v| format!("v1,x,{v}")), Refused(401)),
    ("tabs between the entries", StandardWebhooks, |s| list(s, |v| format!("v1,x\t{v}")), Refused(401)),
    ("two spaces between the entries", StandardWebhooks, |s| list(s, |v| format!("v1,x  {v}")), Taken),
    (
        "base64 without its padding",
        StandardWebhooks,
        |s| list(s, |v| v.trim_end_matches('=').into()),
        Refused(401),
    ),
    ("base64 with more padding", StandardWebhooks, |s| list(s, |v| format!("{v}=")), Refused(401)),
    ("base64 with bits left over", StandardWebhooks, |s| list(s, bits_left_over), Refused(401)),
    (
        "base64 with a space",
        StandardWebhooks,
        |s| list(s, |v| format!("{} {}", &v[..10], &v[10..])),
        Refused(401),
    ),
    ("garbage behind base64", StandardWebhooks, |s| list(s, |v| format!("{v}x")), Refused(401)),
    ("hex for base64", StandardWebhooks, |s| list(s, |_| ZEROS.replace("v1=", "v1,")), Refused(401)),
    (
        "another id, which is signed",
        StandardWebhooks,
        |s| s.genuine().with("webhook-id", "evt_1"),
        Refused(401),
    ),
    ("a signed id with a full stop", StandardWebhooks, |s| named(s, b"evt.1"), Refused(401)),
    ("a signed id of two words", StandardWebhooks, |s| named(s, b"evt 1"), Refused(401)),
    ("a signed id beyond ASCII", StandardWebhooks, |s| named(s, "\u{e9}vt".as_bytes()), Refused(401)),
    ("a signed id of bytes that are no text", StandardWebhooks, |s| named(s, b"evt\xff"), Refused(401)),
    ("a signed id of 257 characters", StandardWebhooks, |s| named(s, &[b'e'; 257]), Refused(401)),
    ("Svix's names", StandardWebhooks, |s| only(s, Svix), Taken),
    ("the key's text for the key", Allo, |s| only(s, Allison), Refused(401)),
    (
        "another time, which is signed",
        Allo,
        |s| s.genuine().with("webhook-timestamp", stamp(1)),
        Refused(401),
    ),
    ("Standard Webhooks' names", Svix, |s| only(s, StandardWebhooks), Taken),
    ("no signature", Svix, |s| s.genuine().without("svix-signature"), Refused(401)),
    ("signature twice", Svix, |s| s.genuine().twice("svix-signature"), Refused(401)),
    // Fields in one header.
    ("no signature", Stripe, |s| s.genuine().without(FIELDS), Refused(401)),
    ("header twice", Stripe, |s| s.genuine().twice(FIELDS), Refused(401)),
    ("empty header", Stripe, |s| fields(s, |_| String::new()), Refused(401)),
    ("no time", Stripe, |s| fields(s, |v| v[13..].into()), Refused(401)),
    ("two times", Stripe, |s| fields(s, |v| format!("t=1,{v}")), Refused(401)),
    ("the same time twice", Stripe, |s| fields(s, |v| format!("{},{v}", &v[..12])), Refused(401)),
    ("no signature in the header", Stripe, |s| fields(s, |v| v[..12].into()), Refused(401)),
    ("the time's name in capitals", Stripe, |s| fields(s, |v| v.replace("t=", "T=")), Refused(401)),
    ("the right one as v0", Stripe, |s| fields(s, |v| v.replace("v1=", "v0=")), Refused(401)),
    ("a space after the comma", Stripe, |s| fields(s, |v| v.replace(',', ", ")), Taken),
    ("a semicolon for the comma", Stripe, |s| fields(s, |v| v.replace(',', ";")), Refused(401)),
    ("a wrong one before the right one", Stripe, |s| fields(s, |v| v.replace(",v1", ",v1=00,v1")), Taken),
    ("seventeen signatures", Stripe, |s| fields(s, |v| format!("{v}{}", ",v1=00".repeat(16))), Refused(401)),
    ("the signature first", Stripe, |s| fields(s, |v| format!("{},{}", &v[13..], &v[..12])), Taken),
    (
        "another time than the signed one",
        Stripe,
        |s| fields(s, |v| v.replace(&v[..12], &format!("t={}", stamp(1)))),
        Refused(401),
    ),
    // Signatures without a time, or with one of their own.
    ("no signature", Github, |s| s.genuine().without("x-hub-signature-256"), Refused(401)),
    ("signature twice", Github, |s| s.genuine().twice("x-hub-signature-256"), Refused(401)),
    (
        "the old sha1",
        Github,
        |s| s.genuine().edited("x-hub-signature-256", |v| v.replace("sha256", "sha1")),
        Refused(401),
    ),
    ("the old header alone", Github, |s| s.genuine().renamed(|name| name.replace("-256", "")), Refused(401)),
    ("another body", Github, |s| s.genuine().tampered(|b| [b, b" "].concat()), Refused(401)),
    ("no signature", Slack, |s| s.genuine().without("x-slack-signature"), Refused(401)),
    ("no time", Slack, |s| s.genuine().without("x-slack-request-timestamp"), Refused(401)),
    ("time twice", Slack, |s| s.genuine().twice("x-slack-request-timestamp"), Refused(401)),
    (
        "version v1",
        Slack,
        |s| s.genuine().edited("x-slack-signature", |v| v.replace("v0=", "v1=")),
        Refused(401),
    ),
    ("another time", Slack, |s| s.genuine().with("x-slack-request-timestamp", stamp(1)), Refused(401)),
    ("no signature", Shopify, |s| s.genuine().without(SHOP), Refused(401)),
    ("signature twice", Shopify, |s| s.genuine().twice(SHOP), Refused(401)),
    (
        "base64 without its padding",
        Shopify,
        |s| s.genuine().edited(SHOP, |v| v.replace('=', "")),
        Refused(401),
    ),
    ("base64 with bits left over", Shopify, |s| s.genuine().edited(SHOP, bits_left_over), Refused(401)),
    ("hex for base64", Shopify, |s| s.genuine().with(SHOP, &ZEROS[3..]), Refused(401)),
    // A password besides the signature: both are required.
    ("no password", ReceptAi, |s| s.genuine().without("authorization"), Refused(401)),
    ("another password", ReceptAi, |s| s.genuine().with("authorization", "Basic aG9va3M6eA=="), Refused(401)),
    ("the password twice", ReceptAi, |s| s.genuine().twice("authorization"), Refused(401)),
    (
        "the password as a bearer",
        ReceptAi,
        |s| s.genuine().edited("authorization", |v| v.replace("Basic", "Bearer")),
        Refused(401),
    ),
    ("the password without a signature", ReceptAi, |s| s.genuine().without(LIST), Refused(401)),
    (
        "the password and another body",
        ReceptAi,
        |s| s.genuine().tampered(|b| [b, b" "].concat()),
        Refused(401),
    ),
];

/// A server trims the ends of a value before anybody sees it. A caller without a server may pass them on.
pub(super) const UNTRIMMED: &[Row] = &[
    ("a space before the signature", Allison, |s| signature(s, |v| format!(" {v}")), Refused(401)),
    ("a space after the signature", Allison, |s| signature(s, |v| format!("{v} ")), Refused(401)),
    ("a tab after the signature", Allison, |s| signature(s, |v| format!("{v}\t")), Refused(401)),
    ("a space before the time", Allison, |s| s.genuine().edited(TIME, |v| format!(" {v}")), Refused(401)),
    ("a space after the id", Allison, |s| s.genuine().edited(ID, |v| format!("{v} ")), Refused(401)),
    ("a tab before the list", StandardWebhooks, |s| list(s, |v| format!("\t{v}")), Refused(401)),
    ("a space after the only one of the list", StandardWebhooks, |s| list(s, |v| format!("{v} ")), Taken),
    (
        "a space after the password",
        ReceptAi,
        |s| s.genuine().edited("authorization", |v| format!("{v} ")),
        Refused(401),
    ),
];

use super::request::Request;

fn bare(sender: Sender) -> Request {
    [SIGNATURE, TIME, ID].into_iter().fold(sender.genuine(), Request::without)
}

fn wrong() -> Vec<(String, Vec<u8>)> {
    vec![(SIGNATURE.to_owned(), ZEROS.into())]
}

fn signature(sender: Sender, edit: fn(&str) -> String) -> Request {
    sender.genuine().edited(SIGNATURE, edit)
}

fn list(sender: Sender, edit: fn(&str) -> String) -> Request {
    sender.genuine().edited(LIST, edit)
}

fn fields(sender: Sender, edit: fn(&str) -> String) -> Request {
    sender.genuine().edited(FIELDS, edit)
}

/// A request that carries this id and is signed with it.
fn named(sender: Sender, id: &[u8]) -> Request {
    sender.signs_as(id, &stamp(0), sender.event())
}

/// A request signed with this secret, given as text.
fn by(sender: Sender, secret: &str) -> Request {
    let request = sender.genuine();
    let id = request.header(ID).to_owned();
    let signed = sender.signature(id.as_bytes(), &stamp(0), &request.body, secret);
    signed.into_iter().fold(request, |request, (name, value)| request.with(&name, value))
}

/// A request with another sender's headers in place of its own.
fn only(sender: Sender, other: Sender) -> Request {
    let request = sender.genuine();
    let signed = other.signature(b"evt_1", &stamp(0), &request.body, secret().expose());
    let request = Request { headers: vec![("content-type".into(), b"application/json".into())], ..request };
    request.after(signed)
}

fn over_the_body() -> String {
    Github.genuine().header("x-hub-signature-256").replace("sha256=", "v1=")
}

/// The same 32 bytes for a reader that ignores the unused bits of the last digit.
fn bits_left_over(value: &str) -> String {
    let mut edited = value.to_owned().into_bytes();
    let last = edited.len() - 2;
    // 32 bytes end inside a digit: the last two of its six bits are zero. The next digit differs only in
    // these bits.
    edited[last] = match edited[last] {
        b'8' => b'9',
        digit => digit + 1,
    };
    String::from_utf8(edited).unwrap()
}

const SIGNATURE: &str = "x-allison-signature";
const TIME: &str = "x-allison-timestamp";
const ID: &str = "x-allison-event-id";
const LIST: &str = "webhook-signature";
const FIELDS: &str = "stripe-signature";
const SHOP: &str = "x-shopify-hmac-sha256";
const ZEROS: &str = "v1=0000000000000000000000000000000000000000000000000000000000000000";
const BASE64: &str = "v1=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

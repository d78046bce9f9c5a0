//! Requests with a wrong or a missing timestamp. Each signature is right.

use super::sender::Sender::{Allison, Allo, ReceptAi, Slack, StandardWebhooks, Stripe, Svix};
use super::sender::{Sender, stamp};
use super::{Row, Told};
use Told::{Refused, Taken};

pub(super) const ROWS: &[Row] = &[
    ("five minutes less a little ago", Allison, |s| at(s, &stamp(-200)), Taken),
    ("a little in the future", Allison, |s| at(s, &stamp(200)), Taken),
    ("too old", Allison, |s| at(s, &stamp(-400)), Refused(401)),
    ("a day old", Allison, |s| at(s, &stamp(-86_400)), Refused(401)),
    ("too far in the future", Allison, |s| at(s, &stamp(400)), Refused(401)),
    ("a year in the future", Allison, |s| at(s, &stamp(31_536_000)), Refused(401)),
    ("milliseconds", Allison, |s| at(s, &format!("{}000", stamp(0))), Refused(401)),
    ("microseconds", Allison, |s| at(s, &format!("{}000000", stamp(0))), Refused(401)),
    ("1970", Allison, |s| at(s, "0"), Refused(401)),
    ("1970, twice a zero", Allison, |s| at(s, "00"), Refused(401)),
    ("before 1970", Allison, |s| at(s, "-1"), Refused(401)),
    ("minus now", Allison, |s| at(s, &format!("-{}", stamp(0))), Refused(401)),
    ("minus zero", Allison, |s| at(s, "-0"), Refused(401)),
    ("a plus sign", Allison, |s| at(s, &format!("+{}", stamp(0))), Refused(401)),
    ("a leading zero", Allison, |s| at(s, &format!("0{}", stamp(0))), Refused(401)),
    ("a fraction", Allison, |s| at(s, &format!("{}.0", stamp(0))), Refused(401)),
    ("an exponent", Allison, |s| at(s, "1.7e9"), Refused(401)),
    ("an infinite exponent", Allison, |s| at(s, "1e999"), Refused(401)),
    ("hex", Allison, |s| at(s, "0x69e29e73"), Refused(401)),
    ("an underscore", Allison, |s| at(s, "1_776_453_123"), Refused(401)),
    ("commas", Allison, |s| at(s, "1,776,453,123"), Refused(401)),
    ("the last second of 12 digits", Allison, |s| at(s, "999999999999"), Refused(401)),
    ("i64::MAX", Allison, |s| at(s, "9223372036854775807"), Refused(401)),
    ("i64::MIN", Allison, |s| at(s, "-9223372036854775808"), Refused(401)),
    ("u64::MAX", Allison, |s| at(s, "18446744073709551615"), Refused(401)),
    ("one more than u64::MAX", Allison, |s| at(s, "18446744073709551616"), Refused(401)),
    ("400 digits", Allison, |s| at(s, &"9".repeat(400)), Refused(401)),
    ("400 zeros before it", Allison, |s| at(s, &format!("{}{}", "0".repeat(400), stamp(0))), Refused(401)),
    ("RFC 3339", Allison, |s| at(s, "2026-04-17T19:12:03Z"), Refused(401)),
    ("an HTTP date", Allison, |s| at(s, "Fri, 17 Apr 2026 19:12:03 GMT"), Refused(401)),
    ("a word", Allison, |s| at(s, "now"), Refused(401)),
    ("no number", Allison, |s| at(s, "NaN"), Refused(401)),
    ("Arabic digits", Allison, |s| at(s, "\u{661}\u{667}\u{667}\u{666}"), Refused(401)),
    ("a space among the digits", Allison, |s| at(s, "1776 453123"), Refused(401)),
    (
        "another time than the signed one",
        Allison,
        |s| s.genuine().with("x-allison-timestamp", stamp(1)),
        Refused(401),
    ),
    ("too old", StandardWebhooks, |s| at(s, &stamp(-400)), Refused(401)),
    ("too far in the future", StandardWebhooks, |s| at(s, &stamp(400)), Refused(401)),
    ("milliseconds", StandardWebhooks, |s| at(s, &format!("{}000", stamp(0))), Refused(401)),
    ("a leading zero", StandardWebhooks, |s| at(s, &format!("0{}", stamp(0))), Refused(401)),
    ("too old", Allo, |s| at(s, &stamp(-400)), Refused(401)),
    ("too old, with the right password", ReceptAi, |s| at(s, &stamp(-400)), Refused(401)),
    ("too old", Svix, |s| at(s, &stamp(-400)), Refused(401)),
    ("too old", Stripe, |s| at(s, &stamp(-400)), Refused(401)),
    ("too far in the future", Stripe, |s| at(s, &stamp(400)), Refused(401)),
    ("no time at all", Stripe, |s| at(s, ""), Refused(401)),
    ("a plus sign", Stripe, |s| at(s, &format!("+{}", stamp(0))), Refused(401)),
    ("too old", Slack, |s| at(s, &stamp(-400)), Refused(401)),
    ("milliseconds", Slack, |s| at(s, &format!("{}000", stamp(0))), Refused(401)),
];

use super::request::Request;

fn at(sender: Sender, stamp: &str) -> Request {
    sender.signs(stamp, sender.event())
}

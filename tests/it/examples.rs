//! The programs in `examples/`, run as processes: their output and their exit codes are promises too.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use hookwire::{Scheme, Secret, Signer};
use proptest::prelude::*;
use serde_json::Value;
use time::OffsetDateTime;

// The part of `inspect` that meets hostile bytes first.
#[allow(dead_code, reason = "the program uses more of it than the tests")]
#[path = "../../examples/inspect/capture.rs"]
mod capture;
#[allow(dead_code, reason = "the program uses more of it than the tests")]
#[path = "../../examples/inspect/text.rs"]
mod text;

#[test]
fn schedule_ends_allison_at_31_hours_16_minutes() {
    let run = run("schedule", &["allison", "--from", "2026-04-17T19:12:03Z"], b"");
    assert_eq!(run.code, 0);
    assert_eq!(
        run.out,
        "contract  allison: 6 attempts over 31h 16m\n\
         time-out  10s\n\
         success   200-299\n\
         retried   300-409, 411-599 and no answer at all (time-out, network fault)\n\
         ended by  410, which ends the subscription too\n\
         \n\
         attempt  wait  elapsed  at\n      \
               1    0s       0s  2026-04-17T19:12:03Z\n      \
               2    1m       1m  2026-04-17T19:13:03Z\n      \
               3   15m      16m  2026-04-17T19:28:03Z\n      \
               4    1h   1h 16m  2026-04-17T20:28:03Z\n      \
               5    6h   7h 16m  2026-04-18T02:28:03Z\n      \
               6   24h  31h 16m  2026-04-19T02:28:03Z\n"
    );
}

#[test]
fn schedule_shows_each_contracts_own_end() {
    let cases = [
        (
            "allo",
            "8 attempts over 27h 35m 5s",
            "      7   10h  17h 35m 5s",
            "27h 35m 5s  2026-04-18T22:47:08Z",
        ),
        (
            "allo_v1",
            "1 attempt\ntime-out  30s",
            "nothing, there is one attempt",
            "      1    0s       0s  2026-04-17T19:12:03Z",
        ),
        (
            "nectar_desk",
            "4 attempts over 7s",
            "retried   500-599 and no answer",
            "      4    4s       7s  2026-04-17T19:12:10Z",
        ),
        (
            "recept_ai",
            "8 attempts over 1h 3m 30s",
            "retried   300-599 and",
            "      8   32m  1h 3m 30s  2026-04-17T20:15:33Z",
        ),
        (
            "standard_webhooks",
            "10 attempts over 75h 35m 5s",
            "time-out  20s",
            "     10   24h  75h 35m 5s  2026-04-20T22:47:08Z",
        ),
    ];
    for (name, head, middle, last) in cases {
        let run = run("schedule", &[name, "--from=2026-04-17T21:12:03+02:00"], b"");
        assert_eq!(run.code, 0, "{name}");
        assert!(run.out.starts_with(&format!("contract  {name}: {head}")), "{}", run.out);
        assert!(run.out.contains(middle), "{}", run.out);
        assert!(run.out.trim_end().ends_with(last), "{}", run.out);
    }
}

#[test]
fn schedule_begins_now_when_no_time_is_given() {
    let before = OffsetDateTime::now_utc().unix_timestamp();
    let run = run("schedule", &["allo_v1"], b"");
    let last = run.out.trim_end().rsplit(' ').next().unwrap();
    let at = OffsetDateTime::parse(last, &time::format_description::well_known::Rfc3339).unwrap();
    assert!((before..=OffsetDateTime::now_utc().unix_timestamp()).contains(&at.unix_timestamp()));
}

#[test]
fn schedule_refuses_what_it_does_not_know_with_exit_code_2() {
    let unknown = run("schedule", &["alison"], b"");
    assert_eq!((unknown.code, unknown.out.as_str()), (2, ""));
    for name in hookwire::Contract::NAMES {
        assert!(unknown.err.contains(name), "{}", unknown.err);
    }
    for args in [
        &[][..],
        &["allison", "--from"],
        &["allison", "--from", "yesterday"],
        &["allison", "allo"],
        &["allison", "--at", "9"],
        &["allison", "--from=2026-04-17T19:12:03Z", "--from=2026-04-17T19:12:03Z"],
    ] {
        let refused = run("schedule", args, b"");
        assert_eq!(refused.code, 2, "{args:?}");
        assert!(refused.err.contains("usage: schedule NAME"), "{args:?}: {}", refused.err);
    }
}

#[test]
fn schedule_says_where_the_calendar_ends() {
    let run = run("schedule", &["allison", "--from", "9999-12-31T23:59:00Z"], b"");
    assert_eq!(run.code, 0);
    assert!(run.out.ends_with("the calendar ends before the next attempt\n"), "{}", run.out);
}

#[test]
fn custom_events_takes_its_event_from_end_to_end() {
    let run = run("custom_events", &[], b"");
    assert_eq!(run.code, 0, "{}", run.err);
    for step in [
        "order.paid       An order was paid in full.     {\"order_id\":\"o-1\"",
        "matches:\n   parcel.shipped\n   parcel.returned\n",
        "\"event\":\"order.paid\"",
        "webhook-signature: v1,",
        "no signature matches",
        "order o-7 paid: 4250 cents, coupons [\"SPRING\"]",
        "order.refunded with {\"order_id\":\"o-7\"}",
        "does not fit its type at `cents`, expected u64",
    ] {
        assert!(run.out.contains(step), "{step}\n{}", run.out);
    }
}

#[cfg(all(feature = "dispatch", feature = "hyper", feature = "sqlite"))]
#[test]
fn quickstart_shows_the_request_on_the_wire_without_all_of_its_signature() {
    let run = run("quickstart", &[], b"");
    assert_eq!(run.code, 0, "{}", run.err);
    let line = |start: &str| {
        let mut lines = run.out.lines().filter_map(|line| line.strip_prefix("   | ")?.strip_prefix(start));
        let found = lines.next().unwrap_or_else(|| panic!("no line of {start} in:\n{}", run.out));
        assert!(lines.next().is_none(), "the first arrival alone is shown");
        found
    };
    assert_eq!(line("POST "), "/hooks HTTP/1.1");
    assert!(line("x-allison-event-id: ").starts_with("evt_"));
    assert!(line("x-allison-timestamp: ").bytes().all(|byte| byte.is_ascii_digit()));
    let signature = line("x-allison-signature: ").strip_prefix("v1=").unwrap().strip_suffix("...").unwrap();
    assert!((8..=16).contains(&signature.len()), "{signature}");
    assert!(line(r#"{"id":"evt_"#).contains(r#""type":"call.ended""#));
    assert!(run.out.contains("answered 200 OK") && run.out.contains("answered 401 Unauthorized"));
    assert!(run.out.contains("Handled 1 time"));
}

#[cfg(all(feature = "dispatch", feature = "hyper", feature = "sqlite"))]
#[test]
fn custom_store_delivers_at_the_second_attempt() {
    let run = run("custom_store", &[], b"");
    assert_eq!(run.code, 0, "{}", run.err);
    for line in [
        "is stored, 1 delivery pending\n",
        "once more: duplicate = true\n",
        "after  0 s: 0 delivered, 1 to be tried again\nafter 30 s: 0 delivered, 0 to be tried again\n",
        "after 90 s: 1 delivered, 0 to be tried again\n",
        "of call.ended is delivered\n  attempt 1: Some(503)\n  attempt 2: Some(204)\n",
    ] {
        assert!(run.out.contains(line), "{line}\n{}", run.out);
    }
}

#[cfg(all(feature = "dispatch", feature = "hyper", feature = "sqlite"))]
#[test]
fn alerts_tells_the_chat_of_each_turn_for_the_worse_and_for_the_better() {
    let run = run("alerts", &[], b"");
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.out);
    let told = |name: &str| {
        let of_it = |line: &str| Some(line.strip_prefix("chat: ")?.strip_prefix(name)?.to_owned());
        run.out.lines().filter_map(of_it).collect::<Vec<_>>()
    };
    let expected =
        [" was not given a call.ended: Gone at attempt 2; it can be replayed", " is disabled: gone"];
    assert_eq!(told("Globex"), expected);
    let acme = told("Acme");
    assert_eq!(acme.len(), 4, "{acme:?}");
    assert_eq!(acme[0], " has failed for more than 1 h");
    assert!(
        acme.iter()
            .any(|line| line == " was not given a call.ended: Exhausted at attempt 6; it can be replayed")
    );
    assert!(acme.iter().any(|line| line == " has failed for more than 24 h"));
    assert!(acme[3].starts_with(" has recovered; it had failed since "));
    assert!(run.out.ends_with("6 alerts were posted, and the chat has seen 6\n"), "{}", run.out);
}

#[test]
fn inspect_proves_an_allison_request_and_prints_its_event() {
    let run = inspect(&allison(BODY), &[]);
    assert_eq!(run.code, 0, "{}", run.out);
    for phrase in [
        "request     POST /hooks HTTP/1.1\n",
        "scheme      Allison\n            x-allison-event-id: evt_1\n",
        "verdict     verified; signed at 2026-04-17T19:12:03Z, 0 s ago\n",
        "envelope    allison\n",
        "type        call.ended (A customer call ended; sent after every completed call.)\n",
        "id          evt_1 (from the body)\n",
        "created_at  2026-04-17T19:12:03.482Z\n",
        "data\n            {\n              \"call_id\": \"c-1\",\n              \"summary\": \"caf\u{e9}: moved\",\n",
    ] {
        assert!(run.out.contains(phrase), "{phrase}\n{}", run.out);
    }
}

#[test]
fn inspect_reads_a_file_the_standard_input_and_either_line_end() {
    let captured = allison(BODY);
    let file = std::env::temp_dir().join(format!("hookwire-inspect-{}.txt", std::process::id()));
    std::fs::write(&file, &captured).unwrap();
    let args = |input| [input, "--secret", SECRET, "--now=1776453123"];
    assert_eq!(run("inspect", &args(file.to_str().unwrap()), b"").code, 0);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(run("inspect", &args("-"), &captured).code, 0);
    let unix = String::from_utf8(captured).unwrap().replace("\r\n", "\n");
    assert_eq!(inspect(unix.as_bytes(), &[]).code, 0);
}

#[test]
fn inspect_judges_every_shared_vector_as_it_says() {
    let mut judged = 0;
    for vector in vectors() {
        let text = |name: &str| vector[name].as_str();
        let scheme = scheme(text("scheme").unwrap());
        let Some(secret) = text("secret") else { continue };
        let seconds = vector["timestamp"].as_i64().unwrap_or(1_776_453_123).to_string();
        let mut head =
            format!("POST / HTTP/1.1\n{}: {}\n", scheme.signature_header(), text("signature").unwrap());
        if let Some(header) = scheme.id_header() {
            head += &format!("{header}: {}\n", text("id").unwrap());
        }
        if let Some(header) = scheme.timestamp_header() {
            head += &format!("{header}: {seconds}\n");
        }
        let body = hex::decode(text("body_hex").unwrap()).unwrap();
        let captured = [head.as_bytes(), b"\n", &body].concat();
        let run = run("inspect", &["--secret", secret, "--now", &seconds], &captured);
        let valid = vector["valid"].as_bool().unwrap();
        assert_eq!(run.code, i32::from(!valid), "{}\n{}", vector["name"], run.out);
        assert!(!run.out.contains(secret));
        let title = match scheme.name() {
            "allison" => "Allison",
            "github" => "GitHub",
            "shopify" => "Shopify",
            "slack" => "Slack",
            "stripe" => "Stripe",
            _ => "Standard Webhooks",
        };
        assert!(run.out.contains(&format!("scheme      {title}\n")), "{}", run.out);
        if vector["name"].as_str().unwrap().contains("wrongly base64-decoded") {
            assert!(run.out.contains("decodes to as base64"), "{}", run.out);
        }
        judged += 1;
    }
    assert_eq!(judged, 15);
}

#[test]
fn inspect_tells_svix_and_ed25519_apart_from_standard_webhooks() {
    let svix = signed(Scheme::SVIX, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b"{}");
    let run_svix = inspect(&svix, &["--secret=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
    assert_eq!(run_svix.code, 0, "{}", run_svix.out);
    assert!(run_svix.out.contains("scheme      Svix\n"));

    let vector = vectors().into_iter().find(|vector| vector["name"] == "ed25519").unwrap();
    let captured = format!(
        "POST / HTTP/1.1\nWebhook-Id: {}\nWebhook-Timestamp: 1614265330\nWebhook-Signature: {}\n\n{}",
        vector["id"].as_str().unwrap(),
        vector["signature"].as_str().unwrap(),
        r#"{"test": 2432232314}"#
    );
    let run = run(
        "inspect",
        &["--now=1614265330", "--secret", vector["public"].as_str().unwrap()],
        captured.as_bytes(),
    );
    assert!(run.out.contains("v1a is an Ed25519 signature"), "{}", run.out);
    // Whichever features the examples were built with.
    match run.code {
        0 => assert!(run.out.contains("verdict     verified;")),
        _ => assert!(run.out.contains("cargo run --features ed25519"), "{}", run.out),
    }
}

#[test]
fn inspect_proves_nothing_without_a_secret_and_still_shows_the_event() {
    let run = run("inspect", &["--now", "1776453123"], &allison(BODY));
    assert_eq!(run.code, 1);
    assert!(run.out.contains("verdict     not verified: no secret was given"), "{}", run.out);
    assert!(run.out.contains("everything below is unproven") && run.out.contains("type        call.ended"));
    assert_eq!(inspect(&allison(BODY), &["--secret="]).code, 1);
}

#[test]
fn inspect_names_a_wrong_secret_without_showing_it() {
    let wrong = "whsec_another_secret_altogether";
    let run = inspect(&allison(BODY), &["--secret", wrong]);
    assert_eq!(run.code, 1);
    assert!(run.out.contains("not verified: no signature matches"), "{}", run.out);
    assert!(run.out.contains("it is another secret"), "{}", run.out);
    assert!(!run.out.contains(wrong) && !run.err.contains(wrong));
}

#[test]
fn inspect_tells_a_stale_or_early_time_from_a_wrong_signature() {
    let stale = inspect(&allison(BODY), &["--now=1776453535"]);
    assert_eq!(stale.code, 1);
    assert!(stale.out.contains("timestamp is 412 s old, tolerance is 300 s"), "{}", stale.out);
    assert!(
        stale.out.contains("the signature is right, but its time is 412 s behind the clock"),
        "{}",
        stale.out
    );
    assert!(stale.out.contains("--now 1776453123"), "{}", stale.out);
    let early = inspect(&allison(BODY), &["--now=1776452000"]);
    assert!(
        early.out.contains("1123 s ahead of the clock") && early.out.contains("--now 1776453123"),
        "{}",
        early.out
    );
    assert_eq!(inspect(&allison(BODY), &["--now=1776453423"]).code, 0);
}

#[test]
fn inspect_finds_each_usual_mistake_with_the_body() {
    let pretty = "{\n  \"id\": \"evt_1\",\n  \"type\": \"call.ended\",\n  \"created_at\": \"2026-04-17T19:12:03.482Z\",\n  \
                  \"api_version\": \"v1\",\n  \"data\": {\n    \"call_id\": \"c-1\",\n    \"summary\": \"caf\u{e9}: moved\",\n    \
                  \"outcome_tags\": []\n  }\n}";
    let compact = BODY;
    let spaced = compact.replace("\":", "\": ").replace(",\"", ", \"");
    let cases = [
        (compact.to_owned(), format!("{compact}\n"), "without the newline at the end of the body"),
        (format!("{compact}\n"), compact.to_owned(), "with a newline at the end of the body"),
        (compact.to_owned(), pretty.to_owned(), "parsed and re-serialized"),
        (compact.to_owned(), format!("{pretty}\n"), "parsed and re-serialized"),
        (pretty.to_owned(), compact.to_owned(), "parsed and re-serialized"),
        (spaced.replace('\u{e9}', "\\u00e9"), compact.to_owned(), "parsed and re-serialized"),
        (pretty.replace('\n', "\r\n"), pretty.to_owned(), "other line ends"),
    ];
    for (sent, captured, phrase) in cases {
        let head = allison(&sent);
        let head = &head[..head.len() - sent.len()];
        let run = inspect(&[head, captured.as_bytes()].concat(), &[]);
        assert_eq!(run.code, 1, "{}", run.out);
        assert!(run.out.contains(phrase), "{phrase}\n{}", run.out);
    }
}

#[test]
fn inspect_finds_each_usual_mistake_with_the_secret() {
    let cases = [
        (Scheme::ALLISON, SECRET, format!(" {SECRET}\n"), "white space around it"),
        (Scheme::ALLISON, SECRET, format!("\"{SECRET}\""), "quotes around it"),
        (Scheme::ALLISON, SECRET, SECRET["whsec_".len()..].to_owned(), "with whsec_ before the secret"),
        (Scheme::STRIPE, &SECRET["whsec_".len()..], SECRET.to_owned(), "without the whsec_"),
        (Scheme::ALLISON.with_base64_key(), SECRET, SECRET.to_owned(), "decodes to as base64"),
        (TEXT_KEYED, SECRET, SECRET.to_owned(), "not decoded as base64"),
    ];
    for (scheme, signed_with, given, phrase) in cases {
        let captured = signed(scheme, signed_with, BODY.as_bytes());
        let run = run("inspect", &["--now=1776453123", "--secret", &given], &captured);
        assert_eq!(run.code, 1, "{}", run.out);
        assert!(run.out.contains(phrase), "{phrase}\n{}", run.out);
        assert!(!run.out.contains(given.trim()), "{}", run.out);
    }
}

#[test]
fn inspect_finds_a_wrong_secret_form_a_changed_body_and_a_stale_time_at_once() {
    let captured =
        [signed(Scheme::ALLISON.with_base64_key(), SECRET, BODY.as_bytes()), b"\n".to_vec()].concat();
    let run = inspect(&captured, &["--now=1776459999"]);
    for phrase in ["decodes to as base64", "without the newline", "and besides: timestamp is 6876 s old"] {
        assert!(run.out.contains(phrase), "{phrase}\n{}", run.out);
    }
}

#[test]
fn inspect_names_a_header_that_is_missing_doubled_or_malformed() {
    let captured = String::from_utf8(allison(BODY)).unwrap();
    let missing: String =
        captured.split_inclusive('\n').filter(|line| !line.starts_with("x-allison-timestamp")).collect();
    let run = inspect(missing.as_bytes(), &[]);
    assert_eq!(run.code, 1);
    assert!(run.out.contains("header x-allison-timestamp is missing"), "{}", run.out);
    assert!(run.out.contains("missing: x-allison-timestamp\n"), "{}", run.out);

    let doubled = captured.replacen("\r\n", "\r\nX-Allison-Timestamp: 1\r\n", 1);
    let run = inspect(doubled.as_bytes(), &[]);
    assert_eq!(run.code, 1);
    assert!(run.out.contains("is there 2 times, the copies are not the same"), "{}", run.out);
    assert!(run.out.contains("with copy 2 alone the signature is right"), "{}", run.out);

    let milliseconds =
        captured.replace("x-allison-timestamp: 1776453123", "x-allison-timestamp: 1776453123000");
    let run = inspect(milliseconds.as_bytes(), &[]);
    assert_eq!(run.code, 1);
    assert!(run.out.contains("it looks like milliseconds"), "{}", run.out);
}

#[test]
fn inspect_honours_content_length() {
    let head = |length: usize| {
        let captured = String::from_utf8(allison(BODY)).unwrap();
        captured.replacen("\r\n", &format!("\r\nContent-Length: {length}\r\n"), 1)
    };
    let exact = head(BODY.len());
    let run = inspect(format!("{exact}\n").as_bytes(), &[]);
    assert_eq!(run.code, 0, "{}", run.out);
    assert!(run.out.contains("the file has a newline after the body"), "{}", run.out);
    let short = inspect(head(BODY.len() + 7).as_bytes(), &[]);
    assert!(short.out.contains("7 bytes are missing"), "{}", short.out);
    let long = inspect(format!("{exact}leftovers").as_bytes(), &[]);
    assert_eq!(long.code, 0);
    assert!(long.out.contains("9 bytes after the body"), "{}", long.out);
}

#[test]
fn inspect_names_the_field_whose_data_does_not_fit() {
    let run = inspect(&allison(&BODY.replace(r#""outcome_tags":[]"#, r#""outcome_tags":["a",7]"#)), &[]);
    assert_eq!(run.code, 0, "{}", run.out);
    assert!(run.out.contains("data        does not fit its type at `outcome_tags[1]`"), "{}", run.out);

    let unknown = inspect(&allison(&BODY.replace("call.ended", "call_order.status_changed")), &[]);
    assert_eq!(unknown.code, 0);
    assert!(unknown.out.contains("not in the catalogue, which is fine"), "{}", unknown.out);
}

#[test]
fn inspect_tells_the_platforms_by_their_envelopes() {
    let cases = [
        (
            r#"{"topic":"call.completed","version":"2.0","timestamp":"2026-04-17T19:12:03Z","data":{}}"#,
            "allo\n",
        ),
        (r#"{"topic":"CALL_RECEIVED","data":{"id":"c"}}"#, "allo_v1, a platform that does not sign\n"),
        (r#"{"event":"Call Ended","data":{}}"#, "nectar_desk, a platform that does not sign\n"),
        (r#"{"event":"Call Ended","timestamp":"2026-04-17T19:12:03Z","data":{}}"#, "recept_ai\n"),
        (r#"{"type":"a.b","timestamp":"2026-04-17T19:12:03Z","data":1}"#, "standard_webhooks\n"),
        (r#"{"type":"a.b"}"#, "none of a known platform\n"),
        ("token=x", "none of a known platform\n            the body is not JSON\n"),
    ];
    for (body, envelope) in cases {
        let run = run("inspect", &[], format!("POST / HTTP/1.1\nHost: a\n\n{body}").as_bytes());
        assert_eq!(run.code, 1);
        assert!(run.out.contains("nothing is signed"), "{}", run.out);
        assert!(run.out.contains(&format!("envelope    {envelope}")), "{}", run.out);
    }
}

#[test]
fn inspect_answers_garbage_with_exit_code_1() {
    let deep = format!("POST / HTTP/1.1\nx-allison-signature: v1=00\n\n{{\"data\":{}", "[".repeat(300_000));
    let many = format!("POST / HTTP/1.1\n{}\n{{}}", "a: b\n".repeat(40_000));
    let inputs: [&[u8]; 9] = [
        b"",
        b"\n",
        b"\xff\xfe\x00\x01",
        b"garbage",
        b"POST / HTTP/1.1",
        b"POST / HTTP/1.1\n\xff: \xff\n: \nx-allison-signature: \xff\xfe\n\n\xff",
        b"POST / HTTP/1.1\nContent-Length: 99999999999999999999999\nstripe-signature: t=1,t=2\n\nx",
        deep.as_bytes(),
        many.as_bytes(),
    ];
    for input in inputs {
        let run = inspect(input, &[]);
        let shown = &input[..input.len().min(60)];
        assert_eq!(run.code, 1, "{}: {}{}", String::from_utf8_lossy(shown), run.out, run.err);
        assert!(run.out.contains("not verified") && run.err.is_empty(), "{}{}", run.out, run.err);
    }
}

#[test]
fn inspect_prints_no_escape_sequence_of_a_stranger() {
    let body = BODY.replace("moved", "\u{7f}\u{9b}31m\u{202e}").replace("call.ended", "call.\u{202e}ended");
    let captured = String::from_utf8(allison(&body)).unwrap();
    let captured = captured.replace("POST /hooks", "POST /\u{1b}[2J");
    let captured = captured.replacen("\r\n", "\r\nWebhook-Id: a\u{9b}b\u{e9}\r\n", 1);
    let run = inspect(captured.as_bytes(), &[]);
    assert_eq!(run.code, 0, "{}", run.out);
    let obeyed = |char: char| (char.is_control() && char != '\n') || char == '\u{202e}';
    assert!(!run.out.contains(obeyed), "{:?}", run.out);
    assert!(run.out.contains("\\u{1b}[2J") && run.out.contains("\\u{9b}31m\\u{202e}"), "{}", run.out);
}

#[test]
fn inspect_answers_a_wrong_command_line_with_exit_code_2() {
    for args in [
        &["--secret"][..],
        &["--now", "soon"],
        &["--now", "9223372036854775807"],
        &["--verbose=whsec_hush"],
        &["whsec_hush"],
        &["-", "-"],
        &["--secret=whsec_hush", "--secret=whsec_hush"],
    ] {
        let run = run("inspect", args, b"");
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{args:?}");
        assert!(run.err.contains("usage: inspect") && !run.err.contains("whsec_hush"), "{}", run.err);
    }
    assert_eq!(run("inspect", &["--help"], b"").code, 0);
}

proptest! {
    #[test]
    fn the_request_parser_never_panics(input in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = capture::parse(&input);
    }

    #[test]
    fn the_request_parser_keeps_any_body_to_the_byte(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        crlf: bool,
        counted: bool,
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let length = if counted { format!("content-length: {}{end}", body.len()) } else { String::new() };
        let input = [format!("POST / HTTP/1.1{end}a: b{end}{length}{end}").as_bytes(), &body].concat();
        let captured = capture::parse(&input).unwrap();
        prop_assert_eq!(captured.body, body);
        prop_assert_eq!(&captured.headers["a"], "b");
        prop_assert!(captured.notes.is_empty());
    }

    #[test]
    fn json_in_another_style_is_the_same_json(value in json()) {
        for style in [text::Style::Compact, text::Style::Spaced, text::Style::Indented] {
            let styled = text::restyle(&serde_json::to_string_pretty(&value).unwrap(), style);
            prop_assert_eq!(&serde_json::from_str::<Value>(&styled).unwrap(), &value);
            prop_assert_eq!(&serde_json::from_str::<Value>(&text::ascii(&styled)).unwrap(), &value);
        }
        let compact = serde_json::to_string(&value).unwrap();
        let indented = text::restyle(&compact, text::Style::Indented);
        prop_assert_eq!(&indented, &serde_json::to_string_pretty(&value).unwrap());
        prop_assert_eq!(text::restyle(&indented, text::Style::Compact), compact);
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// With the secret and the time of [`allison`], unless `more` gives others.
fn inspect(captured: &[u8], more: &[&str]) -> Run {
    let given = |name: &str| more.iter().any(|arg| arg.starts_with(name));
    let mut args = more.to_vec();
    if !given("--secret") {
        args.extend(["--secret", SECRET]);
    }
    if !given("--now") {
        args.extend(["--now", "1776453123"]);
    }
    run("inspect", &args, captured)
}

fn allison(body: &str) -> Vec<u8> {
    signed(Scheme::ALLISON, SECRET, body.as_bytes())
}

/// A captured request, signed at 1776453123.
fn signed(scheme: Scheme, secret: &str, body: &[u8]) -> Vec<u8> {
    let now = OffsetDateTime::from_unix_timestamp(1_776_453_123).unwrap();
    let secret = if scheme == TEXT_KEYED { Secret::from_bytes(secret) } else { secret.parse().unwrap() };
    let headers = Signer::new(scheme, &secret).unwrap().sign("evt_1", now, body).unwrap();
    let mut captured = b"POST /hooks HTTP/1.1\r\n".to_vec();
    for (name, value) in &headers {
        captured.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    captured.extend(b"\r\n");
    captured.extend(body);
    captured
}

fn scheme(name: &str) -> Scheme {
    match name {
        "allison" => Scheme::ALLISON,
        "github" => Scheme::GITHUB,
        "shopify" => Scheme::SHOPIFY,
        "slack" => Scheme::SLACK,
        "stripe" => Scheme::STRIPE,
        _ => Scheme::STANDARD_WEBHOOKS,
    }
}

fn vectors() -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("../data/signatures.json")).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

struct Run {
    code: i32,
    out: String,
    err: String,
}

fn run(example: &str, args: &[&str], input: &[u8]) -> Run {
    let mut child = Command::new(binary(example))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that has already refused its command line does not read.
    let _ = child.stdin.take().unwrap().write_all(input);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: status.code().expect("ended by itself"), out: text(stdout), err: text(stderr) }
}

/// Where cargo put the program. `cargo test` builds the examples beside the tests; `cargo test --test it` does not, so
/// what is missing there, or older than its sources, is built here.
fn binary(example: &str) -> PathBuf {
    static BUILT: OnceLock<Vec<PathBuf>> = OnceLock::new();
    let name = format!("{example}{}", std::env::consts::EXE_SUFFIX);
    let test = std::env::current_exe().unwrap();
    let beside = test.parent().unwrap().parent().unwrap().join("examples").join(&name);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join(format!("examples/{example}.rs"));
    let source = if file.exists() { file } else { root.join("examples").join(example) };
    let newest = newest(&root.join("src")).max(newest(&source));
    if beside.metadata().and_then(|program| program.modified()).is_ok_and(|built| built >= newest) {
        return beside;
    }
    let built = BUILT.get_or_init(|| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(root).args(["build", "--message-format=json"]);
        if cfg!(all(feature = "dispatch", feature = "hyper", feature = "sqlite")) {
            cargo.args(["--features", "full"]);
            cargo.args(["alerts", "custom_store", "quickstart"].iter().flat_map(|name| ["--example", name]));
        }
        let built = cargo.args(EXAMPLES.iter().flat_map(|example| ["--example", example])).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let messages = String::from_utf8(built.stdout).unwrap();
        let messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        messages.filter_map(|message| Some(message["executable"].as_str()?.into())).collect()
    });
    built.iter().find(|path| path.ends_with(&name)).unwrap().clone()
}

/// When the newest of these files was changed.
fn newest(path: &Path) -> SystemTime {
    match std::fs::read_dir(path) {
        Ok(entries) => {
            entries.map(|entry| newest(&entry.unwrap().path())).max().unwrap_or(SystemTime::UNIX_EPOCH)
        }
        Err(_) => path.metadata().unwrap().modified().unwrap(),
    }
}

const EXAMPLES: [&str; 3] = ["custom_events", "inspect", "schedule"];
const SECRET: &str = "whsec_ABC12345XYZ67890abcdefghijklmnop";
const BODY: &str = "{\"id\":\"evt_1\",\"type\":\"call.ended\",\"created_at\":\"2026-04-17T19:12:03.482Z\",\
                    \"api_version\":\"v1\",\"data\":{\"call_id\":\"c-1\",\"summary\":\"caf\u{e9}: moved\",\"outcome_tags\":[]}}";
/// Standard Webhooks with the secret's text as key, which is a usual mistake of senders.
const TEXT_KEYED: Scheme = Scheme::new("text_keyed", "webhook-signature")
    .with_id_header("webhook-id")
    .with_timestamp_header("webhook-timestamp")
    .with_list("v1")
    .with_base64_signature()
    .with_content(&[
        hookwire::Part::Id,
        hookwire::Part::Text("."),
        hookwire::Part::Timestamp,
        hookwire::Part::Text("."),
        hookwire::Part::Body,
    ]);

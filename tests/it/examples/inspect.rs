//! The program `inspect`: its verdict on a captured request, for any input.

use hookwire::{Scheme, Secret, Signer};
use proptest::prelude::*;
use serde_json::Value;
use time::OffsetDateTime;

use super::{Run, run};

// The part of `inspect` that parses hostile bytes first.
#[allow(dead_code, reason = "the program uses more of it than the tests")]
#[path = "../../../examples/inspect/capture.rs"]
mod capture;
#[path = "../../../examples/inspect/json.rs"]
mod json;
#[path = "../../../examples/inspect/order.rs"]
mod order;
#[path = "../../../examples/inspect/printed.rs"]
mod printed;

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
    // The verdict depends on the features that the examples were built with.
    match run.code {
        0 => assert!(run.out.contains("verdict     verified;")),
        _ => assert!(run.out.contains("cargo run --features ed25519"), "{}", run.out),
    }
}

/// Polar sends the headers of Standard Webhooks, and its key is the secret's text.
#[test]
fn inspect_recognizes_polar_by_the_form_of_its_key() {
    let polar = hookwire::provider::Provider::by_name("polar").unwrap();
    let secret = "polar_whs_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";
    let body = br#"{"type":"order.paid","timestamp":"2026-04-17T19:12:03Z","data":{"id":"o-1"}}"#;
    let run = inspect(&signed(polar.scheme().unwrap(), secret, body), &["--secret", secret]);
    assert_eq!(run.code, 0, "{}", run.out);
    assert!(run.out.contains("provider    polar, Polar"), "{}", run.out);
    assert!(run.out.contains("type        order.paid"), "{}", run.out);
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
    let sorted = serde_json::from_str::<Value>(compact).unwrap().to_string();
    let python = spaced.replace('"', "'");
    let ruby = compact.replace("\":", "\"=>");
    let cases = [
        (compact.to_owned(), format!("{compact}\n"), "without the newline at the end of the body"),
        (format!("{compact}\n"), compact.to_owned(), "with a newline at the end of the body"),
        (compact.to_owned(), pretty.to_owned(), "parsed and re-serialized"),
        (compact.to_owned(), format!("{pretty}\n"), "parsed and re-serialized"),
        (pretty.to_owned(), compact.to_owned(), "parsed and re-serialized"),
        (spaced.replace('\u{e9}', "\\u00e9"), compact.to_owned(), "parsed and re-serialized"),
        (pretty.replace('\n', "\r\n"), pretty.to_owned(), "other line ends"),
        (compact.to_owned(), pretty.to_owned(), "with other white space"),
        (compact.to_owned(), pretty.replace("  ", "    "), "with other white space"),
        (pretty.replace("  ", "\t"), compact.to_owned(), "with other white space"),
        (compact.to_owned(), sorted.clone(), "with its keys in another order"),
        (sorted.clone(), compact.to_owned(), "with its keys in another order"),
        (compact.to_owned(), sorted.replace('\u{e9}', "\\u00E9"), "with other escapes"),
        (compact.to_owned(), compact.replace('\u{e9}', "\\u00e9"), "with other escapes"),
        (compact.replace("moved", "a\\/b"), compact.replace("moved", "a/b"), "with other escapes"),
        (compact.replace("moved", "\\u003cb\\u003e"), compact.replace("moved", "<b>"), "with other escapes"),
        (compact.to_owned(), format!("\u{feff}{compact}"), "without the byte order mark"),
        (format!("\u{feff}{compact}"), compact.to_owned(), "with a byte order mark"),
        (compact.to_owned(), Value::from(compact).to_string(), "it was encoded twice"),
        (compact.to_owned(), base64(compact), "the body is base64 of what was signed"),
        (compact.to_owned(), python.clone(), "what a program prints of a parsed object"),
        (spaced.clone(), python, "what a program prints of a parsed object"),
        (compact.to_owned(), ruby, "what a program prints of a parsed object"),
        (compact.to_owned(), "[object Object]".to_owned(), "what JavaScript prints of a parsed object"),
        (compact.to_owned(), String::new(), "the body is empty: a framework has read it before"),
        (compact.to_owned(), compact.replace("moved", "kept"), "no usual mistake explains it"),
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
        (Scheme::ALLISON, SECRET, SECRET.replace("XYZ", "\nXYZ"), "a line break inside"),
        (Scheme::ALLISON, SECRET, format!("{SECRET}\\n"), "a line break inside"),
        (Scheme::ALLISON, SECRET, base64(SECRET), "in base64 once more, as Kubernetes shows"),
        (Scheme::ALLISON, SECRET, base64(&format!("{SECRET}\n")), "in base64 once more, as Kubernetes shows"),
        (Scheme::SVIX, SIGNS, SIGNS.replace('+', "-").replace('/', "_"), "with - and _ where base64 has"),
        (Scheme::ALLISON, SECRET, format!(" {} ", &SECRET["whsec_".len()..]), "which do not belong to it"),
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
fn inspect_proves_each_scheme_and_explains_the_usual_mistakes_under_each() {
    let pretty = json::restyle(BODY, json::Style::Indented("  "));
    for (scheme, title) in SCHEMES {
        let captured = signed(scheme, SECRET, BODY.as_bytes());
        let head = &captured[..captured.len() - BODY.len()];
        let says = |run: Run, code: i32, phrases: &[&str]| {
            assert_eq!(run.code, code, "{title}\n{}", run.out);
            for phrase in phrases.iter().chain([&&*format!("scheme      {title}\n")]) {
                assert!(run.out.contains(phrase), "{title}: {phrase}\n{}", run.out);
            }
        };
        says(inspect(&captured, &[]), 0, &["verdict     verified", "type        call.ended"]);
        let rewritten = [head, pretty.as_bytes()].concat();
        says(inspect(&rewritten, &[]), 1, &["no signature matches", "with other white space", "raw bytes"]);
        says(inspect(&captured, &["--secret", OTHER]), 1, &["no signature matches", "it is another secret"]);

        let secrets = ["--secret", OTHER, "--secret", SECRET];
        says(
            inspect(&captured, &secrets),
            0,
            &["secret      2 of 2 has signed; if that is the previous one"],
        );
        says(inspect(&rewritten, &secrets), 1, &["secret 2 of 2 has signed", "with other white space"]);

        let (late, behind) =
            (["--now=1776454123"], "the signature is right, but its time is 1000 s behind the clock");
        match scheme.signs_time() {
            true => says(inspect(&captured, &late), 1, &[behind]),
            false => says(inspect(&captured, &late), 0, &["its age cannot be checked, no time is signed"]),
        }

        let (other_form, phrase) = match scheme == scheme.with_base64_key() {
            true => (Secret::from_bytes(SECRET), "not decoded as base64"),
            false => (decoded(SECRET), "decodes to as base64"),
        };
        says(inspect(&signed_with(scheme, &other_form, BODY.as_bytes()), &[]), 1, &[phrase]);
    }
}

#[cfg(all(feature = "dispatch", feature = "ed25519", feature = "hyper", feature = "sqlite"))]
#[test]
fn inspect_explains_the_usual_mistakes_under_ed25519_too() {
    let vector = vectors().into_iter().find(|vector| vector["name"] == "ed25519").unwrap();
    let (private, public) = (vector["private"].as_str().unwrap(), vector["public"].as_str().unwrap());
    let captured = signed(Scheme::STANDARD_WEBHOOKS_ED25519, private, BODY.as_bytes());
    let verified = inspect(&captured, &["--secret", public]);
    assert_eq!(verified.code, 0, "{}", verified.out);
    let rewritten = inspect(&[&captured[..], b"\n"].concat(), &["--secret", public]);
    assert_eq!(rewritten.code, 1);
    assert!(rewritten.out.contains("without the newline"), "{}", rewritten.out);
    let late = inspect(&captured, &["--secret", SECRET, "--secret", public, "--now=1776454123"]);
    assert!(late.out.contains("1000 s behind the clock") && late.out.contains("2 of 2"), "{}", late.out);
    let symmetric = inspect(&captured, &["--secret", SECRET]);
    assert!(symmetric.out.contains("takes the sender's public key (whpk_)"), "{}", symmetric.out);
}

#[test]
fn inspect_tells_which_of_several_secrets_has_signed_although_the_clock_is_off() {
    let args = ["--secret", OTHER, "--secret", SECRET, "--secret", "x", "--now=1776453535"];
    let run = inspect(&allison(BODY), &args);
    assert_eq!(run.code, 1);
    for phrase in ["timestamp is 412 s old", "secret      2 of 3 has signed", "412 s behind the clock"] {
        assert!(run.out.contains(phrase), "{phrase}\n{}", run.out);
    }
    let first = inspect(&allison(BODY), &["--secret", SECRET, "--secret", OTHER]);
    assert_eq!(first.code, 0);
    assert!(first.out.contains("secret      1 of 2 has signed, the first one given\n"), "{}", first.out);
    let one = inspect(&allison(BODY), &["--secret", SECRET, "--secret="]);
    assert!(!one.out.contains("has signed"), "a variable that is not set is no secret\n{}", one.out);
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
        &["--now=1", "--now=1", "--secret=whsec_hush"],
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
        let _ = capture::parse(&input, None);
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
        let captured = capture::parse(&input, None).unwrap();
        prop_assert_eq!(captured.body, body);
        prop_assert_eq!(&captured.headers["a"], "b");
        prop_assert!(captured.notes.is_empty());
    }

    #[test]
    fn what_a_program_printed_is_never_taken_for_what_it_is_not(text: String, inside: String) {
        for text in [text, format!("{{'a': {inside}}}"), format!("{{'a': '{inside}"), format!("{{\\{inside}")] {
            if let Some(json) = printed::as_json(&text) {
                prop_assert!(serde_json::from_str::<Value>(&json).is_ok());
            }
            let _ = (json::unescaped(&text), json::escapes(&text), order::sorted(&text));
        }
    }

    #[test]
    fn json_in_another_style_is_the_same_json(value in any_json()) {
        for style in json::Style::ALL {
            let styled = json::restyle(&serde_json::to_string_pretty(&value).unwrap(), style);
            prop_assert_eq!(&serde_json::from_str::<Value>(&styled).unwrap(), &value);
            prop_assert_eq!(&serde_json::from_str::<Value>(&json::ascii(&styled)).unwrap(), &value);
            for escaped in json::escapes(&styled) {
                prop_assert_eq!(&serde_json::from_str::<Value>(&escaped).unwrap(), &value);
                prop_assert_eq!(json::unescaped(&escaped), json::unescaped(&styled));
            }
            for ordered in [order::sorted(&styled), order::like(&styled, r#"{"b":[{"d":0}],"a":1}"#)] {
                prop_assert_eq!(&serde_json::from_str::<Value>(&ordered).unwrap(), &value);
            }
            prop_assert_eq!(printed::as_json(&styled), None, "it is JSON already");
        }
        let compact = serde_json::to_string(&value).unwrap();
        let indented = json::restyle(&compact, json::Style::Indented("  "));
        prop_assert_eq!(&indented, &serde_json::to_string_pretty(&value).unwrap());
        prop_assert_eq!(json::restyle(&indented, json::Style::Compact), compact);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
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

/// Runs `inspect` with the secret and the time of [`allison`], unless `more` has others.
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
    let secret = if scheme == TEXT_KEYED { Secret::from_bytes(secret) } else { secret.parse().unwrap() };
    signed_with(scheme, &secret, body)
}

fn signed_with(scheme: Scheme, secret: &Secret, body: &[u8]) -> Vec<u8> {
    let now = OffsetDateTime::from_unix_timestamp(1_776_453_123).unwrap();
    let headers = Signer::new(scheme, secret).unwrap().sign("evt_1", now, body).unwrap();
    let mut captured = b"POST /hooks HTTP/1.1\r\n".to_vec();
    for (name, value) in &headers {
        captured.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    captured.extend(b"\r\n");
    captured.extend(body);
    captured
}

/// The key of a secret's text under the schemes that decode it.
fn decoded(secret: &str) -> Secret {
    use base64::Engine as _;

    let text = secret.strip_prefix("whsec_").unwrap();
    Secret::from_bytes(base64::engine::general_purpose::STANDARD_NO_PAD.decode(text).unwrap())
}

fn base64(text: &str) -> String {
    use base64::Engine as _;

    base64::engine::general_purpose::STANDARD.encode(text)
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
    let file: Value = serde_json::from_str(include_str!("../../data/signatures.json")).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

const SCHEMES: [(Scheme, &str); 7] = [
    (Scheme::ALLISON, "Allison"),
    (Scheme::STANDARD_WEBHOOKS, "Standard Webhooks"),
    (Scheme::SVIX, "Svix"),
    (Scheme::STRIPE, "Stripe"),
    (Scheme::GITHUB, "GitHub"),
    (Scheme::SLACK, "Slack"),
    (Scheme::SHOPIFY, "Shopify"),
];
const SECRET: &str = "whsec_ABC12345XYZ67890abcdefghijklmnop";
const OTHER: &str = "whsec_ZZZ12345XYZ67890abcdefghijklmnop";
/// A secret with the characters in which the two base64 alphabets differ.
const SIGNS: &str = "whsec_++//MfKQ9r8GKYqrTwjUPD8ILPZI";
const BODY: &str = "{\"id\":\"evt_1\",\"type\":\"call.ended\",\"created_at\":\"2026-04-17T19:12:03.482Z\",\
                    \"api_version\":\"v1\",\"data\":{\"call_id\":\"c-1\",\"summary\":\"caf\u{e9}: moved\",\"outcome_tags\":[]}}";
/// Standard Webhooks with the secret's text as the key, which is a common mistake of senders.
const TEXT_KEYED: Scheme = Scheme::new("text_keyed", "webhook-signature")
    .with_id_header("webhook-id")
    .with_timestamp_header("webhook-timestamp")
    .with_list("v1")
    .with_base64_signature()
    .with_content(&[
        hookwire::signature::Part::Id,
        hookwire::signature::Part::Text("."),
        hookwire::signature::Part::Timestamp,
        hookwire::signature::Part::Text("."),
        hookwire::signature::Part::Body,
    ]);

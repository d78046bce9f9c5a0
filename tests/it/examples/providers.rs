//! The program `inspect` with `--provider`: every vector of the providers, proven or answered.

use std::fmt::Write as _;

use super::{Run, run};
use crate::providers::vectors::{Vector, vectors};

#[test]
fn inspect_proves_every_vector_of_its_provider_and_refuses_it_late() {
    let mut judged = 0;
    for vector in vectors().iter().filter(|vector| vector.kind != "challenge" && vector.is_built_in()) {
        let proven = inspect(vector, vector.now().unix_timestamp());
        assert_eq!(proven.code, 0, "{}: {}", vector.provider, proven.out);
        assert!(proven.out.contains("verdict     verified"), "{}", proven.out);
        if vector.timestamp.is_some() {
            let late = inspect(vector, vector.now().unix_timestamp() + 100_000);
            assert_eq!(late.code, 1, "{}: {}", vector.provider, late.out);
        }
        judged += 1;
    }
    assert!(judged >= 55);
}

#[test]
fn inspect_answers_every_challenge_of_the_vectors() {
    for vector in vectors().iter().filter(|vector| vector.kind == "challenge") {
        let answered = inspect(vector, 1_700_000_000);
        assert_eq!(answered.code, 0, "{}: {}", vector.provider, answered.out);
        let (head, body) = answered.out.split_once("\n\n").expect("an empty line ends the headers");
        let mut lines = head.lines();
        assert_eq!(
            lines.next().unwrap(),
            format!("answer: {}", vector.answer["status"]),
            "{}",
            vector.provider
        );
        let lines: Vec<_> = lines.collect();
        for (name, value) in vector.answer["headers"].as_object().unwrap() {
            let line = format!("{name}: {}", value.as_str().unwrap());
            assert!(lines.contains(&line.as_str()), "{}: {line} not in {lines:?}", vector.provider);
        }
        assert_eq!(body, vector.answer["body"].as_str().unwrap(), "{}", vector.provider);
    }
}

#[test]
fn inspect_names_the_usual_mistakes_of_a_provider() {
    let find = |name: &str| vectors().into_iter().find(|vector| vector.provider == name).unwrap();
    let now = 1_700_000_000;

    let mut behind_a_proxy = find("square");
    behind_a_proxy.url = behind_a_proxy.url.replace("https", "http");
    let run = inspect(&behind_a_proxy, now);
    assert_eq!(run.code, 1);
    assert!(run.out.contains("behind a proxy, use the URL that the provider was given"), "{}", run.out);

    let mut written_again = find("notion");
    let body = String::from_utf8(written_again.body).unwrap();
    written_again.body = body.replace("\":", "\": ").into_bytes();
    let run = inspect(&written_again, now);
    assert!(run.out.contains("so the body was parsed and re-serialized"), "{}", run.out);

    let mut other_header = find("github");
    other_header.provider = "bitbucket".to_owned();
    let run = inspect(&other_header, now);
    assert!(run.out.contains("its headers are those of github"), "{}", run.out);

    let mut quoted = find("typeform");
    quoted.key = quoted.key.map(|key| format!("\"{key}\""));
    let run = inspect(&quoted, now);
    assert!(run.out.contains("the secret was given with quotes around it"), "{}", run.out);
}

/// The files of `tests/data/captures` hold one request of GitHub's, each as another program recorded it.
#[test]
fn inspect_reads_what_people_have_of_a_request() {
    let path = |name: &str| format!("{}/tests/data/captures/{name}", env!("CARGO_MANIFEST_DIR"));
    let names = [
        "raw_crlf.txt",
        "raw_lf.txt",
        "folded.txt",
        "http2.txt",
        "curl.sh",
        "request.har",
        "gateway_v1.json",
        "gateway_v2.json",
        "function.json",
        "tunnel.json",
    ];
    for name in names {
        for more in [&[][..], &["--provider", "github"][..]] {
            let run = run("inspect", &[&[&*path(name), "--secret", "hush"], more].concat(), b"");
            assert_eq!(run.code, 0, "{name}: {}{}", run.out, run.err);
            assert!(run.out.contains("verdict     verified"), "{name}: {}", run.out);
        }
        let forged = run("inspect", &[&*path(name), "--secret", "other"], b"");
        assert_eq!(forged.code, 1, "{name}: {}", forged.out);
    }
    let (verbose, body) = (path("curl_v.txt"), path("body.json"));
    let run_verbose = |more: &[&str]| run("inspect", &[&[&*verbose, "--secret", "hush"], more].concat(), b"");
    let without = run_verbose(&[]);
    assert_eq!(without.code, 1);
    assert!(without.out.contains("give it with --body FILE"), "{}", without.out);
    let with = run_verbose(&["--body", &body]);
    assert_eq!(with.code, 0, "{}", with.out);

    let parsed = run("inspect", &[&*path("parsed.json"), "--secret", "hush"], b"");
    assert_eq!(parsed.code, 1);
    for line in ["the body was parsed before it was recorded", "parsed and re-serialized", "express.raw"] {
        assert!(parsed.out.contains(line), "{line}: {}", parsed.out);
    }
    let form = ["--secret", "slack-secret", "--now", "1700000000"];
    let form = run("inspect", &[&[&*path("form.har")], &form[..]].concat(), b"");
    assert_eq!(form.code, 0, "{}", form.out);
    assert!(form.out.contains("the fields of the form, not its bytes"), "{}", form.out);
}

/// Without `--provider`, by the request alone, and by the key where several look alike.
#[test]
fn inspect_recognizes_every_provider() {
    let mut judged = 0;
    for vector in vectors().iter().filter(|vector| vector.is_built_in()) {
        let now = vector.now().unix_timestamp().to_string();
        let mut args = vec!["-", "--url", &*vector.url, "--now", &*now];
        if let Some(key) = &vector.key {
            args.extend(["--secret", key]);
        }
        let run = run("inspect", &args, &captured(vector));
        assert_eq!(run.code, 0, "{} {}: {}{}", vector.provider, vector.kind, run.out, run.err);
        let is_answered = run.out.starts_with("answer: ");
        assert_eq!(is_answered, vector.kind == "challenge", "{}: {}", vector.provider, run.out);
        judged += 1;
    }
    assert!(judged >= 90, "only {judged}");
}

/// One mistake of each kind, in a request of each of several providers.
#[test]
fn inspect_names_each_kind_of_mistake() {
    let is_event = |vector: &Vector| vector.kind != "challenge";
    let find = |name: &str| {
        vectors().into_iter().find(|vector| vector.provider == name && is_event(vector)).unwrap()
    };
    let now = 1_700_000_000;
    let expect = |vector: &Vector, line: &str| {
        let run = inspect(vector, now);
        assert_eq!(run.code, 1, "{}: {}", vector.provider, run.out);
        assert!(run.out.contains(line), "{}: {line} is not in {}", vector.provider, run.out);
    };
    for name in
        ["notion", "linear", "telnyx", "discord_interactions", "livekit", "plaid", "netlify", "trello"]
    {
        let mut written_again = find(name);
        let body = String::from_utf8(written_again.body).unwrap();
        written_again.body = body.replace("\":", "\":  ").into_bytes();
        if name != "linear" {
            expect(&written_again, "re-serialized");
        }
        let mut empty = find(name);
        empty.body.clear();
        expect(&empty, "a framework has read it before");
    }
    // The key is hex or base64, and was taken for text; or the other way round.
    let mut as_text = find("paystack");
    as_text.key = Some(as_text.key.unwrap());
    as_text.provider = "vercel".to_owned();
    as_text.headers.insert("x-vercel-signature", as_text.headers["x-paystack-signature"].clone());
    expect(&as_text, "right with SHA-512");
    let mut hex_key = find("adyen_payload");
    hex_key.provider = "shopify".to_owned();
    hex_key.headers.insert("x-shopify-hmac-sha256", hex_key.headers["hmacsignature"].clone());
    expect(&hex_key, "the secret's hex digits stand for");
    let mut base64_key = find("airtable");
    base64_key.provider = "bitbucket".to_owned();
    let value = base64_key.headers["x-airtable-content-mac"].to_str().unwrap().replace("hmac-", "");
    base64_key.headers.insert("x-hub-signature", value.parse().unwrap());
    expect(&base64_key, "in base64");
    // Behind a proxy.
    for name in ["square", "hubspot_v3", "twilio_form", "trello"] {
        let mut moved = find(name);
        moved.headers.insert("x-forwarded-host", "hooks.example.com".parse().unwrap());
        let (url, host) = (moved.url.clone(), moved.url.split('/').nth(2).unwrap().to_owned());
        moved.headers.insert("x-forwarded-host", host.parse().unwrap());
        moved.url = url.replace(&host, "10.0.0.7:8080").replace("https", "http");
        expect(&moved, "use the URL that the provider was given");
    }
    // Another kind of the provider's requests.
    let mut other = find("twilio_json");
    other.provider = "twilio_form".to_owned();
    expect(&other, "--provider twilio_json");
    let mut json = find("slack");
    json.provider = "braintree".to_owned();
    expect(&json, "--provider slack");
    let mut parsed_form = find("plivo_v3");
    parsed_form.body = br#"{"CallUUID":"c1","Event":"Hangup","Duration":"3"}"#.to_vec();
    expect(&parsed_form, "a framework has turned the form into JSON");
    // Half of a rotation.
    let mut rotated = find("pagerduty");
    let value = rotated.headers["x-pagerduty-signature"].to_str().unwrap();
    let both = format!("{value},v1={}", "0".repeat(64));
    rotated.headers.insert("x-pagerduty-signature", both.parse().unwrap());
    let key = rotated.key.replace("another".to_owned());
    expect(&rotated, "because a secret is being replaced");
    let arguments = ["-", "--provider", "pagerduty", "--secret", "another", "--secret", &key.unwrap()];
    let run = run("inspect", &arguments, &captured(&rotated));
    assert!(run.out.contains("2 of 2 has signed"), "{}", run.out);
    // The clock, and its unit.
    let mut late = find("workos");
    late.now = Some(now + 4000);
    let run = inspect(&late, now + 4000);
    assert!(run.out.contains("either a clock is wrong"), "{}", run.out);
    let mut unit = find("webflow");
    unit.headers.insert("x-webflow-timestamp", "1700000000".parse().unwrap());
    expect(&unit, "it looks like seconds");
}

#[test]
fn inspect_recognizes_a_provider_by_its_signature_header() {
    let vector = vectors().into_iter().find(|vector| vector.provider == "paystack").unwrap();
    let run = run("inspect", &["-", "--secret", vector.key.as_deref().unwrap()], &captured(&vector));
    assert_eq!(run.code, 0, "{}", run.out);
    assert!(run.out.contains("provider    paystack"), "{}", run.out);
}

#[test]
fn inspect_explains_the_times_and_the_audience_of_a_token() {
    let find = |name: &str| vectors().into_iter().find(|vector| vector.provider == name).unwrap();
    let late = inspect(&find("livekit"), 2_000_000_000);
    assert_eq!(late.code, 1);
    assert!(late.out.contains("the token's time is not now"), "{}", late.out);
    let mut elsewhere = find("google_pubsub");
    let now = elsewhere.now().unix_timestamp();
    elsewhere.url = "https://other.example.com/in".into();
    let elsewhere = inspect(&elsewhere, now);
    assert_eq!(elsewhere.code, 1, "{}", elsewhere.out);
    assert!(elsewhere.out.contains("the token is for another endpoint"), "{}", elsewhere.out);
}

#[test]
fn inspect_mends_a_key_that_lost_its_padding_or_got_an_escaped_line_break() {
    let find = |name: &str| vectors().into_iter().find(|vector| vector.provider == name).unwrap();
    for (name, change, explained) in [
        // The key is text that looks like base64.
        (
            "zendesk",
            (|key| key.trim_end_matches('=').to_owned()) as fn(&str) -> String,
            "without the = at its end",
        ),
        // The key has white space of its own.
        ("github", |key| format!("{key}\\n"), "a line break inside"),
        ("jira", |key| format!("{key}\\r\\n"), "a line break inside"),
    ] {
        let mut vector = find(name);
        vector.key = vector.key.map(|key| change(&key));
        let run = inspect(&vector, vector.now().unix_timestamp());
        assert_eq!(run.code, 1, "{name}: {}", run.out);
        assert!(run.out.contains(explained), "{name}: {}", run.out);
    }
}

#[test]
fn inspect_proves_by_one_of_several_secrets_although_another_is_malformed() {
    for name in ["sinch_voice", "telnyx", "airtable"] {
        let vector = vectors().into_iter().find(|vector| vector.provider == name).unwrap();
        let key = vector.key.clone().unwrap();
        let now = vector.now().unix_timestamp().to_string();
        let args = ["-", "--provider", name, "--now", &now, "--secret", "not a key", "--secret", &key];
        let run = run("inspect", &args, &captured(&vector));
        assert_eq!(run.code, 0, "{name}: {}", run.out);
        assert!(run.out.contains("secret      2 of 2 has signed"), "{name}: {}", run.out);
        assert!(run.out.contains("1 of 2 is refused by a receiver: "), "{name}: {}", run.out);
    }
}

#[test]
fn inspect_names_the_version_of_hubspot_that_it_knows() {
    let run = run("inspect", &["-", "--provider", "hubspot_v1"], b"POST / HTTP/1.1\n\n");
    assert_eq!(run.code, 2);
    assert!(run.err.contains("hubspot_v3"), "{}", run.err);
}

fn inspect(vector: &Vector, now: i64) -> Run {
    let now = now.to_string();
    let mut args = vec!["-", "--provider", &vector.provider, "--url", &vector.url, "--now", &now];
    if let Some(key) = &vector.key {
        args.extend(["--secret", key]);
    }
    run("inspect", &args, &captured(vector))
}

fn captured(vector: &Vector) -> Vec<u8> {
    let target = vector.url.find("/in").map_or("/in", |at| &vector.url[at..]);
    let mut head = format!("{} {target} HTTP/1.1\r\n", vector.method);
    for (name, value) in &vector.headers {
        // The HMAC vector of RFC 9421 has the length of another body.
        if name != "content-length" || value.to_str().unwrap() == vector.body.len().to_string() {
            write!(head, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
        }
    }
    [head.as_bytes(), b"\r\n", &vector.body].concat()
}

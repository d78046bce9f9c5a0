//! Runs the verifiers of `docs/signing.md` in other languages, and compares them with this crate's own.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use hookwire::{Scheme, Secret, Signer, Verifier};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

#[test]
fn the_verifier_in_node_judges_as_this_crate_does() {
    let program = format!(
        "{}\nconst judges = {{ allison: verifyAllison, standard_webhooks: verifyStandardWebhooks }};\n\
         const cases = JSON.parse(await new Response(process.stdin).text());\n\
         const told = cases.map((c) => judges[c.scheme](c.headers, Buffer.from(c.body_hex, \"hex\"), c.secret, c.now));\n\
         console.log(JSON.stringify(told));\n",
        fenced("js")
    );
    judged_alike("node", "verify.mjs", &program);
}

#[test]
fn the_verifier_in_python_judges_as_this_crate_does() {
    let program = format!(
        "{}\n\nimport json, sys\n\
         judges = {{\"allison\": verify_allison, \"standard_webhooks\": verify_standard_webhooks}}\n\
         cases = json.load(sys.stdin)\n\
         print(json.dumps([judges[c[\"scheme\"]](c[\"headers\"], bytes.fromhex(c[\"body_hex\"]), c[\"secret\"], c[\"now\"]) for c in cases]))\n",
        fenced("python")
    );
    judged_alike("python3", "verify.py", &program);
}

fn judged_alike(interpreter: &str, file: &str, program: &str) {
    if !Command::new(interpreter).arg("--version").output().is_ok_and(|output| output.status.success()) {
        // The harness hides the output of `eprintln` if a test passes.
        let told = format!(
            "\nSKIPPED: {interpreter} is not installed, so the guide's verifier for it was not run\n"
        );
        std::io::stderr().write_all(told.as_bytes()).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file);
    fs::write(&path, program).unwrap();
    let cases = cases();
    let mut child = Command::new(interpreter)
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let asked: Vec<&Value> = cases.iter().map(|(_, case, _)| case).collect();
    child.stdin.take().unwrap().write_all(serde_json::to_string(&asked).unwrap().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Vec<bool> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told.len(), cases.len());
    for ((name, case, expected), told) in cases.iter().zip(told) {
        assert_eq!(told, *expected, "{interpreter}: {name}: {case}");
    }
}

/// The cases: a name, a request, and this crate's verdict.
fn cases() -> Vec<(String, Value, bool)> {
    let mut cases = Vec::new();
    let vectors = super::vectors::vectors();
    for vector in
        vectors.iter().filter(|vector| ["allison", "standard_webhooks"].contains(&vector.scheme.as_str()))
    {
        let names = if vector.scheme == "allison" { ALLISON } else { STANDARD_WEBHOOKS };
        let headers = json!({
            names[0]: vector.id(),
            names[1]: vector.json["timestamp"].to_string(),
            names[2]: vector.json["signature"],
        });
        let case = json!({
            "scheme": vector.scheme, "headers": headers, "body_hex": vector.json["body_hex"],
            "secret": vector.json["secret"], "now": vector.json["timestamp"],
        });
        cases.push((vector.json["name"].to_string(), case, vector.json["valid"].as_bool().unwrap()));
    }
    assert_eq!(cases.len(), 11, "the shared vectors of the two schemes");
    for (scheme, names) in [(Scheme::ALLISON, ALLISON), (Scheme::STANDARD_WEBHOOKS, STANDARD_WEBHOOKS)] {
        for (name, change) in CHANGES {
            let mut case = genuine(scheme, names);
            change(&mut case, names);
            let expected = verdict(scheme, &case);
            cases.push((format!("{}: {name}", scheme.name()), case, expected));
        }
        let taken = cases.iter().filter(|(name, _, taken)| name.starts_with(scheme.name()) && *taken);
        assert!(taken.count() >= 3, "what is right is among the cases");
    }
    cases
}

type Change = fn(&mut Value, [&str; 3]);

/// Changes to a genuine request.
const CHANGES: [(&str, Change); 30] = [
    ("nothing", |_, _| ()),
    ("300 s old", |case, _| later(case, 300)),
    ("301 s old", |case, _| later(case, 301)),
    ("300 s ahead", |case, _| later(case, -300)),
    ("301 s ahead", |case, _| later(case, -301)),
    ("another body", |case, _| case["body_hex"] = "7b7e".into()),
    ("no body", |case, _| case["body_hex"] = "".into()),
    ("another secret", |case, _| case["secret"] = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into()),
    ("no signature", |case, [_, _, signature]| {
        drop(case["headers"].as_object_mut().unwrap().remove(signature))
    }),
    ("no time", |case, [_, time, _]| drop(case["headers"].as_object_mut().unwrap().remove(time))),
    ("empty signature", |case, [_, _, signature]| edit(case, signature, |_| String::new())),
    ("empty time", |case, [_, time, _]| edit(case, time, |_| String::new())),
    ("time with a plus sign", |case, [_, time, _]| edit(case, time, |time| format!("+{time}"))),
    ("time with a space", |case, [_, time, _]| edit(case, time, |time| format!(" {time}"))),
    ("time with a line feed", |case, [_, time, _]| edit(case, time, |time| format!("{time}\n"))),
    ("time with a zero", |case, [_, time, _]| edit(case, time, |time| format!("0{time}"))),
    ("time with a fraction", |case, [_, time, _]| edit(case, time, |time| format!("{time}.0"))),
    ("time with an underscore", |case, [_, time, _]| edit(case, time, |time| format!("1_{}", &time[1..]))),
    ("another time", |case, [_, time, _]| edit(case, time, |time| format!("{}4", &time[..9]))),
    ("signature twice", |case, [_, _, signature]| edit(case, signature, |value| format!("{value}, {value}"))),
    ("version in capitals", |case, [_, _, signature]| edit(case, signature, |value| value.replace('v', "V"))),
    ("another version", |case, [_, _, signature]| edit(case, signature, |value| value.replace("v1", "v2"))),
    ("no version", |case, [_, _, signature]| edit(case, signature, |value| value[3..].into())),
    ("signature cut", |case, [_, _, signature]| {
        edit(case, signature, |value| value[..value.len() - 1].into())
    }),
    ("signature and more", |case, [_, _, signature]| edit(case, signature, |value| format!("{value}x"))),
    ("signature beyond ASCII", |case, [_, _, signature]| edit(case, signature, |_| "v1=\u{e9}".into())),
    ("another before it", |case, [_, _, signature]| edit(case, signature, |value| format!("v1,x {value}"))),
    ("the 16th", |case, [_, _, signature]| {
        edit(case, signature, |value| format!("{}{value}", "v1,x ".repeat(15)))
    }),
    ("the 17th", |case, [_, _, signature]| {
        edit(case, signature, |value| format!("{}{value}", "v1,x ".repeat(16)))
    }),
    ("a full stop in the id", |case, [id, ..]| edit(case, id, |id| format!("{id}."))),
];

fn genuine(scheme: Scheme, names: [&str; 3]) -> Value {
    let signed = Signer::new(scheme, &secret()).unwrap().sign("evt_1", NOW, BODY).unwrap();
    let headers: serde_json::Map<_, _> =
        names.iter().map(|name| ((*name).to_owned(), signed[*name].to_str().unwrap().into())).collect();
    json!({
        "scheme": scheme.name(), "headers": headers, "body_hex": hex::encode(BODY),
        "secret": secret().expose(), "now": NOW.unix_timestamp(),
    })
}

fn verdict(scheme: Scheme, case: &Value) -> bool {
    let mut headers = HeaderMap::new();
    for (name, value) in case["headers"].as_object().unwrap() {
        // No server passes an invalid header to a verifier.
        let Ok(value) = HeaderValue::from_bytes(value.as_str().unwrap().as_bytes()) else { return false };
        headers.insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    let verifier = Verifier::new(scheme, &case["secret"].as_str().unwrap().parse().unwrap()).unwrap();
    let body = hex::decode(case["body_hex"].as_str().unwrap()).unwrap();
    let now = OffsetDateTime::from_unix_timestamp(case["now"].as_i64().unwrap()).unwrap();
    verifier.verify_at(&headers, &body, now).is_ok()
}

fn later(case: &mut Value, seconds: i64) {
    case["now"] = (case["now"].as_i64().unwrap() + seconds).into();
}

fn edit(case: &mut Value, header: &str, edit: fn(&str) -> String) {
    let value = &mut case["headers"][header];
    *value = edit(value.as_str().unwrap()).into();
}

/// The only block of this language in the guide.
fn fenced(language: &str) -> &'static str {
    let start = format!("\n```{language}\n");
    let mut parts = include_str!("../../docs/signing.md").split(start.as_str());
    let (Some(_), Some(block), None) = (parts.next(), parts.next(), parts.next()) else {
        panic!("the guide has no block of {language}, or two");
    };
    block.split("\n```").next().unwrap()
}

fn secret() -> Secret {
    Secret::from_random([7; 32])
}

const ALLISON: [&str; 3] = ["x-allison-event-id", "x-allison-timestamp", "x-allison-signature"];
const STANDARD_WEBHOOKS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
const BODY: &[u8] = br#"{"id":"evt_1"}"#;
const NOW: OffsetDateTime = datetime!(2026-04-17 19:12:03 UTC);

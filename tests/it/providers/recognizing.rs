//! Every preset is recognized by its requests.

use hookwire::provider::{Provider, RequestVerifier};
use hookwire::signature::Request;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::vectors::{Vector, vectors};

/// Presets whose requests look alike: the same headers around a body of the account's own, or of one shape.
const ALIKE: [&[&str]; 9] = [
    &["standard_webhooks", "gitlab_signing", "openai", "anthropic", "quo", "svix"],
    &["svix", "resend", "clerk"],
    &["github", "meta", "meta_whatsapp"],
    &["bitbucket", "jira"],
    &["discord_interactions", "discord_events"],
    &["plivo_v2", "plivo_v3"],
    &["postmark", "chargebee"],
    &["rfc9421_hmac", "rfc9421_ed25519"],
    &["vapi_hmac", "vapi"],
];

#[test]
fn the_provider_of_every_vector_is_recognized() {
    let mut wrong = Vec::new();
    for vector in vectors() {
        let names: Vec<_> = Provider::recognize(&vector.request()).into_iter().map(Provider::name).collect();
        let first = names.first().copied().unwrap_or_default();
        let is_alike = ALIKE.iter().any(|alike| alike.contains(&first) && alike.contains(&&*vector.provider));
        if first != vector.provider && !is_alike {
            wrong.push(format!("{} {}: {:?}", vector.provider, vector.kind, &names[..names.len().min(4)]));
        }
        assert!(names.contains(&&*vector.provider), "{}: {names:?}", vector.provider);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// With a key, the provider that proves the request is the one.
#[test]
fn a_key_tells_which_of_those_that_look_alike_has_sent_a_request() {
    let proves = |vector: &Vector, provider: &'static Provider| {
        let keys = vector.keys();
        RequestVerifier::new(provider, keys)
            .is_ok_and(|verifier| verifier.verify_at(&vector.request(), vector.now()).is_ok())
    };
    for vector in vectors().into_iter().filter(|vector| vector.kind != "challenge" && vector.is_built_in()) {
        let first =
            Provider::recognize(&vector.request()).into_iter().find(|it| proves(&vector, it)).unwrap();
        let is_alike =
            ALIKE.iter().any(|alike| alike.contains(&first.name()) && alike.contains(&&*vector.provider));
        assert!(first.name() == vector.provider || is_alike, "{}: {}", vector.provider, first.name());
    }
}

/// Requests of presets that have no vector.
#[test]
fn requests_are_recognized_by_their_shape() {
    type Headers = &'static [(&'static str, &'static str)];
    let standard: Headers =
        &[("webhook-id", "m"), ("webhook-timestamp", "1700000000"), ("webhook-signature", SIGNATURE)];
    let cases: [(&str, Headers, &str); 13] = [
        (
            "openai",
            standard,
            r#"{"id":"evt_1","type":"response.completed","created_at":1764498000,"data":{"id":"r"}}"#,
        ),
        (
            "gitlab_signing",
            &[
                ("webhook-id", "m"),
                ("webhook-timestamp", "1700000000"),
                ("webhook-signature", SIGNATURE),
                ("x-gitlab-event", "Push Hook"),
            ],
            r#"{"object_kind":"push"}"#,
        ),
        ("meta", &[("x-hub-signature-256", HEX)], r#"{"object":"page","entry":[]}"#),
        (
            "github",
            &[("x-hub-signature-256", HEX), ("x-github-event", "push"), ("x-github-delivery", "d")],
            "{}",
        ),
        (
            "intercom",
            &[("x-hub-signature", "sha1=0000000000000000000000000000000000000000")],
            r#"{"id":"n","topic":"ping","created_at":1}"#,
        ),
        (
            "paypal",
            &[("paypal-transmission-id", "t"), ("paypal-transmission-sig", "AA==")],
            r#"{"id":"WH-1","event_type":"A","create_time":"2023-01-01T00:00:00Z","resource":{}}"#,
        ),
        ("deepgram", &[("dg-token", "t")], r#"{"request_id":"r"}"#),
        ("vapi", &[("x-vapi-secret", "t")], r#"{"message":{"type":"a","timestamp":1}}"#),
        (
            "auth0",
            &[("authorization", "t")],
            r#"[{"log_id":"1","data":{"type":"s","date":"2023-01-01T00:00:00Z"}}]"#,
        ),
        ("mollie_classic", &[("content-type", "application/x-www-form-urlencoded")], "id=tr_1"),
        ("monday", &[("content-type", "application/json")], r#"{"challenge":"c9"}"#),
        ("asana", &[("x-hook-secret", "s")], ""),
        (
            "twilio_form",
            &[
                ("content-type", "application/x-www-form-urlencoded"),
                ("x-twilio-signature", "hpJXCaVQcvZj7nyLNKcZWtnGNtA="),
            ],
            "CallStatus=ringing",
        ),
    ];
    for (name, headers, body) in cases {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let request = Request::post(&all, body.as_bytes()).with_url("https://hooks.example.com/in");
        let names: Vec<_> = Provider::recognize(&request).into_iter().map(Provider::name).collect();
        assert_eq!(names.first(), Some(&name), "{names:?}");
    }
    let (method, headers) = (Method::GET, HeaderMap::new());
    for (name, query) in
        [("meta", "hub.challenge=1"), ("dropbox", "challenge=a"), ("x_twitter", "crc_token=a")]
    {
        let url = format!("https://hooks.example.com/in?{query}");
        let all = Provider::recognize(&Request::new(&method, &headers, b"").with_url(&url));
        assert_eq!(all.first().map(|provider| provider.name()), Some(name));
    }
    assert!(Provider::recognize(&Request::post(&headers, b"{\"a\":1}")).is_empty());
}

const SIGNATURE: &str = "v1,DommRzEjqx9AMSy1yI50f8Y8x7bvkDAfBl6ZtQdwO9E=";
const HEX: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

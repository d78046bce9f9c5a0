//! Guards: the requests that each admits, and the challenge of a 401.

use std::net::IpAddr;

use hookwire::ErrorKind;
use hookwire::receive::{
    Answer, Arrival, Guard, HeaderGuard, NetworkGuard, PathGuard, Receiver, Rejection, Senders,
};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::received::handled_by_any;

use super::{Arrived, NOON, Request, answer, receiver};

#[test]
fn basic_credentials_are_compared_whole() {
    // The example of RFC 7617 section 2.
    let guard = HeaderGuard::basic("Aladdin", &"open sesame".parse().unwrap());
    let admits = |value: &str| admits(&guard, AUTHORIZATION.as_str(), value);
    assert!(admits("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    assert!(admits("bAsIc QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    for wrong in ["", "Basic", "Basic ", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="] {
        assert!(!admits(wrong), "{wrong}");
    }
    assert_eq!(guard.name(), "basic");
}

#[test]
fn a_bearer_token_is_judged_by_the_callers_check() {
    let guard = HeaderGuard::bearer_checked(|token| token.len() == 3);
    let admits = |value: &str| admits(&guard, AUTHORIZATION.as_str(), value);
    assert!(admits("Bearer abc"));
    assert!(!admits("Bearer abcd") && !admits("Basic abc") && !admits("abc"));
}

#[test]
fn a_path_token_is_the_last_segment_and_nothing_less() {
    const TOKEN: &str = "Zk3v9QpX7rT2mB8wLc5nH1yD";
    let guard = PathGuard::new(&TOKEN.parse().unwrap()).unwrap();
    let headers = HeaderMap::new();
    let admits = |path: &str| guard.admits(&Arrival::post(&headers).with_path(path));
    assert!(admits(&format!("/hooks/{TOKEN}")) && admits(&format!("/{TOKEN}")) && admits(TOKEN));
    for wrong in
        [format!("/{TOKEN}/"), format!("/{TOKEN}x"), format!("/{}", &TOKEN[1..]), format!("/{TOKEN}?a")]
    {
        assert!(!admits(&wrong), "{wrong}");
    }
    assert!(!guard.admits(&Arrival::post(&headers)), "no path is known");
    for weak in ["short", "with/slash-and-long-enough-for-all", "percent%20encoded-and-long-enough"] {
        assert_eq!(PathGuard::new(&weak.parse().unwrap()).unwrap_err().kind(), ErrorKind::Secret);
    }
    assert!(!format!("{guard:?}").contains(TOKEN));
}

#[test]
fn a_network_guard_goes_by_the_connection_and_by_no_header() {
    let guard = NetworkGuard::new(["203.0.113.0/24", "2001:db8::/48", "198.51.100.7"]).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("x-forwarded-for", HeaderValue::from_static("203.0.113.5"));
    let admits = |peer: &str| guard.admits(&Arrival::post(&headers).with_peer(peer.parse().unwrap()));
    for inside in ["203.0.113.0", "203.0.113.255", "2001:db8::1", "198.51.100.7", "::ffff:203.0.113.9"] {
        assert!(admits(inside), "{inside}");
    }
    for outside in ["203.0.114.0", "198.51.100.8", "2001:db8:1::1", "127.0.0.1", "::1"] {
        assert!(!admits(outside), "{outside}");
    }
    // A dual-stack socket reports IPv4 peers like this, so a list may contain this form.
    let mapped = NetworkGuard::new(["::ffff:203.0.113.0/120", "::ffff:198.51.100.7"]).unwrap();
    let admits = |peer: &str| mapped.admits(&Arrival::post(&headers).with_peer(peer.parse().unwrap()));
    for inside in ["203.0.113.255", "::ffff:203.0.113.9", "198.51.100.7"] {
        assert!(admits(inside), "{inside}");
    }
    for outside in ["203.0.114.0", "198.51.100.8", "::1"] {
        assert!(!admits(outside), "{outside}");
    }
    for wrong in ["", "203.0.113.0/33", "203.0.113", "example.com", "::/129"] {
        let error = NetworkGuard::new([wrong]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Guard, "{wrong}");
    }
}

#[test]
fn behind_a_trusted_proxy_the_last_address_that_is_no_proxys_counts() {
    let guard =
        NetworkGuard::new(["203.0.113.0/24"]).unwrap().with_proxies(["10.0.0.0/8", "fd00::/8"]).unwrap();
    let admits = |peer: &str, forwarded: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        guard.admits(&Arrival::post(&headers).with_peer(peer.parse().unwrap()))
    };
    assert!(admits("10.1.1.1", &["203.0.113.9"]));
    assert!(admits("10.1.1.1", &["6.6.6.6, 203.0.113.9, 10.2.2.2"]));
    assert!(admits("10.1.1.1", &["6.6.6.6", "203.0.113.9:4711"]));
    assert!(admits("fd00::1", &["203.0.113.9,[fd00::2]:80"]));
    assert!(admits("203.0.113.9", &["6.6.6.6"]), "not from a proxy: the header is anybody's");
    for (peer, forwarded) in [
        // The sender's own entry stands before the entry that the proxy appended.
        ("10.1.1.1", &["203.0.113.9, 6.6.6.6"][..]),
        ("10.1.1.1", &["203.0.113.9", "6.6.6.6"]),
        ("10.1.1.1", &[]),
        ("10.1.1.1", &["203.0.113.9, unknown"]),
        ("10.1.1.1", &["203.0.113.9, "]),
        ("10.1.1.1", &["203.0.113.9", "\u{e9}"]),
        ("6.6.6.6", &["203.0.113.9"]),
    ] {
        assert!(!admits(peer, forwarded), "{peer} {forwarded:?}");
    }

    // A request from a proxy itself is judged by the proxy's address.
    let ours = NetworkGuard::new(["10.1.0.0/16"]).unwrap().with_proxies(["10.0.0.0/8"]).unwrap();
    for (peer, forwarded, is_admitted) in [
        ("10.1.1.1", None, true),
        ("10.2.2.2", Some("10.1.1.1"), true),
        ("10.1.1.1", Some("10.2.2.2"), false),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(hop) = forwarded {
            headers.insert("x-forwarded-for", HeaderValue::from_static(hop));
        }
        let arrival = Arrival::post(&headers).with_peer(peer.parse().unwrap());
        assert_eq!(ours.admits(&arrival), is_admitted, "{peer} {forwarded:?}");
    }
}

#[test]
fn of_the_two_headers_of_proxies_the_chosen_one_is_believed() {
    let guard = NetworkGuard::new(["203.0.113.0/24", "2001:db8::/48"]).unwrap();
    let guard = guard.with_proxies(["10.0.0.0/8", "fd00::/8"]).unwrap().with_forwarded();
    let admits = |peer: &str, forwarded: &[&str]| {
        let mut headers = HeaderMap::new();
        // Anybody may have written the other header.
        headers.insert("x-forwarded-for", HeaderValue::from_static("203.0.113.9"));
        for value in forwarded {
            headers.append("forwarded", HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        guard.admits(&Arrival::post(&headers).with_peer(peer.parse().unwrap()))
    };
    for forwarded in [
        &["for=203.0.113.9"][..],
        &["For=203.0.113.9;proto=https;by=10.0.0.1"],
        &["proto=https ; FOR=\"203.0.113.9:4711\""],
        // The IPv6 form of RFC 7239 section 4.
        &["for=\"[2001:db8::17]:4711\""],
        &["for=\"[2001:db8::17]\", for=10.2.2.2"],
        &["for=6.6.6.6, for=203.0.113.9;host=\"a, b; for=6.6.6.6\""],
        &["for=\"un\\known\"", "for=\"203.0.113.\\9\""],
        &["for=6.6.6.6", "for=203.0.113.9", "for=10.2.2.2"],
        // A broken field from the sender does not spoil the proxy's field.
        &["for=\"", "for=203.0.113.9"],
    ] {
        assert!(admits("10.1.1.1", forwarded), "{forwarded:?}");
    }
    assert!(admits("203.0.113.9", &["for=6.6.6.6"]), "not from a proxy: the header is anybody's");
    for forwarded in [
        &[][..],
        &[""],
        &["for=203.0.113.9, for=6.6.6.6"],
        &["for=203.0.113.9", "for=6.6.6.6"],
        &["for=203.0.113.9, "],
        &["for=203.0.113.9, proto=https"],
        &["for=203.0.113.9, for=unknown"],
        &["for=203.0.113.9, for=_hidden"],
        &["for=203.0.113.9;for=203.0.113.9"],
        &["for=203.0.113.9;for=10.0.0.1"],
        &["for=203.0.113.9 for=203.0.113.9"],
        &["for = 203.0.113.9"],
        &["for=203.0.113.9:4711"],
        &["203.0.113.9"],
        &["for"],
        &["for="],
        &["for=\"203.0.113.9"],
        &["for=\"203.0.113.9\"x"],
        &["for=\"203.0.113.9\\"],
        &["for=203.0.113.9;=x"],
        &["for=203.0.113.9", "\u{e9}"],
        // The sender opens a quoted string that the proxy's entry would close.
        &["for=203.0.113.9;x=\", for=\"[2001:db8:1::6]\""],
        &["for=203.0.113.9;x=\", for=6.6.6.6;by=\"_x\""],
        &["for=203.0.113.9;x=\", for=6.6.6.6"],
    ] {
        assert!(!admits("10.1.1.1", forwarded), "{forwarded:?}");
    }
    assert!(!admits("6.6.6.6", &["for=203.0.113.9"]));
    // Without `with_forwarded`, the header is ignored.
    let other = NetworkGuard::new(["203.0.113.0/24"]).unwrap().with_proxies(["10.0.0.0/8"]).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("forwarded", HeaderValue::from_static("for=203.0.113.9"));
    assert!(!other.admits(&Arrival::post(&headers).with_peer([10, 1, 1, 1].into())));
}

#[tokio::test]
async fn every_guard_has_to_admit_before_the_signature_is_looked_at() {
    let request = Request::new("evt_1");
    let receiver = receiver()
        .with_guard(NetworkGuard::new(["127.0.0.1"]).unwrap())
        .with_guard(HeaderGuard::api_key("x-key".parse().unwrap(), &"k".parse().unwrap()));
    let refused = |rejection: Result<Answer, Rejection>| rejection.unwrap_err().to_string();
    let at = Arrival::post(&request.headers);
    assert_eq!(
        refused(answer(&receiver, &at, &request.body).await),
        "request is not admitted by guard `network`"
    );
    let at = at.with_peer(IpAddr::from([127, 0, 0, 1]));
    assert_eq!(
        refused(answer(&receiver, &at, &request.body).await),
        "request is not admitted by guard `api_key`"
    );
    let mut headers = request.headers.clone();
    headers.insert("x-key", HeaderValue::from_static("k"));
    let at = Arrival::post(&headers).with_peer(IpAddr::from([127, 0, 0, 1]));
    assert_eq!(answer(&receiver, &at, &request.body).await.unwrap(), Answer::OK);
    assert_eq!(refused(answer(&receiver, &at, b"{}").await), "request is not proven");
}

#[tokio::test]
async fn a_401_challenges_by_what_the_receiver_wants_whatever_was_wrong() {
    let token = "a-long-random-token".parse().unwrap();
    let request = Request::new("evt_1");
    let challenge = |answer: Answer| {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        answer.into_response().headers()[WWW_AUTHENTICATE].to_str().unwrap().to_owned()
    };
    let refused = async |receiver: &Receiver, headers: &HeaderMap| {
        let rejection = answer(receiver, &Arrival::post(headers), b"{}").await.unwrap_err();
        challenge(receiver.refuse(&rejection))
    };
    let basic = receiver().with_guard(HeaderGuard::basic("hooks", &token));
    let bearer = receiver().with_guard(HeaderGuard::bearer(&token));
    let key = receiver().with_guard(HeaderGuard::api_key("x-key".parse().unwrap(), &token));
    let mut shown = request.headers.clone();
    shown.insert(AUTHORIZATION, HeaderValue::from_static("Bearer a-long-random-token"));
    // One request has no token, the other the right token with a wrong signature. A stranger cannot tell the
    // difference.
    for headers in [&request.headers, &shown] {
        assert_eq!(refused(&bearer, headers).await, r#"Bearer realm="webhooks""#);
        assert_eq!(refused(&basic, headers).await, r#"Basic realm="webhooks", charset="UTF-8""#);
        for generic in [&key, &receiver()] {
            assert_eq!(refused(generic, headers).await, "Webhook");
        }
    }
    let handle = async |event: Arrived| Ok(event.map(drop)?);
    let several = Senders::new().with_handler(key, handle).with_handler(bearer, handle);
    let arrival = Arrival::post(&request.headers);
    let rejection = handled_by_any(&several, arrival, b"{}", NOON).await.unwrap_err();
    assert_eq!(challenge(several.refuse(&rejection)), r#"Bearer realm="webhooks""#);
    assert_eq!(challenge(Answer::from(&rejection)), "Webhook");
    // No other status has a challenge.
    let busy = several.refuse(&Rejection::too_large(1));
    assert_eq!(busy, Answer::new(StatusCode::PAYLOAD_TOO_LARGE));
    assert!(!busy.into_response().headers().contains_key(WWW_AUTHENTICATE));
}

fn admits(guard: &impl Guard, header: &'static str, value: &str) -> bool {
    let mut headers = HeaderMap::new();
    headers.insert(header, HeaderValue::from_str(value).unwrap());
    let once = guard.admits(&Arrival::post(&headers));
    headers.append(header, HeaderValue::from_str(value).unwrap());
    assert!(!guard.admits(&Arrival::post(&headers)), "twice is no proof");
    once
}

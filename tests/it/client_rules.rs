//! Rules of every HTTP client in this crate, tested with real sockets, real TLS on loopback, and misbehaving
//! peers.
//!
//! [`client_rules!`] writes a test of each rule for one client. To let a deadline pass, the peer stops the
//! runtime's clock once it holds the request; tokio then advances the clock to the next timer.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use hookwire::rustls::pki_types::CertificateDer;
use hookwire::transport::hyper::{Resolve, SystemResolver};
use hookwire::{AddressPolicy, ErrorClass, HttpClient, Outcome};
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, StatusCode};
use rcgen::CertificateParams;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
#[cfg(target_os = "linux")]
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

use crate::client_peers::*;

/// A client under test, and its allowed differences.
pub(crate) trait Tested: HttpClient + Clone {
    /// The name of the client's test module.
    const MODULE: &'static str;
    /// The lines that the client adds to every request.
    const ADDS: &'static [&'static str];
    /// The client's error text if an endpoint has no address of the local address's family.
    const OTHER_FAMILY: &'static str;
    /// Whether the client measures the TLS handshake.
    const TIMES_TLS: bool;

    /// A client with default settings.
    fn fresh() -> Self;

    fn calling_itself(user_agent: &str) -> Self;

    fn leaving_from(local: IpAddr) -> Self;

    fn resolving(resolver: impl Resolve + 'static) -> Self;

    /// A client that trusts only this root certificate.
    fn trusting(root: &CertificateDer<'static>, resolver: impl Resolve + 'static) -> Self;
}

/// Writes each test once with `HyperClient` and once with `ReqwestClient`, as a type parameter.
macro_rules! with_each_client {
    ($($test:ident)*) => {
        mod hyper {
            $(#[tokio::test] async fn $test() { super::$test::<hookwire::HyperClient>().await; })*
        }
        mod reqwest {
            $(#[tokio::test] async fn $test() { super::$test::<hookwire::ReqwestClient>().await; })*
        }
    };
}
pub(crate) use with_each_client;

/// Writes a test for every rule of this module, for one client.
macro_rules! client_rules {
    ($client:ty) => {
        crate::client_rules::client_rules! {
            @ $client:
            a_response_comes_back_with_its_head_its_body_and_its_timings
            the_request_goes_out_as_it_is_with_a_user_agent_and_without_accept_encoding
            the_user_agent_is_the_requests_own_or_the_settings
            a_body_over_the_cap_is_cut_and_one_of_just_the_cap_is_not
            an_endless_body_is_cut_and_its_connection_closed
            a_body_is_not_decompressed
            a_thousand_headers_and_a_huge_one_are_refused
            endless_headers_are_refused
            what_is_no_http_is_refused
            a_response_head_that_does_not_come_passes_the_deadline
            a_dripped_response_head_passes_the_deadline
            a_dripped_body_passes_the_deadline
            a_flood_of_interim_responses_passes_the_deadline
            a_resolver_that_hangs_passes_the_deadline_before_anything_is_sent
            #[cfg(target_os = "linux")] an_endpoint_that_takes_no_connections_passes_the_deadline
            a_tls_handshake_that_hangs_passes_the_deadline_before_anything_is_sent
            a_deadline_beyond_all_time_is_no_panic
            a_refused_connection_is_told_as_that
            a_name_that_does_not_resolve_is_told_as_that
            a_redirect_is_returned_and_not_followed
            a_response_header_beyond_ascii_is_kept
            a_body_ends_at_its_length_and_what_follows_answers_nothing
            a_literal_address_that_the_policy_denies_is_not_dialled
            a_name_that_resolves_to_a_denied_address_is_not_dialled
            a_connection_is_reused_and_then_costs_no_time_of_its_own
            a_connection_that_came_free_while_another_was_opened_costs_no_time_of_its_own
            a_proxy_in_the_environment_is_not_asked
            a_request_that_may_have_arrived_is_not_sent_again
            a_pooled_connection_that_the_endpoint_closed_is_replaced
            a_connection_closed_too_early_is_told_as_a_reset
            a_connection_reset_before_or_in_the_response_is_told_as_that
            a_response_that_ends_with_its_connection_is_complete
            addresses_are_dialled_in_turn
            connections_leave_from_the_local_address_and_from_no_other
            tls_with_a_trusted_certificate_works_and_is_timed
            http_2_is_spoken_where_the_endpoint_offers_it
            large_headers_over_http_2_are_refused
            an_http_2_stream_that_the_endpoint_resets_is_told_as_a_reset
            certificates_that_prove_nothing_are_refused_before_anything_is_sent
            a_peer_that_speaks_no_tls_fails_the_handshake
        }
    };
    (@ $client:ty: $($(#[$attribute:meta])* $rule:ident)*) => {
        $(
            $(#[$attribute])*
            #[tokio::test]
            async fn $rule() {
                crate::client_rules::$rule::<$client>().await;
            }
        )*
    };
}
pub(crate) use client_rules;

pub(crate) async fn a_response_comes_back_with_its_head_its_body_and_its_timings<C: Tested>() {
    let server = Server::answering("HTTP/1.1 202 Accepted\r\nx-a: b\r\ncontent-length: 2\r\n\r\nok").await;
    let exchange = C::fresh().send(post(&server.url("/in?token=t")), &lax()).await.unwrap();
    assert_eq!(exchange.outcome(), Outcome::answered(StatusCode::ACCEPTED));
    assert_eq!(exchange.response.headers()["x-a"], "b");
    assert_eq!(exchange.response.body(), "ok");
    assert!(!exchange.truncated);
    assert!(exchange.response.extensions().is_empty());
    let timings = exchange.timings;
    assert_eq!((timings.dns, timings.tls), (None, None));
    assert!(timings.connect.unwrap() <= timings.first_byte.unwrap());
    assert!(timings.first_byte.unwrap() <= timings.total);
}

pub(crate) async fn the_request_goes_out_as_it_is_with_a_user_agent_and_without_accept_encoding<C: Tested>() {
    let mut server = Server::answering(OK).await;
    C::fresh().send(post(&server.url("/in?token=t")), &lax()).await.unwrap();
    let sent = server.requests.recv().await.unwrap();
    let (head, body) = sent.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.lines().map(str::to_owned).collect();
    assert_eq!(lines.remove(0), "POST /in?token=t HTTP/1.1");
    lines.sort();
    let mut expected = vec![
        "content-length: 4".to_owned(),
        format!("host: {}", server.address),
        format!("user-agent: hookwire/{}", env!("CARGO_PKG_VERSION")),
    ];
    expected.extend(C::ADDS.iter().map(|&line| line.to_owned()));
    expected.sort();
    assert_eq!(lines, expected);
    assert_eq!(body, "ping");
}

pub(crate) async fn the_user_agent_is_the_requests_own_or_the_settings<C: Tested>() {
    let mut server = Server::answering(OK).await;
    let client = C::calling_itself("crm/1.0");
    client.send(post(&server.url("/")), &lax()).await.unwrap();
    assert!(server.requests.recv().await.unwrap().contains("user-agent: crm/1.0\r\n"));
    let mut own = post(&server.url("/"));
    own.headers_mut().insert(USER_AGENT, HeaderValue::from_static("own/2"));
    own.headers_mut().insert(HOST, HeaderValue::from_static("neighbour.example.com"));
    client.send(own, &lax()).await.unwrap();
    let sent = server.requests.recv().await.unwrap();
    assert!(sent.contains("user-agent: own/2\r\n"), "{sent}");
    assert!(!sent.contains("neighbour"), "{sent}");
}

pub(crate) async fn a_body_over_the_cap_is_cut_and_one_of_just_the_cap_is_not<C: Tested>() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef").await;
    let client = C::fresh();
    for (cap, body, truncated) in [(6, "abcdef", false), (5, "abcde", true), (0, "", true)] {
        let exchange = client.send(post(&server.url("/")), &lax().with_body_cap(cap)).await.unwrap();
        assert_eq!((exchange.response.body().as_ref(), exchange.truncated), (body.as_bytes(), truncated));
    }
}

pub(crate) async fn an_endless_body_is_cut_and_its_connection_closed<C: Tested>() {
    let (stopped, mut has_stopped) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, _| {
        let stopped = stopped.clone();
        async move {
            read_request(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            while stream.write_all(b"8\r\nabcdefgh\r\n").await.is_ok() {}
            stopped.send(()).map_err(io::Error::other)
        }
    })
    .await;
    let exchange = C::fresh().send(post(&server.url("/")), &lax().with_body_cap(1000)).await.unwrap();
    assert_eq!(exchange.response.body().len(), 1000);
    assert!(exchange.truncated);
    has_stopped.recv().await.unwrap();
}

pub(crate) async fn a_body_is_not_decompressed<C: Tested>() {
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x0b\x08\x00",
    )
    .await;
    let exchange = C::fresh().send(post(&server.url("/")), &lax()).await.unwrap();
    assert_eq!(exchange.response.body().as_ref(), b"\x1f\x0b\x08\x00");
}

pub(crate) async fn a_thousand_headers_and_a_huge_one_are_refused<C: Tested>() {
    let many: String = (0..1000).map(|n| format!("x-{n}: y\r\n")).collect();
    let huge = format!("x: {}\r\n", "y".repeat(70_000));
    for head in [many, huge] {
        let server = Server::answering(format!("HTTP/1.1 200 OK\r\n{head}content-length: 0\r\n\r\n")).await;
        let error = C::fresh().send(post(&server.url("/")), &lax()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Protocol);
        assert!(error.maybe_sent());
    }
}

pub(crate) async fn endless_headers_are_refused<C: Tested>() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await?;
        while stream.write_all(&[b'y'; 1024]).await.is_ok() {}
        Ok(())
    })
    .await;
    let error = C::fresh().send(post(&server.url("/")), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Protocol);
}

pub(crate) async fn what_is_no_http_is_refused<C: Tested>() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        TWO_LENGTHS,
        CHUNK_GARBAGE,
    ] {
        let server = Server::answering(garbage).await;
        let error = C::fresh().send(post(&server.url("/")), &lax()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Protocol, "{garbage}: {:?}", error);
    }
}

pub(crate) async fn a_response_head_that_does_not_come_passes_the_deadline<C: Tested>() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await?;
        tokio::time::pause();
        std::future::pending().await
    })
    .await;
    let error = C::fresh().send(post(&server.url("/in?token=t")), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
    assert_eq!(error.to_string(), "deadline of 10s passed while waiting for the response");
    assert!(error.maybe_sent());
    assert!(error.timings().total >= Duration::from_secs(10));
    assert!(error.timings().connect.is_some() && error.timings().first_byte.is_none());
    assert!(!format!("{error:?}").contains("token"));
}

pub(crate) async fn a_dripped_response_head_passes_the_deadline<C: Tested>() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await?;
        tokio::time::pause();
        loop {
            stream.write_all(b"y").await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    let error = C::fresh().send(post(&server.url("/")), &lax()).await.unwrap_err();
    assert_eq!(error.to_string(), "deadline of 10s passed while waiting for the response");
    assert!(error.maybe_sent());
}

pub(crate) async fn a_dripped_body_passes_the_deadline<C: Tested>() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
        // Let the client read the head before the clock jumps.
        settle().await;
        tokio::time::pause();
        loop {
            stream.write_all(b"x").await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    let error = C::fresh().send(post(&server.url("/")), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
    assert!(error.maybe_sent());
}

pub(crate) async fn a_flood_of_interim_responses_passes_the_deadline<C: Tested>() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await?;
        while stream.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").await.is_ok() {}
        Ok(())
    })
    .await;
    let limits = within(Duration::from_millis(200));
    let error = C::fresh().send(post(&server.url("/")), &limits).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
}

pub(crate) async fn a_resolver_that_hangs_passes_the_deadline_before_anything_is_sent<C: Tested>() {
    tokio::time::pause();
    let client = C::resolving(Hanging);
    let error = client.send(post("https://hooks.example.com/"), &lax()).await.unwrap_err();
    assert_eq!(error.to_string(), "deadline of 10s passed while resolving the host name");
    assert_eq!(error.class(), ErrorClass::Timeout);
    assert!(!error.maybe_sent());
    assert!(error.timings().dns.unwrap() >= Duration::from_secs(10));
}

#[cfg(target_os = "linux")]
pub(crate) async fn an_endpoint_that_takes_no_connections_passes_the_deadline<C: Tested>() {
    // Linux does not answer a connection attempt while the accept queue is full.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let _queued = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
    tokio::time::pause();
    let error = C::fresh().send(post(&format!("http://{address}/")), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
    assert_eq!(error.to_string(), "deadline of 10s passed while connecting");
    assert!(!error.maybe_sent());
    assert!(error.timings().connect.unwrap() >= Duration::from_secs(10));
}

pub(crate) async fn a_tls_handshake_that_hangs_passes_the_deadline_before_anything_is_sent<C: Tested>() {
    let server = Server::start(|mut stream, _| async move {
        stream.read_u8().await?;
        tokio::time::pause();
        std::future::pending().await
    })
    .await;
    let error = C::fresh().send(post(&server.https("127.0.0.1")), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
    assert!(!error.maybe_sent());
    assert_eq!(error.timings().tls.is_some(), C::TIMES_TLS);
}

pub(crate) async fn a_deadline_beyond_all_time_is_no_panic<C: Tested>() {
    let server = Server::answering(OK).await;
    let limits = within(Duration::MAX);
    C::fresh().send(post(&server.url("/")), &limits).await.unwrap();
}

pub(crate) async fn a_refused_connection_is_told_as_that<C: Tested>() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = C::fresh().send(post(&format!("http://{address}/in?token=t")), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Connect);
    assert!(!format!("{error:?}").contains("token"), "{error:?}");
    assert!(!error.maybe_sent());
    assert!(error.timings().connect.is_some());
}

pub(crate) async fn a_name_that_does_not_resolve_is_told_as_that<C: Tested>() {
    let client = C::resolving(Table(Vec::new()));
    let error = client.send(post("https://hooks.example.com/"), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Dns);
    let limits = within(Duration::from_secs(60));
    let error = C::fresh().send(post("https://nothing.invalid/"), &limits).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Dns);
    assert!(!error.maybe_sent());
}

pub(crate) async fn a_redirect_is_returned_and_not_followed<C: Tested>() {
    let target = Server::answering(OK).await;
    let own = target.url("/");
    let client = C::fresh();
    for location in
        [&own, "http://169.254.169.254/latest", "caf\u{e9}", "mailto:a@example.com", "http://[::1", "//:", ""]
    {
        for status in [301, 302, 303, 307, 308] {
            let answer = format!("HTTP/1.1 {status} Go\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            let server = Server::answering(answer).await;
            let exchange = client.send(post(&server.url("/")), &lax()).await.unwrap();
            assert_eq!(exchange.response.status(), status, "{location}");
            assert_eq!(exchange.response.headers()["location"].as_bytes(), location.as_bytes());
        }
    }
    assert_eq!(target.accepted(), 0);
}

pub(crate) async fn a_response_header_beyond_ascii_is_kept<C: Tested>() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nx-a: caf\u{e9}\r\ncontent-length: 0\r\n\r\n").await;
    let exchange = C::fresh().send(post(&server.url("/")), &lax()).await.unwrap();
    assert_eq!(exchange.response.headers()["x-a"].as_bytes(), "caf\u{e9}".as_bytes());
}

pub(crate) async fn a_body_ends_at_its_length_and_what_follows_answers_nothing<C: Tested>() {
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 299 Planted\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let client = C::fresh();
    for _ in 0..2 {
        let exchange = client.send(post(&server.url("/")), &lax()).await.unwrap();
        assert_eq!(
            (exchange.response.status(), exchange.response.body().as_ref()),
            (StatusCode::OK, &b"ok"[..])
        );
    }
    assert_eq!(server.accepted(), 2);
}

pub(crate) async fn a_literal_address_that_the_policy_denies_is_not_dialled<C: Tested>() {
    let server = Server::answering(OK).await;
    let policy = AddressPolicy::new().allow_plain_http();
    for (url, rule) in [
        (server.url("/"), "address:loopback"),
        (format!("http://[::ffff:127.0.0.1]:{}/", server.address.port()), "address:loopback"),
        (format!("http://localhost:{}/", server.address.port()), "name(special-use)"),
        ("ftp://hooks.example.com/".to_owned(), "scheme"),
        ("http://user@hooks.example.com/".to_owned(), "userinfo"),
    ] {
        let error = C::fresh().send(post(&url), &strict().with_addresses(policy.clone())).await.unwrap_err();
        assert_eq!((error.class(), rule_of(&error)), (ErrorClass::AddressDenied, Some(rule)), "{url}");
        assert!(!error.maybe_sent());
    }
    assert_eq!(server.accepted(), 0);
}

pub(crate) async fn a_name_that_resolves_to_a_denied_address_is_not_dialled<C: Tested>() {
    let server = Server::answering(OK).await;
    let url = format!("https://hooks.example.com:{}/", server.address.port());
    for addresses in [vec![LOOPBACK], vec!["1.1.1.1".parse().unwrap(), LOOPBACK]] {
        let client = C::resolving(Table(addresses));
        let error = client.send(post(&url), &strict()).await.unwrap_err();
        assert_eq!((error.class(), rule_of(&error)), (ErrorClass::AddressDenied, Some("address:loopback")));
        assert!(!error.maybe_sent());
        assert!(error.timings().dns.is_some() && error.timings().connect.is_none());
    }
    assert_eq!(server.accepted(), 0);
}

pub(crate) async fn a_connection_is_reused_and_then_costs_no_time_of_its_own<C: Tested>() {
    let server = Server::answering(OK).await;
    let client = C::fresh();
    let first = client.send(post(&server.url("/")), &lax()).await.unwrap();
    let second = client.clone().send(post(&server.url("/")), &lax()).await.unwrap();
    assert_eq!(server.accepted(), 1);
    assert!(first.timings.connect.is_some());
    assert_eq!(second.timings.connect, None);
    assert!(second.timings.first_byte.is_some());
}

pub(crate) async fn a_connection_that_came_free_while_another_was_opened_costs_no_time_of_its_own<
    C: Tested,
>() {
    let (looked_up, mut is_looked_up) = mpsc::unbounded_channel();
    let client = C::resolving(OnceThenHanging::new(looked_up));
    let (go, going) = tokio::sync::watch::channel(());
    let server = Server::start(move |mut stream, _| {
        let mut going = going.clone();
        async move {
            read_request(&mut stream).await?;
            going.changed().await.map_err(io::Error::other)?;
            stream.write_all(OK.as_bytes()).await?;
            read_request(&mut stream).await?;
            stream.write_all(OK.as_bytes()).await
        }
    })
    .await;
    let url = format!("http://hooks.example.com:{}/", server.address.port());
    let limits = lax();
    let (first, second, ()) =
        tokio::join!(client.send(post(&url), &limits), client.send(post(&url), &limits), async {
            is_looked_up.recv().await.unwrap();
            is_looked_up.recv().await.unwrap();
            settle().await;
            go.send(()).unwrap();
        });
    assert!(first.unwrap().timings.dns.is_some());
    assert_eq!(second.unwrap().timings.dns, None);
    assert_eq!(server.accepted(), 1);
}

pub(crate) async fn a_proxy_in_the_environment_is_not_asked<C: Tested>() {
    // Nothing listens on port 9. The test starts a child process, because it cannot change its own
    // environment safely.
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.arg("--exact");
    child.arg(format!("{}::a_response_comes_back_with_its_head_its_body_and_its_timings", C::MODULE));
    for variable in ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "http_proxy", "https_proxy"] {
        child.env(variable, "http://127.0.0.1:9");
    }
    let output = child.env_remove("NO_PROXY").env_remove("no_proxy").output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && report.contains("1 passed"), "{report}");
}

pub(crate) async fn a_request_that_may_have_arrived_is_not_sent_again<C: Tested>() {
    let mut server = Server::start(|mut stream, requests| async move {
        let _ = requests.send(read_request(&mut stream).await?);
        stream.write_all(OK.as_bytes()).await?;
        let _ = requests.send(read_request(&mut stream).await?);
        Ok(())
    })
    .await;
    let client = C::fresh();
    client.send(post(&server.url("/")), &lax()).await.unwrap();
    let error = client.send(post(&server.url("/")), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Reset);
    assert!(error.maybe_sent());
    assert_eq!(server.accepted(), 1);
    assert!(server.requests.recv().await.is_some() && server.requests.recv().await.is_some());
    assert!(server.requests.try_recv().is_err());
}

pub(crate) async fn a_pooled_connection_that_the_endpoint_closed_is_replaced<C: Tested>() {
    let (closed, mut is_closed) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, _| {
        let closed = closed.clone();
        async move {
            read_request(&mut stream).await?;
            stream.write_all(OK.as_bytes()).await?;
            drop(stream);
            closed.send(()).map_err(io::Error::other)
        }
    })
    .await;
    let client = C::fresh();
    for _ in 0..3 {
        client.send(post(&server.url("/")), &lax()).await.unwrap();
        is_closed.recv().await.unwrap();
        settle().await;
    }
    assert_eq!(server.accepted(), 3);
}

pub(crate) async fn a_connection_closed_too_early_is_told_as_a_reset<C: Tested>() {
    for part in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", CHUNK_HALF] {
        let server = Server::closing_after(part).await;
        let error = C::fresh().send(post(&server.url("/in?token=t")), &lax()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Reset, "{part}");
        assert!(error.maybe_sent());
        assert!(!format!("{error:?}").contains("token"), "{error:?}");
    }
}

pub(crate) async fn a_connection_reset_before_or_in_the_response_is_told_as_that<C: Tested>() {
    for part in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"] {
        let server = Server::start(move |mut stream, _| async move {
            read_request(&mut stream).await?;
            stream.write_all(part.as_bytes()).await?;
            stream.set_zero_linger()
        })
        .await;
        let error = C::fresh().send(post(&server.url("/")), &lax()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Reset, "{part}");
        assert!(error.maybe_sent());
    }
}

pub(crate) async fn a_response_that_ends_with_its_connection_is_complete<C: Tested>() {
    let server = Server::closing_after("HTTP/1.1 200 OK\r\n\r\nall").await;
    let exchange = C::fresh().send(post(&server.url("/")), &lax()).await.unwrap();
    assert_eq!(exchange.response.body(), "all");
}

pub(crate) async fn addresses_are_dialled_in_turn<C: Tested>() {
    let server = Server::answering(OK).await;
    let addresses = vec![[127, 0, 0, 2].into(), LOOPBACK];
    let client = C::resolving(Table(addresses));
    let url = format!("http://hooks.example.com:{}/", server.address.port());
    let exchange = client.send(post(&url), &lax()).await.unwrap();
    assert_eq!(exchange.response.status(), StatusCode::OK);
    assert!(exchange.timings.dns.is_some());
}

pub(crate) async fn connections_leave_from_the_local_address_and_from_no_other<C: Tested>() {
    let (peers, mut seen) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, _| {
        let peers = peers.clone();
        async move {
            peers.send(stream.peer_addr()?.ip()).map_err(io::Error::other)?;
            read_request(&mut stream).await?;
            stream.write_all(OK.as_bytes()).await
        }
    })
    .await;
    let local = IpAddr::from([127, 0, 0, 3]);
    let client = C::leaving_from(local);
    client.send(post(&server.url("/")), &lax()).await.unwrap();
    assert_eq!(seen.recv().await, Some(local));
    let error = client.send(post("http://[::1]:8080/"), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Connect);
    assert!(format!("{error:?}").contains(C::OTHER_FAMILY), "{error:?}");
}

pub(crate) async fn tls_with_a_trusted_certificate_works_and_is_timed<C: Tested>() {
    let identity = Identity::of(&["hooks.example.com", "127.0.0.1"]);
    let server = Server::over_tls(&identity, &[b"http/1.1"]).await;
    let client = C::trusting(&identity.root, Table(vec![LOOPBACK]));
    for host in ["hooks.example.com", "hooks.example.com.", "127.0.0.1"] {
        let exchange = client.send(post(&server.https(host)), &lax()).await.unwrap();
        assert_eq!(exchange.response.body(), "HTTP/1.1", "{host}");
        assert_eq!(exchange.timings.tls.is_some(), C::TIMES_TLS);
    }
}

pub(crate) async fn http_2_is_spoken_where_the_endpoint_offers_it<C: Tested>() {
    let identity = Identity::of(&["127.0.0.1"]);
    let server = Server::over_tls(&identity, &[b"h2", b"http/1.1"]).await;
    let client = C::trusting(&identity.root, SystemResolver::new());
    for _ in 0..2 {
        let exchange = client.send(post(&server.https("127.0.0.1")), &lax()).await.unwrap();
        assert_eq!(exchange.response.body(), "HTTP/2.0");
    }
    assert_eq!(server.accepted(), 1);
}

pub(crate) async fn large_headers_over_http_2_are_refused<C: Tested>() {
    let identity = Identity::of(&["127.0.0.1"]);
    let server = Server::over_tls(&identity, &[b"h2"]).await;
    let request = post(&format!("{}large-head", server.https("127.0.0.1")));
    let error = C::trusting(&identity.root, SystemResolver::new()).send(request, &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Protocol, "{error:?}");
}

pub(crate) async fn an_http_2_stream_that_the_endpoint_resets_is_told_as_a_reset<C: Tested>() {
    let identity = Identity::of(&["127.0.0.1"]);
    let server = Server::over_tls(&identity, &[b"h2"]).await;
    let request = post(&format!("{}reset", server.https("127.0.0.1")));
    let error = C::trusting(&identity.root, SystemResolver::new()).send(request, &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Reset, "{error:?}");
}

pub(crate) async fn certificates_that_prove_nothing_are_refused_before_anything_is_sent<C: Tested>() {
    let good = Identity::of(&["hooks.example.com"]);
    let mut expired = CertificateParams::new(["hooks.example.com".to_owned()]).unwrap();
    expired.not_before = rcgen::date_time_ymd(2000, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let trusting = || C::trusting(&good.root, Table(vec![LOOPBACK]));
    let other = CertificateParams::new(["example.com".to_owned()]).unwrap();
    for (what, identity, client) in [
        ("unknown issuer", Identity::of(&["hooks.example.com"]), trusting()),
        ("compiled-in roots", Identity::of(&["hooks.example.com"]), C::resolving(Table(vec![LOOPBACK]))),
        ("self-signed", Identity::self_signed("hooks.example.com"), trusting()),
        ("another name", good.also_for(other), trusting()),
        ("expired", good.also_for(expired), trusting()),
    ] {
        let mut server = Server::over_tls(&identity, &[b"http/1.1"]).await;
        let error = client.send(post(&server.https("hooks.example.com")), &lax()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Tls, "{what}");
        assert!(!error.maybe_sent(), "{what}");
        assert_eq!(error.timings().tls.is_some(), C::TIMES_TLS, "{what}");
        assert!(server.requests.try_recv().is_err(), "{what}");
    }
}

pub(crate) async fn a_peer_that_speaks_no_tls_fails_the_handshake<C: Tested>() {
    let server = Server::answering("SSH-2.0-OpenSSH_9.6\r\n").await;
    let error = C::fresh().send(post(&server.https("127.0.0.1")), &lax()).await;
    assert_eq!(error.unwrap_err().class(), ErrorClass::Tls);
}

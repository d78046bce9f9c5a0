//! The hyper client against real sockets and real TLS on loopback, and peers that misbehave.
//!
//! Where a deadline must pass, the peer stops the runtime's clock once it holds the request; the clock then jumps.

#![allow(clippy::unwrap_used)]

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hookwire::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use hookwire::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring};
use hookwire::{
    AddressError, AddressPolicy, ErrorClass, ErrorKind, HttpClient, HyperClient, HyperClientBuilder, Limits,
    Outcome, Resolve, SystemResolver, TransportError,
};
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

#[tokio::test]
async fn a_response_comes_back_with_its_head_its_body_and_its_timings() {
    let server = Server::answering("HTTP/1.1 202 Accepted\r\nx-a: b\r\ncontent-length: 2\r\n\r\nok").await;
    let exchange = HyperClient::new().send(post(&server.url("/in?token=t")), &lax()).await.unwrap();
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

#[tokio::test]
async fn the_request_goes_out_as_it_is_with_a_user_agent_and_without_accept_encoding() {
    let mut server = Server::answering(OK).await;
    HyperClient::new().send(post(&server.url("/in?token=t")), &lax()).await.unwrap();
    let sent = server.requests.recv().await.unwrap();
    let (head, body) = sent.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.lines().map(str::to_owned).collect();
    assert_eq!(lines.remove(0), "POST /in?token=t HTTP/1.1");
    lines.sort();
    let expected = [
        "content-length: 4".to_owned(),
        format!("host: {}", server.address),
        format!("user-agent: hookwire/{}", env!("CARGO_PKG_VERSION")),
    ];
    assert_eq!(lines, expected);
    assert_eq!(body, "ping");
}

#[tokio::test]
async fn the_user_agent_is_the_requests_own_or_the_settings() {
    let mut server = Server::answering(OK).await;
    let client = HyperClient::builder().with_user_agent("crm/1.0").build().unwrap();
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

#[tokio::test]
async fn a_body_over_the_cap_is_cut_and_one_of_just_the_cap_is_not() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef").await;
    let client = HyperClient::new();
    for (cap, body, truncated) in [(6, "abcdef", false), (5, "abcde", true), (0, "", true)] {
        let exchange = client.send(post(&server.url("/")), &lax().with_body_cap(cap)).await.unwrap();
        assert_eq!((exchange.response.body().as_ref(), exchange.truncated), (body.as_bytes(), truncated));
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_and_its_connection_closed() {
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
    let exchange = HyperClient::new().send(post(&server.url("/")), &lax().with_body_cap(1000)).await.unwrap();
    assert_eq!(exchange.response.body().len(), 1000);
    assert!(exchange.truncated);
    has_stopped.recv().await.unwrap();
}

#[tokio::test]
async fn a_body_is_not_decompressed() {
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x0b\x08\x00",
    )
    .await;
    let exchange = HyperClient::new().send(post(&server.url("/")), &lax()).await.unwrap();
    assert_eq!(exchange.response.body().as_ref(), b"\x1f\x0b\x08\x00");
}

#[tokio::test]
async fn a_thousand_headers_and_a_huge_one_are_refused() {
    let many: String = (0..1000).map(|n| format!("x-{n}: y\r\n")).collect();
    let huge = format!("x: {}\r\n", "y".repeat(70_000));
    for head in [many, huge] {
        let server = Server::answering(format!("HTTP/1.1 200 OK\r\n{head}content-length: 0\r\n\r\n")).await;
        let error = HyperClient::new().send(post(&server.url("/")), &lax()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Protocol);
        assert!(error.maybe_sent());
    }
}

#[tokio::test]
async fn endless_headers_are_refused() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await?;
        while stream.write_all(&[b'y'; 1024]).await.is_ok() {}
        Ok(())
    })
    .await;
    let error = HyperClient::new().send(post(&server.url("/")), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Protocol);
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    for garbage in
        ["SSH-2.0-OpenSSH_9.6\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", CHUNK_GARBAGE]
    {
        let server = Server::answering(garbage).await;
        let error = HyperClient::new().send(post(&server.url("/")), &lax()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Protocol, "{garbage}: {:?}", error);
    }
}

#[tokio::test]
async fn a_response_head_that_does_not_come_passes_the_deadline() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await?;
        tokio::time::pause();
        std::future::pending().await
    })
    .await;
    let error = HyperClient::new().send(post(&server.url("/in?token=t")), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
    assert_eq!(error.to_string(), "deadline of 10s passed while waiting for the response");
    assert!(error.maybe_sent());
    assert!(error.timings().total >= Duration::from_secs(10));
    assert!(error.timings().connect.is_some() && error.timings().first_byte.is_none());
    assert!(!format!("{error:?}").contains("token"));
}

#[tokio::test]
async fn a_dripped_body_passes_the_deadline() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
        // The head is read before the clock jumps.
        settle().await;
        tokio::time::pause();
        loop {
            stream.write_all(b"x").await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    let error = HyperClient::new().send(post(&server.url("/")), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
    assert!(error.maybe_sent());
}

#[tokio::test]
async fn a_flood_of_interim_responses_passes_the_deadline() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await?;
        while stream.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").await.is_ok() {}
        Ok(())
    })
    .await;
    let limits = within(Duration::from_millis(200));
    let error = HyperClient::new().send(post(&server.url("/")), &limits).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_hangs_passes_the_deadline_before_anything_is_sent() {
    let client = HyperClient::builder().with_resolver(Hanging).build().unwrap();
    let error = client.send(post("https://hooks.example.com/"), &lax()).await.unwrap_err();
    assert_eq!(error.to_string(), "deadline of 10s passed while resolving the host name");
    assert_eq!(error.class(), ErrorClass::Timeout);
    assert!(!error.maybe_sent());
    assert_eq!(error.timings().dns, Some(Duration::from_secs(10)));
}

#[tokio::test]
async fn a_deadline_beyond_all_time_is_no_panic() {
    let server = Server::answering(OK).await;
    let limits = within(Duration::MAX);
    HyperClient::new().send(post(&server.url("/")), &limits).await.unwrap();
}

#[tokio::test]
async fn a_refused_connection_is_told_as_that() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = HyperClient::new().send(post(&format!("http://{address}/")), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Connect);
    assert!(!error.maybe_sent());
    assert!(error.timings().connect.is_some());
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told_as_that() {
    let client = HyperClient::builder().with_resolver(Table(Vec::new())).build().unwrap();
    let error = client.send(post("https://hooks.example.com/"), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Dns);
    let limits = within(Duration::from_secs(60));
    let error = HyperClient::new().send(post("https://nothing.invalid/"), &limits).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Dns);
    assert!(!error.maybe_sent());
}

#[tokio::test]
async fn the_system_resolver_knows_localhost_and_survives_a_caller_that_gives_up() {
    let resolver = SystemResolver::new();
    let (first, second) = tokio::join!(resolver.resolve("localhost"), resolver.resolve("localhost"));
    assert!(first.unwrap().iter().all(IpAddr::is_loopback));
    assert!(!second.unwrap().is_empty());
    let given_up = resolver.clone();
    tokio::select! {
        biased;
        _ = given_up.resolve("localhost") => {}
        () = std::future::ready(()) => {}
    }
    assert!(!resolver.resolve("localhost").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_redirect_is_returned_and_not_followed() {
    let target = Server::answering(OK).await;
    let answer = format!("HTTP/1.1 307 Go\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", target.url("/"));
    let server = Server::answering(answer).await;
    let exchange = HyperClient::new().send(post(&server.url("/")), &lax()).await.unwrap();
    assert_eq!(exchange.response.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(target.accepted(), 0);
}

#[tokio::test]
async fn a_literal_address_that_the_policy_denies_is_not_dialled() {
    let server = Server::answering(OK).await;
    let policy = AddressPolicy::new().allow_plain_http();
    for (url, rule) in [
        (server.url("/"), "address:loopback"),
        (format!("http://[::ffff:127.0.0.1]:{}/", server.address.port()), "address:loopback"),
        (format!("http://localhost:{}/", server.address.port()), "name(special-use)"),
        ("ftp://hooks.example.com/".to_owned(), "scheme"),
        ("http://user@hooks.example.com/".to_owned(), "userinfo"),
    ] {
        let error =
            HyperClient::new().send(post(&url), &strict().with_addresses(policy.clone())).await.unwrap_err();
        assert_eq!((error.class(), rule_of(&error)), (ErrorClass::AddressDenied, Some(rule)), "{url}");
        assert!(!error.maybe_sent());
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn a_name_that_resolves_to_a_denied_address_is_not_dialled() {
    let server = Server::answering(OK).await;
    let url = format!("https://hooks.example.com:{}/", server.address.port());
    for addresses in [vec![LOOPBACK], vec!["1.1.1.1".parse().unwrap(), LOOPBACK]] {
        let client = HyperClient::builder().with_resolver(Table(addresses)).build().unwrap();
        let error = client.send(post(&url), &strict()).await.unwrap_err();
        assert_eq!((error.class(), rule_of(&error)), (ErrorClass::AddressDenied, Some("address:loopback")));
        assert!(!error.maybe_sent());
        assert!(error.timings().dns.is_some() && error.timings().connect.is_none());
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn a_connection_of_a_lax_policy_does_not_serve_a_strict_one() {
    let server = Server::answering(OK).await;
    let client = HyperClient::builder().with_resolver(Table(vec![LOOPBACK])).build().unwrap();
    let url = format!("http://hooks.example.com:{}/", server.address.port());
    client.send(post(&url), &lax()).await.unwrap();
    let stricter = strict().with_addresses(AddressPolicy::new().allow_plain_http());
    let error = client.send(post(&url), &stricter).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::AddressDenied);
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn more_policies_than_pools_are_served_all_the_same() {
    let server = Server::answering(OK).await;
    let client = HyperClient::new();
    for port in (1..40).chain(1..3) {
        let limits = strict().with_addresses(lax().addresses.allow_port(port));
        client.send(post(&server.url("/")), &limits).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_is_reused_and_then_costs_no_time_of_its_own() {
    let server = Server::answering(OK).await;
    let client = HyperClient::new();
    let first = client.send(post(&server.url("/")), &lax()).await.unwrap();
    let second = client.clone().send(post(&server.url("/")), &lax()).await.unwrap();
    assert_eq!(server.accepted(), 1);
    assert!(first.timings.connect.is_some());
    assert_eq!(second.timings.connect, None);
    assert!(second.timings.first_byte.is_some());
}

#[tokio::test]
async fn a_connection_that_came_free_while_another_was_opened_costs_no_time_of_its_own() {
    let (looked_up, mut is_looked_up) = mpsc::unbounded_channel();
    let client = HyperClient::builder().with_resolver(OnceThenHanging(looked_up)).build().unwrap();
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

#[test]
fn a_proxy_in_the_environment_is_not_asked() {
    // Nothing listens at port 9, and the environment of this process can't be changed safely.
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "hyper_client::a_response_comes_back_with_its_head_its_body_and_its_timings"]);
    for variable in ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "http_proxy", "https_proxy"] {
        child.env(variable, "http://127.0.0.1:9");
    }
    let output = child.env_remove("NO_PROXY").env_remove("no_proxy").output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && report.contains("1 passed"), "{report}");
}

#[tokio::test]
async fn a_request_that_may_have_arrived_is_not_sent_again() {
    let mut server = Server::start(|mut stream, requests| async move {
        let _ = requests.send(read_request(&mut stream).await?);
        stream.write_all(OK.as_bytes()).await?;
        let _ = requests.send(read_request(&mut stream).await?);
        Ok(())
    })
    .await;
    let client = HyperClient::new();
    client.send(post(&server.url("/")), &lax()).await.unwrap();
    let error = client.send(post(&server.url("/")), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Reset);
    assert!(error.maybe_sent());
    assert_eq!(server.accepted(), 1);
    assert!(server.requests.recv().await.is_some() && server.requests.recv().await.is_some());
    assert!(server.requests.try_recv().is_err());
}

#[tokio::test]
async fn a_pooled_connection_that_the_endpoint_closed_is_replaced() {
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
    let client = HyperClient::new();
    for _ in 0..3 {
        client.send(post(&server.url("/")), &lax()).await.unwrap();
        is_closed.recv().await.unwrap();
        settle().await;
    }
    assert_eq!(server.accepted(), 3);
}

#[tokio::test]
async fn a_connection_closed_too_early_is_told_as_a_reset() {
    for part in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", CHUNK_HALF] {
        let server = Server::closing_after(part).await;
        let error = HyperClient::new().send(post(&server.url("/")), &lax()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Reset, "{part}");
        assert!(error.maybe_sent());
    }
}

#[tokio::test]
async fn a_response_that_ends_with_its_connection_is_complete() {
    let server = Server::closing_after("HTTP/1.1 200 OK\r\n\r\nall").await;
    let exchange = HyperClient::new().send(post(&server.url("/")), &lax()).await.unwrap();
    assert_eq!(exchange.response.body(), "all");
}

#[tokio::test]
async fn addresses_are_dialled_in_turn() {
    let server = Server::answering(OK).await;
    let addresses = vec![[127, 0, 0, 2].into(), LOOPBACK];
    let client = HyperClient::builder().with_resolver(Table(addresses)).build().unwrap();
    let url = format!("http://hooks.example.com:{}/", server.address.port());
    let exchange = client.send(post(&url), &lax()).await.unwrap();
    assert_eq!(exchange.response.status(), StatusCode::OK);
    assert!(exchange.timings.dns.is_some());
}

#[tokio::test]
async fn connections_leave_from_the_local_address_and_from_no_other() {
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
    let client = HyperClient::builder().with_local_address(local).build().unwrap();
    client.send(post(&server.url("/")), &lax()).await.unwrap();
    assert_eq!(seen.recv().await, Some(local));
    let error = client.send(post("http://[::1]:8080/"), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Connect);
    assert!(format!("{error:?}").contains("no address of the local address's family"), "{error:?}");
}

#[tokio::test]
async fn tls_with_a_trusted_certificate_works_and_is_timed() {
    let identity = Identity::of(&["hooks.example.com", "127.0.0.1"]);
    let server = Server::over_tls(&identity, &[b"http/1.1"]).await;
    let client = identity.trusting().with_resolver(Table(vec![LOOPBACK])).build().unwrap();
    for host in ["hooks.example.com", "hooks.example.com.", "127.0.0.1"] {
        let exchange = client.send(post(&server.https(host)), &lax()).await.unwrap();
        assert_eq!(exchange.response.body(), "HTTP/1.1", "{host}");
        assert!(exchange.timings.tls.is_some());
    }
}

#[tokio::test]
async fn http_2_is_spoken_where_the_endpoint_offers_it() {
    let identity = Identity::of(&["127.0.0.1"]);
    let server = Server::over_tls(&identity, &[b"h2", b"http/1.1"]).await;
    let client = identity.trusting().build().unwrap();
    for _ in 0..2 {
        let exchange = client.send(post(&server.https("127.0.0.1")), &lax()).await.unwrap();
        assert_eq!(exchange.response.body(), "HTTP/2.0");
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn an_http_2_connection_on_which_a_request_timed_out_is_not_used_again() {
    let identity = Identity::of(&["127.0.0.1"]);
    let server = Server::over_tls(&identity, &[b"h2"]).await;
    let client = identity.trusting().build().unwrap();
    let hanging = post(&format!("{}hang", server.https("127.0.0.1")));
    let limits = within(Duration::from_millis(200));
    assert_eq!(client.send(hanging, &limits).await.unwrap_err().class(), ErrorClass::Timeout);
    client.send(post(&server.https("127.0.0.1")), &lax()).await.unwrap();
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn large_headers_over_http_2_are_refused() {
    let identity = Identity::of(&["127.0.0.1"]);
    let server = Server::over_tls(&identity, &[b"h2"]).await;
    let request = post(&format!("{}large-head", server.https("127.0.0.1")));
    let error = identity.trusting().build().unwrap().send(request, &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Protocol, "{error:?}");
}

#[tokio::test]
async fn an_http_2_stream_that_the_endpoint_resets_is_told_as_a_reset() {
    let identity = Identity::of(&["127.0.0.1"]);
    let server = Server::over_tls(&identity, &[b"h2"]).await;
    let request = post(&format!("{}reset", server.https("127.0.0.1")));
    let error = identity.trusting().build().unwrap().send(request, &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Reset, "{error:?}");
}

#[tokio::test]
async fn certificates_that_prove_nothing_are_refused_before_anything_is_sent() {
    let good = Identity::of(&["hooks.example.com"]);
    let mut expired = CertificateParams::new(["hooks.example.com".to_owned()]).unwrap();
    expired.not_before = rcgen::date_time_ymd(2000, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2001, 1, 1);
    for (what, identity, client) in [
        ("unknown issuer", Identity::of(&["hooks.example.com"]), good.trusting()),
        ("compiled-in roots", Identity::of(&["hooks.example.com"]), HyperClient::builder()),
        ("self-signed", Identity::self_signed("hooks.example.com"), good.trusting()),
        (
            "another name",
            good.also_for(CertificateParams::new(["example.com".to_owned()]).unwrap()),
            good.trusting(),
        ),
        ("expired", good.also_for(expired), good.trusting()),
    ] {
        let mut server = Server::over_tls(&identity, &[b"http/1.1"]).await;
        let client = client.with_resolver(Table(vec![LOOPBACK])).build().unwrap();
        let error = client.send(post(&server.https("hooks.example.com")), &lax()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Tls, "{what}");
        assert!(!error.maybe_sent(), "{what}");
        assert!(error.timings().tls.is_some(), "{what}");
        assert!(server.requests.try_recv().is_err(), "{what}");
    }
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_fails_the_handshake() {
    let server = Server::answering("SSH-2.0-OpenSSH_9.6\r\n").await;
    let error = HyperClient::new().send(post(&server.https("127.0.0.1")), &lax()).await;
    assert_eq!(error.unwrap_err().class(), ErrorClass::Tls);
}

#[tokio::test]
async fn a_tls_configuration_of_ones_own_is_used() {
    let identity = Identity::of(&["127.0.0.1"]);
    let server = Server::over_tls(&identity, &[b"h2", b"http/1.1"]).await;
    let mut roots = RootCertStore::empty();
    roots.add(identity.root.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = HyperClient::builder().with_tls_config(config).build().unwrap();
    client.send(post(&server.https("127.0.0.1")), &lax()).await.unwrap();
    let beside = HyperClient::builder()
        .with_extra_root_certificates([identity.root.clone()])
        .with_crypto_provider(Arc::new(ring::default_provider()))
        .build()
        .unwrap();
    beside.send(post(&server.https("127.0.0.1")), &lax()).await.unwrap();
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let agent = HyperClient::builder().with_user_agent("line\nbreak").build().unwrap_err();
    assert_eq!(agent.kind(), ErrorKind::Client);
    assert_eq!(agent.to_string(), "user agent is no header value, expected visible ASCII");
    let root = HyperClient::builder().with_root_certificates([CertificateDer::from(vec![1, 2, 3])]).build();
    assert_eq!(root.unwrap_err().kind(), ErrorKind::Client);
}

/// Lets every other task of the runtime see what has happened on the sockets: it looks there every 61 turns.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

fn post(url: &str) -> Request<Bytes> {
    Request::post(url).body(Bytes::from_static(b"ping")).unwrap()
}

fn strict() -> Limits {
    Limits::new(Duration::from_secs(10))
}

fn lax() -> Limits {
    within(Duration::from_secs(10))
}

fn within(deadline: Duration) -> Limits {
    Limits::new(deadline).with_addresses(AddressPolicy::new().allow_loopback().allow_plain_http())
}

/// The rule that refused an exchange, from the chain of causes.
fn rule_of(error: &TransportError) -> Option<&'static str> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<AddressError>() {
            return Some(error.rule());
        }
        cause = error.source();
    }
    None
}

/// A peer on loopback; ends with the test's runtime.
struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    requests: mpsc::UnboundedReceiver<String>,
}

impl Server {
    /// Treats each connection with `handler`, whose error just ends that connection.
    async fn start<F>(
        handler: impl Fn(TcpStream, mpsc::UnboundedSender<String>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        let server = Self { address: listener.local_addr().unwrap(), accepted: Arc::default(), requests };
        let accepted = Arc::clone(&server.accepted);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(handler(stream, sender.clone()));
            }
        });
        server
    }

    /// Gives every request on a connection the same answer.
    async fn answering(answer: impl Into<String>) -> Self {
        let answer: Arc<str> = answer.into().into();
        Self::start(move |mut stream, requests| {
            let answer = Arc::clone(&answer);
            async move {
                loop {
                    let request = read_request(&mut stream).await?;
                    stream.write_all(answer.as_bytes()).await?;
                    let _ = requests.send(request);
                }
            }
        })
        .await
    }

    /// Answers with `part` and closes the connection.
    async fn closing_after(part: &'static str) -> Self {
        Self::start(move |mut stream, _| async move {
            read_request(&mut stream).await?;
            stream.write_all(part.as_bytes()).await
        })
        .await
    }

    /// Tells the version of HTTP that it was spoken to in.
    async fn over_tls(identity: &Identity, protocols: &[&[u8]]) -> Self {
        let acceptor = identity.acceptor(protocols);
        Self::start(move |stream, requests| {
            let acceptor = acceptor.clone();
            async move {
                let stream = acceptor.accept(stream).await?;
                if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                    return answer_once(stream, requests).await;
                }
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service_fn(answer_http_2))
                    .await
                    .map_err(io::Error::other)
            }
        })
        .await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn https(&self, host: &str) -> String {
        format!("https://{host}:{}/", self.address.port())
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

async fn answer_once(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    requests: mpsc::UnboundedSender<String>,
) -> io::Result<()> {
    let _ = requests.send(read_request(&mut stream).await?);
    stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 8\r\n\r\nHTTP/1.1").await?;
    stream.shutdown().await
}

async fn answer_http_2(request: Request<hyper::body::Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let mut response = Response::new(Full::from(format!("{:?}", request.version())));
    match request.uri().path() {
        "/hang" => std::future::pending().await,
        "/reset" => return Err(io::Error::other("resets the stream")),
        "/large-head" => {
            let value = HeaderValue::try_from("y".repeat(70_000)).map_err(io::Error::other)?;
            response.headers_mut().insert("x-large", value);
        }
        _ => {}
    }
    Ok(response)
}

/// Reads one request of HTTP/1.1 with a content length.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
        if request.len() > 10 && !request.starts_with(b"POST") {
            break;
        }
    }
    if request.starts_with(b"POST") {
        let mut body = [0; 4];
        stream.read_exact(&mut body).await?;
        request.extend(body);
    }
    Ok(String::from_utf8_lossy(&request).into_owned())
}

/// A server's key and certificate, and the root that it goes back to.
struct Identity {
    issuer: CertifiedIssuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl Identity {
    fn of(names: &[&str]) -> Self {
        let names = names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let root = issuer.der().clone();
        let (certificate, key) = issue(CertificateParams::new(names).unwrap(), &issuer);
        Self { issuer, root, certificate, key }
    }

    fn self_signed(name: &str) -> Self {
        let mut identity = Self::of(&[name]);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
        identity.certificate = certificate.der().clone();
        identity.key = key.serialize_der().into();
        identity
    }

    /// Another certificate of the same issuer.
    fn also_for(&self, params: CertificateParams) -> Self {
        let (certificate, key) = issue(params, &self.issuer);
        Self { certificate, key, ..Self::of(&[]) }
    }

    fn trusting(&self) -> HyperClientBuilder {
        HyperClient::builder().with_root_certificates([self.root.clone()])
    }

    fn acceptor(&self, protocols: &[&[u8]]) -> TlsAcceptor {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], PrivateKeyDer::Pkcs8(self.key.clone_key()))
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

fn issue(
    params: CertificateParams,
    issuer: &CertifiedIssuer<'static, KeyPair>,
) -> (CertificateDer<'static>, PrivatePkcs8KeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    (certificate.der().clone(), key.serialize_der().into())
}

/// Resolves every name to the same addresses, and to an error when there are none.
struct Table(Vec<IpAddr>);

impl Resolve for Table {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        if self.0.is_empty() {
            return Err(io::Error::other("no such name"));
        }
        Ok(self.0.clone())
    }
}

struct Hanging;

impl Resolve for Hanging {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

/// Answers the first question and tells of each.
struct OnceThenHanging(mpsc::UnboundedSender<()>);

impl Resolve for OnceThenHanging {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let _ = self.0.send(());
        match ASKED.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(vec![LOOPBACK]),
            _ => std::future::pending().await,
        }
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const CHUNK_GARBAGE: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnot a length\r\n";
const CHUNK_HALF: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf";
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

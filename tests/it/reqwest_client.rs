//! The reqwest client: the rules of every client, and settings that would break them.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use hookwire::reqwest::dns::{Addrs, Name, Resolving};
use hookwire::reqwest::{Certificate, Client, ClientBuilder, Proxy, dns, redirect, retry};
use hookwire::rustls::pki_types::CertificateDer;
use hookwire::transport::hyper::Resolve;
use hookwire::{AddressPolicy, ErrorClass, ErrorKind, HttpClient, ReqwestClient};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client_peers::*;
use crate::client_rules::{Tested, client_rules};

client_rules!(ReqwestClient);

impl Tested for ReqwestClient {
    const MODULE: &'static str = "reqwest_client";
    const ADDS: &'static [&'static str] = &["accept: */*"];
    const OTHER_FAMILY: &'static str = "Network unreachable";
    const TIMES_TLS: bool = false;

    fn fresh() -> Self {
        Self::new()
    }

    fn calling_itself(user_agent: &str) -> Self {
        Self::from_builder(Self::builder().user_agent(user_agent)).unwrap()
    }

    fn leaving_from(local: IpAddr) -> Self {
        Self::from_builder(Self::builder().local_address(local)).unwrap()
    }

    fn resolving(resolver: impl Resolve + 'static) -> Self {
        Self::from_builder_with_resolver(Self::builder(), resolver).unwrap()
    }

    fn trusting(root: &CertificateDer<'static>, resolver: impl Resolve + 'static) -> Self {
        let root = Certificate::from_der(root).unwrap();
        // reqwest builds this TLS configuration itself, with the process's default provider.
        Self::from_builder_with_resolver(Client::builder().tls_certs_only([root]), resolver).unwrap()
    }
}

#[tokio::test]
async fn a_client_serves_the_policy_it_was_first_used_under_and_no_other() {
    let server = Server::answering(OK).await;
    let client = ReqwestClient::new();
    client.send(post(&server.url("/")), &lax()).await.unwrap();
    let wider = lax().with_addresses(lax().addresses.allow_port(25));
    for other in [
        wider,
        strict().with_addresses(AddressPolicy::new().allow_loopback().allow_plain_http().allow_nat64()),
    ] {
        let error = client.clone().send(post(&server.url("/")), &other).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Internal);
        assert!(!error.maybe_sent());
    }
    let error = client.send(post(&server.url("/")), &strict()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::AddressDenied);
    client.send(post(&server.url("/")), &lax()).await.unwrap();
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_builder_that_follows_redirects_and_tries_again_does_neither() {
    let target = Server::answering(OK).await;
    let answer = format!("HTTP/1.1 302 Go\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", target.url("/"));
    let mut server = Server::answering(answer).await;
    let again = retry::for_host("127.0.0.1").no_budget().classify_fn(|seen| seen.retryable());
    let builder = ReqwestClient::builder().redirect(redirect::Policy::limited(5)).referer(true).retry(again);
    let exchange = from(builder).send(post(&server.url("/")), &lax()).await.unwrap();
    assert_eq!(exchange.response.status(), StatusCode::FOUND);
    assert!(server.requests.recv().await.is_some());
    assert!(server.requests.try_recv().is_err());
    assert_eq!(target.accepted(), 0);
}

#[tokio::test]
async fn a_builder_with_a_proxy_connects_without_it() {
    let server = Server::answering(OK).await;
    // Nothing listens on port 9.
    let builder = ReqwestClient::builder().proxy(Proxy::all("http://127.0.0.1:9").unwrap());
    from(builder).send(post(&server.url("/")), &lax()).await.unwrap();
}

#[tokio::test]
async fn a_builder_that_takes_more_headers_or_no_head_at_all_takes_neither() {
    let many: String = (0..101).map(|n| format!("x-{n}: y\r\n")).collect();
    let many = Server::answering(format!("HTTP/1.1 200 OK\r\n{many}content-length: 0\r\n\r\n")).await;
    let none = Server::closing_after("not even a status line").await;
    for server in [many, none] {
        let builder = ReqwestClient::builder().http1_max_headers(1000).http09_responses();
        let error = from(builder).send(post(&server.url("/")), &lax()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Protocol);
        assert!(error.maybe_sent());
    }
}

#[tokio::test]
async fn a_resolver_of_the_builders_is_not_asked() {
    let server = Server::answering(OK).await;
    let builder = ReqwestClient::builder().dns_resolver(ToLoopback);
    let client = ReqwestClient::from_builder_with_resolver(builder, Table(Vec::new())).unwrap();
    let url = format!("http://hooks.example.com:{}/", server.address.port());
    let error = client.send(post(&url), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Dns);
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn a_name_pinned_to_a_denied_address_is_refused_before_anything_is_sent() {
    let mut server = Server::answering(OK).await;
    let url = format!("http://hooks.example.com:{}/", server.address.port());
    let pinned = || from(ReqwestClient::builder().resolve("hooks.example.com", server.address));
    let allowed = pinned().send(post(&url), &lax()).await.unwrap();
    assert_eq!((allowed.timings.dns, allowed.timings.tls), (None, None));
    let policy = AddressPolicy::new().allow_plain_http();
    let error = pinned().send(post(&url), &strict().with_addresses(policy)).await.unwrap_err();
    assert_eq!((error.class(), rule_of(&error)), (ErrorClass::AddressDenied, Some("address:loopback")));
    assert!(!error.maybe_sent());
    assert!(server.requests.recv().await.is_some());
    settle().await;
    assert!(server.requests.try_recv().is_err());
}

#[cfg(unix)]
#[tokio::test]
async fn a_connection_that_goes_to_no_address_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let client = from(ReqwestClient::builder().unix_socket(path.as_path()));
    let error = client.send(post("http://hooks.example.com/"), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::AddressDenied);
    assert!(!error.maybe_sent());
    let mut arrived = Vec::new();
    listener.accept().await.unwrap().0.read_to_end(&mut arrived).await.unwrap();
    assert_eq!(arrived, b"");
}

#[tokio::test]
async fn time_outs_of_the_builders_end_an_exchange_sooner() {
    for set in [ClientBuilder::timeout, ClientBuilder::read_timeout] {
        let server = Server::start(|mut stream, _| async move {
            read_request(&mut stream).await?;
            tokio::time::pause();
            std::future::pending().await
        })
        .await;
        let client = from(set(ReqwestClient::builder(), Duration::from_secs(3)));
        let error = client.send(post(&server.url("/")), &lax()).await.unwrap_err();
        tokio::time::resume();
        assert_eq!(error.class(), ErrorClass::Timeout);
        assert_eq!(
            error.to_string(),
            "time-out of the client's own settings passed, sooner than the deadline"
        );
        assert!(error.maybe_sent());
        assert!(error.timings().total < Duration::from_secs(10));
    }
    tokio::time::pause();
    let builder = ReqwestClient::builder().connect_timeout(Duration::from_secs(3));
    let client = ReqwestClient::from_builder_with_resolver(builder, Hanging).unwrap();
    let error = client.send(post("https://hooks.example.com/"), &lax()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
    assert!(!error.maybe_sent());
}

#[tokio::test]
async fn headers_of_the_builders_go_with_requests_that_have_none_of_their_name() {
    let mut server = Server::answering(OK).await;
    let mut headers = HeaderMap::new();
    headers.insert("x-tenant", HeaderValue::from_static("acme"));
    headers.insert("x-signature", HeaderValue::from_static("the-builders"));
    let client = from(ReqwestClient::builder().default_headers(headers));
    let mut request = post(&server.url("/"));
    request.headers_mut().insert("x-signature", HeaderValue::from_static("the-requests"));
    client.send(request, &lax()).await.unwrap();
    let sent = server.requests.recv().await.unwrap();
    assert!(sent.contains("x-tenant: acme\r\n") && sent.contains("x-signature: the-requests\r\n"), "{sent}");
    assert!(!sent.contains("the-builders"), "{sent}");
    assert!(!format!("{client:?}").contains("acme"));
}

#[tokio::test]
async fn a_request_without_a_body_is_sent() {
    let mut server = Server::start(|mut stream, requests| async move {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await?);
        }
        let _ = requests.send(String::from_utf8_lossy(&request).into_owned());
        stream.write_all(OK.as_bytes()).await
    })
    .await;
    let request = Request::post(server.url("/")).body(Bytes::new()).unwrap();
    ReqwestClient::new().send(request, &lax()).await.unwrap();
    assert!(server.requests.recv().await.unwrap().starts_with("POST / HTTP/1.1\r\n"));
}

#[tokio::test]
async fn settings_that_cannot_work_are_told() {
    let error = ReqwestClient::from_builder(ReqwestClient::builder().user_agent("line\nbreak")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Client);
    // If the request contradicts one of the caller's settings, the error says nothing about the endpoint.
    let server = Server::answering(OK).await;
    let error =
        from(ReqwestClient::builder().https_only(true)).send(post(&server.url("/in?token=t")), &lax()).await;
    let error = error.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Internal);
    assert!(!error.maybe_sent() && !format!("{error:?}").contains("token"), "{error:?}");
    assert_eq!(server.accepted(), 0);
}

fn from(builder: ClientBuilder) -> ReqwestClient {
    ReqwestClient::from_builder(builder).unwrap()
}

/// A resolver that implements reqwest's own trait.
struct ToLoopback;

impl dns::Resolve for ToLoopback {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(std::iter::once((LOOPBACK, 0).into()));
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

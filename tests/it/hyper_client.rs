//! The hyper client: the rules of every client, and what it alone can do.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hookwire::rustls::pki_types::CertificateDer;
use hookwire::rustls::{ClientConfig, RootCertStore, crypto::ring};
use hookwire::{AddressPolicy, ErrorClass, ErrorKind, HttpClient, HyperClient, Resolve, SystemResolver};

use crate::client_peers::*;
use crate::client_rules::{Tested, client_rules};

client_rules!(HyperClient);

impl Tested for HyperClient {
    const MODULE: &'static str = "hyper_client";
    const ADDS: &'static [&'static str] = &[];
    const OTHER_FAMILY: &'static str = "no address of the local address's family";
    const TIMES_TLS: bool = true;

    fn fresh() -> Self {
        Self::new()
    }

    fn calling_itself(user_agent: &str) -> Self {
        Self::builder().with_user_agent(user_agent).build().unwrap()
    }

    fn leaving_from(local: IpAddr) -> Self {
        Self::builder().with_local_address(local).build().unwrap()
    }

    fn resolving(resolver: impl Resolve + 'static) -> Self {
        Self::builder().with_resolver(resolver).build().unwrap()
    }

    fn trusting(root: &CertificateDer<'static>, resolver: impl Resolve + 'static) -> Self {
        Self::builder().with_root_certificates([root.clone()]).with_resolver(resolver).build().unwrap()
    }
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
async fn an_http_2_connection_on_which_a_request_timed_out_is_not_used_again() {
    let identity = Identity::of(&["127.0.0.1"]);
    let server = Server::over_tls(&identity, &[b"h2"]).await;
    let client = HyperClient::trusting(&identity.root, SystemResolver::new());
    let hanging = post(&format!("{}hang", server.https("127.0.0.1")));
    let limits = within(Duration::from_millis(200));
    assert_eq!(client.send(hanging, &limits).await.unwrap_err().class(), ErrorClass::Timeout);
    client.send(post(&server.https("127.0.0.1")), &lax()).await.unwrap();
    assert_eq!(server.accepted(), 2);
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

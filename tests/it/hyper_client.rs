//! The hyper client: the rules of every client, and its own features.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hookwire::rustls::pki_types::CertificateDer;
use hookwire::rustls::{ClientConfig, RootCertStore, crypto::ring};
use hookwire::transport::hyper::{Resolve, SystemResolver};
use hookwire::{AddressPolicy, ErrorClass, ErrorKind, HttpClient, HyperClient};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

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

/// Requests that got another connection leave their dial behind, for the next ones.
#[tokio::test]
async fn an_endpoint_that_takes_no_more_connections_does_not_use_up_the_descriptors() {
    let identity = Identity::of(&["127.0.0.1"]);
    let (acceptor, listener) = (identity.acceptor(&[]), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let open = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&open);
    tokio::spawn(async move {
        let mut is_first = true;
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let (counted, acceptor) = (Arc::clone(&counted), acceptor.clone());
            let takes = std::mem::take(&mut is_first);
            tokio::spawn(async move {
                if takes {
                    let mut stream = acceptor.accept(stream).await.unwrap();
                    while read_request(&mut stream).await.is_ok() {
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                    }
                } else {
                    // It reads the beginning of the handshake, and says nothing.
                    while stream.read_u8().await.is_ok() {}
                }
                counted.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    let builder = HyperClient::builder().with_root_certificates([identity.root.clone()]);
    let client = builder.with_max_connections(32).build().unwrap();
    client.send(post(&url), &lax()).await.unwrap();
    for _ in 0..30 {
        let (first, second) = (post(&url), post(&url));
        let limits = lax();
        let (first, second) = tokio::join!(client.send(first, &limits), client.send(second, &limits));
        first.unwrap();
        second.unwrap();
    }
    // An eighth of the connections may be dials that nobody waits for. The others are closed, and the
    // endpoint hears of it a little later.
    let count = || open.load(Ordering::SeqCst);
    for _ in 0..500 {
        if count() <= 1 + 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!((1..=1 + 4).contains(&count()), "{} connections", count());
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let agent = HyperClient::builder().with_user_agent("line\nbreak").build().unwrap_err();
    assert_eq!(agent.kind(), ErrorKind::Client);
    assert_eq!(
        agent.to_string(),
        "user agent is not a header value, expected visible ASCII; see `with_user_agent`"
    );
    let root = HyperClient::builder().with_root_certificates([CertificateDer::from(vec![1, 2, 3])]).build();
    assert_eq!(root.unwrap_err().kind(), ErrorKind::Client);
}

#[tokio::test]
async fn a_connection_is_kept_for_a_minute_without_use_and_not_for_two() {
    let (server, mut ended) = telling_of_ends().await;
    let client = HyperClient::new();
    client.send(post(&server.url("/")), &lax()).await.unwrap();
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(59)).await;
    settle().await;
    assert!(ended.try_recv().is_err());
    tokio::time::sleep(Duration::from_secs(61)).await;
    settle().await;
    ended.try_recv().unwrap();
    tokio::time::resume();
    client.send(post(&server.url("/")), &lax()).await.unwrap();
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_client_that_is_dropped_closes_its_connections() {
    let (server, mut ended) = telling_of_ends().await;
    let client = HyperClient::new();
    client.send(post(&server.url("/")), &lax()).await.unwrap();
    drop(client.clone());
    settle().await;
    assert!(ended.try_recv().is_err());
    drop(client);
    ended.recv().await.unwrap();
}

#[tokio::test]
async fn a_client_that_is_dropped_closes_its_http_2_connections() {
    let identity = Identity::of(&["127.0.0.1"]);
    let (server, mut ended) = over_http_2(&identity).await;
    let client = HyperClient::trusting(&identity.root, SystemResolver::new());
    client.send(post(&server.https("127.0.0.1")), &lax()).await.unwrap();
    settle().await;
    assert!(ended.try_recv().is_err());
    drop(client);
    ended.recv().await.unwrap();
}

#[tokio::test]
async fn a_request_that_is_given_up_closes_its_connection_and_no_other() {
    let (server, mut ended) = telling_of_ends().await;
    let client = HyperClient::new();
    client.send(post(&server.url("/")), &lax()).await.unwrap();
    let mut hanging = Server::start(|mut stream, told| async move {
        told.send(read_request(&mut stream).await?).map_err(io::Error::other)?;
        stream.read_u8().await.expect_err("nothing more is sent");
        told.send("closed".to_owned()).map_err(io::Error::other)
    })
    .await;
    let limits = lax();
    tokio::select! {
        _ = client.send(post(&hanging.url("/")), &limits) => unreachable!("nobody answers"),
        sent = hanging.requests.recv() => assert!(sent.unwrap().starts_with("POST")),
    }
    assert_eq!(hanging.requests.recv().await.unwrap(), "closed");
    let other = client.send(post(&server.url("/")), &limits).await.unwrap();
    assert_eq!((other.timings.connect, server.accepted()), (None, 1));
    assert!(ended.try_recv().is_err());
}

#[tokio::test]
async fn a_connection_whose_body_was_not_read_whole_is_not_used_again() {
    let (server, mut ended) = telling_of_ends().await;
    let client = HyperClient::new();
    client.send(post(&server.url("/")), &lax().with_body_cap(1)).await.unwrap();
    ended.recv().await.unwrap();
    client.send(post(&server.url("/")), &lax()).await.unwrap();
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn no_more_connections_stay_open_than_may_be_idle() {
    let (server, mut ended) = telling_of_ends().await;
    let client = HyperClient::builder().with_max_idle_per_host(1).build().unwrap();
    let limits = lax();
    let both = || async {
        let url = server.url("/");
        let (first, second) =
            tokio::join!(client.send(post(&url), &limits), client.send(post(&url), &limits));
        first.and(second).unwrap();
    };
    both().await;
    ended.recv().await.unwrap();
    client.send(post(&server.url("/")), &limits).await.unwrap();
    assert_eq!(server.accepted(), 2);
    assert!(ended.try_recv().is_err());
}

#[tokio::test]
async fn with_no_idle_connections_each_request_has_its_own() {
    let (server, mut ended) = telling_of_ends().await;
    let client = HyperClient::builder().with_max_idle_per_host(0).build().unwrap();
    for n in 1..=3 {
        client.send(post(&server.url("/")), &lax()).await.unwrap();
        ended.recv().await.unwrap();
        assert_eq!(server.accepted(), n);
    }
}

#[tokio::test]
async fn a_connection_that_lost_the_race_is_kept_for_the_next_request() {
    let (looked_up, mut is_looked_up) = mpsc::unbounded_channel();
    let (release, released) = watch::channel(());
    let resolver = OnceThenReleased { asked: AtomicUsize::new(0), looked_up, released };
    let client = HyperClient::resolving(resolver);
    let (go, going) = watch::channel(0);
    let server = Server::start(move |mut stream, requests| {
        let mut going = going.clone();
        async move {
            loop {
                let _ = requests.send(read_request(&mut stream).await?);
                going.wait_for(|&go| go > 0).await.map_err(io::Error::other)?;
                stream.write_all(OK.as_bytes()).await?;
            }
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
            go.send(1).unwrap();
        });
    assert!(first.is_ok() && second.unwrap().timings.dns.is_none());
    assert_eq!(server.accepted(), 1);
    release.send(()).unwrap();
    while server.accepted() < 2 {
        tokio::task::yield_now().await;
    }
    settle().await;
    let (first, second) = tokio::join!(client.send(post(&url), &limits), client.send(post(&url), &limits));
    assert_eq!((first.unwrap().timings.connect, second.unwrap().timings.connect), (None, None));
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn requests_that_begin_together_end_up_on_one_http_2_connection() {
    let identity = Identity::of(&["127.0.0.1"]);
    let (server, mut ended) = over_http_2(&identity).await;
    let client = HyperClient::trusting(&identity.root, SystemResolver::new());
    let (url, limits) = (server.https("127.0.0.1"), lax());
    let three = || async {
        let send = || client.send(post(&url), &limits);
        let (first, second, third) = tokio::join!(send(), send(), send());
        first.and(second).and(third).unwrap();
    };
    three().await;
    for _ in 1..3 {
        ended.recv().await.unwrap();
    }
    let accepted = server.accepted();
    three().await;
    assert_eq!(server.accepted(), accepted);
    assert!(ended.try_recv().is_err());
}

/// A server that answers all requests, and a channel that gets a message for each closed connection.
async fn telling_of_ends() -> (Server, mpsc::UnboundedReceiver<()>) {
    let (ended, has_ended) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, _| {
        let ended = ended.clone();
        async move {
            while read_request(&mut stream).await.is_ok() && stream.write_all(OK.as_bytes()).await.is_ok() {}
            ended.send(()).map_err(io::Error::other)
        }
    })
    .await;
    (server, has_ended)
}

/// The same as [`telling_of_ends`], over HTTP/2.
async fn over_http_2(identity: &Identity) -> (Server, mpsc::UnboundedReceiver<()>) {
    let (ended, has_ended) = mpsc::unbounded_channel();
    let acceptor = identity.acceptor(&[b"h2"]);
    let server = Server::start(move |stream, _| {
        let (ended, acceptor) = (ended.clone(), acceptor.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                let service = hyper::service::service_fn(answer_http_2);
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
            ended.send(()).map_err(io::Error::other)
        }
    })
    .await;
    (server, has_ended)
}

/// Resolves the first query at once, and later queries when it is released.
struct OnceThenReleased {
    asked: AtomicUsize,
    looked_up: mpsc::UnboundedSender<()>,
    released: watch::Receiver<()>,
}

impl Resolve for OnceThenReleased {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let _ = self.looked_up.send(());
        if self.asked.fetch_add(1, Ordering::Relaxed) > 0 {
            self.released.clone().changed().await.map_err(io::Error::other)?;
        }
        Ok(vec![LOOPBACK])
    }
}

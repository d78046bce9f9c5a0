//! Addresses that are dead, addresses that change while requests are sent, and names that are allowed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookwire::transport::hyper::Resolve;
use hookwire::{AddressPolicy, FailureReason, HttpClient, HyperClient};
use http::StatusCode;
#[cfg(target_os = "linux")]
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::attempt_log::{Sent, closing_after_any_request};
use crate::client_peers::*;
use crate::client_rules::{Tested, with_each_client};
use crate::endpoint::loopback;

/// Two addresses that take no connection stand before the one that does. The log says how the attempt ended,
/// and how long connecting took.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn addresses_that_are_dead_do_not_keep_a_request_from_the_one_that_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dead = [[127, 0, 0, 2], [127, 0, 0, 3]].map(IpAddr::from);
    let mut _full = Vec::new();
    for address in dead {
        _full.push(Full::new(SocketAddr::new(address, port)).await);
    }
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                if crate::attempt_log::read_any_request(&mut stream).await.is_ok() {
                    let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
                }
            });
        }
    });
    let [first, second] = dead;
    let client = HyperClient::resolving(Table(vec![first, second, LOOPBACK]));
    let url = format!("http://hooks.example.com:{port}/");
    let attempt = Sent::to(client, &url, &loopback()).await.attempt().await;
    assert_eq!((attempt.status(), attempt.reason), (Some(StatusCode::NO_CONTENT), None));
    // It began after two waits of 250 ms each.
    assert!(attempt.timings.connect.unwrap() >= Duration::from_millis(500), "{attempt:?}");
    // If all of them are dead, the deadline passes while connecting.
    let client = HyperClient::resolving(Table(vec![first, second]));
    let error = client.send(post(&url), &within(Duration::from_secs(1))).await.unwrap_err();
    assert_eq!(error.reason(), FailureReason::ConnectTimeout);
}

/// A listener whose accept queue is full: Linux then answers no attempt to connect.
#[cfg(target_os = "linux")]
struct Full {
    _listener: TcpListener,
    _queued: [TcpStream; 2],
}

#[cfg(target_os = "linux")]
impl Full {
    async fn new(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(1).unwrap();
        let queued = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        Self { _listener: listener, _queued: queued }
    }
}

/// One of the addresses is denied, so none is dialled, however fast another would answer.
#[tokio::test]
async fn each_of_the_addresses_is_judged_before_any_is_dialled() {
    let server = Server::answering(OK).await;
    let url = format!("http://hooks.example.com:{}/", server.address.port());
    for denied in ["10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "0.0.0.0"] {
        let client = HyperClient::resolving(Table(vec![LOOPBACK, denied.parse().unwrap()]));
        let sent = Sent::to(client, &url, &loopback()).await;
        assert_eq!(sent.failure().await, (FailureReason::AddressRefused, None), "{denied}");
    }
    assert_eq!(server.accepted(), 0);
}

/// A busy connection is replaced when it is old enough, and the name that leads elsewhere by then is
/// followed.
#[tokio::test]
async fn a_name_that_leads_elsewhere_is_followed_under_load_within_the_age_of_connections() {
    let (old, new) = (Server::answering(OK).await, Server::answering(OK).await);
    // Both have one port, on two addresses of this machine.
    let resolver = Moving(Arc::new(Mutex::new(LOOPBACK)));
    let moved = Arc::clone(&resolver.0);
    let url = format!("http://hooks.example.com:{}/", old.address.port());
    let elsewhere = relay(SocketAddr::from(([127, 0, 0, 9], old.address.port())), new.address).await;
    let builder = HyperClient::builder().with_resolver(resolver);
    let client = builder.with_max_connection_age(Duration::from_millis(300)).build().unwrap();
    client.send(post(&url), &lax()).await.unwrap();
    *moved.lock().unwrap() = elsewhere.ip();
    let began = std::time::Instant::now();
    // The connection never rests, so no idle time-out ends it.
    while new.accepted() == 0 {
        client.send(post(&url), &lax()).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(60), "it still goes to the old address");
    }
    assert_eq!(old.accepted(), 1, "and the old address got no other connection");
}

/// The address that a name leads to by then is denied: the attempt log says so, though a connection is open.
#[tokio::test]
async fn a_name_that_leads_to_a_denied_address_by_then_is_refused() {
    let server = Server::answering(OK).await;
    let resolver = Moving(Arc::new(Mutex::new(LOOPBACK)));
    let moved = Arc::clone(&resolver.0);
    let url = format!("http://hooks.example.com:{}/", server.address.port());
    let builder = HyperClient::builder().with_resolver(resolver).with_max_connection_age(Duration::ZERO);
    let client = builder.build().unwrap();
    client.send(post(&url), &within(Duration::from_secs(10))).await.unwrap();
    *moved.lock().unwrap() = [10, 0, 0, 1].into();
    let sent = Sent::to(client, &url, &loopback()).await;
    assert_eq!(sent.failure().await, (FailureReason::AddressRefused, None));
}

with_each_client! {
    an_allowed_name_and_an_allowed_network_are_reached_and_their_neighbours_are_not
}

async fn an_allowed_name_and_an_allowed_network_are_reached_and_their_neighbours_are_not<
    C: Tested + 'static,
>() {
    let plain = || AddressPolicy::new().allow_plain_http();
    let named = || plain().allow_name("crm").unwrap();
    let server = closing_after_any_request("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
    let port = server.address.port();
    let to = |host: &str| format!("http://{host}:{port}/");
    let attempt = Sent::to(C::resolving(Table(vec![LOOPBACK])), &to("crm"), &named()).await.attempt().await;
    assert_eq!(attempt.status(), Some(StatusCode::OK), "{attempt:?}");
    let other = Sent::to(C::resolving(Table(vec![LOOPBACK])), &to("hooks.example.com"), &named()).await;
    assert_eq!(other.failure().await, (FailureReason::AddressRefused, None));
    let metadata = vec!["169.254.169.254".parse().unwrap()];
    let rebound = Sent::to(C::resolving(Table(metadata)), &to("crm"), &named()).await;
    assert_eq!(rebound.failure().await, (FailureReason::AddressRefused, None));
    let network = plain().allow_network("127.0.0.0/30").unwrap();
    let attempt = Sent::to(C::fresh(), &to("127.0.0.1"), &network).await.attempt().await;
    assert_eq!(attempt.status(), Some(StatusCode::OK), "{attempt:?}");
    let neighbour = Sent::to(C::fresh(), &to("127.0.0.4"), &network).await;
    assert_eq!(neighbour.failure().await, (FailureReason::AddressRefused, None));
    let denied = network.deny_network("127.0.0.1").unwrap();
    let own = Sent::to(C::fresh(), &to("127.0.0.1"), &denied).await;
    assert_eq!(own.failure().await, (FailureReason::AddressRefused, None));
}

/// Resolves every name to one address, which changes.
struct Moving(Arc<Mutex<IpAddr>>);

impl Resolve for Moving {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![*self.0.lock().unwrap()])
    }
}

/// Passes the connections to an address on to another one.
async fn relay(from: SocketAddr, to: SocketAddr) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(from).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(to).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    from
}

//! Egress proxies: HTTP CONNECT and SOCKS5, proxies that refuse, and proxies that lie.

use std::io;
use std::time::Duration;

use hookwire::transport::OwnFault;
use hookwire::transport::hyper::Proxy;
use hookwire::{
    AddressPolicy, ErrorClass, FailureReason, HttpClient, HyperClient, Limits, Secret, TransportError,
};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::attempt_log::Sent;
use crate::client_peers::*;
use crate::endpoint::loopback;

#[tokio::test]
async fn requests_go_through_the_proxy_to_names_and_addresses_over_tls_and_without() {
    let identity = Identity::of(&["hooks.example.com", "127.0.0.1"]);
    for protocol in [&b"h2"[..], b"http/1.1"] {
        let endpoint = Server::over_tls(&identity, &[protocol]).await;
        for (start, make) in WAYS {
            let mut proxy = start(endpoint.address.port()).await;
            let builder = HyperClient::builder().with_root_certificates([identity.root.clone()]);
            // The client has no resolver that knows the endpoint.
            let builder = builder.with_resolver(Table(vec![]));
            let client = builder.with_proxy(make(&proxy)).build().unwrap();
            for host in ["hooks.example.com", "127.0.0.1"] {
                let exchange = client.send(post(&endpoint.https(host)), &lax()).await.unwrap();
                assert_eq!(exchange.response.status(), StatusCode::OK);
                assert_eq!(
                    proxy.requests.recv().await.unwrap(),
                    format!("{host}:{}", endpoint.address.port())
                );
            }
        }
    }
    let endpoint = Server::answering(OK).await;
    for (start, make) in WAYS {
        let proxy = start(endpoint.address.port()).await;
        let client = HyperClient::builder().with_proxy(make(&proxy)).build().unwrap();
        for _ in 0..2 {
            client.send(post(&endpoint.url("/")), &lax()).await.unwrap();
        }
        assert_eq!(proxy.accepted(), 1, "the connection through it is used again");
    }
}

/// The target is judged before the proxy is asked. The attempt log names the part that was refused.
#[tokio::test]
async fn a_private_target_is_refused_and_the_proxy_is_not_asked() {
    for (start, make) in WAYS {
        let proxy = start(1).await;
        let client = HyperClient::builder().with_proxy(make(&proxy)).build().unwrap();
        for (url, reason) in [
            ("https://10.0.0.1/", FailureReason::AddressRefused),
            ("https://127.0.0.1/", FailureReason::AddressRefused),
            ("https://169.254.169.254/", FailureReason::AddressRefused),
            ("https://[::ffff:10.0.0.1]/", FailureReason::AddressRefused),
            ("https://crm/", FailureReason::NameRefused),
            ("https://metadata.google.internal/", FailureReason::NameRefused),
        ] {
            let sent = Sent::to(client.clone(), url, &AddressPolicy::new()).await;
            assert_eq!(sent.failure().await, (reason, None), "{url}");
        }
        assert_eq!(proxy.accepted(), 0);
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_connect_to_the_endpoint_costs_an_attempt_with_its_reason() {
    for status in [302, 403, 500, 502, 503, 504] {
        let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: 9\r\n\r\nthe words");
        let proxy = lying(answer.into_bytes()).await;
        let client = through(Proxy::http_connect("127.0.0.1", proxy.address.port()).unwrap());
        // The words are the proxy's and not the endpoint's.
        let sent = Sent::to(client, "https://hooks.example.com/", &loopback()).await;
        assert_eq!(sent.failure().await, (FailureReason::ProxyRefused, None), "{status}");
    }
    for (reply, reason) in [
        (1, FailureReason::ProxyRefused),
        (2, FailureReason::ProxyRefused),
        (3, FailureReason::Unreachable),
        (4, FailureReason::Unreachable),
        (5, FailureReason::Refused),
    ] {
        let proxy = lying(vec![5, 0, 5, reply, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        let client = through(Proxy::socks5("127.0.0.1", proxy.address.port()).unwrap());
        let sent = Sent::to(client, "https://hooks.example.com/", &loopback()).await;
        assert_eq!(sent.failure().await, (reason, None), "{reply}");
    }
}

/// A proxy that lies is this side's fault: no attempt is logged, and the delivery waits.
#[tokio::test]
async fn a_proxy_that_lies_costs_no_attempt() {
    let endless = b"HTTP/1.1 200 OK\r\n".iter().copied().chain(b"x: y\r\n".repeat(10_000)).collect();
    let connect: [Vec<u8>; 7] = [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec(),
        b"HTTP/1.1 407 Who\r\n\r\n".to_vec(),
        b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(),
        b"HTTP/1.1 2000 OK\r\n\r\n".to_vec(),
        b"HTTP/9.9 200 OK\r\n\r\n".to_vec(),
        b"HTTP/1.1 20".to_vec(),
        endless,
    ];
    for answer in connect {
        let proxy = lying(answer.clone()).await;
        let made = Proxy::http_connect("127.0.0.1", proxy.address.port()).unwrap();
        costs_no_attempt(through(made), &answer).await;
    }
    let socks: [Vec<u8>; 8] = [
        vec![],
        vec![4, 0],
        vec![5, 0xff],
        vec![5, 2],
        vec![5, 0],
        vec![5, 0, 4, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        vec![5, 0, 5, 99, 0, 1, 0, 0, 0, 0, 0, 0],
        vec![5, 0, 5, 0, 0, 3, 255, 1, 2, 3],
    ];
    for answer in socks {
        let proxy = lying(answer.clone()).await;
        let made = Proxy::socks5("127.0.0.1", proxy.address.port()).unwrap();
        costs_no_attempt(through(made), &answer).await;
    }
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    costs_no_attempt(through(Proxy::http_connect("127.0.0.1", nobody.port()).unwrap()), b"nobody").await;
    let unknown = HyperClient::builder().with_resolver(Table(vec![]));
    let unknown = unknown.with_proxy(Proxy::socks5("proxy.internal", 1080).unwrap()).build().unwrap();
    costs_no_attempt(unknown, b"no such name").await;
}

/// An endpoint behind a proxy cannot make its failures those of the proxy.
#[tokio::test]
async fn an_endpoint_behind_a_proxy_answers_for_itself() {
    for (answer, reason) in [
        (&b"HTTP/1.1 200 OK\r\n\r\nSSH-2.0-OpenSSH_9.6\r\n"[..], FailureReason::NotHttp),
        (b"", FailureReason::ProxyRefused),
    ] {
        let proxy = lying(answer.to_vec()).await;
        let client = through(Proxy::http_connect("127.0.0.1", proxy.address.port()).unwrap());
        let sent = Sent::to(client, "https://hooks.example.com/", &loopback()).await;
        assert_eq!(sent.failure().await, (reason, None), "{}", answer.escape_ascii());
    }
}

/// A proxy that takes the endpoint's place has no certificate for it.
#[tokio::test]
async fn a_proxy_that_pretends_to_be_the_endpoint_fails_the_handshake() {
    let identity = Identity::of(&["hooks.example.com"]);
    let acceptor = identity.acceptor(&[b"http/1.1"]);
    let mut proxy = Server::start(move |mut stream, requests| {
        let acceptor = acceptor.clone();
        async move {
            read_head(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            let mut stream = acceptor.accept(stream).await?;
            let _ = requests.send(read_request(&mut stream).await?);
            Ok(())
        }
    })
    .await;
    let client = through(Proxy::http_connect("127.0.0.1", proxy.address.port()).unwrap());
    let sent = Sent::to(client, "https://hooks.example.com/", &loopback()).await;
    assert_eq!(sent.failure().await, (FailureReason::CertificateUnknownIssuer, None));
    assert!(proxy.requests.try_recv().is_err(), "it saw nothing of the request");
}

/// A proxy that says nothing, or breaks off its own part, costs no attempt. A SOCKS5 proxy that has greeted
/// waits for the endpoint.
#[tokio::test]
async fn a_proxy_that_drips_or_is_silent_costs_no_attempt_before_it_waits_for_the_endpoint() {
    for answer in [&b"HTTP/1.1 200 OK\r\nx"[..], b""] {
        let proxy = hanging_after(answer).await;
        let client = through(Proxy::http_connect("127.0.0.1", proxy.address.port()).unwrap());
        costs_no_attempt(client, answer).await;
        tokio::time::resume();
    }
    for answer in [&b""[..], b"\x05"] {
        let proxy = hanging_after(answer).await;
        let client = through(Proxy::socks5("127.0.0.1", proxy.address.port()).unwrap());
        costs_no_attempt(client, answer).await;
        tokio::time::resume();
    }
    for (answer, is_endpoints) in [(&b"\x05\0"[..], true), (b"\x05\0\x05", false)] {
        let proxy = hanging_after(answer).await;
        let client = through(Proxy::socks5("127.0.0.1", proxy.address.port()).unwrap());
        if is_endpoints {
            let sent = Sent::to(client, "https://hooks.example.com/", &loopback()).await;
            assert_eq!(sent.failure().await, (FailureReason::ConnectTimeout, None));
        } else {
            costs_no_attempt(client, answer).await;
        }
        tokio::time::resume();
    }
    tokio::time::pause();
    let hanging = HyperClient::builder().with_resolver(Hanging);
    let hanging = hanging.with_proxy(Proxy::http_connect("proxy.internal", 3128).unwrap()).build().unwrap();
    let error = hanging.send(post("https://hooks.example.com/"), &strict()).await.unwrap_err();
    assert_eq!((error.reason(), error.own_fault()), (FailureReason::Proxy, Some(OwnFault::Proxy)));
    assert!(!error.maybe_sent());
}

/// A proxy for HTTP CONNECT that is silent about one endpoint and answers about others waits for that one.
#[tokio::test]
async fn an_endpoint_about_which_a_proxy_alone_is_silent_answers_for_itself() {
    let proxy = Server::start(|mut stream, _| async move {
        if read_head(&mut stream).await?.contains("hanging.example.com") {
            return std::future::pending().await;
        }
        stream.write_all(b"HTTP/1.1 502 No\r\n\r\n").await
    })
    .await;
    let client = through(Proxy::http_connect("127.0.0.1", proxy.address.port()).unwrap());
    let hanging = post("https://hanging.example.com/");
    let limits = Limits::new(Duration::from_secs(1));
    let hanging = client.send(hanging, &limits);
    let others = async {
        loop {
            let error = client.send(post("https://hooks.example.com/"), &strict()).await.unwrap_err();
            assert_eq!(error.reason(), FailureReason::ProxyRefused);
        }
    };
    let error = tokio::select! {
        biased;
        ended = hanging => ended.unwrap_err(),
        () = others => unreachable!(),
    };
    assert_eq!((error.reason(), error.own_fault()), (FailureReason::ConnectTimeout, None));
    assert!(error.timings().connect.unwrap() >= Duration::from_millis(900), "{error:?}");
}

#[tokio::test]
async fn the_proxy_gets_the_credentials_and_nobody_else_sees_them() {
    let password = || Secret::from_bytes([b'p'; 24]);
    let expected = password().expose().to_owned();
    let mut proxy = Server::start(|mut stream, requests| async move {
        let _ = requests.send(read_head(&mut stream).await?);
        stream.write_all(b"HTTP/1.1 407 No\r\n\r\n").await
    })
    .await;
    let made = Proxy::http_connect("127.0.0.1", proxy.address.port()).unwrap();
    let made = made.with_credentials("crm", password());
    assert!(!format!("{made:?}").contains(&expected) && !format!("{made:?}").contains("crm"), "{made:?}");
    let error = through(made).send(post("https://hooks.example.com/"), &strict()).await.unwrap_err();
    assert_refused_by_proxy(&error, &expected);
    let head = proxy.requests.recv().await.unwrap();
    let basic = head.split_once("proxy-authorization: Basic ").unwrap().1.trim().to_owned();
    let engine = base64::prelude::BASE64_STANDARD;
    assert_eq!(base64::Engine::decode(&engine, basic).unwrap(), format!("crm:{expected}").as_bytes());

    let (told, mut seen) = mpsc::unbounded_channel();
    let socks = Server::start(move |mut stream, _| {
        let told = told.clone();
        async move {
            stream.read_exact(&mut [0; 3]).await?;
            stream.write_all(&[5, 2]).await?;
            let mut request = Vec::new();
            request.push(stream.read_u8().await?);
            for _ in 0..2 {
                let mut part = vec![0; stream.read_u8().await?.into()];
                stream.read_exact(&mut part).await?;
                request.extend(part);
            }
            told.send(request).map_err(io::Error::other)?;
            stream.write_all(&[1, 1]).await
        }
    })
    .await;
    let made = Proxy::socks5("127.0.0.1", socks.address.port()).unwrap().with_credentials("crm", password());
    let error = through(made).send(post("https://hooks.example.com/"), &strict()).await.unwrap_err();
    assert_refused_by_proxy(&error, &expected);
    assert_eq!(seen.recv().await.unwrap(), [b"\x01crm", expected.as_bytes()].concat());
}

#[test]
fn a_proxy_without_a_host_or_a_port_is_refused() {
    for (host, port) in [("", 1), ("proxy", 0), ("http://proxy", 1), ("pro xy", 1), ("user@proxy", 1)] {
        assert!(Proxy::http_connect(host, port).is_err() && Proxy::socks5(host, port).is_err(), "{host}");
    }
    assert!(Proxy::http_connect("[::1]", 3128).is_ok());
}

fn assert_refused_by_proxy(error: &TransportError, password: &str) {
    assert_eq!((error.class(), error.reason()), (ErrorClass::Internal, FailureReason::Proxy));
    assert_eq!(error.own_fault(), Some(OwnFault::Proxy));
    assert!(!error.maybe_sent() && !format!("{error:?}").contains(password));
}

async fn costs_no_attempt(client: HyperClient, answer: &[u8]) {
    let sent = Sent::to(client, "https://hooks.example.com/", &loopback()).await;
    assert!(sent.attempts().await.is_empty(), "{:?}", String::from_utf8_lossy(answer));
}

fn through(proxy: Proxy) -> HyperClient {
    HyperClient::builder().with_proxy(proxy).build().unwrap()
}

type Makes = fn(&Server) -> Proxy;
type Starts = fn(u16) -> std::pin::Pin<Box<dyn Future<Output = Server>>>;

/// Each way to ask a proxy: how to start a proxy that leads every host to one port here, and how to use it.
const WAYS: [(Starts, Makes); 2] = [
    (
        |port| Box::pin(connecting(port)),
        |proxy| Proxy::http_connect("127.0.0.1", proxy.address.port()).unwrap(),
    ),
    (|port| Box::pin(socks5(port)), |proxy| Proxy::socks5("127.0.0.1", proxy.address.port()).unwrap()),
];

/// A proxy by HTTP CONNECT. It reports what it was asked for.
async fn connecting(port: u16) -> Server {
    Server::start(move |mut stream, requests| async move {
        let head = read_head(&mut stream).await?;
        let asked = head.strip_prefix("CONNECT ").and_then(|rest| rest.split_once(" HTTP/1.1\r\n"));
        let _ = requests.send(asked.ok_or(io::ErrorKind::InvalidData)?.0.to_owned());
        stream.write_all(b"HTTP/1.1 200 Connection established\r\ncontent-length: 5\r\n\r\n").await?;
        let mut endpoint = TcpStream::connect(("127.0.0.1", port)).await?;
        copy_bidirectional(&mut stream, &mut endpoint).await.map(drop)
    })
    .await
}

/// A proxy by SOCKS5 without credentials. It reports what it was asked for.
async fn socks5(port: u16) -> Server {
    Server::start(move |mut stream, requests| async move {
        let mut hello = [0; 3];
        stream.read_exact(&mut hello).await?;
        assert_eq!(hello, [5, 1, 0]);
        stream.write_all(&[5, 0]).await?;
        let mut head = [0; 4];
        stream.read_exact(&mut head).await?;
        assert_eq!(head[..3], [5, 1, 0]);
        let host = match head[3] {
            1 => {
                let mut address = [0; 4];
                stream.read_exact(&mut address).await?;
                std::net::Ipv4Addr::from(address).to_string()
            }
            3 => {
                let mut name = vec![0; stream.read_u8().await?.into()];
                stream.read_exact(&mut name).await?;
                String::from_utf8(name).map_err(io::Error::other)?
            }
            kind => panic!("{kind}"),
        };
        let _ = requests.send(format!("{host}:{}", stream.read_u16().await?));
        stream.write_all(&[5, 0, 0, 3, 2, b'm', b'e', 0, 9]).await?;
        let mut endpoint = TcpStream::connect(("127.0.0.1", port)).await?;
        copy_bidirectional(&mut stream, &mut endpoint).await.map(drop)
    })
    .await
}

/// A proxy that answers everything with these bytes, and closes the connection.
async fn lying(answer: Vec<u8>) -> Server {
    Server::start(move |mut stream, _| {
        let answer = answer.clone();
        async move {
            stream.write_all(&answer).await?;
            stream.shutdown().await?;
            tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut Vec::new())).await.ok();
            Ok(())
        }
    })
    .await
}

/// A proxy that reads something, answers with these bytes, and then does nothing. The clock jumps to the
/// deadline.
async fn hanging_after(answer: &'static [u8]) -> Server {
    Server::start(move |mut stream, _| async move {
        stream.read_u8().await?;
        stream.write_all(answer).await?;
        settle().await;
        tokio::time::pause();
        std::future::pending().await
    })
    .await
}

async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

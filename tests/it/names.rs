//! A client reports a name that got no answer, so that the dispatcher can tell silent name servers from a
//! resolver that does not work.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use hookwire::transport::OwnFault;
use hookwire::transport::hyper::Resolve;
use hookwire::{ErrorClass, HttpClient, HyperClient, Limits, ReqwestClient};
use http::Request;

/// Resolves by the name's first label.
#[derive(Clone)]
struct Answers;

impl Resolve for Answers {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        match host.split('-').next() {
            Some("silent") => Err(io::Error::new(io::ErrorKind::TimedOut, "no server answered")),
            Some("missing") => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
            Some("hanging") => std::future::pending().await,
            // The name resolves, but the address is denied.
            _ => Ok(vec![IpAddr::from([10, 0, 0, 1])]),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_silence_is_reported_as_a_possible_fault_of_the_resolver() {
    let hyper = HyperClient::builder().with_resolver(Answers).build().unwrap();
    let reqwest = ReqwestClient::from_builder_with_resolver(ReqwestClient::builder(), Answers).unwrap();
    let silence = Some(OwnFault::Resolver);
    let expected = [
        ("silent-1", ErrorClass::Dns, silence),
        ("silent-2", ErrorClass::Dns, silence),
        ("silent-3", ErrorClass::Dns, silence),
        ("silent-4", ErrorClass::Dns, silence),
        ("hanging-1", ErrorClass::Timeout, silence),
        ("missing-1", ErrorClass::Dns, None),
        ("answered", ErrorClass::AddressDenied, None),
    ];
    for (host, class, fault) in expected {
        assert_eq!(failure(&hyper, host).await, (class, fault), "{host} by hyper");
        assert_eq!(failure(&reqwest, host).await, (class, fault), "{host} by reqwest");
    }
}

async fn failure(client: &impl HttpClient, host: &str) -> (ErrorClass, Option<OwnFault>) {
    let request = Request::post(format!("https://{host}.example.com/")).body(Bytes::new()).unwrap();
    let error = client.send(request, &Limits::new(Duration::from_secs(10))).await.unwrap_err();
    assert!(!error.maybe_sent());
    (error.class(), error.own_fault())
}

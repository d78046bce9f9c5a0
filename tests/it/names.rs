//! A name that does not resolve is its endpoint's fault; a resolver that answers nobody is not.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use hookwire::{ErrorClass, HttpClient, HyperClient, Limits, Resolve};
use http::Request;

/// Answers by the name's first label.
struct Answers;

impl Resolve for Answers {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        match host.split('-').next() {
            Some("silent") => Err(io::Error::new(io::ErrorKind::TimedOut, "no server answered")),
            Some("missing") => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
            Some("hanging") => std::future::pending().await,
            // Answered, and denied.
            _ => Ok(vec![IpAddr::from([10, 0, 0, 1])]),
        }
    }
}

async fn classes(hosts: &[&str]) -> Vec<ErrorClass> {
    let client = HyperClient::builder().with_resolver(Answers).build().unwrap();
    let mut classes = Vec::new();
    for host in hosts {
        let url = format!("https://{host}.example.com/");
        let request = Request::post(url).body(Bytes::new()).unwrap();
        let error = client.send(request, &Limits::new(Duration::from_secs(10))).await.unwrap_err();
        assert!(!error.maybe_sent());
        classes.push(error.class());
    }
    classes
}

#[tokio::test]
async fn names_that_all_get_no_answer_are_this_sides_fault() {
    use ErrorClass::{AddressDenied, Dns, Internal};
    let hosts = ["silent-1", "silent-2", "silent-3", "silent-1", "answered", "silent-1"];
    assert_eq!(classes(&hosts).await, [Dns, Dns, Internal, Internal, AddressDenied, Dns]);
}

#[tokio::test]
async fn one_name_without_an_answer_says_nothing_of_the_resolver() {
    assert_eq!(classes(&["silent-1"; 5]).await, [ErrorClass::Dns; 5]);
}

#[tokio::test(start_paused = true)]
async fn names_whose_look_ups_all_hang_are_this_sides_fault() {
    use ErrorClass::{Internal, Timeout};
    assert_eq!(classes(&["hanging-1", "hanging-2", "hanging-3"]).await, [Timeout, Timeout, Internal]);
    assert_eq!(classes(&["hanging-1"; 4]).await, [Timeout; 4]);
}

#[tokio::test]
async fn that_a_name_does_not_exist_is_an_answer() {
    let hosts = ["silent-1", "silent-2", "missing-1", "silent-3", "missing-2", "missing-3", "missing-4"];
    assert_eq!(classes(&hosts).await, [ErrorClass::Dns; 7]);
}

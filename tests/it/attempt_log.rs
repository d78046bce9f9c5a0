//! The log of attempts: why they failed, and nothing that a stranger may choose beside the endpoint's own
//! bytes.

use std::sync::Arc;
use std::time::Duration;

use hookwire::allison::CallEnded;
use hookwire::dispatch::{Dispatcher, Outbox};
use hookwire::store::DeliveryQuery;
use hookwire::subscription::{Authentication, Options};
use hookwire::{
    AddressPolicy, Attempt, Contract, EndpointUrl, Envelope, ErrorClass, EventFilter, FailureReason,
    HttpClient, HyperClient, MemoryStore, Outcome, Records, ReqwestClient, Secret, Subscription,
    Subscriptions,
};
use http::StatusCode;
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client_peers::*;
use crate::client_rules::{Tested, with_each_client};
use crate::endpoint::loopback;

/// One event for an endpoint, and what the log of its attempts says.
pub(crate) struct Sent {
    store: Arc<MemoryStore>,
    subscription: Subscription,
    dispatcher: Dispatcher,
}

impl Sent {
    pub(crate) async fn to(client: impl HttpClient + 'static, url: &str, policy: &AddressPolicy) -> Self {
        Self::with(client, url, policy, |subscription| subscription.with_secret(Secret::generate())).await
    }

    /// The subscription's URL is not judged before it is sent to, as if the policy was narrowed since.
    pub(crate) async fn with(
        client: impl HttpClient + 'static,
        url: &str,
        policy: &AddressPolicy,
        change: impl FnOnce(Subscription) -> Subscription,
    ) -> Self {
        let (store, contract) = (Arc::new(MemoryStore::new()), Contract::allison());
        let url = EndpointUrl::from_storage(url).unwrap();
        let subscription = change(Subscription::new("org_1", &contract, url, EventFilter::all()));
        store.put(&subscription).await.unwrap();
        let outbox = Outbox::new(Arc::clone(&store), contract.clone()).with_clock(|| NOON);
        outbox.emit("org_1", &Envelope::new(CallEnded::new("c1"))).await.unwrap();
        let dispatcher =
            Dispatcher::new(Arc::clone(&store), client, contract).with_address_policy(policy.clone());
        Self { store, subscription, dispatcher }
    }

    /// Attempts what is due, and returns all attempts.
    pub(crate) async fn attempts(&self) -> Vec<Attempt> {
        self.dispatcher.step(NOON).await.unwrap();
        let query = DeliveryQuery::new(self.subscription.id);
        let deliveries = self.store.list_deliveries("org_1", &query, None, 10).await.unwrap().items;
        self.store.list_attempts(deliveries[0].id).await.unwrap()
    }

    /// Attempts the event once, and returns that attempt.
    pub(crate) async fn attempt(&self) -> Attempt {
        let mut attempts = self.attempts().await;
        assert_eq!(attempts.len(), 1, "{attempts:?}");
        attempts.pop().unwrap()
    }

    /// The reason of the one attempt that failed, and the status that came before.
    pub(crate) async fn failure(&self) -> (FailureReason, Option<u16>) {
        let attempt = self.attempt().await;
        let reason = attempt.reason.expect("the attempt failed");
        assert_eq!(attempt.outcome, Outcome::Failed(reason.class()), "{attempt:?}");
        assert_eq!(attempt.response_excerpt, "", "{reason}");
        (reason, attempt.status().map(|status| status.as_u16()))
    }
}

with_each_client! {
    a_connection_that_ends_says_whether_a_status_came
    what_is_no_http_says_so_and_keeps_none_of_it
    an_endpoint_that_cannot_be_connected_to_says_why
    a_refusal_by_the_policy_names_its_part
    a_complete_response_has_no_reason
}

async fn a_connection_that_ends_says_whether_a_status_came<C: Tested + 'static>() {
    let client = C::fresh();
    for (part, expected) in [
        ("", (FailureReason::Reset, None)),
        ("HTTP/1.1 200", (FailureReason::Reset, None)),
        ("HTTP/1.1 502 No\r\ncontent-length: 9\r\n\r\nhalf", (FailureReason::ResetAfterStatus, Some(502))),
        (CHUNK_HALF, (FailureReason::ResetAfterStatus, Some(200))),
        (CHUNK_GARBAGE, (FailureReason::MalformedAfterStatus, Some(200))),
    ] {
        let server = closing_after_any_request(part).await;
        let sent = Sent::to(client.clone(), &server.url("/"), &loopback()).await;
        assert_eq!(sent.failure().await, expected, "{part:?}");
    }
}

async fn what_is_no_http_says_so_and_keeps_none_of_it<C: Tested + 'static>() {
    let client = C::fresh();
    for (answer, reason) in [
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n".to_owned(), FailureReason::NotHttp),
        (format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(500_000)), FailureReason::HeadTooLarge),
    ] {
        let server = closing_after_any_request(answer).await;
        let sent = Sent::to(client.clone(), &server.url("/"), &loopback()).await;
        assert_eq!(sent.failure().await, (reason, None));
    }
}

async fn an_endpoint_that_cannot_be_connected_to_says_why<C: Tested + 'static>() {
    let client = C::fresh();
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let sent = Sent::to(client.clone(), &format!("http://{nobody}/"), &loopback()).await;
    assert_eq!(sent.failure().await, (FailureReason::Refused, None));
    // RFC 6761 section 6.4.
    let sent = Sent::to(client, "https://hooks.invalid/", &loopback()).await;
    let (reason, _) = sent.failure().await;
    // A machine without a network has no name servers to ask.
    assert!(matches!(reason, FailureReason::NoSuchHost | FailureReason::DnsFailed), "{reason}");
}

async fn a_refusal_by_the_policy_names_its_part<C: Tested + 'static>() {
    let client = C::fresh();
    for (url, reason) in [
        ("https://10.0.0.1/", FailureReason::AddressRefused),
        ("https://crm/", FailureReason::NameRefused),
        ("https://hooks.example.com:25/", FailureReason::PortRefused),
        ("http://hooks.example.com/", FailureReason::SchemeRefused),
    ] {
        let sent = Sent::to(client.clone(), url, &AddressPolicy::new()).await;
        assert_eq!(sent.failure().await, (reason, None), "{url}");
        assert!(reason.explanation().contains("`AddressPolicy::allow_"), "{}", reason.explanation());
    }
}

async fn a_complete_response_has_no_reason<C: Tested + 'static>() {
    let client = C::fresh();
    let server = closing_after_any_request("HTTP/1.1 500 No\r\ncontent-length: 5\r\n\r\nwords").await;
    let attempt = Sent::to(client, &server.url("/"), &loopback()).await.attempt().await;
    assert_eq!((attempt.reason, attempt.head_status), (None, None));
    assert_eq!(attempt.status(), Some(StatusCode::INTERNAL_SERVER_ERROR));
    assert_eq!(attempt.response_excerpt, "words");
}

#[tokio::test]
async fn certificates_of_each_failing_kind_are_logged_with_the_reason() {
    let good = Identity::of(&["hooks.example.com"]);
    let valid = |from, until| {
        let mut params = rcgen::CertificateParams::new(["hooks.example.com".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        params
    };
    let other = rcgen::CertificateParams::new(["example.com".to_owned()]).unwrap();
    for (identity, expected) in [
        (good.also_for(valid(2000, 2001)), FailureReason::CertificateExpired),
        (good.also_for(valid(2200, 2201)), FailureReason::CertificateNotYetValid),
        (good.also_for(other), FailureReason::CertificateWrongName),
        (Identity::of(&["hooks.example.com"]), FailureReason::CertificateUnknownIssuer),
    ] {
        let server = Server::over_tls(&identity, &[b"http/1.1"]).await;
        let url = server.https("hooks.example.com");
        let builder = HyperClient::builder().with_root_certificates([good.root.clone()]);
        let hyper = builder.with_resolver(Table(vec![LOOPBACK])).build().unwrap();
        assert_eq!(Sent::to(hyper, &url, &loopback()).await.failure().await, (expected, None));
        let root = hookwire::reqwest::Certificate::from_der(&good.root).unwrap();
        let builder = hookwire::reqwest::Client::builder().tls_certs_only([root]);
        let reqwest = ReqwestClient::from_builder_with_resolver(builder, Table(vec![LOOPBACK])).unwrap();
        assert_eq!(Sent::to(reqwest, &url, &loopback()).await.failure().await, (expected, None));
    }
    let server = Server::answering("SSH-2.0-OpenSSH_9.6\r\n").await;
    let sent = Sent::to(HyperClient::new(), &server.https("127.0.0.1"), &loopback()).await;
    assert_eq!(sent.failure().await, (FailureReason::TlsHandshake, None));
}

#[tokio::test]
async fn a_deadline_that_passes_is_logged_with_its_phase() {
    tokio::time::pause();
    let hanging = || HyperClient::builder().with_resolver(Hanging).build().unwrap();
    let sent = Sent::to(hanging(), "https://hooks.example.com/", &AddressPolicy::new()).await;
    assert_eq!(sent.failure().await, (FailureReason::DnsTimeout, None));
    tokio::time::resume();
    for (part, expected) in [
        ("", (FailureReason::ResponseTimeout, None)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", (FailureReason::BodyTimeout, Some(200))),
    ] {
        let server = Server::start(move |mut stream, _| async move {
            read_any_request(&mut stream).await?;
            stream.write_all(part.as_bytes()).await?;
            settle().await;
            // The runtime's clock jumps to the next timer, the deadline.
            tokio::time::pause();
            std::future::pending().await
        })
        .await;
        let sent = Sent::to(HyperClient::new(), &server.url("/"), &loopback()).await;
        assert_eq!(sent.failure().await, expected);
        tokio::time::resume();
    }
    let server = Server::start(|mut stream, _| async move {
        stream.read_u8().await?;
        tokio::time::pause();
        std::future::pending().await
    })
    .await;
    let sent = Sent::to(HyperClient::new(), &server.https("127.0.0.1"), &loopback()).await;
    assert_eq!(sent.failure().await, (FailureReason::TlsTimeout, None));
    tokio::time::resume();
}

#[tokio::test]
async fn a_fault_of_this_side_leaves_its_words_out_of_the_endpoints_excerpt() {
    // Without a token source the delivery waits and costs no attempt.
    let sent = Sent::with(HyperClient::new(), "https://hooks.example.com/", &loopback(), |subscription| {
        let mut subscription = subscription.with_secret(Secret::generate());
        let from_source = Options::new().with_authentication(Authentication::BearerFromSource);
        subscription.options = from_source.unwrap();
        subscription
    })
    .await;
    assert!(sent.attempts().await.is_empty());
    // A client that fails by itself costs one.
    let sent = Sent::to(Failing, "https://hooks.example.com/", &loopback()).await;
    assert_eq!(sent.failure().await, (FailureReason::Client, None));
}

#[cfg(all(feature = "metrics", feature = "tracing"))]
#[test]
fn the_reason_stands_in_the_span_of_the_attempt_and_in_its_event() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (reason, lines) = crate::log_lines::logged(tracing::Level::DEBUG, || {
        runtime.block_on(async {
            let server = closing_after_any_request("HTTP/1.1 502 No\r\ncontent-length: 9\r\n\r\nhalf").await;
            Sent::to(HyperClient::new(), &server.url("/"), &loopback()).await.failure().await.0
        })
    });
    assert_eq!(reason, FailureReason::ResetAfterStatus);
    let line = lines.lines().find(|line| line.contains("attempt ended")).unwrap();
    for part in ["attempt{", "status=502", "reason=\"reset_after_status\"", "failure=\"reset_after_status\""]
    {
        assert!(line.contains(part), "{part} is missing: {line}");
    }
    assert!(!lines.contains("half"), "{lines}");
}

#[test]
fn every_reason_has_a_text_of_its_own_a_class_and_an_explanation() {
    let mut texts = std::collections::HashSet::new();
    for reason in FailureReason::ALL {
        assert!(texts.insert(reason.as_str()), "{reason}");
        assert_eq!(reason.as_str().parse::<FailureReason>().unwrap(), *reason);
        assert!(!reason.explanation().is_empty());
        let is_snake = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        assert!(reason.as_str().bytes().all(is_snake), "{reason}");
    }
    for class in ErrorClass::ALL {
        assert_eq!(FailureReason::of(*class).class(), *class);
    }
}

/// A client that cannot send anything, without a name for the reason.
struct Failing;

impl HttpClient for Failing {
    async fn send(
        &self,
        _: http::Request<bytes::Bytes>,
        _: &hookwire::Limits,
    ) -> Result<hookwire::Exchange, hookwire::TransportError> {
        Err(hookwire::TransportError::new(ErrorClass::Internal, "words of the client"))
    }
}

/// Answers one request of any length with `answer`, and closes the connection.
pub(crate) async fn closing_after_any_request(answer: impl Into<String>) -> Server {
    let answer: Arc<str> = answer.into().into();
    Server::start(move |mut stream, requests| {
        let answer = Arc::clone(&answer);
        async move {
            let _ = requests.send(read_any_request(&mut stream).await?);
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await?;
            // Read the rest that the peer sends, so that closing is no reset.
            tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut Vec::new())).await.ok();
            Ok(())
        }
    })
    .await
}

/// Reads one HTTP/1.1 request with the body of its content length.
pub(crate) async fn read_any_request(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
) -> std::io::Result<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.split_once("\r\n"));
    let mut body = vec![0; length.map_or(0, |(length, _)| length.parse().unwrap())];
    stream.read_exact(&mut body).await?;
    request.extend(body);
    Ok(String::from_utf8_lossy(&request).into_owned())
}

const NOON: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);

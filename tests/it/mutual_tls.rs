//! Client certificates of subscriptions: presented to their endpoint alone, sealed in the store, shown
//! nowhere.

use std::io;
use std::sync::Arc;

use hookwire::allison::CallEnded;
use hookwire::dispatch::{Dispatcher, Outbox};
use hookwire::keyring::Key;
use hookwire::manage::{Service, SubscriptionDraft, SubscriptionPatch};
use hookwire::rustls::crypto::ring;
use hookwire::rustls::pki_types::PrivateKeyDer;
use hookwire::rustls::server::WebPkiClientVerifier;
use hookwire::rustls::{RootCertStore, ServerConfig};
use hookwire::signature::StoredSecret;
use hookwire::store::DeliveryQuery;
use hookwire::subscription::{ClientCertificate, Options};
use hookwire::transport::{ClientIdentity, OwnFault};
use hookwire::{
    Contract, Envelope, EventFilter, FailureReason, HttpClient, HyperClient, KeyRing, MemoryStore, Records,
    ReqwestClient, Secret, Subscription, Subscriptions,
};
use http::StatusCode;
use rcgen::CertificateParams;
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::attempt_log::{Sent, read_any_request};
use crate::client_peers::*;
use crate::endpoint::loopback;

#[tokio::test]
async fn each_subscription_presents_its_own_certificate_and_no_other_does() {
    for version in [&hookwire::rustls::version::TLS12, &hookwire::rustls::version::TLS13] {
        let world = World::new(version).await;
        let [acme, other] = ["acme", "other"].map(|name| world.clients.also_for(params(name)));
        for identity in [&acme, &other, &acme] {
            let sent = world.sent(Some(certificate(identity))).await;
            let attempt = sent.attempt().await;
            assert_eq!((attempt.status(), attempt.reason), (Some(StatusCode::OK), None));
            assert_eq!(world.presented().await, identity.certificate().to_vec());
        }
        // The endpoint refuses a request without a certificate, and one of a stranger, and the log says so.
        let stranger = certificate(&Identity::of(&["stranger"]));
        for certificate in [None, Some(stranger)] {
            let sent = world.sent(certificate).await;
            assert_eq!(sent.failure().await, (FailureReason::ClientCertificateRefused, None));
        }
    }
}

/// A key that does not fit is found out on this side: the delivery waits and the log has no attempt.
#[tokio::test]
async fn a_key_that_does_not_fit_costs_no_attempt() {
    let world = World::new(&hookwire::rustls::version::TLS13).await;
    let (one, two) = (world.clients.also_for(params("one")), world.clients.also_for(params("two")));
    let mixed = ClientCertificate::from_pem(&one.certificate_pem(), &two.key_pem()).unwrap();
    let garbage = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
    let unreadable = ClientCertificate::from_pem(&one.certificate_pem(), garbage).unwrap();
    for certificate in [mixed, unreadable] {
        assert!(world.sent(Some(certificate)).await.attempts().await.is_empty());
    }
}

#[tokio::test]
async fn the_key_is_sealed_in_the_store_and_opened_for_the_request() {
    let world = World::new(&hookwire::rustls::version::TLS13).await;
    let client = world.clients.also_for(params("acme"));
    let ring = Arc::new(KeyRing::new("2026-11", Key::generate()).unwrap());
    let (store, contract) = (Arc::new(MemoryStore::new()), Contract::allison());
    let options = Options::new().with_client_certificate(Some(certificate(&client)));
    let mut subscription = Subscription::new("org_1", &contract, world.url(), EventFilter::all())
        .with_secret(Secret::generate());
    subscription.options = options.clone();
    let sealed = ring.seal_subscription(subscription).unwrap();
    let stored = sealed.options.to_storage();
    assert!(matches!(sealed.options.client_certificate().unwrap().key(), StoredSecret::Sealed(_)));
    assert!(stored.contains("sealed:v1.2026-11.") && !stored.contains(&client.key_base64()), "{}", *stored);
    assert_eq!(Options::from_storage(&stored).unwrap(), sealed.options);
    assert_eq!(ring.open_subscription(sealed.clone()).unwrap().options, options);
    store.put(&sealed).await.unwrap();
    let outbox = Outbox::new(Arc::clone(&store), contract.clone()).with_clock(|| NOON);
    outbox.emit("org_1", &Envelope::new(CallEnded::new("c1"))).await.unwrap();
    let dispatcher = || {
        Dispatcher::new(Arc::clone(&store), world.client(), contract.clone()).with_address_policy(loopback())
    };
    let deliveries = || async {
        let query = DeliveryQuery::new(sealed.id);
        store.list_deliveries("org_1", &query, None, 10).await.unwrap().items
    };
    // Without the ring it waits, as for a signing secret that does not open.
    dispatcher().step(NOON).await.unwrap();
    assert!(store.list_attempts(deliveries().await[0].id).await.unwrap().is_empty());
    let later = NOON + std::time::Duration::from_secs(3_600);
    assert_eq!(dispatcher().with_key_ring(ring).step(later).await.unwrap().delivered, 1);
    assert_eq!(world.presented().await, client.certificate().to_vec());
}

#[tokio::test]
async fn management_sets_a_certificate_keeps_it_and_takes_it_out_and_shows_it_nowhere() {
    let client = Identity::of(&["acme"]);
    let store = Arc::new(MemoryStore::new());
    let service = Service::new(Arc::clone(&store), Contract::allison());
    let draft = serde_json::json!({
        "url": "https://hooks.example.com/", "events": ["*"],
        "client_certificate": {"certificates": client.certificate_pem(), "key": client.key_pem()},
    });
    let draft: SubscriptionDraft = serde_json::from_value(draft).unwrap();
    assert!(!format!("{draft:?}").contains("BEGIN"));
    let made = service.create("org_1", draft).await.unwrap().subscription;
    assert!(made.client_certificate.is_some());
    let stored =
        || async { store.list("org_1", None, 10).await.unwrap().items.remove(0).subscription.unwrap() };
    assert_eq!(*stored().await.options.client_certificate().unwrap(), certificate(&client));
    let shown = format!("{made:?}{}{:?}", serde_json::to_string(&made).unwrap(), stored().await);
    for secret in [client.key_base64(), client.certificate_base64()] {
        assert!(!shown.contains(&secret), "{shown}");
    }
    let patch = SubscriptionPatch::new().with_enabled(false);
    assert!(service.update("org_1", made.id, patch, None).await.unwrap().client_certificate.is_some());
    let patch: SubscriptionPatch = serde_json::from_str(r#"{"client_certificate": null}"#).unwrap();
    assert!(service.update("org_1", made.id, patch, None).await.unwrap().client_certificate.is_none());
    for (certificates, key) in [
        (client.key_pem(), client.key_pem()),
        (client.certificate_pem(), client.certificate_pem()),
        (client.certificate_pem(), client.key_pem().replace("PRIVATE", "ENCRYPTED PRIVATE")),
        (client.certificate_pem(), client.key_pem().repeat(2)),
        (client.certificate_pem().repeat(100), client.key_pem()),
        (String::new(), client.key_pem()),
        ("-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----".to_owned(), client.key_pem()),
    ] {
        let draft = serde_json::json!({
            "url": "https://hooks.example.com/", "events": ["*"],
            "client_certificate": {"certificates": certificates, "key": key},
        });
        let refused = service.create("org_1", serde_json::from_value(draft).unwrap()).await.unwrap_err();
        assert_eq!(refused.field(), Some("client_certificate"));
        assert!(!refused.to_string().contains(&client.key_base64()[..16]), "{refused}");
    }
}

#[tokio::test]
async fn a_client_that_presents_no_certificate_of_a_subscription_sends_nothing() {
    let server = Server::answering(OK).await;
    let identity = ClientIdentity::new(vec![vec![1]], vec![2]);
    assert_eq!(format!("{identity:?}"), "ClientIdentity(..)");
    let error = ReqwestClient::new().send(post(&server.url("/")), &lax().with_identity(identity)).await;
    let error = error.unwrap_err();
    assert_eq!(error.own_fault(), Some(OwnFault::ClientCertificate));
    assert_eq!(error.reason(), FailureReason::ClientCertificate);
    assert!(!error.maybe_sent());
    assert_eq!(server.accepted(), 0);
}

/// An endpoint that wants a certificate of an authority of its own.
struct World {
    server: Server,
    presented: tokio::sync::Mutex<tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>>,
    root: hookwire::rustls::pki_types::CertificateDer<'static>,
    clients: Identity,
}

impl World {
    async fn new(version: &'static hookwire::rustls::SupportedProtocolVersion) -> Self {
        let (endpoint, clients) = (Identity::of(&["127.0.0.1"]), Identity::of(&["clients"]));
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(clients.root.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![endpoint.certificate()], PrivateKeyDer::Pkcs8(endpoint.key()))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (tell, presented) = tokio::sync::mpsc::unbounded_channel();
        let server = Server::start(move |stream, _| {
            let (acceptor, tell) = (acceptor.clone(), tell.clone());
            async move {
                let mut stream = match acceptor.accept(stream).into_fallible().await {
                    Ok(stream) => stream,
                    // The alert is sent. The request that is on its way is read, so that closing is no reset.
                    Err((_, mut stream)) => return stream.read_to_end(&mut Vec::new()).await.map(drop),
                };
                loop {
                    read_any_request(&mut stream).await?;
                    let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
                    tell.send(leaf).map_err(io::Error::other)?;
                    stream.write_all(OK.as_bytes()).await?;
                    stream.flush().await?;
                }
            }
        })
        .await;
        Self { server, presented: presented.into(), root: endpoint.root.clone(), clients }
    }

    fn client(&self) -> HyperClient {
        HyperClient::builder().with_root_certificates([self.root.clone()]).build().unwrap()
    }

    fn url(&self) -> hookwire::EndpointUrl {
        hookwire::EndpointUrl::from_storage(&self.server.https("127.0.0.1")).unwrap()
    }

    async fn presented(&self) -> Vec<u8> {
        self.presented.lock().await.recv().await.unwrap()
    }

    async fn sent(&self, certificate: Option<ClientCertificate>) -> Sent {
        let url = self.server.https("127.0.0.1");
        Sent::with(self.client(), &url, &loopback(), |subscription| {
            let mut subscription = subscription.with_secret(Secret::generate());
            subscription.options = Options::new().with_client_certificate(certificate);
            subscription
        })
        .await
    }
}

fn certificate(identity: &Identity) -> ClientCertificate {
    ClientCertificate::from_pem(&identity.certificate_pem(), &identity.key_pem()).unwrap()
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

const NOON: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);

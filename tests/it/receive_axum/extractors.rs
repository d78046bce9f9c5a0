//! The extractors: their values, and the release of an event when its sender hangs up.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::post;
use hookwire::receive::axum::Incoming;
use hookwire::receive::{Answer, NoInbox, Received, Receiver, Rejection};
use hookwire::store::{InboxKey, Lease, Reservation};
use hookwire::testing::Samples;
use hookwire::{Contract, Envelope, Inbox, MemoryStore, Secret, StoreError, allison};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tower_service::Service as _;

use super::{receiver, secret, send, serve, signed, signed_body};

#[tokio::test]
async fn extractors_give_the_event_and_its_receipt() {
    async fn with_receipt(incoming: Incoming<allison::Event, MemoryStore>) -> Result<Answer, Rejection> {
        assert_eq!(incoming.envelope.event_type(), "call.ended");
        incoming.receipt.commit(OffsetDateTime::now_utc()).await?;
        Ok(Answer::OK)
    }
    async fn alone(envelope: Envelope<allison::CallEnded>) -> String {
        envelope.data.call_id
    }
    let remembers: Arc<Receiver<MemoryStore>> = Arc::new(receiver().with_inbox(MemoryStore::new()));
    let forgets: Arc<Receiver<NoInbox>> = Arc::new(receiver());
    let app = Router::new()
        .route("/receipt", post(with_receipt))
        .with_state(remembers)
        .merge(Router::new().route("/alone", post(alone)).with_state(forgets));
    let address = serve(app).await;
    for path in ["/receipt", "/alone"] {
        for _ in 0..2 {
            assert_eq!(send(address, &signed("evt_1", &secret(), path)).await, 200, "{path}");
        }
        assert_eq!(send(address, &signed("evt_2", &Secret::from_random([9; 32]), path)).await, 401, "{path}");
    }
}

#[tokio::test]
async fn data_that_does_not_fit_an_extractor_is_shelved_or_left_free_for_the_next_attempt() {
    async fn handle(_: Incoming<allison::Event, MemoryStore>) -> Answer {
        panic!("there is nothing to handle")
    }
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let tells = Arc::clone(&told);
    let shelved = receiver()
        .with_inbox(MemoryStore::new())
        .with_shelf(|error| assert_eq!(error.event_type().as_str(), "call.ended"));
    let address = serve(Router::new().route("/", post(handle)).with_state(Arc::new(shelved))).await;
    for _ in 0..2 {
        assert_eq!(send(address, &signed_body("evt_1", MISFIT, &secret(), "/")).await, 200);
    }
    let receiver = receiver()
        .with_inbox(MemoryStore::new())
        .with_repetition_of_unfit_data()
        .with_rejection_observer(move |rejection| tells.lock().unwrap().push(rejection.to_string()));
    let address = serve(Router::new().route("/", post(handle)).with_state(Arc::new(receiver))).await;
    for _ in 0..2 {
        assert_eq!(send(address, &signed_body("evt_1", MISFIT, &secret(), "/")).await, 503);
    }
    assert_eq!(*told.lock().unwrap(), ["handler failed", "handler failed"], "no copy of it is in flight");
}

#[tokio::test]
async fn a_handler_that_takes_whatever_was_received_decides_about_data_that_does_not_fit() {
    type Shelf = Arc<Mutex<Vec<String>>>;

    #[derive(Clone)]
    struct App(Arc<Receiver<MemoryStore>>, Shelf);

    impl axum::extract::FromRef<App> for Arc<Receiver<MemoryStore>> {
        fn from_ref(app: &App) -> Self {
            Self::clone(&app.0)
        }
    }

    async fn handle(
        State(App(_, shelf)): State<App>,
        received: Received<'static, allison::Event, MemoryStore>,
    ) -> Result<Answer, Rejection> {
        let (line, receipt) = match received {
            Received::Event { envelope, receipt, .. } => {
                (format!("event {}", envelope.event_type()), Some(receipt))
            }
            Received::Undecodable { error, receipt, .. } => (error.data().to_string(), Some(receipt)),
            Received::Duplicate { id, .. } => (format!("copy of {id}"), None),
            other => panic!("{other:?}"),
        };
        shelf.lock().unwrap().push(line);
        if let Some(receipt) = receipt {
            assert!(receipt.commit(OffsetDateTime::now_utc()).await?);
        }
        Ok(Answer::OK)
    }

    let app = App(Arc::new(receiver().with_inbox(MemoryStore::new())), Shelf::default());
    let address = serve(Router::new().route("/", post(handle)).with_state(app.clone())).await;
    let misfit = signed_body("evt_1", MISFIT, &secret(), "/");
    for request in [&misfit, &misfit, &signed("evt_2", &secret(), "/")] {
        assert_eq!(send(address, request).await, 200);
    }
    assert_eq!(send(address, &signed("evt_3", &Secret::from_random([9; 32]), "/")).await, 401);
    assert_eq!(*app.1.lock().unwrap(), [r#"{"call_id":[7]}"#, "copy of evt_1", "event call.ended"]);
}

#[tokio::test]
async fn an_event_is_free_for_the_next_attempt_when_its_sender_hung_up_before_its_handler_was_done() {
    let hung = Hung::default();
    let mut app = hung.app(false);
    hung.up(&mut app).await;
    assert_eq!(app.call(request()).await.unwrap().status(), 200, "it is handled from the start");
    assert_eq!(app.call(request()).await.unwrap().status(), 200, "and then it is a copy");
    assert_eq!(hung.calls.load(Ordering::SeqCst), 2);
    assert_eq!(hung.inbox.releases.load(Ordering::SeqCst), 1, "of the first, and not of what was committed");
}

#[tokio::test]
async fn an_event_that_was_committed_stays_so_when_its_sender_hangs_up() {
    let hung = Hung::default();
    let mut app = hung.app(true);
    hung.up(&mut app).await;
    assert_eq!(app.call(request()).await.unwrap().status(), 200);
    assert_eq!(hung.calls.load(Ordering::SeqCst), 1, "it was handled");
    assert_eq!(hung.inbox.releases.load(Ordering::SeqCst), 0, "there was nothing to release");
}

/// A handler whose first call never ends.
#[derive(Default)]
struct Hung {
    inbox: Arc<Counted>,
    calls: Arc<AtomicU32>,
    is_called: Arc<Notify>,
}

impl Hung {
    fn app(&self, commits_first: bool) -> Router {
        let (calls, is_called) = (Arc::clone(&self.calls), Arc::clone(&self.is_called));
        let handle = move |incoming: Incoming<allison::Event, Arc<Counted>>| {
            let (calls, is_called) = (Arc::clone(&calls), Arc::clone(&is_called));
            async move {
                let mut receipt = Some(incoming.receipt);
                let call = calls.fetch_add(1, Ordering::SeqCst);
                if let Some(receipt) = receipt.take_if(|_| commits_first || call > 0) {
                    receipt.commit(OffsetDateTime::now_utc()).await.unwrap();
                }
                if call == 0 {
                    is_called.notify_one();
                    std::future::pending::<()>().await;
                }
                drop(receipt);
                Answer::OK
            }
        };
        let receiver = receiver().with_inbox(Arc::clone(&self.inbox));
        Router::new().route("/", post(handle)).with_state(Arc::new(receiver))
    }

    /// Sends a request, and hangs up while it is handled.
    async fn up(&self, app: &mut Router) {
        let serving = tokio::spawn(app.call(request()));
        self.is_called.notified().await;
        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());
        // Let the tasks run that the handler left behind; the runtime has one thread.
        for _ in 0..10 {
            yield_now().await;
        }
    }
}

/// An inbox that counts releases.
#[derive(Default)]
struct Counted {
    inbox: MemoryStore,
    releases: AtomicU32,
}

impl Inbox for Counted {
    async fn reserve(
        &self,
        key: &InboxKey,
        lease: Duration,
        now: OffsetDateTime,
    ) -> Result<Reservation, StoreError> {
        self.inbox.reserve(key, lease, now).await
    }

    async fn commit(
        &self,
        key: &InboxKey,
        lease: Lease,
        keep: Duration,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        self.inbox.commit(key, lease, keep, now).await
    }

    async fn release(&self, key: &InboxKey, lease: Lease) -> Result<bool, StoreError> {
        self.releases.fetch_add(1, Ordering::SeqCst);
        self.inbox.release(key, lease).await
    }

    async fn prune_handled(&self, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        self.inbox.prune_handled(limit, now).await
    }
}

fn request() -> axum::extract::Request {
    let samples = Samples::new(Contract::allison(), &secret()).unwrap();
    let id = "evt_1".parse().unwrap();
    samples.request("call.ended", &id, OffsetDateTime::now_utc()).unwrap().map(Body::from)
}

const MISFIT: &[u8] = br#"{"id":"evt_1","type":"call.ended","created_at":"2026-04-17T12:00:00.000Z","api_version":"v1","data":{"call_id":[7]}}"#;

//! A customer's endpoint on loopback: it uses real HTTP, answers from a script, and records its requests.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use hookwire::{AddressPolicy, EndpointUrl};
use http::{HeaderMap, StatusCode};
use tokio::sync::{Notify, watch};

/// An endpoint that answers from a list, and 200 when the list is used up.
#[derive(Clone)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<(HeaderMap, Bytes)>>,
    answers: Mutex<VecDeque<Answer>>,
    arrived: Notify,
    /// The answer when the list is used up; 0 means 200.
    status: AtomicU16,
    /// For each request, the number of answers before it arrived.
    answered_before: Mutex<Vec<usize>>,
    answered: AtomicUsize,
    /// The status that ends hanging requests, once it is set.
    let_go: watch::Sender<Option<u16>>,
}

pub(crate) enum Answer {
    Status(u16),
    With(u16, &'static str, &'static str),
    Hang,
}

impl Endpoint {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { answers: Mutex::new(answers.into_iter().collect()), ..Shared::default() });
        let app = Router::new().fallback(any(answer)).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> EndpointUrl {
        EndpointUrl::parse(&format!("http://{}/hook", self.address), &loopback()).unwrap()
    }

    pub(crate) fn requests(&self) -> MutexGuard<'_, Vec<(HeaderMap, Bytes)>> {
        self.shared.requests.lock().unwrap()
    }

    /// Sets the status that is answered when the list is used up.
    pub(crate) fn answers(&self, status: u16) {
        self.shared.status.store(status, Ordering::SeqCst);
    }

    /// For each request, the number of answers before it arrived.
    pub(crate) fn answered_before(&self) -> Vec<usize> {
        self.shared.answered_before.lock().unwrap().clone()
    }

    /// Answers all hanging requests, also future ones.
    pub(crate) fn let_go(&self, status: u16) {
        self.shared.let_go.send_replace(Some(status));
    }

    /// Waits until `count` requests have arrived.
    pub(crate) async fn arrived(&self, count: usize) {
        while self.requests().len() < count {
            self.shared.arrived.notified().await;
        }
    }
}

/// A policy that allows this machine's endpoints.
pub(crate) fn loopback() -> AddressPolicy {
    AddressPolicy::new().allow_loopback().allow_plain_http()
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    {
        let mut requests = shared.requests.lock().unwrap();
        requests.push((headers, body));
        shared.answered_before.lock().unwrap().push(shared.answered.load(Ordering::SeqCst));
    }
    shared.arrived.notify_one();
    let status = match shared.status.load(Ordering::SeqCst) {
        0 => 200,
        status => status,
    };
    let answer = shared.answers.lock().unwrap().pop_front().unwrap_or(Answer::Status(status));
    let answer = respond(&shared, answer).await;
    shared.answered.fetch_add(1, Ordering::SeqCst);
    answer
}

async fn respond(shared: &Shared, answer: Answer) -> Response {
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::With(status, header, value) => {
            (StatusCode::from_u16(status).unwrap(), [(header, value)], "told why").into_response()
        }
        Answer::Hang => {
            let mut let_go = shared.let_go.subscribe();
            let status = let_go.wait_for(Option::is_some).await.unwrap().unwrap();
            StatusCode::from_u16(status).unwrap().into_response()
        }
    }
}

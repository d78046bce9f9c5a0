//! A site with a receiver for every sender, served by axum on loopback, and also callable without a
//! connection.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::MethodRouter;
use bytes::Bytes;
use hookwire::receive::axum::handler;
use hookwire::receive::{Admission, Answer, Arrival, Receiver};
use hookwire::{DataError, Envelope, EventData, RawEvent, allison, allo, allo_v1, nectar_desk, recept_ai};
use http::{Method, Response};
use time::OffsetDateTime;
use tokio::net::TcpListener;

use crate::received::handled;

use super::request::Request;
use super::sender::Sender;
use super::watch::Watch;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answering<'a> = Pin<Box<dyn Future<Output = Response<Bytes>> + 'a>>;

pub(super) struct Site {
    pub(super) address: SocketAddr,
    pub(super) watch: Arc<Watch>,
    receivers: Vec<Arc<Receiver<Arc<Watch>>>>,
}

impl Site {
    pub(super) async fn open() -> Self {
        let watch = Arc::new(Watch::default());
        let receivers: Vec<_> =
            Sender::ALL.into_iter().map(|sender| Arc::new(sender.receiver(&watch))).collect();
        let mut app = Router::new();
        for (sender, receiver) in Sender::ALL.into_iter().zip(&receivers) {
            let route = typed_route(sender, receiver, &watch);
            app = app.route(sender.mount(), route.clone());
            app = app.route(&format!("{}/{{*rest}}", sender.mount()), route);
        }
        let allison = || Sender::Allison.receiver(&watch);
        for (path, receiver) in [
            ("/slow", allison().with_body_deadline(Duration::from_millis(20))),
            ("/small", allison().with_max_body(1_000)),
            ("/busy", allison().with_admission(Admission::new().with_max_concurrent(0))),
            ("/retired", allison().with_retirement()),
        ] {
            app = app.route(path, route::<allison::Event>(&Arc::new(receiver), &watch));
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, watch, receivers }
    }

    /// The receiver's answer to a request that no server has changed.
    pub(super) async fn answer(&self, sender: Sender, request: &Request) -> Response<Bytes> {
        let at = Sender::ALL.into_iter().position(|other| other == sender).unwrap();
        let receiver = &self.receivers[at];
        match sender {
            Sender::Allison => self.typed_answer::<allison::Event>(receiver, request).await,
            Sender::Allo => self.typed_answer::<allo::Event>(receiver, request).await,
            Sender::AlloV1 => self.typed_answer::<allo_v1::Event>(receiver, request).await,
            Sender::NectarDesk => self.typed_answer::<nectar_desk::Event>(receiver, request).await,
            Sender::ReceptAi => self.typed_answer::<recept_ai::Event>(receiver, request).await,
            _ => self.typed_answer::<RawEvent>(receiver, request).await,
        }
    }

    fn typed_answer<'a, T: EventData + 'a>(
        &'a self,
        receiver: &'a Receiver<Arc<Watch>>,
        request: &'a Request,
    ) -> Answering<'a> {
        Box::pin(async move {
            let headers = request.header_map();
            let path = request.path.split('?').next().unwrap();
            let method = Method::from_bytes(request.method.as_bytes()).unwrap();
            let length = request.body.len() as u64;
            let arrival = Arrival::new(&method, &headers).with_path(path).with_body_length(length);
            let handle = |event: Result<Envelope<T>, Box<DataError>>| self.watch.handle(event);
            let now = OffsetDateTime::now_utc();
            let answer = handled(receiver, arrival, &request.body, now, handle).await;
            answer.unwrap_or_else(|rejection| Answer::from(&rejection)).into_response()
        })
    }
}

fn typed_route(sender: Sender, receiver: &Arc<Receiver<Arc<Watch>>>, watch: &Arc<Watch>) -> MethodRouter {
    match sender {
        Sender::Allison => route::<allison::Event>(receiver, watch),
        Sender::Allo => route::<allo::Event>(receiver, watch),
        Sender::AlloV1 => route::<allo_v1::Event>(receiver, watch),
        Sender::NectarDesk => route::<nectar_desk::Event>(receiver, watch),
        Sender::ReceptAi => route::<recept_ai::Event>(receiver, watch),
        _ => route::<RawEvent>(receiver, watch),
    }
}

/// A handler that accepts valid data, and asks for a repeat otherwise.
fn route<T: EventData + Send + 'static>(
    receiver: &Arc<Receiver<Arc<Watch>>>,
    watch: &Arc<Watch>,
) -> MethodRouter {
    let watch = Arc::clone(watch);
    handler(Arc::clone(receiver), move |event: Result<Envelope<T>, Box<DataError>>| {
        let watch = Arc::clone(&watch);
        async move { watch.handle(event).await.map_err(Failure::from) }
    })
}

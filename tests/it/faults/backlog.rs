//! Endpoints with poisonous answers, and endpoints that recover with a long backlog.

use std::sync::Arc;
use std::time::Duration;

use hookwire::dispatch::Outbox;
use hookwire::store::implement::NewEvent;
use hookwire::{
    DeliveryId, EndpointUrl, ErrorClass, EventFilter, EventId, Outcome, Records, RetryPolicy, Secret,
    Store as _, Subscription, Subscriptions,
};
use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Opens, Site, accounted_for, copies, on_both_databases};
use crate::endpoint::{Answer, Endpoint, loopback};
use crate::engine::running::Running;
use crate::engine::{DAY, HOUR, MINUTE, NOON, call};

on_both_databases! {
    endpoints_that_answer_poison_hold_up_nobody_else
    a_backlog_is_drained_beside_others_when_its_endpoint_comes_back
    an_endpoint_that_hangs_has_a_part_of_a_quarter_and_lets_others_by
}

/// A malicious answer of an endpoint.
#[derive(Clone, Copy, Debug)]
enum Poison {
    Garbage,
    /// Status 500 with a body that never ends.
    Endless,
    /// A head that arrives byte by byte, slowly.
    Dripping,
    Nothing,
}

impl Poison {
    async fn serve(self) -> EndpointUrl {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(self.answer(connection));
            }
        });
        EndpointUrl::parse(&format!("http://{address}/hook"), &loopback()).unwrap()
    }

    async fn answer(self, mut connection: TcpStream) -> std::io::Result<()> {
        let _ = connection.read(&mut [0; 16 * 1024]).await?;
        match self {
            Self::Garbage => connection.write_all(&[0xff; 4096]).await?,
            Self::Endless => {
                connection.write_all(b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                let more = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
                loop {
                    connection.write_all(more.as_bytes()).await?;
                }
            }
            Self::Dripping => {
                for byte in b"HTTP/1.1 200 OK\r\nx-never-ends: ".iter().chain([b'x'].iter().cycle()) {
                    connection.write_all(&[*byte]).await?;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Self::Nothing => {}
        }
        Ok(())
    }

    fn outcome(self) -> Outcome {
        match self {
            Self::Garbage => Outcome::Failed(ErrorClass::Protocol),
            Self::Endless => Outcome::answered(StatusCode::INTERNAL_SERVER_ERROR),
            Self::Dripping => Outcome::Failed(ErrorClass::Timeout),
            Self::Nothing => Outcome::Failed(ErrorClass::Reset),
        }
    }
}

async fn endpoints_that_answer_poison_hold_up_nobody_else<S: Opens>(mut site: Site<S>) {
    let retry = RetryPolicy::delays([Duration::from_millis(10); 100]).unwrap();
    site.contract = site.contract.clone().with_timeout(Duration::from_secs(2)).with_retry(retry);
    let kinds = [Poison::Garbage, Poison::Endless, Poison::Dripping, Poison::Nothing];
    let mut poisoned = Vec::new();
    for kind in kinds {
        let subscription = Subscription::new(
            "org_1",
            &hookwire::Contract::allison(),
            kind.serve().await,
            EventFilter::all(),
        )
        .with_secret(Secret::from_random([7; 32]));
        site.plain().put(&subscription).await.unwrap();
        poisoned.push(subscription);
    }
    let endpoint = Endpoint::start([]).await;
    let healthy = site.subscribe(&endpoint).await;
    let mut accepted = Vec::new();
    let running = Running::start(site.dispatcher().with_poll_interval(Duration::from_millis(10)));
    let outbox = Outbox::new(Arc::clone(&site.store), site.contract.clone());
    for count in 1..=30 {
        accepted.push(outbox.emit("org_1", &call()).await.unwrap().id);
        endpoint.arrived(count).await;
    }
    for (subscription, kind) in poisoned.iter().zip(kinds) {
        let attempt = loop {
            let [first, ..] = &site.deliveries(subscription).await[..] else {
                panic!("{kind:?} has deliveries")
            };
            match site.plain().list_attempts(first.id).await.unwrap().pop() {
                Some(attempt) => break attempt,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        assert_eq!(attempt.outcome, kind.outcome(), "{kind:?}");
    }
    running.stop().await;
    accounted_for(&site, &healthy, &endpoint, &accepted).await;
    // The endpoints recover.
    let mut now = time::OffsetDateTime::now_utc();
    for mut subscription in poisoned {
        let endpoint = Endpoint::start([]).await;
        subscription.url = endpoint.url();
        site.plain().put(&subscription).await.unwrap();
        now += DAY;
        site.drain(&site.dispatcher(), now).await;
        accounted_for(&site, &subscription, &endpoint, &accepted).await;
    }
}

const BACKLOG: usize = 300;

/// An endpoint that was down for hours while events arrived.
async fn long_down<S: Opens>(site: &mut Site<S>) -> (Endpoint, Subscription, Vec<EventId>) {
    site.contract = site.contract.clone().with_retry(RetryPolicy::delays([MINUTE; 100]).unwrap());
    let endpoint = Endpoint::start([]).await;
    endpoint.answers(503);
    let subscription = site.subscribe(&endpoint).await;
    let accepted = insert(site, &subscription, BACKLOG).await;
    let dispatcher = site.dispatcher();
    for minutes in 0..10 {
        site.drain(&dispatcher, NOON + minutes * MINUTE).await;
        let planned = (minutes as usize + 1) * BACKLOG;
        assert_eq!(endpoint.requests().len(), planned, "each delivery is attempted when its contract plans");
    }
    (endpoint, subscription, accepted)
}

async fn insert<S: Opens>(site: &Site<S>, subscription: &Subscription, count: usize) -> Vec<EventId> {
    let events: Vec<_> = (0..count)
        .map(|_| {
            let envelope = call();
            let payload = site.contract.encode(&envelope).unwrap();
            let event = NewEvent::new(
                "org_1",
                &hookwire::Contract::allison(),
                envelope.id,
                "call.ended".parse().unwrap(),
                payload,
                NOON,
            );
            event.with_delivery(DeliveryId::generate(), subscription.id)
        })
        .collect();
    site.store.insert(&events).await.unwrap();
    events.into_iter().map(|event| event.id).collect()
}

async fn a_backlog_is_drained_beside_others_when_its_endpoint_comes_back<S: Opens>(mut site: Site<S>) {
    let (endpoint, subscription, accepted) = long_down(&mut site).await;
    endpoint.answers(200);
    let other = Endpoint::start([]).await;
    // A new dispatcher reads the failures from the store, as after a restart.
    let dispatcher = site.dispatcher();
    let now = NOON + 2 * HOUR;
    let mut widths = Vec::new();
    let mut came = endpoint.requests().len();
    while dispatcher.step(now).await.unwrap().next_due.is_some() {
        let all = endpoint.requests().len();
        widths.push(all - came);
        came = all;
        if widths.len() == 2 {
            // The next step sends another organization's event, while most of the backlog is pending.
            let subscription =
                Subscription::new("org_2", &hookwire::Contract::allison(), other.url(), EventFilter::all())
                    .with_secret(Secret::from_random([7; 32]));
            site.plain().put(&subscription).await.unwrap();
            let event = site.outbox_at(now).emit("org_2", &call()).await.unwrap().id;
            dispatcher.step(now).await.unwrap();
            accounted_for(&site, &subscription, &other, &[event]).await;
            came = endpoint.requests().len();
            widths.push(came - all);
        }
    }
    assert_eq!(widths[..2], [1, 64], "at full width once its limits are known");
    assert!(widths.iter().all(|width| *width <= 64));
    accounted_for(&site, &subscription, &endpoint, &accepted).await;
    assert_eq!(copies(&endpoint).len(), BACKLOG);
}

async fn an_endpoint_that_hangs_has_a_part_of_a_quarter_and_lets_others_by<S: Opens>(mut site: Site<S>) {
    let (endpoint, subscription, accepted) = long_down(&mut site).await;
    let down = endpoint.requests().len();
    // The endpoint recovers, and is slow.
    let back = Endpoint::start((0..BACKLOG).map(|_| Answer::Hang)).await;
    let mut moved = site.read(&subscription).await;
    moved.url = back.url();
    site.plain().put(&moved).await.unwrap();
    let other = Endpoint::start([]).await;
    let free = Subscription::new("org_2", &hookwire::Contract::allison(), other.url(), EventFilter::all())
        .with_secret(Secret::from_random([7; 32]));
    site.plain().put(&free).await.unwrap();
    let running = Running::start(site.dispatcher().with_poll_interval(Duration::from_millis(10)));
    back.arrived(1).await;
    let outbox = Outbox::new(Arc::clone(&site.store), site.contract.clone());
    let mut others = Vec::new();
    for count in 1..=20 {
        others.push(outbox.emit("org_2", &call()).await.unwrap().id);
        other.arrived(count).await;
    }
    let hanging = back.requests().len();
    assert!(hanging <= 48, "{hanging} of 256 attempts at a time");
    back.let_go(200);
    back.arrived(BACKLOG).await;
    running.stop().await;
    for (arrived, answered) in back.answered_before().into_iter().enumerate() {
        let in_flight = arrived + 1 - answered;
        let most = if answered == 0 { 48 } else { 64 };
        assert!(in_flight <= most, "{in_flight} in flight after {answered} answers");
    }
    assert_eq!(endpoint.requests().len(), down);
    assert_eq!(copies(&back).len(), BACKLOG);
    accounted_for(&site, &free, &other, &others).await;
    accounted_for(&site, &moved, &back, &accepted).await;
}

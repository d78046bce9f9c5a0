//! [`Crew`]: tasks that carry out attempts, one after another.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use http::HeaderMap;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::dispatch::attempt::{Ended, Sender};
use crate::dispatch::clock::{AttemptTime, SharedClock};
use crate::dispatch::flight::Leased;
use crate::store::Claimed;

/// Tasks that carry out attempts, each one at a time and then the next that it is given. A task takes more memory than all else that
/// an attempt needs, and is made once for many of them. Dropped, a crew ends its tasks.
pub(super) struct Crew {
    tasks: JoinSet<()>,
    office: Arc<Office>,
    /// Room for reports, while those that were gathered last are read.
    gathered: Vec<Report>,
}

/// What the tasks share.
struct Office {
    sender: Arc<Sender>,
    time: AttemptTime,
    desk: Mutex<Desk>,
    reported: Notify,
}

#[derive(Default)]
struct Desk {
    reports: Vec<Report>,
    /// Who has nothing to do. Who reported last is given the next attempt, while its memory is still in the cache.
    idle: Vec<Arc<Courier>>,
}

/// What was attempted, and how it ended; nothing when its task panicked.
type Report = (Leased, Option<Ended>);

/// Where one task is given its next attempt.
#[derive(Default)]
struct Courier {
    next: Mutex<Option<Claimed>>,
    given: Notify,
}

impl Crew {
    pub(super) fn new(sender: &Arc<Sender>, clock: &SharedClock) -> Self {
        let office = Office {
            sender: Arc::clone(sender),
            time: AttemptTime::Running(clock.clone()),
            desk: Mutex::default(),
            reported: Notify::new(),
        };
        Self { tasks: JoinSet::new(), office: Arc::new(office), gathered: Vec::new() }
    }

    /// Has a delivery attempted.
    pub(super) fn give(&mut self, claimed: Claimed) {
        let idle = self.office.desk().idle.pop();
        if let Some(courier) = idle {
            return courier.give(claimed);
        }
        let courier = Arc::new(Courier::default());
        courier.give(claimed);
        self.tasks.spawn(Arc::clone(&self.office).employ(courier));
    }

    /// Ready when an attempt has ended that was not gathered.
    pub(super) async fn reported(&self) {
        while self.office.desk().reports.is_empty() {
            self.office.reported.notified().await;
        }
    }

    /// What has ended by now.
    pub(super) fn gather(&mut self) -> impl Iterator<Item = Report> {
        // Of those that were sent home the set has the memory until then.
        while self.tasks.try_join_next().is_some() {}
        std::mem::swap(&mut self.gathered, &mut self.office.desk().reports);
        self.gathered.drain(..)
    }

    /// Gives up what is under way. Ready when nothing of it is any longer.
    pub(super) async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }
}

impl Office {
    async fn employ(self: Arc<Self>, courier: Arc<Courier>) {
        let mut headers = HeaderMap::new();
        loop {
            let claimed = courier.next().await;
            let leased = Leased::of(&claimed);
            // What is not caught within the attempt: a clock of the application's own may panic.
            let attempt =
                AssertUnwindSafe(self.sender.attempt(claimed, &self.time, &mut headers)).catch_unwind();
            let report = (leased, attempt.await.ok());
            let mut desk = self.desk();
            desk.reports.push(report);
            let is_kept = desk.idle.len() < MOST_IDLE;
            if is_kept {
                desk.idle.push(Arc::clone(&courier));
            }
            drop(desk);
            self.reported.notify_one();
            if !is_kept {
                return;
            }
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Nothing panics between two writes that belong together.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Courier {
    fn give(&self, claimed: Claimed) {
        *self.mailbox() = Some(claimed);
        self.given.notify_one();
    }

    async fn next(&self) -> Claimed {
        loop {
            let next = self.mailbox().take();
            match next {
                Some(claimed) => return claimed,
                None => self.given.notified().await,
            }
        }
    }

    fn mailbox(&self) -> MutexGuard<'_, Option<Claimed>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As many as a dispatcher has in flight unless told otherwise; what a burst needed beyond it is given back.
const MOST_IDLE: usize = 256;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use bytes::Bytes;
    use http::{Request, Response};
    use time::OffsetDateTime;

    use super::*;
    use crate::address::{AddressPolicy, EndpointUrl};
    use crate::contract::Contract;
    use crate::delivery::Next;
    use crate::dispatch::sealing::Keys;
    use crate::event::EventId;
    use crate::id::DeliveryId;
    use crate::signature::Secret;
    use crate::store::Lease;
    use crate::subscription::{EventFilter, Subscription};
    use crate::transport::{Exchange, HttpClient, Limits, TransportError};

    /// A client whose endpoint takes everything, and that keeps how much room each request's headers had.
    #[derive(Clone, Default)]
    struct Taking(Arc<Mutex<Vec<usize>>>);

    impl HttpClient for Taking {
        async fn send(&self, request: Request<Bytes>, _: &Limits) -> Result<Exchange, TransportError> {
            let (mut head, body) = request.into_parts();
            assert_eq!(head.headers.len(), 4, "none of an earlier answer");
            self.0.lock().unwrap().push(head.headers.capacity());
            head.headers.clear();
            head.headers.insert("x-answer", http::HeaderValue::from_static("1"));
            let mut response = Response::new(body);
            *response.headers_mut() = head.headers;
            Ok(Exchange::new(response))
        }
    }

    fn crew(client: &Taking, clock: impl Fn() -> OffsetDateTime + Send + Sync + 'static) -> Crew {
        let contract = Contract::allison();
        let limits = Limits::new(contract.timeout());
        let sender = Sender {
            client: Arc::new(client.clone()),
            contract: Arc::new(contract),
            limits,
            excerpt: 16,
            tokens: None,
            keys: Keys::default(),
        };
        Crew::new(&Arc::new(sender), &SharedClock::new(clock))
    }

    fn claimed() -> Claimed {
        let url = EndpointUrl::parse("https://hooks.example.com/", &AddressPolicy::new()).unwrap();
        let subscription =
            Subscription::new("org", url, EventFilter::all()).with_secret(Secret::from_bytes([7; 32]));
        Claimed::new(
            DeliveryId::generate(),
            Lease::new(1),
            EventId::generate(),
            "call.ended".parse().unwrap(),
            Bytes::from_static(b"{}"),
            Arc::new(subscription),
        )
    }

    #[tokio::test]
    async fn a_task_that_is_done_is_given_the_next_attempt_and_several_run_at_once() {
        let client = Taking::default();
        let mut crew = crew(&client, OffsetDateTime::now_utc);
        for _ in 0..3 {
            let claimed = claimed();
            let leased = Leased::of(&claimed);
            crew.give(claimed);
            crew.reported().await;
            let reports: Vec<_> = crew.gather().collect();
            let [(of, Some(ended))] = reports.as_slice() else { panic!("{} reports", reports.len()) };
            assert!(*of == leased && ended.settlement.next == Next::Delivered);
        }
        assert_eq!(crew.tasks.len(), 1);
        let room = client.0.lock().unwrap().clone();
        assert!(room[0] == room[1] && room[1] == room[2], "{room:?}");
        for _ in 0..3 {
            crew.give(claimed());
        }
        assert_eq!(crew.tasks.len(), 3);
        let mut ended = 0;
        while ended < 3 {
            crew.reported().await;
            ended += crew.gather().count();
        }
        crew.stop().await;
    }

    #[tokio::test]
    async fn an_attempt_that_panics_is_reported_and_its_task_goes_on() {
        let is_broken = Arc::new(AtomicBool::new(true));
        let told = Arc::clone(&is_broken);
        let clock = move || {
            assert!(!told.load(Ordering::SeqCst), "a fault of the clock's own");
            OffsetDateTime::now_utc()
        };
        let mut crew = crew(&Taking::default(), clock);
        crew.give(claimed());
        crew.reported().await;
        assert!(crew.gather().all(|(_, ended)| ended.is_none()));
        is_broken.store(false, Ordering::SeqCst);
        crew.give(claimed());
        crew.reported().await;
        assert!(crew.gather().all(|(_, ended)| ended.is_some()));
        assert_eq!(crew.tasks.len(), 1);
    }

    #[tokio::test]
    async fn tasks_beyond_those_that_are_kept_end_when_they_are_done() {
        let mut crew = crew(&Taking::default(), OffsetDateTime::now_utc);
        for _ in 0..MOST_IDLE + 10 {
            crew.give(claimed());
        }
        let mut ended = 0;
        while ended < MOST_IDLE + 10 {
            crew.reported().await;
            ended += crew.gather().count();
        }
        for _ in 0..MOST_IDLE {
            crew.give(claimed());
        }
        // One more is new, and those that ended are forgotten.
        crew.give(claimed());
        assert_eq!(crew.tasks.len(), MOST_IDLE + 1);
    }
}

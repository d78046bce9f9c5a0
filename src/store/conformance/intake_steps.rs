//! Steps of the rules of [`Intake`].

use std::time::Duration;

use bytes::Bytes;
use time::OffsetDateTime;

use super::steps::{LEASE, at};
use crate::delivery::{DeadReason, Next};
use crate::store::{
    GivenUpRequest, InboxKey, Intake, Lease, LeaseRequests, Leased, RequestAttempt, Settled, Settlement,
    Stored, StoredRequest,
};

pub(super) async fn store(intake: &impl Intake, name: &str, now: OffsetDateTime) {
    assert_eq!(store_one(intake, &request(name, now)).await, Stored::New, "{name}");
}

pub(super) async fn store_one(intake: &impl Intake, request: &StoredRequest) -> Stored {
    let results = intake.store_requests(std::slice::from_ref(request)).await.expect("intake answers");
    let [stored] = results[..] else { panic!("one request has {} results", results.len()) };
    stored
}

pub(super) async fn next_due(intake: &impl Intake, now: OffsetDateTime) -> Option<Duration> {
    intake.next_due(QUEUE, now).await.expect("intake answers")
}

/// Everything that is due.
pub(super) async fn lease(intake: &impl Intake, now: OffsetDateTime) -> Vec<Leased<StoredRequest>> {
    let leased =
        intake.lease_requests(&LeaseRequests::new(QUEUE, LEASE, 1_000, now)).await.expect("intake answers");
    assert!(leased.unreadable.is_empty() && leased.given_up.is_empty(), "{leased:?}");
    leased.requests
}

pub(super) async fn lease_one(intake: &impl Intake, now: OffsetDateTime) -> Leased<StoredRequest> {
    let mut leased = lease(intake, now).await;
    assert_eq!(leased.len(), 1, "one request is due");
    leased.remove(0)
}

pub(super) async fn settle(
    intake: &impl Intake,
    leased: &Leased<StoredRequest>,
    now: OffsetDateTime,
    end: End,
) -> Settled {
    let settlement = ended(leased.key.clone(), leased.lease, now, end);
    settle_all(intake, &[settlement]).await[0]
}

pub(super) type RequestEnd = Settlement<InboxKey, RequestAttempt>;

/// How a lease ends.
pub(super) enum End {
    Done,
    Retry(Duration, &'static str),
    GiveUp(&'static str),
    HandBack,
}

pub(super) fn ended(key: InboxKey, lease: Lease, now: OffsetDateTime, end: End) -> RequestEnd {
    match end {
        End::Done => Settlement::handled(key, lease, now),
        End::Retry(after, failure) => Settlement::failed(key, lease, failure, Next::retry(after), now),
        End::GiveUp(failure) => {
            Settlement::failed(key, lease, failure, Next::dead(DeadReason::Exhausted), now)
        }
        End::HandBack => Settlement::hand_back(key, lease, now),
    }
}

pub(super) async fn settle_all(intake: &impl Intake, settlements: &[RequestEnd]) -> Vec<Settled> {
    let results = intake.settle_requests(settlements, KEEP).await.expect("intake answers");
    assert_eq!(results.len(), settlements.len());
    results
}

pub(super) async fn extend(
    intake: &impl Intake,
    leases: &[(InboxKey, Lease)],
    now: OffsetDateTime,
) -> Vec<Settled> {
    intake.extend_requests(leases, LEASE, now).await.expect("intake answers")
}

pub(super) async fn give_up(intake: &impl Intake, leased: &Leased<StoredRequest>) {
    assert_eq!(settle(intake, leased, at(1), End::GiveUp("no")).await, Settled::Done);
}

pub(super) async fn given_up(intake: &impl Intake) -> Vec<GivenUpRequest> {
    intake.given_up(QUEUE, None, 1_000).await.expect("intake answers")
}

pub(super) async fn prune(intake: &impl Intake, now: OffsetDateTime, limit: u32) -> u64 {
    intake.prune_done(limit, now).await.expect("intake answers")
}

/// The ids of what was leased, in its order.
pub(super) fn names(leased: &[Leased<StoredRequest>]) -> Vec<&str> {
    leased.iter().map(|leased| leased.key.id.as_str()).collect()
}

pub(super) fn request(name: &str, now: OffsetDateTime) -> StoredRequest {
    StoredRequest::new(key(name), now, body(name)).with_queue(QUEUE).with_proof("signature", Some(at(-1)))
}

pub(super) fn body(name: &str) -> Bytes {
    Bytes::from(format!("{{\"name\":\"{name}\"}}"))
}

pub(super) fn key(name: &str) -> InboxKey {
    InboxKey::new("allison", id(name))
}

pub(super) fn id(text: &str) -> crate::event::EventId {
    text.parse().expect("id is right")
}

pub(super) const QUEUE: &str = "allison's";
pub(super) const KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);

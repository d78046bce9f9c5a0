//! What every [`Store`], [`Records`](crate::Records), [`Inbox`](crate::Inbox) and [`Intake`](crate::Intake) has to keep to, one test
//! per rule.
//!
//! [`store_conformance!`](crate::store_conformance), [`records_conformance!`](crate::records_conformance), [`inbox_conformance!`](crate::inbox_conformance),
//! [`transactional_inbox_conformance!`](crate::transactional_inbox_conformance) and
//! [`intake_conformance!`](crate::intake_conformance) write the tests, so that a store of your own is tested as ours are. A rule
//! that is broken panics and says what was found.
//!
//! Time is the tests' own: a store on the clock of its database has to be built to use its caller's.
#![cfg(feature = "testing")]

mod claims;
mod history;
mod inbox;
mod intake;
mod order;
mod records;
mod settlements;
mod subscriptions;
mod transactions;

pub use claims::*;
pub use history::*;
pub use inbox::*;
pub use intake::*;
pub use order::*;
pub use records::*;
pub use settlements::*;
pub use subscriptions::*;
pub use transactions::*;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::address::{AddressPolicy, EndpointUrl};
use crate::delivery::{Attempt, Delivery, DeliveryState, Next};
use crate::id::{DeliveryId, SubscriptionId};
use crate::outcome::Outcome;
use crate::signature::Secret;
use crate::store::{Claim, Claimed, Inserted, Look, NewEvent, Settled, Settlement, Share, Store};
use crate::subscription::{DisabledReason, EventFilter, Subscription, SubscriptionStatus};

/// Writes a test for every rule of [`Store`](crate::Store).
///
/// Takes the attribute of an asynchronous test, then a block that makes an empty store and what has to live as long
/// as it, such as a temporary directory (`()` when nothing has to).
///
/// ```
/// # struct MyStore;
/// mod my_store {
///     hookwire::store_conformance! {
///         #[tokio::test]
///         async { (MyStore::new().await, ()) }
///     }
/// }
/// ```
#[macro_export]
macro_rules! store_conformance {
    ($(#[$attribute:meta])* async $make:block) => {
        $crate::__conformance! {
            ($(#[$attribute])*) ($make)
            a_subscription_is_read_back_as_it_was_written
            a_subscription_written_again_is_replaced
            a_subscription_written_again_keeps_its_health
            a_subscription_is_replaced_only_in_place_of_what_was_seen
            a_replacement_that_enables_starts_healthy
            the_times_of_old_secrets_are_read_back
            ids_of_subscriptions_are_listed_in_order_and_in_pages
            an_organization_sees_its_own_subscriptions_oldest_first
            a_status_is_written_and_a_missing_subscription_is_told
            health_is_written_only_in_place_of_what_was_seen
            a_subscription_that_is_enabled_again_starts_healthy
            deliveries_of_a_disabled_subscription_wait_until_it_is_enabled
            events_for_a_disabled_subscription_wait_until_it_is_enabled
            a_settlement_disables_and_keeps_an_earlier_reason
            a_stale_settlement_disables_nothing
            a_pause_stops_claims_and_looks_until_it_ends
            a_pause_that_ends_later_stays
            a_stale_settlement_pauses_nothing
            a_deleted_subscription_cancels_what_is_pending_and_leaves_what_was_delivered
            a_claim_has_everything_needed_to_send
            an_event_without_deliveries_is_kept
            the_same_event_again_is_a_duplicate_and_changes_nothing
            another_payload_under_the_same_id_is_a_conflict_and_changes_nothing
            the_same_id_in_two_organizations_is_two_events
            inserts_are_told_in_the_order_given
            a_look_lists_each_ready_subscription_once
            a_look_tells_how_long_until_another_subscription_is_ready
            a_look_that_may_not_list_all_leaves_none_out_for_ever
            a_look_leaves_out_what_cannot_be_claimed
            the_earliest_due_are_claimed_first_and_no_more_than_the_limit
            each_subscription_gives_no_more_than_its_share
            a_share_begins_where_it_is_told_and_misses_nothing_from_there_on
            a_delivery_is_not_claimed_before_it_is_due
            a_claimed_delivery_is_nobody_elses_until_its_lease_ends
            two_claims_at_once_share_nothing
            every_claim_of_a_delivery_has_a_greater_lease
            one_event_to_many_is_claimed_for_each
            only_the_first_of_an_ordering_key_is_claimed
            the_next_of_an_ordering_key_is_due_at_once_when_the_first_ends
            an_ordering_key_waits_while_its_first_is_tried_again
            an_ordering_key_that_waits_is_not_ready
            an_ordering_key_is_one_subscriptions_own
            order_is_that_of_insertion_and_not_of_ids
            an_expunged_event_does_not_hold_up_its_ordering_key
            a_duplicate_takes_no_place_in_its_ordering_key
            a_delivered_delivery_is_finished_and_its_attempt_logged
            a_dead_letter_stays_readable_with_its_reason
            a_retry_is_due_after_its_delay
            the_first_attempt_is_remembered
            a_stale_settlement_changes_nothing
            a_settlement_sent_twice_is_written_once
            a_late_settlement_counts_while_nobody_else_claimed
            settlements_are_told_in_the_order_given
            a_delivery_handed_back_counts_no_attempt_and_is_due_at_once
            attempts_are_listed_first_to_last_as_they_were
            a_lease_that_is_extended_ends_later
            a_lease_that_is_not_the_last_is_not_extended
            a_pending_delivery_is_cancelled
            a_delivery_cancelled_during_its_attempt_settles_as_stale
            what_is_finished_or_missing_is_not_cancelled
            deliveries_are_listed_newest_first_in_pages
            a_dead_delivery_is_replayed_as_a_new_one_of_the_same_event
            a_delivered_delivery_is_replayed_and_stays_delivered
            a_replay_never_makes_a_second_pending_delivery
            dead_letters_are_replayed_in_batches_and_become_replayed
            what_was_made_since_a_time_and_not_delivered_is_replayed
            what_ends_after_a_replay_began_is_not_replayed_by_it
            a_replayed_delivery_takes_the_last_place_in_its_ordering_key
            nothing_is_replayed_without_a_payload_or_a_subscription
            an_expunged_event_is_never_sent_and_its_id_stays_taken
            an_expunged_event_cancels_its_attempt_under_way
            payloads_are_pruned_once_their_event_is_finished_for_long_enough
            attempts_are_pruned_and_their_delivery_stays
            deliveries_are_pruned_with_their_attempts_and_events
            an_event_that_nobody_wanted_is_pruned_by_its_age
            no_more_is_pruned_than_the_limit_and_calls_again_prune_the_rest
            what_is_kept_for_ever_is_not_pruned
            nothing_is_asked_and_nothing_happens
        }
    };
}

/// Writes a test for every rule of [`Records`](crate::Records); takes what [`store_conformance!`](crate::store_conformance) takes.
#[macro_export]
macro_rules! records_conformance {
    ($(#[$attribute:meta])* async $make:block) => {
        $crate::__conformance! {
            ($(#[$attribute])*) ($make)
            a_secret_of_another_subscription_is_refused
            additions_at_once_keep_the_limit_and_share_no_secret
            subscriptions_are_listed_oldest_first_in_pages
            deliveries_are_listed_as_asked_for
            a_narrowed_page_looks_through_no_more_than_it_may
            pages_of_deliveries_are_stable_under_inserts
            dead_letters_are_listed_until_they_are_seen_to
            events_are_listed_last_first_in_pages
            an_events_deliveries_are_listed_in_pages
            statistics_count_the_attempts_of_a_period
            what_is_anothers_is_answered_as_what_is_not_there
        }
    };
}

/// Writes a test for every rule of [`Inbox`](crate::Inbox); takes what
/// [`store_conformance!`](crate::store_conformance) takes.
#[macro_export]
macro_rules! inbox_conformance {
    ($(#[$attribute:meta])* async $make:block) => {
        $crate::__conformance! {
            ($(#[$attribute])*) ($make)
            an_event_is_reserved_by_one_at_a_time
            two_reservations_at_once_are_one
            a_committed_event_is_done
            a_released_event_is_new_again
            a_reservation_ends_with_its_lease
            a_late_commit_counts_while_nobody_else_reserved
            a_stale_lease_neither_commits_nor_releases
            a_commit_sent_twice_is_told_twice
            a_committed_event_is_not_released
            the_same_id_of_two_sources_is_two_events
            an_event_is_forgotten_after_its_time_and_no_earlier
            an_event_whose_time_is_over_is_reserved_like_a_new_one
            no_more_are_forgotten_than_the_limit
            a_reservation_in_progress_is_not_forgotten
            a_lease_from_before_an_event_was_forgotten_is_stale
            a_source_of_any_text_is_remembered_whole_or_refused
        }
    };
}

/// Writes a test for every rule of [`TransactionalInbox`](crate::store::TransactionalInbox).
///
/// Takes the attribute of an asynchronous test, then a block that makes an empty inbox, the
/// [`Application`](crate::store::conformance::Application) that it is tried with, and what has to live as long as they.
#[macro_export]
macro_rules! transactional_inbox_conformance {
    ($(#[$attribute:meta])* async $make:block) => {
        $crate::__conformance! {
            @transactional ($(#[$attribute])*) ($make)
            an_event_committed_in_a_transaction_is_done_when_that_commits
            an_event_committed_in_a_transaction_is_as_before_when_that_rolls_back
            a_stale_lease_is_told_in_a_transaction_and_changes_nothing
            events_committed_in_one_transaction_are_done_together
        }
    };
}

/// Writes a test for every rule of [`Intake`](crate::Intake); takes what
/// [`store_conformance!`](crate::store_conformance) takes.
#[macro_export]
macro_rules! intake_conformance {
    ($(#[$attribute:meta])* async $make:block) => {
        $crate::__conformance! {
            ($(#[$attribute])*) ($make)
            a_request_is_taken_as_it_was_kept
            a_copy_of_a_kept_request_is_a_duplicate_and_changes_nothing
            of_copies_that_are_kept_together_one_is_new
            the_same_id_of_two_sources_is_two_requests
            a_request_is_its_queues_own
            what_is_due_longest_is_taken_first
            the_next_due_time_is_told
            a_taken_request_is_nobody_elses_until_its_lease_ends
            a_request_is_taken_once_by_a_call_whatever_its_lease
            two_takes_at_once_share_nothing
            a_request_that_is_done_is_remembered_and_not_taken_again
            a_request_that_failed_is_taken_again_after_its_delay
            a_request_handed_back_is_due_at_once_and_counts_no_attempt
            a_stale_lease_settles_and_extends_nothing
            a_settlement_of_a_request_sent_twice_is_written_once
            a_late_settlement_of_a_request_counts_while_nobody_else_took_it
            settlements_of_requests_are_told_in_the_order_given
            a_lease_of_a_request_that_is_extended_ends_later
            a_request_that_is_given_up_stays_with_its_reason
            a_request_without_an_attempt_left_is_given_up_when_it_is_taken
            given_up_requests_are_listed_by_their_keys_in_pages
            a_given_up_request_that_is_put_back_is_new_again
            a_given_up_request_that_is_closed_is_done
            what_is_done_is_forgotten_after_its_time_and_no_earlier
            no_more_requests_are_forgotten_than_the_limit
            a_lease_from_before_a_request_was_forgotten_is_stale
            a_request_that_is_kept_again_begins_anew
            a_source_of_any_text_is_kept_whole_or_refused
            an_empty_batch_of_requests_is_answered
        }
    };
}

/// Not part of the public interface.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance {
    (@transactional $attributes:tt $make:tt $($rule:ident)*) => {
        $($crate::__conformance!(@in $attributes $make $rule);)*
    };
    (@in ($(#[$attribute:meta])*) ($make:block) $rule:ident) => {
        $(#[$attribute])*
        async fn $rule() {
            let (tested, mut application, _guard) = $make;
            $crate::store::conformance::$rule(&tested, &mut application).await;
        }
    };
    ($attributes:tt $make:tt $($rule:ident)*) => {
        $($crate::__conformance!(@ $attributes $make $rule);)*
    };
    (@ ($(#[$attribute:meta])*) ($make:block) $rule:ident) => {
        $(#[$attribute])*
        async fn $rule() {
            let (tested, _guard) = $make;
            $crate::store::conformance::$rule(&tested).await;
        }
    };
}

async fn subscribe(store: &impl Store, number: u32) -> Subscription {
    let subscription = a_subscription(number);
    store.put_subscription(&subscription).await.expect("subscription is written");
    subscription
}

async fn subscription(store: &impl Store, id: SubscriptionId) -> Subscription {
    store.subscription(id).await.expect("store answers").expect("subscription was written")
}

async fn disable(store: &impl Store, number: u32) {
    let status = SubscriptionStatus::disabled(DisabledReason::Manual, at(0));
    assert!(store.set_subscription_status(subscription_id(number), &status).await.expect("store answers"));
}

async fn enable(store: &impl Store, number: u32) {
    let enabled = SubscriptionStatus::Enabled;
    assert!(store.set_subscription_status(subscription_id(number), &enabled).await.expect("store answers"));
}

/// Event and delivery `number` for the subscription of this number, due at `second`.
async fn emit(store: &impl Store, number: u32, second: i64, subscription: u32) -> Inserted {
    let event = an_event(number, second).with_delivery(delivery_id(number), subscription_id(subscription));
    insert(store, event).await
}

async fn insert(store: &impl Store, event: NewEvent) -> Inserted {
    let told = store.insert(&[event]).await.expect("event is written");
    let [told] = told[..] else { panic!("one event was inserted and {} were told of", told.len()) };
    told
}

/// Everything that is due, of any subscription of the tests.
async fn claim(store: &impl Store, now: OffsetDateTime) -> Vec<Claimed> {
    let shares = (1..=MOST_SUBSCRIPTIONS).map(|number| Share::new(subscription_id(number), 1_000)).collect();
    claim_shares(store, now, shares).await
}

/// At most `limit` of what is due of subscription 1.
async fn claim_up_to(store: &impl Store, now: OffsetDateTime, limit: u32) -> Vec<Claimed> {
    claim_shares(store, now, vec![Share::new(subscription_id(1), limit)]).await
}

async fn claim_one(store: &impl Store, now: OffsetDateTime) -> Claimed {
    let mut claimed = claim_up_to(store, now, 1).await;
    assert_eq!(claimed.len(), 1, "one delivery is due");
    claimed.remove(0)
}

async fn claim_shares(store: &impl Store, now: OffsetDateTime, shares: Vec<Share>) -> Vec<Claimed> {
    let claims = store.claim(&Claim::new(now, LEASE, shares)).await.expect("store answers");
    assert!(claims.unreadable.is_empty(), "unreadable: {:?}", claims.unreadable);
    claims.deliveries
}

/// What a look with room for all sees, sorted.
async fn look(store: &impl Store, now: OffsetDateTime) -> Look {
    let mut look = store.look(now, 1_000).await.expect("store answers");
    look.ready.sort();
    look
}

/// A settlement that ends the claimed delivery's first attempt.
fn ended(claimed: &Claimed, now: OffsetDateTime, next: Next) -> Settlement {
    Settlement::new(claimed.delivery, claimed.lease, now, attempt(1, 0), next)
}

async fn settle(store: &impl Store, settlement: Settlement) -> Settled {
    let told = store.settle(&[settlement]).await.expect("settlement is written");
    let [told] = told[..] else { panic!("one settlement was made and {} were told of", told.len()) };
    told
}

async fn delivery(store: &impl Store, number: u32) -> Delivery {
    store.delivery(delivery_id(number)).await.expect("store answers").expect("delivery was written")
}

async fn state(store: &impl Store, number: u32) -> DeliveryState {
    delivery(store, number).await.state
}

/// The numbers of what was claimed, in its order.
fn numbers(claimed: &[Claimed]) -> Vec<u32> {
    claimed.iter().map(|claimed| number(claimed.delivery)).collect()
}

/// The number that [`delivery_id`] was given.
fn number(id: DeliveryId) -> u32 {
    (1..=MOST_DELIVERIES)
        .find(|number| delivery_id(*number) == id)
        .expect("delivery is one of the test's own")
}

/// Both at once, in one task: no runtime is asked for.
async fn both<A: Future, B: Future>(one: A, two: B) -> (A::Output, B::Output) {
    let (mut one, mut two) = (pin!(one), pin!(two));
    let (mut first, mut second) = (None, None);
    poll_fn(move |context| {
        if first.is_none() {
            first = match one.as_mut().poll(context) {
                Poll::Ready(output) => Some(output),
                Poll::Pending => None,
            };
        }
        if second.is_none() {
            second = match two.as_mut().poll(context) {
                Poll::Ready(output) => Some(output),
                Poll::Pending => None,
            };
        }
        match (first.take(), second.take()) {
            (Some(one), Some(two)) => Poll::Ready((one, two)),
            (one, two) => {
                (first, second) = (one, two);
                Poll::Pending
            }
        }
    })
    .await
}

fn assert_same(read: &Subscription, written: &Subscription) {
    assert_eq!(read.id, written.id);
    assert_eq!(read.organization, written.organization);
    assert_eq!(read.url, written.url);
    assert_eq!(read.filter, written.filter);
    assert!(read.secrets == written.secrets, "the secrets came back changed");
    assert!(read.options.to_storage() == written.options.to_storage(), "the options came back changed");
    assert_eq!(read.status, written.status);
    assert_eq!(read.created_at, written.created_at);
}

fn ids(claimed: &[Claimed]) -> Vec<DeliveryId> {
    claimed.iter().map(|claimed| claimed.delivery).collect()
}

fn a_subscription(number: u32) -> Subscription {
    Subscription::from_parts(
        subscription_id(number),
        START,
        ORGANIZATION,
        url(&number.to_string()),
        EventFilter::all(),
    )
    .with_secret(Secret::from_random([7; 32]))
}

/// Another payload for each number, due at `second`.
fn an_event(number: u32, second: i64) -> NewEvent {
    NewEvent::new(
        ORGANIZATION,
        format!("evt_{number}").parse().expect("id is right"),
        "call.ended".parse().expect("type is right"),
        at(second),
        Bytes::from(format!("{{\"number\":{number}}}")),
    )
}

/// Event and delivery `number` for the subscription of this number, due at `second`, in order with others of `key`.
async fn emit_keyed(store: &impl Store, number: u32, second: i64, subscription: u32, key: &str) {
    let event = an_event(number, second)
        .with_ordering_key(key.to_owned())
        .with_delivery(delivery_id(number), subscription_id(subscription));
    assert_eq!(insert(store, event).await, Inserted::New);
}

fn attempt(number: u32, second: i64) -> Attempt {
    let outcome = Outcome::answered(StatusCode::INTERNAL_SERVER_ERROR);
    Attempt::new(number, at(second), Duration::from_millis(12), outcome)
}

fn url(path: &str) -> EndpointUrl {
    EndpointUrl::parse(&format!("https://hooks.example.com/{path}"), &AddressPolicy::new())
        .expect("URL is right")
}

fn subscription_id(number: u32) -> SubscriptionId {
    SubscriptionId::from_parts(at(i64::from(number)), [1; 10])
}

fn delivery_id(number: u32) -> DeliveryId {
    DeliveryId::from_parts(at(i64::from(number)), [2; 10])
}

/// `second` seconds after the tests' beginning.
fn at(second: i64) -> OffsetDateTime {
    START + time::Duration::seconds(second)
}

const START: OffsetDateTime = datetime!(2026-04-17 19:12:03.482_001 UTC);
const ORGANIZATION: &str = "org_1";
const LEASE: Duration = Duration::from_secs(60);
const MOST_SUBSCRIPTIONS: u32 = 50;
const MOST_DELIVERIES: u32 = 100;

//! `Arc<S>` and `&S` have the traits of this module where `S` has them.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::delivery::{Attempt, Delivery};
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::{
    Added, Claim, Claims, ContractBacklog, Cursor, DeliveryQuery, EventRecord, GivenUpRequest, HealthWritten,
    Inbox, InboxKey, Inserted, Intake, Lease, LeaseRequests, LeasedRequests, MadePayload, MissingPayload,
    NewEvent, Page, Period, Poll, Polled, Pruning, Records, Replay, Replayed, RequestAttempt, Reservation,
    Retention, Scanned, SecretDigest, Settled, Settlement, Statistics, Store, StoreError, StoreId, Stored,
    StoredRequest, Subscribed, Subscriptions, TransactionalInbox, TransactionalStore, WaitingRequests,
};
use crate::subscription::{DisabledReason, Health, Subscription, SubscriptionStatus};

/// Forwards every method of every trait but [`Notifications`](crate::store::Notifications) through a pointer.
macro_rules! forward {
    ($pointer:ty) => {
        // A method without a body here would recurse or fall behind its trait.
        #[deny(clippy::missing_trait_methods)]
        impl<S: Store + ?Sized> Store for $pointer {
            fn id(&self) -> Option<StoreId> {
                S::id(self)
            }

            async fn subscriptions(&self, organization: &str) -> Result<Subscribed, StoreError> {
                S::subscriptions(self, organization).await
            }

            async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
                S::subscription(self, id).await
            }

            async fn insert(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
                S::insert(self, events).await
            }

            async fn look(&self, poll: &Poll) -> Result<Polled, StoreError> {
                S::look(self, poll).await
            }

            async fn claim(&self, claim: &Claim) -> Result<Claims, StoreError> {
                S::claim(self, claim).await
            }

            async fn extend(
                &self,
                leases: &[(DeliveryId, Lease)],
                lease: Duration,
                now: OffsetDateTime,
            ) -> Result<Vec<Settled>, StoreError> {
                S::extend(self, leases, lease, now).await
            }

            async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
                S::settle(self, settlements).await
            }

            async fn put_health(
                &self,
                id: SubscriptionId,
                seen: &Health,
                health: &Health,
                disable: Option<DisabledReason>,
                now: OffsetDateTime,
            ) -> Result<HealthWritten, StoreError> {
                S::put_health(self, id, seen, health, disable, now).await
            }

            async fn expire(
                &self,
                age: Duration,
                limit: u32,
                now: OffsetDateTime,
            ) -> Result<u64, StoreError> {
                S::expire(self, age, limit, now).await
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<S: TransactionalStore + ?Sized> TransactionalStore for $pointer {
            type Connection = S::Connection;

            async fn subscriptions_in(
                &self,
                connection: &mut S::Connection,
                organization: &str,
            ) -> Result<Subscribed, StoreError> {
                S::subscriptions_in(self, connection, organization).await
            }

            async fn insert_in(
                &self,
                connection: &mut S::Connection,
                events: &[NewEvent],
            ) -> Result<Vec<Inserted>, StoreError> {
                S::insert_in(self, connection, events).await
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<S: Subscriptions + ?Sized> Subscriptions for $pointer {
            async fn put(&self, subscription: &Subscription) -> Result<(), StoreError> {
                S::put(self, subscription).await
            }

            async fn replace(
                &self,
                seen: &Subscription,
                subscription: &Subscription,
            ) -> Result<bool, StoreError> {
                S::replace(self, seen, subscription).await
            }

            async fn add(
                &self,
                subscription: &Subscription,
                secret: Option<&SecretDigest>,
                limit: u32,
            ) -> Result<Added, StoreError> {
                S::add(self, subscription, secret, limit).await
            }

            async fn hold_secret(
                &self,
                id: SubscriptionId,
                secret: &SecretDigest,
            ) -> Result<bool, StoreError> {
                S::hold_secret(self, id, secret).await
            }

            async fn set_status(
                &self,
                id: SubscriptionId,
                status: &SubscriptionStatus,
            ) -> Result<bool, StoreError> {
                S::set_status(self, id, status).await
            }

            async fn delete(&self, id: SubscriptionId, now: OffsetDateTime) -> Result<bool, StoreError> {
                S::delete(self, id, now).await
            }

            async fn list(
                &self,
                organization: &str,
                after: Option<Cursor>,
                limit: u32,
            ) -> Result<Page<Scanned>, StoreError> {
                S::list(self, organization, after, limit).await
            }

            async fn scan(
                &self,
                after: Option<SubscriptionId>,
                limit: u32,
            ) -> Result<Vec<Scanned>, StoreError> {
                S::scan(self, after, limit).await
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<S: Records + ?Sized> Records for $pointer {
            async fn find_delivery(
                &self,
                organization: &str,
                id: DeliveryId,
            ) -> Result<Option<Delivery>, StoreError> {
                S::find_delivery(self, organization, id).await
            }

            async fn list_deliveries(
                &self,
                organization: &str,
                query: &DeliveryQuery,
                after: Option<Cursor>,
                limit: u32,
            ) -> Result<Page<Delivery>, StoreError> {
                S::list_deliveries(self, organization, query, after, limit).await
            }

            async fn list_dead_letters(
                &self,
                organization: &str,
                after: Option<Cursor>,
                limit: u32,
            ) -> Result<Page<Delivery>, StoreError> {
                S::list_dead_letters(self, organization, after, limit).await
            }

            async fn discard(
                &self,
                organization: &str,
                id: DeliveryId,
                note: &str,
            ) -> Result<bool, StoreError> {
                S::discard(self, organization, id, note).await
            }

            async fn add_test(
                &self,
                event: &NewEvent,
                attempt: &Attempt,
                failed: Option<&str>,
            ) -> Result<(), StoreError> {
                S::add_test(self, event, attempt, failed).await
            }

            async fn find_event(
                &self,
                organization: &str,
                contract: &str,
                id: &EventId,
            ) -> Result<Option<EventRecord>, StoreError> {
                S::find_event(self, organization, contract, id).await
            }

            async fn list_events(
                &self,
                organization: &str,
                after: Option<Cursor>,
                limit: u32,
            ) -> Result<Page<EventRecord>, StoreError> {
                S::list_events(self, organization, after, limit).await
            }

            async fn list_event_deliveries(
                &self,
                organization: &str,
                contract: &str,
                event: &EventId,
                after: Option<Cursor>,
                limit: u32,
            ) -> Result<Page<Delivery>, StoreError> {
                S::list_event_deliveries(self, organization, contract, event, after, limit).await
            }

            async fn statistics(
                &self,
                organization: &str,
                subscription: SubscriptionId,
                period: &Period,
            ) -> Result<Option<Statistics>, StoreError> {
                S::statistics(self, organization, subscription, period).await
            }

            async fn backlog_by_contract(
                &self,
                now: OffsetDateTime,
            ) -> Result<Vec<ContractBacklog>, StoreError> {
                S::backlog_by_contract(self, now).await
            }

            async fn list_attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
                S::list_attempts(self, delivery).await
            }

            async fn cancel(&self, id: DeliveryId, now: OffsetDateTime) -> Result<bool, StoreError> {
                S::cancel(self, id, now).await
            }

            async fn replay(
                &self,
                replay: &Replay,
                limit: u32,
                now: OffsetDateTime,
            ) -> Result<Replayed, StoreError> {
                S::replay(self, replay, limit, now).await
            }

            async fn missing_payloads(
                &self,
                replay: &Replay,
                limit: u32,
                now: OffsetDateTime,
            ) -> Result<Vec<MissingPayload>, StoreError> {
                S::missing_payloads(self, replay, limit, now).await
            }

            async fn add_payloads(
                &self,
                organization: &str,
                payloads: &[MadePayload],
            ) -> Result<(), StoreError> {
                S::add_payloads(self, organization, payloads).await
            }

            async fn expunge(
                &self,
                organization: &str,
                contract: &str,
                event: &EventId,
                now: OffsetDateTime,
            ) -> Result<bool, StoreError> {
                S::expunge(self, organization, contract, event, now).await
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<S: Pruning + ?Sized> Pruning for $pointer {
            async fn prune(
                &self,
                retention: &Retention,
                limit: u32,
                now: OffsetDateTime,
            ) -> Result<u64, StoreError> {
                S::prune(self, retention, limit, now).await
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<S: Inbox + ?Sized> Inbox for $pointer {
            async fn reserve(
                &self,
                key: &InboxKey,
                lease: Duration,
                now: OffsetDateTime,
            ) -> Result<Reservation, StoreError> {
                S::reserve(self, key, lease, now).await
            }

            async fn commit(
                &self,
                key: &InboxKey,
                lease: Lease,
                keep: Duration,
                now: OffsetDateTime,
            ) -> Result<bool, StoreError> {
                S::commit(self, key, lease, keep, now).await
            }

            async fn release(&self, key: &InboxKey, lease: Lease) -> Result<bool, StoreError> {
                S::release(self, key, lease).await
            }

            async fn prune_handled(&self, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
                S::prune_handled(self, limit, now).await
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<S: Intake + ?Sized> Intake for $pointer {
            async fn store_requests(&self, requests: &[StoredRequest]) -> Result<Vec<Stored>, StoreError> {
                S::store_requests(self, requests).await
            }

            async fn next_due(
                &self,
                queue: &str,
                now: OffsetDateTime,
            ) -> Result<Option<Duration>, StoreError> {
                S::next_due(self, queue, now).await
            }

            async fn waiting(
                &self,
                queue: &str,
                limit: u32,
                now: OffsetDateTime,
            ) -> Result<WaitingRequests, StoreError> {
                S::waiting(self, queue, limit, now).await
            }

            async fn lease_requests(&self, take: &LeaseRequests) -> Result<LeasedRequests, StoreError> {
                S::lease_requests(self, take).await
            }

            async fn extend_requests(
                &self,
                leases: &[(InboxKey, Lease)],
                lease: Duration,
                now: OffsetDateTime,
            ) -> Result<Vec<Settled>, StoreError> {
                S::extend_requests(self, leases, lease, now).await
            }

            async fn settle_requests(
                &self,
                settlements: &[Settlement<InboxKey, RequestAttempt>],
                keep: Duration,
            ) -> Result<Vec<Settled>, StoreError> {
                S::settle_requests(self, settlements, keep).await
            }

            async fn given_up(
                &self,
                queue: &str,
                after: Option<&InboxKey>,
                limit: u32,
            ) -> Result<Vec<GivenUpRequest>, StoreError> {
                S::given_up(self, queue, after, limit).await
            }

            async fn put_back(&self, key: &InboxKey, now: OffsetDateTime) -> Result<bool, StoreError> {
                S::put_back(self, key, now).await
            }

            async fn close_given_up(
                &self,
                key: &InboxKey,
                keep: Duration,
                now: OffsetDateTime,
            ) -> Result<bool, StoreError> {
                S::close_given_up(self, key, keep, now).await
            }

            async fn expire_given_up(
                &self,
                queue: &str,
                age: Duration,
                keep: Duration,
                limit: u32,
                now: OffsetDateTime,
            ) -> Result<Vec<InboxKey>, StoreError> {
                S::expire_given_up(self, queue, age, keep, limit, now).await
            }

            async fn prune_done(&self, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
                S::prune_done(self, limit, now).await
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<S: TransactionalInbox + ?Sized> TransactionalInbox for $pointer {
            type Connection = S::Connection;

            async fn commit_in(
                &self,
                connection: &mut S::Connection,
                key: &InboxKey,
                lease: Lease,
                keep: Duration,
                now: OffsetDateTime,
            ) -> Result<bool, StoreError> {
                S::commit_in(self, connection, key, lease, keep, now).await
            }
        }
    };
}

forward!(Arc<S>);
forward!(&S);

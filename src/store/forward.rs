//! `Arc<S>` and `&S` are stores, inboxes and intakes where `S` is one.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::delivery::{Attempt, Delivery};
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::{
    Added, Claim, Claims, Cursor, DeliveryQuery, EventRecord, GivenUpRequest, Inbox, InboxKey, Inserted,
    Intake, Kept, KeptRequest, Lease, Look, NewEvent, Page, Period, Records, Replay, Replayed,
    RequestSettlement, Reservation, Retention, SecretDigest, Settled, Settlement, Statistics, Store,
    StoreError, Take, Taken, TransactionalInbox, TransactionalStore,
};
use crate::subscription::{Health, Subscription, SubscriptionStatus};

/// Forwards every method of [`Store`], [`Inbox`] and [`Intake`] through a pointer.
macro_rules! forward {
    ($pointer:ty) => {
        // A method without a body here would recurse or fall behind the trait.
        #[deny(clippy::missing_trait_methods)]
        impl<S: Store + ?Sized> Store for $pointer {
            async fn put_subscription(&self, subscription: &Subscription) -> Result<(), StoreError> {
                S::put_subscription(self, subscription).await
            }

            async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
                S::subscription(self, id).await
            }

            async fn subscriptions(&self, organization: &str) -> Result<Vec<Subscription>, StoreError> {
                S::subscriptions(self, organization).await
            }

            async fn subscription_ids(
                &self,
                after: Option<SubscriptionId>,
                limit: u32,
            ) -> Result<Vec<SubscriptionId>, StoreError> {
                S::subscription_ids(self, after, limit).await
            }

            async fn replace_subscription(
                &self,
                seen: &Subscription,
                subscription: &Subscription,
            ) -> Result<bool, StoreError> {
                S::replace_subscription(self, seen, subscription).await
            }

            async fn set_subscription_status(
                &self,
                id: SubscriptionId,
                status: &SubscriptionStatus,
            ) -> Result<bool, StoreError> {
                S::set_subscription_status(self, id, status).await
            }

            async fn delete_subscription(
                &self,
                id: SubscriptionId,
                now: OffsetDateTime,
            ) -> Result<bool, StoreError> {
                S::delete_subscription(self, id, now).await
            }

            async fn insert(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
                S::insert(self, events).await
            }

            async fn claim(&self, claim: &Claim) -> Result<Claims, StoreError> {
                S::claim(self, claim).await
            }

            async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
                S::settle(self, settlements).await
            }

            async fn look(&self, now: OffsetDateTime, limit: u32) -> Result<Look, StoreError> {
                S::look(self, now, limit).await
            }

            async fn extend(
                &self,
                leases: &[(DeliveryId, Lease)],
                now: OffsetDateTime,
                lease: Duration,
            ) -> Result<Vec<Settled>, StoreError> {
                S::extend(self, leases, now, lease).await
            }

            async fn put_health(
                &self,
                id: SubscriptionId,
                seen: &Health,
                health: &Health,
            ) -> Result<bool, StoreError> {
                S::put_health(self, id, seen, health).await
            }

            async fn cancel(&self, id: DeliveryId, now: OffsetDateTime) -> Result<bool, StoreError> {
                S::cancel(self, id, now).await
            }

            async fn replay(
                &self,
                replay: &Replay,
                now: OffsetDateTime,
                limit: u32,
            ) -> Result<Replayed, StoreError> {
                S::replay(self, replay, now, limit).await
            }

            async fn expunge(
                &self,
                organization: &str,
                event: &EventId,
                now: OffsetDateTime,
            ) -> Result<bool, StoreError> {
                S::expunge(self, organization, event, now).await
            }

            async fn prune(
                &self,
                retention: &Retention,
                now: OffsetDateTime,
                limit: u32,
            ) -> Result<u64, StoreError> {
                S::prune(self, retention, now, limit).await
            }

            async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
                S::delivery(self, id).await
            }

            async fn deliveries(
                &self,
                subscription: SubscriptionId,
                after: Option<DeliveryId>,
                limit: u32,
            ) -> Result<Vec<Delivery>, StoreError> {
                S::deliveries(self, subscription, after, limit).await
            }

            async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
                S::attempts(self, delivery).await
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<S: TransactionalStore + ?Sized> TransactionalStore for $pointer {
            type Connection = S::Connection;

            async fn subscriptions_in(
                &self,
                connection: &mut S::Connection,
                organization: &str,
            ) -> Result<Vec<Subscription>, StoreError> {
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
        impl<S: Records + ?Sized> Records for $pointer {
            async fn list_subscriptions(
                &self,
                organization: &str,
                after: Option<Cursor>,
                limit: u32,
            ) -> Result<Page<Subscription>, StoreError> {
                S::list_subscriptions(self, organization, after, limit).await
            }

            async fn add_subscription(
                &self,
                subscription: &Subscription,
                secret: Option<&SecretDigest>,
                limit: u32,
            ) -> Result<Added, StoreError> {
                S::add_subscription(self, subscription, secret, limit).await
            }

            async fn hold_secret(
                &self,
                id: SubscriptionId,
                secret: &SecretDigest,
            ) -> Result<bool, StoreError> {
                S::hold_secret(self, id, secret).await
            }

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
                id: &EventId,
            ) -> Result<Option<EventRecord>, StoreError> {
                S::find_event(self, organization, id).await
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
                event: &EventId,
                after: Option<Cursor>,
                limit: u32,
            ) -> Result<Page<Delivery>, StoreError> {
                S::list_event_deliveries(self, organization, event, after, limit).await
            }

            async fn statistics(
                &self,
                organization: &str,
                subscription: SubscriptionId,
                period: &Period,
            ) -> Result<Option<Statistics>, StoreError> {
                S::statistics(self, organization, subscription, period).await
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<S: Inbox + ?Sized> Inbox for $pointer {
            async fn reserve(
                &self,
                key: &InboxKey,
                now: OffsetDateTime,
                lease: Duration,
            ) -> Result<Reservation, StoreError> {
                S::reserve(self, key, now, lease).await
            }

            async fn commit(
                &self,
                key: &InboxKey,
                lease: Lease,
                now: OffsetDateTime,
                keep: Duration,
            ) -> Result<bool, StoreError> {
                S::commit(self, key, lease, now, keep).await
            }

            async fn release(&self, key: &InboxKey, lease: Lease) -> Result<bool, StoreError> {
                S::release(self, key, lease).await
            }

            async fn prune(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
                S::prune(self, now, limit).await
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<S: Intake + ?Sized> Intake for $pointer {
            async fn keep(&self, requests: &[KeptRequest]) -> Result<Vec<Kept>, StoreError> {
                S::keep(self, requests).await
            }

            async fn next_due(
                &self,
                queue: &str,
                now: OffsetDateTime,
            ) -> Result<Option<Duration>, StoreError> {
                S::next_due(self, queue, now).await
            }

            async fn take(&self, take: &Take) -> Result<Taken, StoreError> {
                S::take(self, take).await
            }

            async fn extend_taken(
                &self,
                leases: &[(InboxKey, Lease)],
                now: OffsetDateTime,
                lease: Duration,
            ) -> Result<Vec<Settled>, StoreError> {
                S::extend_taken(self, leases, now, lease).await
            }

            async fn settle_taken(
                &self,
                settlements: &[RequestSettlement],
            ) -> Result<Vec<Settled>, StoreError> {
                S::settle_taken(self, settlements).await
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
                now: OffsetDateTime,
                keep: Duration,
            ) -> Result<bool, StoreError> {
                S::close_given_up(self, key, now, keep).await
            }

            async fn prune_kept(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
                S::prune_kept(self, now, limit).await
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
                now: OffsetDateTime,
                keep: Duration,
            ) -> Result<bool, StoreError> {
                S::commit_in(self, connection, key, lease, now, keep).await
            }
        }
    };
}

forward!(Arc<S>);
forward!(&S);

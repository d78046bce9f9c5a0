//! [`Fixture`]: the calls that the suite of [`Store`] needs beside those of the store; [`Managed`]: a store
//! with all of them.

use std::future::Future;

use time::OffsetDateTime;

use super::rows::{ORGANIZATION, OTHER_ORGANIZATION};
use crate::delivery::DeliveryState;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::{Records, Store, Subscriptions};
use crate::subscription::Subscription;

/// The calls that the suite of [`Store`] needs beside those of the store: writing subscriptions, and reading
/// the state of a delivery. A call that fails panics.
///
/// A store that has [`Subscriptions`] and [`Records`] too has this trait already.
pub trait Fixture: Store {
    /// Writes a subscription, enabled or disabled, in place of the one with its id if there is one. The
    /// health and a pause of that one stay.
    fn put_subscription(&self, subscription: &Subscription) -> impl Future<Output = ()> + Send;

    /// Deletes a subscription, and cancels its pending deliveries.
    fn delete_subscription(&self, id: SubscriptionId, now: OffsetDateTime)
    -> impl Future<Output = ()> + Send;

    /// Reads the state of a delivery; `None` where there is none of this id.
    fn delivery_state(&self, id: DeliveryId) -> impl Future<Output = Option<DeliveryState>> + Send;
}

impl<S: Store + Subscriptions + Records> Fixture for S {
    async fn put_subscription(&self, subscription: &Subscription) {
        self.put(subscription).await.expect("subscription is written");
    }

    async fn delete_subscription(&self, id: SubscriptionId, now: OffsetDateTime) {
        assert!(self.delete(id, now).await.expect("store answers"), "there is no subscription {id}");
    }

    async fn delivery_state(&self, id: DeliveryId) -> Option<DeliveryState> {
        for organization in [ORGANIZATION, OTHER_ORGANIZATION] {
            let found = self.find_delivery(organization, id).await.expect("store answers");
            if let Some(delivery) = found {
                return Some(delivery.state);
            }
        }
        None
    }
}

/// A store that has the traits of management: the suites of [`Subscriptions`] and [`Records`] take one.
pub trait Managed: Store + Subscriptions + Records {}

impl<S: Store + Subscriptions + Records> Managed for S {}

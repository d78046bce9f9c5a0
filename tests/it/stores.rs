//! [`Tested`]: a store that the tests can reach behind; reading a subscription's deliveries.

use std::time::Duration;

use bytes::Bytes;
use hookwire::store::DeliveryQuery;
use hookwire::store::implement::{Claim, NewEvent, Poll, ReadyDetails, Share};
use hookwire::subscription::Health;
use hookwire::{
    Contract, Delivery, DeliveryId, EndpointUrl, EventFilter, Pruning, Records, Secret, Store, Subscription,
    SubscriptionId, Subscriptions,
};
use time::OffsetDateTime;

/// Writes a module for each suite, for the stores that the path `$fresh` makes.
#[cfg(feature = "testing")]
macro_rules! every_suite {
    ($fresh:path) => {
        mod store {
            hookwire::store::conformance::store_conformance! {
                #[tokio::test]
                async { $fresh().await }
            }
        }

        mod subscriptions {
            hookwire::store::conformance::subscriptions_conformance! {
                #[tokio::test]
                async { $fresh().await }
            }
        }

        mod records {
            hookwire::store::conformance::records_conformance! {
                #[tokio::test]
                async { $fresh().await }
            }
        }

        mod pruning {
            hookwire::store::conformance::pruning_conformance! {
                #[tokio::test]
                async { $fresh().await }
            }
        }

        mod inbox {
            hookwire::store::conformance::inbox_conformance! {
                #[tokio::test]
                async { $fresh().await }
            }
        }

        mod intake {
            hookwire::store::conformance::intake_conformance! {
                #[tokio::test]
                async { $fresh().await }
            }
        }

        #[tokio::test]
        async fn looks_give_details() {
            let (store, _guard) = $fresh().await;
            crate::stores::looks_give_details(&store).await;
        }
    };
}
#[cfg(feature = "testing")]
pub(crate) use every_suite;

/// Writes a module for each suite of a store in a database that an application writes to as well. The path
/// `$fresh` makes the store, the application and their guard.
#[cfg(feature = "testing")]
macro_rules! every_transactional_suite {
    ($fresh:path) => {
        mod transactional_store {
            hookwire::store::conformance::transactional_store_conformance! {
                #[tokio::test]
                async { $fresh().await }
            }
        }

        mod transactional_inbox {
            hookwire::store::conformance::transactional_inbox_conformance! {
                #[tokio::test]
                async { $fresh().await }
            }
        }
    };
}
#[cfg(feature = "testing")]
pub(crate) use every_transactional_suite;

/// A store that has every trait.
pub(crate) trait Whole: Store + Subscriptions + Records + Pruning + 'static {}

impl<S: Store + Subscriptions + Records + Pruning + 'static> Whole for S {}

/// A store that has every trait, or one in front of such a store.
pub(crate) trait Tested: Store + 'static {
    /// The store with every trait.
    type Plain: Whole;

    fn plain(&self) -> &Self::Plain;
}

macro_rules! tested {
    ($store:ty) => {
        impl Tested for $store {
            type Plain = Self;

            fn plain(&self) -> &Self {
                self
            }
        }
    };
}

#[cfg(feature = "memory")]
tested!(hookwire::MemoryStore);
#[cfg(feature = "postgres")]
tested!(hookwire::store::postgres::PostgresStore);
#[cfg(feature = "sqlite")]
tested!(hookwire::store::sqlite::SqliteStore);

/// Checks that a look tells the organization of a ready subscription and that its endpoint fails, which the
/// suite leaves to the store.
pub(crate) async fn looks_give_details(store: &impl Whole) {
    let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let contract = Contract::allison();
    let mut given = Vec::new();
    for (organization, health) in
        [("org_1", Health::default()), ("org_2", Health::default().failed(now, None))]
    {
        let url = EndpointUrl::from_storage("https://hooks.example.com/in").unwrap();
        let mut subscription = Subscription::new(organization, &contract, url, EventFilter::all())
            .with_secret(Secret::generate());
        subscription.health = health;
        store.put(&subscription).await.unwrap();
        let (id, event_type) = ("evt_1".parse().unwrap(), "call.ended".parse().unwrap());
        let event = NewEvent::new(organization, &contract, id, event_type, Bytes::from_static(b"{}"), now)
            .with_delivery(DeliveryId::generate(), subscription.id);
        store.insert(&[event]).await.unwrap();
        let is_failing = organization == "org_2";
        given.push(ReadyDetails::new(subscription.id, organization.to_owned(), is_failing));
    }
    let poll = Poll::new(vec![contract.name().to_owned()], 10, now);
    let mut details = store.look(&poll).await.unwrap().details;
    details.sort_by(|one, two| one.organization.cmp(&two.organization));
    assert_eq!(details, given);
}

/// A subscription's deliveries, newest first.
pub(crate) async fn deliveries(
    store: &impl Records,
    organization: &str,
    subscription: SubscriptionId,
) -> Vec<Delivery> {
    let query = DeliveryQuery::new(subscription);
    store.list_deliveries(organization, &query, None, 1_000_000).await.unwrap().items
}

/// A look at the deliveries of Allison's contract.
pub(crate) fn poll(limit: u32, now: OffsetDateTime) -> Poll {
    Poll::new(vec!["allison".to_owned()], limit, now)
}

/// A claim of deliveries of Allison's contract.
pub(crate) fn claim_of(lease: Duration, shares: Vec<Share>, now: OffsetDateTime) -> Claim {
    Claim::new(vec!["allison".to_owned()], lease, shares, now)
}

//! (e) Lists: pages of subscriptions, deliveries, dead letters and events, with a thousand and with a million
//! deliveries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookwire::delivery::Next;
use hookwire::store::implement::{Claim, NewEvent, Settlement, Share};
use hookwire::store::postgres::PostgresStore;
use hookwire::store::sqlite::SqliteStore;
use hookwire::store::{Cursor, DeliveryQuery, Period};
use hookwire::{
    Attempt, DeadReason, DeliveryId, DeliveryState, EventType, MemoryStore, Outcome, Records, Store,
    SubscriptionId, Subscriptions,
};
use http::StatusCode;
use time::OffsetDateTime;

use crate::Settings;
use crate::event::{body, event_id};
use crate::ours::{Opens, subscription};
use crate::place::{Kind, Place};
use crate::postgres::Server;
use crate::table::{self, Bound};

pub(crate) async fn run(settings: &Settings, server: Option<&Server>) {
    for kind in settings.kinds() {
        table::heading(&format!("(e) pages of 50, {}, microseconds", kind.name()), "1 million", "1 thousand");
        match kind {
            Kind::Memory => measure::<Arc<MemoryStore>>(settings, server).await,
            Kind::Sqlite => measure::<SqliteStore>(settings, server).await,
            Kind::Postgres => measure::<PostgresStore>(settings, server).await,
        }
    }
}

async fn measure<S: Opens + Records>(settings: &Settings, server: Option<&Server>) {
    let mut shelves = Vec::new();
    let mut places = Vec::new();
    for depth in [settings.scale(5_000, 1_000_000), 1_000] {
        let place = Place::new(S::KIND, server).await;
        shelves.push(Shelf::fill(S::open(&place).await, depth).await);
        places.push(place);
    }
    let [deep, shallow] = [&shelves[0], &shelves[1]];
    for look in Look::ALL {
        let mut took = [Vec::new(), Vec::new()];
        for _ in 0..settings.scale(3, 21) {
            for (shelf, took) in [deep, shallow].into_iter().zip(&mut took) {
                let began = Instant::now();
                for _ in 0..CALLS {
                    shelf.look(look).await;
                }
                took.push(began.elapsed().as_secs_f64() * 1e6 / CALLS as f64);
            }
        }
        let [deep, shallow] = &took;
        table::rounds(look.name(), deep, shallow, look.bound());
    }
    drop(shelves);
    for place in places {
        place.clean_up().await;
    }
}

/// The list that is read.
#[derive(Clone, Copy)]
enum Look {
    Subscriptions,
    Newest,
    Middle,
    Pending,
    Dead,
    OfNoType,
    Letters,
    Events,
    Statistics,
}

impl Look {
    const ALL: [Self; 9] = [
        Self::Subscriptions,
        Self::Newest,
        Self::Middle,
        Self::Pending,
        Self::Dead,
        Self::OfNoType,
        Self::Letters,
        Self::Events,
        Self::Statistics,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Subscriptions => "subscriptions",
            Self::Newest => "a subscription's deliveries, newest",
            Self::Middle => "the same from the middle on",
            Self::Pending => "the same that are pending",
            Self::Dead => "the same that are dead",
            Self::OfNoType => "the same of a type that none is of",
            Self::Letters => "the organization's dead letters",
            Self::Events => "its events, from the middle on",
            Self::Statistics => "statistics of a thousand deliveries",
        }
    }

    /// Statistics read all deliveries of a period, not a page, so they have no bound.
    const fn bound(self) -> Bound {
        match self {
            Self::Statistics => Bound::None,
            _ => Bound::AtMost(1.5),
        }
    }
}

/// A store with `depth` deliveries of one organization, all to its first subscription, so that a page without
/// matches looks through the same number of rows at either depth.
struct Shelf<S> {
    store: S,
    subscriptions: Vec<SubscriptionId>,
    began: OffsetDateTime,
    depth: u64,
}

impl<S: Store + Subscriptions + Records> Shelf<S> {
    async fn fill(store: S, depth: u64) -> Self {
        let address = "127.0.0.1:9".parse().expect("the address is one");
        let mut subscriptions = Vec::new();
        for _ in 0..SUBSCRIPTIONS {
            let subscription = subscription(ORG, address, 0);
            store.put(&subscription).await.expect("the store takes it");
            subscriptions.push(subscription.id);
        }
        let began = OffsetDateTime::now_utc() - Duration::from_secs(86_400);
        let shelf = Self { store, subscriptions, began, depth };
        let mut number = 0;
        while number < depth {
            let end = depth.min(number + 1_000);
            let events: Vec<_> = (number..end).map(|number| shelf.event(number)).collect();
            shelf.store.insert(&events).await.expect("the store takes them");
            number = end;
        }
        shelf.end().await;
        shelf
    }

    fn event(&self, number: u64) -> NewEvent {
        let at = self.began + Duration::from_millis(number);
        let mut random = [0; 10];
        random[2..].copy_from_slice(&number.to_be_bytes());
        let event_type: EventType = "call.ended".parse().expect("the type is one");
        NewEvent::new(
            ORG,
            &hookwire::Contract::allison(),
            event_id(number),
            event_type,
            Bytes::from(body(number)),
            at,
        )
        .with_delivery(DeliveryId::from_parts(at, random), self.subscriptions[0])
    }

    /// Ends [`ENDED`] deliveries: one half is delivered, the other half is dead.
    async fn end(&self) {
        let id = self.subscriptions[0];
        let now = OffsetDateTime::now_utc();
        let claim =
            Claim::new(vec!["allison".to_owned()], Duration::from_secs(60), vec![Share::new(id, ENDED)], now);
        let claims = self.store.claim(&claim).await.expect("the store gives");
        let settlements: Vec<_> = claims
            .deliveries
            .iter()
            .enumerate()
            .map(|(which, claimed)| {
                let is_delivered = which % 2 == 0;
                let status = if is_delivered { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
                let attempt =
                    Attempt::new(1, self.began, Duration::from_millis(3), Outcome::answered(status));
                let next = if is_delivered { Next::Done } else { Next::dead(DeadReason::Exhausted) };
                Settlement::new(claimed.delivery, claimed.lease, attempt, next, now)
            })
            .collect();
        assert_eq!(settlements.len(), ENDED as usize, "there is enough to claim");
        self.store.settle(&settlements).await.expect("the store takes them");
    }

    async fn look(&self, look: Look) {
        let id = self.subscriptions[0];
        let middle = self.began + Duration::from_millis(self.depth / 2);
        let all = DeliveryQuery::new(id);
        let deliveries = async |query: DeliveryQuery| {
            let page = self.store.list_deliveries(ORG, &query, None, PAGE).await;
            page.expect("the store answers").items.len()
        };
        match look {
            Look::Subscriptions => {
                let page = self.store.list(ORG, None, PAGE).await;
                assert_eq!(page.expect("the store answers").items.len(), SUBSCRIPTIONS);
            }
            Look::Newest => assert_eq!(deliveries(all).await, PAGE as usize),
            Look::Middle => assert_eq!(deliveries(all.with_until(middle)).await, PAGE as usize),
            Look::Pending => {
                assert_eq!(deliveries(all.with_state(DeliveryState::Pending)).await, PAGE as usize)
            }
            Look::Dead => {
                let state = DeliveryState::Dead(DeadReason::Exhausted);
                assert_eq!(deliveries(all.with_state(state)).await, PAGE as usize);
            }
            Look::OfNoType => {
                let event_type = "call.lost".parse().expect("the type is one");
                assert_eq!(deliveries(all.with_event_type(event_type)).await, 0);
            }
            Look::Letters => {
                let page = self.store.list_dead_letters(ORG, None, PAGE).await;
                assert_eq!(page.expect("the store answers").items.len(), PAGE as usize);
            }
            Look::Events => {
                let after = Cursor::new(0, u128::from(self.depth / 2));
                let page = self.store.list_events(ORG, Some(after), PAGE).await;
                assert_eq!(page.expect("the store answers").items.len(), PAGE as usize);
            }
            Look::Statistics => {
                let until = self.began + Duration::from_secs(1);
                let period = Period::new(self.began, until, Duration::from_secs(60));
                let told = self.store.statistics(ORG, id, &period).await.expect("the store answers");
                assert!(told.is_some());
            }
        }
    }
}

const ORG: &str = "org";
const SUBSCRIPTIONS: usize = 10;
/// The number of ended deliveries, the same at either depth.
const ENDED: u32 = 500;
const PAGE: u32 = 50;
const CALLS: u64 = 20;

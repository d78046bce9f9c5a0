//! Pages of any list, of any size, while more items are inserted.

use std::collections::BTreeSet;

use hookwire::store::implement::NewEvent;
use hookwire::store::sqlite::SqliteStore;
use hookwire::store::{Cursor, DeliveryQuery};
use hookwire::{
    AddressPolicy, DeliveryId, DeliveryState, EndpointUrl, EventFilter, MemoryStore, Records, Subscription,
    SubscriptionId, Subscriptions,
};
use proptest::prelude::*;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::stores::Whole;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pages_in_memory_miss_nothing_and_repeat_nothing(plan in plan()) {
        block_on(async { check(&MemoryStore::new(), &plan).await });
    }

    /// Any cursor that a client invents gives a page or a refusal.
    #[test]
    fn no_cursor_is_too_strange(text in "[0-9a-f-]{0,70}", major in any::<u128>(), minor in any::<u128>()) {
        let made = Cursor::new(major, minor);
        prop_assert_eq!(made.to_string().parse::<Cursor>().ok(), Some(made));
        let cursor = text.parse::<Cursor>().unwrap_or(made);
        block_on(async {
            let store = MemoryStore::new();
            fill(&store, &[(0, 0, false), (1, 1, true)]).await;
            let query = DeliveryQuery::new(subscription_id());
            assert!(store.list_deliveries(ORG, &query, Some(cursor), 9).await.unwrap().items.len() <= 2);
            assert!(store.list_events(ORG, Some(cursor), 9).await.unwrap().items.len() <= 2);
            assert!(store.list(ORG, Some(cursor), 9).await.unwrap().items.len() <= 1);
            assert!(store.list_dead_letters(ORG, Some(cursor), 9).await.unwrap().items.is_empty());
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn pages_in_sqlite_miss_nothing_and_repeat_nothing(plan in plan()) {
        block_on(async {
            let directory = tempfile::tempdir().unwrap();
            check(&SqliteStore::open(directory.path().join("hooks.db")).await.unwrap(), &plan).await;
        });
    }
}

/// The items before the first page, the items between pages, and the sizes of the pages.
#[derive(Debug)]
struct Plan {
    before: Vec<Item>,
    between: Vec<Item>,
    limits: Vec<u32>,
}

/// The millisecond and the number of a delivery, and whether its event has the other type.
type Item = (u8, u16, bool);

fn plan() -> impl Strategy<Value = Plan> {
    let items = |most| prop::collection::vec((0_u8..4, any::<u16>(), any::<bool>()), 0..most);
    (items(40), items(20), prop::collection::vec(1_u32..7, 1..5)).prop_map(|(before, between, limits)| Plan {
        before,
        between,
        limits,
    })
}

async fn check(store: &impl Whole, plan: &Plan) {
    let before = fill(store, &plan.before).await;
    let other = "contact.created".parse().unwrap();
    let queries = [
        (DeliveryQuery::new(subscription_id()), None),
        (DeliveryQuery::new(subscription_id()).with_event_type(other), Some(true)),
        (DeliveryQuery::new(subscription_id()).with_state(DeliveryState::Pending), None),
    ];
    let mut between = plan.between.chunks(2);
    for (query, wanted) in queries {
        let expected: BTreeSet<_> =
            before.iter().filter(|(_, is_other)| wanted.is_none_or(|wanted| wanted == *is_other)).collect();
        let mut seen = Vec::new();
        let mut after = None;
        for limit in plan.limits.iter().cycle() {
            let page = store.list_deliveries(ORG, &query, after, *limit).await.unwrap();
            assert!(page.items.len() <= *limit as usize);
            seen.extend(page.items.iter().map(|delivery| delivery.id));
            let Some(next) = page.next else { break };
            after = Some(next.to_string().parse().unwrap());
            if let Some(items) = between.next() {
                fill(store, items).await;
            }
        }
        assert!(seen.windows(2).all(|pair| pair[0] > pair[1]), "newest first and each once: {seen:?}");
        let missed = expected.iter().find(|(id, _)| !seen.contains(id));
        assert!(missed.is_none(), "{missed:?} is on no page");
    }
    let mut seen = BTreeSet::new();
    let mut after = None;
    for limit in plan.limits.iter().cycle() {
        let page = store.list_events(ORG, after, *limit).await.unwrap();
        for event in &page.items {
            assert!(seen.insert(event.id.to_string()), "{event:?} is listed twice");
        }
        after = page.next;
        if after.is_none() {
            break;
        }
        if let Some(items) = between.next() {
            fill(store, items).await;
        }
    }
    assert!(before.iter().all(|(id, _)| seen.contains(&format!("evt_{id}"))));
}

/// Inserts the new ones among these items, and returns all of them.
async fn fill(store: &impl Whole, items: &[Item]) -> BTreeSet<(DeliveryId, bool)> {
    let url = EndpointUrl::parse("https://hooks.example.com/", &AddressPolicy::new()).unwrap();
    let subscription = Subscription::from_parts(
        subscription_id(),
        START,
        ORG,
        &hookwire::Contract::allison(),
        url,
        EventFilter::all(),
    )
    .with_secret(hookwire::Secret::from_random([7; 32]));
    store.put(&subscription).await.unwrap();
    let mut written = BTreeSet::new();
    for (milli, number, is_other) in items {
        let mut random = [0; 10];
        random[..2].copy_from_slice(&number.to_be_bytes());
        random[2] = u8::from(*is_other);
        let id = DeliveryId::from_parts(START + time::Duration::milliseconds((*milli).into()), random);
        let name = if *is_other { "contact.created" } else { "call.ended" };
        let event_id = format!("evt_{id}").parse().unwrap();
        let event = NewEvent::new(
            ORG,
            &hookwire::Contract::allison(),
            event_id,
            name.parse().unwrap(),
            "{}".into(),
            START,
        );
        store.insert(&[event.with_delivery(id, subscription_id())]).await.unwrap();
        written.insert((id, *is_other));
    }
    written
}

fn subscription_id() -> SubscriptionId {
    SubscriptionId::from_u128(7)
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

const ORG: &str = "org_1";
const START: OffsetDateTime = datetime!(2026-04-17 19:12:03 UTC);

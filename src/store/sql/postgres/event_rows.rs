//! [`EventRows`]: events to insert, as arrays with one element per row.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};
use sqlx::SqlStr;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use uuid::Uuid;

use super::values::indexed;
use crate::id::SubscriptionId;
use crate::store::built_in::check_event;
use crate::store::sql::columns::{bounded, json, reach};
use crate::store::{NewDelivery, NewEvent, StoreError};

/// Events sorted by organization, contract and id, and their deliveries in the order given.
#[derive(Default)]
pub(super) struct EventRows<'a> {
    /// The index of each row's event among the events given.
    indexes: Vec<usize>,
    organizations: Vec<&'a str>,
    contracts: Vec<&'a str>,
    versions: Vec<&'a str>,
    ids: Vec<&'a str>,
    types: Vec<&'a str>,
    digests: Vec<Vec<u8>>,
    at: Vec<i64>,
    unwanted: Vec<bool>,
    attributes: Vec<Option<String>>,
    traces: Vec<Option<String>>,
    payloads: Vec<&'a [u8]>,
    editions: Vec<Option<i64>>,
    older: PayloadRows<'a>,
    deliveries: DeliveryRows<'a>,
}

/// Payloads in older versions.
#[derive(Default)]
struct PayloadRows<'a> {
    /// The place, from 1, of each payload's event.
    of: Vec<i32>,
    versions: Vec<&'a str>,
    digests: Vec<Vec<u8>>,
    payloads: Vec<&'a [u8]>,
}

#[derive(Default)]
struct DeliveryRows<'a> {
    ids: Vec<Uuid>,
    /// The place, from 1, of each delivery's event.
    of: Vec<i32>,
    subscriptions: Vec<Uuid>,
    versions: Vec<Option<&'a str>>,
    order_groups: Vec<Option<i64>>,
    leases: Vec<Option<i64>>,
}

impl<'a> EventRows<'a> {
    pub(super) fn new(events: &[&'a NewEvent]) -> Result<Self, StoreError> {
        let mut rows = Self { indexes: (0..events.len()).collect(), ..Self::default() };
        let key = |event: &'a NewEvent| (&event.organization, event.contract.name(), event.id.as_str());
        rows.indexes.sort_by_key(|index| (key(events[*index]), *index));
        for (event, place) in rows.indexes.iter().map(|index| events[*index]).zip(1..) {
            check_event(event)?;
            rows.organizations.push(indexed("organization", &event.organization)?);
            rows.contracts.push(event.contract.name());
            rows.versions.push(event.contract.version());
            rows.ids.push(event.id.as_str());
            rows.types.push(event.event_type.as_str());
            rows.digests.push(Sha256::digest(&event.payload).to_vec());
            rows.at.push(bounded(event.inserted_at));
            rows.unwanted.push(event.deliveries.is_empty());
            rows.attributes.push((!event.attributes.is_empty()).then(|| json(&event.attributes)));
            rows.traces.push(event.trace.map(|trace| trace.to_string()));
            rows.payloads.push(&event.payload);
            rows.editions.push(event.edition.map(|edition| edition.number().cast_signed()));
            rows.older.push(event, place);
        }
        let place_of: HashMap<_, _> =
            rows.indexes.iter().zip(1..).map(|(index, place)| (*index, place)).collect();
        for (index, event) in events.iter().enumerate() {
            for delivery in &event.deliveries {
                rows.deliveries.push(event, delivery, place_of[&index]);
            }
        }
        Ok(rows)
    }

    /// Sets that nothing is leased, for a transaction of the caller: nobody may send before it is committed.
    pub(super) fn without_leases(mut self) -> Self {
        self.deliveries.leases.fill(None);
        self
    }

    pub(super) fn query(&self, sql: &SqlStr) -> Query<'static, Postgres, PgArguments> {
        let Self { older, deliveries, .. } = self;
        sqlx::query(sql.clone())
            .bind(&self.organizations)
            .bind(&self.contracts)
            .bind(&self.versions)
            .bind(&self.ids)
            .bind(&self.types)
            .bind(&self.digests)
            .bind(&self.at)
            .bind(&self.unwanted)
            .bind(&self.attributes)
            .bind(&self.traces)
            .bind(&self.payloads)
            .bind(&older.of)
            .bind(&older.versions)
            .bind(&older.digests)
            .bind(&older.payloads)
            .bind(&deliveries.ids)
            .bind(&deliveries.of)
            .bind(&deliveries.subscriptions)
            .bind(&deliveries.versions)
            .bind(&deliveries.order_groups)
            .bind(&deliveries.leases)
            .bind(&self.editions)
    }

    /// Puts values that come in the order of the rows into the order in which the events were given.
    pub(super) fn in_order<T: Clone>(&self, values: Vec<T>) -> Vec<T> {
        let mut ordered = values.clone();
        for (index, value) in self.indexes.iter().zip(values) {
            ordered[*index] = value;
        }
        ordered
    }
}

impl<'a> PayloadRows<'a> {
    fn push(&mut self, event: &'a NewEvent, place: i32) {
        for payload in &event.older {
            self.of.push(place);
            self.versions.push(payload.contract.version());
            self.digests.push(Sha256::digest(&payload.bytes).to_vec());
            self.payloads.push(&payload.bytes);
        }
    }
}

impl<'a> DeliveryRows<'a> {
    fn push(&mut self, event: &'a NewEvent, delivery: &'a NewDelivery, place: i32) {
        let is_stored = |version: &&str| event.older.iter().any(|older| older.contract.version() == *version);
        let order_group = event.ordering_key.as_deref().map(|key| order_group(delivery.subscription, key));
        self.ids.push(Uuid::from_u128(delivery.id.as_u128()));
        self.of.push(place);
        self.subscriptions.push(Uuid::from_u128(delivery.subscription.as_u128()));
        self.versions.push(delivery.version.as_deref().filter(is_stored));
        self.order_groups.push(order_group);
        self.leases.push(delivery.lease.map(reach));
    }
}

/// The hash of a subscription and an ordering key, which their deliveries have in common.
fn order_group(subscription: SubscriptionId, key: &str) -> i64 {
    let digest =
        Sha256::new().chain_update(subscription.as_u128().to_be_bytes()).chain_update(key).finalize();
    let (first, _) = digest.split_first_chunk().expect("invariant: SHA-256 has 32 bytes");
    i64::from_be_bytes(*first)
}

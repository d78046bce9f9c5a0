//! [`SqliteStore`] as a [`Store`].

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::Row as _;
use time::OffsetDateTime;

use super::cancel;
use super::clock::TOLERANCE;
use super::error::failed;
use super::parts::PutHealth;
use super::queue;
use super::rows::{blob, later};
use super::store::SqliteStore;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::built_in::check_event;
use crate::store::sql::columns::{Columns as _, corrupt, json, micros};
use crate::store::sql::database::Database as _;
use crate::store::sql::subscriptions;
use crate::store::sql::value::Value;
use crate::store::{
    Claim, Claims, HealthWritten, Inserted, Lease, NewEvent, Poll, Polled, ReadyDetails, Settled, Settlement,
    Store, StoreError, StoreId, Subscribed,
};
use crate::subscription::{DisabledReason, Health, Subscription};

impl Store for SqliteStore {
    fn id(&self) -> Option<StoreId> {
        Some(self.id)
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        subscriptions::find(self, id).await
    }

    async fn subscriptions(&self, organization: &str) -> Result<Subscribed, StoreError> {
        subscriptions::of_organization(self, organization).await
    }

    async fn insert(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        events.iter().try_for_each(check_event)?;
        self.writer.insert(events).await
    }

    async fn look(&self, poll: &Poll) -> Result<Polled, StoreError> {
        if poll.contracts.is_empty() {
            return Ok(Polled::default());
        }
        self.mend(poll).await?;
        let cursors = || self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        let last = cursors().last_listed(&poll.contracts);
        let begin = last.map_or_else(Vec::new, |last| blob(last.as_u128()));
        let mut progress = PollProgress::new(poll);
        let mut is_whole = self.look_between(&begin, AFTER_EVERY_ID, &mut progress).await?;
        if is_whole && !begin.is_empty() {
            is_whole = self.look_between(&[], &begin, &mut progress).await?;
        }
        let polled = progress.polled;
        cursors().set(&poll.contracts, polled.ready.last().copied().filter(|_| !is_whole));
        Ok(polled.with_oldest_due(progress.oldest_due.into_iter().collect()))
    }

    async fn claim(&self, claim: &Claim) -> Result<Claims, StoreError> {
        if claim.shares.is_empty() {
            return Ok(Claims::default());
        }
        self.writer.claim(claim).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        if settlements.is_empty() {
            return Ok(Vec::new());
        }
        self.writer.settle(settlements).await
    }

    async fn extend(
        &self,
        leases: &[(DeliveryId, Lease)],
        lease: Duration,
        now: OffsetDateTime,
    ) -> Result<Vec<Settled>, StoreError> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let mut writing = self.writer.begin().await?;
        let extended = queue::extend(&self.sql, writing.connection(), leases, later(now, lease)).await?;
        writing.commit().await?;
        Ok(extended)
    }

    async fn put_health(
        &self,
        id: SubscriptionId,
        seen: &Health,
        health: &Health,
        disable: Option<DisabledReason>,
        now: OffsetDateTime,
    ) -> Result<HealthWritten, StoreError> {
        let (seen, health) = (seen.to_storage(), health.to_storage());
        self.writer.put_health(PutHealth { id, seen, health, disable, now }).await
    }

    async fn expire(&self, age: Duration, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        let before = age.try_into().ok().and_then(|age: time::Duration| now.checked_sub(age));
        let Some(before) = before else { return Ok(0) };
        let mut writing = self.writer.begin().await?;
        let expired = cancel::expire(&self.sql, writing.connection(), before, limit, now).await?;
        writing.commit().await?;
        Ok(expired)
    }
}

/// A look in progress.
struct PollProgress<'a> {
    poll: &'a Poll,
    polled: Polled,
    oldest_due: BTreeMap<String, Duration>,
}

impl<'a> PollProgress<'a> {
    fn new(poll: &'a Poll) -> Self {
        Self { poll, polled: Polled::default(), oldest_due: BTreeMap::new() }
    }

    /// Adds a subscription of this contract that can be claimed from at `ready_at`; returns false if the
    /// limit leaves it out.
    fn add(&mut self, details: ReadyDetails, contract: &str, ready_at: i64) -> bool {
        let now = micros(self.poll.now);
        let span = |micros: i64| Duration::from_micros(u64::try_from(micros).unwrap_or(0));
        if ready_at > now {
            let wait = span(ready_at.saturating_sub(now));
            self.polled.wait = Some(self.polled.wait.map_or(wait, |least| least.min(wait)));
            return true;
        }
        if self.polled.ready.len() >= usize::try_from(self.poll.limit).unwrap_or(usize::MAX) {
            self.polled.wait = Some(Duration::ZERO);
            return false;
        }
        self.polled.ready.push(details.subscription);
        self.polled.details.push(details);
        let age = span(now.saturating_sub(ready_at));
        match self.oldest_due.get_mut(contract) {
            Some(oldest) => *oldest = age.max(*oldest),
            None => _ = self.oldest_due.insert(contract.to_owned(), age),
        }
        true
    }
}

impl SqliteStore {
    /// Mends the times of deliveries and pauses that were written by a clock that was ahead.
    async fn mend(&self, poll: &Poll) -> Result<(), StoreError> {
        let now = micros(poll.now);
        if let Some(ahead) = self.clocks.ahead_from(None, now) {
            let (lease_end, latest) = match poll.lease {
                Some(lease) => (later(poll.now, lease), later(poll.now, lease).saturating_add(TOLERANCE)),
                None => (now, i64::MAX),
            };
            let values = [now, ahead, lease_end, latest].map(Value::from);
            if let Some(row) = self.read(&self.sql.ahead, &values).await?.first() {
                let deliveries: &str = row.try_get("deliveries").map_err(failed)?;
                if deliveries != "[]" {
                    self.change(&self.sql.mend, &[deliveries.into(), now.into()]).await?;
                }
                if row.try_get("has_pauses").map_err(failed)? {
                    self.change(&self.sql.mend_pauses, &[now.into(), ahead.into()]).await?;
                }
            }
        }
        self.clocks.note(None, now);
        Ok(())
    }

    /// Adds to `progress` the subscriptions after `from`, up to `to`; returns false if the limit cut the list
    /// short.
    async fn look_between(
        &self,
        from: &[u8],
        to: &[u8],
        progress: &mut PollProgress<'_>,
    ) -> Result<bool, StoreError> {
        let contracts = json(&progress.poll.contracts);
        let statement = sqlx::query(self.sql.look.clone()).bind(from).bind(to).bind(contracts);
        let mut rows = statement.fetch(&self.readers);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            // Its last due delivery was claimed after the row was found.
            let Some(ready_at) = row.optional_number("ready_at").map_err(corrupt)? else { continue };
            let id = SubscriptionId::from_u128(row.uuid("id").map_err(corrupt)?);
            let contract: &str = row.try_get("contract").map_err(failed)?;
            let organization = row.try_get("organization").map_err(failed)?;
            let is_failing = row.try_get("is_failing").map_err(failed)?;
            if !progress.add(ReadyDetails::new(id, organization, is_failing), contract, ready_at) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Longer than every id, so it sorts after the last.
const AFTER_EVERY_ID: &[u8] = &[u8::MAX; 17];

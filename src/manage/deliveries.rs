//! The calls about deliveries, dead letters, events and statistics.

use std::num::NonZeroU32;
use std::time::Duration;

use time::OffsetDateTime;

use super::error::ManageError;
use super::service::{MAX_PAGE, Service, page_size};
use crate::bounds;
use crate::contract::Judgement;
use crate::delivery::{Attempt, DeadReason, Delivery, DeliveryState};
use crate::event::{EventId, EventType};
use crate::id::{DeliveryId, SubscriptionId};
use crate::retry::RetryPolicy;
use crate::store::{
    Cursor, DeliveryQuery, EventRecord, Page, Period, Records, Replay, Statistics, Store, StoreErrorKind,
    StoreExt as _, Subscriptions,
};

/// Which missed deliveries are sent again.
///
/// ```
/// use hookwire::manage::Recovery;
/// use time::macros::datetime;
///
/// let recovery = Recovery::since(datetime!(2026-04-17 19:00 UTC));
/// let recovery = recovery.with_until(datetime!(2026-04-17 20:00 UTC));
/// # let _ = recovery;
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Recovery {
    /// Those made at this time or later.
    pub since: OffsetDateTime,
    /// Only those made before this time.
    pub until: Option<OffsetDateTime>,
    /// Only those of events of these types; all, if there are none.
    pub event_types: Vec<EventType>,
}

impl Recovery {
    /// Those made at this time or later.
    pub const fn since(since: OffsetDateTime) -> Self {
        Self { since, until: None, event_types: Vec::new() }
    }

    /// Only those made before this time.
    pub const fn with_until(mut self, until: OffsetDateTime) -> Self {
        self.until = Some(until);
        self
    }

    /// Adds a type of events; without any, those of all types are sent.
    pub fn with_event_type(mut self, event_type: EventType) -> Self {
        self.event_types.push(event_type);
        self
    }
}

/// A delivery with its attempts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeliveryDetail {
    /// The delivery.
    pub delivery: Delivery,
    /// Its attempts, in the order they were made, with the beginning of each response.
    pub attempts: Vec<Attempt>,
}

impl<S: Store + Subscriptions + Records> Service<S> {
    /// Lists the deliveries of a subscription that `query` selects, newest first, with at most `limit` (1 to
    /// 200) in a page.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] for another limit, [`ManageError::NotFound`], and [`ManageError::Store`].
    pub async fn deliveries(
        &self,
        organization: &str,
        query: &DeliveryQuery,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Delivery>, ManageError> {
        let limit = page_size(limit)?;
        self.find(organization, query.subscription).await?;
        Ok(self.store.list_deliveries(organization, query, after, limit).await?)
    }

    /// Reads a delivery with its attempts. Deliveries of a deleted subscription are found too.
    ///
    /// # Errors
    ///
    /// [`ManageError::NotFound`], and [`ManageError::Store`].
    pub async fn delivery(&self, organization: &str, id: DeliveryId) -> Result<DeliveryDetail, ManageError> {
        let delivery = self.find_delivery(organization, id).await?;
        Ok(DeliveryDetail { delivery, attempts: self.store.list_attempts(id).await? })
    }

    /// Sends the event of a delivery again, as a new delivery, in whichever state the old one is. Returns the
    /// id of the new delivery; `None` if it was deleted meanwhile.
    ///
    /// # Errors
    ///
    /// [`ManageError::Conflict`] if the event is already on its way to the subscription, if its payload or
    /// subscription is gone, if its type does not exist in the version that the subscription speaks, and for
    /// a test event; [`ManageError::NotInVersion`] if it is not stored in that version and cannot be made;
    /// [`ManageError::NotFound`] and [`ManageError::Store`].
    pub async fn retry(&self, organization: &str, id: DeliveryId) -> Result<Option<DeliveryId>, ManageError> {
        let delivery = self.find_delivery(organization, id).await?;
        if delivery.is_test {
            return Err(ManageError::conflict(
                "delivery is a test event's",
                "one of an event; another test can be sent",
            ));
        }
        let replay = Replay::Delivery(id);
        self.complete(organization, &replay).await?;
        let replayed = self.store.replay(&replay, 1, self.now()).await?;
        if !replayed.missing.is_empty() {
            return Err(ManageError::Changed);
        }
        if replayed.made == 0 {
            return Err(ManageError::conflict(
                "event is on its way to the subscription already, or it or the subscription is gone, or its type does \
                 not exist in the subscription's version",
                "one that is none of these",
            ));
        }
        self.wake.wake_for(delivery.subscription);
        self.newest(organization, &delivery).await
    }

    /// The newest delivery of an event to the subscription of `old`, other than that.
    async fn newest(&self, organization: &str, old: &Delivery) -> Result<Option<DeliveryId>, ManageError> {
        let (name, mut after, mut newest) = (old.contract.name(), None, None);
        loop {
            let store = &self.store;
            let page = store.list_event_deliveries(organization, name, &old.event, after, MAX_PAGE).await?;
            let own = page.items.iter().filter(|it| it.subscription == old.subscription && it.id != old.id);
            newest = own.map(|it| it.id).chain(newest).max();
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(newest),
            }
        }
    }

    /// Cancels a pending delivery, even if an attempt is under way.
    ///
    /// # Errors
    ///
    /// [`ManageError::Conflict`] for a delivery that is not pending; [`ManageError::NotFound`] and
    /// [`ManageError::Store`].
    pub async fn cancel(&self, organization: &str, id: DeliveryId) -> Result<(), ManageError> {
        self.find_delivery(organization, id).await?;
        match self.store.cancel(id, self.now()).await? {
            true => Ok(()),
            false => Err(ManageError::conflict("delivery has ended", DeliveryState::Pending.as_str())),
        }
    }

    /// Sends every dead letter of a subscription again, and returns their number. Each is sent in the version
    /// that the subscription speaks now; those whose type does not exist there are left out.
    ///
    /// # Errors
    ///
    /// [`ManageError::NotInVersion`] if one of the events is not stored in that version and cannot be made:
    /// then nothing is sent. [`ManageError::NotFound`], and [`ManageError::Store`]. Deliveries that were made
    /// before the error stay.
    pub async fn replay_dead_letters(
        &self,
        organization: &str,
        id: SubscriptionId,
    ) -> Result<u64, ManageError> {
        self.replay(organization, id, Replay::DeadLetters(id)).await
    }

    /// Sends again the events that a subscription missed since `since`: every delivery that was made then or
    /// later and was not delivered. Returns their number.
    ///
    /// # Errors
    ///
    /// As [`replay_dead_letters`](Self::replay_dead_letters).
    pub async fn recover(
        &self,
        organization: &str,
        id: SubscriptionId,
        since: OffsetDateTime,
    ) -> Result<u64, ManageError> {
        self.replay(organization, id, Replay::Since(id, since)).await
    }

    /// Does [`recover`](Self::recover) for the deliveries that `recovery` selects. With `is_preview`, nothing
    /// is sent, and the number is that of the deliveries that would be.
    ///
    /// It costs a call of the store for each delivery, where [`recover`](Self::recover) makes 500 in a call.
    ///
    /// # Errors
    ///
    /// As [`recover`](Self::recover). Deliveries that were made before the error stay.
    pub async fn recover_that(
        &self,
        organization: &str,
        id: SubscriptionId,
        recovery: &Recovery,
        is_preview: bool,
    ) -> Result<u64, ManageError> {
        self.find(organization, id).await?;
        let mut query = DeliveryQuery::new(id).with_since(recovery.since);
        query.until = recovery.until;
        let (now, mut after, mut missed) = (self.now(), None, Vec::new());
        loop {
            let page = self.store.list_deliveries(organization, &query, after, MAX_PAGE).await?;
            let is_missed = |it: &Delivery| {
                matches!(it.state, DeliveryState::Dead(reason) if !matches!(reason, DeadReason::Replayed | DeadReason::Discarded))
                    && !it.is_test
                    && (recovery.event_types.is_empty() || recovery.event_types.contains(&it.event_type))
            };
            missed.extend(page.items.iter().filter(|it| is_missed(it)).map(|it| it.id));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        if is_preview {
            return Ok(missed.len() as u64);
        }
        let mut made = 0;
        // The oldest first.
        for delivery in missed.into_iter().rev() {
            let replay = Replay::Delivery(delivery);
            self.complete(organization, &replay).await?;
            made += u64::from(self.store.replay(&replay, 1, now).await?.made);
        }
        if made > 0 {
            self.wake.wake_for(id);
        }
        Ok(made)
    }

    /// Lists the dead letters of an organization, newest first, with at most `limit` (1 to 200) in a page.
    /// [`Delivery::state`] has the reason of each.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] for another limit, and [`ManageError::Store`].
    pub async fn dead_letters(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Delivery>, ManageError> {
        Ok(self.store.list_dead_letters(organization, after, page_size(limit)?).await?)
    }

    /// Takes a dead letter from the list, with a note that says why.
    /// [`replay_dead_letters`](Self::replay_dead_letters) and [`recover`](Self::recover) no longer send it.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] for a note of more than 1,000 bytes or with U+0000, [`ManageError::Conflict`]
    /// for a delivery that is no dead letter; [`ManageError::NotFound`] and [`ManageError::Store`].
    pub async fn discard(&self, organization: &str, id: DeliveryId, note: &str) -> Result<(), ManageError> {
        if note.len() > bounds::NOTE {
            let expected = format!("at most {}", bounds::NOTE);
            return Err(ManageError::refused("note", format!("note has {} bytes", note.len()), expected));
        }
        // PostgreSQL cannot store U+0000 in a text.
        if note.contains('\0') {
            return Err(ManageError::refused("note", "note holds U+0000", "text without it"));
        }
        self.find_delivery(organization, id).await?;
        match self.store.discard(organization, id, note).await? {
            true => Ok(()),
            false => Err(ManageError::conflict(
                "delivery is no dead letter",
                "one that is exhausted, refused, gone or expired",
            )),
        }
    }

    /// Lists the events of an organization without their payloads, the last inserted first, with at most
    /// `limit` (1 to 200) in a page.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] for another limit, and [`ManageError::Store`].
    pub async fn events(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<EventRecord>, ManageError> {
        Ok(self.store.list_events(organization, after, page_size(limit)?).await?)
    }

    /// Reads an event with its payload, if the payload is still stored. Where several contracts have an event
    /// of this id, it is that of the first one.
    ///
    /// # Errors
    ///
    /// [`ManageError::NotFound`], and [`ManageError::Store`].
    pub async fn event(&self, organization: &str, id: &EventId) -> Result<EventRecord, ManageError> {
        for contract in self.contracts() {
            if let Some(found) = self.store.find_event(organization, contract.name(), id).await? {
                return Ok(found);
            }
        }
        Err(ManageError::not_found("event"))
    }

    /// Lists the deliveries of an event, with at most `limit` (1 to 200) in a page.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] for another limit, [`ManageError::NotFound`], and [`ManageError::Store`].
    pub async fn event_deliveries(
        &self,
        organization: &str,
        event: &EventId,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Delivery>, ManageError> {
        let limit = page_size(limit)?;
        let contract = self.event(organization, event).await?.contract;
        Ok(self.store.list_event_deliveries(organization, contract.name(), event, after, limit).await?)
    }

    /// Counts the outcomes of a subscription's attempts in `period`, and its deliveries that are pending now.
    /// For the share of successes, see [`success_rate`](Self::success_rate).
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] for a period that ends before it begins or has more than 1,000 slots;
    /// [`ManageError::NotFound`] and [`ManageError::Store`].
    pub async fn statistics(
        &self,
        organization: &str,
        id: SubscriptionId,
        period: &Period,
    ) -> Result<Statistics, ManageError> {
        let Ok(length) = Duration::try_from(period.until - period.since) else {
            return Err(ManageError::refused("until", "period ends before it begins", "a later time"));
        };
        if period.slot.is_zero() || length.as_nanos() / period.slot.as_nanos() > MOST_SLOTS {
            let what = format!("slot is {:?} in a period of {length:?}", period.slot);
            return Err(ManageError::refused(
                "slot",
                what,
                format!("a length that gives at most {MOST_SLOTS} slots"),
            ));
        }
        let found = self.find(organization, id).await?;
        let retry = found.options.retry(self.terms_of(&found)?).into_owned();
        let period = period.with_reach(period.reach.max(reach(&retry)));
        let found = self.store.statistics(organization, id, &period).await?;
        found.ok_or(ManageError::not_found("subscription"))
    }

    /// The share of the attempts that the service's first contract judges as delivered, from 0 to 1; `None`
    /// if there were no attempts.
    pub fn success_rate(&self, statistics: &Statistics) -> Option<f64> {
        statistics.share(|outcome| self.contract().judge(outcome) == Judgement::Success)
    }

    async fn find_delivery(&self, organization: &str, id: DeliveryId) -> Result<Delivery, ManageError> {
        let found = self.store.find_delivery(organization, id).await?;
        found.ok_or(ManageError::not_found("delivery"))
    }

    async fn replay(
        &self,
        organization: &str,
        id: SubscriptionId,
        replay: Replay,
    ) -> Result<u64, ManageError> {
        self.find(organization, id).await?;
        for _ in 0..MOST_TRIES {
            self.complete(organization, &replay).await?;
            let wake = |_| self.wake.wake_for(id);
            match self.store.replay_all(&replay, BATCH, self.now(), wake).await {
                // The subscription got another version meanwhile.
                Err(error) if error.kind() == StoreErrorKind::MissingPayload => {}
                replayed => return Ok(replayed?),
            }
        }
        Err(ManageError::Changed)
    }
}

/// The time for which a delivery may be tried: twice the schedule, because an endpoint may ask for more time
/// and a process may be down.
fn reach(retry: &RetryPolicy) -> Duration {
    let Some(attempts) = retry.max_attempts() else { return LONGEST_REACH };
    let nominal = (1..attempts).map_while(|attempt| retry.delay_after(attempt));
    let total = nominal.fold(Duration::ZERO, Duration::saturating_add);
    total.saturating_mul(2).min(LONGEST_REACH)
}

const LONGEST_REACH: Duration = Duration::from_secs(30 * 24 * 3600);
const MOST_SLOTS: u128 = 1_000;
/// The most times that a replay is tried; each failure means that the subscription got another version.
const MOST_TRIES: usize = 10;
pub(super) const BATCH: NonZeroU32 = NonZeroU32::new(500).expect("not zero");

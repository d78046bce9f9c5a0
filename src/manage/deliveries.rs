//! Deliveries, dead letters, events and statistics.

use std::num::NonZeroU32;
use std::time::Duration;

use time::OffsetDateTime;

use super::{ManageError, Service, page_size};
use crate::contract::Judgement;
use crate::delivery::{Attempt, Delivery, DeliveryState};
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::retry::RetryPolicy;
use crate::store::{
    Cursor, DeliveryQuery, EventRecord, Page, Period, Records, Replay, Statistics, StoreExt as _,
};

/// A delivery with its attempts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeliveryDetail {
    /// The delivery.
    pub delivery: Delivery,
    /// Its attempts, first to last, with the beginning of each response.
    pub attempts: Vec<Attempt>,
}

impl<S: Records> Service<S> {
    /// A subscription's deliveries that `query` asks for, newest first, at most `limit` (1 to 200) in a page.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] for another limit; [`ManageError::NotFound`] and [`ManageError::Store`].
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

    /// The delivery of this id with its attempts; also of a subscription that was deleted.
    ///
    /// # Errors
    ///
    /// [`ManageError::NotFound`], and [`ManageError::Store`].
    pub async fn delivery(&self, organization: &str, id: DeliveryId) -> Result<DeliveryDetail, ManageError> {
        let delivery = self.find_delivery(organization, id).await?;
        Ok(DeliveryDetail { delivery, attempts: self.store.attempts(id).await? })
    }

    /// Sends one delivery's event again, as a new delivery, whatever became of the first.
    ///
    /// # Errors
    ///
    /// [`ManageError::Conflict`] where the event is on its way to the subscription already, or its payload or subscription is gone, and
    /// for a test event;
    /// [`ManageError::NotFound`] and [`ManageError::Store`].
    pub async fn retry(&self, organization: &str, id: DeliveryId) -> Result<(), ManageError> {
        let delivery = self.find_delivery(organization, id).await?;
        if delivery.is_test {
            return Err(ManageError::Conflict {
                what: "delivery is a test event's".into(),
                expected: "one of an event; another test can be sent".into(),
            });
        }
        if self.store.replay(&Replay::Delivery(id), self.now(), 1).await?.made == 0 {
            return Err(ManageError::Conflict {
                what: "event is on its way to the subscription already, or it or the subscription is gone"
                    .into(),
                expected: "one that is neither".into(),
            });
        }
        self.wake.wake_for([delivery.subscription].into_iter());
        Ok(())
    }

    /// Cancels a pending delivery, also one that is being attempted.
    ///
    /// # Errors
    ///
    /// [`ManageError::Conflict`] for one that is not pending; [`ManageError::NotFound`] and [`ManageError::Store`].
    pub async fn cancel(&self, organization: &str, id: DeliveryId) -> Result<(), ManageError> {
        self.find_delivery(organization, id).await?;
        match self.store.cancel(id, self.now()).await? {
            true => Ok(()),
            false => Err(ManageError::Conflict {
                what: "delivery has ended".into(),
                expected: DeliveryState::Pending.as_str().into(),
            }),
        }
    }

    /// Sends every dead letter of a subscription again; tells how many.
    ///
    /// # Errors
    ///
    /// [`ManageError::NotFound`], and [`ManageError::Store`]; what was made until then stays.
    pub async fn replay_dead_letters(
        &self,
        organization: &str,
        id: SubscriptionId,
    ) -> Result<u64, ManageError> {
        self.replay(organization, id, Replay::DeadLetters(id)).await
    }

    /// Sends everything of a subscription again that was made at `since` or later and was not delivered; tells how many.
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

    /// An organization's dead letters, newest first, each with why ([`Delivery::state`]), at most `limit` (1 to 200) in a page.
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

    /// Takes a dead letter from the list, with a note why; no replay of many sends it again.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] for a note of more than 1,000 bytes or with U+0000, [`ManageError::Conflict`] for a delivery that is no dead
    /// letter; [`ManageError::NotFound`] and [`ManageError::Store`].
    pub async fn discard(&self, organization: &str, id: DeliveryId, note: &str) -> Result<(), ManageError> {
        if note.len() > MAX_NOTE {
            let expected = format!("at most {MAX_NOTE}");
            return Err(ManageError::refused("note", format!("note has {} bytes", note.len()), expected));
        }
        // PostgreSQL has no text with it.
        if note.contains('\0') {
            return Err(ManageError::refused("note", "note holds U+0000", "text without it"));
        }
        self.find_delivery(organization, id).await?;
        match self.store.discard(organization, id, note).await? {
            true => Ok(()),
            false => Err(ManageError::Conflict {
                what: "delivery is no dead letter".into(),
                expected: "one that is exhausted, refused or gone".into(),
            }),
        }
    }

    /// An organization's events, the last inserted first and without their payloads, at most `limit` (1 to 200) in a page.
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

    /// The event of this id, with its payload as far as that is kept.
    ///
    /// # Errors
    ///
    /// [`ManageError::NotFound`], and [`ManageError::Store`].
    pub async fn event(&self, organization: &str, id: &EventId) -> Result<EventRecord, ManageError> {
        let found = self.store.find_event(organization, id).await?;
        found.ok_or(ManageError::NotFound { what: "event" })
    }

    /// An event's deliveries, at most `limit` (1 to 200) in a page.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] for another limit; [`ManageError::NotFound`] and [`ManageError::Store`].
    pub async fn event_deliveries(
        &self,
        organization: &str,
        event: &EventId,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Delivery>, ManageError> {
        let limit = page_size(limit)?;
        self.event(organization, event).await?;
        Ok(self.store.list_event_deliveries(organization, event, after, limit).await?)
    }

    /// What came of a subscription's attempts in `period`, and what it has pending now. [`success_rate`](Self::success_rate) judges it.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] for a period that ends before it begins or has more than 1,000 slots; [`ManageError::NotFound`] and
    /// [`ManageError::Store`].
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
        let retry = self.find(organization, id).await?.options.retry(&self.contract).into_owned();
        let period = period.with_reach(period.reach.max(reach(&retry)));
        let found = self.store.statistics(organization, id, &period).await?;
        found.ok_or(ManageError::NotFound { what: "subscription" })
    }

    /// Which share of the attempts the contract takes as delivered, from 0 to 1; `None` when there were none.
    pub fn success_rate(&self, statistics: &Statistics) -> Option<f64> {
        statistics.share(|outcome| self.contract().judge(outcome) == Judgement::Success)
    }

    async fn find_delivery(&self, organization: &str, id: DeliveryId) -> Result<Delivery, ManageError> {
        let found = self.store.find_delivery(organization, id).await?;
        found.ok_or(ManageError::NotFound { what: "delivery" })
    }

    async fn replay(
        &self,
        organization: &str,
        id: SubscriptionId,
        replay: Replay,
    ) -> Result<u64, ManageError> {
        self.find(organization, id).await?;
        Ok(self
            .store
            .replay_all(&replay, self.now(), BATCH, |_| self.wake.wake_for([id].into_iter()))
            .await?)
    }
}

/// For how long a delivery may be tried, generously: an endpoint may ask for more time, and a process may be down.
fn reach(retry: &RetryPolicy) -> Duration {
    let Some(attempts) = retry.max_attempts() else { return LONGEST_REACH };
    let nominal = (1..attempts).map_while(|attempt| retry.delay_after(attempt));
    let total = nominal.fold(Duration::ZERO, Duration::saturating_add);
    total.saturating_mul(2).min(LONGEST_REACH)
}

const LONGEST_REACH: Duration = Duration::from_secs(30 * 24 * 3600);
const MAX_NOTE: usize = 1_000;
const MOST_SLOTS: u128 = 1_000;
const BATCH: NonZeroU32 = NonZeroU32::new(500).expect("not zero");

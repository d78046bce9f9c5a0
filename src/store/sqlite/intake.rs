//! [`SqliteStore`] as an [`Intake`].

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;
use sqlx::{Row as _, SqliteConnection};
use time::OffsetDateTime;

use super::rows::later;
use super::statements::Statements;
use super::{SqliteStore, failed};
use crate::store::columns::{Columns as _, Unread, corrupt, json, micros, stored_lease};
use crate::store::requests;
use crate::store::{
    Conclusion, GivenUpRequest, InboxKey, Intake, Kept, KeptRequest, Lease, NO_ATTEMPT_LEFT,
    RequestSettlement, Settled, StoreError, Take, Taken,
};

impl Intake for SqliteStore {
    async fn keep(&self, requests: &[KeptRequest]) -> Result<Vec<Kept>, StoreError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        self.writer.keep(requests).await
    }

    async fn next_due(&self, queue: &str, now: OffsetDateTime) -> Result<Option<Duration>, StoreError> {
        let due_at: Option<i64> = sqlx::query(self.sql.next_due_request.clone())
            .bind(queue)
            .fetch_one(&self.readers)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(failed)?;
        let wait = due_at.map(|due_at| due_at.saturating_sub(micros(now)));
        Ok(wait.map(|wait| Duration::from_micros(u64::try_from(wait).unwrap_or(0))))
    }

    async fn take(&self, take: &Take) -> Result<Taken, StoreError> {
        let mut writing = self.writer.begin().await?;
        let rows = sqlx::query(self.sql.take_requests.clone())
            .bind(take.queue.as_str())
            .bind(micros(take.now))
            .bind(later(take.now, take.lease))
            .bind(take.limit)
            .bind(take.max_attempts.map_or(i64::MAX, i64::from))
            .bind(NO_ATTEMPT_LEFT)
            .fetch_all(writing.connection())
            .await
            .map_err(failed)?;
        writing.commit().await?;
        requests::taken(&take.queue, &rows)
    }

    async fn extend_taken(
        &self,
        leases: &[(InboxKey, Lease)],
        now: OffsetDateTime,
        lease: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        let asked: Vec<_> = leases
            .iter()
            .filter_map(|(key, lease)| Some((&*key.source, key.id.as_str(), stored_lease(*lease)?)))
            .collect();
        if asked.is_empty() {
            return Ok(vec![Settled::Stale; leases.len()]);
        }
        let mut writing = self.writer.begin().await?;
        let extended = sqlx::query(self.sql.extend_requests.clone())
            .bind(json(&asked))
            .bind(later(now, lease))
            .fetch_all(writing.connection())
            .await
            .map_err(failed)?;
        let done = extended
            .iter()
            .map(|row| Ok((row.text("source")?, row.text("id")?, row.lease()?)))
            .collect::<Result<HashSet<_>, Unread>>()
            .map_err(corrupt)?;
        let tell = |(key, lease): &(InboxKey, Lease)| {
            if done.contains(&(&*key.source, key.id.as_str(), *lease)) {
                Settled::Done
            } else {
                Settled::Stale
            }
        };
        let told = leases.iter().map(tell).collect();
        writing.commit().await?;
        Ok(told)
    }

    async fn settle_taken(&self, settlements: &[RequestSettlement]) -> Result<Vec<Settled>, StoreError> {
        // The same lease twice in one batch: the first counts, as it would in two batches.
        let mut seen = HashSet::new();
        let asked: Vec<_> = settlements
            .iter()
            .enumerate()
            .filter(|(_, settlement)| seen.insert((&settlement.key, settlement.lease)))
            .filter_map(|(place, settlement)| {
                Some((place, Row::new(settlement, stored_lease(settlement.lease)?)))
            })
            .collect();
        let mut told = vec![Settled::Stale; settlements.len()];
        if asked.is_empty() {
            return Ok(told);
        }
        let rows: Vec<_> = asked.iter().map(|(_, row)| row).collect();
        let mut writing = self.writer.begin().await?;
        let settled = sqlx::query(self.sql.settle_requests.clone())
            .bind(json(&rows))
            .fetch_all(writing.connection())
            .await
            .map_err(failed)?;
        let done = settled
            .iter()
            // Settling ends the lease by raising it.
            .map(|row| Ok((row.text("source")?, row.text("id")?, row.number("lease")?.saturating_sub(1))))
            .collect::<Result<HashSet<_>, Unread>>()
            .map_err(corrupt)?;
        for (place, row) in &asked {
            if done.contains(&(row.source, row.id, row.lease)) {
                told[*place] = Settled::Done;
            }
        }
        writing.commit().await?;
        Ok(told)
    }

    async fn given_up(
        &self,
        queue: &str,
        after: Option<&InboxKey>,
        limit: u32,
    ) -> Result<Vec<GivenUpRequest>, StoreError> {
        let rows = sqlx::query(self.sql.given_up_requests.clone())
            .bind(queue)
            // Before every id, as none is empty.
            .bind(after.map_or("", |after| &*after.source))
            .bind(after.map_or("", |after| after.id.as_str()))
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(failed)?;
        rows.iter().map(|row| requests::given_up(queue, row)).collect::<Result<_, _>>().map_err(corrupt)
    }

    async fn put_back(&self, key: &InboxKey, now: OffsetDateTime) -> Result<bool, StoreError> {
        self.change_given_up(&self.sql.put_back_request, key, micros(now)).await
    }

    async fn close_given_up(
        &self,
        key: &InboxKey,
        now: OffsetDateTime,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        self.change_given_up(&self.sql.close_request, key, later(now, keep)).await
    }

    async fn prune_kept(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
        let mut writing = self.writer.begin().await?;
        let pruned = sqlx::query(self.sql.prune_requests.clone())
            .bind(micros(now))
            .bind(limit)
            .execute(writing.connection())
            .await
            .map_err(failed)?;
        writing.commit().await?;
        Ok(pruned.rows_affected())
    }
}

impl SqliteStore {
    async fn change_given_up(&self, sql: &sqlx::SqlStr, key: &InboxKey, at: i64) -> Result<bool, StoreError> {
        let mut writing = self.writer.begin().await?;
        let done = sqlx::query(sql.clone())
            .bind(&*key.source)
            .bind(key.id.as_str())
            .bind(at)
            .execute(writing.connection())
            .await
            .map_err(failed)?;
        writing.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}

/// One statement for each, as bodies are bound.
pub(super) async fn keep(
    sql: &Statements,
    connection: &mut SqliteConnection,
    requests: &[&KeptRequest],
) -> Result<Vec<Kept>, StoreError> {
    let mut told = Vec::with_capacity(requests.len());
    for request in requests {
        let kept = sqlx::query(sql.keep_request.clone())
            .bind(&*request.key.source)
            .bind(request.key.id.as_str())
            .bind(request.queue.as_str())
            .bind(request.event.as_str())
            .bind(request.proof.as_str())
            .bind(micros(request.received_at))
            .bind(request.signed_at.map(micros))
            .bind(request.body.as_ref())
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        told.push(if kept.rows_affected() > 0 { Kept::New } else { Kept::Duplicate });
    }
    Ok(told)
}

/// One settlement, as JSON that the settling statement reads.
#[derive(Serialize)]
struct Row<'a> {
    source: &'a str,
    id: &'a str,
    lease: i64,
    due_at: Option<i64>,
    given_up_at: Option<i64>,
    keep_until: Option<i64>,
    reason: Option<&'a str>,
    tried: u8,
}

impl<'a> Row<'a> {
    fn new(settlement: &'a RequestSettlement, lease: i64) -> Self {
        let RequestSettlement { key, now, conclusion, .. } = settlement;
        let row = Self {
            source: &key.source,
            id: key.id.as_str(),
            lease,
            due_at: None,
            given_up_at: None,
            keep_until: None,
            reason: None,
            tried: 1,
        };
        match conclusion {
            Conclusion::Done { keep } => Self { keep_until: Some(later(*now, *keep)), ..row },
            Conclusion::Retry { after, reason } => {
                Self { due_at: Some(later(*now, *after)), reason: Some(reason), ..row }
            }
            Conclusion::GiveUp { reason } => {
                Self { given_up_at: Some(micros(*now)), reason: Some(reason), ..row }
            }
            Conclusion::HandBack => Self { due_at: Some(micros(*now)), tried: 0, ..row },
        }
    }
}

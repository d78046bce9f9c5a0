//! Inserting, claiming, extending and settling on one connection.

mod claiming;
pub(super) mod inserting;
pub(super) mod settling;

use std::collections::HashSet;

use sqlx::SqliteConnection;

use self::claiming::Claiming;
use self::inserting::Inserting;
use self::settling::Settling;
use super::error::failed;
use super::rows::hex;
use super::script::{Failure, Script};
use super::statements::Statements;
use crate::id::DeliveryId;
use crate::store::sql::columns::{Columns as _, Unread, corrupt, json, stored_lease};
use crate::store::{Claim, Claims, Inserted, Lease, NewEvent, Settled, Settlement, StoreError};

/// Writes events and settlements and leases due deliveries, in one message to the connection and a second one
/// for a claim.
///
/// With [`Ends::Here`], the last message of the claim also commits the transaction.
///
/// Rare cases take more messages: a known event, a paused subscription, an ordering key, many shares. Then,
/// and if nothing is claimed, the caller commits; see [`Written::is_committed`].
pub(super) async fn write(
    sql: &Statements,
    connection: &mut SqliteConnection,
    ends: Ends,
    events: &[&NewEvent],
    settlements: &[&Settlement],
    claim: Option<&Claim>,
) -> Result<Written, Failure> {
    let mut script = Script::default();
    if ends != Ends::Elsewhere {
        script.begin();
    }
    // A delivery must not be sent before its insert is committed.
    let leases = ends != Ends::Elsewhere;
    let inserting = (!events.is_empty()).then(|| Inserting::ask(sql, &mut script, events, leases));
    let settling = (!settlements.is_empty()).then(|| Settling::ask(sql, &mut script, settlements));
    let claiming = claim.map(|claim| Claiming::ask(sql, &mut script, claim));
    let mut results = script.run(connection).await?;
    let mut written = Written::default();
    let mut is_overtaken = false;
    if let Some(inserting) = inserting {
        let (inserted, went_on) = inserting.finish(sql, connection, &mut results).await?;
        written.inserted = inserted;
        is_overtaken |= went_on;
    }
    if let Some(settling) = settling {
        let (settled, went_on) = settling.finish(sql, connection, &mut results).await?;
        written.settled = settled;
        is_overtaken |= went_on;
    }
    written.claimed = match (claiming, claim) {
        // The insert or settlement changed what is due, so ask again.
        (Some(_), Some(claim)) if is_overtaken => Some(self::claim(sql, connection, claim).await?),
        (Some(claiming), _) => {
            let (claims, is_committed) =
                claiming.finish(sql, connection, &mut results, ends == Ends::Here).await?;
            written.is_committed = is_committed;
            Some(claims)
        }
        (None, _) => None,
    };
    Ok(written)
}

/// How the transaction begins and ends.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Ends {
    /// The caller began it and commits it.
    Elsewhere,
    /// It begins here, and the caller commits it after more writes.
    Later,
    /// It begins here, and the last message of a claim commits it.
    Here,
}

/// The results of [`write`].
#[derive(Default)]
pub(super) struct Written {
    pub(super) inserted: Vec<Inserted>,
    pub(super) settled: Vec<Settled>,
    pub(super) claimed: Option<Claims>,
    /// Whether the transaction was committed already.
    pub(super) is_committed: bool,
}

/// Writes events and their deliveries, which are due at once, in the caller's transaction.
pub(super) async fn insert(
    sql: &Statements,
    connection: &mut SqliteConnection,
    events: &[&NewEvent],
) -> Result<Vec<Inserted>, StoreError> {
    Ok(write(sql, connection, Ends::Elsewhere, events, &[], None).await?.inserted)
}

/// Leases due deliveries.
pub(super) async fn claim(
    sql: &Statements,
    connection: &mut SqliteConnection,
    claim: &Claim,
) -> Result<Claims, Failure> {
    let mut script = Script::default();
    let claiming = Claiming::ask(sql, &mut script, claim);
    let mut results = script.run(connection).await?;
    Ok(claiming.finish(sql, connection, &mut results, false).await?.0)
}

/// Extends leases to `until`. A lease that no longer holds is reported as stale.
pub(super) async fn extend(
    sql: &Statements,
    connection: &mut SqliteConnection,
    leases: &[(DeliveryId, Lease)],
    until: i64,
) -> Result<Vec<Settled>, StoreError> {
    let asked: Vec<_> = leases
        .iter()
        .filter_map(|(delivery, lease)| Some((hex(delivery.as_u128()), stored_lease(*lease)?)))
        .collect();
    let extended = sqlx::query(sql.extend.clone())
        .bind(json(&asked))
        .bind(until)
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    let extended = extended
        .iter()
        .map(|row| Ok((DeliveryId::from_u128(row.uuid("id")?), row.lease()?)))
        .collect::<Result<HashSet<_>, Unread>>()
        .map_err(corrupt)?;
    let tell = |lease| if extended.contains(lease) { Settled::Done } else { Settled::Stale };
    Ok(leases.iter().map(tell).collect())
}

//! Inserting, claiming, extending and settling on one connection, inside whatever transaction it has.

mod claiming;
mod inserting;
mod settling;

use std::collections::HashSet;

use sqlx::SqliteConnection;

use self::claiming::Claiming;
pub(super) use self::inserting::Deliveries;
use self::inserting::Inserting;
use self::settling::Settling;
pub(super) use self::settling::{Place, next_of_keys};
use super::failed;
use super::rows::hex;
use super::script::{Failure, Script};
use super::statements::Statements;
use crate::id::DeliveryId;
use crate::store::columns::{Columns as _, Unread, corrupt, json, stored_lease};
use crate::store::{Claim, Claims, Inserted, Lease, NewEvent, Settled, Settlement, StoreError};

/// Everything that is written together, in one message to the connection and another where something is claimed.
///
/// More take what is met seldom: an event that is known, a subscription that is paused, an ordering key, many shares.
///
/// Where the transaction ends here, it is committed with the last message of the claim, unless something seldom came between:
/// [`Written`] tells whether it was.
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
    let inserting = (!events.is_empty()).then(|| Inserting::ask(sql, &mut script, events));
    let settling = (!settlements.is_empty()).then(|| Settling::ask(sql, &mut script, settlements));
    let claiming = claim.map(|claim| Claiming::ask(sql, &mut script, claim));
    let mut answers = script.run(connection).await?;
    let mut written = Written::default();
    let mut is_overtaken = false;
    if let Some(inserting) = inserting {
        let (told, went_on) = inserting.finish(sql, connection, &mut answers).await?;
        written.inserted = told;
        is_overtaken |= went_on;
    }
    if let Some(settling) = settling {
        let (told, went_on) = settling.finish(sql, connection, &mut answers).await?;
        written.settled = told;
        is_overtaken |= went_on;
    }
    written.claimed = match (claiming, claim) {
        // What was found due is not all that is by now, or more.
        (Some(_), Some(claim)) if is_overtaken => Some(self::claim(sql, connection, claim).await?),
        (Some(claiming), _) => {
            let (claims, is_committed) =
                claiming.finish(sql, connection, &mut answers, ends == Ends::Here).await?;
            written.is_committed = is_committed;
            Some(claims)
        }
        (None, _) => None,
    };
    Ok(written)
}

/// Where the transaction ends.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Ends {
    /// As it began.
    Elsewhere,
    /// It begins here, and more is written in it.
    Later,
    Here,
}

/// What became of everything that was written together.
#[derive(Default)]
pub(super) struct Written {
    pub(super) inserted: Vec<Inserted>,
    pub(super) settled: Vec<Settled>,
    pub(super) claimed: Option<Claims>,
    pub(super) is_committed: bool,
}

/// Events and their deliveries.
pub(super) async fn insert(
    sql: &Statements,
    connection: &mut SqliteConnection,
    events: &[&NewEvent],
) -> Result<Vec<Inserted>, StoreError> {
    Ok(write(sql, connection, Ends::Elsewhere, events, &[], None).await?.inserted)
}

/// Takes what is due.
pub(super) async fn claim(
    sql: &Statements,
    connection: &mut SqliteConnection,
    claim: &Claim,
) -> Result<Claims, Failure> {
    let mut script = Script::default();
    let claiming = Claiming::ask(sql, &mut script, claim);
    let mut answers = script.run(connection).await?;
    Ok(claiming.finish(sql, connection, &mut answers, false).await?.0)
}

/// Has leases end at `until`.
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

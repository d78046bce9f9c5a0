//! Inserting, claiming, extending and settling on one connection.

pub(super) mod claiming;
pub(super) mod inserting;
pub(super) mod settling;

use std::collections::HashSet;

use sqlx::SqliteConnection;

use super::error::failed;
use super::rows::hex;
use super::statements::Statements;
use crate::id::DeliveryId;
use crate::store::sql::columns::{Columns as _, Unread, corrupt, json, stored_lease};
use crate::store::{Lease, Settled, StoreError};

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

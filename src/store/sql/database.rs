//! [`Database`]: a store that runs the shared statements.

use std::future::Future;

use sqlx::SqlStr;
use time::OffsetDateTime;

use super::columns::Columns;
use super::dialect::Dialect;
use super::statements::Shared;
use super::value::Value;
use crate::store::StoreError;

/// A store in a SQL database, as the shared calls see it.
///
/// To ensure correctness:
///
/// - **Parameters** are bound in the order of their numbers, from `?1` on.
/// - **Changes** are one transaction that has been committed when the call returns its rows. A statement that
///   changes rows returns one for each.
pub(in crate::store) trait Database: Send + Sync {
    /// The driver's row.
    type Row: Columns + Send + Sync;

    /// Returns the shared statements, with the names of this store's tables.
    fn shared(&self) -> &Shared;

    /// Returns the parts of a statement that the database spells in its own way.
    fn dialect(&self) -> &'static Dialect;

    /// Returns the parameter that stands for the time, or `None` if the store goes by the database's clock.
    fn time(&self, now: OffsetDateTime) -> Option<i64>;

    /// Runs a statement that reads.
    fn read(
        &self,
        statement: &SqlStr,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;

    /// Runs a statement that changes rows.
    fn change(
        &self,
        statement: &SqlStr,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;
}

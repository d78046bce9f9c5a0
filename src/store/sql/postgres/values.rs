//! Values as PostgreSQL stores them, and how the columns of its rows are read.

use std::borrow::Cow;

use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{Row as _, SqlStr};
use uuid::Uuid;

use super::errors::failed;
use crate::bounds;
use crate::store::StoreError;
use crate::store::sql::columns::{Columns, Unread};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::value::Value;

impl Columns for PgRow {
    fn text(&self, column: &str) -> Result<&str, Unread> {
        Ok(self.try_get(column)?)
    }

    fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>, Unread> {
        Ok(self.try_get(column)?)
    }

    fn optional_text(&self, column: &str) -> Result<Option<&str>, Unread> {
        Ok(self.try_get(column)?)
    }

    fn optional_number(&self, column: &str) -> Result<Option<i64>, Unread> {
        Ok(self.try_get(column)?)
    }

    fn uuid(&self, column: &str) -> Result<u128, Unread> {
        Ok(self.try_get::<Uuid, _>(column)?.as_u128())
    }
}

/// Checks a text that stands in an index, whose pages limit its length.
pub(super) fn indexed<'a>(name: &str, text: &'a str) -> Result<&'a str, StoreError> {
    DIALECT.key(name, text)
}

/// The source of a key, for a call that only finds rows. No row has a source that cannot be stored, nor an
/// empty one.
pub(super) fn storable(source: &str) -> &str {
    indexed("source", source).unwrap_or_default()
}

/// A text without NUL, which text in PostgreSQL cannot hold.
pub(super) fn without_nul(text: &str) -> Cow<'_, str> {
    DIALECT.text(text)
}

/// The indexes of the places, counted from 1, that a statement returned in this column.
pub(super) fn places(row: &PgRow, column: &str) -> Result<impl Iterator<Item = usize>, StoreError> {
    let places: Vec<i64> = row.try_get(column).map_err(failed)?;
    Ok(places.into_iter().filter_map(|place| usize::try_from(place).ok()?.checked_sub(1)))
}

/// A statement with its parameters.
pub(super) fn query(statement: &SqlStr, values: &[Value<'_>]) -> Query<'static, Postgres, PgArguments> {
    values.iter().fold(sqlx::query(statement.clone()), |query, value| match *value {
        Value::Id(id) => query.bind(Uuid::from_u128(id)),
        Value::Number(number) => query.bind(number),
        Value::Text(text) => query.bind(text),
        Value::Bytes(bytes) => query.bind(bytes),
    })
}

/// The parts of a shared statement as PostgreSQL spells them, and the texts that it can hold.
pub(super) const DIALECT: Dialect = Dialect {
    placeholder: '$',
    now: "{p}now_1({0})",
    later: "{p}later_1({p}now_1({0}), {1})",
    seek: "ANY (ARRAY[{0}])",
    skip_locked: " FOR UPDATE SKIP LOCKED",
    deliveries: "{p}deliveries",
    finished: "{p}deliveries",
    longest_key: Some(bounds::ORGANIZATION),
    holds_nul: false,
};

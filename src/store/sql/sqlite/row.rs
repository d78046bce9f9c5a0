//! [`Row`]: a row of either connection.

use std::sync::Arc;

use rusqlite::types::ValueRef;
use sqlx::sqlite::SqliteRow;
use zeroize::Zeroizing;

use crate::store::sql::columns::{Columns, Unread};

/// A row that a [`Connection`](super::connection::Connection) returned. It may hold secrets, and so is not
/// printed.
pub(super) enum Row {
    /// A row of the driver.
    Driver(SqliteRow),
    /// A row of the writing thread: the names of its columns, and what they hold.
    Own(Arc<[Box<str>]>, Vec<Cell>),
}

/// The value of a column.
pub(super) enum Cell {
    Null,
    Number(i64),
    Bytes(Vec<u8>),
    /// SQLite does not check that a text is UTF-8. Secrets are texts, so it is wiped.
    Text(Zeroizing<Vec<u8>>),
    /// A number that is no integer, which no column of this store may hold.
    Real,
}

impl From<ValueRef<'_>> for Cell {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Number(number),
            ValueRef::Real(_) => Self::Real,
            ValueRef::Text(text) => Self::Text(text.to_vec().into()),
            ValueRef::Blob(bytes) => Self::Bytes(bytes.to_vec()),
        }
    }
}

impl Row {
    /// Finds a column of the writing thread's row.
    fn cell<'a>(names: &[Box<str>], cells: &'a [Cell], column: &str) -> Result<&'a Cell, Unread> {
        let place = names.iter().position(|name| **name == *column);
        place.and_then(|place| cells.get(place)).ok_or_else(|| format!("column {column} is missing").into())
    }
}

impl Columns for Row {
    fn text(&self, column: &str) -> Result<&str, Unread> {
        Ok(self.optional_text(column)?.ok_or_else(|| format!("column {column} is empty"))?)
    }

    fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>, Unread> {
        let (names, cells) = match self {
            Self::Driver(row) => return row.optional_bytes(column),
            Self::Own(names, cells) => (names, cells),
        };
        match Self::cell(names, cells, column)? {
            Cell::Null => Ok(None),
            Cell::Bytes(bytes) => Ok(Some(bytes)),
            Cell::Text(text) => Ok(Some(text)),
            Cell::Number(_) | Cell::Real => Err(format!("column {column} has a number and no bytes").into()),
        }
    }

    fn optional_text(&self, column: &str) -> Result<Option<&str>, Unread> {
        let (names, cells) = match self {
            Self::Driver(row) => return row.optional_text(column),
            Self::Own(names, cells) => (names, cells),
        };
        match Self::cell(names, cells, column)? {
            Cell::Null => Ok(None),
            Cell::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(format!("column {column} has no UTF-8").into()),
            },
            _ => Err(format!("column {column} has no text").into()),
        }
    }

    fn optional_number(&self, column: &str) -> Result<Option<i64>, Unread> {
        let (names, cells) = match self {
            Self::Driver(row) => return row.optional_number(column),
            Self::Own(names, cells) => (names, cells),
        };
        match Self::cell(names, cells, column)? {
            Cell::Null => Ok(None),
            Cell::Number(number) => Ok(Some(*number)),
            _ => Err(format!("column {column} has no number").into()),
        }
    }

    fn uuid(&self, column: &str) -> Result<u128, Unread> {
        let bytes = self.optional_bytes(column)?.and_then(|bytes| bytes.try_into().ok());
        Ok(u128::from_be_bytes(bytes.ok_or_else(|| format!("column {column} has not 16 bytes"))?))
    }
}

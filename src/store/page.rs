//! [`Page`]: some items of a list; [`Cursor`]: where a list goes on.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// Some items of a list, and where the list goes on.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Page<T> {
    /// At most as many as were asked for.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// The number of deliveries that a list reads for one page where it is narrowed by something without an
    /// index.
    pub const LOOKED_THROUGH: u32 = 1_000;

    /// Makes the last page of a list.
    pub const fn last(items: Vec<T>) -> Self {
        Self { items, next: None }
    }

    /// Makes a page of `limit` items from `limit + 1` that were read: the last one shows whether there is
    /// another page.
    pub fn cut(mut items: Vec<T>, limit: u32, cursor: impl FnOnce(&T) -> Cursor) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if items.len() <= limit {
            return Self::last(items);
        }
        items.truncate(limit);
        let next = items.last().map(cursor);
        Self { items, next }
    }

    /// Converts the items.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}

/// A place in a list: a page begins behind it. Clients hand its text back and do not read it.
///
/// ```
/// use hookwire::store::Cursor;
///
/// let cursor = Cursor::new(7, 9);
/// assert_eq!(cursor.to_string().parse::<Cursor>()?, cursor);
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cursor {
    major: u128,
    minor: u128,
}

impl Cursor {
    /// Makes the place behind the item that sorts by `major`, then by `minor`.
    pub const fn new(major: u128, minor: u128) -> Self {
        Self { major, minor }
    }

    /// The number by which the list sorts first.
    pub const fn major(self) -> u128 {
        self.major
    }

    /// The number by which it sorts among equals.
    pub const fn minor(self) -> u128 {
        self.minor
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.major, self.minor)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let part = |text: &str| {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
            u128::from_str_radix(text, 16).ok().filter(|_| is_plain)
        };
        let (major, minor) = text.split_once('-').unwrap_or_default();
        part(major).zip(part(minor)).map(|(major, minor)| Self { major, minor }).ok_or_else(|| {
            Error::new(ErrorKind::Delivery, "cursor is not valid").with_expected("one that a page gave")
        })
    }
}

//! [`Dialect`]: how a database spells the parts of a statement on which the databases differ.

use std::borrow::Cow;

use sqlx::SqlStr;

use super::tables::Prefix;
use crate::store::{StoreError, StoreErrorKind};

/// The parts of a statement that a database spells in its own way, and the texts that it can hold.
///
/// A shared statement is written with `?1`, `?2`, ... for its parameters and with these parts in braces:
/// `{p}` is the prefix of the tables, `{now(?3)}` an instant, `{later(?3, ?4)}` an instant and a span after
/// it, `{seek(d.event)}` a value by which an index is searched, `{skip_locked}` the end of a query for rows
/// that this transaction deletes, and `{deliveries}` and `{finished}` are relations.
#[derive(Debug)]
pub(in crate::store) struct Dialect {
    /// The sign before the number of a parameter.
    pub(in crate::store) placeholder: char,
    /// The store's current time; `{0}` is the caller's time.
    pub(in crate::store) now: &'static str,
    /// The instant `{1}` microseconds after the caller's time `{0}`, at most the last one that can be read
    /// back.
    pub(in crate::store) later: &'static str,
    /// The value `{0}` on the right side of `=`, written so that the planner can only look it up in an index.
    pub(in crate::store) seek: &'static str,
    /// The end of a query that skips the rows that another transaction has locked.
    pub(in crate::store) skip_locked: &'static str,
    /// The relation of all deliveries.
    pub(in crate::store) deliveries: &'static str,
    /// The relation in which finished deliveries are updated. It may have pending ones, too.
    pub(in crate::store) finished: &'static str,
    /// The most bytes that an indexed text may have.
    pub(in crate::store) longest_key: Option<usize>,
    /// Whether a text may contain a NUL.
    pub(in crate::store) holds_nul: bool,
}

impl Dialect {
    /// Writes out a shared statement for the tables of this prefix.
    pub(in crate::store) fn statement(&self, prefix: &Prefix, sql: &str) -> SqlStr {
        prefix.statement(&self.write(prefix, sql))
    }

    fn write(&self, prefix: &Prefix, sql: &str) -> String {
        let mut written = String::with_capacity(sql.len() + 64);
        let mut rest = sql;
        while let Some((before, part)) = rest.split_once('{') {
            let (part, after) = part.split_once('}').expect("invariant: a part of a statement is closed");
            written.push_str(before);
            written.push_str(&self.part(part));
            rest = after;
        }
        written.push_str(rest);
        self.numbered(&prefix.apply(&written))
    }

    fn part(&self, part: &str) -> Cow<'static, str> {
        let (name, arguments) = part.split_once('(').unwrap_or((part, ""));
        let pattern = match name {
            "p" => return "{p}".into(),
            "now" => self.now,
            "later" => self.later,
            "seek" => self.seek,
            "skip_locked" => self.skip_locked,
            "deliveries" => self.deliveries,
            "finished" => self.finished,
            _ => panic!("invariant: {part} is a part that each dialect has"),
        };
        let arguments = arguments.trim_end_matches(')').split(", ");
        let fill = |text: String, (number, argument): (usize, &str)| {
            text.replace(&format!("{{{number}}}"), argument)
        };
        arguments.enumerate().fold(pattern.to_owned(), fill).into()
    }

    fn numbered(&self, sql: &str) -> String {
        let mut written = String::with_capacity(sql.len());
        let mut chars = sql.chars().peekable();
        while let Some(char) = chars.next() {
            let is_parameter = char == '?' && chars.peek().is_some_and(char::is_ascii_digit);
            written.push(if is_parameter { self.placeholder } else { char });
        }
        written
    }

    /// Checks a text that an index holds.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Backend`] if the database cannot hold the text. Then no row has it.
    pub(in crate::store) fn key<'a>(&self, name: &str, text: &'a str) -> Result<&'a str, StoreError> {
        let refuse = |error: String| Err(StoreError::new(StoreErrorKind::Backend, error));
        if !self.holds_nul && text.contains('\0') {
            return refuse(format!("{name} contains a NUL, which text in this database cannot hold"));
        }
        match self.longest_key {
            Some(most) if text.len() > most => {
                refuse(format!("{name} has {} bytes, expected at most {most}", text.len()))
            }
            _ => Ok(text),
        }
    }

    /// Returns a text that the database can hold, if needed with U+FFFD in place of a NUL.
    pub(in crate::store) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !self.holds_nul && text.contains('\0') {
            text.replace('\0', "\u{fffd}").into()
        } else {
            text.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIALECT: Dialect = Dialect {
        placeholder: '$',
        now: "{p}now({0})",
        later: "later({p}now({0}), {1})",
        seek: "ANY (ARRAY[{0}])",
        skip_locked: " SKIP LOCKED",
        deliveries: "{p}all",
        finished: "{p}ended",
        longest_key: Some(3),
        holds_nul: false,
    };

    #[test]
    fn a_statement_is_written_with_the_parts_of_its_dialect() {
        let prefix = Prefix::parse("x_", 10, "pg_").unwrap();
        let sql = "SELECT '?', {now(?1)} - ?12 FROM {p}a JOIN {deliveries} ON id = {seek(a.id)} WHERE t <= {later(?1, ?2)}{skip_locked}";
        let written = "SELECT '?', x_now($1) - $12 FROM x_a JOIN x_all ON id = ANY (ARRAY[a.id]) \
                       WHERE t <= later(x_now($1), $2) SKIP LOCKED";
        assert_eq!(DIALECT.write(&prefix, sql), written);
    }

    #[test]
    fn a_key_that_the_database_cannot_hold_is_refused_and_a_text_is_mended() {
        assert_eq!(DIALECT.key("queue", "abc").unwrap(), "abc");
        assert!(format!("{:?}", DIALECT.key("queue", "abcd").unwrap_err()).contains("4 bytes"));
        assert!(format!("{:?}", DIALECT.key("queue", "a\0").unwrap_err()).contains("NUL"));
        assert_eq!(DIALECT.text("a\0b"), "a\u{fffd}b");
        let all = Dialect { holds_nul: true, longest_key: None, ..DIALECT };
        assert_eq!(all.key("queue", "abcd\0").unwrap(), "abcd\0");
        assert_eq!(all.text("a\0b"), "a\0b");
    }
}

//! Reads the text of a signature header, or of the field that stands for it.

use super::key::MAX_SIGNATURES;
use super::layout::{Column, Layout};

/// The signatures of a request, still encoded, and the time among them.
#[derive(Default)]
pub(super) struct Found {
    pub(super) signatures: Vec<Vec<u8>>,
    pub(super) timestamp: Option<Vec<u8>>,
}

impl Found {
    fn push(&mut self, signature: &[u8]) -> Result<(), &'static str> {
        if self.signatures.len() == MAX_SIGNATURES {
            return Err("holds more than 16 signatures");
        }
        self.signatures.push(signature.to_vec());
        Ok(())
    }

    fn set_time(&mut self, time: &[u8]) -> Result<(), &'static str> {
        match self.timestamp.replace(time.to_vec()) {
            Some(other) if other != time => Err("has more than one time"),
            _ => Ok(()),
        }
    }
}

/// Reads one text. The error says what is wrong, to follow the header's name in a sentence.
pub(super) fn read_texts(layout: &Layout, text: &[u8], found: &mut Found) -> Result<(), &'static str> {
    match *layout {
        Layout::Single { prefix } => {
            let signature =
                text.strip_prefix(prefix.as_bytes()).ok_or("does not begin with its scheme's prefix")?;
            found.push(signature)
        }
        Layout::List { version } => {
            let entries = || text.split(|byte| *byte == b' ').filter(|entry| !entry.is_empty());
            check_count(entries())?;
            for entry in entries() {
                if let Some(rest) = entry.strip_prefix(version.as_bytes())
                    && let Some(signature) = rest.strip_prefix(b",")
                {
                    found.push(signature)?;
                }
            }
            Ok(())
        }
        Layout::Fields { timestamp, signature } => read_named(text, b',', Some(timestamp), signature, found),
        Layout::Named { separator, timestamp, signature } => {
            read_named(text, separator, timestamp, signature, found)
        }
        Layout::Tags { separator, prefix } => {
            check_count(text.split(|byte| *byte == separator))?;
            for tag in text.split(|byte| *byte == separator) {
                if let Some(signature) = tag.trim_ascii().strip_prefix(prefix.as_bytes()) {
                    found.push(signature)?;
                }
            }
            Ok(())
        }
        Layout::Columns { entries, separator, columns } => {
            let rows: Vec<_> = match entries {
                Some(entries) => text.split(|byte| *byte == entries).collect(),
                None => vec![text],
            };
            check_count(rows.iter().copied())?;
            for row in rows {
                match read_columns(row, separator, columns, found) {
                    // A list may have rows of other kinds beside these.
                    Err(WRONG_COLUMNS) if entries.is_some() => {}
                    other => other?,
                }
            }
            Ok(())
        }
    }
}

/// Writes the text for these signatures. A layout with room for one has the first.
pub(super) fn write_texts(layout: &Layout, signatures: &[String], time: &str) -> String {
    let first = signatures.first().map(String::as_str).unwrap_or_default();
    let named = |separator: u8, timestamp: Option<&str>, signature: &str| {
        let time = timestamp.map(|name| format!("{name}={time}"));
        let fields = signatures.iter().map(|text| format!("{signature}={text}"));
        time.into_iter().chain(fields).collect::<Vec<_>>().join(&char::from(separator).to_string())
    };
    match *layout {
        Layout::Single { prefix } => format!("{prefix}{first}"),
        Layout::List { version } => {
            let entries: Vec<_> = signatures.iter().map(|text| format!("{version},{text}")).collect();
            entries.join(" ")
        }
        Layout::Fields { timestamp, signature } => named(b',', Some(timestamp), signature),
        Layout::Named { separator, timestamp, signature } => named(separator, timestamp, signature),
        Layout::Tags { separator, prefix } => {
            let tags: Vec<_> = signatures.iter().map(|text| format!("{prefix}{text}")).collect();
            tags.join(&char::from(separator).to_string())
        }
        Layout::Columns { separator, columns, .. } => {
            let cells = columns.iter().map(|column| match column {
                Column::Text(text) => text,
                Column::Any => "key",
                Column::Timestamp => time,
                Column::Signature => first,
            });
            cells.collect::<Vec<_>>().join(&char::from(separator).to_string())
        }
    }
}

fn read_named(
    text: &[u8],
    separator: u8,
    timestamp: Option<&str>,
    signature: &str,
    found: &mut Found,
) -> Result<(), &'static str> {
    let fields = || text.split(|byte| *byte == separator).map(<[u8]>::trim_ascii);
    // Beside the signatures there is a time.
    if fields().count() > MAX_SIGNATURES + 1 {
        return Err("holds more than 16 signatures");
    }
    for field in fields() {
        let named = |name: &str| field.strip_prefix(name.as_bytes())?.strip_prefix(b"=");
        if let Some(time) = timestamp.and_then(named) {
            if found.timestamp.is_some() {
                return Err("has more than one time");
            }
            found.set_time(time)?;
        } else if let Some(signature) = named(signature) {
            found.push(signature)?;
        }
    }
    Ok(())
}

fn read_columns(
    row: &[u8],
    separator: u8,
    columns: &[Column],
    found: &mut Found,
) -> Result<(), &'static str> {
    let cells: Vec<_> = row.splitn(columns.len() + 1, |byte| *byte == separator).collect();
    if cells.len() != columns.len() {
        return Err(WRONG_COLUMNS);
    }
    for (cell, column) in cells.into_iter().zip(columns) {
        match column {
            Column::Text(text) if cell != text.as_bytes() => return Err(WRONG_COLUMNS),
            Column::Text(_) | Column::Any => {}
            Column::Timestamp => found.set_time(cell)?,
            Column::Signature => found.push(cell)?,
        }
    }
    Ok(())
}

fn check_count<'t>(entries: impl Iterator<Item = &'t [u8]>) -> Result<(), &'static str> {
    if entries.count() > MAX_SIGNATURES { Err("holds more than 16 signatures") } else { Ok(()) }
}

const WRONG_COLUMNS: &str = "does not have the columns of its scheme";

//! Reads JSON as senders really write it, and writes it with escapes.

use serde::de::IgnoredAny;
use serde_json::{Error, Value};

use crate::mending::mended;

/// Reads a body. A byte order mark is skipped, and half a surrogate is read as U+FFFD.
pub(crate) fn parse(body: &[u8]) -> Result<Value, Error> {
    let body = unmarked(body);
    match str::from_utf8(body) {
        Ok(text) => serde_json::from_str(&mended(text)),
        Err(_) => serde_json::from_slice(body),
    }
}

/// The body without the byte order mark that some senders put before it.
pub(crate) fn unmarked(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// The body with `\uXXXX` in place of each character beyond printable ASCII; `None` if it has none.
///
/// A body that is no JSON, because a backslash or a line break in it lost its escape, gets that back. In any
/// other body a backslash is left alone: a second one would make another text of it.
pub(super) fn escaped(body: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(body).ok()?;
    let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
    if is_json && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return None;
    }
    let mut escaped = Vec::with_capacity(text.len() + 64);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if !is_json && letters.peek() != Some(&'/') => escaped.extend(b"\\\\"),
            ' '..='~' => escaped.push(letter as u8),
            '\n' => escaped.extend(b"\\n"),
            '\r' => escaped.extend(b"\\r"),
            '\t' => escaped.extend(b"\\t"),
            _ => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    escaped.extend(format!("\\u{unit:04x}").into_bytes());
                }
            }
        }
    }
    Some(escaped)
}

#[cfg(test)]
mod tests {
    use super::{escaped, parse};

    #[test]
    fn a_body_with_a_mark_or_half_a_surrogate_is_json() {
        assert_eq!(parse(b"\xef\xbb\xbf{\"a\":\"\\ud83d\"}").unwrap()["a"], "\u{fffd}");
        assert!(parse(b"{\"a\":\"\xff\"}").is_err());
    }

    /// The bodies of the tests of Box's own library.
    #[test]
    fn characters_beyond_ascii_are_escaped_and_lost_escapes_come_back() {
        let escape = |text: &str| escaped(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(escape(r#"{"name":"\\/"}"#), None);
        assert_eq!(escape("{\"name\":\"\u{30b9}\"}").unwrap(), r#"{"name":"\u30b9"}"#);
        assert_eq!(escape("{\"name\":\"\u{1f600}\"}").unwrap(), r#"{"name":"\ud83d\ude00"}"#);
        assert_eq!(escape("{\"name\":\"test \r\"}").unwrap(), r#"{"name":"test \r"}"#);
        assert_eq!(escape(r#"{"name":"\"}"#).unwrap(), r#"{"name":"\\"}"#);
        // This one is JSON, and its escapes are its own.
        assert_eq!(escape("{\"name\":\"\\n\u{e9}\"}").unwrap(), r#"{"name":"\n\u00e9"}"#);
    }
}

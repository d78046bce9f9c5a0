//! Checks a [`Scheme`] while it is built: its headers, the layout of its signature, and that no two messages
//! have the same signed content.

use super::algorithm::{Algorithm, TimeForm};
use super::layout::{Column, ContentForm, Layout, SignaturePlace};
use super::message::Part;
use super::scheme::Scheme;
use super::secret::KeyForm;

impl Scheme {
    /// Checks what the parts say together, and keeps what follows from them.
    ///
    /// # Panics
    ///
    /// If parts contradict each other, which is a compile error in a constant.
    pub(super) const fn checked(mut self) -> Self {
        assert!(!self.name.is_empty(), "a scheme needs a name");
        self.check_headers();
        self.check_layout();
        self.check_content();
        self.id_separator = id_separator(self.content);
        self.signs_time = has_timestamp(self.content) || self.json_time.is_some() && self.has_body();
        self.is_plain = self.plain();
        self
    }

    /// Whether this is HMAC-SHA256 over id, time and body, each with its separator, and everything else is in
    /// headers.
    const fn plain(&self) -> bool {
        let mut at = 0;
        while at < self.content.len() {
            let is_last = at + 1 == self.content.len();
            let is_plain = match self.content[at] {
                Part::Body => is_last,
                Part::Text(_) => !is_last,
                Part::Id => !is_last && matches!(self.content[at + 1], Part::Text(_)),
                Part::Timestamp => {
                    !is_last && matches!(self.content[at + 1], Part::Text(text) if !is_digit_first(text))
                }
                _ => false,
            };
            if !is_plain {
                return false;
            }
            at += 1;
        }
        matches!(self.algorithm, Algorithm::HmacSha256)
            && matches!(self.time, TimeForm::Seconds)
            && matches!(self.place, SignaturePlace::Header)
            && matches!(self.content_form, ContentForm::AsSent)
            && matches!(self.key_form, KeyForm::Base64 | KeyForm::Text)
            && matches!(self.layout, Layout::Single { .. } | Layout::List { .. } | Layout::Fields { .. })
            && self.json_time.is_none()
            && self.each.is_none()
            && self.query_digest.is_none()
    }

    const fn check_headers(&self) {
        match self.place {
            SignaturePlace::Json(pointer) => {
                assert!(is_pointer(pointer), "the signature's JSON Pointer does not begin with a slash");
                return;
            }
            SignaturePlace::Form(field) => {
                assert!(!field.is_empty(), "the signature's form field has no name");
                return;
            }
            SignaturePlace::Numbered => {
                let name = self.signature_header.as_bytes();
                assert!(
                    name.len() > 2 && name[name.len() - 1] == b'1' && name[name.len() - 2] == b'-',
                    "the first of several numbered signature headers does not end in -1"
                );
            }
            SignaturePlace::Headers(more) => {
                let mut at = 0;
                while at < more.len() {
                    assert!(is_header(more[at]), "a signature header is no lower-case header name");
                    at += 1;
                }
            }
            SignaturePlace::Header => {}
        }
        assert!(is_header(self.signature_header), "the signature header is no lower-case header name");
        if let Some(id) = self.id_header {
            assert!(is_header(id), "the id header is no lower-case header name");
            assert!(!same(id, self.signature_header), "the id and the signature need different headers");
        }
        if let Some(timestamp) = self.timestamp_header {
            assert!(is_header(timestamp), "the timestamp header is no lower-case header name");
            assert!(
                !same(timestamp, self.signature_header),
                "the time and the signature need different headers"
            );
            if let Some(id) = self.id_header {
                assert!(!same(timestamp, id), "the time and the id need different headers");
            }
        }
    }

    const fn check_layout(&self) {
        assert!(
            !self.takes_ed25519 || matches!(self.layout, Layout::List { .. }),
            "Ed25519 signatures are entries of a list"
        );
        match self.layout {
            Layout::Single { prefix } => assert!(is_visible(prefix), "the prefix is not visible ASCII"),
            Layout::List { version } => {
                assert!(is_word(version), "the version is not lower-case letters and digits");
            }
            Layout::Fields { timestamp, signature } => {
                assert!(self.timestamp_header.is_none(), "the time is sent both in a header and in a field");
                assert!(is_word(timestamp), "the time's field is not lower-case letters and digits");
                assert!(is_word(signature), "the signature's field is not lower-case letters and digits");
                assert!(!same(timestamp, signature), "the time and the signature need different fields");
            }
            Layout::Named { timestamp, signature, .. } => {
                assert!(is_word(signature), "the signature's field is not lower-case letters and digits");
                if let Some(timestamp) = timestamp {
                    assert!(
                        self.timestamp_header.is_none(),
                        "the time is sent both in a header and in a field"
                    );
                    assert!(is_word(timestamp), "the time's field is not lower-case letters and digits");
                    assert!(!same(timestamp, signature), "the time and the signature need different fields");
                }
            }
            Layout::Tags { separator, prefix } => {
                assert!(is_visible(prefix), "the prefix is not visible ASCII");
                assert!(!holds(prefix, separator), "the prefix holds the separator");
            }
            Layout::Columns { columns, .. } => {
                let (mut signatures, mut times, mut at) = (0, 0, 0);
                while at < columns.len() {
                    match columns[at] {
                        Column::Signature => signatures += 1,
                        Column::Timestamp => times += 1,
                        Column::Text(_) | Column::Any => {}
                    }
                    at += 1;
                }
                assert!(signatures == 1, "exactly one column holds the signature");
                assert!(times <= 1, "more than one column holds the time");
            }
        }
    }

    /// Proves that no two messages have the same content.
    ///
    /// At most one part may be any text: the body, or the last variable part if there is no body. Before it,
    /// each part is read from the left: a variable part ends at the text or time that follows. Behind it,
    /// each part is read from the right, and a variable part begins after the text before it. A time has one
    /// length or one form, so it needs no neighbour.
    const fn check_content(&self) {
        let parts = self.content;
        assert!(!parts.is_empty(), "the content is empty");
        let Some(free) = free_part(parts) else {
            panic!("the content has more than one part that may be any text");
        };
        let (mut ids, mut timestamps, mut covers, mut at) = (0, 0, false, 0);
        while at < parts.len() {
            covers |= !matches!(parts[at], Part::Text(_) | Part::Id | Part::Timestamp | Part::Method);
            match parts[at] {
                Part::Text(text) => assert!(!text.is_empty(), "a text in the content is empty"),
                Part::Timestamp => {
                    timestamps += 1;
                    assert!(self.sends_time(), "the content has a time but nothing sends it");
                }
                Part::Id => {
                    ids += 1;
                    assert!(self.id_header.is_some(), "the content has an id but no header sends it");
                    assert!(at < free, "the id is not followed by the body");
                }
                Part::Json(pointer) | Part::AnyJson(pointer) => {
                    assert!(is_pointer(pointer), "a JSON Pointer in the content does not begin with a slash");
                }
                Part::Header(name) => assert!(is_header(name), "a signed header is no lower-case name"),
                _ => {}
            }
            if parts[at].is_variable() && at < free {
                assert!(
                    stop_after(parts, at).is_some(),
                    "after the id, a header or a field the content needs a text that begins with visible ASCII"
                );
            }
            if parts[at].is_variable() && at < free && matches!(parts[at + 1], Part::Timestamp) {
                assert!(
                    matches!(self.time, TimeForm::Rfc3339),
                    "only a time in RFC 3339 can follow the id, a header or a field without a text between them"
                );
            }
            if parts[at].is_variable() && at > free {
                assert!(
                    stop_before(parts, at).is_some(),
                    "behind the body, a header or a field needs a text before it that ends it"
                );
            }
            at += 1;
        }
        assert!(covers, "the content has nothing of the body, the URL or a header");
        assert!(ids <= 1, "the id is in the content twice");
        assert!(timestamps <= 1, "the time is in the content twice");
    }

    /// The byte that the part must not hold, so that its end or its beginning can be found.
    pub(super) const fn stop(&self, at: usize) -> Option<u8> {
        match free_part(self.content) {
            Some(free) if at < free => stop_after(self.content, at),
            Some(free) if at > free => stop_before(self.content, at),
            _ => None,
        }
    }
}

/// The part that may be any text, or the number of parts if there is none; `None` if there are several.
const fn free_part(parts: &[Part]) -> Option<usize> {
    let (mut free, mut last_variable, mut at) = (parts.len(), parts.len(), 0);
    while at < parts.len() {
        if parts[at].is_free() {
            if free < parts.len() {
                return None;
            }
            free = at;
        }
        if parts[at].is_variable() {
            last_variable = at;
        }
        at += 1;
    }
    Some(if free == parts.len() { last_variable } else { free })
}

const fn stop_after(parts: &[Part], at: usize) -> Option<u8> {
    if at + 1 == parts.len() {
        return None;
    }
    match parts[at + 1] {
        Part::Text(text) if !text.is_empty() => {
            let stop = text.as_bytes()[0];
            if stop.is_ascii_graphic() || stop == b'\n' { Some(stop) } else { None }
        }
        // The colon is at the same place of every time in RFC 3339.
        Part::Timestamp => Some(b':'),
        _ => None,
    }
}

const fn stop_before(parts: &[Part], at: usize) -> Option<u8> {
    if at == 0 {
        return None;
    }
    match parts[at - 1] {
        Part::Text(text) if !text.is_empty() => Some(text.as_bytes()[text.len() - 1]),
        _ => None,
    }
}

/// The character after a signed id, which the id itself must not hold.
const fn id_separator(content: &[Part]) -> Option<u8> {
    let mut at = 0;
    while at + 1 < content.len() {
        if matches!(content[at], Part::Id) {
            return stop_after(content, at);
        }
        at += 1;
    }
    None
}

const fn has_timestamp(content: &[Part]) -> bool {
    let mut at = 0;
    while at < content.len() {
        if matches!(content[at], Part::Timestamp) {
            return true;
        }
        at += 1;
    }
    false
}

const fn is_header(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty()
}

const fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9') {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty()
}

const fn is_visible(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_graphic() {
            return false;
        }
        at += 1;
    }
    true
}

const fn is_pointer(text: &str) -> bool {
    !text.is_empty() && text.as_bytes()[0] == b'/'
}

const fn holds(text: &str, byte: u8) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == byte {
            return true;
        }
        at += 1;
    }
    false
}

const fn is_digit_first(text: &str) -> bool {
    text.is_empty() || text.as_bytes()[0].is_ascii_digit()
}

const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let mut at = 0;
    while at < left.len() {
        if left[at] != right[at] {
            return false;
        }
        at += 1;
    }
    true
}

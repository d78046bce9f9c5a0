//! [`Message`]: the parts of one request that a signature may cover, and the rules for each.

use super::scheme::{Part, Scheme};

/// One message as it is signed. A part that the scheme does not use is empty.
#[derive(Clone, Copy)]
pub(super) struct Message<'m> {
    pub(super) id: &'m [u8],
    /// The decimal digits as sent: what was received is what is checked.
    pub(super) timestamp: &'m [u8],
    pub(super) body: &'m [u8],
}

impl Message<'_> {
    /// Hands the signed content of `scheme` to `sink`, piece by piece; the body is never copied.
    pub(super) fn feed(&self, scheme: &Scheme, mut sink: impl FnMut(&[u8])) {
        for part in scheme.content {
            match part {
                Part::Id => sink(self.id),
                Part::Timestamp => sink(self.timestamp),
                Part::Body => sink(self.body),
                Part::Text(text) => sink(text.as_bytes()),
            }
        }
    }

    /// The signed content in one piece, for algorithms that read it twice.
    pub(super) fn to_vec(self, scheme: &Scheme) -> Vec<u8> {
        let mut content = Vec::with_capacity(self.body.len() + self.id.len() + 64);
        self.feed(scheme, |piece| content.extend_from_slice(piece));
        content
    }
}

/// Checks an id, or says what is wrong with it.
pub(super) fn check_id(id: &[u8], scheme: &Scheme) -> Result<(), &'static str> {
    if id.is_empty() {
        return Err("is empty, expected 1 to 256 visible ASCII characters");
    }
    if id.len() > MAX_ID_LEN {
        return Err("is longer than 256 characters");
    }
    if !id.iter().fold(true, |fine, byte| fine & byte.is_ascii_graphic()) {
        return Err("holds something else than visible ASCII characters");
    }
    if let Some(separator) = scheme.id_separator()
        && id.iter().fold(false, |found, byte| found | (*byte == b'.') | (*byte == separator))
    {
        return Err("holds the character that ends a signed id, so the content could be split in two ways");
    }
    Ok(())
}

/// Unix seconds as a header carries them, `0|[1-9][0-9]{0,11}`, or what is wrong with them.
pub(super) fn read_timestamp(digits: &[u8]) -> Result<i64, &'static str> {
    if digits.is_empty() || digits.len() > MAX_TIMESTAMP_LEN || (digits[0] == b'0' && digits.len() > 1) {
        return Err(NOT_A_TIMESTAMP);
    }
    digits.iter().try_fold(0, |seconds, digit| match digit {
        b'0'..=b'9' => Ok(seconds * 10 + i64::from(digit - b'0')),
        _ => Err(NOT_A_TIMESTAMP),
    })
}

/// Unix seconds as decimal digits, on the stack.
pub(super) struct Digits {
    buffer: [u8; MAX_TIMESTAMP_LEN],
    start: usize,
}

impl Digits {
    /// No digits, for schemes that send no time.
    pub(super) const NONE: Self = Self { buffer: [0; MAX_TIMESTAMP_LEN], start: MAX_TIMESTAMP_LEN };

    /// Nothing for a time before 1970 or of more than twelve digits: no verifier accepts it.
    pub(super) fn new(unix_seconds: i64) -> Option<Self> {
        if !(0..=MAX_TIMESTAMP).contains(&unix_seconds) {
            return None;
        }
        let mut digits = Self::NONE;
        let mut rest = unix_seconds.unsigned_abs();
        loop {
            digits.start -= 1;
            digits.buffer[digits.start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return Some(digits);
            }
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

const MAX_ID_LEN: usize = 256;
const MAX_TIMESTAMP: i64 = 999_999_999_999;
const MAX_TIMESTAMP_LEN: usize = 12;
const NOT_A_TIMESTAMP: &str = "is not Unix seconds, expected 1 to 12 digits without a leading zero";

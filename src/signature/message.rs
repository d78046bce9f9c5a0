//! [`Content`]: the bytes that a signature covers; and the rules for a message's id and time.

use super::scheme::{MAX_TEXT_LEN, Part, Scheme};

/// The signed content of one message. The body, which comes last, is never copied.
pub(super) struct Content<'m> {
    prefix: [u8; MAX_PREFIX_LEN],
    prefix_len: usize,
    body: &'m [u8],
}

impl<'m> Content<'m> {
    /// An id and timestamp that have passed their checks; what the scheme does not sign is left out.
    #[inline]
    pub(super) fn new(scheme: &Scheme, id: &[u8], timestamp: &[u8], body: &'m [u8]) -> Self {
        let mut content = Self { prefix: [0; MAX_PREFIX_LEN], prefix_len: 0, body };
        for part in scheme.content {
            match part {
                Part::Id => content.push(id),
                Part::Timestamp => content.push(timestamp),
                Part::Text(text) => content.push(text.as_bytes()),
                Part::Body => {}
            }
        }
        content
    }

    /// What comes before the body.
    #[inline]
    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix[..self.prefix_len]
    }

    pub(super) fn body(&self) -> &[u8] {
        self.body
    }

    /// The whole in one piece, for algorithms that read it twice.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        [self.prefix(), self.body].concat()
    }

    #[inline]
    fn push(&mut self, piece: &[u8]) {
        if let [byte] = piece {
            // Mostly a full stop, for which a copy of any length is a detour.
            self.prefix[self.prefix_len] = *byte;
            self.prefix_len += 1;
            return;
        }
        let end = self.prefix_len + piece.len();
        self.prefix[self.prefix_len..end].copy_from_slice(piece);
        self.prefix_len = end;
    }
}

/// Checks an id, or says what is wrong with it.
#[inline]
pub(super) fn check_id(id: &[u8], scheme: &Scheme) -> Result<(), &'static str> {
    if id.is_empty() {
        return Err("is empty, expected 1 to 256 visible ASCII characters");
    }
    if id.len() > MAX_ID_LEN {
        return Err("is longer than 256 characters");
    }
    let separator = scheme.id_separator.unwrap_or_default();
    // Without an early exit, so that the compiler looks at many bytes at once.
    let (mut invisible, mut separates) = (false, false);
    for byte in id {
        invisible |= !byte.is_ascii_graphic();
        separates |= (*byte == b'.') | (*byte == separator);
    }
    if invisible {
        return Err("holds something else than visible ASCII characters");
    }
    if separates && scheme.id_separator.is_some() {
        return Err("holds the character that ends a signed id, so the content could be split in two ways");
    }
    Ok(())
}

/// Unix seconds as a header carries them, `0|[1-9][0-9]{0,11}`, or what is wrong with them.
#[inline]
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
    #[inline]
    pub(super) fn new(unix_seconds: i64) -> Option<Self> {
        if !(0..=MAX_TIMESTAMP).contains(&unix_seconds) {
            return None;
        }
        // Three parts of 32 bits: their divisions are cheaper and do not wait for each other.
        let mut buffer = [0; MAX_TIMESTAMP_LEN];
        for (at, unit) in [100_000_000, 10_000, 1].into_iter().enumerate() {
            let four = (unix_seconds / unit % 10_000) as u32;
            for (at, unit) in (4 * at..).zip([1_000, 100, 10, 1]) {
                buffer[at] = b'0' + (four / unit % 10) as u8;
            }
        }
        let last = MAX_TIMESTAMP_LEN - 1;
        let start = buffer.iter().position(|digit| *digit != b'0').unwrap_or(last);
        Some(Self { buffer, start })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

const MAX_ID_LEN: usize = 256;
const MAX_PREFIX_LEN: usize = MAX_ID_LEN + MAX_TIMESTAMP_LEN + MAX_TEXT_LEN;
const MAX_TIMESTAMP: i64 = 999_999_999_999;
const MAX_TIMESTAMP_LEN: usize = 12;
const NOT_A_TIMESTAMP: &str = "is not Unix seconds, expected 1 to 12 digits without a leading zero";

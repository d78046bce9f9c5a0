//! [`Content`]: the bytes that a signature covers, made of [`Part`]s; and the rules for a message's id and
//! time.

/// One part of the bytes that a [`Scheme`](crate::Scheme) signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Part {
    /// The message's id, as its header carries it.
    Id,
    /// The time of signing in Unix seconds, as the request carries it.
    Timestamp,
    /// The raw body.
    Body,
    /// A fixed text, such as the full stop between two parts.
    Text(&'static str),
    /// The whole URL that the sender was given, with its query.
    Url,
    /// The URL without its query.
    UrlWithoutQuery,
    /// The path of the URL.
    Path,
    /// A question mark and the query of the URL as `name=value` pairs, decoded, sorted and joined by `&`; and
    /// a full stop, if the body is a form. A question mark alone, if there is a form and no query; nothing,
    /// if there is neither.
    SortedQuery,
    /// The method in upper case.
    Method,
    /// The value of a header, by its lower-case name.
    Header(&'static str),
    /// The base64 of the body's MD5, as `Content-MD5` has it. MD5 has collisions: a sender that can choose
    /// bodies can make two with the same signature.
    BodyMd5,
    /// A text, number or truth value of the JSON body, by its JSON Pointer (RFC 6901). Nothing, if it is null
    /// or missing. It must not hold the text that follows in the content.
    Json(&'static str),
    /// As [`Json`](Self::Json), for the one part of a content that may hold any text.
    AnyJson(&'static str),
    /// The decoded value of a field of the form body.
    Form(&'static str),
    /// The names and values of the form body, decoded, sorted, each pair once, without anything between them.
    ///
    /// Names and values run together, so that two forms can have the same content: `ab=c` and `a=bc`.
    SortedForm,
}

impl Part {
    /// Whether the part may be any text, so that a content can have only one of its kind.
    pub(super) const fn is_free(&self) -> bool {
        matches!(self, Self::Body | Self::SortedForm | Self::AnyJson(_))
    }

    /// Whether the part is a text of the request's that has to end where the next part begins.
    pub(super) const fn is_variable(&self) -> bool {
        matches!(self, Self::Id | Self::Header(_) | Self::Json(_) | Self::Form(_))
    }
}

/// The signed content of one message, in pieces, so that nothing is copied to hash it.
///
/// Id and timestamp have passed their checks.
pub(super) struct Content<'m> {
    pub(super) parts: &'static [Part],
    pub(super) id: &'m [u8],
    pub(super) timestamp: &'m [u8],
    pub(super) body: &'m [u8],
}

impl<'m> Content<'m> {
    /// The pieces, in the order that the scheme signs them.
    #[inline]
    pub(super) fn pieces(&self) -> impl Iterator<Item = &'m [u8]> {
        self.parts.iter().map(|part| match part {
            Part::Id => self.id,
            Part::Timestamp => self.timestamp,
            Part::Text(text) => text.as_bytes(),
            Part::Body => self.body,
            // Contents with other parts are made by another way.
            _ => &[],
        })
    }

    /// The content as one piece, for algorithms that read it twice.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        self.pieces().collect::<Vec<_>>().concat()
    }
}

/// Checks an id. `separator` is the character that follows a signed id in the content; `None` for an id that
/// is not signed.
///
/// The error says what is wrong, to follow the id's name in a sentence.
#[inline]
pub(super) fn check_id(id: &[u8], separator: Option<u8>) -> Result<(), &'static str> {
    if id.is_empty() {
        return Err("is empty, expected 1 to 256 visible ASCII characters");
    }
    if id.len() > MAX_ID_LEN {
        return Err("is longer than 256 characters");
    }
    let end = separator.unwrap_or_default();
    // Without an early exit, so that the compiler looks at many bytes at once.
    let (mut invisible, mut separates) = (false, false);
    for byte in id {
        invisible |= !byte.is_ascii_graphic();
        separates |= (*byte == b'.') | (*byte == end);
    }
    if invisible {
        return Err("holds something else than visible ASCII characters");
    }
    if separates && separator.is_some() {
        return Err("holds the character that ends a signed id, so the content could be split in two ways");
    }
    Ok(())
}

/// Reads Unix seconds as a header carries them, `0|[1-9][0-9]{0,11}`.
///
/// The error says what is wrong, to follow the header's name in a sentence.
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
    text: [u8; 16],
    len: usize,
}

impl Digits {
    /// No digits, for schemes that send no time.
    pub(super) const NONE: Self = Self { text: [0; 16], len: 0 };

    /// `None` for a time before 1970 or of more than twelve digits, which no verifier accepts.
    #[inline]
    pub(super) fn new(unix_seconds: i64) -> Option<Self> {
        if !(0..=MAX_TIMESTAMP).contains(&unix_seconds) {
            return None;
        }
        // The digits are made in registers and written at once: a hash waits for bytes that were just written
        // one by one.
        let high = eight_digits((unix_seconds / 100_000_000) as u64);
        let low = eight_digits((unix_seconds % 100_000_000) as u64);
        let digits = (u128::from(low) << 64) | u128::from(high);
        let zeros = digits.trailing_zeros().min(8 * 15) / 8;
        let text = digits | u128::from_ne_bytes([b'0'; 16]);
        Some(Self { text: (text >> (8 * zeros)).to_le_bytes(), len: 16 - zeros as usize })
    }

    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }

    pub(super) fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).expect("invariant: digits are ASCII")
    }
}

/// The decimal digits of a number below 10^8, one to a byte, the first digit in the lowest byte.
///
/// The number is halved three times, all parts at once. Each division is a multiplication and a shift, which
/// is exact for numbers this small.
#[inline]
fn eight_digits(number: u64) -> u64 {
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x7f_0000_007f;
    let twos = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((twos - tens * 10) << 8)
}

const MAX_ID_LEN: usize = 256;
const MAX_TIMESTAMP: i64 = 999_999_999_999;
const MAX_TIMESTAMP_LEN: usize = 12;
const NOT_A_TIMESTAMP: &str = "is not Unix seconds, expected 1 to 12 digits without a leading zero";

#[cfg(test)]
mod tests {
    use super::{Digits, MAX_TIMESTAMP};

    #[test]
    fn digits_are_those_that_format_writes() {
        let powers = (0..12).map(|power| 10_i64.pow(power));
        let edges = powers.flat_map(|power| [power - 1, power, power + 1]).chain([MAX_TIMESTAMP]);
        // A prime stride, so that no digit keeps its value beside the others.
        let spread = (0..=MAX_TIMESTAMP).step_by(9_999_991);
        for seconds in edges.chain(spread).chain(0..=10_000) {
            assert_eq!(Digits::new(seconds).unwrap().as_str(), seconds.to_string());
        }
    }

    #[test]
    fn a_time_before_1970_or_of_thirteen_digits_has_no_digits() {
        assert!(Digits::new(-1).is_none());
        assert!(Digits::new(MAX_TIMESTAMP + 1).is_none());
    }
}

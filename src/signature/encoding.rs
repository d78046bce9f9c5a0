//! [`Encoding`]: the text of HMAC tags in headers; and the text of keys in secrets.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT};
use zeroize::Zeroizing;

/// The form in which a header carries a tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Encoding {
    Base64,
    Hex,
}

impl Encoding {
    /// The length of a tag's text.
    #[inline]
    pub(super) const fn tag_len(self) -> usize {
        match self {
            Self::Base64 => BASE64_TAG_LEN,
            Self::Hex => HEX_TAG_LEN,
        }
    }

    /// Appends a tag's text to `out`.
    #[inline]
    pub(super) fn write_tag(self, tag: &[u8; 32], out: &mut String) {
        let mut text = TagText([0; HEX_TAG_LEN]);
        match self {
            Self::Base64 => {
                STANDARD
                    .encode_slice(tag, &mut text.0)
                    .expect("invariant: 32 bytes are 44 characters of base64");
            }
            Self::Hex => {
                for (pair, byte) in text.0.as_chunks_mut().0.iter_mut().zip(tag) {
                    *pair = [byte >> 4, byte & 0x0f].map(hex_digit);
                }
            }
        }
        // The whole buffer is checked, not only the tag, because whole words are faster than a rest of single
        // bytes.
        out.push_str(&str::from_utf8(&text.0).expect("invariant: the text is ASCII")[..self.tag_len()]);
    }

    /// Reads a tag: canonical base64 with its padding, or hex in either case.
    #[inline]
    pub(super) fn read_tag(self, text: &[u8]) -> Option<[u8; 32]> {
        match self {
            Self::Base64 => tag_of_base64(text.try_into().ok()?),
            Self::Hex => tag_of_hex(text.try_into().ok()?),
        }
    }
}

impl Encoding {
    /// Reads a signature of any length.
    pub(super) fn read(self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Base64 => STANDARD.decode(text).ok(),
            Self::Hex => read_hex(text),
        }
    }

    /// The text of a signature of any length.
    pub(super) fn write(self, bytes: &[u8]) -> String {
        match self {
            Self::Base64 => STANDARD.encode(bytes),
            Self::Hex => bytes
                .iter()
                .flat_map(|byte| [byte >> 4, byte & 0x0f].map(|nibble| char::from(hex_digit(nibble))))
                .collect(),
        }
    }
}

/// The tag of canonical base64 with its padding.
#[inline]
fn tag_of_base64(text: &[u8; BASE64_TAG_LEN]) -> Option<[u8; 32]> {
    let mut tag = [0; 32];
    (STANDARD.decode_slice(text, &mut tag) == Ok(tag.len())).then_some(tag)
}

/// The tag of hex digits in either case. Nothing branches, so that the compiler works on many digits at once.
#[inline]
fn tag_of_hex(text: &[u8; HEX_TAG_LEN]) -> Option<[u8; 32]> {
    let digits = text.map(hex_value);
    let is_hex = digits.iter().fold(0, |all, digit| all | digit) <= 0x0f;
    let mut tag = [0; 32];
    for (byte, [high, low]) in tag.iter_mut().zip(digits.as_chunks().0) {
        *byte = high << 4 | low;
    }
    is_hex.then_some(tag)
}

/// The value of a hex digit, or 0xff for another character.
#[inline]
const fn hex_value(digit: u8) -> u8 {
    let decimal = digit.wrapping_sub(b'0');
    let letter = (digit | 0x20).wrapping_sub(b'a');
    let value = if decimal < 10 { decimal } else { 0xff };
    if letter < 6 { letter + 10 } else { value }
}

/// Reads hex digits in either case.
pub(crate) fn read_hex(text: &[u8]) -> Option<Vec<u8>> {
    if text.is_empty() || text.len() % 2 == 1 {
        return None;
    }
    text.chunks_exact(2).map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?)).collect()
}

/// Writes key material as base64 with padding, after `prefix`.
pub(super) fn write_key(prefix: &str, key: &[u8]) -> Zeroizing<String> {
    // The text is allocated once, because a buffer that grows would leave copies of the key behind.
    let mut text = vec![0; prefix.len() + key.len().div_ceil(3) * 4];
    text[..prefix.len()].copy_from_slice(prefix.as_bytes());
    STANDARD
        .encode_slice(key, &mut text[prefix.len()..])
        .expect("invariant: three bytes are four characters");
    Zeroizing::new(String::from_utf8(text).expect("invariant: base64 is ASCII"))
}

/// Reads key material from canonical base64, with or without its padding.
pub(super) fn read_key(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    // The capacity is reserved once, for the same reason.
    let mut key = Zeroizing::new(Vec::with_capacity(text.len().div_ceil(4) * 3));
    STANDARD_PAD_INDIFFERENT.decode_vec(text, &mut key).ok()?;
    Some(key)
}

/// Room for the longest tag, aligned so that the check of its text begins with whole words.
#[repr(align(16))]
struct TagText([u8; HEX_TAG_LEN]);

/// Uses arithmetic instead of a table, so that the compiler writes many digits at once.
#[inline]
fn hex_digit(nibble: u8) -> u8 {
    b'0' + nibble + if nibble > 9 { b'a' - b'0' - 10 } else { 0 }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

const BASE64_TAG_LEN: usize = 44;
const HEX_TAG_LEN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Tags with every value of a byte at every place.
    fn tags() -> impl Iterator<Item = [u8; 32]> {
        (0..=255_u8).map(|first| std::array::from_fn(|at| first.wrapping_add(at as u8).wrapping_mul(167)))
    }

    #[test]
    fn a_tags_text_is_the_one_that_the_libraries_write() {
        for tag in tags() {
            for (encoding, expected) in
                [(Encoding::Base64, STANDARD.encode(tag)), (Encoding::Hex, hex::encode(tag))]
            {
                let mut text = String::new();
                encoding.write_tag(&tag, &mut text);
                assert_eq!(text, expected);
                assert_eq!(encoding.read_tag(text.as_bytes()), Some(tag));
            }
            assert_eq!(Encoding::Hex.read_tag(hex::encode_upper(tag).as_bytes()), Some(tag));
        }
    }

    #[test]
    fn a_text_with_any_other_character_is_read_as_the_libraries_read_it() {
        let tag = [0xa7; 32];
        let (base64, hex) = (STANDARD.encode(tag), hex::encode(tag));
        for byte in 0..=255 {
            for at in 0..base64.len() {
                let mut text = base64.clone().into_bytes();
                text[at] = byte;
                let expected = STANDARD.decode(&text).ok().filter(|tag| tag.len() == 32);
                assert_eq!(Encoding::Base64.read_tag(&text).map(Vec::from), expected, "{byte} at {at}");
            }
            for at in 0..hex.len() {
                let mut text = hex.clone().into_bytes();
                text[at] = byte;
                let expected = hex::decode(&text).ok();
                assert_eq!(Encoding::Hex.read_tag(&text).map(Vec::from), expected, "{byte} at {at}");
            }
        }
        for len in [0, 43, 45, 63, 65] {
            assert_eq!(Encoding::Base64.read_tag(&vec![b'A'; len]), None);
            assert_eq!(Encoding::Hex.read_tag(&vec![b'A'; len]), None);
        }
    }
}

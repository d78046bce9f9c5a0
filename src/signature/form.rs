//! Form bodies and queries (`application/x-www-form-urlencoded`, by the URL standard).

/// The names and values of a form, decoded, in their order.
///
/// Bytes that are no UTF-8 become U+FFFD, as in every browser.
pub(crate) fn fields(form: &[u8]) -> impl Iterator<Item = (String, String)> {
    form.split(|byte| *byte == b'&').filter(|field| !field.is_empty()).map(|field| {
        let at = field.iter().position(|byte| *byte == b'=');
        let (name, value) = at.map_or((field, &b""[..]), |at| (&field[..at], &field[at + 1..]));
        (decoded(name), decoded(value))
    })
}

/// The value of the one field of this name.
pub(crate) fn field(form: &[u8], name: &str) -> Option<String> {
    let mut values = fields(form).filter(|(known, _)| known == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        _ => None,
    }
}

/// All names and values, sorted by name and then by value.
pub(super) fn sorted(form: &[u8]) -> Vec<(String, String)> {
    let mut all: Vec<_> = fields(form).collect();
    all.sort();
    all
}

/// All names and values, sorted by name and then by value, each pair once.
pub(super) fn distinct(form: &[u8]) -> Vec<(String, String)> {
    let mut all = sorted(form);
    all.dedup();
    all
}

/// Percent-encodes everything but the unreserved characters (RFC 3986 section 2.3).
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

fn decoded(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let escaped = (text[at] == b'%').then(|| escape(text.get(at + 1..at + 3)?)).flatten();
        match (text[at], escaped) {
            (_, Some(byte)) => {
                bytes.push(byte);
                at += 3;
                continue;
            }
            (b'+', None) => bytes.push(b' '),
            (byte, None) => bytes.push(byte),
        }
        at += 1;
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The byte that two hex digits stand for.
pub(super) fn escape(digits: &[u8]) -> Option<u8> {
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    match digits {
        [high, low] => u8::try_from(nibble(*high)? * 16 + nibble(*low)?).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{distinct, field, fields, sorted};

    #[test]
    fn a_form_is_read_by_the_url_standard() {
        let all: Vec<_> = fields(b"a=1&b=%2B+x&&c&d=%zz%2&a=0&=v").collect();
        let expected = [("a", "1"), ("b", "+ x"), ("c", ""), ("d", "%zz%2"), ("a", "0"), ("", "v")];
        assert_eq!(all, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(field(b"a=1&a=0", "a"), None);
        assert_eq!(field(b"x=%C3%A9", "x").as_deref(), Some("\u{e9}"));
        assert_eq!(field(b"x=%ff", "x").as_deref(), Some("\u{fffd}"));
        assert_eq!(sorted(b"b=2&a=2&a=1&a=2").len(), 4);
        assert_eq!(distinct(b"b=2&a=2&a=1&a=2").len(), 3);
    }
}

//! Mends JSON that other programs write and read, and that this crate's parser refuses.

use std::borrow::Cow;

/// Replaces halves of surrogates, which JSON allows and no text can hold, by U+FFFD.
pub(crate) fn mended(text: &str) -> Cow<'_, str> {
    if !text.contains("\\u") {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let unit = |at: usize| {
        let digits = text.get(at + 2..at + 6)?;
        (bytes.get(at) == Some(&b'\\') && bytes.get(at + 1) == Some(&b'u'))
            .then(|| u16::from_str_radix(digits, 16).ok())
            .flatten()
    };
    let mut mended = String::new();
    let (mut copied, mut at) = (0, 0);
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => at += 12,
            Some(0xd800..=0xdfff) => {
                mended.push_str(&text[copied..at]);
                mended.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            // The escaped character may be a backslash.
            _ => at += 2,
        }
    }
    if mended.is_empty() {
        return Cow::Borrowed(text);
    }
    mended.push_str(&text[copied..]);
    Cow::Owned(mended)
}

/// Writes whole numbers with a fraction or an exponent, such as `12.0`, as whole numbers. Some programs know
/// one kind of number.
pub(crate) fn with_whole_numbers(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut mended = String::new();
    let (mut copied, mut at, mut in_text) = (0, 0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => in_text = !in_text,
            b'\\' if in_text => at += 1,
            b'-' | b'0'..=b'9' if !in_text => {
                let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let len = bytes[at..].iter().take_while(|byte| is_part(byte)).count();
                if let Some(whole) = whole(&text[at..at + len]) {
                    mended.push_str(&text[copied..at]);
                    mended.push_str(&whole);
                    copied = at + len;
                }
                at += len;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    if mended.is_empty() {
        return Cow::Borrowed(text);
    }
    mended.push_str(&text[copied..]);
    Cow::Owned(mended)
}

/// The digits of a whole number that is written in another way.
fn whole(number: &str) -> Option<String> {
    if !number.contains(['.', 'e', 'E']) {
        return None;
    }
    let value: f64 = number.parse().ok()?;
    // Beyond this, 64-bit floating-point numbers do not tell neighbours apart.
    (value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0).then(|| format!("{value:.0}"))
}

#[cfg(test)]
mod tests {
    use super::{mended, with_whole_numbers};

    #[test]
    fn halves_of_surrogates_become_replacement_characters() {
        assert_eq!(mended(r#""\ud83d""#), r#""\ufffd""#);
        assert_eq!(mended(r#""\ud83d\ude00""#), r#""\ud83d\ude00""#);
        assert_eq!(mended(r#""\ude00\ud83dx""#), r#""\ufffd\ufffdx""#);
        assert_eq!(mended(r#""\\ud83d""#), r#""\\ud83d""#);
        assert_eq!(mended(r#""\ud83d\u0041""#), r#""\ufffd\u0041""#);
        assert_eq!(mended(r#""\ud83"#), r#""\ud83"#);
    }

    #[test]
    fn whole_numbers_are_found_outside_of_texts_alone() {
        for (text, expected) in [
            ("12.0", "12"),
            ("-3.000", "-3"),
            ("1.2e1", "12"),
            ("1.5", "1.5"),
            ("12", "12"),
            (r#"{"a":12.0,"b":"12.0","c":[1.0,2.5,"\"3.0"]}"#, r#"{"a":12,"b":"12.0","c":[1,2.5,"\"3.0"]}"#),
            ("1e300", "1e300"),
            ("9007199254740993.0", "9007199254740993.0"),
        ] {
            assert_eq!(with_whole_numbers(text), expected);
        }
    }
}

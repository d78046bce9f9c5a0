//! Writes JSON text in another style.

/// How programs write white space into JSON.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Style {
    /// `{"a":1,"b":2}`: JavaScript, Go, Rust, Ruby.
    Compact,
    /// `{"a": 1, "b": 2}`: Python.
    Spaced,
    /// Over several lines, indented by this at each level.
    Indented(&'static str),
}

impl Style {
    pub(crate) const ALL: [Self; 5] =
        [Self::Compact, Self::Spaced, Self::Indented("  "), Self::Indented("    "), Self::Indented("\t")];
}

/// Writes JSON in another style. Keys keep their order and numbers their digits, which a parser does not
/// guarantee.
pub(crate) fn restyle(json: &str, style: Style) -> String {
    let mut out = String::with_capacity(json.len());
    let line = |out: &mut String, depth: usize| {
        if let Style::Indented(by) = style {
            out.push('\n');
            // Not deeper than serde_json reads: otherwise a body of brackets alone would grow by its square.
            out.extend(std::iter::repeat_n(by, depth.min(MAX_DEPTH)));
        }
    };
    let (mut depth, mut opened, mut quoted, mut escaped) = (0_usize, false, false, false);
    for char in json.chars() {
        if quoted {
            out.push(char);
            quoted = escaped || char != '"';
            escaped = !escaped && char == '\\';
            continue;
        }
        let closes = matches!(char, '}' | ']');
        match char {
            ' ' | '\t' | '\r' | '\n' => continue,
            _ if closes => depth = depth.saturating_sub(1),
            _ => {}
        }
        if opened != closes {
            line(&mut out, depth);
        }
        opened = matches!(char, '{' | '[');
        depth += usize::from(opened);
        quoted = char == '"';
        out.push(char);
        match (char, style) {
            (',', Style::Indented(_)) => line(&mut out, depth),
            (',', Style::Spaced) | (':', Style::Spaced | Style::Indented(_)) => out.push(' '),
            _ => {}
        }
    }
    out
}

/// The same JSON with the escapes of other programs.
pub(crate) fn escapes(json: &str) -> Vec<String> {
    let plain = unescaped(json);
    let slashes = plain.replace('/', "\\/");
    // Go writes these for text that is put into a page.
    let html = [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028")];
    let html = html.into_iter().fold(plain.clone(), |json, (char, escape)| json.replace(char, escape));
    // Python writes the third, PHP the fourth and Ruby on Rails the last.
    vec![ascii(&plain), slashes.clone(), ascii(&slashes), html.clone(), ascii(&html), plain]
}

/// JSON with every character beyond ASCII as `\uXXXX`.
pub(crate) fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for char in json.chars() {
        if char.is_ascii() {
            out.push(char);
        } else {
            out.extend(char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    out
}

/// JSON without unnecessary escapes.
pub(crate) fn unescaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = &rest[at..];
        let (text, len) = match escape.as_bytes().get(1) {
            Some(b'/') => ("/".to_owned(), 2),
            Some(b'u') => unit(escape)
                .and_then(|high| match unit(&escape[6..]) {
                    Some(low) if (0xd800..0xdc00).contains(&high) => {
                        Some((String::from_utf16(&[high, low]).ok()?, 12))
                    }
                    _ => Some((String::from_utf16(&[high]).ok()?, 6)),
                })
                .filter(|(text, _)| !text.contains(|char: char| char < ' ' || matches!(char, '"' | '\\')))
                .unwrap_or_else(|| ("\\u".to_owned(), 2)),
            // Skip the escaped character, which cannot begin another escape.
            _ => {
                let len = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
                (escape[..len].to_owned(), len)
            }
        };
        out.push_str(&text);
        rest = &escape[len..];
    }
    out + rest
}

/// The number of a `\uXXXX` at the beginning of the text.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

const MAX_DEPTH: usize = 128;

//! Text from strangers, made safe to print; JSON text, written in another style.

/// Bytes as text that a terminal does not obey: control characters and those that turn the direction of writing are
/// escaped, and so is what is not UTF-8.
pub(crate) fn printable(bytes: impl AsRef<[u8]>) -> String {
    let mut text = String::new();
    for chunk in bytes.as_ref().utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
                    text.extend(char.escape_unicode());
                }
                _ if char.is_control() => text.extend(char.escape_default()),
                _ => text.push(char),
            }
        }
        for byte in chunk.invalid() {
            text += &format!("\\x{byte:02x}");
        }
    }
    text
}

/// JSON over several lines, each printable and after `margin`; only the beginning of what is very long.
pub(crate) fn pretty(json: &str, margin: &str) -> String {
    let mut shown = String::new();
    for line in restyle(json, Style::Indented).lines() {
        shown += &format!("{margin}{}\n", printable(line));
        if shown.len() > MAX_SHOWN {
            let end = shown.floor_char_boundary(MAX_SHOWN);
            shown.truncate(end);
            return shown + "\n" + margin + "... (the rest is not shown)\n";
        }
    }
    shown
}

/// How programs write JSON.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Style {
    /// `{"a":1,"b":2}`: JavaScript, Go, Rust, Ruby.
    Compact,
    /// `{"a": 1, "b": 2}`: Python.
    Spaced,
    /// Over several lines, indented by two spaces.
    Indented,
}

/// Writes JSON in another style. Keys keep their order and numbers their digits, which a parser would not promise.
pub(crate) fn restyle(json: &str, style: Style) -> String {
    let mut out = String::with_capacity(json.len());
    let line = |out: &mut String, depth: usize| {
        if style == Style::Indented {
            out.push('\n');
            // Not deeper than serde_json reads: a body of brackets alone would grow by its square.
            out.extend(std::iter::repeat_n("  ", depth.min(MAX_DEPTH)));
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
            (',', Style::Indented) => line(&mut out, depth),
            (',', Style::Spaced) | (':', Style::Spaced | Style::Indented) => out.push(' '),
            _ => {}
        }
    }
    out
}

/// JSON with every character beyond ASCII as `\uXXXX`, as Python and PHP write it.
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

const MAX_DEPTH: usize = 128;
const MAX_SHOWN: usize = 64 << 10;

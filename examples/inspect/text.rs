//! Text from strangers, made safe to print.

use super::json::{Style, restyle};

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
    for line in restyle(json, Style::Indented("  ")).lines() {
        shown += &format!("{margin}{}\n", printable(line));
        if shown.len() > MAX_SHOWN {
            let end = shown.floor_char_boundary(MAX_SHOWN);
            shown.truncate(end);
            return shown + "\n" + margin + "... (the rest is not shown)\n";
        }
    }
    shown
}

const MAX_SHOWN: usize = 64 << 10;

//! Makes text from strangers safe to print.

use super::json::{Style, restyle};

/// Escapes the characters that a terminal obeys: control characters, characters that change the direction of
/// writing, and bytes that are not UTF-8.
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

/// Writes JSON over several lines, each printable and behind `margin`. Only the beginning of a very long text
/// is shown.
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

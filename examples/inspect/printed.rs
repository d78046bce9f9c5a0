//! Turns the text that a program prints of a parsed body back into JSON.

use std::iter::Peekable;
use std::str::Chars;

use serde::de::IgnoredAny;

/// Reads `{'id': 'evt_1', 'to': None}` as Python prints it, or `{"id"=>"evt_1", "to"=>nil}` as Ruby does.
///
/// Returns `None` if the text is JSON already, or if the result is not JSON either.
pub(crate) fn as_json(text: &str) -> Option<String> {
    if !text.trim_start().starts_with('{') || serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return None;
    }
    let mut json = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\'' | '"' => json += &serde_json::Value::from(string(char, &mut chars)?).to_string(),
            '=' if chars.next_if_eq(&'>').is_some() => json.push(':'),
            _ if char.is_ascii_alphabetic() => {
                let mut word = String::from(char);
                word.extend(std::iter::from_fn(|| chars.next_if(char::is_ascii_alphanumeric)));
                json += match word.as_str() {
                    "True" => "true",
                    "False" => "false",
                    "None" | "nil" => "null",
                    other => other,
                };
            }
            _ => json.push(char),
        }
    }
    serde_json::from_str::<IgnoredAny>(&json).is_ok().then_some(json)
}

/// Reads the rest of a string up to its `quote`.
fn string(quote: char, chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut text = String::new();
    loop {
        match chars.next()? {
            '\\' => match chars.next()? {
                'n' => text.push('\n'),
                'r' => text.push('\r'),
                't' => text.push('\t'),
                'x' => text.push(code(chars, 2)?),
                'u' => text.push(code(chars, 4)?),
                'U' => text.push(code(chars, 8)?),
                other => text.push(other),
            },
            char if char == quote => return Some(text),
            char => text.push(char),
        }
    }
}

fn code(chars: &mut Peekable<Chars<'_>>, digits: usize) -> Option<char> {
    let digits: String = chars.take(digits).collect();
    u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)
}

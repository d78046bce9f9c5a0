//! The header `Forwarded` (RFC 7239), as far as a [`NetworkGuard`](super::NetworkGuard) needs it.

use std::borrow::Cow;
use std::net::IpAddr;

use http::HeaderMap;
use http::header::FORWARDED;

use super::address::address;

/// The address from which each proxy got the request, in the order of the proxies.
///
/// An entry is `None` if a proxy does not say. A whole field counts as one `None` if it breaks the grammar: a
/// sender could open a quotation there that swallows what a proxy appended.
pub(super) fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let fields = headers.get_all(FORWARDED).iter();
    fields.flat_map(|field| field.to_str().ok().and_then(elements).unwrap_or_else(|| vec![None])).collect()
}

/// Reads `1#forwarded-element` (RFC 7239 section 4).
fn elements(mut text: &str) -> Option<Vec<Option<IpAddr>>> {
    let mut hops = Vec::new();
    loop {
        let (hop, rest) = element(text)?;
        hops.push(hop);
        match rest.strip_prefix(',') {
            Some(rest) => text = rest,
            None => return rest.is_empty().then_some(hops),
        }
    }
}

/// Reads pairs between semicolons, and returns the value of `for`, which may stand there once.
fn element(mut text: &str) -> Option<(Option<IpAddr>, &str)> {
    let mut hop = None;
    loop {
        text = trimmed(text);
        if !text.is_empty() && !text.starts_with([',', ';']) {
            let (name, rest) = token(text)?;
            let (value, rest) = value(rest.strip_prefix('=')?)?;
            // Names of parameters are case-insensitive (RFC 7239 section 4).
            if name.eq_ignore_ascii_case("for") && hop.replace(address(&value)).is_some() {
                return None;
            }
            text = trimmed(rest);
        }
        match text.strip_prefix(';') {
            Some(rest) => text = rest,
            None => return Some((hop.flatten(), text)),
        }
    }
}

fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    match text.strip_prefix('"') {
        Some(text) => quoted(text).map(|(value, rest)| (value.into(), rest)),
        None => token(text).map(|(value, rest)| (value.into(), rest)),
    }
}

/// Reads the rest of a `quoted-string` (RFC 9110 section 5.6.4), and returns it with the text behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

/// Reads a `token` (RFC 9110 section 5.6.2), and returns it with the text behind it.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let end = text.bytes().position(|byte| !is_token(byte)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn trimmed(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

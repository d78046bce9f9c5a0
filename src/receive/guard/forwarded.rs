//! The header `Forwarded` (RFC 7239), as far as a [`NetworkGuard`](super::NetworkGuard) needs it.

use std::borrow::Cow;
use std::net::IpAddr;

use http::HeaderMap;
use http::header::FORWARDED;

use super::network::address;

/// Where each proxy got the request from, in their order; nothing where one does not say, and for a whole field that is not of the
/// grammar: what a sender began a quotation in could swallow what a proxy appended.
pub(super) fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let fields = headers.get_all(FORWARDED).iter();
    fields.flat_map(|field| field.to_str().ok().and_then(elements).unwrap_or_else(|| vec![None])).collect()
}

/// `1#forwarded-element` (RFC 7239 section 4).
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

/// Pairs between semicolons, and what `for` among them says: it must not be there twice.
fn element(mut text: &str) -> Option<(Option<IpAddr>, &str)> {
    let mut told = None;
    loop {
        text = trimmed(text);
        if !text.is_empty() && !text.starts_with([',', ';']) {
            let (name, rest) = token(text)?;
            let (value, rest) = value(rest.strip_prefix('=')?)?;
            // Names of parameters are case-insensitive.
            if name.eq_ignore_ascii_case("for") && told.replace(address(&value)).is_some() {
                return None;
            }
            text = trimmed(rest);
        }
        match text.strip_prefix(';') {
            Some(rest) => text = rest,
            None => return Some((told.flatten(), text)),
        }
    }
}

fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    match text.strip_prefix('"') {
        Some(text) => quoted(text).map(|(value, rest)| (value.into(), rest)),
        None => token(text).map(|(value, rest)| (value.into(), rest)),
    }
}

/// The rest of a `quoted-string` (RFC 9110 section 5.6.4), and what stands behind it.
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

/// A `token` (RFC 9110 section 5.6.2) and what stands behind it.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let end = text.bytes().position(|byte| !is_token(byte)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn trimmed(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

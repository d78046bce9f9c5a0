//! Reads a captured request, and says what is odd about the capture.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// A request as it was captured.
#[derive(Debug)]
pub(crate) struct Captured<'a> {
    pub(crate) request_line: &'a [u8],
    pub(crate) headers: HeaderMap,
    pub(crate) body: &'a [u8],
    /// What a user should know about the capture. Holds no text from it.
    pub(crate) notes: Vec<String>,
}

/// Takes any bytes. Lines may end in CRLF or LF; the body is everything after the first empty line, up to its
/// `Content-Length` if there is one.
pub(crate) fn parse(input: &[u8]) -> Result<Captured<'_>, &'static str> {
    let mut notes = Vec::new();
    // Editors on Windows write a byte order mark.
    let mut lines = Lines { rest: input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input) };
    let first = lines.next().ok_or("it is empty")?;
    let mut headers = HeaderMap::new();
    let mut number = 1;
    let request_line = if is_request_line(first) {
        first
    } else if let Some((name, value)) = header(first) {
        notes.push("there is no request line, the capture begins with a header".to_owned());
        append(&mut headers, name, value)?;
        b"(none)"
    } else {
        return Err("its first line is neither a request line (`POST /path HTTP/1.1`) nor a header");
    };
    let mut ended = false;
    for line in lines.by_ref() {
        number += 1;
        if line.is_empty() {
            ended = true;
            break;
        }
        match header(line) {
            Some((name, value)) => append(&mut headers, name, value)?,
            None => notes.push(format!("line {number} is no header (`Name: value`) and was skipped")),
        }
    }
    if !ended {
        notes.push("there is no empty line after the headers, so the body is taken to be empty".to_owned());
    }
    let body = cut(lines.rest, &headers, &mut notes);
    for (name, undo) in [
        (header::TRANSFER_ENCODING, "capture the body without its chunks"),
        (header::CONTENT_ENCODING, "if the sender compressed after signing, capture the body unpacked"),
    ] {
        if headers.contains_key(&name) {
            notes.push(format!("the request has a header {name}; {undo}"));
        }
    }
    Ok(Captured { request_line, headers, body, notes })
}

/// The body without what a file has after it.
fn cut<'a>(rest: &'a [u8], headers: &HeaderMap, notes: &mut Vec<String>) -> &'a [u8] {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else {
        return rest;
    };
    let length = first.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(length) = length.and_then(|text| text.parse::<usize>().ok()) else {
        notes.push("Content-Length is not a number and was not used".to_owned());
        return rest;
    };
    if lengths.any(|other| other != first) {
        notes.push("there are several Content-Length headers that differ, and none was used".to_owned());
        return rest;
    }
    match rest.split_at_checked(length) {
        None => {
            let missing = length - rest.len();
            notes.push(format!(
                "the body is cut short: Content-Length is {length}, {missing} bytes are missing"
            ));
            rest
        }
        Some((body, b"")) => body,
        Some((body, b"\n" | b"\r\n")) => {
            notes.push(format!(
                "the file has a newline after the body ({length} bytes by Content-Length); it was cut"
            ));
            body
        }
        Some((body, extra)) => {
            let extra = extra.len();
            notes.push(format!("{extra} bytes after the body ({length} bytes by Content-Length) were cut"));
            body
        }
    }
}

/// `METHOD TARGET`, and a version or none. A header's name holds no space before its colon.
fn is_request_line(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    (target.starts_with(b"/") || target.starts_with(b"http"))
        && http::Method::from_bytes(method).is_ok()
        && words.next().is_none_or(|version| version.starts_with(b"HTTP/"))
        && words.next().is_none()
}

/// RFC 9112 section 5: no space before the colon, and none of the spaces around the value belongs to it.
fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
    Some((name, value))
}

/// `HeaderMap::append` panics when the map is full.
fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), &'static str> {
    headers.try_append(name, value).map(drop).map_err(|_| "it has more headers than can be held")
}

/// Lines without their CRLF or LF; `rest` is what follows the last one given.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = match self.rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &self.rest[self.rest.len()..]),
        };
        self.rest = rest;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

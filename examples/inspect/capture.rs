//! Reads a captured request, and says what is odd about the capture.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// A request as it was captured.
#[derive(Debug)]
pub(crate) struct Captured<'a> {
    pub(crate) request_line: Cow<'a, [u8]>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: &'a [u8],
    /// Remarks about the capture, for the user. They hold no text from it.
    pub(crate) notes: Vec<String>,
}

/// Reads any bytes. Lines may end in CRLF or LF. The body is `given`, or everything after the first empty
/// line, up to its `Content-Length` if there is one.
pub(crate) fn parse<'a>(input: &'a [u8], given: Option<&'a [u8]>) -> Result<Captured<'a>, &'static str> {
    let mut notes = Vec::new();
    // Editors on Windows write a byte order mark.
    let mut lines = Lines { rest: input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input) };
    let first = lines.next().ok_or("it is empty")?;
    let mut headers = HeaderMap::new();
    let mut number = 1;
    let request_line = if is_request_line(first) {
        first
    } else if first.starts_with(b":") {
        notes.push(
            "it begins with a pseudo-header of HTTP/2; method and path are taken from those".to_owned(),
        );
        lines.rest = input;
        b"(none)"
    } else if let Some((name, value)) = header(first) {
        notes.push("there is no request line, the capture begins with a header".to_owned());
        append(&mut headers, name, value)?;
        b"(none)"
    } else {
        return Err("its first line is neither a request line (`POST /path HTTP/1.1`) nor a header");
    };
    let (mut ended, mut last) = (false, None);
    let mut pseudo = Pseudo::default();
    for line in lines.by_ref() {
        number += 1;
        if line.is_empty() {
            ended = true;
            break;
        }
        if let Some((name, value)) = pseudo_header(line) {
            pseudo.set(name, value);
            continue;
        }
        // RFC 9112 section 5.2: a line that begins with white space goes on with the one before.
        let goes_on = line.starts_with(b" ") || line.starts_with(b"\t");
        if let Some(name) = last.as_ref().filter(|_| goes_on && !line.trim_ascii().is_empty()) {
            fold(&mut headers, name, line.trim_ascii());
            notes.push(format!("line {number} goes on with the header before it, which was put together"));
            continue;
        }
        match header(line) {
            Some((name, value)) => {
                last = Some(name.clone());
                append(&mut headers, name, value)?;
            }
            None => notes.push(format!("line {number} is no header (`Name: value`) and was skipped")),
        }
    }
    if !ended {
        notes.push("there is no empty line after the headers, so the body is taken to be empty".to_owned());
    }
    pseudo.add_host(&mut headers);
    let request_line = pseudo.line().map_or(Cow::Borrowed(request_line), Cow::Owned);
    let body = given.unwrap_or_else(|| cut(lines.rest, &headers, &mut notes));
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

/// Cuts off what the file has after the body.
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

/// Whether a line is `METHOD TARGET`, with or without a version. A header cannot look like that, because its
/// name has no space before the colon.
fn is_request_line(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    (target.starts_with(b"/") || target.starts_with(b"http"))
        && http::Method::from_bytes(method).is_ok()
        && words.next().is_none_or(|version| version.starts_with(b"HTTP/"))
        && words.next().is_none()
}

/// Reads a header line. RFC 9112 section 5: there is no space before the colon, and the spaces around the
/// value do not belong to it.
fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
    Some((name, value))
}

/// The pseudo-headers of HTTP/2 (RFC 9113 section 8.3.1), as browsers and tools print them.
#[derive(Default)]
struct Pseudo<'a> {
    method: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
}

impl<'a> Pseudo<'a> {
    fn set(&mut self, name: &[u8], value: &'a [u8]) {
        match name {
            b"method" => self.method = Some(value),
            b"path" => self.path = Some(value),
            b"authority" => self.authority = Some(value),
            _ => {}
        }
    }

    fn line(&self) -> Option<Vec<u8>> {
        Some([self.method?, b" ", self.path?, b" HTTP/2"].concat())
    }

    fn add_host(&self, headers: &mut HeaderMap) {
        let host = self.authority.and_then(|host| HeaderValue::from_bytes(host).ok());
        if let Some(host) = host.filter(|_| !headers.contains_key(header::HOST)) {
            headers.insert(header::HOST, host);
        }
    }
}

/// Reads a line such as `:method: POST`.
fn pseudo_header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = line.strip_prefix(b":")?;
    let colon = rest.iter().position(|byte| *byte == b':')?;
    Some((&rest[..colon], rest[colon + 1..].trim_ascii()))
}

/// Goes on with the last value of a header.
fn fold(headers: &mut HeaderMap, name: &HeaderName, more: &[u8]) {
    let header::Entry::Occupied(mut entry) = headers.entry(name) else { return };
    let Some(value) = entry.iter_mut().next_back() else { return };
    if let Ok(whole) = HeaderValue::from_bytes([value.as_bytes(), b" ", more].concat().trim_ascii()) {
        *value = whole;
    }
}

/// Adds a header. `HeaderMap::append` would panic if the map is full.
fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), &'static str> {
    headers.try_append(name, value).map(drop).map_err(|_| "it has more headers than can be held")
}

/// Lines without their CRLF or LF. The field `rest` holds the bytes after the last line.
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

//! Turns what people have of a request into the request: the output of `curl -v`, a `curl` command, a HAR
//! file, and the JSON of gateways, functions and loggers.

use crate::curl;
use crate::recorded;

/// A request in the form in which it goes over the wire, and remarks for the user.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) bytes: Vec<u8>,
    pub(crate) notes: Vec<String>,
}

/// `None` for a request that is in its own form already.
pub(crate) fn made(input: &[u8]) -> Option<Made> {
    let text = str::from_utf8(input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input)).ok()?;
    match text.trim_start() {
        json if json.starts_with(['{', '[']) => recorded::made(json),
        text if text.starts_with("curl ") => curl::command(text).map(Draft::made),
        _ => curl::verbose(text).map(Draft::made),
    }
}

/// A request whose parts are known.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) notes: Vec<String>,
}

impl Draft {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    pub(crate) fn made(self) -> Made {
        let method =
            if self.method.is_empty() { "POST".to_owned() } else { self.method.to_ascii_uppercase() };
        let target = match &*self.target.replace(char::is_whitespace, "%20") {
            "" => "/".to_owned(),
            target if target.starts_with(['/', 'h']) => target.to_owned(),
            target => format!("/{target}"),
        };
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        for (name, value) in &self.headers {
            // The chunks are gone already.
            if !name.eq_ignore_ascii_case("transfer-encoding") && !name.starts_with(':') {
                head += &format!("{}: {}\r\n", name.trim(), value.replace(['\r', '\n'], " ").trim());
            }
        }
        Made { bytes: [head.as_bytes(), b"\r\n", &self.body].concat(), notes: self.notes }
    }
}

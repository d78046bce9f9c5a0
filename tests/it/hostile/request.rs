//! A request that can be changed in any way, and sent with or without a connection.

use http::{HeaderMap, HeaderName, HeaderValue};

/// A request before it is sent.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Removes every header of this name.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(had, _)| had != name);
        self
    }

    /// Replaces a header, or adds it.
    pub(super) fn with(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).also(name, value)
    }

    /// Adds a header, also if the name exists.
    pub(super) fn also(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Repeats a header.
    pub(super) fn twice(self, name: &str) -> Self {
        let value = self.header(name).to_owned();
        self.also(name, value)
    }

    /// Changes a header's value.
    pub(super) fn edited(mut self, name: &str, edit: impl Fn(&str) -> String) -> Self {
        let (_, value) = self.headers.iter_mut().find(|(had, _)| had == name).unwrap();
        let edited = edit(std::str::from_utf8(value).unwrap());
        assert_ne!(edited.as_bytes(), value, "a change that changes nothing proves nothing");
        *value = edited.into_bytes();
        self
    }

    /// Puts these headers before the request's own.
    pub(super) fn after(mut self, headers: Vec<(String, Vec<u8>)>) -> Self {
        self.headers.splice(0..0, headers);
        self
    }

    /// Renames all headers.
    pub(super) fn renamed(mut self, edit: impl Fn(&str) -> String) -> Self {
        self.headers.iter_mut().for_each(|(name, _)| *name = edit(name));
        self
    }

    pub(super) fn method(mut self, method: &str) -> Self {
        self.method = method.to_owned();
        self
    }

    pub(super) fn path(mut self, edit: impl Fn(&str) -> String) -> Self {
        self.path = edit(&self.path);
        self
    }

    /// Changes the bytes under the same signature.
    pub(super) fn tampered(mut self, edit: impl Fn(&[u8]) -> Vec<u8>) -> Self {
        let edited = edit(&self.body);
        assert_ne!(edited, self.body, "a change that changes nothing proves nothing");
        self.body = edited;
        self
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let (_, value) = self.headers.iter().find(|(had, _)| had == name).unwrap();
        std::str::from_utf8(value).unwrap()
    }

    /// The headers as an HTTP server would pass them on.
    pub(super) fn header_map(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        map
    }

    /// The request line and the headers, with the length of the body.
    pub(super) fn head(&self) -> Vec<u8> {
        self.head_with(&format!("content-length: {}\r\n", self.body.len()))
    }

    /// The request line and the headers, with this framing of the body.
    pub(super) fn head_with(&self, framing: &str) -> Vec<u8> {
        let mut head =
            format!("{} {} HTTP/1.1\r\nhost: hooks.example\r\n", self.method, self.path).into_bytes();
        for (name, value) in &self.headers {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        [&head, framing.as_bytes(), b"\r\n"].concat()
    }

    /// The bytes on the wire.
    pub(super) fn bytes(&self) -> Vec<u8> {
        [self.head(), self.body.clone()].concat()
    }
}

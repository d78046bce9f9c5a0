//! A request that can be spoilt in any way, and its way into a receiver with and without a wire.

use http::{HeaderMap, HeaderName, HeaderValue};

/// A request, as it would be sent.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Without any header of this name.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(had, _)| had != name);
        self
    }

    /// With another value of a header that it has, or with one more header.
    pub(super) fn with(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).also(name, value)
    }

    /// With one more header, whether or not there is one of this name.
    pub(super) fn also(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// With a header that it has once more.
    pub(super) fn twice(self, name: &str) -> Self {
        let value = self.header(name).to_owned();
        self.also(name, value)
    }

    /// With another value of a header that it has, made of the one that it had.
    pub(super) fn edited(mut self, name: &str, edit: impl Fn(&str) -> String) -> Self {
        let (_, value) = self.headers.iter_mut().find(|(had, _)| had == name).unwrap();
        let edited = edit(std::str::from_utf8(value).unwrap());
        assert_ne!(edited.as_bytes(), value, "a change that changes nothing proves nothing");
        *value = edited.into_bytes();
        self
    }

    /// With these headers before its own.
    pub(super) fn after(mut self, headers: Vec<(String, Vec<u8>)>) -> Self {
        self.headers.splice(0..0, headers);
        self
    }

    /// With all its headers under names that `edit` makes of theirs.
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

    /// With other bytes under the same signature.
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

    /// As any HTTP server would hand it over.
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

    /// The request line and the headers, which say how long the body is.
    pub(super) fn head(&self) -> Vec<u8> {
        self.head_with(&format!("content-length: {}\r\n", self.body.len()))
    }

    /// The request line and the headers, with whatever is said about the body.
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

    /// As it goes over the wire.
    pub(super) fn bytes(&self) -> Vec<u8> {
        [self.head(), self.body.clone()].concat()
    }
}

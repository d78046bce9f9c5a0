//! [`HeaderFamily`]: the names of headers that carry a signature together.

/// The lower-case names of the headers that carry a signature, an id and a time together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HeaderFamily {
    pub(super) signature: &'static str,
    pub(super) id: Option<&'static str>,
    pub(super) timestamp: Option<&'static str>,
}

impl HeaderFamily {
    /// A family of one header with the signature.
    pub const fn new(signature: &'static str) -> Self {
        Self { signature, id: None, timestamp: None }
    }

    /// The header with the signature.
    pub const fn signature_header(&self) -> &'static str {
        self.signature
    }

    /// Sets the header with the id.
    pub const fn with_id(mut self, header: &'static str) -> Self {
        self.id = Some(header);
        self
    }

    /// Sets the header with the time of signing.
    pub const fn with_timestamp(mut self, header: &'static str) -> Self {
        self.timestamp = Some(header);
        self
    }
}

//! The numbers by which management recognizes its own writes.
#![cfg(feature = "manage")]

use super::options::Options;

impl Options {
    /// A number that management changes with each write of the subscription; 0 where management did not write
    /// it.
    pub(crate) const fn edition(&self) -> u64 {
        self.edition
    }

    /// Sets the number of this write.
    pub(crate) const fn with_edition(mut self, edition: u64) -> Self {
        self.edition = edition;
        self
    }

    /// A number for the request that created the subscription, where that request could be sent twice.
    pub(crate) const fn request(&self) -> Option<u64> {
        self.request
    }

    /// Sets the number of the request that creates the subscription.
    pub(crate) const fn with_request(mut self, request: Option<u64>) -> Self {
        self.request = request;
        self
    }
}

//! The contract under which a provider's events are handled and stored.

use crate::contract::Contract;
use crate::event::{EnvelopeFormat, Field, TimePrecision};
use crate::provider::definition::Provider;

impl Provider {
    /// The contract under which a receiver hands on this provider's events, and an intake stores them: each
    /// event in an envelope `{"id","type","created_at","data"}` of its own, with the data as they were sent.
    pub fn contract(&self) -> Contract {
        const FORMAT: EnvelopeFormat = EnvelopeFormat::new(&[
            Field::Id("id"),
            Field::Type("type"),
            Field::CreatedAt("created_at", TimePrecision::Microseconds),
            Field::Data("data"),
        ]);
        Contract::preset(self.name, FORMAT)
            .with_dedupe_window(self.dedupe_window)
            .with_copy_window(self.copy_window())
    }
}

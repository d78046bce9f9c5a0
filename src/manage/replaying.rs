//! The payloads that a replay needs: made through the chain of versions before anything is sent.

use super::deliveries::BATCH;
use super::error::ManageError;
use super::service::Service;
use crate::store::{MadePayload, MissingPayload, Records, Replay, Store, Subscriptions};

impl<S: Store + Subscriptions + Records> Service<S> {
    /// Stores the events that `replay` names in the version that the subscription speaks, those that are not
    /// stored in it yet.
    pub(super) async fn complete(&self, organization: &str, replay: &Replay) -> Result<(), ManageError> {
        let mut first = None;
        loop {
            let missing = self.store.missing_payloads(replay, BATCH.get(), self.now()).await?;
            let Some(next) = missing.first().cloned() else { return Ok(()) };
            let mut made = Vec::with_capacity(missing.len());
            for missing in missing {
                made.extend(self.made(organization, missing).await?);
            }
            // A store that takes a payload and goes on missing it would keep this loop busy.
            if first.as_ref() == Some(&next) {
                return Err(not_in_version(next, None));
            }
            self.store.add_payloads(organization, &made).await?;
            first = Some(next);
        }
    }

    /// Makes one payload; `None` where the event is gone.
    async fn made(
        &self,
        organization: &str,
        missing: MissingPayload,
    ) -> Result<Option<MadePayload>, ManageError> {
        let MissingPayload { contract, event, .. } = &missing;
        let Some(record) = self.store.find_event(organization, contract.name(), event).await? else {
            return Ok(None);
        };
        let Some(payload) = &record.payload else { return Ok(None) };
        let Some(versions) = self.named(contract.name()) else { return Err(not_in_version(missing, None)) };
        let (from, to) = (record.contract.version(), contract.version());
        match versions.reencode((event, record.created_at), payload, from, to) {
            Ok(bytes) => Ok(Some(MadePayload::new(missing.contract, missing.event, bytes))),
            Err(error) => Err(not_in_version(missing, Some(error))),
        }
    }
}

fn not_in_version(missing: MissingPayload, source: Option<crate::contract::VersionError>) -> ManageError {
    ManageError::NotInVersion { event: missing.event, contract: missing.contract, source }
}

//! Deleting handled requests whose time to be remembered is over, and ending those that were given up.

use std::convert::Infallible;
use std::time::Duration;

use super::incident::Incident;
use super::requests::Requests;
use crate::lease::in_batches;

impl Requests {
    /// Deletes these requests in short batches with breaks between them, so that no other request waits for
    /// more than one batch.
    pub(super) async fn prune(&self) -> Infallible {
        let prune = move |limit| async move {
            match self.intake.prune_done_dyn(limit, self.calls.clock.now()).await {
                Ok(rows) => rows,
                Err(error) => {
                    self.observe(&Incident::Intake { call: "prune_done", error: &error });
                    0
                }
            }
        };
        in_batches(INTERVAL, prune).await
    }

    /// Ends requests that were given up for long enough, in short batches, and reports each.
    pub(super) async fn expire(&self) -> Infallible {
        let Some(age) = self.expiry else { return std::future::pending().await };
        let expire = move |limit| async move {
            let now = self.calls.clock.now();
            let (queue, keep) = (&self.calls.queue, self.remember);
            match self.intake.expire_given_up_dyn(queue, age, keep, limit, now).await {
                Ok(ended) => {
                    ended.iter().for_each(|key| self.observe(&Incident::Expired { key }));
                    ended.len() as u64
                }
                Err(error) => {
                    self.observe(&Incident::Intake { call: "expire_given_up", error: &error });
                    0
                }
            }
        };
        in_batches(INTERVAL, expire).await
    }
}

const INTERVAL: Duration = Duration::from_secs(10 * 60);

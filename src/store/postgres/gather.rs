//! [`Gathered`]: inserts that come while one is on its way to the server go together, in one statement and one commit.

use tokio::sync::oneshot;

use super::PostgresStore;
use crate::store::waiting::{Answer, Part, Serving, Waiting, gone};
use crate::store::{Inserted, NewEvent, StoreError};

/// Inserts that wait for the one that is on its way.
pub(super) type Gathered = Waiting<Insert>;

pub(super) struct Insert {
    events: Vec<NewEvent>,
    answer: Answer<Vec<Inserted>>,
}

impl Part for Insert {
    fn rows(&self) -> usize {
        self.events.iter().map(|event| 1 + event.deliveries.len()).sum()
    }

    fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }
}

impl PostgresStore {
    /// Inserts events together with others'. Dropped, they are written or not, as where a statement is on its way.
    pub(super) async fn insert_together(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let (_, serves) = self.shared.gathered.join(Insert { events: events.to_vec(), answer });
        if serves {
            let store = self.clone();
            tokio::spawn(async move { store.insert_waiting().await });
        }
        answered.await.map_err(|_| gone())?
    }

    async fn insert_waiting(&self) {
        let mut serving = Serving::new(&self.shared.gathered);
        while serving.goes_on() {
            self.insert_parts(self.shared.gathered.take()).await;
        }
    }

    async fn insert_parts(&self, mut parts: Vec<Insert>) {
        let events: Vec<_> = parts.iter().flat_map(|part| &part.events).collect();
        match self.insert_events(&events).await {
            Ok(told) => {
                let mut told = told.into_iter();
                for Insert { events, answer } in parts {
                    // Whoever does not listen any more has had it written none the less.
                    _ = answer.send(Ok(told.by_ref().take(events.len()).collect()));
                }
            }
            // Nothing was written: each goes alone, so that none is refused for another.
            Err(error) if parts.len() > 1 && !error.is_retryable() => {
                for part in parts.drain(..) {
                    Box::pin(self.insert_parts(vec![part])).await;
                }
            }
            Err(error) => {
                for Insert { answer, .. } in parts {
                    _ = answer.send(Err(error.clone()));
                }
            }
        }
    }
}

//! [`InsertQueue`]: inserts that arrive while one is on its way to the server share the next statement and
//! its commit.

use crate::store::sql::waiting::{Part, ReplySender, Waiting};
use crate::store::{Inserted, NewEvent};

/// Inserts that wait for the one that is on its way.
pub(super) type InsertQueue = Waiting<QueuedInsert>;

/// The events of one caller.
pub(super) struct QueuedInsert {
    pub(super) events: Vec<NewEvent>,
    pub(super) reply: ReplySender<Vec<Inserted>>,
}

impl Part for QueuedInsert {
    fn rows(&self) -> usize {
        self.events.iter().map(|event| 1 + event.deliveries.len()).sum()
    }

    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }
}

//! [`Batch`]: the events of a call that emits, until each is written.

use crate::dispatch::routes::Routes;
use crate::event::Envelope;
use crate::store::{InsertOutcome, Inserted, NewEvent, StoreError, StoreErrorKind};

/// Events that are being written. Those that an insert finds stale stay, and are inserted again.
pub(super) struct Batch<'e, T, R> {
    /// Those that are not written yet, and the place and the envelope of each.
    pub(super) events: Vec<NewEvent>,
    pub(super) sources: Vec<(usize, &'e Envelope<T>)>,
    /// The results by place.
    results: Vec<Option<R>>,
    /// The number of inserts so far.
    inserts: u32,
}

impl<'e, T, R> Batch<'e, T, R> {
    pub(super) fn push(&mut self, event: NewEvent, envelope: &'e Envelope<T>) {
        self.events.push(event);
        self.sources.push((self.results.len(), envelope));
        self.results.push(None);
    }

    /// Whether nothing was inserted yet.
    pub(super) const fn is_first(&self) -> bool {
        self.inserts == 0
    }

    /// Whether the next insert compares editions. An organization whose subscriptions change all the time
    /// would keep its events waiting, so after a few inserts an event goes by what was read just before.
    pub(super) const fn compares(&self) -> bool {
        self.inserts < MOST_STALE
    }

    /// Takes the edition from routes that the next insert does not compare.
    pub(super) fn check(&self, routes: Routes) -> Routes {
        let edition = routes.edition.filter(|_| self.compares());
        Routes { edition, ..routes }
    }

    /// Takes the results of an insert, each by `emitted` with the number of subscriptions that were left out.
    pub(super) fn collect(
        &mut self,
        inserted: Vec<Inserted>,
        left_out: Vec<usize>,
        emitted: impl Fn(NewEvent, &Inserted, usize) -> R,
    ) -> Result<(), StoreError> {
        if inserted.len() != self.events.len() {
            let error = "the store returned fewer or more outcomes than events";
            return Err(StoreError::new(StoreErrorKind::Backend, error));
        }
        let (events, sources) = (std::mem::take(&mut self.events), std::mem::take(&mut self.sources));
        let events = events.into_iter().zip(sources);
        for ((event, source), (inserted, left_out)) in events.zip(inserted.iter().zip(left_out)) {
            if inserted.outcome == InsertOutcome::Stale && event.edition.is_some() {
                self.events.push(event);
                self.sources.push(source);
            } else {
                self.results[source.0] = Some(emitted(event, inserted, left_out));
            }
        }
        self.inserts += 1;
        Ok(())
    }

    /// The results in the order in which the events were given.
    pub(super) fn end(self) -> Vec<R> {
        self.results.into_iter().flatten().collect()
    }
}

impl<T, R> Default for Batch<'_, T, R> {
    fn default() -> Self {
        Self { events: Vec::new(), sources: Vec::new(), results: Vec::new(), inserts: 0 }
    }
}

/// How many times an event is inserted for subscriptions that have changed since they were read.
const MOST_STALE: u32 = 4;

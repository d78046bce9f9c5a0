//! [`Source`]: rows that the engine can lease.

use std::time::Duration;

use tokio::time::Instant;

use super::settings::Settings;
use super::task_pool::Runner;
use crate::store::{Settled, StoreError};

/// Rows that are leased, worked on and settled: the deliveries of a store, or the requests of an intake.
pub(crate) trait Source: Sync {
    /// Runs the work that was claimed.
    type Runner: Runner<Output: IntoIterator<Item = Self::Finished> + Send> + Send;
    /// A row to settle.
    type Finished: Send + Sync;
    /// The lease or leases of one piece of work.
    type Held: Send + Sync;
    /// A claim to make.
    type Claim: Send + Sync;

    /// Whether to settle and claim at once, so that a store that groups its writes has both in one
    /// transaction. A claim then leases rows although the settlement beside it may fail.
    const SETTLES_WHILE_CLAIMING: bool;

    fn settings(&self) -> &Settings;

    fn runner(&self) -> Self::Runner;

    /// Waits for work that was leased outside of a claim, and takes it. Dropping the future loses none. The
    /// list may be empty: then something that [`reserved`](Self::reserved) or [`expects`](Self::expects)
    /// counts has ended.
    fn given(&self) -> impl Future<Output = Vec<Given<<Self::Runner as Runner>::Work>>> + Send {
        std::future::pending()
    }

    /// How many slots are reserved for work that may be given.
    fn reserved(&self) -> usize {
        0
    }

    /// Whether work may be given, or leases be handed back, for which a shutdown has to wait.
    fn expects(&self) -> bool {
        false
    }

    /// Sets whether more slots may be reserved. At first none may.
    fn set_open(&self, _is_open: bool) {}

    /// Takes what was given last; nothing more may be given.
    fn close(&self) -> Vec<Given<<Self::Runner as Runner>::Work>> {
        Vec::new()
    }

    /// Waits until there may be something new, and returns whether to look for it.
    fn woken(&self) -> impl Future<Output = bool> + Send;

    /// Returns how long until a claim may find something, or `None` if the source knows of nothing.
    fn claims_in(&self) -> Option<Duration>;

    /// Returns the next claim, with room for this many more pieces of work, or `None` if there is nothing to
    /// claim.
    fn plan(&self, room: usize) -> Option<Self::Claim>;

    fn claim(&self, claim: &Self::Claim) -> impl Future<Output = Result<Claimed<Self>, StoreError>> + Send;

    /// Finds what is due, and returns how long the next look can wait, within the poll interval.
    fn look(&self) -> impl Future<Output = Result<Option<Duration>, StoreError>> + Send;

    fn extend(&self, held: Vec<&Self::Held>) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn settle(
        &self,
        finished: &[Self::Finished],
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send;

    /// Reports a call that failed.
    fn failed(&self, call: Call, error: &StoreError);

    fn held(work: &<Self::Runner as Runner>::Work) -> Self::Held;

    /// Returns how soon a row is due again once it is settled, if it is.
    fn retry_in(finished: &Self::Finished) -> Option<Duration>;

    /// Records work that has ended, and how much is still in flight.
    fn collected(&self, finished: &mut [Self::Finished], in_flight: usize);

    /// Records work that ended without a result.
    fn lost(&self, held: &Self::Held);

    /// Ends work untried: its rows are to be due again `after` now.
    fn hand_back(&self, held: Self::Held, after: Duration) -> impl IntoIterator<Item = Self::Finished>;
}

/// Work that was leased outside of a claim.
pub(crate) struct Given<W> {
    pub(crate) work: Vec<W>,
    /// When the call began that leased it.
    pub(crate) asked: Instant,
}

/// The result of a claim.
pub(crate) struct Claimed<S: Source + ?Sized> {
    pub(crate) work: Vec<<S::Runner as Runner>::Work>,
    /// Rows to settle without work, such as those that cannot be read.
    pub(crate) finished: Vec<S::Finished>,
    /// Whether nothing more is due now, so that a look has to find out when the next row is.
    pub(crate) is_last: bool,
}

/// A call of the store.
#[derive(Clone, Copy)]
pub(crate) enum Call {
    Look,
    Claim,
    Extend,
    Settle,
}

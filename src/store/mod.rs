//! Where subscriptions, events, deliveries and handled events live: one trait for each caller, and the stores
//! that have them.
//!
//! | trait | its callers |
//! |---|---|
//! | [`Store`] | the outbox and the dispatcher |
//! | [`TransactionalStore`] | the outbox, in the application's own transaction |
//! | [`Subscriptions`] | management and the key ring: writing and listing subscriptions |
//! | [`Records`] | management: reading and changing deliveries and events |
//! | [`Pruning`] | the dispatcher's housekeeping: deleting old rows |
//! | [`Inbox`], [`TransactionalInbox`] | the receiver: which events were handled |
//! | [`Intake`] | the receiver and its worker: requests that are stored before they are handled |
//!
//! The stores of this crate have all of them but the transactional ones, which need a database. A store of
//! your own has the traits that its callers need; delivering needs [`Store`] alone. Each trait states its
//! rules, and `store::conformance` (feature `testing`) has a test for each rule. [`implement`] has the types
//! that only the author of a store needs.

#[cfg(any(feature = "memory", feature = "_sql"))]
mod built_in;
pub mod conformance;
mod error;
mod ext;
mod forward;
pub mod implement;
mod inbox;
mod intake;
mod lease;
pub(crate) mod memory;
mod notifications;
mod page;
mod period;
mod pruning;
mod records;
pub mod reseal;
mod sql;
mod statistics;
#[expect(clippy::module_inception, reason = "the file is named after the trait that it holds")]
mod store;
mod subscriptions;

pub use error::{StoreError, StoreErrorKind};
pub use ext::StoreExt;
pub(crate) use implement::*;
pub use inbox::{Inbox, InboxKey, Reservation, TransactionalInbox};
pub use intake::NO_ATTEMPT_LEFT;
pub use intake::{
    Copies, GivenUpRequest, Intake, LeaseRequests, LeasedRequests, Stored, StoredRequest, WaitingRequests,
};
pub use lease::Lease;
pub use notifications::Notifications;
pub use page::{Cursor, Page};
pub use period::Period;
pub use pruning::{Pruning, Retention};
pub use records::{DeliveryQuery, EventRecord, MadePayload, MissingPayload, Records, Replay, Replayed};
#[cfg(feature = "postgres")]
pub use sql::postgres;
#[cfg(feature = "sqlite")]
pub use sql::sqlite;
pub use statistics::{Backlog, ContractBacklog, Count, Latency, Slot, Statistics};
pub use store::{Store, TransactionalStore};
pub use subscriptions::{Added, RoutingParts, Scanned, SecretDigest, Subscriptions};

//! Types that only the author of a store needs: what the calls of a [`Store`](crate::Store) take and give.

mod claim;
mod edition;
mod event;
mod leased;
mod pause;
mod poll;
pub(super) mod row;
mod settlement;
mod store_id;

pub use claim::{Claim, Claims, Share};
pub use edition::{Edition, Subscribed};
pub use event::{InsertOutcome, Inserted, NewDelivery, NewEvent, NewPayload};
pub use leased::{DueDelivery, Leased, Unreadable};
pub use pause::Pause;
pub use poll::{Poll, Polled, ReadyDetails};
pub use row::DeliveryRow;
pub use settlement::{DeliveryAttempt, HealthWritten, RequestAttempt, Settled, Settlement};
pub use store_id::StoreId;

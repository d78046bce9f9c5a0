//! [`HttpClient`]: sends one request, returns one response.
//!
//! The response is hostile: the endpoint's owner chooses its content and its speed. So a deadline, a cap on
//! the body and an [`AddressPolicy`](crate::AddressPolicy) are arguments of every call, and the trait's
//! contract says how a client uses them.

mod client;
pub(crate) mod descriptors;
mod error;
mod exchange;
pub mod hyper;
mod identity;
mod limits;
pub mod reqwest;

pub use self::client::HttpClient;
pub use self::error::{OwnFault, TransportError};
pub use self::exchange::Exchange;
pub use self::identity::ClientIdentity;
pub use self::limits::Limits;

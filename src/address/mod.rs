//! [`EndpointUrl`] and [`AddressPolicy`]: which endpoints a delivery may reach.
//!
//! A customer chooses an endpoint's URL, and the worker that calls it runs inside the operator's network. So
//! everything is denied except `https` to a public host; each exception is an explicit option. The check is
//! made twice: on the URL when it is registered, and on every address that its name resolves to when it is
//! dialled ([`AddressPolicy::check_resolved`]). The check of the name alone protects nobody; the check of the
//! addresses does.

mod error;
mod networks;
mod parse;
mod policy;
mod url;

pub use self::error::{AddressError, AddressErrorKind};
pub use self::policy::AddressPolicy;
pub use self::url::{EndpointHost, EndpointUrl};

//! [`Tenant`]: the extension of a request that names its tenant.

/// The name under which the receiver looks secrets up, as an extension of the request. Set it in a layer of
/// your own, from the path or the host.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "it is a name and nothing else")]
pub struct Tenant(pub String);

//! [`HyperClient`]: the default [`HttpClient`](crate::HttpClient), on hyper's connections and rustls.
#![cfg(feature = "hyper")]

pub(super) mod body;
pub(super) mod bounds;
mod budget;
mod builder;
mod client;
mod connection;
pub(super) mod dial;
pub(super) mod dialler;
pub(super) mod exhaustion;
pub(super) mod fault;
mod origin;
mod pool;
mod proxy;
mod race;
pub(super) mod resolver;
mod streams;
pub(super) mod target;
pub(super) mod tls;
mod watch;

pub use self::builder::HyperClientBuilder;
pub use self::client::HyperClient;
pub use self::proxy::Proxy;
pub use self::resolver::{Resolve, SystemResolver};

//! [`Resolve`]: turns host names into addresses; [`SystemResolver`]: by the operating system.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// Turns a host name into addresses.
///
/// The client checks every address that is returned and dials them in their order. A resolver need not filter
/// or sort for safety, and may cache.
///
/// ```
/// use std::{io, net::IpAddr};
/// use hookwire::transport::hyper::Resolve;
/// use hookwire::HyperClient;
///
/// struct Pinned(IpAddr);
///
/// impl Resolve for Pinned {
///     async fn resolve(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
///         Ok(vec![self.0])
///     }
/// }
///
/// let client = HyperClient::builder().with_resolver(Pinned([203, 0, 114, 7].into())).build()?;
/// # Ok::<(), hookwire::Error>(())
/// ```
pub trait Resolve: Send + Sync {
    /// Returns all addresses of `host`, a name in lower-case ASCII, possibly with a dot at the end.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) when the name does not exist, another kind when there was no
    /// answer. Both become [`ErrorClass::Dns`](crate::ErrorClass::Dns). Silence is reported besides as
    /// [`OwnFault::Resolver`](crate::transport::OwnFault::Resolver): the dispatcher takes its own resolver to
    /// be broken when the names of three organizations get no answer and nothing else is resolved.
    fn resolve(&self, host: &str) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send;
}

#[deny(clippy::missing_trait_methods)]
impl<R: Resolve + ?Sized> Resolve for Arc<R> {
    fn resolve(&self, host: &str) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send {
        R::resolve(self, host)
    }
}

/// The operating system's resolver (`getaddrinfo`), on tokio's blocking threads.
///
/// It caches nothing. Look-ups of one name at one time share an answer, so a name whose servers hang holds
/// one thread, however many deliveries wait for it.
#[derive(Clone, Default)]
pub struct SystemResolver {
    pending: Arc<Mutex<Pending>>,
}

impl SystemResolver {
    /// Makes a resolver that shares no look-ups with others.
    pub fn new() -> Self {
        Self::default()
    }

    fn join_or_start(&self, host: &str) -> watch::Receiver<Option<Resolved>> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = pending.0.get(host) {
            return answer.clone();
        }
        let (sender, receiver) = watch::channel(None);
        pending.0.insert(host.to_owned(), receiver.clone());
        let lookup = Lookup { host: host.to_owned(), pending: Arc::clone(&self.pending), sender };
        // Not awaited: the look-up goes on for others when this caller gives up.
        drop(tokio::task::spawn_blocking(move || lookup.run()));
        receiver
    }
}

impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let mut receiver = self.join_or_start(host);
        let answer = receiver.wait_for(Option::is_some).await.map_err(io::Error::other)?;
        match answer.as_ref().expect("invariant: waited for an answer") {
            Resolved::Addresses(addresses) => Ok(addresses.clone()),
            // Errors of the operating system cannot be cloned.
            Resolved::Failed(error) => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemResolver").finish_non_exhaustive()
    }
}

/// [`Resolve`] without its opaque future, so that the client does not grow a parameter.
pub(in crate::transport) trait ErasedResolve: Send + Sync {
    fn resolve_dyn<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;
}

impl<R: Resolve> ErasedResolve for R {
    fn resolve_dyn<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        Box::pin(self.resolve(host))
    }
}

#[derive(Default)]
struct Pending(HashMap<String, watch::Receiver<Option<Resolved>>>);

enum Resolved {
    Addresses(Vec<IpAddr>),
    Failed(io::Error),
}

/// A look-up under way. Dropping it removes it from the pending ones, even if the runtime ended before it
/// ran.
struct Lookup {
    host: String,
    pending: Arc<Mutex<Pending>>,
    sender: watch::Sender<Option<Resolved>>,
}

impl Lookup {
    fn run(self) {
        let answer = match (self.host.as_str(), 0).to_socket_addrs() {
            Ok(addresses) => Resolved::Addresses(addresses.map(|address| address.ip()).collect()),
            Err(error) => Resolved::Failed(with_kind(error)),
        };
        self.sender.send_replace(Some(answer));
    }
}

/// Sets the kind [`NotFound`](io::ErrorKind::NotFound) when the name does not exist, which `getaddrinfo`
/// tells only in its text.
fn with_kind(error: io::Error) -> io::Error {
    let text = error.to_string();
    match NO_SUCH_NAME.iter().any(|known| text.contains(known)) {
        true => io::Error::new(io::ErrorKind::NotFound, error),
        false => error,
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).0.remove(&self.host);
    }
}

/// The texts of glibc (`EAI_NONAME`, `EAI_NODATA`), musl, macOS and Windows.
const NO_SUCH_NAME: &[&str] = &[
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
    "nodename nor servname provided",
    "No such host is known",
];

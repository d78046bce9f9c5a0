//! Wraps reqwest's own connector: [`CheckedResolver`] checks the addresses of a name, [`CheckedLayer`] the
//! address of a connection.
//!
//! The resolver alone does not suffice: reqwest does not ask it about literal addresses and about names that
//! its builder pins.

use std::error::Error as StdError;
use std::future::ready;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use ::reqwest::dns::{Addrs, Name, Resolve, Resolving};
use http::Extensions;
use hyper_util::client::legacy::connect::{Connection, HttpInfo};
use tokio::time::{Instant, timeout_at};
use tower_layer::Layer;
use tower_service::Service;

use crate::address::{AddressPolicy, EndpointHost, EndpointUrl};
use crate::outcome::FailureReason;
use crate::transport::error::OwnFault;
use crate::transport::hyper::dial::{Dial, DialError, Phase};
use crate::transport::hyper::dialler::unresolved;
use crate::transport::hyper::exhaustion::are_exhausted;
use crate::transport::hyper::fault::{of_connect, of_handshake};
use crate::transport::hyper::resolver::ErasedResolve;

tokio::task_local! {
    /// The exchange for which a connection is opened; reqwest passes it neither to the resolver nor to the
    /// layer.
    pub(super) static OPENING: Arc<Opening>;
}

/// The progress of a connection that is opened for one exchange.
pub(super) struct Opening {
    pub(super) dial: Dial,
    /// This end of the connection, once there is one.
    pub(super) local: OnceLock<SocketAddr>,
    /// The host, unless it is an address.
    name: Option<String>,
}

impl Opening {
    pub(super) fn new(deadline: Instant, endpoint: &EndpointUrl) -> Self {
        let name = match endpoint.host() {
            EndpointHost::Name(name) => Some(name.to_owned()),
            _ => None,
        };
        Self { dial: Dial::new(deadline), local: OnceLock::new(), name }
    }
}

/// Resolves a name, and refuses it unless the policy allows every address.
pub(super) struct CheckedResolver {
    resolver: Arc<dyn ErasedResolve>,
    policy: Arc<OnceLock<AddressPolicy>>,
}

impl CheckedResolver {
    pub(super) fn new(resolver: Arc<dyn ErasedResolve>, policy: Arc<OnceLock<AddressPolicy>>) -> Self {
        Self { resolver, policy }
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, policy) = (Arc::clone(&self.resolver), Arc::clone(&self.policy));
        // A layer of the caller may resolve on another task, where this value is missing.
        let opening = OPENING.try_with(Arc::clone).ok();
        Box::pin(async move {
            let enter = |phase| opening.iter().for_each(|opening| opening.dial.enter(phase));
            enter(Phase::Dns);
            let addresses = resolver.resolve_dyn(name.as_str()).await.map_err(unresolved)?;
            if addresses.is_empty() {
                return Err(DialError::new(FailureReason::NoSuchHost, "name has no address").into());
            }
            // Check all of them: a name that leads inside and outside by turns is an attack, not an accident.
            addresses.iter().try_for_each(|address| check(&policy, Some(name.as_str()), *address))?;
            enter(Phase::Connect);
            // reqwest replaces port 0 by the URL's port.
            Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

/// Wraps a connector in a [`CheckedConnector`].
#[derive(Clone)]
pub(super) struct CheckedLayer {
    policy: Arc<OnceLock<AddressPolicy>>,
}

impl CheckedLayer {
    pub(super) fn new(policy: Arc<OnceLock<AddressPolicy>>) -> Self {
        Self { policy }
    }
}

impl<S> Layer<S> for CheckedLayer {
    type Service = CheckedConnector<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CheckedConnector { inner, policy: Arc::clone(&self.policy) }
    }
}

/// Lets only connections to allowed addresses into the pool.
#[derive(Clone)]
pub(super) struct CheckedConnector<S> {
    inner: S,
    policy: Arc<OnceLock<AddressPolicy>>,
}

impl<S, R> Service<R> for CheckedConnector<S>
where
    S: Service<R, Error = BoxError>,
    S::Response: Connection + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let Ok(opening) = OPENING.try_with(Arc::clone) else {
            let error = DialError::new(FailureReason::Client, "connection is opened outside of an exchange");
            return Box::pin(ready(Err(error.into())));
        };
        if opening.name.is_none() {
            opening.dial.enter(Phase::Connect);
        }
        let (connecting, policy) = (self.inner.call(request), Arc::clone(&self.policy));
        Box::pin(async move {
            // The pool may finish connecting in the background for the next request; the deadline bounds that
            // too.
            let connected =
                timeout_at(opening.dial.deadline, OPENING.scope(Arc::clone(&opening), connecting))
                    .await
                    .map_err(|_| DialError::new(FailureReason::TimedOut, "deadline passed"))?
                    .map_err(|error| match dial_error_of(&*error).map(DialError::reason) {
                        Some(_) => error,
                        None => judge(error).into(),
                    })?;
            let mut extras = Extensions::new();
            connected.connected().get_extras(&mut extras);
            let Some(info) = extras.get::<HttpInfo>() else {
                return Err(
                    DialError::new(FailureReason::AddressRefused, "connection goes to no address").into()
                );
            };
            check(&policy, opening.name.as_deref(), info.remote_addr().ip())?;
            let _ = opening.local.set(info.local_addr());
            opening.dial.enter(Phase::Done);
            Ok(connected)
        })
    }
}

/// Finds the first cause that this module made.
pub(super) fn dial_error_of<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a DialError> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// An error, its cause, the cause of that, and so on.
pub(super) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn check(policy: &OnceLock<AddressPolicy>, name: Option<&str>, address: IpAddr) -> Result<(), DialError> {
    // A client that was never used has no policy yet, and opens no connections.
    let strict = AddressPolicy::new();
    let policy = policy.get().unwrap_or(&strict);
    let checked = match name {
        Some(name) => policy.check_resolved(name, address),
        None => policy.check_ip(address),
    };
    checked
        .map_err(|error| DialError::new(FailureReason::AddressRefused, "address is denied").caused_by(error))
}

/// Judges a failure of reqwest's connector.
fn judge(error: BoxError) -> DialError {
    const MESSAGE: &str = "no connection could be made";
    if let Some(failed) = error.downcast_ref::<io::Error>() {
        // hyper-rustls reports a failed handshake like this; a failed TCP connection has another type.
        return DialError::new(of_handshake(failed), MESSAGE).caused_by(error);
    }
    let cause: Option<&io::Error> = causes(&*error).find_map(|error| error.downcast_ref());
    let ours = match cause {
        Some(cause) if are_exhausted(cause) => Some(OwnFault::Descriptors),
        Some(cause) if cause.kind() == io::ErrorKind::AddrNotAvailable => Some(OwnFault::Ports),
        _ => None,
    };
    let reason = match (ours, cause) {
        (Some(OwnFault::Descriptors), _) => FailureReason::Descriptors,
        (Some(_), _) => FailureReason::Ports,
        (None, Some(cause)) if cause.kind() == io::ErrorKind::TimedOut => FailureReason::ConnectTimeout,
        (None, Some(cause)) => of_connect(cause),
        (None, None) => FailureReason::ConnectFailed,
    };
    let failed = DialError::new(reason, MESSAGE).caused_by(error);
    match ours {
        Some(fault) => failed.for_want_of(fault),
        None => failed,
    }
}

type BoxError = Box<dyn StdError + Send + Sync>;

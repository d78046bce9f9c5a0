//! What stands around reqwest's own connector: [`CheckedResolver`] judges what a name resolves to, [`CheckedLayer`] what was
//! connected to.
//!
//! The layer is needed beside the resolver: reqwest asks no resolver about literals and about names that its builder pins.

use std::error::Error as StdError;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use ::reqwest::dns::{Addrs, Name, Resolve, Resolving};
use http::Extensions;
use hyper_util::client::legacy::connect::{Connection, HttpInfo};
use tokio::time::{Instant, timeout_at};
use tower_layer::Layer;
use tower_service::Service;

use crate::transport::hyper::ErasedResolve;
use crate::transport::hyper::dial::{Dial, DialError, Phase};
use crate::transport::names::Names;
use crate::{AddressPolicy, EndpointHost, EndpointUrl, ErrorClass};

tokio::task_local! {
    /// The exchange on whose behalf a connection is opened; neither resolver nor layer is told.
    pub(super) static OPENING: Arc<Opening>;
}

/// A connection that is opened for one exchange.
pub(super) struct Opening {
    pub(super) dial: Dial,
    /// This end of the connection, once there is one.
    pub(super) local: OnceLock<SocketAddr>,
    is_literal: bool,
}

impl Opening {
    pub(super) fn new(deadline: Instant, endpoint: &EndpointUrl) -> Self {
        let is_literal = matches!(endpoint.host(), EndpointHost::Address(_));
        Self { dial: Dial::new(deadline), local: OnceLock::new(), is_literal }
    }
}

/// Hands on the addresses of a name, none of which the policy denies.
pub(super) struct CheckedResolver {
    resolver: Arc<dyn ErasedResolve>,
    names: Arc<Names>,
    policy: Arc<OnceLock<AddressPolicy>>,
}

impl CheckedResolver {
    pub(super) fn new(resolver: Arc<dyn ErasedResolve>, policy: Arc<OnceLock<AddressPolicy>>) -> Self {
        Self { resolver, names: Arc::default(), policy }
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, policy) = (Arc::clone(&self.resolver), Arc::clone(&self.policy));
        let names = Arc::clone(&self.names);
        // A layer of the caller's may resolve on another task, where the time is not seen.
        let opening = OPENING.try_with(Arc::clone).ok();
        Box::pin(async move {
            let enter = |phase| opening.iter().for_each(|opening| opening.dial.enter(phase));
            enter(Phase::Dns);
            let addresses = resolver.resolve_dyn(name.as_str()).await.map_err(|error| {
                let class = names.failed(name.as_str(), &error);
                DialError::new(class, "name could not be resolved").caused_by(error)
            })?;
            names.resolved();
            if addresses.is_empty() {
                return Err(DialError::new(ErrorClass::Dns, "name has no address").into());
            }
            // All of them: a name that leads inside and outside by turns is an attack, not an accident.
            addresses.iter().try_for_each(|address| check(&policy, SocketAddr::new(*address, 0)))?;
            enter(Phase::Connect);
            // Port 0 stands for the URL's.
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

/// Lets no connection into the pool but one to an address that the policy allows.
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
            let error = DialError::new(ErrorClass::Internal, "connection is opened outside of an exchange");
            return Box::pin(ready(Err(error.into())));
        };
        if opening.is_literal {
            opening.dial.enter(Phase::Connect);
        }
        let (connecting, policy) = (self.inner.call(request), Arc::clone(&self.policy));
        Box::pin(async move {
            // The pool may finish connecting in the background for the next request; not for longer than this.
            let connected =
                timeout_at(opening.dial.deadline, OPENING.scope(Arc::clone(&opening), connecting))
                    .await
                    .map_err(|_| DialError::new(ErrorClass::Timeout, "deadline passed"))?
                    .map_err(|error| match dial_error_of(&*error).map(DialError::class) {
                        Some(_) => error,
                        None => DialError::new(classify(&*error), "no connection could be made")
                            .caused_by(error)
                            .into(),
                    })?;
            let mut extras = Extensions::new();
            connected.connected().get_extras(&mut extras);
            let Some(info) = extras.get::<HttpInfo>() else {
                return Err(DialError::new(ErrorClass::AddressDenied, "connection goes to no address").into());
            };
            check(&policy, info.remote_addr())?;
            let _ = opening.local.set(info.local_addr());
            opening.dial.enter(Phase::Done);
            Ok(connected)
        })
    }
}

/// The first cause that is ours and says what happened.
pub(super) fn dial_error_of<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a DialError> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// An error, its cause, the cause of that, and so on.
pub(super) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn check(policy: &OnceLock<AddressPolicy>, address: SocketAddr) -> Result<(), DialError> {
    // A client that was never used has no policy yet, and opens no connection.
    let checked = policy.get().unwrap_or(&AddressPolicy::new()).check_ip(address.ip());
    checked.map_err(|error| DialError::new(ErrorClass::AddressDenied, "address is denied").caused_by(error))
}

/// Judges why reqwest's connector failed.
fn classify(error: &(dyn StdError + 'static)) -> ErrorClass {
    if error.is::<io::Error>() {
        // So hyper-rustls tells that TLS failed; a failed TCP connection is a cause of another type.
        return ErrorClass::Tls;
    }
    let kind = causes(error).find_map(|error| error.downcast_ref()).map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::TimedOut) => ErrorClass::Timeout,
        Some(
            io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NotConnected
            | io::ErrorKind::PermissionDenied,
        )
        | None => ErrorClass::Connect,
        // No socket and no local port are the sender's own trouble, not the endpoint's.
        Some(_) => ErrorClass::Internal,
    }
}

type BoxError = Box<dyn StdError + Send + Sync>;

//! [`Dialler`]: opens connections to addresses that the policy allows, and to no others.
//!
//! hyper-util's own connector does not ask a resolver about a literal address, so a check in the resolver
//! would miss it.

use std::error::Error as StdError;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;

use super::budget::Budget;
use super::connection::Connection;
use super::dial::{Dial, DialError, Phase};
use super::exhaustion::are_exhausted;
use super::resolver::ErasedResolve;
use crate::address::AddressPolicy;
use crate::outcome::ErrorClass;
use crate::transport::error::OwnFault;

/// The settings that all connections of a client share.
pub(super) struct Dialler {
    pub(super) tls: TlsConnector,
    pub(super) resolver: Arc<dyn ErasedResolve>,
    pub(super) budget: Arc<Budget<Connection>>,
    pub(super) local_v4: Option<Ipv4Addr>,
    pub(super) local_v6: Option<Ipv6Addr>,
}

impl Dialler {
    /// Opens a connection to the origin of `url` by the deadline of `dial`.
    pub(super) async fn open(
        &self,
        url: &Uri,
        policy: &AddressPolicy,
        dial: &Dial,
    ) -> Result<Connection, Box<dyn StdError + Send + Sync>> {
        let opened = timeout_at(dial.deadline, self.dial(url, policy, dial)).await;
        opened.unwrap_or_else(|_| Err(DialError::new(ErrorClass::Timeout, "deadline passed").into()))
    }

    async fn dial(
        &self,
        url: &Uri,
        policy: &AddressPolicy,
        dial: &Dial,
    ) -> Result<Connection, Box<dyn StdError + Send + Sync>> {
        let host = url.host().ok_or_else(|| DialError::new(ErrorClass::Internal, "URL has no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_https = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if is_https { 443 } else { 80 });

        let addresses = self.addresses(host, policy, dial).await?;
        dial.enter(Phase::Connect);
        let opened = self.budget.open();
        while let Some(idle) = self.budget.surplus() {
            idle.close();
        }
        let tcp = self.connect(&addresses, port, dial.deadline).await?;
        if !is_https {
            dial.enter(Phase::Done);
            return Ok(Connection::over(Box::new(tcp), false, opened).await?);
        }
        dial.enter(Phase::Tls);
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            DialError::new(ErrorClass::Tls, "host is not a name that a certificate can have").caused_by(error)
        })?;
        let tls = self
            .tls
            .connect(name, tcp)
            .await
            .map_err(|error| DialError::new(ErrorClass::Tls, "TLS handshake failed").caused_by(error))?;
        dial.enter(Phase::Done);
        let is_h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Connection::over(Box::new(tls), is_h2, opened).await?)
    }

    /// Resolves `host`, and refuses it unless the policy allows every address.
    async fn addresses(
        &self,
        host: &str,
        policy: &AddressPolicy,
        dial: &Dial,
    ) -> Result<Vec<IpAddr>, DialError> {
        let addresses = if let Ok(address) = host.parse() {
            vec![address]
        } else {
            dial.enter(Phase::Dns);
            let resolved = timeout_at(dial.deadline, self.resolver.resolve_dyn(host)).await;
            resolved.map_or_else(
                |_| {
                    let error =
                        DialError::new(ErrorClass::Timeout, "deadline passed while resolving the host name");
                    Err(error.for_want_of(OwnFault::Resolver))
                },
                |resolved| resolved.map_err(unresolved),
            )?
        };
        if addresses.is_empty() {
            return Err(DialError::new(ErrorClass::Dns, "name has no address"));
        }
        // Check all of them: a name that leads inside and outside by turns is an attack, not an accident.
        for &address in &addresses {
            policy.check_ip(address).map_err(|error| {
                DialError::new(ErrorClass::AddressDenied, "address is denied").caused_by(error)
            })?;
        }
        Ok(addresses)
    }

    /// Dials one address after the other, each with an equal share of the time that is left.
    async fn connect(
        &self,
        addresses: &[IpAddr],
        port: u16,
        deadline: Instant,
    ) -> Result<TcpStream, DialError> {
        let usable = || addresses.iter().filter_map(|address| Some((*address, self.local_for(*address)?)));
        let mut last =
            DialError::new(ErrorClass::Connect, "endpoint has no address of the local address's family");
        let mut left = usable().count().min(MAX_DIALLED);
        for (address, local) in usable().take(MAX_DIALLED) {
            let now = Instant::now();
            let share = now + deadline.saturating_duration_since(now) / left as u32;
            left -= 1;
            let address = SocketAddr::new(address, port);
            let mut dialled = timeout_at(share, dial(address, local)).await;
            if matches!(&dialled, Ok(Err(error)) if error.own_fault() == Some(OwnFault::Descriptors))
                && self.make_room().await
            {
                dialled = timeout_at(share, dial(address, local)).await;
            }
            match dialled {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = DialError::new(ErrorClass::Timeout, "address did not answer in time"),
            }
        }
        Err(last)
    }

    /// Closes a few idle connections, and returns whether there were any: the process has no descriptor left.
    async fn make_room(&self) -> bool {
        let closed = std::iter::from_fn(|| self.budget.oldest()).take(CLOSED_AT_ONCE);
        let is_any = closed.map(Connection::close).count() > 0;
        if is_any {
            // Their tasks close the sockets.
            sleep(CLOSING).await;
        }
        is_any
    }

    /// Returns the local address to dial from, and `None` when the family of `address` must not be used.
    fn local_for(&self, address: IpAddr) -> Option<Option<IpAddr>> {
        let (local, other) = match address {
            IpAddr::V4(_) => (self.local_v4.map(IpAddr::from), self.local_v6.is_some()),
            IpAddr::V6(_) => (self.local_v6.map(IpAddr::from), self.local_v4.is_some()),
        };
        (local.is_some() || !other).then_some(local)
    }
}

async fn dial(address: SocketAddr, local: Option<IpAddr>) -> Result<TcpStream, DialError> {
    let ours = |error, fault| {
        DialError::new(ErrorClass::Internal, "socket could not be opened").caused_by(error).for_want_of(fault)
    };
    let theirs =
        |error| DialError::new(ErrorClass::Connect, "address could not be connected to").caused_by(error);
    let failed = |error| match are_exhausted(&error) {
        true => ours(error, OwnFault::Descriptors),
        // Without IPv6 on this host, an endpoint that has nothing else cannot be reached.
        false => theirs(error),
    };
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    if let Some(local) = local {
        socket.bind(SocketAddr::new(local, 0)).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => ours(error, OwnFault::Ports),
            // The address is none of this host's.
            _ => ours(error, OwnFault::Client),
        })?;
    }
    socket.connect(address).await.map_err(|error| match error.kind() {
        // With IPv6 this error means that the host has no IPv6 at all.
        io::ErrorKind::AddrNotAvailable if address.is_ipv4() => ours(error, OwnFault::Ports),
        _ => failed(error),
    })
}

/// Judges a look-up that failed.
pub(in crate::transport) fn unresolved(error: io::Error) -> DialError {
    // Without a descriptor, a look-up fails in several ways, "no such name" among them.
    let without_socket = TcpSocket::new_v4().err();
    if let Some(error) = [without_socket].into_iter().flatten().find(are_exhausted) {
        let failed = DialError::new(ErrorClass::Internal, "name could not be resolved");
        return failed.caused_by(error).for_want_of(OwnFault::Descriptors);
    }
    let is_silence = error.kind() != io::ErrorKind::NotFound;
    let failed = DialError::new(ErrorClass::Dns, "name could not be resolved").caused_by(error);
    if is_silence { failed.for_want_of(OwnFault::Resolver) } else { failed }
}

// Enough for the requests that begin while the first of them waits.
const CLOSED_AT_ONCE: usize = 8;
const CLOSING: Duration = Duration::from_millis(10);
// A name may list any number of addresses; the first few get a useful share of the time.
const MAX_DIALLED: usize = 8;

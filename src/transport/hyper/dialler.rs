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
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout_at};
use tokio_rustls::TlsConnector;

use super::budget::{Budget, Opened};
use super::connection::{AsyncStream, Connection};
use super::dial::{Dial, DialError, Phase};
use super::exhaustion::are_exhausted;
use super::fault::{of_connect, of_handshake};
use super::proxy::Proxy;
use super::race::{by_turns, race};
use super::resolver::ErasedResolve;
use super::tls::Tls;
use crate::address::{AddressError, AddressPolicy};
use crate::outcome::FailureReason;
use crate::transport::error::OwnFault;

/// The settings that all connections of a client share.
pub(super) struct Dialler {
    pub(super) tls: Tls,
    pub(super) resolver: Arc<dyn ErasedResolve>,
    pub(super) budget: Arc<Budget<Connection>>,
    pub(super) local_v4: Option<Ipv4Addr>,
    pub(super) local_v6: Option<Ipv6Addr>,
    pub(super) proxy: Option<Proxy>,
    /// The dials that may be under way beside another one of the same request, or after their request got
    /// another connection. Without a bound, endpoints with many dead addresses, and those that take no more
    /// connections, would use up the descriptors of the process.
    pub(super) extra_dials: Arc<Semaphore>,
}

impl Dialler {
    /// Opens a connection to the origin of `url` by the deadline of `dial`.
    pub(super) async fn open(
        &self,
        url: &Uri,
        policy: &AddressPolicy,
        tls: Option<&TlsConnector>,
        dial: &Dial,
    ) -> Result<Connection, Box<dyn StdError + Send + Sync>> {
        let opened = timeout_at(dial.deadline, self.dial(url, policy, tls, dial)).await;
        opened.unwrap_or_else(|_| Err(DialError::new(FailureReason::TimedOut, "deadline passed").into()))
    }

    async fn dial(
        &self,
        url: &Uri,
        policy: &AddressPolicy,
        tls: Option<&TlsConnector>,
        dial: &Dial,
    ) -> Result<Connection, Box<dyn StdError + Send + Sync>> {
        let host = url.host().ok_or_else(|| DialError::new(FailureReason::Internal, "URL has no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_https = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let tls = is_https.then_some(tls.unwrap_or(&self.tls.connector));
        if let Some(proxy) = &self.proxy {
            let (stream, opened) = self.through(proxy, host, port, policy, dial).await?;
            return speak(stream, host, tls, opened, dial).await;
        }
        let addresses = self.addresses(host, policy, dial).await?;
        dial.enter(Phase::Connect);
        let opened = self.open_one();
        let stream = self.connect(&addresses, port).await?;
        speak(stream, host, tls, opened, dial).await
    }

    /// Counts a connection that is about to be opened, and closes idle ones that are too many then.
    fn open_one(&self) -> Opened {
        let opened = self.budget.open();
        while let Some(idle) = self.budget.surplus() {
            idle.close();
        }
        opened
    }

    /// Opens a connection to `host` through the proxy, which is dialled as it is set.
    async fn through(
        &self,
        proxy: &Proxy,
        host: &str,
        port: u16,
        policy: &AddressPolicy,
        dial: &Dial,
    ) -> Result<(TcpStream, Opened), DialError> {
        let literal: Option<IpAddr> = host.parse().ok();
        if let Some(address) = literal {
            policy.check_ip(address).map_err(refused)?;
        }
        dial.enter(Phase::Proxy);
        let (name, proxy_port) = proxy.place();
        let addresses = match name.parse() {
            Ok(address) => vec![address],
            Err(_) => self.resolver.resolve_dyn(name).await.map_err(|error| {
                DialError::proxy("name of the proxy could not be resolved").caused_by(error)
            })?,
        };
        let opened = self.open_one();
        let mut stream =
            self.connect(&addresses, proxy_port).await.map_err(|error| match error.own_fault() {
                Some(_) => error,
                None => DialError::proxy("proxy could not be connected to").caused_by(error),
            })?;
        proxy.ask_for(&mut stream, host, literal, port, dial).await?;
        Ok((stream, opened))
    }

    /// Resolves `host`, and refuses it unless the policy allows every address.
    async fn addresses(
        &self,
        host: &str,
        policy: &AddressPolicy,
        dial: &Dial,
    ) -> Result<Vec<IpAddr>, DialError> {
        if let Ok(address) = host.parse() {
            policy.check_ip(address).map_err(refused)?;
            return Ok(vec![address]);
        }
        dial.enter(Phase::Dns);
        let resolved = timeout_at(dial.deadline, self.resolver.resolve_dyn(host)).await;
        let addresses = resolved.map_or_else(
            |_| {
                let message = "deadline passed while resolving the host name";
                Err(DialError::new(FailureReason::DnsTimeout, message).for_want_of(OwnFault::Resolver))
            },
            |resolved| resolved.map_err(unresolved),
        )?;
        if addresses.is_empty() {
            return Err(DialError::new(FailureReason::NoSuchHost, "name has no address"));
        }
        // Check all of them: a name that leads inside and outside by turns is an attack, not an accident.
        addresses.iter().try_for_each(|&address| policy.check_resolved(host, address)).map_err(refused)?;
        Ok(addresses)
    }

    /// Dials the addresses, each a quarter of a second after the one before it or when that one has failed.
    async fn connect(&self, addresses: &[IpAddr], port: u16) -> Result<TcpStream, DialError> {
        let usable = by_turns(addresses).into_iter().filter_map(|ip| Some((ip, self.local_for(ip)?)));
        let dials = usable.take(MAX_DIALLED).map(|(ip, local)| async move {
            let address = SocketAddr::new(ip, port);
            let dialled = dial(address, local).await;
            let is_full = matches!(&dialled, Err(error) if error.own_fault() == Some(OwnFault::Descriptors));
            if is_full && self.make_room().await { dial(address, local).await } else { dialled }
        });
        let is_ours = |error: &DialError| error.own_fault().is_some();
        race(dials, is_ours, || self.extra_dials.try_acquire().ok()).await.unwrap_or_else(|| {
            let message = "endpoint has no address of the local address's family";
            Err(DialError::new(FailureReason::NoUsableAddress, message))
        })
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

/// Starts TLS, if the endpoint speaks it, and HTTP.
async fn speak<S: AsyncStream + 'static>(
    stream: S,
    host: &str,
    tls: Option<&TlsConnector>,
    opened: Opened,
    dial: &Dial,
) -> Result<Connection, Box<dyn StdError + Send + Sync>> {
    let Some(tls) = tls else {
        dial.enter(Phase::Done);
        return Ok(Connection::over(Box::new(stream), false, opened).await?);
    };
    dial.enter(Phase::Tls);
    let name = ServerName::try_from(host.to_owned()).map_err(|error| {
        let message = "host is not a name that a certificate can have";
        DialError::new(FailureReason::CertificateWrongName, message).caused_by(error)
    })?;
    let stream = tls
        .connect(name, stream)
        .await
        .map_err(|error| DialError::new(of_handshake(&error), "TLS handshake failed").caused_by(error))?;
    dial.enter(Phase::Done);
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok(Connection::over(Box::new(stream), is_h2, opened).await?)
}

async fn dial(address: SocketAddr, local: Option<IpAddr>) -> Result<TcpStream, DialError> {
    let ours = |error, fault| {
        let reason = match fault {
            OwnFault::Descriptors => FailureReason::Descriptors,
            OwnFault::Ports => FailureReason::Ports,
            _ => FailureReason::Client,
        };
        DialError::new(reason, "socket could not be opened").caused_by(error).for_want_of(fault)
    };
    let theirs = |error: io::Error| {
        DialError::new(of_connect(&error), "address could not be connected to").caused_by(error)
    };
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

fn refused(error: AddressError) -> DialError {
    DialError::new(FailureReason::AddressRefused, "address is denied").caused_by(error)
}

/// Judges a look-up that failed.
pub(in crate::transport) fn unresolved(error: io::Error) -> DialError {
    // Without a descriptor, a look-up fails in several ways, "no such name" among them.
    let without_socket = TcpSocket::new_v4().err();
    if let Some(error) = [without_socket].into_iter().flatten().find(are_exhausted) {
        let failed = DialError::new(FailureReason::Descriptors, "name could not be resolved");
        return failed.caused_by(error).for_want_of(OwnFault::Descriptors);
    }
    let is_silence = error.kind() != io::ErrorKind::NotFound;
    let reason = if is_silence { FailureReason::DnsFailed } else { FailureReason::NoSuchHost };
    let failed = DialError::new(reason, "name could not be resolved").caused_by(error);
    if is_silence { failed.for_want_of(OwnFault::Resolver) } else { failed }
}

// Enough for the requests that begin while the first of them waits.
const CLOSED_AT_ONCE: usize = 8;
const CLOSING: Duration = Duration::from_millis(10);
// A name may list any number of addresses; the first few get a useful share of the time.
const MAX_DIALLED: usize = 8;

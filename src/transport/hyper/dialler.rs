//! [`Dialler`]: opens a connection to an address that the policy has allowed, and to no other.
//!
//! hyper-util's own connector asks no resolver about a literal address, so a check in the resolver would miss those.

use std::error::Error as StdError;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::Uri;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::connection::Connection;
use super::dial::{Dial, DialError, Phase};
use super::resolver::ErasedResolve;
use crate::transport::names::Names;
use crate::{AddressPolicy, ErrorClass};

/// The settings that all connections of a client share.
pub(super) struct Dialler {
    pub(super) tls: TlsConnector,
    pub(super) resolver: Arc<dyn ErasedResolve>,
    pub(super) names: Names,
    pub(super) local_v4: Option<Ipv4Addr>,
    pub(super) local_v6: Option<Ipv6Addr>,
}

impl Dialler {
    /// Opens a connection to the origin of `url`, before the exchange that it is for has to be over.
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
        let tcp = self.connect(&addresses, port, dial.deadline).await?;
        if !is_https {
            dial.enter(Phase::Done);
            return Ok(Connection::over(Box::new(tcp), false).await?);
        }
        dial.enter(Phase::Tls);
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            DialError::new(ErrorClass::Tls, "host is no name for a certificate").caused_by(error)
        })?;
        let tls = self
            .tls
            .connect(name, tcp)
            .await
            .map_err(|error| DialError::new(ErrorClass::Tls, "TLS handshake failed").caused_by(error))?;
        dial.enter(Phase::Done);
        let is_h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Connection::over(Box::new(tls), is_h2).await?)
    }

    /// The addresses of `host`, none of which the policy denies.
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
            let addresses = match resolved {
                Ok(resolved) => resolved.map_err(|error| {
                    let class = self.names.failed(host, &error);
                    DialError::new(class, "name could not be resolved").caused_by(error)
                })?,
                Err(_) => {
                    let class = match self.names.failed(host, &io::ErrorKind::TimedOut.into()) {
                        ErrorClass::Internal => ErrorClass::Internal,
                        _ => ErrorClass::Timeout,
                    };
                    return Err(DialError::new(class, "deadline passed while resolving the host name"));
                }
            };
            self.names.resolved();
            addresses
        };
        if addresses.is_empty() {
            return Err(DialError::new(ErrorClass::Dns, "name has no address"));
        }
        // All of them: a name that leads inside and outside by turns is an attack, not an accident.
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
            match timeout_at(share, dial(SocketAddr::new(address, port), local)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = DialError::new(ErrorClass::Timeout, "address did not answer in time"),
            }
        }
        Err(last)
    }

    /// The address to dial from, `None` when this family is not to be used.
    fn local_for(&self, address: IpAddr) -> Option<Option<IpAddr>> {
        let (local, other) = match address {
            IpAddr::V4(_) => (self.local_v4.map(IpAddr::from), self.local_v6.is_some()),
            IpAddr::V6(_) => (self.local_v6.map(IpAddr::from), self.local_v4.is_some()),
        };
        (local.is_some() || !other).then_some(local)
    }
}

async fn dial(address: SocketAddr, local: Option<IpAddr>) -> Result<TcpStream, DialError> {
    // No socket and no local port are the sender's own trouble, not the endpoint's.
    let ours = |error| DialError::new(ErrorClass::Internal, "socket could not be opened").caused_by(error);
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(ours)?;
    socket.set_nodelay(true).map_err(ours)?;
    if let Some(local) = local {
        socket.bind(SocketAddr::new(local, 0)).map_err(ours)?;
    }
    socket.connect(address).await.map_err(|error| match error.kind() {
        // Of IPv6 it says that this host has none.
        io::ErrorKind::AddrNotAvailable if address.is_ipv4() => ours(error),
        _ => DialError::new(ErrorClass::Connect, "address could not be connected to").caused_by(error),
    })
}

// A name may list any number of addresses; the first few get a useful share of the time.
const MAX_DIALLED: usize = 8;

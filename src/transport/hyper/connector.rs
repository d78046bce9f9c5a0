//! [`Connector`]: opens a connection to an address that the policy has allowed, and to no other.
//!
//! hyper-util's own connector asks no resolver about a literal address, so a check in the resolver would miss those.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::dial::{Dial, DialError, Phase};
use super::resolver::ErasedResolve;
use crate::transport::names::Names;
use crate::{AddressPolicy, ErrorClass};

tokio::task_local! {
    /// The exchange on whose behalf a connection is opened; a connector is told nothing but the URI.
    pub(super) static DIAL: Arc<Dial>;
}

/// Opens the connections of one pool, all under one policy.
#[derive(Clone)]
pub(super) struct Connector {
    dialler: Arc<Dialler>,
    policy: Arc<AddressPolicy>,
}

impl Connector {
    pub(super) fn new(dialler: Arc<Dialler>, policy: AddressPolicy) -> Self {
        Self { dialler, policy: Arc::new(policy) }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dial = DIAL.with(Arc::clone);
        let Self { dialler, policy } = self.clone();
        Box::pin(async move {
            // The pool may finish dialling in the background for the next request; not for longer than this.
            let opened = timeout_at(dial.deadline, dialler.open(&uri, &policy, &dial)).await;
            opened.unwrap_or_else(|_| Err(DialError::new(ErrorClass::Timeout, "deadline passed")))
        })
    }
}

/// The settings that all connections of a client share.
pub(super) struct Dialler {
    pub(super) tls: TlsConnector,
    pub(super) resolver: Arc<dyn ErasedResolve>,
    pub(super) names: Names,
    pub(super) local_v4: Option<Ipv4Addr>,
    pub(super) local_v6: Option<Ipv6Addr>,
}

impl Dialler {
    async fn open(&self, uri: &Uri, policy: &AddressPolicy, dial: &Arc<Dial>) -> Result<Stream, DialError> {
        let host = uri.host().ok_or_else(|| DialError::new(ErrorClass::Internal, "URI has no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });

        let addresses = self.addresses(host, policy, dial).await?;
        dial.enter(Phase::Connect);
        let tcp = self.connect(&addresses, port, dial.deadline).await?;
        if !is_https {
            dial.enter(Phase::Done);
            return Ok(Stream {
                io: TokioIo::new(Box::new(tcp)),
                is_h2: false,
                opened: Opened(Arc::clone(dial)),
            });
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
        Ok(Stream { io: TokioIo::new(Box::new(tls)), is_h2, opened: Opened(Arc::clone(dial)) })
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

/// Marks a connection with the exchange it was opened for.
#[derive(Clone)]
pub(super) struct Opened(pub(super) Arc<Dial>);

/// A connection as the pool holds it, in the clear or over TLS.
pub(super) struct Stream {
    io: TokioIo<Box<dyn AsyncStream>>,
    is_h2: bool,
    opened: Opened,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(self.opened.clone());
        if self.is_h2 { connected.negotiated_h2() } else { connected }
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }
}

/// What a TCP and a TLS stream have in common.
trait AsyncStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> AsyncStream for S {}

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

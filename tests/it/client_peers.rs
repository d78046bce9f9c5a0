//! Peers for tests of HTTP clients: servers on loopback with real TLS. Most of them misbehave.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hookwire::address::AddressError;
use hookwire::rustls::ServerConfig;
use hookwire::rustls::crypto::ring;
use hookwire::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use hookwire::transport::hyper::Resolve;
use hookwire::{AddressPolicy, Limits, TransportError};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// Yields until every other task has seen the sockets' events: the runtime polls sockets once in 61 turns.
pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn post(url: &str) -> Request<Bytes> {
    Request::post(url).body(Bytes::from_static(b"ping")).unwrap()
}

pub(crate) fn strict() -> Limits {
    Limits::new(Duration::from_secs(10))
}

pub(crate) fn lax() -> Limits {
    within(Duration::from_secs(10))
}

pub(crate) fn within(deadline: Duration) -> Limits {
    Limits::new(deadline).with_addresses(AddressPolicy::new().allow_loopback().allow_plain_http())
}

/// The rule that refused an exchange, found in the chain of causes.
pub(crate) fn rule_of(error: &TransportError) -> Option<&'static str> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<AddressError>() {
            return Some(error.rule());
        }
        cause = error.source();
    }
    None
}

/// A peer on loopback. It ends with the test's runtime.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    pub(crate) requests: mpsc::UnboundedReceiver<String>,
}

impl Server {
    /// Passes each connection to `handler`. An error of the handler ends only its connection.
    pub(crate) async fn start<F>(
        handler: impl Fn(TcpStream, mpsc::UnboundedSender<String>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        let server = Self { address: listener.local_addr().unwrap(), accepted: Arc::default(), requests };
        let accepted = Arc::clone(&server.accepted);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(handler(stream, sender.clone()));
            }
        });
        server
    }

    /// Passes one connection to `handler`, and refuses every other one.
    pub(crate) async fn of_one_connection<F>(
        handler: impl FnOnce(TcpStream, mpsc::UnboundedSender<String>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        let server = Self { address: listener.local_addr().unwrap(), accepted: Arc::default(), requests };
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            drop(listener);
            handler(stream, sender).await
        });
        server
    }

    /// Gives every request on a connection the same answer.
    pub(crate) async fn answering(answer: impl Into<String>) -> Self {
        let answer: Arc<str> = answer.into().into();
        Self::start(move |mut stream, requests| {
            let answer = Arc::clone(&answer);
            async move {
                loop {
                    let request = read_request(&mut stream).await?;
                    stream.write_all(answer.as_bytes()).await?;
                    let _ = requests.send(request);
                }
            }
        })
        .await
    }

    /// Answers with `part` and closes the connection.
    pub(crate) async fn closing_after(part: &'static str) -> Self {
        Self::start(move |mut stream, _| async move {
            read_request(&mut stream).await?;
            stream.write_all(part.as_bytes()).await
        })
        .await
    }

    /// Reports the HTTP version of each request.
    pub(crate) async fn over_tls(identity: &Identity, protocols: &[&[u8]]) -> Self {
        let acceptor = identity.acceptor(protocols);
        Self::start(move |stream, requests| {
            let acceptor = acceptor.clone();
            async move {
                let stream = acceptor.accept(stream).await?;
                if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                    return answer_once(stream, requests).await;
                }
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service_fn(answer_http_2))
                    .await
                    .map_err(io::Error::other)
            }
        })
        .await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn https(&self, host: &str) -> String {
        format!("https://{host}:{}/", self.address.port())
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

async fn answer_once(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    requests: mpsc::UnboundedSender<String>,
) -> io::Result<()> {
    let _ = requests.send(read_request(&mut stream).await?);
    stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 8\r\n\r\nHTTP/1.1").await?;
    stream.shutdown().await
}

pub(crate) async fn answer_http_2(
    request: Request<hyper::body::Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    let mut response = Response::new(Full::from(format!("{:?}", request.version())));
    match request.uri().path() {
        "/hang" => std::future::pending().await,
        "/reset" => return Err(io::Error::other("resets the stream")),
        "/large-head" => {
            let value = HeaderValue::try_from("y".repeat(70_000)).map_err(io::Error::other)?;
            response.headers_mut().insert("x-large", value);
        }
        _ => {}
    }
    Ok(response)
}

/// Reads one HTTP/1.1 request with a content length.
pub(crate) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
        if request.len() > 10 && !request.starts_with(b"POST") {
            break;
        }
    }
    if request.starts_with(b"POST") {
        let mut body = [0; 4];
        stream.read_exact(&mut body).await?;
        request.extend(body);
    }
    Ok(String::from_utf8_lossy(&request).into_owned())
}

/// A server's key and certificate, and the root that issued it.
pub(crate) struct Identity {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub(crate) root: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl Identity {
    pub(crate) fn of(names: &[&str]) -> Self {
        let names = names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // No two authorities have one name.
        let name = format!("authority {}", AUTHORITIES.fetch_add(1, Ordering::Relaxed));
        authority.distinguished_name = DistinguishedName::new();
        authority.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let root = issuer.der().clone();
        let (certificate, key) = issue(CertificateParams::new(names).unwrap(), &issuer);
        Self { issuer, root, certificate, key }
    }

    pub(crate) fn self_signed(name: &str) -> Self {
        let mut identity = Self::of(&[name]);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
        identity.certificate = certificate.der().clone();
        identity.key = key.serialize_der().into();
        identity
    }

    /// Another certificate of the same issuer.
    pub(crate) fn also_for(&self, params: CertificateParams) -> Self {
        let (certificate, key) = issue(params, &self.issuer);
        Self { certificate, key, ..Self::of(&[]) }
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    pub(crate) fn key(&self) -> PrivatePkcs8KeyDer<'static> {
        self.key.clone_key()
    }

    pub(crate) fn certificate_base64(&self) -> String {
        BASE64_STANDARD.encode(&self.certificate)
    }

    pub(crate) fn key_base64(&self) -> String {
        BASE64_STANDARD.encode(self.key.secret_pkcs8_der())
    }

    pub(crate) fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate_base64())
    }

    pub(crate) fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.key_base64())
    }

    pub(crate) fn acceptor(&self, protocols: &[&[u8]]) -> TlsAcceptor {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], PrivateKeyDer::Pkcs8(self.key.clone_key()))
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

static AUTHORITIES: AtomicUsize = AtomicUsize::new(0);

/// RFC 7468 section 2.
fn pem(label: &str, base64: &str) -> String {
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn issue(
    params: CertificateParams,
    issuer: &CertifiedIssuer<'static, KeyPair>,
) -> (CertificateDer<'static>, PrivatePkcs8KeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    (certificate.der().clone(), key.serialize_der().into())
}

/// Resolves every name to the same addresses. An empty list is an error.
pub(crate) struct Table(pub(crate) Vec<IpAddr>);

impl Resolve for Table {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        if self.0.is_empty() {
            return Err(io::Error::other("no such name"));
        }
        Ok(self.0.clone())
    }
}

pub(crate) struct Hanging;

impl Resolve for Hanging {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

/// Resolves only the first query, and reports every query.
pub(crate) struct OnceThenHanging {
    asked: AtomicUsize,
    told: mpsc::UnboundedSender<()>,
}

impl OnceThenHanging {
    pub(crate) fn new(told: mpsc::UnboundedSender<()>) -> Self {
        Self { asked: AtomicUsize::new(0), told }
    }
}

impl Resolve for OnceThenHanging {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let _ = self.told.send(());
        match self.asked.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(vec![LOOPBACK]),
            _ => std::future::pending().await,
        }
    }
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
pub(crate) const TWO_LENGTHS: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!";
pub(crate) const CHUNK_GARBAGE: &str =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnot a length\r\n";
pub(crate) const CHUNK_HALF: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf";
pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

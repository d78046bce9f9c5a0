//! [`Proxy`]: the way out of the operator's network, by HTTP CONNECT or SOCKS5.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use super::dial::{Dial, DialError, LastAnswer, Phase};
use crate::error::{Error, ErrorKind};
use crate::outcome::FailureReason;
use crate::signature::Secret;

/// A proxy that all requests of a client go through, by HTTP CONNECT (RFC 9110 section 9.3.6) or SOCKS5 (RFC
/// 1928).
///
/// The proxy gets the host and the port of an endpoint and passes bytes on. TLS is spoken with the endpoint
/// through it, so it sees nothing of a request to `https`. The connection to the proxy itself is plain TCP.
///
/// A proxy that cannot be reached, refuses the credentials, does not speak its protocol or does not answer is
/// a fault on the sender's side, and costs no attempt. A proxy that answers that it does not connect to the
/// endpoint is taken at its word: the attempt fails with [`FailureReason::ProxyRefused`] or the reason that
/// the proxy gave. None of its bytes are stored.
///
/// A SOCKS5 proxy greets before it connects to the endpoint, so a deadline that passes after the greeting is
/// the endpoint's ([`FailureReason::ConnectTimeout`]). A proxy for HTTP CONNECT is silent until the endpoint
/// has taken the connection. Its silence is the endpoint's if the proxy answered about another endpoint in
/// the second half of the wait, and otherwise the proxy's own. So set the proxy's own time-out for endpoints
/// below the contract's: then it answers, and the attempt counts.
///
/// ```
/// use hookwire::transport::hyper::Proxy;
/// use hookwire::{HyperClient, Secret};
///
/// let password = Secret::from_bytes([7; 32]);
/// let proxy = Proxy::http_connect("proxy.internal", 3128)?.with_credentials("crm", password);
/// let client = HyperClient::builder().with_proxy(proxy).build()?;
/// assert!(Proxy::socks5("10.0.0.1", 0).is_err());
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone)]
pub struct Proxy {
    kind: Kind,
    host: String,
    port: u16,
    credentials: Option<(String, Secret)>,
    last_answer: Arc<LastAnswer>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Connect,
    Socks5,
}

impl Proxy {
    /// Makes a proxy that is asked by HTTP CONNECT. `host` is a name or an address.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Address`] when `host` is neither, or the port is 0.
    pub fn http_connect(host: &str, port: u16) -> Result<Self, Error> {
        Self::new(Kind::Connect, host, port)
    }

    /// Makes a proxy that is asked by SOCKS5, and resolves the endpoints' names itself. `host` is a name or
    /// an address.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Address`] when `host` is neither, or the port is 0.
    pub fn socks5(host: &str, port: u16) -> Result<Self, Error> {
        Self::new(Kind::Socks5, host, port)
    }

    /// Sets the user and the password for the proxy: Basic credentials (RFC 7617), or those of RFC 1929.
    ///
    /// SOCKS5 takes up to 255 bytes of each.
    #[must_use]
    pub fn with_credentials(mut self, user: impl Into<String>, password: Secret) -> Self {
        self.credentials = Some((user.into(), password));
        self
    }

    fn new(kind: Kind, host: &str, port: u16) -> Result<Self, Error> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let is_host = host.parse::<IpAddr>().is_ok() || !host.is_empty() && host.bytes().all(is_name);
        if !is_host || port == 0 {
            return Err(Error::new(ErrorKind::Address, "proxy has no usable host and port")
                .with_expected("a name or an address, without a scheme, and a port from 1 up"));
        }
        Ok(Self { kind, host: host.to_owned(), port, credentials: None, last_answer: Arc::default() })
    }

    pub(super) fn place(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Asks for a connection to an endpoint. `literal` is its address, if `host` is one.
    pub(super) async fn ask_for(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        host: &str,
        literal: Option<IpAddr>,
        port: u16,
        dial: &Dial,
    ) -> Result<(), DialError> {
        match self.kind {
            Kind::Connect => self.connect(stream, host, literal, port, dial).await,
            Kind::Socks5 => self.socks(stream, host, literal, port, dial).await,
        }
    }

    async fn connect(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        host: &str,
        literal: Option<IpAddr>,
        port: u16,
        dial: &Dial,
    ) -> Result<(), DialError> {
        let authority = match literal {
            Some(IpAddr::V6(address)) => format!("[{address}]:{port}"),
            _ => format!("{host}:{port}"),
        };
        let mut request = Zeroizing::new(format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n"));
        if let Some((user, password)) = &self.credentials {
            let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
            request.push_str("proxy-authorization: Basic ");
            request.push_str(&Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes())));
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        dial.ask(&self.last_answer);
        let mut head = Vec::new();
        let end = loop {
            if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            if head.len() >= MAX_HEAD {
                return Err(DialError::proxy("head of the proxy's answer is larger than 8 KiB"));
            }
            let mut piece = [0; 512];
            match stream.read(&mut piece).await.map_err(broken)? {
                // Some proxies close the connection when the endpoint cannot be reached.
                0 if head.is_empty() => {
                    let message = "proxy closed the connection without an answer";
                    return Err(DialError::new(FailureReason::ProxyRefused, message));
                }
                0 => return Err(DialError::proxy("proxy closed the connection before it answered")),
                read => {
                    self.last_answer.note();
                    // It has to finish the answer that it has begun.
                    dial.enter(Phase::Proxy);
                    head.extend_from_slice(&piece[..read]);
                }
            }
        };
        match status_of(&head) {
            // A server of TLS or HTTP sends nothing before it is spoken to. Another one may.
            Some(200..=299) if end != head.len() => {
                let message = "bytes came through the proxy before the endpoint was asked";
                Err(DialError::new(FailureReason::NotHttp, message))
            }
            Some(200..=299) => Ok(()),
            Some(407) => Err(DialError::proxy("proxy does not take the credentials, or wants some")),
            Some(300..=599) => {
                Err(DialError::new(FailureReason::ProxyRefused, "proxy did not connect to the endpoint"))
            }
            _ => Err(DialError::proxy("proxy did not answer in HTTP")),
        }
    }

    async fn socks(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        host: &str,
        literal: Option<IpAddr>,
        port: u16,
        dial: &Dial,
    ) -> Result<(), DialError> {
        let method = if self.credentials.is_some() { PASSWORD } else { NO_AUTHENTICATION };
        stream.write_all(&[SOCKS_5, 1, method]).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        match read(stream).await? {
            [SOCKS_5, chosen] if chosen == method => {}
            [SOCKS_5, 0xff] => {
                return Err(DialError::proxy("proxy does not take the way of authentication"));
            }
            _ => return Err(DialError::proxy("proxy did not answer in SOCKS5")),
        }
        if let Some((user, password)) = &self.credentials {
            let password = password.expose();
            let (Ok(user_len), Ok(password_len)) = (u8::try_from(user.len()), u8::try_from(password.len()))
            else {
                return Err(DialError::proxy("user or password is longer than SOCKS5 takes"));
            };
            let mut request = Zeroizing::new(vec![1, user_len]);
            request.extend_from_slice(user.as_bytes());
            request.push(password_len);
            request.extend_from_slice(password.as_bytes());
            stream.write_all(&request).await.map_err(broken)?;
            stream.flush().await.map_err(broken)?;
            if read(stream).await? != [1, 0] {
                return Err(DialError::proxy("proxy does not take the credentials"));
            }
        }
        let mut request = vec![SOCKS_5, 1, 0];
        match literal {
            Some(IpAddr::V4(address)) => {
                request.push(SOCKS_V4);
                request.extend(address.octets());
            }
            Some(IpAddr::V6(address)) => {
                request.push(SOCKS_V6);
                request.extend(address.octets());
            }
            None => {
                // A name in a URL has up to 253 bytes, and a dot at the end.
                let host = host.strip_suffix('.').unwrap_or(host);
                request.extend([SOCKS_NAME, u8::try_from(host.len()).unwrap_or(u8::MAX)]);
                request.extend_from_slice(host.as_bytes());
            }
        }
        request.extend(port.to_be_bytes());
        stream.write_all(&request).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        dial.enter(Phase::Connect);
        let [version] = read(stream).await?;
        dial.enter(Phase::Proxy);
        let [reply, _, kind] = read(stream).await?;
        if version != SOCKS_5 {
            return Err(DialError::proxy("proxy did not answer in SOCKS5"));
        }
        // RFC 1928 section 6.
        let reason = match reply {
            0 => None,
            3 | 4 | 6 => Some(FailureReason::Unreachable),
            5 => Some(FailureReason::Refused),
            1 | 2 | 7 | 8 => Some(FailureReason::ProxyRefused),
            _ => return Err(DialError::proxy("proxy did not answer in SOCKS5")),
        };
        if let Some(reason) = reason {
            return Err(DialError::new(reason, "proxy did not connect to the endpoint"));
        }
        let len = match kind {
            SOCKS_V4 => 4,
            SOCKS_V6 => 16,
            SOCKS_NAME => read::<1>(stream).await?[0].into(),
            _ => return Err(DialError::proxy("proxy did not answer in SOCKS5")),
        };
        // The proxy's own end of its connection, and its port.
        let mut bound = [0; 255 + 2];
        stream.read_exact(&mut bound[..len + 2]).await.map_err(broken)?;
        Ok(())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, host, port, credentials, last_answer: _ } = self;
        f.debug_struct("Proxy")
            .field("kind", kind)
            .field("host", host)
            .field("port", port)
            .field("has_credentials", &credentials.is_some())
            .finish()
    }
}

/// The status code of a response's head in HTTP/1.
fn status_of(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let rest = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    let (code, after) = rest.split_at_checked(3)?;
    let is_code = code.iter().all(u8::is_ascii_digit) && after.first().is_none_or(|byte| *byte == b' ');
    is_code.then(|| code.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
}

async fn read<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> Result<[u8; N], DialError> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.map_err(broken)?;
    Ok(bytes)
}

fn broken(error: io::Error) -> DialError {
    DialError::proxy("proxy closed the connection before it answered").caused_by(error)
}

const MAX_HEAD: usize = 8 * 1024;
// RFC 1928 sections 3 to 5.
const SOCKS_5: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 2;
const SOCKS_V4: u8 = 1;
const SOCKS_NAME: u8 = 3;
const SOCKS_V6: u8 = 4;

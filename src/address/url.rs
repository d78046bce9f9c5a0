//! [`EndpointUrl`]: the checked text of an endpoint's URL.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use http::Uri;

use super::error::{AddressError, AddressErrorKind};

/// The URL of an endpoint, checked text.
///
/// It holds the normal form of the [URL standard](https://url.spec.whatwg.org/): the host in lower case and
/// ASCII, addresses in their usual notation, no default port.
///
/// - `EndpointUrl::parse` (feature `endpoint`) reads the text that a customer typed, brings it into normal
///   form and judges it by an [`AddressPolicy`](crate::AddressPolicy).
/// - [`from_storage`](Self::from_storage) reads normal form only, and asks no policy.
///
/// `Debug` leaves out the path and the query, where many platforms put a token.
///
/// ```
/// use hookwire::address::EndpointHost;
/// use hookwire::{AddressPolicy, EndpointUrl};
///
/// let url = EndpointUrl::from_storage("https://hooks.example.com/in?from=crm")?;
/// assert_eq!(url.host(), EndpointHost::Name("hooks.example.com"));
/// assert_eq!((url.port(), url.is_https()), (443, true));
/// assert_eq!(format!("{url:?}"), "EndpointUrl(https://hooks.example.com/..)");
/// assert!(AddressPolicy::new().check_url(&url).is_ok());
/// # Ok::<(), hookwire::address::AddressError>(())
/// ```
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct EndpointUrl {
    text: Arc<str>,
    // Kept, so that a text that `http` cannot carry is refused when it is registered and not when it is sent
    // to.
    uri: Uri,
    /// `None` for a name.
    address: Option<IpAddr>,
}

impl EndpointUrl {
    /// Reads back the text that [`as_str`](Self::as_str) gave, for stores.
    ///
    /// The text has to be in normal form, so that the URL standard would change no byte of it. No policy
    /// judges it here; every [`HttpClient`](crate::HttpClient) does when it dials, and
    /// [`AddressPolicy::check_url`] does at any time.
    ///
    /// # Errors
    ///
    /// [`AddressError`] of kind [`Scheme`](AddressErrorKind::Scheme),
    /// [`Userinfo`](AddressErrorKind::Userinfo), [`Port`](AddressErrorKind::Port) (port 0),
    /// [`Name`](AddressErrorKind::Name) (a label that DNS cannot hold) or
    /// [`Syntax`](AddressErrorKind::Syntax) (anything else that is not normal form).
    ///
    /// ```
    /// use hookwire::EndpointUrl;
    ///
    /// assert!(EndpointUrl::from_storage("https://93.184.215.14:8443/in").is_ok());
    /// for odd in ["https://Hooks.Example.com/", "https://127.1/", "https://a.b:443/", "https://a.b"] {
    ///     assert_eq!(EndpointUrl::from_storage(odd).unwrap_err().rule(), "syntax(not in normal form)");
    /// }
    /// ```
    ///
    /// [`AddressPolicy::check_url`]: crate::AddressPolicy::check_url
    pub fn from_storage(text: &str) -> Result<Self, AddressError> {
        let (rest, default_port) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (rest, "443"),
            (_, Some(rest)) => (rest, "80"),
            _ => return Err(AddressError::new(AddressErrorKind::Scheme, "scheme")),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).ok_or(NOT_NORMAL)?);
        if authority.contains('@') {
            return Err(AddressError::new(AddressErrorKind::Userinfo, "userinfo"));
        }
        check_path(path)?;
        // The colon after the host, not one inside an IPv6 address.
        let port_colon = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
        let (host, port) = authority.split_at(port_colon.unwrap_or(authority.len()));
        check_port(port, default_port)?;
        let address = address_of(host)?;
        let uri = Uri::try_from(text).map_err(|_| {
            AddressError::new(AddressErrorKind::Syntax, "syntax(character not allowed in a request)")
        })?;
        Ok(Self { text: text.into(), uri, address })
    }

    /// The URL in normal form.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host: an address, or a name that is still to be resolved.
    pub fn host(&self) -> EndpointHost<'_> {
        match self.address {
            Some(ip) => EndpointHost::Address(ip),
            None => {
                EndpointHost::Name(self.uri.host().expect("invariant: the URL was checked to have a host"))
            }
        }
    }

    /// The port; the scheme's default where the URL names none.
    pub fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or_else(|| if self.is_https() { 443 } else { 80 })
    }

    /// Whether the endpoint is reached over TLS.
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https:")
    }

    /// The URL as requests carry it.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https() { "https" } else { "http" };
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        write!(f, "EndpointUrl({scheme}://{authority}/..)")
    }
}

/// The host of an [`EndpointUrl`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum EndpointHost<'a> {
    /// An address.
    Address(IpAddr),
    /// A name. Every address it resolves to must pass
    /// [`AddressPolicy::check_ip`](crate::AddressPolicy::check_ip).
    Name(&'a str),
}

/// Refuses a name that DNS cannot hold; the dot at the end of a fully qualified name is allowed.
pub(super) fn check_labels(name: &str) -> Result<(), AddressError> {
    let refused = |rule| Err(AddressError::new(AddressErrorKind::Name, rule));
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.split('.').any(str::is_empty) {
        return refused("name(empty label)");
    }
    // RFC 1035 section 2.3.4.
    if name.len() > 253 || name.split('.').any(|label| label.len() > 63) {
        return refused("name(too long)");
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')) {
        return refused("name(character)");
    }
    Ok(())
}

/// The address that `host` is in its one normal notation; `None` for a name in normal form.
fn address_of(host: &str) -> Result<Option<IpAddr>, AddressError> {
    if let Some(inside) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let ip: Ipv6Addr = inside.parse().map_err(|_| NOT_NORMAL)?;
        return if ip.to_string() == inside { Ok(Some(ip.into())) } else { Err(NOT_NORMAL) };
    }
    if ends_in_number(host) {
        // Any notation but four decimal numbers (127.1, 0x7f000001) is read as an address by some parsers
        // alone.
        let ip: Ipv4Addr = host.parse().map_err(|_| NOT_NORMAL)?;
        return Ok(Some(ip.into()));
    }
    check_labels(host)?;
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) { Err(NOT_NORMAL) } else { Ok(None) }
}

/// Whether the URL standard reads the host as an IPv4 address:
/// <https://url.spec.whatwg.org/#ends-in-a-number-checker>.
fn ends_in_number(host: &str) -> bool {
    let last = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap_or_default();
    let is_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").or_else(|| last.strip_prefix("0X")).is_some_and(is_hex)
}

/// `port` with its colon, or nothing.
fn check_port(port: &str, default: &str) -> Result<(), AddressError> {
    let Some(digits) = port.strip_prefix(':') else { return Ok(()) };
    if digits == "0" {
        return Err(AddressError::new(AddressErrorKind::Port, "port 0"));
    }
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok();
    if !is_number || digits.starts_with('0') || digits == default {
        return Err(NOT_NORMAL);
    }
    Ok(())
}

/// `path` with its query, if there is one.
fn check_path(path: &str) -> Result<(), AddressError> {
    if path.contains('#') {
        return Err(AddressError::new(AddressErrorKind::Syntax, "syntax(fragment)"));
    }
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let is_normal = |text: &str, encoded: &[u8]| {
        text.bytes().all(|byte| byte.is_ascii_graphic() && !encoded.contains(&byte))
    };
    if !path.starts_with('/') || !is_normal(path, ENCODED_IN_PATH) || !is_normal(query, ENCODED_IN_QUERY) {
        return Err(NOT_NORMAL);
    }
    if path.split('/').any(|segment| DOT_SEGMENTS.iter().any(|dots| segment.eq_ignore_ascii_case(dots))) {
        return Err(NOT_NORMAL);
    }
    Ok(())
}

const NOT_NORMAL: AddressError = AddressError::new(AddressErrorKind::Syntax, "syntax(not in normal form)");

// The visible characters of the URL standard's path percent-encode set, and the backslash, which it reads as
// a slash.
const ENCODED_IN_PATH: &[u8] = b"\"#<>?^`{}\\";

// The visible characters of its special-query percent-encode set.
const ENCODED_IN_QUERY: &[u8] = b"\"#<>'";

// Its single-dot and double-dot URL path segments.
const DOT_SEGMENTS: &[&str] = &[".", "%2e", "..", ".%2e", "%2e.", "%2e%2e"];

//! [`EndpointUrl`] and [`AddressPolicy`]: what a delivery may reach.
//!
//! An endpoint's URL comes from a customer, and the worker that calls it stands inside the operator's network. So
//! everything is denied but `https` to a public host; each exception is an explicit option. The check is made
//! twice: on the URL when it is registered, and on every address that its name resolves to when it is dialled
//! ([`AddressPolicy::check_ip`]). A name is only a first sieve; the addresses are what protects.

use std::error::Error as StdError;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;
use url::{Host, Url};

/// The URL of an endpoint, judged by an [`AddressPolicy`].
///
/// Holds the normal form of the URL standard: host in lower case and ASCII, addresses in their usual notation, the
/// default port left out. What the URL standard would repair in silence (backslashes, tabs, missing slashes) is
/// refused, so that no other parser can read another host out of the same text.
///
/// `Debug` leaves out the path and the query, where many platforms put a token.
///
/// ```
/// use hookwire::{AddressPolicy, EndpointHost, EndpointUrl};
///
/// let policy = AddressPolicy::new();
/// let url = EndpointUrl::parse("https://Hooks.Example.com:443/in?from=crm", &policy)?;
/// assert_eq!(url.as_str(), "https://hooks.example.com/in?from=crm");
/// assert_eq!(url.host(), EndpointHost::Name("hooks.example.com"));
///
/// let error = EndpointUrl::parse("https://127.1/", &policy).unwrap_err();
/// assert_eq!(error.rule(), "address:loopback");
/// # Ok::<(), hookwire::AddressError>(())
/// ```
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct EndpointUrl {
    url: Url,
    // Kept, so that a text which `http` could not carry is refused when it is registered and not when it is sent to.
    uri: Uri,
}

impl EndpointUrl {
    /// Parses `text` and judges it by `policy`.
    ///
    /// A host name passes when nothing speaks against the name; its addresses are judged when it has been resolved.
    ///
    /// # Errors
    ///
    /// [`AddressError`] with the rule that refused the URL: syntax first, then scheme, user information, host,
    /// port and fragment.
    pub fn parse(text: &str, policy: &AddressPolicy) -> Result<Self, AddressError> {
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(AddressError::new(AddressErrorKind::Syntax, RULE_CONTROL));
        }
        if text.len() > MAX_LENGTH {
            return Err(AddressError::new(AddressErrorKind::Syntax, "syntax(longer than 8000 bytes)"));
        }
        let (scheme, rest) = text.split_once(':').unwrap_or_default();
        if !policy.permits_scheme(scheme) {
            // A text that is no URL at all is told as that.
            Url::parse(text).map_err(parse_error)?;
            return Err(AddressError::new(AddressErrorKind::Scheme, "scheme"));
        }
        match rest.strip_prefix("//") {
            Some(after) if !after.starts_with('/') => {}
            _ => return Err(AddressError::new(AddressErrorKind::Syntax, "syntax(missing or extra slashes)")),
        }
        let url = Url::parse(text).map_err(parse_error)?;
        // From the raw text: an empty `@` leaves no trace in the parsed URL.
        if rest[2..].split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
            return Err(AddressError::new(AddressErrorKind::Userinfo, "userinfo"));
        }
        let on_loopback = policy.check_host(&url)?;
        policy.check_port(port_of(&url), on_loopback)?;
        if url.fragment().is_some() {
            return Err(AddressError::new(AddressErrorKind::Syntax, "syntax(fragment)"));
        }
        let uri = Uri::try_from(url.as_str()).map_err(|_| {
            AddressError::new(AddressErrorKind::Syntax, "syntax(character not allowed in a request)")
        })?;
        Ok(Self { url, uri })
    }

    /// The URL that [`as_str`](Self::as_str) gave, for a store to read back; no policy judges it again.
    ///
    /// Only for text that a store of ours wrote: whoever dials it still has to ask the policy.
    #[doc(hidden)]
    pub fn from_storage(text: &str) -> Result<Self, AddressError> {
        let url = Url::parse(text).map_err(parse_error)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(AddressError::new(AddressErrorKind::Scheme, "scheme"));
        }
        let uri = Uri::try_from(url.as_str()).map_err(|_| {
            AddressError::new(AddressErrorKind::Syntax, "syntax(character not allowed in a request)")
        })?;
        Ok(Self { url, uri })
    }

    /// The URL in normal form; parsing it again under the same policy gives the same.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// What the URL names: an address, or a name that is still to be resolved.
    pub fn host(&self) -> EndpointHost<'_> {
        match self.url.host() {
            Some(Host::Ipv4(ip)) => EndpointHost::Address(ip.into()),
            Some(Host::Ipv6(ip)) => EndpointHost::Address(ip.into()),
            Some(Host::Domain(name)) => EndpointHost::Name(name),
            None => unreachable!("invariant: http and https URLs have a host"),
        }
    }

    /// The port, the scheme's own when the URL names none.
    pub fn port(&self) -> u16 {
        port_of(&self.url)
    }

    /// Whether the endpoint is spoken to over TLS.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
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
        write!(f, "EndpointUrl({}/..)", self.url.origin().ascii_serialization())
    }
}

/// The host of an [`EndpointUrl`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum EndpointHost<'a> {
    /// An address, already allowed by the policy.
    Address(IpAddr),
    /// A name: every address it resolves to must still pass [`AddressPolicy::check_ip`].
    Name(&'a str),
}

/// Which endpoints may be reached: by default `https` on public addresses and usual ports.
///
/// Denied are
///
/// - IPv4 addresses of the IANA special-purpose registry (RFC 6890), multicast, and 168.63.129.16, where a large
///   cloud serves its virtual machines' secrets;
/// - IPv6 addresses outside `2000::/3`, the only block of public unicast, and its special-purpose blocks;
///   IPv4-mapped ones always;
/// - names of one label, and names under `localhost`, `local`, `localdomain`, `internal`, `intranet`, `private`,
///   `lan`, `home`, `corp`, `svc`, `test`, `onion`, `alt` and `arpa` (RFC 6761, 6762, 7686, 8375, 9476, ICANN's
///   reserved and Kubernetes' names). `example` and `invalid` are left to the resolver: nothing answers there;
/// - ports below 1024 other than 80 and 443: mail, shells and the like;
/// - every scheme but `https`.
///
/// The options are for development and for networks that need them; each widens one rule. Policies compare equal
/// when they allow the same: connections are shared only between equal ones.
///
/// ```
/// use hookwire::{AddressPolicy, EndpointUrl};
///
/// let development = AddressPolicy::new().allow_loopback().allow_plain_http();
/// assert!(EndpointUrl::parse("http://localhost:8080/hooks", &development).is_ok());
/// assert!(EndpointUrl::parse("http://10.0.0.1/", &development).is_err());
/// assert!(development.check_ip("127.0.0.1".parse()?).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct AddressPolicy {
    loopback: bool,
    plain_http: bool,
    // Sorted and without duplicates, so that equal policies compare equal.
    extra_ports: Vec<u16>,
    nat64: Vec<Ipv6Addr>,
}

impl AddressPolicy {
    /// The strict policy, for production.
    pub const fn new() -> Self {
        Self { loopback: false, plain_http: false, extra_ports: Vec::new(), nat64: Vec::new() }
    }

    /// Allows `127.0.0.0/8`, `::1` and `localhost`, on any port. For development.
    #[must_use]
    pub fn allow_loopback(mut self) -> Self {
        self.loopback = true;
        self
    }

    /// Allows `http` beside `https`, so that payloads travel in the clear. For development.
    #[must_use]
    pub fn allow_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// Allows one port below 1024 more. Port 0 stays refused.
    #[must_use]
    pub fn allow_port(mut self, port: u16) -> Self {
        insert_sorted(&mut self.extra_ports, port);
        self
    }

    /// Allows the well-known NAT64 prefix `64:ff9b::/96` (RFC 6052) where the IPv4 address inside is allowed.
    ///
    /// For hosts with IPv6 alone behind a DNS64 resolver.
    #[must_use]
    pub fn allow_nat64(self) -> Self {
        self.allow_nat64_prefix(NAT64_WELL_KNOWN)
    }

    /// The same for the `/96` prefix of the operator's own network; the last 32 bits of `prefix` are ignored.
    #[must_use]
    pub fn allow_nat64_prefix(mut self, prefix: Ipv6Addr) -> Self {
        insert_sorted(&mut self.nat64, Ipv6Addr::from_bits(prefix.to_bits() & !NAT64_HOST_BITS));
        self
    }

    /// Judges one address, as written in a URL or as a name resolved to.
    ///
    /// A name is allowed only when every address it resolves to is, and then one of just these may be dialled.
    ///
    /// # Errors
    ///
    /// [`AddressError`] of kind [`Address`](AddressErrorKind::Address) with the block that the address lies in.
    pub fn check_ip(&self, ip: IpAddr) -> Result<(), AddressError> {
        if self.loopback && ip.is_loopback() {
            return Ok(());
        }
        let denied = match ip {
            IpAddr::V4(ip) => denied_v4(ip),
            IpAddr::V6(ip) => self.denied_v6(ip),
        };
        match denied {
            Some(rule) => {
                Err(AddressError { ip: Some(ip), ..AddressError::new(AddressErrorKind::Address, rule) })
            }
            None => Ok(()),
        }
    }

    fn permits_scheme(&self, scheme: &str) -> bool {
        scheme.eq_ignore_ascii_case("https") || self.plain_http && scheme.eq_ignore_ascii_case("http")
    }

    /// Says whether the host is loopback, and so free in its port.
    fn check_host(&self, url: &Url) -> Result<bool, AddressError> {
        match url.host() {
            Some(Host::Ipv4(ip)) => self.check_ip(ip.into()).map(|()| ip.is_loopback()),
            Some(Host::Ipv6(ip)) => self.check_ip(ip.into()).map(|()| ip.is_loopback()),
            Some(Host::Domain(name)) => self.check_name(name),
            None => Err(AddressError::new(AddressErrorKind::Parse, "parse:empty host")),
        }
    }

    fn check_name(&self, name: &str) -> Result<bool, AddressError> {
        let denied = |rule| Err(AddressError::new(AddressErrorKind::Name, rule));
        // The trailing dot of a fully qualified name says nothing about where it leads.
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_under =
            |zone: &str| name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if is_under("localhost") {
            return if self.loopback { Ok(true) } else { denied("name(special-use)") };
        }
        if name.split('.').filter(|label| !label.is_empty()).count() < 2 {
            return denied("name(single label)");
        }
        if SPECIAL_NAMES.into_iter().any(is_under) {
            return denied("name(special-use)");
        }
        if name.split('.').any(str::is_empty) {
            return denied("name(empty label)");
        }
        if name.len() > 253 || name.split('.').any(|label| label.len() > 63) {
            return denied("name(too long)");
        }
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
            return denied("name(character)");
        }
        Ok(false)
    }

    fn check_port(&self, port: u16, on_loopback: bool) -> Result<(), AddressError> {
        match port {
            0 => Err(AddressError::new(AddressErrorKind::Port, "port 0")),
            80 | 443 | 1024.. => Ok(()),
            _ if on_loopback || self.extra_ports.binary_search(&port).is_ok() => Ok(()),
            _ => Err(AddressError::new(AddressErrorKind::Port, "port (not in allow-list)")),
        }
    }

    fn denied_v6(&self, ip: Ipv6Addr) -> Option<&'static str> {
        if let Some(mapped) = ip.to_ipv4_mapped() {
            return denied_v4(mapped).or(Some("address:v4-mapped"));
        }
        let prefix = Ipv6Addr::from_bits(ip.to_bits() & !NAT64_HOST_BITS);
        if self.nat64.binary_search(&prefix).is_ok() {
            let [.., a, b, c, d] = ip.octets();
            return denied_v4(Ipv4Addr::new(a, b, c, d));
        }
        V6_RULES
            .into_iter()
            .find(|(block, length, _)| (ip.to_bits() ^ block.to_bits()) >> (128 - length) == 0)
            .map(|(_, _, rule)| rule)
            .or_else(|| (ip.segments()[0] >> 13 != 0b001).then_some("address:outside 2000::/3"))
    }
}

/// An endpoint that the [`AddressPolicy`] refuses, with the rule that did.
///
/// The text names the rule and never the URL, which may hold a token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressError {
    kind: AddressErrorKind,
    rule: &'static str,
    ip: Option<IpAddr>,
}

impl AddressError {
    /// What the rule is about.
    pub fn kind(&self) -> AddressErrorKind {
        self.kind
    }

    /// The rule's short name, stable across versions: `address:private`, `name(single label)`, `port 0`.
    pub fn rule(&self) -> &'static str {
        self.rule
    }

    /// The address that was refused, for the operator's log.
    ///
    /// Not part of the text: an error shown to a customer would tell what a name resolves to inside the network.
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    const fn new(kind: AddressErrorKind, rule: &'static str) -> Self {
        Self { kind, rule, ip: None }
    }
}

impl StdError for AddressError {}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (subject, expected) = match self.kind {
            AddressErrorKind::Address => ("address", "a public one"),
            AddressErrorKind::Name => ("host name", "a public, fully qualified one"),
            AddressErrorKind::Parse => ("text", "an absolute URL"),
            AddressErrorKind::Port => ("port", "443, 80 or one from 1024 up"),
            AddressErrorKind::Scheme => ("scheme", "https"),
            AddressErrorKind::Syntax => ("URL", "one without parts that parsers disagree on"),
            AddressErrorKind::Userinfo => ("URL", "one without user name and password"),
        };
        write!(f, "{subject} of the endpoint is refused by rule \"{}\", expected {expected}", self.rule)
    }
}

/// What the rule behind an [`AddressError`] is about.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum AddressErrorKind {
    /// An address in a block that is not public.
    Address,
    /// A host name that leads nowhere public.
    Name,
    /// A text that is no absolute URL.
    Parse,
    /// A port that is not for the web.
    Port,
    /// A scheme other than `https` (or `http`, where allowed).
    Scheme,
    /// Odd syntax that parsers read differently or repair in silence.
    Syntax,
    /// A user name or password in the URL.
    Userinfo,
}

fn denied_v4(ip: Ipv4Addr) -> Option<&'static str> {
    V4_RULES
        .into_iter()
        .find(|(block, length, _)| (ip.to_bits() ^ block.to_bits()) >> (32 - length) == 0)
        .map(|(_, _, rule)| rule)
}

fn parse_error(error: url::ParseError) -> AddressError {
    use url::ParseError;
    let rule = match error {
        ParseError::EmptyHost => "parse:empty host",
        ParseError::IdnaError => "parse:invalid international domain name",
        ParseError::InvalidDomainCharacter => "parse:invalid domain character",
        ParseError::InvalidIpv4Address => "parse:invalid IPv4 address",
        ParseError::InvalidIpv6Address => "parse:invalid IPv6 address",
        ParseError::InvalidPort => "parse:invalid port number",
        ParseError::RelativeUrlWithoutBase => "parse:relative URL without a base",
        _ => "parse:invalid URL",
    };
    AddressError::new(AddressErrorKind::Parse, rule)
}

fn port_of(url: &Url) -> u16 {
    url.port_or_known_default().expect("invariant: http and https URLs have a default port")
}

fn insert_sorted<T: Ord>(values: &mut Vec<T>, value: T) {
    if let Err(position) = values.binary_search(&value) {
        values.insert(position, value);
    }
}

const RULE_CONTROL: &str = "syntax(control/space/backslash in raw input)";

// What a server should accept at least, RFC 9110 section 4.1.
const MAX_LENGTH: usize = 8000;

const NAT64_WELL_KNOWN: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);
const NAT64_HOST_BITS: u128 = 0xffff_ffff;

// IANA IPv4 Special-Purpose Address Registry, multicast (RFC 5771), and one address of a cloud.
const V4_RULES: [(Ipv4Addr, u32, &str); 19] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "address:this-net"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "address:private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "address:cgnat"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "address:loopback"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "address:cloud-host"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "address:link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "address:private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "address:ietf"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "address:doc"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "address:as112"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "address:amt"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "address:6to4-relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "address:private"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "address:as112"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "address:benchmark"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "address:doc"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "address:doc"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "address:multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "address:reserved"),
];

// IANA IPv6 Special-Purpose Address Registry, as far as it lies inside 2000::/3; everything outside is denied at once.
const V6_RULES: [(Ipv6Addr, u32, &str); 5] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "address:ietf/teredo"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "address:doc"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "address:6to4"),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, "address:as112"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "address:doc"),
];

const SPECIAL_NAMES: [&str; 13] = [
    "alt",
    "arpa",
    "corp",
    "home",
    "internal",
    "intranet",
    "lan",
    "local",
    "localdomain",
    "onion",
    "private",
    "svc",
    "test",
];

//! [`AddressPolicy`]: which addresses, names, ports and schemes an endpoint may have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::error::{AddressError, AddressErrorKind};
use super::url::{EndpointHost, EndpointUrl, check_labels};

/// Which endpoints may be reached: by default `https` on public addresses and usual ports.
///
/// Denied are
///
/// - IPv4 addresses of the IANA special-purpose registry (RFC 6890), multicast, and 168.63.129.16, where a
///   large cloud serves its virtual machines' secrets;
/// - IPv6 addresses outside `2000::/3`, the only block of public unicast, and its special-purpose blocks;
///   IPv4-mapped ones always;
/// - names of one label, and names under `localhost`, `local`, `localdomain`, `internal`, `intranet`,
///   `private`, `lan`, `home`, `corp`, `svc`, `test`, `onion`, `alt` and `arpa` (RFC 6761, 6762, 7686, 8375,
///   9476, ICANN's reserved and Kubernetes' names). `example` and `invalid` are left to the resolver: nothing
///   answers there;
/// - ports below 1024 other than 80 and 443: mail, shells and the like;
/// - every scheme but `https`.
///
/// The options are for development and for networks that need them; each widens one rule. Policies are equal
/// when they allow the same, and clients share connections only between equal policies.
///
/// ```
/// use hookwire::{AddressPolicy, EndpointUrl};
///
/// let development = AddressPolicy::new().allow_loopback().allow_plain_http();
/// assert!(development.check_ip("127.0.0.1".parse()?).is_ok());
/// assert!(development.check_url(&EndpointUrl::from_storage("http://localhost:8080/hooks")?).is_ok());
/// assert!(development.check_url(&EndpointUrl::from_storage("http://10.0.0.1/")?).is_err());
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

    /// Allows a `/96` NAT64 prefix of the operator's own network where the IPv4 address inside is allowed.
    ///
    /// The last 32 bits of `prefix` are ignored.
    #[must_use]
    pub fn allow_nat64_prefix(mut self, prefix: Ipv6Addr) -> Self {
        insert_sorted(&mut self.nat64, Ipv6Addr::from_bits(prefix.to_bits() & !NAT64_HOST_BITS));
        self
    }

    /// Judges one address: one that a URL names, or that a name resolved to.
    ///
    /// A name is allowed only when every address it resolves to is allowed, and then only these may be
    /// dialled.
    ///
    /// # Errors
    ///
    /// [`AddressError`] of kind [`Address`](AddressErrorKind::Address) with the block that the address lies
    /// in.
    pub fn check_ip(&self, ip: IpAddr) -> Result<(), AddressError> {
        if self.loopback && ip.is_loopback() {
            return Ok(());
        }
        let denied = match ip {
            IpAddr::V4(ip) => denied_v4(ip),
            IpAddr::V6(ip) => self.denied_v6(ip),
        };
        denied.map_or(Ok(()), |rule| Err(AddressError::address(ip, rule)))
    }

    /// Judges a URL that was read from a store: its scheme, its host and its port.
    ///
    /// A host name passes when the policy allows the name; judge its addresses with
    /// [`check_ip`](Self::check_ip) when it has been resolved.
    ///
    /// # Errors
    ///
    /// [`AddressError`] with the first rule that refuses the URL, in the order scheme, host, port.
    ///
    /// ```
    /// use hookwire::{AddressPolicy, EndpointUrl};
    ///
    /// let stored = EndpointUrl::from_storage("http://127.0.0.1:8080/hooks")?;
    /// assert_eq!(AddressPolicy::new().check_url(&stored).unwrap_err().rule(), "scheme");
    /// # Ok::<(), hookwire::address::AddressError>(())
    /// ```
    pub fn check_url(&self, url: &EndpointUrl) -> Result<(), AddressError> {
        self.check_scheme(if url.is_https() { "https" } else { "http" })?;
        self.check_authority(url.host(), url.port())
    }

    pub(super) fn check_scheme(&self, scheme: &str) -> Result<(), AddressError> {
        let allowed =
            scheme.eq_ignore_ascii_case("https") || self.plain_http && scheme.eq_ignore_ascii_case("http");
        if allowed { Ok(()) } else { Err(AddressError::new(AddressErrorKind::Scheme, "scheme")) }
    }

    pub(super) fn check_authority(&self, host: EndpointHost<'_>, port: u16) -> Result<(), AddressError> {
        let is_loopback = match host {
            EndpointHost::Address(ip) => self.check_ip(ip).map(|()| ip.is_loopback()),
            EndpointHost::Name(name) => self.check_name(name),
        }?;
        self.check_port(port, is_loopback)
    }

    /// Returns whether the host is loopback, where every port is free.
    fn check_name(&self, name: &str) -> Result<bool, AddressError> {
        let denied = |rule| Err(AddressError::new(AddressErrorKind::Name, rule));
        // The dot at the end of a fully qualified name changes nothing about where it leads.
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_under =
            |zone: &str| name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if self.loopback && is_under("localhost") {
            return check_labels(name).map(|()| true);
        }
        if is_under("localhost") {
            return denied("name(special-use)");
        }
        if name.split('.').filter(|label| !label.is_empty()).count() < 2 {
            return denied("name(single label)");
        }
        if SPECIAL_NAMES.iter().any(|zone| is_under(zone)) {
            return denied("name(special-use)");
        }
        check_labels(name).map(|()| false)
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
            .iter()
            .find(|(block, length, _)| (ip.to_bits() ^ block.to_bits()) >> (128 - length) == 0)
            .map(|(_, _, rule)| *rule)
            .or_else(|| (ip.segments()[0] >> 13 != 0b001).then_some("address:outside 2000::/3"))
    }
}

fn denied_v4(ip: Ipv4Addr) -> Option<&'static str> {
    V4_RULES
        .iter()
        .find(|(block, length, _)| (ip.to_bits() ^ block.to_bits()) >> (32 - length) == 0)
        .map(|(_, _, rule)| *rule)
}

fn insert_sorted<T: Ord>(values: &mut Vec<T>, value: T) {
    if let Err(position) = values.binary_search(&value) {
        values.insert(position, value);
    }
}

const NAT64_WELL_KNOWN: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);
const NAT64_HOST_BITS: u128 = 0xffff_ffff;

// IANA IPv4 Special-Purpose Address Registry, multicast (RFC 5771), and one address of a cloud.
const V4_RULES: &[(Ipv4Addr, u32, &str)] = &[
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

// IANA IPv6 Special-Purpose Address Registry, as far as it lies inside 2000::/3; everything outside is denied
// at once.
const V6_RULES: &[(Ipv6Addr, u32, &str)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "address:ietf/teredo"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "address:doc"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "address:6to4"),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, "address:as112"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "address:doc"),
];

const SPECIAL_NAMES: &[&str] = &[
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

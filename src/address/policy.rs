//! [`AddressPolicy`]: which addresses, names, ports and schemes an endpoint may have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::error::{AddressError, AddressErrorKind};
use super::networks::{embedded_v4, is_never_allowed, network};
use super::url::{EndpointHost, EndpointUrl, check_labels};
use crate::error::{Error, ErrorKind};

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
/// The options are for development and for networks that need them; each but
/// [`deny_network`](Self::deny_network) widens one rule. No option allows the addresses at which clouds serve
/// the secrets of their machines, link-local and multicast addresses, or an IPv6 address that stands for one
/// of them. An [`AddressError`] names the option that allows the endpoint ([`AddressError::setting`]).
/// Policies are equal when they allow the same, and clients share connections only between equal policies.
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
    allowed: Vec<IpNet>,
    denied: Vec<IpNet>,
    names: Vec<String>,
}

impl AddressPolicy {
    /// The strict policy, for production.
    pub const fn new() -> Self {
        Self {
            loopback: false,
            plain_http: false,
            extra_ports: Vec::new(),
            nat64: Vec::new(),
            allowed: Vec::new(),
            denied: Vec::new(),
            names: Vec::new(),
        }
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

    /// Allows the well-known NAT64 prefix `64:ff9b::/96` (RFC 6052) where the IPv4 address inside is public.
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

    /// Allows the addresses of a network, in CIDR notation (RFC 4632 section 3.1) or as one address. For
    /// receivers inside the operator's own network.
    ///
    /// Every subscription may then reach every host of it, so name the smallest network that does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Address`] when `network` is neither an address nor a network.
    ///
    /// ```
    /// use hookwire::AddressPolicy;
    ///
    /// let policy = AddressPolicy::new().allow_network("10.20.0.0/16")?;
    /// assert!(policy.check_ip([10, 20, 0, 7].into()).is_ok());
    /// assert!(policy.check_ip([10, 21, 0, 7].into()).is_err());
    /// assert!(policy.allow_network("0.0.0.0/0")?.check_ip([169, 254, 169, 254].into()).is_err());
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn allow_network(mut self, network: &str) -> Result<Self, Error> {
        insert_sorted(&mut self.allowed, self::network(network)?);
        Ok(self)
    }

    /// Denies the addresses of a network, whatever else allows them: the operator's own public ranges, behind
    /// which the rules of a firewall differ for its own hosts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Address`] when `network` is neither an address nor a network.
    pub fn deny_network(mut self, network: &str) -> Result<Self, Error> {
        insert_sorted(&mut self.denied, self::network(network)?);
        Ok(self)
    }

    /// Allows one host name, such as the name of a service in a compose file, and the private addresses that
    /// it resolves to.
    ///
    /// The name's own servers decide where it leads, so they have to be the operator's.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Address`] when `name` is not a host name.
    ///
    /// ```
    /// use hookwire::{AddressPolicy, EndpointUrl};
    ///
    /// let policy = AddressPolicy::new().allow_plain_http().allow_name("crm")?;
    /// assert!(EndpointUrl::parse("http://crm:8080/hooks", &policy).is_ok());
    /// assert!(policy.check_resolved("crm", [172, 18, 0, 3].into()).is_ok());
    /// assert!(policy.check_resolved("hooks.example.com", [172, 18, 0, 3].into()).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn allow_name(mut self, name: &str) -> Result<Self, Error> {
        let normal = without_dot(name).to_ascii_lowercase();
        let is_address = normal.parse::<IpAddr>().is_ok();
        if is_address || check_labels(&normal).is_err() {
            return Err(Error::new(ErrorKind::Address, "name to allow is not a host name")
                .with_expected("one name in ASCII, without port, scheme or wildcard"));
        }
        insert_sorted(&mut self.names, normal);
        Ok(self)
    }

    /// Judges one address that a URL names. For an address that a name resolved to, use
    /// [`check_resolved`](Self::check_resolved).
    ///
    /// A name is allowed only when every address it resolves to is allowed, and then only these may be
    /// dialled.
    ///
    /// # Errors
    ///
    /// [`AddressError`] of kind [`Address`](AddressErrorKind::Address) with the block that the address lies
    /// in.
    pub fn check_ip(&self, ip: IpAddr) -> Result<(), AddressError> {
        self.judge(ip, false)
    }

    /// Judges one address that `name` resolved to.
    ///
    /// # Errors
    ///
    /// As [`check_ip`](Self::check_ip), except that a name of [`allow_name`](Self::allow_name) may lead to
    /// private addresses.
    pub fn check_resolved(&self, name: &str, ip: IpAddr) -> Result<(), AddressError> {
        self.judge(ip, self.is_allowed_name(name))
    }

    /// Whether an address is of the well-known NAT64 prefix, and the policy does not allow that.
    fn lacks_nat64(&self, ip: Ipv6Addr) -> bool {
        let prefix = Ipv6Addr::from_bits(ip.to_bits() & !NAT64_HOST_BITS);
        prefix == NAT64_WELL_KNOWN && self.nat64.binary_search(&prefix).is_err()
    }

    fn is_allowed_name(&self, name: &str) -> bool {
        let name = without_dot(name);
        self.names.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
    }

    fn judge(&self, ip: IpAddr, is_trusted: bool) -> Result<(), AddressError> {
        let rule = match ip {
            IpAddr::V4(ip) => denied_v4(ip),
            IpAddr::V6(ip) => self.denied_v6(ip),
        };
        let embedded = embedded_v4(ip, &self.nat64).map(IpAddr::V4);
        let is_never = [Some(ip), embedded].into_iter().flatten().any(is_never_allowed);
        let rule = rule.or_else(|| is_never.then_some("address:embedded"));
        let is_in = |networks: &[IpNet], ip: IpAddr| networks.iter().any(|network| network.contains(&ip));
        let is_allowed = is_trusted || self.loopback && ip.is_loopback() || is_in(&self.allowed, ip);
        if let Some(rule) = rule.filter(|_| is_never || !is_allowed) {
            let setting = match ip {
                _ if is_never => None,
                ip if ip.is_loopback() => Some("allow_loopback"),
                IpAddr::V6(ip) if self.lacks_nat64(ip) => Some("allow_nat64"),
                _ => Some("allow_network"),
            };
            return Err(AddressError::address(ip, rule).allowed_by(setting));
        }
        if [Some(ip), embedded].into_iter().flatten().any(|ip| is_in(&self.denied, ip)) {
            return Err(AddressError::address(ip, "address:denied network").allowed_by(Some("deny_network")));
        }
        Ok(())
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
        if allowed {
            return Ok(());
        }
        let setting = scheme.eq_ignore_ascii_case("http").then_some("allow_plain_http");
        Err(AddressError::new(AddressErrorKind::Scheme, "scheme").allowed_by(setting))
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
        let denied =
            |rule, setting| Err(AddressError::new(AddressErrorKind::Name, rule).allowed_by(Some(setting)));
        // The dot at the end of a fully qualified name changes nothing about where it leads.
        let name = without_dot(name);
        if self.is_allowed_name(name) {
            return check_labels(name).map(|()| false);
        }
        let is_under =
            |zone: &str| name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if self.loopback && is_under("localhost") {
            return check_labels(name).map(|()| true);
        }
        if is_under("localhost") {
            return denied("name(special-use)", "allow_loopback");
        }
        if name.split('.').filter(|label| !label.is_empty()).count() < 2 {
            return denied("name(single label)", "allow_name");
        }
        if SPECIAL_NAMES.iter().any(|zone| is_under(zone)) {
            return denied("name(special-use)", "allow_name");
        }
        check_labels(name).map(|()| false)
    }

    fn check_port(&self, port: u16, on_loopback: bool) -> Result<(), AddressError> {
        match port {
            0 => Err(AddressError::new(AddressErrorKind::Port, "port 0")),
            80 | 443 | 1024.. => Ok(()),
            _ if on_loopback || self.extra_ports.binary_search(&port).is_ok() => Ok(()),
            _ => Err(AddressError::new(AddressErrorKind::Port, "port (not in allow-list)")
                .allowed_by(Some("allow_port"))),
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

fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
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

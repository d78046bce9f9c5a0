//! [`NetworkGuard`]: admits requests from addresses of a list.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::{IpNet, Ipv4Net};

use super::{Arrival, Guard, forwarded};
use crate::error::{Error, ErrorKind};

/// Admits requests from addresses of a list, for senders that publish theirs.
///
/// It goes by the connection's other end. A header such as `X-Forwarded-For` is believed only when
/// [trusted proxies](Self::behind) are named: anybody can write one. Of the two headers that proxies write one is believed, never
/// both: `X-Forwarded-For`, or [`Forwarded`](Self::with_forwarded) where that is asked for.
///
/// ```
/// use hookwire::receive::{Arrival, Guard, NetworkGuard};
///
/// let guard = NetworkGuard::new(["203.0.113.0/24", "2001:db8:7::1"])?;
/// let headers = http::HeaderMap::new();
/// assert!(guard.admits(&Arrival::new(&headers).with_peer([203, 0, 113, 9].into())));
/// assert!(!guard.admits(&Arrival::new(&headers).with_peer([198, 51, 100, 1].into())));
/// assert!(!guard.admits(&Arrival::new(&headers)), "from nobody knows where");
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct NetworkGuard {
    allowed: Vec<IpNet>,
    proxies: Vec<IpNet>,
    is_forwarded: bool,
}

impl NetworkGuard {
    /// Admits what comes from `networks`: addresses, or ranges of them in CIDR notation (RFC 4632 section 3.1).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Guard`] for what is neither.
    pub fn new<N: AsRef<str>>(networks: impl IntoIterator<Item = N>) -> Result<Self, Error> {
        Ok(Self { allowed: parse(networks)?, proxies: Vec::new(), is_forwarded: false })
    }

    /// The same guard behind proxies of these networks: of a request that comes from one of them, the sender is the last address
    /// in `X-Forwarded-For` that is not of a proxy.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn behind<N: AsRef<str>>(mut self, proxies: impl IntoIterator<Item = N>) -> Result<Self, Error> {
        self.proxies = parse(proxies)?;
        Ok(self)
    }

    /// The same guard, believing of its [proxies](Self::behind) the header `Forwarded` (RFC 7239) and no longer `X-Forwarded-For`.
    ///
    /// Choose the one that every proxy of the list writes: the other passes through them as the sender made it up. An element whose
    /// `for` is missing, `unknown` or a name of the proxy's own admits nobody, and so does a field that is not of the grammar.
    ///
    /// ```
    /// use hookwire::receive::{Arrival, Guard, NetworkGuard};
    /// use http::HeaderValue;
    ///
    /// let guard = NetworkGuard::new(["203.0.113.0/24"])?.behind(["10.0.0.0/8"])?.with_forwarded();
    /// let mut headers = http::HeaderMap::new();
    /// headers.insert("forwarded", HeaderValue::from_static(r#"for="203.0.113.9:4711";proto=https"#));
    /// assert!(guard.admits(&Arrival::new(&headers).with_peer([10, 0, 0, 1].into())));
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn with_forwarded(mut self) -> Self {
        self.is_forwarded = true;
        self
    }

    /// The sender's address as far as it can be believed.
    fn sender(&self, arrival: &Arrival<'_>) -> Option<IpAddr> {
        let mut sender = arrival.peer?.to_canonical();
        if !contains(&self.proxies, sender) {
            return Some(sender);
        }
        // Each proxy has appended where it got the request from: the last is the nearest, and what stands before an address that
        // is no proxy's may be anybody's invention.
        let hops = match self.is_forwarded {
            true => forwarded::hops(arrival.headers),
            false => x_forwarded_for(arrival.headers),
        };
        for hop in hops.into_iter().rev() {
            sender = hop?;
            if !contains(&self.proxies, sender) {
                return Some(sender);
            }
        }
        Some(sender)
    }
}

impl Guard for NetworkGuard {
    fn name(&self) -> &'static str {
        "network"
    }

    fn admits(&self, arrival: &Arrival<'_>) -> bool {
        self.sender(arrival).is_some_and(|sender| contains(&self.allowed, sender))
    }
}

fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// The addresses in every `X-Forwarded-For`, in their order; nothing for what is none, and for a value that is no text.
fn x_forwarded_for(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let values = headers.get_all("x-forwarded-for").iter();
    values
        .flat_map(|value| match value.to_str() {
            Ok(text) => text.split(',').map(|entry| address(entry.trim())).collect(),
            Err(_) => vec![None],
        })
        .collect()
}

/// An address with or without a port; proxies write either.
pub(super) fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse().ok().or_else(|| Some(entry.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

fn parse<N: AsRef<str>>(networks: impl IntoIterator<Item = N>) -> Result<Vec<IpNet>, Error> {
    let parse = |text: &str| {
        let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        network.map(canonical).ok_or_else(|| {
            let message =
                format!("`{text}` is no network, expected an address or a range such as 203.0.113.0/24");
            Error::new(ErrorKind::Guard, message)
        })
    };
    networks.into_iter().map(|text| parse(text.as_ref().trim())).collect()
}

/// An IPv4 network written as IPv6 (RFC 4291 section 2.5.5.2) is that network, as it is with addresses.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let bits = mapped.prefix_len().checked_sub(96);
    let mapped = mapped.addr().to_ipv4_mapped().zip(bits);
    mapped.and_then(|(address, bits)| Ipv4Net::new(address, bits).ok()).map_or(network, IpNet::from)
}

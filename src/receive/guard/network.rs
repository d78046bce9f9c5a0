//! [`NetworkGuard`]: admits requests from addresses of a list.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::{IpNet, Ipv4Net};

use super::{Arrival, Guard};
use crate::error::{Error, ErrorKind};

/// Admits requests from addresses of a list, for senders that publish theirs.
///
/// It goes by the connection's other end. A header such as `X-Forwarded-For` is believed only when
/// [trusted proxies](Self::behind) are named: anybody can write one.
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
}

impl NetworkGuard {
    /// Admits what comes from `networks`: addresses, or ranges of them in CIDR notation (RFC 4632 section 3.1).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Guard`] for what is neither.
    pub fn new<N: AsRef<str>>(networks: impl IntoIterator<Item = N>) -> Result<Self, Error> {
        Ok(Self { allowed: parse(networks)?, proxies: Vec::new() })
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

    /// The sender's address as far as it can be believed.
    fn sender(&self, arrival: &Arrival<'_>) -> Option<IpAddr> {
        let mut sender = arrival.peer?.to_canonical();
        if !contains(&self.proxies, sender) {
            return Some(sender);
        }
        // Each proxy has appended where it got the request from: the last is the nearest, and what stands before an address that
        // is no proxy's may be anybody's invention.
        for entry in forwarded(arrival.headers).rev() {
            sender = address(entry?)?;
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

/// The entries of every `X-Forwarded-For`, in their order; nothing for a value that is no text.
fn forwarded(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = Option<&str>> {
    let values = headers.get_all("x-forwarded-for").iter().collect::<Vec<_>>();
    values.into_iter().flat_map(|value| match value.to_str() {
        Ok(text) => text.split(',').map(|entry| Some(entry.trim())).collect(),
        Err(_) => vec![None],
    })
}

/// An address with or without a port; proxies write either.
fn address(entry: &str) -> Option<IpAddr> {
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

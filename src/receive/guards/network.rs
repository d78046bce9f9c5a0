//! [`NetworkGuard`]: admits requests from addresses of a list.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::{IpNet, Ipv4Net};

use super::address::address;
use super::forwarded;
use crate::error::{Error, ErrorKind};
use crate::receive::arrival::Arrival;
use crate::receive::guard::Guard;

/// Admits requests from addresses of a list, for senders that publish theirs.
///
/// The guard goes by the connection's other end. It believes a header such as `X-Forwarded-For` only if you
/// name [trusted proxies](Self::with_proxies): anybody can write that header. Proxies write one of two
/// headers. The guard believes one of them, never both: `X-Forwarded-For`, or
/// [`Forwarded`](Self::with_forwarded) if you ask for it.
///
/// ```
/// use hookwire::receive::{Arrival, Guard, NetworkGuard};
///
/// let guard = NetworkGuard::new(["203.0.113.0/24", "2001:db8:7::1"])?;
/// let headers = http::HeaderMap::new();
/// assert!(guard.admits(&Arrival::post(&headers).with_peer([203, 0, 113, 9].into())));
/// assert!(!guard.admits(&Arrival::post(&headers).with_peer([198, 51, 100, 1].into())));
/// assert!(!guard.admits(&Arrival::post(&headers)), "the peer is not known");
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct NetworkGuard {
    allowed: Vec<IpNet>,
    proxies: Vec<IpNet>,
    is_forwarded: bool,
}

impl NetworkGuard {
    /// Admits requests from `networks`: addresses, or ranges in CIDR notation (RFC 4632 section 3.1).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Guard`] for a text that is neither.
    pub fn new<N: AsRef<str>>(networks: impl IntoIterator<Item = N>) -> Result<Self, Error> {
        Ok(Self { allowed: parse(networks)?, proxies: Vec::new(), is_forwarded: false })
    }

    /// Sets the networks of your proxies. If a request comes from one of them, its sender is the last address
    /// in `X-Forwarded-For` that is not a proxy's.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Guard`] for a text that is neither an address nor a range.
    pub fn with_proxies<N: AsRef<str>>(
        mut self,
        networks: impl IntoIterator<Item = N>,
    ) -> Result<Self, Error> {
        self.proxies = parse(networks)?;
        Ok(self)
    }

    /// Sets the guard to believe the header `Forwarded` (RFC 7239) of its [proxies](Self::with_proxies), and
    /// no longer `X-Forwarded-For`.
    ///
    /// Choose the header that every proxy of the list writes: the other one passes through them as the sender
    /// made it up. The guard admits nobody if an element's `for` is missing, `unknown` or a name that the
    /// proxy made up, or if a field breaks the grammar.
    ///
    /// ```
    /// use hookwire::receive::{Arrival, Guard, NetworkGuard};
    /// use http::HeaderValue;
    ///
    /// let guard = NetworkGuard::new(["203.0.113.0/24"])?.with_proxies(["10.0.0.0/8"])?.with_forwarded();
    /// let mut headers = http::HeaderMap::new();
    /// headers.insert("forwarded", HeaderValue::from_static(r#"for="203.0.113.9:4711";proto=https"#));
    /// assert!(guard.admits(&Arrival::post(&headers).with_peer([10, 0, 0, 1].into())));
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn with_forwarded(mut self) -> Self {
        self.is_forwarded = true;
        self
    }

    /// The sender's address, as far as the headers can be believed.
    fn sender(&self, arrival: &Arrival<'_>) -> Option<IpAddr> {
        let mut sender = arrival.peer?.to_canonical();
        if !contains(&self.proxies, sender) {
            return Some(sender);
        }
        // Each proxy appends the address from which it got the request, so the last one is the nearest.
        // Anybody may have made up what stands before the first address that is not a proxy's.
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

/// The addresses in every `X-Forwarded-For`, in their order. An entry is `None` if it is no address; so is a
/// value that is not text.
fn x_forwarded_for(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let values = headers.get_all("x-forwarded-for").iter();
    values
        .flat_map(|value| match value.to_str() {
            Ok(text) => text.split(',').map(|entry| address(entry.trim())).collect(),
            Err(_) => vec![None],
        })
        .collect()
}

fn parse<N: AsRef<str>>(networks: impl IntoIterator<Item = N>) -> Result<Vec<IpNet>, Error> {
    let parse = |text: &str| {
        let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        network.map(canonical).ok_or_else(|| {
            Error::new(ErrorKind::Guard, format!("`{text}` is no network"))
                .with_expected("an address or a range such as 203.0.113.0/24")
        })
    };
    networks.into_iter().map(|text| parse(text.as_ref().trim())).collect()
}

/// Turns an IPv4 network written as IPv6 (RFC 4291 section 2.5.5.2) into that IPv4 network, as is done with
/// addresses.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let bits = mapped.prefix_len().checked_sub(96);
    let mapped = mapped.addr().to_ipv4_mapped().zip(bits);
    mapped.and_then(|(address, bits)| Ipv4Net::new(address, bits).ok()).map_or(network, IpNet::from)
}

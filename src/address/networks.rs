//! [`network`]: a network as an operator writes it; [`is_never_allowed`]: the addresses that no setting
//! allows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::error::{Error, ErrorKind};

/// Reads a network in CIDR notation, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, Error> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map(|network| network.trunc()).map_err(|error| {
        Error::new(ErrorKind::Address, "network is not readable")
            .with_expected("an address or a network in CIDR notation, such as 10.20.0.0/16")
            .with_source(error)
    })
}

/// Whether an address is one that no endpoint can need: of a cloud's metadata service, of no host, or of
/// many.
pub(super) fn is_never_allowed(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_unspecified()
                || ip.octets()[0] == 0
                // The metadata services of most clouds, and of their containers.
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.octets()[0] >= 240
                || METADATA_V4.contains(&ip)
        }
        IpAddr::V6(ip) => {
            ip.is_unspecified()
                // The system dials the IPv4 address.
                || ip.to_ipv4_mapped().is_some()
                || ip.is_unicast_link_local()
                || ip.is_multicast()
                || METADATA_V6.iter().any(|(block, length)| (ip.to_bits() ^ block.to_bits()) >> (128 - length) == 0)
        }
    }
}

/// The IPv4 address that an IPv6 address stands for, where a host or a router translates it.
pub(super) fn embedded_v4(ip: IpAddr, nat64: &[Ipv6Addr]) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let low = Ipv4Addr::from_bits(ip.to_bits() as u32);
    let prefix = Ipv6Addr::from_bits(ip.to_bits() & !0xffff_ffff);
    let segments = ip.segments();
    match segments {
        // IPv4-mapped and IPv4-compatible (RFC 4291 section 2.5.5), NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(low),
        // SIIT (RFC 7915), and the local prefix of NAT64 (RFC 8215).
        [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 1, ..] => Some(low),
        // Not the loopback address.
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => Some(low),
        _ if nat64.binary_search(&prefix).is_ok() => Some(low),
        // 6to4 (RFC 3056 section 2).
        [0x2002, high, low, ..] => Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))),
        // Teredo, whose client address is inverted (RFC 4380 section 4).
        [0x2001, 0, ..] => Some(Ipv4Addr::from_bits(!low.to_bits())),
        // ISATAP (RFC 5214 section 6.1).
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => Some(low),
        _ => None,
    }
}

// Alibaba Cloud, Azure, and Oracle Cloud before it moved to link-local.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];

// Amazon EC2, Google Cloud, Oracle Cloud and Scaleway.
const METADATA_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0), 32),
];

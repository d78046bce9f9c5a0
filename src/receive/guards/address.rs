//! An address as proxies write it.

use std::net::{IpAddr, SocketAddr};

/// Reads an address with or without a port: proxies write either.
pub(super) fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse().ok().or_else(|| Some(entry.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

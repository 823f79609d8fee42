//! The caller's address, which the anonymous limit counts by.
//!
//! Invariant: `X-Forwarded-For` is read only where the peer is a configured
//! proxy, from the right, up to the first address that is not one. Everything
//! further left was written by the caller.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use ipnet::IpNet;

/// Networks whose `X-Forwarded-For` is believed. Empty by default.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts these networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The right-most address that isn't a trusted proxy's.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut address = canonical(peer);
        let mut hops: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        while self.trusts(address) {
            let Some(hop) = hops.pop() else { break };
            let Some(next) = parse(hop) else { break };
            address = canonical(next);
        }
        address
    }

    /// As [`Self::client`] for a request served with connect info; requests
    /// without (tests) come from the unspecified address.
    #[must_use]
    pub fn client_of(&self, request: &Request) -> IpAddr {
        let peer = request
            .extensions()
            .get::<ConnectInfo<SocketAddr>>()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.ip());
        self.client(peer, request.headers())
    }
}

/// What the address limit counts by: an IPv4 address, or an IPv6 /64, because
/// one customer owns at least that much.
#[must_use]
pub fn limit_key(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let bits = u128::from(address) & (u128::MAX << 64);
            format!("{}/64", Ipv6Addr::from(bits))
        }
    }
}

fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn parse(hop: &str) -> Option<IpAddr> {
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let proxies =
            TrustedProxies::new(trusted.iter().map(|text| text.parse().unwrap()).collect());
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn forwarded_addresses_of_strangers_are_ignored() {
        assert_eq!(client(&[], "203.0.113.7", &["1.2.3.4"]), "203.0.113.7");
        assert_eq!(client(&["10.0.0.0/8"], "203.0.113.7", &["1.2.3.4"]), "203.0.113.7");
    }

    #[test]
    fn the_rightmost_untrusted_hop_counts() {
        assert_eq!(
            client(&["10.0.0.0/8"], "10.0.0.1", &["6.6.6.6, 203.0.113.7, 10.0.0.2"]),
            "203.0.113.7"
        );
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &["6.6.6.6", "203.0.113.7"]), "203.0.113.7");
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &["garbage"]), "10.0.0.1");
        assert_eq!(
            client(&["10.0.0.0/8"], "::ffff:10.0.0.1", &["[2001:db8::1]:443"]),
            "2001:db8::1"
        );
    }

    #[test]
    fn an_ipv6_customer_is_a_network() {
        assert_eq!(limit_key("2001:db8:1:2:3:4:5:6".parse().unwrap()), "2001:db8:1:2::/64");
        assert_eq!(limit_key("203.0.113.7".parse().unwrap()), "203.0.113.7");
    }
}

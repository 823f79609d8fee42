//! Where a webhook may go (SSRF): the ingress asks at registration, the
//! dispatcher again for every address it connects to.
//!
//! Invariant: an address is judged after resolution, in its canonical form
//! (IPv4 inside IPv6 unwrapped), so no spelling and no rebinding gets around
//! the table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Why a target is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetRefused {
    /// Not an absolute URL.
    #[error("not a valid URL")]
    Malformed,
    /// Neither http nor https.
    #[error("the scheme must be https or http")]
    Scheme,
    /// User name or password in the URL.
    #[error("credentials in the URL are not allowed")]
    Credentials,
    /// The host is a private, loopback or otherwise special address.
    #[error("the host is a private, loopback, link-local or reserved address")]
    Private,
}

/// What is allowed although the table says no.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetPolicy {
    allowed: Vec<(String, u16)>,
}

impl TargetPolicy {
    /// From `WEBHOOK_ALLOW_HOSTS`: `host:port`, separated by commas. The error
    /// names the entry.
    pub fn parse(list: &str) -> Result<Self, String> {
        let allowed = list
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(|entry| {
                let (host, port) =
                    entry.rsplit_once(':').ok_or_else(|| format!("{entry:?} is not host:port"))?;
                let port = port.parse().map_err(|_| format!("{entry:?} has no valid port"))?;
                Ok((host.trim_matches(['[', ']']).to_ascii_lowercase(), port))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { allowed })
    }

    /// True for a host and port that were allowed by name.
    #[must_use]
    pub fn allows(&self, url: &Url) -> bool {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return false;
        };
        let host = host.trim_matches(['[', ']']);
        self.allowed.iter().any(|(name, open)| name == host && *open == port)
    }

    /// What can be said without resolving the name. A name that passes is
    /// judged again by [`is_special`] for each address at connect time.
    pub fn check(&self, url: &str) -> Result<Url, TargetRefused> {
        let url = Url::parse(url).map_err(|_| TargetRefused::Malformed)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(TargetRefused::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetRefused::Credentials);
        }
        if self.allows(&url) {
            return Ok(url);
        }
        let special = match url.host() {
            Some(Host::Ipv4(address)) => is_special(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => is_special(IpAddr::V6(address)),
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                name.eq_ignore_ascii_case("localhost")
                    || name.to_ascii_lowercase().ends_with(".localhost")
            }
            None => return Err(TargetRefused::Malformed),
        };
        if special { Err(TargetRefused::Private) } else { Ok(url) }
    }
}

/// True for every address that isn't a public unicast one (IANA's special
/// purpose registries, RFC 6890).
#[must_use]
pub fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_special_v4(address),
        IpAddr::V6(address) => is_special_v6(address),
    }
}

fn is_special_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)                  // this network, private, loopback
            | (100, 64..=127, _)              // carrier-grade NAT
            | (169, 254, _)                   // link-local, metadata services
            | (172, 16..=31, _) | (192, 168, _)
            | (192, 0, 0 | 2) | (192, 88, 99) // protocol assignments, TEST-NET-1, 6to4 relay
            | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113)
            | (224..=255, _, _) // multicast, reserved, broadcast
    )
}

fn is_special_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [first, second, ..] = segments;
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        // Unspecified, loopback, IPv4-mapped and -compatible.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => true,
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] => is_special_v4(embedded(high, low)),
        // NAT64 carries an IPv4 address; the local-use prefix is private.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_special_v4(embedded(high, low)),
        [0x64, 0xff9b, 1, ..] => true,
        // 6to4 carries an IPv4 address.
        [0x2002, high, low, ..] => is_special_v4(embedded(high, low)),
        _ => {
            (first & 0xfe00) == 0xfc00          // unique local
                || (first & 0xffc0) == 0xfe80   // link-local
                || (first & 0xffc0) == 0xfec0   // site-local
                || (first & 0xff00) == 0xff00   // multicast
                || (first == 0x100 && second == 0 && segments[2] == 0 && segments[3] == 0)
                || (first == 0x2001 && (second < 0x200 || second == 0xdb8)) // Teredo and others, documentation
                || (first == 0x3fff && second < 0x1000)
                || first == 0x5f00
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses() {
        for special in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
        ] {
            assert!(is_special(special.parse().unwrap()), "{special}");
        }
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.169.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(!is_special(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn spellings_of_loopback_are_refused() {
        let policy = TargetPolicy::default();
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "https://[::1]/",
            "https://[0000:0000:0000:0000:0000:ffff:7f00:0001]/",
            "http://localhost/",
            "http://LOCALHOST./",
            "http://a.localhost:8080/",
            "http://①②⑦.0.0.1/",
        ] {
            assert_eq!(policy.check(url), Err(TargetRefused::Private), "{url}");
        }
        assert_eq!(policy.check("https://1:2@example.com/"), Err(TargetRefused::Credentials));
        assert_eq!(policy.check("ftp://example.com/"), Err(TargetRefused::Scheme));
        assert_eq!(policy.check("example.com"), Err(TargetRefused::Malformed));
        assert!(policy.check("https://example.com/hook").is_ok());
    }

    #[test]
    fn a_host_is_allowed_with_its_port_only() {
        let policy = TargetPolicy::parse("127.0.0.1:9099, [::1]:80").unwrap();
        assert!(policy.check("http://127.0.0.1:9099/hook").is_ok());
        assert!(policy.check("http://[::1]/").is_ok());
        assert_eq!(policy.check("http://127.0.0.1:9100/"), Err(TargetRefused::Private));
        assert!(TargetPolicy::parse("nonsense").is_err());
    }
}

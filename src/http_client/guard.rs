//! Which addresses may be called: none inside the own network, whatever form they come in. Names are checked where they are
//! resolved, so the address that was checked is the one that is dialled.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{Ipv4Net, Ipv6Net};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A refused address, with what it is: `loopback`, `private`, …
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Forbidden {
    /// What it resolved to or what the URL says.
    pub(super) address: IpAddr,
    /// What kind of address that is.
    pub(super) kind: &'static str,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} is a {} address", self.address, self.kind)
    }
}

impl std::error::Error for Forbidden {}

/// Refuses a URL whose host is a forbidden address written out. The URL type has normalised `127.1`, `0x7f000001` and their
/// like by now; names are left to [`Guard`].
pub(super) fn check_literal(url: &Url) -> Result<(), Forbidden> {
    let host = url.host_str().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.parse::<IpAddr>().map_or(Ok(()), check)
}

fn check(address: IpAddr) -> Result<(), Forbidden> {
    let kind = match address {
        IpAddr::V4(address) => forbidden_ipv4(address),
        IpAddr::V6(address) => forbidden_ipv6(address),
    };
    kind.map_or(Ok(()), |kind| Err(Forbidden { address, kind }))
}

/// Resolves names and keeps only the addresses that may be called.
pub(super) struct Guard;

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(allowed(&found)?.into_iter()) as Addrs)
        })
    }
}

/// Those of a name's addresses that may be called; these alone are dialled, whatever the name resolves to a moment later.
fn allowed(found: &[SocketAddr]) -> Result<Vec<SocketAddr>, Forbidden> {
    let allowed: Vec<SocketAddr> = found.iter().copied().filter(|found| check(found.ip()).is_ok()).collect();
    if allowed.is_empty()
        && let Some(first) = found.first()
    {
        check(first.ip())?;
    }
    Ok(allowed)
}

const fn ipv4(address: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(address[0], address[1], address[2], address[3]), length)
}

const fn ipv6(first: [u16; 4], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first[0], first[1], first[2], first[3], 0, 0, 0, 0), length)
}

/// From the IANA registry of special-purpose IPv4 addresses.
const FORBIDDEN_IPV4: &[(Ipv4Net, &str)] = &[
    (ipv4([0, 0, 0, 0], 8), "unspecified"),
    (ipv4([10, 0, 0, 0], 8), "private"),
    (ipv4([100, 64, 0, 0], 10), "carrier-grade NAT"),
    (ipv4([127, 0, 0, 0], 8), "loopback"),
    (ipv4([169, 254, 0, 0], 16), "link-local"),
    (ipv4([172, 16, 0, 0], 12), "private"),
    (ipv4([192, 0, 0, 0], 24), "reserved"),
    (ipv4([192, 0, 2, 0], 24), "documentation"),
    (ipv4([192, 88, 99, 0], 24), "reserved"),
    (ipv4([192, 168, 0, 0], 16), "private"),
    (ipv4([198, 18, 0, 0], 15), "benchmarking"),
    (ipv4([198, 51, 100, 0], 24), "documentation"),
    (ipv4([203, 0, 113, 0], 24), "documentation"),
    (ipv4([224, 0, 0, 0], 4), "multicast"),
    (ipv4([240, 0, 0, 0], 4), "reserved"),
];

/// From the IANA registry of special-purpose IPv6 addresses.
const FORBIDDEN_IPV6: &[(Ipv6Net, &str)] = &[
    (ipv6([0x64, 0xff9b, 1, 0], 48), "private"),
    (ipv6([0x100, 0, 0, 0], 64), "discard-only"),
    (ipv6([0x2001, 0, 0, 0], 23), "reserved"),
    (ipv6([0x2001, 0xdb8, 0, 0], 32), "documentation"),
    (ipv6([0x3fff, 0, 0, 0], 20), "documentation"),
    (ipv6([0x5f00, 0, 0, 0], 16), "reserved"),
    (ipv6([0xfc00, 0, 0, 0], 7), "private"),
    (ipv6([0xfe80, 0, 0, 0], 10), "link-local"),
    (ipv6([0xfec0, 0, 0, 0], 10), "private"),
    (ipv6([0xff00, 0, 0, 0], 8), "multicast"),
];

fn forbidden_ipv4(address: Ipv4Addr) -> Option<&'static str> {
    FORBIDDEN_IPV4.iter().find(|(net, _)| net.contains(&address)).map(|(_, kind)| *kind)
}

fn forbidden_ipv6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("unspecified");
    }
    if address.is_loopback() {
        return Some("loopback");
    }
    let own = FORBIDDEN_IPV6.iter().find(|(net, _)| net.contains(&address)).map(|(_, kind)| *kind);
    own.or_else(|| embedded_ipv4(address).and_then(forbidden_ipv4))
}

/// The IPv4 address that packets to `address` may end up at: mapped, compatible, NAT64 or 6to4.
fn embedded_ipv4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0, 0, 0, 0, 0xffff, 0) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(of(g, h)),
        (0x2002, high, low, ..) => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> Option<&'static str> {
        check_literal(&Url::parse(url).expect(url)).err().map(|forbidden| forbidden.kind)
    }

    #[test]
    fn every_form_of_a_forbidden_address_is_refused() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "0",
            "10.0.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.0.192",
            "%31%32%37.0.0.1",
            "１２７.0.0.1",
            "[::]",
            "[::1]",
            "[::ffff:10.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[::ffff:0:127.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[64:ff9b:1::1]",
            "[2002:a00:1::]",
            "[2002:7f00:1::1]",
            "[2001:0:1::]",
            "[fc00::1]",
            "[fd12::1]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[2001:db8::1]",
        ] {
            assert!(refused(&format!("http://{host}/")).is_some(), "{host}");
        }
    }

    #[test]
    fn public_addresses_and_names_pass() {
        for host in
            ["1.1.1.1", "172.32.0.1", "100.128.0.1", "[2606:4700::1111]", "[64:ff9b::1.1.1.1]", "[2002:101:101::1]", "a.example"]
        {
            assert_eq!(refused(&format!("https://{host}/")), None, "{host}");
        }
    }

    #[test]
    fn of_a_name_with_public_and_private_addresses_only_the_public_ones_are_dialled() {
        let at = |text: &str| SocketAddr::new(text.parse().expect(text), 0);
        let mixed = [at("127.0.0.1"), at("1.1.1.1"), at("::ffff:10.0.0.1"), at("2606:4700::1111")];
        assert_eq!(allowed(&mixed), Ok(vec![at("1.1.1.1"), at("2606:4700::1111")]));
        // a name that is bound to another address between two calls is looked at again by the second
        let rebound = allowed(&[at("169.254.169.254"), at("::1")]).expect_err("refused");
        assert_eq!(rebound.kind, "link-local");
        assert_eq!(allowed(&[]), Ok(vec![]));
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_loopback_is_refused() {
        let error = Guard.resolve("localhost".parse().expect("a name")).await.err().expect("refused");
        assert_eq!(error.downcast_ref::<Forbidden>().map(|forbidden| forbidden.kind), Some("loopback"));
    }
}

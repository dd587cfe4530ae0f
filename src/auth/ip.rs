//! `ip: [203.0.113.0/24]`: only from these addresses. Behind a proxy the sender's address is the one that the trusted proxies say.

use std::net::IpAddr;

use ipnet::IpNet;

use super::caller::{Caller, Refusal};
use super::evidence::Evidence;
use crate::config::diagnostic::Diagnostics;
use crate::config::options::{FromYaml, options, report_expected_hint};
use crate::config::shape::{Form, Shape};
use crate::config::yaml::Node;

options! {
    /// Only from these addresses.
    pub struct Options {
        /// Addresses and networks: `203.0.113.7`, `203.0.113.0/24`, `2001:db8::/32`.
        ip: Vec<Network>,
    }
}

/// An address or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl Network {
    /// Reads `203.0.113.7` or `203.0.113.0/24`.
    pub fn parse(text: &str) -> Option<Self> {
        let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        network.map(|network| Self(network.trunc()))
    }

    /// Whether the address is in it; an IPv4 address written as IPv6 is the same address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromYaml for Network {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let network = node.text().and_then(Network::parse);
        if network.is_none() {
            report_expected_hint("an address or a network", node, "such as `203.0.113.7` or `203.0.113.0/24`", diagnostics);
        }
        network
    }

    fn shape() -> Shape {
        let pattern = "^[0-9a-fA-F:.]+(/[0-9]{1,3})?$";
        Shape::Form(Form { words: "address or network", pattern, numbers: false, examples: &["203.0.113.0/24", "2001:db8::/32"] })
    }
}

/// The compiled scheme.
#[derive(Clone, Debug)]
pub struct Scheme {
    networks: Vec<Network>,
}

/// Compiles it.
pub(super) fn compile(options: &Options) -> Scheme {
    Scheme { networks: options.ip.clone() }
}

impl Scheme {
    /// An address that passes.
    pub fn example(&self) -> Option<IpAddr> {
        self.networks.first().map(|network| network.0.hosts().next().unwrap_or_else(|| network.0.addr()))
    }

    pub(super) fn verify(&self, evidence: &Evidence<'_>) -> Result<Caller, Refusal> {
        let told = "requests are taken from certain addresses only";
        let Some(client) = evidence.client() else {
            return Err(Refusal::new(told).because("the sender's address is unknown"));
        };
        if self.networks.iter().any(|network| network.contains(client)) {
            return Ok(Caller::new("ip", None, None));
        }
        let proxies = "if that is a proxy of yours, name it under `trusted_proxies` in `hooktable.yaml`";
        Err(Refusal::new(told).because(format!("the request came from `{client}`; {proxies}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_network_of_one_and_mapped_addresses_are_themselves() {
        let network = |text: &str| Network::parse(text).expect("a network");
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(network("203.0.113.7").contains(address("203.0.113.7")));
        assert!(network("203.0.113.9/24").contains(address("::ffff:203.0.113.200")));
        assert!(!network("203.0.113.0/24").contains(address("203.0.114.1")));
        assert!(network("2001:db8::/32").contains(address("2001:db8::1")));
        assert_eq!(Network::parse("203.0.113.0/33"), None);
    }
}

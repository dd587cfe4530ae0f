//! Who sent a request and which URL it used, as far as proxies of ours that stand in between say so. A header that anyone could have
//! written counts for nothing: only what a trusted proxy added does. Of the two families of such headers only `X-Forwarded-*` is read,
//! because a proxy that writes one lets its sender write the other.

use std::net::IpAddr;

use crate::auth::ip::Network;
use crate::model::delivery::Request;

/// What is known of the way that requests take to us.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// The URL that senders reach us by, without a slash at the end; told by the request itself where there is none.
    pub public_url: Option<String>,
    /// The proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<Network>,
}

impl Addresses {
    /// The sender's address: the last one on the way that is no trusted proxy.
    pub(super) fn client(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.peer?.to_canonical();
        if !self.is_trusted(peer) {
            return Some(peer);
        }
        let mut client = peer;
        for hop in hops(request).into_iter().rev() {
            // what cannot be read was not written by a proxy of ours
            let Some(address) = address_of(&hop) else { break };
            client = address.to_canonical();
            if !self.is_trusted(client) {
                break;
            }
        }
        Some(client)
    }

    /// The whole URL as the sender used it.
    pub fn url(&self, request: &Request) -> String {
        let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
        if let Some(public_url) = &self.public_url {
            return format!("{public_url}{}{query}", request.path);
        }
        let trusted = request.peer.is_some_and(|peer| self.is_trusted(peer.to_canonical()));
        let forwarded = |name: &str| {
            let value = request.header(name).filter(|_| trusted)?.split(',').next().unwrap_or_default().trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let scheme = forwarded("x-forwarded-proto").unwrap_or_else(|| "http".to_owned());
        let host = forwarded("x-forwarded-host").or_else(|| request.header("host").map(str::to_owned)).unwrap_or_default();
        format!("{scheme}://{host}{}{query}", request.path)
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(address))
    }
}

/// The addresses that proxies noted in `X-Forwarded-For`, the sender's first.
fn hops(request: &Request) -> Vec<String> {
    let values = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for"));
    let texts = values.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    texts.flat_map(|text| text.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>()).collect()
}

/// `203.0.113.7`, `203.0.113.7:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
fn address_of(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(address, _)| address);
    let without_port = text.rsplit_once(':').map(|(address, _)| address);
    text.parse().ok().or_else(|| bracketed?.parse().ok()).or_else(|| without_port?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(peer: &str, headers: &[(&str, &str)]) -> Request {
        Request {
            method: "POST".into(),
            path: "/in/a".into(),
            query: "k=1".into(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec().into())).collect(),
            body: "".into(),
            peer: peer.parse().ok(),
        }
    }

    fn behind(networks: &[&str]) -> Addresses {
        let trusted_proxies = networks.iter().filter_map(|network| Network::parse(network)).collect();
        Addresses { public_url: None, trusted_proxies }
    }

    #[test]
    fn only_what_trusted_proxies_say_of_the_sender_counts() {
        let addresses = behind(&["10.0.0.0/8"]);
        for (peer, header, expected) in [
            ("203.0.113.7", ("x-forwarded-for", "192.0.2.1"), "203.0.113.7"),
            ("10.0.0.1", ("x-forwarded-for", "192.0.2.1"), "192.0.2.1"),
            ("10.0.0.1", ("x-forwarded-for", "198.51.100.9, 192.0.2.1, 10.0.0.2"), "192.0.2.1"),
            ("10.0.0.1", ("x-forwarded-for", "192.0.2.1, nonsense"), "10.0.0.1"),
            ("10.0.0.1", ("x-forwarded-for", "[2001:db8::1]:4711, 10.0.0.3"), "2001:db8::1"),
            ("10.0.0.1", ("x-other", ""), "10.0.0.1"),
            ("::ffff:10.0.0.1", ("x-forwarded-for", "192.0.2.1:443"), "192.0.2.1"),
        ] {
            let client = addresses.client(&request(peer, &[header]));
            assert_eq!(client, expected.parse().ok(), "{peer} {header:?}");
        }
    }

    #[test]
    fn what_a_proxy_passes_through_in_the_other_header_counts_for_nothing() {
        let passed = ("forwarded", "for=203.0.113.7;proto=https;host=evil.example");
        let addresses = behind(&["10.0.0.0/8"]);
        let noted = request("10.0.0.1", &[passed, ("x-forwarded-for", "192.0.2.1"), ("host", "inside:8080")]);
        assert_eq!(addresses.client(&noted), "192.0.2.1".parse().ok());
        assert_eq!(addresses.url(&noted), "http://inside:8080/in/a?k=1");
        assert_eq!(addresses.client(&request("10.0.0.1", &[passed])), "10.0.0.1".parse().ok());
    }

    #[test]
    fn the_url_is_the_one_that_the_sender_used() {
        let headers = [("host", "inside:8080"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "hooks.example.com")];
        assert_eq!(behind(&["10.0.0.1"]).url(&request("10.0.0.1", &headers)), "https://hooks.example.com/in/a?k=1");
        assert_eq!(behind(&[]).url(&request("10.0.0.1", &headers)), "http://inside:8080/in/a?k=1");
        let public = Addresses { public_url: Some("https://public.example".into()), ..behind(&[]) };
        assert_eq!(public.url(&request("10.0.0.1", &headers)), "https://public.example/in/a?k=1");
    }
}

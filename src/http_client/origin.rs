//! Origins: where a URL goes, compared with default ports filled in.

use reqwest::Url;

/// Scheme, host and port, normalised: `https://example.com`, `http://[::1]:8080`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Origin(String);

impl Origin {
    /// The origin of an HTTP URL; nothing for any other URL.
    pub(super) fn of(url: &Url) -> Option<Self> {
        matches!(url.scheme(), "http" | "https").then(|| Self(url.origin().ascii_serialization()))
    }

    /// Reads `scheme://host[:port]`; what follows is ignored.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Url::parse(text).ok().and_then(|url| Self::of(&url))
    }

    /// As people write it.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// `url` sent to `base` instead: path and query stay, after the path of `base`.
pub(super) fn moved_to(url: &Url, base: &Url) -> Url {
    let mut moved = base.clone();
    moved.set_path(&format!("{}{}", base.path().trim_end_matches('/'), url.path()));
    moved.set_query(url.query());
    moved.set_fragment(None);
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_compare_with_default_ports_filled_in() {
        assert_eq!(Origin::parse("https://Example.com"), Origin::parse("https://example.com:443/v1"));
        assert_ne!(Origin::parse("https://example.com"), Origin::parse("http://example.com"));
        assert_ne!(Origin::parse("https://example.com"), Origin::parse("https://example.com."));
        assert_eq!(Origin::parse("file:///etc/passwd"), None);
        assert_eq!(Origin::parse("https://example.com@other.example/"), Origin::parse("https://other.example"));
    }

    #[test]
    fn a_moved_url_keeps_path_and_query() {
        let url = Url::parse("https://api.example/orders/a%2Fb?x=1&y=%20#f").expect("a URL");
        let base = Url::parse("http://127.0.0.1:9/sim/").expect("a URL");
        assert_eq!(moved_to(&url, &base).as_str(), "http://127.0.0.1:9/sim/orders/a%2Fb?x=1&y=%20");
    }
}

//! What may be written under `signature`.

use std::time::Duration;

use super::algorithm::Algorithm;
use super::moment::Unit;
use crate::auth::secret::SecretReference;
use crate::auth::secret_form::SecretForm;
use crate::config::diagnostic::Diagnostics;
use crate::config::options::{FromYaml, Named, options, report_choice, report_expected};
use crate::config::shape::{self, Shape};
use crate::config::source::Spanned;
use crate::config::yaml::Node;

options! {
    /// A signature over the request.
    pub struct SignedRequestOptions {
        /// How the request is signed.
        signature: SignatureOptions,
    }
}

options! {
    /// How a request is signed.
    pub struct SignatureOptions {
        /// Where the signature stands; of several paths the first at which there is something. With `each` it may stand in the element.
        at: Vec<Node> as shape::path,
        /// How it is computed. `sha1` and `sha256` are plain hashes: `{secret}` is then a part of `signed`.
        algorithm: Spanned<Algorithm>,
        /// The key: the name of an entry of `secrets`, or `{ env: NAME }`. Of several values each that is valid verifies.
        secret: SecretReference,
        /// How the secret's text becomes a key, where the secret itself does not say `as`: `utf8`, or `pem` for algorithms with public keys.
        secret_as: Option<Spanned<SecretForm>>,
        /// How the signature is written. Hex digits may be of either case; `=` at the end of base64 may be missing.
        encoding: Option<Encoding> = "hex",
        /// How to read what stands at `at`: `{signature}`, `{timestamp}` and `{id}` between fixed text. Parts between `,`, `;`, `&` or
        /// spaces may come in any order, repeated parts are several candidates, unknown parts are passed over.
        read: Option<Node> as text = "'{signature}'",
        /// What is signed, over bytes: fixed text and `{body}`, `{timestamp}`, `{id}`, `{method}`, `{url}`, `{path}`, `{query}`, `{host}`,
        /// `{secret}`, `{form_sorted}` (each name and value of a form, by name), `{$.any.path}`, `{$.path?}` for one that may be missing.
        signed: Option<Node> as text = "'{body}'",
        /// Where the timestamp stands when not in what `read` reads.
        timestamp: Option<TimestampOptions>,
        /// Where the id stands when not in what `read` reads; of several paths the first at which there is something.
        id: Vec<Node> as shape::path,
        /// How far the timestamp may be from now, in both directions; or `none`.
        tolerance: Option<Spanned<Tolerance>>,
        /// Where the SHA-256 of the body stands in hex, for senders that sign that where the body is no form.
        body_sha256: Option<Node> as shape::path,
        /// `{ name: list }`: every element is signed by itself, under that name; all must verify, and there must be one.
        each: Named<Node> as shape::path,
    }
}

options! {
    /// Where the signed timestamp stands.
    pub struct TimestampOptions {
        /// Where it stands; of several paths the first at which there is something. Not needed when `read` reads it.
        at: Vec<Node> as shape::path,
        /// Seconds (without it) or milliseconds since 1970, or RFC 3339.
        unit: Option<Unit>,
    }
}

/// Fixed text with placeholders.
pub(in crate::auth) fn text() -> Shape {
    Shape::Text
}

/// How a signature is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Encoding {
    /// Hex digits of either case.
    #[default]
    Hex,
    /// The usual alphabet.
    Base64,
    /// The alphabet for URLs.
    Base64Url,
}

const ENCODINGS: &[&str] = &["hex", "base64", "base64url"];

impl FromYaml for Encoding {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match node.text() {
            Some("hex") => Some(Self::Hex),
            Some("base64") => Some(Self::Base64),
            Some("base64url") => Some(Self::Base64Url),
            _ => {
                report_choice(ENCODINGS, node, diagnostics);
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Word(ENCODINGS)
    }
}

/// How far a timestamp may be from now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tolerance {
    /// As far as it is.
    None,
    /// So far, in both directions.
    Within(Duration),
}

impl FromYaml for Tolerance {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let text = node.text().unwrap_or_default();
        if text == "none" {
            return Some(Self::None);
        }
        let within = crate::config::units::parse_duration(text);
        if within.is_none() {
            report_expected("`none` or a duration such as `5m`", node, diagnostics);
        }
        within.map(Self::Within)
    }

    fn shape() -> Shape {
        Shape::OneOf(vec![Duration::shape(), Shape::Word(&["none"])])
    }
}

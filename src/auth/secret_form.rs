//! `as:` on a secret: how its text becomes the bytes of a key. Only signatures look at it.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::config::diagnostic::Diagnostics;
use crate::config::options::{FromYaml, report_choice};
use crate::config::shape::Shape;
use crate::config::yaml::Node;

/// Base64 of the usual alphabet, with or without `=` at its end.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
/// Base64 of the alphabet for URLs, with or without `=` at its end.
pub(super) const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// How the text of a secret becomes the bytes of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SecretForm {
    /// Its bytes as they are.
    Utf8,
    /// Hex digits.
    Hex,
    /// Base64, of either alphabet.
    Base64,
    /// Base64 behind `whsec_`, which may be left out: Standard Webhooks.
    Whsec,
    /// A public key in PEM.
    Pem,
    /// A public key as a JSON Web Key.
    Jwk,
    /// What stands in for a secret in tests: the bytes as they are, or the seed of a key pair.
    StandIn,
}

const WORDS: &[&str] = &["utf8", "hex", "base64", "whsec", "pem", "jwk"];

impl FromYaml for SecretForm {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let form = node.text().and_then(Self::parse);
        if form.is_none() {
            report_choice(WORDS, node, diagnostics);
        }
        form
    }

    fn shape() -> Shape {
        Shape::Word(WORDS)
    }
}

impl SecretForm {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "utf8" => Self::Utf8,
            "hex" => Self::Hex,
            "base64" => Self::Base64,
            "whsec" => Self::Whsec,
            "pem" => Self::Pem,
            "jwk" => Self::Jwk,
            _ => return None,
        })
    }

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Utf8 => "utf8",
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Whsec => "whsec",
            Self::Pem => "pem",
            Self::Jwk => "jwk",
            Self::StandIn => "stand-in",
        }
    }

    /// Whether only public keys have it.
    pub(super) fn is_of_public_keys(self) -> bool {
        matches!(self, Self::Pem | Self::Jwk)
    }

    /// The bytes that a text of this form stands for; of PEM and JWK the text itself, which is read further elsewhere.
    pub(super) fn bytes(self, text: &str) -> Option<Zeroizing<Vec<u8>>> {
        let base64 = |text: &str| BASE64.decode(text).or_else(|_| BASE64_URL.decode(text)).ok();
        let bytes = match self {
            Self::Utf8 | Self::StandIn | Self::Pem | Self::Jwk => text.as_bytes().to_vec(),
            Self::Hex => hex::decode(text.trim()).ok()?,
            Self::Base64 => base64(text.trim())?,
            Self::Whsec => {
                let text = text.trim();
                base64(text.strip_prefix("whsec_").unwrap_or(text))?
            }
        };
        Some(Zeroizing::new(bytes)).filter(|bytes| !bytes.is_empty())
    }
}

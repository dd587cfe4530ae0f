//! The algorithms of signatures. The only place that compares digests, and it does so in constant time.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RsaParameters, VerificationAlgorithm,
};
use hmac::{KeyInit as _, Mac as _};
use sha2::Digest as _;
use subtle::{Choice, ConstantTimeEq as _};

use super::key::Key;
use super::public_key::PublicKey;
use super::stand_in;
use crate::config::diagnostic::Diagnostics;
use crate::config::options::{FromYaml, report_choice};
use crate::config::shape::Shape;
use crate::config::yaml::Node;

/// How a signature is computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// HMAC with SHA-1.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
    /// SHA-1 of a text that holds the secret.
    Sha1,
    /// SHA-256 of a text that holds the secret.
    Sha256,
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256 with SHA-256, as ASN.1 or as two numbers of 32 bytes.
    EcdsaP256Sha256,
    /// RSA (PKCS #1 v1.5) with SHA-1.
    RsaSha1,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    RsaSha256,
    /// RSA (PKCS #1 v1.5) with SHA-512.
    RsaSha512,
}

const NAMES: &[&str] = &[
    "hmac-sha1",
    "hmac-sha256",
    "hmac-sha384",
    "hmac-sha512",
    "sha1",
    "sha256",
    "ed25519",
    "ecdsa-p256-sha256",
    "rsa-sha1",
    "rsa-sha256",
    "rsa-sha512",
];

impl FromYaml for Algorithm {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|algorithm| node.text() == Some(algorithm.name()));
        if found.is_none() {
            report_choice(NAMES, node, diagnostics);
        }
        found
    }

    fn shape() -> Shape {
        Shape::Word(NAMES)
    }
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::HmacSha1,
        Self::HmacSha256,
        Self::HmacSha384,
        Self::HmacSha512,
        Self::Sha1,
        Self::Sha256,
        Self::Ed25519,
        Self::EcdsaP256Sha256,
        Self::RsaSha1,
        Self::RsaSha256,
        Self::RsaSha512,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        NAMES[Self::ALL.iter().position(|one| *one == self).unwrap_or_default()]
    }

    /// Whether it verifies with a public key.
    pub fn has_public_key(self) -> bool {
        matches!(self, Self::Ed25519 | Self::EcdsaP256Sha256 | Self::RsaSha1 | Self::RsaSha256 | Self::RsaSha512)
    }

    /// Whether it is a hash without a key, so that the secret must be a part of what is signed.
    pub fn is_plain_hash(self) -> bool {
        matches!(self, Self::Sha1 | Self::Sha256)
    }

    /// How many bytes its signatures have, where that is always the same.
    pub(super) fn length(self) -> Option<usize> {
        match self {
            Self::HmacSha1 | Self::Sha1 => Some(20),
            Self::HmacSha256 | Self::Sha256 => Some(32),
            Self::HmacSha384 => Some(48),
            Self::HmacSha512 | Self::Ed25519 => Some(64),
            Self::EcdsaP256Sha256 | Self::RsaSha1 | Self::RsaSha256 | Self::RsaSha512 => None,
        }
    }

    /// Whether this is the signature of the text.
    pub(super) fn verify(self, key: &Key, text: &[u8], signature: &[u8]) -> Choice {
        let verified = |verified: bool| Choice::from(u8::from(verified));
        match self.digest(key, text) {
            Some(digest) => equal(&digest, signature),
            None => match key {
                Key::Public(public) => verified(self.verify_with(public, text, signature)),
                Key::StandIn(seed) => match stand_in::public_key(self, seed) {
                    Some(public) => verified(self.verify_with(&public, text, signature)),
                    None => Choice::from(0),
                },
                Key::Bytes(_) => Choice::from(0),
            },
        }
    }

    /// The signature of a text, where the key that verifies can also sign.
    pub(super) fn sign(self, key: &Key, text: &[u8]) -> Option<Vec<u8>> {
        self.digest(key, text).or_else(|| match key {
            Key::StandIn(seed) => stand_in::sign(self, seed, text),
            Key::Bytes(_) | Key::Public(_) => None,
        })
    }

    /// What is sent and expected alike, of algorithms without public keys.
    fn digest(self, key: &Key, text: &[u8]) -> Option<Vec<u8>> {
        macro_rules! mac {
            ($hash:ty) => {{
                let mut mac = hmac::Hmac::<$hash>::new_from_slice(key.bytes()?).ok()?;
                mac.update(text);
                Some(mac.finalize().into_bytes().to_vec())
            }};
        }
        match self {
            Self::HmacSha1 => mac!(sha1::Sha1),
            Self::HmacSha256 => mac!(sha2::Sha256),
            Self::HmacSha384 => mac!(sha2::Sha384),
            Self::HmacSha512 => mac!(sha2::Sha512),
            Self::Sha1 => Some(sha1::Sha1::digest(text).to_vec()),
            Self::Sha256 => Some(sha2::Sha256::digest(text).to_vec()),
            Self::Ed25519 | Self::EcdsaP256Sha256 | Self::RsaSha1 | Self::RsaSha256 | Self::RsaSha512 => None,
        }
    }

    fn verify_with(self, key: &PublicKey, text: &[u8], signature: &[u8]) -> bool {
        let with = |algorithm: &dyn VerificationAlgorithm| match key {
            PublicKey::Der(bytes) => algorithm.verify_sig(bytes, text, signature).is_ok(),
            PublicKey::Rsa(_) => false,
        };
        match self {
            Self::Ed25519 => with(&ED25519),
            // which of the two it is does not show; each is a whole check of its own
            Self::EcdsaP256Sha256 => with(&ECDSA_P256_SHA256_ASN1) || with(&ECDSA_P256_SHA256_FIXED),
            _ => self.rsa().is_some_and(|algorithm| match key {
                PublicKey::Rsa(parts) => parts.verify(algorithm, text, signature).is_ok(),
                PublicKey::Der(_) => with(algorithm),
            }),
        }
    }

    fn rsa(self) -> Option<&'static RsaParameters> {
        match self {
            Self::RsaSha1 => Some(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
            Self::RsaSha256 => Some(&RSA_PKCS1_2048_8192_SHA256),
            Self::RsaSha512 => Some(&RSA_PKCS1_2048_8192_SHA512),
            _ => None,
        }
    }
}

/// Whether two digests are equal, in a time that does not tell where they differ.
pub(super) fn equal(left: &[u8], right: &[u8]) -> Choice {
    left.ct_eq(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_algorithm_has_its_own_name() {
        let names: Vec<&str> = Algorithm::ALL.into_iter().map(Algorithm::name).collect();
        assert_eq!(names, NAMES);
    }

    #[test]
    fn what_a_stand_in_signs_verifies_and_nothing_else_does() {
        for algorithm in Algorithm::ALL {
            let (key, other) = (Key::StandIn("test-a".to_owned().into()), Key::StandIn("test-b".to_owned().into()));
            let signature = algorithm.sign(&key, b"text").unwrap_or_else(|| panic!("{algorithm:?} signs"));
            assert!(bool::from(algorithm.verify(&key, b"text", &signature)), "{algorithm:?}");
            assert!(!bool::from(algorithm.verify(&key, b"texT", &signature)), "{algorithm:?}");
            assert!(!bool::from(algorithm.verify(&key, b"text", b"")), "{algorithm:?}");
            assert!(!bool::from(algorithm.verify(&key, b"text", &signature[1..])), "{algorithm:?}");
            // plain hashes have the secret in the text, and of RSA there is one key for all stand-ins
            if !algorithm.is_plain_hash() && algorithm.rsa().is_none() {
                assert!(!bool::from(algorithm.verify(&other, b"text", &signature)), "{algorithm:?}");
            }
        }
    }
}

//! The public key of a sender: PEM, JSON Web Key, or bare bytes in hex or base64. Private keys are none of our business.

use aws_lc_rs::signature::RsaPublicKeyComponents;
use base64::Engine as _;
use serde_json::Value as Json;

use super::algorithm::Algorithm;
use super::key::described;
use crate::auth::secret_form::{BASE64, BASE64_URL, SecretForm};

/// How a public key is handed to the one that verifies.
pub enum PublicKey {
    /// DER (`SubjectPublicKeyInfo`, or `RSAPublicKey`), or the raw bytes of a curve's point.
    Der(Vec<u8>),
    /// The two numbers of an RSA key.
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
}

impl PublicKey {
    /// Reads a key. PEM and JSON are told by themselves, whatever form was said.
    pub(super) fn read(text: &str, form: SecretForm, algorithm: Algorithm) -> Result<Self, String> {
        let text = text.trim();
        // in a variable of the environment the newlines are often written out
        let pem = text.replace("\\n", "\n");
        if pem.starts_with("-----BEGIN") {
            return read_pem(&pem).map(Self::Der);
        }
        if text.starts_with('{') {
            return read_jwk(text, algorithm);
        }
        match form {
            SecretForm::Hex | SecretForm::Base64 => {
                let bytes = form.bytes(text).map(|bytes| Self::Der(bytes.to_vec()));
                bytes.ok_or_else(|| format!("the public key is not {}", described(form)))
            }
            other => {
                let fix = "`as: hex` and `as: base64` take its bare bytes";
                Err(format!("the secret is not {}, which `{}` verifies with; {fix}", described_public(other), algorithm.name()))
            }
        }
    }
}

fn described_public(form: SecretForm) -> &'static str {
    if form.is_of_public_keys() { described(form) } else { "a public key" }
}

fn read_pem(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || "the public key is broken PEM".to_owned();
    let rest = text.strip_prefix("-----BEGIN ").ok_or_else(wrong)?;
    let (label, rest) = rest.split_once("-----").ok_or_else(wrong)?;
    if !matches!(label, "PUBLIC KEY" | "RSA PUBLIC KEY") {
        return Err(format!("the PEM holds a `{}`; a `PUBLIC KEY` is expected", label.to_ascii_uppercase()));
    }
    let (body, _) = rest.split_once("-----END").ok_or_else(wrong)?;
    let body: String = body.chars().filter(|letter| !letter.is_whitespace()).collect();
    BASE64.decode(body).map_err(|_| wrong())
}

fn read_jwk(text: &str, algorithm: Algorithm) -> Result<PublicKey, String> {
    let jwk: Json = serde_json::from_str(text).map_err(|_| "the public key is broken JSON".to_owned())?;
    let member = |name: &str| jwk.get(name).and_then(Json::as_str);
    let number = |name: &str| {
        let bytes = member(name).and_then(|text| BASE64_URL.decode(text).ok());
        bytes.ok_or_else(|| format!("the JSON Web Key has no `{name}` in base64url"))
    };
    let is = |kty: &str, crv: Option<&str>| member("kty") == Some(kty) && member("crv") == crv;
    match algorithm {
        Algorithm::Ed25519 if is("OKP", Some("Ed25519")) => Ok(PublicKey::Der(number("x")?)),
        Algorithm::EcdsaP256Sha256 if is("EC", Some("P-256")) => {
            // the mark of a point with both coordinates
            let mut point = vec![4];
            for name in ["x", "y"] {
                let coordinate = number(name)?;
                point.extend(std::iter::repeat_n(0, 32_usize.saturating_sub(coordinate.len())));
                point.extend(coordinate);
            }
            Ok(PublicKey::Der(point))
        }
        Algorithm::RsaSha1 | Algorithm::RsaSha256 | Algorithm::RsaSha512 if is("RSA", None) => {
            Ok(PublicKey::Rsa(RsaPublicKeyComponents { n: number("n")?, e: number("e")? }))
        }
        _ => Err(format!("the JSON Web Key is of another kind than `{}` needs", algorithm.name())),
    }
}

//! From the text of a secret to a key, by its form.

use std::fmt;

use zeroize::Zeroizing;

use super::algorithm::Algorithm;
use super::public_key::PublicKey;
use crate::auth::secret_form::SecretForm;
use crate::secret::MASK;

/// What a signature is verified with.
pub enum Key {
    /// The bytes that both sides know.
    Bytes(Zeroizing<Vec<u8>>),
    /// The sender's public key.
    Public(PublicKey),
    /// What stands in for a key in tests.
    StandIn(Zeroizing<String>),
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

impl Key {
    /// Reads a secret's text; the error says what it is not, never what it is.
    pub(super) fn read(text: &str, form: SecretForm, algorithm: Algorithm) -> Result<Self, String> {
        if form == SecretForm::StandIn {
            return Ok(Self::StandIn(Zeroizing::new(text.to_owned())));
        }
        if algorithm.has_public_key() {
            return PublicKey::read(text, form, algorithm).map(Self::Public);
        }
        let bytes = form.bytes(text).ok_or_else(|| format!("the secret is not {}", described(form)))?;
        Ok(Self::Bytes(bytes))
    }

    /// The bytes that both sides know.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::StandIn(text) => Some(text.as_bytes()),
            Self::Public(_) => None,
        }
    }
}

pub(super) fn described(form: SecretForm) -> &'static str {
    match form {
        SecretForm::Utf8 | SecretForm::StandIn => "a text",
        SecretForm::Hex => "hex digits",
        SecretForm::Base64 => "base64",
        SecretForm::Whsec => "base64 behind `whsec_`",
        SecretForm::Pem => "a public key in PEM",
        SecretForm::Jwk => "a public JSON Web Key",
    }
}

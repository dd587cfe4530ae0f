//! `basic: { user: hooks, secret: password }`: a user and a password in the `Authorization` header, compared in constant time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::caller::{Caller, Refusal};
use super::evidence::Evidence;
use super::secret::{SecretReference, SecretSource, Surroundings};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::options;
use crate::config::source::Spanned;

options! {
    /// A user and a password in the `Authorization` header.
    pub struct Options {
        /// Who and with which password.
        basic: UserOptions,
    }
}

options! {
    /// A user and a password.
    pub struct UserOptions {
        /// The user's name.
        user: Spanned<String>,
        /// The password: the name of an entry of `secrets`, or `{ env: NAME }`.
        secret: SecretReference,
    }
}

/// The compiled scheme.
#[derive(Clone, Debug)]
pub struct Scheme {
    user: String,
    secret: SecretSource,
}

/// Compiles it.
pub(super) fn compile(
    options: &Options,
    surroundings: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
    unset: &mut Diagnostics,
) -> Option<Scheme> {
    let user = &options.basic.user;
    if user.value.contains(':') {
        let message = format!("a user's name has no `:`; found `{}`", user.value);
        diagnostics.report(Diagnostic::error("wrong-type", user.span, message).hint("what stands after it is the password"));
    }
    let secret = surroundings.secret(&options.basic.secret, options.basic.span, "basic", diagnostics, unset)?;
    Some(Scheme { user: user.value.clone(), secret })
}

impl Scheme {
    /// The password that is compared with.
    pub fn secret(&self) -> &SecretSource {
        &self.secret
    }

    /// The header's value for a request that is to pass with this password.
    pub fn header(&self, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{password}", self.user)))
    }

    pub(super) fn verify(&self, evidence: &Evidence<'_>) -> Result<Caller, Refusal> {
        let expected = "a user and a password are expected in the header `Authorization`";
        let Some(header) = evidence.request.header("authorization") else {
            return Err(Refusal::new(expected).because("the header `Authorization` is absent"));
        };
        let Some(encoded) = strip_word(header, "basic") else {
            return Err(Refusal::new(expected).because("the header `Authorization` does not begin with `Basic `"));
        };
        let decoded = STANDARD.decode(encoded.trim()).ok().map(Zeroizing::new);
        let Some((user, password)) = decoded.as_deref().and_then(|bytes| split(bytes)) else {
            return Err(Refusal::new(expected).because("what stands after `Basic ` is not base64 of `user:password`"));
        };
        let right_user = same(user, self.user.as_bytes());
        let candidates = self.secret.candidates(evidence);
        let matches = |active: bool| {
            let wanted = candidates.iter().filter(|candidate| candidate.is_active == active);
            wanted.map(|candidate| same(password, candidate.value.as_bytes())).fold(Choice::from(0), |any, one| any | one)
        };
        let (right_password, old_password) = (matches(true), matches(false));
        if bool::from(right_user & right_password) {
            return Ok(Caller::new("basic", None, None));
        }
        let refusal = Refusal::new("the user or the password is not valid");
        Err(if !bool::from(right_user) {
            refusal.because("the user is another one")
        } else if candidates.is_empty() {
            refusal.because("the password is unknown: the request is for no integration that holds it")
        } else if bool::from(old_password) {
            refusal.because("the password matches an old value of the secret, which is no longer valid")
        } else {
            refusal.because("the password is another one")
        })
    }
}

/// What stands after a word and a space; the word in any case.
pub(super) fn strip_word<'h>(header: &'h str, word: &str) -> Option<&'h str> {
    let (first, rest) = header.trim_start().split_once(' ')?;
    first.eq_ignore_ascii_case(word).then(|| rest.trim_start())
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    Some((&bytes[..colon], &bytes[colon + 1..]))
}

/// Compares digests, so that neither the length nor the first difference shows in the time it takes.
fn same(left: &[u8], right: &[u8]) -> Choice {
    sha2::Sha256::digest(left).ct_eq(&sha2::Sha256::digest(right))
}

//! `token: $.headers.x_token`: a fixed value that both sides know, compared in constant time.

use subtle::{Choice, ConstantTimeEq as _};

use super::caller::{Caller, Refusal};
use super::evidence::Evidence;
use super::secret::{Candidate, SecretReference, SecretSource, Surroundings};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::options;
use crate::config::shape;
use crate::config::yaml::Node;
use crate::expr::convert::scalar_text;
use crate::expr::template::Context;
use crate::expr::value::Value;
use serde_json::Value as Json;
use sha2::Digest as _;

options! {
    /// A fixed value.
    pub struct Options {
        /// Where it stands in the request. A path that matches several: all must be equal, at least one.
        token: Node as shape::text_value,
        /// The value: the name of an entry of `secrets`, or `{ env: NAME }`.
        secret: SecretReference,
        /// What stands before it and is cut: `"Bearer "`.
        prefix: Option<String>,
    }
}

/// The compiled scheme.
#[derive(Clone, Debug)]
pub struct Scheme {
    pub(super) at: Value,
    prefix: String,
    secret: SecretSource,
}

/// Compiles it.
pub(super) fn compile(
    options: &Options,
    surroundings: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
    unset: &mut Diagnostics,
) -> Option<Scheme> {
    let at = Value::compile_text(&options.token, &surroundings.compiler, diagnostics);
    let secret = surroundings.secret(&options.secret, options.span, "token", diagnostics, unset);
    let (at, secret) = (at?, secret?);
    if matches!(at, Value::Literal(_)) {
        let message = "the token is a fixed text here, not a place in the request";
        diagnostics.report(Diagnostic::error("auth-not-a-path", options.token.span, message).hint("such as `$.headers.x_token`"));
    }
    Some(Scheme { at, prefix: options.prefix.clone().unwrap_or_default(), secret })
}

impl Scheme {
    /// Where the sender puts it and what stands before it.
    pub fn place(&self) -> (Option<Vec<String>>, &str) {
        (self.at.as_path().and_then(crate::expr::jsonpath::Path::place), &self.prefix)
    }

    /// The secret that is compared with.
    pub fn secret(&self) -> &SecretSource {
        &self.secret
    }

    pub(super) fn verify(&self, evidence: &Evidence<'_>) -> Result<Caller, Refusal> {
        let found = self.at.evaluate(Context::from(evidence.document)).ok().flatten().unwrap_or(Json::Null);
        let several = self.at.as_path().is_some_and(crate::expr::jsonpath::Path::gives_list);
        let presented: Vec<String> = match found {
            Json::Array(items) if several => items.iter().map(|item| scalar_text(item).unwrap_or_default()).collect(),
            one => scalar_text(&one).into_iter().collect(),
        };
        if presented.is_empty() || presented.iter().all(String::is_empty) {
            return Err(Refusal::new(format!("a token is expected at `{}`", self.at.origin())));
        }
        let candidates = self.secret.candidates(evidence);
        let matches = |one: &String| {
            let active = candidates.iter().filter(|candidate| candidate.is_active);
            active.map(|candidate| self.matches(one, candidate.value)).fold(Choice::from(0), |any, one| any | one)
        };
        let all_match = presented.iter().map(matches).fold(Choice::from(1), |all, one| all & one);
        if bool::from(all_match) {
            return Ok(Caller::new("token", None, None));
        }
        Err(self.explained(&presented, &candidates))
    }

    /// Compares digests, so that neither the length nor the first difference shows in the time it takes.
    fn matches(&self, presented: &str, secret: &str) -> Choice {
        let stripped = presented.strip_prefix(self.prefix.as_str());
        let digest = sha2::Sha256::digest(stripped.unwrap_or_default());
        let same = sha2::Sha256::digest(secret).ct_eq(&digest);
        same & Choice::from(u8::from(stripped.is_some_and(|text| !text.is_empty())))
    }

    /// Why nothing matched, for the integrator.
    fn explained(&self, presented: &[String], candidates: &[Candidate<'_>]) -> Refusal {
        let refusal = Refusal::new("the token is not valid");
        let at = self.at.origin();
        let all = |test: &dyn Fn(&str, &str) -> bool, candidates: &[&Candidate<'_>]| {
            !candidates.is_empty() && presented.iter().all(|one| candidates.iter().any(|candidate| test(one, candidate.value)))
        };
        let (active, old): (Vec<&Candidate<'_>>, Vec<&Candidate<'_>>) = candidates.iter().partition(|one| one.is_active);
        let same = |one: &str, secret: &str| bool::from(self.matches(one, secret));
        let trimmed = |one: &str, secret: &str| bool::from(self.matches(one.trim(), secret.trim()));
        let bare = |one: &str, secret: &str| bool::from(sha2::Sha256::digest(one).ct_eq(&sha2::Sha256::digest(secret)));
        if candidates.is_empty() {
            refusal.because("the secret is unknown: the request is for no integration that holds it")
        } else if !presented.iter().all(|one| one.starts_with(&self.prefix)) {
            let refusal = refusal.because(format!("what stands at `{at}` does not begin with `{}`", self.prefix));
            if all(&bare, &active) { refusal.because("without that prefix it matches") } else { refusal }
        } else if all(&same, &old) {
            refusal.because("it matches an old value of the secret, which is no longer valid")
        } else if all(&trimmed, &active) {
            refusal.because("it matches when white space around it is cut")
        } else if presented.len() > 1 && presented.iter().any(|one| active.iter().any(|candidate| same(one, candidate.value))) {
            refusal.because(format!("of {} values at `{at}` not all match", presented.len()))
        } else {
            refusal.because(format!("what stands at `{at}` is another value"))
        }
    }
}

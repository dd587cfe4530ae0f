//! `token: $.headers.x_token`: a fixed value that both sides know, compared in constant time.

use subtle::{Choice, ConstantTimeEq as _};

use super::caller::{Caller, Refusal};
use super::secret::{self, SecretReader, SecretReference, Values};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::options;
use crate::config::shape;
use crate::config::source::Spanned;
use crate::config::yaml::Node;
use crate::expr::convert::scalar_text;
use crate::expr::template::Context;
use crate::expr::value::{Compiler, Value};
use crate::model::event::EventDocument;
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
    secrets: Values,
}

/// Compiles it.
pub(super) fn compile(
    options: &Options,
    compiler: &Compiler<'_>,
    known: &[(String, Values)],
    reader: &dyn SecretReader,
    diagnostics: &mut Diagnostics,
    unset: &mut Diagnostics,
) -> Option<Scheme> {
    let at = Value::compile_text(&options.token, compiler, diagnostics);
    let secrets = match &options.secret {
        SecretReference::Name(name) => {
            let found = known.iter().find(|(one, _)| *one == name.value);
            if found.is_none() {
                diagnostics.report(unknown_secret(name, known));
            }
            found.map(|(_, values)| values.clone()).unwrap_or_default()
        }
        SecretReference::Inline(inline) => {
            secret::check(inline, options.span, diagnostics);
            secret::resolve("token", options.span, inline, reader, unset).unwrap_or_default()
        }
    };
    let at = at?;
    if matches!(at, Value::Literal(_)) {
        let message = "the token is a fixed text here, not a place in the request";
        diagnostics.report(Diagnostic::error("auth-not-a-path", options.token.span, message).hint("such as `$.headers.x_token`"));
    }
    Some(Scheme { at, prefix: options.prefix.clone().unwrap_or_default(), secrets })
}

fn unknown_secret(name: &Spanned<String>, known: &[(String, Values)]) -> Diagnostic {
    let message = format!("there is no secret `{}`", name.value);
    let names = known.iter().map(|(name, _)| name.as_str());
    let diagnostic = Diagnostic::error("unknown-secret", name.span, message).did_you_mean(&name.value, names, name.span);
    if diagnostic.hint.is_some() {
        return diagnostic;
    }
    diagnostic.hint(format!("declare it: `secrets: {{ {}: {{ env: NAME }} }}`, or write `secret: {{ env: NAME }}`", name.value))
}

impl Scheme {
    /// The values that are accepted, for a sample that is to pass.
    pub fn secrets(&self) -> &Values {
        &self.secrets
    }

    /// Where the sender puts it and what stands before it.
    pub fn place(&self) -> (Option<Vec<String>>, &str) {
        (self.at.as_path().and_then(crate::expr::jsonpath::Path::place), &self.prefix)
    }

    pub(super) fn verify(&self, document: &EventDocument) -> Result<Caller, Refusal> {
        let found = self.at.evaluate(Context::from(document)).ok().flatten().unwrap_or(Json::Null);
        let several = self.at.as_path().is_some_and(crate::expr::jsonpath::Path::gives_list);
        let presented: Vec<String> = match found {
            Json::Array(items) if several => items.iter().map(|item| scalar_text(item).unwrap_or_default()).collect(),
            one => scalar_text(&one).into_iter().collect(),
        };
        if presented.is_empty() || presented.iter().all(String::is_empty) {
            return Err(Refusal(format!("a token is expected at `{}`", self.at.origin())));
        }
        let all_match = presented.iter().map(|one| self.matches(one)).fold(Choice::from(1), |all, one| all & one);
        if bool::from(all_match) {
            Ok(Caller::new("token", None, None))
        } else {
            Err(Refusal("the token is not valid".to_owned()))
        }
    }

    /// Compares digests, so that neither the length nor the first difference shows in the time it takes.
    fn matches(&self, presented: &str) -> Choice {
        let stripped = presented.strip_prefix(self.prefix.as_str());
        let digest = sha2::Sha256::digest(stripped.unwrap_or_default());
        let any = self
            .secrets
            .iter()
            .map(|secret| sha2::Sha256::digest(secret.expose()).ct_eq(&digest))
            .fold(Choice::from(0), |any, one| any | one);
        any & Choice::from(u8::from(stripped.is_some_and(|text| !text.is_empty())))
    }
}

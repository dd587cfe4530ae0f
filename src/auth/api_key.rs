//! `api_key: $.query.APIKey`: a key that we issued to a tenant for this source.

use super::caller::{Caller, Refusal};
use super::evidence::Evidence;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::options;
use crate::config::shape;
use crate::config::yaml::Node;
use crate::expr::template::Context;
use crate::expr::value::{Compiler, Value};
use crate::store::{Store, api_keys};

options! {
    /// A key that we issued; it says which tenant this is.
    pub struct Options {
        /// Where the key stands in the request: a path such as `$.query.APIKey`.
        api_key: Node as shape::text_value,
    }
}

/// The compiled scheme.
#[derive(Clone, Debug)]
pub struct Scheme {
    pub(super) at: Value,
}

/// Compiles it.
pub(super) fn compile(options: &Options, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Scheme> {
    let at = Value::compile_text(&options.api_key, compiler, diagnostics)?;
    if matches!(at, Value::Literal(_)) {
        let message = "the API key is a fixed text here, not a place in the request";
        let diagnostic = Diagnostic::error("auth-not-a-path", options.api_key.span, message);
        diagnostics.report(diagnostic.hint("such as `$.query.APIKey`; a text that both sides know is a `token`"));
    }
    Some(Scheme { at })
}

impl Scheme {
    /// Where a sender puts the key, for the person who hands out URLs.
    pub fn place(&self) -> Option<Vec<String>> {
        self.at.as_path().and_then(crate::expr::jsonpath::Path::place)
    }

    pub(super) fn verify(&self, evidence: &Evidence<'_>, store: &Store) -> Result<Caller, Refusal> {
        let presented = self.at.text(Context::from(evidence.document)).unwrap_or_default();
        if presented.is_empty() {
            return Err(Refusal::new(format!("an API key is expected at `{}`", self.at.origin())));
        }
        match api_keys::verify(store, &presented, evidence.source) {
            Some(key) => {
                api_keys::used(store, key.id);
                Ok(Caller::new("api_key", Some(key.tenant), Some(key.id)))
            }
            None => Err(Refusal::new("the API key is not valid")),
        }
    }
}

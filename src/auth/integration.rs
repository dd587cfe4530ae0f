//! `integration: $.params.integration`: the unguessable endpoint id of an integration, which is itself the check.

use super::caller::{Caller, Refusal};
use super::evidence::Evidence;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::options;
use crate::config::shape;
use crate::config::yaml::Node;
use crate::expr::template::Context;
use crate::expr::value::{Compiler, Value};
use crate::model::integration::Integrations;

options! {
    /// The endpoint id of an integration; it says which tenant this is.
    pub struct EndpointOptions {
        /// Where the id stands in the request: a path such as `$.params.integration`.
        integration: Node as shape::text_value,
    }
}

/// The compiled scheme.
#[derive(Clone, Debug)]
pub struct Scheme {
    pub(super) at: Value,
}

/// Compiles it.
pub(super) fn compile(options: &EndpointOptions, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Scheme> {
    let at = Value::compile_text(&options.integration, compiler, diagnostics)?;
    if matches!(at, Value::Literal(_)) {
        let message = "the endpoint id is a fixed text here, not a place in the request";
        diagnostics.report(
            Diagnostic::error("auth-not-a-path", options.integration.span, message)
                .hint("such as `$.params.integration` with `receive: { path: /in/NAME/:integration }`"),
        );
    }
    Some(Scheme { at })
}

impl Scheme {
    /// Where a sender puts the id, for the person who hands out URLs.
    pub fn place(&self) -> Option<Vec<String>> {
        self.at.as_path().and_then(crate::expr::jsonpath::Path::place)
    }

    pub(super) fn verify(&self, evidence: &Evidence<'_>, integrations: &Integrations) -> Result<Caller, Refusal> {
        let presented = self.at.text(Context::from(evidence.document)).unwrap_or_default();
        if presented.is_empty() {
            return Err(Refusal::new("the address is not complete").because(format!("nothing stands at `{}`", self.at.origin())));
        }
        match integrations.by_endpoint(evidence.source, &presented) {
            Some(found) => Ok(Caller::of_integration("integration", &found)),
            None => {
                let finding = format!("no active integration of `{}` has the id at `{}`", evidence.source, self.at.origin());
                Err(Refusal::new("the address is not valid").because(finding))
            }
        }
    }
}

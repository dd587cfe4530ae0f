//! `check: claims.email_verified`: a condition on the request, beside another scheme under `all`. By itself it lets everyone in, so it
//! never stands alone.

use super::caller::{Caller, Refusal};
use super::evidence::Evidence;
use super::scheme::AuthOptions;
use super::secret::Surroundings;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::options;
use crate::config::shape;
use crate::config::yaml::Node;
use crate::expr::template::Context;
use crate::expr::value::Condition;

options! {
    /// A condition that must hold.
    pub struct Options {
        /// The condition: an expression over the request, and over `claims` after a `jwt` in the same `all`.
        check: Node as shape::condition,
    }
}

/// The compiled scheme.
#[derive(Clone, Debug)]
pub struct Scheme {
    pub(super) condition: Condition,
    text: String,
}

/// Compiles it.
pub(super) fn compile(options: &Options, surroundings: &Surroundings<'_>, diagnostics: &mut Diagnostics) -> Option<Scheme> {
    Condition::compile(&options.check, &surroundings.compiler, diagnostics)
        .map(|condition| Scheme { condition, text: options.check.text().unwrap_or_default().to_owned() })
}

/// Refuses a scheme in which conditions alone can let a request in.
pub(super) fn refuse_alone(auth: &AuthOptions, diagnostics: &mut Diagnostics) {
    if let Some(condition) = alone(auth) {
        let message = "a condition proves nothing of who sends: anyone can write what it looks at";
        diagnostics.report(Diagnostic::error("check-alone", condition.span, message).hint(
            "join it with a scheme: `all: [ { token: $.headers.x_token, secret: NAME }, { check: … } ]`; where everyone may send, \
             say `{ none: \"reason\" }` beside it",
        ));
    }
}

/// The condition that lets a request in with nothing but other conditions beside it.
fn alone(auth: &AuthOptions) -> Option<&Node> {
    match auth {
        AuthOptions::Check(check) => Some(&check.check),
        AuthOptions::Any(any) => any.any.iter().find_map(alone),
        AuthOptions::All(all) => {
            let conditions: Option<Vec<&Node>> = all.all.iter().map(alone).collect();
            conditions?.first().copied()
        }
        _ => None,
    }
}

impl Scheme {
    pub(super) fn verify(&self, evidence: &Evidence<'_>) -> Result<Caller, Refusal> {
        let refusal = Refusal::new("the request is not one that is expected here");
        match self.condition.holds(Context::from(evidence.document)) {
            Ok(true) => Ok(Caller::new("check", None, None)),
            Ok(false) => Err(refusal.because(format!("the condition `{}` does not hold", self.text))),
            Err(error) => Err(refusal.because(format!("the condition `{}` cannot be told: {}", self.text, error.0))),
        }
    }
}

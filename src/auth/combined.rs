//! `any: […]` and `all: […]`: schemes joined. What they say of the sender must not contradict itself.

use super::caller::{Caller, Refusal};
use super::evidence::Evidence;
use super::scheme::{Auth, AuthOptions, Means, compile_part};
use super::secret::Surroundings;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::options;
use crate::config::source::Span;
use crate::expr::value::Compiler;

options! {
    /// One of several schemes.
    pub struct AnyOptions {
        /// The schemes, in the order in which they are tried; one must let the request in.
        any: Vec<AuthOptions>,
    }
}

options! {
    /// All of several schemes.
    pub struct AllOptions {
        /// The schemes, in the order in which they are tried; each must let the request in.
        all: Vec<AuthOptions>,
    }
}

pub(super) fn compile_any(
    options: &AnyOptions,
    surroundings: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
    unset: &mut Diagnostics,
) -> Option<Vec<Auth>> {
    refuse_empty("any", &options.any, options.span, diagnostics);
    let schemes = options.any.iter().map(|one| compile_part(one, surroundings, diagnostics, unset));
    let schemes = schemes.collect::<Vec<_>>().into_iter().collect::<Option<Vec<Auth>>>()?;
    let telling = schemes.iter().filter(|scheme| scheme.names_tenant()).count();
    if telling > 0 && telling < schemes.len() {
        let message = "some of these schemes say which tenant a request is for, and some do not";
        diagnostics.report(
            Diagnostic::error("two-tenants", options.span, message)
                .hint("either each of them has to say it, or none and the file says `tenant: NAME`"),
        );
    }
    Some(schemes)
}

pub(super) fn compile_all(
    options: &AllOptions,
    surroundings: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
    unset: &mut Diagnostics,
) -> Option<Vec<Auth>> {
    refuse_empty("all", &options.all, options.span, diagnostics);
    let mut scope = surroundings.compiler.scope.clone();
    let mut schemes = Vec::new();
    for one in &options.all {
        let compiler = Compiler { engine: surroundings.compiler.engine, scope: &scope };
        schemes.push(compile_part(one, &Surroundings { compiler, ..*surroundings }, diagnostics, unset));
        if one.leaves_claims() {
            scope = scope.with(["claims"]);
        }
    }
    schemes.into_iter().collect()
}

fn refuse_empty(word: &str, schemes: &[AuthOptions], span: Span, diagnostics: &mut Diagnostics) {
    if schemes.is_empty() {
        let message = format!("`{word}` needs at least one scheme; found none");
        diagnostics.report(
            Diagnostic::error("missing-option", span, message)
                .hint(format!("such as `{word}: [ {{ token: $.headers.x_token, secret: NAME }} ]`")),
        );
    }
}

/// The first that lets it in. When none does, the sender is told what the first one says.
pub(super) async fn verify_any(schemes: &[Auth], evidence: Evidence<'_>, means: Means<'_>) -> Result<Caller, Refusal> {
    let mut refused: Option<Refusal> = None;
    for scheme in schemes {
        match scheme.verify(evidence, means).await {
            Ok(caller) => return Ok(caller),
            Err(refusal) => {
                let findings = refusal.findings.into_iter().map(|finding| format!("{}: {finding}", scheme.word()));
                let known = refused.get_or_insert_with(|| Refusal::new(refusal.told));
                known.findings.extend(findings);
                known.is_undecided |= refusal.is_undecided;
            }
        }
    }
    Err(refused.unwrap_or_else(|| Refusal::new("nobody may send here")))
}

/// What all of them say together.
pub(super) async fn verify_all(schemes: &[Auth], evidence: Evidence<'_>, means: Means<'_>) -> Result<Caller, Refusal> {
    let mut document = evidence.document.clone();
    let mut joined: Option<Caller> = None;
    for scheme in schemes {
        let caller = scheme.verify(Evidence { document: &document, ..evidence }, means).await?;
        if let Some(claims) = caller.claims() {
            document.set("claims", claims.clone());
        }
        joined = Some(match joined {
            None => caller,
            Some(before) => before.and(caller)?,
        });
    }
    joined.ok_or_else(|| Refusal::new("nobody may send here"))
}

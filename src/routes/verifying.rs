//! How a file's senders are verified: its own `auth`, and what schemes anywhere in it may look at.

use super::compile::World;
use super::file::FileOptions;
use super::names::Scopes;
use crate::auth::scheme::{self, Auth};
use crate::auth::secret::{self, Surroundings};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::yaml::Node;
use crate::expr::reads::Reads;
use crate::expr::template::Engine;
use crate::expr::value::Compiler;
use crate::steps::integration::IntegrationRule;
use crate::steps::integration_options::IntegrationOptions;

/// The secret fields of an integration: those that verify, and those that are known too late for that.
pub(super) struct SecretFields {
    verifying: Vec<String>,
    late: Vec<String>,
}

impl SecretFields {
    /// Those that a file declares and its integrations hold.
    pub(super) fn of(options: &FileOptions) -> Self {
        let stored = options.integration.as_ref().map(IntegrationOptions::stored_secrets).unwrap_or_default();
        let known_before =
            options.tenant.is_some() || options.integration.as_ref().is_some_and(|integration| integration.is.is_some());
        let (verifying, late) = if known_before { (stored, Vec::new()) } else { (Vec::new(), stored) };
        Self { verifying, late }
    }
}

/// What schemes are compiled with.
pub(super) fn surroundings<'a>(
    scopes: &'a Scopes,
    secrets: &'a [(String, secret::Values)],
    fields: &'a SecretFields,
    world: World<'a>,
) -> Surroundings<'a> {
    Surroundings {
        compiler: Compiler { engine: world.engine, scope: &scopes.request },
        secrets,
        fields: &fields.verifying,
        late_fields: &fields.late,
        reader: world.secrets,
        files: world.files,
    }
}

/// Compiles the file's own scheme.
pub(super) fn compile(
    options: &FileOptions,
    root: &Node,
    surroundings: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
    unset: &mut Diagnostics,
) -> Option<Auth> {
    let Some(auth) = &options.auth else {
        diagnostics.report(
            Diagnostic::error("missing-auth", root.head(), "a source needs `auth`: who may send?")
                .hint("write `auth: { api_key: $.query.key }`, `auth: { token: $.headers.x_token, secret: NAME }`, or `auth: { none: \"reason\" }`"),
        );
        return None;
    };
    scheme::compile(auth, surroundings, diagnostics, unset)
}

/// Whether a scheme, or the way to the integration, leads through the body.
pub(super) fn reads_body(auth: &Auth, integration: &IntegrationRule, engine: &Engine) -> bool {
    let mut reads = Reads::default();
    auth.add_reads(engine, &mut reads);
    integration.add_reads_before_verification(engine, &mut reads);
    reads.reads_name("body")
}

/// Where senders put their credentials.
pub(super) fn credential_places(auth: &Auth, engine: &Engine) -> Vec<Vec<String>> {
    let mut reads = Reads::default();
    auth.add_secret_places(engine, &mut reads);
    reads.places().map(<[String]>::to_vec).chain([vec!["headers".to_owned(), "authorization".to_owned()]]).collect()
}

//! A compiled source: one version of one route file, ready to receive and to run.

use jiff::civil::Date;
use sha2::Digest as _;

use super::handshake::Handshakes;
use super::onboarding::Onboarding;
use super::receive::Receive;
use super::signing::Origins;
use crate::auth::scheme::Auth;
use crate::auth::secret::Values;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::source::Spanned;
use crate::expr::reads::value_at;
use crate::expr::scope::SecretValues;
use crate::model::bundle::Bundle;
use crate::model::event::EventDocument;
use crate::model::failure::Failure;
use crate::model::integration::Integration;
use crate::model::tenant::Tenant;
use crate::secret::Mask;
use crate::steps::admission::Admission;
use crate::steps::integration::IntegrationRule;
use crate::steps::integration_options::IntegrationOptions;

/// What decides which tenant a delivery belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantRule {
    /// None does.
    None,
    /// The sender's credentials.
    Caller,
    /// The file.
    Named(String),
    /// Each record's integration does.
    Record,
}

impl TenantRule {
    /// What a file and its credentials say together.
    pub(super) fn of(
        written: Option<&Spanned<String>>,
        auth: Option<&Auth>,
        integration: Option<&IntegrationOptions>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let by_id = integration.is_some_and(|integration| integration.is.is_some());
        let by_fields = integration.is_some_and(|integration| !integration.r#where.is_empty());
        let caller = auth.is_some_and(Auth::names_tenant) || by_id;
        match written {
            Some(tenant) => {
                if !Tenant::is_name(&tenant.value) {
                    let message = format!("`{}` cannot name a tenant", tenant.value);
                    diagnostics.report(
                        Diagnostic::error("bad-name", tenant.span, message).hint("1 to 64 letters, digits, `.`, `_` and `-`"),
                    );
                } else if caller || by_fields {
                    let who = if by_id || by_fields { "integration" } else { "sender's credential" };
                    let message = format!("the {who} says which tenant this is; the file cannot say another");
                    diagnostics.report(Diagnostic::error("two-tenants", tenant.span, message).hint("remove `tenant`"));
                }
                TenantRule::Named(tenant.value.clone())
            }
            None if caller => TenantRule::Caller,
            None if by_fields => TenantRule::Record,
            None => TenantRule::None,
        }
    }
}

/// One version of a source.
#[derive(Debug)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// The path of its file.
    pub path: String,
    /// What it was compiled from.
    pub bundle: Bundle,
    /// SHA-256 of that.
    pub bundle_hash: [u8; 32],
    /// SHA-256 of what decides event, lane and id.
    pub admit_hash: [u8; 32],
    /// Which requests are its own.
    pub receive: Receive,
    /// How a sender proves who it is.
    pub auth: Auth,
    /// Whether proving that needs the decoded body.
    pub auth_reads_body: bool,
    /// What is answered at once.
    pub handshakes: Handshakes,
    /// Where senders put their credentials.
    pub(super) credential_places: Vec<Vec<String>>,
    /// What decides the tenant.
    pub tenant: TenantRule,
    /// How requests become records, and what becomes of them.
    pub admission: Admission,
    /// What a customer is handed.
    pub onboarding: Onboarding,
    /// The saved requests beside the file, as it names them.
    pub samples: Vec<Spanned<String>>,
    /// What the operator holds; the first value of each is the one that goes out.
    pub secrets: Vec<(String, Values)>,
    /// Covers what the operator holds.
    pub(super) mask: Mask,
    /// Where its secrets come from, by what they are for.
    pub(super) secret_origins: Origins,
    /// Places of a request whose content is secret.
    pub(super) secret_places: Vec<Vec<String>>,
}

impl Source {
    /// The secrets that may go out for one record: the operator's, those that its integration holds, and those that its request
    /// brought along.
    pub fn secret_values(
        &self,
        document: &EventDocument,
        integration: Option<&Integration>,
        today: Date,
    ) -> Result<SecretValues, Failure> {
        let mut secrets = self.operator_secrets(today);
        self.admission.integration.add_secrets(document, integration, &mut secrets)?;
        Ok(secrets)
    }

    /// Of what the operator holds, the values that go out.
    pub fn operator_secrets(&self, today: Date) -> SecretValues {
        let first = |values: &Values| values.iter().find(|value| value.is_active(today)).map(|value| value.secret().clone());
        self.secrets.iter().filter_map(|(name, values)| Some((name.clone(), first(values)?))).collect()
    }

    /// SHA-256 of what a request presents as its credentials.
    pub fn presented(&self, document: &EventDocument) -> [u8; 32] {
        let mut hash = sha2::Sha256::new();
        for place in &self.credential_places {
            hash.update(value_at(document, place).map(ToString::to_string).unwrap_or_default());
            hash.update([0]);
        }
        hash.finalize().into()
    }

    /// How a record finds the integration it is for, and what that holds.
    pub fn integration(&self) -> &IntegrationRule {
        &self.admission.integration
    }

    /// Whether rows of this source carry a tenant.
    pub fn has_tenant(&self) -> bool {
        self.tenant != TenantRule::None
    }
}

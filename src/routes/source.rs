//! A compiled source: one version of one route file, ready to receive and to run.

use sha2::Digest as _;

use super::handshake::Handshakes;
use super::integration::Field;
use super::receive::Receive;
use crate::auth::scheme::Auth;
use crate::auth::secret::Values;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::source::Spanned;
use crate::expr::reads::value_at;
use crate::expr::scope::SecretValues;
use crate::expr::template::Context;
use crate::model::bundle::Bundle;
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};
use crate::model::tenant::Tenant;
use crate::secret::{Mask, Secret};
use crate::steps::admission::Admission;

/// What decides which tenant a delivery belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantRule {
    /// None does.
    None,
    /// The sender's credentials.
    Caller,
    /// The file.
    Named(String),
}

impl TenantRule {
    /// What a file and its credentials say together.
    pub(super) fn of(written: Option<&Spanned<String>>, auth: Option<&Auth>, diagnostics: &mut Diagnostics) -> Self {
        let caller = auth.is_some_and(Auth::names_tenant);
        match written {
            Some(tenant) => {
                if !Tenant::is_name(&tenant.value) {
                    let message = format!("`{}` cannot name a tenant", tenant.value);
                    diagnostics.report(
                        Diagnostic::error("bad-name", tenant.span, message).hint("1 to 64 letters, digits, `.`, `_` and `-`"),
                    );
                } else if caller {
                    let message = "the API key says which tenant this is; the file cannot say another";
                    diagnostics.report(Diagnostic::error("two-tenants", tenant.span, message).hint("remove `tenant`"));
                }
                TenantRule::Named(tenant.value.clone())
            }
            None if caller => TenantRule::Caller,
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
    /// What each customer's set-up holds.
    pub fields: Vec<Field>,
    /// The saved requests beside the file, as it names them.
    pub samples: Vec<Spanned<String>>,
    /// What the operator holds; the first value of each is the one that goes out.
    pub secrets: Vec<(String, Values)>,
    /// Covers what the operator holds.
    pub(super) mask: Mask,
    /// Places of a request whose content is secret.
    pub(super) secret_places: Vec<Vec<String>>,
}

impl Source {
    /// The secrets that may go out for one record: the operator's, and those that its request brought along.
    pub fn secret_values(&self, document: &EventDocument) -> Result<SecretValues, Failure> {
        let mut secrets = self.operator_secrets();
        for field in self.fields.iter().filter(|field| field.secret) {
            let value = field.from.evaluate(Context::from(document)).ok().flatten();
            let text = value.as_ref().and_then(crate::expr::convert::scalar_text).filter(|text| !text.is_empty());
            match text {
                Some(text) => drop(secrets.insert(field.name.clone(), Secret::new(text))),
                None if field.required => {
                    let reason =
                        format!("the integration's field `{}` is missing: nothing at `{}`", field.name, field.from.origin());
                    return Err(Failure::permanent(Step::Admission, reason));
                }
                None => {}
            }
        }
        Ok(secrets)
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

    /// What the operator holds, as far as it goes out.
    pub fn operator_secrets(&self) -> SecretValues {
        let firsts = self.secrets.iter().filter_map(|(name, values)| Some((name.clone(), values.first()?.secret().clone())));
        firsts.collect()
    }

    /// Whether rows of this source carry a tenant.
    pub fn has_tenant(&self) -> bool {
        self.tenant != TenantRule::None
    }
}

//! A verified sender. Its fields are private to `auth`, so that nothing reaches the inbox without one.

use serde_json::Value as Json;

use crate::model::caller::StoredCaller;
use crate::model::integration::Integration;
use crate::model::tenant::Tenant;

/// Who sent a request, as its verified credentials say.
#[derive(Clone, Debug)]
pub struct Caller {
    stored: StoredCaller,
}

impl Caller {
    pub(super) fn new(scheme: &str, tenant: Option<Tenant>, api_key: Option<i64>) -> Self {
        Self { stored: StoredCaller { tenant, scheme: scheme.to_owned(), api_key, ..StoredCaller::default() } }
    }

    /// The sender on behalf of an integration's tenant.
    pub(super) fn of_integration(scheme: &str, integration: &Integration) -> Self {
        let mut caller = Self::new(scheme, Some(integration.tenant.clone()), None);
        caller.stored.integration = Some(integration.id);
        caller
    }

    /// The same with the claims that were verified.
    #[must_use]
    pub(super) fn with_claims(mut self, claims: Json) -> Self {
        self.stored.claims = Some(claims);
        self
    }

    /// What two verified schemes say together; refused when they say it of two tenants or integrations.
    pub(super) fn and(self, other: Caller) -> Result<Self, Refusal> {
        let (left, right) = (self.stored, other.stored);
        let differ = |what: &str| Refusal::new("the credentials do not belong together").because(format!("they name two {what}"));
        if left.tenant.is_some() && right.tenant.is_some() && left.tenant != right.tenant {
            return Err(differ("tenants"));
        }
        if left.integration.is_some() && right.integration.is_some() && left.integration != right.integration {
            return Err(differ("integrations"));
        }
        Ok(Self {
            stored: StoredCaller {
                tenant: left.tenant.or(right.tenant),
                scheme: format!("{}+{}", left.scheme, right.scheme),
                api_key: left.api_key.or(right.api_key),
                integration: left.integration.or(right.integration),
                claims: left.claims.or(right.claims),
            },
        })
    }

    /// The tenant on whose behalf it came, if the credentials say.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.stored.tenant.as_ref()
    }

    /// The API key that was used.
    pub fn api_key(&self) -> Option<i64> {
        self.stored.api_key
    }

    /// The claims that were verified, if a token brought some.
    pub fn claims(&self) -> Option<&Json> {
        self.stored.claims.as_ref()
    }

    /// The same on behalf of the tenant that the route file names, where the credentials name none.
    #[must_use]
    pub fn on_behalf_of(mut self, tenant: Option<&Tenant>) -> Self {
        self.stored.tenant = self.stored.tenant.or_else(|| tenant.cloned());
        self
    }

    /// The same for the integration that the request named; refused when the credentials say another tenant or integration.
    pub fn for_integration(self, integration: &Integration) -> Result<Self, Refusal> {
        let scheme = self.stored.scheme.clone();
        let mut joined = Self::of_integration("integration", integration).and(self)?;
        joined.stored.scheme = scheme;
        Ok(joined)
    }

    /// What is kept beside the delivery.
    pub fn to_stored(&self) -> StoredCaller {
        self.stored.clone()
    }
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In words for the sender: enough for the rightful one, nothing for another.
    pub told: String,
    /// In words for the integrator, never for the sender: what was found and what was expected, one thing each. Never a secret, and
    /// never a value that would have been accepted.
    pub findings: Vec<String>,
    /// Whether it is a fault of ours or of an issuer, so that nobody can tell now whether the sender is the rightful one.
    pub is_undecided: bool,
}

impl Refusal {
    /// A refusal of which there is no more to say than what the sender is told.
    pub fn new(told: impl Into<String>) -> Self {
        Self { told: told.into(), findings: Vec::new(), is_undecided: false }
    }

    /// That it cannot be told now; the sender is asked to come again.
    pub fn undecided(reason: impl Into<String>) -> Self {
        Self { told: "this cannot be verified now".to_owned(), findings: vec![reason.into()], is_undecided: true }
    }

    /// The same with something for the integrator.
    #[must_use]
    pub fn because(mut self, finding: impl Into<String>) -> Self {
        self.findings.push(finding.into());
        self
    }
}

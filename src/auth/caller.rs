//! A verified sender. Its fields are private to `auth`, so that nothing reaches the inbox without one.

use crate::model::caller::StoredCaller;
use crate::model::tenant::Tenant;

/// Who sent a request, as its verified credentials say.
#[derive(Clone, Debug)]
pub struct Caller {
    stored: StoredCaller,
}

impl Caller {
    pub(super) fn new(scheme: &str, tenant: Option<Tenant>, api_key: Option<i64>) -> Self {
        Self { stored: StoredCaller { tenant, scheme: scheme.to_owned(), api_key, integration: None, claims: None } }
    }

    /// The tenant on whose behalf it came, if the credentials say.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.stored.tenant.as_ref()
    }

    /// The API key that was used.
    pub fn api_key(&self) -> Option<i64> {
        self.stored.api_key
    }

    /// The same on behalf of the tenant that the route file names, where the credentials name none.
    #[must_use]
    pub fn on_behalf_of(mut self, tenant: Option<&Tenant>) -> Self {
        self.stored.tenant = self.stored.tenant.or_else(|| tenant.cloned());
        self
    }

    /// What is kept beside the delivery.
    pub fn to_stored(&self) -> StoredCaller {
        self.stored.clone()
    }
}

/// Why a request was refused, in words for the sender: enough for the rightful one, nothing for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

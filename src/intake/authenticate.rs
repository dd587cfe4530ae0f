//! Who sent a request: the integration it is for, the credentials it shows, and the tenant that follows from both.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::rejection::Rejection;
use crate::auth::caller::{Caller, Refusal};
use crate::auth::evidence::Evidence;
use crate::auth::scheme::{Auth, Means};
use crate::expr::scope::SecretValues;
use crate::http_client::client::HttpClient;
use crate::model::delivery::Request;
use crate::model::event::EventDocument;
use crate::model::integration::Integration;
use crate::model::tenant::Tenant;
use crate::payload;
use crate::payload::inflate::Uninflated;
use crate::routes::source::{Source, TenantRule};
use crate::steps::admission::Received;
use crate::store::{Store, tenants};

/// A request that is some source's, before its sender is known.
#[derive(Clone, Copy)]
pub(super) struct Arrived<'a> {
    /// Whose it is.
    pub(super) source: &'a Source,
    /// As it came; its body once that is read.
    pub(super) request: &'a Request,
    /// The whole URL as the sender used it.
    pub(super) url: &'a str,
    /// What stood in the place of the path's parameters.
    pub(super) params: &'a [(String, String)],
}

impl Arrived<'_> {
    /// The request with its decoded body. A compressed one that is broken or inflates to more than the source takes is refused. What is
    /// inflated is let go again: the inbox keeps the bytes of the wire, which signatures are over.
    pub(super) fn received(self) -> Result<Received, Rejection> {
        inflated(self.source.admission.read(self.request, self.params))
    }

    /// The same before its sender is verified, within the limits for bodies that anyone may have sent.
    fn received_unverified(self) -> Result<Received, Rejection> {
        inflated(self.source.admission.read_unverified(self.request, self.params))
    }
}

fn inflated(received: Received) -> Result<Received, Rejection> {
    match received.uninflated {
        None => Ok(received),
        Some(Uninflated::TooLarge(most)) => Err(Rejection::TooLarge(most)),
        Some(Uninflated::Broken(reason)) => Err(Rejection::Broken(reason)),
    }
}

/// What came of a sender's verification.
pub(super) struct Verified {
    /// Who it is.
    pub(super) caller: Caller,
    /// The integration that the request is for, as far as that is known.
    pub(super) integration: Option<Arc<Integration>>,
    /// The request with its decoded body, where a scheme, or the way to the integration, leads through it and it could be decoded.
    pub(super) received: Option<Received>,
}

/// Verifies senders.
pub(super) struct Gate {
    store: Store,
    http: Arc<HttpClient>,
    tenants: Mutex<HashMap<String, Tenant>>,
}

impl Gate {
    /// A gate that knows the keys and integrations of a state.
    pub(super) fn new(store: Store, http: Arc<HttpClient>) -> Self {
        Self { store, http, tenants: Mutex::default() }
    }

    /// The verified sender of a delivery, or why it is none.
    pub(super) async fn authenticate(&self, arrived: Arrived<'_>) -> Result<Verified, Rejection> {
        let source = arrived.source;
        let verified = self.verify(arrived, &source.auth, source.auth_reads_body).await?;
        let TenantRule::Named(name) = &source.tenant else { return Ok(verified) };
        let caller = verified.caller.on_behalf_of(Some(&self.tenant_named(name).await?));
        Ok(Verified { caller, ..verified })
    }

    /// The sender as a scheme verified it.
    pub(super) async fn verify(&self, arrived: Arrived<'_>, auth: &Auth, reads_body: bool) -> Result<Verified, Rejection> {
        let Arrived { source, request, params, url } = arrived;
        let received = if reads_body { Some(arrived.received_unverified()?) } else { None };
        let head;
        let document = match &received {
            Some(received) => &received.document,
            None => {
                head = payload::request::document(request, params);
                &head
            }
        };
        let integration = self.integration_of(source, document).await?;
        let integrations = self.store.integrations();
        let no_fields = SecretValues::new();
        let evidence = Evidence {
            request,
            document,
            url,
            now: self.store.clock().now(),
            source: &source.name,
            fields: integration.as_ref().map_or(&no_fields, |integration| &integration.secrets),
        };
        let means = Means { store: &self.store, integrations: &integrations, http: &self.http };
        let verified = auth.verify(evidence, means).await;
        let caller = verified.and_then(|caller| for_integration(caller, source, integration.as_deref()));
        let caller = caller.map_err(|refusal| match refusal.is_undecided {
            true => Rejection::Unavailable(refusal.findings.join("; ")),
            false => Rejection::Unauthorized(refusal),
        })?;
        // what was too much of a stranger may be right of one that is known
        let received = received.filter(|received| received.undecoded.is_none());
        Ok(Verified { caller, integration, received })
    }

    /// The integration that a request is for, as far as that is known before its sender is verified.
    pub(super) async fn integration_of(
        &self,
        source: &Source,
        document: &EventDocument,
    ) -> Result<Option<Arc<Integration>>, Rejection> {
        let tenant = match &source.tenant {
            TenantRule::Named(name) => self.known_tenant(name).await?,
            TenantRule::Caller | TenantRule::Record | TenantRule::None => None,
        };
        let tenant_id = tenant.as_ref().map(|tenant| tenant.id);
        Ok(source.integration().before_verification(document, &source.name, tenant_id, &self.store.integrations()))
    }

    /// The tenant that a route file names; it comes into being with its first delivery.
    async fn tenant_named(&self, name: &str) -> Result<Tenant, Rejection> {
        if let Some(tenant) = self.known_tenant(name).await? {
            return Ok(tenant);
        }
        let added = tenants::add(&self.store, name).await;
        let tenant = added.map_err(|error| Rejection::Unavailable(error.to_string()))?;
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), tenant.clone());
        Ok(tenant)
    }

    async fn known_tenant(&self, name: &str) -> Result<Option<Tenant>, Rejection> {
        let known = self.tenants.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let found = tenants::find_by_name(&self.store, name).await;
        let found = found.map_err(|error| Rejection::Unavailable(error.to_string()))?;
        if let Some(tenant) = &found {
            self.tenants.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), tenant.clone());
        }
        Ok(found)
    }
}

/// Where a source finds integrations by their id, a request for none that is active is nobody's, whoever sent it.
fn for_integration(caller: Caller, source: &Source, integration: Option<&Integration>) -> Result<Caller, Refusal> {
    match integration {
        Some(integration) => caller.for_integration(integration),
        None if source.integration().is_found_by_id() => {
            let refusal = Refusal::new("the address is not valid");
            Err(refusal.because(format!("no active integration of `{}` has the id that the request names", source.name)))
        }
        None => Ok(caller),
    }
}

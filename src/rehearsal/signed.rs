//! Signs the request of a test, as the last step before it is sent: over its final bytes, with what stands in for the secret.

use super::send::WebhookRequest;
use crate::auth::evidence::Evidence;
use crate::auth::signature::scheme::Scheme;
use crate::auth::signature::sign::{ID, Placed, Signing};
use crate::clock::Timestamp;
use crate::expr::scope::SecretValues;
use crate::intake::address::Addresses;
use crate::routes::source::Source;

/// What a request is signed with besides itself.
#[derive(Clone, Copy)]
pub(super) struct With<'a> {
    /// The source it is for.
    pub(super) source: &'a Source,
    /// The secret fields of the integration.
    pub(super) fields: &'a SecretValues,
    /// When it is sent.
    pub(super) now: Timestamp,
    /// The URL that the server is known by.
    pub(super) addresses: &'a Addresses,
}

/// Puts into the request what its source's scheme asks for; returns the signatures and where they are.
pub(super) fn sign(
    request: &mut WebhookRequest,
    scheme: &Scheme,
    signing: Signing,
    with: With<'_>,
) -> Result<Vec<Placed>, String> {
    let placed = with_evidence(request, with, |evidence| scheme.before_signing(evidence, signing, ID))?;
    put_all(request, &placed)?;
    let digest = with_evidence(request, with, |evidence| scheme.digest(evidence))?;
    put_all(request, digest.as_slice())?;
    let signatures = with_evidence(request, with, |evidence| scheme.signatures(evidence, signing, ID))?;
    put_all(request, &signatures)?;
    Ok(signatures)
}

fn put_all(request: &mut WebhookRequest, placed: &[Placed]) -> Result<(), String> {
    placed.iter().try_for_each(|(place, text)| request.put(place, text))
}

/// The request as it will be seen when it arrives.
fn with_evidence<T>(request: &WebhookRequest, with: With<'_>, look: impl FnOnce(&Evidence<'_>) -> T) -> T {
    let With { source, fields, now, addresses } = with;
    let arriving = request.arriving();
    let params = source.receive.path_parameters(&arriving.path).unwrap_or_default();
    let document = source.admission.read(&arriving, &params).document;
    let url = addresses.url(&arriving);
    look(&Evidence { request: &arriving, document: &document, url: &url, now, source: &source.name, fields })
}

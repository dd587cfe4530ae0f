//! Adds to a request what proves its sender: values, keys, tokens, and signatures over all the rest. Tests and `hooktable send`
//! do it alike.

use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::made_up;
use super::send::{Credential, WebhookRequest};
use super::signed;
use crate::auth::signature::sign::Placed;
use crate::intake::address::Addresses;
use crate::model::integration::Integration;
use crate::model::tenant::Tenant;
use crate::routes::source::Source;
use crate::secret::Secret;
use crate::store::{Store, api_keys};

/// The age of a token that is refused.
const LONG_AGO: Duration = Duration::from_secs(24 * 60 * 60);

/// When a request's credentials were made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Just now.
    Fresh,
    /// So long ago that they count no more.
    Stale,
}

/// Who sends.
pub struct Sender<'a> {
    /// Where API keys are made.
    pub store: &'a Store,
    /// What it sends to.
    pub source: &'a Source,
    /// The tenant, where one is needed.
    pub tenant: Option<&'a Tenant>,
    /// The tenant's integration, where there is one.
    pub integration: Option<&'a Integration>,
    /// The API key; without it one is made.
    pub api_key: Option<&'a Secret<String>>,
    /// What a key that is made is for.
    pub purpose: &'a str,
    /// What a token claims.
    pub claims: &'a Map<String, Json>,
    /// The URL that the server is known by.
    pub addresses: &'a Addresses,
    /// When the credentials are made.
    pub age: Age,
}

/// A request with its credentials.
pub struct Equipped {
    /// The request.
    pub request: WebhookRequest,
    /// The credentials and where they are.
    pub placed: Vec<Placed>,
    /// The number of the API key that was made.
    pub issued: Option<i64>,
}

/// Adds them.
pub async fn equip(request: WebhookRequest, credentials: &[Credential], sender: &Sender<'_>) -> Result<Equipped, String> {
    let mut equipped = Equipped { request, placed: Vec::new(), issued: None };
    let now = sender.store.clock().now();
    for credential in credentials {
        match credential {
            Credential::Value(place, value) => equipped.put(place, value)?,
            Credential::Header(name, value) => equipped.put(&["headers".to_owned(), (*name).to_owned()], value)?,
            Credential::Claims(scheme, secret) => {
                let issued_at = if sender.age == Age::Stale { now - LONG_AGO } else { now };
                let token = scheme.token(sender.claims, secret, issued_at)?;
                let place = scheme.place().ok_or("its `jwt` does not look at one place of the request")?;
                equipped.put(&place, &token)?;
            }
            Credential::From(address) => equipped.request.client = Some(*address),
            Credential::Signature(..) => {}
            Credential::Endpoint(place) => {
                let endpoint = sender.integration.map(|integration| integration.endpoint.expose().as_str());
                equipped.put(place, endpoint.unwrap_or(made_up::ENDPOINT))?;
            }
            Credential::ApiKey(place) => {
                let key = match sender.api_key {
                    Some(key) => key.clone(),
                    None => equipped.issue(sender).await?,
                };
                equipped.put(place, key.expose())?;
            }
        }
    }
    for credential in credentials {
        if let Credential::Signature(scheme, signing, fields) = credential {
            let with = signed::With { source: sender.source, fields, now, addresses: sender.addresses };
            let signatures = signed::sign(&mut equipped.request, scheme, *signing, with)?;
            equipped.placed.extend(signatures);
        }
    }
    Ok(equipped)
}

impl Equipped {
    fn put(&mut self, place: &[String], value: &str) -> Result<(), String> {
        self.placed.push((place.to_vec(), value.to_owned()));
        self.request.put(place, value)
    }

    async fn issue(&mut self, sender: &Sender<'_>) -> Result<Secret<String>, String> {
        let tenant = sender.tenant.ok_or("an API key belongs to a tenant, and none is named")?;
        let made = api_keys::create(sender.store, tenant, &sender.source.name, sender.purpose).await;
        let (made, key) = made.map_err(|error| error.to_string())?;
        self.issued = Some(made.id);
        Ok(key)
    }
}

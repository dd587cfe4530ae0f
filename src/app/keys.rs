//! API keys for operators: made and rotated, each answer with what to paste at the provider, since the key is seen only then.

use anyhow::{anyhow, bail};
use serde::{Deserialize, Serialize};

use super::onboarding::{Address, Credentials, addresses, takes_api_keys};
use super::onboarding_text::{self, Handed};
use super::operation::{Context, no_source, sources_of, the_tenant};
use crate::model::api_key::{ApiKey, ApiKeySummary};
use crate::routes::source::Source;
use crate::secret::Secret;
use crate::store::{Store, api_keys};

/// A key at the one moment at which it is seen.
#[derive(Serialize, Deserialize)]
pub struct CreatedKey {
    /// Its number, to revoke it by.
    pub id: i64,
    /// The tenant's name.
    pub tenant: String,
    /// The source it opens.
    pub source: String,
    /// The key.
    pub key: String,
    /// What to paste at the provider.
    pub addresses: Vec<Address>,
    /// What the customer is handed, if the source's file has a text for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onboarding: Option<String>,
    /// The number of the key that it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<i64>,
}

/// Makes a key.
pub(super) async fn create(
    context: &Context,
    tenant: &str,
    source: &str,
    description: &str,
    language: &str,
) -> anyhow::Result<CreatedKey> {
    let sources = sources_of(context)?;
    let table = sources.registry().table();
    let Some(compiled) = table.source(source) else { bail!("{}", no_source(sources, source)) };
    if !takes_api_keys(compiled) {
        bail!("the source `{source}` takes no API keys\nhint: its file would say `auth: {{ api_key: $.query.key }}`");
    }
    let owner = the_tenant(&context.store, tenant).await?;
    let (made, key) = api_keys::create(&context.store, &owner, source, description).await?;
    Ok(created(context, Some(compiled), made, &key, language))
}

/// Revokes a key and makes one for the same tenant, source and purpose. Works also while the source has no version that runs: a key
/// that has become known must not have to wait for a mended file.
pub(super) async fn rotate(context: &Context, id: i64, language: &str) -> anyhow::Result<CreatedKey> {
    let (made, key) = api_keys::rotate(&context.store, id).await?;
    let table = sources_of(context)?.registry().table();
    let created = created(context, table.source(&made.source).map(|source| &**source), made, &key, language);
    Ok(CreatedKey { replaces: Some(id), ..created })
}

/// Revokes a key.
pub(super) async fn revoke(store: &Store, id: i64) -> anyhow::Result<ApiKeySummary> {
    api_keys::revoke(store, id).await?;
    let keys = api_keys::list(store).await?;
    keys.iter().find(|key| key.id == id).map(ApiKeySummary::from).ok_or_else(|| anyhow!("there is no API key {id}"))
}

fn created(context: &Context, source: Option<&Source>, made: ApiKey, key: &Secret<String>, language: &str) -> CreatedKey {
    let integrations = context.store.integrations();
    let integration = match integrations.of_tenant(&made.source, made.tenant.id) {
        [one] => Some(one),
        _ => None,
    };
    let credentials = Credentials { key: Some(key), endpoint: integration.map(|one| &one.endpoint) };
    let addresses = source.map(|source| addresses(source, &context.public_url, credentials)).unwrap_or_default();
    let onboarding = source.and_then(|source| {
        let integration = integration.map(|one| &**one);
        let handed = Handed { source, tenant: &made.tenant.name, integration, key: Some(key), addresses: &addresses, language };
        onboarding_text::of_file(&handed)
    });
    CreatedKey {
        id: made.id,
        tenant: made.tenant.name,
        source: made.source,
        addresses,
        key: key.expose().clone(),
        onboarding,
        replaces: None,
    }
}

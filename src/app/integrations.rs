//! What operators ask for about integrations: fields checked against what the source's file declares, answers with the URL to hand
//! out and never a secret field's value.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::carried::Carried;
use super::integration_fields::{check_complete, check_given};
use super::onboarding::{Address, Credentials, addresses, takes_endpoint_ids};
use super::onboarding_text::{Handed, label, of_file_or_plain};
use super::operation::{Answer, Context, no_source, sources_of, the_tenant};
use crate::model::integration::{Integration, IntegrationSummary};
use crate::routes::source::Source;
use crate::steps::integration::FoundBy;
use crate::store::integrations::{self, FieldChanges, Fields};
use crate::store::lanes;
use crate::store::pools::{self, Attention};

/// What can be asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum IntegrationOperation {
    /// Adds one.
    Add {
        /// The tenant's name.
        tenant: String,
        /// The source's name.
        source: String,
        /// What it is, in words.
        description: String,
        /// Its fields.
        given: GivenFields,
    },
    /// All of them, revoked ones too.
    List {
        /// Only of this tenant.
        tenant: Option<String>,
        /// Only of this source.
        source: Option<String>,
    },
    /// One of them.
    Show {
        /// Its number.
        id: i64,
        /// Also what the customer is handed.
        onboarding: bool,
        /// In this language.
        language: String,
    },
    /// Changes fields of one.
    Set {
        /// Its number.
        id: i64,
        /// What it is, in words, if that changes.
        description: Option<String>,
        /// The fields that change.
        given: GivenFields,
        /// The fields that are taken away.
        remove: Vec<String>,
    },
    /// Gives one a new endpoint id.
    Rotate {
        /// Its number.
        id: i64,
    },
    /// Revokes one.
    Revoke {
        /// Its number.
        id: i64,
    },
}

/// Fields as an operator gives them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GivenFields {
    /// Open ones.
    pub open: BTreeMap<String, String>,
    /// Secret ones.
    pub secret: BTreeMap<String, Carried>,
}

/// An integration as it is shown.
#[derive(Serialize, Deserialize)]
pub struct IntegrationView {
    /// What is listed of it.
    #[serde(flatten)]
    pub summary: IntegrationSummary,
    /// What to paste at the provider; empty once it is revoked, and while the source has no version that runs.
    pub addresses: Vec<Address>,
    /// The fields that the source's file asks for.
    pub asks_for: Vec<FieldView>,
    /// What the customer is handed, when that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onboarding: Option<String>,
}

/// A field that the source's file asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FieldView {
    /// Its name.
    pub name: String,
    /// What it is called.
    pub label: String,
    /// Whether it is a secret.
    pub secret: bool,
    /// Whether it must be there.
    pub required: bool,
    /// Whether it comes along with each request.
    pub comes_along: bool,
}

impl IntegrationOperation {
    /// Whether it needs the route files.
    pub(super) fn needs_sources(&self) -> bool {
        !matches!(self, Self::List { .. } | Self::Revoke { .. })
    }
}

impl GivenFields {
    fn into_fields(self) -> Fields {
        let secret = self.secret.into_iter().map(|(name, value)| (name, value.secret())).collect();
        Fields { open: self.open, secret }
    }
}

/// Does it.
pub(super) async fn execute(context: &Context, operation: IntegrationOperation) -> anyhow::Result<Answer> {
    let store = &context.store;
    Ok(match operation {
        IntegrationOperation::Add { tenant, source, description, given } => {
            let added = add(context, &tenant, &source, &description, given).await?;
            lanes::resume_pool(store, &added.source, Some(&added.tenant)).await?;
            Answer::Integration(Box::new(view(context, &added, None)?))
        }
        IntegrationOperation::List { tenant, source } => {
            let all = integrations::list(store).await?;
            let wanted = |one: &&Integration| {
                tenant.as_ref().is_none_or(|name| one.tenant.name == *name)
                    && source.as_ref().is_none_or(|name| one.source == *name)
            };
            let attention = pools::needing_attention(store).await?;
            Answer::Integrations(all.iter().filter(wanted).map(|one| summary(one, &attention)).collect())
        }
        IntegrationOperation::Show { id, onboarding, language } => {
            let all = integrations::list(store).await?;
            let Some(found) = all.into_iter().find(|one| one.id == id) else { bail!("{}", no_integration(id)) };
            let mut view = view(context, &found, onboarding.then_some(language.as_str()))?;
            view.summary = summary(&found, &pools::needing_attention(store).await?);
            Answer::Integration(Box::new(view))
        }
        IntegrationOperation::Set { id, description, given, remove } => {
            let changed = set(context, id, description, given, remove).await?;
            lanes::resume_pool(store, &changed.source, Some(&changed.tenant)).await?;
            Answer::Integration(Box::new(view(context, &changed, None)?))
        }
        IntegrationOperation::Rotate { id } => {
            let rotated = integrations::rotate_endpoint(store, id).await?;
            Answer::Integration(Box::new(view(context, &rotated, None)?))
        }
        IntegrationOperation::Revoke { id } => {
            let revoked = integrations::revoke(store, id).await?;
            Answer::Integrations(vec![IntegrationSummary::from(&*revoked)])
        }
    })
}

/// What is listed of one; its work is its source's and tenant's.
fn summary(one: &Integration, attention: &[Attention]) -> IntegrationSummary {
    let is_its = |pool: &&Attention| pool.source == one.source && pool.tenant_id == one.tenant.id;
    let found = attention.iter().filter(|_| one.is_active()).find(is_its);
    IntegrationSummary { needs_attention: found.map(|pool| pool.reason.clone()), ..IntegrationSummary::from(one) }
}

fn no_integration(id: i64) -> String {
    format!("there is no integration {id}\nhint: `hooktable integrations list` shows them")
}

async fn add(
    context: &Context,
    tenant: &str,
    source: &str,
    description: &str,
    given: GivenFields,
) -> anyhow::Result<Arc<Integration>> {
    let compiled = the_source(context, source)?;
    if !compiled.integration().is_declared && !takes_endpoint_ids(&compiled) {
        bail!("the source `{source}` has no integrations\nhint: its file would say `integration: {{ fields: … }}`");
    }
    let owner = the_tenant(&context.store, tenant).await?;
    let fields = given.into_fields();
    check_given(&compiled, &fields, &[])?;
    check_complete(&compiled, &fields.open, &fields.secret)?;
    refuse_second(context, &compiled, owner.id)?;
    Ok(integrations::add(&context.store, &owner, source, description, fields, &unique(&compiled)).await?)
}

async fn set(
    context: &Context,
    id: i64,
    description: Option<String>,
    given: GivenFields,
    remove: Vec<String>,
) -> anyhow::Result<Arc<Integration>> {
    let Some(found) = context.store.integrations().by_id(id) else { bail!("{}", no_integration(id)) };
    let compiled = the_source(context, &found.source)?;
    let fields = given.into_fields();
    check_given(&compiled, &fields, &remove)?;
    let (mut open, mut secret) = (found.fields.clone(), found.secrets.clone());
    for name in &remove {
        if open.remove(name).is_none() && secret.remove(name).is_none() {
            bail!("integration {id} has no field `{name}`\nhint: `hooktable integrations show {id}` shows what it has");
        }
    }
    open.extend(fields.open.clone());
    secret.extend(fields.secret.clone());
    check_complete(&compiled, &open, &secret)?;
    let changes = FieldChanges { description, set: fields, remove };
    Ok(integrations::set_fields(&context.store, id, changes, &unique(&compiled)).await?)
}

fn the_source(context: &Context, name: &str) -> anyhow::Result<Arc<Source>> {
    let sources = sources_of(context)?;
    match sources.registry().table().source(name) {
        Some(source) => Ok(Arc::clone(source)),
        None => bail!("{}", no_source(sources, name)),
    }
}

/// What a request is told apart by.
fn unique(source: &Source) -> Vec<String> {
    match &source.integration().found {
        FoundBy::Fields(values) => values.iter().map(|(name, _)| name.clone()).collect(),
        FoundBy::Tenant | FoundBy::Endpoint(_) => Vec::new(),
    }
}

/// Where nothing but the tenant says which integration is meant, there can be only one.
fn refuse_second(context: &Context, source: &Source, tenant_id: i64) -> anyhow::Result<()> {
    let by_tenant = matches!(source.integration().found, FoundBy::Tenant) && !takes_endpoint_ids(source);
    let integrations = context.store.integrations();
    match integrations.of_tenant(&source.name, tenant_id) {
        [first, ..] if by_tenant => bail!(
            "`{}` has the integration {} of `{}` already, and its requests name nothing but the tenant\nhint: change that one with `hooktable integrations set {}`, or revoke it first",
            first.tenant.name,
            first.id,
            source.name,
            first.id
        ),
        _ => Ok(()),
    }
}

/// An integration with its addresses; with what the customer is handed when a language is given.
fn view(context: &Context, integration: &Integration, language: Option<&str>) -> anyhow::Result<IntegrationView> {
    let sources = sources_of(context)?;
    let table = sources.registry().table();
    let source = table.source(&integration.source);
    if language.is_some() && source.is_none() {
        bail!("{}", no_source(sources, &integration.source));
    }
    let credentials = Credentials { key: None, endpoint: Some(&integration.endpoint) };
    let open = source.filter(|_| integration.is_active());
    let addresses = open.map(|source| addresses(source, &context.public_url, credentials)).unwrap_or_default();
    let onboarding = language.zip(source).map(|(language, source)| {
        let tenant = &integration.tenant.name;
        of_file_or_plain(&Handed { source, tenant, integration: Some(integration), key: None, addresses: &addresses, language })
    });
    let asks_for = source.map(|source| asked_for(source, language.unwrap_or("en"))).unwrap_or_default();
    Ok(IntegrationView { summary: IntegrationSummary::from(integration), addresses, asks_for, onboarding })
}

fn asked_for(source: &Source, language: &str) -> Vec<FieldView> {
    let fields = source.integration().fields.iter().map(|field| FieldView {
        name: field.name.clone(),
        label: label(field, language).to_owned(),
        secret: field.secret,
        required: field.required,
        comes_along: field.from.is_some(),
    });
    fields.collect()
}

//! What operators ask for: one list of operations and one function that does them against a state, whether a running server
//! does it or a command that opened the state itself.

use std::sync::Arc;

use anyhow::{anyhow, bail};
use serde::{Deserialize, Serialize};

use super::carried::Carried;
use super::deliveries::{self, DeliveryView, Steered};
use super::integrations::{self, IntegrationOperation, IntegrationView};
use super::keys::{self, CreatedKey};
use super::retire::{Retired, retire};
use super::sending;
use super::source_operations::{self, Onboarding};
use super::source_waits::{self, SourceDetails};
use super::sources::Sources;
use super::users::{self, UserOperation};
use crate::config::diagnostic::closest;
use crate::http_client::client::HttpClient;
use crate::intake::rejected::{Rejected, RejectedRequest};
use crate::model::api_key::ApiKeySummary;
use crate::model::integration::IntegrationSummary;
use crate::model::record::{RecordState, RecordSummary};
use crate::model::tenant::Tenant;
use crate::model::user::UserSummary;
use crate::routes::registry::Status;
use crate::store::records::{Filter, Group, Matching, Replay};
use crate::store::rotation::rotate_master_key;
use crate::store::{Store, api_keys, records, tenants};

/// What can be asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
pub enum Operation {
    /// Who is serving, and where.
    About,
    /// Adds a tenant.
    AddTenant {
        /// Its name.
        name: String,
    },
    /// All tenants.
    ListTenants,
    /// Makes an API key.
    CreateKey {
        /// The tenant's name.
        tenant: String,
        /// The source's name.
        source: String,
        /// What it is for.
        description: String,
        /// The language of what the customer is handed.
        #[serde(default)]
        language: String,
    },
    /// All API keys, revoked ones too.
    ListKeys,
    /// Revokes an API key.
    RevokeKey {
        /// Its number.
        id: i64,
    },
    /// Revokes an API key and makes another one for the same purpose.
    RotateKey {
        /// Its number.
        id: i64,
        /// The language of what the customer is handed.
        #[serde(default)]
        language: String,
    },
    /// Something about integrations.
    Integrations(IntegrationOperation),
    /// Something about users of the portal.
    Users(UserOperation),
    /// Replaces the master key.
    RotateMasterKey {
        /// By this one; by a random one where it is kept in a file.
        new: Option<Carried>,
    },
    /// Records, newest first.
    ListDeliveries {
        /// Of this source.
        source: Option<String>,
        /// Of this tenant.
        tenant: Option<String>,
        /// In this state.
        state: Option<RecordState>,
        /// Of this event.
        event: Option<String>,
        /// Only with forwards that were given up on.
        #[serde(default)]
        dead_forwards: bool,
        /// The most to list.
        limit: usize,
    },
    /// Everything that may be seen of a delivery.
    ShowDelivery {
        /// Its id, or the beginning or end of it.
        id: String,
    },
    /// Asks for its records to run again.
    ReplayDelivery {
        /// Its id, or the beginning or end of it.
        id: String,
        /// Only this record.
        record: Option<u32>,
        /// Also those that took effect.
        apply_again: bool,
        /// Also where the lane has moved on.
        #[serde(default)]
        force: bool,
        /// The forwards that were given up on alone; with `apply_again` those of the records that run.
        #[serde(default)]
        forwards: bool,
    },
    /// Asks for all records that were given up on and fit to run again, or only counts them.
    ReplayMatching {
        /// Of this source.
        source: Option<String>,
        /// Of this tenant.
        tenant: Option<String>,
        /// Of this event.
        event: Option<String>,
        /// In this state.
        state: RecordState,
        /// Also where the lane has moved on.
        force: bool,
        /// Only counts.
        preview: bool,
    },
    /// Gives its open and dead records up.
    DiscardDelivery {
        /// Its id, or the beginning or end of it.
        id: String,
        /// Only this record.
        record: Option<u32>,
    },
    /// Makes a request ready to be sent.
    PrepareRequest(sending::Wanted),
    /// How every source is doing.
    ListSources,
    /// Opens the onboarding window of a source.
    OnboardSource {
        /// Its name.
        source: String,
    },
    /// What handshakes of a source have shown.
    ShowHandshakes {
        /// Its name.
        source: String,
    },
    /// What handshakes of a source have shown, and why its work waits.
    ShowSource {
        /// Its name.
        source: String,
    },
    /// The requests of a source that were refused lately.
    ListRejected {
        /// Its name.
        source: String,
    },
    /// Forgets a source that has no file.
    RetireSource {
        /// Its name.
        source: String,
        /// Also while records of it are open.
        force: bool,
    },
}

impl Operation {
    /// Whether it needs the route files.
    pub fn needs_sources(&self) -> bool {
        match self {
            Self::CreateKey { .. }
            | Self::RotateKey { .. }
            | Self::PrepareRequest(_)
            | Self::ListSources
            | Self::OnboardSource { .. }
            | Self::ShowHandshakes { .. }
            | Self::ShowSource { .. }
            | Self::RetireSource { .. } => true,
            Self::Integrations(operation) => operation.needs_sources(),
            _ => false,
        }
    }

    /// Whether it makes sense where there is no state yet.
    pub fn begins_a_state(&self) -> bool {
        matches!(self, Self::AddTenant { .. } | Self::ListSources | Self::Users(UserOperation::Add { .. }))
    }
}

/// What came of it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The server that answered, if one did.
    About(Option<About>),
    /// The tenant that was added.
    Tenant(Tenant),
    /// All tenants.
    Tenants(Vec<Tenant>),
    /// A new key.
    Key(CreatedKey),
    /// The key that was revoked.
    RevokedKey(ApiKeySummary),
    /// All keys.
    Keys(Vec<ApiKeySummary>),
    /// A request that is ready to be sent.
    Prepared(Box<sending::Prepared>),
    /// An integration.
    Integration(Box<IntegrationView>),
    /// Integrations.
    Integrations(Vec<IntegrationSummary>),
    /// A user.
    User(UserSummary),
    /// All users.
    Users(Vec<UserSummary>),
    /// The user who is removed.
    RemovedUser(String),
    /// What came of rotating the master key.
    RotatedMasterKey(RotatedMasterKey),
    /// Records.
    Deliveries(Vec<RecordSummary>),
    /// A delivery.
    Delivery(Box<DeliveryView>),
    /// What fits a filter, and how many records are replayed; none when they were only counted.
    Replayed {
        /// How many fitted, by source, tenant and event.
        groups: Vec<Group>,
        /// How many are replayed.
        asked: Option<u64>,
    },
    /// What is replayed, or was discarded.
    Steered(Steered),
    /// The sources.
    Sources(Vec<SourceView>),
    /// The window of a source and what was shown in it.
    Onboarding(Onboarding),
    /// A source.
    Source(Box<SourceDetails>),
    /// Requests that were refused.
    Rejected(Vec<RejectedRequest>),
    /// The source that is retired.
    Retired(Retired),
}

/// A server that runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct About {
    /// The process's number.
    pub process: u32,
    /// Where webhooks come to.
    pub intake: String,
    /// Where health and metrics are.
    pub admin: String,
}

/// What came of rotating the master key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RotatedMasterKey {
    /// How many data keys it wraps now.
    pub data_keys: u64,
    /// Whether an operator has to give it to the next start.
    pub was_given: bool,
}

/// How a source is doing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceView {
    /// Its name.
    pub source: String,
    /// `active`, `last_good`, `not_ready`.
    pub state: String,
    /// The path of its file.
    pub path: String,
    /// What is wrong.
    pub reason: Option<String>,
}

/// What operations are done with.
pub struct Context {
    /// The state.
    pub store: Store,
    /// The sources, where they were loaded.
    pub sources: Option<Arc<Sources>>,
    /// What senders reach the server by.
    pub public_url: String,
    /// The requests that were refused lately, where a server runs.
    pub rejected: Option<Arc<Rejected>>,
    /// The client that calls APIs, where a server runs.
    pub http: Option<Arc<HttpClient>>,
    /// The server, if one runs.
    pub about: Option<About>,
}

/// Does what was asked for.
pub async fn execute(context: &Context, operation: Operation) -> anyhow::Result<Answer> {
    let store = &context.store;
    Ok(match operation {
        Operation::About => Answer::About(context.about.clone()),
        Operation::AddTenant { name } => Answer::Tenant(tenants::add(store, &name).await?),
        Operation::ListTenants => Answer::Tenants(tenants::list(store).await?),
        Operation::CreateKey { tenant, source, description, language } => {
            Answer::Key(keys::create(context, &tenant, &source, &description, &language).await?)
        }
        Operation::ListKeys => Answer::Keys(api_keys::list(store).await?.iter().map(ApiKeySummary::from).collect()),
        Operation::RevokeKey { id } => Answer::RevokedKey(keys::revoke(store, id).await?),
        Operation::RotateKey { id, language } => Answer::Key(keys::rotate(context, id, &language).await?),
        Operation::Integrations(operation) => integrations::execute(context, operation).await?,
        Operation::Users(operation) => users::execute(store, operation).await?,
        Operation::RotateMasterKey { new } => {
            let rotated = rotate_master_key(store, new.map(Carried::secret)).await?;
            Answer::RotatedMasterKey(RotatedMasterKey { data_keys: rotated.data_keys, was_given: rotated.was_given })
        }
        Operation::ListDeliveries { source, tenant, state, event, dead_forwards, limit } => {
            let filter = Filter { source, tenant, state, event, delivery: None, dead_forwards, limit };
            Answer::Deliveries(records::list(store, &filter).await?)
        }
        Operation::ShowDelivery { id } => Answer::Delivery(Box::new(deliveries::show(store, &id).await?)),
        Operation::ReplayDelivery { id, record, apply_again, force, forwards } => {
            let replay = Replay { number: record, apply_again, force, forwards };
            Answer::Steered(deliveries::replay(store, &id, replay).await?)
        }
        Operation::ReplayMatching { source, tenant, event, state, force, preview } => {
            let matching = Matching { source, tenant, event, state, force };
            let groups = records::count_matching(store, &matching).await?;
            let asked = if preview { None } else { Some(records::ask_replay_matching(store, &matching).await?) };
            Answer::Replayed { groups, asked }
        }
        Operation::DiscardDelivery { id, record } => Answer::Steered(deliveries::discard(store, &id, record).await?),
        Operation::PrepareRequest(wanted) => Answer::Prepared(Box::new(sending::prepare(context, wanted).await?)),
        Operation::ListSources => Answer::Sources(source_views(sources_of(context)?)),
        Operation::OnboardSource { source } => Answer::Onboarding(source_operations::open_window(context, &source).await?),
        Operation::ShowHandshakes { source } => Answer::Onboarding(source_operations::show_handshakes(context, &source).await?),
        Operation::ShowSource { source } => Answer::Source(Box::new(source_waits::show(context, &source).await?)),
        Operation::ListRejected { source } => Answer::Rejected(source_operations::rejected(context, &source)?),
        Operation::RetireSource { source, force } => Answer::Retired(retire(store, sources_of(context)?, &source, force).await?),
    })
}

pub(super) fn sources_of(context: &Context) -> anyhow::Result<&Arc<Sources>> {
    context.sources.as_ref().ok_or_else(|| anyhow!("the route files were not loaded"))
}

/// The sources in the order of their names.
pub fn source_views(sources: &Sources) -> Vec<SourceView> {
    let view = |status: crate::routes::registry::SourceStatus| {
        let (state, reason) = match status.status {
            Status::Active => ("active", None),
            Status::LastGood { reason } => ("last_good", Some(reason)),
            Status::NotReady { reason } => ("not_ready", Some(reason)),
        };
        SourceView { source: status.name, state: state.to_owned(), path: status.path, reason }
    };
    sources.statuses().into_iter().map(view).collect()
}

/// That there is no source of this name, or none that runs, with what may be meant.
pub(super) fn no_source(sources: &Sources, name: &str) -> String {
    let known = source_views(sources);
    if let Some(broken) = known.iter().find(|view| view.source == name) {
        let reason = broken.reason.as_deref().unwrap_or("it is not loaded");
        return format!("the source `{name}` has no version that runs: {reason}\nhint: `hooktable check` shows where");
    }
    let names: Vec<&str> = known.iter().map(|view| view.source.as_str()).collect();
    let hint = match closest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "there is none yet; a source is a file in the folder of route files".to_owned(),
        None => format!("there is `{}`", names.join("`, `")),
    };
    format!("there is no source `{name}`\nhint: {hint}")
}

/// The tenant of this name, or what may be meant.
pub(super) async fn the_tenant(store: &Store, name: &str) -> anyhow::Result<Tenant> {
    if let Some(tenant) = tenants::find_by_name(store, name).await? {
        return Ok(tenant);
    }
    let known = tenants::list(store).await?;
    let hint = match closest(name, known.iter().map(|tenant| tenant.name.as_str())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("add it: `hooktable tenants add {name}`"),
    };
    bail!("there is no tenant `{name}`\nhint: {hint}");
}

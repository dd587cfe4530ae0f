//! A request made ready to be sent to a source: with the real secrets, the tenant's own integration, and an API key that was given or
//! is made for this sending. Sending it is the command line's.

use std::sync::Arc;

use anyhow::{anyhow, bail};
use serde::{Deserialize, Serialize};

use super::carried::Carried;
use super::operation::{Context, no_source, sources_of, the_tenant};
use crate::auth::scheme::Auth;
use crate::intake::address::Addresses;
use crate::model::integration::Integration;
use crate::model::tenant::Tenant;
use crate::rehearsal::equip::{Age, Equipped, Sender, equip};
use crate::rehearsal::send::{Credential, WebhookBody, WebhookRequest, credentials_of, scheme_for};
use crate::routes::source::{Source, TenantRule};
use crate::secret::MASK;
use crate::steps::integration::IntegrationRule;
use crate::store::{integrations, tenants};

/// What a key that is made for one sending is for.
const PURPOSE: &str = "hooktable send";

/// What is to be sent, and on whose behalf.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wanted {
    /// The source's name.
    pub source: String,
    /// The tenant's name; the only one there is by default.
    pub tenant: Option<String>,
    /// The number of the integration, where the tenant has several.
    pub integration: Option<i64>,
    /// The API key.
    pub key: Option<Carried>,
    /// Whether an API key may be made.
    pub issue: bool,
    /// The request without credentials.
    pub request: Draft,
}

/// A request as it is carried from a command to the server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Draft {
    /// `POST`, …
    pub method: String,
    /// Without the query; `:names` are filled in.
    pub path: String,
    /// Not encoded.
    pub query: Vec<(String, String)>,
    /// Names as on the wire.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// A request that is ready.
#[derive(Serialize, Deserialize)]
pub struct Prepared {
    /// `POST`, …
    pub method: String,
    /// Path and query.
    pub target: Carried,
    /// The same with credentials masked.
    pub shown: String,
    /// Names and values.
    pub headers: Vec<(String, Carried)>,
    /// The body.
    pub body: Carried,
    /// The number of the API key that was made, to be revoked when the answer is there.
    pub issued: Option<i64>,
    /// The tenant that it is sent for.
    pub tenant: Option<String>,
}

/// Makes it ready.
pub(super) async fn prepare(context: &Context, wanted: Wanted) -> anyhow::Result<Prepared> {
    let sources = sources_of(context)?;
    let table = sources.registry().table();
    let Some(source) = table.source(&wanted.source) else { bail!("{}", no_source(sources, &wanted.source)) };
    let mut request = WebhookRequest::from(wanted.request);
    let (scheme, _) = scheme_for(source, &request);
    let tenant = tenant_of(context, source, scheme, wanted.tenant.as_deref()).await?;
    let integration = integration_of(context, source, tenant.as_ref(), wanted.integration)?;
    let credentials = credentials(source, scheme, integration.as_deref())?;
    let takes_key = credentials.iter().any(|credential| matches!(credential, Credential::ApiKey(_)));
    if takes_key && wanted.key.is_none() && !wanted.issue {
        bail!(
            "the source `{}` wants an API key, and keys are shown only when they are made\nhint: `--key-env VARIABLE` takes one from the environment; `--issue` makes one and revokes it afterwards",
            source.name
        );
    }
    make_places(source, &credentials, &mut request);
    let key = wanted.key.map(Carried::secret);
    let sender = Sender {
        store: &context.store,
        source,
        tenant: tenant.as_ref(),
        integration: integration.as_deref(),
        api_key: key.as_ref(),
        purpose: PURPOSE,
        claims: &serde_json::Map::new(),
        addresses: &Addresses { public_url: Some(context.public_url.clone()), ..Addresses::default() },
        age: Age::Fresh,
    };
    let equipped = equip(request, &credentials, &sender).await;
    let equipped = equipped.map_err(|reason| anyhow!("credentials cannot be added for `{}`: {reason}", source.name))?;
    Ok(prepared(equipped, tenant))
}

fn prepared(equipped: Equipped, tenant: Option<Tenant>) -> Prepared {
    let Equipped { request, placed, issued } = equipped;
    let target = request.target();
    let encoded = |value: &str| form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>();
    let shown = placed
        .iter()
        .fold(target.clone(), |shown, (_, value)| shown.replace(encoded(value).as_str(), MASK).replace(value.as_str(), MASK));
    let carried = |text: String| Carried::from(crate::secret::Secret::new(text));
    Prepared {
        method: request.method.clone(),
        shown,
        target: carried(target),
        headers: request.all_headers().into_iter().map(|(name, value)| (name, carried(value))).collect(),
        body: carried(String::from_utf8_lossy(&request.bytes()).into_owned()),
        issued,
        tenant: tenant.map(|tenant| tenant.name),
    }
}

/// The tenant that it is sent for; the only one there is where none is named.
async fn tenant_of(context: &Context, source: &Source, scheme: &Auth, name: Option<&str>) -> anyhow::Result<Option<Tenant>> {
    let needs_one = scheme.names_tenant() || matches!(source.tenant, TenantRule::Caller | TenantRule::Record);
    match (name, &source.tenant) {
        (Some(name), TenantRule::Named(own)) if name != own => {
            bail!("the source `{}` belongs to the tenant `{own}`", source.name)
        }
        (Some(name), _) => Ok(Some(the_tenant(&context.store, name).await?)),
        (None, TenantRule::Named(own)) => Ok(tenants::find_by_name(&context.store, own).await?),
        (None, _) if !needs_one => Ok(None),
        (None, _) => {
            let all = tenants::list(&context.store).await?;
            let names: Vec<&str> = all.iter().map(|tenant| tenant.name.as_str()).collect();
            match names.as_slice() {
                [_] => Ok(all.into_iter().next()),
                [] => bail!("the source `{}` needs a tenant, and there is none\nhint: `hooktable tenants add NAME`", source.name),
                _ => bail!("on whose behalf is it sent?\nhint: `--tenant`, one of `{}`", names.join("`, `")),
            }
        }
    }
}

fn integration_of(
    context: &Context,
    source: &Source,
    tenant: Option<&Tenant>,
    id: Option<i64>,
) -> anyhow::Result<Option<Arc<Integration>>> {
    if let Some(id) = id {
        let found = integrations::find(&context.store, id)?;
        if found.source != source.name || tenant.is_some_and(|tenant| tenant.id != found.tenant.id) {
            bail!("integration {id} is of the tenant `{}` and the source `{}`", found.tenant.name, found.source);
        }
        return Ok(Some(found));
    }
    let Some(tenant) = tenant else { return Ok(None) };
    let snapshot = context.store.integrations();
    match snapshot.of_tenant(&source.name, tenant.id) {
        [one] => Ok(Some(Arc::clone(one))),
        [] if is_needed(source) => bail!(
            "the tenant `{}` has no integration of `{}`\nhint: `hooktable integrations add {} {}`",
            tenant.name,
            source.name,
            tenant.name,
            source.name
        ),
        [] => Ok(None),
        many => {
            let ids: Vec<String> = many.iter().map(|one| one.id.to_string()).collect();
            bail!("the tenant `{}` has several of them\nhint: `--integration`, one of {}", tenant.name, ids.join(", "))
        }
    }
}

/// Whether nothing of this source can be sent without an integration.
fn is_needed(source: &Source) -> bool {
    let rule: &IntegrationRule = source.integration();
    let by_scheme = source.auth.leaves().into_iter().any(|scheme| scheme.endpoint_place().is_some());
    by_scheme
        || (rule.is_declared && (rule.names_tenant() || rule.fields.iter().any(|field| field.required && field.from.is_none())))
}

fn credentials(source: &Source, scheme: &Auth, integration: Option<&Integration>) -> anyhow::Result<Vec<Credential>> {
    if scheme.leaves().into_iter().any(|leaf| matches!(leaf, Auth::Jwt(_)) && leaf.secret().is_none()) {
        bail!("only its issuer can make the tokens that `{}` asks for", source.name);
    }
    let fields: Vec<(String, String)> = integration.map_or_else(Vec::new, |integration| {
        let open = integration.fields.iter().map(|(name, value)| (name.clone(), value.clone()));
        let secret = integration.secrets.iter().map(|(name, value)| (name.clone(), value.expose().clone()));
        open.chain(secret).collect()
    });
    let credentials = credentials_of(source, scheme, None, &fields);
    credentials.map_err(|reason| anyhow!("credentials cannot be added for `{}`: {reason}", source.name))
}

/// Puts the names of path parameters back where credentials go; a sample has somebody's in their place.
fn make_places(source: &Source, credentials: &[Credential], request: &mut WebhookRequest) {
    let pattern = source.receive.path_text();
    let Some(params) = source.receive.path_parameters(&request.path) else { return };
    let is_credential = |name: &str| {
        credentials.iter().any(|credential| match credential {
            Credential::Value(place, _) | Credential::ApiKey(place) | Credential::Endpoint(place) => {
                matches!(place.as_slice(), [block, known] if block == "params" && known == name)
            }
            _ => false,
        })
    };
    let filled = params.iter().filter(|(name, _)| !is_credential(name));
    request.path = filled.fold(pattern, |path, (name, value)| path.replace(&format!("/:{name}"), &format!("/{value}")));
}

impl From<Draft> for WebhookRequest {
    fn from(draft: Draft) -> Self {
        let body = match serde_json::from_str(&draft.body) {
            Ok(json) => WebhookBody::Json(json),
            Err(_) if draft.body.is_empty() => WebhookBody::Empty,
            Err(_) => WebhookBody::Text(draft.body),
        };
        Self { method: draft.method, path: draft.path, query: draft.query, headers: draft.headers, body, client: None }
    }
}

//! `integration:`: what each customer's set-up of a source holds, how a record finds the one it is for, and what that adds to it. A
//! field with `from` comes along with the request and wins over the stored one.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::integration_options::{FieldOptions, IntegrationOptions, Label};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::report_expected_hint;
use crate::config::source::{Span, Spanned};
use crate::expr::convert::scalar_text;
use crate::expr::reads::Reads;
use crate::expr::scope::{Scope, SecretValues};
use crate::expr::template::{Context, Engine};
use crate::expr::value::{Compiler, Value};
use crate::model::caller::StoredCaller;
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};
use crate::model::integration::{Integration, Integrations};
use crate::secret::Secret;

/// The compiled block.
#[derive(Clone, Debug, Default)]
pub struct IntegrationRule {
    /// How the integration of a record is found.
    pub found: FoundBy,
    /// What it holds.
    pub fields: Vec<Field>,
    /// Whether the file has the block at all.
    pub is_declared: bool,
}

/// How the integration of a record is found.
#[derive(Clone, Debug, Default)]
pub enum FoundBy {
    /// It is the tenant's one integration of the source.
    #[default]
    Tenant,
    /// By the endpoint id that stands here.
    Endpoint(Value),
    /// By these open fields, record by record.
    Fields(Vec<(String, Value)>),
}

/// A compiled field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it is called when it is asked for.
    pub label: Option<Label>,
    /// Where it is found, for the person who is asked.
    pub help: Option<String>,
    /// Whether it is a secret.
    pub secret: bool,
    /// Whether it must be there.
    pub required: bool,
    /// Where in the request it comes along, if it does.
    pub from: Option<Value>,
    /// Where its name stands.
    pub span: Span,
}

/// What the values of the block may look at.
#[derive(Clone, Copy)]
pub struct Scopes<'a> {
    /// A request before its sender is verified.
    pub request: &'a Scope,
    /// A record that is decoded and split.
    pub decoded: &'a Scope,
}

/// Compiles the block. Secret fields and entries of `secrets` share one set of names.
pub fn compile(
    options: Option<&IntegrationOptions>,
    secrets: &[&Spanned<String>],
    engine: &Engine,
    scopes: Scopes<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<IntegrationRule> {
    let Some(options) = options else { return Some(IntegrationRule::default()) };
    let compiler = Compiler { engine, scope: scopes.decoded };
    let found = compile_found(options, engine, scopes, diagnostics);
    let fields = options.fields.entries.iter().map(|(name, field)| compile_field(name, field, secrets, &compiler, diagnostics));
    let fields = fields.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>();
    Some(IntegrationRule { found: found?, fields: fields?, is_declared: true })
}

fn compile_found(
    options: &IntegrationOptions,
    engine: &Engine,
    scopes: Scopes<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<FoundBy> {
    if let (Some(is), false) = (&options.is, options.r#where.is_empty()) {
        let message = "an integration is found by its id (`is`) or by its fields (`where`); found both";
        let related = options.r#where.span.unwrap_or(options.span);
        diagnostics.report(Diagnostic::error("one-of", is.span, message).related(related, "the other one").hint("keep one"));
    }
    if let Some(is) = &options.is {
        let value = Value::compile_text(is, &Compiler { engine, scope: scopes.request }, diagnostics)?;
        if matches!(value, Value::Literal(_)) {
            let message = "the endpoint id is a fixed text here, not a place in the request";
            diagnostics.report(
                Diagnostic::error("auth-not-a-path", is.span, message)
                    .hint("such as `$.params.integration` with `receive: { path: /in/NAME/:integration }`"),
            );
        }
        return Some(FoundBy::Endpoint(value));
    }
    if options.r#where.is_empty() {
        return Some(FoundBy::Tenant);
    }
    let compiler = Compiler { engine, scope: scopes.decoded };
    let values = options.r#where.entries.iter().map(|(name, node)| {
        check_found_by(name, options, diagnostics);
        Some((name.value.clone(), Value::compile_text(node, &compiler, diagnostics)?))
    });
    values.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>().map(FoundBy::Fields)
}

/// What integrations are found by is an open field that is stored.
fn check_found_by(name: &Spanned<String>, options: &IntegrationOptions, diagnostics: &mut Diagnostics) {
    let known = options.fields.names();
    match options.fields.get(&name.value) {
        None => diagnostics.report(
            Diagnostic::error("unknown-option", name.span, format!("the integration has no field `{}`", name.value))
                .did_you_mean(&name.value, known, name.span),
        ),
        Some(field) if field.secret == Some(true) || field.from.is_some() => {
            let what = if field.from.is_some() { "comes along with the request" } else { "is a secret" };
            let message = format!("an integration cannot be found by `{}`, which {what}", name.value);
            let hint = "find it by a field that is open and stored, or by its endpoint id: `is: $.params.integration`";
            diagnostics.report(Diagnostic::error("misplaced-option", name.span, message).hint(hint));
        }
        Some(_) => {}
    }
}

fn compile_field(
    name: &Spanned<String>,
    field: &FieldOptions,
    secrets: &[&Spanned<String>],
    compiler: &Compiler<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Field> {
    let secret = field.secret.unwrap_or(false);
    if secret && let Some(other) = secrets.iter().find(|other| other.value == name.value) {
        let message = format!("`{}` names both a secret and a secret field", name.value);
        diagnostics.report(
            Diagnostic::error("duplicate-secret", name.span, message)
                .related(other.span, "the secret")
                .hint("rename one of them"),
        );
    }
    if name.value == "id" {
        let message = "`integration.id` is the number of the integration; a field cannot take its name";
        diagnostics.report(Diagnostic::error("name-taken", name.span, message).hint("give the field another name"));
    }
    let from = match &field.from {
        Some(node) => {
            let from = Value::compile(node, compiler, diagnostics)?;
            if secret && from.as_path().and_then(crate::expr::jsonpath::Path::place).is_none() {
                let hint = "such as `$.body.token`: only there can it be masked";
                report_expected_hint("a path to one place, as the field is secret", node, hint, diagnostics);
            }
            Some(from)
        }
        None => None,
    };
    Some(Field {
        name: name.value.clone(),
        label: field.label.clone(),
        help: field.help.clone(),
        secret,
        required: field.required.unwrap_or(true),
        from,
        span: name.span,
    })
}

impl IntegrationRule {
    /// The integration that a request is for, as far as that can be told before its sender is verified. `tenant_id` is that of the
    /// tenant that the file names.
    pub fn before_verification(
        &self,
        document: &EventDocument,
        source: &str,
        tenant_id: Option<i64>,
        integrations: &Integrations,
    ) -> Option<Arc<Integration>> {
        match &self.found {
            FoundBy::Endpoint(at) => {
                let presented = at.text(Context::from(document)).unwrap_or_default();
                integrations.by_endpoint(source, &presented)
            }
            FoundBy::Tenant => match integrations.of_tenant(source, tenant_id?) {
                [one] => Some(Arc::clone(one)),
                _ => None,
            },
            FoundBy::Fields(_) => None,
        }
    }

    /// The integration that a record is for.
    pub fn of_record(
        &self,
        document: &EventDocument,
        source: &str,
        caller: &StoredCaller,
        integrations: &Integrations,
    ) -> Result<Option<Arc<Integration>>, Failure> {
        let fail = |reason: String| Failure::permanent(Step::Admission, reason);
        if !self.is_declared {
            return Ok(None);
        }
        let found = match (&self.found, caller.integration, &caller.tenant) {
            (FoundBy::Fields(wanted), _, _) => Some(by_fields(wanted, document, source, integrations)?),
            (_, Some(id), _) => match integrations.by_id(id) {
                Some(one) if one.is_active() => Some(one),
                Some(_) => return Err(fail(format!("the integration {id} was revoked"))),
                None => return Err(fail(format!("there is no integration {id} any more"))),
            },
            (_, None, Some(tenant)) => match integrations.of_tenant(source, tenant.id) {
                [] => None,
                [one] => Some(Arc::clone(one)),
                _ if self.fields.iter().all(|field| field.from.is_some()) => None,
                several => {
                    let count = several.len();
                    return Err(fail(format!("the tenant has {count} integrations of this source, and nothing says which one")));
                }
            },
            (_, None, None) => None,
        };
        match (&found, &caller.tenant) {
            (Some(one), _) if one.source != source => Err(fail(format!("the integration {} is of another source", one.id))),
            (Some(one), Some(tenant)) if one.tenant != *tenant => {
                Err(fail(format!("the integration {} belongs to another tenant than the sender", one.id)))
            }
            _ => Ok(found),
        }
    }

    /// Whether a request brought a secret along that goes before the stored one.
    pub fn brings_secrets(&self, document: &EventDocument) -> bool {
        let brings = |from: &Value| matches!(from.evaluate(Context::from(document)), Ok(Some(value)) if !value.is_null());
        self.fields.iter().filter(|field| field.secret).any(|field| field.from.as_ref().is_some_and(brings))
    }

    /// What the event document has as `integration`: the id and the fields that are no secrets.
    pub fn open_part(&self, document: &EventDocument, integration: Option<&Integration>) -> Result<Option<Json>, Failure> {
        if !self.is_declared {
            return Ok(None);
        }
        let mut open = Map::new();
        if let Some(integration) = integration {
            open.insert("id".to_owned(), json!(integration.id));
        }
        for field in self.fields.iter().filter(|field| !field.secret) {
            let came_along = match &field.from {
                Some(from) => from.evaluate(Context::from(document)).map_err(|error| field.failure(&error.0))?,
                None => None,
            };
            let stored = || integration.and_then(|integration| integration.fields.get(&field.name)).map(|text| json!(text));
            match came_along.filter(|value| !value.is_null()).or_else(stored) {
                Some(value) => drop(open.insert(field.name.clone(), value)),
                None if field.required => return Err(field.missing(integration)),
                None => {}
            }
        }
        Ok((!open.is_empty()).then_some(Json::Object(open)))
    }

    /// Adds the secret fields to what may go out for a record.
    pub fn add_secrets(
        &self,
        document: &EventDocument,
        integration: Option<&Integration>,
        secrets: &mut SecretValues,
    ) -> Result<(), Failure> {
        for field in self.fields.iter().filter(|field| field.secret) {
            let came_along = field.from.as_ref().and_then(|from| from.evaluate(Context::from(document)).ok().flatten());
            let came_along = came_along.as_ref().and_then(scalar_text).filter(|text| !text.is_empty()).map(Secret::new);
            let stored = || integration.and_then(|integration| integration.secrets.get(&field.name)).cloned();
            match came_along.or_else(stored) {
                Some(value) => drop(secrets.insert(field.name.clone(), value)),
                None if field.required => return Err(field.missing(integration)),
                None => {}
            }
        }
        Ok(())
    }

    /// Whether an integration says which tenant a request or a record is for.
    pub fn names_tenant(&self) -> bool {
        !matches!(self.found, FoundBy::Tenant)
    }

    /// Whether a request names its integration by the endpoint id.
    pub fn is_found_by_id(&self) -> bool {
        matches!(self.found, FoundBy::Endpoint(_))
    }

    /// The names of the open fields by which integrations are found.
    pub fn where_fields(&self) -> Vec<&str> {
        match &self.found {
            FoundBy::Fields(wanted) => wanted.iter().map(|(name, _)| name.as_str()).collect(),
            FoundBy::Tenant | FoundBy::Endpoint(_) => Vec::new(),
        }
    }

    /// Where a sender puts the endpoint id, for the person who hands out URLs.
    pub fn endpoint_place(&self) -> Option<Vec<String>> {
        match &self.found {
            FoundBy::Endpoint(at) => at.as_path().and_then(crate::expr::jsonpath::Path::place),
            FoundBy::Tenant | FoundBy::Fields(_) => None,
        }
    }

    /// Adds the places that must be readable to find the integration before the sender is verified.
    pub fn add_reads_before_verification(&self, engine: &Engine, reads: &mut Reads) {
        if let FoundBy::Endpoint(at) = &self.found {
            at.add_reads(engine, reads);
        }
    }

    /// Adds the places whose content is secret: the endpoint id and the secret fields that come along.
    pub fn add_secret_places(&self, engine: &Engine, reads: &mut Reads) {
        self.add_reads_before_verification(engine, reads);
        let secret = self.fields.iter().filter(|field| field.secret);
        secret.filter_map(|field| field.from.as_ref()).for_each(|from| from.add_reads(engine, reads));
    }

    /// Adds everything of a delivery that decides what a record's integration is and holds.
    pub fn add_reads(&self, engine: &Engine, reads: &mut Reads) {
        if let FoundBy::Fields(wanted) = &self.found {
            wanted.iter().for_each(|(_, value)| value.add_reads(engine, reads));
        }
        self.fields.iter().filter_map(|field| field.from.as_ref()).for_each(|from| from.add_reads(engine, reads));
    }
}

fn by_fields(
    wanted: &[(String, Value)],
    document: &EventDocument,
    source: &str,
    integrations: &Integrations,
) -> Result<Arc<Integration>, Failure> {
    let fail = |reason: String| Failure::permanent(Step::Admission, reason);
    let mut values = Vec::with_capacity(wanted.len());
    for (name, value) in wanted {
        let text = value.text(Context::from(document)).ok().filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| fail(format!("`integration.where`: nothing stands at `{}`", value.origin())))?;
        values.push((name.clone(), text));
    }
    let shown: Vec<String> = values.iter().map(|(name, value)| format!("`{name}` = `{value}`")).collect();
    let shown = shown.join(" and ");
    match integrations.by_fields(source, &values) {
        Ok(Some(one)) => Ok(one),
        Ok(None) => Err(fail(format!("no active integration of `{source}` has {shown}"))),
        Err(ambiguous) => Err(fail(format!("{ambiguous}: {shown}"))),
    }
}

impl Field {
    fn failure(&self, reason: &str) -> Failure {
        Failure::permanent(Step::Admission, format!("the integration's field `{}`: {reason}", self.name))
    }

    fn missing(&self, integration: Option<&Integration>) -> Failure {
        self.failure(&match (&self.from, integration) {
            (Some(from), _) => format!("nothing at `{}`", from.origin()),
            (None, Some(integration)) => format!("the integration {} does not hold it", integration.id),
            (None, None) => "there is no integration that holds it".to_owned(),
        })
    }
}

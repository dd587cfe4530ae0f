//! One call under `enrich`, compiled: which request it makes, what it takes of the answer, and what it means that there is none.
//! How it is made is `ask`'s business.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value as Json, json};

use super::answer;
use super::api::{Absent, Api};
pub use super::call_options::CallForm;
use super::call_options::CallOptions;
use super::find::{self, Find};
use super::pages::{self, Pages};
use super::pipeline::RunContext;
use super::request::{self, Filled, Request, absolute, mapping};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::source::{Span, Spanned};
use crate::config::units::Rate;
use crate::expr::reads::Reads;
use crate::expr::scope::Scope;
use crate::expr::template::{Context, Engine};
use crate::expr::value::{Compiler, Condition, Value};
use crate::http_client;
use crate::http_client::api::{CacheRule, RetryRule, StatusPattern};
use crate::model::event::EventDocument;
use crate::model::failure::Failure;

/// A compiled call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The name its result has in the event document.
    pub name: String,
    pub(super) api: Arc<Api>,
    pub(super) request: Request,
    pub(super) each: Option<Each>,
    pub(super) when: Option<Condition>,
    /// Whether `when` is asked for each item.
    pub(super) when_each: bool,
    pub(super) pages: Option<Pages>,
    pub(super) find: Option<Find>,
    take: Option<Value>,
    pub(super) absent: Absent,
    accept: Vec<StatusPattern>,
    cache: Option<CacheRule>,
    /// The name of the budget, which all of a tenant's calls of the file share, and its limits.
    own_limits: Option<(String, Vec<Rate>)>,
    timeout: Duration,
    retry: RetryRule,
    /// What it looks at.
    pub reads: Reads,
    /// Whether it reads only other answers and constants, not the delivery.
    pub reference: bool,
}

/// What a call is made for once and again.
#[derive(Clone, Debug)]
pub(super) struct Each {
    /// The name of an item.
    pub(super) name: String,
    pub(super) list: Value,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum CallEnd {
    /// What was taken of the answer.
    Result(Json),
    /// Its `when` did not hold: the name stays unset.
    Skipped,
    /// The thing no longer exists.
    Gone,
    /// Nothing is to be done, because the provider has no such thing.
    Ignore,
}

/// Compiles one. `scope` has the names of the other calls too.
pub fn compile(
    name: &Spanned<String>,
    form: &CallForm,
    apis: Option<&[Arc<Api>]>,
    engine: &Engine,
    scope: &Scope,
    diagnostics: &mut Diagnostics,
) -> Option<Call> {
    let options = &form.0;
    let api = apis.and_then(|apis| choose_api(options.api.as_ref(), options.head, apis, diagnostics));
    let has_session = api.as_ref().is_none_or(|api| api.session.is_some());
    let each = each(options, &Compiler { engine, scope }, diagnostics);
    let item = options.each.entries.first().map(|(name, _)| name.value.as_str());
    let items = scope.with(item.into_iter().flat_map(|name| [name, "position"]));
    let sent = items.with(has_session.then_some("session"));
    let written = request::Written {
        what: format!("the call `{}`", name.value),
        span: name.span,
        urls: &[(Method::GET, &options.get), (Method::POST, &options.post)],
        query: &options.query,
        headers: &options.headers,
        bodies: form.bodies(),
    };
    let request = request::compile(&written, &Compiler { engine, scope: &sent }, diagnostics);
    let when = options.when.as_ref().map(|node| Condition::compile(node, &Compiler { engine, scope: &items }, diagnostics));
    let pages = options.pages.as_ref().map(|pages| pages::compile(pages, engine, diagnostics));
    let find = options.find.as_ref().map(|find| find::compile(find, engine, &items, diagnostics));
    refuse_without_effect(options, diagnostics);
    let (api, request, each) = (api?, request?, each?);
    let take_scope = Scope::new(["answer"], "`take`");
    let take = options.take.as_ref().or(api.take.as_ref());
    let take = take.map(|node| Value::compile(node, &Compiler { engine, scope: &take_scope }, diagnostics));
    let when = when.map_or(Some(None), |when| when.map(Some))?;
    let budget = options.budget.as_ref().map_or_else(|| format!("{}#{}", api.name, name.value), |budget| budget.value.clone());
    let mut call = Call {
        name: name.value.clone(),
        request,
        when_each: when.as_ref().is_some_and(|when| reads_item(when, each.as_ref(), engine)),
        absent: absent(options, &api, diagnostics)?,
        each,
        when,
        pages: pages.map_or(Some(None), |pages| pages.map(Some))?,
        find: find.map_or(Some(None), |find| find.map(Some))?,
        take: take.map_or(Some(None), |take| take.map(Some))?,
        accept: if options.accept.is_empty() { api.accept.clone() } else { options.accept.clone() },
        cache: options.cache.or(api.cache),
        own_limits: (!options.limits.is_empty()).then(|| (budget, options.limits.clone())),
        timeout: options.timeout.unwrap_or(api.timeout),
        retry: options.retry.as_ref().map_or_else(|| api.retry.clone(), |retry| retry.0.rule()),
        reads: Reads::default(),
        reference: false,
        api,
    };
    call.reads = call.collect_reads(engine);
    Some(call)
}

fn each(options: &CallOptions, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Option<Each>> {
    match options.each.entries.as_slice() {
        [] => Some(None),
        [(name, node)] => {
            let list = Value::compile(node, compiler, diagnostics)?;
            if matches!(list, Value::Literal(_) | Value::Map(_)) {
                let hint = "such as `each: { line: $.order.lines }`";
                crate::config::options::report_expected_hint("a list, most often a path to one", node, hint, diagnostics);
                return None;
            }
            Some(Some(Each { name: name.value.clone(), list }))
        }
        [_, (second, _), ..] => {
            let message = "`each` has one list; found several";
            diagnostics.report(Diagnostic::error("one-of", second.span, message).hint("make another call for the other list"));
            None
        }
    }
}

/// One missing item says nothing about the record's own thing, so `gone` and `ignore` cannot be meant for it.
fn absent(options: &CallOptions, api: &Api, diagnostics: &mut Diagnostics) -> Option<Absent> {
    let whole = |absent: &Absent| matches!(absent, Absent::Gone | Absent::Ignore);
    match (options.absent, options.each.span) {
        (Some(own), Some(span)) if whole(&own) => {
            let message =
                "a call for `each` item cannot say `absent: gone` or `ignore`: one missing item says nothing of the others";
            diagnostics.report(Diagnostic::error("absent-in-each", span, message).hint("write `absent: null` or `absent: fail`"));
            None
        }
        (Some(own), _) => Some(own),
        (None, Some(_)) if whole(&api.absent) => Some(Absent::Fail),
        (None, _) => Some(api.absent),
    }
}

fn refuse_without_effect(options: &CallOptions, diagnostics: &mut Diagnostics) {
    if let (Some(find), Some(take)) = (&options.find, &options.take) {
        diagnostics.report(
            Diagnostic::error("one-of", take.head(), "`find` says what is taken; `take` has no meaning beside it")
                .related(find.head, "found here")
                .hint("keep one of them"),
        );
    }
    if let Some(budget) = options.budget.as_ref().filter(|_| options.limits.is_empty()) {
        let message = format!("`budget: {}` is what `limits` are taken out of, and this call has none", budget.value);
        let hint = "write the same `limits` in each call that shares it, or give the api the budget";
        diagnostics.report(Diagnostic::error("misplaced-option", budget.span, message).hint(hint));
    }
}

fn reads_item(when: &Condition, each: Option<&Each>, engine: &Engine) -> bool {
    let mut reads = Reads::default();
    when.add_reads(engine, &mut reads);
    each.is_some_and(|each| reads.reads_name(&each.name) || reads.reads_name("position"))
}

/// The api that is named, or the only one.
pub(super) fn choose_api(
    name: Option<&Spanned<String>>,
    place: Span,
    apis: &[Arc<Api>],
    diagnostics: &mut Diagnostics,
) -> Option<Arc<Api>> {
    match (name, apis) {
        (Some(name), _) => {
            let found = apis.iter().find(|api| api.name == name.value).cloned();
            if found.is_none() {
                let diagnostic = Diagnostic::error("unknown-api", name.span, format!("there is no api `{}`", name.value));
                let known = apis.iter().map(|api| api.name.as_str());
                let diagnostic = diagnostic.did_you_mean(&name.value, known, name.span);
                diagnostics.report(match (&diagnostic.hint, apis) {
                    (Some(_), _) => diagnostic,
                    (None, []) => diagnostic.hint("declare it under `apis:` with its `base`"),
                    (None, apis) => diagnostic.hint(format!("there is {}", listed(apis))),
                });
            }
            found
        }
        (None, [api]) => Some(Arc::clone(api)),
        (None, []) => {
            let message = "there is no api to call";
            diagnostics.report(Diagnostic::error("unknown-api", place, message).hint("declare it under `apis:` with its `base`"));
            None
        }
        (None, several) => {
            let message = format!("there are several apis, {}; the call does not say which", listed(several));
            diagnostics.report(
                Diagnostic::error("missing-option", place, message)
                    .hint(format!("say it: `{{ api: {}, get: … }}`", several[0].name)),
            );
            None
        }
    }
}

fn listed(apis: &[Arc<Api>]) -> String {
    apis.iter().map(|api| format!("`{}`", api.name)).collect::<Vec<_>>().join(", ")
}

impl Call {
    fn collect_reads(&self, engine: &Engine) -> Reads {
        let mut all = Reads::default();
        self.request.add_reads(engine, &mut all);
        self.api.headers.iter().for_each(|(_, value)| value.add_reads(engine, &mut all));
        self.api.session.iter().for_each(|session| session.add_reads(engine, &mut all));
        self.when.iter().for_each(|when| when.add_reads(engine, &mut all));
        self.find.iter().for_each(|find| find.add_reads(engine, &mut all));
        self.each.iter().for_each(|each| each.list.add_reads(engine, &mut all));
        let item = self.each.as_ref().map(|each| each.name.as_str());
        let own = |name: &str| {
            ["it", "answer", "session"].contains(&name) || item.is_some_and(|item| [item, "position"].contains(&name))
        };
        let mut reads = Reads::default();
        all.places().filter(|place| !own(&place[0])).for_each(|place| reads.add(place.to_vec()));
        reads
    }

    /// Whether its answer can tell that the thing is gone.
    pub fn may_say_gone(&self) -> bool {
        self.absent == Absent::Gone
    }

    /// The text of each URL as written, below the api's base: for matching recorded answers to the call.
    pub fn url_texts(&self) -> Vec<String> {
        self.request.written().map(|url| absolute(url, &self.api.base)).collect()
    }

    /// `GET` or `POST`.
    pub fn method(&self) -> &str {
        self.request.method().as_str()
    }

    /// What its result may be for an answer's body, for recorded answers: of a search, any item.
    pub fn samples_of(&self, status: u16, body: &Json) -> Vec<Json> {
        let document = answer::document(status, &json!({}), body.clone());
        if let Some(find) = &self.find {
            return find.list(&document).unwrap_or_default();
        }
        let taken = self.taken(&document).ok();
        taken.map(|taken| if self.each.is_some() { json!([taken]) } else { taken }).into_iter().collect()
    }

    /// Whether an answer with `status` counts.
    pub(super) fn accepts(&self, status: u16) -> bool {
        self.accept.iter().any(|pattern| pattern.matches(status))
    }

    /// What it takes of an answer.
    pub(super) fn taken(&self, answer: &EventDocument) -> Result<Json, Failure> {
        let taken = match &self.take {
            Some(take) => take.evaluate(Context::from(answer)).map_err(|error| mapping("`take`", &error))?,
            None => answer.get("answer").and_then(|answer| answer.get("body")).cloned(),
        };
        let missing = || {
            let origin = self.take_origin();
            Failure::permanent(crate::model::failure::Step::Enrich, format!("`take`: the answer has no `{origin}`"))
        };
        taken.ok_or_else(missing)
    }

    /// What is taken, as it was written.
    pub(super) fn take_origin(&self) -> String {
        self.take.as_ref().map_or_else(|| "$.answer.body".to_owned(), Value::origin)
    }

    /// Scheme, host and port of its API.
    pub fn origin(&self) -> &str {
        &self.api.origin
    }

    /// The request as the client makes it, with all that this call says otherwise than its api.
    pub(super) fn outgoing(&self, filled: Filled, context: &RunContext<'_>) -> http_client::call::Call {
        let mut call = outgoing(&self.name, &self.api, filled, self.timeout, context);
        let mut api = http_client::api::Api::clone(&call.api);
        api.retry = self.retry.clone();
        let named = |(name, limits): &(String, Vec<Rate>)| (format!("{name}/{}", context.scope), limits.clone());
        api.own_limits = self.own_limits.as_ref().map(named);
        call.api = Arc::new(api);
        (call.reference, call.cache) = (self.reference, self.cache);
        call
    }
}

/// A request to an api as the client makes it.
pub(super) fn outgoing(
    name: &str,
    api: &Api,
    filled: Filled,
    timeout: Duration,
    context: &RunContext<'_>,
) -> http_client::call::Call {
    let origins = [api.origin.clone()].into_iter().chain(filled.origin).collect();
    let budget = api.budget_name(context.scope, context.tenant);
    http_client::call::Call {
        name: name.to_owned(),
        api: Arc::new(http_client::api::Api {
            limits: api.limits.clone(),
            concurrency: api.concurrency,
            timeout,
            retry: api.retry.clone(),
            allow_private: api.allow_private,
            ..http_client::api::Api::new(api.name.clone(), origins, budget)
        }),
        method: filled.method,
        url: filled.url,
        headers: filled.headers,
        body: filled.body,
        scope: context.scope.to_owned(),
        fresh_after: context.fresh_after,
        reference: false,
        cache: None,
        attempt: Some(context.attempt.to_owned()),
        mask: context.mask.now(),
        is_forward: false,
    }
}

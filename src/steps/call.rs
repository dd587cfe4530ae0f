//! One call under `enrich`: where it goes, what it takes of the answer, and what it means that there is none.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::{Value as Json, json};

use super::api::{Absent, Api, compile_headers};
use super::pipeline::RunContext;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{FromYaml, Named, OptionDoc, options};
use crate::config::shape::{self, Shape};
use crate::config::source::Spanned;
use crate::config::yaml::{Content, Node};
use crate::expr::convert::scalar_text;
use crate::expr::reads::Reads;
use crate::expr::scope::Scope;
use crate::expr::template::{Context, Engine};
use crate::expr::value::{Compiler, Condition, Value, ValueError};
use crate::http_client;
use crate::http_client::call::Answer;
use crate::model::attempt::CallTrace;
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};

options! {
    /// A call to a provider.
    pub struct CallOptions {
        /// The api it goes to; need not be said where there is one.
        api: Option<Spanned<String>>,
        /// What is fetched: a path below the api's base, or a list of them, each tried when the one before answers 404.
        get: Vec<Node> as shape::text_value,
        /// What stands behind `?`.
        query: Named<Node> as shape::text_value,
        /// What this call carries besides the api's headers.
        headers: Named<Node> as shape::text_value,
        /// What is taken of the answer: `$.answer.body.data`; what the api says by default.
        take: Option<Node>,
        /// What a 404 or 410 means: gone, null, ignore or fail; what the api says by default.
        absent: Option<Absent>,
        /// The longest it may take; what the api says by default.
        timeout: Option<Duration>,
        /// Whether it is made at all.
        when: Option<Node> as shape::condition,
    }
}

/// A call as it may be written: a text or a list of texts is a GET.
#[derive(Clone, Debug)]
pub struct CallForm(CallOptions);

impl CallForm {
    /// The values that are looked for in the event document before the call is made.
    pub fn values(&self) -> impl Iterator<Item = &Node> {
        let named = self.0.query.entries.iter().chain(&self.0.headers.entries).map(|(_, node)| node);
        self.0.get.iter().chain(named)
    }

    /// The condition under which it is made.
    pub fn when(&self) -> Option<&Node> {
        self.0.when.as_ref()
    }

    /// What may be written in a call.
    pub const OPTIONS: &'static [OptionDoc] = CallOptions::OPTIONS;
}

impl FromYaml for CallForm {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        if matches!(node.content, Content::Map(_)) {
            return CallOptions::from_yaml(node, diagnostics).map(Self);
        }
        let get = Vec::from_yaml(node, diagnostics)?;
        let none = Named::default;
        Some(Self(CallOptions {
            span: node.span,
            head: node.head(),
            api: None,
            get,
            query: none(),
            headers: none(),
            take: None,
            absent: None,
            timeout: None,
            when: None,
        }))
    }

    fn shape() -> Shape {
        Shape::OneOf(vec![Shape::List(Box::new(shape::text_value())), CallOptions::shape()])
    }
}

/// A compiled call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The name its result has in the event document.
    pub name: String,
    api: Arc<Api>,
    urls: Vec<Value>,
    written: Vec<String>,
    query: Vec<(String, Value)>,
    headers: Vec<(HeaderName, Value)>,
    take: Option<Value>,
    absent: Absent,
    timeout: Duration,
    when: Option<Condition>,
    /// What it looks at.
    pub reads: Reads,
    /// Whether it reads only other answers and constants, not the delivery.
    pub reference: bool,
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
    let compiler = Compiler { engine, scope };
    let api = apis.and_then(|apis| choose_api(options, apis, diagnostics));
    if options.get.is_empty() {
        let message = format!("the call `{}` needs `get`; found none", name.value);
        diagnostics
            .report(Diagnostic::error("missing-option", name.span, message).hint("such as `get: \"/orders/{{ number }}\"`"));
    }
    let urls = options.get.iter().map(|node| {
        let text = node.text().unwrap_or_default();
        if !text.starts_with(['/', '{']) && !text.starts_with("http") {
            diagnostics.report(
                Diagnostic::error("bad-url", node.head(), format!("expected the path of a URL; found {}", node.describe()))
                    .hint("it begins with `/` and takes values in braces: `\"/orders/{{ number }}\"`"),
            );
            return None;
        }
        Value::compile_url(node, &compiler, diagnostics)
    });
    let urls = urls.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>();
    let query = options
        .query
        .entries
        .iter()
        .map(|(name, node)| Some((name.value.clone(), Value::compile_text(node, &compiler, diagnostics)?)));
    let query = query.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>();
    let headers = compile_headers(&options.headers, &compiler, diagnostics);
    let when = options.when.as_ref().map(|node| Condition::compile(node, &compiler, diagnostics));
    let (api, urls, query, headers) = (api?, urls?, query?, headers?);
    let take_scope = Scope::new(["answer"], "`take`");
    let take = options.take.as_ref().or(api.take.as_ref());
    let take = take.map(|node| Value::compile(node, &Compiler { engine, scope: &take_scope }, diagnostics));
    let mut call = Call {
        name: name.value.clone(),
        written: options.get.iter().filter_map(Node::text).map(str::to_owned).collect(),
        urls,
        query,
        headers,
        take: take.map_or(Some(None), |take| take.map(Some))?,
        absent: options.absent.unwrap_or(api.absent),
        timeout: options.timeout.unwrap_or(api.timeout),
        when: when.map_or(Some(None), |when| when.map(Some))?,
        reads: Reads::default(),
        reference: false,
        api,
    };
    call.reads = call.collect_reads(engine);
    Some(call)
}

fn choose_api(options: &CallOptions, apis: &[Arc<Api>], diagnostics: &mut Diagnostics) -> Option<Arc<Api>> {
    match (&options.api, apis) {
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
            diagnostics
                .report(Diagnostic::error("unknown-api", options.head, message).hint("declare it under `apis:` with its `base`"));
            None
        }
        (None, several) => {
            let message = format!("there are several apis, {}; the call does not say which", listed(several));
            diagnostics.report(
                Diagnostic::error("missing-option", options.head, message)
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
        let mut reads = Reads::default();
        let values = self.urls.iter().chain(self.query.iter().map(|(_, value)| value));
        values
            .chain(self.headers.iter().chain(&self.api.headers).map(|(_, value)| value))
            .for_each(|value| value.add_reads(engine, &mut reads));
        if let Some(when) = &self.when {
            when.add_reads(engine, &mut reads);
        }
        reads
    }

    /// The text of each URL as written, below the api's base: for matching recorded answers to the call.
    pub fn url_texts(&self) -> Vec<String> {
        self.written.iter().map(|url| self.absolute(url)).collect()
    }

    /// What it takes of an answer's body, for recorded answers.
    pub fn take_of(&self, status: u16, body: &Json) -> Option<Json> {
        take(self.take.as_ref(), answer_document(status, &json!({}), body.clone())).ok()?
    }

    fn absolute(&self, url: &str) -> String {
        if url.starts_with('/') { format!("{}{url}", self.api.base) } else { url.to_owned() }
    }

    /// Makes the call; the list of URLs falls through on 404 and 410.
    pub async fn run(&self, document: &EventDocument, context: &RunContext<'_>) -> (Vec<CallTrace>, Result<CallEnd, Failure>) {
        let mut traces = Vec::new();
        let end = self.follow(document, context, &mut traces).await;
        let end = end.map_err(|failure| Failure { reason: format!("call `{}`: {}", self.name, failure.reason), ..failure });
        (traces, end)
    }

    async fn follow(
        &self,
        document: &EventDocument,
        context: &RunContext<'_>,
        traces: &mut Vec<CallTrace>,
    ) -> Result<CallEnd, Failure> {
        let evaluation = Context { document, secrets: Some(context.secrets) };
        if let Some(when) = &self.when
            && !when.holds(evaluation).map_err(|error| mapping("`when`", &error))?
        {
            return Ok(CallEnd::Skipped);
        }
        for url in &self.urls {
            let request = self.request(url, evaluation, context)?;
            let (trace, answer) = context.http.call(&request).await;
            traces.push(trace);
            let answer = answer?;
            match answer.status {
                404 | 410 => {}
                200..300 => return self.result(&answer).map(CallEnd::Result),
                401 => return Err(Failure::passing(Step::Enrich, "the API refuses the credentials (401)")),
                status @ (408 | 425 | 429 | 500..) => {
                    return Err(Failure::passing(Step::Enrich, format!("the API answered {status}")));
                }
                status => return Err(Failure::permanent(Step::Enrich, format!("the API answered {status}"))),
            }
        }
        match self.absent {
            Absent::Gone => Ok(CallEnd::Gone),
            Absent::Null => Ok(CallEnd::Result(Json::Null)),
            Absent::Ignore => Ok(CallEnd::Ignore),
            Absent::Fail => Err(Failure::permanent(Step::Enrich, "the API has no such thing (404)")),
        }
    }

    fn request(
        &self,
        url: &Value,
        evaluation: Context<'_>,
        context: &RunContext<'_>,
    ) -> Result<http_client::call::Call, Failure> {
        let text = url.text(evaluation).map_err(|error| mapping("URL", &error))?;
        let mut parsed =
            Url::parse(&self.absolute(&text)).map_err(|_| Failure::permanent(Step::Enrich, "the URL cannot be read"))?;
        for (name, value) in &self.query {
            if let Some(value) = value.evaluate(evaluation).map_err(|error| mapping(name, &error))? {
                let text = scalar_text(&value)
                    .ok_or_else(|| Failure::permanent(Step::Enrich, format!("`query.{name}` is no text or number")))?;
                parsed.query_pairs_mut().append_pair(name, &text);
            }
        }
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (name, value) in self.api.headers.iter().chain(&self.headers) {
            let text = value.text(evaluation).map_err(|error| mapping(&format!("header `{name}`"), &error))?;
            let mut value = HeaderValue::from_str(&text)
                .map_err(|_| Failure::permanent(Step::Enrich, format!("header `{name}` has letters that no header can have")))?;
            value.set_sensitive(true);
            headers.retain(|(known, _)| known != name);
            headers.push((name.clone(), value));
        }
        let api = &self.api;
        Ok(http_client::call::Call {
            name: self.name.clone(),
            api: Arc::new(http_client::api::Api {
                limits: api.limits.clone(),
                concurrency: api.concurrency,
                timeout: self.timeout,
                retry: api.retry.clone(),
                allow_private: api.allow_private,
                ..http_client::api::Api::new(
                    api.name.clone(),
                    vec![api.origin.clone()],
                    format!("{}/{}", api.name, context.scope),
                )
            }),
            method: Method::GET,
            url: parsed,
            headers,
            body: None,
            scope: context.scope.to_owned(),
            fresh_after: context.fresh_after,
            reference: self.reference,
            mask: Arc::clone(context.mask),
        })
    }

    fn result(&self, answer: &Answer) -> Result<Json, Failure> {
        let body = if answer.body.is_empty() {
            Json::Null
        } else {
            serde_json::from_slice(&answer.body).map_err(|error| {
                Failure::passing(
                    Step::Enrich,
                    format!("the answer is not JSON at line {}, column {}", error.line(), error.column()),
                )
            })?
        };
        let headers: Json = answer.headers.iter().map(|(name, value)| (name.replace('-', "_"), json!(value))).collect();
        let taken = take(self.take.as_ref(), answer_document(answer.status, &headers, body));
        let origin = self.take.as_ref().map(Value::origin).unwrap_or_default();
        taken
            .map_err(|error| mapping("`take`", &error))?
            .ok_or_else(|| Failure::permanent(Step::Enrich, format!("`take`: the answer has no `{origin}`")))
    }
}

fn answer_document(status: u16, headers: &Json, body: Json) -> EventDocument {
    let mut document = EventDocument::default();
    document.set("answer", json!({ "status": status, "headers": headers, "body": body }));
    document
}

fn take(value: Option<&Value>, document: EventDocument) -> Result<Option<Json>, ValueError> {
    match value {
        Some(value) => value.evaluate(Context::from(&document)),
        None => Ok(document.get("answer").and_then(|answer| answer.get("body")).cloned()),
    }
}

fn mapping(what: &str, error: &ValueError) -> Failure {
    Failure::permanent(Step::Enrich, format!("{what}: {error}"))
}

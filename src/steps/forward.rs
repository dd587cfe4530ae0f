//! `forward:`: requests to other systems that follow once a record is done. Here is what may be written and which of them a record
//! asks for; how one is made and sent is `forward_request`'s business.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderName;
use serde_json::Map;

use super::api::{Absent, Api};
use super::body;
use super::call::choose_api;
use super::request::{self, Leads, Request};
use super::retry_options::{RetryOptions, retry_policy};
use crate::auth::scheme::{self as auth, Auth, AuthOptions};
use crate::auth::secret::Surroundings;
use crate::auth::signature::scheme::Scheme;
use crate::clock::Timestamp;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{FromYaml, Named, options};
use crate::config::shape::{self, Shape};
use crate::config::source::Spanned;
use crate::config::yaml::Node;
use crate::expr::reads::Reads;
use crate::expr::scope::{Scope, SecretValues};
use crate::expr::template::{Context, Engine};
use crate::expr::value::{Compiler, Condition};
use crate::http_client::api::RetryRule;
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};
use crate::model::forward::{ForwardContent, ForwardId, NewForward};
use crate::model::retry::RetryPolicy;

/// Says how often what is sent was forwarded before.
pub const HOP: &str = "hooktable-hop";
/// The id of a forward, the same at each of its tries.
pub const ID: &str = "webhook-id";
/// A delivery that was forwarded so often is forwarded no further.
pub const MOST_HOPS: u32 = 5;

options! {
    /// A request to another system, made once the record is done and its rows are written. It is tried again by itself: a target that
    /// fails holds up neither the others nor the records.
    pub struct ForwardOptions {
        /// The api it goes to, with its headers, login and limits. Needed for a path; a whole URL needs none.
        api: Option<Spanned<String>>,
        /// Where it is sent: a whole URL, a path below the api's base, or one secret that is a URL.
        post: Option<Node> as shape::text_value,
        /// Where it is sent, with PUT.
        put: Option<Node> as shape::text_value,
        /// Where it is sent, with PATCH.
        patch: Option<Node> as shape::text_value,
        /// Where it is sent, with DELETE.
        delete: Option<Node> as shape::text_value,
        /// Where it is sent, with GET.
        get: Option<Node> as shape::text_value,
        /// What stands behind `?`.
        query: Named<Node> as shape::text_value,
        /// What it carries besides the api's headers.
        headers: Named<Node> as shape::text_value,
        /// A body of JSON.
        json: Option<Node>,
        /// A body as forms send it.
        form: Named<Node> as shape::text_value,
        /// A body as forms with files send it.
        multipart: Named<Node> as shape::text_value,
        /// A body of text.
        text: Option<Node> as shape::text_value,
        /// `true`: the bytes of the request that came, with its content type.
        raw: Option<Spanned<bool>>,
        /// Whether it is made; looks also at answers and at `gone`. One that reads an answer is not made for what is gone, unless this
        /// looks at `gone`.
        when: Option<Node> as shape::condition,
        /// How it is signed: `{ preset: NAME, secret: X }` or `{ signature: … }`, as under `auth`. The secret must be one that verifies
        /// nothing.
        sign: Option<SignOptions>,
        /// `true`: it may be sent once for several records that `coalesce` made one piece of work.
        merged: Option<bool> = "false",
        /// The longest that one try may take; what the api says, or 10s.
        timeout: Option<Duration>,
        /// How often it is tried again.
        retry: Option<RetryOptions>,
    }
}

impl ForwardOptions {
    /// Whether it may go to an api that it does not name: its URL is neither a whole one nor a secret.
    pub fn needs_api(&self) -> bool {
        let urls = [&self.post, &self.put, &self.patch, &self.delete, &self.get];
        let mut texts = urls.into_iter().flatten().filter_map(Node::text);
        self.api.is_none() && texts.any(|text| !text.starts_with("http") && !text.contains("secret"))
    }
}

/// How a forward is signed.
#[derive(Clone, Debug)]
pub struct SignOptions {
    /// As under `auth`.
    pub scheme: AuthOptions,
    /// Where it stands.
    pub node: Node,
}

impl FromYaml for SignOptions {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        AuthOptions::from_yaml(node, diagnostics).map(|scheme| Self { scheme, node: node.clone() })
    }

    fn shape() -> Shape {
        Shape::OneOf(vec![
            crate::auth::preset::PresetOptions::shape(),
            crate::auth::signature::options::SignedRequestOptions::shape(),
        ])
    }
}

/// A compiled forward.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Its name.
    pub name: String,
    pub(super) api: Arc<Api>,
    pub(super) request: Request,
    pub(super) raw: bool,
    pub(super) sign: Option<Box<Scheme>>,
    pub(super) timeout: Duration,
    when: Option<Condition>,
    /// Whether one may stand for those of several records.
    pub merged: bool,
    /// Where it stands, for messages.
    pub place: crate::config::source::Span,
    /// How often it is tried again.
    pub retry: RetryPolicy,
    /// What it looks at, the answers of calls among it.
    pub reads: Reads,
    /// The answers it looks at.
    answers: Vec<String>,
    /// Whether it is made also for what is gone.
    for_gone: bool,
}

/// What forwards are compiled with.
#[derive(Clone, Copy)]
pub struct Surrounding<'a> {
    /// The file's apis, unless something is wrong with them.
    pub apis: Option<&'a [Arc<Api>]>,
    /// The names of all calls of the route.
    pub answers: &'a [&'a str],
    /// What is known once the rows are written, secrets that may go out among it.
    pub scope: &'a Scope,
    /// What schemes are compiled with.
    pub signing: &'a Surroundings<'a>,
    /// The environments that templates run in.
    pub engine: &'a Engine,
}

/// Compiles all forwards of a route.
pub fn compile_all(
    written: &Named<ForwardOptions>,
    around: Surrounding<'_>,
    diagnostics: &mut Diagnostics,
    unset: &mut Diagnostics,
) -> Option<Vec<Forward>> {
    let compiled = written.entries.iter().map(|(name, options)| compile(name, options, around, diagnostics, unset));
    compiled.collect::<Vec<_>>().into_iter().collect()
}

fn compile(
    name: &Spanned<String>,
    options: &ForwardOptions,
    around: Surrounding<'_>,
    diagnostics: &mut Diagnostics,
    unset: &mut Diagnostics,
) -> Option<Forward> {
    let Surrounding { apis, answers, engine, .. } = around;
    check_name(name, diagnostics);
    let scope = around.scope.with(["gone"]);
    let has_session = apis.is_none_or(|apis| apis.iter().any(|api| api.session.is_some()));
    let sent = scope.with(has_session.then_some("session"));
    let request = compile_request(name, options, &Compiler { engine, scope: &sent }, diagnostics);
    let when = options.when.as_ref().map(|node| Condition::compile(node, &Compiler { engine, scope: &scope }, diagnostics));
    let sign = options.sign.as_ref().map(|sign| compile_sign(sign, around.signing, diagnostics, unset));
    let retry = retry_policy(options.retry.as_ref(), diagnostics);
    let (request, when) = (request?, when.map_or(Some(None), |when| when.map(Some))?);
    let api = api_of(name, options, &request, apis, diagnostics)?;
    let mut reads = Reads::default();
    request.add_reads(engine, &mut reads);
    api.headers.iter().for_each(|(_, value)| value.add_reads(engine, &mut reads));
    api.session.iter().for_each(|session| session.add_reads(engine, &mut reads));
    let reads_answer = answers.iter().any(|answer| reads.reads_name(answer));
    let mut of_when = Reads::default();
    when.iter().for_each(|when| when.add_reads(engine, &mut of_when));
    let for_gone = !reads_answer || of_when.reads_name("gone");
    reads.extend(&of_when);
    Some(Forward {
        name: name.value.clone(),
        timeout: options.timeout.unwrap_or(api.timeout),
        api,
        request,
        raw: options.raw.as_ref().is_some_and(|raw| raw.value),
        sign: sign.map_or(Some(None), |sign| sign.map(|sign| Some(Box::new(sign))))?,
        when,
        merged: options.merged.unwrap_or(false),
        place: name.span,
        retry,
        answers: answers.iter().filter(|answer| reads.reads_name(answer)).map(|answer| (*answer).to_owned()).collect(),
        reads,
        for_gone,
    })
}

fn check_name(name: &Spanned<String>, diagnostics: &mut Diagnostics) {
    let allowed = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.');
    if name.value.is_empty() || name.value.len() > 64 || !name.value.chars().all(allowed) {
        let message = format!("`{}` cannot name a forward", name.value);
        diagnostics.report(Diagnostic::error("bad-name", name.span, message).hint("1 to 64 letters, digits, `_`, `-` and `.`"));
    }
}

fn compile_request(
    name: &Spanned<String>,
    options: &ForwardOptions,
    compiler: &Compiler<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Request> {
    let ForwardOptions { json, form, multipart, text, .. } = options;
    let bodies = body::Written { json: json.as_ref(), form, multipart, text: text.as_ref() };
    let written = request::Written {
        what: format!("the forward `{}`", name.value),
        span: name.span,
        urls: &[
            (Method::POST, options.post.as_slice()),
            (Method::PUT, options.put.as_slice()),
            (Method::PATCH, options.patch.as_slice()),
            (Method::DELETE, options.delete.as_slice()),
            (Method::GET, options.get.as_slice()),
        ],
        query: &options.query,
        headers: &options.headers,
        bodies,
    };
    let other = [form.span, multipart.span, json.as_ref().map(Node::head), text.as_ref().map(Node::head)];
    let other = other.into_iter().flatten().chain(options.get.as_ref().map(Node::head)).next();
    if let (Some(raw), Some(other)) = (options.raw.as_ref().filter(|raw| raw.value), other) {
        let message = "`raw` is the body that came, so there is none beside it, and a GET has none at all";
        diagnostics
            .report(Diagnostic::error("one-of", raw.span, message).related(other, "found here").hint("keep one of the two"));
        return None;
    }
    let ours = |name: &&(Spanned<String>, Node)| [HOP, ID].iter().any(|ours| name.0.value.eq_ignore_ascii_case(ours));
    if let Some((name, _)) = options.headers.entries.iter().find(ours) {
        let message = format!("`{}` is written by the program itself", name.value);
        diagnostics.report(Diagnostic::error("bad-header", name.span, message).hint("leave it out, or choose another name"));
    }
    request::compile(&written, compiler, diagnostics)
}

fn compile_sign(
    options: &SignOptions,
    surroundings: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
    unset: &mut Diagnostics,
) -> Option<Scheme> {
    let refuse = |reason: String, diagnostics: &mut Diagnostics| {
        let hint = "write a signature over the body with a shared secret, such as `{ preset: standard-webhooks, secret: NAME }`";
        let message = format!("nothing can be signed like this: {reason}");
        diagnostics.report(Diagnostic::error("cannot-sign", options.node.head(), message).hint(hint));
    };
    match auth::compile(&options.scheme, surroundings, diagnostics, unset)? {
        Auth::Signature(scheme) => match scheme.cannot_sign() {
            None => Some(*scheme),
            Some(reason) => {
                refuse(reason, diagnostics);
                None
            }
        },
        other => {
            refuse(format!("`{}` is no signature", other.word()), diagnostics);
            None
        }
    }
}

/// The api it goes to; one of its own where it has a whole URL and names none, so that no api's credentials go elsewhere.
fn api_of(
    name: &Spanned<String>,
    options: &ForwardOptions,
    request: &Request,
    apis: Option<&[Arc<Api>]>,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<Api>> {
    let origin = match request.leads() {
        _ if options.api.is_some() => None,
        Leads::To(origin) => Some(origin),
        Leads::BySecret => Some(String::new()),
        Leads::Below | Leads::Elsewhere => None,
    };
    let Some(origin) = origin else { return choose_api(options.api.as_ref(), name.span, apis?, diagnostics) };
    Some(Arc::new(Api {
        name: format!("forward {}", name.value),
        base: String::new(),
        origin,
        headers: Vec::<(HeaderName, _)>::new(),
        limits: Vec::new(),
        budget: None,
        concurrency: None,
        timeout: Duration::from_secs(10),
        // it has retries of its own
        retry: RetryRule { times: 0, ..RetryRule::default() },
        take: None,
        absent: Absent::Fail,
        accept: Vec::new(),
        cache: None,
        session: None,
        allow_private: false,
    }))
}

/// How often what came was forwarded before; what says something else than a number was not forwarded by us.
pub fn hops(header: Option<&str>) -> u32 {
    header.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// What a record that is done asks for, besides its document.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// Whether the thing no longer exists.
    pub gone: bool,
    /// How often the delivery was forwarded before.
    pub hops: u32,
    /// What conditions may look at.
    pub secrets: &'a SecretValues,
    /// When it is asked for.
    pub now: Timestamp,
}

/// The forwards that a record asks for, with what was fetched for them.
pub fn asked_for(forwards: &[Forward], document: &EventDocument, asking: Asking<'_>) -> Result<Vec<NewForward>, Failure> {
    let mut asked = Vec::new();
    let mut now = asking.now;
    for forward in forwards {
        if !forward.is_wanted(document, asking)? {
            continue;
        }
        let answer = |name: &String| Some((name.clone(), serde_json::Value::clone(document.get(name)?)));
        let answers: Map<_, _> = forward.answers.iter().filter_map(answer).collect();
        let dead = (asking.hops >= MOST_HOPS).then(|| {
            format!("it was forwarded {} times before, most likely in a circle, so it is not sent any further", asking.hops)
        });
        let content = ForwardContent { answers, gone: asking.gone };
        // their ids sort as they are written
        now = now + Duration::from_millis(1);
        asked.push(NewForward { id: ForwardId::at(now), target: forward.name.clone(), content, dead });
    }
    Ok(asked)
}

impl Forward {
    /// Whether it is made for this document.
    pub fn is_wanted(&self, document: &EventDocument, asking: Asking<'_>) -> Result<bool, Failure> {
        if asking.gone && !self.for_gone {
            return Ok(false);
        }
        let Some(when) = &self.when else { return Ok(true) };
        let holds = when.holds(Context { document, secrets: Some(asking.secrets) });
        holds.map_err(|error| Failure::permanent(Step::Forward, format!("forward `{}`: `when`: {error}", self.name)))
    }

    /// The scheme it is signed with.
    pub fn sign(&self) -> Option<&Scheme> {
        self.sign.as_deref()
    }

    /// What it does, in a line: `POST https://…`.
    pub fn words(&self) -> String {
        let urls: Vec<String> = self.request.written().map(|url| request::absolute(url, &self.api.base)).collect();
        format!("{} {}", self.request.method(), urls.join(" "))
    }

    /// Brings the answers that were kept for it back into the document of its record.
    pub fn add_content(document: &mut EventDocument, content: ForwardContent) {
        for (name, answer) in content.answers {
            document.set(&name, answer);
        }
        document.set("gone", serde_json::json!(content.gone));
    }
}

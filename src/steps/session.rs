//! `login:` and `oauth2:` of an api: a session or a token that calls carry. It is had when first needed, kept until it ends, and had
//! anew once when the provider refuses it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::answer::{document_of, failure_of};
use super::api::{Api, address};
use super::api_options::ApiOptions;
use super::body;
use super::pipeline::RunContext;
use super::request::{self, Filled, Page, Request, header_value, mapping};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{FromYaml, Named, options, report_choice};
use crate::config::shape::{self, Shape};
use crate::config::source::Spanned;
use crate::config::yaml::Node;
use crate::expr::reads::Reads;
use crate::expr::scope::Scope;
use crate::expr::template::{Context, Engine};
use crate::expr::value::{Compiler, Value};
use crate::http_client::call::Answer;
use crate::http_client::sessions::Session;
use crate::model::attempt::CallTrace;
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};

/// How long a session is used when nothing is said.
const USUAL: Duration = Duration::from_secs(60 * 60);
/// How long before its end a token is no longer used.
const MARGIN: Duration = Duration::from_secs(60);

options! {
    /// A call that comes before all others of its api. What it takes of its answer is `session` in their headers, query and body.
    pub struct LoginOptions {
        /// What is called.
        post: Option<Node> as shape::text_value,
        /// What is called, where logging in is a GET.
        get: Option<Node> as shape::text_value,
        /// What stands behind `?`.
        query: Named<Node> as shape::text_value,
        /// What it carries; the api's own headers are not sent, as they may need the session.
        headers: Named<Node> as shape::text_value,
        /// A body of JSON.
        json: Option<Node>,
        /// A body as forms send it.
        form: Named<Node> as shape::text_value,
        /// A body as forms with files send it.
        multipart: Named<Node> as shape::text_value,
        /// A body of text.
        text: Option<Node> as shape::text_value,
        /// What `session` is: `{ uid: "$.answer.body[0].UID" }`.
        take: Node,
        /// How long it is used; a 401 ends it sooner.
        r#for: Option<Duration> = "1h",
    }
}

options! {
    /// A token by OAuth 2.0 client credentials. Calls carry it as `Authorization: Bearer`, unless the api writes that header itself.
    pub struct Oauth2Options {
        /// Where tokens are had.
        token_url: Spanned<String>,
        /// The client's id.
        client: Node as shape::text_value,
        /// The name of the secret that is the client's secret.
        secret: Spanned<String>,
        /// The scopes that are asked for, separated by blanks.
        scope: Option<Node> as shape::text_value,
        /// Where id and secret are sent: `header` (basic) or `body`.
        send: Option<SendCredentials> = "header",
    }
}

impl LoginOptions {
    /// All that a login sends.
    pub(super) fn values(&self) -> impl Iterator<Item = &Node> {
        let named = self.headers.entries.iter().chain(&self.query.entries).map(|(_, node)| node);
        self.get.iter().chain(&self.post).chain(self.bodies().values()).chain(named)
    }

    fn bodies(&self) -> body::Written<'_> {
        let Self { json, form, multipart, text, .. } = self;
        body::Written { json: json.as_ref(), form, multipart, text: text.as_ref() }
    }
}

/// Where a client's id and secret are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SendCredentials {
    /// As user and password in `Authorization`.
    #[default]
    Header,
    /// As `client_id` and `client_secret` in the form.
    Body,
}

impl FromYaml for SendCredentials {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match node.text() {
            Some("header") => Some(Self::Header),
            Some("body") => Some(Self::Body),
            _ => {
                report_choice(&["header", "body"], node, diagnostics);
                None
            }
        }
    }
    fn shape() -> Shape {
        Shape::Word(&["header", "body"])
    }
}

/// How one logs in, compiled.
#[derive(Clone, Debug)]
pub enum SessionRule {
    /// By a call of the file's own.
    Login(Box<Login>),
    /// By OAuth 2.0 client credentials.
    Oauth2(Box<Oauth2>),
}

/// A compiled login.
#[derive(Clone, Debug)]
pub struct Login {
    request: Request,
    take: Value,
    lasts: Duration,
}

/// Compiled client credentials.
#[derive(Clone, Debug)]
pub struct Oauth2 {
    token_url: Url,
    client: Value,
    secret: String,
    scope: Option<Value>,
    send: SendCredentials,
    /// Whether the token goes into `Authorization` by itself.
    as_bearer: bool,
}

/// Compiles how one logs in to an api, if one does; the outer `None` says that there is a problem.
pub(super) fn compile(
    name: &Spanned<String>,
    api: &ApiOptions,
    compiler: &Compiler<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Option<SessionRule>> {
    match (&api.login, &api.oauth2) {
        (None, None) => Some(None),
        (Some(login), None) => {
            let login = compile_login(name, login, compiler, diagnostics)?;
            Some(Some(SessionRule::Login(Box::new(login))))
        }
        (None, Some(oauth2)) => {
            let own = api.headers.names().any(|name| name.eq_ignore_ascii_case("authorization"));
            let oauth2 = compile_oauth2(oauth2, !own, compiler, diagnostics)?;
            Some(Some(SessionRule::Oauth2(Box::new(oauth2))))
        }
        (Some(login), Some(_)) => {
            let message = format!("the api `{}` has both `login` and `oauth2`", name.value);
            diagnostics.report(Diagnostic::error("one-of", login.head, message).hint("keep one of them"));
            None
        }
    }
}

fn compile_login(
    name: &Spanned<String>,
    options: &LoginOptions,
    compiler: &Compiler<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Login> {
    let written = request::Written {
        what: format!("the login of `{}`", name.value),
        span: options.head,
        urls: &[(Method::GET, options.get.as_slice()), (Method::POST, options.post.as_slice())],
        query: &options.query,
        headers: &options.headers,
        bodies: options.bodies(),
    };
    let request = request::compile(&written, compiler, diagnostics);
    let scope = Scope::new(["answer"], "`take`");
    let take = Value::compile(&options.take, &Compiler { engine: compiler.engine, scope: &scope }, diagnostics);
    Some(Login { request: request?, take: take?, lasts: options.r#for.unwrap_or(USUAL) })
}

fn compile_oauth2(
    options: &Oauth2Options,
    as_bearer: bool,
    compiler: &Compiler<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Oauth2> {
    let token_url = address(&options.token_url, diagnostics);
    let client = Value::compile_text(&options.client, compiler, diagnostics);
    compiler.scope.check_secret(&options.secret.value, options.secret.span, diagnostics);
    let scope = options.scope.as_ref().map(|node| Value::compile_text(node, compiler, diagnostics));
    Some(Oauth2 {
        token_url: token_url?,
        client: client?,
        secret: options.secret.value.clone(),
        scope: scope.map_or(Some(None), |scope| scope.map(Some))?,
        send: options.send.unwrap_or_default(),
        as_bearer,
    })
}

impl SessionRule {
    /// Adds what it looks at.
    pub(super) fn add_reads(&self, engine: &Engine, reads: &mut Reads) {
        match self {
            Self::Login(login) => login.request.add_reads(engine, reads),
            Self::Oauth2(oauth2) => {
                oauth2.client.add_reads(engine, reads);
                oauth2.scope.iter().for_each(|scope| scope.add_reads(engine, reads));
            }
        }
    }

    /// The session to call with. `refused` is the number of one that the provider no longer takes.
    pub(super) async fn obtain(
        &self,
        api: &Api,
        document: &EventDocument,
        context: &RunContext<'_>,
        refused: Option<u64>,
        traces: &mut Vec<CallTrace>,
    ) -> Result<Session, Failure> {
        let evaluation = Context { document, secrets: Some(context.secrets) };
        let filled = self.request(api, evaluation)?;
        let mut call = super::call::outgoing("login", api, filled, api.timeout, context);
        // nothing about a login is the record's own
        (call.reference, call.attempt) = (true, None);
        let now = context.http.clock().now();
        let slot = context.http.sessions().slot(&call, now);
        let asked = Instant::now();
        let mut known = slot.lock().await;
        if let Some(session) = known.session.as_ref().filter(|session| session.until > now && refused != Some(session.number)) {
            context.mask.cover_all(&session.values);
            return Ok(session.clone());
        }
        if let Some(failure) = known.failed_since(asked) {
            return Err(failure);
        }
        known.session = None;
        let (mut trace, answer) = context.http.call(&call).await;
        // what a login answers is secret
        trace.body = None;
        traces.push(trace);
        let read = answer.and_then(|answer| self.read(&answer, context.credentials_came_along));
        match read {
            Ok((values, lasts)) => {
                context.mask.cover_all(&values);
                Ok(known.renew(Arc::new(values), now + lasts))
            }
            Err(failure) => {
                let failure = Failure { reason: format!("login of api `{}`: {}", api.name, failure.reason), ..failure };
                known.fail(failure.clone());
                Err(failure)
            }
        }
    }

    /// The header that a session brings along by itself.
    pub(super) fn header(&self, session: &Session) -> Result<Option<(HeaderName, HeaderValue)>, Failure> {
        let Self::Oauth2(oauth2) = self else { return Ok(None) };
        let token = session.values.get("token").and_then(Json::as_str).filter(|_| oauth2.as_bearer);
        let value = token.map(|token| header_value(&AUTHORIZATION, &format!("Bearer {token}"))).transpose()?;
        Ok(value.map(|value| (AUTHORIZATION, value)))
    }

    fn request(&self, api: &Api, context: Context<'_>) -> Result<Filled, Failure> {
        match self {
            Self::Login(login) => login.request.fill(0, &Page::default(), &api.base, &[], context),
            Self::Oauth2(oauth2) => oauth2.request(context),
        }
    }

    /// What is in the answer to a login, and how long it lasts.
    fn read(&self, answer: &Answer, credentials_came_along: bool) -> Result<(Json, Duration), Failure> {
        if !(200..300).contains(&answer.status) {
            // RFC 6749 has a token's wrong credentials answered 400 or 401
            let refused = answer.status == 400 && matches!(self, Self::Oauth2(_)) && says_invalid_client(answer);
            return Err(failure_of(if refused { 401 } else { answer.status }, credentials_came_along));
        }
        let document = document_of(answer)?;
        match self {
            Self::Login(login) => {
                let values = login.take.evaluate(Context::from(&document)).map_err(|error| mapping("`take`", &error))?;
                let missing = || Failure::passing(Step::Enrich, format!("the answer has no `{}`", login.take.origin()));
                let values = values.filter(|values| *values != json!({}) && !values.is_null()).ok_or_else(missing)?;
                Ok((values, login.lasts))
            }
            Self::Oauth2(_) => {
                let body = document.get("answer").and_then(|answer| answer.get("body")).cloned().unwrap_or_default();
                let token = body.get("access_token").and_then(Json::as_str);
                let token = token.ok_or_else(|| Failure::passing(Step::Enrich, "the answer has no `access_token`"))?;
                let expires_in = match body.get("expires_in") {
                    Some(Json::Number(number)) => number.as_u64(),
                    Some(Json::String(text)) => text.parse().ok(),
                    _ => None,
                };
                let lasts = expires_in.map_or(USUAL, Duration::from_secs);
                Ok((json!({ "token": token }), lasts.saturating_sub(MARGIN.min(lasts / 10))))
            }
        }
    }
}

impl Oauth2 {
    fn request(&self, context: Context<'_>) -> Result<Filled, Failure> {
        let client = self.client.text(context).map_err(|error| mapping("`oauth2.client`", &error))?;
        let secret = context.secrets.and_then(|secrets| secrets.get(&self.secret)).ok_or_else(|| {
            Failure::permanent(Step::Enrich, format!("`oauth2.secret`: the secret `{}` has no value", self.secret))
        })?;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if let Some(scope) = &self.scope {
            form.append_pair("scope", &scope.text(context).map_err(|error| mapping("`oauth2.scope`", &error))?);
        }
        let mut headers = Vec::new();
        match self.send {
            SendCredentials::Body => {
                form.append_pair("client_id", &client).append_pair("client_secret", secret.expose());
            }
            SendCredentials::Header => {
                let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encoded(&client), encoded(secret.expose()));
                let pair = base64::engine::general_purpose::STANDARD.encode(pair);
                headers.push((AUTHORIZATION, header_value(&AUTHORIZATION, &format!("Basic {pair}"))?));
            }
        }
        Ok(Filled {
            method: Method::POST,
            url: self.token_url.clone(),
            headers,
            body: Some(("application/x-www-form-urlencoded".to_owned(), form.finish().into())),
            origin: Some(self.token_url.origin().ascii_serialization()),
        })
    }
}

fn says_invalid_client(answer: &Answer) -> bool {
    let body: Option<Json> = serde_json::from_slice(&answer.body).ok();
    let error = body.as_ref().and_then(|body| body.get("error")).and_then(Json::as_str);
    matches!(error, Some("invalid_client" | "unauthorized_client"))
}

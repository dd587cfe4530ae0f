//! From tests as they are written to tests that can be run; whatever is wrong with them is told with its place.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::{Method, Url};
use serde_json::{Map, Value as Json};

use super::answered::{self, ExpectedAnswer};
use super::captured;
use super::compare::Row;
use super::forwarded::{self, ExpectedForwards};
use super::send::{Credential, WebhookBody, WebhookRequest, credentials_of, scheme_for};
use crate::auth::scheme::Auth;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{Named, report_expected, report_unknown};
use crate::config::source::Spanned;
use crate::config::yaml::{Content, Node};
use crate::http_client::recorded::RecordedAnswer;
use crate::model::record::RecordState;
use crate::model::tenant::Tenant;
use crate::routes::compile::World;
use crate::routes::source::{Source, TenantRule};
use crate::routes::test_file::{AnswerOptions, AuthBreak, ExpectOptions, SendOptions, TestOptions, beside};

/// A test that can be run.
#[derive(Clone)]
pub struct Case {
    /// What is to be seen, as a sentence.
    pub name: String,
    /// The line of its name, from 1.
    pub line: usize,
    /// The tenant that sends, and whose rows are there before.
    pub tenant: Option<String>,
    /// What the tenant's integration holds, as far as the test says.
    pub integration: Vec<(String, String)>,
    /// The claims of the token that it is sent with.
    pub claims: Map<String, Json>,
    /// What is sent.
    pub request: WebhookRequest,
    /// The credentials that are added.
    pub credentials: Vec<Credential>,
    /// The same from long ago, where that is refused.
    pub stale: Option<Vec<Credential>>,
    /// How the test breaks them itself.
    pub broken: Option<AuthBreak>,
    /// What the provider's API answers.
    pub answers: Vec<RecordedAnswer>,
    /// The rows that are there before, by table.
    pub given: Vec<(String, Vec<Row>)>,
    /// What is to be seen afterwards.
    pub expected: Expected,
}

/// What is to be seen after a test; what is not set does not matter.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The answer's status.
    pub status: Option<u16>,
    /// The worst state of the delivery's records.
    pub state: Option<RecordState>,
    /// A part of a reason.
    pub reason: Option<String>,
    /// Exactly these rows, by table.
    pub rows: Vec<(String, Vec<Row>)>,
    /// How many calls were made.
    pub calls: Option<usize>,
    /// The answer itself, and what was shown.
    pub answer: ExpectedAnswer,
    /// What each forward sent; nothing is said of them when it is not set.
    pub forwards: Option<ExpectedForwards>,
}

/// What compiling a test needs: its source, the path of the test file, and the files beside it.
#[derive(Clone, Copy)]
pub struct Surrounding<'a> {
    /// The source that is tested.
    pub source: &'a Arc<Source>,
    /// The path of the test file; other paths are relative to it.
    pub path: &'a str,
    /// Where files are read.
    pub world: World<'a>,
}

impl Surrounding<'_> {
    /// A file that a test names; a problem when it cannot be read.
    pub fn read(&self, file: &Spanned<String>, problems: &mut Diagnostics) -> Option<String> {
        let path = beside(self.path, &file.value);
        match (self.world.files)(&path) {
            Ok(text) => Some(text),
            Err(reason) => {
                let message = format!("the file `{path}` {reason}");
                let hint = "paths are relative to the test file";
                problems.report(Diagnostic::error("file-not-found", file.span, message).hint(hint));
                None
            }
        }
    }
}

/// Compiles a test.
pub fn compile(options: &TestOptions, line: usize, surrounding: Surrounding<'_>, problems: &mut Diagnostics) -> Option<Case> {
    let request = request_of(&options.send, surrounding, problems)?;
    let integration = integration_of(options, surrounding.source, problems)?;
    let (scheme, by_handshake) = scheme_for(surrounding.source, &request);
    let tenant = tenant_of(options, surrounding.source, (scheme, by_handshake), problems);
    let credentials = credentials_of(surrounding.source, scheme, options.send.auth, &integration).map_err(|reason| {
        let message = format!("credentials cannot be added for `{}`: {reason}", surrounding.source.name);
        let hint = "write them yourself and say `auth: none`";
        problems.report(Diagnostic::error("auth-not-a-path", options.send.span, message).hint(hint));
    });
    let stale = credentials_of(surrounding.source, scheme, Some(AuthBreak::Stale), &integration).ok();
    let answers: Vec<Option<RecordedAnswer>> =
        options.apis.iter().map(|answer| answer_of(answer, surrounding, problems)).collect();
    let given = rows_of(&options.given, problems);
    let expected = expected_of(&options.expect, surrounding.source, problems);
    Some(Case {
        name: options.name.value.clone(),
        line,
        tenant: tenant?,
        claims: options.send.claims.entries.iter().map(|(name, value)| (name.value.clone(), value.to_json())).collect(),
        integration,
        request,
        credentials: credentials.ok()?,
        stale,
        broken: options.send.auth,
        answers: answers.into_iter().collect::<Option<_>>()?,
        given: given?,
        expected: expected?,
    })
}

fn integration_of(options: &TestOptions, source: &Source, problems: &mut Diagnostics) -> Option<Vec<(String, String)>> {
    let fields = &source.integration().fields;
    let known = || fields.iter().map(|field| field.name.as_str());
    let mut all_known = true;
    for (name, _) in options.integration.entries.iter().filter(|(name, _)| !known().any(|known| known == name.value)) {
        report_unknown(name, known(), problems);
        all_known = false;
    }
    let given = options.integration.entries.iter().map(|(name, value)| (name.value.clone(), value.clone()));
    all_known.then(|| given.collect())
}

fn tenant_of(
    options: &TestOptions,
    source: &Source,
    (scheme, by_handshake): (&Auth, bool),
    problems: &mut Diagnostics,
) -> Option<Option<String>> {
    let needs_tenant = match source.tenant {
        // its address has to be one of ours all the same
        _ if by_handshake => {
            let by_address = source.integration().endpoint_place().is_some();
            (by_address || scheme.names_tenant()) && options.send.auth.is_none()
        }
        TenantRule::Caller => options.send.auth.is_none(),
        TenantRule::Record => true,
        TenantRule::Named(_) | TenantRule::None => false,
    };
    match (&options.tenant, &source.tenant) {
        (Some(tenant), _) if !Tenant::is_name(tenant) => {
            let message =
                format!("`{}` cannot name a tenant: 1 to 64 letters, digits, `.`, `_` and `-` are expected", tenant.value);
            problems.report(Diagnostic::error("wrong-type", tenant.span, message));
            None
        }
        (Some(tenant), TenantRule::Named(name)) if tenant.value != *name => {
            let message = format!("the source belongs to the tenant `{name}`; found `{}`", tenant.value);
            problems.report(Diagnostic::error("wrong-tenant", tenant.span, message).hint("leave `tenant` out"));
            None
        }
        (Some(tenant), _) => Some(Some(tenant.value.clone())),
        (None, TenantRule::Named(name)) => Some(Some(name.clone())),
        (None, _) if needs_tenant => {
            let message = "the test needs a `tenant`: on whose behalf is it sent?";
            problems.report(Diagnostic::error("missing-option", options.name.span, message).hint("add `tenant: acme`"));
            None
        }
        (None, _) => Some(None),
    }
}

fn request_of(send: &SendOptions, surrounding: Surrounding<'_>, problems: &mut Diagnostics) -> Option<WebhookRequest> {
    let receive = &surrounding.source.receive;
    let captured = captured_of(send, surrounding, problems)?;
    let path = send.path.as_ref().map(|path| path.value.clone());
    let path = path.or_else(|| captured.as_ref().map(|captured| captured.path.clone())).unwrap_or_else(|| receive.path_text());
    let endpoint = surrounding.source.integration().endpoint_place();
    let endpoint = endpoint.or_else(|| surrounding.source.auth.leaves().into_iter().find_map(Auth::endpoint_place));
    let filled = match endpoint.as_deref() {
        Some([block, name]) if block == "params" => path.replace(&format!("/:{name}"), ""),
        _ => path.clone(),
    };
    if send.path.is_none() && filled.contains("/:") {
        let message = format!("the path `{path}` has parameters: the test needs a `path`");
        let hint = format!("such as `path: {}`", path.replace(':', ""));
        problems.report(Diagnostic::error("missing-option", send.span, message).hint(hint));
        return None;
    }
    let query = pairs_of(&send.query, problems);
    let headers = pairs_of(&send.headers, problems);
    let wire_name = |(name, value): (String, String)| (name.replace('_', "-"), value);
    let captured = match captured {
        Some(captured) => captured,
        None => WebhookRequest {
            method: receive.methods.first().cloned().unwrap_or_default(),
            body: body_of(send, surrounding, problems)?,
            ..WebhookRequest::default()
        },
    };
    Some(WebhookRequest {
        method: send.method.clone().unwrap_or(captured.method).to_ascii_uppercase(),
        path,
        query: instead_of(captured.query, query?, str::eq),
        headers: instead_of(captured.headers, headers?.into_iter().map(wire_name).collect(), str::eq_ignore_ascii_case),
        body: captured.body,
        client: None,
    })
}

/// The pairs of the capture whose names the test does not say itself, and those that it says.
fn instead_of(
    captured: Vec<(String, String)>,
    said: Vec<(String, String)>,
    is_same: fn(&str, &str) -> bool,
) -> Vec<(String, String)> {
    let kept = captured.into_iter().filter(|(name, _)| !said.iter().any(|(known, _)| is_same(known, name)));
    kept.collect::<Vec<_>>().into_iter().chain(said.iter().cloned()).collect()
}

/// The captured request that a test sends, if it sends one.
fn captured_of(send: &SendOptions, surrounding: Surrounding<'_>, problems: &mut Diagnostics) -> Option<Option<WebhookRequest>> {
    let file = match &send.file {
        Some(file) if captured::is_one(file) && send.json.is_none() && send.text.is_none() => file,
        _ => return Some(None),
    };
    let text = surrounding.read(file, problems)?;
    let read = captured::read(&text, surrounding.source, surrounding.world.engine).map_err(|reason| {
        let message = format!("the captured request `{}` cannot be read: {reason}", file.value);
        problems.report(
            Diagnostic::error("file-not-found", file.span, message).hint("a request line, headers, an empty line, the body"),
        );
    });
    read.ok().map(Some)
}

fn body_of(send: &SendOptions, surrounding: Surrounding<'_>, problems: &mut Diagnostics) -> Option<WebhookBody> {
    match (&send.json, &send.text, &send.file) {
        (None, None, None) => Some(WebhookBody::Empty),
        (Some(json), None, None) => Some(WebhookBody::Json(json.to_json())),
        (None, Some(text), None) => Some(WebhookBody::Text(text.clone())),
        (None, None, Some(file)) => {
            let text = surrounding.read(file, problems)?;
            Some(serde_json::from_str(&text).map_or(WebhookBody::Text(text), WebhookBody::Json))
        }
        _ => {
            let message = "a request has one body; found several of `json`, `text` and `file`";
            problems.report(Diagnostic::error("one-of", send.span, message).hint("keep one"));
            None
        }
    }
}

/// Names and texts; a list gives a name several times.
pub(super) fn pairs_of(named: &Named<Node>, problems: &mut Diagnostics) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for (name, node) in &named.entries {
        let nodes = match &node.content {
            Content::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        for node in nodes {
            let Some(text) = node.text() else {
                report_expected("a text", node, problems);
                return None;
            };
            pairs.push((name.value.clone(), text.to_owned()));
        }
    }
    Some(pairs)
}

fn answer_of(answer: &AnswerOptions, surrounding: Surrounding<'_>, problems: &mut Diagnostics) -> Option<RecordedAnswer> {
    let url = url_of(answer, problems);
    let status = match answer.status.unwrap_or(200) {
        status @ 100..=599 => u16::try_from(status).ok(),
        status => {
            let message = format!("`{status}` is no HTTP status");
            problems.report(Diagnostic::error("wrong-type", answer.span, message).hint("100 to 599"));
            None
        }
    };
    let headers = pairs_of(&answer.headers, problems);
    let (kind, body) = match (&answer.json, &answer.text, &answer.file) {
        (None, None, None) => ("application/json", Some(String::new())),
        (Some(json), None, None) => ("application/json", Some(json.to_json().to_string())),
        (None, Some(text), None) => ("text/plain", Some(text.clone())),
        (None, None, Some(file)) => ("application/json", surrounding.read(file, problems)),
        _ => {
            let message = "an answer has one body; found several of `json`, `text` and `file`";
            problems.report(Diagnostic::error("one-of", answer.span, message).hint("keep one"));
            return None;
        }
    };
    Some(RecordedAnswer {
        method: if answer.post.is_some() { Method::POST } else { Method::GET },
        url: url?,
        required_headers: headers?.into_iter().map(|(name, value)| (name.replace('_', "-"), value)).collect(),
        status: status?,
        headers: vec![("content-type".to_owned(), kind.to_owned())],
        body: Bytes::from(body?),
    })
}

fn url_of(answer: &AnswerOptions, problems: &mut Diagnostics) -> Option<Url> {
    let written = match (&answer.get, &answer.post) {
        (Some(url), None) | (None, Some(url)) => url,
        (None, None) => {
            let message = "an answer needs `get` or `post`: the address that it is for";
            let hint = "such as `get: https://api.example.com/orders/1`";
            problems.report(Diagnostic::error("missing-option", answer.head, message).hint(hint));
            return None;
        }
        (Some(_), Some(post)) => {
            let message = "an answer is for a GET or a POST; found both";
            problems.report(Diagnostic::error("one-of", post.span, message).hint("keep one of `get` and `post`"));
            return None;
        }
    };
    let url = Url::parse(written).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    if url.is_none() {
        let message = format!("expected a whole address; found `{}`", written.value);
        let hint = "such as `https://api.example.com/orders/1`";
        problems.report(Diagnostic::error("wrong-type", written.span, message).hint(hint));
    }
    url
}

fn rows_of(tables: &Named<Vec<Node>>, problems: &mut Diagnostics) -> Option<Vec<(String, Vec<Row>)>> {
    let mut all = Vec::new();
    for (table, nodes) in &tables.entries {
        let mut rows = Vec::new();
        for node in nodes {
            match node.to_json() {
                Json::Object(row) => rows.push(row),
                _ => {
                    report_expected("a row: a map of columns", node, problems);
                    return None;
                }
            }
        }
        all.push((table.value.clone(), rows));
    }
    Some(all)
}

fn expected_of(expect: &ExpectOptions, source: &Source, problems: &mut Diagnostics) -> Option<Expected> {
    let answer = answered::compile(expect, problems)?;
    let nothing = expect.status.is_none() && expect.state.is_none() && expect.reason.is_none() && expect.calls.is_none();
    if nothing && expect.rows.is_empty() && expect.forwards.span.is_none() && answer.is_empty() {
        let message = "the test expects nothing, so it would always pass";
        let hint = "such as `expect: { status: 200, state: done }`";
        problems.report(Diagnostic::error("missing-option", expect.span, message).hint(hint));
        return None;
    }
    let state = match &expect.state {
        None => Some(None),
        Some(word) => match word.parse::<RecordState>() {
            Ok(state) => Some(Some(state)),
            Err(reason) => {
                let words = RecordState::ALL.map(RecordState::word);
                problems.report(Diagnostic::error("wrong-type", word.span, reason).did_you_mean(word, words, word.span));
                None
            }
        },
    };
    Some(Expected {
        status: expect.status.as_ref().map(|status| u16::try_from(status.value).unwrap_or(u16::MAX)),
        state: state?,
        reason: expect.reason.as_ref().map(|reason| reason.value.clone()),
        rows: rows_of(&expect.rows, problems)?,
        calls: expect.calls.as_ref().map(|calls| usize::try_from(calls.value).unwrap_or(usize::MAX)),
        answer,
        forwards: forwarded::compile(&expect.forwards, source, problems)?,
    })
}

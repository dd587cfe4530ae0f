//! What a test expects forwards to send against what they sent: each in order, and nothing else.

use std::sync::Arc;

use serde_json::Value as Json;

use super::cases::pairs_of;
use super::report::Mismatch;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::Named;
use crate::http_client::call::Call;
use crate::routes::source::Source;
use crate::routes::test_file::SentOptions;
use crate::secret::Mask;

/// What is expected of each forward, by its name, in order.
pub type ExpectedForwards = Vec<(String, Vec<ExpectedForward>)>;

/// What a forward is expected to send; what is not set does not matter.
#[derive(Clone, Debug)]
pub struct ExpectedForward {
    method: Option<String>,
    url: Option<String>,
    headers: Vec<(String, String)>,
    json: Option<Json>,
    form: Option<Vec<(String, String)>>,
    text: Option<String>,
}

impl ExpectedForward {
    /// The whole address that it is to be sent to, where the test says it.
    pub(super) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// As it is written.
    pub(super) fn of(options: &SentOptions, problems: &mut Diagnostics) -> Option<Self> {
        let headers = pairs_of(&options.headers, problems)?;
        let form = pairs_of(&options.form, problems)?;
        Some(Self {
            method: options.method.as_ref().map(|method| method.to_ascii_uppercase()),
            url: options.url.clone(),
            headers: headers.into_iter().map(|(name, value)| (name.replace('_', "-").to_ascii_lowercase(), value)).collect(),
            json: options.json.as_ref().map(crate::config::yaml::Node::to_json),
            form: options.form.span.map(|_| sorted(form)),
            text: options.text.clone(),
        })
    }
}

/// What `expect.forwards` says, by the names that the source has.
pub(super) fn compile(
    written: &Named<Vec<SentOptions>>,
    source: &Source,
    problems: &mut Diagnostics,
) -> Option<Option<ExpectedForwards>> {
    let forwards = || source.admission.routes.iter().flat_map(|route| &route.forwards).map(|forward| forward.name.as_str());
    let mut all = Vec::new();
    for (name, sent) in &written.entries {
        if !forwards().any(|known| known == name.value) {
            let message = format!("`{}` has no forward `{}`", source.name, name.value);
            let diagnostic = Diagnostic::error("unknown-option", name.span, message);
            problems.report(diagnostic.did_you_mean(&name.value, forwards(), name.span));
            return None;
        }
        let sent = sent.iter().map(|options| ExpectedForward::of(options, problems));
        all.push((name.value.clone(), sent.collect::<Option<_>>()?));
    }
    Some(written.span.map(|_| all))
}

/// What a forward sent.
pub(super) struct Sent {
    /// Its name.
    pub(super) name: String,
    /// `POST`, …
    pub(super) method: String,
    /// The whole address.
    pub(super) url: String,
    /// By lower-case name.
    pub(super) headers: Vec<(String, String)>,
    /// As text.
    pub(super) body: String,
    /// Covers secrets where it is told.
    pub(super) mask: Arc<Mask>,
}

impl From<&Call> for Sent {
    fn from(call: &Call) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let kind = call.body.iter().map(|(kind, _)| ("content-type".to_owned(), kind.clone()));
        Self {
            name: call.name.clone(),
            method: call.method.to_string(),
            url: call.url.to_string(),
            // the type that a header says goes before that of the body
            headers: call.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).chain(kind).collect(),
            body: call.body.as_ref().map(|(_, content)| text(content)).unwrap_or_default(),
            mask: Arc::clone(&call.mask),
        }
    }
}

/// How what was sent differs from what was expected.
pub(super) fn compare(expected: &[(String, Vec<ExpectedForward>)], sent: &[Sent]) -> Vec<Mismatch> {
    let mut mismatches = Vec::new();
    let mut names: Vec<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
    for call in sent.iter().filter(|call| !expected.iter().any(|(name, _)| *name == call.name)) {
        if !names.contains(&call.name.as_str()) {
            names.push(&call.name);
        }
    }
    for name in names {
        let wanted = expected.iter().find(|(known, _)| known == name).map_or(&[][..], |(_, wanted)| wanted);
        let found: Vec<&Sent> = sent.iter().filter(|call| call.name == name).collect();
        if wanted.len() != found.len() {
            let all: Vec<String> = found.iter().map(|call| in_words(call)).collect();
            let found = if all.is_empty() { "nothing".to_owned() } else { format!("{}: {}", all.len(), all.join("; ")) };
            mismatches.push(differs(format!("{} by `{name}`", wanted.len()), found));
            continue;
        }
        for (wanted, found) in wanted.iter().zip(found) {
            compare_one(name, wanted, found, &mut mismatches);
        }
    }
    mismatches
}

fn compare_one(name: &str, wanted: &ExpectedForward, found: &Sent, mismatches: &mut Vec<Mismatch>) {
    let mut check = |what: &str, wanted: String, sent: String| {
        if wanted != sent {
            mismatches.push(differs(format!("`{name}` {what} {wanted}"), found.mask.text(&sent)));
        }
    };
    if let Some(method) = &wanted.method {
        check("method", method.clone(), found.method.clone());
    }
    if let Some(url) = &wanted.url {
        check("url", url.clone(), found.url.clone());
    }
    for (header, value) in &wanted.headers {
        let sent = found.headers.iter().find(|(known, _)| known == header).map(|(_, value)| value.clone());
        check(&format!("header {header}"), value.clone(), sent.unwrap_or_else(|| "none".to_owned()));
    }
    let body = found.body.clone();
    if let Some(json) = &wanted.json {
        let sent = serde_json::from_str::<Json>(&body);
        let is_same = sent.as_ref().is_ok_and(|sent| sent == json);
        check("json", json.to_string(), if is_same { json.to_string() } else { body.clone() });
    }
    if let Some(form) = &wanted.form {
        let sent: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        check("form", format!("{form:?}"), format!("{:?}", sorted(sent)));
    }
    if let Some(text) = &wanted.text {
        check("text", text.clone(), body);
    }
}

fn sorted(mut pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    pairs.sort();
    pairs
}

fn in_words(sent: &Sent) -> String {
    sent.mask.text(&format!("{} {} {}", sent.method, sent.url, sent.body)).trim_end().to_owned()
}

fn differs(expected: String, found: String) -> Mismatch {
    Mismatch::Value { what: "forwards", expected, found }
}

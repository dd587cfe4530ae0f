//! What a test expects of the answer itself, and of what a handshake shows: mostly for handshakes, whose answer is all there is.

use serde_json::Value as Json;

use super::cases::pairs_of;
use super::report::Mismatch;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::routes::test_file::{AnsweredOptions, ExpectOptions};

/// What the answer must be; what is not set does not matter.
#[derive(Clone, Debug, Default)]
pub struct ExpectedAnswer {
    body: Option<ExpectedBody>,
    headers: Vec<(String, String)>,
    shown: Option<Vec<(String, String)>>,
}

#[derive(Clone, Debug)]
enum ExpectedBody {
    Text(String),
    Json(Json),
}

/// An answer as it came, and what was shown.
pub(super) struct Answer<'a> {
    /// The body.
    pub(super) body: &'a str,
    /// The headers, by lower-case name.
    pub(super) headers: &'a [(String, String)],
    /// What a handshake showed, by name.
    pub(super) shown: &'a [(String, String)],
}

/// Compiles `expect.answer` and `expect.shown`.
pub(super) fn compile(expect: &ExpectOptions, problems: &mut Diagnostics) -> Option<ExpectedAnswer> {
    let shown = expect
        .shown
        .as_ref()
        .map(|shown| shown.entries.iter().map(|(name, value)| (name.value.clone(), value.clone())).collect::<Vec<_>>());
    let Some(answer) = &expect.answer else { return Some(ExpectedAnswer { shown, ..ExpectedAnswer::default() }) };
    let wire_name = |(name, value): (String, String)| (name.replace('_', "-").to_ascii_lowercase(), value);
    let headers = pairs_of(&answer.headers, problems)?.into_iter().map(wire_name).collect();
    Some(ExpectedAnswer { body: body_of(answer, problems)?, headers, shown })
}

fn body_of(answer: &AnsweredOptions, problems: &mut Diagnostics) -> Option<Option<ExpectedBody>> {
    match (&answer.text, &answer.json) {
        (Some(_), Some(json)) => {
            let message = "an answer is either `text` or `json`; found both";
            problems.report(Diagnostic::error("one-of", json.head(), message).hint("keep one"));
            None
        }
        (Some(text), None) => Some(Some(ExpectedBody::Text(text.clone()))),
        (None, Some(json)) => Some(Some(ExpectedBody::Json(json.to_json()))),
        (None, None) => Some(None),
    }
}

impl ExpectedAnswer {
    /// Whether anything is expected.
    pub fn is_empty(&self) -> bool {
        self.body.is_none() && self.headers.is_empty() && self.shown.is_none()
    }

    /// What is not as expected.
    pub(super) fn compare(&self, answer: &Answer<'_>) -> Vec<Mismatch> {
        let mut mismatches = Vec::new();
        let mut differ = |what, expected: String, found: String| mismatches.push(Mismatch::Value { what, expected, found });
        match &self.body {
            Some(ExpectedBody::Text(text)) if text != answer.body => differ("answer", quoted(text), quoted(answer.body)),
            Some(ExpectedBody::Json(json)) if serde_json::from_str::<Json>(answer.body).ok().as_ref() != Some(json) => {
                differ("answer", json.to_string(), quoted(answer.body));
            }
            _ => {}
        }
        for (name, value) in &self.headers {
            let found = answer.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
            let found: Vec<&str> = found.collect();
            if !found.contains(&value.as_str()) {
                differ("header", format!("{name}: {value}"), or_none(&found.join(", ")));
            }
        }
        if let Some(expected) = &self.shown {
            let listed = |pairs: &[(String, String)]| {
                let mut lines: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                lines.sort();
                lines.join(", ")
            };
            let (expected, found) = (listed(expected), listed(answer.shown));
            if expected != found {
                differ("shown", or_none(&expected), or_none(&found));
            }
        }
        mismatches
    }
}

fn quoted(text: &str) -> String {
    if text.is_empty() { "nothing".to_owned() } else { format!("`{text}`") }
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { text.to_owned() }
}

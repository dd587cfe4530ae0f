//! Diagnostics as SARIF 2.1.0, which code hosts and editors show beside the lines; each code is a rule with its explanation.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;

use super::place::{Place, in_order};
use crate::config::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::config::explain;
use crate::config::source::{Sources, Span};

/// What a path in a URI cannot hold as it is.
const NOT_IN_URIS: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}').add(b'?').add(b'#').add(b'%');

/// The log of one run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    column_kind: &'static str,
    results: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    semantic_version: &'static str,
    rules: Vec<Rule>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    full_description: Option<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<Message>,
}

/// One problem.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    rule_id: &'static str,
    level: &'static str,
    message: Message,
    locations: Vec<Location>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Location>,
}

#[derive(Debug, Serialize)]
struct Message {
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    markdown: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: PhysicalLocation,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    region: Region,
}

#[derive(Debug, Serialize)]
struct ArtifactLocation {
    uri: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: usize,
    start_column: usize,
    end_line: usize,
    end_column: usize,
}

/// The problems of one folder as SARIF tells them.
pub fn findings(diagnostics: &Diagnostics, sources: &Sources) -> Vec<Finding> {
    in_order(diagnostics, sources).into_iter().map(|one| finding(one, sources)).collect()
}

/// The log of all problems of a run.
pub fn log(findings: Vec<Finding>) -> Log {
    let mut codes: Vec<&'static str> = findings.iter().map(|one| one.rule_id).collect();
    codes.sort_unstable();
    codes.dedup();
    let driver =
        Driver { name: "hooktable", semantic_version: env!("CARGO_PKG_VERSION"), rules: codes.into_iter().map(rule).collect() };
    Log {
        schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        version: "2.1.0",
        runs: [Run { tool: Tool { driver }, column_kind: "unicodeCodePoints", results: findings }],
    }
}

fn finding(diagnostic: &Diagnostic, sources: &Sources) -> Finding {
    let mut text = diagnostic.message.clone();
    for more in [&diagnostic.label, &diagnostic.hint].into_iter().flatten() {
        text.push('\n');
        text.push_str(more);
    }
    Finding {
        rule_id: diagnostic.code,
        level: match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        message: Message::plain(text),
        locations: diagnostic.span.iter().map(|span| location(*span, None, sources)).collect(),
        related_locations: diagnostic.related.iter().map(|(span, text)| location(*span, Some(text), sources)).collect(),
    }
}

fn location(span: Span, text: Option<&String>, sources: &Sources) -> Location {
    let Place { path, line, column, end_line, end_column } = Place::of(span, sources);
    let region = Region { start_line: line, start_column: column, end_line, end_column };
    let artifact_location = ArtifactLocation { uri: uri_of(path) };
    let message = text.map(|text| Message::plain(text.clone()));
    Location { physical_location: PhysicalLocation { artifact_location, region }, message }
}

fn uri_of(path: &str) -> String {
    let path = path.replace('\\', "/");
    let scheme = if path.starts_with('/') { "file://" } else { "" };
    format!("{scheme}{}", utf8_percent_encode(path.strip_prefix("./").unwrap_or(&path), NOT_IN_URIS))
}

fn rule(code: &'static str) -> Rule {
    let explanation = explain::find(code);
    let help = explanation.map(|one| {
        let example =
            |(wrong, right): (&str, &str)| format!("\n\nWrong:\n\n```yaml\n{wrong}```\n\nRight:\n\n```yaml\n{right}```");
        let text = format!("{}\n\nWhy it matters: {}\n\nThe fix: {}", one.means, one.why, one.fix);
        Message { markdown: Some(format!("{text}{}", one.example.map(example).unwrap_or_default())), text }
    });
    Rule { id: code, full_description: explanation.map(|one| Message::plain(one.means.to_owned())), help }
}

impl Message {
    fn plain(text: String) -> Self {
        Self { text, markdown: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri_of("./routes.d/a b.yaml"), "routes.d/a%20b.yaml");
        assert_eq!(uri_of("/srv/routes.d/ä.yaml"), "file:///srv/routes.d/%C3%A4.yaml");
    }
}

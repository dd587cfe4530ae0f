//! Diagnostics as programs read them: a list of objects.

use serde_json::{Value as Json, json};

use super::place::{Place, in_order};
use crate::config::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::config::source::{Sources, Span};

/// All of them as a list of objects. Lines and columns count from 1, columns in characters; the end is behind the last one.
pub fn json(diagnostics: &Diagnostics, sources: &Sources) -> Json {
    in_order(diagnostics, sources).into_iter().map(|one| object(one, sources)).collect()
}

fn object(diagnostic: &Diagnostic, sources: &Sources) -> Json {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = diagnostic.span.map(|span| place_of(span, sources));
    let at = |name: &str| place.as_ref().map_or(Json::Null, |place| place[name].clone());
    let replacement = diagnostic.replacement.as_ref().map(|replacement| {
        let mut object = place_of(replacement.span, sources);
        object["text"] = json!(replacement.value);
        object
    });
    let related = diagnostic.related.iter().map(|(span, text)| {
        let mut object = place_of(*span, sources);
        object["message"] = json!(text);
        object
    });
    json!({
        "code": diagnostic.code,
        "severity": severity,
        "message": diagnostic.message,
        "path": at("path"),
        "line": at("line"),
        "column": at("column"),
        "end_line": at("end_line"),
        "end_column": at("end_column"),
        "label": diagnostic.label,
        "hint": diagnostic.hint,
        "replacement": replacement,
        "related": related.collect::<Vec<_>>(),
    })
}

fn place_of(span: Span, sources: &Sources) -> Json {
    let Place { path, line, column, end_line, end_column } = Place::of(span, sources);
    json!({ "path": path, "line": line, "column": column, "end_line": end_line, "end_column": end_column })
}

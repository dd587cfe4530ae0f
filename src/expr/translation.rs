//! `map:` of the long form: an enumeration translated word by word, compared as text.

use serde_json::Value as Json;

use super::convert::{scalar_text, show};
use super::reads::Reads;
use super::template::{Context, Engine};
use super::value::{Compiler, Value, ValueError, is_template};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::report_expected_hint;
use crate::config::yaml::Node;

/// A compiled translation.
#[derive(Clone, Debug)]
pub(crate) struct Translation {
    entries: Vec<(String, Json)>,
    otherwise: Option<Value>,
}

impl Translation {
    /// Compiles `map:` and `else:`. Entries are written out, so that all that can come of them is known; `else` is any value.
    pub(crate) fn compile(
        map: Option<&Node>,
        otherwise: Option<&Node>,
        compiler: &Compiler<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Option<Self>> {
        let Some(map) = map else {
            if let Some(otherwise) = otherwise {
                let message = "`else` says what becomes of a value that `map` does not have; there is no `map`";
                let hint = "write `map: { 0: requested, 1: approved }` beside it, or use `default` for a missing value";
                diagnostics.report(Diagnostic::error("else-without-map", otherwise.span, message).hint(hint));
                return None;
            }
            return Some(None);
        };
        let otherwise = otherwise.map(|node| Value::compile(node, compiler, diagnostics));
        let Some(written) = map.entries().filter(|entries| !entries.is_empty()) else {
            report_expected_hint("a map of values", map, "such as `map: { 0: requested, 1: approved }`", diagnostics);
            return None;
        };
        let mut entries = Vec::new();
        for entry in written {
            let moves = entry.value.text().is_some_and(|text| text.starts_with('$') || is_template(text));
            match entry.value.scalar_json().filter(|_| !moves) {
                Some(value) => entries.push((entry.name.value.clone(), value)),
                None => {
                    let hint = "only `else` may be a path or a template";
                    report_expected_hint("a value that is written out", &entry.value, hint, diagnostics);
                }
            }
        }
        let otherwise = otherwise.map_or(Some(None), |otherwise| otherwise.map(Some))?;
        (entries.len() == written.len()).then_some(Some(Self { entries, otherwise }))
    }

    /// The translated value; null stays null unless it has an entry. `origin` names the value in a problem.
    pub(crate) fn translate(&self, value: &Json, origin: &str, context: Context<'_>) -> Result<Option<Json>, ValueError> {
        let text = if value.is_null() { Some("null".to_owned()) } else { scalar_text(value) };
        let entry = text.and_then(|text| self.entries.iter().find(|(known, _)| *known == text));
        match (entry, &self.otherwise) {
            (Some((_, translated)), _) => Ok(Some(translated.clone())),
            (None, _) if value.is_null() => Ok(Some(Json::Null)),
            (None, Some(otherwise)) => otherwise.evaluate(context),
            (None, None) => {
                let known: Vec<String> = self.entries.iter().map(|(known, _)| format!("`{known}`")).collect();
                Err(ValueError(format!("`{origin}`: expected one of {}; got {}", known.join(", "), show(value))))
            }
        }
    }

    /// Adds the places of the event document that it looks at.
    pub(crate) fn add_reads(&self, engine: &Engine, reads: &mut Reads) {
        self.otherwise.iter().for_each(|otherwise| otherwise.add_reads(engine, reads));
    }
}

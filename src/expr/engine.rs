//! The environments that templates run in: what they can call, how values look in text, their limits, and the templates that
//! may be included. Built once for each generation of files, never for an evaluation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use serde_json::Value as Json;

use super::analysis::{self, Analysis};
use super::decimal::Decimal;
use super::json_value::to_json;
use super::template::{TemplateError, explain};
use super::{builtins, dates, digests, functions, texts};
use crate::config::source::FileId;

/// How many instructions one evaluation may take.
const FUEL: u64 = 50_000;

/// The environments that templates run in, one for each purpose.
#[derive(Clone)]
pub struct Engine {
    text: Arc<Environment<'static>>,
    url: Arc<Environment<'static>>,
    part: Arc<Environment<'static>>,
    library: Arc<BTreeMap<String, LibraryFile>>,
}

/// A template that others can include.
pub(crate) struct LibraryFile {
    /// Where its text stands among those of the run.
    pub(crate) file: FileId,
    /// Its text.
    pub(crate) text: String,
    /// What it looks at; or why it cannot be read.
    pub(crate) analysis: Result<Analysis, TemplateError>,
}

/// What the text of a template is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Text as it is.
    Text,
    /// A URL: each inserted value becomes one percent-encoded path segment.
    Url,
    /// One of several texts of which some may be left out: a value that is empty is a hole as well.
    Part,
}

impl Default for Engine {
    fn default() -> Self {
        Self::with(BTreeMap::new())
    }
}

impl Engine {
    /// An engine whose templates can include these, by name.
    pub fn with_templates(templates: impl IntoIterator<Item = (String, (FileId, String))>) -> Self {
        let read = |(name, (file, text)): (String, (FileId, String))| {
            let analysis = analysis::of_template(&text).map_err(|error| explain(&error, &text));
            (name, LibraryFile { file, text, analysis })
        };
        Self::with(templates.into_iter().map(read).collect())
    }

    fn with(mut library: BTreeMap<String, LibraryFile>) -> Self {
        let mut environment = |purpose| {
            let mut environment = environment(purpose);
            for (name, file) in &mut library {
                if let Err(error) = environment.add_template_owned(name.clone(), file.text.clone()) {
                    file.analysis = Err(explain(&error, &file.text));
                }
            }
            Arc::new(environment)
        };
        let (text, url, part) = (environment(Purpose::Text), environment(Purpose::Url), environment(Purpose::Part));
        Self { text, url, part, library: Arc::new(library) }
    }

    /// A template that can be included.
    pub(crate) fn included(&self, name: &str) -> Option<&LibraryFile> {
        self.library.get(name)
    }

    /// The names of the templates that can be included.
    pub(crate) fn library_names(&self) -> impl Iterator<Item = &str> {
        self.library.keys().map(String::as_str)
    }

    /// All templates that one includes, and what those include.
    pub(crate) fn all_included<'e>(&'e self, analysis: &Analysis) -> BTreeMap<&'e str, &'e LibraryFile> {
        let mut found = BTreeMap::new();
        let mut waiting: Vec<String> = analysis.included.iter().map(|included| included.name.clone()).collect();
        while let Some(name) = waiting.pop() {
            let Some((name, file)) = self.library.get_key_value(&name) else { continue };
            if found.insert(name.as_str(), file).is_none() {
                let further = file.analysis.iter().flat_map(|analysis| &analysis.included);
                waiting.extend(further.map(|included| included.name.clone()));
            }
        }
        found
    }

    /// The names of all templates that a text of a route file includes; none when it cannot be read.
    pub fn templates_of(&self, text: &str) -> BTreeSet<String> {
        let analysis = if text.contains("{%") { analysis::of_template(text).ok() } else { None };
        analysis.iter().flat_map(|analysis| self.all_included(analysis)).map(|(name, _)| name.to_owned()).collect()
    }

    pub(super) fn environment(&self, purpose: Purpose) -> &Arc<Environment<'static>> {
        match purpose {
            Purpose::Text => &self.text,
            Purpose::Url => &self.url,
            Purpose::Part => &self.part,
        }
    }

    /// Whether `name` is a function that expressions can call.
    pub fn knows_function(&self, name: &str) -> bool {
        self.text.globals().any(|(known, _)| known == name)
    }

    /// The functions that expressions can call.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.text.globals().map(|(name, _)| name)
    }

    /// Whether `name` is a filter.
    pub fn knows_filter(&self, name: &str) -> bool {
        self.knows(&format!("none|{name}"), ErrorKind::UnknownFilter)
    }

    /// Whether `name` is a test.
    pub fn knows_test(&self, name: &str) -> bool {
        self.knows(&format!("none is {name}"), ErrorKind::UnknownTest)
    }

    fn knows(&self, probe: &str, unknown: ErrorKind) -> bool {
        let result = self.text.compile_expression_owned(probe.to_owned()).and_then(|expression| expression.eval(()));
        !result.is_err_and(|error| error.kind() == unknown)
    }
}

fn environment(purpose: Purpose) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(50);
    environment.set_debug(true);
    for register in [functions::register, texts::register, dates::register, digests::register, builtins::register] {
        register(&mut environment);
    }
    environment.set_formatter(move |output, _, value| {
        let text = text_of(value)?;
        if purpose == Purpose::Part && text.is_empty() {
            return Err(Error::new(ErrorKind::UndefinedError, "is empty"));
        }
        let text = if purpose == Purpose::Url && !value.is_safe() { encode_segment(&text) } else { text };
        output.write_str(&text).map_err(|_| Error::new(ErrorKind::WriteFailure, "the text grows too long"))
    });
    environment
}

/// A text as one percent-encoded path segment.
pub(super) fn encode_segment(text: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    // a segment of only dots would be resolved away as "this folder" or "the one above"
    if matches!(text, "." | "..") {
        text.replace('.', "%2E")
    } else {
        percent_encoding::utf8_percent_encode(text, KEPT).to_string()
    }
}

/// The text a value has inside other text.
pub(super) fn text_of(value: &Value) -> Result<String, Error> {
    if let Some(decimal) = value.downcast_object_ref::<Decimal>() {
        return Ok(decimal.0.clone());
    }
    match value.kind() {
        ValueKind::Undefined => Err(Error::new(ErrorKind::UndefinedError, "is missing")),
        ValueKind::None => Err(Error::new(ErrorKind::UndefinedError, "is null")),
        ValueKind::Bool => Ok(value.is_true().to_string()),
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => Ok(to_json(value).unwrap_or(Json::Null).to_string()),
        _ => Ok(value.to_string()),
    }
}

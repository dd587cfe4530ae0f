//! The one rule of values: what starts with `$` is a path, what has `{{` is a template, any other scalar is itself, lists and maps
//! go by the same rule.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::convert::{scalar_text, show};
use super::jsonpath::Path;
use super::names::check_names;
use super::reads::Reads;
use super::scope::Scope;
use super::template::{Context, Engine, Purpose, Template, TemplateError};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::report_expected;
use crate::config::yaml::{Content, Node};

/// What compiling a value needs to know.
#[derive(Clone, Copy)]
pub struct Compiler<'a> {
    /// The environments that templates run in.
    pub engine: &'a Engine,
    /// The names that may be used.
    pub scope: &'a Scope,
}

/// A compiled value.
#[derive(Clone, Debug)]
pub enum Value {
    /// `$.order.lines`
    Path(Path),
    /// `"{{ order.number }}"`, `"order/{{ number }}"`
    Template(Arc<Template>),
    /// Anything that means itself.
    Literal(Json),
    /// Each element by the same rule; a missing one is null.
    List(Vec<Value>),
    /// Each value by the same rule; a missing one is left out.
    Map(Vec<(String, Value)>),
}

/// Why a value could not be had, in words that name it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub String);

impl Value {
    /// Compiles what stands at a node; problems are reported at their place inside it.
    pub fn compile(node: &Node, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        Self::compile_for(Purpose::Text, node, compiler, diagnostics)
    }

    /// Compiles a whole template of the folder, whose name stands at a node; problems inside it are reported at their places there.
    pub fn compile_included(name: &str, node: &Node, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let text = format!("{{% include {} %}}", Json::from(name));
        let template = Template::compile(&text, compiler.engine, Purpose::Text)
            .map_err(|error| report_template(&error, node, diagnostics))
            .ok()?;
        check_names(&template, node, compiler, diagnostics);
        Some(Self::Template(Arc::new(template)))
    }

    /// Compiles a value that must come out as one text or number, such as a lane: a list, a map or nothing cannot.
    pub fn compile_text(node: &Node, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        Self::compile_text_for(Purpose::Text, node, compiler, diagnostics)
    }

    /// Compiles one of several such values, which may come out as nothing ([`Value::part`]).
    pub fn compile_part(node: &Node, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        Self::compile_text_for(Purpose::Part, node, compiler, diagnostics)
    }

    fn compile_text_for(purpose: Purpose, node: &Node, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        match &node.content {
            Content::Map(_) if node.get("from").is_some() => {
                let message = "the long form of a value stands only under `extract`, `set`, `key` and `of`";
                diagnostics.report(
                    Diagnostic::error("long-form-here", node.head(), message)
                        .hint("name it under `extract`, and write `$.NAME` here"),
                );
                None
            }
            Content::List(_) | Content::Map(_) => {
                report_expected("a text or a path", node, diagnostics);
                None
            }
            Content::Scalar(_) if node.is_null() => {
                report_expected("a text or a path", node, diagnostics);
                None
            }
            Content::Scalar(_) => Self::compile_for(purpose, node, compiler, diagnostics),
        }
    }

    /// Compiles what stands in a URL, where inserted values become percent-encoded path segments.
    pub fn compile_url(node: &Node, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        Self::compile_for(Purpose::Url, node, compiler, diagnostics)
    }

    fn compile_for(purpose: Purpose, node: &Node, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        match &node.content {
            Content::List(items) => {
                let items: Vec<_> = items.iter().map(|item| Self::compile_for(purpose, item, compiler, diagnostics)).collect();
                items.into_iter().collect::<Option<_>>().map(Self::List)
            }
            Content::Map(entries) => {
                let fields: Vec<_> = entries
                    .iter()
                    .map(|entry| {
                        Some((entry.name.value.clone(), Self::compile_for(purpose, &entry.value, compiler, diagnostics)?))
                    })
                    .collect();
                fields.into_iter().collect::<Option<_>>().map(Self::Map)
            }
            Content::Scalar(scalar) if scalar.text.starts_with('$') => {
                compile_path(node, &scalar.text, compiler, diagnostics).map(Self::Path)
            }
            Content::Scalar(scalar) if is_template(&scalar.text) => {
                let template = Template::compile(&scalar.text, compiler.engine, purpose)
                    .map_err(|error| report_template(&error, node, diagnostics))
                    .ok()?;
                check_names(&template, node, compiler, diagnostics);
                Some(Self::Template(Arc::new(template)))
            }
            Content::Scalar(scalar) => {
                warn_of_path_lookalike(node, &scalar.text, compiler, diagnostics);
                Some(Self::Literal(node.scalar_json().unwrap_or(Json::Null)))
            }
        }
    }

    /// The value for a document; `None` when it is missing.
    pub fn evaluate(&self, context: Context<'_>) -> Result<Option<Json>, ValueError> {
        match self {
            Self::Path(path) => Ok(path.find(context.document)),
            Self::Template(template) => template.evaluate(context).map_err(|error| ValueError(error.message)),
            Self::Literal(value) => Ok(Some(value.clone())),
            Self::List(items) => {
                let items: Result<Vec<_>, _> =
                    items.iter().map(|item| Ok(item.evaluate(context)?.unwrap_or(Json::Null))).collect();
                items.map(|items| Some(Json::Array(items)))
            }
            Self::Map(fields) => {
                let mut evaluated = Map::new();
                for (name, field) in fields {
                    if let Some(value) = field.evaluate(context)? {
                        evaluated.insert(name.clone(), value);
                    }
                }
                Ok(Some(Json::Object(evaluated)))
            }
        }
    }

    /// The list whose items are taken one by one; what a path looks through must be there.
    pub fn list(&self, context: Context<'_>) -> Result<Option<Json>, ValueError> {
        match self {
            Self::Path(path) => Ok(path.find_list(context.document)),
            other => other.evaluate(context),
        }
    }

    /// The value as text that something is found or called by: a missing or null one, a list or an object is an error.
    pub fn text(&self, context: Context<'_>) -> Result<String, ValueError> {
        match self.evaluate(context)? {
            Some(value) => scalar_text(&value)
                .ok_or_else(|| ValueError(format!("`{}` is {}; a text is needed", self.origin(), kind_of(&value)))),
            None => Err(ValueError(format!("`{}` is missing", self.origin()))),
        }
    }

    /// The value as text, or nothing where it is missing, null or empty, or a text into which something is to be put that is.
    pub fn part(&self, context: Context<'_>) -> Result<Option<String>, ValueError> {
        let value = match self {
            Self::Template(template) => template.evaluate_part(context).map_err(|error| ValueError(error.message))?,
            other => other.evaluate(context)?,
        };
        let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
        let text = scalar_text(&value)
            .ok_or_else(|| ValueError(format!("`{}` is {}; a text is needed", self.origin(), kind_of(&value))))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// As it was written, for messages.
    pub fn origin(&self) -> String {
        match self {
            Self::Path(path) => path.text().to_owned(),
            Self::Template(template) => template.text().trim().to_owned(),
            Self::Literal(value) => show(value),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a map".to_owned(),
        }
    }

    /// The path, when it is one.
    pub fn as_path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            _ => None,
        }
    }

    /// Adds the places of the event document that it looks at.
    pub fn add_reads(&self, engine: &Engine, reads: &mut Reads) {
        match self {
            Self::Path(path) => path.add_reads(reads),
            Self::Template(template) => template.add_reads(engine, reads),
            Self::Literal(_) => {}
            Self::List(items) => items.iter().for_each(|item| item.add_reads(engine, reads)),
            Self::Map(fields) => fields.iter().for_each(|(_, field)| field.add_reads(engine, reads)),
        }
    }

    /// Whether something of a secret may come out of it.
    pub fn shows_secrets(&self, engine: &Engine) -> bool {
        match self {
            Self::Template(template) => template.shows_secrets(engine),
            Self::List(items) => items.iter().any(|item| item.shows_secrets(engine)),
            Self::Map(fields) => fields.iter().any(|(_, field)| field.shows_secrets(engine)),
            Self::Path(_) | Self::Literal(_) => false,
        }
    }

    /// The names of the secrets that it uses.
    pub fn secrets(&self) -> Vec<String> {
        match self {
            Self::Template(template) => template.secrets().to_vec(),
            Self::List(items) => items.iter().flat_map(Self::secrets).collect(),
            Self::Map(fields) => fields.iter().flat_map(|(_, field)| field.secrets()).collect(),
            Self::Path(_) | Self::Literal(_) => Vec::new(),
        }
    }
}

/// What a JSON value is, in words.
pub fn kind_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// A bare expression that decides something: `when:`, `gone:`.
#[derive(Clone, Debug)]
pub struct Condition(Arc<Template>);

impl Condition {
    /// Compiles the expression at a node.
    pub fn compile(node: &Node, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let Some(text) = node.text().filter(|_| !node.is_null()) else {
            report_expected("a condition such as `order.total` or `event == 'test'`", node, diagnostics);
            return None;
        };
        if is_template(text) || text.starts_with('$') {
            let found = if text.starts_with('$') { "a path" } else { "a template" };
            let message = format!("a condition is a bare expression; found {found}");
            let bare = text.trim().trim_start_matches("{{").trim_end_matches("}}").trim_start_matches("$.").trim();
            diagnostics.report(Diagnostic::error("condition-not-bare", node.span, message).hint(format!("write `{bare}`")));
            return None;
        }
        let template = Template::compile_expression(text, compiler.engine)
            .map_err(|error| report_template(&error, node, diagnostics))
            .ok()?;
        check_names(&template, node, compiler, diagnostics);
        Some(Self(Arc::new(template)))
    }

    /// Whether it holds; what is not set is false.
    pub fn holds(&self, context: Context<'_>) -> Result<bool, ValueError> {
        self.0.is_true(context).map_err(|error| ValueError(error.message))
    }

    /// Adds the places of the event document that it looks at.
    pub fn add_reads(&self, engine: &Engine, reads: &mut Reads) {
        self.0.add_reads(engine, reads);
    }
}

/// Whether a text has expressions in it.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

fn compile_path(node: &Node, text: &str, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Path> {
    if text.len() > 1 && !text.starts_with("$.") && !text.starts_with("$[") {
        let message = format!("`{text}` starts with `$` but is no path");
        diagnostics.report(
            Diagnostic::error("dollar-literal", node.span, message)
                .hint(format!("write the text as `\"{{{{ '{text}' }}}}\"`; a path is written `$.name`")),
        );
        return None;
    }
    match Path::compile(text) {
        Ok(path) => {
            let (name, range) = path.first_name();
            compiler.scope.check_name(name, node.part(range), diagnostics);
            Some(path)
        }
        Err(error) => {
            let mut diagnostic = Diagnostic::error("bad-path", node.part(error.range), error.message);
            diagnostic.hint = error.hint;
            diagnostics.report(diagnostic);
            None
        }
    }
}

fn report_template(error: &TemplateError, node: &Node, diagnostics: &mut Diagnostics) {
    let span = error.range.clone().map_or(node.span, |range| node.part(range));
    let diagnostic = Diagnostic::error("bad-template", span, error.message.clone());
    diagnostics.report(Diagnostic { hint: error.hint.clone(), ..diagnostic });
}

/// A text such as `order.total` where `order` is a name of the document was most likely meant as a path.
fn warn_of_path_lookalike(node: &Node, text: &str, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) {
    let Some((first, rest)) = text.split_once('.') else { return };
    let is_name =
        |part: &str| !part.is_empty() && part.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '[' | ']'));
    if rest.split('.').all(is_name) && compiler.scope.has(first) {
        diagnostics.report(
            Diagnostic::warning("looks-like-path", node.span, format!("`{text}` is a text here, not a path"))
                .hint(format!("a path is written `$.{text}`"))
                .replacement(node.span, format!("$.{text}")),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::typed::Typed;
    use super::*;
    use crate::config::source::Sources;
    use crate::config::yaml::parse;
    use crate::model::event::EventDocument;

    fn compiled(text: &str) -> (Option<Typed>, Vec<String>) {
        let mut sources = Sources::default();
        let file = sources.add("a.yaml", text);
        let mut diagnostics = Diagnostics::default();
        let node = parse(&sources, file, &mut diagnostics).expect("yaml");
        let scope = Scope::new(["body", "event"], "a column").with_later(["order"], "`enrich`");
        let compiler = Compiler { engine: &Engine::default(), scope: &scope };
        let value = Typed::compile(&node, &compiler, &mut diagnostics);
        let found = diagnostics.all().iter().map(|one| {
            let place = one.span.map(|span| text[span.range()].to_owned()).unwrap_or_default();
            format!("{} `{place}`", one.code)
        });
        (value, found.collect())
    }

    #[test]
    fn problems_stand_at_their_place() {
        for (text, expected) in [
            ("$.bdy.x", "unknown-name `bdy`"),
            ("$.order.x", "name-too-early `order`"),
            ("\"a {{ evnt }}\"", "unknown-name `evnt`"),
            ("\"{{ body.x | rund(2) }}\"", "unknown-function `rund`"),
            ("\"{{ secret.token }}\"", "secret-in-the-open `token`"),
            ("$100", "dollar-literal `$100`"),
            ("body.x", "looks-like-path `body.x`"),
            ("{ from: $.body.x, as: number }", "wrong-type `number`"),
            ("$.body.a[", "bad-path `[`"),
        ] {
            assert_eq!(compiled(text).1, [expected], "{text}");
        }
    }

    #[test]
    fn a_default_stands_in_for_what_is_missing_only() {
        let mut document = EventDocument::default();
        let body = r#"{ "null": null, "n": "7", "yes": true, "price": 1.50 }"#;
        document.set("body", serde_json::from_str::<Json>(body).expect("json"));
        for (text, expected) in [
            ("{ from: $.body.nope, default: 3, as: integer }", Some("3")),
            ("{ from: $.body.null, default: 3 }", Some("null")),
            ("{ from: $.body.n, as: integer }", Some("7")),
            ("[a, $.body.n, $.body.nope]", Some(r#"["a","7",null]"#)),
            ("$.body.nope", None),
            ("{ from: $.body.n, map: { 7: seven } }", Some("\"seven\"")),
            ("{ from: $.body.n, map: { 7: 70 }, as: decimal }", Some("70")),
            ("{ from: $.body.n, map: { 8: 80 }, else: $.body.n }", Some("\"7\"")),
            ("{ from: $.body.null, map: { 8: 80 } }", Some("null")),
            ("{ from: $.body.null, map: { null: none } }", Some("\"none\"")),
            ("{ from: $.body.nope, map: { 8: 80 }, default: 9 }", Some("9")),
            ("{ from: $.body.yes, map: { true: 1, false: 0 } }", Some("1")),
            ("{ from: $.body.price, map: { 1.50: cheap } }", Some("\"cheap\"")),
        ] {
            let value = compiled(text).0.expect(text).evaluate(Context::from(&document)).expect(text);
            assert_eq!(value.map(|value| value.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_value_without_a_translation_names_both_sides() {
        let mut document = EventDocument::default();
        document.set("body", serde_json::json!({ "n": 7 }));
        let value = compiled("{ from: $.body.n, map: { 0: requested, 1: approved } }").0.expect("compiles");
        let error = value.evaluate(Context::from(&document)).expect_err("no entry");
        assert_eq!(error.0, "`$.body.n`: expected one of `0`, `1`; got 7");
    }

    #[test]
    fn a_translation_is_written_out() {
        for (text, expected) in [
            ("{ from: $.body.n, map: { 0: $.body.x } }", "wrong-type `$.body.x`"),
            ("{ from: $.body.n, map: { 0: [1] } }", "wrong-type `[`"),
            ("{ from: $.body.n, map: none }", "wrong-type `none`"),
            ("{ from: $.body.n, else: none }", "else-without-map `none`"),
        ] {
            assert_eq!(compiled(text).1, [expected], "{text}");
        }
    }
}

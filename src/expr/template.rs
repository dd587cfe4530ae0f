//! Templates and expressions: minijinja with our own context, formatter, limits and error messages. A single `{{ expression }}`
//! keeps its type; anything else is text, and text never swallows a hole.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::io;
use std::sync::Arc;

use minijinja::value::{Object, Value};
use minijinja::{Environment, Error, ErrorKind, Expression, Template as Compiled};
use serde_json::Value as Json;

use super::analysis::{self, Analysis};
use super::decimal;
pub use super::engine::{Engine, Purpose};
use super::json_value::{lazily, to_json};
use super::reads::Reads;
use super::scope::SecretValues;
use super::syntax;
use crate::model::event::EventDocument;

/// The longest text one evaluation may make, in bytes.
const LONGEST_TEXT: usize = 1 << 20;

/// What expressions are evaluated with: the event document, and secrets where they may stand.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// `$`.
    pub document: &'a EventDocument,
    /// `secret`.
    pub secrets: Option<&'a SecretValues>,
}

impl<'a> From<&'a EventDocument> for Context<'a> {
    fn from(document: &'a EventDocument) -> Self {
        Self { document, secrets: None }
    }
}

/// A compiled template or expression.
pub struct Template {
    cell: TemplateCell,
    /// Where the cell's text begins in what was written: behind the `{{` of an expression.
    offset: usize,
    analysis: Analysis,
    /// All that it may look at, included templates counted: what is called is a function.
    looks: Vec<Look>,
    /// The first names of those, and the secrets among them.
    first_names: Arc<[String]>,
    secret_names: Vec<String>,
}

/// A place that a template looks at, and whether it is called like a function.
type Look = (Vec<String>, bool);

struct Owner {
    environment: Arc<Environment<'static>>,
    text: String,
}

enum Program<'o> {
    Expression(Expression<'o, 'static>),
    Text(Compiled<'o, 'o>),
}

self_cell::self_cell!(
    struct TemplateCell {
        owner: Owner,
        #[not_covariant]
        dependent: Program,
    }
);

/// What is wrong with a template, and at which bytes of it, when that can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// In words.
    pub message: String,
    /// The bytes of the text it is about.
    pub range: Option<std::ops::Range<usize>>,
    /// The fix.
    pub hint: Option<String>,
}

impl Template {
    /// Compiles a text that has `{{` or `{%`. One `{{ expression }}` and nothing else is an expression.
    pub fn compile(text: &str, engine: &Engine, purpose: Purpose) -> Result<Self, TemplateError> {
        if let Some(start) = expression_start(text) {
            let inner = text[start..].trim_end();
            let inner = inner.strip_suffix("}}").unwrap_or(inner);
            let inner = inner.strip_suffix('-').unwrap_or(inner);
            if let Ok(template) = Self::compile_expression(inner, engine) {
                return Ok(Self { offset: start, ..template });
            }
            if !inner.contains("}}") && !inner.contains("{{") {
                return Self::compile_expression(inner, engine).map_err(|mut error| {
                    error.range = error.range.map(|range| range.start + start..range.end + start);
                    error
                });
            }
        }
        let owner = Owner { environment: Arc::clone(engine.environment(purpose)), text: text.to_owned() };
        let cell =
            TemplateCell::try_new(owner, |owner| owner.environment.template_from_named_str("", &owner.text).map(Program::Text))
                .map_err(|error| explain(&error, text))?;
        let analysis = analysis::of_template(text).map_err(|error| explain(&error, text))?;
        Ok(Self::of(cell, analysis, engine))
    }

    /// What its own text looks at, as far as names go: `order.customer.number`.
    pub fn variables(&self) -> Vec<String> {
        self.analysis.names.iter().filter(|name| !name.called).map(|name| name.place.join(".")).collect()
    }

    /// Compiles a bare expression, as conditions are.
    pub fn compile_expression(text: &str, engine: &Engine) -> Result<Self, TemplateError> {
        let owner = Owner { environment: Arc::clone(engine.environment(Purpose::Text)), text: text.to_owned() };
        let cell = TemplateCell::try_new(owner, |owner| {
            owner.environment.compile_expression_owned(owner.text.clone()).map(Program::Expression)
        })
        .map_err(|error| explain(&error, text))?;
        // the engine stops in silence at a letter that it cannot read behind a comparison; brackets make it say so
        if let Err(error) = engine.environment(Purpose::Text).compile_expression_owned(format!("({text}\n)")) {
            let mut shifted = error.range().map(|range| range.start.saturating_sub(1)..range.end.saturating_sub(1));
            shifted = shifted.filter(|range| range.start < range.end && range.end <= text.len());
            return Err(syntax::explain(error.detail().unwrap_or_default(), text, shifted));
        }
        let analysis = analysis::of_expression(text).map_err(|error| explain(&error, text))?;
        Ok(Self::of(cell, analysis, engine))
    }

    fn of(cell: TemplateCell, analysis: Analysis, engine: &Engine) -> Self {
        let mut looks: BTreeSet<Look> = analysis.names.iter().map(|name| (name.place.clone(), name.called)).collect();
        for (_, file) in engine.all_included(&analysis) {
            let names = file.analysis.iter().flat_map(|analysis| &analysis.names);
            looks.extend(names.map(|name| (name.place.clone(), name.called)));
        }
        let first: BTreeSet<&String> = looks.iter().map(|(place, _)| &place[0]).collect();
        let first_names = first.into_iter().cloned().collect();
        let secrets = looks.iter().filter(|(place, _)| place[0] == "secret").filter_map(|(place, _)| place.get(1).cloned());
        let secret_names = secrets.collect::<BTreeSet<_>>().into_iter().collect();
        Self { cell, offset: 0, analysis, looks: looks.into_iter().collect(), first_names, secret_names }
    }

    /// The text it was compiled from: of an expression, what stood inside the braces.
    pub fn text(&self) -> &str {
        &self.cell.borrow_owner().text
    }

    /// Whether it is one expression, whose value keeps its type.
    pub fn is_expression(&self) -> bool {
        self.cell.with_dependent(|_, program| matches!(program, Program::Expression(_)))
    }

    /// What it uses and what it may not do.
    pub(crate) fn analysis(&self) -> &Analysis {
        &self.analysis
    }

    /// What it may not do, told without running it.
    pub fn problems(&self) -> &[TemplateError] {
        &self.analysis.problems
    }

    /// Where ranges of bytes begin to count in what was written.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// The secrets that it uses, by name.
    pub fn secrets(&self) -> &[String] {
        &self.secret_names
    }

    /// Whether something of a secret may come out of it: it stands elsewhere than as the key of `hmac`.
    pub fn shows_secrets(&self, engine: &Engine) -> bool {
        let included = engine.all_included(&self.analysis);
        let further = included.values().filter_map(|file| file.analysis.as_ref().ok());
        std::iter::once(&self.analysis).chain(further).any(|analysis| analysis.bare_secrets().next().is_some())
    }

    /// Adds the places it looks at; secrets and functions are none.
    pub fn add_reads(&self, engine: &Engine, reads: &mut Reads) {
        for (place, called) in &self.looks {
            if place[0] != "secret" && !(*called && engine.knows_function(&place[0])) {
                reads.add(place.clone());
            }
        }
    }

    /// Evaluates it. `None` is a missing value; text that has a hole is an error that names it.
    pub fn evaluate(&self, context: Context<'_>) -> Result<Option<Json>, TemplateError> {
        self.run(context)?.map_err(|error| explain_run(&error, self.text(), &self.cell.borrow_owner().environment))
    }

    /// Evaluates it, if it was compiled as a part. `None` is a missing value, or a text that has a hole.
    pub fn evaluate_part(&self, context: Context<'_>) -> Result<Option<Json>, TemplateError> {
        match self.run(context)? {
            Err(error) if is_hole(innermost(&error)) => Ok(None),
            result => result.map_err(|error| explain_run(&error, self.text(), &self.cell.borrow_owner().environment)),
        }
    }

    fn run(&self, context: Context<'_>) -> Result<Result<Option<Json>, Error>, TemplateError> {
        let text = self.text();
        let (result, touched) = decimal::watch(|| {
            self.cell.with_dependent(|_, program| match program {
                Program::Expression(expression) => expression.eval(self.root(context)).map(|value| to_json(&value)),
                Program::Text(template) => {
                    let mut output = Bounded(Vec::new());
                    template.render_captured_to(self.root(context), &mut output)?;
                    Ok(Some(Json::String(String::from_utf8_lossy(&output.0).into_owned())))
                }
            })
        });
        match result {
            _ if touched => Err(TemplateError {
                message: format!(
                    "an operator cannot calculate with or compare a decimal without losing digits in `{}`; use `add`, `sub`, `mul`, `div`, `round` or `compare`",
                    text.trim()
                ),
                range: None,
                hint: None,
            }),
            result => Ok(result),
        }
    }

    /// Evaluates it as a condition: what is not set is false.
    pub fn is_true(&self, context: Context<'_>) -> Result<bool, TemplateError> {
        let (result, touched) = decimal::watch(|| {
            self.cell.with_dependent(|_, program| match program {
                Program::Expression(expression) => expression.eval(self.root(context)).map(|value| value.is_true()),
                Program::Text(template) => template.render(self.root(context)).map(|text| !text.is_empty()),
            })
        });
        match result {
            _ if touched => Err(TemplateError {
                message: format!("a comparison cannot look at a decimal in `{}`; use `compare(a, b)`", self.text().trim()),
                range: None,
                hint: None,
            }),
            result => result.map_err(|error| explain_run(&error, self.text(), &self.cell.borrow_owner().environment)),
        }
    }
}

impl std::fmt::Debug for Template {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Template({:?})", self.text())
    }
}

/// Where the expression begins when the text is one `{{ expression }}`.
fn expression_start(text: &str) -> Option<usize> {
    let trimmed = text.trim();
    let inner = trimmed.strip_prefix("{{")?.strip_suffix("}}")?;
    let blank = text.len() - text.trim_start().len();
    Some(blank + 2 + usize::from(inner.starts_with('-')))
}

/// Only what the engine says of itself: never its debug output, which holds values.
pub(super) fn explain(error: &Error, text: &str) -> TemplateError {
    let range = error.range().filter(|range| range.start < range.end && range.end <= text.len());
    let detail = error.detail().unwrap_or_default();
    let message = match error.kind() {
        ErrorKind::SyntaxError => return syntax::explain(detail, text, range),
        ErrorKind::UndefinedError if is_hole(error) => {
            let name = range.clone().and_then(|range| text.get(range)).unwrap_or(text);
            let name = name.trim().trim_start_matches("{{").trim_end_matches("}}").trim();
            format!("`{name}` {detail}")
        }
        ErrorKind::OutOfFuel => "it takes too many steps".to_owned(),
        ErrorKind::WriteFailure => format!("the text grows beyond {LONGEST_TEXT} bytes"),
        // ours say all there is to say
        ErrorKind::InvalidOperation if detail.starts_with('`') => detail.to_owned(),
        kind if detail.is_empty() => kind.to_string(),
        kind => format!("{kind}: {detail}"),
    };
    TemplateError { message, range, hint: None }
}

/// The same for a problem that may have come up inside an included template, which is then named.
fn explain_run(error: &Error, text: &str, environment: &Environment<'_>) -> TemplateError {
    let inner = innermost(error);
    let included = inner.name().filter(|name| !name.is_empty()).and_then(|name| environment.get_template(name).ok());
    let Some(included) = included else { return explain(inner, text) };
    let explained = explain(inner, included.source());
    let line = inner.line().map(|line| format!(", line {line}")).unwrap_or_default();
    let message = format!("{} (in the template `{}`{line})", explained.message, included.name());
    TemplateError { message, range: None, hint: explained.hint }
}

/// The problem itself, where it came up inside an included template.
fn innermost(error: &Error) -> &Error {
    let mut inner = error;
    while matches!(inner.kind(), ErrorKind::BadInclude) {
        match inner.source().and_then(|source| source.downcast_ref::<Error>()) {
            Some(source) => inner = source,
            None => break,
        }
    }
    inner
}

/// Whether a value was to stand in a text that there is not.
fn is_hole(error: &Error) -> bool {
    error.kind() == ErrorKind::UndefinedError && error.detail().is_some_and(|detail| detail.starts_with("is "))
}

struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST_TEXT {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the text grows too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The variables of an expression, looked up when they are asked for.
#[derive(Debug)]
struct Root {
    names: Arc<[String]>,
    values: Vec<Option<Arc<Json>>>,
    secrets: Option<Value>,
}

impl Template {
    /// Only what it may look at.
    fn root(&self, context: Context<'_>) -> Value {
        let values = self.first_names.iter().map(|name| context.document.get(name).map(Arc::clone)).collect();
        let secrets = context.secrets.filter(|_| !self.secret_names.is_empty()).map(|secrets| {
            let named = self.secret_names.iter().filter_map(|name| Some((name.clone(), secrets.get(name)?)));
            Value::from(named.map(|(name, secret)| (name, Value::from(secret.expose().as_str()))).collect::<BTreeMap<_, _>>())
        });
        Value::from_object(Root { names: Arc::clone(&self.first_names), values, secrets })
    }
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        if name == "secret" {
            return self.secrets.clone();
        }
        let index = self.names.binary_search_by(|known| known.as_str().cmp(name)).ok()?;
        self.values[index].as_ref().map(|value| lazily(value, &[], value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluate(text: &str) -> Result<Option<String>, String> {
        let mut document = EventDocument::default();
        let body = r#"{"n":1042,"big":9007199254740993,"huge":18446744073709551616,"price":3100.00,"none":null,"name":"A/b c","ok":false,"lines":[{"q":1.50},{"q":2}]}"#;
        document.set("body", serde_json::from_str::<Json>(body).expect("json"));
        let secrets = SecretValues::from([("token".to_owned(), "s3cret".into())]);
        let engine = Engine::default();
        let template = Template::compile(text, &engine, Purpose::Text).map_err(|error| error.message)?;
        let context = Context { document: &document, secrets: Some(&secrets) };
        template.evaluate(context).map(|value| value.map(|json| json.to_string())).map_err(|error| error.message)
    }

    fn value(text: &str) -> String {
        evaluate(text).expect(text).unwrap_or_else(|| "missing".to_owned())
    }

    #[test]
    fn what_is_made_on_each_way_is_there_behind_it() {
        let text = |condition: &str| {
            format!("{{% if {condition} %}}{{% set y = 1 %}}{{% else %}}{{% set y = 2 %}}{{% endif %}}{{{{ y }}}}")
        };
        assert_eq!(value(&text("body.n")), "\"1\"");
        assert_eq!(value(&text("body.nope")), "\"2\"");
        let one_way = "{% if body.nope %}{% set y = 1 %}{% endif %}{{ y }}";
        assert!(evaluate(one_way).is_err_and(|message| message.contains("`y`")));
    }

    #[test]
    fn an_expression_keeps_its_type() {
        for (text, expected) in [
            ("{{ body.n }}", "1042"),
            ("{{ body.big }}", "9007199254740993"),
            ("{{ body.huge }}", "18446744073709551616"),
            ("{{ body.price }}", "3100.00"),
            ("{{ body.none }}", "null"),
            ("{{ body.nope }}", "missing"),
            ("{{ body.nope.deeper }}", "missing"),
            ("{{ body.nope or '' }}", "\"\""),
            ("{{ body.lines }}", r#"[{"q":1.50},{"q":2}]"#),
            ("{{ body.lines[-1].q }}", "2"),
            ("{{ body.lines | length }}", "2"),
            ("{{ body.n > 3 }}", "true"),
            ("{{ {'a': body.price, 'b': [body.n]} }}", r#"{"a":3100.00,"b":[1042]}"#),
            ("{{ {'a': {'b': body.n}}}}", r#"{"a":{"b":1042}}"#),
            ("{{- {'a': {'b': body.n}}-}}", r#"{"a":{"b":1042}}"#),
            ("{{ body | tojson | length > 3 }}", "true"),
            ("{{ secret.token }}", "\"s3cret\""),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn text_has_values_as_they_were_sent() {
        assert_eq!(value("#{{ body.n }}/{{ body.price }}/{{ body.ok }}"), "\"#1042/3100.00/false\"");
        assert_eq!(value("{% for line in body.lines %}{{ line.q }};{% endfor %}"), "\"1.50;2;\"");
    }

    #[test]
    fn text_never_swallows_a_hole() {
        assert_eq!(evaluate("a/{{ body.nope }}").expect_err("hole"), "`body.nope` is missing");
        assert_eq!(evaluate("a/{{ body.none }}").expect_err("hole"), "`body.none` is null");
        assert_eq!(value("a/{{ body.nope or '' }}"), "\"a/\"");
    }

    #[test]
    fn no_operator_touches_a_decimal() {
        for text in [
            "{{ body.price + 1 }}",
            "{{ body.price > 3 }}",
            "{{ body.price == 3100 }}",
            "{{ 3 < body.price }}",
            "{{ body.lines | map(attribute='q') | sum }}",
        ] {
            match evaluate(text) {
                Err(message) => assert!(message.contains("compare") || text.contains("sum"), "{text}: {message}"),
                Ok(value) => assert_eq!((text, value.as_deref()), ("{{ body.lines | map(attribute='q') | sum }}", Some("3.50"))),
            }
        }
    }

    #[test]
    fn functions_calculate_exactly() {
        for (text, expected) in [
            ("{{ add(body.price, 0.05 | string) }}", "3100.05"),
            ("{{ mul(body.price, 3) }}", "9300.00"),
            ("{{ sub(1, 3) }}", "-2"),
            ("{{ round(mul(body.price, '0.333'), 1) }}", "1032.3"),
            ("{{ scale(1999, -2) }}", "19.99"),
            ("{{ compare(body.price, 3100) }}", "0"),
            ("{{ sum(body.lines | map(attribute='q')) }}", "3.50"),
            ("{{ 'Renovering af tag' | words(13) }}", "\"Renovering af\""),
            ("{{ 'Renovering af tag' | words(13, part=2) }}", "\"tag\""),
            ("{{ 'x' | sha256 | hex | length }}", "64"),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn a_url_takes_values_as_path_segments() {
        let mut document = EventDocument::default();
        document.set("name", Json::String("A/b ?ø".to_owned()));
        document.set("up", Json::String("..".to_owned()));
        let engine = Engine::default();
        let evaluate = |text: &str| {
            let template = Template::compile(text, &engine, Purpose::Url).expect(text);
            template.evaluate(Context::from(&document)).expect(text).expect(text)
        };
        assert_eq!(evaluate("/p/{{ name }}/x"), "/p/A%2Fb%20%3F%C3%B8/x");
        assert_eq!(evaluate("/p/{{ name | path }}/x"), "/p/A/b%20%3F%C3%B8/x");
        assert_eq!(evaluate("/p/{{ up }}"), "/p/%2E%2E");
    }

    #[test]
    fn endless_work_is_stopped() {
        assert!(evaluate("{% for i in range(100000) %}{{ i }}{% endfor %}").is_err());
        assert!(evaluate("x{{ 'a' * 20000000 }}").is_err());
    }

    #[test]
    fn problems_have_their_place() {
        let engine = Engine::default();
        let error = Template::compile("{{ a +* b }}", &engine, Purpose::Text).expect_err("syntax");
        assert!(error.range.as_ref().is_some_and(|range| range.start >= 5), "{error:?}");
        assert!(!engine.knows_filter("rund") && engine.knows_filter("upper") && engine.knows_test("endingwith"));
    }
}

//! `onboarding:`: the text that a customer is handed and the body to paste at the provider, as templates.

use serde_json::json;

use super::file::OnboardingOptions;
use super::names::ONBOARDING;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::source::Span;
use crate::config::yaml::Node;
use crate::expr::scope::{Scope, SecretRule};
use crate::expr::template::{Context, Engine};
use crate::expr::value::{Compiler, Value};
use crate::model::event::EventDocument;

/// The languages that texts for people may be in; the first must be there.
pub const LANGUAGES: [&str; 3] = ["en", "da", "de"];

/// The compiled block.
#[derive(Clone, Debug, Default)]
pub struct Onboarding {
    /// The text in each language that has one.
    texts: Vec<(&'static str, Value)>,
    /// What to paste at the provider as the body.
    body: Option<Value>,
}

impl Onboarding {
    /// What to paste at the provider as the body, if the file says so.
    pub fn body(&self, document: &EventDocument) -> Option<Result<String, String>> {
        let body = self.body.as_ref()?;
        Some(body.text(Context::from(document)).map_err(|error| format!("`onboarding.body`: {error}")))
    }

    /// The text in a language, or else in English, if the file has one.
    pub fn text(&self, language: &str, document: &EventDocument) -> Option<Result<String, String>> {
        let find = |wanted: &str| self.texts.iter().find(|(known, _)| *known == wanted);
        let (_, text) = find(language).or_else(|| self.texts.first())?;
        Some(text.text(Context::from(document)).map_err(|error| format!("`onboarding.template`: {error}")))
    }
}

/// The templates that a file's onboarding text consists of, by name.
pub(super) fn templates_of(options: Option<&OnboardingOptions>, engine: &Engine) -> Vec<String> {
    let Some(node) = options.and_then(|options| options.template.as_ref()) else { return Vec::new() };
    let names = names_of(node, engine, &mut Diagnostics::default()).unwrap_or_default();
    let with_included = |name: &String| engine.templates_of(&format!("{{% include {} %}}", json!(name)));
    names.iter().flat_map(|(_, name)| with_included(name)).collect()
}

/// Compiles the block. `fields` are those of the integration.
pub(super) fn compile(
    options: Option<&OnboardingOptions>,
    fields: &[&str],
    engine: &Engine,
    diagnostics: &mut Diagnostics,
) -> Option<Onboarding> {
    let Some(options) = options else { return Some(Onboarding::default()) };
    let scope =
        Scope::new(ONBOARDING, "what a customer is handed").with_secrets(SecretRule::Refused("what a customer is handed"));
    let body = options.body.as_ref().map(|node| {
        let body = Value::compile_text(node, &Compiler { engine, scope: &scope }, diagnostics)?;
        check_fields_of_body(&body, node, fields, diagnostics);
        Some(body)
    });
    let scope = scope.with(["body"]);
    let texts = options.template.as_ref().map(|node| {
        let names = names_of(node, engine, diagnostics)?;
        compile_texts(&names, node, &Compiler { engine, scope: &scope }, fields, diagnostics)
    });
    Some(Onboarding {
        texts: texts.map_or(Some(Vec::new()), |texts| texts)?,
        body: body.map_or(Some(None), |body| body.map(Some))?,
    })
}

/// The names that `template` stands for, by language; one name without `{{ lang }}` is for all of them.
fn names_of(node: &Node, engine: &Engine, diagnostics: &mut Diagnostics) -> Option<Vec<(&'static str, String)>> {
    let scope = Scope::new(["lang"], "the name of a template");
    let mut problems = Diagnostics::default();
    let name = Value::compile_text(node, &Compiler { engine, scope: &scope }, &mut problems);
    let is_usable = !problems.has_errors();
    diagnostics.append(problems);
    let name = name.filter(|_| is_usable)?;
    let mut names: Vec<(&'static str, String)> = Vec::new();
    for language in LANGUAGES {
        let mut document = EventDocument::default();
        document.set("lang", json!(language));
        match name.text(Context::from(&document)) {
            Ok(name) if names.iter().any(|(_, known)| *known == name) => {}
            Ok(name) => names.push((language, name)),
            Err(error) => {
                diagnostics.report(
                    Diagnostic::error("bad-template", node.span, error.0).hint("such as `onboarding/NAME.{{ lang }}.md`"),
                );
                return None;
            }
        }
    }
    Some(names)
}

/// The English text, or the only one, must be there; the others may be.
fn compile_texts(
    names: &[(&'static str, String)],
    node: &Node,
    compiler: &Compiler<'_>,
    fields: &[&str],
    diagnostics: &mut Diagnostics,
) -> Option<Vec<(&'static str, Value)>> {
    let mut texts = Vec::new();
    for (at, (language, name)) in names.iter().enumerate() {
        let Some(file) = compiler.engine.included(name) else {
            if at == 0 {
                report_missing(name, node, compiler.engine, diagnostics);
                return None;
            }
            continue;
        };
        if let Ok(analysis) = &file.analysis {
            for unknown in analysis.names.iter().filter(|used| is_unknown_field(&used.place, fields)) {
                report_unknown_field(&unknown.place[1], Span::new(file.file, unknown.whole.clone()), fields, diagnostics);
            }
        }
        texts.push((*language, Value::compile_included(name, node, compiler, diagnostics)?));
    }
    Some(texts)
}

fn report_missing(name: &str, node: &Node, engine: &Engine, diagnostics: &mut Diagnostics) {
    let diagnostic = Diagnostic::error("unknown-template", node.span, format!("there is no template `{name}`"));
    let near = crate::config::diagnostic::closest(name, engine.library_names());
    diagnostics.report(match near {
        Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
        None => diagnostic.hint("it is the path of a file inside the folder of templates"),
    });
}

fn check_fields_of_body(body: &Value, node: &Node, fields: &[&str], diagnostics: &mut Diagnostics) {
    let Value::Template(template) = body else { return };
    for used in template.variables() {
        let place: Vec<String> = used.split('.').map(str::to_owned).collect();
        if is_unknown_field(&place, fields) {
            report_unknown_field(&place[1], node.span, fields, diagnostics);
        }
    }
}

fn is_unknown_field(place: &[String], fields: &[&str]) -> bool {
    matches!(place, [first, second, ..] if first == "field" && !fields.contains(&second.as_str()))
}

fn report_unknown_field(name: &str, span: Span, fields: &[&str], diagnostics: &mut Diagnostics) {
    let diagnostic = Diagnostic::error("unknown-name", span, format!("the integration has no field `{name}`"));
    diagnostics.report(match crate::config::diagnostic::closest(name, fields.iter().copied()) {
        Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
        None if fields.is_empty() => diagnostic.hint("declare it under `integration: { fields: … }`"),
        None => diagnostic.hint(format!("it has `{}`", fields.join("`, `"))),
    });
}

//! `integration:`: what each customer's set-up of a source holds. A field with `from` comes along with the request.

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{FromYaml, Named, options, report_expected, report_expected_hint};
use crate::config::shape::{self, Shape};
use crate::config::source::{Span, Spanned};
use crate::config::yaml::{Content, Node};
use crate::expr::scope::Scope;
use crate::expr::template::Engine;
use crate::expr::value::{Compiler, Value};

options! {
    /// What each customer's set-up holds.
    pub struct IntegrationOptions {
        /// Its fields.
        fields: Named<FieldOptions>,
    }
}

options! {
    /// One field of an integration.
    pub struct FieldOptions {
        /// What it is called when it is asked for; a text, or one per language: `{ en: API key, da: API-nøgle }`.
        label: Option<Label>,
        /// Where it is found, for the person who is asked.
        help: Option<String>,
        /// Whether it is a secret.
        secret: Option<bool> = "false",
        /// Whether it must be there.
        required: Option<bool> = "true",
        /// Where in the request it comes along: `$.body.eConomicAPIKey`.
        from: Node as shape::text_value,
    }
}

/// A text in one language or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(pub Vec<(String, String)>);

impl FromYaml for Label {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match &node.content {
            Content::Scalar(_) => String::from_yaml(node, diagnostics).map(|text| Self(vec![("en".to_owned(), text)])),
            Content::Map(_) => {
                let named = Named::<String>::from_yaml(node, diagnostics)?;
                Some(Self(named.entries.into_iter().map(|(language, text)| (language.value, text)).collect()))
            }
            Content::List(_) => {
                report_expected("a text, or one per language", node, diagnostics);
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::OneOf(vec![Shape::Text, Shape::Named(Box::new(Shape::Text))])
    }
}

/// A compiled field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Whether it is a secret.
    pub secret: bool,
    /// Whether it must be there.
    pub required: bool,
    /// Where in the request it comes along.
    pub from: Value,
    /// Where its name stands.
    pub span: Span,
}

/// Compiles the fields. Secret ones and entries of `secrets` share one set of names.
pub fn compile(
    options: Option<&IntegrationOptions>,
    secrets: &[&Spanned<String>],
    engine: &Engine,
    scope: &Scope,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Field>> {
    let Some(options) = options else { return Some(Vec::new()) };
    let compiler = Compiler { engine, scope };
    let fields = options.fields.entries.iter().map(|(name, field)| {
        let secret = field.secret.unwrap_or(false);
        if secret && let Some(other) = secrets.iter().find(|other| other.value == name.value) {
            let message = format!("`{}` names both a secret and a secret field", name.value);
            diagnostics.report(
                Diagnostic::error("duplicate-secret", name.span, message)
                    .related(other.span, "the secret")
                    .hint("rename one of them"),
            );
        }
        let from = Value::compile(&field.from, &compiler, diagnostics)?;
        if secret && from.as_path().and_then(crate::expr::jsonpath::Path::place).is_none() {
            let hint = "such as `$.body.token`: only there can it be masked";
            report_expected_hint("a path to one place, as the field is secret", &field.from, hint, diagnostics);
        }
        Some(Field { name: name.value.clone(), secret, required: field.required.unwrap_or(true), from, span: name.span })
    });
    fields.collect::<Vec<_>>().into_iter().collect()
}

//! `secrets:` and the places where one is named: where an operator's secret comes from. Values are read by whoever may read the
//! environment; here they are only asked for.

use jiff::civil::Date;

use super::evidence::Evidence;
use super::secret_form::SecretForm;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{FromYaml, Named, options, report_expected};
use crate::config::shape::{Form, Shape};
use crate::config::source::{Span, Spanned};
use crate::config::yaml::{Content, Node};
use crate::expr::value::Compiler;
use crate::secret::Secret;

options! {
    /// One value of a secret.
    pub struct SecretOptions {
        /// The environment variable that holds it.
        env: Option<Spanned<String>>,
        /// The file that holds it; a newline at its end is cut.
        file: Option<Spanned<String>>,
        /// The last day on which it is valid: `2026-12-31`.
        until: Option<Spanned<String>> as day,
        /// How its text becomes the key of a signature, `utf8` where nothing says it; other uses take the text as it is.
        r#as: Option<SecretForm>,
    }
}

fn day() -> Shape {
    Shape::Form(Form { words: "day", pattern: "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", numbers: false, examples: &["2026-12-31"] })
}

/// A secret where one is needed: the name of an entry of `secrets`, or the value's place itself.
#[derive(Clone, Debug)]
pub enum SecretReference {
    /// An entry of `secrets`.
    Name(Spanned<String>),
    /// Its own values.
    Inline(Vec<SecretOptions>),
}

impl SecretReference {
    /// Where it stands.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Name(name) => Some(name.span),
            Self::Inline(values) => values.first().map(|value| value.span),
        }
    }
}

impl FromYaml for SecretReference {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match &node.content {
            Content::Scalar(scalar) if !node.is_null() => {
                Some(Self::Name(Spanned { value: scalar.text.clone(), span: node.span }))
            }
            Content::Scalar(_) => {
                report_expected("the name of a secret or `{ env: NAME }`", node, diagnostics);
                None
            }
            Content::List(_) | Content::Map(_) => Vec::from_yaml(node, diagnostics).map(Self::Inline),
        }
    }

    fn shape() -> Shape {
        Shape::OneOf(vec![Shape::Text, Vec::<SecretOptions>::shape()])
    }
}

/// Where values are asked for.
pub trait SecretReader {
    /// The value of an environment variable.
    fn environment(&self, name: &str) -> Option<String>;
    /// The content of a file, by the path as the route file writes it.
    fn file(&self, path: &str) -> Option<String>;
    /// Today, for `until`.
    fn today(&self) -> Date;
    /// What stands in for the value of a declared secret, where no real one may be used: in tests.
    fn stand_in(&self, name: &str) -> Option<String>;
}

/// One value of a secret.
#[derive(Clone, Debug)]
pub struct SecretValue {
    secret: Secret<String>,
    until: Option<Date>,
    form: Option<SecretForm>,
}

impl SecretValue {
    /// A value without an end.
    pub fn new(secret: Secret<String>) -> Self {
        Self { secret, until: None, form: None }
    }

    /// What stands in for a value in tests.
    pub fn stand_in(secret: Secret<String>) -> Self {
        Self { form: Some(SecretForm::StandIn), ..Self::new(secret) }
    }

    /// How the text becomes a key, where its declaration says.
    pub fn form(&self) -> Option<SecretForm> {
        self.form
    }

    /// The value itself.
    pub fn secret(&self) -> &Secret<String> {
        &self.secret
    }

    /// The text.
    pub fn expose(&self) -> &str {
        self.secret.expose()
    }

    /// Whether it is still valid.
    pub fn is_active(&self, today: Date) -> bool {
        self.until.is_none_or(|last| today <= last)
    }
}

/// The values of a secret, the first one first; all that are active verify, and the first of them goes out.
pub type Values = Vec<SecretValue>;

/// Where a scheme finds its secret when it verifies.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// What the operator holds.
    Declared(Values),
    /// A secret field of the integration that the request is for.
    Field(String),
}

/// One value that may verify a request.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    /// The value.
    pub value: &'a str,
    /// Whether it is still valid. One that is not never verifies; the doctor only says that it would have.
    pub is_active: bool,
    /// How the text becomes a key, where its declaration says.
    pub form: Option<SecretForm>,
}

impl SecretSource {
    /// The values for one request, the first one first; none when the integration is unknown or lacks the field.
    pub fn candidates<'a>(&'a self, evidence: &Evidence<'a>) -> Vec<Candidate<'a>> {
        let today = evidence.now.date();
        match self {
            Self::Declared(values) => {
                let candidate = |value: &'a SecretValue| Candidate {
                    value: value.expose(),
                    is_active: value.is_active(today),
                    form: value.form,
                };
                values.iter().map(candidate).collect()
            }
            Self::Field(name) => evidence
                .fields
                .get(name)
                .map(|secret| Candidate { value: secret.expose(), is_active: true, form: None })
                .into_iter()
                .collect(),
        }
    }

    /// What is known of it before any request came.
    pub fn declared(&self) -> &[SecretValue] {
        match self {
            Self::Declared(values) => values,
            Self::Field(_) => &[],
        }
    }
}

/// What the schemes of a file are compiled with.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// What expressions may look at.
    pub compiler: Compiler<'a>,
    /// The entries of `secrets`.
    pub secrets: &'a [(String, Values)],
    /// The secret fields of the integration, where that is known before the sender is verified.
    pub fields: &'a [String],
    /// Those of an integration that is known only afterwards: they cannot verify.
    pub late_fields: &'a [String],
    /// Where secrets that are named in place come from.
    pub reader: &'a dyn SecretReader,
    /// Reads a file beside the route file by the path as that writes it, or says why it cannot.
    pub files: &'a dyn Fn(&str) -> Result<String, String>,
}

impl Surroundings<'_> {
    /// Finds the secret that a scheme names. `what` says whose it is when it is named in place.
    pub fn secret(
        &self,
        reference: &SecretReference,
        place: Span,
        what: &str,
        diagnostics: &mut Diagnostics,
        unset: &mut Diagnostics,
    ) -> Option<SecretSource> {
        match reference {
            SecretReference::Name(name) => {
                if let Some((_, values)) = self.secrets.iter().find(|(known, _)| *known == name.value) {
                    return Some(SecretSource::Declared(values.clone()));
                }
                if self.fields.contains(&name.value) {
                    return Some(SecretSource::Field(name.value.clone()));
                }
                diagnostics.report(self.unknown(name));
                None
            }
            SecretReference::Inline(inline) => {
                check(inline, place, diagnostics);
                Some(SecretSource::Declared(resolve(what, place, inline, self.reader, unset).unwrap_or_default()))
            }
        }
    }

    fn unknown(&self, name: &Spanned<String>) -> Diagnostic {
        if self.late_fields.contains(&name.value) {
            let message = format!("`{}` is held by an integration, which is known only after the sender is verified", name.value);
            return Diagnostic::error("integration-too-late", name.span, message)
                .hint("let the request say which integration it is for: `integration: { is: $.params.integration, … }`");
        }
        let names = self.secrets.iter().map(|(name, _)| name.as_str()).chain(self.fields.iter().map(String::as_str));
        let message = format!("there is no secret `{}`", name.value);
        let diagnostic = Diagnostic::error("unknown-secret", name.span, message).did_you_mean(&name.value, names, name.span);
        if diagnostic.hint.is_some() {
            return diagnostic;
        }
        diagnostic
            .hint(format!("declare it: `secrets: {{ {}: {{ env: NAME }} }}`, or write `secret: {{ env: NAME }}`", name.value))
    }
}

/// Resolves `secrets:`; what is unset or empty is told as a diagnostic and has no values.
pub fn resolve_all(
    secrets: &Named<Vec<SecretOptions>>,
    reader: &dyn SecretReader,
    unset: &mut Diagnostics,
) -> Vec<(String, Values)> {
    let values = |name: &Spanned<String>, options: &[SecretOptions], unset: &mut Diagnostics| {
        // what is declared wrongly is told as that, not as unset
        let mut wrong = Diagnostics::default();
        check(options, name.span, &mut wrong);
        if wrong.is_empty() { resolve(&name.value, name.span, options, reader, unset) } else { None }
    };
    let named = secrets.entries.iter();
    named.map(|(name, options)| (name.value.clone(), values(name, options, unset).unwrap_or_default())).collect()
}

/// Resolves one secret.
pub fn resolve(
    name: &str,
    place: Span,
    options: &[SecretOptions],
    reader: &dyn SecretReader,
    unset: &mut Diagnostics,
) -> Option<Values> {
    if let Some(value) = reader.stand_in(name) {
        return Some(vec![SecretValue::stand_in(Secret::new(value))]);
    }
    let mut values = Values::new();
    for option in options {
        let until = option.until.as_ref().and_then(|until| until.parse::<Date>().ok());
        let (value, what, span) = match (&option.env, &option.file) {
            (Some(env), _) => (reader.environment(env), format!("the environment variable `{}`", env.value), env.span),
            (None, Some(file)) => (reader.file(file), format!("the file `{}`", file.value), file.span),
            (None, None) => continue,
        };
        match value.map(|value| value.trim_end_matches(['\r', '\n']).to_owned()).filter(|value| !value.is_empty()) {
            Some(value) => values.push(SecretValue { secret: Secret::new(value), until, form: option.r#as }),
            // what is no longer valid need not be there
            None if until.is_some_and(|last| reader.today() > last) => {}
            None => {
                let message = format!("the secret `{name}` is not set: {what} is absent or empty");
                unset.report(Diagnostic::warning("unset-secret", span, message).hint("until it is set the file is not active"));
                return None;
            }
        }
    }
    if !values.iter().any(|value| value.is_active(reader.today())) {
        let message = format!("the secret `{name}` has no value that is still valid");
        unset.report(Diagnostic::warning("unset-secret", place, message).hint("until it has one the file is not active"));
        return None;
    }
    Some(values)
}

/// Reports what is wrong with the declaration itself.
pub fn check(options: &[SecretOptions], place: Span, diagnostics: &mut Diagnostics) {
    if options.is_empty() {
        let message = "a secret needs `env` or `file`; found neither";
        diagnostics.report(Diagnostic::error("missing-option", place, message).hint("`NAME: { env: ENVIRONMENT_VARIABLE }`"));
    }
    for option in options {
        if option.env.is_some() == option.file.is_some() {
            let found = if option.env.is_some() { "both" } else { "neither" };
            diagnostics.report(
                Diagnostic::error("one-of", option.span, format!("a secret comes from either `env` or `file`; found {found}"))
                    .hint("`{ env: ENVIRONMENT_VARIABLE }` or `{ file: PATH }`"),
            );
        }
        if let Some(until) = option.until.as_ref().filter(|until| until.parse::<Date>().is_err()) {
            let message = format!("expected a day such as `2026-12-31`; found `{}`", until.value);
            diagnostics.report(Diagnostic::error("wrong-type", until.span, message));
        }
    }
}

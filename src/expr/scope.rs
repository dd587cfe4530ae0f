//! What may be named where: the first names of the event document at a step, and whether secrets may stand there.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::diagnostic::{Diagnostic, Diagnostics, closest};
use crate::config::source::Span;
use crate::secret::Secret;

/// The secrets a source's expressions may use, by name.
pub type SecretValues = BTreeMap<String, Secret<String>>;

/// Whether `secret.NAME` may stand somewhere.
#[derive(Clone, Debug)]
pub enum SecretRule {
    /// It may: the text goes out to where the secret belongs. Names those that exist.
    Allowed(BTreeSet<String>),
    /// It may not; says what the place is: “a column”.
    Refused(&'static str),
}

/// The names that an expression can use at a step.
#[derive(Clone, Debug)]
pub struct Scope {
    known: BTreeMap<String, Origin>,
    secrets: SecretRule,
}

#[derive(Clone, Debug)]
enum Origin {
    Here,
    Later(&'static str),
}

impl Scope {
    /// A scope with these first names and no secrets; `place` says where it is when someone tries.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>, place: &'static str) -> Self {
        let known = names.into_iter().map(|name| (name.to_owned(), Origin::Here)).collect();
        Self { known, secrets: SecretRule::Refused(place) }
    }

    /// The same with more names.
    #[must_use]
    pub fn with<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut scope = self.clone();
        scope.known.extend(names.into_iter().map(|name| (name.to_owned(), Origin::Here)));
        scope
    }

    /// The same, knowing also names that only a later step adds, to say so when one is used too early.
    #[must_use]
    pub fn with_later<'n>(&self, names: impl IntoIterator<Item = &'n str>, step: &'static str) -> Self {
        let mut scope = self.clone();
        for name in names {
            // what exists already is not made later
            scope.known.entry(name.to_owned()).or_insert(Origin::Later(step));
        }
        scope
    }

    /// The same with another rule for secrets.
    #[must_use]
    pub fn with_secrets(&self, secrets: SecretRule) -> Self {
        Self { known: self.known.clone(), secrets }
    }

    /// Whether secrets may stand here.
    pub fn secrets(&self) -> &SecretRule {
        &self.secrets
    }

    /// Whether a first name can be used here.
    pub fn has(&self, name: &str) -> bool {
        matches!(self.known.get(name), Some(Origin::Here))
    }

    /// Reports a first name that does not exist here. `span` is the name's place.
    pub fn check_name(&self, name: &str, span: Span, diagnostics: &mut Diagnostics) {
        let diagnostic = match self.known.get(name) {
            Some(Origin::Here) => return,
            Some(Origin::Later(step)) => Diagnostic::error("name-too-early", span, format!("`{name}` does not exist yet here"))
                .label(format!("{step} adds it later"))
                .hint(format!("use what is there by now: {}", self.listed())),
            None => {
                let names = self.names();
                let diagnostic = Diagnostic::error("unknown-name", span, format!("the event document has no `{name}` here"));
                match (name, closest(name, names.iter().copied())) {
                    ("secret", _) => diagnostic.hint("secrets are no part of the document: write `\"{{ secret.NAME }}\"`"),
                    (_, Some(close)) => diagnostic.hint(format!("did you mean `{close}`?")).replacement(span, close),
                    _ => diagnostic.hint(format!("it has {}", self.listed())),
                }
            }
        };
        diagnostics.report(diagnostic);
    }

    fn names(&self) -> Vec<&str> {
        self.known.iter().filter(|(_, origin)| matches!(origin, Origin::Here)).map(|(name, _)| name.as_str()).collect()
    }

    fn listed(&self) -> String {
        self.names().iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }

    /// Reports a secret that does not exist or may not stand here.
    pub fn check_secret(&self, name: &str, span: Span, diagnostics: &mut Diagnostics) {
        diagnostics.report(match &self.secrets {
            SecretRule::Allowed(known) if known.contains(name) => return,
            SecretRule::Allowed(known) => {
                let diagnostic = Diagnostic::error("unknown-secret", span, format!("there is no secret `{name}`")).did_you_mean(
                    name,
                    known.iter().map(String::as_str),
                    span,
                );
                match diagnostic.hint {
                    Some(_) => diagnostic,
                    None => diagnostic.hint("declare it under `secrets:`, or as a secret field of `integration:`"),
                }
            }
            SecretRule::Refused(place) => {
                Diagnostic::error("secret-in-the-open", span, format!("a secret may not stand in {place}")).hint(
                    "secrets may stand only in what goes out to the system they belong to: API headers, query, body and URL",
                )
            }
        });
    }
}

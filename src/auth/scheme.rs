//! `auth:`: the kinds of scheme, compiled and verified. Adding one adds a file beside this one and an arm here.

use super::caller::{Caller, Refusal};
use super::secret::{SecretReader, Values};
use super::{api_key, token};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{FromYaml, OptionDoc, map_of, options, report_unknown};
use crate::config::shape::Shape;
use crate::config::source::Spanned;
use crate::config::yaml::Node;
use crate::expr::reads::Reads;
use crate::expr::template::Engine;
use crate::expr::value::Compiler;
use crate::model::event::EventDocument;
use crate::store::Store;

/// What may stand under `auth`.
#[derive(Clone, Debug)]
pub enum AuthOptions {
    /// A key that we issued; it says which tenant this is.
    ApiKey(api_key::Options),
    /// A fixed value.
    Token(token::Options),
    /// Nothing, and why.
    None(Spanned<String>),
}

options! {
    /// No check at all.
    pub struct NoneOptions {
        /// Why everyone may send.
        none: Spanned<String>,
    }
}

const SCHEMES: &[OptionDoc] = &[
    OptionDoc { name: "api_key", doc: "a key that we issued; it says which tenant this is" },
    OptionDoc { name: "token", doc: "a fixed value" },
    OptionDoc { name: "none", doc: "no check at all, and why" },
];

impl FromYaml for AuthOptions {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let entries = match node.entries() {
            Some(entries) => entries,
            None => map_of(node, SCHEMES, diagnostics)?,
        };
        let mut schemes = entries.iter().filter(|entry| SCHEMES.iter().any(|scheme| scheme.name == entry.name.value));
        let scheme = schemes.next();
        if let (Some(first), Some(second)) = (scheme, schemes.next()) {
            let message = format!("`auth` takes one scheme; found `{}` and `{}`", first.name.value, second.name.value);
            diagnostics.report(
                Diagnostic::error("one-of", second.name.span, message)
                    .related(first.name.span, "the other one")
                    .hint("remove one of the two"),
            );
            return None;
        }
        match scheme.map(|entry| (entry.name.value.as_str(), entry)) {
            Some(("api_key", _)) => api_key::Options::from_yaml(node, diagnostics).map(Self::ApiKey),
            Some(("token", _)) => token::Options::from_yaml(node, diagnostics).map(Self::Token),
            Some(_) => NoneOptions::from_yaml(node, diagnostics).map(|options| Self::None(options.none)),
            None => {
                match entries.first() {
                    Some(first) => report_unknown(&first.name, SCHEMES.iter().map(|scheme| scheme.name), diagnostics),
                    None => diagnostics.report(
                        Diagnostic::error("missing-option", node.span, "`auth` needs a scheme")
                            .hint("such as `api_key: $.query.key`, `token: $.headers.x_token` or `none: \"reason\"`"),
                    ),
                }
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::OneOf(vec![api_key::Options::shape(), token::Options::shape(), NoneOptions::shape()])
    }
}

/// A compiled scheme.
#[derive(Clone, Debug)]
pub enum Auth {
    /// A key that we issued.
    ApiKey(api_key::Scheme),
    /// A fixed value.
    Token(token::Scheme),
    /// Everyone, on purpose.
    None,
}

/// Compiles it. Secrets that are unset are told in `unset`; then there is nothing to verify with.
pub fn compile(
    options: &AuthOptions,
    compiler: &Compiler<'_>,
    secrets: &[(String, Values)],
    reader: &dyn SecretReader,
    diagnostics: &mut Diagnostics,
    unset: &mut Diagnostics,
) -> Option<Auth> {
    match options {
        AuthOptions::ApiKey(options) => api_key::compile(options, compiler, diagnostics).map(Auth::ApiKey),
        AuthOptions::Token(options) => token::compile(options, compiler, secrets, reader, diagnostics, unset).map(Auth::Token),
        AuthOptions::None(reason) => {
            if reason.value.trim().is_empty() {
                diagnostics.report(
                    Diagnostic::error("missing-reason", reason.span, "`none` needs a reason; found an empty text")
                        .hint("say why anyone may send: `none: \"the path cannot be guessed\"`"),
                );
            }
            Some(Auth::None)
        }
    }
}

impl Auth {
    /// Verifies a request by its document. Fails closed.
    pub fn verify(&self, document: &EventDocument, source: &str, store: &Store) -> Result<Caller, Refusal> {
        match self {
            Self::ApiKey(scheme) => scheme.verify(document, source, store),
            Self::Token(scheme) => scheme.verify(document),
            Self::None => Ok(Caller::new("none", None, None)),
        }
    }

    /// The sender of a delivery that was made up inside: by a test, or by a person who runs a file for a tenant.
    pub fn names_tenant(&self) -> bool {
        matches!(self, Self::ApiKey(_))
    }

    /// Adds the places it looks at; what stands there is secret.
    pub fn add_reads(&self, engine: &Engine, reads: &mut Reads) {
        match self {
            Self::ApiKey(scheme) => scheme.at.add_reads(engine, reads),
            Self::Token(scheme) => scheme.at.add_reads(engine, reads),
            Self::None => {}
        }
    }
}

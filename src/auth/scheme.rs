//! `auth:`: the kinds of scheme, compiled and verified. Adding one adds a file beside this one and an arm here.

use futures_util::future::BoxFuture;

use super::caller::{Caller, Refusal};
use super::evidence::Evidence;
use super::secret::{SecretSource, Surroundings};
use super::signature::{compile as compile_signature, options::SignedRequestOptions, scheme::Scheme as SignatureScheme};
use super::{api_key, basic, check, combined, integration, ip, jwt, preset, token};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{FromYaml, OptionDoc, map_of, options, report_unknown};
use crate::config::shape::Shape;
use crate::config::source::Spanned;
use crate::config::yaml::Node;
use crate::expr::reads::Reads;
use crate::expr::template::Engine;
use crate::http_client::client::HttpClient;
use crate::model::integration::Integrations;
use crate::store::Store;

/// What may stand under `auth`, and as an element of `any` and `all`.
#[derive(Clone, Debug)]
pub enum AuthOptions {
    /// A key that we issued; it says which tenant this is.
    ApiKey(api_key::Options),
    /// The endpoint id of an integration; it says which tenant this is.
    Integration(integration::EndpointOptions),
    /// A fixed value.
    Token(token::Options),
    /// A signature over the request.
    Signature(Box<SignedRequestOptions>),
    /// A user and a password.
    Basic(basic::Options),
    /// Certain addresses.
    Ip(ip::Options),
    /// A signed JSON Web Token.
    Jwt(jwt::Options),
    /// A condition.
    Check(check::Options),
    /// One of several.
    Any(combined::AnyOptions),
    /// All of several.
    All(combined::AllOptions),
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
    OptionDoc { name: "integration", doc: "the endpoint id of an integration; it says which tenant this is" },
    OptionDoc { name: "token", doc: "a fixed value" },
    OptionDoc { name: "signature", doc: "a signature over the request" },
    OptionDoc { name: "preset", doc: "a scheme that is written already" },
    OptionDoc { name: "basic", doc: "a user and a password" },
    OptionDoc { name: "ip", doc: "certain addresses" },
    OptionDoc { name: "jwt", doc: "a signed JSON Web Token" },
    OptionDoc { name: "check", doc: "a condition" },
    OptionDoc { name: "any", doc: "one of several schemes" },
    OptionDoc { name: "all", doc: "all of several schemes" },
    OptionDoc { name: "none", doc: "no check at all, and why" },
];

impl FromYaml for AuthOptions {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let entries = match node.entries() {
            Some(entries) => entries,
            None => map_of(node, SCHEMES, diagnostics)?,
        };
        if node.get("preset").is_some() {
            return preset::expanded(node, diagnostics).and_then(|whole| Self::from_yaml(&whole, diagnostics));
        }
        let mut schemes = entries.iter().filter(|entry| SCHEMES.iter().any(|scheme| scheme.name == entry.name.value));
        let scheme = schemes.next();
        if let (Some(first), Some(second)) = (scheme, schemes.next()) {
            let message = format!("`auth` takes one scheme; found `{}` and `{}`", first.name.value, second.name.value);
            diagnostics.report(
                Diagnostic::error("one-of", second.name.span, message)
                    .related(first.name.span, "the other one")
                    .hint("remove one of the two, or join them: `all: [ { … }, { … } ]`"),
            );
            return None;
        }
        let Some(scheme) = scheme else {
            match entries.first() {
                Some(first) => report_unknown(&first.name, SCHEMES.iter().map(|scheme| scheme.name), diagnostics),
                None => diagnostics.report(
                    Diagnostic::error("missing-option", node.span, "`auth` needs a scheme")
                        .hint("such as `api_key: $.query.key`, `token: $.headers.x_token` or `none: \"reason\"`"),
                ),
            }
            return None;
        };
        match scheme.name.value.as_str() {
            "api_key" => api_key::Options::from_yaml(node, diagnostics).map(Self::ApiKey),
            "integration" => integration::EndpointOptions::from_yaml(node, diagnostics).map(Self::Integration),
            "token" => token::Options::from_yaml(node, diagnostics).map(Self::Token),
            "signature" => SignedRequestOptions::from_yaml(node, diagnostics).map(Box::new).map(Self::Signature),
            "basic" => basic::Options::from_yaml(node, diagnostics).map(Self::Basic),
            "ip" => ip::Options::from_yaml(node, diagnostics).map(Self::Ip),
            "jwt" => jwt::Options::from_yaml(node, diagnostics).map(Self::Jwt),
            "check" => check::Options::from_yaml(node, diagnostics).map(Self::Check),
            "any" => combined::AnyOptions::from_yaml(node, diagnostics).map(Self::Any),
            "all" => combined::AllOptions::from_yaml(node, diagnostics).map(Self::All),
            _ => NoneOptions::from_yaml(node, diagnostics).map(|options| Self::None(options.none)),
        }
    }

    fn shape() -> Shape {
        Shape::OneOf(vec![
            api_key::Options::shape(),
            integration::EndpointOptions::shape(),
            token::Options::shape(),
            SignedRequestOptions::shape(),
            preset::PresetOptions::shape(),
            basic::Options::shape(),
            ip::Options::shape(),
            jwt::Options::shape(),
            check::Options::shape(),
            combined::AnyOptions::shape(),
            combined::AllOptions::shape(),
            NoneOptions::shape(),
        ])
    }
}

impl AuthOptions {
    /// Whether the credentials say which tenant this is.
    pub fn names_tenant(&self) -> bool {
        match self {
            Self::ApiKey(_) | Self::Integration(_) => true,
            Self::Any(options) => !options.any.is_empty() && options.any.iter().all(Self::names_tenant),
            Self::All(options) => options.all.iter().any(Self::names_tenant),
            Self::Token(_)
            | Self::Signature(_)
            | Self::Basic(_)
            | Self::Ip(_)
            | Self::Jwt(_)
            | Self::Check(_)
            | Self::None(_) => false,
        }
    }

    /// Whether it verifies claims, which what follows it under `all` can look at.
    pub fn leaves_claims(&self) -> bool {
        match self {
            Self::Jwt(_) => true,
            Self::Any(options) => !options.any.is_empty() && options.any.iter().all(Self::leaves_claims),
            Self::All(options) => options.all.iter().any(Self::leaves_claims),
            _ => false,
        }
    }
}

/// A compiled scheme.
#[derive(Clone, Debug)]
pub enum Auth {
    /// A key that we issued.
    ApiKey(api_key::Scheme),
    /// The endpoint id of an integration.
    Integration(integration::Scheme),
    /// A fixed value.
    Token(token::Scheme),
    /// A signature over the request.
    Signature(Box<SignatureScheme>),
    /// A user and a password.
    Basic(basic::Scheme),
    /// Certain addresses.
    Ip(ip::Scheme),
    /// A signed JSON Web Token.
    Jwt(jwt::Scheme),
    /// A condition.
    Check(check::Scheme),
    /// One of several.
    Any(Vec<Auth>),
    /// All of several, in the order in which they were written.
    All(Vec<Auth>),
    /// Everyone, on purpose.
    None,
}

/// What schemes verify with besides the request.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// The keys that we issued.
    pub store: &'a Store,
    /// The integrations.
    pub integrations: &'a Integrations,
    /// Fetches the public keys of issuers.
    pub http: &'a HttpClient,
}

/// Compiles it. Secrets that are unset are told in `unset`; then there is nothing to verify with.
pub fn compile(
    options: &AuthOptions,
    surroundings: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
    unset: &mut Diagnostics,
) -> Option<Auth> {
    check::refuse_alone(options, diagnostics);
    compile_part(options, surroundings, diagnostics, unset)
}

/// Compiles one of those that may be joined.
pub(super) fn compile_part(
    options: &AuthOptions,
    surroundings: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
    unset: &mut Diagnostics,
) -> Option<Auth> {
    match options {
        AuthOptions::ApiKey(options) => api_key::compile(options, &surroundings.compiler, diagnostics).map(Auth::ApiKey),
        AuthOptions::Integration(options) => {
            integration::compile(options, &surroundings.compiler, diagnostics).map(Auth::Integration)
        }
        AuthOptions::Token(options) => token::compile(options, surroundings, diagnostics, unset).map(Auth::Token),
        AuthOptions::Signature(options) => {
            let scheme = compile_signature::compile(options, surroundings, diagnostics, unset);
            scheme.map(Box::new).map(Auth::Signature)
        }
        AuthOptions::Basic(options) => basic::compile(options, surroundings, diagnostics, unset).map(Auth::Basic),
        AuthOptions::Ip(options) => Some(Auth::Ip(ip::compile(options))),
        AuthOptions::Jwt(options) => jwt::compile(options, surroundings, diagnostics, unset).map(Auth::Jwt),
        AuthOptions::Check(options) => check::compile(options, surroundings, diagnostics).map(Auth::Check),
        AuthOptions::Any(options) => combined::compile_any(options, surroundings, diagnostics, unset).map(Auth::Any),
        AuthOptions::All(options) => combined::compile_all(options, surroundings, diagnostics, unset).map(Auth::All),
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
    /// Verifies a request. Fails closed.
    pub fn verify<'a>(&'a self, evidence: Evidence<'a>, means: Means<'a>) -> BoxFuture<'a, Result<Caller, Refusal>> {
        Box::pin(async move {
            match self {
                Self::ApiKey(scheme) => scheme.verify(&evidence, means.store),
                Self::Integration(scheme) => scheme.verify(&evidence, means.integrations),
                Self::Token(scheme) => scheme.verify(&evidence),
                Self::Signature(scheme) => scheme.verify(&evidence),
                Self::Basic(scheme) => scheme.verify(&evidence),
                Self::Ip(scheme) => scheme.verify(&evidence),
                Self::Jwt(scheme) => scheme.verify(&evidence, means.http).await,
                Self::Check(scheme) => scheme.verify(&evidence),
                Self::Any(schemes) => combined::verify_any(schemes, evidence, means).await,
                Self::All(schemes) => combined::verify_all(schemes, evidence, means).await,
                Self::None => Ok(Caller::new("none", None, None)),
            }
        })
    }

    /// Whether the credentials say which tenant this is.
    pub fn names_tenant(&self) -> bool {
        match self {
            Self::ApiKey(_) | Self::Integration(_) => true,
            Self::Any(schemes) => !schemes.is_empty() && schemes.iter().all(Self::names_tenant),
            Self::All(schemes) => schemes.iter().any(Self::names_tenant),
            Self::Token(_) | Self::Signature(_) | Self::Basic(_) | Self::Ip(_) | Self::Jwt(_) | Self::Check(_) | Self::None => {
                false
            }
        }
    }

    /// The scheme in a word: `api_key`, `token`, …
    pub fn word(&self) -> &'static str {
        match self {
            Self::ApiKey(_) => "api_key",
            Self::Integration(_) => "integration",
            Self::Token(_) => "token",
            Self::Signature(_) => "signature",
            Self::Basic(_) => "basic",
            Self::Ip(_) => "ip",
            Self::Jwt(_) => "jwt",
            Self::Check(_) => "check",
            Self::Any(_) => "any",
            Self::All(_) => "all",
            Self::None => "none",
        }
    }

    /// It, or those that it consists of, however deep.
    pub fn leaves(&self) -> Vec<&Auth> {
        match self {
            Self::Any(schemes) | Self::All(schemes) => schemes.iter().flat_map(Self::leaves).collect(),
            leaf => vec![leaf],
        }
    }

    /// The secret that it compares with or signs with, if it has one.
    pub fn secret(&self) -> Option<&SecretSource> {
        match self {
            Self::Token(scheme) => Some(scheme.secret()),
            Self::Signature(scheme) => Some(scheme.secret()),
            Self::Basic(scheme) => Some(scheme.secret()),
            Self::Jwt(scheme) => scheme.secret(),
            Self::ApiKey(_) | Self::Integration(_) | Self::Ip(_) | Self::Check(_) | Self::Any(_) | Self::All(_) | Self::None => {
                None
            }
        }
    }

    /// Where a sender puts the endpoint id of an integration, where that is what the scheme looks at.
    pub fn endpoint_place(&self) -> Option<Vec<String>> {
        match self {
            Self::Integration(scheme) => scheme.place(),
            _ => None,
        }
    }

    /// Adds the places it looks at.
    pub fn add_reads(&self, engine: &Engine, reads: &mut Reads) {
        match self {
            Self::Check(scheme) => scheme.condition.add_reads(engine, reads),
            Self::Signature(scheme) => scheme.add_reads(reads),
            Self::Any(schemes) | Self::All(schemes) => schemes.iter().for_each(|scheme| scheme.add_reads(engine, reads)),
            other => other.add_secret_places(engine, reads),
        }
    }

    /// Adds the places where credentials stand: what is there is secret.
    pub fn add_secret_places(&self, engine: &Engine, reads: &mut Reads) {
        match self {
            Self::ApiKey(scheme) => scheme.at.add_reads(engine, reads),
            Self::Integration(scheme) => scheme.at.add_reads(engine, reads),
            Self::Token(scheme) => scheme.at.add_reads(engine, reads),
            Self::Signature(scheme) => scheme.add_secret_places(reads),
            Self::Jwt(scheme) => scheme.at.add_reads(engine, reads),
            Self::Any(schemes) | Self::All(schemes) => schemes.iter().for_each(|scheme| scheme.add_secret_places(engine, reads)),
            // of `basic` the header is masked whoever sends it
            Self::Basic(_) | Self::Ip(_) | Self::Check(_) | Self::None => {}
        }
    }
}

//! `jwt: { at: $.headers.authorization, keys: { url: … }, algorithms: [RS256] }`: a signed JSON Web Token. Its verified claims are
//! left as `$.claims`. Only the algorithms that the file names count, and a public key is never taken for a shared secret.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, Header, Validation};
use reqwest::Url;
use serde_json::{Map, Value as Json, json};

use super::basic::strip_word;
use super::caller::{Caller, Refusal};
use super::evidence::Evidence;
use super::jwks::{self, Fetched, Keys};
use super::secret::{SecretReference, SecretSource, SecretValue, Surroundings};
use crate::clock::Timestamp;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{FromYaml, options, report_choice};
use crate::config::shape::{self, Shape};
use crate::config::source::Spanned;
use crate::config::yaml::Node;
use crate::expr::template::Context;
use crate::expr::value::Value;
use crate::http_client::client::HttpClient;
use crate::secret::Secret;

/// How far the clocks of issuer and receiver may be apart.
const LEEWAY: Duration = Duration::from_secs(60);
/// The longest token that is looked at.
const LONGEST: usize = 16 << 10;

options! {
    /// A signed JSON Web Token; its claims are `$.claims` from then on.
    pub struct Options {
        /// How it is read and verified.
        jwt: JwtTokenOptions,
    }
}

options! {
    /// How a token is read and verified.
    pub struct JwtTokenOptions {
        /// Where it stands: `$.headers.authorization`. `Bearer ` before it is cut.
        at: Node as shape::text_value,
        /// The keys it may be signed with.
        keys: KeyOptions,
        /// The algorithms that count.
        algorithms: Vec<Spanned<Signing>>,
        /// Who must have issued it.
        issuer: Vec<String>,
        /// Whom it must be meant for; one of these.
        audience: Vec<String>,
        /// How old it may be by its `iat`; a token without `exp` needs it.
        max_age: Option<Duration>,
    }
}

options! {
    /// Where keys come from: one of these.
    pub struct KeyOptions {
        /// A JSON Web Key Set that the issuer publishes; fetched, kept and fetched again by itself.
        url: Option<Spanned<String>>,
        /// A JSON Web Key Set, or a public key in PEM, in a file beside the route file.
        file: Option<Spanned<String>>,
        /// A shared secret, for HS256, HS384 and HS512.
        secret: Option<SecretReference>,
        /// Whether `url` may be a private or loopback address.
        allow_private: Option<bool> = "false",
    }
}

/// An algorithm that a token may be signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signing(Algorithm);

const ALGORITHMS: &[&str] =
    &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "HS256", "HS384", "HS512"];

impl FromYaml for Signing {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let known = node.text().filter(|text| ALGORITHMS.contains(text)).and_then(|text| text.parse().ok());
        if known.is_none() {
            report_choice(ALGORITHMS, node, diagnostics);
        }
        known.map(Self)
    }

    fn shape() -> Shape {
        Shape::Word(ALGORITHMS)
    }
}

/// The compiled scheme.
#[derive(Clone, Debug)]
pub struct Scheme {
    pub(super) at: Value,
    keys: Keys,
    algorithms: Vec<Algorithm>,
    issuer: Vec<String>,
    audience: Vec<String>,
    max_age: Option<Duration>,
}

/// Compiles it.
pub(super) fn compile(
    options: &Options,
    surroundings: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
    unset: &mut Diagnostics,
) -> Option<Scheme> {
    let options = &options.jwt;
    let at = Value::compile_text(&options.at, &surroundings.compiler, diagnostics);
    let keys = compile_keys(&options.keys, surroundings, diagnostics, unset);
    check_algorithms(options, diagnostics);
    let (at, keys) = (at?, keys?);
    if matches!(at, Value::Literal(_)) {
        let message = "the token is a fixed text here, not a place in the request";
        diagnostics
            .report(Diagnostic::error("auth-not-a-path", options.at.span, message).hint("such as `$.headers.authorization`"));
    }
    let mut algorithms: Vec<Algorithm> = options.algorithms.iter().map(|algorithm| algorithm.value.0).collect();
    // nobody has an issuer's private key in a test: there, a secret of the test stands in for it
    let stand_in = surroundings.reader.stand_in("jwt").filter(|_| options.keys.secret.is_none());
    let keys = match stand_in {
        Some(secret) => {
            algorithms = vec![Algorithm::HS256];
            Keys::Secret(SecretSource::Declared(vec![SecretValue::new(Secret::new(secret))]))
        }
        None => keys,
    };
    Some(Scheme {
        at,
        keys,
        algorithms,
        issuer: options.issuer.clone(),
        audience: options.audience.clone(),
        max_age: options.max_age,
    })
}

fn compile_keys(
    options: &KeyOptions,
    surroundings: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
    unset: &mut Diagnostics,
) -> Option<Keys> {
    match (&options.url, &options.file, &options.secret) {
        (Some(url), None, None) => {
            let parsed =
                Url::parse(&url.value).ok().filter(|parsed| matches!(parsed.scheme(), "https" | "http") && parsed.has_host());
            let allow_private = options.allow_private.unwrap_or(false);
            match parsed.filter(|parsed| parsed.scheme() == "https" || allow_private) {
                Some(parsed) => Some(Keys::Url(Arc::new(Fetched::new(parsed, allow_private)))),
                None => {
                    let message = format!("expected the https address of a JSON Web Key Set; found `{}`", url.value);
                    let hint =
                        "such as `https://issuer.example/.well-known/jwks.json`: what comes over http anyone could have changed";
                    diagnostics.report(Diagnostic::error("bad-url", url.span, message).hint(hint));
                    None
                }
            }
        }
        (None, Some(file), None) => {
            let read = (surroundings.files)(&file.value).and_then(|text| jwks::read(&text));
            match read {
                Ok(keys) => Some(Keys::File(Arc::new(keys))),
                Err(reason) => {
                    let message = format!("`{}` gives no keys: {reason}", file.value);
                    let hint =
                        "a JSON Web Key Set (`{ \"keys\": [ … ] }`), or a public key in PEM; the path is relative to this file";
                    diagnostics.report(Diagnostic::error("bad-keys", file.span, message).hint(hint));
                    None
                }
            }
        }
        (None, None, Some(secret)) => surroundings.secret(secret, options.span, "jwt", diagnostics, unset).map(Keys::Secret),
        _ => {
            let message = "keys come from one of `url`, `file` and `secret`";
            let hint = "such as `keys: { url: \"https://issuer.example/jwks\" }`";
            diagnostics.report(Diagnostic::error("one-of", options.span, message).hint(hint));
            None
        }
    }
}

/// A shared secret and a public key verify different algorithms; one that both could verify lets forgers in.
fn check_algorithms(options: &JwtTokenOptions, diagnostics: &mut Diagnostics) {
    if options.algorithms.is_empty() {
        let message = "`algorithms` names none, so no token would be valid";
        diagnostics.report(Diagnostic::error("missing-option", options.head, message).hint("such as `algorithms: [RS256]`"));
    }
    let is_shared = options.keys.secret.is_some();
    for algorithm in &options.algorithms {
        if (algorithm.value.0.family() == AlgorithmFamily::Hmac) != is_shared {
            let (name, needed) = (format!("{:?}", algorithm.value.0), if is_shared { "public keys" } else { "a shared secret" });
            let message = format!("`{name}` verifies with {needed}, and `keys` gives none");
            let hint = if is_shared {
                "with `secret` there are HS256, HS384 and HS512"
            } else {
                "with `url` and `file` there are RS256, PS256, ES256, EdDSA and their likes"
            };
            diagnostics.report(Diagnostic::error("wrong-algorithm", algorithm.span, message).hint(hint));
        }
    }
}

impl Scheme {
    /// The secret that tokens are verified with, where it is a shared one.
    pub fn secret(&self) -> Option<&SecretSource> {
        match &self.keys {
            Keys::Secret(secret) => Some(secret),
            Keys::File(_) | Keys::Url(_) => None,
        }
    }

    /// Where a sender puts the token.
    pub fn place(&self) -> Option<Vec<String>> {
        self.at.as_path().and_then(crate::expr::jsonpath::Path::place)
    }

    /// A token that passes now with these claims, signed with a shared secret.
    pub fn token(&self, claims: &Map<String, Json>, secret: &str, now: Timestamp) -> Result<String, String> {
        let seconds = now.as_micros() / 1_000_000;
        let mut all = Map::new();
        all.insert("iat".to_owned(), json!(seconds));
        all.insert("exp".to_owned(), json!(seconds + 300));
        self.issuer.first().map(|issuer| all.insert("iss".to_owned(), json!(issuer)));
        self.audience.first().map(|audience| all.insert("aud".to_owned(), json!(audience)));
        all.extend(claims.clone());
        let algorithm = self.algorithms.first().copied().unwrap_or_default();
        let token = jsonwebtoken::encode(&Header::new(algorithm), &all, &EncodingKey::from_secret(secret.as_bytes()));
        token.map(|token| format!("Bearer {token}")).map_err(|error| error.to_string())
    }

    pub(super) async fn verify(&self, evidence: &Evidence<'_>, http: &HttpClient) -> Result<Caller, Refusal> {
        let presented = self.at.text(Context::from(evidence.document)).unwrap_or_default();
        let token = strip_word(&presented, "bearer").unwrap_or(presented.trim());
        if token.is_empty() {
            return Err(Refusal::new(format!("a token is expected at `{}`", self.at.origin())).because("there is none"));
        }
        let head = head_of(token).map_err(|finding| invalid().because(finding))?;
        let algorithm = self.allowed(&head).map_err(|finding| invalid().because(finding))?;
        let key_id = head.get("kid").and_then(Json::as_str);
        let keys = self.keys_for(algorithm, key_id, evidence, http).await?;
        if keys.is_empty() {
            let named = key_id.map_or("no key id".to_owned(), |id| format!("the key id `{}`", crate::config::yaml::shorten(id)));
            return Err(invalid().because(format!("no key fits: the token has {named} and the algorithm {algorithm:?}")));
        }
        let claims = keys.iter().find_map(|key| claims_of(token, key, algorithm));
        let claims = claims.ok_or_else(|| invalid().because(format!("the signature fits none of {} keys", keys.len())))?;
        self.check_claims(&claims, evidence.now).map_err(|finding| invalid().because(finding))?;
        Ok(Caller::new("jwt", None, None).with_claims(Json::Object(claims)))
    }

    /// The token's algorithm, if the file names it.
    fn allowed(&self, head: &Map<String, Json>) -> Result<Algorithm, String> {
        if head.contains_key("crit") {
            return Err("it asks for extensions (`crit`) that are not known here".to_owned());
        }
        let named = head.get("alg").and_then(Json::as_str).unwrap_or_default();
        let known = self.algorithms.iter().find(|algorithm| format!("{algorithm:?}") == named);
        known.copied().ok_or_else(|| {
            let listed: Vec<String> = self.algorithms.iter().map(|algorithm| format!("{algorithm:?}")).collect();
            format!("its algorithm is `{}`; expected {}", crate::config::yaml::shorten(named), listed.join(" or "))
        })
    }

    async fn keys_for(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
        evidence: &Evidence<'_>,
        http: &HttpClient,
    ) -> Result<Vec<DecodingKey>, Refusal> {
        match &self.keys {
            Keys::Secret(secret) => {
                let active = secret.candidates(evidence).into_iter().filter(|candidate| candidate.is_active);
                Ok(active.map(|candidate| DecodingKey::from_secret(candidate.value.as_bytes())).collect())
            }
            Keys::File(keys) => Ok(keys.matching(algorithm, key_id)),
            Keys::Url(keys) => keys.matching(algorithm, key_id, evidence, http).await.map_err(Refusal::undecided),
        }
    }

    fn check_claims(&self, claims: &Map<String, Json>, now: Timestamp) -> Result<(), String> {
        let now = now.as_micros() / 1_000_000;
        let leeway = LEEWAY.as_secs() as i64;
        let moment = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => seconds_of(value).map(Some).ok_or_else(|| format!("its `{name}` is no moment")),
        };
        match (moment("exp")?, self.max_age) {
            (Some(end), _) if end + leeway < now => return Err(format!("it has expired {} s ago", now - end)),
            (None, None) => return Err("it has no `exp`; the file can say `max_age` instead".to_owned()),
            _ => {}
        }
        if let Some(start) = moment("nbf")?.filter(|start| start - leeway > now) {
            return Err(format!("it is valid only in {} s", start - now));
        }
        if let Some(most) = self.max_age {
            let issued = moment("iat")?.ok_or("it has no `iat`, by which `max_age` is counted")?;
            if issued - leeway > now {
                return Err(format!("it was issued {} s in the future", issued - now));
            }
            if now - issued > most.as_secs() as i64 + leeway {
                return Err(format!("it was issued {} s ago; {} s are allowed", now - issued, most.as_secs()));
            }
        }
        let issuer = claims.get("iss").and_then(Json::as_str);
        if !self.issuer.is_empty() && !issuer.is_some_and(|issuer| self.issuer.iter().any(|known| known == issuer)) {
            return Err(format!("its issuer is `{}`", crate::config::yaml::shorten(issuer.unwrap_or("nobody"))));
        }
        let audience = match claims.get("aud") {
            Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
            Some(one) => one.as_str().into_iter().collect(),
            None => Vec::new(),
        };
        if !self.audience.is_empty() && !audience.iter().any(|one| self.audience.iter().any(|known| known == one)) {
            return Err("it is meant for another audience".to_owned());
        }
        Ok(())
    }
}

fn invalid() -> Refusal {
    Refusal::new("the token is not valid")
}

fn head_of(token: &str) -> Result<Map<String, Json>, String> {
    if token.len() > LONGEST {
        return Err(format!("it has {} bytes; {LONGEST} are the most", token.len()));
    }
    let parts: Vec<&str> = token.split('.').collect();
    let [head, _, _] = parts.as_slice() else {
        return Err(format!("a token has three parts with `.` between them; found {}", parts.len()));
    };
    let head = URL_SAFE_NO_PAD.decode(head).map_err(|_| "its first part is not base64url".to_owned())?;
    serde_json::from_slice(&head).map_err(|_| "its first part is no JSON object".to_owned())
}

fn claims_of(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Option<Map<String, Json>> {
    // moments, issuer and audience are compared by our own clock, with words for what is wrong
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    jsonwebtoken::decode::<Map<String, Json>>(token, key, &validation).ok().map(|token| token.claims)
}

/// Seconds since 1970; a fraction is cut.
fn seconds_of(value: &Json) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().filter(|seconds| seconds.is_finite()).map(|seconds| seconds as i64))
}

//! `apis:` compiled: where a provider's API is, what every call carries, the limits it sets, and how one logs in.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderName;

pub use super::api_options::{Absent, ApiOptions};
use super::session::{self, SessionRule};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::Named;
use crate::config::source::Spanned;
use crate::config::units::Rate;
use crate::config::yaml::Node;
use crate::expr::value::{Compiler, Value};
use crate::http_client::api::{CacheRule, RetryRule, StatusPattern};

/// A compiled API.
#[derive(Clone, Debug)]
pub struct Api {
    /// Its name under `apis`.
    pub name: String,
    /// Where it is, without a slash at the end.
    pub base: String,
    /// Scheme, host and port of the base.
    pub origin: String,
    /// What every call carries.
    pub headers: Vec<(HeaderName, Value)>,
    /// How many calls in how long.
    pub limits: Vec<Rate>,
    /// The name of a budget that it shares with others of its tenant.
    pub budget: Option<String>,
    /// How many calls side by side.
    pub concurrency: Option<usize>,
    /// The longest a call may take.
    pub timeout: Duration,
    /// The statuses that are tried again, and how often.
    pub retry: RetryRule,
    /// What is taken of every answer.
    pub take: Option<Node>,
    /// What a 404 or 410 means.
    pub absent: Absent,
    /// The statuses of an answer that counts.
    pub accept: Vec<StatusPattern>,
    /// For how long an answer serves others.
    pub cache: Option<CacheRule>,
    /// How one logs in.
    pub session: Option<SessionRule>,
    /// Whether private and loopback addresses may be called.
    pub allow_private: bool,
}

impl Api {
    /// The name of its budget for what belongs to `scope` and `tenant`.
    pub(super) fn budget_name(&self, scope: &str, tenant: Option<&str>) -> String {
        match &self.budget {
            // shared by all files that name it, as the provider counts a customer's calls whoever makes them
            Some(shared) => format!("@{shared}/{}", tenant.unwrap_or_default()),
            None => format!("{}/{scope}", self.name),
        }
    }
}

/// Compiles all apis of a file.
pub fn compile_all(written: &Named<ApiOptions>, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<Arc<Api>>> {
    let whole: Vec<Option<(&Spanned<String>, ApiOptions)>> =
        written.entries.iter().map(|(name, options)| Some((name, with_likes(name, options, written, diagnostics)?))).collect();
    let shared = |budget: &str| {
        let of = |options: &ApiOptions| options.budget.as_ref().is_some_and(|own| own.value == budget);
        whole.iter().flatten().find(|(_, options)| of(options) && !options.limits.is_empty())
    };
    let compiled: Vec<Option<Arc<Api>>> = whole
        .iter()
        .map(|one| {
            let (name, options) = one.as_ref()?;
            let mut api = compile(name, options, compiler, diagnostics)?;
            // a budget has the same windows whoever takes out of it
            if let (true, Some(budget)) = (api.limits.is_empty(), &api.budget) {
                api.limits = shared(budget).map(|(_, options)| options.limits.clone()).unwrap_or_default();
            }
            Some(Arc::new(api))
        })
        .collect();
    compiled.into_iter().collect()
}

/// The options of an api with those of the apis that it is like.
fn with_likes(
    name: &Spanned<String>,
    options: &ApiOptions,
    all: &Named<ApiOptions>,
    diagnostics: &mut Diagnostics,
) -> Option<ApiOptions> {
    let mut whole = options.clone();
    let mut seen = vec![name.value.clone()];
    while let Some(like) = whole.like.clone() {
        if seen.contains(&like.value) {
            let message = format!("the api `{}` is like itself", name.value);
            diagnostics
                .report(Diagnostic::error("api-like-itself", like.span, message).hint("write one of them out, with its `base`"));
            return None;
        }
        let Some(other) = all.get(&like.value) else {
            let diagnostic = Diagnostic::error("unknown-api", like.span, format!("there is no api `{}`", like.value));
            let known = all.names().filter(|known| !seen.iter().any(|seen| seen == known)).collect::<Vec<_>>();
            let diagnostic = diagnostic.did_you_mean(&like.value, known.iter().copied(), like.span);
            let has_hint = diagnostic.hint.is_some();
            diagnostics.report(if has_hint { diagnostic } else { diagnostic.hint("declare it under `apis:` with its `base`") });
            return None;
        };
        seen.push(like.value);
        whole = whole.or(other);
    }
    Some(whole)
}

fn compile(name: &Spanned<String>, options: &ApiOptions, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Api> {
    let logs_in = options.login.is_some() || options.oauth2.is_some();
    let scope = compiler.scope.with(logs_in.then_some("session"));
    let headers = compile_headers(&options.headers, &Compiler { scope: &scope, ..*compiler }, diagnostics);
    let Some(base) = &options.base else {
        diagnostics.report(
            Diagnostic::error("missing-option", options.head, "missing option `base`")
                .label("beside this")
                .hint("`base` says: where it is: `https://restapi.e-conomic.com`. Calls may go nowhere else"),
        );
        return None;
    };
    let url = address(base, diagnostics);
    let allow_private = options.allow_private.unwrap_or(false);
    if let Some((url, kind)) = url.as_ref().and_then(|url| Some((url, own_network(url).filter(|_| !allow_private)?))) {
        let message = format!("`{}` is a {kind} address, which no call may reach", url.host_str().unwrap_or_default());
        diagnostics.report(
            Diagnostic::error("private-address", base.span, message)
                .hint("say `allow_private: true` if this api really is inside your own network"),
        );
    }
    let session = session::compile(name, options, compiler, diagnostics)?;
    let (url, headers) = (url?, headers?);
    Some(Api {
        name: name.value.clone(),
        base: base.trim_end_matches('/').to_owned(),
        origin: url.origin().ascii_serialization(),
        headers,
        limits: options.limits.clone(),
        budget: options.budget.as_ref().map(|budget| budget.value.clone()),
        concurrency: options.concurrency.map(|most| most.max(1) as usize),
        timeout: options.timeout.unwrap_or(Duration::from_secs(10)),
        retry: options.retry.as_ref().map(|retry| retry.rule()).unwrap_or_default(),
        take: options.take.clone(),
        absent: options.absent.unwrap_or(Absent::Fail),
        accept: if options.accept.is_empty() { vec![StatusPattern::Class(2)] } else { options.accept.clone() },
        cache: options.cache,
        session,
        allow_private,
    })
}

/// The address of an API: no query, no fragment, no credentials.
pub(super) fn address(written: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<Url> {
    let url = Url::parse(written).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.filter(|url| url.query().is_none() && url.fragment().is_none() && url.username().is_empty());
    if url.is_none() {
        let message = format!("expected the address of an API; found `{}`", written.value);
        diagnostics.report(
            Diagnostic::error("bad-url", written.span, message).hint("such as `https://api.example.com/v1`, without `?` and `#`"),
        );
    }
    url
}

/// Whether a base is plainly inside the own network. What a name resolves to is only known, and checked, when it is called.
fn own_network(url: &Url) -> Option<&'static str> {
    let host = url.host_str()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match host.parse() {
        Ok(IpAddr::V4(address)) if address.is_private() => Some("private"),
        Ok(IpAddr::V4(address)) if address.is_link_local() => Some("link-local"),
        Ok(IpAddr::V6(address)) if address.is_unique_local() => Some("private"),
        Ok(IpAddr::V6(address)) if address.is_unicast_link_local() => Some("link-local"),
        Ok(address) if address.is_loopback() => Some("loopback"),
        Err(_) if host == "localhost" || host.ends_with(".localhost") => Some("loopback"),
        _ => None,
    }
}

/// Compiles headers; a name that cannot be one is reported.
pub(crate) fn compile_headers(
    headers: &Named<Node>,
    compiler: &Compiler<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<(HeaderName, Value)>> {
    let compiled = headers.entries.iter().map(|(name, node)| {
        let value = Value::compile_text(node, compiler, diagnostics);
        let Ok(header) = HeaderName::from_bytes(name.value.as_bytes()) else {
            diagnostics.report(
                Diagnostic::error("bad-header", name.span, format!("`{}` cannot be the name of a header", name.value))
                    .hint("it has letters, digits and `-`: `X-Api-Key`"),
            );
            return None;
        };
        Some((header, value?))
    });
    compiled.collect::<Vec<_>>().into_iter().collect()
}

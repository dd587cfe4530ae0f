//! `apis:`: a provider's API: where it is, what every call carries, and the limits it sets.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderName;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{FromYaml, Named, options, report_choice, report_expected};
use crate::config::shape::{self, Form, Shape};
use crate::config::source::Spanned;
use crate::config::units::Rate;
use crate::config::yaml::Node;
use crate::expr::value::{Compiler, Value};
use crate::http_client::api::{RetryRule, StatusPattern};

options! {
    /// A provider's API.
    pub struct ApiOptions {
        /// Where it is: `https://restapi.e-conomic.com`. Calls may go nowhere else.
        base: Spanned<String>,
        /// What every call carries.
        headers: Named<Node> as shape::text_value,
        /// How many calls in how long, all at once, per tenant: `[10000/m, 50000/d]`.
        limits: Vec<Rate>,
        /// How many calls side by side, per tenant.
        concurrency: Option<u32>,
        /// The longest a call may take.
        timeout: Option<Duration> = "10s",
        /// Short retries inside an attempt.
        retry: Option<CallRetryOptions>,
        /// What is taken of every answer.
        take: Option<Node> = "$.answer.body",
        /// What a 404 or 410 means: gone, null, ignore or fail.
        absent: Option<Absent> = "fail",
        /// Whether private and loopback addresses may be called.
        allow_private: Option<bool> = "false",
    }
}

options! {
    /// Short retries inside an attempt, timeouts and resets included; `Retry-After` is obeyed.
    pub struct CallRetryOptions {
        /// The statuses that are tried again.
        status: Vec<StatusPattern> = "[408, 425, 429, 5xx]",
        /// How often.
        times: Option<u32> = "2",
    }
}

impl FromYaml for StatusPattern {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let pattern = node.text().and_then(StatusPattern::parse);
        if pattern.is_none() {
            report_expected("a status such as `429` or `5xx`", node, diagnostics);
        }
        pattern
    }
    fn shape() -> Shape {
        Shape::Form(Form { words: "status", pattern: "^[1-5]([0-9][0-9]|xx)$", numbers: true, examples: &["429", "5xx"] })
    }
}

/// What it means that a provider does not have the thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Absent {
    /// The thing no longer exists: its rows are deleted.
    Gone,
    /// The call's result is null.
    Null,
    /// Nothing is to be done.
    Ignore,
    /// The record fails.
    Fail,
}

const ABSENT: &[&str] = &["gone", "null", "ignore", "fail"];

impl FromYaml for Absent {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match node.text() {
            Some("gone") => Some(Self::Gone),
            Some("null") => Some(Self::Null),
            Some("ignore") => Some(Self::Ignore),
            Some("fail") => Some(Self::Fail),
            _ => {
                report_choice(ABSENT, node, diagnostics);
                None
            }
        }
    }
    fn shape() -> Shape {
        Shape::Word(ABSENT)
    }
}

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
    /// Whether private and loopback addresses may be called.
    pub allow_private: bool,
}

/// Compiles one.
pub fn compile(name: &str, options: &ApiOptions, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Api> {
    let headers = compile_headers(&options.headers, compiler, diagnostics);
    let url = Url::parse(&options.base).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url.filter(|url| url.query().is_none() && url.fragment().is_none() && url.username().is_empty()) else {
        let message = format!("expected the address of an API; found `{}`", options.base.value);
        diagnostics.report(
            Diagnostic::error("bad-url", options.base.span, message)
                .hint("such as `https://api.example.com/v1`, without `?` and `#`"),
        );
        return None;
    };
    let allow_private = options.allow_private.unwrap_or(false);
    if let Some(kind) = own_network(&url).filter(|_| !allow_private) {
        let message = format!("`{}` is a {kind} address, which no call may reach", url.host_str().unwrap_or_default());
        diagnostics.report(
            Diagnostic::error("private-address", options.base.span, message)
                .hint("say `allow_private: true` if this api really is inside your own network"),
        );
    }
    let mut retry = RetryRule::default();
    if let Some(written) = &options.retry {
        retry.times = written.times.unwrap_or(retry.times);
        if !written.status.is_empty() {
            retry.statuses = written.status.clone();
        }
    }
    Some(Api {
        name: name.to_owned(),
        base: options.base.trim_end_matches('/').to_owned(),
        origin: url.origin().ascii_serialization(),
        headers: headers?,
        limits: options.limits.clone(),
        concurrency: options.concurrency.map(|most| most.max(1) as usize),
        timeout: options.timeout.unwrap_or(Duration::from_secs(10)),
        retry,
        take: options.take.clone(),
        absent: options.absent.unwrap_or(Absent::Fail),
        allow_private,
    })
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

//! `apis:`: a provider's API: where it is, what every call carries, and the limits it sets.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderName;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{FromYaml, Named, options, report_expected};
use crate::config::source::Spanned;
use crate::config::units::Rate;
use crate::config::yaml::Node;
use crate::expr::value::{Compiler, Value};

options! {
    /// A provider's API.
    pub struct ApiOptions {
        /// Where it is: `https://restapi.e-conomic.com`. Calls may go nowhere else.
        base: Spanned<String>,
        /// What every call carries.
        headers: Named<Node>,
        /// How many calls in how long, all at once, per tenant: `[10000/m, 50000/d]`.
        limits: Vec<Rate>,
        /// How many calls side by side, per tenant.
        concurrency: Option<u32>,
        /// The longest a call may take; 10s by default.
        timeout: Option<Duration>,
        /// Short retries inside an attempt.
        retry: Option<CallRetryOptions>,
        /// What is taken of every answer; the whole body by default.
        take: Option<Node>,
        /// What a 404 or 410 means: gone, null, ignore or fail.
        absent: Option<Absent>,
        /// Whether private and loopback addresses may be called.
        allow_private: Option<bool>,
    }
}

options! {
    /// Short retries inside an attempt, timeouts and resets included; `Retry-After` is obeyed.
    pub struct CallRetryOptions {
        /// The statuses that are tried again: `[429, 5xx]` by default.
        status: Vec<StatusPattern>,
        /// How often; twice by default.
        times: Option<u32>,
    }
}

/// A status, or a class of them such as `5xx`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatusPattern {
    /// The lowest that matches.
    pub from: u16,
    /// The highest that matches.
    pub to: u16,
}

impl FromYaml for StatusPattern {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let text = node.text().unwrap_or_default();
        let class = text.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok()).map(|class| (class * 100, class * 100 + 99));
        let range = class.or_else(|| text.parse().ok().map(|status| (status, status)));
        match range.filter(|(from, _)| (100..600).contains(from)) {
            Some((from, to)) => Some(Self { from, to }),
            None => {
                report_expected("a status such as `429` or `5xx`", node, diagnostics);
                None
            }
        }
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

impl FromYaml for Absent {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match node.text() {
            Some("gone") => Some(Self::Gone),
            Some("null") => Some(Self::Null),
            Some("ignore") => Some(Self::Ignore),
            Some("fail") => Some(Self::Fail),
            _ => {
                report_expected("`gone`, `null`, `ignore` or `fail`", node, diagnostics);
                None
            }
        }
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
    pub retry: (Vec<StatusPattern>, u32),
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
        let message = format!("`{}` is no base address", options.base.value);
        diagnostics.report(Diagnostic::error("bad-url", options.base.span, message).hint("such as `https://api.example.com/v1`, without `?` and `#`"));
        return None;
    };
    let (status, times) = match &options.retry {
        Some(retry) => (retry.status.clone(), retry.times),
        None => (Vec::new(), None),
    };
    let status = if status.is_empty() { vec![StatusPattern { from: 429, to: 429 }, StatusPattern { from: 500, to: 599 }] } else { status };
    Some(Api {
        name: name.to_owned(),
        base: options.base.trim_end_matches('/').to_owned(),
        origin: url.origin().ascii_serialization(),
        headers: headers?,
        limits: options.limits.clone(),
        concurrency: options.concurrency.map(|most| most.max(1) as usize),
        timeout: options.timeout.unwrap_or(Duration::from_secs(10)),
        retry: (status, times.unwrap_or(2)),
        take: options.take.clone(),
        absent: options.absent.unwrap_or(Absent::Fail),
        allow_private: options.allow_private.unwrap_or(false),
    })
}

/// Compiles headers; a name that cannot be one is reported.
pub(crate) fn compile_headers(headers: &Named<Node>, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<(HeaderName, Value)>> {
    let compiled = headers.entries.iter().map(|(name, node)| {
        let value = Value::compile(node, compiler, diagnostics);
        let Ok(header) = HeaderName::from_bytes(name.value.as_bytes()) else {
            diagnostics.report(Diagnostic::error("bad-header", name.span, format!("`{}` cannot be the name of a header", name.value)));
            return None;
        };
        Some((header, value?))
    });
    compiled.collect::<Vec<_>>().into_iter().collect()
}

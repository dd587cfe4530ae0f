//! `apis:` as it is written: the options of one provider's API, and the words and forms that stand in them.

use std::time::Duration;

use super::session::{LoginOptions, Oauth2Options};
use crate::config::diagnostic::Diagnostics;
use crate::config::options::{FromYaml, Named, options, report_choice, report_expected};
use crate::config::shape::{self, Form, Shape};
use crate::config::source::Spanned;
use crate::config::units::{Rate, parse_duration};
use crate::config::yaml::Node;
use crate::http_client::api::{CacheRule, RetryRule, StatusPattern};

options! {
    /// A provider's API.
    pub struct ApiOptions {
        /// Another api, whose options are these wherever they are not said here.
        like: Option<Spanned<String>>,
        /// Where it is: `https://restapi.e-conomic.com`. Calls may go nowhere else.
        base: Option<Spanned<String>>,
        /// What every call carries.
        headers: Named<Node> as shape::text_value,
        /// How many calls in how long, all at once, per tenant: `[10000/m, 50000/d]`.
        limits: Vec<Rate>,
        /// The name of a budget that apis of a tenant share: what one of them uses, the others have no more.
        budget: Option<Spanned<String>>,
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
        /// The statuses of an answer that counts.
        accept: Vec<StatusPattern> = "[2xx]",
        /// For how long an answer serves other records too, as far as the call reads nothing of the delivery; `headers` goes by what the
        /// provider says.
        cache: Option<CacheRule>,
        /// A token by client credentials, sent as `Authorization: Bearer`.
        oauth2: Option<Oauth2Options>,
        /// A call that comes before all others and gives what they carry: `{{ session.NAME }}`.
        login: Option<LoginOptions>,
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

impl CallRetryOptions {
    /// The rule that is meant.
    pub(super) fn rule(&self) -> RetryRule {
        let usual = RetryRule::default();
        let statuses = if self.status.is_empty() { usual.statuses } else { self.status.clone() };
        RetryRule { statuses, times: self.times.unwrap_or(usual.times) }
    }
}

impl ApiOptions {
    /// What tells the provider who calls: headers, and all that a login sends.
    pub fn credentials(&self) -> impl Iterator<Item = &Node> {
        let login = self.login.iter().flat_map(LoginOptions::values);
        let client = self.oauth2.iter().map(|oauth2| &oauth2.client);
        self.headers.entries.iter().map(|(_, node)| node).chain(login).chain(client)
    }

    /// These, and what `other` says where these say nothing; headers are joined by name.
    pub(super) fn or(&self, other: &Self) -> Self {
        let own = |name: &str| self.headers.entries.iter().any(|(known, _)| known.value.eq_ignore_ascii_case(name));
        let lent = other.headers.entries.iter().filter(|(name, _)| !own(&name.value));
        let list = |own: &[StatusPattern], other: &[StatusPattern]| if own.is_empty() { other.to_vec() } else { own.to_vec() };
        // one way of logging in takes the place of another
        let has_session = self.oauth2.is_some() || self.login.is_some();
        Self {
            span: self.span,
            head: self.head,
            like: other.like.clone(),
            base: self.base.clone().or_else(|| other.base.clone()),
            headers: Named {
                entries: self.headers.entries.iter().chain(lent).cloned().collect(),
                span: self.headers.span.or(other.headers.span),
            },
            limits: if self.limits.is_empty() { other.limits.clone() } else { self.limits.clone() },
            budget: self.budget.clone().or_else(|| other.budget.clone()),
            concurrency: self.concurrency.or(other.concurrency),
            timeout: self.timeout.or(other.timeout),
            retry: self.retry.clone().or_else(|| other.retry.clone()),
            take: self.take.clone().or_else(|| other.take.clone()),
            absent: self.absent.or(other.absent),
            accept: list(&self.accept, &other.accept),
            cache: self.cache.or(other.cache),
            oauth2: self.oauth2.clone().or_else(|| other.oauth2.clone().filter(|_| !has_session)),
            login: self.login.clone().or_else(|| other.login.clone().filter(|_| !has_session)),
            allow_private: self.allow_private.or(other.allow_private),
        }
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

impl FromYaml for CacheRule {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match node.text() {
            Some("headers") => Some(Self::Headers),
            text => {
                let duration = text.and_then(parse_duration);
                if duration.is_none() {
                    report_expected("a duration such as `10m`, or `headers`", node, diagnostics);
                }
                duration.map(Self::For)
            }
        }
    }
    fn shape() -> Shape {
        Shape::OneOf(vec![Duration::shape(), Shape::Word(&["headers"])])
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

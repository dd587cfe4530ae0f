//! What a route file says about one provider's API, ready to be called.

use std::time::Duration;

use crate::config::units::Rate;

/// One provider's API.
#[derive(Clone)]
pub struct Api {
    /// The name under `apis`.
    pub name: String,
    /// `scheme://host[:port]` of every place a call or a redirect may go to.
    pub allowed_origins: Vec<String>,
    /// All at once; none means no limit.
    pub limits: Vec<Rate>,
    /// The name of the budget, with tenant and integration in it.
    pub budget: String,
    /// Limits of this call alone, on top of the API's: the name of their budget, and all at once.
    pub own_limits: Option<(String, Vec<Rate>)>,
    /// How many requests may be under way at once, per scope.
    pub concurrency: Option<usize>,
    /// From sending a request to the last byte of its answer, redirects included; a short retry starts anew.
    pub timeout: Duration,
    /// When to ask again within the same attempt.
    pub retry: RetryRule,
    /// Whether private, loopback and link-local addresses may be called.
    pub allow_private: bool,
    /// The most bytes an answer's body may have once decompressed.
    pub max_answer: u64,
}

impl Api {
    /// An API with the usual settings: 10 s, two short retries, 10 MiB, public addresses only, no limits.
    pub fn new(name: impl Into<String>, allowed_origins: Vec<String>, budget: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            allowed_origins,
            limits: Vec::new(),
            budget: budget.into(),
            own_limits: None,
            concurrency: None,
            timeout: Duration::from_secs(10),
            retry: RetryRule::default(),
            allow_private: false,
            max_answer: 10 * 1024 * 1024,
        }
    }
}

/// For how long an answer may serve later calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CacheRule {
    /// So long.
    For(Duration),
    /// As the provider's `Cache-Control` says; what has an `ETag` or `Last-Modified` is confirmed rather than fetched.
    Headers,
}

/// Which answers are asked for again within an attempt, and how often. Timeouts, resets and refused connections always are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetryRule {
    /// The statuses.
    pub statuses: Vec<StatusPattern>,
    /// How often at most, after the first request.
    pub times: u32,
}

impl RetryRule {
    /// Whether an answer with `status` is asked for again.
    pub fn covers(&self, status: u16) -> bool {
        self.statuses.iter().any(|pattern| pattern.matches(status))
    }
}

impl Default for RetryRule {
    /// 408, 425, 429 and 5xx, twice.
    fn default() -> Self {
        use StatusPattern::{Class, Exactly};
        Self { statuses: vec![Exactly(408), Exactly(425), Exactly(429), Class(5)], times: 2 }
    }
}

/// A status, or all that begin with the same digit: `429`, `5xx`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatusPattern {
    /// This one.
    Exactly(u16),
    /// All with this first digit.
    Class(u16),
}

impl StatusPattern {
    /// Reads `429` or `5xx`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(class) = text.strip_suffix("xx") {
            return class.parse().ok().filter(|class| (1..=5).contains(class)).map(Self::Class);
        }
        text.parse().ok().filter(|status| (100..=599).contains(status)).map(Self::Exactly)
    }

    /// Whether `status` is meant.
    pub fn matches(self, status: u16) -> bool {
        match self {
            Self::Exactly(exactly) => status == exactly,
            Self::Class(class) => status / 100 == class,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_pattern_is_a_status_or_a_class() {
        assert_eq!(StatusPattern::parse("429"), Some(StatusPattern::Exactly(429)));
        assert_eq!(StatusPattern::parse("5xx"), Some(StatusPattern::Class(5)));
        for wrong in ["", "xx", "9xx", "42", "600", "5XX", "50x"] {
            assert_eq!(StatusPattern::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_usual_rule_leaves_what_will_not_pass() {
        let rule = RetryRule::default();
        assert!([408, 425, 429, 500, 503, 599].into_iter().all(|status| rule.covers(status)));
        assert!([200, 301, 400, 401, 403, 404, 410, 422].into_iter().all(|status| !rule.covers(status)));
    }
}

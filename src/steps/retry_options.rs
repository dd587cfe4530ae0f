//! `retry`: how often and how long what fails is tried again, as it is written and as a policy.

use std::time::Duration;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::options;
use crate::model::retry::RetryPolicy;

options! {
    /// How often and how long a failing record is tried again; jittered.
    pub struct RetryOptions {
        /// How long after the first failure.
        first: Option<Duration> = "5s",
        /// What the wait is multiplied by after each further one.
        factor: Option<u32> = "2",
        /// The longest wait.
        most: Option<Duration> = "1h",
        /// How long after the first failure it is given up on.
        r#for: Option<Duration> = "3d",
    }
}

/// The policy that was written, over the defaults.
pub fn retry_policy(options: Option<&RetryOptions>, diagnostics: &mut Diagnostics) -> RetryPolicy {
    let default = RetryPolicy::default();
    let Some(options) = options else { return default };
    let first = options.first.unwrap_or(default.first);
    if options.factor == Some(0) || first.is_zero() {
        let message = "`first` and `factor` must be more than zero; found zero";
        diagnostics.report(Diagnostic::error("wrong-type", options.head, message).hint("such as `{ first: 5s, factor: 2 }`"));
    }
    RetryPolicy {
        first,
        factor: options.factor.unwrap_or(default.factor),
        most: options.most.unwrap_or(default.most).max(first),
        give_up_after: options.r#for.unwrap_or(default.give_up_after),
        stuck: None,
    }
}

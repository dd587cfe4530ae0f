//! How often and how long a failing record is tried again: the policy a route declares. `worker/retry` applies it.

use std::time::Duration;

/// `retry: { first: 5s, factor: 2, most: 1h, for: 3d }`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryPolicy {
    /// How long after the first failure.
    pub first: Duration,
    /// What the wait is multiplied by after each further one.
    pub factor: u32,
    /// The longest wait.
    pub most: Duration,
    /// How long after the first failure a record is given up on.
    pub give_up_after: Duration,
    /// How long after the first failure the next of its lane may pass it, if they may at all.
    pub stuck: Option<Duration>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        Self { first: Duration::from_secs(5), factor: 2, most: hours(1), give_up_after: hours(72), stuck: None }
    }
}

//! Short retries within one attempt: tries a call until there is an answer that counts, waiting a few seconds at most. What
//! follows after that is `worker/retry`'s to say.
//!
//! A clock that is moved by hand is never waited for: retries follow at once, and what would have to wait for a limit or for
//! `Retry-After` is held until that moment.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use super::breaker::Breakers;
use super::call::{Answer, Call};
use super::concurrency::Concurrency;
use super::fault::Fault;
use super::learned;
use super::limits::Limits;
use super::retry_after;
use super::send::{Reply, Transport, used_up};
use crate::clock::{Clock, Timestamp};
use crate::config::units::format_duration;
use crate::model::failure::{Failure, Step};

/// All tries and waits of one call together; one try may take the API's `timeout` even if that is longer.
const LONGEST_CALL: Duration = Duration::from_secs(30);

/// The longest single wait in place.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The first wait; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Makes calls, one at a time and with retries.
pub(super) struct Caller {
    pub(super) clock: Clock,
    /// None when nothing real is called.
    pub(super) limits: Option<Limits>,
    pub(super) breakers: Breakers,
    pub(super) concurrency: Concurrency,
    pub(super) transport: Transport,
}

/// How a call ended.
#[derive(Clone)]
pub(super) struct Outcome {
    /// Of the last answer, counted or not.
    pub(super) status: Option<u16>,
    pub(super) retries: u32,
    /// Of the last answer.
    pub(super) body: Bytes,
    pub(super) result: Result<Answer, Failure>,
}

impl Outcome {
    /// An answer that took no request.
    pub(super) fn kept(answer: Answer) -> Self {
        Self { status: Some(answer.status), retries: 0, body: answer.body.clone(), result: Ok(answer) }
    }
}

/// Why a try does not count.
struct Trouble {
    reason: String,
    /// When the provider wants to be asked again.
    retry_after: Option<Timestamp>,
    /// Whether the API itself is in trouble, rather than asking for patience.
    is_outage: bool,
}

/// What a call told about its API.
enum Health {
    Fine,
    /// And why, masked.
    Failing(String),
}

impl Caller {
    /// Tries `call` until there is an answer or a failure, unless its circuit is open.
    pub(super) async fn run(&self, call: &Call) -> Outcome {
        let mut outcome =
            Outcome { status: None, retries: 0, body: Bytes::new(), result: Err(Failure::passing(Step::Enrich, "")) };
        if self.limits.is_none() {
            self.try_often(call, &mut outcome).await;
            return outcome;
        }
        let pass = match self.breakers.admit(call) {
            Ok(pass) => pass,
            Err(failure) => return Outcome { result: Err(failure), ..outcome },
        };
        match self.try_often(call, &mut outcome).await {
            Some(Health::Fine) => pass.answered(),
            Some(Health::Failing(reason)) => pass.failed(&reason),
            None => {}
        }
        outcome
    }

    /// Says what the last try told about the API, if anything.
    async fn try_often(&self, call: &Call, outcome: &mut Outcome) -> Option<Health> {
        let started = Instant::now();
        loop {
            let trouble = match self.try_once(call, self.longest_try(call, outcome.retries, started)).await {
                Ok((began_at, reply)) => {
                    (outcome.status, outcome.body) = (Some(reply.status), reply.body.clone());
                    if !call.api.retry.covers(reply.status) {
                        outcome.result = Ok(Answer { status: reply.status, headers: reply.headers, body: reply.body, began_at });
                        return Some(Health::Fine);
                    }
                    self.trouble_with(call, &reply)
                }
                Err(Fault::Passing(reason)) => Trouble { reason, retry_after: None, is_outage: true },
                Err(Fault::Final(failure)) => {
                    outcome.result = Err(failure);
                    return None;
                }
            };
            let health = trouble.is_outage.then(|| Health::Failing(call.mask.text(&trouble.reason)));
            match self.next_wait(call, trouble, outcome.retries, started.elapsed()).await {
                Ok(wait) => sleep(wait).await,
                Err(failure) => {
                    outcome.result = Err(failure);
                    return health;
                }
            }
            outcome.retries += 1;
        }
    }

    /// The permit comes before the token: a token is to be used when it is granted, not when its turn comes.
    async fn try_once(&self, call: &Call, longest: Duration) -> Result<(Timestamp, Reply), Fault> {
        self.transport.check(call).map_err(Fault::Final)?;
        let _permit = timeout(LONGEST_CALL, self.concurrency.permit(call)).await.map_err(|_| {
            let most = call.api.concurrency.unwrap_or_default();
            let reason = format!("api `{}`: {most} other calls were under way for 30s", call.api.name);
            Fault::Final(Failure::passing(Step::Enrich, reason))
        })?;
        if let Some(limits) = &self.limits {
            limits.take(&call.api).await.map_err(|at| Fault::Final(used_up(call, at)))?;
        }
        let began_at = self.clock.now();
        match timeout(longest, self.transport.send(call, self.limits.as_ref())).await {
            Ok(Ok(reply)) => {
                if let (Some(limits), Some(advice)) = (&self.limits, learned::advice(&reply.headers, self.clock.now())) {
                    limits.learn(&call.api, advice).await;
                }
                Ok((began_at, reply))
            }
            Ok(Err(fault)) => Err(fault),
            Err(_) => Err(Fault::Passing(format!("api `{}`: no answer within {}", call.api.name, format_duration(longest)))),
        }
    }

    fn longest_try(&self, call: &Call, retries: u32, started: Instant) -> Duration {
        if retries == 0 {
            return call.api.timeout;
        }
        let left = LONGEST_CALL.saturating_sub(started.elapsed()).as_millis();
        call.api.timeout.min(Duration::from_millis(u64::try_from(left).unwrap_or(u64::MAX)))
    }

    fn trouble_with(&self, call: &Call, reply: &Reply) -> Trouble {
        let reason = format!("api `{}` answered {}", call.api.name, reply.status);
        let retry_after = reply.header("retry-after").and_then(|text| retry_after::read(text, self.clock.now()));
        Trouble { reason, retry_after, is_outage: reply.status >= 500 || reply.status == 408 }
    }

    /// How long to wait before the next try, or how the call fails.
    async fn next_wait(&self, call: &Call, trouble: Trouble, retries: u32, elapsed: Duration) -> Result<Duration, Failure> {
        let tried_enough = retries >= call.api.retry.times;
        let asked = trouble.retry_after.map(|at| at.since(self.clock.now()));
        let wait = asked.unwrap_or_else(|| backoff(retries));
        let too_long = wait > LONGEST_WAIT || elapsed + wait >= LONGEST_CALL;
        match trouble.retry_after.filter(|_| !wait.is_zero()) {
            Some(at) if tried_enough || too_long || self.clock.is_manual() => {
                if let Some(limits) = &self.limits {
                    limits.pause(&call.api, at).await;
                }
                let reason = format!("{} and asks to wait until {at}", trouble.reason);
                Err(Failure::held_until(Step::Enrich, at, reason))
            }
            _ if tried_enough || too_long => Err(Failure::passing(Step::Enrich, trouble.reason)),
            _ if self.clock.is_manual() => Ok(Duration::ZERO),
            _ => Ok(wait),
        }
    }
}

/// Between half and all of 250 ms, 500 ms, 1 s, … 5 s.
fn backoff(retries: u32) -> Duration {
    let longest = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(retries.min(10))).min(LONGEST_WAIT);
    let chance = getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX));
    longest.mul_f64(0.5 + chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_five_seconds_and_differ() {
        for (retries, most) in [(0, 250), (1, 500), (3, 2_000), (5, 5_000), (40, 5_000)] {
            let most = Duration::from_millis(most);
            let wait = backoff(retries);
            assert!(wait >= most / 2 && wait <= most, "{retries}: {wait:?}");
        }
    }
}

//! Short retries within one attempt: tries a call until there is an answer that counts, waiting a few seconds at most. What
//! follows after that is `worker/retry`'s to say.
//!
//! A clock that is moved by hand is never waited for: retries follow at once, and what would have to wait for a limit or for
//! `Retry-After` is held until that moment.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use super::breaker::{Breakers, Pass};
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
    /// When it is to be asked again.
    retry_after: Option<Wish>,
    /// Whether the API itself is in trouble, rather than asking for patience.
    is_outage: bool,
}

/// When an API is to be asked again.
#[derive(Clone, Copy)]
enum Wish {
    /// The provider said so.
    Told(Timestamp),
    /// It refused and did not say.
    Guessed(Timestamp),
}

impl Wish {
    fn at(self) -> Timestamp {
        let (Self::Told(at) | Self::Guessed(at)) = self;
        at
    }
}

impl Caller {
    /// Tries `call` until there is an answer or a failure, unless its circuit is open.
    pub(super) async fn run(&self, call: &Call) -> Outcome {
        let mut outcome =
            Outcome { status: None, retries: 0, body: Bytes::new(), result: Err(Failure::passing(Step::Enrich, "")) };
        if self.limits.is_none() {
            self.try_often(call, None, &mut outcome).await;
            return outcome;
        }
        match self.breakers.admit(call) {
            Ok(mut pass) => self.try_often(call, Some(&mut pass), &mut outcome).await,
            Err(failure) => outcome.result = Err(failure),
        }
        outcome
    }

    /// Without a pass nothing is learnt about the API.
    async fn try_often(&self, call: &Call, mut pass: Option<&mut Pass<'_>>, outcome: &mut Outcome) {
        let started = Instant::now();
        loop {
            let trouble = match self.try_once(call, outcome.retries, started).await {
                Ok((began_at, reply)) => {
                    (outcome.status, outcome.body) = (Some(reply.status), reply.body.clone());
                    if !call.api.retry.covers(reply.status) {
                        outcome.result = Ok(Answer { status: reply.status, headers: reply.headers, body: reply.body, began_at });
                        pass.iter_mut().for_each(|pass| pass.answered());
                        self.limits.iter().for_each(|limits| limits.accepted(&call.api));
                        return;
                    }
                    self.trouble_with(call, &reply).await
                }
                Err(Fault::Passing(reason)) => Trouble { reason, retry_after: None, is_outage: true },
                Err(Fault::Final(failure)) => {
                    outcome.result = Err(failure);
                    return;
                }
            };
            if let Some(pass) = pass.as_mut().filter(|_| trouble.is_outage) {
                pass.failed(&call.mask.text(&trouble.reason));
            }
            // what was tried often enough by this call or, while it waits, by others is not tried on
            let is_left_alone = |pass: &Option<&mut Pass<'_>>| pass.as_ref().is_some_and(|pass| pass.is_left_alone());
            let is_last = outcome.retries >= call.api.retry.times || is_left_alone(&pass);
            let reason = trouble.reason.clone();
            let again = match self.next_wait(trouble, outcome.retries, started.elapsed(), is_last) {
                Ok(wait) => {
                    sleep(wait).await;
                    if is_left_alone(&pass) { Err(Failure::passing(Step::Enrich, reason)) } else { Ok(()) }
                }
                Err(failure) => Err(failure),
            };
            if let Err(failure) = again {
                outcome.result = Err(failure);
                return;
            }
            outcome.retries += 1;
        }
    }

    /// The permit comes before the token: a token is to be used when it is granted, not when its turn comes.
    async fn try_once(&self, call: &Call, retries: u32, started: Instant) -> Result<(Timestamp, Reply), Fault> {
        self.transport.check(call).map_err(Fault::Final)?;
        let left = LONGEST_CALL.saturating_sub(started.elapsed());
        let _permit = timeout(left, self.concurrency.permit(call)).await.map_err(|_| {
            let most = call.api.concurrency.unwrap_or_default();
            let longest = format_duration(LONGEST_CALL);
            let reason = format!("api `{}`: no turn within {longest}, {most} other calls are under way", call.api.name);
            Fault::Final(Failure::passing(Step::Enrich, reason))
        })?;
        if let Some(limits) = &self.limits {
            limits.take(&call.api).await.map_err(|at| Fault::Final(used_up(call, at)))?;
        }
        let longest = longest_try(call, retries, started);
        let began_at = self.clock.now();
        let reply = self.transport.send(call, self.limits.as_ref(), longest).await?;
        if let (Some(limits), Some(advice)) = (&self.limits, learned::advice(&reply.headers, self.clock.now())) {
            limits.learn(&call.api, advice).await;
        }
        Ok((began_at, reply))
    }

    /// What an answer that does not count says; all who share the API's budget wait for as long as the provider wants.
    async fn trouble_with(&self, call: &Call, reply: &Reply) -> Trouble {
        let reason = format!("api `{}` answered {}", call.api.name, reply.status);
        let now = self.clock.now();
        let told = reply.header("retry-after").and_then(|text| retry_after::read(text, now)).filter(|at| *at > now);
        let mut retry_after = told.map(Wish::Told);
        if let Some(limits) = &self.limits {
            match told {
                Some(until) => limits.pause(&call.api, until).await,
                None if reply.status == 429 => retry_after = Some(Wish::Guessed(limits.refused(&call.api).await)),
                None => {}
            }
        }
        Trouble { reason, retry_after, is_outage: reply.status >= 500 || reply.status == 408 }
    }

    /// How long to wait before the next try, or how the call fails.
    fn next_wait(&self, trouble: Trouble, retries: u32, elapsed: Duration, is_last: bool) -> Result<Duration, Failure> {
        let wait = trouble.retry_after.map_or_else(|| backoff(retries), |wish| wish.at().since(self.clock.now()));
        let is_over = is_last || wait > LONGEST_WAIT || elapsed + wait >= LONGEST_CALL;
        match trouble.retry_after {
            Some(Wish::Told(at)) if is_over || self.clock.is_manual() => {
                let reason = format!("{} and asks to wait until {at}", trouble.reason);
                Err(Failure::held_until(Step::Enrich, at, reason))
            }
            // the whole budget pauses that long, so an attempt that waits for it is none that failed
            Some(Wish::Guessed(at)) if wait > LONGEST_WAIT => {
                Err(Failure::held_until(Step::Enrich, at, format!("{} and does not say how long to wait", trouble.reason)))
            }
            _ if is_over => Err(Failure::passing(Step::Enrich, trouble.reason)),
            _ if self.clock.is_manual() => Ok(Duration::ZERO),
            _ => Ok(wait),
        }
    }
}

fn longest_try(call: &Call, retries: u32, started: Instant) -> Duration {
    match retries {
        0 => call.api.timeout,
        _ => call.api.timeout.min(LONGEST_CALL.saturating_sub(started.elapsed())),
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

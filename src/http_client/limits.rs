//! Tokens for requests: asks the budget in chunks, waits a moment in place when one is near, and says until when otherwise.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::api::Api;
use super::budget::{Budget, Taken, Window, burst, longest_hold};
use super::learned::Advice;
use crate::clock::{Clock, Timestamp};
use crate::config::units::Rate;

/// The longest wait in place for a token; whoever has to wait longer gives its worker back.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// How much closer together requests may arrive than they were sent, since each takes its own time on the way: so much of a window,
/// and at most so long.
const JITTER_PART: u32 = 10;
const LONGEST_JITTER: Duration = Duration::from_millis(250);

/// How long a budget is left alone whose provider refuses a request and does not say for how long; each further time twice as long.
const FIRST_REFUSAL: Duration = Duration::from_secs(1);
const LONGEST_REFUSAL: Duration = Duration::from_secs(60);

/// Hands out tokens, one for every real request.
pub(super) struct Limits {
    clock: Clock,
    budget: Arc<dyn Budget>,
    kept: Mutex<HashMap<String, Kept>>,
}

/// What is in memory for one budget.
#[derive(Clone, Copy)]
struct Kept {
    tokens: u32,
    usable_from: Timestamp,
    usable_until: Timestamp,
    paused_until: Timestamp,
    pace: Pace,
    /// How often in a row the provider refused without saying for how long.
    refusals: u32,
}

/// How requests are spaced because the provider said that few are left.
#[derive(Clone, Copy)]
struct Pace {
    interval: Duration,
    next_at: Timestamp,
    until: Timestamp,
}

impl Limits {
    pub(super) fn new(clock: Clock, budget: Arc<dyn Budget>) -> Self {
        Self { clock, budget, kept: Mutex::default() }
    }

    /// One token for `api`, after a short wait if need be; else the moment before which there is none. A clock that is moved
    /// by hand is never waited for.
    pub(super) async fn take(&self, api: &Api) -> Result<(), Timestamp> {
        if let Some((name, limits)) = &api.own_limits {
            self.take_of(name, limits).await?;
        }
        self.take_of(&api.budget, &api.limits).await
    }

    async fn take_of(&self, budget: &str, limits: &[Rate]) -> Result<(), Timestamp> {
        let began_at = self.clock.now();
        loop {
            let Err(not_before) = self.take_now(budget, limits).await else { return Ok(()) };
            if self.clock.is_manual() || not_before.since(began_at) > LONGEST_WAIT {
                return Err(not_before);
            }
            tokio::time::sleep(not_before.since(self.clock.now()).max(Duration::from_millis(1))).await;
        }
    }

    /// Nothing from `api`'s budget before `until`, here and wherever else the budget is shared.
    pub(super) async fn pause(&self, api: &Api, until: Timestamp) {
        self.with_kept(&api.budget, |kept| {
            kept.tokens = 0;
            kept.paused_until = kept.paused_until.max(until);
        });
        self.budget.pause(&api.budget, until).await;
    }

    /// Keeps to what the provider said of its own limits: a pause of some length everywhere, a pace here.
    pub(super) async fn learn(&self, api: &Api, advice: Advice) {
        match advice {
            Advice::Pause(until) => self.pause(api, until).await,
            Advice::Space(interval, until) => {
                let now = self.clock.now();
                self.with_kept(&api.budget, |kept| {
                    let next_at = kept.pace.next_at.max(now).min(now + interval);
                    kept.pace = Pace { interval, next_at, until };
                });
            }
        }
    }

    /// What follows from a refusal that does not say for how long: a pause, which is longer each time. Those that were under way when
    /// it began are the same refusal.
    pub(super) async fn refused(&self, api: &Api) -> Timestamp {
        let now = self.clock.now();
        let until = self.with_kept(&api.budget, |kept| {
            if kept.paused_until > now {
                return Err(kept.paused_until);
            }
            let length = FIRST_REFUSAL.saturating_mul(2_u32.saturating_pow(kept.refusals.min(10))).min(LONGEST_REFUSAL);
            kept.refusals = kept.refusals.saturating_add(1);
            (kept.tokens, kept.paused_until) = (0, now + length);
            Ok(kept.paused_until)
        });
        match until {
            Ok(until) => {
                self.budget.pause(&api.budget, until).await;
                until
            }
            Err(until) => until,
        }
    }

    /// The provider took a request.
    pub(super) fn accepted(&self, api: &Api) {
        let now = self.clock.now();
        self.with_kept(&api.budget, |kept| {
            // one that was under way when it refused another says nothing
            if kept.paused_until <= now {
                kept.refusals = 0;
            }
        });
    }

    async fn take_now(&self, budget: &str, limits: &[Rate]) -> Result<(), Timestamp> {
        let now = self.clock.now();
        let from_memory = self.with_kept(budget, |kept| kept.take(now));
        if from_memory? || limits.is_empty() {
            return Ok(());
        }
        let chunk = Chunk::of(limits);
        match self.budget.take(budget, &chunk.windows, chunk.tokens).await {
            Taken::Granted(0) => Err(now + Duration::from_millis(50)),
            Taken::Granted(tokens) => {
                self.with_kept(budget, |kept| kept.keep(tokens - 1, now, chunk.hold));
                Ok(())
            }
            Taken::NotBefore(at) => Err(at),
        }
    }

    fn with_kept<T>(&self, name: &str, change: impl FnOnce(&mut Kept) -> T) -> T {
        let now = self.clock.now();
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = all.get(name).copied().unwrap_or(Kept::NOTHING);
        let result = change(&mut kept);
        if kept.is_worth_keeping(now) {
            if !all.contains_key(name) {
                all.retain(|_, other| other.is_worth_keeping(now));
            }
            all.insert(name.to_owned(), kept);
        } else {
            all.remove(name);
        }
        result
    }
}

impl Kept {
    const NOTHING: Self = Self {
        tokens: 0,
        usable_from: Timestamp::from_micros(i64::MIN),
        usable_until: Timestamp::from_micros(i64::MIN),
        paused_until: Timestamp::from_micros(i64::MIN),
        pace: Pace {
            interval: Duration::ZERO,
            next_at: Timestamp::from_micros(i64::MIN),
            until: Timestamp::from_micros(i64::MIN),
        },
        refusals: 0,
    };

    /// Whether there was a token, or until when there may be none.
    fn take(&mut self, now: Timestamp) -> Result<bool, Timestamp> {
        if self.paused_until > now {
            return Err(self.paused_until);
        }
        if self.pace.until > now {
            if self.pace.next_at > now {
                return Err(self.pace.next_at);
            }
            self.pace.next_at = now + self.pace.interval;
        }
        if !self.has_tokens(now) {
            return Ok(false);
        }
        self.tokens -= 1;
        Ok(true)
    }

    /// Keeps what is left of a chunk taken at `now`; it may not outlive an earlier one that is still in use, nor a pause that
    /// came while it was asked for.
    fn keep(&mut self, tokens: u32, now: Timestamp, hold: Duration) {
        if self.paused_until > now {
            return;
        }
        if self.has_tokens(now) {
            self.tokens = self.tokens.saturating_add(tokens);
        } else {
            (self.tokens, self.usable_from, self.usable_until) = (tokens, now, now + hold);
        }
    }

    /// A clock that was set back makes tokens unusable rather than longer-lived.
    fn has_tokens(&self, now: Timestamp) -> bool {
        self.tokens > 0 && self.usable_from <= now && now < self.usable_until
    }

    fn is_worth_keeping(&self, now: Timestamp) -> bool {
        let remembers_refusals = self.refusals > 0 && now.since(self.paused_until) < LONGEST_REFUSAL;
        self.has_tokens(now) || self.paused_until > now || self.pace.until > now || remembers_refusals
    }
}

/// How much to ask the budget for at once.
struct Chunk {
    tokens: u32,
    /// How long the tokens may be used.
    hold: Duration,
    windows: Vec<Window>,
}

impl Chunk {
    fn of(limits: &[Rate]) -> Self {
        let hold = longest_hold(limits);
        let worth = |rate: &Rate| {
            let worth = u128::from(rate.count) * hold.as_nanos() / rate.window.as_nanos().max(1);
            u32::try_from(worth).unwrap_or(u32::MAX).min(burst(rate.count))
        };
        let tokens = limits.iter().map(worth).min().unwrap_or(1).max(1);
        let hold = if tokens == 1 { Duration::ZERO } else { hold };
        let mut windows: Vec<Window> = Vec::with_capacity(limits.len());
        for Rate { count, window } in limits.iter().copied() {
            // a token is used up to `hold` later than it is granted, and seen a little later than that
            let slack = hold + (window / JITTER_PART).min(LONGEST_JITTER);
            match windows.iter_mut().find(|known| known.window == window) {
                Some(known) => known.count = known.count.min(count),
                None => windows.push(Window { count, window, slack }),
            }
        }
        Self { tokens, hold, windows }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;
    use crate::config::units::parse_rate;
    use crate::http_client::budget::MemoryBudget;

    proptest! {
        #[test]
        fn tokens_used_late_still_keep_to_every_window(
            count in 1_u32..400,
            seconds in 1_u64..8,
            pauses in prop::collection::vec(0_u64..400, 50..600),
        ) {
            let clock = Clock::manual(Timestamp::from_micros(1_795_248_131_250_001));
            let limits = Limits::new(clock.clone(), Arc::new(MemoryBudget::new(clock.clone())));
            let mut api = Api::new("a", Vec::new(), "a");
            api.limits = vec![Rate { count, window: Duration::from_secs(seconds) }];
            let mut used: Vec<Timestamp> = Vec::new();
            for pause in pauses {
                // Mostly as fast as it goes, now and then a little later.
                clock.move_to(clock.now() + Duration::from_millis(pause.saturating_sub(360) * 10));
                match limits.take(&api).now_or_never().expect("a manual clock is never waited for") {
                    Ok(()) => used.push(clock.now()),
                    Err(at) => clock.move_to(at),
                }
            }
            let window = Duration::from_secs(seconds);
            for start in &used {
                let within = used.iter().filter(|moment| *moment >= start && moment.since(*start) < window).count();
                prop_assert!(within <= count as usize, "{} in a window of {}", within, count);
            }
        }
    }

    fn chunk(limits: &[&str]) -> (u32, u128) {
        let limits: Vec<Rate> = limits.iter().map(|text| parse_rate(text).expect(text)).collect();
        let chunk = Chunk::of(&limits);
        (chunk.tokens, chunk.hold.as_millis())
    }

    #[test]
    fn a_chunk_is_half_a_second_of_the_slowest_window() {
        assert_eq!(chunk(&["10000/m"]), (83, 500));
        assert_eq!(chunk(&["10000/m", "60000/h"]), (8, 500));
        assert_eq!(chunk(&["50/s"]), (5, 100));
        assert_eq!(chunk(&["900/m", "20000/d"]), (1, 0));
        assert_eq!(chunk(&["1/s"]), (1, 0));
    }

    #[test]
    fn a_window_has_room_for_what_is_used_and_seen_late_and_of_two_alike_the_smaller_counts() {
        let windows = |limits: &[&str]| {
            let limits: Vec<Rate> = limits.iter().map(|text| parse_rate(text).expect(text)).collect();
            Chunk::of(&limits).windows.iter().map(|one| (one.count, one.slack.as_millis())).collect::<Vec<_>>()
        };
        assert_eq!(windows(&["10/s", "1000/d"]), [(10, 100), (1000, 250)]);
        assert_eq!(windows(&["50/s"]), [(50, 200)]);
        assert_eq!(windows(&["10/s", "5/s", "7/s"]), [(5, 100)]);
    }

    #[test]
    fn kept_tokens_are_used_for_a_moment_only() {
        let start = Timestamp::from_micros(1_000_000);
        let hold = Duration::from_millis(500);
        let mut kept = Kept::NOTHING;
        kept.keep(2, start, hold);
        assert_eq!(kept.take(start + Duration::from_millis(499)), Ok(true));
        assert_eq!(kept.take(start + hold), Ok(false));
        assert_eq!(kept.take(start - Duration::from_millis(1)), Ok(false));
    }

    #[test]
    fn a_pause_outweighs_kept_tokens() {
        let start = Timestamp::from_micros(1_000_000);
        let until = start + Duration::from_secs(9);
        let mut kept = Kept { paused_until: until, ..Kept::NOTHING };
        kept.keep(5, start, Duration::from_millis(500));
        assert_eq!(kept.take(start), Err(until));
        assert_eq!(kept.take(until), Ok(false));
    }
}

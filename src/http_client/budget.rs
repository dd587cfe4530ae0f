//! How many requests a provider still accepts. The state store keeps budgets for all instances; the one here lives in memory
//! and serves tests, `try` and rehearsals.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::clock::{Clock, Timestamp};
use crate::config::units::Rate;
pub use crate::store::budgets::Window;

/// Grants requests so that no window ever sees more than its count.
pub trait Budget: Send + Sync {
    /// Takes up to `want` requests from the budget `name` under all `windows` at once, or none.
    fn take<'a>(&'a self, name: &'a str, windows: &'a [Window], want: u32) -> BoxFuture<'a, Taken>;

    /// Grants nothing from the budget `name` before `until`.
    fn pause<'a>(&'a self, name: &'a str, until: Timestamp) -> BoxFuture<'a, ()>;
}

/// What a budget gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// At least one request and at most as many as were wanted.
    Granted(u32),
    /// None; asking earlier is useless.
    NotBefore(Timestamp),
}

/// The most that may be granted at one moment of so many in a window: a tenth of them.
pub(super) fn burst(count: u32) -> u32 {
    (count / 10).max(1)
}

/// Budgets in memory: the generic cell rate algorithm, one row per budget and window.
pub struct MemoryBudget {
    clock: Clock,
    rows: Mutex<HashMap<String, Row>>,
}

/// What is known of one budget.
#[derive(Default)]
struct Row {
    paused_until: Option<Timestamp>,
    /// By the length of the window.
    windows: Vec<(Duration, Arrival)>,
}

/// When the next request would arrive if they came evenly spaced: nanoseconds since the Unix epoch.
type Arrival = i128;

/// Rows beyond which those that are as good as new are dropped before another is added.
const MANY_ROWS: usize = 1024;

impl MemoryBudget {
    /// Budgets that are full at the start.
    pub fn new(clock: Clock) -> Self {
        Self { clock, rows: Mutex::default() }
    }

    fn take_now(&self, name: &str, windows: &[Window], want: u32) -> Taken {
        let now = self.clock.now();
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.len() >= MANY_ROWS && !rows.contains_key(name) {
            rows.retain(|_, row| row.is_in_use(now));
        }
        rows.entry(name.to_owned()).or_default().take(windows, want, now)
    }
}

impl Budget for MemoryBudget {
    fn take<'a>(&'a self, name: &'a str, windows: &'a [Window], want: u32) -> BoxFuture<'a, Taken> {
        async move { self.take_now(name, windows, want) }.boxed()
    }

    fn pause<'a>(&'a self, name: &'a str, until: Timestamp) -> BoxFuture<'a, ()> {
        async move {
            let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
            let row = rows.entry(name.to_owned()).or_default();
            row.paused_until = row.paused_until.max(Some(until));
        }
        .boxed()
    }
}

impl Row {
    fn take(&mut self, windows: &[Window], want: u32, now: Timestamp) -> Taken {
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Taken::NotBefore(until);
        }
        let now = nanoseconds(now);
        self.windows.retain(|(_, arrival)| *arrival > now);
        let mut granted = want.max(1);
        let mut not_before = None;
        for window in windows {
            let arrival = self.arrival(*window, now);
            let free = free(*window, arrival, now);
            if free == 0 {
                not_before = not_before.max(Some(opens_at(*window, arrival)));
            }
            granted = granted.min(free);
        }
        if let Some(not_before) = not_before {
            return Taken::NotBefore(not_before);
        }
        for window in windows {
            let arrival = self.arrival(*window, now) + i128::from(granted) * interval(*window);
            self.windows.retain(|(length, _)| *length != window.window);
            self.windows.push((window.window, arrival));
        }
        Taken::Granted(granted)
    }

    /// Never in the past, and never further ahead than a full burst: a clock that was set back must not block for long.
    fn arrival(&self, window: Window, now: i128) -> Arrival {
        let known = self.windows.iter().find(|(length, _)| *length == window.window).map_or(now, |(_, arrival)| *arrival);
        known.clamp(now, now + i128::from(burst(window.count)) * interval(window))
    }

    fn is_in_use(&self, now: Timestamp) -> bool {
        self.paused_until.is_some_and(|until| until > now) || self.windows.iter().any(|(_, arrival)| *arrival > nanoseconds(now))
    }
}

/// Nanoseconds between two requests once the burst is spent, so that burst and steady flow together keep to the count.
fn interval(window: Window) -> i128 {
    let steps = u128::from(window.count.max(1) - burst(window.count) + 1);
    i128::try_from((window.window + window.slack).as_nanos().div_ceil(steps)).unwrap_or(i128::MAX / 4).max(1)
}

fn free(window: Window, arrival: Arrival, now: i128) -> u32 {
    let interval = interval(window);
    let taken = (arrival - now + interval - 1) / interval;
    u32::try_from(i128::from(burst(window.count)) - taken).unwrap_or(0)
}

fn opens_at(window: Window, arrival: Arrival) -> Timestamp {
    let nanoseconds = arrival - i128::from(burst(window.count) - 1) * interval(window);
    Timestamp::from_micros(i64::try_from((nanoseconds + 999) / 1000).unwrap_or(i64::MAX))
}

fn nanoseconds(moment: Timestamp) -> i128 {
    i128::from(moment.as_micros()) * 1000
}

/// For how long tokens may be kept before use: half a second, or a tenth of the shortest window.
pub(super) fn longest_hold(windows: &[Rate]) -> Duration {
    let shortest = windows.iter().map(|rate| rate.window).min().unwrap_or_default();
    Duration::from_millis(500).min(shortest / 10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exactly(text: &str) -> Window {
        let Rate { count, window } = crate::config::units::parse_rate(text).expect(text);
        Window { count, window, slack: Duration::ZERO }
    }

    fn most_in_any_window(moments: &[Timestamp], window: Duration) -> usize {
        let within = |start: &Timestamp| moments.iter().filter(|m| **m >= *start && m.since(*start) < window).count();
        moments.iter().map(within).max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn no_sliding_window_ever_sees_more_than_its_count(
            count in 1_u32..60,
            seconds in 1_u64..20,
            other in 1_u32..200,
            steps in prop::collection::vec((0_u64..900, 1_u32..9), 1..300),
        ) {
            let of = |count, seconds| Window { count, window: Duration::from_secs(seconds), slack: Duration::ZERO };
            let windows = [of(count, seconds), of(other, 60)];
            let clock = Clock::manual(Timestamp::from_micros(1_795_248_131_250_001));
            let budget = MemoryBudget::new(clock.clone());
            let mut granted = Vec::new();
            for (milliseconds, want) in steps {
                clock.move_to(clock.now() + Duration::from_millis(milliseconds));
                match budget.take_now("a", &windows, want) {
                    Taken::Granted(number) => {
                        prop_assert!(number >= 1 && number <= want);
                        granted.extend(std::iter::repeat_n(clock.now(), number as usize));
                    }
                    Taken::NotBefore(at) => {
                        prop_assert!(at > clock.now());
                        clock.move_to(at);
                        let taken = budget.take_now("a", &windows, 1);
                        prop_assert_eq!(taken, Taken::Granted(1));
                        granted.push(clock.now());
                    }
                }
            }
            for window in windows {
                prop_assert!(most_in_any_window(&granted, window.window) <= window.count as usize);
            }
        }
    }

    #[test]
    fn a_paused_budget_grants_nothing_until_then() {
        let clock = Clock::manual(Timestamp::from_micros(0));
        let budget = MemoryBudget::new(clock.clone());
        let until = clock.now() + Duration::from_secs(60);
        budget.pause("a", until).now_or_never().expect("it never waits");
        assert_eq!(budget.take_now("a", &[exactly("10/s")], 1), Taken::NotBefore(until));
        assert_eq!(budget.take_now("b", &[exactly("10/s")], 1), Taken::Granted(1));
        clock.move_to(until);
        assert_eq!(budget.take_now("a", &[exactly("10/s")], 1), Taken::Granted(1));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_block_for_long() {
        let later = Timestamp::from_micros(3_600_000_000);
        let mut row = Row::default();
        assert_eq!(row.take(&[exactly("1/s")], 1, later), Taken::Granted(1));
        assert_eq!(
            row.take(&[exactly("1/s")], 1, Timestamp::from_micros(0)),
            Taken::NotBefore(Timestamp::from_micros(1_000_000))
        );
    }
}

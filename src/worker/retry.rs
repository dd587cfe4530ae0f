//! The only place that decides whether a failed record is tried again, and when.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::units::format_duration;
use crate::model::failure::{Failure, Retry};
use crate::model::retry::RetryPolicy;

/// How long work whose credentials are refused waits at most. New credentials end that at once; this is for a provider that refused
/// them by mistake.
const CREDENTIALS: Duration = Duration::from_secs(60 * 60);

/// What is to become of a record whose attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Another attempt at this moment.
    Again(Timestamp),
    /// Another attempt at this moment; until then others of its lane may pass it.
    LetPass(Timestamp),
    /// Everything of its source and tenant waits until this moment; no attempt was used up.
    Hold(Timestamp),
    /// It is given up on, for this reason.
    Bury(String),
}

/// Decides. `failed_before` attempts of this run have failed, the first at `first_failed_at`. `chance` in 0..1 spreads attempts.
pub fn decide(
    failure: &Failure,
    policy: &RetryPolicy,
    failed_before: u32,
    first_failed_at: Option<Timestamp>,
    now: Timestamp,
    chance: f64,
) -> Verdict {
    let not_before = match failure.retry {
        Retry::Never => return Verdict::Bury(failure.reason.clone()),
        Retry::Credentials => return Verdict::Hold(now + CREDENTIALS),
        Retry::NotBefore { at, hold: true } => return Verdict::Hold(Timestamp::from_micros(at)),
        Retry::NotBefore { at, hold: false } => Timestamp::from_micros(at),
        Retry::Later => now,
    };
    let at = not_before.max(now + wait(policy, failed_before, chance));
    if at > first_failed_at.unwrap_or(now) + policy.give_up_after {
        return Verdict::Bury(format!("given up after {}: {}", format_duration(policy.give_up_after), failure.reason));
    }
    let Some(stuck) = policy.stuck else { return Verdict::Again(at) };
    let may_hold_until = first_failed_at.unwrap_or(now) + stuck;
    // the last attempt that holds the lane comes when that time is over, unless the provider asks for patience
    if now >= may_hold_until || not_before > may_hold_until {
        Verdict::LetPass(at)
    } else {
        Verdict::Again(at.min(may_hold_until))
    }
}

/// `first`, then `factor` times longer each time, at most `most`; four fifths to six fifths of it, by chance.
fn wait(policy: &RetryPolicy, failed_before: u32, chance: f64) -> Duration {
    let grown = f64::from(policy.factor).powi(i32::try_from(failed_before).unwrap_or(i32::MAX)) * policy.first.as_secs_f64();
    let capped = grown.min(policy.most.as_secs_f64());
    Duration::from_secs_f64(capped * (0.8 + 0.4 * chance))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::failure::Step;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

    fn decided(failure: &Failure, failed_before: u32, first_failed_at: Option<Timestamp>) -> Verdict {
        decide(failure, &RetryPolicy::default(), failed_before, first_failed_at, NOW, 0.5)
    }

    #[test]
    fn waits_grow_to_a_limit() {
        let failure = Failure::passing(Step::Enrich, "down");
        let waits = [0, 1, 2, 30].map(|failed| match decided(&failure, failed, None) {
            Verdict::Again(at) => at.since(NOW).as_secs(),
            other => panic!("{other:?}"),
        });
        assert_eq!(waits, [5, 10, 20, 3600]);
    }

    #[test]
    fn a_record_is_given_up_on_after_its_time() {
        let failure = Failure::passing(Step::Enrich, "down");
        let long_ago = NOW - Duration::from_secs(4 * 86_400);
        assert_eq!(decided(&failure, 9, Some(long_ago)), Verdict::Bury("given up after 3d: down".into()));
        assert_eq!(decided(&Failure::permanent(Step::Map, "bad"), 0, None), Verdict::Bury("bad".into()));
    }

    #[test]
    fn a_record_lets_others_pass_when_it_has_held_its_lane_for_long_enough() {
        let hour = Duration::from_secs(3600);
        let policy = RetryPolicy { stuck: Some(hour), ..RetryPolicy::default() };
        let decided =
            |failure: &Failure, failed_before, since| decide(failure, &policy, failed_before, Some(NOW - since), NOW, 0.5);
        let failure = Failure::passing(Step::Enrich, "down");
        assert_eq!(decided(&failure, 30, hour / 2), Verdict::Again(NOW + hour / 2), "once more at the end of its time");
        assert_eq!(decided(&failure, 30, hour), Verdict::LetPass(NOW + hour));
        let asked = Failure { retry: Retry::NotBefore { at: (NOW + hour * 2).as_micros(), hold: false }, ..failure.clone() };
        assert_eq!(decided(&asked, 0, Duration::ZERO), Verdict::LetPass(NOW + hour * 2));
        assert!(matches!(decided(&failure, 9, hour * 80), Verdict::Bury(_)));
    }

    #[test]
    fn a_hold_uses_up_nothing() {
        let until = NOW + Duration::from_secs(60);
        assert_eq!(decided(&Failure::held_until(Step::Enrich, until, "budget"), 0, None), Verdict::Hold(until));
    }
}

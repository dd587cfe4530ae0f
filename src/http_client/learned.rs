//! What an answer's headers say about how many more requests the provider takes: `X-RateLimit-*` and its relatives, the `RateLimit`
//! fields of the IETF draft, and e-conomic's token bucket.

use std::time::Duration;

use crate::clock::Timestamp;

/// What a provider says beyond this is cut.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Seconds beyond this are a moment, not a time to wait: the year 2001.
const EPOCH_SECONDS: u64 = 1_000_000_000;

/// How many requests are left, for how long, of how many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Learned {
    pub(super) remaining: u32,
    pub(super) resets_in: Duration,
    pub(super) of: Option<u32>,
}

/// How requests are to be spaced from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Advice {
    /// None before this moment.
    Pause(Timestamp),
    /// One in every so long, until then.
    Space(Duration, Timestamp),
}

impl Learned {
    /// Nothing while there is plenty; what is left of a fifth is spread over the time that it has to last.
    fn advice(self, now: Timestamp) -> Option<Advice> {
        let plenty = match self.of {
            Some(of) => u64::from(self.remaining) * 5 > u64::from(of),
            None => self.remaining > 10,
        };
        match self.remaining {
            _ if plenty || self.resets_in.is_zero() => None,
            0 => Some(Advice::Pause(now + self.resets_in)),
            left => Some(Advice::Space(self.resets_in / (left + 1), now + self.resets_in)),
        }
    }
}

/// What follows from an answer's headers, whose names are in lower case; of several limits, from the tightest.
pub(super) fn advice(headers: &[(String, String)], now: Timestamp) -> Option<Advice> {
    let headers = Headers { all: headers, now };
    let found = [headers.economic(), headers.drafted(), headers.counted()].into_iter().flatten();
    let advices = found.filter_map(|learned| learned.advice(now));
    advices.max_by_key(|advice| match advice {
        Advice::Pause(until) => (1, until.since(now)),
        Advice::Space(interval, _) => (0, *interval),
    })
}

struct Headers<'a> {
    all: &'a [(String, String)],
    now: Timestamp,
}

impl Headers<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.all.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim())
    }

    /// `X-RateLimit-Remaining: 12` beside `…-Limit` and `…-Reset`, in the ways that providers spell them.
    fn counted(&self) -> Option<Learned> {
        ["x-ratelimit", "x-rate-limit", "ratelimit"].into_iter().find_map(|prefix| {
            let number = |name: &str| leading_number(self.text(&format!("{prefix}-{name}"))?);
            let remaining = number("remaining")?;
            let reset = ["reset", "reset-after"].iter().find_map(|name| self.text(&format!("{prefix}-{name}")));
            Some(Learned { remaining: cut(remaining), resets_in: self.wait(reset?)?, of: number("limit").map(cut) })
        })
    }

    /// `RateLimit: "default";r=50;t=30` with `RateLimit-Policy: "default";q=100;w=60`, or the older `limit=100, remaining=50, reset=30`.
    fn drafted(&self) -> Option<Learned> {
        let stated = self.text("ratelimit")?;
        let policies = self.text("ratelimit-policy").unwrap_or_default();
        let limits = stated.split(',').filter_map(|one| {
            let name = one.split(';').next().unwrap_or_default().trim();
            let policy = policies.split(',').find(|policy| policy.split(';').next().unwrap_or_default().trim() == name);
            let window = || parameter(policy?, "w");
            let remaining = parameter(one, "r")?;
            let resets_in = parameter(one, "t").or_else(window)?;
            let of = policy.and_then(|policy| parameter(policy, "q"));
            Some(Learned { remaining: cut(remaining), resets_in: seconds(resets_in), of: of.map(cut) })
        });
        let tightest = limits.max_by_key(|limit| limit.resets_in / limit.remaining.saturating_add(1));
        tightest.or_else(|| {
            let of = |name| stated.split(',').find_map(|one| parameter(one, name));
            let resets_in = seconds(of("reset")?);
            Some(Learned { remaining: cut(of("remaining")?), resets_in, of: of("limit").map(cut) })
        })
    }

    /// `X-RateLimiting: token-limit-10000-per-60-seconds: 147/10000`, with 147 used, and `X-CallCost: 3` for this call.
    fn economic(&self) -> Option<Learned> {
        let (policy, state) = self.text("x-ratelimiting")?.rsplit_once(':')?;
        let (used, of) = state.trim().split_once('/')?;
        let (used, of) = (leading_number(used)?, leading_number(of)?);
        let window = policy.split_once("-per-").and_then(|(_, window)| leading_number(window))?;
        let cost = self.text("x-callcost").and_then(leading_number).unwrap_or(1).max(1);
        Some(Learned { remaining: cut(of.saturating_sub(used) / cost), resets_in: seconds(window), of: Some(cut(of / cost)) })
    }

    /// Seconds to wait, or seconds or milliseconds since 1970, or a date.
    fn wait(&self, text: &str) -> Option<Duration> {
        let at = match text.split('.').next().and_then(|whole| whole.parse::<u64>().ok()) {
            Some(short) if short < EPOCH_SECONDS => return Some(seconds(short)),
            Some(moment) if moment < EPOCH_SECONDS * 1000 => moment.checked_mul(1_000_000)?,
            Some(moment) => moment.checked_mul(1000)?,
            None => {
                let iso = text.parse::<jiff::Timestamp>().ok();
                let date = iso.or_else(|| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok())?;
                u64::try_from(date.as_microsecond()).ok()?
            }
        };
        Some(Timestamp::from_micros(i64::try_from(at).ok()?).since(self.now).min(LONGEST))
    }
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number).min(LONGEST)
}

fn cut(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn leading_number(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// The number behind `name=`, between `;`.
fn parameter(text: &str, name: &str) -> Option<u64> {
    text.split(';').find_map(|part| {
        let (known, value) = part.split_once('=')?;
        (known.trim() == name).then(|| leading_number(value.trim().trim_matches('"'))).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::parse("2026-11-21T10:15:00Z").expect("a moment")
    }

    fn of(headers: &[(&str, &str)]) -> Option<(&'static str, u64)> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        advice(&headers, now()).map(|advice| match advice {
            Advice::Pause(until) => ("pause", until.since(now()).as_secs()),
            Advice::Space(interval, _) => ("space", u64::try_from(interval.as_millis()).expect("short")),
        })
    }

    #[test]
    fn every_way_of_telling_a_limit_is_understood() {
        let epoch = now().as_micros() / 1_000_000 + 30;
        for (headers, expected) in [
            (vec![("x-ratelimit-remaining", "80"), ("x-ratelimit-limit", "100"), ("x-ratelimit-reset", "30")], None),
            (
                vec![("x-ratelimit-remaining", "9"), ("x-ratelimit-limit", "100"), ("x-ratelimit-reset", "30")],
                Some(("space", 3000)),
            ),
            (vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "30")], Some(("pause", 30))),
            (vec![("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", &epoch.to_string())], Some(("pause", 30))),
            (vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &(epoch * 1000).to_string())], Some(("pause", 30))),
            (vec![("ratelimit-remaining", "0"), ("ratelimit-reset", "2026-11-21T10:15:30Z")], Some(("pause", 30))),
            (vec![("ratelimit", "\"default\";r=0;t=30")], Some(("pause", 30))),
            (
                vec![
                    ("ratelimit", "\"b\";r=50;t=1, \"d\";r=1;t=40"),
                    ("ratelimit-policy", "\"b\";q=60;w=1, \"d\";q=1000;w=86400"),
                ],
                Some(("space", 20_000)),
            ),
            (vec![("ratelimit", "limit=100, remaining=4, reset=10")], Some(("space", 2000))),
            (vec![("x-ratelimiting", "token-limit-10000-per-60-seconds: 147/10000"), ("x-callcost", "3")], None),
            (vec![("x-ratelimiting", "token-limit-10000-per-60-seconds: 9998/10000"), ("x-callcost", "3")], Some(("pause", 60))),
            (
                vec![("x-ratelimiting", "token-limit-10000-per-60-seconds: 9943/10000"), ("x-callcost", "3")],
                Some(("space", 3000)),
            ),
        ] {
            assert_eq!(of(&headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn nonsense_says_nothing() {
        for headers in [
            vec![("x-ratelimit-remaining", "none"), ("x-ratelimit-reset", "soon")],
            vec![("x-ratelimit-remaining", "0")],
            vec![("ratelimit", "what;ever")],
            vec![("x-ratelimiting", "147")],
            vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "99999999999999999999")],
        ] {
            assert_eq!(of(&headers), None, "{headers:?}");
        }
        assert_eq!(of(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "999999999")]), Some(("pause", 86400)));
    }
}

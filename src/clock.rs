//! Time as a value that is passed in: the system's clock in production, one that tests move by hand elsewhere. The only
//! file that asks the operating system what time it is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment that many microseconds after the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Its day in UTC.
    pub fn date(self) -> jiff::civil::Date {
        let moment = jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        moment.to_zoned(jiff::tz::TimeZone::UTC).date()
    }

    /// Reads an RFC 3339 text such as `2026-11-21T10:15:00Z`.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|moment| Self(moment.as_microsecond()))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with the fraction that is there: `2026-11-21T10:15:00.25Z`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(moment) => write!(formatter, "{moment}"),
            Err(_) => write!(formatter, "{} µs", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Where the time comes from. Cheap to clone; clones share a clock that is moved by hand.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    /// The operating system's, corrected by so many microseconds.
    System(Arc<AtomicI64>),
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The operating system's clock.
    pub fn system() -> Self {
        Self(Source::System(Arc::default()))
    }

    /// A clock that stands at `start` until it is moved.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.as_micros()))))
    }

    /// The current moment.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System(correction) => Timestamp(self.uncorrected().0.saturating_add(correction.load(Ordering::Relaxed))),
            Source::Manual(micros) => Timestamp(micros.load(Ordering::SeqCst)),
        }
    }

    /// Whether it stands still until someone moves it.
    pub fn is_moved_by_hand(&self) -> bool {
        matches!(self.0, Source::Manual(_))
    }

    /// The current moment as this machine sees it.
    #[expect(clippy::disallowed_methods, reason = "the one place where the system is asked for the time")]
    pub fn uncorrected(&self) -> Timestamp {
        match &self.0 {
            Source::System(_) => {
                let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
            }
            Source::Manual(micros) => Timestamp(micros.load(Ordering::SeqCst)),
        }
    }

    /// Goes by another clock from now on, which says `theirs`; it was asked at the uncorrected moment `asked`. Differences below a
    /// millisecond are the journey's and change nothing; a clock that is moved by hand follows nobody.
    pub fn follow(&self, theirs: Timestamp, asked: Timestamp) {
        let Source::System(correction) = &self.0 else { return };
        let ours = asked.0 + (self.uncorrected().0 - asked.0) / 2;
        let found = theirs.0 - ours;
        if (found - correction.load(Ordering::Relaxed)).abs() >= 1_000 {
            correction.store(found, Ordering::Relaxed);
        }
    }

    /// Moves a manual clock forward to `moment`; never back, and the system's clock not at all.
    pub fn move_to(&self, moment: Timestamp) {
        if let Source::Manual(micros) = &self.0 {
            micros.fetch_max(moment.as_micros(), Ordering::SeqCst);
        }
    }

    /// Whether this clock is moved by hand.
    pub fn is_manual(&self) -> bool {
        matches!(self.0, Source::Manual(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_back_from_its_text() {
        let moment = Timestamp::from_micros(1_795_248_131_250_000);
        assert_eq!(Timestamp::parse(&moment.to_string()), Some(moment));
    }

    #[test]
    fn a_clock_goes_by_another_that_it_follows() {
        let clock = Clock::system();
        let asked = clock.uncorrected();
        clock.follow(asked + Duration::from_secs(3600), asked);
        let ahead = clock.now().since(clock.uncorrected());
        assert!(ahead > Duration::from_secs(3599) && ahead < Duration::from_secs(3601), "{ahead:?}");
    }

    #[test]
    fn a_manual_clock_moves_only_forward() {
        let clock = Clock::manual(Timestamp::from_micros(10));
        clock.move_to(Timestamp::from_micros(5));
        assert_eq!(clock.now(), Timestamp::from_micros(10));
    }
}

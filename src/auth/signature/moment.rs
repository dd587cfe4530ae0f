//! The timestamp of a signed request: its unit, and whether it is near enough to now.

use std::time::Duration;

use super::options::Tolerance;
use crate::clock::Timestamp;
use crate::config::diagnostic::Diagnostics;
use crate::config::options::{FromYaml, report_choice};
use crate::config::shape::Shape;
use crate::config::units::format_duration;
use crate::config::yaml::Node;

/// How a timestamp is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Unit {
    /// Seconds since 1970.
    #[default]
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// RFC 3339.
    Iso,
}

const UNITS: &[&str] = &["s", "ms", "iso"];

impl FromYaml for Unit {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match node.text() {
            Some("s") => Some(Self::Seconds),
            Some("ms") => Some(Self::Milliseconds),
            Some("iso") => Some(Self::Iso),
            _ => {
                report_choice(UNITS, node, diagnostics);
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Word(UNITS)
    }
}

impl Unit {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Iso => "iso",
        }
    }

    /// The moment that a text names.
    pub fn read(self, text: &str) -> Option<Timestamp> {
        let times = |size: i64| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = is_number.then(|| text.parse::<i64>().ok()).flatten()?;
            number.checked_mul(size).map(Timestamp::from_micros)
        };
        match self {
            Self::Seconds => times(1_000_000),
            Self::Milliseconds => times(1_000),
            Self::Iso => Timestamp::parse(text),
        }
    }

    /// A moment as a sender writes it, to the second.
    pub fn write(self, moment: Timestamp) -> String {
        let seconds = moment.as_micros().div_euclid(1_000_000);
        match self {
            Self::Seconds => seconds.to_string(),
            Self::Milliseconds => (seconds * 1_000).to_string(),
            Self::Iso => Timestamp::from_micros(seconds * 1_000_000).to_string(),
        }
    }
}

/// Whether a timestamp is near enough to now, as any is where `tolerance` is `none`; if not, why not.
pub(super) fn check(text: &str, unit: Unit, tolerance: Tolerance, now: Timestamp) -> Result<(), String> {
    let Tolerance::Within(tolerance) = tolerance else { return Ok(()) };
    let Some(moment) = unit.read(text) else { return Err(unreadable(text, unit, now)) };
    let (older, newer) = (now.since(moment), moment.since(now));
    let off = older.max(newer);
    if off <= tolerance {
        return Ok(());
    }
    let direction = if older > newer { "older" } else { "newer" };
    let tolerated = format_duration(tolerance);
    let mut finding = format!(
        "the clock is {} s off: the signed timestamp is that much {direction} than now; {tolerated} is tolerated",
        off.as_secs()
    );
    if let Some(other) = near(text, unit, now) {
        finding.push_str(&format!("; it looks like `unit: {}`", other.word()));
    }
    Err(finding)
}

fn unreadable(text: &str, unit: Unit, now: Timestamp) -> String {
    let expected = match unit {
        Unit::Seconds => "seconds since 1970",
        Unit::Milliseconds => "milliseconds since 1970",
        Unit::Iso => "a time such as `2026-11-21T10:15:00Z`",
    };
    let looks = near(text, unit, now).map(|other| format!("; it looks like `unit: {}`", other.word()));
    format!("the timestamp cannot be read as {expected}{}", looks.unwrap_or_default())
}

/// Another unit in which the text is a moment not long ago.
fn near(text: &str, unit: Unit, now: Timestamp) -> Option<Unit> {
    const NOT_LONG: Duration = Duration::from_secs(366 * 86_400);
    let others = [Unit::Seconds, Unit::Milliseconds, Unit::Iso].into_iter().filter(|other| *other != unit);
    let is_near = |moment: Timestamp| now.since(moment).max(moment.since(now)) <= NOT_LONG;
    others.into_iter().find(|other| other.read(text).is_some_and(is_near))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_795_255_200_000_000);
    const FIVE_MINUTES: Tolerance = Tolerance::Within(Duration::from_secs(300));

    #[test]
    fn a_clock_may_be_off_by_the_tolerance_in_both_directions() {
        for (text, passes) in
            [("1795255200", true), ("1795254900", true), ("1795254899", false), ("1795255500", true), ("1795255501", false)]
        {
            assert_eq!(check(text, Unit::Seconds, FIVE_MINUTES, NOW).is_ok(), passes, "{text}");
        }
        let words = check("1795254788", Unit::Seconds, FIVE_MINUTES, NOW).expect_err("too old");
        assert!(words.contains("412 s off") && words.contains("older"), "{words}");
    }

    #[test]
    fn a_timestamp_of_another_unit_is_told() {
        let words = |text: &str, unit| check(text, unit, FIVE_MINUTES, NOW).expect_err("wrong");
        assert!(words("1795255200000", Unit::Seconds).ends_with("`unit: ms`"));
        assert!(words("2026-11-21T10:00:00Z", Unit::Seconds).ends_with("`unit: iso`"));
        assert!(words("1795255200", Unit::Milliseconds).ends_with("`unit: s`"));
        for text in ["", "-5", "+5", "99999999999999999999", " 1", "1e9"] {
            assert!(check(text, Unit::Seconds, FIVE_MINUTES, NOW).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for unit in [Unit::Seconds, Unit::Milliseconds, Unit::Iso] {
            assert_eq!(unit.read(&unit.write(NOW)), Some(NOW));
        }
    }
}

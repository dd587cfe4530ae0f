//! Reads `Retry-After`: seconds or an HTTP date.

use std::time::Duration;

use crate::clock::Timestamp;

/// A provider's wish beyond this is cut: nobody is to be silenced for good by one header.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The moment a `Retry-After` of `text` means, at most a day after `now`; nothing when it is not to be understood.
pub(super) fn read(text: &str, now: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    let at = if !text.is_empty() && text.bytes().all(|letter| letter.is_ascii_digit()) {
        now + text.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST)
    } else {
        let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        Timestamp::from_micros(date.as_microsecond())
    };
    Some(at.clamp(now, now + LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_understood_and_cut() {
        let now = Timestamp::parse("2026-11-21T10:15:00Z").expect("a moment");
        let read = |text| read(text, now).map(|at| at.since(now).as_secs());
        assert_eq!(read("7"), Some(7));
        assert_eq!(read(" 0 "), Some(0));
        assert_eq!(read("Sat, 21 Nov 2026 10:16:30 GMT"), Some(90));
        assert_eq!(read("Sat, 21 Nov 2020 10:16:30 GMT"), Some(0));
        assert_eq!(read("99999999999999999999999"), Some(86400));
        assert_eq!(read("Sat, 01 Jan 2028 00:00:00 GMT"), Some(86400));
        for wrong in ["", "-1", "soon", "1.5"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}

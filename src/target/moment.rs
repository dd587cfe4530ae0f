//! Dates, times and moments as texts: what a column of that kind takes, and the one spelling it is kept in.

use jiff::civil::{DateTime, Time};
use jiff::fmt::temporal::Pieces;

/// `YYYY-MM-DD`; of a date and time only when the time is midnight.
pub(super) fn to_date(text: &str) -> Option<String> {
    if !has_dashes(text) {
        return None;
    }
    let pieces = Pieces::parse(text).ok()?;
    pieces.time().is_none_or(|time| time == Time::midnight()).then(|| pieces.date().to_string())
}

/// `HH:MM:SS` with the fraction that was sent; `HH:MM` gets its seconds.
pub(super) fn to_time(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_digit() || matches!(byte, b':' | b'.');
    if text.as_bytes().get(2) != Some(&b':') || !text.bytes().all(allowed) {
        return None;
    }
    text.parse::<Time>().ok()?;
    match text.len() {
        5 => Some(format!("{text}:00")),
        length if length >= 8 => Some(text.to_owned()),
        _ => None,
    }
}

/// RFC 3339 in UTC of a text with an offset; a local date and time stays as it is.
pub(super) fn to_timestamp(text: &str) -> Option<String> {
    if !has_dashes(text) || !matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(moment) => Some(moment.to_string()),
        Err(_) if Pieces::parse(text).ok()?.offset().is_none() => text.parse::<DateTime>().ok().map(|_| text.to_owned()),
        Err(_) => None,
    }
}

/// A time in the one spelling, with at most `digits` of its second's fraction.
pub(super) fn to_short_time(text: &str, digits: u8) -> Option<String> {
    let time: Time = to_time(text)?.parse().ok()?;
    Some(cut_fraction(&time.to_string(), digits))
}

/// What a column for moments keeps of a text with an offset: RFC 3339 in UTC.
pub(super) fn to_moment(text: &str, digits: u8) -> Option<String> {
    let moment = to_timestamp(text)?;
    let local = moment.strip_suffix('Z')?;
    Some(format!("{}Z", cut_fraction(local, digits)))
}

/// What a column without offsets keeps: a local date and time as it is, a moment in UTC.
pub(super) fn to_local(text: &str, digits: u8) -> Option<String> {
    let moment = to_timestamp(text)?;
    let local: DateTime = moment.strip_suffix('Z').unwrap_or(&moment).parse().ok()?;
    Some(cut_fraction(&local.to_string(), digits))
}

fn cut_fraction(text: &str, digits: u8) -> String {
    match text.split_once('.') {
        Some((whole, fraction)) => {
            let kept = fraction.get(..usize::from(digits)).unwrap_or(fraction).trim_end_matches('0');
            if kept.is_empty() { whole.to_owned() } else { format!("{whole}.{kept}") }
        }
        None => text.to_owned(),
    }
}

fn has_dashes(text: &str) -> bool {
    text.as_bytes().get(4) == Some(&b'-') && text.as_bytes().get(7) == Some(&b'-')
}

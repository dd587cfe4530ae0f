//! `as:`: a value brought to a declared type, exactly or not at all. The result is JSON in one canonical form per type.

use std::str::FromStr;

use jiff::civil;
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde_json::Value as Json;

use super::decimal;
use super::notes::note;
use crate::config::yaml::shorten;
use crate::model::change::ValueType;

/// What numbers that stand for a moment count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeUnit {
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
}

/// How a moment is to be read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// What a number counts; without it a number is no moment.
    pub unit: Option<TimeUnit>,
    /// The zone of a text without an offset: an IANA name.
    pub zone: Option<String>,
}

/// The value as that type, or the problem in words. Null stays null.
pub fn convert(value: &Json, to: ValueType, reading: &Reading) -> Result<Json, String> {
    if value.is_null() {
        return Ok(Json::Null);
    }
    let converted = match to {
        ValueType::Text => Some(Json::String(scalar_text(value).unwrap_or_else(|| value.to_string()))),
        ValueType::Integer => integer(value),
        ValueType::Decimal => decimal_number(value),
        ValueType::Boolean => boolean(value),
        ValueType::Date => text_of(value)
            .and_then(|text| Some(civil::Date::from_str(text.get(..10)?).ok().filter(|_| is_date(text))?.to_string()))
            .map(Json::String),
        ValueType::Time => {
            text_of(value).and_then(|text| civil::Time::from_str(text).ok()).map(|time| Json::String(time.to_string()))
        }
        ValueType::Timestamp => return timestamp(value, reading).map(Json::String),
        ValueType::Uuid => {
            text_of(value).and_then(|text| uuid::Uuid::from_str(text.trim()).ok()).map(|id| Json::String(id.to_string()))
        }
        ValueType::Json => Some(value.clone()),
        ValueType::Bytes => text_of(value).filter(|text| is_base64(text)).map(|text| Json::String(text.to_owned())),
    };
    converted.ok_or_else(|| format!("expected {}; got {}", describe(to), show(value)))
}

/// A value in a message: JSON, cut where it would fill a line.
pub fn show(value: &Json) -> String {
    shorten(&value.to_string())
}

/// The text of a scalar: a number's digits as they were sent; `None` for lists, objects and null.
pub fn scalar_text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(value) => Some(value.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

fn describe(to: ValueType) -> &'static str {
    match to {
        ValueType::Text => "text",
        ValueType::Integer => "a whole number",
        ValueType::Decimal => "a number",
        ValueType::Boolean => "true or false",
        ValueType::Date => "a date such as 2026-11-21",
        ValueType::Time => "a time of day such as 07:30:00",
        ValueType::Timestamp => "a moment such as 2026-11-21T07:30:00Z",
        ValueType::Uuid => "a UUID",
        ValueType::Json => "JSON",
        ValueType::Bytes => "base64",
    }
}

fn text_of(value: &Json) -> Option<&str> {
    value.as_str()
}

fn integer(value: &Json) -> Option<Json> {
    let text = match value {
        Json::Number(number) => number.to_string(),
        Json::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    let digits = text.strip_prefix(['-', '+']).unwrap_or(&text);
    if !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()) {
        let trimmed = digits.trim_start_matches('0');
        let sign = if text.starts_with('-') && !trimmed.is_empty() { "-" } else { "" };
        let trimmed = if trimmed.is_empty() { "0" } else { trimmed };
        return format!("{sign}{trimmed}").parse().ok().map(Json::Number);
    }
    let number = decimal::parse(&text)?;
    number.is_integer().then(|| decimal::number(&number.with_scale(0)))?.map(Json::Number)
}

fn decimal_number(value: &Json) -> Option<Json> {
    match value {
        Json::Number(_) => Some(value.clone()),
        Json::String(text) => {
            let text = text.trim();
            // what JSON can write keeps its digits; `+1.50` and `007.5` are brought to a form that it can
            text.parse().ok().or_else(|| decimal::number(&decimal::parse(text)?)).map(Json::Number)
        }
        _ => None,
    }
}

fn boolean(value: &Json) -> Option<Json> {
    match scalar_text(value)?.trim() {
        "true" | "True" | "TRUE" | "1" => Some(Json::Bool(true)),
        "false" | "False" | "FALSE" | "0" => Some(Json::Bool(false)),
        _ => None,
    }
}

/// A bare date, or a moment whose time of day is midnight.
fn is_date(text: &str) -> bool {
    text.len() == 10
        || civil::DateTime::from_str(text.trim_end_matches('Z')).is_ok_and(|moment| moment.time() == civil::Time::midnight())
}

fn is_base64(text: &str) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

fn timestamp(value: &Json, reading: &Reading) -> Result<String, String> {
    let wrong = || format!("expected {}; got {}", describe(ValueType::Timestamp), show(value));
    if let Some(unit) = reading.unit {
        let number = scalar_text(value).and_then(|text| decimal::parse(&text)).ok_or_else(wrong)?;
        let factor = match unit {
            TimeUnit::Seconds => 1_000_000_i64,
            TimeUnit::Milliseconds => 1_000,
        };
        let micros = (number * factor).with_scale(0).to_string().parse().map_err(|_| wrong())?;
        return jiff::Timestamp::from_microsecond(micros).map(|moment| moment.to_string()).map_err(|_| wrong());
    }
    let text = text_of(value).ok_or_else(wrong)?.trim().replacen(' ', "T", 1);
    if let Ok(moment) = jiff::Timestamp::from_str(&text) {
        return Ok(moment.to_string());
    }
    let local = civil::DateTime::from_str(&text).map_err(|_| wrong())?;
    let Some(zone) = &reading.zone else {
        return Err(format!("the moment {} has no offset; say its `zone:`", show(value)));
    };
    let zone = TimeZone::get(zone).map_err(|_| format!("`{zone}` is no IANA time zone such as `Europe/Copenhagen`"))?;
    in_zone(local, &zone).map(|moment| moment.to_string()).ok_or_else(wrong)
}

/// The moment of a local time: of an ambiguous one the earlier, of a skipped one the next that exists.
pub(super) fn in_zone(local: civil::DateTime, zone: &TimeZone) -> Option<jiff::Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(local);
    let tell = |what: &str| note(|| format!("the local time {local} of {} {what}", zone.iana_name().unwrap_or("its zone")));
    match ambiguous.offset() {
        AmbiguousOffset::Gap { .. } => {
            let before = ambiguous.earlier().ok()?;
            let next = zone.following(before).next().map(|transition| transition.timestamp())?;
            tell("was skipped: the next moment that there is was taken");
            Some(next)
        }
        AmbiguousOffset::Fold { .. } => {
            tell("came twice: the earlier moment was taken");
            ambiguous.earlier().ok()
        }
        AmbiguousOffset::Unambiguous { .. } => ambiguous.earlier().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn converted(value: Json, to: ValueType) -> Option<Json> {
        convert(&value, to, &Reading::default()).ok()
    }

    #[test]
    fn whole_numbers_are_exact_and_nothing_else_passes() {
        for (value, expected) in [
            (json!("20417"), Some("20417")),
            (json!(" 007 "), Some("7")),
            (json!("-0"), Some("0")),
            (json!("18446744073709551617"), Some("18446744073709551617")),
            (serde_json::from_str("3.00").expect("number"), Some("3")),
            (json!("3.5"), None),
            (json!("abc"), None),
            (json!(""), None),
            (json!(true), None),
        ] {
            assert_eq!(
                converted(value.clone(), ValueType::Integer).map(|value| value.to_string()).as_deref(),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn decimals_keep_their_digits() {
        assert_eq!(converted(json!("3100.00"), ValueType::Decimal).map(|value| value.to_string()).as_deref(), Some("3100.00"));
        assert_eq!(converted(json!("1,5"), ValueType::Decimal), None);
    }

    #[test]
    fn moments_come_out_in_utc() {
        let read = |value: Json, unit, zone: Option<&str>| {
            convert(&value, ValueType::Timestamp, &Reading { unit, zone: zone.map(str::to_owned) })
                .ok()
                .and_then(|value| value.as_str().map(str::to_owned))
        };
        let zone = Some("Europe/Copenhagen");
        assert_eq!(read(json!("2026-11-21T07:02:10"), None, zone).as_deref(), Some("2026-11-21T06:02:10Z"));
        assert_eq!(read(json!("2026-11-21 07:02:10"), None, zone).as_deref(), Some("2026-11-21T06:02:10Z"));
        assert_eq!(
            read(json!("2026-10-25T02:30:00"), None, zone).as_deref(),
            Some("2026-10-25T00:30:00Z"),
            "ambiguous: the earlier"
        );
        assert_eq!(
            read(json!("2026-03-29T02:30:00"), None, zone).as_deref(),
            Some("2026-03-29T01:00:00Z"),
            "skipped: the next valid"
        );
        assert_eq!(read(json!(1_795_248_131), Some(TimeUnit::Seconds), None).as_deref(), Some("2026-11-21T08:02:11Z"));
        assert_eq!(read(json!("2026-11-21T07:02:10+01:00"), None, None).as_deref(), Some("2026-11-21T06:02:10Z"));
        assert_eq!(read(json!("2026-11-21T07:02:10"), None, None), None);
    }

    #[test]
    fn what_was_taken_for_a_local_time_that_is_not_one_moment_is_noted() {
        let noted = |text: &str| {
            let reading = Reading { unit: None, zone: Some("Europe/Copenhagen".to_owned()) };
            crate::expr::notes::watch(|| convert(&json!(text), ValueType::Timestamp, &reading)).1
        };
        assert_eq!(noted("2026-11-21T07:02:10"), Vec::<String>::new());
        assert_eq!(
            noted("2026-10-25T02:30:00"),
            ["the local time 2026-10-25T02:30:00 of Europe/Copenhagen came twice: the earlier moment was taken"]
        );
        assert_eq!(noted("2026-03-29T02:30:00").len(), 1);
    }
}

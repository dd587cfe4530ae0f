//! The functions for dates and times. They take and give texts: a date `2026-11-21`, a local time `2026-11-21T07:30:00`, a moment
//! with its offset `2026-11-21T07:30:00+01:00`. What is missing stays missing and what is null stays null.

use std::str::FromStr;

use jiff::civil;
use jiff::fmt::strtime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use minijinja::value::Value;
use minijinja::{Environment, Error};

use super::convert::in_zone as moment_in_zone;
use super::engine::text_of;
use super::functions::refuse;
use super::texts::is_hole;

/// Adds them to an environment; each is both a function and a filter.
pub(crate) fn register(environment: &mut Environment<'static>) {
    for (name, function) in
        [("parse_date", parse_date as fn(&str, &str) -> _), ("format_date", format_date), ("in_zone", in_zone)]
    {
        let run = move |value: Value, how: &str| -> Result<Value, Error> {
            if is_hole(&value) { Ok(value) } else { function(text_of(&value)?.trim(), how).map(Value::from) }
        };
        environment.add_function(name, run);
        environment.add_filter(name, run);
    }
}

/// What a text says of time.
enum Moment {
    Date(civil::Date),
    Local(civil::DateTime),
    Zoned(Zoned),
}

impl Moment {
    fn read(text: &str) -> Option<Self> {
        let text = text.replacen(' ', "T", usize::from(text.as_bytes().get(10) == Some(&b' ')));
        if text.len() == 10 {
            return civil::Date::from_str(&text).ok().map(Self::Date);
        }
        if let Ok(moment) = Timestamp::from_str(&text) {
            let offset = Pieces::parse(&text).ok().and_then(|pieces| pieces.to_numeric_offset());
            let zone = offset.map_or(TimeZone::UTC, TimeZone::fixed);
            return Some(Self::Zoned(moment.to_zoned(zone)));
        }
        civil::DateTime::from_str(&text).ok().map(Self::Local)
    }
}

/// `parse_date(text, '%d.%m.%Y')`: reads a text of that form.
fn parse_date(text: &str, format: &str) -> Result<String, Error> {
    let wrong = |reason: String| refuse(format!("`parse_date` cannot read `{text}` as `{format}`: {reason}"));
    let read = strtime::parse(format, text).map_err(|error| wrong(error.to_string()))?;
    if let Ok(moment) = read.to_timestamp() {
        let offset = read.offset().unwrap_or(jiff::tz::Offset::UTC);
        return Ok(written(&moment.to_zoned(TimeZone::fixed(offset))));
    }
    let date = read.to_date();
    match (date, read.hour()) {
        (Ok(date), None) => Ok(date.to_string()),
        (Ok(_), Some(_)) => read.to_datetime().map(|moment| moment.to_string()).map_err(|error| wrong(error.to_string())),
        (Err(_), Some(_)) => read.to_time().map(|time| time.to_string()).map_err(|error| wrong(error.to_string())),
        (Err(error), None) => Err(wrong(error.to_string())),
    }
}

/// `format_date(moment, '%d.%m.%Y')`: writes it in that form, in the zone that the moment itself says.
fn format_date(text: &str, format: &str) -> Result<String, Error> {
    let formatted = match Moment::read(text) {
        Some(Moment::Date(date)) => strtime::format(format, date),
        Some(Moment::Local(local)) => strtime::format(format, local),
        Some(Moment::Zoned(zoned)) => strtime::format(format, &zoned),
        None => return Err(refuse(format!("`format_date` needs a date or a moment; got `{text}`"))),
    };
    formatted.map_err(|error| refuse(format!("`format_date` cannot write `{text}` as `{format}`: {error}")))
}

/// `in_zone(moment, 'Europe/Copenhagen')`: the same moment as that zone's clocks show it; a local time is that zone's own.
fn in_zone(text: &str, zone: &str) -> Result<String, Error> {
    let known = TimeZone::get(zone)
        .map_err(|_| refuse(format!("`in_zone` needs an IANA time zone such as `Europe/Copenhagen`; got `{zone}`")))?;
    let moment = match Moment::read(text) {
        Some(Moment::Zoned(zoned)) => Some(zoned.timestamp()),
        Some(Moment::Local(local)) => moment_in_zone(local, &known),
        Some(Moment::Date(_)) | None => None,
    };
    let moment = moment.ok_or_else(|| refuse(format!("`in_zone` needs a moment or a local time; got `{text}`")))?;
    Ok(written(&moment.to_zoned(known)))
}

/// With its offset, `Z` for none.
fn written(zoned: &Zoned) -> String {
    let offset = zoned.offset();
    if offset == jiff::tz::Offset::UTC {
        zoned.timestamp().to_string()
    } else {
        zoned.timestamp().display_with_offset(offset).to_string()
    }
}

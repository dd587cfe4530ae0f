//! A value on its way into a column: the column's kind decides what becomes of it. Nothing is rounded, cut or guessed;
//! what does not fit fails with both sides named.

use base64::Engine as _;
use serde_json::Value as Json;

use crate::model::change::{Cell, ValueType};
use crate::model::failure::{Failure, Step};

use super::dialect::Dialect;
use super::inspect::{ColumnKind, ColumnSchema};
use super::stored::Stored;
use super::{moment, number};

/// The longest piece of a value that a message shows, in characters.
const SHOWN: usize = 60;

/// What `column` of a database of that kind keeps of a cell.
pub(super) fn convert(dialect: Dialect, cell: &Cell, column: &ColumnSchema) -> Result<Stored, Failure> {
    if cell.value.is_null() {
        return Ok(Stored::Null);
    }
    match column.kind {
        ColumnKind::Text if cell.declared == Some(ValueType::Json) => text(cell, column, cell.value.to_string()),
        ColumnKind::Text => text(cell, column, text_of(&cell.value)),
        ColumnKind::Integer => integer(cell, column),
        ColumnKind::Boolean => boolean(cell, column),
        ColumnKind::Decimal => decimal(dialect, cell, column),
        ColumnKind::Numeric => numeric(cell, column),
        ColumnKind::Real => match scalar_text(&cell.value).and_then(|text| number::to_float(&text)) {
            Some(float) => Ok(Stored::Real(float)),
            None => Err(does_not_fit(cell, column, "")),
        },
        ColumnKind::Date => spelled(cell, column, moment::to_date, "; a date is `YYYY-MM-DD`"),
        ColumnKind::Time => {
            let spell = |text: &str| match column.limits.fraction {
                Some(digits) => moment::to_short_time(text, digits),
                None => moment::to_time(text),
            };
            spelled(cell, column, spell, "; a time is `HH:MM:SS`")
        }
        ColumnKind::Timestamp => timestamp(cell, column),
        ColumnKind::Uuid => spelled(cell, column, to_uuid, ""),
        ColumnKind::Json if column.converts_numbers && cell.value.is_number() => numeric(cell, column),
        ColumnKind::Json | ColumnKind::List if column.limits.refuses_nul && holds_nul(&cell.value) => Err(nul(cell, column)),
        ColumnKind::Json => Ok(Stored::Text(cell.value.to_string())),
        ColumnKind::List => list(cell, column),
        ColumnKind::Bytes if dialect != Dialect::Sqlite => Ok(match natural(cell, column)? {
            Stored::Bytes(bytes) => Stored::Bytes(bytes),
            other => other.into_text().map_or(Stored::Null, |text| Stored::Bytes(text.into_bytes())),
        }),
        ColumnKind::Unknown if column.limits.refuses_nul && holds_nul(&cell.value) => Err(nul(cell, column)),
        ColumnKind::Bytes | ColumnKind::Unknown => natural(cell, column),
    }
}

/// Text as it is, numbers as their digits, booleans as words, the rest as compact JSON.
fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The text of a text or number.
fn scalar_text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn integer(cell: &Cell, column: &ColumnSchema) -> Result<Stored, Failure> {
    if let Json::Bool(truth) = cell.value {
        return Ok(Stored::Integer(i64::from(truth)));
    }
    let Some(text) = scalar_text(&cell.value) else { return Err(does_not_fit(cell, column, "")) };
    let (least, most) = column.limits.whole.unwrap_or((i64::MIN.into(), i64::MAX.into()));
    match number::to_whole(&text) {
        Some(whole) if (least..=most).contains(&whole) => {
            Ok(i64::try_from(whole).map_or_else(|_| Stored::Text(whole.to_string()), Stored::Integer))
        }
        _ if !number::is_whole(&text) => Err(does_not_fit(cell, column, "")),
        _ if column.limits.whole.is_none() => Err(does_not_fit(cell, column, ", which is more than 64 bits hold")),
        _ => Err(does_not_fit(cell, column, &format!("; it takes {least} to {most}"))),
    }
}

fn text(cell: &Cell, column: &ColumnSchema, text: String) -> Result<Stored, Failure> {
    if column.limits.refuses_nul && text.contains('\0') {
        return Err(nul(cell, column));
    }
    let most = column.limits.characters.filter(|most| u64::try_from(text.chars().count()).is_ok_and(|count| count > *most));
    if let Some(most) = most {
        return Err(does_not_fit(cell, column, &format!("; it takes {most} characters")));
    }
    let words = &column.limits.words;
    if !words.is_empty() && !words.contains(&text) {
        let hint = format!("; it takes {}", super::inspect::listed(words.iter().map(String::as_str), &text));
        return Err(does_not_fit(cell, column, &hint));
    }
    Ok(Stored::Text(text))
}

fn decimal(dialect: Dialect, cell: &Cell, column: &ColumnSchema) -> Result<Stored, Failure> {
    let Some(text) = scalar_text(&cell.value).filter(|text| number::is_number(text)) else {
        return Err(does_not_fit(cell, column, ""));
    };
    if dialect == Dialect::Sqlite {
        return Ok(Stored::Text(text));
    }
    let more = match column.limits.digits {
        Some((all, behind)) => format!("; it takes {} digits before the point and {behind} behind it", all - behind.min(all)),
        None => ", which has too many digits".to_owned(),
    };
    number::to_plain(&text, column.limits.digits).map(Stored::Text).ok_or_else(|| does_not_fit(cell, column, &more))
}

fn timestamp(cell: &Cell, column: &ColumnSchema) -> Result<Stored, Failure> {
    const HINT: &str = "; a moment is RFC 3339, other forms need `as: timestamp`";
    let digits = column.limits.fraction.unwrap_or(9);
    match column.limits.zoned {
        None => spelled(cell, column, moment::to_timestamp, HINT),
        Some(false) => spelled(cell, column, |text| moment::to_local(text, digits), HINT),
        Some(true) => {
            let is_local = cell.value.as_str().is_some_and(|text| moment::to_local(text, digits).is_some());
            let hint = if is_local { ", which has no offset; `as: timestamp` takes a `zone`" } else { HINT };
            spelled(cell, column, |text| moment::to_moment(text, digits), hint)
        }
    }
}

fn list(cell: &Cell, column: &ColumnSchema) -> Result<Stored, Failure> {
    match &cell.value {
        Json::Array(items) if !items.iter().any(|item| item.is_array() || item.is_object()) => {
            Ok(Stored::Text(cell.value.to_string()))
        }
        _ => Err(does_not_fit(cell, column, "; it takes a list of texts or numbers")),
    }
}

fn holds_nul(value: &Json) -> bool {
    match value {
        Json::String(text) => text.contains('\0'),
        Json::Array(items) => items.iter().any(holds_nul),
        Json::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

fn nul(cell: &Cell, column: &ColumnSchema) -> Failure {
    does_not_fit(cell, column, ", which holds the character U+0000; PostgreSQL cannot keep it")
}

fn boolean(cell: &Cell, column: &ColumnSchema) -> Result<Stored, Failure> {
    let truth = match text_of(&cell.value).to_ascii_lowercase().as_str() {
        "true" | "1" => 1,
        "false" | "0" => 0,
        // a `tinyint(1)`, which is all that MySQL has for a boolean
        _ if column.limits.whole.is_some() => return integer(cell, column),
        _ => return Err(does_not_fit(cell, column, "")),
    };
    Ok(Stored::Integer(truth))
}

fn numeric(cell: &Cell, column: &ColumnSchema) -> Result<Stored, Failure> {
    let Some(text) = scalar_text(&cell.value).filter(|text| number::is_number(text)) else {
        let declared = column.declared.to_ascii_uppercase();
        let hint = match ["NUM", "DEC"].iter().any(|name| declared.contains(name)) {
            true => "",
            false => "; SQLite reads that type as NUMERIC, declare it `TEXT`",
        };
        return Err(does_not_fit(cell, column, hint));
    };
    match (number::to_integer(&text), number::to_exact_float(&text)) {
        (Some(integer), _) => Ok(Stored::Integer(integer)),
        (None, Some(float)) => Ok(Stored::Real(float)),
        (None, None) => Err(does_not_fit(cell, column, ", which would lose digits; declare it `DECIMAL_TEXT`")),
    }
}

fn spelled(cell: &Cell, column: &ColumnSchema, spell: impl Fn(&str) -> Option<String>, hint: &str) -> Result<Stored, Failure> {
    match cell.value.as_str().and_then(spell) {
        Some(text) => Ok(Stored::Text(text)),
        None => Err(does_not_fit(cell, column, hint)),
    }
}

fn to_uuid(text: &str) -> Option<String> {
    text.parse::<uuid::Uuid>().ok().map(|uuid| uuid.hyphenated().to_string())
}

fn natural(cell: &Cell, column: &ColumnSchema) -> Result<Stored, Failure> {
    match &cell.value {
        Json::String(text) if cell.declared == Some(ValueType::Bytes) => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text);
            bytes.map(Stored::Bytes).map_err(|_| does_not_fit(cell, column, "; `as: bytes` needs base64"))
        }
        Json::Bool(truth) => Ok(Stored::Integer(i64::from(*truth))),
        Json::Number(number) => {
            let text = number.to_string();
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
            Ok(number::to_integer(&text).filter(|_| is_plain).map_or(Stored::Text(text), Stored::Integer))
        }
        other if cell.declared == Some(ValueType::Json) => Ok(Stored::Text(other.to_string())),
        other => Ok(Stored::Text(text_of(other))),
    }
}

fn does_not_fit(cell: &Cell, column: &ColumnSchema, more: &str) -> Failure {
    let value = shortened(&cell.value.to_string());
    let origin = if cell.origin.is_empty() { String::new() } else { format!(" from {}", cell.origin) };
    let declared = if column.declared.is_empty() { "of no type" } else { &column.declared };
    Failure::permanent(Step::Map, format!("column `{}` is {declared}; got {value}{origin}{more}", column.name))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

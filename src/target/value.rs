//! A value on its way into a column: the column's kind decides what becomes of it. Nothing is rounded, cut or guessed;
//! what does not fit fails with both sides named.

use base64::Engine as _;
use serde_json::Value as Json;

use crate::model::change::{Cell, ValueType};
use crate::model::failure::{Failure, Step};

use super::connection::Stored;
use super::inspect::{ColumnKind, ColumnSchema};
use super::{moment, number};

/// The longest piece of a value that a message shows, in characters.
const SHOWN: usize = 60;

/// What `column` keeps of a cell.
pub(super) fn convert(cell: &Cell, column: &ColumnSchema) -> Result<Stored, Failure> {
    if cell.value.is_null() {
        return Ok(Stored::Null);
    }
    match column.kind {
        ColumnKind::Text if cell.declared == Some(ValueType::Json) => Ok(Stored::Text(cell.value.to_string())),
        ColumnKind::Text => Ok(Stored::Text(text_of(&cell.value))),
        ColumnKind::Integer => integer(cell, column),
        ColumnKind::Boolean => boolean(cell, column),
        ColumnKind::Decimal => match scalar_text(&cell.value).filter(|text| number::is_number(text)) {
            Some(text) => Ok(Stored::Text(text)),
            None => Err(does_not_fit(cell, column, "")),
        },
        ColumnKind::Numeric => numeric(cell, column),
        ColumnKind::Real => match scalar_text(&cell.value).and_then(|text| number::to_float(&text)) {
            Some(float) => Ok(Stored::Real(float)),
            None => Err(does_not_fit(cell, column, "")),
        },
        ColumnKind::Date => spelled(cell, column, moment::to_date, "; a date is `YYYY-MM-DD`"),
        ColumnKind::Time => spelled(cell, column, moment::to_time, "; a time is `HH:MM:SS`"),
        ColumnKind::Timestamp => {
            spelled(cell, column, moment::to_timestamp, "; a moment is RFC 3339, other forms need `as: timestamp`")
        }
        ColumnKind::Uuid => spelled(cell, column, to_uuid, ""),
        ColumnKind::Json if column.converts_numbers && cell.value.is_number() => numeric(cell, column),
        ColumnKind::Json => Ok(Stored::Text(cell.value.to_string())),
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
    match number::to_integer(&text) {
        Some(integer) => Ok(Stored::Integer(integer)),
        None if number::is_whole(&text) => Err(does_not_fit(cell, column, ", which is more than 64 bits hold")),
        None => Err(does_not_fit(cell, column, "")),
    }
}

fn boolean(cell: &Cell, column: &ColumnSchema) -> Result<Stored, Failure> {
    let truth = match text_of(&cell.value).to_ascii_lowercase().as_str() {
        "true" | "1" => 1,
        "false" | "0" => 0,
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

fn spelled(cell: &Cell, column: &ColumnSchema, spell: fn(&str) -> Option<String>, hint: &str) -> Result<Stored, Failure> {
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

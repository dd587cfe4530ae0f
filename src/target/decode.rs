//! Texts that PostgreSQL and MySQL read back, in the form that `value` gives what is bound. SQLite's values need none of this.

use serde_json::Value as Json;

use super::dialect::{Dialect, Slot};
use super::inspect::ColumnKind;
use super::stored::Stored;

/// What a column holds, from what [`Dialect::read`] made of it.
pub(super) fn decode(dialect: Dialect, slot: &Slot, read: Stored) -> Stored {
    if dialect == Dialect::Sqlite {
        return read;
    }
    match (slot.kind, read) {
        (_, Stored::Null) => Stored::Null,
        (ColumnKind::Integer | ColumnKind::Boolean, Stored::Text(text)) => match text.as_str() {
            "true" => Stored::Integer(1),
            "false" => Stored::Integer(0),
            _ => text.parse().map_or(Stored::Text(text), Stored::Integer),
        },
        (ColumnKind::Real, Stored::Text(text)) => text.parse().map_or(Stored::Text(text), Stored::Real),
        (ColumnKind::Time, Stored::Text(text)) => Stored::Text(without_zeros(text)),
        (ColumnKind::Timestamp, Stored::Text(text)) => Stored::Text(moment(slot, &text)),
        (ColumnKind::Json | ColumnKind::List, Stored::Text(text)) => {
            Stored::Text(serde_json::from_str::<Json>(&text).map_or(text, |json| json.to_string()))
        }
        (ColumnKind::Bytes, Stored::Text(text)) => match text.strip_prefix("\\x").and_then(|digits| hex::decode(digits).ok()) {
            Some(bytes) => Stored::Bytes(bytes),
            None => Stored::Bytes(text.into_bytes()),
        },
        (_, other) => other,
    }
}

/// `2026-11-21 10:00:00.500000+00` is `2026-11-21T10:00:00.5Z`.
fn moment(slot: &Slot, text: &str) -> String {
    let local = without_zeros(text.strip_suffix("+00").unwrap_or(text).replacen(' ', "T", 1));
    if slot.zoned { format!("{local}Z") } else { local }
}

fn without_zeros(text: String) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

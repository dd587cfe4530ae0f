//! Rows of a database's catalogue, read by position.

use serde_json::Value as Json;

use super::stored::Stored;

/// A text that is always there.
pub(super) fn text(row: &[Stored], index: usize) -> String {
    optional(row, index).unwrap_or_default()
}

/// A text that may be NULL.
pub(super) fn optional(row: &[Stored], index: usize) -> Option<String> {
    row.get(index).cloned().and_then(Stored::into_text)
}

/// A whole number that may be NULL.
pub(super) fn number(row: &[Stored], index: usize) -> Option<i64> {
    match row.get(index)? {
        Stored::Integer(number) => Some(*number),
        other => other.clone().into_text()?.parse().ok(),
    }
}

/// A truth; NULL is false.
pub(super) fn flag(row: &[Stored], index: usize) -> bool {
    number(row, index).is_some_and(|number| number != 0)
}

/// The texts of a JSON list, what is not a text left out.
pub(super) fn texts(row: &[Stored], index: usize) -> Vec<String> {
    let list: Vec<Json> = optional(row, index).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    list.into_iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

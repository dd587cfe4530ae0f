//! Rows that a test expects against the rows that are there: exactly these, the named columns compared, in any order.

use std::str::FromStr as _;

use bigdecimal::BigDecimal;
use serde_json::{Map, Value as Json};

use crate::target::inspect::ColumnKind;

/// A row by column.
pub type Row = Map<String, Json>;

/// The longest text that is compared as a number.
const LONGEST_NUMBER: usize = 100;

/// How the rows of a table differ from what was expected.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDifference {
    /// The table.
    pub table: String,
    /// How many rows were expected.
    pub expected: usize,
    /// How many are there.
    pub found: usize,
    /// The columns that are shown, in order.
    pub columns: Vec<String>,
    /// Row by row.
    pub lines: Vec<Line>,
}

/// One row of a difference.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// It is there as expected.
    Same(Row),
    /// It is expected and nothing like it is there.
    Missing(Row),
    /// It is there and nothing like it is expected.
    Unexpected(Row),
    /// It is there with other values.
    Changed {
        /// As expected.
        expected: Row,
        /// As it is.
        found: Row,
        /// The columns that differ.
        columns: Vec<String>,
    },
}

/// The difference, if there is one. `kind` says what a column keeps.
pub fn compare(table: &str, expected: &[Row], found: &[Row], kind: impl Fn(&str) -> ColumnKind) -> Option<TableDifference> {
    let differing = |expected: &Row, found: &Row| -> Vec<String> {
        let differs =
            |(column, value): &(&String, &Json)| !found.get(*column).is_some_and(|found| is_same(value, found, kind(column)));
        expected.iter().filter(differs).map(|(column, _)| column.clone()).collect()
    };
    let partners = pair_all(expected, found, |expected, found| differing(expected, found).is_empty());
    if expected.len() == found.len() && partners.iter().all(Option::is_some) {
        return None;
    }
    let mut left: Vec<usize> = (0..found.len()).filter(|index| !partners.contains(&Some(*index))).collect();
    let mut lines = Vec::new();
    for (row, partner) in expected.iter().zip(&partners) {
        if let Some(index) = partner {
            lines.push(Line::Same(found[*index].clone()));
            continue;
        }
        // the one that has most in common is most likely the one that was meant
        let nearest = left.iter().enumerate().map(|(at, index)| (at, differing(row, &found[*index])));
        match nearest.filter(|(_, columns)| columns.len() < row.len()).min_by_key(|(_, columns)| columns.len()) {
            Some((at, columns)) => {
                let found = found[left.remove(at)].clone();
                lines.push(Line::Changed { expected: row.clone(), found, columns });
            }
            None => lines.push(Line::Missing(row.clone())),
        }
    }
    lines.extend(left.into_iter().map(|index| Line::Unexpected(found[index].clone())));
    let columns = shown_columns(expected, found);
    Some(TableDifference { table: table.to_owned(), expected: expected.len(), found: found.len(), columns, lines })
}

/// For each expected row the found one it is paired with, as many pairs as possible: a row that names few columns may fit
/// several, and must not take the only one that another fits.
fn pair_all(expected: &[Row], found: &[Row], fits: impl Fn(&Row, &Row) -> bool) -> Vec<Option<usize>> {
    let edges: Vec<Vec<usize>> =
        expected.iter().map(|row| (0..found.len()).filter(|index| fits(row, &found[*index])).collect()).collect();
    let mut taken_by: Vec<Option<usize>> = vec![None; found.len()];
    for row in 0..expected.len() {
        find_place(row, &edges, &mut taken_by, &mut vec![false; found.len()]);
    }
    (0..expected.len()).map(|row| taken_by.iter().position(|taken| *taken == Some(row))).collect()
}

fn find_place(row: usize, edges: &[Vec<usize>], taken_by: &mut [Option<usize>], tried: &mut [bool]) -> bool {
    for index in &edges[row] {
        if std::mem::replace(&mut tried[*index], true) {
            continue;
        }
        if taken_by[*index].is_none_or(|other| find_place(other, edges, taken_by, tried)) {
            taken_by[*index] = Some(row);
            return true;
        }
    }
    false
}

/// Whether an expected value is the one that is there. Numbers are compared as numbers except where the column keeps text.
fn is_same(expected: &Json, found: &Json, kind: ColumnKind) -> bool {
    if expected == found {
        return true;
    }
    if expected.is_null() || found.is_null() {
        return false;
    }
    let (left, right) = (text_of(expected), text_of(found));
    if left == right {
        return true;
    }
    match kind {
        ColumnKind::Text => false,
        ColumnKind::Json => {
            let parsed = |text: &str| serde_json::from_str::<Json>(text).ok();
            parsed(&left).is_some_and(|left| parsed(&right) == Some(left))
        }
        _ => number_of(&left).is_some_and(|left| number_of(&right) == Some(left)),
    }
}

fn number_of(text: &str) -> Option<BigDecimal> {
    let is_plain = text.len() <= LONGEST_NUMBER && !text.contains(['e', 'E']);
    if is_plain { BigDecimal::from_str(text).ok() } else { None }
}

/// A value as it is compared and shown.
pub fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The columns that the expected rows name, in the order of the table; all of them when none is named.
fn shown_columns(expected: &[Row], found: &[Row]) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    let named = |column: &str| expected.is_empty() || expected.iter().any(|row| row.contains_key(column));
    let all = found.first().into_iter().flat_map(Map::keys).chain(expected.iter().flat_map(Map::keys));
    for column in all.filter(|column| named(column)) {
        if !columns.contains(column) {
            columns.push(column.clone());
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(value: Json) -> Vec<Row> {
        let rows = value.as_array().expect("a list").iter();
        rows.map(|row| row.as_object().expect("a row").clone()).collect()
    }

    fn kind_of(column: &str) -> ColumnKind {
        match column {
            "text" => ColumnKind::Text,
            "json" => ColumnKind::Json,
            _ => ColumnKind::Decimal,
        }
    }

    fn difference(expected: Json, found: Json) -> Option<TableDifference> {
        compare("jobs", &rows(expected), &rows(found), kind_of)
    }

    #[test]
    fn order_and_unnamed_columns_do_not_matter() {
        let found = json!([{ "no": 2, "amount": "1.50" }, { "no": 1, "amount": null }]);
        assert_eq!(difference(json!([{ "no": 1 }, { "no": 2 }]), found), None);
    }

    #[test]
    fn numbers_are_equal_however_they_are_spelled_but_texts_are_not() {
        let number = |text: &str| text.parse::<serde_json::Number>().expect("a number");
        assert_eq!(difference(json!([{ "amount": number("3100.00") }]), json!([{ "amount": "3100.0" }])), None);
        assert_eq!(
            difference(json!([{ "amount": number("12345678901234567890.10") }]), json!([{ "amount": "12345678901234567890.1" }])),
            None
        );
        assert!(difference(json!([{ "amount": 0 }]), json!([{ "amount": null }])).is_some());
        assert!(difference(json!([{ "text": "7" }]), json!([{ "text": "007" }])).is_some());
        assert_eq!(difference(json!([{ "json": r#"{"a":1,"b":2}"# }]), json!([{ "json": r#"{"b":2,"a":1}"# }])), None);
    }

    #[test]
    fn a_row_that_fits_many_leaves_the_one_that_another_needs() {
        let expected = json!([{ "a": 1 }, { "a": 1, "b": 2 }]);
        assert_eq!(difference(expected.clone(), json!([{ "a": 1, "b": 2 }, { "a": 1, "b": 3 }])), None);
        assert_eq!(difference(expected, json!([{ "a": 1, "b": 3 }, { "a": 1, "b": 2 }])), None);
    }

    #[test]
    fn the_same_row_twice_is_two_rows() {
        assert!(difference(json!([{ "a": 1 }]), json!([{ "a": 1 }, { "a": 1 }])).is_some());
        assert!(difference(json!([{ "a": 1 }, { "a": 1 }]), json!([{ "a": 1 }])).is_some());
    }

    #[test]
    fn a_changed_row_stands_beside_the_one_that_was_meant() {
        let expected = json!([{ "no": 1, "amount": 5 }, { "no": 2, "amount": 6 }, { "no": 9, "amount": 1 }]);
        let found = json!([{ "no": 2, "amount": "7" }, { "no": 1, "amount": "5" }, { "no": 4, "amount": "4" }]);
        let difference = difference(expected, found).expect("a difference");
        let words: Vec<String> = difference
            .lines
            .iter()
            .map(|line| match line {
                Line::Same(row) => format!("same {}", row["no"]),
                Line::Missing(row) => format!("missing {}", row["no"]),
                Line::Unexpected(row) => format!("unexpected {}", row["no"]),
                Line::Changed { expected, columns, .. } => format!("changed {} {}", expected["no"], columns.join(" ")),
            })
            .collect();
        assert_eq!(words, ["same 1", "changed 2 amount", "missing 9", "unexpected 4"]);
        assert_eq!(difference.columns, ["no", "amount"]);
    }

    #[test]
    fn no_rows_means_no_rows() {
        assert_eq!(difference(json!([]), json!([])), None);
        let difference = difference(json!([]), json!([{ "no": 1 }])).expect("a difference");
        assert_eq!(difference.columns, ["no"]);
    }
}

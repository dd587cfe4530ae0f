//! SQL texts for one table, from its name and its columns' names alone: equal columns give equal text, so that prepared
//! statements are used again. Values come as parameters, in the order each function names.

use super::bind::Bound;
use super::dialect::Dialect;

/// A row with these columns. Parameters: the columns.
pub(super) fn insert(dialect: Dialect, table: &str, columns: &[Bound]) -> String {
    let into = dialect.insert_into();
    let table = dialect.quote_table(table);
    if columns.is_empty() {
        return format!("{into} {table} default values");
    }
    let names = listed(columns, |_, column| dialect.quote(&column.column));
    let values = listed(columns, |index, _| dialect.parameter(index + 1));
    format!("{into} {table} ({names}) values ({values})")
}

/// A row with these columns, or these values for the row that a unique index on exactly `key` finds; a conflict with any
/// other index stays an error. Parameters: `key`, then `set`.
pub(super) fn insert_or_update(dialect: Dialect, table: &str, key: &[Bound], set: &[Bound]) -> String {
    let all: Vec<_> = key.iter().chain(set).cloned().collect();
    let insert = insert(dialect, table, &all);
    let target = listed(key, |_, column| dialect.quote(&column.column));
    if set.is_empty() {
        return format!("{insert} on conflict ({target}) do nothing");
    }
    let values = listed(set, |index, column| assignment(dialect, column, key.len() + index));
    format!("{insert} on conflict ({target}) do update set {values}")
}

/// For each row that `key` finds, whether it has the values of `set` already. Parameters: `key`, then `set`.
pub(super) fn find_same(dialect: Dialect, table: &str, key: &[Bound], set: &[Bound]) -> String {
    let same = all_same(dialect, set, key.len());
    format!("select {same} from {} where {}", dialect.quote_table(table), all_equal(dialect, key))
}

/// New values for the rows that `key` finds and that have others. Parameters: `key`, then `set`.
pub(super) fn update_differing(dialect: Dialect, table: &str, key: &[Bound], set: &[Bound]) -> String {
    let update = dialect.update();
    let values = listed(set, |index, column| assignment(dialect, column, key.len() + index));
    let (found, same) = (all_equal(dialect, key), all_same(dialect, set, key.len()));
    format!("{update} {} set {values} where {found} and not ({same})", dialect.quote_table(table))
}

/// New values for the rows of a parent with exactly this key. Parameters: `parent`, `key`, `set`.
pub(super) fn update_of(dialect: Dialect, table: &str, parent: &[Bound], key: &[Bound], set: &[Bound]) -> String {
    let update = dialect.update();
    let values = listed(set, |index, column| assignment(dialect, column, parent.len() + key.len() + index));
    let (of, same) = (all_equal(dialect, parent), all_same(dialect, key, parent.len()));
    format!("{update} {} set {values} where {of} and {same}", dialect.quote_table(table))
}

/// The rows that `key` finds go. Parameters: `key`.
pub(super) fn delete(dialect: Dialect, table: &str, key: &[Bound]) -> String {
    format!("delete from {} where {}", dialect.quote_table(table), all_equal(dialect, key))
}

/// The rows of a parent with exactly this key go, NULLs in it included. Parameters: `parent`, `key`.
pub(super) fn delete_of(dialect: Dialect, table: &str, parent: &[Bound], key: &[Bound]) -> String {
    let (of, same) = (all_equal(dialect, parent), all_same(dialect, key, parent.len()));
    format!("delete from {} where {of} and {same}", dialect.quote_table(table))
}

/// These columns of the rows that `key` finds. Parameters: `key`.
pub(super) fn select(dialect: Dialect, table: &str, columns: &[String], key: &[Bound]) -> String {
    let names: Vec<_> = columns.iter().map(|column| dialect.quote(column)).collect();
    let names = if names.is_empty() { "1".to_owned() } else { names.join(", ") };
    format!("select {names} from {} where {}", dialect.quote_table(table), all_equal(dialect, key))
}

/// These columns of all rows, ordered by others.
pub(super) fn select_all(dialect: Dialect, table: &str, columns: &[String], order: &[String]) -> String {
    let quoted = |names: &[String]| names.iter().map(|name| dialect.quote(name)).collect::<Vec<_>>().join(", ");
    let order = if order.is_empty() { String::new() } else { format!(" order by {}", quoted(order)) };
    format!("select {} from {}{order}", quoted(columns), dialect.quote_table(table))
}

fn listed(columns: &[Bound], write: impl Fn(usize, &Bound) -> String) -> String {
    columns.iter().enumerate().map(|(index, column)| write(index, column)).collect::<Vec<_>>().join(", ")
}

fn assignment(dialect: Dialect, column: &Bound, index: usize) -> String {
    format!("{} = {}", dialect.quote(&column.column), dialect.parameter(index + 1))
}

fn all_equal(dialect: Dialect, key: &[Bound]) -> String {
    conditions(key, |index, column| assignment(dialect, column, index))
}

fn all_same(dialect: Dialect, columns: &[Bound], offset: usize) -> String {
    let same = |index, column: &Bound| dialect.same(&dialect.quote(&column.column), &dialect.parameter(offset + index + 1));
    conditions(columns, same)
}

fn conditions(columns: &[Bound], write: impl Fn(usize, &Bound) -> String) -> String {
    let conditions: Vec<_> = columns.iter().enumerate().map(|(index, column)| write(index, column)).collect();
    if conditions.is_empty() { "1 = 1".to_owned() } else { conditions.join(" and ") }
}

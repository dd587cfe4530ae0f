//! Many rows in one statement. SQLite is given them as `values`, in few sizes, so that the statements stay prepared; PostgreSQL
//! as one array a column, so that any number is one statement and one round trip.

use sqlx::{AssertSqlSafe, SqlSafeStr as _};

use super::column::Row;
use super::connection::Connection;
use super::query::{Texts, fetch, run};
use super::value::Value;
use crate::store::error::StoreError;

/// The most rows of a statement of SQLite.
const MOST_ROWS: usize = 64;
/// Any number up to this has a statement of its own; from there on, multiples of it. So a number of rows is a sum of two, but for
/// the largest, and few enough statements have to be kept prepared.
const STEP: usize = 8;

/// A statement around rows that are given to it: `before`, the rows, `after`.
pub(crate) struct Many {
    before: Texts,
    after: Texts,
}

impl Many {
    /// Such a statement.
    pub(crate) fn new(before: impl Into<Texts>, after: impl Into<Texts>) -> Self {
        Self { before: before.into(), after: after.into() }
    }

    /// Runs it for all rows.
    pub(crate) async fn execute<T, const N: usize>(
        &self,
        connection: &mut Connection,
        rows: &[T],
        mut values: impl FnMut(&T) -> [Value; N],
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        if let Connection::Postgres(_) = connection {
            let (text, columns) = self.of_arrays(rows, values);
            return connection.execute_columns(text, columns).await;
        }
        for piece in pieces(rows) {
            let (text, given) = self.of_values(piece, &mut values);
            run(connection, text, given).await?;
        }
        Ok(())
    }

    /// Runs it for all rows and collects what it returns.
    pub(crate) async fn fetch_all<T, const N: usize>(
        &self,
        connection: &mut Connection,
        rows: &[T],
        mut values: impl FnMut(&T) -> [Value; N],
    ) -> Result<Vec<Row>, StoreError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        if let Connection::Postgres(_) = connection {
            let (text, columns) = self.of_arrays(rows, values);
            return connection.fetch_columns(text, columns).await;
        }
        let mut returned = Vec::with_capacity(rows.len());
        for piece in pieces(rows) {
            let (text, given) = self.of_values(piece, &mut values);
            returned.extend(fetch(connection, AssertSqlSafe(text).into_sql_str(), given).await?);
        }
        Ok(returned)
    }

    fn of_values<T, const N: usize>(&self, piece: &[T], values: impl FnMut(&T) -> [Value; N]) -> (String, Vec<Value>) {
        let row = format!("({})", vec!["?"; N].join(", "));
        let rows = vec![row.as_str(); piece.len()].join(", ");
        let text = format!("{}values {rows}{}", self.before.sqlite, self.after.sqlite);
        (text, piece.iter().flat_map(values).collect())
    }

    fn of_arrays<T, const N: usize>(&self, rows: &[T], mut values: impl FnMut(&T) -> [Value; N]) -> (String, Vec<Array>) {
        let mut columns: Vec<Array> = Vec::with_capacity(N);
        for row in rows {
            for (number, value) in values(row).into_iter().enumerate() {
                match columns.get_mut(number) {
                    Some(column) => column.push(value),
                    None => columns.push(Array::of(value, rows.len())),
                }
            }
        }
        let places: Vec<String> = (1..=N).map(|number| format!("${number}")).collect();
        let text = format!("{}select * from unnest({}){}", self.before.postgres, places.join(", "), self.after.postgres);
        (text, columns)
    }
}

/// A column of many rows. All of its values are of one kind, since each comes from the same place in the code.
pub(super) enum Array {
    Integers(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

impl Array {
    fn of(first: Value, length: usize) -> Self {
        let mut array = match &first {
            Value::Integer(_) | Value::Integers(_) => Self::Integers(Vec::with_capacity(length)),
            Value::Text(_) => Self::Texts(Vec::with_capacity(length)),
            Value::Bytes(_) => Self::Bytes(Vec::with_capacity(length)),
        };
        array.push(first);
        array
    }

    fn push(&mut self, value: Value) {
        match (self, value) {
            (Self::Integers(column), Value::Integer(value)) => column.push(value),
            (Self::Texts(column), Value::Text(value)) => column.push(value),
            (Self::Bytes(column), Value::Bytes(value)) => column.push(value),
            _ => unreachable!("the values of a column come from one place in the code and are of one kind"),
        }
    }
}

/// `rows` in pieces whose lengths are among a few.
fn pieces<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let size = match rest.len() {
            0 => return None,
            few if few < STEP => few,
            many => many.min(MOST_ROWS) / STEP * STEP,
        };
        let (piece, after) = rest.split_at(size);
        rest = after;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hold_every_row_once_and_in_order() {
        let rows: Vec<usize> = (0..215).collect();
        let lengths: Vec<usize> = pieces(&rows).map(<[usize]>::len).collect();
        assert_eq!(pieces(&rows).flatten().copied().collect::<Vec<_>>(), rows);
        assert_eq!(lengths, [64, 64, 64, 16, 7]);
    }
}

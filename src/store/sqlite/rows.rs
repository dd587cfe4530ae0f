//! Many rows in one statement, in few sizes, so that the statements stay prepared.

use std::time::Duration;

use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::clock::Timestamp;
use crate::store::error::StoreError;

/// Sizes of a multi-row statement; every number of rows is a sum of a few of them.
const SIZES: [usize; 4] = [64, 16, 4, 1];

/// `rows` in pieces whose lengths are among a few.
pub(crate) fn pieces<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rest.len())?;
        let (piece, after) = rest.split_at(size);
        rest = after;
        Some(piece)
    })
}

/// `before values (…), (…) after` for one piece.
pub(crate) fn statement<T>(
    before: &'static str,
    piece: &[T],
    after: &'static str,
    bind: impl FnMut(Separated<'_, Sqlite, &'static str>, &T),
) -> QueryBuilder<Sqlite> {
    let mut builder = QueryBuilder::new(before);
    builder.push_values(piece, bind);
    builder.push(after);
    builder
}

/// Runs `before values (…), (…) after` for all rows, a piece at a time.
pub(crate) async fn execute<T>(
    connection: &mut SqliteConnection,
    before: &'static str,
    rows: &[T],
    after: &'static str,
    mut bind: impl FnMut(Separated<'_, Sqlite, &'static str>, &T),
) -> Result<(), StoreError> {
    for piece in pieces(rows) {
        statement(before, piece, after, &mut bind).build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// Whole microseconds, as columns hold them.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A column of microseconds as a moment.
pub(crate) fn moment(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// A blob column whose length is fixed.
pub(crate) fn fixed<const N: usize>(blob: &[u8], what: &str) -> Result<[u8; N], StoreError> {
    blob.try_into().map_err(|_| StoreError::Damaged(format!("{what} has {} bytes, expected {N}", blob.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hold_every_row_once_and_in_order() {
        let rows: Vec<usize> = (0..215).collect();
        let lengths: Vec<usize> = pieces(&rows).map(<[usize]>::len).collect();
        assert_eq!(pieces(&rows).flatten().copied().collect::<Vec<_>>(), rows);
        assert_eq!(lengths, [64, 64, 64, 16, 4, 1, 1, 1]);
    }
}

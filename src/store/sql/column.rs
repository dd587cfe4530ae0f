//! Rows and what is read from them by name.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Postgres, Row as _, Sqlite, Type};

use crate::clock::Timestamp;
use crate::store::error::StoreError;

/// A row of either engine.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// What a column can be read as.
pub(crate) trait Column<'r>: Sized {
    fn read(row: &'r Row, name: &str) -> Result<Self, sqlx::Error>;
}

impl Row {
    /// The column of that name.
    pub(crate) fn get<'r, T: Column<'r>>(&'r self, name: &str) -> Result<T, StoreError> {
        Ok(T::read(self, name)?)
    }

    fn native<'r, T>(&'r self, name: &str) -> Result<T, sqlx::Error>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(name),
            Self::Postgres(row) => row.try_get(name),
        }
    }
}

macro_rules! native {
    ($($type:ty),*) => {
        $(impl<'r> Column<'r> for $type {
            fn read(row: &'r Row, name: &str) -> Result<Self, sqlx::Error> {
                row.native(name)
            }
        }
        impl<'r> Column<'r> for Option<$type> {
            fn read(row: &'r Row, name: &str) -> Result<Self, sqlx::Error> {
                row.native(name)
            }
        })*
    };
}
native!(i64, bool, String, &'r str, Vec<u8>, &'r [u8]);

impl Column<'_> for u32 {
    fn read(row: &Row, name: &str) -> Result<Self, sqlx::Error> {
        let number: i64 = row.native(name)?;
        Self::try_from(number).map_err(|error| sqlx::Error::ColumnDecode { index: name.to_owned(), source: Box::new(error) })
    }
}

/// Whole microseconds, as columns hold them.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A column of microseconds as a moment.
pub(crate) fn moment(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// A column of bytes whose length is fixed.
pub(crate) fn fixed<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Damaged(format!("{what} has {} bytes, expected {N}", bytes.len())))
}

//! The schema and its migrations, run in order when the state is opened, each in its own transaction with its number.

use sqlx::{Connection, SqliteConnection};
use uuid::Uuid;

use crate::store::error::StoreError;

/// The migrations; the first brings the state to schema 1.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001.sql")];

/// Brings the state to the newest schema.
pub(crate) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let found = version(connection).await?;
    let known = i64::try_from(MIGRATIONS.len()).expect("a handful");
    if found > known {
        return Err(StoreError::NewerSchema { found, known });
    }
    for (number, migration) in (1i64..).zip(MIGRATIONS) {
        if number <= found {
            continue;
        }
        let mut transaction = connection.begin_with("begin immediate").await?;
        sqlx::raw_sql(migration).execute(&mut *transaction).await?;
        write_version(&mut transaction, number).await?;
        transaction.commit().await?;
    }
    Ok(())
}

async fn version(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    let tables: i64 =
        sqlx::query_scalar("select count(*) from sqlite_schema where name = 'meta'").fetch_one(&mut *connection).await?;
    if tables == 0 {
        return Ok(0);
    }
    Ok(sqlx::query_scalar("select schema from meta").fetch_optional(connection).await?.unwrap_or(0))
}

async fn write_version(connection: &mut SqliteConnection, version: i64) -> Result<(), StoreError> {
    let sql = "insert into meta (only_row, state_id, schema, min_binary) values (1, ?1, ?2, ?2)
        on conflict (only_row) do update set schema = excluded.schema, min_binary = excluded.min_binary";
    sqlx::query(sql).bind(Uuid::new_v4().as_bytes().to_vec()).bind(version).execute(connection).await?;
    Ok(())
}

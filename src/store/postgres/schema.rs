//! The schema and its migrations. Whoever starts first migrates, the others wait for it; each migration commits with its number.
//! They add before they take away, so that instances of the version before go on meanwhile: `meta.min_binary` says how old these
//! may be.

use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use uuid::Uuid;

use crate::store::error::StoreError;

/// The migrations, each with the number of the oldest schema whose programs can work beside it.
const MIGRATIONS: [(&str, i64); 1] = [(include_str!("migrations/0001.sql"), 1)];
/// The advisory lock that openers of a state take; any number that nobody else is likely to have.
const LOCK: i64 = 0x0686_f6f6_b746_1626;

/// Waits until nobody else opens the state, and keeps it so until [`unlock`].
pub(super) async fn lock(connection: &mut PgConnection) -> Result<(), StoreError> {
    // another one may migrate for longer than a statement of ours usually takes
    connection.execute(sqlx::raw_sql("set statement_timeout = 0")).await?;
    sqlx::query("select pg_advisory_lock($1)").bind(LOCK).execute(connection).await?;
    Ok(())
}

/// Lets others open the state.
pub(super) async fn unlock(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("select pg_advisory_unlock($1)").bind(LOCK).execute(connection).await?;
    Ok(())
}

/// Brings the state to the newest schema, or leaves a newer one as it is when this program can work beside it.
pub(super) async fn migrate(connection: &mut PgConnection) -> Result<(), StoreError> {
    let (found, min_binary) = version(connection).await?;
    let known = i64::try_from(MIGRATIONS.len()).expect("a handful");
    if min_binary > known {
        return Err(StoreError::NewerSchema { found, known });
    }
    for (number, (migration, min_binary)) in (1i64..).zip(MIGRATIONS) {
        if number <= found {
            continue;
        }
        let mut transaction = connection.begin().await?;
        transaction.execute(sqlx::raw_sql(migration)).await?;
        let sql = "insert into meta (only_row, state_id, schema, min_binary) values (1, $1, $2, $3)
            on conflict (only_row) do update set schema = excluded.schema, min_binary = excluded.min_binary";
        let state_id = Uuid::new_v4().as_bytes().to_vec();
        sqlx::query(sql).bind(state_id).bind(number).bind(min_binary).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    Ok(())
}

/// How far the schema has come, and what a program must know to work with it.
async fn version(connection: &mut PgConnection) -> Result<(i64, i64), StoreError> {
    let found: Option<String> = connection.fetch_one("select to_regclass('meta')::text as found").await?.try_get("found")?;
    if found.is_none() {
        return Ok((0, 0));
    }
    let row = connection.fetch_optional("select schema, min_binary from meta").await?;
    row.map_or(Ok((0, 0)), |row| Ok((row.try_get("schema")?, row.try_get("min_binary")?)))
}

//! The file gives back the pages that hold nothing any more, a few at a time, when there are many of them. A server does that by itself.

use crate::store::error::StoreError;
use crate::store::sql::{Connection, query};
use crate::store::state::Store;

/// Pages that one step gives back; the statement below says the same.
const AT_A_TIME: i64 = 256;
/// So many free pages are left for what comes next, and one in so many of all.
const LEFT: i64 = 256;
const LEFT_OF_ALL: i64 = 20;

/// Gives some back; says how many, which is none when few are free.
pub(super) async fn give_back_some(store: &Store) -> Result<u64, StoreError> {
    if store.is_shared() {
        return Ok(0);
    }
    let (free, all) = pages(store).await?;
    if free < AT_A_TIME + LEFT.max(all / LEFT_OF_ALL) {
        return Ok(0);
    }
    store.writer().run(|connection, _| Box::pin(vacuum(connection))).await?;
    let (left, _) = pages(store).await?;
    Ok(u64::try_from(free - left).unwrap_or(0))
}

async fn pages(store: &Store) -> Result<(i64, i64), StoreError> {
    let sql = "select freelist_count, page_count from pragma_freelist_count, pragma_page_count";
    let row = store.read_first(query(sql)).await?.ok_or(StoreError::Closed)?;
    Ok((row.get("freelist_count")?, row.get("page_count")?))
}

async fn vacuum(connection: &mut Connection) -> Result<(), StoreError> {
    connection.run("pragma incremental_vacuum(256)").await
}

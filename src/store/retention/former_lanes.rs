//! What was kept of lanes that are gone goes when no record is left that a replay could put before what they did last.

use crate::store::error::StoreError;
use crate::store::sql::{Connection, Many, query, values};
use crate::store::state::Store;

/// The most that one step looks at.
const AT_A_TIME: i64 = 500;

/// Removes some of those behind a hash; says where the next step begins, if there may be more.
pub(super) async fn remove_some(store: &Store, after: Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> {
    // a dead record stays for ever if nobody decides, so it holds only what is of its own source
    let sql = "with dead (source, oldest) as (select p.source, min(coalesce(r.first_run, r.id)) from record r
                join pool p on p.pool_id = r.pool_id where r.state = 4 group by p.source),
            other (oldest) as (select id from record where state <> 4 order by id limit 1)
        select f.hash, f.done_record, (select oldest from other) is null or f.done_record < (select oldest from other) as is_old,
            dead.oldest is not null and dead.oldest < f.done_record as is_held
        from (select hash, pool_id, done_record from former_lane where hash > $1 order by hash limit $2) f
        join pool p on p.pool_id = f.pool_id left join dead on dead.source = p.source order by f.hash";
    let mut gone = Vec::new();
    let mut next = None;
    for row in store.read(query(sql).bind(after).bind(AT_A_TIME)).await? {
        let hash: Vec<u8> = row.get("hash")?;
        next = Some(hash.clone());
        if row.get::<bool>("is_old")? && !row.get::<bool>("is_held")? {
            gone.push((hash, row.get::<i64>("done_record")?));
        }
    }
    if !gone.is_empty() {
        store.writer().run(move |connection, _| Box::pin(delete(connection, gone))).await?;
    }
    Ok(next)
}

/// One that was written to since it was looked at stays.
async fn delete(connection: &mut Connection, gone: Vec<(Vec<u8>, i64)>) -> Result<(), StoreError> {
    let statement = Many::new("delete from former_lane where (hash, done_record) in (", ")");
    statement.execute(connection, &gone, |(hash, done_record)| values![hash, *done_record]).await
}

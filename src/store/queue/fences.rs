//! Fences come from one row or sequence for all lanes, and only rise.

use crate::store::error::StoreError;
use crate::store::sql::{Connection, query};

/// Makes those that come next higher than `highest`; whether they were not.
pub(crate) async fn raise(connection: &mut Connection, highest: i64) -> Result<bool, StoreError> {
    if !connection.is_shared() {
        let sql = "update counter set value = $1 where name = 'fence' and value < $1";
        return Ok(query(sql).bind(highest).execute(connection).await? == 1);
    }
    // sequences know no transactions: two processes that raise it at once must not lower it
    query("select topic from control where topic = 'sweep' for update").fetch_all(connection).await?;
    let sql = "select setval('fence', $1) as value where (select last_value from fence) < $1";
    Ok(query(sql).bind(highest).fetch_optional(connection).await?.is_some())
}

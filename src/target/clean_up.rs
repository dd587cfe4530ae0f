//! What our tables beside the user's have held long enough goes, in small steps, in the order of their keys: marks of records that cannot
//! run again, fences of lanes that nobody holds, versions that no late record can meet.

use crate::clock::Timestamp;
use crate::model::failure::Failure;

use super::connection::Connection;
use super::database::Database;
use super::dialect::Dialect;
use super::marks::moment;
use super::statement::Sql;
use super::stored::Stored;

/// How many rows one step looks at.
const AT_A_TIME: u32 = 1000;

/// Our tables, and the column that their rows are found by.
const TABLES: [(&str, &str); 3] = [("hooktable_applied", "mark"), ("hooktable_lane", "lane"), ("hooktable_version", "row_hash")];

/// A walk through our tables of one database.
pub struct CleanUp {
    before: Timestamp,
    table: usize,
    /// The key of the last row that was looked at.
    after: Vec<u8>,
    at_a_time: u32,
    removed: u64,
}

impl CleanUp {
    /// Of all that was last written before a moment.
    pub fn before(moment: Timestamp) -> Self {
        Self { before: moment, table: 0, after: Vec::new(), at_a_time: AT_A_TIME, removed: 0 }
    }

    /// How many rows are gone.
    pub fn removed(&self) -> u64 {
        self.removed
    }

    /// Looks at the next rows in one short transaction; says whether there may be more.
    pub async fn step(&mut self, database: &Database) -> Result<bool, Failure> {
        let Some((table, key)) = TABLES.get(self.table) else { return Ok(false) };
        let (after, before, at_a_time) = (self.after.clone(), self.before, self.at_a_time);
        let walked = database.writing(async |connection| {
            let failed = |error: sqlx::Error| database.failure(&error);
            let last = last_of_step(connection, table, key, &after, at_a_time).await.map_err(failed)?;
            let removed = remove(connection, table, key, (&after, last.as_deref()), before).await.map_err(failed)?;
            Ok((last, removed))
        });
        let (last, removed) = walked.await?;
        self.removed += removed;
        match last {
            Some(last) => self.after = last,
            None => {
                self.after = Vec::new();
                self.table += 1;
            }
        }
        Ok(self.table < TABLES.len())
    }

    #[cfg(test)]
    pub(super) fn in_steps_of(self, at_a_time: u32) -> Self {
        Self { at_a_time, ..self }
    }
}

/// The key that a step ends with; none when it is the last one.
async fn last_of_step(
    connection: &mut Connection,
    table: &str,
    key: &str,
    after: &[u8],
    at_a_time: u32,
) -> sqlx::Result<Option<Vec<u8>>> {
    let dialect = connection.dialect();
    let behind = bytes(dialect, 1);
    let sql = format!("select {key} from {table} where {key} > {behind} order by {key} limit 1 offset {}", at_a_time.max(1) - 1);
    let rows = connection.fetch(&Sql::with_parameters(&sql, 1), vec![Stored::Bytes(after.to_vec())]).await?;
    Ok(rows.into_iter().flatten().next().and_then(|key| match key {
        Stored::Bytes(bytes) => Some(bytes),
        _ => None,
    }))
}

async fn remove(
    connection: &mut Connection,
    table: &str,
    key: &str,
    (after, last): (&[u8], Option<&[u8]>),
    before: Timestamp,
) -> sqlx::Result<u64> {
    let dialect = connection.dialect();
    let at = match dialect {
        Dialect::Postgres => format!("{}::text::timestamptz", dialect.parameter(2)),
        Dialect::Sqlite | Dialect::Mysql => dialect.parameter(2),
    };
    let mut sql = format!("delete from {table} where {key} > {} and at < {at}", bytes(dialect, 1));
    let mut values = vec![Stored::Bytes(after.to_vec()), moment(dialect, before)];
    if let Some(last) = last {
        sql.push_str(&format!(" and {key} <= {}", bytes(dialect, 3)));
        values.push(Stored::Bytes(last.to_vec()));
    }
    connection.execute(&Sql::with_parameters(&sql, values.len()), values).await
}

fn bytes(dialect: Dialect, position: usize) -> String {
    match dialect {
        Dialect::Postgres => format!("{}::text::bytea", dialect.parameter(position)),
        Dialect::Sqlite | Dialect::Mysql => dialect.parameter(position),
    }
}

//! What makes a unit take effect once and in its turn: the mark that it was applied, and the fence of its lane.

use crate::clock::Timestamp;

use super::connection::Connection;
use super::dialect::Dialect;
use super::statement::Sql;
use super::stored::Stored;

/// Whether a unit has been applied.
pub(super) async fn is_marked(connection: &mut Connection, mark: [u8; 32]) -> sqlx::Result<bool> {
    let sql = match connection.dialect() {
        Dialect::Sqlite => "select 1 from hooktable_applied where mark = ?1",
        Dialect::Postgres => "select 1 from hooktable_applied where mark = $1::text::bytea",
        Dialect::Mysql => "select 1 from hooktable_applied where mark = ?",
    };
    let rows = connection.fetch(&Sql::with_parameters(sql, 1), vec![Stored::Bytes(mark.to_vec())]).await?;
    Ok(!rows.is_empty())
}

/// Marks a unit; false when it is marked already. Two that try at once wait for each other.
pub(super) async fn insert_mark(connection: &mut Connection, mark: [u8; 32], now: Timestamp) -> sqlx::Result<bool> {
    let dialect = connection.dialect();
    let sql = match dialect {
        Dialect::Sqlite => "insert into hooktable_applied (mark, at) values (?1, ?2) on conflict (mark) do nothing",
        Dialect::Postgres => {
            "insert into hooktable_applied (mark, at) values ($1::text::bytea, $2::text::timestamptz) on conflict (mark) do nothing"
        }
        Dialect::Mysql => "insert ignore into hooktable_applied (mark, at) values (?, ?)",
    };
    let values = vec![Stored::Bytes(mark.to_vec()), moment(dialect, now)];
    connection.execute(&Sql::with_parameters(sql, 2), values).await.map(|inserted| inserted == 1)
}

/// The highest fence of all lanes; 0 when there is none.
pub(super) async fn highest_fence(connection: &mut Connection) -> sqlx::Result<i64> {
    let sql = match connection.dialect() {
        Dialect::Sqlite | Dialect::Mysql => "select max(fence) from hooktable_lane",
        Dialect::Postgres => "select max(fence)::text from hooktable_lane",
    };
    let rows = connection.fetch(&Sql::with_parameters(sql, 0), Vec::new()).await?;
    Ok(match rows.first().and_then(|row| row.first()) {
        Some(Stored::Integer(fence)) => *fence,
        Some(Stored::Text(fence)) => fence.parse().unwrap_or(0),
        _ => 0,
    })
}

/// Raises the fence of a lane; false when a later lease has a higher one.
pub(super) async fn raise_fence(connection: &mut Connection, lane: [u8; 16], fence: i64, now: Timestamp) -> sqlx::Result<bool> {
    let dialect = connection.dialect();
    let sql = match dialect {
        Dialect::Sqlite => {
            "insert into hooktable_lane (lane, fence, at) values (?1, ?2, ?3)
             on conflict (lane) do update set fence = excluded.fence, at = excluded.at
             where hooktable_lane.fence <= excluded.fence"
        }
        Dialect::Postgres => {
            "insert into hooktable_lane (lane, fence, at) values ($1::text::bytea, $2::text::bigint, $3::text::timestamptz)
             on conflict (lane) do update set fence = excluded.fence, at = excluded.at
             where hooktable_lane.fence <= excluded.fence"
        }
        Dialect::Mysql => {
            "insert into hooktable_lane (lane, fence, at) values (?, ?, ?)
             on duplicate key update at = if(fence <= values(fence), values(at), at), fence = greatest(fence, values(fence))"
        }
    };
    let values = vec![Stored::Bytes(lane.to_vec()), Stored::Integer(fence), moment(dialect, now)];
    let raised = connection.execute(&Sql::with_parameters(sql, 3), values).await?;
    if dialect != Dialect::Mysql {
        return Ok(raised == 1);
    }
    // MySQL's upsert takes no condition, so the higher of the two is there now
    let sql = Sql::with_parameters("select fence from hooktable_lane where lane = ?", 1);
    let rows = connection.fetch(&sql, vec![Stored::Bytes(lane.to_vec())]).await?;
    Ok(rows.first().and_then(|row| row.first()) == Some(&Stored::Integer(fence)))
}

/// A moment as our own tables take it.
pub(super) fn moment(dialect: Dialect, moment: Timestamp) -> Stored {
    let text = moment.to_string();
    match dialect {
        Dialect::Sqlite | Dialect::Postgres => Stored::Text(text),
        Dialect::Mysql => Stored::Text(text.trim_end_matches('Z').replacen('T', " ", 1)),
    }
}

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

/// What a unit finds when it comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entrance {
    /// It is marked now, and its lane's fence is raised.
    Open,
    /// It was marked before.
    Marked,
    /// A later lease has raised the fence higher.
    Fenced,
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

/// Marks a unit and raises the fence of its lane. Two that try at once wait for each other.
pub(super) async fn enter(
    connection: &mut Connection,
    mark: [u8; 32],
    lane: [u8; 16],
    fence: i64,
    now: Timestamp,
) -> sqlx::Result<Entrance> {
    let dialect = connection.dialect();
    let (mark, lane, fence) = (Stored::Bytes(mark.to_vec()), Stored::Bytes(lane.to_vec()), Stored::Integer(fence));
    let now = moment(dialect, now);
    if dialect == Dialect::Postgres {
        return enter_at_once(connection, vec![mark, lane, fence, now]).await;
    }
    let sql = match dialect {
        Dialect::Sqlite => "insert into hooktable_applied (mark, at) values (?1, ?2) on conflict (mark) do nothing",
        _ => "insert ignore into hooktable_applied (mark, at) values (?, ?)",
    };
    if connection.execute(&Sql::with_parameters(sql, 2), vec![mark, now.clone()]).await? != 1 {
        return Ok(Entrance::Marked);
    }
    let raised = raise(connection, lane, fence, now).await?;
    Ok(if raised { Entrance::Open } else { Entrance::Fenced })
}

/// Raises the fence of a further lane of a unit that has entered; false when a later lease has a higher one.
pub(super) async fn raise_further(connection: &mut Connection, lane: [u8; 16], fence: i64, now: Timestamp) -> sqlx::Result<bool> {
    let now = moment(connection.dialect(), now);
    raise(connection, Stored::Bytes(lane.to_vec()), Stored::Integer(fence), now).await
}

async fn raise(connection: &mut Connection, lane: Stored, fence: Stored, now: Stored) -> sqlx::Result<bool> {
    let sql = match connection.dialect() {
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
        Dialect::Mysql => return raise_and_tell(connection, lane, fence, now).await,
    };
    Ok(connection.execute(&Sql::with_parameters(sql, 3), vec![lane, fence, now]).await? == 1)
}

/// Both in one statement, which is one journey to the server.
async fn enter_at_once(connection: &mut Connection, values: Vec<Stored>) -> sqlx::Result<Entrance> {
    let sql = "with marked as (
                 insert into hooktable_applied (mark, at) values ($1::text::bytea, $4::text::timestamptz)
                 on conflict (mark) do nothing returning 1),
               raised as (
                 insert into hooktable_lane (lane, fence, at)
                 select $2::text::bytea, $3::text::bigint, $4::text::timestamptz from marked
                 on conflict (lane) do update set fence = excluded.fence, at = excluded.at
                 where hooktable_lane.fence <= excluded.fence returning 1)
               select (select count(*) from marked), (select count(*) from raised)";
    let rows = connection.fetch(&Sql::with_parameters(sql, 4), values).await?;
    Ok(match rows.first().map(Vec::as_slice) {
        Some([Stored::Integer(0), _]) => Entrance::Marked,
        Some([_, Stored::Integer(0)]) => Entrance::Fenced,
        _ => Entrance::Open,
    })
}

/// MySQL's upsert takes no condition, and counts a lane that is left as it is like one that is new: a higher fence tells by itself.
async fn raise_and_tell(connection: &mut Connection, lane: Stored, fence: Stored, now: Stored) -> sqlx::Result<bool> {
    let sql = "insert into hooktable_lane (lane, fence, at) values (?, ?, ?) on duplicate key update
               at = if(fence <= values(fence), values(at), at),
               fence = if(fence <= values(fence), values(fence), last_insert_id(fence))";
    let higher = connection.execute_and_hear(&Sql::with_parameters(sql, 3), vec![lane, fence, now]).await?;
    Ok(higher == 0)
}

/// A moment as our own tables take it.
pub(super) fn moment(dialect: Dialect, moment: Timestamp) -> Stored {
    let text = moment.to_string();
    match dialect {
        Dialect::Sqlite | Dialect::Postgres => Stored::Text(text),
        Dialect::Mysql => Stored::Text(text.trim_end_matches('Z').replacen('T', " ", 1)),
    }
}

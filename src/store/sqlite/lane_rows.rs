//! Records arriving in lanes: the one statement that makes lanes, gives out positions and says when their work is due.

use std::collections::HashMap;

use sqlx::{Row, SqliteConnection};

use super::rows::{fixed, micros, pieces, statement};
use crate::clock::Timestamp;
use crate::store::error::StoreError;
use crate::store::intake_form::PreparedLane;

/// Where the records of one arrival go: the lane's row and the first free position.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) lane_id: i64,
    pub(crate) next_position: i64,
}

/// Makes room for the records of these lanes (one entry a record, in order) and returns each lane's row and first position.
pub(crate) async fn enqueue(
    connection: &mut SqliteConnection,
    lanes: &[&PreparedLane],
    now: Timestamp,
) -> Result<HashMap<[u8; 16], Arrival>, StoreError> {
    let mut folded: HashMap<[u8; 16], (&PreparedLane, i64)> = HashMap::new();
    for lane in lanes {
        let entry = folded.entry(lane.hash).or_insert((lane, 0));
        *entry = (lane, entry.1 + 1);
    }
    let folded: Vec<(&PreparedLane, i64)> = folded.into_values().collect();
    let mut arrivals = HashMap::with_capacity(folded.len());
    for piece in pieces(&folded) {
        upsert_lanes(connection, piece, now, &mut arrivals).await?;
    }
    Ok(arrivals)
}

async fn upsert_lanes(
    connection: &mut SqliteConnection,
    piece: &[(&PreparedLane, i64)],
    now: Timestamp,
    arrivals: &mut HashMap<[u8; 16], Arrival>,
) -> Result<(), StoreError> {
    const BEFORE: &str = "insert into lane (hash, pool_id, label, next_pos, waiting, first_at, quiet_until, due_at, most) ";
    const AFTER: &str = " on conflict (hash) do update set
        next_pos = next_pos + excluded.waiting, waiting = waiting + excluded.waiting,
        first_at = coalesce(first_at, excluded.first_at), most = excluded.most,
        quiet_until = min(excluded.quiet_until, coalesce(first_at, excluded.first_at) + excluded.most),
        due_at = case when owner is not null then due_at else max(coalesce(retry_at, 0),
            min(excluded.quiet_until, coalesce(first_at, excluded.first_at) + excluded.most)) end
        returning lane_id, hash, next_pos";
    let now = now.as_micros();
    let counts: HashMap<&[u8; 16], i64> = piece.iter().map(|(lane, count)| (&lane.hash, *count)).collect();
    let mut builder = statement(BEFORE, piece, AFTER, |mut row, (lane, count)| {
        let quiet_until = now.saturating_add(micros(lane.quiet.min(lane.most)));
        row.push_bind(lane.hash.to_vec()).push_bind(lane.pool_id).push_bind(lane.label.clone());
        row.push_bind(count + 1).push_bind(*count).push_bind(now);
        row.push_bind(quiet_until).push_bind(quiet_until).push_bind(micros(lane.most));
    });
    for row in builder.build().fetch_all(connection).await? {
        let hash: [u8; 16] = fixed(row.try_get("hash")?, "a lane's hash")?;
        let next: i64 = row.try_get("next_pos")?;
        let count = counts.get(&hash).copied().unwrap_or_default();
        arrivals.insert(hash, Arrival { lane_id: row.try_get("lane_id")?, next_position: next - count });
    }
    Ok(())
}

/// The next free position of a lane, which is then taken.
pub(crate) fn take_place(arrivals: &mut HashMap<[u8; 16], Arrival>, hash: [u8; 16]) -> Option<Arrival> {
    let arrival = arrivals.get_mut(&hash)?;
    let place = *arrival;
    arrival.next_position += 1;
    Some(place)
}

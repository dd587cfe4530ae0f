//! Forwards in the queue: jobs that wait in lanes of their own, are written with the end of the record that asks for them, and are
//! brought to their ends like records.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::lane_rows::{enqueue, take_place};
use crate::clock::Timestamp;
use crate::model::delivery::DeliveryId;
use crate::model::forward::{ClaimedForward, ForwardId};
use crate::model::lane::Claim;
use crate::model::record::RecordId;
use crate::store::error::StoreError;
use crate::store::intake_form::PreparedLane;
use crate::store::sql::{Connection, Many, Row, Texts, fixed, moment, query, values};

/// The kind of a lane that forwards wait in.
pub(crate) const OF_FORWARDS: i64 = 1;

/// A forward, ready to be written.
#[derive(Clone, Debug)]
pub(crate) struct PreparedForward {
    pub(crate) id: ForwardId,
    pub(crate) record: RecordId,
    pub(crate) target: String,
    pub(crate) lane: PreparedLane,
    pub(crate) key_id: i64,
    pub(crate) sealed: Vec<u8>,
    /// Why it is never sent, if it is not.
    pub(crate) dead: Option<String>,
}

/// What becomes of one forward. State 0 leaves it open.
#[derive(Clone, Debug)]
pub(crate) struct ForwardChange {
    pub(crate) id: ForwardId,
    pub(crate) state: i64,
    pub(crate) reason: Option<String>,
    /// Tries that count.
    pub(crate) attempts: i64,
    /// Whether it waits because the credentials were refused.
    pub(crate) is_refused: bool,
    /// The last try, packed.
    pub(crate) content: Vec<u8>,
}

/// Writes forwards to the ends of their lanes.
pub(crate) async fn insert_forwards(
    connection: &mut Connection,
    forwards: &[&PreparedForward],
    now: Timestamp,
) -> Result<(), StoreError> {
    let lanes: Vec<&PreparedLane> = forwards.iter().filter(|one| one.dead.is_none()).map(|one| &one.lane).collect();
    let mut arrivals = enqueue(connection, &lanes, now).await?;
    let statement = Many::new(
        "insert into forward_job (id, record_id, target, lane_hash, pool_id, lane_id, pos, state, reason, finished_at, key_id, sealed) ",
        "",
    );
    let row = |one: &&PreparedForward| {
        let PreparedForward { id, record, target, lane, key_id, sealed, dead } = one;
        let place = if dead.is_none() { take_place(&mut arrivals, lane.hash) } else { None };
        let (lane_id, position) = (place.map(|place| place.lane_id), place.map(|place| place.next_position));
        let (state, finished_at): (i64, _) = if dead.is_some() { (4, Some(now)) } else { (0, None) };
        values![
            &id.0.as_bytes()[..],
            record.0,
            target,
            &lane.hash,
            lane.pool_id,
            lane_id,
            position,
            state,
            dead,
            finished_at,
            *key_id,
            sealed
        ]
    };
    statement.execute(connection, forwards, row).await
}

/// Brings forwards to their states; one that is not open in its lane any more is an error.
pub(super) async fn change_forwards(
    connection: &mut Connection,
    changes: &[(i64, &ForwardChange)],
    now: Timestamp,
) -> Result<(), StoreError> {
    // what was sent is not needed any more
    let statement = Many::new(
        "with given (id, lane_id, state, reason, attempts, refused, content, now, emptied) as (",
        ") update forward_job set state = given.state, reason = given.reason, attempts = forward_job.attempts + given.attempts,
        refused = given.refused, first_failed_at = case when given.state = 0 and given.attempts > 0 then coalesce(first_failed_at, given.now)
            else first_failed_at end,
        finished_at = case when given.state = 0 then null else given.now end, content = given.content,
        sealed = case when given.state = 1 then given.emptied else sealed end
        from given where forward_job.id = given.id and forward_job.lane_id = given.lane_id and forward_job.state = 0
        returning forward_job.id",
    );
    let row = |(lane_id, change): &(i64, &ForwardChange)| {
        let ForwardChange { id, state, reason, attempts, is_refused, content } = change;
        let is_refused = i64::from(*is_refused);
        values![&id.0.as_bytes()[..], *lane_id, *state, reason, *attempts, is_refused, content, now, Vec::<u8>::new()]
    };
    let mut changed = HashSet::new();
    for row in statement.fetch_all(connection, changes, row).await? {
        changed.insert(ForwardId(Uuid::from_bytes(fixed(row.get("id")?, "a forward's id")?)));
    }
    match changes.iter().find(|(_, change)| !changed.contains(&change.id)) {
        Some((lane, change)) => Err(StoreError::Damaged(format!("forward {} is not open in lane {lane}", change.id))),
        None => Ok(()),
    }
}

/// The heads of lanes that forwards wait in.
pub(super) async fn read_forwards(connection: &mut Connection, claims: &mut [Claim]) -> Result<(), StoreError> {
    macro_rules! text {
        ($lanes:literal, $heads:literal) => {
            concat!(
                "select j.id, j.lane_id, j.pos, j.target, j.record_id, j.attempts, j.first_failed_at, d.id as delivery_id,
                    d.received_at, r.record_no from ",
                $lanes,
                " join ",
                $heads,
                " join record r on r.id = j.record_id join delivery d on d.delivery_row = r.delivery_row"
            )
        };
    }
    const HEADS: Texts = Texts {
        sqlite: text!(
            "json_each($1) claimed",
            "forward_job j on j.id = (select id from forward_job where lane_id = claimed.value and state = 0 order by pos limit 1)"
        ),
        postgres: text!(
            "unnest($1::bigint[]) claimed(lane_id)",
            "lateral (select * from forward_job f where f.lane_id = claimed.lane_id and state = 0 order by pos limit 1) j on true"
        ),
    };
    let lane_ids: Vec<i64> = claims.iter().map(|claim| claim.lane_id).collect();
    let mut places: HashMap<i64, &mut Claim> = claims.iter_mut().map(|claim| (claim.lane_id, claim)).collect();
    for row in query(HEADS).bind(lane_ids).fetch_all(connection).await? {
        if let Some(claim) = places.get_mut(&row.get("lane_id")?) {
            claim.forward = Some(claimed_forward(&row)?);
        }
    }
    Ok(())
}

fn claimed_forward(row: &Row) -> Result<ClaimedForward, StoreError> {
    let first_failed_at: Option<i64> = row.get("first_failed_at")?;
    Ok(ClaimedForward {
        id: ForwardId(Uuid::from_bytes(fixed(row.get("id")?, "a forward's id")?)),
        target: row.get("target")?,
        position: row.get("pos")?,
        record: RecordId(row.get("record_id")?),
        delivery: DeliveryId(Uuid::from_bytes(fixed(row.get("delivery_id")?, "a delivery's id")?)),
        number: row.get("record_no")?,
        attempts: row.get("attempts")?,
        received_at: moment(row.get("received_at")?),
        first_failed_at: first_failed_at.map(moment),
    })
}

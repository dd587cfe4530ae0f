//! The ends of claims, many at once: lanes given back, records brought to their states, attempts written, pools paused. The
//! lane's row alone decides; one whose fence has moved on is left untouched, with all that would have come with it.

use std::collections::{HashMap, HashSet};

use super::aside::BEYOND;
use super::forward_rows::{ForwardChange, PreparedForward, change_forwards, insert_forwards};
use super::gates::{self, Opened};
use crate::clock::Timestamp;
use crate::model::lane::HeldLane;
use crate::model::record::RecordId;
use crate::store::error::{FinishError, StoreError};
use crate::store::sql::{Connection, Many, query, values};

/// The end of one claim.
#[derive(Clone, Debug)]
pub(crate) struct Closing {
    pub(crate) lane_id: i64,
    pub(crate) lane_hash: [u8; 16],
    pub(crate) fence: i64,
    /// The other lanes that were held with it.
    pub(crate) others: Vec<HeldLane>,
    /// The highest position that is finished by this.
    pub(crate) done_position: Option<i64>,
    /// The first run of the record that took effect, if one did.
    pub(crate) done_record: Option<RecordId>,
    /// When the lane may be claimed again, if it backs off.
    pub(crate) retry_at: Option<Timestamp>,
    pub(crate) records: Vec<RecordChange>,
    /// The packed attempt and the record that made it.
    pub(crate) attempt: Option<(RecordId, Vec<u8>)>,
    pub(crate) pause: Option<Pause>,
    /// What is to be sent elsewhere from now on.
    pub(crate) forwards: Vec<PreparedForward>,
    /// What becomes of the forward that was claimed, where it was one.
    pub(crate) forward: Option<ForwardChange>,
}

/// What becomes of one record. State 0 leaves it open, with one failed attempt more.
#[derive(Clone, Debug)]
pub(crate) struct RecordChange {
    pub(crate) id: RecordId,
    pub(crate) state: i64,
    pub(crate) reason: Option<String>,
    pub(crate) superseded_by: Option<RecordId>,
    /// Attempts made by this claim.
    pub(crate) attempts: i64,
    /// Until when others may pass it, and what had taken effect in its lane before.
    pub(crate) aside: Option<(Timestamp, RecordId)>,
}

impl RecordChange {
    /// Whether it stands in line no longer.
    fn leaves(&self) -> bool {
        self.state != 0 || self.aside.is_some()
    }
}

/// A pool that waits.
#[derive(Clone, Debug)]
pub(crate) struct Pause {
    pub(crate) pool_id: i64,
    pub(crate) until: Timestamp,
    pub(crate) reason: String,
    /// Whether only people can help: the credentials are refused.
    pub(crate) needs_attention: bool,
}

/// The answers of a batch, and whether more work is due because of it.
pub(crate) struct Closed {
    pub(crate) answers: Vec<Result<(), FinishError>>,
    pub(crate) work_is_due: bool,
}

/// Ends claims. No two of `closings` may be of one lane.
pub(crate) async fn close(connection: &mut Connection, closings: &[&Closing], now: Timestamp) -> Result<Closed, StoreError> {
    let due = give_lanes_back(connection, closings, now).await?;
    let held: Vec<&Closing> = closings.iter().filter(|closing| due.contains_key(&closing.lane_id)).copied().collect();
    let records: Vec<(i64, &RecordChange)> =
        held.iter().flat_map(|closing| closing.records.iter().map(|record| (closing.lane_id, record))).collect();
    let changed = change_records(connection, &records, now).await?;
    if let Some((lane, record)) = records.iter().find(|(_, record)| !changed.contains(&record.id)) {
        return Err(StoreError::Damaged(format!("record {} is not open in lane {lane}", record.id.0)));
    }
    let has_opened = open_gates(connection, &held, now).await?;
    let attempts: Vec<&(RecordId, Vec<u8>)> = held.iter().filter_map(|closing| closing.attempt.as_ref()).collect();
    insert_attempts(connection, &attempts).await?;
    let sent: Vec<_> = held.iter().filter_map(|closing| Some((closing.lane_id, closing.forward.as_ref()?))).collect();
    change_forwards(connection, &sent, now).await?;
    let forwards: Vec<&PreparedForward> = held.iter().flat_map(|closing| &closing.forwards).collect();
    insert_forwards(connection, &forwards, now).await?;
    for pause in held.iter().filter_map(|closing| closing.pause.as_ref()) {
        pause_pool(connection, pause).await?;
    }
    let lost = |closing: &&Closing| if due.contains_key(&closing.lane_id) { Ok(()) } else { Err(FinishError::LeaseLost) };
    let is_due = due.values().any(|due_at| due_at.is_some_and(|due_at| due_at <= now.as_micros()));
    let work_is_due = is_due || has_opened || !forwards.is_empty();
    Ok(Closed { answers: closings.iter().map(lost).collect(), work_is_due })
}

/// Where records of several lanes leave their line, the other lanes go on; whether there are any.
async fn open_gates(connection: &mut Connection, held: &[&Closing], now: Timestamp) -> Result<bool, StoreError> {
    let (mut opened, mut ended, mut put_aside) = (Vec::new(), Vec::new(), Vec::new());
    for closing in held.iter().filter(|closing| !closing.others.is_empty()) {
        // a record of several lanes is alone in its claim
        let Some(record) = closing.records.first().filter(|record| record.leaves()) else { continue };
        let done_record = closing.done_record;
        opened.extend(closing.others.iter().map(|lane| Opened { lane_id: lane.lane_id, done_record }));
        if record.aside.is_some() { put_aside.push(record.id.0) } else { ended.push(record.id.0) }
    }
    if opened.is_empty() {
        return Ok(false);
    }
    gates::open(connection, &opened, now).await?;
    gates::forget(connection, ended).await?;
    gates::put_aside(connection, put_aside).await?;
    Ok(true)
}

async fn give_lanes_back(
    connection: &mut Connection,
    closings: &[&Closing],
    now: Timestamp,
) -> Result<HashMap<i64, Option<i64>>, StoreError> {
    let statement = Many::new(
        "with ended (lane_id, fence, closed, done_pos, done_record, retry_at, now) as (",
        ") update lane set owner = null, waiting = lane.waiting - ended.closed, retry_at = ended.retry_at,
        done_pos = max(coalesce(lane.done_pos, ended.done_pos), coalesce(ended.done_pos, lane.done_pos)),
        done_record = max(coalesce(lane.done_record, ended.done_record), coalesce(ended.done_record, lane.done_record)),
        due_at = case when lane.waiting - ended.closed <= 0 then null
            when ended.retry_at is not null then ended.retry_at
            else max(coalesce(lane.quiet_until, 0), ended.now) end
        from ended where lane.lane_id = ended.lane_id and lane.fence = ended.fence and lane.owner is not null
        returning lane.lane_id, lane.due_at",
    );
    let row = |closing: &&Closing| {
        let sent = closing.forward.iter().filter(|forward| forward.state != 0).count();
        let closed = sent + closing.records.iter().filter(|record| record.leaves()).count();
        let closed = i64::try_from(closed).unwrap_or(i64::MAX);
        let Closing { lane_id, fence, done_position, done_record, retry_at, .. } = closing;
        values![*lane_id, *fence, closed, *done_position, done_record.map(|id| id.0), *retry_at, now]
    };
    let rows = statement.fetch_all(connection, closings, row).await?;
    rows.iter().map(|row| Ok((row.get("lane_id")?, row.get("due_at")?))).collect()
}

async fn change_records(
    connection: &mut Connection,
    records: &[(i64, &RecordChange)],
    now: Timestamp,
) -> Result<HashSet<RecordId>, StoreError> {
    let statement = Many::new(
        "with given (id, lane_id, state, reason, superseded_by, attempts, aside_until, passed, beyond, now) as (",
        ") update record set state = given.state, reason = given.reason, superseded_by = given.superseded_by,
        attempts = record.attempts + given.attempts,
        first_failed_at = case when given.state = 0 then coalesce(first_failed_at, given.now) else first_failed_at end,
        finished_at = case when given.state = 0 then null else given.now end,
        pos = case when given.aside_until is null then record.pos else given.beyond + record.id end,
        aside_until = given.aside_until, passed = coalesce(record.passed, given.passed)
        from given where record.id = given.id and record.lane_id = given.lane_id and record.state = 0
        returning record.id",
    );
    let row = |(lane_id, record): &(i64, &RecordChange)| {
        let RecordChange { id, state, reason, superseded_by, attempts, aside } = record;
        let (until, passed) = (aside.map(|(until, _)| until), aside.map(|(_, done)| done.0));
        values![id.0, *lane_id, *state, reason, superseded_by.map(|id| id.0), *attempts, until, passed, BEYOND, now]
    };
    let rows = statement.fetch_all(connection, records, row).await?;
    rows.iter().map(|row| Ok(RecordId(row.get("id")?))).collect()
}

async fn insert_attempts(connection: &mut Connection, attempts: &[&(RecordId, Vec<u8>)]) -> Result<(), StoreError> {
    let statement = Many::new("insert into attempt (record_id, content) ", "");
    statement.execute(connection, attempts, |(record, content)| values![record.0, content]).await
}

/// The longest pause is the one that counts, and says why.
async fn pause_pool(connection: &mut Connection, pause: &Pause) -> Result<(), StoreError> {
    let sql = "update pool set paused_until = $1, reason = $2, needs_attention = $3
        where pool_id = $4 and coalesce(paused_until, 0) < $1";
    let needs_attention = i64::from(pause.needs_attention);
    query(sql).bind(pause.until).bind(&pause.reason).bind(needs_attention).bind(pause.pool_id).execute(connection).await?;
    Ok(())
}

//! Lanes: claiming work, ending it, putting it off. A claim is a lease; every end of it is refused once the lease is lost.

use std::time::Duration;

use super::attempts;
use super::error::{FinishError, StoreError};
use super::forwards;
use super::hands::Hands;
use super::queue::claim::Wanted;
use super::queue::closing::{Closing, Pause, RecordChange};
use super::queue::{aside, fences};
use super::sql::{Connection, moment, query, with_versions};
use super::state::Store;
use crate::clock::Timestamp;
use crate::model::attempt::Attempt;
use crate::model::bundle::ActiveVersion;
use crate::model::forward::NewForward;
use crate::model::lane::{Claim, LaneKind};
use crate::model::record::{ClaimedRecord, RecordId, RecordState};
use crate::model::tenant::Tenant;

/// What a worker asks for.
#[derive(Clone, Debug)]
pub struct ClaimRequest<'a> {
    /// Who asks; only told apart in the lane's row.
    pub owner: i64,
    /// Only lanes of these sources, as these versions computed them.
    pub versions: &'a [ActiveVersion],
    /// One lane for each that is free, at most.
    pub hands: Hands,
    /// How long the lanes are leased.
    pub lease: Duration,
}

/// How a claim's work ended for good.
#[derive(Clone, Debug)]
pub struct Ending {
    /// The record that was run: the last of the claim's unit of work.
    pub record: RecordId,
    /// The others of that unit.
    pub superseded: Vec<RecordId>,
    /// What became of them.
    pub end: End,
    /// The try that led to it, if there was one.
    pub attempt: Option<Attempt>,
    /// What is to be sent elsewhere because of it: written with the end, or not at all.
    pub forwards: Vec<NewForward>,
}

/// The final states that a claim can end in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The rows are written; the others are superseded by this record.
    Done,
    /// Nothing was to be done, and why; the others are superseded by this record.
    Ignored(String),
    /// The lane had moved on, and how far.
    Superseded(String),
    /// Given up on, and why; the others die with it.
    Dead(String),
}

/// Leases due lanes, each pool in turn. A claim's records are the head of its lane and, where that coalesces, those right
/// behind it with the same work, at most 1000.
pub async fn claim(store: &Store, request: ClaimRequest<'_>) -> Result<Vec<Claim>, StoreError> {
    claim_of(LaneKind::Records, store, request).await
}

/// Leases due lanes of forwards, each pool in turn. A claim has the forward at the head of its lane.
pub async fn claim_forwards(store: &Store, request: ClaimRequest<'_>) -> Result<Vec<Claim>, StoreError> {
    claim_of(LaneKind::Forwards, store, request).await
}

async fn claim_of(kind: LaneKind, store: &Store, request: ClaimRequest<'_>) -> Result<Vec<Claim>, StoreError> {
    if request.hands.free() == 0 || request.versions.is_empty() {
        return Ok(Vec::new());
    }
    let has_room = |version: &&ActiveVersion| request.hands.has_room_for(&version.source);
    let versions = json_of(request.versions.iter().filter(has_room));
    store.writer().claim(Wanted { kind, owner: request.owner, versions, hands: request.hands, lease: request.lease }).await
}

/// Extends a lease: it ends `lease` from now.
pub async fn prolong(store: &Store, claim: &Claim, lease: Duration) -> Result<(), FinishError> {
    let (lane_id, fence) = (claim.lane_id, claim.fence);
    let held = store.writer().run(move |connection, now| Box::pin(extend_lease(connection, lane_id, fence, now + lease))).await?;
    if held { Ok(()) } else { Err(FinishError::LeaseLost) }
}

/// Ends a claim for good: records, attempt and lane in one transaction.
pub async fn finish(store: &Store, claim: &Claim, ending: Ending) -> Result<(), FinishError> {
    let Ending { record, superseded, end, attempt, forwards } = ending;
    let forwards = forwards::prepare(store, claim, record, forwards).await?;
    let tried = i64::from(attempt.is_some());
    let first_run = claim.records.iter().find(|one| one.id == record).map_or(record, |one| one.first_run);
    let done_record = (end == End::Done).then_some(first_run);
    let (end_state, state, reason) = match end {
        End::Done => (RecordState::Done, 1, None),
        End::Ignored(reason) => (RecordState::Ignored, 2, Some(reason)),
        End::Superseded(reason) => (RecordState::Superseded, 3, Some(reason)),
        End::Dead(reason) => (RecordState::Dead, 4, Some(reason)),
    };
    let others = (if end_state == RecordState::Dead { end_state } else { RecordState::Superseded }, superseded.len());
    let mut records = Vec::with_capacity(superseded.len() + 1);
    for id in superseded {
        records.push(if state == 4 {
            RecordChange { id, state, reason: reason.clone(), superseded_by: None, attempts: 0, aside: None }
        } else {
            RecordChange { id, state: 3, reason: None, superseded_by: Some(record), attempts: 0, aside: None }
        });
    }
    records.push(RecordChange { id: record, state, reason, superseded_by: None, attempts: tried, aside: None });
    let over = claim.records.iter().filter(|record| records.iter().any(|change| change.id == record.id));
    let done_position = over.map(|record| record.position).max();
    store
        .writer()
        .close(Closing { done_position, done_record, records, forwards, ..closing(store, claim, record, attempt.as_ref())? })
        .await?;
    for (state, count) in [(end_state, 1), others] {
        store.ended().count(&claim.source, state, count);
    }
    Ok(())
}

/// Counts a failed attempt and leaves the record at the head of its lane, which backs off until `at`.
pub async fn retry(
    store: &Store,
    claim: &Claim,
    record: RecordId,
    attempt: Attempt,
    reason: String,
    at: Timestamp,
) -> Result<(), FinishError> {
    let change = RecordChange { id: record, state: 0, reason: Some(reason), superseded_by: None, attempts: 1, aside: None };
    let closing = closing(store, claim, record, Some(&attempt))?;
    store.writer().close(Closing { retry_at: Some(at), records: vec![change], ..closing }).await
}

/// Counts a failed attempt and lets others pass all records of the claim. They stay open and come back at `at`, at the ends of
/// their lanes ([`bring_back`]).
pub async fn let_pass(
    store: &Store,
    claim: &Claim,
    record: RecordId,
    attempt: Attempt,
    reason: String,
    at: Timestamp,
) -> Result<(), FinishError> {
    let aside = Some((at, claim.done_record.unwrap_or(RecordId(0))));
    let change = |one: &ClaimedRecord| {
        let attempts = i64::from(one.id == record);
        RecordChange { id: one.id, state: 0, reason: Some(reason.clone()), superseded_by: None, attempts, aside }
    };
    let closing = closing(store, claim, record, Some(&attempt))?;
    store.writer().close(Closing { records: claim.records.iter().map(change).collect(), ..closing }).await
}

/// Brings records back that others were let past and whose time has come; whether there were any.
pub async fn bring_back(store: &Store) -> Result<bool, StoreError> {
    aside::bring_back(store).await
}

/// The earliest moment at which one of them comes back.
pub async fn next_return(store: &Store) -> Result<Option<Timestamp>, StoreError> {
    let row = store.read_first(query("select min(aside_until) as due from record where aside_until is not null")).await?;
    let due: Option<i64> = row.map(|row| row.get("due")).transpose()?.flatten();
    Ok(due.map(moment))
}

/// Gives the lane back and pauses its pool until `until`. No attempt is counted; one that was made is kept beside `record`.
pub async fn hold(
    store: &Store,
    claim: &Claim,
    until: Timestamp,
    reason: String,
    attempt: Option<(RecordId, Attempt)>,
) -> Result<(), FinishError> {
    let pause = Pause { pool_id: claim.pool_id, until, reason, needs_attention: false };
    pause_pool(store, claim, pause, attempt).await
}

/// The same, because the credentials are refused: only people can help, or they change.
pub async fn hold_for_credentials(
    store: &Store,
    claim: &Claim,
    until: Timestamp,
    reason: String,
    attempt: (RecordId, Attempt),
) -> Result<(), FinishError> {
    let pause = Pause { pool_id: claim.pool_id, until, reason, needs_attention: true };
    pause_pool(store, claim, pause, Some(attempt)).await
}

async fn pause_pool(store: &Store, claim: &Claim, pause: Pause, attempt: Option<(RecordId, Attempt)>) -> Result<(), FinishError> {
    let attempt = attempt.map(|(record, attempt)| Ok::<_, StoreError>((record, attempts::pack(store, &attempt)?))).transpose()?;
    let pause = Some(pause);
    store.writer().close(Closing { pause, attempt, ..untouched(claim) }).await
}

/// Gives the lane back, due at once: for a worker that shuts down.
pub async fn give_back(store: &Store, claim: &Claim) -> Result<(), FinishError> {
    store.writer().close(untouched(claim)).await
}

/// Makes all further fences higher than this one; whether they were not.
pub async fn raise_fences(store: &Store, highest: i64) -> Result<bool, StoreError> {
    store.writer().run(move |connection, _| Box::pin(fences::raise(connection, highest))).await
}

/// The earliest moment at which a lane of these versions may become claimable: when it is due, its lease or back-off ends, or its
/// pool resumes.
pub async fn next_due(store: &Store, versions: &[ActiveVersion]) -> Result<Option<Timestamp>, StoreError> {
    macro_rules! text {
        ($active:literal, $hash:literal) => {
            concat!(
                "select min(max(coalesce(p.paused_until, 0), (select min(due_at) from lane
                    where lane.pool_id = p.pool_id and lane.kind = 0 and lane.due_at is not null))) as due
                from ",
                $active,
                " join pool p on p.source = active.key and p.admit_hash = ",
                $hash,
                " where p.readmit_after is null"
            )
        };
    }
    let row = store.read_first(query(with_versions!(text)).bind(json_of(versions))).await?;
    let due: Option<i64> = row.map(|row| row.get("due")).transpose()?.flatten();
    Ok(due.map(moment))
}

/// The same for forwards, which no pause of a pool holds.
pub async fn next_due_forward(store: &Store, versions: &[ActiveVersion]) -> Result<Option<Timestamp>, StoreError> {
    macro_rules! text {
        ($active:literal, $hash:literal) => {
            concat!(
                "select min((select min(due_at) from lane
                    where lane.pool_id = p.pool_id and lane.kind = 1 and lane.due_at is not null)) as due
                from ",
                $active,
                " join pool p on p.source = active.key and p.admit_hash = ",
                $hash,
                " where p.readmit_after is null"
            )
        };
    }
    let row = store.read_first(query(with_versions!(text)).bind(json_of(versions))).await?;
    let due: Option<i64> = row.map(|row| row.get("due")).transpose()?.flatten();
    Ok(due.map(moment))
}

/// Ends the pause of a source's and tenant's pool, and the waits of its forwards.
pub async fn resume_pool(store: &Store, source: &str, tenant: Option<&Tenant>) -> Result<(), StoreError> {
    let (source, tenant_id) = (source.to_owned(), tenant.map_or(0, |tenant| tenant.id));
    store
        .writer()
        .run_and_wake(move |connection, now| Box::pin(async move { unpause(connection, &source, tenant_id, now).await }))
        .await
}

/// Lets go on what of a source waits because credentials were refused, whoever's it is: pools, and forwards. Other pauses stay.
pub async fn resume_refused(store: &Store, source: &str) -> Result<(), StoreError> {
    let source = source.to_owned();
    store
        .writer()
        .run_and_wake(move |connection, now| Box::pin(async move { try_refused_again(connection, &source, now).await }))
        .await
}

/// `{"shop": "AB12…"}`.
pub(crate) fn json_of<'a>(versions: impl IntoIterator<Item = &'a ActiveVersion>) -> String {
    let entry = |version: &ActiveVersion| (version.source.clone(), hex::encode(version.admit_hash).into());
    serde_json::Value::Object(versions.into_iter().map(entry).collect()).to_string()
}

/// The end of a claim that changes nothing.
pub(crate) fn untouched(claim: &Claim) -> Closing {
    Closing {
        lane_id: claim.lane_id,
        lane_hash: claim.lane_hash,
        fence: claim.fence,
        others: claim.others.clone(),
        done_position: None,
        done_record: None,
        retry_at: None,
        records: Vec::new(),
        attempt: None,
        pause: None,
        forwards: Vec::new(),
        forward: None,
    }
}

fn closing(store: &Store, claim: &Claim, record: RecordId, attempt: Option<&Attempt>) -> Result<Closing, StoreError> {
    let attempt = attempt.map(|attempt| attempts::pack(store, attempt)).transpose()?.map(|packed| (record, packed));
    Ok(Closing { attempt, ..untouched(claim) })
}

async fn extend_lease(connection: &mut Connection, lane_id: i64, fence: i64, until: Timestamp) -> Result<bool, StoreError> {
    let sql = "update lane set due_at = $1 where lane_id = $2 and fence = $3 and owner is not null";
    Ok(query(sql).bind(until).bind(lane_id).bind(fence).execute(connection).await? == 1)
}

/// `due_at` says which index has the few that wait, however many lanes there are.
pub(super) const END_WAITS_OF_FORWARDS: &str =
    "update lane set retry_at = null, due_at = $3 where kind = 1 and due_at is not null and retry_at is not null and owner is null
        and waiting > 0 and pool_id in (select pool_id from pool where source = $1 and tenant_id = $2)";

async fn unpause(connection: &mut Connection, source: &str, tenant_id: i64, now: Timestamp) -> Result<(), StoreError> {
    let sql = "update pool set paused_until = null, reason = null, needs_attention = 0 where source = $1 and tenant_id = $2";
    query(sql).bind(source).bind(tenant_id).execute(connection).await?;
    query(END_WAITS_OF_FORWARDS).bind(source).bind(tenant_id).bind(now).execute(connection).await?;
    Ok(())
}

async fn try_refused_again(connection: &mut Connection, source: &str, now: Timestamp) -> Result<(), StoreError> {
    let sql = "update pool set paused_until = null, reason = null, needs_attention = 0 where source = $1 and needs_attention = 1";
    query(sql).bind(source).execute(connection).await?;
    let sql = "update lane set retry_at = null, due_at = $2 where kind = 1 and due_at is not null and retry_at is not null
        and owner is null and waiting > 0 and pool_id in (select pool_id from pool where source = $1)
        and exists (select 1 from forward_job j where j.lane_id = lane.lane_id and j.state = 0 and j.refused = 1)";
    query(sql).bind(source).bind(now).execute(connection).await?;
    Ok(())
}

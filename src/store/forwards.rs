//! Forwards: what is sent elsewhere once a record is done. They are written in the transaction that ends the record, sealed, and
//! each comes to an end of its own.

use uuid::Uuid;

use super::attempts;
use super::compression::unpack;
use super::error::{FinishError, StoreError};
pub use super::forward_replay::{discard, replay};
use super::lanes::untouched;
use super::pools;
use super::queue::closing::Closing;
use super::queue::forward_rows::{ForwardChange, OF_FORWARDS, PreparedForward};
use super::sql::{Row, fixed, moment, query};
use super::state::Store;
use super::vault::Forwarded;
use super::vault_keys;
use crate::clock::Timestamp;
use crate::model::attempt::Attempt;
use crate::model::delivery::DeliveryId;
use crate::model::forward::{ClaimedForward, ForwardContent, ForwardId, ForwardSummary, NewForward};
use crate::model::lane::Claim;
use crate::model::record::{RecordId, RecordState};

use sha2::Digest as _;

/// How a try to send a forward ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The target took it.
    Done,
    /// Given up on, and why.
    Dead(String),
    /// It is tried again at this moment, and why.
    Again(Timestamp, String),
    /// It waits until this moment, which is no try, and why.
    Held(Timestamp, String),
    /// The same, because the credentials are refused: until this moment, or until there are others.
    Refused(Timestamp, String),
}

/// Brings forwards into the form that goes to disk. Each waits in a lane that is made of its record's and of its target, so that
/// those of one thing keep their order, and no target waits for another.
pub(crate) async fn prepare(
    store: &Store,
    claim: &Claim,
    record: RecordId,
    forwards: Vec<NewForward>,
) -> Result<Vec<PreparedForward>, StoreError> {
    if forwards.is_empty() {
        return Ok(Vec::new());
    }
    let tenant_id = claim.tenant.as_ref().map_or(0, |tenant| tenant.id);
    let pools = pools::of_tenants(store, &claim.source, [tenant_id]).await?;
    let key = &pools.of(tenant_id)?.key;
    let mut prepared = Vec::with_capacity(forwards.len());
    for NewForward { id, target, content, dead } in forwards {
        let plain = serde_json::to_vec(&content).map_err(|error| StoreError::Damaged(error.to_string()))?;
        let owner = Forwarded { forward: id, tenant_id, source: &claim.source };
        let sealed = store.vault().seal_forward(key, &owner, &store.packer().pack(&plain)?)?;
        let hash = lane_of(claim.lane_hash, &target);
        let lane = lane_for(hash, claim.pool_id);
        prepared.push(PreparedForward { id, record, target, lane, key_id: key.key_id, sealed, dead });
    }
    Ok(prepared)
}

/// A lane of forwards; nobody is shown what it is called.
pub(super) fn lane_for(hash: [u8; 16], pool_id: i64) -> super::intake_form::PreparedLane {
    let (quiet, most) = (std::time::Duration::ZERO, std::time::Duration::ZERO);
    super::intake_form::PreparedLane { hash, pool_id, label: Vec::new(), quiet, most, kind: OF_FORWARDS, others: Vec::new() }
}

fn lane_of(record_lane: [u8; 16], target: &str) -> [u8; 16] {
    let hash = sha2::Sha256::new().chain_update(b"forward").chain_update(record_lane).chain_update(target).finalize();
    *hash.first_chunk().expect("a SHA-256 has 32 bytes")
}

/// What a forward is made of besides its record's request.
pub async fn content(store: &Store, claim: &Claim, forward: &ClaimedForward) -> Result<ForwardContent, StoreError> {
    let sql = "select key_id, sealed from forward_job where id = $1";
    let row = store.read_first(query(sql).bind(&forward.id.0.as_bytes()[..])).await?;
    let row = row.ok_or_else(|| StoreError::NotFound(format!("there is no forward `{}`", forward.id)))?;
    let key_id: i64 = row.get("key_id")?;
    vault_keys::have(store, std::iter::once(key_id)).await?;
    let tenant_id = claim.tenant.as_ref().map_or(0, |tenant| tenant.id);
    let owner = Forwarded { forward: forward.id, tenant_id, source: &claim.source };
    let packed = store.vault().open_forward(key_id, &owner, row.get("sealed")?)?;
    let plain = unpack(&packed, "a forward")?;
    serde_json::from_slice(&plain).map_err(|error| StoreError::Damaged(format!("a forward cannot be read: {error}")))
}

/// Ends the claim of a forward: its state, what its last try was, and its lane in one transaction.
pub async fn finish(
    store: &Store,
    claim: &Claim,
    forward: &ClaimedForward,
    sent: Sent,
    attempt: &Attempt,
) -> Result<(), FinishError> {
    let content = attempts::pack(store, attempt)?;
    let is_refused = matches!(sent, Sent::Refused(..));
    let (state, reason, attempts, retry_at) = match sent {
        Sent::Done => (1, None, 1, None),
        Sent::Dead(reason) => (4, Some(reason), 1, None),
        Sent::Again(at, reason) => (0, Some(reason), 1, Some(at)),
        Sent::Held(until, reason) | Sent::Refused(until, reason) => (0, Some(reason), 0, Some(until)),
    };
    let change = ForwardChange { id: forward.id, state, reason, attempts, is_refused, content };
    let done_position = (state != 0).then_some(forward.position);
    store.writer().close(Closing { done_position, retry_at, forward: Some(change), ..untouched(claim) }).await
}

/// The forwards of all records of a delivery, in the order in which they were asked for.
pub async fn of_delivery(store: &Store, delivery: DeliveryId) -> Result<Vec<ForwardSummary>, StoreError> {
    let sql = "select j.id, r.record_no, r.run, j.target, j.reason, j.attempts, j.finished_at, j.content, l.due_at,
            case j.state when 1 then 'done' when 4 then 'dead' when 5 then 'discarded' else case
                when l.owner is not null and l.due_at > $2 and j.pos = (select min(head.pos) from forward_job head
                    where head.lane_id = j.lane_id and head.state = 0) then 'running'
                when p.admit_hash is null or p.readmit_after is not null then 'held'
                when j.reason is not null and j.attempts = 0 then 'held'
                when j.attempts > 0 then 'retrying' else 'waiting' end end as state
        from delivery d join record r on r.delivery_row = d.delivery_row join forward_job j on j.record_id = r.id
        join pool p on p.pool_id = j.pool_id left join lane l on l.lane_id = j.lane_id
        where d.id = $1 order by r.record_no, r.run, j.id";
    let now = store.clock().now();
    let rows = store.read(query(sql).bind(delivery.0.as_bytes()).bind(now)).await?;
    rows.iter().map(|row| summary(row, now)).collect()
}

fn summary(row: &Row, now: Timestamp) -> Result<ForwardSummary, StoreError> {
    let state: RecordState = row.get::<&str>("state")?.parse().map_err(StoreError::Damaged)?;
    let due_at = row.get::<Option<i64>>("due_at")?.map(moment);
    let finished_at = row.get::<Option<i64>>("finished_at")?.map(moment);
    let waits = state.is_open() && state != RecordState::Running;
    let content: Option<&[u8]> = row.get("content")?;
    let last = content.map(attempts::unpacked).transpose()?;
    let attempts: u32 = row.get("attempts")?;
    Ok(ForwardSummary {
        id: ForwardId(Uuid::from_bytes(fixed(row.get("id")?, "a forward's id")?)),
        number: row.get("record_no")?,
        run: row.get("run")?,
        target: row.get("target")?,
        state,
        reason: row.get("reason")?,
        attempts,
        next_at: due_at.filter(|at| waits && *at > now).map(|at| at.to_string()),
        finished_at: finished_at.map(|at| at.to_string()),
        last,
    })
}

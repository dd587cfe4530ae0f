//! Attempts: what each try did. Written with the end of the claim that made it, never changed, read in the order they were made.

use super::compression::unpack;
use super::error::StoreError;
use super::sql::query;
use super::state::Store;
use crate::model::attempt::Attempt;

/// An attempt with the record that made it.
#[derive(Clone, Debug)]
pub struct RecordAttempt {
    /// The record's place in the delivery, from 0.
    pub record: u32,
    /// Which run of it.
    pub run: u32,
    /// What happened; numbered from 1 over all runs of the record.
    pub attempt: Attempt,
}

/// The attempts of all records of a delivery, by its row.
pub(crate) async fn of_delivery(store: &Store, delivery_row: i64) -> Result<Vec<RecordAttempt>, StoreError> {
    let sql = "select r.record_no, r.run, a.content from record r join attempt a on a.record_id = r.id
        where r.delivery_row = $1 order by r.record_no, r.run, a.attempt_id";
    let rows = store.read(query(sql).bind(delivery_row)).await?;
    let mut attempts: Vec<RecordAttempt> = Vec::with_capacity(rows.len());
    for row in rows {
        let record: u32 = row.get("record_no")?;
        let mut attempt = unpacked(row.get("content")?)?;
        attempt.number = attempts.last().filter(|last| last.record == record).map_or(1, |last| last.attempt.number + 1);
        attempts.push(RecordAttempt { record, run: row.get("run")?, attempt });
    }
    Ok(attempts)
}

/// The attempt that was packed.
pub(crate) fn unpacked(packed: &[u8]) -> Result<Attempt, StoreError> {
    let content = unpack(packed, "an attempt")?;
    serde_json::from_slice(&content).map_err(|error| StoreError::Damaged(format!("an attempt cannot be read: {error}")))
}

/// An attempt as it is stored.
pub(crate) fn pack(store: &Store, attempt: &Attempt) -> Result<Vec<u8>, StoreError> {
    let content =
        serde_json::to_vec(attempt).map_err(|error| StoreError::Damaged(format!("an attempt cannot be written: {error}")))?;
    store.packer().pack(&content)
}

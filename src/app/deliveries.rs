//! Deliveries as they are shown to operators, and found by what they type.

use anyhow::bail;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::model::attempt::Attempt;
use crate::model::caller::StoredCaller;
use crate::model::delivery::DeliveryId;
use crate::model::forward::ForwardSummary;
use crate::model::record::RecordSummary;
use crate::store::records::Replay;
use crate::store::{Store, forwards, records};

/// A delivery as it is shown: nothing in it is secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeliveryView {
    /// Its id.
    pub delivery: DeliveryId,
    /// The source's name.
    pub source: String,
    /// RFC 3339.
    pub received_at: String,
    /// Who sent it.
    pub caller: StoredCaller,
    /// The version of the source's files that admitted it, in hex.
    pub bundle: String,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// SHA-256 of the body, in hex.
    pub body_sha256: String,
    /// Whether the request itself is still kept; without it nothing can run again.
    pub request_kept: bool,
    /// The request with its secrets masked.
    pub request: Json,
    /// Its records.
    pub records: Vec<RecordSummary>,
    /// Their attempts, in the order they were made.
    pub attempts: Vec<AttemptView>,
    /// What was or is to be sent elsewhere because of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forwards: Vec<ForwardSummary>,
}

/// An attempt and whose it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttemptView {
    /// The record's place in the delivery, from 0.
    pub record: u32,
    /// Which run of it.
    pub run: u32,
    /// What happened.
    #[serde(flatten)]
    pub attempt: Attempt,
}

/// What came of steering the records of a delivery.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Steered {
    /// The delivery.
    pub delivery: DeliveryId,
    /// For how many records it was done.
    pub records: u64,
    /// For how many forwards it was done.
    #[serde(default)]
    pub forwards: u64,
    /// The numbers of the others, and why.
    pub refused: Vec<(u32, String)>,
}

/// A delivery with its records and attempts.
pub(super) async fn show(store: &Store, id: &str) -> anyhow::Result<DeliveryView> {
    let id = find(store, id).await?;
    let Some(details) = records::show(store, id).await? else { bail!("there is no delivery `{id}`") };
    let attempts = details.attempts.into_iter();
    Ok(DeliveryView {
        delivery: details.id,
        source: details.source,
        received_at: details.received_at.to_string(),
        caller: details.caller,
        bundle: hex::encode(details.bundle_hash),
        body_bytes: details.raw_bytes,
        body_sha256: hex::encode(details.raw_sha256),
        request_kept: details.is_kept,
        request: serde_json::from_str(&details.masked).unwrap_or(Json::String(details.masked)),
        records: details.records,
        attempts: attempts.map(|one| AttemptView { record: one.record, run: one.run, attempt: one.attempt }).collect(),
        forwards: forwards::of_delivery(store, id).await?,
    })
}

/// Has its records run again, or its dead forwards sent again.
pub(super) async fn replay(store: &Store, id: &str, replay: Replay) -> anyhow::Result<Steered> {
    let delivery = find(store, id).await?;
    if replay.forwards && !replay.apply_again {
        let answer = forwards::replay(store, delivery, replay.number).await?;
        return Ok(Steered { delivery, records: 0, forwards: answer.marked, refused: answer.refused });
    }
    let answer = records::ask_replay(store, delivery, replay).await?;
    Ok(Steered { delivery, records: answer.marked, forwards: 0, refused: answer.refused })
}

/// Gives its open and dead records and its dead forwards up.
pub(super) async fn discard(store: &Store, id: &str, number: Option<u32>) -> anyhow::Result<Steered> {
    let delivery = find(store, id).await?;
    let answer = records::discard(store, delivery, number).await?;
    let forwards = forwards::discard(store, delivery, number).await?;
    // what is finished is not refused where its forwards were what was meant
    let refused = if forwards > 0 { Vec::new() } else { answer.refused };
    Ok(Steered { delivery, records: answer.count, forwards, refused })
}

/// The one delivery that a shortened id means.
pub(super) async fn find(store: &Store, text: &str) -> anyhow::Result<DeliveryId> {
    match records::find(store, text).await?.as_slice() {
        [id] => Ok(*id),
        [] => bail!("there is no delivery `{text}`\nhint: `hooktable deliveries list` shows them"),
        several => {
            let ids: Vec<String> = several.iter().map(|id| format!("  {id}")).collect();
            bail!("`{text}` can be {} deliveries:\n{}\nhint: give more of the end", several.len(), ids.join("\n"))
        }
    }
}

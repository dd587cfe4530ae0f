//! What a sender is told when all went well.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::model::delivery::{Appended, DeliveryId};

/// 200 with the delivery's id; of a duplicate, the first one's.
pub(super) fn stored(id: DeliveryId, appended: Appended) -> Response {
    match appended {
        Appended::Stored => Json(json!({ "delivery": id.to_string() })).into_response(),
        Appended::Duplicate(first) => Json(json!({ "delivery": first.to_string(), "duplicate": true })).into_response(),
    }
}

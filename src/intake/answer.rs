//! What a sender is told when all went well: of a delivery, and of a handshake.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::reply::Answer;
use crate::model::answered::Answered;
use crate::model::delivery::{Appended, DeliveryId};
use crate::steps::reply::DELIVERY;

/// What the route file says, else 200 with the delivery's id; of a duplicate, the first one's.
pub(super) fn stored(id: DeliveryId, appended: Appended, reply: Answer) -> Response {
    match (appended, reply) {
        (Appended::Stored, Answer::Reply(reply)) => replied(id, reply),
        (Appended::Stored, Answer::Ordinary) => Json(json!({ "delivery": id.to_string() })).into_response(),
        (Appended::Stored, Answer::Accepted | Answer::Later(_)) => {
            (StatusCode::ACCEPTED, Json(json!({ "delivery": id.to_string() }))).into_response()
        }
        (Appended::Duplicate(first), _) => Json(json!({ "delivery": first.to_string(), "duplicate": true })).into_response(),
    }
}

/// The words of the route file, and in a header the delivery's id.
fn replied(id: DeliveryId, reply: Answered) -> Response {
    let mut response = handshake(reply);
    response.headers_mut().extend(HeaderValue::try_from(id.to_string()).ok().map(|id| (HeaderName::from_static(DELIVERY), id)));
    response
}

/// What a handshake answers. It may repeat what its sender said, so no browser may take it for anything but what it is.
pub(super) fn handshake(answered: Answered) -> Response {
    let status = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::OK);
    let mut response = (status, answered.body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    if let Some(content_type) = answered.content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    for (name, value) in answered.headers {
        // what no header can have is left out rather than sent in pieces
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    response
}

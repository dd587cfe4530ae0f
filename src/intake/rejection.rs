//! Why a request was not stored, and what the sender is told: enough for the rightful one to mend it, nothing for another.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::auth::caller::Refusal;

/// The reasons, one per answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// No source ever received such a request.
    NoSource,
    /// The source takes other methods.
    Method(Vec<String>),
    /// The sender did not prove who it is.
    Unauthorized(Refusal),
    /// The head is larger than is taken.
    HeadTooLarge,
    /// The body is larger than the source allows, in bytes.
    TooLarge(u64),
    /// The request is broken as HTTP.
    Broken(String),
    /// The body did not arrive in time.
    TooSlow,
    /// More than the source allows; when to come again.
    TooMany(Duration),
    /// We cannot store now.
    Unavailable(String),
    /// A fault of ours.
    Fault,
}

/// How long a sender is asked to wait when we cannot say better.
const COME_AGAIN_AFTER: Duration = Duration::from_secs(10);

impl Rejection {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoSource => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Fault => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// For the log: what the sender is told, and for our own faults why.
    pub fn reason(&self) -> String {
        match self {
            Self::Unavailable(reason) => reason.clone(),
            other => other.told(),
        }
    }

    /// What the sender is not told, for the integrator.
    pub fn findings(&self) -> &[String] {
        match self {
            Self::Unauthorized(refusal) => &refusal.findings,
            _ => &[],
        }
    }

    /// Whether it is about the request rather than about us: then who sets the sender up wants to see it.
    pub(super) fn is_the_senders(&self) -> bool {
        !matches!(self, Self::NoSource | Self::Unavailable(_) | Self::Fault)
    }

    /// What the sender is told.
    pub(super) fn told(&self) -> String {
        match self {
            Self::NoSource => "no source receives this request".to_owned(),
            Self::Method(methods) => format!("expected {}", methods.join(" or ")),
            Self::Unauthorized(refusal) => refusal.told.clone(),
            Self::Broken(reason) => reason.clone(),
            Self::HeadTooLarge => "the URL and the headers are too long".to_owned(),
            Self::TooLarge(most) => format!("the body may have at most {most} bytes"),
            Self::TooSlow => "the body did not arrive in time".to_owned(),
            Self::TooMany(_) => "too many requests".to_owned(),
            Self::Unavailable(_) => "this cannot be stored now; please send it again".to_owned(),
            Self::Fault => "something went wrong here; please send it again".to_owned(),
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(json!({ "error": self.told() }))).into_response();
        let headers = response.headers_mut();
        match &self {
            Self::Method(methods) => {
                if let Ok(allow) = HeaderValue::from_str(&methods.join(", ")) {
                    headers.insert(header::ALLOW, allow);
                }
            }
            Self::TooMany(wait) => drop(headers.insert(header::RETRY_AFTER, seconds(*wait))),
            Self::Unavailable(_) => drop(headers.insert(header::RETRY_AFTER, seconds(COME_AGAIN_AFTER))),
            Self::HeadTooLarge | Self::TooLarge(_) | Self::Broken(_) | Self::TooSlow => {
                drop(headers.insert(header::CONNECTION, HeaderValue::from_static("close")))
            }
            Self::NoSource | Self::Unauthorized(_) | Self::Fault => {}
        }
        response
    }
}

fn seconds(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64)
}

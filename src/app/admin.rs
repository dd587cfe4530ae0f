//! The listener for operators: whether the program lives, whether it can take deliveries, and its numbers. Never exposed to
//! senders.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::watch;

use super::metrics::Metrics;
use super::sources::Sources;
use crate::http_client::client::HttpClient;
use crate::store::{Store, pools, records, tenants};
use crate::target::Targets;

/// What the pages are made from.
pub(super) struct Admin {
    pub(super) store: Store,
    pub(super) sources: Arc<Sources>,
    pub(super) http: Arc<HttpClient>,
    pub(super) targets: Targets,
    pub(super) metrics: Arc<Metrics>,
    pub(super) simulated: Vec<String>,
    pub(super) stopping: watch::Receiver<bool>,
}

/// The routes of this listener.
pub(super) fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(admin))
}

/// Ready as long as deliveries can be stored: one bad route file does not take the others away from their senders.
async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let stopping = *admin.stopping.borrow();
    let state = tenants::list(&admin.store).await.map(|_| ()).map_err(|error| error.to_string());
    let status = if stopping || state.is_err() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let details = json!({
        "ready": status == StatusCode::OK,
        "stopping": stopping,
        "state": match &state { Ok(()) => "ok", Err(reason) => reason },
        "sources": admin.sources.statuses(),
        "problems": admin.sources.problems(),
        "simulated_apis": admin.simulated,
    });
    (status, Json(details)).into_response()
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let counts = records::counts(&admin.store).await.ok();
    let attention = pools::needing_attention(&admin.store).await.ok();
    admin.metrics.set_ended(&admin.store.ended().all());
    let (statuses, circuits, targets) = (admin.sources.statuses(), admin.http.circuits(), admin.targets.health());
    let text = admin.metrics.text(&statuses, &circuits, attention.as_deref(), &targets, counts.as_deref());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

//! The handler of all webhooks: match, read, authenticate, admit, store, answer. A 2xx leaves only after the commit.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;

use super::address::Addresses;
use super::authenticate::{Arrived, Gate, Verified};
use super::failures::{self, Failures};
use super::handshake::{self, Reminders};
use super::rate::Rates;
use super::rejected::Rejected;
use super::rejection::Rejection;
use super::reply::{About, Answer};
use super::{answer, body, reply};
use crate::auth::caller::Caller;
use crate::clock::Timestamp;
use crate::http_client::client::HttpClient;
use crate::model::answered::Answered;
use crate::model::delivery::{AdmittedDelivery, Appended, DeliveryId, Request};
use crate::routes::registry::Registry;
use crate::routes::source::Source;
use crate::routes::table::{Matched, RouteTable};
use crate::steps::admission::{Arrival, Received};
use crate::store::{Store, inbox, integrations};

/// What the handler works with.
pub struct Intake {
    registry: Arc<Registry>,
    pub(super) store: Store,
    pub(super) gate: Gate,
    addresses: Addresses,
    pub(super) rates: Rates,
    pub(super) failures: Failures,
    pub(super) reminders: Reminders,
    rejected: Arc<Rejected>,
    closed: AtomicBool,
}

impl Intake {
    /// An open intake.
    pub fn new(registry: Arc<Registry>, store: Store, http: Arc<HttpClient>, addresses: Addresses) -> Arc<Self> {
        let gate = Gate::new(store.clone(), http);
        Arc::new(Self {
            registry,
            store,
            gate,
            addresses,
            rates: Rates::default(),
            failures: Failures::default(),
            reminders: Reminders::default(),
            rejected: Arc::default(),
            closed: AtomicBool::new(false),
        })
    }

    /// The requests that were refused lately.
    pub fn rejected(&self) -> &Arc<Rejected> {
        &self.rejected
    }

    /// From now on senders are told to come again: the program is about to stop.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.store.waiting().close();
    }

    /// The routes of the listener that webhooks come to: all of them.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new().fallback(receive).with_state(Arc::clone(self))
    }
}

/// What stood in the place of a path's parameters, by name.
type Parameters = Vec<(String, String)>;

/// What a request came to.
enum Outcome {
    Stored(DeliveryId, Appended, Answer),
    Handshake(Answered),
}

/// Answers one request.
async fn receive(State(intake): State<Arc<Intake>>, request: axum::extract::Request) -> Response {
    let method = request.method().clone();
    let source = OnceLock::new();
    let outcome = AssertUnwindSafe(outcome_of(&intake, request, &source)).catch_unwind().await;
    match outcome.unwrap_or(Err(Rejection::Fault)) {
        Ok(Outcome::Stored(id, appended, reply)) => answer::stored(id, appended, reply),
        Ok(Outcome::Handshake(answered)) => answer::handshake(answered),
        Err(rejection) => {
            let (reason, findings) = (rejection.reason(), rejection.findings().join("; "));
            let known = source.get();
            // of a path that is nobody's nothing is shown: any of it may be a key that the sender put there
            let (source, place) = (known.map(|known| known.name.as_str()), known.map(|known| known.receive.path_text()));
            tracing::info!(source, http.method = %method, http.place = place, reason, findings, "request rejected");
            rejection.into_response()
        }
    }
}

/// Answers a request whose source, once it is known, is noted in `known`.
async fn outcome_of(
    intake: &Intake,
    request: axum::extract::Request,
    known: &OnceLock<Arc<Source>>,
) -> Result<Outcome, Rejection> {
    refuse_when_closed(intake)?;
    let table = intake.registry.table();
    let (parts, stream) = request.into_parts();
    body::refuse_long_head(&parts)?;
    let mut request = body::head(&parts, peer_of(&parts));
    let url = intake.addresses.url(&request);
    request.peer = intake.addresses.client(&request);
    let (source, params) = find(&table, &request)?;
    let _ = known.set(Arc::clone(&source));
    let read = read_body(&source, &mut request, &parts, stream).await;
    let arrived = Arrived { source: &source, request: &request, params: &params, url: &url };
    let outcome = match read {
        Ok(()) => handshake_or_delivery(intake, arrived).await,
        Err(rejection) => Err(rejection),
    };
    match outcome {
        Ok(outcome) => Ok(outcome),
        Err(rejection) => {
            let rejection = intake.rejected.note(&intake.gate, arrived, rejection, intake.store.clock().now()).await;
            Err(failures::slow(intake, arrived, rejection).await)
        }
    }
}

async fn read_body(source: &Source, request: &mut Request, parts: &Parts, stream: Body) -> Result<(), Rejection> {
    body::refuse_unknown_encodings(request)?;
    request.body = body::read(parts, stream, source.receive.max_body, body::LONGEST).await?;
    Ok(())
}

async fn handshake_or_delivery(intake: &Intake, arrived: Arrived<'_>) -> Result<Outcome, Rejection> {
    if let Some(answered) = handshake::answered(intake, arrived).await? {
        return Ok(Outcome::Handshake(answered));
    }
    let source = arrived.source;
    refuse_method_of_handshakes(source, arrived.request)?;
    let Verified { caller, received, .. } = intake.gate.authenticate(arrived).await?;
    limit(intake, source, &caller)?;
    // decoded once, and not before the sender is known unless that needs it
    let received = match received {
        Some(received) => received,
        None => arrived.received()?,
    };
    let (delivery, reply) = admit(intake, source, arrived.request.clone(), received, &caller);
    let (id, appended) = store(intake, &caller, delivery).await?;
    let reply = match (reply, appended) {
        (Answer::Later(later), Appended::Stored) => later.answer(&intake.store).await,
        (reply, _) => reply,
    };
    Ok(Outcome::Stored(id, appended, reply))
}

fn refuse_when_closed(intake: &Intake) -> Result<(), Rejection> {
    if intake.closed.load(Ordering::SeqCst) { Err(Rejection::Unavailable("the program is stopping".to_owned())) } else { Ok(()) }
}

/// A method that only handshakes let in delivers nothing.
fn refuse_method_of_handshakes(source: &Source, request: &Request) -> Result<(), Rejection> {
    let methods = &source.receive.methods;
    if methods.contains(&request.method) { Ok(()) } else { Err(Rejection::Method(methods.clone())) }
}

fn peer_of(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.ip())
}

fn find(table: &RouteTable, request: &Request) -> Result<(Arc<Source>, Parameters), Rejection> {
    match table.find(request) {
        Matched::Source(source, params) => Ok((Arc::clone(source), params)),
        Matched::NotReady(source, reason) => Err(Rejection::Unavailable(format!("the source `{source}` is not ready: {reason}"))),
        Matched::WrongMethod(methods) => Err(Rejection::Method(methods.into_iter().map(str::to_owned).collect())),
        Matched::Nothing => Err(Rejection::NoSource),
    }
}

fn limit(intake: &Intake, source: &Source, caller: &Caller) -> Result<(), Rejection> {
    let Some(rate) = source.receive.rate else { return Ok(()) };
    let tenant = caller.tenant().map_or(0, |tenant| tenant.id);
    intake.rates.admit(&source.name, tenant, rate, intake.store.clock().now()).map_err(Rejection::TooMany)
}

/// From a verified request to a delivery that nothing but the commit can fail, and what its sender is answered after it.
fn admit(intake: &Intake, source: &Source, request: Request, received: Received, caller: &Caller) -> (AdmittedDelivery, Answer) {
    let received_at: Timestamp = intake.store.clock().now();
    let id = DeliveryId::at(received_at);
    let stored = caller.to_stored();
    let snapshot = intake.store.integrations();
    let work_key = intake.store.work_key();
    let arrival = Arrival { delivery: id, received_at, caller: &stored, attempt: 1, work_key, integrations: &snapshot };
    let integration = stored.integration.and_then(|id| snapshot.by_id(id));
    let mask = source.mask_for(&received.document, integration.as_deref());
    let masked = source.masked_view(&request, &received, &mask);
    let items = source.admission.items(&request, received, arrival, None);
    let reply = reply::of(&items, &intake.store, About { source: &source.name, delivery: id, received_at, mask: &mask });
    let records: Vec<_> = items.into_iter().map(|item| item.into_record().masked(&mask)).collect();
    records.iter().filter_map(|record| record.integration).for_each(|id| integrations::used(&intake.store, id));
    let delivery = AdmittedDelivery {
        id,
        source: source.name.clone(),
        received_at,
        caller: stored,
        request,
        masked,
        bundle_hash: source.bundle_hash,
        admit_hash: source.admit_hash,
        records,
    };
    (delivery, reply)
}

/// The only way into the inbox: with a verified caller.
async fn store(intake: &Intake, _verified: &Caller, delivery: AdmittedDelivery) -> Result<(DeliveryId, Appended), Rejection> {
    let id = delivery.id;
    let appended = inbox::append(&intake.store, delivery).await.map_err(|error| Rejection::Unavailable(error.to_string()))?;
    Ok((id, appended))
}

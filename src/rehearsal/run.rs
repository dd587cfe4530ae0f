//! One test from beginning to end: a throwaway project, the rows that are there before, one request through the real handler,
//! the real workers until nothing is open, and a comparison with what was expected.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderName, HeaderValue, Request};
use tokio::sync::Notify;
use tower::ServiceExt as _;

use super::answered::Answer;
use super::blank::Blank;
use super::cases::{Case, Expected};
use super::compare::{Row, compare};
use super::equip::{Age, Equipped, Sender};
use super::forwarded;
use super::made_up;
use super::project::Project;
use super::report::{Mismatch, Outcome, Seen, SeenRecord, Verdict};
use super::send::WebhookRequest;
use super::suite::Suite;
use crate::intake::address::Addresses;
use crate::model::delivery::DeliveryId;
use crate::model::failure::Failure;
use crate::model::integration::Integration;
use crate::model::record::{RecordState, RecordSummary};
use crate::model::tenant::Tenant;
use crate::steps::reply::DELIVERY;
use crate::store::{Store, integrations, onboarding, records, tenants};
use crate::target::inspect::{ColumnKind, ColumnSchema};
use crate::target::{Database, Targets};

/// The largest answer that is read, in bytes; ours are far smaller.
const LARGEST_ANSWER: usize = 1 << 20;
/// The database of tables that the source does not write.
const DEFAULT_DATABASE: &str = "main";

/// Runs a test.
pub async fn run(suite: &Suite, case: &Case) -> Outcome {
    let started = Instant::now();
    let verdict = verdict_of(suite, case).await.unwrap_or_else(Verdict::Broken);
    outcome(suite, case, verdict, started)
}

/// What a test came to that was begun then.
pub(super) fn outcome(suite: &Suite, case: &Case, verdict: Verdict, started: Instant) -> Outcome {
    let (path, name) = (suite.path.clone(), case.name.clone());
    Outcome { path, line: case.line, name, took: started.elapsed(), verdict, variants: Vec::new() }
}

async fn verdict_of(suite: &Suite, case: &Case) -> Result<Verdict, String> {
    let blank = suite.blank().await?;
    let project = Project::new(blank, case.answers.clone()).await?;
    let verdict = rehearse(suite, blank, case, &project).await;
    project.close().await;
    verdict
}

async fn rehearse(suite: &Suite, blank: &Blank, case: &Case, project: &Project) -> Result<Verdict, String> {
    prepare(suite, blank, case, project).await?;
    let request = equip(suite, case, project, Age::Fresh).await?.request;
    let mut seen = receive_and_work(project, &request).await?;
    look_at(suite, project, &mut seen).await?;
    let mismatches = mismatches(suite, blank, case, project, &seen).await?;
    Ok(if mismatches.is_empty() { Verdict::Passed } else { Verdict::Failed { mismatches, seen } })
}

/// What is not as a test expects, of what was seen and of what it left in its project.
pub(super) async fn mismatches(
    suite: &Suite,
    blank: &Blank,
    case: &Case,
    project: &Project,
    seen: &Seen,
) -> Result<Vec<Mismatch>, String> {
    let mut mismatches = compare_values(&case.expected, seen, project.recorded.calls().len());
    if let Some(expected) = &case.expected.forwards {
        let sent: Vec<forwarded::Sent> = project.recorded.forwards().iter().map(forwarded::Sent::from).collect();
        mismatches.extend(forwarded::compare(expected, &sent));
    }
    for (table, rows) in &case.expected.rows {
        let database = database(suite, &project.tools.targets, table)?;
        let columns = blank.columns(database.name(), table);
        mismatches.extend(compare_rows(database, columns, table, rows, |_| true).await);
    }
    Ok(mismatches)
}

/// Makes what is there before the request comes.
pub(super) async fn prepare(suite: &Suite, blank: &Blank, case: &Case, project: &Project) -> Result<(), String> {
    for (table, rows) in &case.given {
        let database = database(suite, &project.tools.targets, table)?;
        give(case, database, blank.columns(database.name(), table), table, rows).await?;
    }
    open_window(suite, &project.tools.store).await
}

/// Makes the rows that are there before; those that name no tenant are the sender's where the table has tenants.
pub(super) async fn give(
    case: &Case,
    database: &Database,
    columns: &[ColumnSchema],
    table: &str,
    rows: &[Row],
) -> Result<(), String> {
    let mut rows = rows.to_vec();
    if let (Some(column), Some(tenant)) = (find_column(columns, database.tenant_column()), &case.tenant) {
        for row in rows.iter_mut().filter(|row| !row.keys().any(|name| name.eq_ignore_ascii_case(&column.name))) {
            row.insert(column.name.clone(), tenant.clone().into());
        }
    }
    let given = database.insert_rows(table, &rows).await;
    given.map_err(|failure| format!("the rows given for `{table}` cannot be made: {}", failure.reason))
}

/// Adds the credentials of a test to its request.
pub(super) async fn equip(suite: &Suite, case: &Case, project: &Project, age: Age) -> Result<Equipped, String> {
    equip_in(suite, case, &project.tools.store, age).await
}

/// The same with any state, in which the tenant and its integration are made.
pub(super) async fn equip_in(suite: &Suite, case: &Case, store: &Store, age: Age) -> Result<Equipped, String> {
    let credentials = match (age, &case.stale) {
        (Age::Stale, Some(stale)) => stale,
        _ => &case.credentials,
    };
    let integration = set_up(suite, case, store).await?;
    let tenant = if case.tenant.is_some() { Some(sending_tenant(case, store).await?) } else { None };
    let sender = Sender {
        store,
        source: &suite.source,
        tenant: tenant.as_ref(),
        integration: integration.as_deref(),
        api_key: None,
        purpose: "test",
        claims: &case.claims,
        addresses: &Addresses::default(),
        age,
    };
    super::equip::equip(case.request.clone(), credentials, &sender).await
}

/// Makes the tenant's integration, where the source needs one.
async fn set_up(suite: &Suite, case: &Case, store: &Store) -> Result<Option<Arc<Integration>>, String> {
    let rule = suite.source.integration();
    let all_come_along = case.integration.is_empty() && rule.fields.iter().all(|field| field.from.is_some());
    let is_stored = rule.is_declared && (rule.names_tenant() || !all_come_along);
    let by_scheme = suite.source.auth.leaves().into_iter().any(|scheme| scheme.endpoint_place().is_some());
    if case.tenant.is_none() || !(is_stored || by_scheme) {
        return Ok(None);
    }
    let tenant = sending_tenant(case, store).await?;
    let snapshot = store.integrations();
    if let Some(known) = snapshot.of_tenant(&suite.source.name, tenant.id).first() {
        return Ok(Some(Arc::clone(known)));
    }
    let (open, secret) = made_up::fields_of(rule, &case.integration, None);
    let fields = integrations::Fields { open, secret };
    let added = integrations::add(store, &tenant, &suite.source.name, "test", fields, &[]).await;
    added.map(Some).map_err(|error| error.to_string())
}

async fn sending_tenant(case: &Case, store: &Store) -> Result<Tenant, String> {
    let name = case.tenant.as_deref().unwrap_or_default();
    let found = tenants::find_by_name(store, name).await.map_err(|error| error.to_string())?;
    match found {
        Some(tenant) => Ok(tenant),
        None => tenants::add(store, name).await.map_err(|error| error.to_string()),
    }
}

/// Receives a request and does its work; a sender that waits for that does so meanwhile.
async fn receive_and_work(project: &Project, request: &WebhookRequest) -> Result<Seen, String> {
    let waiting = project.tools.store.waiting();
    let answered = Notify::new();
    let receiving = async {
        let seen = receive(project, request).await;
        answered.notify_one();
        seen
    };
    let working = async {
        tokio::select! {
            () = answered.notified() => {}
            () = waiting.begun() => {}
        }
        let worked = project.settle().await;
        // nothing more will happen
        waiting.release();
        worked
    };
    let (seen, worked) = tokio::join!(receiving, working);
    worked?;
    seen
}

pub(super) async fn receive(project: &Project, request: &WebhookRequest) -> Result<Seen, String> {
    let mut builder = Request::builder().method(request.method.as_str()).uri(request.target());
    for (name, value) in request.all_headers() {
        builder = builder.header(name, value);
    }
    if let Some(client) = request.client {
        builder = builder.extension(ConnectInfo(SocketAddr::from((client, 0))));
    }
    let built = builder.body(Body::from(request.bytes())).map_err(|error| format!("the request cannot be sent: {error}"))?;
    let Ok(response) = project.intake.router().oneshot(built).await;
    let status = response.status().as_u16();
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let headers = response.headers().iter().map(text).collect();
    let body = to_bytes(response.into_body(), LARGEST_ANSWER).await.map_err(|error| error.to_string())?;
    Ok(Seen { status, headers, body: String::from_utf8_lossy(&body).into_owned(), ..Seen::default() })
}

/// Opens the onboarding window of a source whose handshakes show something.
pub(super) async fn open_window(suite: &Suite, store: &Store) -> Result<(), String> {
    if suite.source.handshakes.show_something() {
        let opened = onboarding::open(store, &suite.source.name).await;
        opened.map_err(|error| error.to_string())?;
    }
    Ok(())
}

async fn shown(suite: &Suite, store: &Store) -> Result<Vec<(String, String)>, String> {
    let values = onboarding::values(store, &suite.source.name).await.map_err(|error| error.to_string())?;
    Ok(values.into_iter().map(|value| (value.name, value.value.expose().to_owned())).collect())
}

/// The delivery that an answer is about: a reply of the route file has it in a header.
pub(super) fn delivery_of(headers: &[(String, String)], body: &str) -> Option<DeliveryId> {
    if let Some((_, id)) = headers.iter().find(|(name, _)| name == DELIVERY) {
        return id.parse().ok();
    }
    serde_json::from_str::<serde_json::Value>(body).ok()?.get("delivery")?.as_str()?.parse().ok()
}

/// What became of the request.
pub(super) async fn look_at(suite: &Suite, project: &Project, seen: &mut Seen) -> Result<(), String> {
    look_in(suite, &project.tools.store, seen).await
}

/// The same with any state.
pub(super) async fn look_in(suite: &Suite, store: &Store, seen: &mut Seen) -> Result<(), String> {
    seen.shown = shown(suite, store).await?;
    let Some(delivery) = delivery_of(&seen.headers, &seen.body) else { return Ok(()) };
    let details = records::show(store, delivery).await.map_err(|error| error.to_string())?;
    let Some(details) = details else { return Ok(()) };
    seen.worst = details.records.iter().map(|record| record.state).max_by_key(|state| badness(*state));
    let record = |record: RecordSummary| SeenRecord {
        number: record.number,
        state: record.state.word().to_owned(),
        attempts: record.attempts,
        reason: record.reason,
        event: record.event,
    };
    seen.records = details.records.into_iter().map(record).collect();
    let (mut calls, mut changes) = (Vec::new(), Vec::new());
    for attempt in details.attempts {
        calls.extend(attempt.attempt.calls);
        changes.extend(attempt.attempt.changes);
    }
    seen.changes = changes;
    seen.calls = calls
        .into_iter()
        .map(|call| match (call.status, call.error) {
            (Some(status), _) => format!("{} {} → {status}", call.method, call.url),
            (None, Some(error)) => format!("{} {}: {error}", call.method, call.url),
            (None, None) => format!("{} {}", call.method, call.url),
        })
        .collect();
    Ok(())
}

fn badness(state: RecordState) -> u8 {
    match state {
        RecordState::Done => 0,
        RecordState::Superseded => 1,
        RecordState::Ignored => 2,
        RecordState::Discarded => 3,
        RecordState::Waiting => 4,
        RecordState::Running => 5,
        RecordState::Held => 6,
        RecordState::Retrying => 7,
        RecordState::Dead => 8,
    }
}

pub(super) fn compare_values(expected: &Expected, seen: &Seen, calls: usize) -> Vec<Mismatch> {
    let worst = seen.worst;
    let mut mismatches = Vec::new();
    let mut differ = |what, expected: String, found: String| mismatches.push(Mismatch::Value { what, expected, found });
    if let Some(status) = expected.status.filter(|status| *status != seen.status) {
        differ("status", status.to_string(), seen.status.to_string());
    }
    if let Some(state) = expected.state.filter(|state| Some(*state) != worst) {
        differ("state", state.to_string(), worst.map_or("none: nothing was stored".to_owned(), |state| state.to_string()));
    }
    let reasons = || seen.records.iter().filter_map(|record| record.reason.as_deref());
    if let Some(reason) = expected.reason.as_ref().filter(|part| !reasons().any(|reason| reason.contains(part.as_str()))) {
        let found = reasons().collect::<Vec<_>>().join("; ");
        differ("reason", format!("…{reason}…"), if found.is_empty() { "none".to_owned() } else { found });
    }
    if let Some(number) = expected.calls.filter(|number| *number != calls) {
        differ("calls", number.to_string(), calls.to_string());
    }
    mismatches.extend(expected.answer.compare(&Answer { body: &seen.body, headers: &seen.headers, shown: &seen.shown }));
    mismatches
}

/// The database that the source writes a table of this name to; the default one for a table that it does not write.
pub(super) fn database<'t>(suite: &Suite, targets: &'t Targets, table: &str) -> Result<&'t Database, String> {
    let writes = suite.source.admission.routes.iter().flat_map(|route| &route.pipeline.writes);
    let written = writes.into_iter().find(|write| write.table.eq_ignore_ascii_case(table));
    let name = written.map_or(DEFAULT_DATABASE, |write| write.database.as_str());
    targets.database(name).ok_or_else(|| format!("there is no database `{name}`"))
}

/// The columns of a table; none when there is no such table.
pub(super) async fn columns_of(database: &Database, table: &str) -> Result<Vec<ColumnSchema>, Failure> {
    let name = table.rsplit('.').next().unwrap_or(table);
    let found = database.tables().await?.into_iter().find(|found| found.name.eq_ignore_ascii_case(name));
    Ok(found.map(|found| found.columns).unwrap_or_default())
}

pub(super) fn find_column<'c>(columns: &'c [ColumnSchema], name: &str) -> Option<&'c ColumnSchema> {
    columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
}

/// How those rows of a table that count differ from what is expected.
pub(super) async fn compare_rows(
    database: &Database,
    columns: &[ColumnSchema],
    table: &str,
    expected: &[Row],
    counts: impl Fn(&Row) -> bool,
) -> Option<Mismatch> {
    let difference = async {
        let mut found = database.rows(table, None, &[]).await?;
        found.retain(&counts);
        let stored = database.as_stored(table, expected).await?;
        let kind = |name: &str| find_column(columns, name).map_or(ColumnKind::Unknown, |column| column.kind);
        Ok::<_, Failure>(compare(table, &stored, &found, kind))
    };
    match difference.await {
        Ok(difference) => difference.map(Mismatch::Rows),
        Err(failure) => Some(Mismatch::Table { table: table.to_owned(), reason: failure.reason }),
    }
}

//! One claimed lane brought to its rows: the record that stands for the claim, run by the route as it is now.

use std::sync::Arc;

use sha2::Digest as _;
use tokio::time::Instant;

use super::credentials::{Credentials, with_those_of_now};
use super::forward;
use super::retry::{Verdict, decide};
use super::trace::Trace;
use crate::expr::scope::SecretValues;
use crate::failpoint::reach;
use crate::http_client::client::HttpClient;
use crate::model::attempt::Outcome;
use crate::model::change::Change;
use crate::model::delivery::DeliveryId;
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Retry, Step};
use crate::model::forward::NewForward;
use crate::model::integration::Integrations;
use crate::model::lane::Claim;
use crate::model::record::{ClaimedRecord, RecordId};
use crate::model::retry::RetryPolicy;
use crate::routes::registry::Registry;
use crate::routes::source::Source;
use crate::secret::{GrowingMask, Mask};
use crate::steps::admission::{Arrival, Chosen, Item, NotChosen};
use crate::steps::forward::{Asking, HOP, asked_for, hops};
use crate::steps::pipeline::{LONGEST_FETCH, Planned, RunContext};
use crate::store::lanes::{End, Ending};
use crate::store::records::StoredDelivery;
use crate::store::waiting::{Fetched, News};
use crate::store::{FinishError, Store, StoreError, lanes, records};
use crate::target::{Targets, Unit, WriteError};

/// What a worker works with.
#[derive(Clone)]
pub struct Tools {
    /// The sources.
    pub registry: Arc<Registry>,
    /// The state.
    pub store: Store,
    /// Their tables.
    pub targets: Targets,
    /// The outgoing client.
    pub http: Arc<HttpClient>,
}

/// Why a record that belongs to another tenant by now is not run: its lane is the old one's.
pub(super) const MOVED: &str = "its integration belongs to another tenant by now; a replay admits it again";

/// Why a record that others passed while it failed is not run.
const MOVED_ON: &str = "the lane has moved on: others passed this one while it failed, and newer ones are done; a replay with `--apply-again --force` runs it";

/// How an attempt ended.
enum Ended {
    /// The rows are written, and this is to be sent.
    Done(Vec<NewForward>),
    Ignored(String),
    /// Others that passed it while it failed have taken effect.
    MovedOn,
    Failed(Failure),
    /// Someone else has the lane: nothing may be written, not even that this failed.
    LeaseLost,
}

/// What a record is run with.
struct Work<'a> {
    chosen: Chosen<'a>,
    document: EventDocument,
    secrets: SecretValues,
    /// How often its delivery was forwarded before.
    hops: u32,
    /// What was fetched for it, for those who wait.
    fetched: &'a mut Option<Fetched>,
}

/// Runs the last record of a claim for all of them (they are the same work), or sends its forward, and ends the claim.
pub async fn deliver(tools: &Tools, claim: &Claim) -> Result<(), FinishError> {
    if let Some(job) = &claim.forward {
        return forward::send(tools, claim, job).await;
    }
    let Some((last, merged)) = claim.records.split_last() else { return lanes::give_back(&tools.store, claim).await };
    let record = &ClaimedRecord {
        // what was merged since the last try does not make it a new one
        attempts: claim.records.iter().map(|record| record.attempts).max().unwrap_or(last.attempts),
        first_failed_at: claim.records.iter().filter_map(|record| record.first_failed_at).min(),
        ..last.clone()
    };
    let mut trace = Trace::start(record.attempts + 1, tools.store.clock().now());
    let mut policy = RetryPolicy::default();
    let mut fetched = None;
    let ended = attempt(tools, claim, record, &mut trace, &mut policy, &mut fetched).await;
    let merged: Vec<RecordId> = merged.iter().map(|record| record.id).collect();
    let news = if matches!(ended, Ended::Failed(_)) { News::Failed } else { News::Ended(fetched) };
    close(tools, claim, record, merged, ended, trace, policy).await?;
    let records = claim.records.iter().map(|record| (record.delivery, record.number));
    tools.store.waiting().tell(records, &news, tools.store.clock().now());
    Ok(())
}

async fn attempt(
    tools: &Tools,
    claim: &Claim,
    record: &ClaimedRecord,
    trace: &mut Trace,
    policy: &mut RetryPolicy,
    fetched: &mut Option<Fetched>,
) -> Ended {
    let stored = match records::request(&tools.store, record.delivery).await {
        Ok(stored) => stored,
        // what is gone does not come back
        Err(error @ StoreError::NotFound(_)) => return Ended::Failed(Failure::permanent(Step::Engine, error.to_string())),
        Err(error) => return Ended::Failed(Failure::passing(Step::Engine, error.to_string())),
    };
    let table = tools.registry.table();
    let Some(source) = table.source(&claim.source) else {
        return Ended::Failed(Failure::passing(Step::Engine, format!("the source `{}` is not there", claim.source)));
    };
    trace.bundle = hex::encode(source.bundle_hash);
    let integrations = tools.store.integrations();
    let which = Which { delivery: record.delivery, number: record.number, attempts: record.attempts };
    let Some(item) = admitted_again(tools, source, &stored, which, &integrations) else {
        return Ended::Failed(Failure::permanent(
            Step::Admission,
            format!("the delivery has no item {} any more", record.number),
        ));
    };
    trace.mask = source.mask_for(&item.document, item.integration.as_deref());
    trace.credentials = Some(Credentials::of(source, item.integration.as_ref()));
    if item.chosen.is_ok() && item.tenant != record.tenant {
        return Ended::Failed(Failure::permanent(Step::Admission, MOVED));
    }
    match item {
        Item { chosen: Ok(chosen), .. } if !chosen.runs_late() && was_overtaken(claim, record) => Ended::MovedOn,
        Item { chosen: Ok(chosen), document, integration, .. } => {
            *policy = chosen.route.retry;
            let secrets = source.secret_values(&document, integration.as_deref(), tools.store.clock().now().date());
            match secrets {
                Ok(secrets) => {
                    let hops = hops(stored.request.header(HOP));
                    run(tools, claim, record, source, Work { chosen, document, secrets, hops, fetched }, trace).await
                }
                Err(failure) => Ended::Failed(failure),
            }
        }
        Item { chosen: Err(NotChosen::Ignored(reason)), .. } => Ended::Ignored(reason),
        Item { chosen: Err(NotChosen::Failed(failure)), .. } => Ended::Failed(failure),
    }
}

/// Whether others passed a record, and what came later than all records of the claim has taken effect since.
fn was_overtaken(claim: &Claim, record: &ClaimedRecord) -> bool {
    let newest = claim.records.iter().map(|one| one.first_run).max();
    record.passed.is_some_and(|passed| claim.done_record > newest && claim.done_record > Some(passed))
}

/// Which record is admitted again, and how often it was tried.
#[derive(Clone, Copy)]
pub(super) struct Which {
    pub(super) delivery: DeliveryId,
    pub(super) number: u32,
    pub(super) attempts: u32,
}

/// The item of a delivery as the file makes it now.
pub(super) fn admitted_again<'s>(
    tools: &Tools,
    source: &'s Source,
    stored: &StoredDelivery,
    Which { delivery, number, attempts }: Which,
    integrations: &Integrations,
) -> Option<Item<'s>> {
    let params = source.receive.path_parameters(&stored.request.path).unwrap_or_default();
    let arrival = Arrival {
        delivery,
        received_at: stored.received_at,
        caller: &stored.caller,
        attempt: attempts + 1,
        work_key: tools.store.work_key(),
        integrations,
    };
    source
        .admission
        .items(&stored.request, source.admission.read(&stored.request, &params), arrival, Some(number..=number))
        .into_iter()
        .next_back()
}

async fn run(tools: &Tools, claim: &Claim, record: &ClaimedRecord, source: &Source, work: Work<'_>, trace: &mut Trace) -> Ended {
    let Work { chosen, mut document, secrets, hops, fetched } = work;
    let admitted: Vec<String> = document.names().map(str::to_owned).collect();
    let request = ["method", "path", "query", "query_all", "params", "headers", "headers_all", "body", "raw"];
    let own: Vec<&str> = admitted.iter().map(String::as_str).filter(|name| !request.contains(name)).collect();
    trace.step("admission", &document, &own);
    let tenant = record.tenant.as_ref().map(|tenant| tenant.name.as_str());
    let integration = document.get("integration").and_then(|integration| integration.get("id")).map(ToString::to_string);
    let mask = GrowingMask::new(trace.mask.clone());
    let context = RunContext {
        http: &tools.http,
        secrets: &secrets,
        scope: &format!("{}/{}/{}", source.name, tenant.unwrap_or_default(), integration.unwrap_or_default()),
        attempt: &format!("{}/{}/{}/{}", record.delivery, record.number, record.run, record.attempts),
        credentials_came_along: source.integration().brings_secrets(&document),
        fresh_after: claim.records.iter().map(|record| record.received_at).max().unwrap_or(record.received_at),
        mask: &mask,
        tenant,
        failed_before: record.attempts,
        calls_until: Instant::now() + LONGEST_FETCH,
    };
    reach("fetch.before");
    let planned = chosen.route.pipeline.run(&mut document, chosen.gone, &context, &mut trace.calls).await;
    reach("fetch.after");
    trace.notes = document.notes().to_vec();
    trace.mask = Mask::clone(&mask.now());
    let answers: Vec<&str> = chosen.route.pipeline.enrich.calls().map(|call| call.name.as_str()).collect();
    trace.step("enrich", &document, &answers);
    let known = answers.iter().chain(&["gone"]).filter_map(|name| Some(((*name).to_owned(), Arc::clone(document.get(name)?))));
    *fetched = Some(Fetched(known.collect()));
    match planned {
        Ok(Planned::Changes(changes)) => {
            let gone = document.get("gone").is_some_and(|gone| **gone == true);
            let asking = Asking { gone, hops, secrets: &secrets, now: tools.store.clock().now() };
            let routes = if record.forwards { chosen.route.forwards.as_slice() } else { &[] };
            // what cannot be asked for is known before any row is written
            match asked_for(routes, &document, asking) {
                Ok(forwards) => write(tools, claim, record, changes, forwards, trace).await,
                Err(failure) => Ended::Failed(failure),
            }
        }
        Ok(Planned::Nothing(reason)) => Ended::Ignored(reason),
        Err(failure) => Ended::Failed(failure),
    }
}

/// One transaction per database, in file order. One that took effect before is known by its mark and passed over.
async fn write(
    tools: &Tools,
    claim: &Claim,
    record: &ClaimedRecord,
    changes: Vec<Change>,
    forwards: Vec<NewForward>,
    trace: &mut Trace,
) -> Ended {
    let mut by_database: Vec<(String, Vec<Change>)> = Vec::new();
    for change in changes {
        match by_database.iter_mut().find(|(name, _)| *name == change.database) {
            Some((_, own)) => own.push(change),
            None => by_database.push((change.database.clone(), vec![change])),
        }
    }
    for (name, own) in by_database {
        let Some(database) = tools.targets.database(&name) else {
            return Ended::Failed(Failure::passing(Step::Write, format!("there is no database `{name}`")));
        };
        let others: Vec<[u8; 16]> = claim.others.iter().map(|lane| lane.hash).collect();
        let (mark, lane, fence) = (mark(tools, record), claim.lane_hash, claim.fence);
        let unit = Unit { mark, lane, others: &others, fence, is_late: is_late(claim), changes: &own };
        match database.apply(unit).await {
            Ok(applied) => trace.changed(applied.changes),
            Err(WriteError::LeaseLost) => return Ended::LeaseLost,
            Err(WriteError::Failed(failure)) => return Ended::Failed(failure),
        }
    }
    Ended::Done(forwards)
}

/// Whether what has the same version as a claim may be what came behind it in its lane: all of it ran before, or something newer did.
fn is_late(claim: &Claim) -> bool {
    let newest = claim.records.iter().map(|one| one.first_run).max();
    claim.records.iter().all(|one| one.run > 1) || claim.done_record > newest
}

/// What a target knows this run of this record by.
fn mark(tools: &Tools, record: &ClaimedRecord) -> [u8; 32] {
    let hash = sha2::Sha256::new()
        .chain_update(tools.store.state_id().as_bytes())
        .chain_update(record.delivery.0.as_bytes())
        .chain_update(record.number.to_be_bytes())
        .chain_update(record.run.to_be_bytes());
    hash.finalize().into()
}

async fn close(
    tools: &Tools,
    claim: &Claim,
    record: &ClaimedRecord,
    superseded: Vec<RecordId>,
    ended: Ended,
    trace: Trace,
    policy: RetryPolicy,
) -> Result<(), FinishError> {
    let now = tools.store.clock().now();
    let store = &tools.store;
    let ending = |end, attempt| Ending { record: record.id, superseded, end, attempt: Some(attempt), forwards: Vec::new() };
    match ended {
        Ended::LeaseLost => Err(FinishError::LeaseLost),
        Ended::Done(forwards) => {
            let ending = ending(End::Done, trace.end(Outcome::Done, now));
            lanes::finish(store, claim, Ending { forwards, ..ending }).await
        }
        Ended::MovedOn => {
            let attempt = trace.end(Outcome::Ignored { reason: MOVED_ON.to_owned() }, now);
            lanes::finish(store, claim, ending(End::Superseded(MOVED_ON.to_owned()), attempt)).await
        }
        Ended::Ignored(reason) => {
            let reason = trace.mask.text(&reason);
            let attempt = trace.end(Outcome::Ignored { reason: reason.clone() }, now);
            lanes::finish(store, claim, ending(End::Ignored(reason), attempt)).await
        }
        Ended::Failed(failure) => {
            let failure = Failure { reason: trace.mask.text(&failure.reason), ..failure };
            let verdict = decide(&failure, &policy, record.attempts, record.first_failed_at, now, chance());
            let verdict = with_those_of_now(tools, verdict, &failure, &trace, now).await;
            tracing::info!(
                delivery.id = %record.delivery,
                record = record.number,
                source = claim.source,
                attempt = record.attempts + 1,
                step = ?failure.step,
                reason = failure.reason,
                verdict = verdict_word(&verdict),
                "attempt failed"
            );
            let reason = failure.reason.clone();
            let is_refused = failure.retry == Retry::Credentials;
            let attempt = trace.end(Outcome::Failed { failure }, now);
            match verdict {
                Verdict::LetPass(at) => lanes::let_pass(store, claim, record.id, attempt, reason, at).await,
                Verdict::Again(at) => lanes::retry(store, claim, record.id, attempt, reason, at).await,
                Verdict::Hold(until) if is_refused => {
                    lanes::hold_for_credentials(store, claim, until, reason, (record.id, attempt)).await
                }
                Verdict::Hold(until) => lanes::hold(store, claim, until, reason, Some((record.id, attempt))).await,
                Verdict::Bury(reason) => lanes::finish(store, claim, ending(End::Dead(reason), attempt)).await,
            }
        }
    }
}

pub(super) fn verdict_word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Again(_) => "tried again",
        Verdict::LetPass(_) => "tried again, others may pass",
        Verdict::Hold(_) => "held",
        Verdict::Bury(_) => "dead",
    }
}

/// A number in 0..1, so that records that failed together are not tried again together.
pub(super) fn chance() -> f64 {
    let mut bytes = [0; 4];
    // without randomness the middle is as good as any
    getrandom::fill(&mut bytes).map_or(0.5, |()| f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX))
}

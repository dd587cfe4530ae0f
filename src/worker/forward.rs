//! One forward brought to its target: made anew from the request that is kept and what was fetched for it, with the credentials and the
//! route file as they are now, so that what waits or died is mended with them.

use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::credentials::{Credentials, with_those_of_now};
use super::deliver::{MOVED, Tools, Which, admitted_again, chance, verdict_word};
use super::retry::{Verdict, decide};
use super::trace::Trace;
use crate::clock::Timestamp;
use crate::failpoint::reach;
use crate::http_client::call::Call;
use crate::model::attempt::{Outcome, StepTrace};
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Retry, Step};
use crate::model::forward::{ClaimedForward, ForwardContent};
use crate::model::lane::Claim;
use crate::model::retry::RetryPolicy;
use crate::secret::{GrowingMask, Mask};
use crate::steps::admission::{Chosen, NotChosen};
use crate::steps::forward::{Forward, HOP, hops};
use crate::steps::forward_request::Sending;
use crate::steps::pipeline::{LONGEST_FETCH, RunContext};
use crate::store::forwards::{self, Sent};
use crate::store::records::StoredDelivery;
use crate::store::{FinishError, StoreError, records};

/// The most of a body that was sent that is kept, in bytes.
const SHOWN: usize = 4096;

/// Sends a forward and ends the claim.
pub(super) async fn send(tools: &Tools, claim: &Claim, job: &ClaimedForward) -> Result<(), FinishError> {
    let mut trace = Trace::start(job.attempts + 1, tools.store.clock().now());
    let mut policy = RetryPolicy::default();
    let result = try_to_send(tools, claim, job, &mut trace, &mut policy).await;
    let now = tools.store.clock().now();
    let (sent, outcome) = match result {
        Ok(()) => (Sent::Done, Outcome::Done),
        Err(failure) => {
            let failure = Failure { reason: trace.mask.text(&failure.reason), ..failure };
            let verdict = with_those_of_now(tools, verdict(&failure, &policy, job, now), &failure, &trace, now).await;
            tracing::info!(
                delivery.id = %job.delivery,
                forward.id = %job.id,
                forward.target = job.target,
                source = claim.source,
                attempt = job.attempts + 1,
                reason = failure.reason,
                verdict = verdict_word(&verdict),
                "a forward failed"
            );
            let reason = failure.reason.clone();
            let sent = match verdict {
                Verdict::Again(at) | Verdict::LetPass(at) => Sent::Again(at, reason),
                Verdict::Hold(until) if failure.retry == Retry::Credentials => Sent::Refused(until, reason),
                Verdict::Hold(until) => Sent::Held(until, reason),
                Verdict::Bury(reason) => Sent::Dead(reason),
            };
            (sent, Outcome::Failed { failure })
        }
    };
    forwards::finish(&tools.store, claim, job, sent, &trace.end(outcome, now)).await
}

/// As for records, but that one whose target has failed for so long is given up on also while its circuit is open.
fn verdict(failure: &Failure, policy: &RetryPolicy, job: &ClaimedForward, now: Timestamp) -> Verdict {
    let is_over = job.first_failed_at.is_some_and(|first| now > first + policy.give_up_after);
    let failure = match failure.retry {
        Retry::NotBefore { at, hold: true } if is_over => {
            &Failure { retry: Retry::NotBefore { at, hold: false }, ..failure.clone() }
        }
        _ => failure,
    };
    decide(failure, policy, job.attempts, job.first_failed_at, now, chance())
}

async fn try_to_send(
    tools: &Tools,
    claim: &Claim,
    job: &ClaimedForward,
    trace: &mut Trace,
    policy: &mut RetryPolicy,
) -> Result<(), Failure> {
    let engine = |error: StoreError| match error {
        StoreError::NotFound(_) => Failure::permanent(Step::Engine, error.to_string()),
        _ => Failure::passing(Step::Engine, error.to_string()),
    };
    let stored = records::request(&tools.store, job.delivery).await.map_err(engine)?;
    let content = forwards::content(&tools.store, claim, job).await.map_err(engine)?;
    let table = tools.registry.table();
    let source = table.source(&claim.source);
    let source = source.ok_or_else(|| Failure::passing(Step::Engine, format!("the source `{}` is not there", claim.source)))?;
    trace.bundle = hex::encode(source.bundle_hash);
    let integrations = tools.store.integrations();
    let which = Which { delivery: job.delivery, number: job.number, attempts: job.attempts };
    let item = admitted_again(tools, source, &stored, which, &integrations);
    let item = item.ok_or_else(|| dead(format!("the delivery has no item {} any more", job.number)))?;
    trace.mask = source.mask_for(&item.document, item.integration.as_deref());
    trace.credentials = Some(Credentials::of(source, item.integration.as_ref()));
    let chosen = match item.chosen {
        Ok(_) if item.tenant != claim.tenant => return Err(dead(MOVED)),
        Ok(chosen) => chosen,
        Err(NotChosen::Ignored(reason)) => return Err(dead(format!("the route file leaves its record alone now: {reason}"))),
        Err(NotChosen::Failed(failure)) => return Err(failure),
    };
    let forward = named(&chosen, &job.target)?;
    *policy = forward.retry;
    let secrets = source.secret_values(&item.document, item.integration.as_deref(), tools.store.clock().now().date())?;
    let integration = item.document.get("integration").and_then(|integration| integration.get("id")).map(ToString::to_string);
    let tenant = claim.tenant.as_ref().map(|tenant| tenant.name.as_str());
    let mask = GrowingMask::new(trace.mask.clone());
    let context = RunContext {
        http: &tools.http,
        secrets: &secrets,
        scope: &format!("{}/{}/{}", source.name, tenant.unwrap_or_default(), integration.unwrap_or_default()),
        attempt: &format!("{}/{}", job.id, job.attempts),
        credentials_came_along: source.integration().brings_secrets(&item.document),
        fresh_after: tools.store.clock().now(),
        mask: &mask,
        tenant,
        failed_before: job.attempts,
        calls_until: Instant::now() + LONGEST_FETCH,
    };
    let document = document_of(item.document, content);
    deliver(forward, &document, (&stored, &source.name, job), &context, trace).await
}

async fn deliver(
    forward: &Forward,
    document: &EventDocument,
    (stored, source, job): (&StoredDelivery, &str, &ClaimedForward),
    context: &RunContext<'_>,
    trace: &mut Trace,
) -> Result<(), Failure> {
    let sending = Sending {
        id: job.id,
        request: &stored.request,
        hops: hops(stored.request.header(HOP)),
        now: context.fresh_after,
        source,
    };
    reach("forward.before");
    let (calls, sent, result) = forward.send(document, sending, context).await;
    reach("forward.after");
    trace.mask = Mask::clone(&context.mask.now());
    trace.calls = calls;
    trace.steps.extend(sent.map(|call| StepTrace { step: "forward".to_owned(), added: shown(&call, &trace.mask) }));
    result
}

fn dead(reason: impl Into<String>) -> Failure {
    Failure::permanent(Step::Forward, reason)
}

fn named<'r>(chosen: &Chosen<'r>, target: &str) -> Result<&'r Forward, Failure> {
    let forward = chosen.route.forwards.iter().find(|forward| forward.name == target);
    forward.ok_or_else(|| dead(format!("the route file has no forward `{target}` for it any more")))
}

fn document_of(mut document: EventDocument, content: ForwardContent) -> EventDocument {
    Forward::add_content(&mut document, content);
    document
}

/// What was sent, without its secrets: the beginning of the body, and which headers it had.
fn shown(call: &Call, mask: &Mask) -> Json {
    let headers: Vec<&str> = call.headers.iter().map(|(name, _)| name.as_str()).collect();
    let body = call.body.as_ref().map(|(kind, content)| {
        let window = &content[..content.len().min(2 * SHOWN)];
        let masked = mask.text(&String::from_utf8_lossy(window));
        // the end of the window may cut a secret in two, which the mask does not find: what is shown stays away from it
        let last = if content.len() > window.len() { masked.len().saturating_sub(SHOWN) } else { masked.len() };
        let end = masked.floor_char_boundary(SHOWN.min(last));
        let more = if masked.len() > end { "…" } else { "" };
        json!({ "type": kind, "bytes": content.len(), "text": format!("{}{more}", &masked[..end]) })
    });
    json!({ "headers": headers, "body": body })
}

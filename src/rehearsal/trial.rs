//! One request through the real steps of a source, as far as they go without writing: the event document as each step leaves it, the
//! calls, the row operations and their statements. Answers come from the tests beside the file, unless calls are really made.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value as Json};
use tokio::time::Instant;

use super::cases::{self, Surrounding};
use super::made_up;
use super::project::START;
use super::tried_change::{TriedChange, shown};
use super::tried_forward::{TriedForward, Trying, try_forwards};
use super::tried_reply::{TriedReply, try_reply};
use crate::auth::secret::SecretReader;
use crate::clock::Clock;
use crate::config::diagnostic::Diagnostics;
use crate::config::source::Sources;
use crate::http_client::budget::MemoryBudget;
use crate::http_client::client::{ClientOptions, HttpClient};
use crate::http_client::recorded::{Recorded, RecordedAnswer};
use crate::model::attempt::{CallTrace, StepTrace};
use crate::model::caller::StoredCaller;
use crate::model::delivery::{DeliveryId, Request};
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};
use crate::model::integration::{Integration, Integrations};
use crate::model::record::RecordState;
use crate::model::tenant::Tenant;
use crate::payload::request::NAMES;
use crate::routes::compile::World;
use crate::routes::names::{BODY, INBOX};
use crate::routes::samples::read_tests;
use crate::routes::source::{Source, TenantRule};
use crate::routes::test_file::tests_of;
use crate::secret::{GrowingMask, Mask};
use crate::steps::admission::{Arrival, Chosen, Item, NotChosen};
use crate::steps::pipeline::{LONGEST_FETCH, Planned, RunContext};

/// The tenant that sends when nobody says which.
const SOMEONE: &str = "example";

/// What a request came to. Nothing in it is secret.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// The source.
    pub source: String,
    /// The tenant that was taken to send, when the source has tenants.
    pub tenant: Option<String>,
    /// How the sender would be verified; it is not.
    pub auth: &'static str,
    /// Its records.
    pub records: Vec<TriedRecord>,
}

/// What one record came to.
#[derive(Clone, Debug, Serialize)]
pub struct TriedRecord {
    /// Its place in the delivery, from 0.
    pub number: u32,
    /// Where its route stands: `routes[0].`, nothing when the file is itself the route.
    pub route: Option<String>,
    /// The lane it would wait in.
    pub lane: Option<String>,
    /// What each step added to the event document; what all records share only with the first.
    pub steps: Vec<StepTrace>,
    /// The calls that were made; one without a status found no recorded answer.
    pub calls: Vec<CallTrace>,
    /// How it ended.
    pub end: End,
    /// What would be sent elsewhere afterwards.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forwards: Vec<TriedForward>,
    /// What the sender would be answered; only of the first record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<TriedReply>,
}

/// How a record ended.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum End {
    /// These rows would change.
    Changes {
        /// In file order.
        changes: Vec<TriedChange>,
    },
    /// Nothing would be done.
    Ignored {
        /// Why not.
        reason: String,
    },
    /// A call has no recorded answer, so nothing is known of what follows.
    WouldCall,
    /// It would fail.
    Failed {
        /// Where and why.
        failure: Failure,
    },
}

/// Where answers come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answers {
    /// The tests beside the route file.
    Recorded,
    /// The provider's APIs.
    Live,
}

/// Secrets where none may be real: every declared one is `secret-NAME`.
pub struct StandIns;

impl SecretReader for StandIns {
    fn environment(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &str) -> Option<String> {
        None
    }

    fn today(&self) -> jiff::civil::Date {
        jiff::civil::Date::constant(2026, 1, 1)
    }

    fn stand_in(&self, name: &str) -> Option<String> {
        Some(format!("secret-{name}"))
    }
}

/// Tries a request. An error is one that keeps it from being tried at all.
pub async fn run(
    source: &Arc<Source>,
    request: &Request,
    tenant: Option<String>,
    answers: Answers,
    world: World<'_>,
) -> Result<Trial, String> {
    let params = params_of(source, request)?;
    let (recorded, tests_tenant) = recorded_of(source, world);
    let tenant = match &source.tenant {
        TenantRule::None => None,
        TenantRule::Named(name) => Some(name.clone()),
        TenantRule::Caller | TenantRule::Record => Some(tenant.or(tests_tenant).unwrap_or_else(|| SOMEONE.to_owned())),
    };
    let (clock, recorded) = match answers {
        Answers::Recorded => (Clock::manual(START), Some(Arc::new(Recorded::new(recorded)))),
        Answers::Live => (Clock::system(), None),
    };
    let http = HttpClient::new(ClientOptions {
        clock: clock.clone(),
        budget: Arc::new(MemoryBudget::new(clock.clone())),
        simulated: Vec::new(),
        recorded,
        user_agent: "hooktable-try".to_owned(),
    });
    let http = http.map_err(|error| error.to_string())?;
    let received_at = clock.now();
    let received = source.admission.read(request, &params);
    let owner = tenant.clone().map(|name| Tenant { id: 0, name });
    let rule = source.integration();
    let made_up = owner.clone().filter(|_| rule.is_declared);
    let made_up = made_up.map(|tenant| made_up::integration(rule, &source.name, tenant, &received.document, received_at));
    let integrations: Integrations = made_up.into_iter().map(Arc::new).collect();
    let caller = StoredCaller { tenant: owner, scheme: source.auth.word().to_owned(), ..StoredCaller::default() };
    let arrival = Arrival {
        delivery: DeliveryId::at(received_at),
        received_at,
        caller: &caller,
        attempt: 1,
        work_key: &[0; 32],
        integrations: &integrations,
    };
    let mut records = Vec::new();
    for item in source.admission.items(request, received, arrival, None) {
        records.push(try_item(source, item, Around { http: &http, arrival, request }).await);
    }
    Ok(Trial { source: source.name.clone(), tenant, auth: source.auth.word(), records })
}

/// The names of the events that a request holds, whoever sends it.
pub fn events_of(source: &Source, request: &Request) -> Vec<String> {
    items_of(source, request, |item| item.event.clone())
}

/// Where the routes stand that want it, whoever sends it, each with the number of the name among its events that fits.
pub fn kinds_of(source: &Source, request: &Request) -> Vec<(String, usize)> {
    items_of(source, request, |item| {
        let route = item.chosen.as_ref().ok()?.route;
        let event = item.event.as_deref().unwrap_or("*");
        let fitting = route.matcher.events.iter().position(|pattern| pattern.matches(event));
        Some((route.place.clone(), fitting.unwrap_or(0)))
    })
}

/// Tells something of every item of a request whose sender has an integration that was made up.
fn items_of<T>(source: &Source, request: &Request, tell: impl Fn(&Item<'_>) -> Option<T>) -> Vec<T> {
    let params = source.receive.path_parameters(&request.path).unwrap_or_default();
    let received = source.admission.read(request, &params);
    let owner = Tenant { id: 0, name: SOMEONE.to_owned() };
    let rule = source.integration();
    let made_up = rule.is_declared.then(|| made_up::integration(rule, &source.name, owner.clone(), &received.document, START));
    let integrations: Integrations = made_up.into_iter().map(Arc::new).collect();
    let caller = StoredCaller { tenant: Some(owner), ..StoredCaller::default() };
    let arrival = Arrival {
        delivery: DeliveryId::at(START),
        received_at: START,
        caller: &caller,
        attempt: 1,
        work_key: &[0; 32],
        integrations: &integrations,
    };
    source.admission.items(request, received, arrival, None).iter().filter_map(tell).collect()
}

fn params_of(source: &Source, request: &Request) -> Result<Vec<(String, String)>, String> {
    let receive = &source.receive;
    let wanted = format!("`{}` receives {} {}", source.name, receive.methods.join(" or "), receive.path_text());
    let Some(params) = receive.path_parameters(&request.path) else {
        return Err(format!("the path `{}` is not this source's: {wanted}", request.path));
    };
    if !receive.methods.contains(&request.method) {
        return Err(format!("the method `{}` is not this source's: {wanted}", request.method));
    }
    if !receive.values_match(request) {
        let names = receive.query.iter().map(|(name, _)| format!("`{name}` of the query"));
        let names: Vec<String> = names.chain(receive.headers.iter().map(|(name, _)| format!("the header `{name}`"))).collect();
        return Err(format!("the request is not this source's: it asks for other values of {}", names.join(" and ")));
    }
    Ok(params)
}

/// All answers that the tests record, those of tests that end well first, and the first tenant that sends.
fn recorded_of(source: &Arc<Source>, world: World<'_>) -> (Vec<RecordedAnswer>, Option<String>) {
    let mut unheard = Diagnostics::default();
    let tests = read_tests(&source.path, world, &mut Sources::default(), &mut unheard);
    let path = tests_of(&source.path);
    let surrounding = Surrounding { source, path: &path, world };
    let cases = tests.iter().flat_map(|tests| &tests.tests);
    let mut cases: Vec<_> = cases.filter_map(|test| cases::compile(test, 0, surrounding, &mut unheard)).collect();
    cases.sort_by_key(|case| case.expected.state != Some(RecordState::Done));
    let tenant = cases.iter().find_map(|case| case.tenant.clone());
    // what a test requires of a call is told with the test's own stand-ins for secrets
    let answers = cases.into_iter().flat_map(|case| case.answers);
    (answers.map(|answer| RecordedAnswer { required_headers: Vec::new(), ..answer }).collect(), tenant)
}

/// What an item is tried with.
#[derive(Clone, Copy)]
struct Around<'a> {
    http: &'a HttpClient,
    arrival: Arrival<'a>,
    request: &'a Request,
}

async fn try_item(source: &Source, item: Item<'_>, around: Around<'_>) -> TriedRecord {
    let mask = Arc::new(source.mask_for(&item.document, item.integration.as_deref()));
    let mut record = TriedRecord {
        number: item.number,
        route: None,
        lane: None,
        steps: admission_steps(source, &item, &mask),
        calls: Vec::new(),
        end: End::WouldCall,
        forwards: Vec::new(),
        reply: None,
    };
    let waits = item.chosen.is_ok() && item.reply.as_ref().is_some_and(|reply| reply.wait.is_some());
    if let Some(reply) = item.reply.filter(|_| item.number == 0 && !waits) {
        record.reply = Some(try_reply(&reply, &item.document, &mask));
    }
    record.end = match item.chosen {
        Err(NotChosen::Ignored(reason)) => End::Ignored { reason },
        Err(NotChosen::Failed(failure)) => End::Failed { failure },
        Ok(chosen) => {
            record.route = Some(chosen.route.place.trim_end_matches('.').to_owned());
            let lane = chosen.route.queueing.lane(&item.document, around.arrival.delivery, item.number);
            record.lane = lane.ok().map(|lane| mask.text(&lane.all().join(" and ")));
            let item = (item.document, item.integration);
            run_route(source, chosen, item, around, &mask, &mut record).await
        }
    };
    if let End::Failed { failure } = &mut record.end {
        failure.reason = mask.text(&failure.reason);
    }
    record
}

async fn run_route(
    source: &Source,
    chosen: Chosen<'_>,
    (mut document, integration): (EventDocument, Option<Arc<Integration>>),
    around: Around<'_>,
    mask: &Arc<Mask>,
    record: &mut TriedRecord,
) -> End {
    let Around { http, arrival, .. } = around;
    let secrets = match source.secret_values(&document, integration.as_deref(), arrival.received_at.date()) {
        Ok(secrets) => secrets,
        Err(failure) => return End::Failed { failure },
    };
    let tenant = arrival.caller.tenant.as_ref().map(|tenant| tenant.name.as_str());
    let growing = GrowingMask::new(Mask::clone(mask));
    let context = RunContext {
        http,
        secrets: &secrets,
        scope: &source.name,
        attempt: "try",
        credentials_came_along: false,
        fresh_after: arrival.received_at,
        mask: &growing,
        tenant,
        failed_before: 0,
        calls_until: Instant::now() + LONGEST_FETCH,
    };
    let pipeline = &chosen.route.pipeline;
    let planned = pipeline.run(&mut document, chosen.gone, &context, &mut record.calls).await;
    let mask = &growing.now();
    let answers: Vec<&str> = pipeline.enrich.calls().map(|call| call.name.as_str()).collect();
    record.steps.extend(step("enrich", &document, |name| answers.contains(&name), mask));
    if let Some(reply) = chosen.route.reply.as_ref().filter(|_| record.number == 0 && planned.is_ok()) {
        // one that waits may look at what was fetched
        record.reply = record.reply.take().or_else(|| Some(try_reply(reply, &document, mask)));
    }
    match planned {
        Ok(Planned::Changes(changes)) => {
            let sending = Trying { request: around.request, source: &source.name, now: arrival.received_at };
            match try_forwards(&chosen.route.forwards, &document, sending, &context).await {
                Ok(forwards) => record.forwards = forwards,
                Err(failure) => return End::Failed { failure },
            }
            End::Changes { changes: changes.iter().map(|one| shown(one, mask)).collect() }
        }
        Ok(Planned::Nothing(reason)) => End::Ignored { reason },
        Err(failure) if failure.step == Step::Enrich && record.calls.iter().any(has_no_recording) => End::WouldCall,
        Err(failure) => End::Failed { failure },
    }
}

/// Whether a call was not answered because no answer is recorded for it.
fn has_no_recording(call: &CallTrace) -> bool {
    call.status.is_none() && call.error.as_ref().is_some_and(|error| error.contains("no recorded answer"))
}

/// The document as each step before the fetch left it. What all items of a delivery share is shown with the first of them.
fn admission_steps(source: &Source, item: &Item<'_>, mask: &Mask) -> Vec<StepTrace> {
    let split = source.admission.payload.split.as_ref().map(|(name, _)| name.as_str());
    let is_shared = |name: &str| [&NAMES[..], &BODY, &INBOX].concat().contains(&name);
    let is_shown = |name: &str| item.number == 0 || !is_shared(name);
    let steps = ["request", "decode", "inbox", "auth", "extract"];
    let of = |name: &&str| step(name, &item.document, |one| is_shown(one) && step_of(one, split) == *name, mask);
    steps.iter().filter_map(of).collect()
}

/// The step that adds a name before anything is fetched.
fn step_of(name: &str, split: Option<&str>) -> &'static str {
    match name {
        name if NAMES.contains(&name) => "request",
        name if BODY.contains(&name) || name == "index" || Some(name) == split => "decode",
        name if INBOX.contains(&name) => "inbox",
        "tenant" | "integration" | "claims" => "auth",
        _ => "extract",
    }
}

fn step(name: &str, document: &EventDocument, is_its: impl Fn(&str) -> bool, mask: &Mask) -> Option<StepTrace> {
    let names = document.names().filter(|name| is_its(name));
    let added: Map<String, Json> = names.filter_map(|name| Some((name.to_owned(), Json::clone(document.get(name)?)))).collect();
    (!added.is_empty()).then(|| StepTrace { step: name.to_owned(), added: mask.document(&Json::Object(added)) })
}

impl Trial {
    /// Whether a record would fail.
    pub fn fails(&self) -> bool {
        self.records.iter().any(|record| matches!(record.end, End::Failed { .. }))
    }
}

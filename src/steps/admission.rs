//! Admission: from a request to records with event, route, lane and id. Pure; `intake` calls it before the commit and `worker`
//! again at each attempt, so that a record always runs by the route as it is now.

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::choose::Matcher;
use super::extract::Extract;
use super::forward::Forward;
use super::integration::IntegrationRule;
use super::lane::Queueing;
use super::pipeline::Pipeline;
use super::reply::Reply;
use super::work;
use crate::clock::Timestamp;
use crate::expr::convert::scalar_text;
use crate::expr::reads::Reads;
use crate::expr::template::{Context, Engine};
use crate::expr::value::Value;
use crate::model::caller::StoredCaller;
use crate::model::delivery::{DeliveryId, Request};
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};
use crate::model::integration::{Integration, Integrations};
use crate::model::record::{AdmittedRecord, Fate};
use crate::model::retry::RetryPolicy;
use crate::model::tenant::Tenant;
use crate::payload;
use crate::payload::decode::Content;
use crate::payload::inflate::Uninflated;
use crate::payload::options::Payload;

/// The most records of one delivery: they are one append, and each of its attempts decodes the whole request again.
const MOST_RECORDS: usize = 10_000;

/// The compiled admission of a source, with the routes it chooses from.
#[derive(Debug)]
pub struct Admission {
    /// The source's name.
    pub source: String,
    /// How the body is read and split.
    pub payload: Payload,
    /// The event's name; without it every record is `*`.
    pub event: Option<Value>,
    /// How a record finds the integration it is for, and what that holds.
    pub integration: IntegrationRule,
    /// The file's names.
    pub extract: Extract,
    /// The routes in file order.
    pub routes: Vec<Route>,
    /// What is answered when no route wants the first record.
    pub reply: Option<Arc<Reply>>,
    /// Whether something reads `raw`.
    pub reads_raw: bool,
}

/// A compiled route.
#[derive(Debug)]
pub struct Route {
    /// What it wants.
    pub matcher: Matcher,
    /// Why what it wants is to be left alone, if it is.
    pub ignore: Option<String>,
    /// The route's own names.
    pub extract: Extract,
    /// How its records are queued.
    pub queueing: Queueing,
    /// Everything of a delivery that it reads.
    pub reads: Reads,
    /// How often a failing record is tried again.
    pub retry: RetryPolicy,
    /// What is fetched and written.
    pub pipeline: Pipeline,
    /// What is sent elsewhere afterwards.
    pub forwards: Vec<Forward>,
    /// What the sender is answered.
    pub reply: Option<Arc<Reply>>,
    /// Whether its rows are right also when newer records of the lane ran before: they come from a fetch made then.
    pub writes_what_it_fetches: bool,
    /// Where it stands: `routes[0]`.
    pub place: String,
}

/// What is known of a delivery besides its request.
#[derive(Clone, Copy)]
pub struct Arrival<'a> {
    /// Its id.
    pub delivery: DeliveryId,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Who sent it.
    pub caller: &'a StoredCaller,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// What work hashes are keyed with.
    pub work_key: &'a [u8; 32],
    /// The integrations as they are now.
    pub integrations: &'a Integrations,
}

/// A request as the event document begins: its head, and its body when that could be decoded.
pub struct Received {
    /// The document so far.
    pub document: EventDocument,
    /// Why the body could not be decoded, if it could not.
    pub undecoded: Option<String>,
    /// Why it could not even be inflated.
    pub uninflated: Option<Uninflated>,
}

/// One item of a delivery, as far as admission came with it.
pub struct Item<'r> {
    /// Its place in the delivery, from 0.
    pub number: u32,
    /// SHA-256 of its part of the delivery.
    pub item_sha256: [u8; 32],
    /// The event's name, once it is known.
    pub event: Option<String>,
    /// The event document as it stands.
    pub document: EventDocument,
    /// The tenant it is for.
    pub tenant: Option<Tenant>,
    /// The integration it is for.
    pub integration: Option<Arc<Integration>>,
    /// What its sender is answered when it is the first of its delivery and nothing kept it from being understood.
    pub reply: Option<Arc<Reply>>,
    /// Its route, or why it has none.
    pub chosen: Result<Chosen<'r>, NotChosen>,
}

/// A list that is split.
struct Split<'a> {
    /// What each of its elements is called.
    name: &'a str,
    is_empty: bool,
    /// The elements that are asked for, each with its place.
    wanted: Vec<(Json, u32)>,
}

/// What becomes known of an item while its route is looked for.
struct Found<'a> {
    event: &'a mut Option<String>,
    reply: &'a mut Option<Arc<Reply>>,
    document: &'a mut EventDocument,
}

/// What admission decided for an item.
pub struct Chosen<'r> {
    /// The route it takes.
    pub route: &'r Route,
    /// Whether the thing no longer exists.
    pub gone: bool,
    /// What is put into the inbox.
    pub queue: Queue,
}

/// What the inbox needs of a queued record.
pub struct Queue {
    lane: crate::model::lane::AdmittedLane,
    sender_id: Option<crate::model::record::SenderId>,
    work_hash: Option<[u8; 32]>,
}

/// Why an item takes no route.
pub enum NotChosen {
    /// No route wants it, or one says to ignore it.
    Ignored(String),
    /// It cannot be understood.
    Failed(Failure),
}

impl Admission {
    /// The request as the event document begins. Parses the body: verify the sender first, unless that needs the body.
    pub fn read(&self, request: &Request, params: &[(String, String)]) -> Received {
        self.received(request, params, self.payload.open(request))
    }

    /// The same before the sender is verified, within the limits for bodies that anyone may have sent.
    pub fn read_unverified(&self, request: &Request, params: &[(String, String)]) -> Received {
        self.received(request, params, self.payload.open_unverified(request))
    }

    fn received(&self, request: &Request, params: &[(String, String)], opened: Result<Content<'_>, Uninflated>) -> Received {
        let mut document = payload::request::document(request, params);
        let decoded = opened.as_ref().map_err(Uninflated::to_string).and_then(|content| {
            if let Some(raw) = self.reads_raw.then(|| content.raw()).flatten() {
                document.set("raw", json!(raw));
            }
            content.decode()
        });
        let undecoded = match decoded {
            Ok(Some(body)) => {
                document.set("body", body);
                None
            }
            Ok(None) => None,
            Err(reason) => Some(reason),
        };
        Received { document, undecoded, uninflated: opened.err() }
    }

    /// All items of a request, in order; never empty unless it has none of those that are asked for. Why a request cannot be
    /// understood is said of its first item, or of the first that is asked for.
    pub fn items(
        &self,
        request: &Request,
        received: Received,
        arrival: Arrival<'_>,
        only: Option<RangeInclusive<u32>>,
    ) -> Vec<Item<'_>> {
        let first = only.as_ref().map_or(0, |only| *only.start());
        let mut base = received.document;
        self.add_arrival(&mut base, &arrival);
        if let Some(reason) = received.undecoded {
            return vec![undecoded(request, base, first, reason, &arrival)];
        }
        match self.split(&base, only.as_ref()) {
            Ok(None) if first > 0 => Vec::new(),
            Ok(None) => vec![self.item(0, work::item_sha256(&request.body), base, &arrival)],
            Ok(Some(Split { is_empty: true, .. })) => {
                vec![Item { reply: self.reply.clone(), ..emptied(request, base, first, &arrival) }]
            }
            Ok(Some(Split { name, wanted, .. })) => {
                let item = |(element, number): (Json, u32)| {
                    let mut document = base.clone();
                    let item_sha256 = work::item_sha256(element.to_string().as_bytes());
                    document.set(name, element);
                    document.set("index", json!(number));
                    self.item(number, item_sha256, document, &arrival)
                };
                wanted.into_iter().map(item).collect()
            }
            Err(reason) => vec![undecoded(request, base, first, reason, &arrival)],
        }
    }

    fn add_arrival(&self, document: &mut EventDocument, arrival: &Arrival<'_>) {
        document.set("received_at", json!(arrival.received_at.to_string()));
        document.set("source", json!(self.source));
        document.set("delivery", json!(arrival.delivery.to_string()));
        document.set("attempt", json!(arrival.attempt));
        if let Some(tenant) = &arrival.caller.tenant {
            document.set("tenant", json!(tenant.name));
        }
        if let Some(claims) = &arrival.caller.claims {
            document.set("claims", claims.clone());
        }
    }

    /// The elements of the list that is split; of those only what is asked for is copied.
    fn split(&self, document: &EventDocument, only: Option<&RangeInclusive<u32>>) -> Result<Option<Split<'_>>, String> {
        let Some((name, path)) = &self.payload.split else { return Ok(None) };
        let found = path.look_at_list(document).ok_or_else(|| format!("split: `{}` is missing", path.text()))?;
        let Json::Array(items) = found.as_ref() else { return Err(format!("split: `{}` is no list", path.text())) };
        if items.len() > MOST_RECORDS {
            let (place, count) = (path.text(), items.len());
            return Err(format!("split: `{place}` has {count} elements; a delivery becomes {MOST_RECORDS} records at most"));
        }
        let numbered = items.iter().zip(0u32..).filter(|(_, number)| only.is_none_or(|only| only.contains(number)));
        let wanted = numbered.map(|(element, number)| (element.clone(), number)).collect();
        Ok(Some(Split { name, is_empty: items.is_empty(), wanted }))
    }

    fn item(&self, number: u32, item_sha256: [u8; 32], mut document: EventDocument, arrival: &Arrival<'_>) -> Item<'_> {
        let (mut event, mut reply) = (None, None);
        let tenant = arrival.caller.tenant.clone();
        let (tenant, integration, chosen) = match self.add_integration(&mut document, arrival) {
            Ok(integration) => {
                let tenant = integration.as_ref().map(|one| one.tenant.clone()).or(tenant);
                let found = Found { event: &mut event, reply: &mut reply, document: &mut document };
                let chosen = self.choose(found, number, arrival, integration.as_deref());
                (tenant, integration, chosen)
            }
            Err(failure) => (tenant, None, Err(NotChosen::Failed(failure))),
        };
        let reply = reply.filter(|_| !matches!(chosen, Err(NotChosen::Failed(_))));
        Item { number, item_sha256, event, document, tenant, integration, reply, chosen }
    }

    fn choose(
        &self,
        Found { event, reply, document }: Found<'_>,
        number: u32,
        arrival: &Arrival<'_>,
        integration: Option<&Integration>,
    ) -> Result<Chosen<'_>, NotChosen> {
        if let Some(open) = self.integration.open_part(document, integration)? {
            document.set("integration", open);
        }
        let name = event.insert(self.event_name(document)?).clone();
        document.set("event", json!(name));
        self.extract.run(document)?;
        let route = self.route_for(&name, document)?;
        *reply = route.map_or(&self.reply, |route| &route.reply).clone();
        let Some(route) = route else { return Err(NotChosen::Ignored(format!("no route wants the event `{name}`"))) };
        if let Some(reason) = &route.ignore {
            return Err(NotChosen::Ignored(reason.clone()));
        }
        route.extract.run(document)?;
        let gone = route.queueing.is_gone(document)?;
        let sender_id = route.queueing.sender_id(document)?;
        let lane = route.queueing.lane(document, arrival.delivery, number)?;
        let work_hash = route.queueing.coalesce.map(|_| work::hash(arrival.work_key, &route.place, gone, document, &route.reads));
        Ok(Chosen { route, gone, queue: Queue { lane, sender_id, work_hash } })
    }

    /// Finds the integration of a record; its tenant is the record's.
    fn add_integration(&self, document: &mut EventDocument, arrival: &Arrival<'_>) -> Result<Option<Arc<Integration>>, Failure> {
        let found = self.integration.of_record(document, &self.source, arrival.caller, arrival.integrations)?;
        if let Some(found) = &found {
            document.set("tenant", json!(found.tenant.name));
        }
        Ok(found)
    }

    fn event_name(&self, document: &EventDocument) -> Result<String, Failure> {
        let Some(event) = &self.event else { return Ok("*".to_owned()) };
        let fail = |reason: String| Failure::permanent(Step::Admission, format!("`event`: {reason}"));
        match event.evaluate(Context::from(document)).map_err(|error| fail(error.0))? {
            Some(value) => scalar_text(&value).ok_or_else(|| fail(format!("`{}` is no text", event.origin()))),
            None => Err(fail(format!("`{}` is missing", event.origin()))),
        }
    }

    fn route_for(&self, event: &str, document: &EventDocument) -> Result<Option<&Route>, Failure> {
        for route in &self.routes {
            if route.matcher.wants(event, document)? {
                return Ok(Some(route));
            }
        }
        Ok(None)
    }
}

impl Route {
    /// Adds every place that something of it looks at: beside its work what chooses it, queues its records and answers their senders.
    pub fn add_all_reads(&self, engine: &Engine, reads: &mut Reads) {
        reads.extend(&self.reads);
        self.matcher.when.iter().for_each(|when| when.add_reads(engine, reads));
        self.extract.add_reads(engine, reads);
        self.queueing.add_reads(engine, reads);
        self.reply.iter().for_each(|reply| reads.extend(reply.reads()));
    }
}

impl Chosen<'_> {
    /// Whether it may run after newer records of its lane without undoing what they wrote or sent. What is gone by the delivery's own
    /// word is not asked for again, so it may not.
    pub fn runs_late(&self) -> bool {
        let only_inserts = self.route.pipeline.only_inserts() && self.route.forwards.is_empty();
        self.route.writes_what_it_fetches && !self.gone || only_inserts
    }
}

impl Item<'_> {
    /// What is put into the inbox.
    pub fn into_record(self) -> AdmittedRecord {
        let (fate, sender_id, work_hash) = match self.chosen {
            Ok(Chosen { queue, .. }) => (Fate::Queue(queue.lane), queue.sender_id, queue.work_hash),
            Err(NotChosen::Ignored(reason)) => (Fate::Ignore(reason), None, None),
            Err(NotChosen::Failed(failure)) => (Fate::Bury(failure.reason), None, None),
        };
        AdmittedRecord {
            number: self.number,
            tenant: self.tenant,
            integration: self.integration.map(|integration| integration.id),
            event: self.event,
            item_sha256: self.item_sha256,
            work_hash,
            sender_id,
            fate,
        }
    }
}

impl From<Failure> for NotChosen {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn undecoded(request: &Request, document: EventDocument, number: u32, reason: String, arrival: &Arrival<'_>) -> Item<'static> {
    let chosen = Err(NotChosen::Failed(Failure::permanent(Step::Decode, reason)));
    let (item_sha256, tenant) = (work::item_sha256(&request.body), arrival.caller.tenant.clone());
    Item { number, item_sha256, event: None, document, tenant, integration: None, reply: None, chosen }
}

fn emptied(request: &Request, document: EventDocument, number: u32, arrival: &Arrival<'_>) -> Item<'static> {
    let chosen = Err(NotChosen::Ignored("the list to split is empty".to_owned()));
    let (item_sha256, tenant) = (work::item_sha256(&request.body), arrival.caller.tenant.clone());
    Item { number, item_sha256, event: None, document, tenant, integration: None, reply: None, chosen }
}

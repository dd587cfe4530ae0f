//! Plays tests on a running server: real requests over HTTP, real workers, simulated APIs with the recorded answers, and a comparison
//! with what each test expects.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::compare::Row;
use super::equip::Age;
use super::forwarded::{self, Sent};
use super::programme::{Part, answers_of};
use super::report::{Seen, Verdict};
use super::run::{columns_of, compare_rows, compare_values, database, delivery_of, equip_in, give, look_in, open_window};
use super::sender;
use super::simulate::Simulation;
use super::simulate_recorded::SentHere;
use super::suite::Suite;
use crate::clock::Timestamp;
use crate::model::delivery::DeliveryId;
use crate::model::record::RecordState;
use crate::secret::Mask;
use crate::store::{Store, forwards, onboarding, records, tenants};
use crate::target::Targets;

/// The longest that a round may take; it needs little more than the longest `coalesce`.
const LONGEST: Duration = Duration::from_secs(60);
/// How often is looked whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The server that is played on, and what is around it.
#[derive(Clone, Copy)]
pub struct Stage<'a> {
    /// Its state.
    pub store: &'a Store,
    /// Its databases.
    pub targets: &'a Targets,
    /// Where it takes webhooks.
    pub address: SocketAddr,
    /// The simulated APIs, by origin.
    pub apis: &'a [(String, Simulation)],
    /// What rows name their tenant in.
    pub tenant_column: &'a str,
}

/// What a test came to.
#[derive(Debug)]
pub struct Played {
    /// The number of its suite.
    pub suite: usize,
    /// Its number among the tests of the suite.
    pub number: usize,
    /// Its name.
    pub name: String,
    /// The names of its events.
    pub events: Vec<String>,
    /// The answer's status, once there is one.
    pub status: Option<u16>,
    /// How many calls were made.
    pub calls: usize,
    /// How many requests were sent on.
    pub forwards: usize,
    /// The worst state of its records.
    pub state: Option<RecordState>,
    /// What support staff are shown of it.
    pub shown: Vec<(String, String)>,
    /// From the webhook's last byte to its rows.
    pub took: Option<Duration>,
    /// Whether all is as expected.
    pub verdict: Verdict,
}

/// A request that was sent.
struct OnItsWay {
    sent_at: Timestamp,
    answer: sender::SentAnswer,
    delivery: Option<DeliveryId>,
}

impl Stage<'_> {
    /// The first run whose tenants nobody has played yet, from 1; `name_of` gives the name of one of a run.
    pub async fn next_run(&self, name_of: impl Fn(u32) -> Option<String>) -> Result<u32, String> {
        let mut run = 1;
        while let Some(name) = name_of(run) {
            let known = tenants::find_by_name(self.store, &name).await.map_err(|error| error.to_string())?;
            if known.is_none() {
                break;
            }
            run += 1;
        }
        Ok(run)
    }

    /// Plays tests side by side; `waiting` is told, again and again, for how long they have been waited for.
    pub async fn round(&self, suites: &[Arc<Suite>], parts: &[Part], waiting: impl Fn(Duration)) -> Vec<Played> {
        let answers = answers_of(parts);
        self.apis.iter().for_each(|(origin, api)| api.stage(origin, &answers));
        let mut sent = Vec::new();
        for part in parts {
            sent.push(self.send(&suites[part.suite], part).await);
        }
        let started = Instant::now();
        for delivery in sent.iter().flatten().filter_map(|one| one.delivery) {
            while started.elapsed() < LONGEST && self.is_open(delivery).await {
                waiting(started.elapsed());
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        let forwarded: Vec<SentHere> = self.apis.iter().flat_map(|(_, api)| api.unstage()).collect();
        let mut played = Vec::new();
        for (part, sent) in parts.iter().zip(sent) {
            let suite = &suites[part.suite];
            let mut one = Played {
                suite: part.suite,
                number: part.number,
                name: part.case.name.clone(),
                events: Vec::new(),
                status: sent.as_ref().ok().map(|sent| sent.answer.status),
                calls: 0,
                forwards: 0,
                state: None,
                shown: Vec::new(),
                took: None,
                verdict: Verdict::Passed,
            };
            let verdict = match sent {
                Ok(sent) => self.look(suite, part, sent, &forwarded, &mut one).await,
                Err(reason) => Err(reason),
            };
            one.verdict = verdict.unwrap_or_else(Verdict::Broken);
            played.push(one);
        }
        played
    }

    /// The rows of a table that are of these tests.
    pub async fn rows(&self, suite: &Suite, table: &str, parts: &[&Part]) -> Result<Vec<Row>, String> {
        let database = database(suite, self.targets, table)?;
        let mut rows = database.rows(table, None, &[]).await.map_err(|failure| failure.reason)?;
        rows.retain(|row| parts.iter().any(|part| part.is_own(row, self.tenant_column)));
        Ok(rows)
    }

    async fn send(&self, suite: &Suite, part: &Part) -> Result<OnItsWay, String> {
        for (table, rows) in &part.case.given {
            let database = database(suite, self.targets, table)?;
            let columns = columns_of(database, table).await.map_err(|failure| failure.reason)?;
            give(&part.case, database, &columns, table, rows).await?;
        }
        open_window(suite, self.store).await?;
        let request = equip_in(suite, &part.case, self.store, Age::Fresh).await?.request;
        let sent_at = self.store.clock().now();
        let answer = sender::send(self.address, &request).await.map_err(|error| format!("it cannot be sent: {error}"))?;
        let delivery = delivery_of(&answer.headers, &answer.body);
        Ok(OnItsWay { sent_at, answer, delivery })
    }

    /// Whether something of a delivery is still to be done.
    async fn is_open(&self, delivery: DeliveryId) -> bool {
        let details = records::show(self.store, delivery).await.ok().flatten();
        details.is_some_and(|details| details.records.iter().any(|record| record.state.is_open() || record.forwards_open > 0))
    }

    async fn look(
        &self,
        suite: &Suite,
        part: &Part,
        sent: OnItsWay,
        forwarded: &[SentHere],
        played: &mut Played,
    ) -> Result<Verdict, String> {
        let OnItsWay { sent_at, answer, delivery } = sent;
        let mut seen = Seen { status: answer.status, headers: answer.headers, body: answer.body, ..Seen::default() };
        look_in(suite, self.store, &mut seen).await?;
        seen.shown = self.shown_since(suite, sent_at).await?;
        let sent = match delivery {
            Some(delivery) => self.count(delivery, forwarded, played).await?,
            None => Vec::new(),
        };
        played.state = seen.worst;
        played.shown.clone_from(&seen.shown);
        played.events = seen.records.iter().filter_map(|record| record.event.clone()).collect();
        let mut mismatches = compare_values(&part.case.expected, &seen, played.calls);
        if let Some(expected) = &part.case.expected.forwards {
            mismatches.extend(forwarded::compare(expected, &sent));
        }
        for (table, rows) in &part.case.expected.rows {
            let counts = |row: &Row| part.is_own(row, self.tenant_column);
            let database = database(suite, self.targets, table)?;
            let columns = columns_of(database, table).await.map_err(|failure| failure.reason)?;
            mismatches.extend(compare_rows(database, &columns, table, rows, counts).await);
        }
        Ok(if mismatches.is_empty() { Verdict::Passed } else { Verdict::Failed { mismatches, seen } })
    }

    /// What handshakes have shown since then; others were before it.
    async fn shown_since(&self, suite: &Suite, since: Timestamp) -> Result<Vec<(String, String)>, String> {
        let values = onboarding::values(self.store, &suite.source.name).await.map_err(|error| error.to_string())?;
        let new = values.into_iter().filter(|value| value.last_at >= since);
        Ok(new.map(|value| (value.name, value.value.expose().to_owned())).collect())
    }

    /// Counts what was called and sent on for a delivery; returns what was sent on.
    async fn count(&self, delivery: DeliveryId, sent: &[SentHere], played: &mut Played) -> Result<Vec<Sent>, String> {
        let details = records::show(self.store, delivery).await.map_err(|error| error.to_string())?;
        let details = details.ok_or("the delivery has vanished")?;
        let mut calls: Vec<_> = details.attempts.into_iter().flat_map(|attempt| attempt.attempt.calls).collect();
        let finished = details.records.iter().filter_map(|record| Timestamp::parse(record.finished_at.as_deref()?)).max();
        played.took = finished.map(|finished| finished.since(details.received_at));
        let made = forwards::of_delivery(self.store, delivery).await.map_err(|error| error.to_string())?;
        let logins = made.iter().filter_map(|forward| Some((&forward.target, forward.last.as_ref()?)));
        calls.extend(logins.flat_map(|(target, last)| last.calls.iter().filter(move |call| call.name != *target).cloned()));
        let asked = calls.iter().filter(|call| !call.shared && !call.cached);
        played.calls = asked.map(|call| 1 + call.retries as usize).sum();
        let of = |here: &SentHere| {
            let forward = made.iter().find(|forward| forward.id.to_string() == here.id)?;
            Some(Sent {
                name: forward.target.clone(),
                method: here.method.clone(),
                url: here.url.clone(),
                headers: here.headers.clone(),
                body: here.body.clone(),
                mask: Arc::new(Mask::default()),
            })
        };
        let sent: Vec<Sent> = sent.iter().filter_map(of).collect();
        played.forwards = sent.len();
        Ok(sent)
    }
}

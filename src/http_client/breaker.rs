//! Circuit breakers: an API that fails again and again is left alone for a while, then asked by one call alone. One circuit for each
//! API and scope, in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::call::Call;
use crate::clock::{Clock, Timestamp};
use crate::model::failure::{Failure, Step};

/// How many requests in a row fail, retries among them, before the circuit opens.
const FAILURES: u32 = 8;
/// How long it stays open at first; each time that a probe fails, twice as long.
const FIRST: Duration = Duration::from_secs(5);
/// The longest that it stays open.
const LONGEST: Duration = Duration::from_secs(5 * 60);
/// How long the others wait while a probe is under way.
const DURING_PROBE: Duration = Duration::from_secs(2);
/// Circuits beyond which closed ones are forgotten.
const MANY: usize = 10_000;

/// All circuits.
pub(super) struct Breakers {
    clock: Clock,
    circuits: Mutex<HashMap<Place, Circuit>>,
}

/// The API and the scope.
type Place = (String, String);

#[derive(Default)]
struct Circuit {
    failures: u32,
    /// Why the last request failed, masked.
    reason: String,
    open: Option<Open>,
}

struct Open {
    since: Timestamp,
    until: Timestamp,
    length: Duration,
    probing: bool,
}

/// A circuit as others see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CircuitStatus {
    /// The API's name.
    pub api: String,
    /// Source, tenant and integration.
    pub scope: String,
    /// When and why calls are held back, if they are.
    pub open: Option<OpenCircuit>,
}

/// Why an API is left alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenCircuit {
    /// Since when.
    pub since: Timestamp,
    /// When one call asks again.
    pub next_probe: Timestamp,
    /// How many requests in a row failed.
    pub failures: u32,
    /// Why the last one failed, masked.
    pub reason: String,
}

/// Permission for one call. Dropped without a word, it says nothing about the API.
pub(super) struct Pass<'a> {
    breakers: &'a Breakers,
    place: Place,
    probes: bool,
}

impl Breakers {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, circuits: Mutex::default() }
    }

    /// Whether `call` may be made now; otherwise until when all work of its pool waits.
    pub(super) fn admit(&self, call: &Call) -> Result<Pass<'_>, Failure> {
        let place = (call.api.name.clone(), call.scope.clone());
        let now = self.clock.now();
        let mut circuits = self.lock();
        let mut probes = false;
        if let Some(circuit) = circuits.get_mut(&place)
            && let Some(open) = &mut circuit.open
        {
            let until = if open.probing { now + DURING_PROBE } else { open.until };
            if until > now {
                let reason = format!(
                    "api `{}`: its circuit is open after {} failed requests in a row, the last one: {}; one call asks again at {until}",
                    call.api.name, circuit.failures, circuit.reason
                );
                return Err(Failure::held_until(Step::Enrich, until, reason));
            }
            open.probing = true;
            probes = true;
        }
        Ok(Pass { breakers: self, place, probes })
    }

    /// All circuits of APIs that have failed since the start.
    pub(super) fn statuses(&self) -> Vec<CircuitStatus> {
        let circuits = self.lock();
        let status = |((api, scope), circuit): (&Place, &Circuit)| CircuitStatus {
            api: api.clone(),
            scope: scope.clone(),
            open: circuit.open.as_ref().map(|open| OpenCircuit {
                since: open.since,
                next_probe: open.until,
                failures: circuit.failures,
                reason: circuit.reason.clone(),
            }),
        };
        let mut statuses: Vec<_> = circuits.iter().map(status).collect();
        statuses.sort_by(|one, other| (&one.api, &one.scope).cmp(&(&other.api, &other.scope)));
        statuses
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Circuit>> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The API answered.
    pub(super) fn answered(&mut self) {
        let mut circuits = self.breakers.lock();
        if let Some(circuit) = circuits.get_mut(&self.place) {
            if circuit.open.is_some() {
                tracing::info!(api = self.place.0, scope = self.place.1, "the api answers again; its circuit is closed");
            }
            *circuit = Circuit::default();
        }
    }

    /// Whether the circuit is open by now, so that nothing is tried again.
    pub(super) fn is_left_alone(&self) -> bool {
        let circuits = self.breakers.lock();
        !self.probes && circuits.get(&self.place).is_some_and(|circuit| circuit.open.is_some())
    }

    /// The API could not be reached or failed; `reason` is masked.
    pub(super) fn failed(&mut self, reason: &str) {
        let now = self.breakers.clock.now();
        let mut circuits = self.breakers.lock();
        if circuits.len() >= MANY {
            circuits.retain(|_, circuit| circuit.open.is_some());
        }
        let circuit = circuits.entry(self.place.clone()).or_default();
        circuit.failures = circuit.failures.saturating_add(1);
        reason.clone_into(&mut circuit.reason);
        let (since, length) = match &circuit.open {
            Some(open) if self.probes => (open.since, (open.length * 2).min(LONGEST)),
            // of a call that was under way when the circuit opened
            Some(_) => return,
            None if circuit.failures >= FAILURES => (now, FIRST),
            None => return,
        };
        tracing::warn!(api = self.place.0, scope = self.place.1, reason, failures = circuit.failures, "circuit open");
        circuit.open = Some(Open { since, until: now + length, length, probing: false });
        self.probes = false;
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut circuits = self.breakers.lock();
        if self.probes
            && let Some(open) = circuits.get_mut(&self.place).and_then(|circuit| circuit.open.as_mut())
        {
            open.probing = false;
        }
    }
}

//! The client itself: identical calls become one, each call leaves a trace.

use std::sync::Arc;

use reqwest::Url;
use tokio::time::Instant;

use super::breaker::{Breakers, CircuitStatus};
use super::budget::Budget;
use super::cache::{Cache, confirmed};
use super::call::{Answer, Call, Identity};
use super::concurrency::Concurrency;
use super::flights::{Boarding, Flights};
use super::limits::Limits;
use super::origin::Origin;
use super::recorded::Recorded;
use super::retry::{Caller, Outcome};
use super::send::Transport;
use super::sessions::Sessions;
use crate::clock::Clock;
use crate::model::attempt::CallTrace;
use crate::model::failure::Failure;

/// What a client is made of.
pub struct ClientOptions {
    /// Says when a request began; one that is moved by hand is never waited for.
    pub clock: Clock,
    /// Where tokens for requests come from.
    pub budget: Arc<dyn Budget>,
    /// `scheme://host[:port]` of a provider and the base URL that is called in its place, without the address guard.
    pub simulated: Vec<(String, Url)>,
    /// Answers in place of all calls; then nothing real is called.
    pub recorded: Option<Arc<Recorded>>,
    /// Sent with every request.
    pub user_agent: String,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// TLS could not be set up.
    #[error("the HTTP client cannot be set up")]
    Setup(#[from] reqwest::Error),
    /// Not `scheme://host[:port]`.
    #[error("`{0}` is no origin, expected for example `https://api.example.com`")]
    Origin(String),
}

/// The one outgoing client; shared by all who call.
pub struct HttpClient {
    clock: Clock,
    caller: Caller,
    flights: Flights<Outcome>,
    cache: Cache,
    sessions: Sessions,
}

/// How a call came to its outcome.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Made,
    Shared,
    Kept,
}

/// The most of an answer's body that a trace keeps, in bytes.
const EXCERPT: usize = 4096;

impl HttpClient {
    /// A client with its connection pools.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        let simulated = options.simulated.into_iter().map(|(origin, base)| match Origin::parse(&origin) {
            Some(origin) => Ok((origin, base)),
            None => Err(ClientError::Origin(origin)),
        });
        let transport = Transport::new(&options.user_agent, simulated.collect::<Result<_, _>>()?, options.recorded)?;
        let limits = (!transport.is_recorded()).then(|| Limits::new(options.clock.clone(), options.budget));
        let breakers = Breakers::new(options.clock.clone());
        let clock = options.clock.clone();
        let caller = Caller { clock, limits, breakers, concurrency: Concurrency::default(), transport };
        let (cache, sessions) = (Cache::default(), Sessions::default());
        Ok(Self { clock: options.clock, caller, flights: Flights::new(), cache, sessions })
    }

    /// The clock that says when a request began.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What logins gave, until they end.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Which APIs are left alone because they fail, and which answer again.
    pub fn circuits(&self) -> Vec<CircuitStatus> {
        self.caller.breakers.statuses()
    }

    /// Makes `call`, or shares the answer of an identical one under way. Any complete answer whose status the API's retry rule
    /// does not cover is an answer; whether it is an acceptable one is for the caller to say.
    pub async fn call(&self, call: &Call) -> (CallTrace, Result<Answer, Failure>) {
        let started = Instant::now();
        let (outcome, way) = self.outcome(call).await;
        let result = outcome.result.map_err(|failure| Failure { reason: call.mask.text(&failure.reason), ..failure });
        let trace = CallTrace {
            name: call.name.clone(),
            method: call.method.to_string(),
            url: call.masked_url(),
            status: outcome.status,
            took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            retries: outcome.retries,
            shared: way == Way::Shared,
            cached: way == Way::Kept,
            began_at: result.as_ref().ok().map(|answer| answer.began_at),
            bytes: outcome.body.len() as u64,
            error: result.as_ref().err().map(|failure| failure.reason.clone()),
            body: excerpt(call, &outcome.body),
        };
        (trace, result)
    }

    /// How the call ended, and whether another one made it. A failure of a request that began too early says nothing about
    /// a call, even about one that would have taken its answer.
    async fn outcome(&self, call: &Call) -> (Outcome, Way) {
        let identity = call.identity();
        let mut takes_any = call.reference;
        loop {
            if let Some(answer) = self.cache.find(call, identity, self.clock.now()) {
                return (Outcome::kept(answer), Way::Kept);
            }
            let serves = |began_at| takes_any || began_at > call.fresh_after;
            match self.flights.board(identity, self.clock.now(), serves) {
                Boarding::Lead(leader) => {
                    let outcome = self.made(call, identity).await;
                    leader.land(outcome.clone());
                    return (outcome, Way::Made);
                }
                Boarding::Join(passenger) => {
                    let began_at = passenger.began_at;
                    match passenger.landed().await {
                        Some(outcome) if outcome.result.is_ok() || began_at > call.fresh_after => return (outcome, Way::Shared),
                        Some(_) => takes_any = false,
                        None => {}
                    }
                }
            }
        }
    }

    /// Really makes the call; an answer that the provider only confirms is the one that was kept.
    async fn made(&self, call: &Call, identity: Identity) -> Outcome {
        let known = self.cache.to_confirm(call, identity);
        let mut outcome = match &known {
            Some((_, validator)) => {
                let mut asking = call.clone();
                asking.headers.push(validator.clone());
                self.caller.run(&asking).await
            }
            None => self.caller.run(call).await,
        };
        if let (Some((kept, _)), Ok(answer)) = (known, &outcome.result)
            && answer.status == 304
        {
            outcome.body = kept.body.clone();
            outcome.result = Ok(confirmed(kept, answer.clone()));
        }
        if let Ok(answer) = &outcome.result {
            self.cache.keep(call, identity, answer);
        }
        outcome
    }
}

/// The beginning of an answer's body, masked.
fn excerpt(call: &Call, body: &[u8]) -> Option<String> {
    if body.is_empty() {
        return None;
    }
    let window = &body[..body.len().min(2 * EXCERPT)];
    let masked = call.mask.text(&String::from_utf8_lossy(window));
    // the end of the window may cut a secret in two, which the mask does not find: what is shown stays away from it
    let last = if body.len() > window.len() { masked.len().saturating_sub(EXCERPT) } else { masked.len() };
    let end = masked.floor_char_boundary(EXCERPT.min(last));
    let more = if masked.len() > end { "…" } else { "" };
    Some(format!("{}{more}", &masked[..end]))
}

//! The client itself: identical calls become one, each call leaves a trace.

use std::sync::Arc;

use reqwest::Url;
use tokio::time::Instant;

use super::budget::Budget;
use super::call::{Answer, Call};
use super::concurrency::Concurrency;
use super::flights::{Boarding, Flights};
use super::limits::Limits;
use super::origin::Origin;
use super::recorded::Recorded;
use super::retry::{Caller, Outcome};
use super::send::Transport;
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
}

impl HttpClient {
    /// A client with its connection pools.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        let simulated = options.simulated.into_iter().map(|(origin, base)| match Origin::parse(&origin) {
            Some(origin) => Ok((origin, base)),
            None => Err(ClientError::Origin(origin)),
        });
        let transport = Transport::new(&options.user_agent, simulated.collect::<Result<_, _>>()?, options.recorded)?;
        let limits = (!transport.is_recorded()).then(|| Limits::new(options.clock.clone(), options.budget));
        let caller = Caller { clock: options.clock.clone(), limits, concurrency: Concurrency::default(), transport };
        Ok(Self { clock: options.clock, caller, flights: Flights::new() })
    }

    /// Makes `call`, or shares the answer of an identical one under way. Any complete answer whose status the API's retry rule
    /// does not cover is an answer; whether it is an acceptable one is for the caller to say.
    pub async fn call(&self, call: &Call) -> (CallTrace, Result<Answer, Failure>) {
        let started = Instant::now();
        let (outcome, shared) = self.outcome(call).await;
        let result = outcome.result.map_err(|failure| Failure { reason: call.mask.text(&failure.reason), ..failure });
        let trace = CallTrace {
            name: call.name.clone(),
            method: call.method.to_string(),
            url: call.masked_url(),
            status: outcome.status,
            took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            retries: outcome.retries,
            shared,
            bytes: result.as_ref().map_or(0, |answer| answer.body.len() as u64),
            error: result.as_ref().err().map(|failure| failure.reason.clone()),
        };
        (trace, result)
    }

    /// How the call ended, and whether another one made it. A failure of a request that began too early says nothing about
    /// a call, even about one that would have taken its answer.
    async fn outcome(&self, call: &Call) -> (Outcome, bool) {
        let identity = call.identity();
        let mut takes_any = call.reference;
        loop {
            let serves = |began_at| takes_any || began_at > call.fresh_after;
            match self.flights.board(identity, self.clock.now(), serves) {
                Boarding::Lead(leader) => {
                    let outcome = self.caller.run(call).await;
                    leader.land(outcome.clone());
                    return (outcome, false);
                }
                Boarding::Join(passenger) => {
                    let began_at = passenger.began_at;
                    match passenger.landed().await {
                        Some(outcome) if outcome.result.is_ok() || began_at > call.fresh_after => return (outcome, true),
                        Some(_) => takes_any = false,
                        None => {}
                    }
                }
            }
        }
    }
}

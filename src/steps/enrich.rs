//! `enrich:`: the calls of a route. One that names another's result runs after it, the rest side by side.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;

use super::api::Api;
use super::call::{self, Call, CallEnd, CallForm};
use super::pipeline::RunContext;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::Named;
use crate::expr::scope::Scope;
use crate::expr::template::Engine;
use crate::model::attempt::CallTrace;
use crate::model::event::EventDocument;
use crate::model::failure::Failure;

/// The compiled calls, in rounds: those of a round run side by side.
#[derive(Clone, Debug, Default)]
pub struct Enrich {
    rounds: Vec<Vec<Call>>,
}

/// How the calls of a record ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Enriched {
    /// All results are in the document.
    Complete,
    /// The thing no longer exists, by this call.
    Gone(String),
    /// Nothing is to be done, by this call.
    Ignore(String),
}

/// What is the same for all deliveries of a tenant's integration: a call that reads only this and answers is not about the delivery.
const CONSTANT: [&str; 3] = ["tenant", "integration", "source"];

/// Compiles the calls. One that reads anything of the delivery is about the delivery's own thing.
pub fn compile(
    calls: &Named<CallForm>,
    apis: Option<&[Arc<Api>]>,
    engine: &Engine,
    scope: &Scope,
    diagnostics: &mut Diagnostics,
) -> Option<Enrich> {
    let names: BTreeSet<&str> = calls.names().collect();
    // a call that shares its name with an earlier step was reported there
    let taken = names.iter().any(|name| scope.has(name));
    let scope = scope.with(names.iter().copied());
    let compiled: Vec<Option<Call>> =
        calls.entries.iter().map(|(name, form)| call::compile(name, form, apis, engine, &scope, diagnostics)).collect();
    let mut waiting: Vec<Call> = compiled.into_iter().collect::<Option<_>>()?;
    for call in &mut waiting {
        call.reference = call.reads.first_names().iter().all(|name| names.contains(name) || CONSTANT.contains(name));
    }
    let mut rounds = Vec::new();
    let mut done: BTreeSet<String> = BTreeSet::new();
    while !waiting.is_empty() {
        let ready = |call: &Call| call.reads.first_names().iter().all(|name| !names.contains(name) || done.contains(*name));
        let (round, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(ready);
        if round.is_empty() {
            if !taken {
                report_cycle(calls, &rest, diagnostics);
            }
            return None;
        }
        done.extend(round.iter().map(|call| call.name.clone()));
        rounds.push(round);
        waiting = rest;
    }
    Some(Enrich { rounds })
}

fn report_cycle(calls: &Named<CallForm>, rest: &[Call], diagnostics: &mut Diagnostics) {
    let names = rest.iter().map(|call| format!("`{}`", call.name)).collect::<Vec<_>>().join(", ");
    let place = calls.entries.iter().find(|(name, _)| rest.iter().any(|call| call.name == name.value));
    if let Some((name, _)) = place {
        let (message, hint) = match rest {
            [_] => (format!("the call {names} waits for its own answer"), "use what `extract` took out of the request"),
            _ => (
                format!("these calls wait for each other: {names}"),
                "let one of them use only what `extract` took out of the request",
            ),
        };
        diagnostics.report(Diagnostic::error("call-cycle", name.span, message).hint(hint));
    }
}

impl Enrich {
    /// All calls.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.rounds.iter().flatten()
    }

    /// Makes the calls and adds their results to the document.
    pub async fn run(
        &self,
        document: &mut EventDocument,
        context: &RunContext<'_>,
        traces: &mut Vec<CallTrace>,
    ) -> Result<Enriched, Failure> {
        for round in &self.rounds {
            let before = &*document;
            let ended = join_all(round.iter().map(|call| call.run(before, context))).await;
            let mut failure = None;
            let mut end = Enriched::Complete;
            for (call, (made, result)) in round.iter().zip(ended) {
                let began_at = made.iter().filter(|trace| trace.name == call.name).filter_map(|trace| trace.began_at).min();
                began_at.into_iter().for_each(|at| document.set_fetched(&call.name, at));
                traces.extend(made);
                match result {
                    Ok(CallEnd::Result(result)) => document.set(&call.name, result),
                    Ok(CallEnd::Skipped) => {}
                    Ok(CallEnd::Gone) => end = Enriched::Gone(call.name.clone()),
                    Ok(CallEnd::Ignore) => end = Enriched::Ignore(call.name.clone()),
                    Err(failed) => failure = failure.or(Some(failed)),
                }
            }
            match failure {
                Some(failure) => return Err(failure),
                None if end != Enriched::Complete => return Ok(end),
                None => {}
            }
        }
        Ok(Enriched::Complete)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::super::api;
    use super::super::api_options::ApiOptions;
    use super::*;
    use crate::clock::{Clock, Timestamp};
    use crate::config::options::FromYaml;
    use crate::config::source::Sources;
    use crate::config::yaml::parse;
    use crate::expr::scope::SecretValues;
    use crate::expr::value::Compiler;
    use crate::http_client::budget::MemoryBudget;
    use crate::http_client::client::{ClientOptions, HttpClient};
    use crate::http_client::recorded::{Recorded, RecordedAnswer};
    use crate::model::failure::Retry;
    use crate::secret::{GrowingMask, Mask};

    fn read<T: FromYaml>(text: &str) -> T {
        let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::default());
        let file = sources.add("a.yaml", text);
        let node = parse(&sources, file, &mut diagnostics).expect("YAML");
        T::from_yaml(&node, &mut diagnostics).expect("options")
    }

    fn enrich() -> Enrich {
        let (engine, scope, mut diagnostics) = (Engine::default(), Scope::new(["body"], "a test"), Diagnostics::default());
        let apis: Named<ApiOptions> = read("{ shop: { base: 'https://api.example' } }");
        let apis = api::compile_all(&apis, &Compiler { engine: &engine, scope: &scope }, &mut diagnostics).expect("an api");
        let calls: Named<CallForm> = read("{ all: { each: { n: $.body }, get: '/{{ n }}' } }");
        compile(&calls, Some(&apis), &engine, &scope, &mut diagnostics).expect("calls")
    }

    #[tokio::test]
    async fn no_further_call_begins_when_the_time_of_an_attempt_is_over() {
        let clock = Clock::manual(Timestamp::from_micros(1_795_248_131_000_000));
        let answer = |n: u32| RecordedAnswer {
            method: reqwest::Method::GET,
            url: format!("https://api.example/{n}").parse().expect("a URL"),
            required_headers: Vec::new(),
            status: 200,
            headers: Vec::new(),
            body: n.to_string().into(),
        };
        let recorded = Arc::new(Recorded::new((1..=3).map(answer).collect()));
        let http = HttpClient::new(ClientOptions {
            clock: clock.clone(),
            budget: Arc::new(MemoryBudget::new(clock.clone())),
            simulated: Vec::new(),
            recorded: Some(Arc::clone(&recorded)),
            user_agent: "test".to_owned(),
        });
        let http = http.expect("a client");
        let (secrets, mask) = (SecretValues::default(), GrowingMask::new(Mask::default()));
        let enrich = enrich();
        for (left, calls) in [(Duration::ZERO, 0), (Duration::from_secs(60), 3)] {
            let context = RunContext {
                http: &http,
                secrets: &secrets,
                scope: "things//",
                attempt: "1",
                credentials_came_along: false,
                fresh_after: clock.now(),
                mask: &mask,
                tenant: None,
                failed_before: 0,
                calls_until: Instant::now() + left,
            };
            let mut document = EventDocument::default();
            document.set("body", serde_json::json!([1, 2, 3]));
            let result = enrich.run(&mut document, &context, &mut Vec::new()).await;
            assert_eq!(recorded.calls().len(), calls);
            match result {
                Ok(end) => {
                    assert_eq!((end, document.get("all").map(ToString::to_string)), (Enriched::Complete, Some("[1,2,3]".into())))
                }
                Err(failure) => {
                    assert_eq!(failure.retry, Retry::Later);
                    assert!(failure.reason.contains("take longer than 5m together"), "{failure}");
                    assert_eq!(calls, 0);
                }
            }
        }
    }
}

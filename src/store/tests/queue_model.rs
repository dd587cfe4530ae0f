//! The queue against a model of it: whatever is done in whatever order, both agree on what is claimed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::engines::Engine;
use super::harness::{LEASE, TestStore, attempt, ending, queue_in, record};
use crate::model::delivery::DeliveryId;
use crate::model::lane::Claim;
use crate::store::lanes::End;
use crate::store::records::Filter;
use crate::store::{FinishError, lanes, records};

#[derive(Clone, Debug)]
enum Operation {
    Append { lanes: Vec<u8> },
    Claim,
    Finish { claim: usize, dead: bool },
    Retry { claim: usize, seconds: u64 },
    LetPass { claim: usize, seconds: u64 },
    BringBack,
    GiveBack { claim: usize },
    Discard { lane: u8 },
    Pass { seconds: u64 },
}

/// Mostly one lane; sometimes several, the first being the record's own.
fn some_lanes() -> impl Strategy<Value = Vec<u8>> {
    let several = Just((0u8..4).collect::<Vec<u8>>()).prop_shuffle();
    prop_oneof![3 => (0u8..4).prop_map(|lane| vec![lane]), 2 => (several, 2usize..4).prop_map(|(lanes, count)| lanes[..count].to_vec())]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        5 => some_lanes().prop_map(|lanes| Operation::Append { lanes }),
        4 => Just(Operation::Claim),
        3 => (0usize..6, any::<bool>()).prop_map(|(claim, dead)| Operation::Finish { claim, dead }),
        2 => (0usize..6, 1u64..40).prop_map(|(claim, seconds)| Operation::Retry { claim, seconds }),
        1 => (0usize..6, 1u64..40).prop_map(|(claim, seconds)| Operation::LetPass { claim, seconds }),
        1 => Just(Operation::BringBack),
        1 => (0usize..6).prop_map(|claim| Operation::GiveBack { claim }),
        1 => (0u8..4).prop_map(|lane| Operation::Discard { lane }),
        2 => (1u64..50).prop_map(|seconds| Operation::Pass { seconds }),
    ]
}

/// A lane as simply as it can be said.
#[derive(Default)]
struct ModelLane {
    open: VecDeque<DeliveryId>,
    /// The fence of the claim that holds it and the moment its lease ends, in seconds from the start.
    held: Option<(i64, u64)>,
    retry_at: u64,
}

#[derive(Default)]
struct Model {
    lanes: BTreeMap<u8, ModelLane>,
    /// The lanes of each record, its own first.
    places: BTreeMap<DeliveryId, Vec<u8>>,
    /// All records in the order they came, which the ids of one moment do not tell.
    came: Vec<DeliveryId>,
    /// Those that others may pass, and until when.
    aside: BTreeMap<DeliveryId, u64>,
    claims: Vec<(u8, Claim)>,
    now: u64,
}

impl Model {
    /// The record that may run now, if there is one in this lane.
    fn due(&self, name: u8) -> Option<DeliveryId> {
        let lane = self.lanes.get(&name)?;
        let head = *lane.open.front()?;
        let is_free = lane.retry_at <= self.now && lane.held.is_none_or(|(_, until)| until <= self.now);
        let heads_all = self.places[&head].iter().all(|other| self.lanes[other].open.front() == Some(&head));
        (is_free && heads_all && self.places[&head][0] == name).then_some(head)
    }

    fn join(&mut self, record: DeliveryId) {
        for name in &self.places[&record] {
            self.lanes.entry(*name).or_default().open.push_back(record);
        }
    }

    fn leave(&mut self, record: DeliveryId) {
        for name in &self.places[&record] {
            self.lanes.entry(*name).or_default().open.retain(|other| *other != record);
        }
    }

    /// Ends a claim if that still holds; says whether it does.
    fn end(&mut self, claim: usize, retry_at: u64, leaves: bool) -> Option<(Claim, bool)> {
        let (name, claim) = self.claims.get(claim)?.clone();
        let lane = self.lanes.get_mut(&name)?;
        let holds = lane.held.is_some_and(|(fence, _)| fence == claim.fence);
        if holds {
            lane.held = None;
            lane.retry_at = retry_at;
            if leaves {
                self.leave(claim.records[0].delivery);
            }
        }
        Some((claim, holds))
    }
}

fn agree(outcome: Result<(), FinishError>, holds: bool) {
    match outcome {
        Ok(()) => assert!(holds, "a lost lease was accepted"),
        Err(FinishError::LeaseLost) => assert!(!holds, "a good lease was refused"),
        Err(error) => panic!("{error}"),
    }
}

async fn step(test: &TestStore, model: &mut Model, operation: Operation) {
    match operation {
        Operation::Append { lanes } => {
            let names: Vec<String> = lanes.iter().map(u8::to_string).collect();
            let fate = queue_in(&names.iter().map(String::as_str).collect::<Vec<_>>());
            let id = test.append(test.delivery("shop", None, vec![record(0, fate)])).await;
            model.places.insert(id, lanes);
            model.came.push(id);
            model.join(id);
        }
        Operation::Claim => {
            claim(test, model).await;
        }
        Operation::Finish { claim, dead } => {
            let end = if dead { End::Dead("no".into()) } else { End::Done };
            let Some((claim, holds)) = model.end(claim, 0, true) else { return };
            agree(lanes::finish(&test.store, &claim, ending(&claim, end)).await, holds);
        }
        Operation::Retry { claim, seconds } => {
            let Some((claim, holds)) = model.end(claim, model.now + seconds, false) else { return };
            let at = test.clock.now() + Duration::from_secs(seconds);
            agree(lanes::retry(&test.store, &claim, claim.records[0].id, attempt(), "503".into(), at).await, holds);
        }
        Operation::LetPass { claim, seconds } => {
            let Some((claim, holds)) = model.end(claim, 0, true) else { return };
            if holds {
                model.aside.insert(claim.records[0].delivery, model.now + seconds);
            }
            let at = test.clock.now() + Duration::from_secs(seconds);
            agree(lanes::let_pass(&test.store, &claim, claim.records[0].id, attempt(), "503".into(), at).await, holds);
        }
        Operation::BringBack => bring_back(test, model).await,
        Operation::GiveBack { claim } => {
            let Some((claim, holds)) = model.end(claim, 0, false) else { return };
            agree(lanes::give_back(&test.store, &claim).await, holds);
        }
        Operation::Discard { lane } => discard(test, model, lane).await,
        Operation::Pass { seconds } => {
            model.now += seconds;
            test.pass(Duration::from_secs(seconds));
        }
    }
}

/// Whether something was claimed.
async fn claim(test: &TestStore, model: &mut Model) -> bool {
    let claims = test.claim(1).await;
    let due: Vec<(u8, DeliveryId)> = (0..4).filter_map(|name| Some((name, model.due(name)?))).collect();
    assert_eq!(claims.is_empty(), due.is_empty(), "the store and the model differ on whether anything is due");
    let Some(claim) = claims.into_iter().next() else { return false };
    let head = claim.records[0].delivery;
    let (name, _) = due.into_iter().find(|(_, record)| *record == head).expect("the head of a due lane");
    assert_eq!(claim.others.len() + 1, model.places[&head].len(), "it holds all of its lanes");
    model.lanes.get_mut(&name).expect("known").held = Some((claim.fence, model.now + LEASE.as_secs()));
    model.claims.push((name, claim));
    true
}

async fn bring_back(test: &TestStore, model: &mut Model) {
    let is_ready = |record: &&DeliveryId| model.aside.get(*record).is_some_and(|until| *until <= model.now);
    let ready: Vec<DeliveryId> = model.came.iter().filter(is_ready).copied().collect();
    assert_eq!(lanes::bring_back(&test.store).await.expect("brought back"), !ready.is_empty());
    for record in ready {
        model.aside.remove(&record);
        model.join(record);
    }
}

async fn discard(test: &TestStore, model: &mut Model, name: u8) {
    let now = model.now;
    let Some(head) = model.lanes.get(&name).and_then(|lane| lane.open.front().copied()) else { return };
    let own = model.lanes.get_mut(&model.places[&head][0]).expect("known");
    let held = own.held.is_some_and(|(_, until)| until > now);
    let answer = records::discard(&test.store, head, None).await.expect("answered");
    assert_eq!(answer.count == 0, held);
    if !held {
        own.held = None;
        if own.open.front() == Some(&head) {
            own.retry_at = 0;
        }
        model.leave(head);
    }
}

/// Whoever holds anything is gone; all that is open runs, each thing in its turn.
async fn finish_all(test: &TestStore, model: &mut Model) {
    model.claims.clear();
    loop {
        model.now += 100;
        test.pass(Duration::from_secs(100));
        bring_back(test, model).await;
        while claim(test, model).await {
            let (claim, holds) = model.end(model.claims.len() - 1, 0, true).expect("just claimed");
            agree(lanes::finish(&test.store, &claim, ending(&claim, End::Done)).await, holds);
        }
        if model.aside.is_empty() {
            break;
        }
    }
    assert!(model.lanes.values().all(|lane| lane.open.is_empty()), "no lane is stuck");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_queue_does_what_its_model_does(
        engine in Engine::any(),
        operations in proptest::collection::vec(operation(), 1..60),
    ) {
        engine.choose();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let test = TestStore::new().await;
            let mut model = Model::default();
            for operation in operations {
                step(&test, &mut model, operation).await;
                assert_eq!(test.broken_lanes().await, 0);
            }
            finish_all(&test, &mut model).await;
            assert_eq!(test.broken_lanes().await, 0);
            let listed = records::list(&test.store, &Filter { limit: 1000, ..Filter::default() }).await.expect("listed");
            assert!(listed.iter().all(|record| !record.state.is_open()), "every record ends");
        });
    }
}

//! The queue against a model of it: whatever is done in whatever order, both agree on what is claimed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::engines::Engine;
use super::harness::{LEASE, TestStore, attempt, ending, queue, record};
use crate::model::delivery::DeliveryId;
use crate::model::lane::Claim;
use crate::store::lanes::End;
use crate::store::{FinishError, lanes, records};

#[derive(Clone, Debug)]
enum Operation {
    Append { lane: u8 },
    Claim,
    Finish { claim: usize, dead: bool },
    Retry { claim: usize, seconds: u64 },
    GiveBack { claim: usize },
    Discard { lane: u8 },
    Pass { seconds: u64 },
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (0u8..4).prop_map(|lane| Operation::Append { lane }),
        4 => Just(Operation::Claim),
        3 => (0usize..6, any::<bool>()).prop_map(|(claim, dead)| Operation::Finish { claim, dead }),
        2 => (0usize..6, 1u64..40).prop_map(|(claim, seconds)| Operation::Retry { claim, seconds }),
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
    claims: Vec<(u8, Claim)>,
    now: u64,
}

impl Model {
    fn is_due(&self, lane: &ModelLane) -> bool {
        !lane.open.is_empty() && lane.retry_at <= self.now && lane.held.is_none_or(|(_, until)| until <= self.now)
    }

    fn end(&mut self, claim: usize, change: impl FnOnce(&mut ModelLane)) -> Option<(Claim, bool)> {
        let (lane, claim) = self.claims.get(claim)?.clone();
        let lane = self.lanes.get_mut(&lane)?;
        let holds = lane.held.is_some_and(|(fence, _)| fence == claim.fence);
        if holds {
            lane.held = None;
            lane.retry_at = 0;
            change(lane);
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
        Operation::Append { lane } => {
            let delivery = test.delivery("shop", None, vec![record(0, queue(&lane.to_string()))]);
            model.lanes.entry(lane).or_default().open.push_back(test.append(delivery).await);
        }
        Operation::Claim => claim(test, model).await,
        Operation::Finish { claim, dead } => {
            let end = if dead { End::Dead("no".into()) } else { End::Done };
            let Some((claim, holds)) = model.end(claim, |lane| {
                lane.open.pop_front();
            }) else {
                return;
            };
            agree(lanes::finish(&test.store, &claim, ending(&claim, end)).await, holds);
        }
        Operation::Retry { claim, seconds } => {
            let retry_at = model.now + seconds;
            let Some((claim, holds)) = model.end(claim, |lane| lane.retry_at = retry_at) else { return };
            let at = test.clock.now() + Duration::from_secs(seconds);
            agree(lanes::retry(&test.store, &claim, claim.records[0].id, attempt(), "503".into(), at).await, holds);
        }
        Operation::GiveBack { claim } => {
            let Some((claim, holds)) = model.end(claim, |_| ()) else { return };
            agree(lanes::give_back(&test.store, &claim).await, holds);
        }
        Operation::Discard { lane } => discard(test, model, lane).await,
        Operation::Pass { seconds } => {
            model.now += seconds;
            test.pass(Duration::from_secs(seconds));
        }
    }
}

async fn claim(test: &TestStore, model: &mut Model) {
    let claims = test.claim(1).await;
    let due: Vec<u8> = model.lanes.iter().filter(|(_, lane)| model.is_due(lane)).map(|(name, _)| *name).collect();
    assert_eq!(claims.is_empty(), due.is_empty(), "the store and the model differ on whether anything is due");
    let Some(claim) = claims.into_iter().next() else { return };
    let head = claim.records[0].delivery;
    let name = due.into_iter().find(|name| model.lanes[name].open.front() == Some(&head)).expect("the head of a due lane");
    model.lanes.get_mut(&name).expect("known").held = Some((claim.fence, model.now + LEASE.as_secs()));
    model.claims.push((name, claim));
}

async fn discard(test: &TestStore, model: &mut Model, name: u8) {
    let now = model.now;
    let Some(lane) = model.lanes.get_mut(&name) else { return };
    let Some(head) = lane.open.front().copied() else { return };
    let held = lane.held.is_some_and(|(_, until)| until > now);
    let answer = records::discard(&test.store, head, None).await.expect("answered");
    assert_eq!(answer.count == 0, held);
    if !held {
        lane.open.pop_front();
        lane.held = None;
        lane.retry_at = 0;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
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
            }
            assert_eq!(test.broken_lanes().await, 0);
        });
    }
}

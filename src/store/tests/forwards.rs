//! Forwards: written with the end of their record or not at all, in order, each with an end of its own.

use std::time::Duration;

use serde_json::json;

use super::engines::{Engine, on_both_engines};
use super::harness::{LEASE, TestStore, attempt, ending};
use crate::model::delivery::DeliveryId;
use crate::model::forward::{ForwardContent, ForwardId, ForwardSummary, NewForward};
use crate::model::lane::Claim;
use crate::model::record::RecordState;
use crate::store::forwards::{self, Sent};
use crate::store::hands::Hands;
use crate::store::lanes::{ClaimRequest, End, Ending};
use crate::store::records::{self, Filter};
use crate::store::retention::{Keep, Round, Sweep};
use crate::store::sql::query;
use crate::store::{FinishError, lanes};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn new(test: &TestStore, number: u64, target: &str) -> NewForward {
    let answers = [("order".to_owned(), json!({ "total": 12 }))].into_iter().collect();
    let content = ForwardContent { answers, gone: false };
    NewForward {
        id: ForwardId::at(test.clock.now() + Duration::from_millis(number)),
        target: target.to_owned(),
        content,
        dead: None,
    }
}

/// Ends the claim of a record that asks for these.
async fn end_with(test: &TestStore, claim: &Claim, targets: &[&str]) -> Result<(), FinishError> {
    let forwards = targets.iter().zip(0..).map(|(target, number)| new(test, number, target)).collect();
    lanes::finish(&test.store, claim, Ending { forwards, ..ending(claim, End::Done) }).await
}

/// Puts a record into the lane and does it, so that these follow.
async fn done(test: &TestStore, lane: &str, targets: &[&str]) -> DeliveryId {
    let delivery = test.put(lane).await;
    end_with(test, &test.claim_one().await, targets).await.expect("ended");
    delivery
}

async fn claim(test: &TestStore) -> Vec<Claim> {
    let versions = test.versions(&["shop"]);
    let request = ClaimRequest { owner: 1, versions: &versions, hands: Hands::for_anyone(16), lease: LEASE };
    lanes::claim_forwards(&test.store, request).await.expect("claimed")
}

fn target(claim: &Claim) -> &str {
    claim.forward.as_ref().map_or("none", |forward| forward.target.as_str())
}

async fn finish(test: &TestStore, claim: &Claim, sent: Sent) -> Result<(), FinishError> {
    let forward = claim.forward.as_ref().expect("a forward");
    forwards::finish(&test.store, claim, forward, sent, &attempt()).await
}

async fn shown(test: &TestStore, delivery: DeliveryId) -> Vec<ForwardSummary> {
    forwards::of_delivery(&test.store, delivery).await.expect("shown")
}

async fn states(test: &TestStore, delivery: DeliveryId) -> Vec<RecordState> {
    shown(test, delivery).await.iter().map(|one| one.state).collect()
}

/// Removes what may go.
async fn keep_house(test: &TestStore) {
    let keep = Keep { bodies: DAY * 30, records: DAY * 180 };
    let mut round = Round::begin(&test.store, keep, Duration::ZERO).await.expect("begun").expect("this one's turn");
    while round.step(&test.store).await.expect("a step") {}
}

async fn they_follow_their_record_in_order() {
    let test = TestStore::new().await;
    let first = done(&test, "a", &["x", "y"]).await;
    test.pass(Duration::from_millis(5));
    let second = done(&test, "a", &["x"]).await;
    assert!(test.claim(9).await.is_empty(), "no record is due, and forwards are none");
    let claims = claim(&test).await;
    let mut targets: Vec<&str> = claims.iter().map(target).collect();
    targets.sort_unstable();
    assert_eq!(targets, ["x", "y"], "one of each target");
    assert_eq!(states(&test, first).await, [RecordState::Running, RecordState::Running]);
    assert_eq!(states(&test, second).await, [RecordState::Waiting]);
    let x = claims.iter().find(|claim| target(claim) == "x").expect("x");
    let forward = x.forward.as_ref().expect("a forward");
    assert_eq!((forward.delivery, forward.number, forward.attempts), (first, 0, 0));
    let content = forwards::content(&test.store, x, forward).await.expect("opens");
    assert_eq!(content.answers["order"], json!({ "total": 12 }));
    for claim in &claims {
        finish(&test, claim, Sent::Done).await.expect("ended");
    }
    assert!(matches!(finish(&test, x, Sent::Done).await, Err(FinishError::LeaseLost)));
    let next = claim(&test).await;
    assert_eq!(next.iter().map(|claim| claim.forward.as_ref().expect("a forward").delivery).collect::<Vec<_>>(), [second]);
    finish(&test, &next[0], Sent::Done).await.expect("ended");
    assert_eq!([states(&test, first).await, states(&test, second).await].concat(), [RecordState::Done; 3]);
    assert_eq!(test.broken_lanes().await, 0);
    test.store.close().await;
}
on_both_engines!(they_follow_their_record_in_order);

async fn they_are_written_with_the_end_or_not_at_all() {
    let test = TestStore::new().await;
    let delivery = test.put("a").await;
    let late = test.claim_one().await;
    test.pass(LEASE * 2);
    let again = test.claim_one().await;
    assert!(matches!(end_with(&test, &late, &["x"]).await, Err(FinishError::LeaseLost)));
    assert!(shown(&test, delivery).await.is_empty() && claim(&test).await.is_empty());
    end_with(&test, &again, &["x"]).await.expect("ended");
    assert_eq!(claim(&test).await.len(), 1);
    test.store.close().await;
}
on_both_engines!(they_are_written_with_the_end_or_not_at_all);

async fn one_that_fails_keeps_its_place_and_a_paused_pool_holds_none() {
    let test = TestStore::new().await;
    let first = done(&test, "a", &["x"]).await;
    let second = done(&test, "a", &["x", "y"]).await;
    let claims = claim(&test).await;
    let x = claims.iter().find(|claim| target(claim) == "x").expect("x");
    let at = test.clock.now() + MINUTE;
    finish(&test, x, Sent::Again(at, "down".to_owned())).await.expect("ended");
    let (of_first, of_second) = (shown(&test, first).await, states(&test, second).await);
    assert_eq!(
        (of_first[0].state, of_first[0].attempts, of_first[0].reason.as_deref()),
        (RecordState::Retrying, 1, Some("down"))
    );
    assert_eq!(of_first[0].next_at, Some(at.to_string()));
    assert_eq!(of_second, [RecordState::Waiting, RecordState::Running]);
    assert_eq!(lanes::next_due_forward(&test.store, &test.versions(&["shop"])).await.expect("due"), Some(at));
    test.put("b").await;
    let record = test.claim_one().await;
    let until = test.clock.now() + MINUTE * 60;
    lanes::hold(&test.store, &record, until, "no budget".to_owned(), None).await.expect("held");
    test.pass(MINUTE);
    assert!(test.claim(9).await.is_empty(), "the pool is paused");
    let again = claim(&test).await;
    let heads: Vec<_> = again.iter().map(|claim| (target(claim), claim.forward.as_ref().expect("one").delivery)).collect();
    assert!(heads.contains(&("x", first)), "{heads:?}");
    let x = again.iter().find(|claim| target(claim) == "x").expect("x");
    finish(&test, x, Sent::Held(until, "refused".to_owned())).await.expect("ended");
    lanes::resume_pool(&test.store, "shop", None).await.expect("resumed");
    let again = claim(&test).await;
    let x = again.iter().find(|claim| target(claim) == "x").expect("new credentials end the wait");
    finish(&test, x, Sent::Held(until, "too many requests".to_owned())).await.expect("ended");
    lanes::resume_refused(&test.store, "shop").await.expect("resumed");
    assert!(claim(&test).await.is_empty(), "it waits for something else");
    test.clock.move_to(until);
    let again = claim(&test).await;
    let x = again.iter().find(|claim| target(claim) == "x").expect("its time has come");
    finish(&test, x, Sent::Refused(until + MINUTE, "401".to_owned())).await.expect("ended");
    lanes::resume_refused(&test.store, "shop").await.expect("resumed");
    assert_eq!(claim(&test).await.iter().map(target).collect::<Vec<_>>(), ["x"]);
    assert_eq!(test.broken_lanes().await, 0);
    test.store.close().await;
}
on_both_engines!(one_that_fails_keeps_its_place_and_a_paused_pool_holds_none);

async fn the_dead_are_sent_again_or_given_up_and_keep_their_request() {
    let test = TestStore::new().await;
    let delivery = done(&test, "a", &["x", "y"]).await;
    for claim in claim(&test).await {
        finish(&test, &claim, Sent::Dead("no".to_owned())).await.expect("ended");
    }
    let listed = |dead_forwards| Filter { dead_forwards, ..Filter::default() };
    let found = records::list(&test.store, &listed(true)).await.expect("listed");
    assert_eq!((found[0].forwards_dead, found[0].forwards_open, found[0].state), (2, 0, RecordState::Done));
    // the lanes are idle for a day and gone, and the request would be old enough to go
    let mut sweep = Sweep::default();
    for _ in 0..2 {
        assert_eq!(sweep.step(&test.store).await.expect("swept").wrong, []);
        test.pass(DAY * 40);
    }
    keep_house(&test).await;
    let kept = records::show(&test.store, delivery).await.expect("asked").expect("its rows are there");
    assert!(kept.is_kept, "a dead forward needs its request");
    assert_eq!(forwards::replay(&test.store, delivery, None).await.expect("asked").marked, 2);
    assert_eq!(states(&test, delivery).await, [RecordState::Waiting; 2]);
    let claims = claim(&test).await;
    assert_eq!(claims.len(), 2);
    finish(&test, &claims[0], Sent::Done).await.expect("ended");
    finish(&test, &claims[1], Sent::Dead("no".to_owned())).await.expect("ended");
    assert_eq!(forwards::discard(&test.store, delivery, None).await.expect("discarded"), 1);
    assert_eq!(forwards::replay(&test.store, delivery, None).await.expect("asked").marked, 0);
    assert!(records::list(&test.store, &listed(true)).await.expect("listed").is_empty());
    test.pass(DAY * 200);
    keep_house(&test).await;
    keep_house(&test).await;
    assert!(records::show(&test.store, delivery).await.expect("asked").is_none() && shown(&test, delivery).await.is_empty());
    assert_eq!(test.broken_lanes().await, 0);
    test.store.close().await;
}
on_both_engines!(the_dead_are_sent_again_or_given_up_and_keep_their_request);

#[tokio::test]
async fn new_credentials_wake_what_waits_without_a_look_at_all_lanes() {
    Engine::Sqlite.choose();
    let test = TestStore::new().await;
    let explained = format!("explain query plan {}", lanes::END_WAITS_OF_FORWARDS);
    let explained = query(&*Box::leak(explained.into_boxed_str())).bind("shop").bind(0i64).bind(0i64);
    let rows = test.store.read(explained).await.expect("explained");
    let steps: Vec<String> = rows.iter().map(|row| row.get("detail").expect("a text")).collect();
    assert!(steps.iter().any(|step| step.contains("SEARCH lane USING INDEX lane_due_forward")), "{steps:?}");
    test.store.close().await;
}

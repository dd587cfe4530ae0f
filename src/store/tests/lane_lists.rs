//! Records of several lanes: what a renumbering needs, which touches two things at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::engines::{Engine, is_skipped, on_both_engines};
use super::harness::{LEASE, TestStore, attempt, coalescing, options, queue_in, record};
use crate::model::delivery::DeliveryId;
use crate::model::record::{RecordState, RecordSummary};
use crate::store::hands::Hands;
use crate::store::lanes::{ClaimRequest, End};
use crate::store::records::{Filter, Replay};
use crate::store::retention::Sweep;
use crate::store::sql::query;
use crate::store::{Store, inbox, lanes, records};

impl TestStore {
    pub(super) async fn put_in(&self, lanes: &[&str]) -> DeliveryId {
        self.append(self.delivery("shop", None, vec![record(0, queue_in(lanes))])).await
    }

    async fn run(&self) -> DeliveryId {
        let claim = self.claim_one().await;
        self.end(&claim, End::Done).await;
        claim.records[0].delivery
    }

    async fn summary(&self, delivery: DeliveryId) -> RecordSummary {
        let filter = Filter { delivery: Some(delivery), ..Filter::default() };
        records::list(&self.store, &filter).await.expect("listed").remove(0)
    }
}

on_both_engines!(a_record_of_two_lanes_runs_after_all_before_it_in_both_and_before_all_behind_it);
async fn a_record_of_two_lanes_runs_after_all_before_it_in_both_and_before_all_behind_it() {
    let test = TestStore::new().await;
    let (one, two) = (test.put("1001").await, test.put("1002").await);
    let moved = test.put_in(&["1001", "1002"]).await;
    let (behind_one, behind_two) = (test.put("1001").await, test.put("1002").await);
    let claims = test.claim(8).await;
    assert_eq!(claims.iter().map(|claim| claim.records[0].delivery).collect::<BTreeSet<_>>(), [one, two].into());
    test.end(&claims[0], End::Done).await;
    assert!(test.claim(8).await.is_empty(), "it waits for the other lane, and what is behind it waits for it");
    test.end(&claims[1], End::Done).await;
    let claim = test.claim_one().await;
    assert_eq!((claim.records[0].delivery, claim.others.len()), (moved, 1));
    assert!(test.claim(8).await.is_empty(), "it holds both");
    let held = test.summary(behind_two).await;
    assert_eq!((held.state, held.reason.as_deref()), (RecordState::Held, Some("waits for lane 1001")));
    assert_eq!(test.summary(behind_one).await.state, RecordState::Waiting);
    test.end(&claim, End::Done).await;
    assert_eq!(test.claim(8).await.len(), 2, "both go on");
    assert_eq!(test.broken_lanes().await, 0);
}

on_both_engines!(what_holds_a_lane_is_told_of_and_a_lane_that_is_held_is_neither_wrong_nor_idle);
async fn what_holds_a_lane_is_told_of_and_a_lane_that_is_held_is_neither_wrong_nor_idle() {
    let test = TestStore::new().await;
    let before = test.put("1002").await;
    let claim = test.claim_one().await;
    let moved = test.put_in(&["1001", "1002"]).await;
    assert!(test.claim(8).await.is_empty());
    let held = test.summary(moved).await;
    assert_eq!((held.state, held.reason.as_deref()), (RecordState::Held, Some("waits for lane 1002")));
    assert_eq!(lanes::next_due(&test.store, &test.versions(&["shop"])).await.expect("asked"), Some(claim.lease_ends_at));
    let mut sweep = Sweep::default();
    test.pass(Duration::from_secs(2 * 86_400));
    assert!(sweep.step(&test.store).await.expect("swept").wrong.is_empty());
    let again = test.claim_one().await;
    assert_eq!(again.records[0].delivery, before, "its lease had run out");
    test.end(&again, End::Done).await;
    assert_eq!(test.run().await, moved);
}

on_both_engines!(renumberings_in_circles_all_end_in_the_order_they_came);
async fn renumberings_in_circles_all_end_in_the_order_they_came() {
    let test = TestStore::new().await;
    let mut put = Vec::new();
    for lanes in [["a", "b"], ["b", "a"], ["b", "c"], ["c", "a"], ["a", "b"]] {
        put.push(test.put_in(&lanes).await);
    }
    let mut ran = Vec::new();
    while let Some(claim) = test.claim(8).await.pop() {
        assert!(test.claim(8).await.is_empty(), "each shares a lane with the next");
        ran.push(claim.records[0].delivery);
        test.end(&claim, End::Done).await;
        assert_eq!(test.broken_lanes().await, 0);
    }
    assert_eq!(ran, put);
}

on_both_engines!(however_a_record_of_two_lanes_ends_both_go_on);
async fn however_a_record_of_two_lanes_ends_both_go_on() {
    let test = TestStore::new().await;
    for end in [End::Done, End::Ignored("no".into()), End::Superseded("no".into()), End::Dead("no".into())] {
        test.put_in(&["a", "b"]).await;
        let behind = [test.put("a").await, test.put("b").await];
        let claim = test.claim_one().await;
        test.end(&claim, end).await;
        assert_eq!(BTreeSet::from([test.run().await, test.run().await]), behind.into());
    }
    let moved = test.put_in(&["a", "b"]).await;
    let behind = test.put("b").await;
    let claim = test.claim_one().await;
    let at = test.clock.now() + Duration::from_secs(100);
    lanes::retry(&test.store, &claim, claim.records[0].id, attempt(), "503".into(), at).await.expect("put off");
    assert!(test.claim(8).await.is_empty(), "it backs off with both lanes");
    assert_eq!(test.summary(behind).await.state, RecordState::Held);
    assert_eq!(records::discard(&test.store, moved, None).await.expect("discarded").count, 1);
    assert_eq!(test.run().await, behind);
    assert_eq!(test.broken_lanes().await, 0);
}

on_both_engines!(a_gate_ends_a_run_of_equal_work);
async fn a_gate_ends_a_run_of_equal_work() {
    let test = TestStore::new().await;
    let put = async || test.append(test.delivery("shop", None, vec![coalescing("b", 1)])).await;
    put().await;
    put().await;
    let moved = test.put_in(&["a", "b"]).await;
    put().await;
    test.pass(Duration::from_secs(2));
    let claim = test.claim_one().await;
    assert_eq!(claim.records.len(), 2);
    test.end(&claim, End::Done).await;
    assert_eq!(test.run().await, moved);
    assert_eq!(test.claim_one().await.records.len(), 1);
}

on_both_engines!(a_replay_sees_what_is_newer_in_each_of_its_lanes);
async fn a_replay_sees_what_is_newer_in_each_of_its_lanes() {
    let test = TestStore::new().await;
    let dead = test.put("b").await;
    test.end(&test.claim_one().await, End::Dead("no".into())).await;
    test.put_in(&["a", "b"]).await;
    test.run().await;
    let asked = Replay { number: None, apply_again: false, force: false, forwards: false };
    records::ask_replay(&test.store, dead, asked).await.expect("asked");
    let readmission = records::to_readmit(&test.store, &test.versions(&["shop"]), 9, u64::MAX).await.expect("asked").remove(0);
    let late = records::Readmitted { runs_late: false, ..test.readmitted(readmission, queue_in(&["c", "b"])) };
    records::readmit(&test.store, vec![late], super::harness::ADMIT_HASH).await.expect("readmitted");
    assert_eq!(test.state(dead).await, RecordState::Superseded);
    let forced = Replay { force: true, apply_again: true, ..asked };
    records::ask_replay(&test.store, dead, forced).await.expect("asked");
    let readmission = records::to_readmit(&test.store, &test.versions(&["shop"]), 9, u64::MAX).await.expect("asked").remove(0);
    let again = vec![test.readmitted(readmission, queue_in(&["c", "b"]))];
    records::readmit(&test.store, again, super::harness::ADMIT_HASH).await.expect("readmitted");
    let claim = test.claim_one().await;
    assert_eq!((claim.records[0].delivery, claim.others.len()), (dead, 1));
    assert_eq!(test.broken_lanes().await, 0);
}

on_both_engines!(others_pass_a_record_that_fails_for_long_and_it_comes_back_behind_them);
async fn others_pass_a_record_that_fails_for_long_and_it_comes_back_behind_them() {
    let test = TestStore::new().await;
    let failing = test.put_in(&["a", "b"]).await;
    let (behind_a, behind_b) = (test.put("a").await, test.put("b").await);
    let claim = test.claim_one().await;
    let at = test.clock.now() + Duration::from_secs(600);
    lanes::let_pass(&test.store, &claim, claim.records[0].id, attempt(), "503".into(), at).await.expect("let past");
    let shown = test.summary(failing).await;
    assert_eq!((shown.state, shown.next_at), (RecordState::Retrying, Some(at.to_string())));
    assert_eq!(BTreeSet::from([test.run().await, test.run().await]), [behind_a, behind_b].into());
    assert!(test.claim(8).await.is_empty() && !lanes::bring_back(&test.store).await.expect("looked"));
    test.pass(Duration::from_secs(2 * 86_400));
    let mut sweep = Sweep::default();
    for _ in 0..3 {
        assert!(sweep.step(&test.store).await.expect("swept").wrong.is_empty());
    }
    assert!(lanes::bring_back(&test.store).await.expect("brought back"));
    let claim = test.claim_one().await;
    assert_eq!((claim.records[0].delivery, claim.others.len(), claim.records[0].attempts), (failing, 1, 1));
    assert!(claim.done_record > Some(claim.records[0].first_run), "it is told that newer ones took effect");
    assert_eq!(claim.records[0].passed.map(|id| id.0), Some(0));
    test.end(&claim, End::Done).await;
    assert_eq!(test.broken_lanes().await, 0);
    let given_up = test.put_in(&["a", "b"]).await;
    let claim = test.claim_one().await;
    lanes::let_pass(&test.store, &claim, claim.records[0].id, attempt(), "503".into(), at).await.expect("let past");
    assert_eq!(records::discard(&test.store, given_up, None).await.expect("discarded").count, 1);
    assert!(!lanes::bring_back(&test.store).await.expect("looked"));
    assert_eq!(test.broken_lanes().await, 0);
}

on_both_engines!(a_record_that_backs_off_says_how_many_wait_for_it);
async fn a_record_that_backs_off_says_how_many_wait_for_it() {
    let test = TestStore::new().await;
    let first = test.put("a").await;
    let behind = [test.put("a").await, test.put("a").await];
    let claim = test.claim_one().await;
    let at = test.clock.now() + Duration::from_secs(600);
    lanes::retry(&test.store, &claim, claim.records[0].id, attempt(), "503".into(), at).await.expect("put off");
    assert_eq!((test.summary(first).await.blocks, test.summary(behind[1]).await.blocks), (2, 0));
}

on_both_engines!(fences_go_on_above_what_a_target_remembers);
async fn fences_go_on_above_what_a_target_remembers() {
    let test = TestStore::new().await;
    test.put("a").await;
    assert!(lanes::raise_fences(&test.store, 5_000).await.expect("raised"));
    assert!(!lanes::raise_fences(&test.store, 4_000).await.expect("asked"));
    assert!(test.claim_one().await.fence > 5_000);
}

/// Two processes add to the same lanes, claim and finish at once. Nobody waits in a circle, nothing of one lane runs beside another,
/// and each lane's records run in the order of their rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_that_share_lanes_end_all_records_in_order() {
    if is_skipped() {
        return;
    }
    Engine::Postgres.choose();
    let test = TestStore::new().await;
    let other = Store::open(options(test.folder.path(), &test.clock)).await.expect("opens beside the first");
    let names = ["a", "b", "c", "d", "e"];
    let mut lanes_of: BTreeMap<DeliveryId, Vec<&str>> = BTreeMap::new();
    for round in 0usize..30 {
        let pick = |from: usize, count: usize| -> Vec<&str> { (0..count).map(|step| names[(from + step * 2) % 5]).collect() };
        let (one, two) = (pick(round, 1 + round % 3), pick(round * 3 + 1, 1 + (round + 1) % 3));
        let of = |lanes: &[&str]| test.delivery("shop", None, vec![record(0, queue_in(lanes))]);
        let (first, second) = (of(&one), of(&two));
        lanes_of.extend([(first.id, one), (second.id, two)]);
        let (one, two) = tokio::join!(inbox::append(&test.store, first), inbox::append(&other, second));
        assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    }
    let came = in_line(&test.store).await;
    let ran = std::sync::Mutex::new((BTreeSet::new(), Vec::new()));
    let versions = test.versions(&["shop"]);
    let work = async |store: &Store| {
        let mut idle = 0;
        while idle < 200 {
            let request = ClaimRequest { owner: 1, versions: &versions, hands: Hands::for_anyone(2), lease: LEASE };
            let claims = lanes::claim(store, request).await.expect("claimed");
            idle = if claims.is_empty() { idle + 1 } else { 0 };
            for claim in claims {
                let record = claim.records[0].delivery;
                for lane in &lanes_of[&record] {
                    assert!(ran.lock().expect("fine").0.insert(*lane), "two of lane {lane} ran at once");
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
                {
                    let mut ran = ran.lock().expect("fine");
                    ran.1.push(claim.records[0].id.0);
                    for lane in &lanes_of[&record] {
                        ran.0.remove(lane);
                    }
                }
                lanes::finish(store, &claim, super::harness::ending(&claim, End::Done)).await.expect("finished");
            }
            test.pass(Duration::from_millis(30));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::join!(work(&test.store), work(&other));
    let ran = ran.into_inner().expect("fine").1;
    assert_eq!(ran.len(), 60, "no lane is stuck");
    for (lane, came) in came {
        let of_lane: Vec<i64> = ran.iter().copied().filter(|id| came.contains(id)).collect();
        assert_eq!(of_lane, came, "lane {lane}");
    }
    assert_eq!(test.broken_lanes().await, 0);
}

/// The records that wait in each lane, in order.
async fn in_line(store: &Store) -> BTreeMap<i64, Vec<i64>> {
    let sql = "select lane_id, pos, id from record union all select lane_id, pos, record_id from gate order by lane_id, pos";
    let mut lanes: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for row in store.read(query(sql)).await.expect("read") {
        lanes.entry(row.get("lane_id").expect("a lane")).or_default().push(row.get("id").expect("a record"));
    }
    lanes
}

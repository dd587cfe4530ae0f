//! Lanes: order, leases, fences, coalescing, fairness, pauses.

use std::time::Duration;

use super::engines::on_both_engines;
use super::harness::{LEASE, TestStore, attempt, coalescing, ending, queue, record};
use crate::model::record::RecordState;
use crate::store::lanes::End;
use crate::store::{FinishError, lanes, pools, records, tenants};

const SECOND: Duration = Duration::from_secs(1);

on_both_engines!(records_of_one_lane_come_one_at_a_time_and_in_order);
async fn records_of_one_lane_come_one_at_a_time_and_in_order() {
    let test = TestStore::new().await;
    let mut put = Vec::new();
    for _ in 0..3 {
        put.push(test.put("a").await);
    }
    let mut got = Vec::new();
    for turn in 0..3 {
        let claim = test.claim_one().await;
        assert!(test.claim(8).await.is_empty(), "the lane is leased");
        assert_eq!(claim.done_position, (turn > 0).then_some(i64::from(turn)));
        got.push(claim.records[0].delivery);
        test.end(&claim, End::Done).await;
    }
    assert_eq!(got, put);
    assert!(test.claim(8).await.is_empty());
    assert_eq!(test.broken_lanes().await, 0);
}

on_both_engines!(a_lane_that_coalesces_waits_for_quiet_but_not_for_ever);
async fn a_lane_that_coalesces_waits_for_quiet_but_not_for_ever() {
    let test = TestStore::new().await;
    let start = test.clock.now();
    test.append(test.delivery("shop", None, vec![coalescing("a", 1)])).await;
    assert_eq!(lanes::next_due(&test.store, &test.versions(&["shop"])).await.expect("asked"), Some(start + SECOND * 2));
    for _ in 0..8 {
        test.pass(SECOND);
        test.append(test.delivery("shop", None, vec![coalescing("a", 1)])).await;
    }
    assert_eq!(lanes::next_due(&test.store, &test.versions(&["shop"])).await.expect("asked"), Some(start + SECOND * 10));
    test.pass(SECOND);
    test.append(test.delivery("shop", None, vec![coalescing("a", 1)])).await;
    assert_eq!(lanes::next_due(&test.store, &test.versions(&["shop"])).await.expect("asked"), Some(start + SECOND * 10));
    assert!(test.claim(1).await.is_empty());
    test.pass(SECOND);
    assert_eq!(test.claim_one().await.records.len(), 10);
}

on_both_engines!(records_of_the_same_work_run_as_one_and_name_the_one_that_ran);
async fn records_of_the_same_work_run_as_one_and_name_the_one_that_ran() {
    let test = TestStore::new().await;
    let mut put = Vec::new();
    for work in [1, 1, 2, 1] {
        put.push(test.append(test.delivery("shop", None, vec![coalescing("a", work)])).await);
    }
    test.pass(SECOND * 2);
    let claim = test.claim_one().await;
    assert_eq!(claim.records.iter().map(|record| record.delivery).collect::<Vec<_>>(), put[..2]);
    test.end(&claim, End::Done).await;
    let shown = records::show(&test.store, put[0]).await.expect("shown").expect("there");
    assert_eq!(shown.records[0].state, RecordState::Superseded);
    assert_eq!(shown.records[0].superseded_by, Some(put[1]));
    assert_eq!(shown.records[0].lane.as_deref(), Some("a"));
    let claim = test.claim_one().await;
    assert_eq!(claim.records.len(), 1);
    test.end(&claim, End::Dead("no".into())).await;
    assert_eq!(test.state(put[2]).await, RecordState::Dead);
    assert_eq!(test.broken_lanes().await, 0);
}

on_both_engines!(superseded_records_die_with_the_one_that_ran_for_them);
async fn superseded_records_die_with_the_one_that_ran_for_them() {
    let test = TestStore::new().await;
    let first = test.append(test.delivery("shop", None, vec![coalescing("a", 1)])).await;
    let second = test.append(test.delivery("shop", None, vec![coalescing("a", 1)])).await;
    test.pass(SECOND * 2);
    test.end(&test.claim_one().await, End::Dead("no such order".into())).await;
    assert_eq!(test.state(first).await, RecordState::Dead);
    assert_eq!(test.state(second).await, RecordState::Dead);
}

on_both_engines!(a_lease_that_ran_out_is_lost_once_the_lane_is_claimed_again);
async fn a_lease_that_ran_out_is_lost_once_the_lane_is_claimed_again() {
    let test = TestStore::new().await;
    test.put("a").await;
    let old = test.claim_one().await;
    lanes::prolong(&test.store, &old, LEASE * 2).await.expect("prolonged");
    test.pass(LEASE);
    assert!(test.claim(1).await.is_empty());
    test.pass(LEASE);
    let new = test.claim_one().await;
    assert!(new.fence > old.fence);
    for lost in [
        lanes::finish(&test.store, &old, ending(&old, End::Done)).await,
        lanes::prolong(&test.store, &old, LEASE).await,
        lanes::give_back(&test.store, &old).await,
        lanes::retry(&test.store, &old, old.records[0].id, attempt(), "no".into(), test.clock.now()).await,
    ] {
        assert!(matches!(lost, Err(FinishError::LeaseLost)), "{lost:?}");
    }
    test.end(&new, End::Done).await;
    let again = lanes::finish(&test.store, &new, ending(&new, End::Done)).await;
    assert!(matches!(again, Err(FinishError::LeaseLost)));
    assert_eq!(test.broken_lanes().await, 0);
}

on_both_engines!(a_failed_record_stays_at_the_head_of_its_lane_until_its_time);
async fn a_failed_record_stays_at_the_head_of_its_lane_until_its_time() {
    let test = TestStore::new().await;
    let first = test.put("a").await;
    test.put("a").await;
    let failed_at = test.clock.now();
    for attempts in 1..=2u32 {
        let claim = test.claim_one().await;
        assert_eq!(claim.records[0].delivery, first);
        let at = test.clock.now() + SECOND * 30;
        lanes::retry(&test.store, &claim, claim.records[0].id, attempt(), "503".into(), at).await.expect("put off");
        test.put("a").await;
        assert_eq!(test.state(first).await, RecordState::Retrying);
        assert!(test.claim(1).await.is_empty());
        assert_eq!(lanes::next_due(&test.store, &test.versions(&["shop"])).await.expect("asked"), Some(at));
        test.clock.move_to(at);
        let shown = records::show(&test.store, first).await.expect("shown").expect("there");
        assert_eq!(shown.records[0].attempts, attempts);
        assert_eq!(shown.attempts.last().expect("kept").attempt.number, attempts);
    }
    let claim = test.claim_one().await;
    assert_eq!((claim.records[0].attempts, claim.records[0].first_failed_at), (2, Some(failed_at)));
    assert_eq!(test.state(first).await, RecordState::Running);
}

on_both_engines!(a_held_pool_is_left_alone_until_its_time_or_until_it_is_resumed);
async fn a_held_pool_is_left_alone_until_its_time_or_until_it_is_resumed() {
    let test = TestStore::new().await;
    let held = test.put("a").await;
    test.put("b").await;
    let claim = test.claim_one().await;
    let until = test.clock.now() + SECOND * 90;
    lanes::hold(&test.store, &claim, until, "quota".into(), None).await.expect("held");
    assert_eq!(test.state(held).await, RecordState::Held);
    assert!(test.claim(8).await.is_empty());
    assert_eq!(lanes::next_due(&test.store, &test.versions(&["shop"])).await.expect("asked"), Some(until));
    lanes::resume_pool(&test.store, "shop", None).await.expect("resumed");
    let claims = test.claim(8).await;
    assert_eq!(claims.len(), 2);
    assert!(claims.iter().all(|claim| claim.records[0].attempts == 0));
}

on_both_engines!(what_people_have_to_see_to_is_not_hidden_by_a_shorter_pause);
async fn what_people_have_to_see_to_is_not_hidden_by_a_shorter_pause() {
    let test = TestStore::new().await;
    for lane in ["a", "b", "c"] {
        test.put(lane).await;
    }
    let claims = test.claim(3).await;
    let refused = (claims[0].records[0].id, attempt());
    let until = test.clock.now() + SECOND * 3600;
    lanes::hold_for_credentials(&test.store, &claims[0], until, "401".into(), refused).await.expect("held");
    lanes::hold(&test.store, &claims[1], test.clock.now() + SECOND * 10, "quota".into(), None).await.expect("held");
    let attention = async || {
        pools::needing_attention(&test.store).await.expect("asked").into_iter().map(|pool| pool.reason).collect::<Vec<_>>()
    };
    assert_eq!(attention().await, ["401"]);
    test.pass(SECOND * 60);
    assert!(test.claim(8).await.is_empty());
    lanes::hold(&test.store, &claims[2], until + SECOND, "quota".into(), None).await.expect("held");
    assert!(attention().await.is_empty(), "the longest pause says why");
}

on_both_engines!(other_credentials_of_a_source_end_no_pause_but_those_of_refused_ones);
async fn other_credentials_of_a_source_end_no_pause_but_those_of_refused_ones() {
    let test = TestStore::new().await;
    let busy = tenants::add(&test.store, "busy").await.expect("added");
    for tenant in [None, Some(&busy)] {
        test.append(test.delivery("shop", tenant, vec![record(0, queue("a"))])).await;
    }
    let claims = test.claim(2).await;
    let (of_busy, other) = if claims[0].tenant.is_some() { (&claims[0], &claims[1]) } else { (&claims[1], &claims[0]) };
    let until = test.clock.now() + SECOND * 3600;
    lanes::hold(&test.store, of_busy, until, "quota".into(), None).await.expect("held");
    let refused = (other.records[0].id, attempt());
    lanes::hold_for_credentials(&test.store, other, until, "401".into(), refused).await.expect("held");
    lanes::resume_refused(&test.store, "shop").await.expect("resumed");
    assert_eq!(test.claim(8).await.iter().map(|claim| claim.tenant.is_some()).collect::<Vec<_>>(), [false]);
}

on_both_engines!(a_pool_with_a_thousand_lanes_does_not_starve_one_with_two);
async fn a_pool_with_a_thousand_lanes_does_not_starve_one_with_two() {
    let test = TestStore::new().await;
    let busy = tenants::add(&test.store, "busy").await.expect("added");
    let calm = tenants::add(&test.store, "calm").await.expect("added");
    let many: Vec<_> = (0..1000).map(|lane| record(lane, queue(&format!("lane {lane}")))).collect();
    test.append(test.delivery("shop", Some(&busy), many)).await;
    test.pass(SECOND);
    let few = vec![record(0, queue("x")), record(1, queue("y"))];
    test.append(test.delivery("shop", Some(&calm), few)).await;
    let claims = test.claim(8).await;
    let of_calm = claims.iter().filter(|claim| claim.tenant.as_ref() == Some(&calm)).count();
    assert_eq!((claims.len(), of_calm), (8, 2));
    for claim in &claims {
        lanes::give_back(&test.store, claim).await.expect("given back");
    }
    let turns = [test.claim_one().await, test.claim_one().await];
    assert_ne!(turns[0].tenant, turns[1].tenant, "one at a time, the pools still take turns");
}

on_both_engines!(only_the_sources_that_were_asked_for_are_claimed);
async fn only_the_sources_that_were_asked_for_are_claimed() {
    let test = TestStore::new().await;
    test.append(test.delivery("other", None, vec![record(0, queue("a"))])).await;
    assert!(test.claim(8).await.is_empty());
    assert_eq!(test.claim_from(&["shop", "other"], 8).await.len(), 1);
}

on_both_engines!(a_commit_that_makes_work_due_wakes_the_workers);
async fn a_commit_that_makes_work_due_wakes_the_workers() {
    let test = TestStore::new().await;
    test.put("a").await;
    test.store.work_arrived().notified().await;
}

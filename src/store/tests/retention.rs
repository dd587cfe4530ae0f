//! What is kept and how long: done deliveries lose their requests and then their rows, open and dead ones nothing; lanes go and come
//! back; and all of it in small steps.

use std::time::Duration;

use super::engines::{Engine, on_both_engines};
use super::harness::{ADMIT_HASH, LEASE, TestStore, options, queue, record, run_sql, with_id};
use crate::model::delivery::{Appended, DeliveryId};
use crate::model::record::{Fate, RecordState};
use crate::store::lanes::End;
use crate::store::records::{self, Readmitted, Replay};
use crate::store::retention::{Keep, Removed, Round, Sweep};
use crate::store::sql::query;
use crate::store::{Store, StoreError, inbox};

const DAY: Duration = Duration::from_secs(86_400);
const KEEP: Keep = Keep { bodies: DAY.saturating_mul(30), records: DAY.saturating_mul(180) };
const AGAIN: Replay = Replay { number: None, apply_again: true, force: false, forwards: false };

/// A whole round; how many steps it took.
async fn round(store: &Store) -> (Removed, usize) {
    let mut round = Round::begin(store, KEEP, Duration::ZERO).await.expect("begun").expect("this one's turn");
    let mut steps = 1;
    while round.step(store).await.expect("a step") {
        steps += 1;
    }
    (round.removed(), steps)
}

/// Looks at all lanes; how many went.
async fn sweep(test: &TestStore) -> u64 {
    let (mut sweep, mut removed) = (Sweep::default(), 0);
    loop {
        let swept = sweep.step(&test.store).await.expect("swept");
        assert_eq!(swept.wrong, []);
        removed += swept.removed;
        if swept.came_round {
            return removed;
        }
    }
}

async fn count(test: &TestStore, sql: &'static str) -> i64 {
    test.store.read_first(query(sql)).await.expect("counted").expect("a row").get("count").expect("a number")
}

async fn lanes(test: &TestStore) -> i64 {
    count(test, "select count(*) as count from lane").await
}

async fn is_kept(test: &TestStore, id: DeliveryId) -> bool {
    let shown = records::show(&test.store, id).await.expect("asked").expect("its rows are there");
    assert_eq!(shown.masked, "{\"method\":\"POST\"}");
    shown.is_kept
}

/// One that is done, and one each that is open, dead and dead since admission.
async fn one_of_each(test: &TestStore) -> (DeliveryId, [DeliveryId; 3]) {
    let done = test.put("done").await;
    test.end(&test.claim_one().await, End::Done).await;
    let dead = test.put("dead").await;
    test.end(&test.claim_one().await, End::Dead("no such table".into())).await;
    let buried = test.append(test.delivery("shop", None, vec![record(0, Fate::Bury("no JSON".into()))])).await;
    let open = test.put("open").await;
    (done, [dead, buried, open])
}

on_both_engines!(what_is_done_loses_its_request_and_then_its_rows_and_what_is_open_or_dead_keeps_both);
async fn what_is_done_loses_its_request_and_then_its_rows_and_what_is_open_or_dead_keeps_both() {
    let test = TestStore::new().await;
    let (done, kept) = one_of_each(&test).await;
    test.pass(DAY * 29);
    let young = test.put("young").await;
    assert_eq!(round(&test.store).await.0, Removed::default());
    test.pass(DAY * 3);
    round(&test.store).await;
    assert!(!is_kept(&test, done).await);
    for id in kept.into_iter().chain([young]) {
        assert!(is_kept(&test, id).await);
        records::request(&test.store, id).await.expect("unsealed");
    }
    assert!(matches!(records::request(&test.store, done).await, Err(StoreError::NotFound(_))));
    test.pass(DAY * 400);
    round(&test.store).await;
    assert!(records::show(&test.store, done).await.expect("asked").is_none());
    for id in kept {
        records::request(&test.store, id).await.expect("whatever its age");
        assert!(is_kept(&test, id).await);
    }
    assert_eq!(count(&test, "select count(*) as count from attempt").await, 1, "the dead one's");
    let asked = records::ask_replay(&test.store, kept[0], Replay::default()).await.expect("asked");
    assert_eq!((asked.marked, test.readmit_all("dead").await), (1, 1));
    let claims = test.claim(9).await;
    test.end(claims.iter().find(|claim| claim.records[0].delivery == kept[0]).expect("it is due"), End::Done).await;
    round(&test.store).await;
    assert!(!is_kept(&test, kept[0]).await, "it is old, and done now");
    assert_eq!(test.broken_lanes().await, 0);
}

on_both_engines!(without_its_request_nothing_of_a_delivery_runs_again_and_the_refusal_says_why);
async fn without_its_request_nothing_of_a_delivery_runs_again_and_the_refusal_says_why() {
    let test = TestStore::new().await;
    let (done, _) = one_of_each(&test).await;
    let asked = test.put("asked").await;
    test.end(&test.claim(9).await.pop().expect("the newest"), End::Done).await;
    test.pass(DAY * 40);
    assert_eq!(records::ask_replay(&test.store, asked, AGAIN).await.expect("asked").marked, 1);
    round(&test.store).await;
    assert!(is_kept(&test, asked).await, "it is about to run again");
    let refused = records::ask_replay(&test.store, done, AGAIN).await.expect("answered");
    assert_eq!((refused.marked, refused.refused.len()), (0, 1));
    assert!(refused.refused[0].1.contains("no longer kept"), "{refused:?}");
    assert_eq!(test.states(done).await, [(0, 1, RecordState::Done)]);
}

on_both_engines!(senders_ids_stay_for_as_long_as_the_route_file_says);
async fn senders_ids_stay_for_as_long_as_the_route_file_says() {
    let test = TestStore::new().await;
    let mut item = with_id(0, "7", queue("a"));
    if let Some(sender_id) = &mut item.sender_id {
        sender_id.remember = DAY * 365;
    }
    let first = test.append(test.delivery("shop", None, vec![item.clone()])).await;
    test.end(&test.claim_one().await, End::Done).await;
    test.pass(DAY * 300);
    round(&test.store).await;
    round(&test.store).await;
    assert!(records::show(&test.store, first).await.expect("asked").is_none());
    let again = inbox::append(&test.store, test.delivery("shop", None, vec![item])).await;
    assert_eq!(again.expect("answered"), Appended::Duplicate(first));
}

on_both_engines!(senders_ids_whose_time_is_over_go_however_many_they_are);
async fn senders_ids_whose_time_is_over_go_however_many_they_are() {
    let test = TestStore::new().await;
    let items = (0..1300).map(|number| with_id(number, &number.to_string(), Fate::Ignore("no route".into()))).collect();
    test.append(test.delivery("shop", None, items)).await;
    let mut longer = with_id(0, "longer", Fate::Ignore("no route".into()));
    if let Some(sender_id) = &mut longer.sender_id {
        sender_id.remember = DAY;
    }
    test.append(test.delivery("shop", None, vec![longer])).await;
    test.pass(DAY / 2);
    round(&test.store).await;
    assert_eq!(count(&test, "select count(*) as count from sender_id").await, 1);
}

on_both_engines!(an_idle_lane_goes_after_a_day_and_comes_back_with_the_next_arrival);
async fn an_idle_lane_goes_after_a_day_and_comes_back_with_the_next_arrival() {
    let test = TestStore::new().await;
    test.put("a").await;
    let first = test.claim_one().await;
    test.put("waiting").await;
    assert_eq!(sweep(&test).await, 0);
    test.pass(LEASE / 2);
    test.end(&first, End::Done).await;
    test.pass(DAY * 2);
    assert_eq!((sweep(&test).await, lanes(&test).await), (0, 2), "its day begins when it is seen idle");
    test.pass(DAY);
    test.put("a").await;
    assert_eq!((sweep(&test).await, lanes(&test).await), (0, 2), "something arrived");
    for claim in test.claim(9).await {
        test.end(&claim, End::Done).await;
    }
    assert_eq!(sweep(&test).await, 0);
    test.pass(DAY);
    assert_eq!((sweep(&test).await, lanes(&test).await), (2, 0));
    let back = test.put("a").await;
    let claim = test.claim_one().await;
    assert_eq!((claim.records[0].delivery, claim.records[0].position), (back, 1));
    assert!(claim.fence > first.fence, "targets know the lane by rising fences");
    assert_eq!(test.broken_lanes().await, 0);
}

on_both_engines!(a_replay_does_not_undo_what_is_newer_though_the_lane_is_gone);
async fn a_replay_does_not_undo_what_is_newer_though_the_lane_is_gone() {
    let test = TestStore::new().await;
    let old = test.append(test.delivery("shop", None, vec![record(0, Fate::Bury("no such field".into()))])).await;
    test.put("a").await;
    test.end(&test.claim_one().await, End::Done).await;
    sweep(&test).await;
    test.pass(DAY * 200);
    assert_eq!((sweep(&test).await, lanes(&test).await), (1, 0));
    round(&test.store).await;
    let readmit = async |runs_late| {
        records::ask_replay(&test.store, old, AGAIN).await.expect("asked");
        let asked = records::to_readmit(&test.store, &test.versions(&["shop"]), 9, u64::MAX).await.expect("asked");
        let readmitted = asked.into_iter().map(|one| Readmitted { runs_late, ..test.readmitted(one, queue("a")) }).collect();
        records::readmit(&test.store, readmitted, ADMIT_HASH).await.expect("readmitted")
    };
    assert_eq!(readmit(false).await, 1);
    assert_eq!(test.state(old).await, RecordState::Superseded);
    assert_eq!(count(&test, "select count(*) as count from former_lane").await, 1);
    test.pass(DAY * 200);
    round(&test.store).await;
    round(&test.store).await;
    assert_eq!(count(&test, "select count(*) as count from former_lane").await, 0, "nothing older is left");
}

on_both_engines!(a_lane_that_contradicts_its_records_is_told_and_left_alone);
async fn a_lane_that_contradicts_its_records_is_told_and_left_alone() {
    let test = TestStore::new().await;
    test.put("a").await;
    run_sql(&test, "update lane set waiting = 0, due_at = null").await;
    test.pass(DAY * 3);
    let swept = Sweep::default().step(&test.store).await.expect("swept");
    assert_eq!(swept.wrong.iter().map(|lane| (lane.waiting, lane.open)).collect::<Vec<_>>(), [(0, 1)]);
    assert_eq!((swept.removed, lanes(&test).await), (0, 1));
}

on_both_engines!(many_go_in_many_steps_while_others_arrive);
async fn many_go_in_many_steps_while_others_arrive() {
    let test = TestStore::new().await;
    let ignored = || vec![record(0, Fate::Ignore("no route".into())), record(1, Fate::Ignore("no route".into()))];
    for _ in 0..4 {
        let all = (0..250).map(|_| inbox::append(&test.store, test.delivery("shop", None, ignored())));
        assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
    }
    test.pass(DAY * 400);
    let mut round = Round::begin(&test.store, KEEP, Duration::ZERO).await.expect("begun").expect("this one's turn");
    let mut steps = 0;
    loop {
        let before = round.removed();
        let arrival = inbox::append(&test.store, test.delivery("shop", None, vec![record(0, queue("new"))]));
        let (arrived, more) = tokio::join!(arrival, round.step(&test.store));
        arrived.expect("stored");
        steps += 1;
        assert!(round.removed().deliveries - before.deliveries <= 100 && round.removed().bodies - before.bodies <= 200);
        if !more.expect("a step") {
            break;
        }
    }
    assert_eq!(round.removed().deliveries, 1000);
    assert!(steps > 15, "{steps}");
    assert_eq!(count(&test, "select count(*) as count from delivery").await, steps);
    assert_eq!(count(&test, "select count(*) as count from record").await, steps);
    assert_eq!(count(&test, "select count(*) as count from delivery_raw").await, steps);
    assert_eq!(test.broken_lanes().await, 0);
}

#[tokio::test]
async fn the_file_shrinks_when_much_of_it_is_gone() {
    let test = TestStore::new().await;
    // what does not compress
    let mut seed = 1_u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    for _ in 0..40 {
        let mut big = test.delivery("shop", None, vec![record(0, Fate::Ignore("no route".into()))]);
        big.request.body = (0..200_000).map(|_| noise()).collect::<Vec<u8>>().into();
        test.append(big).await;
    }
    let before = count(&test, "select page_count as count from pragma_page_count").await;
    test.pass(DAY * 40);
    let removed = round(&test.store).await.0;
    assert!(removed.bodies == 40 && removed.pages > 1000, "{removed:?} of {before} pages");
    let TestStore { store, folder, clock } = test;
    store.close().await;
    let bytes = std::fs::metadata(folder.path().join("state.db")).expect("a file").len();
    assert!(bytes < 4 << 20, "{bytes}");
    let store = Store::open(options(folder.path(), &clock)).await.expect("opens");
    assert_eq!(records::list(&store, &records::Filter::default()).await.expect("listed").len(), 40);
}

/// Two stores on one state; a day of requests goes whole and what is kept of it is found as before.
#[tokio::test]
async fn on_postgresql_days_go_whole_one_process_does_it_and_what_stays_is_copied_forward() {
    if super::engines::is_skipped() {
        return;
    }
    Engine::Postgres.choose();
    let test = TestStore::new().await;
    let other = Store::open(options(test.folder.path(), &test.clock)).await.expect("opens beside the first");
    let (done, kept) = one_of_each(&test).await;
    let day = "select count(*) as count from pg_class where relname = 'delivery_raw_20778'";
    assert_eq!(count(&test, day).await, 1);
    test.pass(DAY * 32);
    let every = Duration::from_secs(60);
    let (one, two) = tokio::join!(Round::begin(&test.store, KEEP, every), Round::begin(&other, KEEP, every));
    let mut rounds: Vec<Round> = [one, two].into_iter().filter_map(|round| round.expect("asked")).collect();
    assert_eq!(rounds.len(), 1, "the other one's turn comes later");
    while rounds[0].step(&other).await.expect("a step") {}
    let removed = rounds[0].removed();
    assert!(removed.days >= 1 && removed.bodies == 0, "{removed:?}");
    assert_eq!(count(&test, day).await, 0);
    assert!(!is_kept(&test, done).await);
    for id in kept {
        records::request(&other, id).await.expect("copied forward");
    }
    records::discard(&test.store, kept[0], None).await.expect("discarded");
    assert_eq!(round(&test.store).await.0.bodies, 1);
    assert!(!is_kept(&test, kept[0]).await);
}

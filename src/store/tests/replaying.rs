//! Replay and discard.

use super::engines::on_both_engines;
use super::harness::{ADMIT_HASH, TestStore, attempt, queue, record};
use crate::model::record::{Fate, RecordState};
use crate::store::lanes::End;
use crate::store::records::{self, Filter, Matching, Readmitted, Replay};
use crate::store::{StoreError, lanes};

const ONCE: Replay = Replay { number: None, apply_again: false, force: false, forwards: false };
const AGAIN: Replay = Replay { apply_again: true, ..ONCE };

on_both_engines!(a_dead_record_runs_again_in_the_same_run_at_the_end_of_its_lane);
async fn a_dead_record_runs_again_in_the_same_run_at_the_end_of_its_lane() {
    let test = TestStore::new().await;
    let dead = test.put("a").await;
    let claim = test.claim_one().await;
    lanes::retry(&test.store, &claim, claim.records[0].id, attempt(), "503".into(), test.clock.now()).await.expect("put off");
    test.end(&test.claim_one().await, End::Dead("gave up".into())).await;
    let other = test.put("a").await;
    let answer = records::ask_replay(&test.store, dead, ONCE).await.expect("asked");
    assert_eq!(answer.marked, 1);
    test.readmit_all("a").await;
    let claim = test.claim_one().await;
    assert_eq!(claim.records[0].delivery, other);
    test.end(&claim, End::Done).await;
    let claim = test.claim_one().await;
    assert_eq!((claim.records[0].delivery, claim.records[0].run), (dead, 1));
    assert_eq!((claim.records[0].attempts, claim.records[0].first_failed_at), (0, None), "retrying starts anew");
    test.end(&claim, End::Done).await;
    let shown = records::show(&test.store, dead).await.expect("shown").expect("there");
    assert_eq!(shown.attempts.iter().map(|entry| entry.attempt.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(test.broken_lanes().await, 0);
}

on_both_engines!(a_done_record_runs_again_only_when_asked_to_and_in_a_new_run);
async fn a_done_record_runs_again_only_when_asked_to_and_in_a_new_run() {
    let test = TestStore::new().await;
    let done = test.put("a").await;
    test.end(&test.claim_one().await, End::Done).await;
    let refused = records::ask_replay(&test.store, done, ONCE).await.expect("asked");
    assert_eq!((refused.marked, refused.refused.len()), (0, 1));
    assert_eq!(records::ask_replay(&test.store, done, Replay { number: Some(0), ..AGAIN }).await.expect("asked").marked, 1);
    test.readmit_all("b").await;
    assert_eq!(test.states(done).await, [(0, 1, RecordState::Done), (0, 2, RecordState::Waiting)]);
    assert_eq!(test.claim_one().await.records[0].run, 2);
}

on_both_engines!(a_record_does_not_undo_what_newer_ones_of_its_lane_wrote_unless_it_is_forced_to);
async fn a_record_does_not_undo_what_newer_ones_of_its_lane_wrote_unless_it_is_forced_to() {
    let test = TestStore::new().await;
    let refused = test.append(test.delivery("shop", None, vec![record(0, Fate::Bury("no JSON".into()))])).await;
    let dead = test.put("a").await;
    test.end(&test.claim_one().await, End::Dead("no table".into())).await;
    let readmit = async |delivery, replay| {
        assert_eq!(records::ask_replay(&test.store, delivery, replay).await.expect("asked").marked, 1);
        let asked = records::to_readmit(&test.store, &test.versions(&["shop"]), 9, u64::MAX).await.expect("asked").remove(0);
        let readmitted = vec![Readmitted { runs_late: false, ..test.readmitted(asked, queue("a")) }];
        records::readmit(&test.store, readmitted, ADMIT_HASH).await.expect("readmitted");
        test.state(delivery).await
    };
    assert_eq!(readmit(dead, ONCE).await, RecordState::Waiting, "nothing newer took effect");
    test.end(&test.claim_one().await, End::Dead("no table".into())).await;
    let newer = test.put("a").await;
    assert_eq!(readmit(dead, ONCE).await, RecordState::Superseded, "the newer one will have run before it");
    test.end(&test.claim_one().await, End::Dead("no table".into())).await;
    assert_eq!(readmit(newer, ONCE).await, RecordState::Waiting, "one that died wrote nothing");
    test.end(&test.claim_one().await, End::Done).await;
    assert_eq!(readmit(refused, ONCE).await, RecordState::Superseded, "it never had a place in the lane");
    assert_eq!(readmit(dead, Replay { force: true, ..AGAIN }).await, RecordState::Waiting);
    assert_eq!(test.broken_lanes().await, 0);
}

on_both_engines!(an_open_record_is_not_replayed_and_a_missing_one_is_an_error);
async fn an_open_record_is_not_replayed_and_a_missing_one_is_an_error() {
    let test = TestStore::new().await;
    let open = test.put("a").await;
    assert_eq!(records::ask_replay(&test.store, open, AGAIN).await.expect("asked").marked, 0);
    let missing = records::ask_replay(&test.store, open, Replay { number: Some(9), ..AGAIN }).await;
    assert!(matches!(missing, Err(StoreError::NotFound(_))));
}

on_both_engines!(a_replay_may_end_ignored_or_dead_again);
async fn a_replay_may_end_ignored_or_dead_again() {
    let test = TestStore::new().await;
    let id = test.append(test.delivery("shop", None, vec![record(0, Fate::Bury("no JSON".into()))])).await;
    for (fate, state) in [(Fate::Ignore("no route".into()), RecordState::Ignored), (Fate::Bury("no".into()), RecordState::Dead)] {
        records::ask_replay(&test.store, id, ONCE).await.expect("asked");
        let asked = records::to_readmit(&test.store, &test.versions(&["shop"]), 1, u64::MAX).await.expect("asked").remove(0);
        let readmit = async |fate| {
            let readmitted = vec![test.readmitted(asked.clone(), fate)];
            records::readmit(&test.store, readmitted, ADMIT_HASH).await.expect("readmitted")
        };
        assert_eq!(readmit(fate).await, 1);
        assert_eq!(test.state(id).await, state);
        assert_eq!(readmit(queue("a")).await, 0, "once is enough");
    }
}

on_both_engines!(a_discarded_head_lets_the_next_record_run);
async fn a_discarded_head_lets_the_next_record_run() {
    let test = TestStore::new().await;
    let stuck = test.put("a").await;
    let next = test.put("a").await;
    let claim = test.claim_one().await;
    let refused = records::discard(&test.store, stuck, None).await.expect("answered");
    assert_eq!((refused.count, refused.refused.len()), (0, 1));
    let at = test.clock.now() + std::time::Duration::from_secs(600);
    lanes::retry(&test.store, &claim, claim.records[0].id, attempt(), "503".into(), at).await.expect("put off");
    assert_eq!(records::discard(&test.store, stuck, None).await.expect("discarded").count, 1);
    assert_eq!(test.state(stuck).await, RecordState::Discarded);
    assert_eq!(test.claim_one().await.records[0].delivery, next);
    assert_eq!(test.broken_lanes().await, 0);
}

on_both_engines!(records_are_listed_by_what_is_known_of_them);
async fn records_are_listed_by_what_is_known_of_them() {
    let test = TestStore::new().await;
    let first = test.put("a").await;
    let second = test.put("b").await;
    test.end(&test.claim_one().await, End::Done).await;
    let list = async |filter: Filter| {
        let listed = records::list(&test.store, &filter).await.expect("listed");
        listed.into_iter().map(|record| record.delivery).collect::<Vec<_>>()
    };
    assert_eq!(list(Filter::default()).await, [second, first]);
    assert_eq!(list(Filter { state: Some(RecordState::Done), ..Filter::default() }).await, [first]);
    assert_eq!(list(Filter { state: Some(RecordState::Waiting), ..Filter::default() }).await, [second]);
    assert_eq!(list(Filter { limit: 1, ..Filter::default() }).await, [second]);
    assert!(list(Filter { source: Some("other".into()), ..Filter::default() }).await.is_empty());
    assert!(list(Filter { event: Some("gone".into()), ..Filter::default() }).await.is_empty());
    assert_eq!(records::find(&test.store, &first.to_string()).await.expect("found"), [first]);
    assert_eq!(records::find(&test.store, &first.to_string()[..9]).await.expect("found").len(), 2);
    for digits in [6, 8, 9, 12, 30] {
        let text = first.to_string();
        assert_eq!(records::find(&test.store, &text[text.len() - digits..]).await.expect("found"), [first], "{digits}");
    }
    assert!(records::find(&test.store, &format!("000{}", &first.to_string()[24..])).await.expect("asked").is_empty());
}

on_both_engines!(all_that_was_given_up_on_and_fits_is_asked_for_at_once);
async fn all_that_was_given_up_on_and_fits_is_asked_for_at_once() {
    let test = TestStore::new().await;
    let bury = async |source: &str, count: usize| {
        for _ in 0..count {
            test.append(test.delivery(source, None, vec![record(0, Fate::Bury("no JSON".into()))])).await;
        }
    };
    bury("shop", 3).await;
    bury("other", 2).await;
    test.append(test.delivery("shop", None, vec![record(0, Fate::Ignore("no route".into()))])).await;
    test.put("a").await;
    let all = Matching { source: None, tenant: None, event: None, state: RecordState::Dead, force: false };
    let of_shop = Matching { source: Some("shop".into()), ..all.clone() };
    let count = async |matching: &Matching| {
        let groups = records::count_matching(&test.store, matching).await.expect("counted");
        groups.iter().map(|group| (group.source.clone(), group.records)).collect::<Vec<_>>()
    };
    assert_eq!(count(&all).await, [("shop".to_owned(), 3), ("other".to_owned(), 2)]);
    assert_eq!(records::ask_replay_matching(&test.store, &of_shop).await.expect("asked"), 3);
    assert_eq!(records::ask_replay_matching(&test.store, &of_shop).await.expect("asked"), 0, "they are asked for already");
    assert_eq!(count(&all).await, [("other".to_owned(), 2)]);
    let nobodys = Matching { tenant: Some("nobody".into()), ..all.clone() };
    assert_eq!(records::ask_replay_matching(&test.store, &nobodys).await.expect("asked"), 0);
    let ignored = Matching { state: RecordState::Ignored, ..all.clone() };
    assert_eq!(records::ask_replay_matching(&test.store, &ignored).await.expect("asked"), 1);
    let open = records::ask_replay_matching(&test.store, &Matching { state: RecordState::Done, ..all }).await;
    assert!(matches!(open, Err(StoreError::Refused(_))), "what took effect is replayed one by one");
    test.readmit_all("a").await;
    let shown =
        records::list(&test.store, &Filter { state: Some(RecordState::Dead), ..Filter::default() }).await.expect("listed");
    assert_eq!(shown.len(), 2, "those of the other source were not asked for");
}

on_both_engines!(however_many_records_a_delivery_has_all_of_them_are_replayed_and_discarded);
async fn however_many_records_a_delivery_has_all_of_them_are_replayed_and_discarded() {
    let test = TestStore::new().await;
    let records = (0..130).map(|number| record(number, Fate::Bury("no JSON".into()))).collect();
    let dead = test.append(test.delivery("shop", None, records)).await;
    assert_eq!(records::ask_replay(&test.store, dead, ONCE).await.expect("asked").marked, 130);
    assert_eq!(test.readmit_all("a").await + test.readmit_all("a").await, 130);
    let answer = records::discard(&test.store, dead, None).await.expect("discarded");
    assert_eq!((answer.count, answer.refused), (130, Vec::new()));
    let refused: Vec<u32> = records::discard(&test.store, dead, None)
        .await
        .expect("answered")
        .refused
        .into_iter()
        .map(|(number, _)| number)
        .collect();
    assert_eq!(refused, (0..130).collect::<Vec<_>>());
    assert_eq!(test.broken_lanes().await, 0);
}

on_both_engines!(no_more_bodies_are_taken_at_a_time_than_was_said_but_one_at_least);
async fn no_more_bodies_are_taken_at_a_time_than_was_said_but_one_at_least() {
    let test = TestStore::new().await;
    for _ in 0..3 {
        let two = vec![record(0, Fate::Bury("no JSON".into())), record(1, Fate::Bury("no JSON".into()))];
        let dead = test.append(test.delivery("shop", None, two)).await;
        records::ask_replay(&test.store, dead, ONCE).await.expect("asked");
    }
    let bytes = records::to_readmit(&test.store, &test.versions(&["shop"]), 1, u64::MAX).await.expect("asked")[0].raw_bytes;
    for (most, taken) in [(0, 2), (bytes * 2, 4), (bytes * 3, 6)] {
        let asked = records::to_readmit(&test.store, &test.versions(&["shop"]), 9, most).await.expect("asked");
        assert_eq!(asked.len(), taken, "{most}");
    }
}

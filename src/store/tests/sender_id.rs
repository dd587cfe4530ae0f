//! Senders' own ids: nothing runs twice because it was sent twice.

use std::time::Duration;

use super::engines::on_both_engines;
use super::harness::{TestStore, queue, record, with_id};
use crate::model::delivery::Appended;
use crate::model::record::{Fate, RecordState};
use crate::store::lanes::End;
use crate::store::{inbox, records};

on_both_engines!(a_second_delivery_with_the_same_id_names_the_first);
async fn a_second_delivery_with_the_same_id_names_the_first() {
    let test = TestStore::new().await;
    let first = test.append(test.delivery("shop", None, vec![with_id(0, "7", queue("a"))])).await;
    let second = test.delivery("shop", None, vec![with_id(0, "7", queue("a"))]);
    let second_id = second.id;
    assert_eq!(inbox::append(&test.store, second).await.expect("answered"), Appended::Duplicate(first));
    assert!(records::show(&test.store, second_id).await.expect("asked").is_none());
    let elsewhere = test.delivery("other", None, vec![with_id(0, "7", queue("a"))]);
    test.append(elsewhere).await;
    test.pass(Duration::from_secs(3600));
    test.append(test.delivery("shop", None, vec![with_id(0, "7", queue("a"))])).await;
}

on_both_engines!(of_two_in_one_batch_one_is_stored);
async fn of_two_in_one_batch_one_is_stored() {
    let test = TestStore::new().await;
    test.put("warm").await;
    let deliveries: Vec<_> = (0..2).map(|_| test.delivery("shop", None, vec![with_id(0, "7", queue("a"))])).collect();
    let [first, second] = <[_; 2]>::try_from(deliveries).expect("two");
    let first_id = first.id;
    let (first, second) = tokio::join!(inbox::append(&test.store, first), inbox::append(&test.store, second));
    assert_eq!(first.expect("appended"), Appended::Stored);
    assert_eq!(second.expect("appended"), Appended::Duplicate(first_id));
}

on_both_engines!(only_the_new_records_of_a_delivery_are_queued);
async fn only_the_new_records_of_a_delivery_are_queued() {
    let test = TestStore::new().await;
    test.append(test.delivery("shop", None, vec![with_id(0, "1", queue("a"))])).await;
    let mixed =
        vec![with_id(0, "1", queue("a")), with_id(1, "2", queue("a")), with_id(2, "2", queue("a")), record(3, queue("a"))];
    let mixed = test.append(test.delivery("shop", None, mixed)).await;
    assert_eq!(test.states(mixed).await, [(1, 1, RecordState::Waiting), (3, 1, RecordState::Waiting)]);
    assert_eq!(test.broken_lanes().await, 0);
}

on_both_engines!(records_without_an_id_are_never_dropped);
async fn records_without_an_id_are_never_dropped() {
    let test = TestStore::new().await;
    test.append(test.delivery("shop", None, vec![record(0, queue("a"))])).await;
    test.append(test.delivery("shop", None, vec![record(0, queue("a"))])).await;
}

on_both_engines!(a_dead_original_is_opened_again_by_a_duplicate);
async fn a_dead_original_is_opened_again_by_a_duplicate() {
    let test = TestStore::new().await;
    let first = test.append(test.delivery("shop", None, vec![with_id(0, "7", queue("a"))])).await;
    test.end(&test.claim_one().await, End::Dead("table gone".into())).await;
    let second = test.delivery("shop", None, vec![with_id(0, "7", queue("a"))]);
    assert_eq!(inbox::append(&test.store, second).await.expect("answered"), Appended::Duplicate(first));
    let asked = records::to_readmit(&test.store, &test.versions(&["shop"]), 10, u64::MAX).await.expect("asked");
    assert_eq!((asked.len(), asked[0].delivery, asked[0].apply_again), (1, first, false));
    assert_eq!(test.readmit_all("b").await, 1);
    assert_eq!(test.states(first).await, [(0, 1, RecordState::Waiting)]);
}

on_both_engines!(a_delivery_may_hold_queued_ignored_and_dead_records);
async fn a_delivery_may_hold_queued_ignored_and_dead_records() {
    let test = TestStore::new().await;
    let mixed = vec![record(0, queue("a")), record(1, Fate::Ignore("no route".into())), record(2, Fate::Bury("no JSON".into()))];
    let id = test.append(test.delivery("shop", None, mixed)).await;
    let expected = [(0, 1, RecordState::Waiting), (1, 1, RecordState::Ignored), (2, 1, RecordState::Dead)];
    assert_eq!(test.states(id).await, expected);
    let shown = records::show(&test.store, id).await.expect("shown").expect("there");
    assert_eq!(shown.records[2].reason.as_deref(), Some("no JSON"));
    assert_eq!(shown.masked, "{\"method\":\"POST\"}");
    let counts = records::counts(&test.store).await.expect("counted");
    assert_eq!(
        counts.iter().map(|count| (count.state, count.count)).collect::<Vec<_>>(),
        [(RecordState::Dead, 1), (RecordState::Waiting, 1)],
        "what is open or dead"
    );
}

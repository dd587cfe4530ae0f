//! Opening and sealing: keys that fit, keys that do not, crashes, and a state that is full.

use std::time::Duration;

use super::engines::on_both_engines;
use super::harness::{TestStore, key_text, options, queue, record, run_sql};
use crate::model::delivery::DeliveryId;
use crate::model::record::RecordState;
use crate::store::lanes::End;
use crate::store::sql::query;
use crate::store::{AppendError, OpenOptions, Store, StoreError, inbox, records, tenants};

async fn refused(options: OpenOptions) -> StoreError {
    Store::open(options).await.err().expect("refused")
}

#[tokio::test]
async fn a_request_comes_back_byte_for_byte_and_is_nowhere_in_the_clear() {
    let test = TestStore::new().await;
    let tenant = tenants::add(&test.store, "acme").await.expect("added");
    let delivery = test.delivery("shop", Some(&tenant), vec![record(0, queue("order 4711"))]);
    let (id, request, caller) = (delivery.id, delivery.request.clone(), delivery.caller.clone());
    test.append(delivery).await;
    let stored = records::request(&test.store, id).await.expect("unsealed");
    assert_eq!((stored.request, stored.caller, stored.source.as_str()), (request, caller, "shop"));
    for name in ["state.db", "state.db-wal"] {
        let bytes = std::fs::read(test.folder.path().join(name)).expect("read");
        for secret in ["hunter2", "order 4711"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret} in {name}");
        }
    }
}

#[tokio::test]
async fn sealed_data_that_was_changed_or_moved_does_not_open_and_is_not_deleted() {
    let test = TestStore::new().await;
    let first = test.put("a").await;
    let second = test.put("b").await;
    run_sql(&test, "update delivery_raw set sealed = (select sealed from delivery_raw where delivery_row = 2)").await;
    let moved = records::request(&test.store, first).await;
    assert!(matches!(moved, Err(StoreError::Sealed { .. })), "{moved:?}");
    records::request(&test.store, second).await.expect("its own still opens");
    run_sql(&test, "update delivery_raw set sealed = substr(sealed, 1, length(sealed) - 1) where delivery_row = 2").await;
    assert!(matches!(records::request(&test.store, second).await, Err(StoreError::Sealed { .. })));
    assert_eq!(test.state(second).await, RecordState::Waiting);
}

on_both_engines!(a_wrong_master_key_is_refused_and_the_right_one_still_opens);
async fn a_wrong_master_key_is_refused_and_the_right_one_still_opens() {
    let test = TestStore::new().await;
    let id = test.put("a").await;
    let TestStore { store, folder, clock } = test;
    store.close().await;
    let made = std::fs::read_to_string(folder.path().join("master.key")).expect("a key file was made");
    let wrong = OpenOptions { master_key: key_text(9), ..options(folder.path(), &clock) };
    assert!(matches!(refused(wrong).await, StoreError::WrongMasterKey));
    std::fs::remove_file(folder.path().join("master.key")).expect("removed");
    assert!(matches!(refused(options(folder.path(), &clock)).await, StoreError::MissingMasterKey { .. }));
    assert!(!folder.path().join("master.key").exists(), "a missing key is never replaced");
    let right = OpenOptions { master_key: Some(made.trim().into()), ..options(folder.path(), &clock) };
    let store = Store::open(right).await.expect("opens");
    records::request(&store, id).await.expect("unsealed");
}

#[cfg(unix)]
#[tokio::test]
async fn the_key_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let test = TestStore::new().await;
    let mode = std::fs::metadata(test.folder.path().join("master.key")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_second_process_is_told_that_the_state_is_in_use() {
    let test = TestStore::new().await;
    let error = refused(options(test.folder.path(), &test.clock)).await;
    assert!(matches!(error, StoreError::InUse { .. }));
    assert!(error.to_string().contains("in use by another process"), "{error}");
}

on_both_engines!(a_closed_store_refuses_and_keeps_what_it_acknowledged);
async fn a_closed_store_refuses_and_keeps_what_it_acknowledged() {
    let test = TestStore::new().await;
    let id = test.put("a").await;
    let clone = test.store.clone();
    let late = test.delivery("shop", None, vec![record(0, queue("a"))]);
    let TestStore { store, folder, clock } = test;
    store.close().await;
    assert!(matches!(inbox::append(&clone, late).await, Err(AppendError::Unavailable { .. })));
    let store = Store::open(options(folder.path(), &clock)).await.expect("opens");
    assert_eq!(records::find(&store, &id.to_string()).await.expect("found"), [id]);
}

#[tokio::test]
async fn after_a_crash_everything_acknowledged_is_there_and_leases_are_over() {
    let test = TestStore::new().await;
    let done = test.put("a").await;
    let running = test.put("a").await;
    test.end(&test.claim_one().await, End::Done).await;
    let lost = test.claim_one().await;
    assert_eq!(lost.records[0].delivery, running);
    let copy = tempfile::tempdir().expect("a folder");
    for name in ["state.db", "state.db-wal", "master.key"] {
        std::fs::copy(test.folder.path().join(name), copy.path().join(name)).expect("copied");
    }
    let store = Store::open(options(copy.path(), &test.clock)).await.expect("opens");
    let restarted = TestStore { store, folder: copy, clock: test.clock.clone() };
    assert_eq!(restarted.store.state_id(), test.store.state_id());
    assert_eq!(restarted.state(done).await, RecordState::Done);
    let claim = restarted.claim_one().await;
    assert_eq!(claim.records[0].delivery, running);
    assert!(claim.fence > lost.fence);
    assert_eq!(restarted.broken_lanes().await, 0);
}

#[tokio::test]
async fn a_state_that_has_reached_its_bound_accepts_nothing_more() {
    let test = TestStore::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let bounded = OpenOptions { max_bytes: Some(1 << 16), ..options(folder.path(), &test.clock) };
    let store = Store::open(bounded).await.expect("opens");
    let error = inbox::append(&store, test.delivery("shop", None, vec![record(0, queue("a"))])).await.expect_err("full");
    assert!(error.to_string().contains("65536 bytes"), "{error}");
}

#[tokio::test]
async fn a_state_that_was_full_takes_deliveries_again_when_pages_of_it_are_free() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = TestStore::new().await.clock.clone();
    let bounded = OpenOptions { max_bytes: Some(6 << 20), ..options(folder.path(), &clock) };
    let test = TestStore { store: Store::open(bounded).await.expect("opens"), folder, clock };
    let big = || {
        let mut delivery = test.delivery("shop", None, vec![record(0, queue("a"))]);
        let body: Vec<u8> = uuid::Uuid::new_v4().as_bytes().repeat(1 << 12);
        delivery.request.body = body
            .iter()
            .zip(0_u64..)
            .map(|(byte, at)| byte ^ (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
            .collect::<Vec<u8>>()
            .into();
        delivery
    };
    let mut taken = 0;
    while inbox::append(&test.store, big()).await.is_ok() {
        taken += 1;
        assert!(taken < 1000, "it is never full");
    }
    run_sql(&test, "delete from delivery_raw").await;
    assert!(inbox::append(&test.store, big()).await.is_ok(), "after {taken} that were taken");
}

#[tokio::test]
async fn a_state_file_that_is_gone_takes_nothing_until_it_is_back() {
    let test = TestStore::new().await;
    test.put("a").await;
    let (here, away) = (test.folder.path().join("state.db"), test.folder.path().join("away.db"));
    std::fs::rename(&here, &away).expect("moved");
    let refused = inbox::append(&test.store, test.delivery("shop", None, vec![record(0, queue("a"))])).await.expect_err("gone");
    assert!(refused.to_string().contains("moved, removed or replaced"), "{refused}");
    std::fs::rename(&away, &here).expect("moved");
    test.put("a").await;
}

on_both_engines!(one_that_cannot_be_written_does_not_fail_its_neighbours);
async fn one_that_cannot_be_written_does_not_fail_its_neighbours() {
    let test = TestStore::new().await;
    let twin: DeliveryId = test.put("a").await;
    let good: Vec<_> = (0..6).map(|_| test.delivery("shop", None, vec![record(0, queue("a"))])).collect();
    let mut bad = test.delivery("shop", None, vec![record(0, queue("a"))]);
    bad.id = twin;
    let (bad, good) = tokio::join!(
        inbox::append(&test.store, bad),
        futures_util::future::join_all(good.into_iter().map(|delivery| inbox::append(&test.store, delivery)))
    );
    assert!(bad.is_err());
    assert!(good.iter().all(Result::is_ok));
    assert_eq!(test.broken_lanes().await, 0);
}

#[tokio::test]
async fn a_full_disk_is_a_refusal_and_when_there_is_room_again_deliveries_are_taken_again() {
    let test = TestStore::new().await;
    let kept = test.put("a").await;
    run_sql(&test, "pragma max_page_count = 1").await;
    let mut big = test.delivery("shop", None, vec![record(0, queue("a"))]);
    big.request.body =
        (0..1 << 20).map(|at: u64| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect::<Vec<u8>>().into();
    let big_id = big.id;
    let refused = inbox::append(&test.store, big.clone()).await.expect_err("no room");
    assert!(refused.to_string().contains("full"), "{refused}");
    assert!(records::show(&test.store, big_id).await.expect("asked").is_none());
    run_sql(&test, "pragma max_page_count = 1073741823").await;
    test.append(big).await;
    test.end(&test.claim_one().await, End::Done).await;
    assert_eq!(test.state(kept).await, RecordState::Done);
    assert_eq!(test.broken_lanes().await, 0);
}

on_both_engines!(a_dead_writer_is_an_error_and_not_a_hang);
async fn a_dead_writer_is_an_error_and_not_a_hang() {
    let test = TestStore::new().await;
    let job = test.store.writer().run(|_, _| Box::pin(async { panic!("on purpose") }));
    let outcome: Result<(), StoreError> = job.await;
    assert!(matches!(outcome, Err(StoreError::Closed)));
    let refused = inbox::append(&test.store, test.delivery("shop", None, vec![record(0, queue("a"))])).await;
    assert!(matches!(refused, Err(AppendError::Unavailable { .. })));
}

#[tokio::test]
async fn a_state_whose_numbers_cannot_be_gone_on_with_says_so_at_the_start() {
    let test = TestStore::new().await;
    test.put("a").await;
    run_sql(&test, "update delivery set delivery_row = 9223372036854775807").await;
    let TestStore { store, folder, clock } = test;
    store.close().await;
    let store = Store::open(options(folder.path(), &clock)).await.expect("opens");
    let reason = store.failed().await;
    assert!(!reason.is_empty(), "{reason}");
}

#[tokio::test]
async fn a_search_in_a_file_that_takes_too_long_ends_and_holds_no_reader() {
    const MOST: Duration = Duration::from_millis(50);
    let test = TestStore::new().await;
    let endless = || query("with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) as count from n");
    let readers = test.store.readers();
    for _ in 0..8 {
        let error = readers.search(endless(), MOST).await.err().expect("it has no end");
        assert!(matches!(error, StoreError::TooSlow { .. }), "{error}");
        // nobody waits for this one
        let _ = tokio::time::timeout(MOST / 10, readers.search(endless(), MOST)).await;
    }
    let all =
        futures_util::future::join_all((0..8).map(|_| test.store.read(query("select count(*) as count from record")))).await;
    assert!(all.iter().all(Result::is_ok));
}

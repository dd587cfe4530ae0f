//! What one process does to a record while another is just bringing it to another state, and has not committed that yet.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::engines::{Engine, is_skipped};
use super::harness::{TestStore, ending, options, run_sql};
use crate::model::forward::{ForwardContent, ForwardId, NewForward};
use crate::model::record::RecordState;
use crate::store::lanes::{End, Ending};
use crate::store::records::{self, Replay};
use crate::store::sql::query;
use crate::store::{Store, StoreError, forwards, lanes};

/// A transaction of another process that has done this much.
struct HalfDone {
    go: Arc<Notify>,
    done: JoinHandle<Result<(), StoreError>>,
}

impl HalfDone {
    async fn begin(test: &TestStore, sql: &'static str) -> Self {
        let store = Store::open(options(test.folder.path(), &test.clock)).await.expect("opens beside the first");
        let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (told, waits) = (Arc::clone(&begun), Arc::clone(&go));
        let done = tokio::spawn(async move {
            let job = store.writer().run(move |connection, _| {
                Box::pin(async move {
                    connection.run(sql).await?;
                    told.notify_one();
                    waits.notified().await;
                    Ok(())
                })
            });
            job.await
        });
        begun.notified().await;
        Self { go, done }
    }

    /// Commits as soon as somebody waits for it.
    async fn end(self, test: &TestStore) {
        let waits = "select 1 as one from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while test.store.read_first(query(waits)).await.expect("asked").is_none() {
            assert!(std::time::Instant::now() < deadline, "nobody waits for it");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.go.notify_one();
        self.done.await.expect("no panic").expect("committed");
    }
}

async fn a_store() -> Option<TestStore> {
    if is_skipped() {
        return None;
    }
    Engine::Postgres.choose();
    Some(TestStore::new().await)
}

#[tokio::test]
async fn a_record_that_is_just_being_finished_is_not_discarded() {
    let Some(test) = a_store().await else { return };
    let id = test.put("a").await;
    test.claim_one().await;
    let other = "update lane set waiting = 0, owner = null, due_at = null; update record set state = 1, finished_at = 1";
    let other = HalfDone::begin(&test, other).await;
    let (discarded, ()) = tokio::join!(records::discard(&test.store, id, None), other.end(&test));
    let discarded = discarded.expect("answered");
    assert_eq!((discarded.count, discarded.refused), (0, vec![(0, "it is finished".to_owned())]));
    assert_eq!((test.state(id).await, test.broken_lanes().await), (RecordState::Done, 0));
}

#[tokio::test]
async fn a_dead_record_that_is_just_being_opened_again_is_not_asked_for_once_more() {
    let Some(test) = a_store().await else { return };
    let id = test.put("a").await;
    test.end(&test.claim_one().await, End::Dead("no".to_owned())).await;
    let other = "update lane set waiting = 1, due_at = 1; update record set state = 0, finished_at = null";
    let other = HalfDone::begin(&test, other).await;
    let (asked, ()) = tokio::join!(records::ask_replay(&test.store, id, Replay::default()), other.end(&test));
    assert_eq!(asked.expect("answered").marked, 0);
    // it would be opened again, forwards and all, once it is done
    test.end(&test.claim_one().await, End::Done).await;
    assert_eq!(test.readmit_all("a").await, 0);
    assert_eq!(test.state(id).await, RecordState::Done);
}

#[tokio::test]
async fn a_forward_that_is_just_being_sent_again_is_not_counted_twice() {
    let Some(test) = a_store().await else { return };
    let id = test.put("a").await;
    let claim = test.claim_one().await;
    let content = ForwardContent { answers: Default::default(), gone: false };
    let forward = NewForward { id: ForwardId::at(test.clock.now()), target: "x".to_owned(), content, dead: None };
    let ended = lanes::finish(&test.store, &claim, Ending { forwards: vec![forward], ..ending(&claim, End::Done) });
    ended.await.expect("ended");
    run_sql(&test, "update lane set waiting = 0, due_at = null where kind = 1; update forward_job set state = 4").await;
    let other = "update lane set waiting = 1, due_at = 1 where kind = 1; update forward_job set state = 0";
    let other = HalfDone::begin(&test, other).await;
    let (asked, ()) = tokio::join!(forwards::replay(&test.store, id, None), other.end(&test));
    assert_eq!(asked.expect("answered").marked, 0);
    assert_eq!(test.broken_lanes().await, 0);
}

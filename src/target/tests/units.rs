//! One transaction: marks, fences, crashes, locks.

use std::future::{Future as _, poll_fn};
use std::task::Poll;

use serde_json::json;

use super::bench::*;
use crate::model::change::Change;
use crate::target::write::{Unit, WriteError};

const JOBS: &str = "create table jobs (number text primary key, title text)";

fn write(title: &str) -> Vec<Change> {
    vec![change("jobs", upsert(json!({ "number": "A1" }), json!({ "title": title })))]
}

#[tokio::test]
async fn a_unit_happens_once() {
    let bench = Bench::new(JOBS).await;
    fn unit(changes: &[Change]) -> Unit<'_> {
        Unit { mark: [7; 32], lane: [1; 16], others: &[], fence: 1, is_late: false, changes }
    }
    let first = bench.database.apply(unit(&write("a"))).await.unwrap();
    assert!(!first.already);
    assert_eq!(first.changes[0].key, json!({ "number": "A1" }));
    let second = bench.database.apply(unit(&write("b"))).await.unwrap();
    assert_eq!((second.already, second.changes), (true, Vec::new()));
    assert_eq!(bench.rows("jobs").await, json!([{ "number": "A1", "title": "a" }]));
    assert!(bench.another().apply(unit(&write("c"))).await.unwrap().already);
}

#[tokio::test]
async fn a_lower_fence_is_refused_and_leaves_nothing() {
    let bench = Bench::new(JOBS).await;
    let (first, late, next) = (write("a"), write("late"), write("b"));
    let unit =
        |mark, lane, fence, changes| Unit { mark: [mark; 32], lane: [lane; 16], others: &[], fence, is_late: false, changes };
    bench.database.apply(unit(1, 1, 5, &first)).await.unwrap();
    assert_eq!(bench.database.apply(unit(2, 1, 4, &late)).await.unwrap_err(), WriteError::LeaseLost);
    assert_eq!(bench.rows("jobs").await[0]["title"], "a");
    assert!(!bench.database.apply(unit(2, 1, 5, &next)).await.unwrap().already, "the refused unit left its mark");
    bench.database.apply(unit(3, 2, 1, &late)).await.unwrap();
}

#[tokio::test]
async fn a_failing_change_takes_the_whole_unit_back() {
    let bench = Bench::new(JOBS).await;
    let mut changes = write("a");
    changes.push(change("jobs", insert(json!({ "number": "A1" }))));
    let unit = Unit { mark: [9; 32], lane: [1; 16], others: &[], fence: 3, is_late: false, changes: &changes };
    assert!(bench.database.apply(unit).await.is_err());
    assert_eq!(bench.rows("jobs").await, json!([]));
    assert_eq!(bench.rows("hooktable_applied").await, json!([]));
    assert_eq!(bench.rows("hooktable_lane").await, json!([]));
}

#[tokio::test]
async fn a_unit_that_is_dropped_at_any_point_is_there_whole_or_not_at_all() {
    let changes = write("a");
    let unit = Unit { mark: [9; 32], lane: [1; 16], others: &[], fence: 3, is_late: false, changes: &changes };
    let mut taken_back = 0;
    for polls in 0.. {
        let bench = Bench::new(JOBS).await;
        let mut apply = Box::pin(bench.database.apply(unit));
        let mut left = polls;
        let ended = poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(None);
            }
            left -= 1;
            apply.as_mut().poll(context).map(Some)
        })
        .await;
        drop(apply);
        let (marks, rows) = marks_and_rows(&bench).await;
        assert_eq!(marks, rows);
        if ended.is_some() {
            assert_eq!(marks, 1);
            break;
        }
        taken_back += usize::from(marks == 0);
        let again = bench.database.apply(unit).await.unwrap();
        assert!(again.already || marks == 0);
        assert_eq!(marks_and_rows(&bench).await, (1, 1));
    }
    assert!(taken_back > 0, "no drop came before the commit");
}

/// Both counts as of one moment: a commit that was on its way may land between two reads.
async fn marks_and_rows(bench: &Bench) -> (i64, i64) {
    let sql = "create table if not exists counts (marks integer, jobs integer); delete from counts;
               insert into counts select (select count(*) from hooktable_applied), (select count(*) from jobs)";
    bench.database.run_script(sql).await.unwrap();
    let counts = &bench.rows("counts").await[0];
    (counts["marks"].as_i64().unwrap(), counts["jobs"].as_i64().unwrap())
}

#[tokio::test]
async fn a_transaction_that_the_table_itself_rolls_back_gives_up_the_connection_only() {
    let schema = "create table jobs (number text primary key, title text);
                  create trigger no before insert on jobs when new.title = 'no' begin select raise(rollback, 'not that'); end";
    let bench = Bench::new(schema).await;
    let failure = bench.failure("jobs", insert(json!({ "number": "A1", "title": "no" }))).await;
    assert_permanent(&failure, "table `jobs` of database `main`: not that");
    assert_eq!(bench.rows("hooktable_applied").await, json!([]));
    bench.apply(&write("yes")).await.unwrap();
}

#[tokio::test]
async fn a_lock_that_is_held_too_long_is_a_passing_failure() {
    let bench = Bench::new(JOBS).await;
    let other = bench.another();
    let held = other.writing(async |_| {
        let failure = bench.failure("jobs", insert(json!({ "number": "A1" }))).await;
        assert_passing(&failure, "database `main`: it is locked by another program");
        Ok(())
    });
    held.await.unwrap();
    bench.apply(&write("a")).await.unwrap();
}

#[tokio::test]
async fn a_failed_commit_is_told_by_its_mark() {
    let schema = "create table jobs (number text primary key, title text references jobs (number) deferrable initially deferred)";
    let bench = Bench::new(schema).await;
    let failure = bench.failure("jobs", insert(json!({ "number": "A1", "title": "nobody" }))).await;
    assert!(failure.reason.contains("foreign key"), "{}", failure.reason);
    assert_eq!(bench.rows("hooktable_applied").await, json!([]));
    bench.apply(&write("A1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_units_at_once_all_happen() {
    let bench = std::sync::Arc::new(Bench::new("create table t (id integer primary key, n integer)").await);
    let tasks: Vec<_> = (0..60_i64)
        .map(|number| {
            let bench = bench.clone();
            tokio::spawn(async move { bench.counts("t", insert(json!({ "n": number }))).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), (1, 0, 0));
    }
    assert_eq!(bench.rows("t").await.as_array().unwrap().len(), 60);
}

#[tokio::test]
async fn the_calls_can_cross_threads() {
    fn assert_send<T: Send>(value: T) -> T {
        value
    }
    let bench = Bench::new(JOBS).await;
    assert_send(bench.database.rows("jobs", None, &[])).await.unwrap();
    assert_send(bench.database.insert_rows("jobs", &[])).await.unwrap();
    assert_send(bench.database.tables()).await.unwrap();
    assert_send(bench.database.as_stored("jobs", &[])).await.unwrap();
    assert_send(bench.database.run_script("select 1")).await.unwrap();
}

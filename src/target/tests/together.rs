//! Units that go together in one transaction: what one of them runs into is its own affair.

use std::future::{Future as _, poll_fn};
use std::task::Poll;

use futures_util::future::join_all;
use serde_json::{Value as Json, json};

use super::bench::*;
use super::engines::{fresh, on_each_engine};
use crate::model::change::Change;
use crate::target::dialect::Dialect;
use crate::target::write::{Applied, Unit, WriteError};

/// Applies all units at once, while nobody gets a connection until all of them wait for one.
async fn apply_together(bench: &Bench, units: &[Unit<'_>]) -> Vec<Result<Applied, WriteError>> {
    let seats = bench.database.seats.available_permits();
    let held = bench.database.seats.acquire_many(u32::try_from(seats).unwrap()).await.unwrap();
    let waiting = join_all(units.iter().map(|unit| bench.database.apply(*unit)));
    let release = async {
        tokio::task::yield_now().await;
        drop(held);
    };
    tokio::join!(waiting, release).0
}

fn unit(number: u8, changes: &[Change]) -> Unit<'_> {
    Unit { mark: [number; 32], lane: [number; 16], others: &[], fence: 5, is_late: false, changes }
}

fn row(key: u8, name: &str) -> Vec<Change> {
    vec![change("t", insert(json!({ "k": key, "name": name })))]
}

/// The keys of the rows that are there.
async fn keys(bench: &Bench) -> Vec<u64> {
    let rows = bench.rows("t").await;
    let mut keys: Vec<u64> = rows.as_array().unwrap().iter().map(|row| row["k"].as_u64().unwrap()).collect();
    keys.sort_unstable();
    keys
}

fn reason(result: &Result<Applied, WriteError>) -> &str {
    match result {
        Err(WriteError::Failed(failure)) => &failure.reason,
        other => panic!("expected a failure, got {other:?}"),
    }
}

on_each_engine! {
    async fn one_that_fails_takes_no_other_with_it(bench, schema: "create table t (k {integer} primary key, name {text})") {
        let first: Vec<_> = [row(0, "there"), row(1, "marked"), row(2, "fenced")].into();
        for (number, changes) in first.iter().enumerate() {
            bench.database.apply(unit(u8::try_from(number).unwrap(), changes)).await.unwrap();
        }
        let rows: Vec<_> = (0..20).map(|number| row(number, "new")).collect();
        let (again, late) = (row(30, "again"), row(31, "late"));
        let units: Vec<_> = rows.iter().zip(100..).map(|(changes, mark)| unit(mark, changes)).collect();
        // one marked before, and one whose lane has a higher fence
        let others = [unit(1, &again), Unit { mark: [200; 32], lane: [2; 16], others: &[], fence: 4, is_late: false, changes: &late }];
        let results = apply_together(bench, &[units.as_slice(), &others].concat()).await;
        for result in &results[..3] {
            assert!(reason(result).contains("already has a row"), "{}", reason(result));
        }
        assert!(results[3..20].iter().all(|result| result.as_ref().is_ok_and(|applied| !applied.already)), "{results:?}");
        assert!(results[20].as_ref().unwrap().already);
        assert_eq!(results[21], Err(WriteError::LeaseLost));
        assert_eq!(keys(bench).await, (0..20).collect::<Vec<_>>());
        assert_eq!(bench.rows("hooktable_applied").await.as_array().unwrap().len(), 20);
    }

    async fn one_whose_worker_has_left_is_not_written(bench, schema: "create table t (k {integer} primary key, name {text})") {
        let seats = bench.database.seats.available_permits();
        let held = bench.database.seats.acquire_many(u32::try_from(seats).unwrap()).await.unwrap();
        let (stays, leaves) = (row(1, "stays"), row(2, "leaves"));
        let mut left = Box::pin(bench.database.apply(unit(2, &leaves)));
        let stayed = bench.database.apply(unit(1, &stays));
        let leave = async {
            let polled = poll_fn(|context| Poll::Ready(left.as_mut().poll(context).is_pending())).await;
            assert!(polled, "it waits for a connection");
            drop(left);
            drop(held);
        };
        let (result, ()) = tokio::join!(stayed, leave);
        result.unwrap();
        assert_eq!(keys(bench).await, [1]);
    }
}

#[tokio::test]
async fn those_that_wait_are_one_transaction_of_at_most_32() {
    let Some(bench) = fresh(Dialect::Postgres, "create table moments (k int, at timestamptz default now())").await else {
        return;
    };
    // what has to be learnt about the table is learnt
    bench.database.apply(unit(99, &[change("moments", insert(json!({})))])).await.unwrap();
    let moments: Vec<_> = (0..40).map(|number| vec![change("moments", insert(json!({ "k": number })))]).collect();
    let units: Vec<_> = moments.iter().zip(100..).map(|(changes, mark)| unit(mark, changes)).collect();
    for result in apply_together(&bench, &units).await {
        result.unwrap();
    }
    bench
        .database
        .run_script("create table counts as select count(*)::int as n from moments where k is not null group by at order by 1")
        .await
        .unwrap();
    let counts = bench.rows("counts").await;
    let counts: Vec<u64> = counts.as_array().unwrap().iter().map(|row| row["n"].as_u64().unwrap()).collect();
    // on a machine that is very busy a transaction may end early, but never late
    let most = counts.iter().max().copied().unwrap_or_default();
    assert!(counts.iter().sum::<u64>() == 40 && (8..=32).contains(&most), "{counts:?}");
    bench.remove().await;
}

#[tokio::test]
async fn when_the_commit_fails_each_is_tried_by_itself() {
    let schema = "create table t (k {integer} primary key, of {integer} references t (k) deferrable initially deferred)";
    for engine in [Dialect::Sqlite, Dialect::Postgres] {
        let Some(bench) = fresh(engine, schema).await else { return };
        let child = |of: Json, key: u8| vec![change("t", insert(json!({ "k": key, "of": of })))];
        let all = [child(Json::Null, 1), child(json!(1), 2), child(json!(99), 3), child(json!(4), 4)];
        let units: Vec<_> = all.iter().zip(0..).map(|(changes, mark)| unit(mark, changes)).collect();
        let results = apply_together(&bench, &units).await;
        assert!(reason(&results[2]).contains("foreign key"), "{}", reason(&results[2]));
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3, "{results:?}");
        assert_eq!(keys(&bench).await, [1, 2, 4]);
        bench.remove().await;
    }
}

#[tokio::test]
async fn when_the_database_ends_the_transaction_each_is_tried_by_itself() {
    let ends_it = [
        (
            Dialect::Sqlite,
            "create trigger no before insert on t when new.name = 'no' begin select raise(rollback, 'not that'); end",
            "not that",
        ),
        (
            Dialect::Postgres,
            "create function no() returns trigger language plpgsql as $$ begin
               if new.name = 'no' then raise exception 'not that' using errcode = '40P01'; end if; return new; end $$;
             create trigger no before insert on t for each row execute function no()",
            "not that",
        ),
        (
            Dialect::Mysql,
            "create trigger no before insert on t for each row
             if new.name = 'no' then signal sqlstate '40001' set mysql_errno = 1213, message_text = 'not that'; end if",
            "not that",
        ),
    ];
    for (engine, trigger, said) in ends_it {
        let Some(bench) = fresh(engine, "create table t (k {integer} primary key, name {text})").await else { return };
        bench.database.run_script(trigger).await.unwrap();
        let all = [row(1, "a"), row(2, "b"), row(3, "no"), row(4, "c")];
        let units: Vec<_> = all.iter().zip(0..).map(|(changes, mark)| unit(mark, changes)).collect();
        let results = apply_together(&bench, &units).await;
        assert!(reason(&results[2]).ends_with(said), "{}", reason(&results[2]));
        assert_eq!(keys(&bench).await, [1, 2, 4], "{engine:?}");
        assert_eq!(bench.rows("hooktable_applied").await.as_array().unwrap().len(), 3);
        bench.remove().await;
    }
}

#[tokio::test]
async fn one_that_meets_a_lock_waits_for_it_by_itself() {
    for engine in [Dialect::Postgres, Dialect::Mysql] {
        let Some(bench) = fresh(engine, "create table t (k {integer} primary key, name {text})").await else { return };
        bench.counts("t", insert(json!({ "k": 1, "name": "old" }))).await;
        let other = bench.another();
        let update = vec![change("t", upsert(json!({ "k": 1 }), json!({ "name": "new" })))];
        let all = [row(2, "a"), update, row(3, "b")];
        let units: Vec<_> = all.iter().zip(100..).map(|(changes, mark)| unit(mark, changes)).collect();
        let locked = other.writing(async |connection| {
            let lock = crate::target::statement::Sql::with_parameters("update t set name = 'theirs' where k = 1", 0);
            connection.execute(&lock, Vec::new()).await.unwrap();
            let results = apply_together(&bench, &units).await;
            assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
            assert!(reason(&results[1]).ends_with("it is locked by another program"), "{}", reason(&results[1]));
            Ok(())
        });
        locked.await.unwrap();
        bench.database.apply(units[1]).await.unwrap();
        assert_eq!(bench.rows("t").await[0]["name"], "new");
        bench.remove().await;
    }
}

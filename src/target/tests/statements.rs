//! How many statements a unit takes: each is a journey to the server, and what a guess saves must not be lost when it is wrong.

use std::sync::atomic::Ordering;

use serde_json::{Value as Json, json};

use super::bench::*;
use super::engines::{fresh, on_each_engine};
use crate::model::change::Operation;
use crate::target::dialect::Dialect;
use crate::target::write::Unit;

/// Writes a row under this lane and says how many statements that took, and what became of the row.
async fn written(bench: &Bench, number: u8, lane: u8, operation: Operation) -> (u64, (u64, u64, u64)) {
    let changes = [change("t", operation)];
    let unit = Unit {
        mark: [number; 32],
        lane: [lane; 16],
        others: &[],
        fence: i64::from(number) + 1,
        is_late: false,
        changes: &changes,
    };
    let before = bench.database.health.answers.load(Ordering::Relaxed);
    let applied = bench.database.apply(unit).await.unwrap();
    let trace = &applied.changes[0];
    let statements = bench.database.health.answers.load(Ordering::Relaxed) - before;
    (statements, (trace.inserted, trace.updated, trace.deleted))
}

fn row(key: &str, value: Json) -> Operation {
    upsert(json!({ "k": key }), json!({ "v": value }))
}

/// Beside the row: begin (and on SQLite a look at the schema's version), mark and fence (one statement on PostgreSQL), commit.
fn around(dialect: Dialect) -> u64 {
    match dialect {
        Dialect::Sqlite => 5,
        Dialect::Postgres => 3,
        Dialect::Mysql => 4,
    }
}

on_each_engine! {
    async fn a_unit_takes_few_statements(bench, schema: "create table t (k {key} primary key, v {text})") {
        let around = around(bench.database.dialect());
        // what has to be learnt about the table is learnt
        written(bench, 0, 0, insert(json!({ "k": "a", "v": "0" }))).await;
        let cases = [
            ("an insert of a new lane", 1, insert(json!({ "k": "b", "v": "0" })), 1, (1, 0, 0)),
            ("an insert of a lane that is known", 1, insert(json!({ "k": "c", "v": "0" })), 1, (1, 0, 0)),
            ("a new row", 2, row("d", json!("0")), 2, (1, 0, 0)),
            ("the first row that changes", 2, row("d", json!("1")), 2, (0, 1, 0)),
            ("the next row that changes", 2, row("d", json!("2")), 1, (0, 1, 0)),
            ("another row that changes", 1, row("c", json!(null)), 1, (0, 1, 0)),
            ("one that is so already, against the guess", 1, row("c", json!(null)), 2, (0, 0, 0)),
            ("one that is so already", 1, row("c", json!(null)), 1, (0, 0, 0)),
            ("one that changes again", 1, row("c", json!("3")), 2, (0, 1, 0)),
            ("a new row, against the guess", 3, row("e", json!("0")), 3, (1, 0, 0)),
            ("the next new row", 3, row("f", json!("0")), 2, (1, 0, 0)),
            ("one that goes", 3, delete(json!({ "k": "f" })), 1, (0, 0, 1)),
        ];
        for (number, (what, lane, operation, statements, counts)) in (1..).zip(cases) {
            assert_eq!(written(bench, number, lane, operation).await, (around + statements, counts), "{what}");
        }
        assert_eq!(bench.rows("t").await, json!([
            { "k": "a", "v": "0" }, { "k": "b", "v": "0" }, { "k": "c", "v": "3" }, { "k": "d", "v": "2" }, { "k": "e", "v": "0" },
        ]));
    }

    async fn a_guess_about_one_row_misses_nothing_of_the_next(bench, schema:
        "create table t (k {key} primary key, v {text}); create table other (k {key} primary key, v {text} not null, u {key} unique)")
    {
        for value in ["1", "2", "3"] {
            bench.counts("t", row("a", json!(value))).await;
            bench.counts("other", upsert(json!({ "k": "a" }), json!({ "v": value, "u": "x" }))).await;
        }
        // a row is expected, and there is none: it is made, or refused as it would be without the guess
        assert_eq!(bench.counts("t", row("b", json!("1"))).await, (1, 0, 0));
        bench.counts("other", upsert(json!({ "k": "a" }), json!({ "v": "4" }))).await;
        let failure = bench.failure("other", upsert(json!({ "k": "b" }), json!({ "v": "1", "u": "x" }))).await;
        assert!(failure.reason.contains("on `u` already has a row with these values"), "{}", failure.reason);
        let failure = bench.failure("other", upsert(json!({ "k": "a" }), json!({ "v": null }))).await;
        assert!(failure.reason.contains("column `v` is NOT NULL and got nothing"), "{}", failure.reason);
        let update = Operation::Update { key: cells(&json!({ "k": "nobody" })), set: cells(&json!({ "v": "1" })) };
        assert_eq!(bench.counts("other", update).await, (0, 0, 0));
        assert_eq!(bench.rows("other").await, json!([{ "k": "a", "v": "4", "u": "x" }]));
    }
}

#[tokio::test]
async fn prepared_statements_are_used_again() {
    let Some(bench) = fresh(Dialect::Postgres, "create table t (k text primary key, v text)").await else { return };
    let look = "create table if not exists told (n bigint); delete from told; insert into told select count(*) from pg_prepared_statements";
    let mut counts = Vec::new();
    for round in 0..3 {
        for number in 0..10 {
            // all that there is to a row: new, changed, the same
            for value in [json!(number), json!(number + 1), json!(number + 1), Json::Null] {
                bench.counts("t", row(&format!("{round}/{number}"), value)).await;
            }
        }
        bench.database.run_script(look).await.unwrap();
        counts.push(bench.rows("told").await[0]["n"].as_i64().unwrap());
    }
    assert_eq!(counts[1], counts[2], "other values need no other statements: {counts:?}");
    bench.remove().await;
}

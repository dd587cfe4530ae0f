//! Insert, upsert and delete, and what stands in their way.

use serde_json::{Value as Json, json};

use super::bench::*;
use crate::model::failure::Retry;

const JOBS: &str = "create table jobs (number text primary key, title text not null, quantity integer check (quantity > 0));
                    create unique index jobs_title on jobs (title);";

#[tokio::test]
async fn an_upsert_makes_updates_and_leaves_alone() {
    let bench = Bench::new(JOBS).await;
    let write = |title: &str| upsert(json!({ "number": "A1" }), json!({ "title": title, "quantity": 2 }));
    assert_eq!(bench.counts("jobs", write("één ✓")).await, (1, 0, 0));
    assert_eq!(bench.counts("jobs", write("één ✓")).await, (0, 0, 0));
    assert_eq!(bench.counts("jobs", write("two")).await, (0, 1, 0));
    assert_eq!(bench.rows("jobs").await, json!([{ "number": "A1", "title": "two", "quantity": 2 }]));
    assert_eq!(bench.counts("jobs", delete(json!({ "number": "A1" }))).await, (0, 0, 1));
    assert_eq!(bench.counts("jobs", delete(json!({ "number": "A1" }))).await, (0, 0, 0));
}

#[tokio::test]
async fn an_upsert_of_some_columns_keeps_the_others_even_if_they_refuse_null() {
    let bench = Bench::new(JOBS).await;
    bench.counts("jobs", insert(json!({ "number": "A1", "title": "one" }))).await;
    assert_eq!(bench.counts("jobs", upsert(json!({ "number": "A1" }), json!({ "quantity": 3 }))).await, (0, 1, 0));
    assert_eq!(bench.counts("jobs", upsert(json!({ "number": "A1" }), json!({ "quantity": 3 }))).await, (0, 0, 0));
    assert_eq!(bench.rows("jobs").await, json!([{ "number": "A1", "title": "one", "quantity": 3 }]));
}

#[tokio::test]
async fn an_upsert_tells_null_and_letter_case_apart() {
    let bench = Bench::new("create table t (id integer primary key, name text collate nocase)").await;
    let write = |name: Json| upsert(json!({ "id": 1 }), json!({ "name": name }));
    assert_eq!(bench.counts("t", write(json!(null))).await, (1, 0, 0));
    assert_eq!(bench.counts("t", write(json!(null))).await, (0, 0, 0));
    assert_eq!(bench.counts("t", write(json!("a"))).await, (0, 1, 0));
    assert_eq!(bench.counts("t", write(json!("A"))).await, (0, 1, 0));
    assert_eq!(bench.counts("t", write(json!(null))).await, (0, 1, 0));
}

#[tokio::test]
async fn an_upsert_of_key_columns_alone_makes_the_row_once() {
    let bench = Bench::new("create table tags (job text, tag text, primary key (tag, job))").await;
    let write = || upsert(json!({ "job": "A1", "tag": "x" }), json!({}));
    assert_eq!(bench.counts("tags", write()).await, (1, 0, 0));
    assert_eq!(bench.counts("tags", write()).await, (0, 0, 0));
}

#[tokio::test]
async fn an_upsert_works_without_a_unique_index_on_its_key() {
    let schema = "create table t (number text, name text); create unique index half on t (number) where name is null";
    let bench = Bench::new(schema).await;
    let write = |name: &str| upsert(json!({ "number": "A1" }), json!({ "name": name }));
    assert_eq!(bench.counts("t", write("a")).await, (1, 0, 0));
    assert_eq!(bench.counts("t", write("b")).await, (0, 1, 0));
    assert_eq!(bench.rows("t").await, json!([{ "number": "A1", "name": "b" }]));
}

#[tokio::test]
async fn another_unique_index_never_swallows_a_row() {
    let bench = Bench::new(JOBS).await;
    bench.counts("jobs", insert(json!({ "number": "A1", "title": "one" }))).await;
    let failure = bench.failure("jobs", upsert(json!({ "number": "A2" }), json!({ "title": "one" }))).await;
    let reason = "table `jobs` of database `main`: unique index `jobs_title` on `title` already has a row with these values";
    assert_permanent(&failure, reason);
    assert_eq!(bench.rows("jobs").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_table_that_asks_to_ignore_conflicts_is_not_heard() {
    let bench = Bench::new("create table t (id integer primary key on conflict ignore, n text unique on conflict replace)").await;
    bench.counts("t", insert(json!({ "id": 1, "n": "a" }))).await;
    let failure = bench.failure("t", insert(json!({ "id": 1 }))).await;
    assert_permanent(&failure, "table `t` of database `main`: the primary key on `id` already has a row with these values");
    let failure = bench.failure("t", upsert(json!({ "id": 2 }), json!({ "n": "a" }))).await;
    assert_permanent(&failure, "table `t` of database `main`: the unique constraint on `n` already has a row with these values");
}

#[tokio::test]
async fn constraints_name_the_column_or_the_check() {
    let bench = Bench::new(JOBS).await;
    let failure = bench.failure("jobs", upsert(json!({ "number": "A1" }), json!({ "quantity": 1 }))).await;
    assert_permanent(&failure, "table `jobs` of database `main`: column `title` is NOT NULL and got nothing");
    let failure = bench.failure("jobs", insert(json!({ "number": "A1", "title": "x", "quantity": 0 }))).await;
    assert_permanent(&failure, "table `jobs` of database `main`: the check `quantity > 0` refuses the row");
}

#[tokio::test]
async fn foreign_keys_are_enforced_and_a_unit_that_only_deletes_goes_from_the_children_up() {
    let bench = Bench::new(
        "create table orders (id integer primary key);
         create table lines (order_id integer references orders (id), line integer, primary key (order_id, line));",
    )
    .await;
    let failure = bench.failure("lines", insert(json!({ "order_id": 1, "line": 1 }))).await;
    assert!(failure.reason.contains("foreign key"), "{}", failure.reason);
    assert_eq!(failure.retry, Retry::Never);
    let make = [
        change("orders", upsert(json!({ "id": 1 }), json!({}))),
        change("lines", replace(json!({ "order_id": 1 }), &[(json!({ "line": 1 }), json!({}))])),
    ];
    bench.apply(&make).await.unwrap();
    let gone = [change("orders", delete(json!({ "id": 1 }))), change("lines", replace(json!({ "order_id": 1 }), &[]))];
    let applied = bench.apply(&gone).await.unwrap();
    let verbs: Vec<_> = applied.changes.iter().map(|trace| (trace.verb.as_str(), trace.deleted)).collect();
    assert_eq!(verbs, [("delete", 1), ("replace", 1)]);
}

#[tokio::test]
async fn keys_have_no_holes_and_are_not_empty() {
    let bench = Bench::new(JOBS).await;
    let failure = bench.failure("jobs", upsert(json!({ "number": null }), json!({ "title": "x" }))).await;
    assert_permanent(&failure, "key column `number` of table `jobs` got null from $.number");
    let failure = bench.failure("jobs", delete(json!({}))).await;
    assert_permanent(&failure, "a write to table `jobs` names no column to find its rows by");
    let failure = bench.failure("jobs", upsert(json!({ "number": "A1" }), json!({ "NUMBER": "A2" }))).await;
    assert_permanent(&failure, "column `number` of table `jobs` is written twice by one write");
}

#[tokio::test]
async fn any_identifier_can_be_written() {
    let bench =
        Bench::new(r#"create table "order ""lines""" ("select" integer primary key, "a b" text, "æ'ø;--" text, "x]`" text)"#)
            .await;
    let table = r#"order "lines""#;
    let set = || json!({ "a b": "1", "æ'ø;--": "2", "x]`": "3" });
    assert_eq!(bench.counts(table, upsert(json!({ "select": 1 }), set())).await, (1, 0, 0));
    assert_eq!(bench.counts(table, upsert(json!({ "select": 1 }), set())).await, (0, 0, 0));
    let rows = [(json!({ "a b": "'; drop table x" }), json!({ "æ'ø;--": "\"" }))];
    assert_eq!(bench.counts(table, replace(json!({ "select": 1 }), &rows)).await, (1, 0, 1));
    assert_eq!(bench.rows(table).await, json!([{ "select": 1, "a b": "'; drop table x", "æ'ø;--": "\"", "x]`": null }]));
}

#[tokio::test]
async fn a_table_may_be_named_with_its_schema_and_in_any_case() {
    let bench = Bench::new(JOBS).await;
    let write = |title: &str| upsert(json!({ "Number": "A1" }), json!({ "TITLE": title }));
    assert_eq!(bench.counts("main.jobs", write("a")).await, (1, 0, 0));
    assert_eq!(bench.counts("Jobs", write("b")).await, (0, 1, 0));
    assert_eq!(bench.rows("main.JOBS").await, json!([{ "number": "A1", "title": "b", "quantity": null }]));
}

#[tokio::test]
async fn an_insert_without_columns_takes_the_defaults() {
    let bench = Bench::new("create table t (id integer primary key, name text default 'x')").await;
    assert_eq!(bench.counts("t", insert(json!({}))).await, (1, 0, 0));
    assert_eq!(bench.rows("t").await, json!([{ "id": 1, "name": "x" }]));
}

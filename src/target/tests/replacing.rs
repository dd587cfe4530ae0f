//! Replace: exactly the list, touching only what differs.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::bench::*;

const LINES: &str = "create table lines (order_id integer, line integer, sku text, price decimal_text, note text,
                     primary key (order_id, line)) without rowid";

fn line(number: i64, sku: &str) -> (Json, Json) {
    (json!({ "line": number }), json!({ "sku": sku }))
}

#[tokio::test]
async fn only_what_differs_is_touched_and_other_parents_are_left_alone() {
    let bench = Bench::new(LINES).await;
    bench.counts("lines", insert(json!({ "order_id": 2, "line": 1, "sku": "other" }))).await;
    let of = || json!({ "order_id": 1 });
    let first = [line(1, "a"), line(2, "b"), line(3, "c")];
    assert_eq!(bench.counts("lines", replace(of(), &first)).await, (3, 0, 0));
    assert_eq!(bench.counts("lines", replace(of(), &first)).await, (0, 0, 0));
    let second = [line(4, "d"), line(2, "B"), line(1, "a")];
    assert_eq!(bench.counts("lines", replace(of(), &second)).await, (1, 1, 1));
    assert_eq!(bench.counts("lines", replace(of(), &[])).await, (0, 0, 3));
    assert_eq!(bench.counts("lines", replace(of(), &[])).await, (0, 0, 0));
    assert_eq!(bench.rows("lines").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn columns_that_are_not_named_keep_their_values() {
    let bench = Bench::new(LINES).await;
    bench.counts("lines", insert(json!({ "order_id": 1, "line": 1, "sku": "a", "note": "by hand" }))).await;
    assert_eq!(bench.counts("lines", replace(json!({ "order_id": 1 }), &[line(1, "b")])).await, (0, 1, 0));
    assert_eq!(bench.rows("lines").await[0]["note"], "by hand");
}

#[tokio::test]
async fn a_key_twice_in_the_list_is_a_failure_that_names_it() {
    let bench = Bench::new(LINES).await;
    let rows = [line(1, "a"), (json!({ "line": "1" }), json!({ "sku": "b" }))];
    let failure = bench.failure("lines", replace(json!({ "order_id": 1 }), &rows)).await;
    assert_permanent(&failure, r#"two rows of the list for table `lines` of database `main` have the key {"line":1}"#);
}

#[tokio::test]
async fn a_hole_in_a_key_or_parent_is_a_failure() {
    let bench = Bench::new(LINES).await;
    let failure = bench.failure("lines", replace(json!({ "order_id": null }), &[])).await;
    assert_permanent(&failure, "key column `order_id` of table `lines` got null from $.order_id");
    let failure = bench.failure("lines", replace(json!({ "order_id": 1 }), &[(json!({ "line": null }), json!({}))])).await;
    assert_permanent(&failure, "key column `line` of table `lines` got null from $.line");
    assert_permanent(
        &bench.failure("lines", replace(json!({}), &[])).await,
        "a write to table `lines` names no column to find its rows by",
    );
}

#[tokio::test]
async fn a_new_row_may_take_what_a_gone_one_held() {
    let bench =
        Bench::new("create table t (parent text, id integer, slot integer, primary key (parent, id), unique (parent, slot))")
            .await;
    let rows = |id: i64| [(json!({ "id": id }), json!({ "slot": 1 }))];
    assert_eq!(bench.counts("t", replace(json!({ "parent": "p" }), &rows(1))).await, (1, 0, 0));
    assert_eq!(bench.counts("t", replace(json!({ "parent": "p" }), &rows(2))).await, (1, 0, 1));
}

#[tokio::test]
async fn every_kind_of_column_compares_as_it_is_kept() {
    let bench = Bench::new(
        "create table t (parent integer, id uuid, a numeric, b real, c boolean, d date, e json, f, g blob, h decimal_text, i text)",
    )
    .await;
    let rows = [(
        json!({ "id": "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11" }),
        json!({ "a": "3.0", "b": 1, "c": "true", "d": "2026-11-21", "e": 1, "f": 1.50, "g": "x", "h": "1.50", "i": [1, { "x": null }] }),
    )];
    assert_eq!(bench.counts("t", replace(json!({ "parent": 1 }), &rows)).await, (1, 0, 0));
    assert_eq!(bench.counts("t", replace(json!({ "parent": 1 }), &rows)).await, (0, 0, 0));
}

/// Rows by key, with an optional text each; `before` also has rows with no key and keys that stand twice.
type Before = Vec<(Option<i64>, Option<String>)>;

fn before() -> impl Strategy<Value = Before> {
    prop::collection::vec((prop::option::weighted(0.8, 0..6_i64), prop::option::of("[a-c]{0,2}")), 0..8)
}

fn list() -> impl Strategy<Value = BTreeMap<i64, Option<String>>> {
    prop::collection::btree_map(0..6_i64, prop::option::of("[a-c]{0,2}"), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn replace_makes_exactly_the_list_whatever_was_there(before in before(), list in list()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new("create table t (parent text, id integer, name text)").await;
            let given: Vec<_> = before
                .iter()
                .map(|(id, name)| json!({ "parent": "p", "id": id, "name": name }).as_object().unwrap().clone())
                .collect();
            bench.database.insert_rows("t", &given).await.unwrap();
            let rows: Vec<_> = list.iter().map(|(id, name)| (json!({ "id": id }), json!({ "name": name }))).collect();
            let (inserted, _, deleted) = bench.counts("t", replace(json!({ "parent": "p" }), &rows)).await;
            let expected: Vec<_> = list.iter().map(|(id, name)| json!({ "parent": "p", "id": id, "name": name })).collect();
            let order = ["id".to_owned()];
            let after = bench.database.rows("t", None, &order).await.unwrap();
            assert_eq!(json!(after), json!(expected));
            assert_eq!(before.len() + usize::try_from(inserted).unwrap(), list.len() + usize::try_from(deleted).unwrap());
            assert_eq!(bench.counts("t", replace(json!({ "parent": "p" }), &rows)).await, (0, 0, 0));
        });
    }
}

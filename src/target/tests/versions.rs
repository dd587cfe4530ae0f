//! What is run again, or behind what came later: a row that has its version already stays as it is.

use serde_json::json;

use super::bench::*;
use super::engines::{fresh, on_each_engine};
use crate::model::change::Operation;
use crate::target::dialect::Dialect;

on_each_engine! {
    async fn what_is_late_leaves_what_has_its_version_and_writes_over_what_is_older(bench, schema:
        "create table t (k {key} primary key, v {text}); create table t_lines (k {key}, line {integer}, primary key (k, line))")
    {
        let both = |version: i64, value: &str, lines: &[i64]| {
            let lines: Vec<_> = lines.iter().map(|line| (json!({ "line": line }), json!({}))).collect();
            let (parent, lines) = (upsert(json!({ "k": "a" }), json!({ "v": value })), replace(json!({ "k": "a" }), &lines));
            [versioned("t", parent, json!(version)), versioned("t_lines", lines, json!(version))]
        };
        // nothing is there: what never took effect is written, once
        let late = bench.apply_late(&both(5, "first", &[1])).await;
        assert!(late.changes.iter().all(|change| !change.outdated && change.inserted == 1), "{late:?}");
        bench.apply(&both(5, "second", &[2])).await.unwrap();
        let late = bench.apply_late(&both(5, "first", &[1])).await;
        assert!(late.changes.iter().all(|change| change.outdated), "{late:?}");
        assert_eq!(bench.rows("t").await, json!([{ "k": "a", "v": "second" }]));
        assert_eq!(bench.rows("t_lines").await, json!([{ "k": "a", "line": 2 }]));
        let late = bench.apply_late(&[versioned("t", delete(json!({ "k": "a" })), json!(5))]).await;
        assert!(late.changes[0].outdated, "{late:?}");
        let late = bench.apply_late(&both(6, "third", &[3])).await;
        assert!(late.changes.iter().all(|change| !change.outdated), "{late:?}");
        assert_eq!(bench.rows("t").await, json!([{ "k": "a", "v": "third" }]));
        assert_eq!(bench.rows("t_lines").await, json!([{ "k": "a", "line": 3 }]));
    }

    async fn what_is_late_goes_on_with_the_rows_that_it_wrote_itself(bench, schema: "create table t (k {key} primary key, v {text}, w {text})") {
        let (from, to) = (cells(&json!({ "k": "old" })), cells(&json!({ "k": "new" })));
        bench.apply(&[versioned("t", upsert(json!({ "k": "old" }), json!({ "v": "one" })), json!(1))]).await.unwrap();
        let moved = [
            versioned("t", Operation::Move { from, to }, json!(2)),
            versioned("t", upsert(json!({ "k": "new" }), json!({ "v": "two" })), json!(2)),
            versioned("t", update(json!({ "k": "new" }), json!({ "w": "more" })), json!(2)),
        ];
        let late = bench.apply_late(&moved).await;
        assert!(late.changes.iter().all(|change| !change.outdated), "{late:?}");
        let after = json!([{ "k": "new", "v": "two", "w": "more" }]);
        assert_eq!(bench.rows("t").await, after);
        let again = bench.apply_late(&moved).await;
        assert!(again.changes.iter().all(|change| change.outdated), "{again:?}");
        assert_eq!(bench.rows("t").await, after);
    }

    async fn what_is_late_leaves_what_has_its_version_in_a_column_of_theirs(bench, schema: "create table t (k {key} primary key, v {text}, w {text}, updated_at {moment})") {
        let at = |second: u32| json!(format!("2026-11-21T10:00:0{second}Z"));
        let write = |value: &str, second| in_column(versioned("t", upsert(json!({ "k": "a" }), json!({ "v": value })), at(second)));
        let more = |value: &str, second| in_column(versioned("t", update(json!({ "k": "a" }), json!({ "w": value })), at(second)));
        bench.apply(&[write("one", 1)]).await.unwrap();
        assert!(bench.apply_late(&[write("late", 1)]).await.changes[0].outdated);
        assert!(!bench.apply(&[write("in turn", 1)]).await.unwrap().changes[0].outdated);
        let late = bench.apply_late(&[write("two", 2), more("more", 2)]).await;
        assert!(late.changes.iter().all(|change| !change.outdated), "{late:?}");
        assert_eq!(bench.rows("t").await, json!([{ "k": "a", "v": "two", "w": "more", "updated_at": "2026-11-21T10:00:02Z" }]));
    }
}

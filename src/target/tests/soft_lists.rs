//! Replace with `soft`: rows that are not in the list stay, marked.

use serde_json::json;

use super::bench::*;
use super::engines::{fresh, on_each_engine};
use crate::model::change::{Operation, Row};
use crate::target::dialect::Dialect;

on_each_engine! {
    async fn a_list_marks_what_it_lacks_and_brings_back_what_it_has_again(bench, schema:
        "create table t (p {integer}, k {key}, v {text}, gone_at {moment}, primary key (p, k))")
    {
        let list = |at: &str, rows: &[(&str, &str)]| Operation::Replace {
            of: cells(&json!({ "p": 1 })),
            rows: rows
                .iter()
                .map(|(key, value)| Row { key: cells(&json!({ "k": key })), set: cells(&json!({ "v": value, "gone_at": null })) })
                .collect(),
            soft: Some(cells(&json!({ "gone_at": at })).remove(0)),
        };
        let (first, second, third) = ("2026-11-21T10:00:00Z", "2026-11-22T10:00:00Z", "2026-11-23T10:00:00Z");
        assert_eq!(bench.counts("t", list(first, &[("a", "1"), ("b", "1"), ("c", "1")])).await, (3, 0, 0));
        assert_eq!(bench.counts("t", list(first, &[("b", "2"), ("c", "1")])).await, (0, 2, 0));
        assert_eq!(bench.counts("t", list(second, &[("b", "2")])).await, (0, 1, 0));
        assert_eq!(bench.counts("t", list(second, &[("b", "2")])).await, (0, 0, 0));
        assert_eq!(bench.counts("t", list(third, &[])).await, (0, 1, 0));
        assert_eq!(bench.counts("t", list(third, &[("a", "1")])).await, (0, 1, 0));
        let expected = json!([
            { "p": 1, "k": "a", "v": "1", "gone_at": null },
            { "p": 1, "k": "b", "v": "2", "gone_at": third },
            { "p": 1, "k": "c", "v": "1", "gone_at": second },
        ]);
        assert_eq!(bench.rows("t").await, expected);
    }
}

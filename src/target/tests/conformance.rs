//! One meaning: the same changes on SQLite, PostgreSQL and MariaDB leave the same rows behind, and what is refused is refused on all.

use serde_json::{Value as Json, json};

use super::bench::*;
use super::engines::{fresh, on_each_engine};
use crate::model::change::Operation;
use crate::model::failure::Retry;
use crate::target::dialect::Dialect;
use crate::target::write::{Unit, WriteError};

const ALL: &str =
    "create table t (id {integer} primary key, s {text}, i {integer}, d {decimal}, r {real}, b {boolean}, day {date},
    clock {time}, at {moment}, u {uuid}, j {json}, raw {bytes})";

/// A value of every type, and how it reads back.
fn every_type() -> (Json, Json) {
    let written = json!({
        "s": "één ✓ 🦀 \u{202e}ltr 'quoted' \\ \"", "i": i64::MIN, "d": serde_json::Number::from_string_unchecked("-12345678901234567890.12345678".into()),
        "r": 0.1, "b": true, "day": "2026-11-21", "clock": "10:00:00.5", "at": "2026-11-21T11:00:00.123456+01:00",
        "u": "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "j": { "a": [1, null, "x"] }, "raw": null,
    });
    let mut read = written.clone();
    read["d"] = json!("-12345678901234567890.12345678");
    read["b"] = json!(1);
    read["at"] = json!("2026-11-21T10:00:00.123456Z");
    read["u"] = json!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    read["j"] = json!("{\"a\":[1,null,\"x\"]}");
    (written, read)
}

fn with_id(id: i64, mut row: Json) -> Json {
    row["id"] = json!(id);
    row
}

on_each_engine! {
    async fn every_type_reads_back_as_it_was_written_by_every_verb(bench, schema: ALL) {
        let (written, read) = every_type();
        assert_eq!(bench.counts("t", insert(with_id(1, written.clone()))).await, (1, 0, 0));
        assert_eq!(bench.counts("t", upsert(json!({ "id": 2 }), written.clone())).await, (1, 0, 0));
        assert_eq!(bench.counts("t", upsert(json!({ "id": 2 }), written.clone())).await, (0, 0, 0));
        assert_eq!(bench.counts("t", upsert(json!({ "id": 1 }), written.clone())).await, (0, 0, 0));
        let rows = bench.rows("t").await;
        for (id, row) in [(1, &rows[0]), (2, &rows[1])] {
            assert_eq!(*row, with_id(id, read.clone()));
        }
        let list = [(json!({ "id": 1, "s": written["s"] }), {
            let mut set = written.clone();
            set.as_object_mut().unwrap().retain(|name, _| name != "s" && name != "i");
            set
        })];
        let of = || json!({ "i": i64::MIN });
        assert_eq!(bench.counts("t", replace(of(), &list)).await, (0, 0, 1));
        assert_eq!(bench.counts("t", replace(of(), &list)).await, (0, 0, 0));
        assert_eq!(bench.rows("t").await, json!([with_id(1, read)]));
    }

    async fn null_and_values_of_every_type_replace_each_other(bench, schema: ALL) {
        let (mut written, mut read) = every_type();
        written["raw"] = json!("bytes");
        read["raw"] = json!("bytes");
        let mut nulls = written.clone();
        nulls.as_object_mut().unwrap().values_mut().for_each(|value| *value = Json::Null);
        let write = |set: &Json| upsert(json!({ "id": 1 }), set.clone());
        assert_eq!(bench.counts("t", write(&nulls)).await, (1, 0, 0));
        assert_eq!(bench.counts("t", write(&nulls)).await, (0, 0, 0));
        assert_eq!(bench.counts("t", write(&written)).await, (0, 1, 0));
        assert_eq!(bench.counts("t", write(&written)).await, (0, 0, 0));
        let row = bench.rows("t").await[0].clone();
        // SQLite keeps a text in a BLOB column as it is; the others have bytes
        let raw = if bench.database.dialect() == Dialect::Sqlite { "bytes" } else { "Ynl0ZXM=" };
        assert_eq!(row["raw"], raw);
        assert_eq!(row["u"], read["u"]);
        assert_eq!(bench.counts("t", write(&nulls)).await, (0, 1, 0));
        assert_eq!(bench.rows("t").await, json!([with_id(1, nulls.clone())]));
        assert_eq!(bench.counts("t", insert(with_id(2, nulls))).await, (1, 0, 0));
    }

    async fn numbers_are_exact(bench, schema: "create table t (id {integer} primary key, i {integer}, d {decimal})") {
        let number = |text: &str| serde_json::from_str::<Json>(text).unwrap();
        let cases = [
            ("9223372036854775807", "99999999999999999999.99999999", "99999999999999999999.99999999"),
            ("-9223372036854775808", "-0.00000001", "-0.00000001"),
            ("9007199254740993", "9007199254740993.00000001", "9007199254740993.00000001"),
            ("\"20417\"", "\"0.10000000\"", "0.10000000"),
            ("3.0", "12345678901234567.89000000", "12345678901234567.89000000"),
        ];
        for (index, (integer, decimal, read)) in cases.iter().enumerate() {
            let write = || upsert(json!({ "id": index }), json!({ "i": number(integer), "d": number(decimal) }));
            assert_eq!(bench.counts("t", write()).await, (1, 0, 0), "{integer} {decimal}");
            assert_eq!(bench.counts("t", write()).await, (0, 0, 0), "{integer} {decimal}");
            assert_eq!(bench.rows("t").await[index]["d"], *read);
        }
        let rows = bench.rows("t").await;
        let integers: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["i"].as_i64().unwrap()).collect();
        assert_eq!(integers, [i64::MAX, i64::MIN, 9_007_199_254_740_993, 20417, 3]);
        // a float would take these two for the same
        let next = upsert(json!({ "id": 2 }), json!({ "i": number("9007199254740992") }));
        assert_eq!(bench.counts("t", next).await, (0, 1, 0));
        let next = upsert(json!({ "id": 2 }), json!({ "d": number("9007199254740993.00000002") }));
        assert_eq!(bench.counts("t", next).await, (0, 1, 0));
    }

    async fn keys_that_differ_in_case_accents_or_spaces_are_different(bench, schema: "create table t (k {key} primary key, v {text})") {
        let keys = ["a", "A", "a ", "á", "a\u{301}", " a", "ß", "ss"];
        for key in keys {
            assert_eq!(bench.counts("t", upsert(json!({ "k": key }), json!({ "v": key }))).await, (1, 0, 0), "{key:?}");
        }
        assert_eq!(bench.counts("t", delete(json!({ "k": "A" }))).await, (0, 0, 1));
        assert_eq!(bench.rows("t").await.as_array().unwrap().len(), keys.len() - 1);
        // values in columns that compare loosely are told apart too
        for value in ["A", "a ", "a", "á"] {
            assert_eq!(bench.counts("t", upsert(json!({ "k": "ß" }), json!({ "v": value }))).await, (0, 1, 0), "{value:?}");
        }
    }

    async fn another_unique_index_never_swallows_a_row(bench, schema:
        "create table jobs (number {key} primary key, title {key} not null, quantity {integer});
         create unique index jobs_title on jobs (title)")
    {
        bench.counts("jobs", upsert(json!({ "number": "A1" }), json!({ "title": "one" }))).await;
        let reason = "table `jobs` of database `main`: unique index `jobs_title` on `title` already has a row with these values";
        let failure = bench.failure("jobs", upsert(json!({ "number": "A2" }), json!({ "title": "one", "quantity": 1 }))).await;
        assert_permanent(&failure, reason);
        let failure = bench.failure("jobs", insert(json!({ "number": "A2", "title": "one" }))).await;
        assert_permanent(&failure, reason);
        let failure = bench.failure("jobs", insert(json!({ "number": "A1", "title": "two" }))).await;
        assert_permanent(&failure, "table `jobs` of database `main`: the primary key on `number` already has a row with these values");
        assert_eq!(bench.rows("jobs").await, json!([{ "number": "A1", "title": "one", "quantity": null }]));
    }

    async fn an_upsert_of_some_columns_keeps_the_others_even_if_they_refuse_null(bench, schema:
        "create table t (k {key} primary key, title {text} not null, quantity {integer})")
    {
        bench.counts("t", insert(json!({ "k": "A1", "title": "one" }))).await;
        assert_eq!(bench.counts("t", upsert(json!({ "k": "A1" }), json!({ "quantity": 3 }))).await, (0, 1, 0));
        assert_eq!(bench.counts("t", upsert(json!({ "k": "A1" }), json!({ "quantity": 3 }))).await, (0, 0, 0));
        assert_eq!(bench.counts("t", upsert(json!({ "k": "A1" }), json!({}))).await, (0, 0, 0));
        let failure = bench.failure("t", upsert(json!({ "k": "A2" }), json!({ "quantity": 3 }))).await;
        assert_permanent(&failure, "table `t` of database `main`: column `title` is NOT NULL and got nothing");
        let failure = bench.failure("t", upsert(json!({ "k": "A1" }), json!({ "title": null }))).await;
        assert_permanent(&failure, "table `t` of database `main`: column `title` is NOT NULL and got nothing");
    }

    async fn an_upsert_of_key_columns_alone_makes_the_row_once(bench, schema:
        "create table tags (job {key}, tag {key}, primary key (tag, job))")
    {
        let write = || upsert(json!({ "job": "A1", "tag": "x" }), json!({}));
        assert_eq!(bench.counts("tags", write()).await, (1, 0, 0));
        assert_eq!(bench.counts("tags", write()).await, (0, 0, 0));
        assert_eq!(bench.rows("tags").await, json!([{ "job": "A1", "tag": "x" }]));
    }

    async fn checks_and_references_are_permanent_failures(bench, schema:
        "create table parents (id {integer} primary key);
         create table t (id {integer} primary key, q {integer}, parent {integer}, constraint q_is_positive check (q > 0),
           constraint has_parent foreign key (parent) references parents (id))")
    {
        let failure = bench.failure("t", insert(json!({ "id": 1, "q": 0 }))).await;
        assert_eq!((failure.retry, failure.reason.contains("refuses the row")), (Retry::Never, true), "{}", failure.reason);
        let failure = bench.failure("t", insert(json!({ "id": 1, "parent": 7 }))).await;
        assert_eq!((failure.retry, failure.reason.contains("a foreign key constraint refuses it")), (Retry::Never, true), "{}", failure.reason);
        let make = [change("parents", upsert(json!({ "id": 7 }), json!({}))), change("t", insert(json!({ "id": 1, "parent": 7 })))];
        bench.apply(&make).await.unwrap();
        let gone = [change("parents", delete(json!({ "id": 7 }))), change("t", delete(json!({ "id": 1 })))];
        bench.apply(&gone).await.unwrap();
        assert_eq!(bench.rows("t").await, json!([]));
    }

    async fn a_list_replaces_exactly_its_parents_rows(bench, schema:
        "create table t (parent {key} not null, line {integer}, sku {key}, price {decimal}, note {text}, unique (parent, line))")
    {
        let row = |line: i64, sku: &str, price: &str| (json!({ "line": line }), json!({ "sku": sku, "price": price }));
        bench.counts("t", insert(json!({ "parent": "other", "line": 1 }))).await;
        bench.counts("t", insert(json!({ "parent": "p", "line": null, "note": "a hole" }))).await;
        assert_eq!(bench.counts("t", replace(json!({ "parent": "p" }), &[row(1, "a", "1.5"), row(2, "b", "2")])).await, (2, 0, 1));
        assert_eq!(bench.counts("t", replace(json!({ "parent": "p" }), &[row(1, "a", "1.5"), row(2, "b", "2")])).await, (0, 0, 0));
        bench.counts("t", upsert(json!({ "parent": "p", "line": 2 }), json!({ "note": "kept" }))).await;
        assert_eq!(bench.counts("t", replace(json!({ "parent": "p" }), &[row(3, "c", "3"), row(2, "B", "2.25")])).await, (1, 1, 1));
        let rows = bench.database.rows("t", Some(&["line", "sku", "note"].map(str::to_owned)), &["parent".to_owned(), "line".to_owned()]).await.unwrap();
        assert_eq!(json!(rows), json!([
            { "line": 1, "sku": null, "note": null },
            { "line": 2, "sku": "B", "note": "kept" },
            { "line": 3, "sku": "c", "note": null },
        ]));
        assert_eq!(bench.counts("t", replace(json!({ "parent": "p" }), &[])).await, (0, 0, 2));
        let failure = bench.failure("t", replace(json!({ "parent": "p" }), &[row(1, "a", "1"), row(1, "b", "2")])).await;
        assert_eq!(failure.retry, Retry::Never);
    }

    async fn what_does_not_fit_fails_with_both_sides_named(bench, schema: ALL) {
        let cases = [
            ("i", "9223372036854775808"), ("i", "3.5"), ("i", "\"abc\""), ("i", "\"\""), ("d", "\"1,50\""), ("d", "\"NaN\""), ("r", "\"x\""), ("b", "\"yes\""),
            ("day", "\"2026-02-30\""), ("day", "\"21.11.2026\""), ("day", "20261121"), ("clock", "\"25:00:00\""), ("at", "\"yesterday\""),
            ("at", "1700000000"), ("u", "\"123\""), ("i", "[1]"), ("r", "1e999"),
        ];
        for (column, value) in cases {
            let value: Json = serde_json::from_str(value).unwrap();
            let failure = bench.failure("t", insert(json!({ "id": 1, column: value }))).await;
            assert_eq!(failure.retry, Retry::Never, "{column} {value}");
            let said = failure.reason.starts_with(&format!("column `{column}` is ")) && failure.reason.contains(&format!("; got {value}"));
            assert!(said, "{column} {value}: {}", failure.reason);
        }
        assert_eq!(bench.rows("t").await, json!([]));
    }

    async fn rows_are_read_in_the_order_of_their_numbers(bench, schema: "create table t (id {integer} primary key, n {decimal})") {
        for id in [10, 9, 100, -1, 2] {
            bench.counts("t", insert(json!({ "id": id, "n": id }))).await;
        }
        let ids = |rows: &Json| rows.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect::<Vec<_>>();
        assert_eq!(ids(&bench.rows("t").await), [-1, 2, 9, 10, 100]);
    }

    async fn an_insert_without_columns_takes_the_defaults(bench, schema: "create table t (name varchar(9) default 'x')") {
        assert_eq!(bench.counts("t", insert(json!({}))).await, (1, 0, 0));
        assert_eq!(bench.rows("t").await, json!([{ "name": "x" }]));
    }

    async fn an_upsert_works_without_a_unique_index_on_its_key(bench, schema: "create table t (k {key}, name {text})") {
        let write = |name: &str| upsert(json!({ "k": "A1" }), json!({ "name": name }));
        assert_eq!(bench.counts("t", write("a")).await, (1, 0, 0));
        assert_eq!(bench.counts("t", write("b")).await, (0, 1, 0));
        assert_eq!(bench.rows("t").await, json!([{ "k": "A1", "name": "b" }]));
    }

    async fn a_unit_happens_once_under_its_fence_or_not_at_all(bench, schema: "create table jobs (k {key} primary key, v {text})") {
        let write = |value: &str| vec![change("jobs", upsert(json!({ "k": "A1" }), json!({ "v": value })))];
        fn unit(mark: u8, fence: i64, changes: &[crate::model::change::Change]) -> Unit<'_> {
            Unit { mark: [mark; 32], lane: [1; 16], others: &[], fence, is_late: false, changes }
        }
        assert!(!bench.database.apply(unit(1, 5, &write("a"))).await.unwrap().already);
        assert!(bench.another().apply(unit(1, 5, &write("b"))).await.unwrap().already);
        assert_eq!(bench.database.apply(unit(2, 4, &write("late"))).await.unwrap_err(), WriteError::LeaseLost);
        assert_eq!(bench.rows("jobs").await, json!([{ "k": "A1", "v": "a" }]));
        let mut failing = write("c");
        failing.push(change("jobs", insert(json!({ "k": "A1" }))));
        assert!(bench.database.apply(unit(3, 6, &failing)).await.is_err());
        assert_eq!(bench.rows("hooktable_applied").await.as_array().unwrap().len(), 1);
        assert_eq!(bench.rows("hooktable_lane").await[0]["fence"], 5);
        assert!(!bench.database.apply(unit(3, 5, &write("d"))).await.unwrap().already);
        assert_eq!(bench.rows("jobs").await, json!([{ "k": "A1", "v": "d" }]));
    }

    async fn one_unit_from_two_sides_at_once_happens_once(bench, schema: "create table t (n {integer})") {
        let other = bench.another();
        for mark in 0..10 {
            let changes = [change("t", insert(json!({ "n": mark })))];
            let unit = Unit { mark: [mark; 32], lane: [mark; 16], others: &[], fence: 1, is_late: false, changes: &changes };
            let (one, two) = tokio::join!(bench.database.apply(unit), other.apply(unit));
            assert!(one.unwrap().already != two.unwrap().already);
        }
        assert_eq!(bench.rows("t").await.as_array().unwrap().len(), 10);
    }

    async fn two_lanes_that_make_the_same_row_both_succeed(bench, schema: "create table t (k {key} primary key, v {integer})") {
        let (a, b) = (bench.another(), bench.another());
        for round in 0..10_u8 {
            let write = |value: u8| [change("t", upsert(json!({ "k": format!("{round}") }), json!({ "v": value })))];
            let (one, two) = (write(1), write(2));
            fn unit(lane: u8, round: u8, changes: &[crate::model::change::Change]) -> Unit<'_> {
                Unit { mark: [round * 2 + lane; 32], lane: [lane; 16], others: &[], fence: 1, is_late: false, changes }
            }
            let (one, two) = tokio::join!(a.apply(unit(0, round, &one)), b.apply(unit(1, round, &two)));
            assert_eq!((one.unwrap().already, two.unwrap().already), (false, false));
        }
        assert_eq!(bench.rows("t").await.as_array().unwrap().len(), 10);
    }

    async fn a_table_that_is_altered_while_we_run_is_seen_as_it_is_now(bench, schema:
        "create table jobs (k {key} primary key, a {text}, b {text})")
    {
        let other = bench.another();
        let write = |set| upsert(json!({ "k": "1" }), set);
        assert_eq!(bench.counts("jobs", write(json!({ "a": "1", "b": "1" }))).await, (1, 0, 0));
        let failure = bench.failure("jobs", write(json!({ "c": "1" }))).await;
        assert_eq!(failure.retry, Retry::Later);
        other.run_script("alter table jobs add column c integer; alter table jobs drop column b").await.unwrap();
        assert_eq!(bench.counts("jobs", write(json!({ "a": "1", "c": 7 }))).await, (0, 1, 0));
        let failure = bench.failure("jobs", write(json!({ "b": "1" }))).await;
        assert_eq!(failure.retry, Retry::Later);
        assert!(failure.reason.contains("has no column `b`; it has `"), "{}", failure.reason);
        other.run_script("drop table jobs; create table jobs (k integer primary key, a integer)").await.unwrap();
        assert_eq!(bench.counts("jobs", write(json!({ "a": "12" }))).await, (1, 0, 0));
        assert_eq!(bench.rows("jobs").await, json!([{ "k": 1, "a": 12 }]));
        other.run_script("drop table jobs").await.unwrap();
        let failure = bench.failure("jobs", write(json!({ "a": "13" }))).await;
        assert_passing(&failure, "database `main` has no table `jobs`; it has no tables at all");
    }

    async fn an_update_makes_no_row_and_a_soft_delete_takes_none(bench, schema:
        "create table t (k {key} primary key, v {text}, deleted_at {moment})")
    {
        let update = |value: &str| Operation::Update { key: cells(&json!({ "k": "a" })), set: cells(&json!({ "v": value })) };
        assert_eq!(bench.counts("t", update("1")).await, (0, 0, 0));
        bench.counts("t", insert(json!({ "k": "a" }))).await;
        assert_eq!(bench.counts("t", update("1")).await, (0, 1, 0));
        assert_eq!(bench.counts("t", update("1")).await, (0, 0, 0));
        let gone = |at: &str| {
            let mark = cells(&json!({ "deleted_at": at })).remove(0);
            Operation::SoftDelete { key: cells(&json!({ "k": "a" })), mark }
        };
        assert_eq!(bench.counts("t", gone("2026-11-21T10:00:00Z")).await, (0, 1, 0));
        assert_eq!(bench.counts("t", gone("2026-11-22T10:00:00Z")).await, (0, 0, 0));
        assert_eq!(bench.rows("t").await, json!([{ "k": "a", "v": "1", "deleted_at": "2026-11-21T10:00:00Z" }]));
        let back = upsert(json!({ "k": "a" }), json!({ "v": "1", "deleted_at": null }));
        assert_eq!(bench.counts("t", back).await, (0, 1, 0));
    }

    async fn a_row_moves_to_its_new_key_once(bench, schema: "create table t (a {key}, b {integer}, v {text}, primary key (a, b))") {
        let rename = |from: &str, to: &str| Operation::Move {
            from: cells(&json!({ "a": from, "b": 1 })),
            to: cells(&json!({ "a": to, "b": 1 })),
        };
        assert_eq!(bench.counts("t", rename("x", "y")).await, (0, 0, 0));
        bench.counts("t", insert(json!({ "a": "x", "b": 1, "v": "old" }))).await;
        assert_eq!(bench.counts("t", rename("x", "y")).await, (0, 1, 0));
        assert_eq!(bench.counts("t", rename("x", "y")).await, (0, 0, 0));
        bench.counts("t", insert(json!({ "a": "x", "b": 1, "v": "again" }))).await;
        assert_eq!(bench.counts("t", rename("x", "y")).await, (0, 0, 1));
        assert_eq!(bench.rows("t").await, json!([{ "a": "y", "b": 1, "v": "old" }]));
    }

    async fn an_older_version_changes_nothing_and_brings_nothing_back(bench, schema:
        "create table t (k {key} primary key, v {text}); create table t_lines (k {key}, line {integer}, primary key (k, line))")
    {
        let write = |value: &str| upsert(json!({ "k": "a" }), json!({ "v": value }));
        let lines = |count: i64| replace(json!({ "k": "a" }), &(0..count).map(|line| (json!({ "line": line }), json!({}))).collect::<Vec<_>>());
        let both = |version: Json, value: &str, count: i64| {
            [versioned("t", write(value), version.clone()), versioned("t_lines", lines(count), version)]
        };
        let applied = bench.apply(&both(json!(9), "nine", 2)).await.unwrap();
        assert!(applied.changes.iter().all(|change| !change.outdated));
        // numbers are compared as numbers
        bench.apply(&both(json!(10), "ten", 3)).await.unwrap();
        let late = bench.apply(&both(json!(9), "late", 1)).await.unwrap();
        assert!(late.changes.iter().all(|change| change.outdated && change.updated + change.deleted + change.inserted == 0));
        bench.apply(&both(json!(10), "ten again", 3)).await.unwrap();
        assert_eq!(bench.rows("t").await, json!([{ "k": "a", "v": "ten again" }]));
        assert_eq!(bench.rows("t_lines").await.as_array().unwrap().len(), 3);
        bench.apply(&[versioned("t", delete(json!({ "k": "a" })), json!(12))]).await.unwrap();
        let late = bench.apply(&[versioned("t", write("eleven"), json!(11))]).await.unwrap();
        assert!(late.changes[0].outdated);
        assert_eq!(bench.rows("t").await, json!([]));
        bench.apply(&[versioned("t", write("thirteen"), json!(13))]).await.unwrap();
        assert_eq!(bench.rows("t").await, json!([{ "k": "a", "v": "thirteen" }]));
        // another key has a version of its own
        bench.apply(&[versioned("t", upsert(json!({ "k": "b" }), json!({})), json!(1))]).await.unwrap();
        assert_eq!(bench.rows("t").await.as_array().unwrap().len(), 2);
    }

    async fn the_children_of_an_outdated_row_are_left_alone_too(bench, schema:
        "create table t (k {key} primary key, v {text}); create table t_lines (k {key}, line {integer}, primary key (k, line))")
    {
        let unit = |version: i64, count: i64| {
            let lines = (0..count).map(|line| (json!({ "line": line }), json!({}))).collect::<Vec<_>>();
            [
                versioned("t", upsert(json!({ "k": "a" }), json!({ "v": version.to_string() })), json!(version)),
                change("t_lines", replace(json!({ "k": "a" }), &lines)),
                change("t_lines", replace(json!({ "k": "b" }), &lines)),
            ]
        };
        bench.apply(&unit(2, 2)).await.unwrap();
        let late = bench.apply(&unit(1, 3)).await.unwrap();
        assert_eq!(late.changes.iter().map(|change| change.outdated).collect::<Vec<_>>(), [true, true, false]);
        let rows = bench.rows("t_lines").await;
        let of = |parent: &str| rows.as_array().unwrap().iter().filter(|row| row["k"] == parent).count();
        assert_eq!((of("a"), of("b")), (2, 3));
    }

    async fn moments_are_versions_in_the_order_of_time(bench, schema: "create table t (k {key} primary key, v {text})") {
        let write = |value: &str| upsert(json!({ "k": "a" }), json!({ "v": value }));
        let newer = ["2026-11-21T09:59:59Z", "2026-11-21T11:00:00+01:00", "2026-11-21T10:00:00.5Z", "2026-11-21T10:00:01Z"];
        for version in newer {
            assert!(!bench.apply(&[versioned("t", write(version), json!(version))]).await.unwrap().changes[0].outdated, "{version}");
        }
        for version in &newer[..3] {
            assert!(bench.apply(&[versioned("t", write("late"), json!(version))]).await.unwrap().changes[0].outdated, "{version}");
        }
    }

    async fn a_column_of_theirs_can_keep_the_version(bench, schema: "create table t (k {key} primary key, v {text}, updated_at {moment})") {
        let write = |value: &str, version: &str| in_column(versioned("t", upsert(json!({ "k": "a" }), json!({ "v": value })), json!(version)));
        bench.apply(&[write("one", "2026-11-21T10:00:00Z")]).await.unwrap();
        bench.apply(&[write("two", "2026-11-21T10:00:00.5Z")]).await.unwrap();
        assert!(bench.apply(&[write("late", "2026-11-21T10:00:00.25Z")]).await.unwrap().changes[0].outdated);
        assert_eq!(bench.rows("t").await, json!([{ "k": "a", "v": "two", "updated_at": "2026-11-21T10:00:00.5Z" }]));
    }
}

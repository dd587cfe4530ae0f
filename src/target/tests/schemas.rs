//! Tables as they are, as they should be, and as they change while we run.

use serde_json::json;

use super::bench::*;
use crate::model::failure::Retry;
use crate::target::compare::compare;
use crate::target::ddl::{ExpectedColumn, ExpectedTable, missing};
use crate::target::dialect::Dialect;
use crate::target::inspect::{ColumnKind, UniqueIndex};

#[tokio::test]
async fn missing_tables_and_columns_are_named_with_what_is_there() {
    let bench = Bench::new("create table jobs (id integer primary key, customer_no text); create table lines (id integer)").await;
    let failure = bench.failure("jobs", insert(json!({ "custmer_no": "1" }))).await;
    assert_passing(&failure, "table `jobs` of database `main` has no column `custmer_no`; it has `customer_no`, `id`");
    let failure = bench.failure("jbos", insert(json!({}))).await;
    assert_passing(&failure, "database `main` has no table `jbos`; it has `jobs`, `lines`");
    let bench = Bench::new("").await;
    assert_passing(
        &bench.failure("jobs", insert(json!({}))).await,
        "database `main` has no table `jobs`; it has no tables at all",
    );
}

#[tokio::test]
async fn a_schema_that_changes_while_we_run_is_picked_up() {
    let bench = Bench::new("create table jobs (id integer primary key, a text, b text)").await;
    let other = bench.another();
    let write = |set| upsert(json!({ "id": 1 }), set);
    assert_eq!(bench.counts("jobs", write(json!({ "a": "1", "b": "1" }))).await, (1, 0, 0));
    let failure = bench.failure("jobs", write(json!({ "c": "1" }))).await;
    assert_eq!(failure.retry, Retry::Later);
    other.run_script("alter table jobs add column c text; alter table jobs drop column b").await.unwrap();
    assert_eq!(bench.counts("jobs", write(json!({ "a": "1", "c": "1" }))).await, (0, 1, 0));
    let failure = bench.failure("jobs", write(json!({ "b": "1" }))).await;
    assert!(failure.reason.contains("has no column `b`"), "{}", failure.reason);
    other.run_script("drop table jobs; create table jobs (id text primary key, a integer)").await.unwrap();
    assert_eq!(bench.counts("jobs", write(json!({ "a": "12" }))).await, (1, 0, 0));
    assert_eq!(bench.rows("jobs").await, json!([{ "id": "1", "a": 12 }]));
}

#[tokio::test]
async fn generated_columns_are_known_and_not_written() {
    let bench =
        Bench::new("create table t (id integer primary key, double integer as (id * 2) stored, triple as (id * 3))").await;
    assert_eq!(bench.counts("t", insert(json!({ "id": 2 }))).await, (1, 0, 0));
    assert_eq!(bench.rows("t").await, json!([{ "id": 2, "double": 4, "triple": 6 }]));
    let failure = bench.failure("t", insert(json!({ "id": 3, "double": 6 }))).await;
    assert_passing(&failure, "column `double` of table `t` of database `main` is computed by the database and cannot be written");
}

#[tokio::test]
async fn tables_are_described_without_ours() {
    let bench = Bench::new(
        "create table \"a b\" (x text not null default 'q', y integer, z unique, primary key (y, x));
         create unique index half on \"a b\" (z) where y > 1;
         create unique index expression on \"a b\" (lower(x));
         create table numbers (id integer primary key autoincrement);",
    )
    .await;
    let tables = bench.database.tables().await.unwrap();
    assert_eq!(tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["a b", "numbers"]);
    assert_eq!(tables[0].primary_key(), ["y", "x"]);
    let column = &tables[0].columns[0];
    assert_eq!((column.kind, column.not_null, column.default.as_deref()), (ColumnKind::Text, true, Some("'q'")));
    let index = |name: &str| tables[0].unique_indexes.iter().find(|index| index.name == name).unwrap();
    assert_eq!(index("primary key").columns, ["y", "x"]);
    assert!(index("unique constraint").whole && !index("half").whole && !index("expression").whole);
    let key = UniqueIndex { name: "primary key".into(), columns: vec!["id".into()], whole: true };
    assert_eq!(tables[1].unique_indexes, [key]);
}

fn expected() -> ExpectedTable {
    let column = |name: &str, kind| ExpectedColumn { name: name.to_owned(), kind, not_null: name == "title" };
    let columns = vec![
        column("tenant", ColumnKind::Text),
        column("order", ColumnKind::Integer),
        column("title", ColumnKind::Text),
        column("price", ColumnKind::Decimal),
        column("barred", ColumnKind::Boolean),
        column("day", ColumnKind::Date),
        column("clock", ColumnKind::Time),
        column("at", ColumnKind::Timestamp),
        column("uuid", ColumnKind::Uuid),
        column("raw", ColumnKind::Json),
        column("bytes", ColumnKind::Bytes),
        column("any", ColumnKind::Unknown),
    ];
    ExpectedTable { name: "main.jobs".to_owned(), columns, key: vec!["tenant".to_owned(), "order".to_owned()] }
}

#[tokio::test]
async fn what_is_created_is_read_back_as_what_was_expected() {
    let bench = Bench::new("").await;
    let expected = [expected()];
    let statements = missing(Dialect::Sqlite, &expected, &[]);
    assert!(statements[0].starts_with("create table \"main\".\"jobs\" (\n  \"tenant\" TEXT not null,\n"), "{}", statements[0]);
    bench.database.run_script(&statements.join("\n")).await.unwrap();
    let live = bench.database.tables().await.unwrap();
    let kinds = live[0].columns.iter().map(|column| column.kind).collect::<Vec<_>>();
    assert_eq!(kinds, expected[0].columns.iter().map(|column| column.kind).collect::<Vec<_>>());
    assert_eq!(missing(Dialect::Sqlite, &expected, &live), Vec::<String>::new());
    assert_eq!(compare(Dialect::Sqlite, &expected, &live), []);
}

#[tokio::test]
async fn missing_columns_are_added_and_nothing_else_is_altered() {
    let bench =
        Bench::new("create table JOBS (tenant text, \"order\" integer, title text, mine text not null, price numeric)").await;
    let live = bench.database.tables().await.unwrap();
    let statements = missing(Dialect::Sqlite, &[expected()], &live);
    assert_eq!(statements[0], "alter table \"main\".\"jobs\" add column \"barred\" BOOLEAN;");
    assert_eq!(statements.len(), 8);
    bench.database.run_script(&statements.join("\n")).await.unwrap();
    let live = bench.database.tables().await.unwrap();
    let said: Vec<_> = compare(Dialect::Sqlite, &[expected()], &live).iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "column `price` of table `main.jobs` is numeric, which would lose digits of decimals; declare it `DECIMAL_TEXT`",
            "no unique index of table `main.jobs` covers exactly the key `tenant`, `order`",
            "column `mine` of table `main.jobs` is NOT NULL without a default, and no write gives it a value",
        ]
    );
}

#[tokio::test]
async fn a_script_may_not_leave_a_transaction_open() {
    let bench = Bench::new("").await;
    assert!(bench.database.run_script("begin; create table t (a)").await.is_err());
    assert_eq!(bench.database.tables().await.unwrap(), []);
}

#[test]
fn a_declared_type_that_only_sounds_like_another_is_read_by_sqlites_rule() {
    let cases = [
        ("POINT", ColumnKind::Integer),
        ("TIMESTAMP_INT", ColumnKind::Integer),
        ("CHARINT", ColumnKind::Integer),
        ("UPDATED", ColumnKind::Numeric),
        ("DATE_TEXT", ColumnKind::Date),
        ("TIMESTAMPTZ", ColumnKind::Timestamp),
        ("NUMERIC_TEXT(20,4)", ColumnKind::Decimal),
        ("BOOL_TEXT", ColumnKind::Text),
        ("JSONB", ColumnKind::Json),
    ];
    for (declared, kind) in cases {
        assert_eq!(Dialect::Sqlite.kind_of(declared), kind, "{declared}");
    }
}

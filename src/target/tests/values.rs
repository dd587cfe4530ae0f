//! What becomes of each JSON value in each kind of column.

use serde_json::Value as Json;

use super::bench::*;
use crate::model::change::ValueType;
use crate::model::change::{Cell, Operation};
use crate::target::write::WriteError;

/// What `column_type` keeps of a JSON text, as SQLite itself says it: its storage class and its text, or the failure.
async fn keep(column_type: &str, value: &str) -> String {
    keep_declared(column_type, value, None).await
}

async fn keep_declared(column_type: &str, value: &str, declared: Option<ValueType>) -> String {
    let bench = Bench::new(&format!("create table t (c {column_type})")).await;
    let value: Json = serde_json::from_str(value).unwrap();
    let cell = Cell { column: "c".into(), value, declared, origin: "$.x".into() };
    match bench.apply(&[change("t", Operation::Insert { set: vec![cell] })]).await {
        Ok(_) => {
            bench
                .database
                .run_script("create table seen as select typeof(c) as kind, cast(c as text) as said from t")
                .await
                .unwrap();
            let seen = bench.rows("seen").await;
            format!("{} {}", seen[0]["kind"].as_str().unwrap(), seen[0]["said"].as_str().unwrap_or("-"))
        }
        Err(WriteError::Failed(failure)) => failure.reason,
        Err(WriteError::LeaseLost) => panic!("no lease is lost"),
    }
}

async fn check(column_type: &str, cases: &[(&str, &str)]) {
    for (value, expected) in cases {
        assert_eq!(keep(column_type, value).await, *expected, "{value} into {column_type}");
    }
}

#[tokio::test]
async fn integers() {
    check(
        "INTEGER",
        &[
            ("9223372036854775807", "integer 9223372036854775807"),
            ("-9223372036854775808", "integer -9223372036854775808"),
            ("9223372036854775808", "column `c` is INTEGER; got 9223372036854775808 from $.x, which is more than 64 bits hold"),
            ("\"20417\"", "integer 20417"),
            ("3.0", "integer 3"),
            ("1e3", "integer 1000"),
            ("0.0", "integer 0"),
            ("true", "integer 1"),
            ("null", "null -"),
            ("3.5", "column `c` is INTEGER; got 3.5 from $.x"),
            ("\"abc\"", "column `c` is INTEGER; got \"abc\" from $.x"),
            ("\"\"", "column `c` is INTEGER; got \"\" from $.x"),
            ("[1]", "column `c` is INTEGER; got [1] from $.x"),
        ],
    )
    .await;
    check("bigint(20)", &[("7", "integer 7")]).await;
}

#[tokio::test]
async fn texts() {
    check(
        "varchar(20)",
        &[
            ("\"æ 'quoted' \\u0000 end\"", "text æ 'quoted' \0 end"),
            ("12345678901234567890.12345678", "text 12345678901234567890.12345678"),
            ("1.50", "text 1.50"),
            ("true", "text true"),
            ("{\"b\": [1, 2.0], \"a\": \"x\"}", "text {\"b\":[1,2.0],\"a\":\"x\"}"),
            ("null", "null -"),
            ("\"\"", "text "),
        ],
    )
    .await;
    assert_eq!(keep_declared("TEXT", "\"a\"", Some(ValueType::Json)).await, "text \"a\"");
}

#[tokio::test]
async fn exact_decimals() {
    check(
        "DECIMAL_TEXT",
        &[
            ("12345678901234567890.12345678", "text 12345678901234567890.12345678"),
            ("\"1234567890123456789012345678\"", "text 1234567890123456789012345678"),
            ("1.50", "text 1.50"),
            ("-0", "text -0"),
            ("\"1,50\"", "column `c` is DECIMAL_TEXT; got \"1,50\" from $.x"),
            ("\" 1\"", "column `c` is DECIMAL_TEXT; got \" 1\" from $.x"),
            ("\"NaN\"", "column `c` is DECIMAL_TEXT; got \"NaN\" from $.x"),
            ("true", "column `c` is DECIMAL_TEXT; got true from $.x"),
        ],
    )
    .await;
}

#[tokio::test]
async fn numeric_columns_refuse_to_lose_digits() {
    let lost =
        "column `c` is NUMERIC(20,2); got 12345678901234567.89 from $.x, which would lose digits; declare it `DECIMAL_TEXT`";
    check(
        "NUMERIC(20,2)",
        &[
            ("12345678901234567.89", lost),
            ("1234567.89", "real 1234567.89"),
            ("\"12.50\"", "real 12.5"),
            ("12.00", "integer 12"),
            ("9007199254740993", "integer 9007199254740993"),
            ("\"abc\"", "column `c` is NUMERIC(20,2); got \"abc\" from $.x"),
            ("0.1", "real 0.1"),
        ],
    )
    .await;
    let hint = "column `c` is STRING; got \"a\" from $.x; SQLite reads that type as NUMERIC, declare it `TEXT`";
    check("STRING", &[("\"a\"", hint)]).await;
    check("REAL", &[("12345678901234567.89", "real 1.23456789012346e+16"), ("1e999", "column `c` is REAL; got 1e+999 from $.x")])
        .await;
    check("double precision", &[("\"2.5\"", "real 2.5"), ("1", "real 1.0")]).await;
}

#[tokio::test]
async fn booleans() {
    let refused = "column `c` is BOOLEAN; got \"yes\" from $.x";
    check(
        "BOOLEAN",
        &[("true", "integer 1"), ("\"False\"", "integer 0"), ("1", "integer 1"), ("0", "integer 0"), ("\"yes\"", refused)],
    )
    .await;
    check("bool", &[("2", "column `c` is bool; got 2 from $.x")]).await;
}

#[tokio::test]
async fn dates_and_times() {
    for column_type in ["DATE", "DATE_TEXT"] {
        let refused = format!("column `c` is {column_type}; got \"2026-11-21T10:00:00Z\" from $.x; a date is `YYYY-MM-DD`");
        check(
            column_type,
            &[
                ("\"2026-11-21\"", "text 2026-11-21"),
                ("\"2026-11-21T00:00:00+01:00\"", "text 2026-11-21"),
                ("\"2026-11-21T10:00:00Z\"", &refused),
            ],
        )
        .await;
    }
    let refused = "column `c` is DATE; got \"2026-02-30\" from $.x; a date is `YYYY-MM-DD`";
    check(
        "DATE",
        &[("\"2026-02-30\"", refused), ("20261121", "column `c` is DATE; got 20261121 from $.x; a date is `YYYY-MM-DD`")],
    )
    .await;
    let more = "; a moment is RFC 3339, other forms need `as: timestamp`";
    for column_type in ["TIMESTAMP", "TIMESTAMP_TEXT", "datetime", "timestamp with time zone"] {
        check(
            column_type,
            &[
                ("\"2026-11-21T10:00:00.250+01:00\"", "text 2026-11-21T09:00:00.25Z"),
                ("\"2026-11-21 10:00:00Z\"", "text 2026-11-21T10:00:00Z"),
                ("\"2026-11-21T10:00:00\"", "text 2026-11-21T10:00:00"),
                ("1795248131", &format!("column `c` is {column_type}; got 1795248131 from $.x{more}")),
                ("\"2026-11-21\"", &format!("column `c` is {column_type}; got \"2026-11-21\" from $.x{more}")),
            ],
        )
        .await;
    }
    let refused = "column `c` is TIME_TEXT; got \"25:00\" from $.x; a time is `HH:MM:SS`";
    check("TIME_TEXT", &[("\"10:15\"", "text 10:15:00"), ("\"10:15:30.5\"", "text 10:15:30.5"), ("\"25:00\"", refused)]).await;
}

#[tokio::test]
async fn uuids_json_and_bytes() {
    let uuid = "text a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    check("UUID", &[("\"A0EEBC999C0B4EF8BB6D6BB9BD380A11\"", uuid), ("\"x\"", "column `c` is UUID; got \"x\" from $.x")]).await;
    check("JSON_TEXT", &[("\"a\"", "text \"a\""), ("{ \"n\": 1.50 }", "text {\"n\":1.50}"), ("1.50", "text 1.50")]).await;
    let lost = "column `c` is JSON; got 12345678901234567.89 from $.x, which would lose digits; declare it `DECIMAL_TEXT`";
    check("JSON", &[("[1]", "text [1]"), ("1.5", "real 1.5"), ("12345678901234567.89", lost)]).await;
    for column_type in ["", "BLOB"] {
        check(
            column_type,
            &[
                ("7", "integer 7"),
                ("1.50", "text 1.50"),
                ("18446744073709551616", "text 18446744073709551616"),
                ("\"a\"", "text a"),
                ("[1]", "text [1]"),
                ("true", "integer 1"),
            ],
        )
        .await;
    }
    assert_eq!(keep_declared("BLOB", "\"aGk=\"", Some(ValueType::Bytes)).await, "blob hi");
    let refused = "column `c` is of no type; got \"?\" from $.x; `as: bytes` needs base64";
    assert_eq!(keep_declared("", "\"?\"", Some(ValueType::Bytes)).await, refused);
}

#[tokio::test]
async fn a_long_value_is_shown_shortened() {
    let value = Json::String("ø".repeat(200)).to_string();
    let shown = format!("column `c` is INTEGER; got \"{}… from $.x", "ø".repeat(59));
    assert_eq!(keep("INTEGER", &value).await, shown);
}

#[tokio::test]
async fn numbers_of_absurd_size_are_refused_at_once() {
    let failure = keep("INTEGER", "1e2147483647").await;
    assert!(failure.starts_with("column `c` is INTEGER; got 1e"), "{failure}");
    assert!(failure.ends_with("more than 64 bits hold"), "{failure}");
}

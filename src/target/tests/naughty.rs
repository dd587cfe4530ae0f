//! Texts that have broken programs before, as values and as the names of tables and columns: those of the Big List of Naughty Strings, which
//! is not ours and not kept here (`scripts/test` fetches it, or `HOOKTABLE_BLNS` says where a `blns.json` is), and some of our own.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::bench::*;
use super::engines::{fresh, on_each_engine};
use crate::target::dialect::Dialect;

/// Those of our own.
const NAUGHTY: &[&str] = &[
    "",
    " ",
    "  two  ",
    "trailing ",
    "\t\r\n",
    "NULL",
    "null",
    "undefined",
    "true",
    "0",
    "-0",
    "1e3",
    "0x1f",
    "NaN",
    "Infinity",
    "'",
    "''",
    "\"",
    "`",
    "\\",
    "\\\\",
    "\\'",
    "%",
    "_",
    "$1",
    "?1",
    "?",
    ":name",
    "{{ x }}",
    "${x}",
    "';drop table t;--",
    "1;select 1",
    "/* */",
    "--",
    "]]>",
    "ᚠᛇᚻ",
    "ﷺ",
    "Ω≈ç√∫",
    "田中さん",
    "👩‍👩‍👧‍👦",
    "🏳️‍🌈",
    "e\u{301}",
    "é",
    "İ",
    "ß",
    "ﬁ",
    "\u{feff}bom",
    "a\u{200b}b",
    "\u{202e}rtl",
    "\u{1}\u{7f}",
    "\u{10ffff}",
    "z\u{336}a\u{336}",
    "C:\\new\\table",
    "{\"a\":1}",
    "[1,2]",
    "\\x41",
    "E'\\n'",
    "a.b.c",
    "select",
    "äöüÄÖÜ",
];

/// Names that mean something to one of the engines.
const NAMES: &[&str] = &["a b", "a\"b", "a'b", "x;--", "Order", "a`b", "%s", "[x]", "group", "hooktable"];

/// What a key of the suite holds on every engine, in characters.
const LONGEST_KEY: usize = 190;

fn the_list() -> Vec<String> {
    let asked = std::env::var_os("HOOKTABLE_BLNS").map(PathBuf::from);
    let path = asked.clone().unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/blns.json"));
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).unwrap(),
        Err(error) => {
            assert!(asked.is_none(), "HOOKTABLE_BLNS names {}: {error}", path.display());
            eprintln!("only some: the Big List of Naughty Strings is not at {}", path.display());
            Vec::new()
        }
    }
}

/// Ours, and of the list every one or only some, each once.
fn texts(own: &[&str], every: usize) -> Vec<String> {
    let mut texts: Vec<String> = own.iter().map(|text| (*text).to_owned()).chain(the_list().into_iter().step_by(every)).collect();
    texts.sort();
    texts.dedup();
    texts
}

/// Whether a name of a column can be one of a table too: a point stands behind a schema's name, and MySQL's tables are files, in whose
/// names a letter may take five bytes.
fn can_be_a_table(dialect: Dialect, text: &str) -> bool {
    let bytes: usize = text.chars().map(|letter| if letter.is_ascii_alphanumeric() { 1 } else { 5 }).sum();
    !text.contains('.') && (dialect != Dialect::Mysql || bytes <= 240)
}

/// Whether an engine takes it as the name of a column.
fn can_be_a_name(dialect: Dialect, text: &str) -> bool {
    let is_short = match dialect {
        Dialect::Sqlite => true,
        Dialect::Postgres => text.len() <= 63,
        Dialect::Mysql => text.chars().count() <= 64,
    };
    let is_spelled = match dialect {
        Dialect::Sqlite => !text.to_ascii_lowercase().starts_with("sqlite_"),
        Dialect::Postgres => true,
        // nothing beyond the basic plane, and no white space at the end
        Dialect::Mysql => text.chars().all(|letter| letter <= '\u{ffff}') && !text.ends_with(char::is_whitespace),
    };
    !text.is_empty() && !text.contains('\0') && is_short && is_spelled
}

on_each_engine! {
    async fn naughty_strings_are_values_like_others(bench, schema:
        "create table t (id {integer} primary key, k {key} unique, v {text}, j {json})")
    {
        let texts = texts(NAUGHTY, 1);
        for (id, text) in texts.iter().enumerate() {
            let key = (text.chars().count() <= LONGEST_KEY).then_some(text);
            let set = || json!({ "k": key, "v": text, "j": { text.as_str(): [text] } });
            assert_eq!(bench.counts("t", upsert(json!({ "id": id }), set())).await, (1, 0, 0), "{text:?}");
            assert_eq!(bench.counts("t", upsert(json!({ "id": id }), set())).await, (0, 0, 0), "{text:?}");
        }
        let rows = bench.rows("t").await;
        assert_eq!(rows.as_array().unwrap().len(), texts.len());
        for (row, text) in rows.as_array().unwrap().iter().zip(&texts) {
            let json: Json = serde_json::from_str(row["j"].as_str().unwrap()).unwrap();
            assert_eq!((row["v"].as_str(), json), (Some(text.as_str()), json!({ text.as_str(): [text] })));
            if let Some(key) = row["k"].as_str() {
                assert_eq!(key, text);
                assert_eq!(bench.counts("t", delete(json!({ "k": key }))).await, (0, 0, 1), "{text:?}");
            }
        }
    }

    async fn naughty_strings_are_names_of_tables_and_columns_like_others(bench, schema: "") {
        let dialect = bench.database.dialect();
        // servers take their time to make a table
        let every = if dialect == Dialect::Sqlite { 1 } else { 5 };
        let mut count = 0;
        for text in texts(&[NAUGHTY, NAMES].concat(), every).iter().filter(|text| can_be_a_name(dialect, text)) {
            let (column, table) = (text.as_str(), if can_be_a_table(dialect, text) { text.as_str() } else { "t" });
            let (quoted, key) = (dialect.quote(table), if dialect == Dialect::Mysql { "varchar(20)" } else { "text" });
            let create = format!("create table {quoted} ({} {key} primary key, other_v integer)", dialect.quote(column));
            bench.database.run_script(&create).await.unwrap_or_else(|failure| panic!("{text:?}: {failure}"));
            let write = |value: i64| upsert(json!({ column: "k" }), json!({ "other_v": value }));
            assert_eq!(bench.counts(table, write(1)).await, (1, 0, 0), "{text:?}");
            assert_eq!(bench.counts(table, write(2)).await, (0, 1, 0), "{text:?}");
            assert_eq!(bench.rows(table).await, json!([{ column: "k", "other_v": 2 }]), "{text:?}");
            let rows = [(json!({ "other_v": 70 }), json!({}))];
            assert_eq!(bench.counts(table, replace(json!({ column: "k" }), &rows)).await, (1, 0, 1), "{text:?}");
            assert_eq!(bench.counts(table, delete(json!({ column: "k" }))).await, (0, 0, 1), "{text:?}");
            bench.database.run_script(&format!("drop table {quoted}")).await.unwrap();
            count += 1;
        }
        assert!(count > 50, "{count}");
    }
}

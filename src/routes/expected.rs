//! What the writes of routes expect of the tables they go to: tables, columns, keys and, as far as declarations and samples tell,
//! types. The text that makes such tables is `target::ddl`'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::compile::World;
use super::samples::{self, Samples, find_in};
use super::source::Source;
use crate::expr::convert::{Reading, convert};
use crate::expr::template::Context;
use crate::expr::typed::Typed;
use crate::expr::value::Value;
use crate::model::change::ValueType;
use crate::model::event::EventDocument;
use crate::steps::admission::Route;
use crate::steps::map::{Column, Write};
use crate::steps::write_options::Verb;
use crate::target::ddl::{ExpectedColumn, ExpectedTable};
use crate::target::inspect::ColumnKind;

/// The tables that all writes of some sources expect, by the name of their database, in the order of the files.
pub fn expected_tables(sources: &[Arc<Source>], world: World<'_>) -> BTreeMap<String, Vec<ExpectedTable>> {
    let mut databases: BTreeMap<String, Vec<ExpectedTable>> = BTreeMap::new();
    for (write, table) in sources.iter().flat_map(|source| expected_writes(source, world)) {
        add(databases.entry(write.database.clone()).or_default(), table);
    }
    databases
}

/// What each write of a source expects of its table by itself.
pub fn expected_writes<'s>(source: &'s Source, world: World<'_>) -> Vec<(&'s Write, ExpectedTable)> {
    let tests = samples::tests_beside(source, world);
    let mut expected = Vec::new();
    for route in &source.admission.routes {
        let mut samples = samples::of_route(source, route, &tests, world);
        let kinds = extracted(source, route, &mut samples);
        expected.extend(route.pipeline.writes.iter().map(|write| (write, table_of(write, &kinds, &samples))));
    }
    expected
}

/// The kinds of a route's extracted names; what they are in the samples is added to these.
fn extracted(source: &Source, route: &Route, samples: &mut Samples) -> BTreeMap<String, ColumnKind> {
    let mut kinds = BTreeMap::new();
    for (name, typed) in source.admission.extract.names().chain(route.extract.names()) {
        kinds.insert(name.clone(), kind_of(typed, &kinds, samples));
        let values = values_of(&typed.value, samples);
        samples.insert(name.clone(), values);
    }
    kinds
}

fn table_of(write: &Write, kinds: &BTreeMap<String, ColumnKind>, samples: &Samples) -> ExpectedTable {
    let mut within = samples.clone();
    if let Some((name, list)) = &write.each {
        let lists = values_of(list, samples).into_iter();
        let items = lists.filter_map(|list| if let Json::Array(items) = list { Some(items) } else { None }).flatten();
        within.insert(name.clone(), items.collect());
    }
    let tenant =
        write.tenant_column.iter().map(|name| ExpectedColumn { name: name.clone(), kind: ColumnKind::Text, not_null: true });
    let column = |column: &Column, not_null: bool| ExpectedColumn {
        name: column.name.clone(),
        kind: kind_of(&column.value, kinds, &within),
        not_null,
    };
    let found_by = write.of.iter().chain(&write.key).map(|one| column(one, true));
    let key_columns: Vec<ExpectedColumn> = tenant.chain(found_by).collect();
    let key = match write.verb {
        Verb::Insert | Verb::Update | Verb::Delete => Vec::new(),
        Verb::Upsert | Verb::Replace => key_columns.iter().map(|column| column.name.clone()).collect(),
    };
    let soft = write.soft.iter().map(|name| ExpectedColumn { name: name.clone(), kind: ColumnKind::Timestamp, not_null: false });
    let columns = key_columns.into_iter().chain(write.set.iter().map(|one| column(one, false))).chain(soft);
    let mut columns: Vec<ExpectedColumn> = columns.collect();
    if let Some(version) = write.version.as_ref().filter(|_| !matches!(write.verb, Verb::Insert | Verb::Replace)) {
        let kind = version.typed().map_or(ColumnKind::Timestamp, |typed| kind_of(typed, kinds, &within));
        let kept = version.column.iter().map(|name| ExpectedColumn { name: name.value.clone(), kind, not_null: false });
        let kept: Vec<_> = kept.filter(|kept| !columns.iter().any(|known| known.name.eq_ignore_ascii_case(&kept.name))).collect();
        columns.extend(kept);
    }
    ExpectedTable { name: write.table.value.clone(), columns, key }
}

/// Adds what one write expects to what the others do. The first write that finds rows says how they are found.
fn add(tables: &mut Vec<ExpectedTable>, table: ExpectedTable) {
    let Some(known) = tables.iter_mut().find(|known| known.name.eq_ignore_ascii_case(&table.name)) else {
        tables.push(table);
        return;
    };
    if known.key.is_empty() && !table.key.is_empty() {
        let earlier = std::mem::replace(known, table);
        add_columns(known, earlier.columns);
    } else {
        add_columns(known, table.columns);
    }
}

fn add_columns(table: &mut ExpectedTable, columns: Vec<ExpectedColumn>) {
    for column in columns {
        match table.columns.iter_mut().find(|known| known.name.eq_ignore_ascii_case(&column.name)) {
            Some(known) => known.kind = either(known.kind, column.kind),
            // a row that another write makes has no value here
            None => table.columns.push(ExpectedColumn { not_null: false, ..column }),
        }
    }
}

/// What a value is: as declared, as its name under `extract` is, or as it is in the samples.
fn kind_of(typed: &Typed, extracted: &BTreeMap<String, ColumnKind>, samples: &Samples) -> ColumnKind {
    if let Some(declared) = typed.declared {
        return declared.into();
    }
    if let Some(path) = typed.value.as_path() {
        let (first, _) = path.first_name();
        let bare = path.segments().is_some_and(<[_]>::is_empty);
        let known = match first {
            "received_at" => Some(ColumnKind::Timestamp),
            "attempt" | "index" | "position" => Some(ColumnKind::Integer),
            "method" | "path" | "raw" | "source" | "delivery" | "tenant" | "event" => Some(ColumnKind::Text),
            "query" | "headers" | "params" if !bare && !path.gives_list() => Some(ColumnKind::Text),
            "body" | "query" | "headers" | "params" | "query_all" | "headers_all" if bare => Some(ColumnKind::Json),
            name => extracted.get(name).copied().filter(|_| bare),
        };
        if let Some(kind) = known {
            return kind;
        }
    }
    let values = values_of(&typed.value, samples);
    values.iter().map(kind_of_value).fold(ColumnKind::Unknown, either)
}

/// What a value is in all samples. A template sees the first sample of every name together, then the second ones, and so on.
fn values_of(value: &Value, samples: &Samples) -> Vec<Json> {
    match value {
        Value::Literal(literal) => vec![literal.clone()],
        Value::Path(path) => {
            let (first, _) = path.first_name();
            samples.get(first).into_iter().flatten().filter_map(|sample| find_in(path, first, sample)).collect()
        }
        Value::Template(_) | Value::List(_) | Value::Map(_) => {
            let most = samples.values().map(Vec::len).max().unwrap_or(0);
            let documents = (0..most).map(|index| {
                let mut document = EventDocument::default();
                for (name, values) in samples.iter().filter(|(_, values)| !values.is_empty()) {
                    document.set(name, values[index % values.len()].clone());
                }
                document
            });
            documents.filter_map(|document| value.evaluate(Context::from(&document)).ok().flatten()).collect()
        }
    }
}

fn kind_of_value(value: &Json) -> ColumnKind {
    let is = |declared: ValueType| convert(value, declared, &Reading::default()).is_ok();
    match value {
        Json::Null => ColumnKind::Unknown,
        Json::Bool(_) => ColumnKind::Boolean,
        Json::Number(number) if number.to_string().contains(['.', 'e', 'E']) => ColumnKind::Decimal,
        Json::Number(_) => ColumnKind::Integer,
        Json::String(text) if text.len() == 10 && is(ValueType::Date) => ColumnKind::Date,
        Json::String(_) if is(ValueType::Timestamp) => ColumnKind::Timestamp,
        Json::String(_) => ColumnKind::Text,
        Json::Array(_) | Json::Object(_) => ColumnKind::Json,
    }
}

/// The kind that takes both.
fn either(left: ColumnKind, right: ColumnKind) -> ColumnKind {
    match (left, right) {
        (left, right) if left == right => left,
        (ColumnKind::Unknown, other) | (other, ColumnKind::Unknown) => other,
        (ColumnKind::Integer, ColumnKind::Decimal) | (ColumnKind::Decimal, ColumnKind::Integer) => ColumnKind::Decimal,
        (ColumnKind::Json, _) | (_, ColumnKind::Json) => ColumnKind::Json,
        _ => ColumnKind::Text,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::load::tests::{SourceFiles, with_world};
    use super::*;
    use crate::target::ddl::create_table;
    use crate::target::dialect::Dialect;

    /// The statements for the tables of some files; `files` are what belongs to them.
    fn statements(routes: &[(&str, &str)], files: &[(&str, &str)]) -> String {
        made(routes, &|path| {
            let found = files.iter().find(|(known, _)| *known == path);
            found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| "is not there".to_owned())
        })
    }

    fn made(routes: &[(&str, &str)], files: &SourceFiles<'_>) -> String {
        with_world(files, |world| {
            let loaded = super::super::load::load(&super::super::load::tests::texts(routes), world, &[]);
            assert!(!loaded.diagnostics.has_errors(), "{:?}", loaded.diagnostics.all());
            let sources: Vec<_> = loaded.files.into_iter().filter_map(|file| file.source).collect();
            let databases = expected_tables(&sources, world);
            let tables: Vec<_> = databases["main"].iter().map(|table| create_table(Dialect::Sqlite, table)).collect();
            tables.join("\n")
        })
    }

    #[test]
    fn the_shipped_file_makes_jobs_and_their_lines() {
        let root = env!("CARGO_MANIFEST_DIR");
        let text = fs::read_to_string(format!("{root}/routes.d/economic.yaml")).expect("the shipped file");
        let files = |path: &str| fs::read_to_string(format!("{root}/{path}")).map_err(|_| "is not there".to_owned());
        let made = made(&[("routes.d/economic.yaml", &text)], &files);
        let jobs = r#"create table "jobs" (
  "tenant" TEXT not null,
  "system" TEXT not null,
  "job_no" INTEGER not null,
  "description" TEXT,
  "customer_no" TEXT,
  "project_no" TEXT,
  "reference" TEXT,
  "status" TEXT,
  "currency" TEXT,
  "net_amount" DECIMAL_TEXT,
  "vat_amount" DECIMAL_TEXT,
  "order_date" DATE_TEXT,
  "delivery_date" DATE_TEXT,
  "delivery_address" TEXT,
  "delivery_zip" TEXT,
  "delivery_city" TEXT,
  primary key ("tenant", "system", "job_no")
);
create table "job_lines" (
  "tenant" TEXT not null,
  "system" TEXT not null,
  "job_no" INTEGER not null,
  "line_no" INTEGER not null,
  "product_no" TEXT,
  "unit" TEXT,
  "net_price" DECIMAL_TEXT,
  "net_amount" DECIMAL_TEXT,
  "description" TEXT,
  "quantity" DECIMAL_TEXT,
  primary key ("tenant", "system", "job_no", "line_no")
);"#;
        assert!(made.starts_with(jobs), "{made}");
    }

    #[test]
    fn all_writes_to_a_table_are_one_table() {
        let text = r#"
auth: { none: a test }
event: $.body.event
extract: { id: { from: $.body.id, as: uuid } }
routes:
  - { event: seen, write: { insert: things, set: { seen: $.received_at, size: $.body.size, by: $.query.by } } }
  - { event: made, write: { upsert: Things, key: { id: $.id }, set: { size: $.body.size, note: $.body.note, all: $.body } } }
  - { event: test, ignore: no work }
"#;
        let tests = r#"
tests:
  - { name: a, send: { json: { size: 1, note: "2026-11-21" } }, expect: { state: done } }
  - { name: b, send: { json: { size: 1.5, note: soon } }, expect: { state: done } }
  - { name: c, send: { json: { size: large } }, expect: { state: dead } }
"#;
        assert_eq!(
            statements(&[("r/a.yaml", text)], &[("r/a.test.yaml", tests)]),
            r#"create table "Things" (
  "id" UUID_TEXT not null,
  "size" DECIMAL_TEXT,
  "note" TEXT,
  "all" JSON_TEXT,
  "seen" TIMESTAMP_TEXT,
  "by" TEXT,
  primary key ("id")
);"#
        );
    }

    #[test]
    fn a_version_that_a_column_keeps_is_one_of_the_tables_columns() {
        let write = |version: &str| {
            format!(
                "auth: {{ none: a test }}\napis: {{ a: {{ base: \"https://a.example\" }} }}\nenrich: {{ x: /x }}\n\
                 write: {{ upsert: t, key: {{ id: {{ from: $.body.id, as: integer }} }}, set: {{ a: {{ from: $.x.a, as: date }} }}, version: {version} }}\n"
            )
        };
        for (version, expected) in [
            ("{ from: $.body.at, column: at, as: timestamp }", "  \"at\" TIMESTAMP_TEXT,\n"),
            ("{ from: fetched, column: at }", "  \"at\" TIMESTAMP_TEXT,\n"),
            ("{ from: $.body.n, column: n, as: integer }", "  \"n\" INTEGER,\n"),
            ("{ from: $.x.a, as: date, column: a }", ""),
            ("$.body.at", ""),
        ] {
            assert_eq!(
                statements(&[("r/a.yaml", &write(version))], &[]),
                format!(
                    "create table \"t\" (\n  \"id\" INTEGER not null,\n  \"a\" DATE_TEXT,\n{expected}  primary key (\"id\")\n);"
                ),
                "{version}"
            );
        }
    }

    #[test]
    fn a_table_that_is_only_inserted_into_has_no_key() {
        let text = "auth: { api_key: $.query.key }\nwrite: { insert: log, set: { what: \"{{ body.a }}\", where: $.body.b } }\n";
        assert_eq!(
            statements(&[("r/a.yaml", text)], &[]),
            "create table \"log\" (\n  \"tenant\" TEXT not null,\n  \"what\",\n  \"where\"\n);"
        );
    }
}

//! `write:` compiled. What it makes of a document is `mapping`'s, which adds the tenant column to every operation.

use serde_json::Value as Json;

use super::mapping::Mapping;
use super::version::{VersionOptions, WriteVersion};
use super::write_options::{Missing, Verb, WriteOptions};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{Named, report_expected_hint, report_unknown};
use crate::config::source::{Span, Spanned};
use crate::config::yaml::{Content, Node};
use crate::expr::jsonpath::Path;
use crate::expr::reads::Reads;
use crate::expr::template::{Context, Engine};
use crate::expr::typed::{LongForm, Typed};
use crate::expr::value::{Compiler, Condition, Value};
use crate::model::change::Change;
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};

/// A database that writes can go to.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Its name.
    pub name: String,
    /// The column that carries the tenant there.
    pub tenant_column: String,
}

/// A compiled write.
#[derive(Clone, Debug)]
pub struct Write {
    /// What it does.
    pub verb: Verb,
    /// The table as written.
    pub table: Spanned<String>,
    /// The named database.
    pub database: String,
    /// The column that carries the tenant; `None` when rows are shared or the source has no tenant.
    pub tenant_column: Option<String>,
    /// The columns that find the row.
    pub key: Vec<Column>,
    /// The columns of the key that had another value before, with that.
    pub was: Vec<Column>,
    /// Which of two states is the newer one.
    pub version: Option<WriteVersion>,
    /// The column that marks rows which would go.
    pub soft: Option<String>,
    /// The columns that say whose rows they are.
    pub of: Vec<Column>,
    /// The others.
    pub set: Vec<Column>,
    /// The name of an item, and the list.
    pub each: Option<(String, Value)>,
    /// What must hold for it to be done.
    pub when: Option<Condition>,
    /// Whether `when` looks at an answer: there is none when the thing is gone.
    when_reads_answers: bool,
    /// What a missing value does.
    pub(super) missing: Missing,
    /// Where it stands, for messages.
    pub(super) place: String,
}

/// A column and its value.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Typed,
    /// Where the column's name stands.
    pub span: Span,
    /// The calls whose answers its value looks at.
    pub(super) answers: Vec<String>,
}

/// What compiling a write needs besides a compiler.
pub struct Surroundings<'a> {
    /// The databases there are.
    pub destinations: &'a [Destination],
    /// Whether the source has a tenant.
    pub has_tenant: bool,
    /// The names of the route's calls.
    pub answers: &'a [&'a str],
    /// The route's version, for writes that have none of their own.
    pub version: Option<&'a VersionOptions>,
}

impl Surroundings<'_> {
    fn column(&self, name: &Spanned<String>, value: Typed, engine: &Engine) -> Column {
        let mut reads = Reads::default();
        value.add_reads(engine, &mut reads);
        let answers = self.answers.iter().filter(|answer| reads.reads_name(answer)).map(|answer| (*answer).to_owned()).collect();
        Column { name: name.value.clone(), value, span: name.span, answers }
    }
}

/// Compiles one.
pub fn compile(
    options: &WriteOptions,
    place: String,
    surroundings: &Surroundings<'_>,
    compiler: &Compiler<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Write> {
    let (verb, table) = options.verb(diagnostics)?;
    options.check(verb, table, diagnostics);
    let destination = destination(options, surroundings, diagnostics);
    let each = options.each.entries.first().map(|(name, node)| (name, compile_list(node, compiler, diagnostics)));
    let item_scope = match &each {
        Some((name, _)) => &compiler.scope.with([name.value.as_str(), "position"]),
        None => compiler.scope,
    };
    let items = Compiler { engine: compiler.engine, scope: item_scope };
    for (_, node) in [&options.key, &options.was, &options.of].into_iter().flat_map(|named| &named.entries) {
        refuse_object(node, diagnostics);
    }
    let key = columns(&options.key, surroundings, &items, diagnostics);
    let was = columns(&options.was, surroundings, &items, diagnostics);
    let of = columns(&options.of, surroundings, compiler, diagnostics);
    let set = columns(&options.set, surroundings, &items, diagnostics);
    let copied = copied(&options.copy, surroundings, &items, diagnostics);
    let when = options.when.as_ref().map(|node| Condition::compile(node, compiler, diagnostics));
    let version = options.version.as_ref().or(surroundings.version.filter(|_| verb != Verb::Insert));
    // the version of a list is that of its parent
    let around = if verb == Verb::Replace { compiler } else { &items };
    let version = version.map(|version| WriteVersion::compile(version, around, diagnostics));
    let destination = destination?;
    let tenant_column = (surroundings.has_tenant && options.shared != Some(true)).then(|| destination.tenant_column.clone());
    let (key, was, of, mut set) = (key?, was?, of?, set?);
    let mut version = version.map_or(Some(None), |version| version.map(Some))?;
    set.extend(copied?);
    let written = [&key, &of, &set].into_iter().flatten().map(|column| (column.name.as_str(), column.span));
    let kept = version.iter().filter_map(|version| version.column.as_ref()).chain(&options.soft);
    let written = written.chain(kept.map(|column| (column.value.as_str(), column.span)));
    refuse_tenant_column(tenant_column.as_deref(), written, diagnostics);
    let when = when.map_or(Some(None), |when| when.map(Some))?;
    let each = each.map_or(Some(None), |(name, list)| list.map(|list| Some((name.value.clone(), list))))?;
    let mut reads = Reads::default();
    when.iter().for_each(|when| when.add_reads(compiler.engine, &mut reads));
    let when_reads_answers = surroundings.answers.iter().any(|name| reads.reads_name(name));
    each.iter().for_each(|(_, list)| list.add_reads(compiler.engine, &mut reads));
    if let Some(version) = &mut version {
        let columns = || [&key, &was, &of, &set].into_iter().flatten();
        let read =
            |call: &&&str| reads.reads_name(call) || columns().any(|column| column.answers.iter().any(|name| name == **call));
        let calls = surroundings.answers.iter().filter(read).map(|call| (*call).to_owned()).collect();
        version.set_calls(calls, verb == Verb::Delete, table.span, diagnostics);
    }
    Some(Write {
        verb,
        table: table.clone(),
        database: destination.name.clone(),
        tenant_column,
        key,
        was,
        version,
        soft: options.soft.as_ref().map(|soft| soft.value.clone()),
        of,
        set,
        each,
        when,
        when_reads_answers,
        missing: options.missing.unwrap_or_default(),
        place,
    })
}

fn columns(
    named: &Named<Node>,
    surroundings: &Surroundings<'_>,
    compiler: &Compiler<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Column>> {
    let compiled = named.entries.iter().map(|(name, node)| {
        Typed::compile(node, compiler, diagnostics).map(|value| surroundings.column(name, value, compiler.engine))
    });
    compiled.collect::<Vec<_>>().into_iter().collect()
}

fn compile_list(node: &Node, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Value> {
    let list = Value::compile(node, compiler, diagnostics)?;
    if matches!(list, Value::Literal(_) | Value::Map(_)) {
        report_expected_hint("a list, most often a path to one", node, "such as `each: { line: $.body.lines }`", diagnostics);
        return None;
    }
    Some(list)
}

/// A row is found by texts and numbers; an object there is most often the long form with a slip in it.
fn refuse_object(node: &Node, diagnostics: &mut Diagnostics) {
    match &node.content {
        Content::Map(entries) if node.get("from").is_none() => {
            let known = LongForm::OPTIONS.iter().map(|option| option.name);
            match entries.iter().find(|entry| !known.clone().any(|known| known == entry.name.value)) {
                Some(unknown) => report_unknown(&unknown.name, known, diagnostics),
                None => report_expected_hint(
                    "`from` in the long form",
                    node,
                    "such as `{ from: $.body.id, as: integer }`",
                    diagnostics,
                ),
            }
        }
        Content::List(_) => report_expected_hint("a value that a row is found by", node, "such as `$.body.id`", diagnostics),
        _ => {}
    }
}

fn destination<'a>(
    options: &WriteOptions,
    surroundings: &Surroundings<'a>,
    diagnostics: &mut Diagnostics,
) -> Option<&'a Destination> {
    let name = options.into.as_ref().map_or("main", |into| into.value.as_str());
    let found = surroundings.destinations.iter().find(|destination| destination.name == name);
    if found.is_none() {
        let span = options.into.as_ref().map_or(options.head, |into| into.span);
        let known = surroundings.destinations.iter().map(|destination| destination.name.as_str());
        let diagnostic =
            Diagnostic::error("unknown-database", span, format!("there is no database `{name}`")).did_you_mean(name, known, span);
        diagnostics.report(if diagnostic.hint.is_some() {
            diagnostic
        } else {
            diagnostic.hint("databases are named in `hooktable.yaml`")
        });
    }
    found
}

fn copied(
    copy: &Named<Vec<Spanned<String>>>,
    surroundings: &Surroundings<'_>,
    compiler: &Compiler<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Column>> {
    let mut columns = Vec::new();
    for (name, fields) in &copy.entries {
        compiler.scope.check_name(&name.value, name.span, diagnostics);
        for field in fields {
            match Path::compile(&format!("$.{}", name.value)).map(|path| path.field(&field.value)) {
                Ok(path) => {
                    columns.push(surroundings.column(field, Typed::of(Value::Path(path), field.span), compiler.engine));
                }
                // the name was reported where it is made
                Err(_) => return None,
            }
        }
    }
    Some(columns)
}

fn refuse_tenant_column<'c>(
    tenant_column: Option<&str>,
    mut columns: impl Iterator<Item = (&'c str, Span)>,
    diagnostics: &mut Diagnostics,
) {
    let own = columns.find(|(name, _)| tenant_column.is_some_and(|tenant| name.eq_ignore_ascii_case(tenant)));
    if let Some((name, span)) = own {
        let message = format!("`{name}` is the tenant column; every row gets it without being told");
        diagnostics.report(
            Diagnostic::error("tenant-column", span, message)
                .hint("remove it, or say `shared: true` if these rows belong to no tenant"),
        );
    }
}

impl Write {
    /// Adds the places it looks at; what it names itself is none.
    pub fn add_reads(&self, engine: &Engine, reads: &mut Reads) {
        self.columns().for_each(|column| column.value.add_reads(engine, reads));
        self.when.iter().for_each(|when| when.add_reads(engine, reads));
        self.each.iter().for_each(|(_, list)| list.add_reads(engine, reads));
        self.version.iter().for_each(|version| version.add_reads(engine, reads));
    }

    /// All columns but the tenant's.
    pub fn columns(&self) -> impl Iterator<Item = &Column> {
        self.of.iter().chain(&self.key).chain(&self.was).chain(&self.set)
    }

    /// The row operations for a document.
    pub fn changes(&self, document: &mut EventDocument, gone: bool, tenant: Option<&str>) -> Result<Vec<Change>, Failure> {
        let skipped_condition = gone && self.when_reads_answers;
        if let Some(when) = self.when.as_ref().filter(|_| !skipped_condition)
            && !when.holds(Context::from(&*document)).map_err(|error| self.failure("when", &error.0))?
        {
            return Ok(Vec::new());
        }
        let received_at = document.get("received_at").map_or(Json::Null, |at| Json::clone(at));
        let mapping = Mapping { write: self, tenant, received_at };
        let operations = if gone { mapping.gone(document)? } else { mapping.present(document)? };
        let change = |(operation, version)| Change {
            database: self.database.clone(),
            table: self.table.value.clone(),
            place: self.place.clone(),
            operation,
            version,
        };
        Ok(operations.into_iter().map(change).collect())
    }

    /// A failure of this write.
    pub(super) fn failure(&self, what: &str, reason: &str) -> Failure {
        Failure::permanent(Step::Map, format!("{} `{}`, `{what}`: {reason}", self.place, self.table.value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::mapping::{Item, origin};
    use super::*;
    use crate::config::options::FromYaml;
    use crate::config::source::Sources;
    use crate::config::yaml::parse;
    use crate::expr::scope::Scope;
    use crate::model::change::{Cell, Operation};

    /// What a write makes of a document in which `order` is the answer of a call.
    struct Case {
        has_tenant: bool,
        tenant: Option<&'static str>,
        gone: bool,
        order: Option<Json>,
    }

    const ACME: Case = Case { has_tenant: true, tenant: Some("acme"), gone: false, order: None };

    impl Case {
        fn order(order: Json) -> Self {
            Self { order: Some(order), ..ACME }
        }

        /// The operations in words, or the failure's.
        fn run(&self, written: &str) -> String {
            let mut sources = Sources::default();
            let file = sources.add("a.yaml", written);
            let mut diagnostics = Diagnostics::default();
            let node = parse(&sources, file, &mut diagnostics).expect("yaml");
            let options = WriteOptions::from_yaml(&node, &mut diagnostics).expect("options");
            let destinations = [Destination { name: "main".to_owned(), tenant_column: "tenant".to_owned() }];
            let surroundings = Surroundings {
                destinations: &destinations,
                has_tenant: self.has_tenant,
                answers: &["order", "customer"],
                version: None,
            };
            let scope = Scope::new(["body", "number", "order", "customer", "tenant"], "a column");
            let compiler = Compiler { engine: &Engine::default(), scope: &scope };
            let write = compile(&options, "write[0]".to_owned(), &surroundings, &compiler, &mut diagnostics);
            assert_eq!(diagnostics.all(), [], "{written}");
            let mut document = EventDocument::default();
            document.set("number", json!(7));
            document.set("received_at", json!("2026-11-21T10:00:00Z"));
            document.set("body", json!({ "null": null, "list": [], "id": 1 }));
            if let Some(order) = &self.order {
                document.set("order", order.clone());
            }
            match write.expect("compiles").changes(&mut document, self.gone, self.tenant) {
                Ok(changes) => changes.iter().map(|change| shown(&change.operation)).collect::<Vec<_>>().join("; "),
                Err(failure) => failure.reason,
            }
        }
    }

    fn shown(operation: &Operation) -> String {
        let cells = |cells: &[Cell]| {
            let cells = cells.iter().map(|cell| format!("{}={}", cell.column, cell.value));
            cells.collect::<Vec<_>>().join(",")
        };
        let verb = operation.verb();
        match operation {
            Operation::Insert { set } => format!("{verb} {}", cells(set)),
            Operation::Upsert { key, set } => format!("{verb} {} set {}", cells(key), cells(set)),
            Operation::Update { key, set } => format!("{verb} {} set {}", cells(key), cells(set)),
            Operation::Move { from, to } => format!("{verb} {} to {}", cells(from), cells(to)),
            Operation::SoftDelete { key, mark } => format!("{verb} {} mark {}={}", cells(key), mark.column, mark.value),
            Operation::Delete { key } => format!("{verb} {}", cells(key)),
            Operation::Replace { of, rows, .. } => {
                let rows = rows.iter().map(|row| format!("[{} set {}]", cells(&row.key), cells(&row.set)));
                format!("{verb} {} {}", cells(of), rows.collect::<String>())
            }
        }
    }

    const UPSERT: &str = "{ upsert: t, key: { no: $.number }, set: { name: $.order.name } }";
    const REPLACE: &str =
        "{ replace: t, of: { no: $.number }, each: { line: $.order.lines }, key: { line: $.line.no }, copy: { line: [sku] } }";

    #[test]
    fn every_operation_carries_the_tenant() {
        let order = json!({ "name": "x", "lines": [{ "no": 1, "sku": "a" }] });
        let case = Case::order(order.clone());
        let gone = Case { gone: true, order: None, ..ACME };
        assert_eq!(case.run("{ insert: t, set: { a: $.number } }"), r#"insert tenant="acme",a=7"#);
        assert_eq!(case.run(UPSERT), r#"upsert tenant="acme",no=7 set name="x""#);
        assert_eq!(case.run(REPLACE), r#"replace tenant="acme",no=7 [line=1 set sku="a"]"#);
        assert_eq!(gone.run(UPSERT), r#"delete tenant="acme",no=7"#);
        assert_eq!(gone.run(REPLACE), r#"delete tenant="acme",no=7"#);
        assert_eq!(gone.run("{ insert: t, set: { a: $.number } }"), "");
        let shared = UPSERT.replace("upsert: t", "upsert: t, shared: true");
        assert_eq!(case.run(&shared), r#"upsert no=7 set name="x""#);
        let without = Case { has_tenant: false, tenant: None, order: Some(order.clone()), ..ACME };
        assert_eq!(without.run(UPSERT), r#"upsert no=7 set name="x""#);
        let lost = Case { tenant: None, order: Some(order), ..ACME };
        for write in [UPSERT, REPLACE, "{ insert: t, set: { a: $.number } }"] {
            assert!(lost.run(write).contains("belongs to no tenant"), "{write}: {}", lost.run(write));
        }
    }

    #[test]
    fn update_and_delete_find_rows_by_their_key() {
        let gone = Case { gone: true, ..ACME };
        let update = "{ update: t, key: { no: $.number }, set: { a: $.body.id } }";
        assert_eq!(ACME.run(update), r#"update tenant="acme",no=7 set a=1"#);
        assert_eq!(gone.run(update), "");
        let delete = "{ delete: t, key: { no: $.number } }";
        for case in [ACME, gone] {
            assert_eq!(case.run(delete), r#"delete tenant="acme",no=7"#);
        }
        let soft = "{ delete: t, key: { no: $.number }, soft: deleted_at }";
        assert_eq!(ACME.run(soft), r#"soft delete tenant="acme",no=7 mark deleted_at="2026-11-21T10:00:00Z""#);
    }

    #[test]
    fn a_soft_upsert_marks_what_is_gone_and_clears_the_mark() {
        let soft = UPSERT.replace("upsert: t", "upsert: t, soft: deleted_at");
        let gone = Case { gone: true, ..ACME };
        assert_eq!(gone.run(&soft), r#"soft delete tenant="acme",no=7 mark deleted_at="2026-11-21T10:00:00Z""#);
        let found = Case::order(json!({ "name": "x" })).run(&soft);
        assert_eq!(found, r#"upsert tenant="acme",no=7 set name="x",deleted_at=null"#);
    }

    #[test]
    fn a_renumbered_row_is_moved_first() {
        let write =
            |new: &str, old: &str| format!("{{ upsert: t, key: {{ no: {new}, part: 1 }}, was: {{ no: {old} }}, set: {{}} }}");
        let moved = r#"move tenant="acme",no=1,part=1 to tenant="acme",no=7,part=1; upsert tenant="acme",no=7,part=1 set "#;
        assert_eq!(ACME.run(&write("$.number", "$.body.id")), moved);
        let alone = r#"upsert tenant="acme",no=7,part=1 set "#;
        for nothing in ["$.number", "$.body.nope", "$.body.null", "''"] {
            assert_eq!(ACME.run(&write("$.number", nothing)), alone, "{nothing}");
        }
        let gone = Case { gone: true, ..ACME };
        let both = r#"delete tenant="acme",no=1,part=1; delete tenant="acme",no=7,part=1"#;
        assert_eq!(gone.run(&write("$.number", "$.body.id")), both);
        assert_eq!(gone.run(&write("$.body.nope", "$.body.id")), r#"delete tenant="acme",no=1,part=1"#);
        assert!(gone.run(&write("$.body.nope", "$.body.null")).contains("`$.body.nope` is missing"));
    }

    #[test]
    fn a_missing_list_fails_and_an_empty_one_is_empty() {
        assert_eq!(Case::order(json!({ "lines": [] })).run(REPLACE), r#"replace tenant="acme",no=7 "#);
        for order in [json!({}), json!({ "lines": null }), json!({ "lines": "x" })] {
            let reason = Case::order(order.clone()).run(REPLACE);
            assert!(reason.contains("`each`") && reason.contains("$.order.lines"), "{order}: {reason}");
            let reason = Case::order(order.clone()).run(&REPLACE.replace("$.order.lines", "\"$.order.lines[*]\""));
            assert!(reason.contains("`each`") && reason.contains("$.order.lines[*]"), "{order}: {reason}");
        }
    }

    #[test]
    fn a_key_that_is_missing_or_null_fails() {
        for (key, reason) in [("$.body.nope", "is missing"), ("$.body.null", "is null"), ("\"{{ body.nope }}\"", "is missing")] {
            for write in ["{ upsert: t, key: { id: KEY }, set: { a: 1 } }", "{ upsert: t, missing: keep, key: { id: KEY } }"] {
                let found = ACME.run(&write.replace("KEY", key));
                assert!(found.contains("`id`") && found.contains(reason), "{write} {key}: {found}");
            }
        }
        let found = Case::order(json!({ "lines": [{ "no": 1 }, {}] })).run(REPLACE);
        assert!(found.contains("`$.order.lines[1].no` is missing"), "{found}");
    }

    #[test]
    fn what_is_missing_becomes_null_is_kept_or_fails() {
        let write =
            |option: &str| format!("{{ upsert: t, {option}key: {{ no: $.number }}, set: {{ a: $.body.nope, b: $.body.null }} }}");
        assert_eq!(ACME.run(&write("")), r#"upsert tenant="acme",no=7 set a=null,b=null"#);
        assert_eq!(ACME.run(&write("missing: keep, ")), r#"upsert tenant="acme",no=7 set b=null"#);
        assert!(ACME.run(&write("missing: fail, ")).contains("`$.body.nope` is missing"));
        let required = "{ upsert: t, missing: keep, key: { no: $.number }, set: { a: { from: $.body.nope, required: true } } }";
        assert!(ACME.run(required).contains("`$.body.nope` is missing"));
    }

    #[test]
    fn an_absent_answer_never_becomes_nulls() {
        let template = UPSERT.replace("$.order.name", "\"{{ order.name }}\"");
        let copy = "{ upsert: t, key: { no: $.number }, copy: { order: [name] } }";
        for case in [ACME, Case::order(Json::Null)] {
            for write in [UPSERT, &template, copy] {
                let reason = case.run(write);
                assert!(reason.contains("there is no `order` to take"), "{write}: {reason}");
            }
            assert_eq!(case.run(&UPSERT.replace("upsert: t", "upsert: t, missing: keep")), r#"upsert tenant="acme",no=7 set "#);
        }
        assert_eq!(Case::order(json!({})).run(&template), r#"upsert tenant="acme",no=7 set name=null"#);
    }

    #[test]
    fn when_the_thing_is_gone_a_condition_on_an_answer_does_not_stop_the_delete() {
        let gone = Case { gone: true, ..ACME };
        let with = |when: &str| UPSERT.replace("upsert: t", &format!("upsert: t, when: {when}"));
        assert_eq!(gone.run(&with("order.name")), r#"delete tenant="acme",no=7"#);
        assert_eq!(gone.run(&with("body.id == 2")), "");
        assert_eq!(ACME.run(&with("order.name")), "");
    }

    #[test]
    fn an_item_says_where_it_comes_from() {
        let column = |text: &str, position| {
            let list = Value::Path(Path::compile("$.order.lines").expect("path"));
            let value = Typed::of(Value::Path(Path::compile(text).expect("path")), span());
            let column = Column { name: "a".to_owned(), value, span: span(), answers: Vec::new() };
            origin(&column, Some(Item { name: "line", list: &list, position }))
        };
        assert_eq!(column("$.line.quantity", 2), "$.order.lines[2].quantity");
        assert_eq!(column("$.line", 0), "$.order.lines[0]");
        assert_eq!(column("$['line'].a", 1), "$.order.lines[1].a");
        assert_eq!(column("$.lines.a", 1), "$.lines.a");
    }

    fn span() -> Span {
        Span::new(Sources::default().add("a.yaml", ""), 0..0)
    }
}

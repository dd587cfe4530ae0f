//! `write:` compiled: a record's event document becomes row operations. The tenant column is added here, to every operation.

use serde_json::{Value as Json, json};

use super::write_options::{Missing, Verb, WriteOptions};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{Named, report_expected_hint};
use crate::config::source::{Span, Spanned};
use crate::config::yaml::Node;
use crate::expr::jsonpath::Path;
use crate::expr::reads::Reads;
use crate::expr::template::{Context, Engine};
use crate::expr::typed::Typed;
use crate::expr::value::{Compiler, Condition, Value, kind_of};
use crate::model::change::{Cell, Change, Operation, Row};
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
    missing: Missing,
    place: String,
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
    answers: Vec<String>,
}

/// What compiling a write needs besides a compiler.
pub struct Surroundings<'a> {
    /// The databases there are.
    pub destinations: &'a [Destination],
    /// Whether the source has a tenant.
    pub has_tenant: bool,
    /// The names of the route's calls.
    pub answers: &'a [&'a str],
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
    let columns = |named: &Named<Node>, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics| -> Option<Vec<Column>> {
        let compiled = named.entries.iter().map(|(name, node)| {
            Typed::compile(node, compiler, diagnostics).map(|value| surroundings.column(name, value, compiler.engine))
        });
        compiled.collect::<Vec<_>>().into_iter().collect()
    };
    let key = columns(&options.key, &items, diagnostics);
    let of = columns(&options.of, compiler, diagnostics);
    let set = columns(&options.set, &items, diagnostics);
    let copied = copied(&options.copy, surroundings, &items, diagnostics);
    let when = options.when.as_ref().map(|node| Condition::compile(node, compiler, diagnostics));
    let destination = destination?;
    let tenant_column = (surroundings.has_tenant && options.shared != Some(true)).then(|| destination.tenant_column.clone());
    let (key, of, mut set) = (key?, of?, set?);
    set.extend(copied?);
    refuse_tenant_column(&tenant_column, [&key, &of, &set], diagnostics);
    let when = when.map_or(Some(None), |when| when.map(Some))?;
    let mut reads = Reads::default();
    when.iter().for_each(|when| when.add_reads(compiler.engine, &mut reads));
    Some(Write {
        verb,
        table: table.clone(),
        database: destination.name.clone(),
        tenant_column,
        key,
        of,
        set,
        each: each.map_or(Some(None), |(name, list)| list.map(|list| Some((name.value.clone(), list))))?,
        when,
        when_reads_answers: surroundings.answers.iter().any(|name| reads.reads_name(name)),
        missing: options.missing.unwrap_or_default(),
        place,
    })
}

fn compile_list(node: &Node, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Value> {
    let list = Value::compile(node, compiler, diagnostics)?;
    if matches!(list, Value::Literal(_) | Value::Map(_)) {
        report_expected_hint("a list, most often a path to one", node, "such as `each: { line: $.body.lines }`", diagnostics);
        return None;
    }
    Some(list)
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

fn refuse_tenant_column(tenant_column: &Option<String>, columns: [&Vec<Column>; 3], diagnostics: &mut Diagnostics) {
    let own = columns
        .into_iter()
        .flatten()
        .find(|column| tenant_column.as_ref().is_some_and(|tenant| column.name.eq_ignore_ascii_case(tenant)));
    if let Some(column) = own {
        let message = format!("`{}` is the tenant column; every row gets it without being told", column.name);
        diagnostics.report(
            Diagnostic::error("tenant-column", column.span, message)
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
    }

    /// All columns but the tenant's.
    pub fn columns(&self) -> impl Iterator<Item = &Column> {
        self.of.iter().chain(&self.key).chain(&self.set)
    }

    /// The row operations for a document.
    pub fn changes(&self, document: &mut EventDocument, gone: bool, tenant: Option<&str>) -> Result<Vec<Change>, Failure> {
        let skipped_condition = gone && self.when_reads_answers;
        if let Some(when) = self.when.as_ref().filter(|_| !skipped_condition)
            && !when.holds(Context::from(&*document)).map_err(|error| self.failure("when", &error.0))?
        {
            return Ok(Vec::new());
        }
        let mapping = Mapping { write: self, tenant };
        let operations = if gone { mapping.gone(document)? } else { mapping.present(document)? };
        let change = |operation| Change {
            database: self.database.clone(),
            table: self.table.value.clone(),
            place: self.place.clone(),
            operation,
        };
        Ok(operations.into_iter().map(change).collect())
    }

    fn failure(&self, what: &str, reason: &str) -> Failure {
        Failure::permanent(Step::Map, format!("{} `{}`, `{what}`: {reason}", self.place, self.table.value))
    }
}

/// One write at work on one document.
struct Mapping<'a> {
    write: &'a Write,
    tenant: Option<&'a str>,
}

impl Mapping<'_> {
    fn present(&self, document: &mut EventDocument) -> Result<Vec<Operation>, Failure> {
        if self.write.verb == Verb::Replace {
            let of = self.found_by(&self.write.of, document, None, true)?;
            let rows = self.per_item(document, |mapping, document, item| {
                Ok(Row {
                    key: mapping.found_by(&mapping.write.key, document, item, false)?,
                    set: mapping.values(document, item)?,
                })
            })?;
            return Ok(vec![Operation::Replace { of, rows }]);
        }
        self.per_item(document, |mapping, document, item| {
            Ok(match mapping.write.verb {
                Verb::Insert => Operation::Insert { set: mapping.with_tenant(mapping.values(document, item)?)? },
                Verb::Upsert | Verb::Replace => Operation::Upsert {
                    key: mapping.found_by(&mapping.write.key, document, item, true)?,
                    set: mapping.values(document, item)?,
                },
            })
        })
    }

    /// What is left to do when the thing no longer exists: nothing was fetched, so only what the delivery itself says can be used.
    fn gone(&self, document: &mut EventDocument) -> Result<Vec<Operation>, Failure> {
        match self.write.verb {
            Verb::Insert => Ok(Vec::new()),
            Verb::Replace => Ok(vec![Operation::Delete { key: self.found_by(&self.write.of, document, None, true)? }]),
            Verb::Upsert => self.per_item(document, |mapping, document, item| {
                Ok(Operation::Delete { key: mapping.found_by(&mapping.write.key, document, item, true)? })
            }),
        }
    }

    /// Runs once, or once for each item under its name.
    fn per_item<T>(
        &self,
        document: &mut EventDocument,
        run: impl Fn(&Self, &EventDocument, Option<Item<'_>>) -> Result<T, Failure>,
    ) -> Result<Vec<T>, Failure> {
        let Some((name, list)) = &self.write.each else { return Ok(vec![run(self, document, None)?]) };
        let fail = |reason: &str| self.write.failure("each", reason);
        let items = match list.evaluate(Context::from(&*document)).map_err(|error| fail(&error.0))? {
            Some(Json::Array(items)) => items,
            Some(other) => return Err(fail(&format!("`{}` is {}, not a list", list.origin(), kind_of(&other)))),
            None => return Err(fail(&format!("the list `{}` is missing; an empty one would be `[]`", list.origin()))),
        };
        let mut results = Vec::with_capacity(items.len());
        for (position, item) in items.into_iter().enumerate() {
            document.set(name, item);
            document.set("position", json!(position));
            results.push(run(self, document, Some(Item { name, list, position }))?);
        }
        document.remove(name);
        document.remove("position");
        Ok(results)
    }

    fn found_by(
        &self,
        columns: &[Column],
        document: &EventDocument,
        item: Option<Item<'_>>,
        with_tenant: bool,
    ) -> Result<Vec<Cell>, Failure> {
        let mut cells = Vec::with_capacity(columns.len() + 1);
        for column in columns {
            let origin = origin(column, item);
            match column.value.evaluate(Context::from(document)).map_err(|error| self.write.failure(&column.name, &error.0))? {
                Some(Json::Null) => {
                    return Err(self.write.failure(&column.name, &format!("`{origin}` is null; a row cannot be found by it")));
                }
                Some(value) => cells.push(cell(column, value, origin)),
                None => {
                    return Err(self.write.failure(&column.name, &format!("`{origin}` is missing; a row cannot be found by it")));
                }
            }
        }
        if with_tenant { self.with_tenant(cells) } else { Ok(cells) }
    }

    /// The cells with the tenant's before them. Without a tenant there is no row of a source that has one.
    fn with_tenant(&self, mut cells: Vec<Cell>) -> Result<Vec<Cell>, Failure> {
        if let Some(column) = &self.write.tenant_column {
            let Some(tenant) = self.tenant else {
                return Err(self.write.failure(column, "the delivery belongs to no tenant, and these rows need one"));
            };
            cells.insert(0, Cell { column: column.clone(), value: json!(tenant), declared: None, origin: "$.tenant".to_owned() });
        }
        Ok(cells)
    }

    fn values(&self, document: &EventDocument, item: Option<Item<'_>>) -> Result<Vec<Cell>, Failure> {
        let mut cells = Vec::with_capacity(self.write.set.len());
        for column in &self.write.set {
            let origin = origin(column, item);
            let value =
                column.value.evaluate(Context::from(document)).map_err(|error| self.write.failure(&column.name, &error.0))?;
            match (value, self.write.missing) {
                (Some(value), _) => cells.push(cell(column, value, origin)),
                (None, _) if column.value.required == Some(true) => {
                    return Err(self.write.failure(&column.name, &format!("`{origin}` is missing")));
                }
                (None, Missing::Keep) => {}
                (None, Missing::Fail) => return Err(self.write.failure(&column.name, &format!("`{origin}` is missing"))),
                (None, Missing::Null) => match self.absent_answer(column, document) {
                    Some(name) => {
                        return Err(self.write.failure(&column.name, &format!("there is no `{name}` to take `{origin}` from")));
                    }
                    None => cells.push(cell(column, Json::Null, origin)),
                },
            }
        }
        Ok(cells)
    }

    /// The call whose whole answer is absent, when that is why a value is missing: it must not become a row of NULLs.
    fn absent_answer<'c>(&self, column: &'c Column, document: &EventDocument) -> Option<&'c str> {
        let absent = |name: &&String| document.get(name).is_none_or(|answer| answer.is_null());
        column.answers.iter().find(absent).map(String::as_str)
    }
}

#[derive(Clone, Copy)]
struct Item<'a> {
    name: &'a str,
    list: &'a Value,
    position: usize,
}

fn cell(column: &Column, value: Json, origin: String) -> Cell {
    Cell { column: column.name.clone(), value, declared: column.value.declared, origin }
}

/// Where a value comes from: `$.line.quantity` of the third item of `$.order.lines` is `$.order.lines[2].quantity`.
fn origin(column: &Column, item: Option<Item<'_>>) -> String {
    let text = column.value.value.origin();
    let Some(item) = item else { return text };
    let (Some(list), Some(path)) = (item.list.as_path(), column.value.value.as_path()) else { return text };
    match path.first_name() {
        (name, range) if name == item.name => {
            let rest = &text[range.end..];
            let rest = rest.strip_prefix("']").or(rest.strip_prefix("\"]")).unwrap_or(rest);
            format!("{}[{}]{rest}", list.text(), item.position)
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options::FromYaml;
    use crate::config::source::Sources;
    use crate::config::yaml::parse;
    use crate::expr::scope::Scope;

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
            let surroundings =
                Surroundings { destinations: &destinations, has_tenant: self.has_tenant, answers: &["order", "customer"] };
            let scope = Scope::new(["body", "number", "order", "customer", "tenant"], "a column");
            let compiler = Compiler { engine: &Engine::default(), scope: &scope };
            let write = compile(&options, "write[0]".to_owned(), &surroundings, &compiler, &mut diagnostics);
            assert_eq!(diagnostics.all(), [], "{written}");
            let mut document = EventDocument::default();
            document.set("number", json!(7));
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
            Operation::Delete { key } => format!("{verb} {}", cells(key)),
            Operation::Replace { of, rows } => {
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
    fn a_missing_list_fails_and_an_empty_one_is_empty() {
        assert_eq!(Case::order(json!({ "lines": [] })).run(REPLACE), r#"replace tenant="acme",no=7 "#);
        for order in [json!({}), json!({ "lines": null }), json!({ "lines": "x" })] {
            let reason = Case::order(order.clone()).run(REPLACE);
            assert!(reason.contains("`each`") && reason.contains("$.order.lines"), "{order}: {reason}");
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

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
    when: Option<Condition>,
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
        (name, range) if name == item.name => format!("{}[{}]{}", list.text(), item.position, &text[range.end..]),
        _ => text,
    }
}

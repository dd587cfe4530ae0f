//! A route file as the program reads it: every default filled in, what routes take over from their file, and in words what follows
//! from it: lanes, secrets, tables and statements. The text is itself a route file that means the same.

use std::sync::Arc;

use super::compile::World;
use super::expected::expected_tables;
use super::file::{FileOptions, RouteOptions};
use super::source::Source;
use crate::config::filled::{self, Filled, Value};
use crate::config::shape::OptionShape;
use crate::config::yaml::{Content, Node};
use crate::model::change::{Cell, Operation, Row};
use crate::steps::admission::Route;
use crate::steps::map::{Column, Write};
use crate::steps::version::WriteVersion;
use crate::steps::write_options::Verb;
use crate::target::ddl::create_table;
use crate::target::dialect::Dialect;
use crate::target::preview::{Statement, statements};

/// What a route takes over whole from its file when it does not say it itself.
const TAKEN_OVER: [&str; 9] = ["gone", "id", "remember", "lane", "stuck", "coalesce", "retry", "write", "reply"];
/// What a route adds to by name.
const ADDED_TO: [&str; 2] = ["enrich", "forward"];

/// The engines that statements are shown for, by the name of a database.
pub type Dialects<'a> = &'a dyn Fn(&str) -> Vec<Dialect>;

/// The file, or of its routes only the one at `only`.
pub fn explain(source: &Arc<Source>, root: &Node, only: Option<usize>, world: World<'_>, dialects: Dialects<'_>) -> String {
    let written = routes_of(root);
    let mut options = match written.is_empty() {
        true => filled::options(&FileOptions::block(), &|name| root.get(name)),
        false => file_options(root),
    };
    options.retain(|option| option.name != "routes");
    let shown: Vec<(usize, &Route)> =
        source.admission.routes.iter().enumerate().filter(|(index, _)| only.is_none_or(|only| only == *index)).collect();
    let head = format!("# source `{}`: {} {}\n", source.name, source.receive.methods.join(", "), source.receive.path_text());
    if written.is_empty() {
        let lines = source.admission.routes.iter().flat_map(|route| words_of(route, source));
        let lines: String = lines.map(|line| format!("# {line}\n")).collect();
        return format!("{head}{}#\n{lines}{}", filled::yaml(&options), footer(source, &shown, world, dialects));
    }
    let items = shown.iter().map(|(index, route)| (words_of(route, source), route_options(root, written[*index])));
    options.push(Filled { name: "routes".to_owned(), value: Value::List(items.collect()), comment: None });
    format!("{head}{}{}", filled::yaml(&options), footer(source, &shown, world, dialects))
}

/// The written routes.
fn routes_of(root: &Node) -> Vec<&Node> {
    match root.get("routes").map(|routes| (routes, &routes.content)) {
        Some((_, Content::List(items))) => items.iter().collect(),
        Some((one, _)) => vec![one],
        None => Vec::new(),
    }
}

/// The file's own options without those that its routes take over: they stand there.
fn file_options(root: &Node) -> Vec<Filled<'_>> {
    let own = |option: &Filled<'_>| !TAKEN_OVER.contains(&option.name.as_str()) && !ADDED_TO.contains(&option.name.as_str());
    filled::options(&FileOptions::block(), &|name| root.get(name)).into_iter().filter(own).collect()
}

fn route_options<'n>(root: &'n Node, route: &'n Node) -> Vec<Filled<'n>> {
    if route.get("ignore").is_some() {
        return filled::options(&RouteOptions::block(), &|name| route.get(name))
            .into_iter()
            .filter(|option| matches!(option.value, Value::Written(..)))
            .collect();
    }
    let mut options = Vec::new();
    for option in (RouteOptions::block().options)() {
        let (own, files) = (route.get(option.name), root.get(option.name));
        match (own, files) {
            (own, Some(files)) if ADDED_TO.contains(&option.name) => options.push(merged(option, own, files)),
            (None, Some(files)) if TAKEN_OVER.contains(&option.name) => options.push(Filled {
                name: option.name.to_owned(),
                value: Value::Written(files, option.shape),
                comment: Some("from the file"),
            }),
            _ => options.extend(defaulted(option, route)),
        }
    }
    options
}

/// An option of the route; the default of one that both levels have is the file's.
fn defaulted<'n>(option: OptionShape, route: &'n Node) -> Option<Filled<'n>> {
    let name = option.name;
    let with_default = filled::options(&FileOptions::block(), &|_| None).into_iter().find(|one| one.name == name);
    match route.get(name) {
        Some(node) => Some(Filled { name: name.to_owned(), value: Value::Written(node, option.shape), comment: None }),
        None => with_default.map(|one| Filled { name: one.name, value: promoted(one.value), comment: one.comment }),
    }
}

/// Defaults borrow nothing from the file they were made for.
fn promoted<'n>(value: Value<'_>) -> Value<'n> {
    match value {
        Value::Default(default) => Value::Default(default),
        Value::Options(options) => Value::Options(
            options.into_iter().map(|one| Filled { name: one.name, value: promoted(one.value), comment: one.comment }).collect(),
        ),
        Value::Written(..) | Value::List(_) => Value::Options(Vec::new()),
    }
}

/// The route's calls and those of the file that it does not replace.
fn merged<'n>(option: OptionShape, own: Option<&'n Node>, files: &'n Node) -> Filled<'n> {
    let inner = match &option.shape {
        crate::config::shape::Shape::Named(inner) => (**inner).clone(),
        other => other.clone(),
    };
    let entries = |node: &'n Node| node.entries().unwrap_or_default();
    let kept = entries(files).iter().filter(|entry| own.is_none_or(|own| own.get(&entry.name.value).is_none()));
    let kept = kept.map(|entry| (entry, Some("from the file")));
    let own = own.into_iter().flat_map(entries).map(|entry| (entry, None));
    let named = kept.chain(own).map(|(entry, comment)| Filled {
        name: entry.name.value.clone(),
        value: Value::Written(&entry.value, inner.clone()),
        comment,
    });
    Filled { name: option.name.to_owned(), value: Value::Options(named.collect()), comment: None }
}

/// What becomes of a route's records, in words.
fn words_of(route: &Route, source: &Source) -> Vec<String> {
    let events: Vec<String> = route.matcher.events.iter().map(|event| format!("`{}`", event.text())).collect();
    let mut lines = vec![format!("events {}", events.join(", "))];
    if let Some(reason) = &route.ignore {
        lines.push(format!("left alone: {reason}"));
        lines.extend(route.reply.iter().map(|reply| format!("answered: {}", reply.words())));
        return lines;
    }
    let queueing = &route.queueing;
    let tenant = if source.has_tenant() { " of one tenant" } else { "" };
    lines.push(match queueing.lanes.as_slice() {
        [lane] => format!("lane: records with the same `{}`{tenant} run one at a time, in order", lane.origin()),
        [_, ..] => {
            let all: Vec<String> = queueing.lanes.iter().map(|lane| format!("`{}`", lane.origin())).collect();
            let all = all.join(" and ");
            format!("lanes: a record is in {all}{tenant}, what is empty left out; it runs when it is the next in all of them")
        }
        [] if queueing.each_by_itself => "lane: each record by itself, as the route only inserts".to_owned(),
        [] => "lane: one per tenant and source: all records one after another, safe and slow; `lane` makes it faster".to_owned(),
    });
    if let Some(coalesce) = &queueing.coalesce {
        let format = crate::config::units::format_duration;
        let (quiet, most) = (format(coalesce.quiet), format(coalesce.most));
        lines.push(format!("coalesce: equal work that comes within {quiet} is done once, put off by {most} at most"));
    }
    if let Some(stuck) = route.retry.stuck.filter(|stuck| *stuck < route.retry.give_up_after) {
        let stuck = crate::config::units::format_duration(stuck);
        lines.push(format!("stuck: a record that has failed for {stuck} lets the others of its lane pass"));
    }
    for forward in &route.forwards {
        lines.push(format!("forward `{}`: {}, tried again by itself", forward.name, forward.words()));
    }
    lines.extend(route.reply.iter().map(|reply| format!("answered: {}", reply.words())));
    lines.push(match &queueing.id {
        Some(id) => format!("duplicates: a second `{}` is one", id.origin()),
        None => "duplicates: none, as there is no `id`: what comes twice is done twice".to_owned(),
    });
    lines
}

/// What is secret, and the tables and statements, as comments.
fn footer(source: &Arc<Source>, routes: &[(usize, &Route)], world: World<'_>, dialects: Dialects<'_>) -> String {
    let mut lines = Vec::new();
    let mut secrets: Vec<String> = source.secrets.iter().map(|(name, _)| format!("  secret.{name}")).collect();
    secrets.extend(source.integration().fields.iter().filter(|field| field.secret).map(|field| match &field.from {
        Some(from) => format!("  secret.{}: {}", field.name, from.origin()),
        None => format!("  secret.{}: held by the integration", field.name),
    }));
    secrets.extend(source.secret_places.iter().map(|place| format!("  $.{}", place.join("."))));
    secrets.sort();
    secrets.dedup();
    if !secrets.is_empty() {
        lines.extend([String::new(), "secret, and masked wherever a request is shown".to_owned()]);
    }
    lines.extend(secrets);
    let writes = || routes.iter().flat_map(|(_, route)| &route.pipeline.writes);
    let is_written = |table: &str| writes().any(|write| write.table.value.eq_ignore_ascii_case(table));
    for (database, tables) in expected_tables(std::slice::from_ref(source), world) {
        let any = tables.iter().any(|table| is_written(&table.name));
        for dialect in dialects(&database).into_iter().filter(|_| any) {
            lines.push(String::new());
            lines.push(format!("tables expected in `{database}` ({})", dialect.name()));
            let own = tables.iter().filter(|table| is_written(&table.name));
            lines.extend(own.flat_map(|table| create_table(dialect, table).lines().map(indented).collect::<Vec<_>>()));
        }
    }
    for (index, route) in routes {
        let place = if routes.len() > 1 { format!("routes[{index}]: ") } else { String::new() };
        for write in &route.pipeline.writes {
            for dialect in dialects(&write.database) {
                lines.push(String::new());
                lines.push(format!("{place}{} {} ({})", write.verb.name(), write.table.value, dialect.name()));
                lines.extend(statements_of(write, dialect));
            }
        }
    }
    lines.iter().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect::<String>()
}

/// The statements of a write, each with when it runs and where its values come from.
fn statements_of(write: &Write, dialect: Dialect) -> Vec<String> {
    let mut lines = Vec::new();
    let operations = operations_of(write);
    for Statement { when, sql, runs } in
        operations.iter().flat_map(|operation| statements(dialect, &write.table.value, operation))
    {
        lines.extend(when.map(|when| format!("  {when}:")));
        lines.push(format!("  {sql};"));
        let values = runs.iter().flatten().map(|cell| format!("{} = {}", cell.column, cell.origin));
        lines.push(format!("    {}", values.collect::<Vec<_>>().join(", ")));
    }
    lines
}

fn indented(line: &str) -> String {
    format!("  {line}")
}

/// The operations of a write, with the places of its values instead of values.
fn operations_of(write: &Write) -> Vec<Operation> {
    let cell = |column: &Column| Cell {
        column: column.name.clone(),
        value: serde_json::Value::Null,
        declared: column.value.declared,
        origin: column.value.value.origin(),
    };
    let cells = |columns: &[Column]| columns.iter().map(cell).collect::<Vec<_>>();
    let with_tenant = |cells: Vec<Cell>| {
        let tenant = write.tenant_column.iter().map(|column| Cell {
            column: column.clone(),
            value: serde_json::Value::Null,
            declared: None,
            origin: "$.tenant".to_owned(),
        });
        tenant.chain(cells).collect::<Vec<_>>()
    };
    let (key, mut set) = (cells(&write.key), cells(&write.set));
    let soft = write.soft.as_ref().map(|column| Cell {
        column: column.clone(),
        value: serde_json::Value::Null,
        declared: None,
        origin: "$.received_at".to_owned(),
    });
    let operation = match write.verb {
        Verb::Insert => Operation::Insert { set: with_tenant(set) },
        Verb::Upsert => {
            set.extend(soft);
            Operation::Upsert { key: with_tenant(key), set }
        }
        Verb::Update => Operation::Update { key: with_tenant(key), set },
        Verb::Delete => match soft {
            Some(mark) => Operation::SoftDelete { key: with_tenant(key), mark },
            None => Operation::Delete { key: with_tenant(key) },
        },
        Verb::Replace => {
            set.extend(soft.clone());
            Operation::Replace { of: with_tenant(cells(&write.of)), rows: vec![Row { key, set }], soft }
        }
    };
    let from = write.key.iter().map(|column| cell(write.was.iter().find(|was| was.name == column.name).unwrap_or(column)));
    let from = with_tenant(from.collect());
    let moved = (!write.was.is_empty()).then(|| Operation::Move { from, to: with_tenant(cells(&write.key)) });
    let version = write.version.as_ref().and_then(WriteVersion::kept);
    moved.into_iter().chain([operation.keeping(version.as_ref())]).collect()
}

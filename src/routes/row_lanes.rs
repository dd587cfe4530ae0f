//! Whether all records that write one row take turns: they do when the row's key tells their lane. Where it does not, two of them may run
//! side by side, and the older one may write last.

use super::file::FileOptions;
use crate::config::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::config::source::Span;
use crate::expr::reads::Reads;
use crate::expr::template::Engine;
use crate::expr::typed::Typed;
use crate::expr::value::Value;
use crate::steps::admission::Route;
use crate::steps::extract::Extract;
use crate::steps::map::{Column, Write};
use crate::steps::write_options::Verb;

/// A value that lanes and keys are made of: the names that lead to it, or a path that is more than names.
type Place = Vec<String>;

/// What a file says of its values.
pub(super) struct Values<'a> {
    /// The names that the file takes out of each request.
    pub(super) extract: &'a Extract,
    /// The event's name.
    pub(super) event: Option<&'a Value>,
    /// Whether the source has a tenant: its lanes are each tenant's own.
    pub(super) has_tenant: bool,
    /// What templates run in.
    pub(super) engine: &'a Engine,
}

/// Reports writes whose rows records of several lanes may write.
pub(super) fn check(options: &FileOptions, routes: &[Route], values: &Values<'_>, diagnostics: &mut Diagnostics) {
    for (index, route) in routes.iter().enumerate() {
        let lane = options.routes.get(index).and_then(|route| route.lane.as_ref()).or(options.lane.as_ref());
        let is_within = |span: Span, lane: Span| span.file == lane.file && lane.start <= span.start && span.end <= lane.end;
        let reported = |lane: Span| {
            let errors = diagnostics.all().iter().filter(|one| one.severity == Severity::Error);
            errors.filter_map(|one| one.span).any(|span| is_within(span, lane))
        };
        // of what a lane with a slip is made of nothing is known
        if lane.is_some_and(|lane| reported(lane.span)) {
            continue;
        }
        let within = Within { values, route };
        for write in route.pipeline.writes.iter().filter(|write| write.verb != Verb::Insert && write.version.is_none()) {
            let own = if write.verb == Verb::Replace { &write.of } else { &write.key };
            let old: Vec<&Column> =
                own.iter().map(|column| write.was.iter().find(|was| was.name == column.name).unwrap_or(column)).collect();
            let problem = match within.missing(write, &own.iter().collect::<Vec<_>>()) {
                Some(missing) => Some((missing, false)),
                None if write.was.is_empty() || write.verb != Verb::Upsert => None,
                None => within.missing(write, &old).map(|missing| (missing, true)),
            };
            if let Some((missing, of_old)) = problem {
                let diagnostic = told(write, &missing, of_old);
                let place = lane.filter(|_| missing != [TENANT]);
                diagnostics.report(match place {
                    Some(lane) => diagnostic.related(lane.span, "the lane"),
                    None => diagnostic,
                });
            }
        }
    }
}

const TENANT: &str = "tenant";

fn told(write: &Write, missing: &[String], of_old: bool) -> Diagnostic {
    let table = &write.table.value;
    let error = |message: String| Diagnostic::error("row-outside-lane", write.table.span, message);
    if missing == [TENANT] {
        let message = format!("records of two tenants can write the same row of `{table}`, and each tenant has lanes of its own");
        return error(message).hint("add `$.tenant` to the key, or say which state is the newer one: `version: $.body.sequence`");
    }
    let names = missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ");
    let (key, row) = if of_old { ("`was`", "the row that moves") } else { ("the key", "the same row") };
    let message = format!(
        "records of two lanes can write {row} of `{table}` at once: the lane is made of {names}, which {key} does not hold"
    );
    let hint = match of_old {
        true => "be in the lanes of both keys (`lane: [OLD, NEW]`), or say which state is the newer one with `version`",
        false => {
            "make the lane of what the key holds, or say which state is the newer one: `version: fetched`, or a path to what grows \
             with each change"
        }
    };
    error(message).hint(hint)
}

/// A route and what its file says.
struct Within<'a> {
    values: &'a Values<'a>,
    route: &'a Route,
}

impl Within<'_> {
    /// What the lane is made of and these columns do not tell; none when they tell one of the lanes.
    fn missing(&self, write: &Write, columns: &[&Column]) -> Option<Vec<String>> {
        let held: Vec<Place> = columns.iter().flat_map(|column| self.held(&column.value)).collect();
        let shared = self.values.has_tenant && write.tenant_column.is_none();
        let by_integration = |place: &Place| place.first().is_some_and(|first| first == "integration");
        if shared && !held.iter().any(|place| *place == [TENANT] || by_integration(place)) {
            return Some(vec![TENANT.to_owned()]);
        }
        let lanes: Vec<&Value> = self.route.queueing.lanes.iter().collect();
        let mut first = None;
        for lane in lanes {
            let untold: Vec<String> =
                self.parts(lane).iter().filter(|place| !self.is_told(place, &held)).map(|place| place.join(".")).collect();
            if untold.is_empty() {
                return None;
            }
            first = first.or(Some(untold));
        }
        first
    }

    /// What a lane is made of.
    fn parts(&self, lane: &Value) -> Vec<Place> {
        parts_in_full(lane).unwrap_or_else(|| {
            let mut reads = Reads::default();
            lane.add_reads(self.values.engine, &mut reads);
            reads.places().map(<[String]>::to_vec).collect()
        })
    }

    /// What a column holds in full, so that equal columns have it equal.
    fn held(&self, column: &Typed) -> Vec<Place> {
        if !column.keeps_apart() {
            return Vec::new();
        }
        let parts = parts_in_full(&column.value).or_else(|| one_or_none(&column.value).map(|place| vec![place]));
        parts.unwrap_or_default().into_iter().map(|place| self.at_its_source(place)).collect()
    }

    /// Whether equal columns have this value equal too.
    fn is_told(&self, place: &Place, held: &[Place]) -> bool {
        let place = self.at_its_source(place.clone());
        let Some(first) = place.first() else { return true };
        let is_event = self.values.event.and_then(parts_in_full).is_some_and(|parts| parts == [place.clone()]);
        // that an event's name keeps apart what belongs together is a warning of its own
        if is_event || ["tenant", "source", "event"].contains(&first.as_str()) || held.iter().any(|held| place.starts_with(held))
        {
            return true;
        }
        let Some(extracted) = self.extracted(first) else { return false };
        let mut reads = Reads::default();
        extracted.add_reads(self.values.engine, &mut reads);
        let mut sources = reads.places().map(<[String]>::to_vec).filter(|source| source.first() != Some(first));
        sources.all(|source| self.is_told(&source, held))
    }

    fn extracted(&self, name: &str) -> Option<&Typed> {
        self.route.extract.typed(name).or_else(|| self.values.extract.typed(name))
    }

    /// The place in the request that a name was taken from, where it was taken as it is.
    fn at_its_source(&self, mut place: Place) -> Place {
        // names are taken from earlier ones, so this ends; a name that names itself was reported
        for _ in 0..32 {
            let Some(typed) = place.first().and_then(|first| self.extracted(first)) else { break };
            if typed.declared.is_some() || !typed.keeps_apart() || typed.value.as_path().is_none() {
                break;
            }
            match parts_in_full(&typed.value).as_deref() {
                Some([source]) if source.first() != place.first() => place = source.iter().chain(&place[1..]).cloned().collect(),
                _ => break,
            }
        }
        place
    }
}

/// The values that a text or path is made of, when each of them can be told from it: a path, or holes with text between them.
fn parts_in_full(value: &Value) -> Option<Vec<Place>> {
    match value {
        Value::Path(path) => Some(vec![names(path.text().strip_prefix("$.")?).unwrap_or_else(|| vec![path.text().to_owned()])]),
        Value::Template(template) if template.is_expression() => names(template.text().trim()).map(|place| vec![place]),
        Value::Template(template) => holes(template.text()),
        Value::Literal(_) => Some(Vec::new()),
        Value::List(_) | Value::Map(_) => None,
    }
}

/// The value of `{{ old if not reused }}`: where the condition does not hold, the key is missing and there is no row.
fn one_or_none(value: &Value) -> Option<Place> {
    let Value::Template(template) = value else { return None };
    if template.is_expression() { part_under_condition(template.text()) } else { None }
}

fn part_under_condition(expression: &str) -> Option<Place> {
    let (part, condition) = expression.split_once(" if ")?;
    if condition.contains(" else ") { None } else { names(part.trim()) }
}

fn holes(text: &str) -> Option<Vec<Place>> {
    if text.contains("{%") || text.contains("{#") {
        return None;
    }
    let mut places = Vec::new();
    let mut pieces = text.split("{{");
    pieces.next();
    for (index, piece) in pieces.enumerate() {
        let (hole, behind) = piece.split_once("}}")?;
        places.push(names(hole.trim())?);
        let is_last = index + 1 == text.matches("{{").count();
        if behind.is_empty() && !is_last {
            return None;
        }
    }
    Some(places)
}

/// `body.order.number` as names.
fn names(text: &str) -> Option<Place> {
    let is_name = |name: &str| {
        name.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
            && name.starts_with(|first: char| !first.is_numeric())
    };
    text.split('.').all(is_name).then(|| text.split('.').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_apart_where_nothing_is_lost() {
        let holes = |text: &str| holes(text).map(|places| places.iter().map(|place| place.join(".")).collect::<Vec<_>>());
        assert_eq!(holes("order/{{ body.number }}"), Some(vec!["body.number".to_owned()]));
        assert_eq!(holes("{{ a }}-{{b.c}}"), Some(vec!["a".to_owned(), "b.c".to_owned()]));
        assert_eq!(holes("{{ a }}{{ b }}"), None);
        assert_eq!(holes("{{ a | lower }}"), None);
        assert_eq!(holes("{% if a %}{{ b }}{% endif %}"), None);
    }

    #[test]
    fn a_value_that_may_be_missing_is_itself_where_it_is_not() {
        let part = |text: &str| part_under_condition(text).map(|place| place.join("."));
        assert_eq!(part("body.old if not reused"), Some("body.old".to_owned()));
        assert_eq!(part("old if reused else number"), None);
        assert_eq!(part("old | lower if reused"), None);
    }
}

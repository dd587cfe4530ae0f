//! Two versions of one thing in the wrong order, where the route says what its version is: the older one is made out of the test's
//! own delivery, or of the answers that it fetches.

use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::Finding;
use super::base::{Base, is_table, rows};
use super::run::Stage;
use crate::expr::value::Value;
use crate::http_client::recorded::RecordedAnswer;
use crate::rehearsal::cases::Case;
use crate::rehearsal::equip::Age;
use crate::rehearsal::report::{Mismatch, Seen};
use crate::rehearsal::run::{equip, look_at, receive};
use crate::rehearsal::send::WebhookBody;
use crate::rehearsal::suite::Suite;
use crate::steps::admission::Route;

/// How many names that `extract` takes out of others are followed.
const MOST_NAMES: usize = 8;
/// How many years earlier a moment is made: a whole number of leap years.
const YEARS: i64 = 4;

/// The newer one first, and the older one first.
pub(super) async fn both_orders(suite: &Suite, case: &Case, base: &Base) -> Result<Finding, String> {
    let older = match Older::of(suite, case, base) {
        Ok(older) => older,
        Err(reason) => return Ok(Finding::NotApplicable(reason)),
    };
    for newer_first in [true, false] {
        let stage = Stage::new(suite, case, base).await?;
        let finding = in_order(&stage, &older, newer_first).await;
        stage.project.close().await;
        match finding? {
            Finding::Same => {}
            other => return Ok(other),
        }
    }
    Ok(Finding::Same)
}

async fn in_order(stage: &Stage<'_>, older: &Older, newer_first: bool) -> Result<Finding, String> {
    let newer = (stage.case, &stage.case.answers);
    let older_one = (&older.case, &older.case.answers);
    let order = if newer_first { [newer, older_one] } else { [older_one, newer] };
    let mut seen = Vec::new();
    for (case, answers) in order {
        stage.project.recorded.replace(answers.clone());
        seen.push(send(stage, case).await?);
    }
    let (newer, older) =
        if newer_first { (seen.swap_remove(0), seen.swap_remove(0)) } else { (seen.swap_remove(1), seen.swap_remove(0)) };
    if older.body.contains("\"duplicate\":true") || newer.body.contains("\"duplicate\":true") {
        let reason = "an older one has the same `id`, so it is dropped as a duplicate";
        return Ok(Finding::NotApplicable(reason.to_owned()));
    }
    let mut expected = stage.base.rows.clone();
    let found = rows(stage.suite, &stage.project).await?;
    let inserted = |table: &str| {
        let of = |change: &crate::model::attempt::ChangeTrace| change.verb == "insert" && change.table.ends_with(table);
        stage.base.seen.changes.iter().any(of)
    };
    // each of them is a thing of its own that happened
    found.into_iter().filter(|((_, table), _)| inserted(table)).for_each(|(place, rows)| drop(expected.insert(place, rows)));
    let why = if newer_first { "an older version that comes late must change nothing" } else { "the newer version must win" };
    let finding = stage.must_be(newer, &expected, why).await?;
    let late = older.changes.iter().find(|change| change.verb != "insert" && !change.outdated && wrote(change));
    match (finding, late) {
        (Finding::Same, Some(change)) if newer_first && is_versioned(stage, &change.table) => {
            let found = format!("{} of `{}` was done", change.verb, change.table);
            let mismatch = Mismatch::Value { what: "older version", expected: "nothing written".to_owned(), found };
            Ok(Finding::Different { reason: why.to_owned(), mismatches: vec![mismatch], seen: Box::new(older) })
        }
        (finding, _) => Ok(finding),
    }
}

fn wrote(change: &crate::model::attempt::ChangeTrace) -> bool {
    change.inserted + change.updated + change.deleted > 0
}

fn is_versioned(stage: &Stage<'_>, table: &str) -> bool {
    let table = table.rsplit('.').next().unwrap_or(table);
    let mut writes = stage.suite.source.admission.routes.iter().flat_map(|route| &route.pipeline.writes);
    writes.any(|write| write.version.is_some() && is_table(write, table))
}

async fn send(stage: &Stage<'_>, case: &Case) -> Result<Seen, String> {
    let request = equip(stage.suite, case, &stage.project, Age::Fresh).await?.request;
    let mut seen = receive(&stage.project, &request).await?;
    stage.project.settle().await?;
    look_at(stage.suite, &stage.project, &mut seen).await?;
    Ok(seen)
}

/// The test with an older version.
struct Older {
    case: Case,
}

/// Where a value is told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Header(String),
    Query(String),
    Body(Vec<String>),
    Answers(Vec<String>),
}

impl Older {
    /// Or why there is none.
    fn of(suite: &Suite, case: &Case, base: &Base) -> Result<Self, String> {
        let routes: Vec<&Route> = suite.source.admission.routes.iter().filter(|route| is_taken(route, base)).collect();
        let written = |table: &str| base.seen.changes.iter().any(|change| change.table.eq_ignore_ascii_case(table));
        let versions = routes.iter().flat_map(|route| {
            let writes = route.pipeline.writes.iter().filter(|write| written(&write.table.value));
            writes.filter_map(|write| Some((*route, write.version.as_ref()?.value()?)))
        });
        let versions: Vec<(&Route, &Value)> = versions.collect();
        if versions.is_empty() {
            return Err("nothing that is written has a `version` that is told".to_owned());
        }
        let mut case = case.clone();
        let mut told: Vec<Told> = Vec::new();
        for (route, version) in versions {
            let place = told_by(suite, route, version)
                .ok_or_else(|| format!("the version `{}` is computed, so no older one can be made", version.origin()))?;
            if !told.contains(&place) {
                replace(&mut case, &place, &earlier)
                    .ok_or_else(|| format!("the version `{}` of this test cannot be made older", version.origin()))?;
                told.push(place);
            }
        }
        for id in routes.iter().filter_map(|route| route.queueing.id.as_ref().map(|id| (route, id))) {
            let place = told_by(suite, id.0, id.1).filter(|place| !told.contains(place));
            place.and_then(|place| replace(&mut case, &place, &another).map(|()| told.push(place)));
        }
        Ok(Self { case })
    }
}

/// Whether a record of the test may have taken this route.
fn is_taken(route: &Route, base: &Base) -> bool {
    let events = base.seen.records.iter().filter_map(|record| record.event.as_deref());
    let mut events = events.peekable();
    events.peek().is_none() || events.any(|event| route.matcher.events.iter().any(|pattern| pattern.matches(event)))
}

/// Where a value comes from: past the names that `extract` gives it.
fn told_by(suite: &Suite, route: &Route, value: &Value) -> Option<Told> {
    let mut place = value.as_path()?.place()?;
    for _ in 0..MOST_NAMES {
        let first = place.first()?.clone();
        let rest: Vec<String> = place.get(1..)?.to_vec();
        let own = route.extract.typed(&first).or_else(|| suite.source.admission.extract.typed(&first));
        if let Some(typed) = own {
            place = typed.value.as_path()?.place()?.into_iter().chain(rest).collect();
            continue;
        }
        return match first.as_str() {
            "headers" => Some(Told::Header(rest.first()?.clone())),
            "query" => Some(Told::Query(rest.first()?.clone())),
            "params" | "received_at" | "delivery" | "attempt" | "index" => None,
            name if route.pipeline.enrich.calls().any(|call| call.name == name) => Some(Told::Answers(rest)),
            // `body`, or an element of it
            _ => Some(Told::Body(rest)),
        };
    }
    None
}

/// Puts another value in all places that tell it; nothing where there is none that can be another one.
fn replace(case: &mut Case, told: &Told, other: &dyn Fn(&Json) -> Option<Json>) -> Option<()> {
    let text_of = |text: &str| other(&json!(text)).and_then(|value| value.as_str().map(str::to_owned));
    match told {
        Told::Header(name) => {
            let name = name.replace('_', "-");
            let header = case.request.headers.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name))?;
            header.1 = text_of(&header.1)?;
            Some(())
        }
        Told::Query(name) => {
            let parameter = case.request.query.iter_mut().find(|(known, _)| known == name)?;
            parameter.1 = text_of(&parameter.1)?;
            Some(())
        }
        Told::Body(names) => match &mut case.request.body {
            WebhookBody::Json(body) => replace_in(body, names, other).then_some(()),
            WebhookBody::Empty | WebhookBody::Text(_) => None,
        },
        Told::Answers(names) => {
            let changed = case.answers.iter_mut().filter_map(|answer| replace_in_answer(answer, names, other)).count();
            (changed > 0).then_some(())
        }
    }
}

fn replace_in_answer(answer: &mut RecordedAnswer, names: &[String], other: &dyn Fn(&Json) -> Option<Json>) -> Option<()> {
    let mut body: Json = serde_json::from_slice(&answer.body).ok()?;
    replace_in(&mut body, names, other).then(|| answer.body = Bytes::from(body.to_string()))
}

/// Whether something was replaced: at the place that the names lead to, wherever that begins.
fn replace_in(body: &mut Json, names: &[String], other: &dyn Fn(&Json) -> Option<Json>) -> bool {
    let at = names.iter().try_fold(&mut *body, |value, name| value.get_mut(name));
    if let Some(value) = at
        && let Some(replaced) = other(value)
    {
        *value = replaced;
        return true;
    }
    let mut replaced = false;
    match body {
        Json::Object(fields) => fields.iter_mut().for_each(|(_, value)| replaced |= replace_in(value, names, other)),
        Json::Array(items) => items.iter_mut().for_each(|value| replaced |= replace_in(value, names, other)),
        _ => {}
    }
    replaced
}

/// An earlier version: a smaller number, with fewer digits where there is one, so that numbers compared as texts are found out; an
/// earlier moment.
fn earlier(value: &Json) -> Option<Json> {
    match value {
        Json::Number(number) => smaller(number.as_i64()?).map(Json::from),
        Json::String(text) => match text.parse::<i64>() {
            Ok(number) => smaller(number).map(|number| json!(number.to_string())),
            Err(_) => {
                let year: i64 = text.get(..4)?.parse().ok()?;
                let rest = text.get(4..).filter(|rest| rest.starts_with('-'))?;
                Some(json!(format!("{:04}{rest}", year.checked_sub(YEARS)?)))
            }
        },
        _ => None,
    }
}

fn smaller(number: i64) -> Option<i64> {
    match number {
        ..=9 => number.checked_sub(1),
        _ => Some(10_i64.pow(number.ilog10()) - 1),
    }
}

/// Another id.
fn another(value: &Json) -> Option<Json> {
    match value {
        Json::Number(number) => number.as_i64()?.checked_add(1).map(Json::from),
        Json::String(text) => Some(json!(format!("{text}0"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_version_is_smaller_and_found_out_where_it_is_compared_as_a_text() {
        let of = |value: Json| earlier(&value).unwrap_or_default();
        assert_eq!(of(json!(1234)), json!(999));
        assert_eq!(of(json!(7)), json!(6));
        assert_eq!(of(json!("10")), json!("9"));
        assert_eq!(of(json!("2026-11-22T10:00:00+01:00")), json!("2022-11-22T10:00:00+01:00"));
        assert_eq!((of(json!("abc")), of(json!(null))), (Json::Null, Json::Null));
    }

    #[test]
    fn a_value_is_replaced_wherever_it_begins() {
        let names = ["meta".to_owned(), "seq".to_owned()];
        let mut body = json!({ "items": [{ "meta": { "seq": 12 } }, { "meta": {} }], "seq": 3 });
        assert!(replace_in(&mut body, &names, &earlier));
        assert_eq!(body, json!({ "items": [{ "meta": { "seq": 9 } }, { "meta": {} }], "seq": 3 }));
        assert!(!replace_in(&mut body, &["other".to_owned()], &earlier));
    }
}

//! The same delivery twice: senders repeat what they are not sure of.

use std::collections::BTreeSet;

use super::Finding;
use super::base::Rows;
use super::run::Stage;
use crate::rehearsal::equip::Age;
use crate::rehearsal::report::{Mismatch, Seen};
use crate::rehearsal::run::{equip, look_at, receive};

const WHY: &str = "a delivery that comes twice must leave the rows of one";

/// One after the other.
pub(super) async fn again(stage: &Stage<'_>) -> Result<Finding, String> {
    let Stage { suite, case, project, .. } = stage;
    let request = equip(suite, case, project, Age::Fresh).await?.request;
    receive(project, &request).await?;
    project.settle().await?;
    let mut second = receive(project, &request).await?;
    project.settle().await?;
    look_at(suite, project, &mut second).await?;
    judge(stage, second).await
}

/// Side by side, and so are the workers of two processes.
pub(super) async fn at_once(stage: &Stage<'_>) -> Result<Finding, String> {
    let Stage { suite, case, project, .. } = stage;
    let request = equip(suite, case, project, Age::Fresh).await?.request;
    let (first, second) = tokio::join!(receive(project, &request), receive(project, &request));
    let (mut first, mut second) = (first?, second?);
    let other = project.other_process()?;
    project.settle_with(&[&project.tools, &other]).await?;
    look_at(suite, project, &mut first).await?;
    look_at(suite, project, &mut second).await?;
    // whichever of them fared worse
    let is_worse = |seen: &Seen| matches!(seen.worst, Some(state) if state.word() == "dead");
    judge(stage, if is_worse(&first) { first } else { second }).await
}

/// The rows must be the same; but what is only ever inserted, and has no id, is inserted again.
async fn judge(stage: &Stage<'_>, seen: Seen) -> Result<Finding, String> {
    let inserted: BTreeSet<String> = inserting_without_id(stage);
    let finding = stage.must_be_same(seen.clone(), WHY).await?;
    let Finding::Different { mismatches, .. } = &finding else { return Ok(finding) };
    if inserted.is_empty() {
        return Ok(finding);
    }
    let hint = "an `id:` that reads the sender's own id makes the second one a duplicate";
    let tables = inserted.iter().map(|table| format!("`{table}`")).collect::<Vec<_>>().join(", ");
    let only_state = mismatches.iter().all(|mismatch| matches!(mismatch, Mismatch::Value { what: "state", .. }));
    if only_state && seen.worst.is_some_and(|state| state.word() == "dead") {
        let reason = seen.records.iter().find_map(|record| record.reason.clone()).unwrap_or_default();
        return Ok(Finding::Warning(format!(
            "the second delivery cannot be inserted into {tables} and is dead: {reason}; {hint}"
        )));
    }
    let doubled = stage.must_be(seen, &doubled(stage, &inserted), WHY).await?;
    Ok(match doubled {
        Finding::Same => Finding::Warning(format!("inserts again into {tables}: the delivery has no id; {hint}")),
        _ => finding,
    })
}

/// The tables that the delivery inserted into, where no `id` tells its copy from a second one.
fn inserting_without_id(stage: &Stage<'_>) -> BTreeSet<String> {
    let inserts = stage.base.seen.changes.iter().filter(|change| change.verb == "insert");
    let routes = || stage.suite.source.admission.routes.iter().filter(|route| route.queueing.id.is_none());
    let writes = |table: &str| routes().flat_map(|route| &route.pipeline.writes).any(|write| super::base::is_table(write, table));
    let bare = |table: &str| table.rsplit('.').next().unwrap_or(table).to_owned();
    inserts.map(|change| bare(&change.table)).filter(|table| writes(table)).collect()
}

/// The rows of the ordinary run, with those that the delivery inserted twice.
fn doubled(stage: &Stage<'_>, tables: &BTreeSet<String>) -> Rows {
    let mut rows = stage.base.rows.clone();
    for ((_, table), rows) in rows.iter_mut().filter(|((_, table), _)| tables.iter().any(|name| name.eq_ignore_ascii_case(table)))
    {
        let given = stage.case.given.iter().filter(|(name, _)| name.eq_ignore_ascii_case(table)).map(|(_, rows)| rows.len());
        // rows come in the order of their keys, so which ones were given is not known: only how many
        let (given, added) = (given.sum::<usize>(), rows.clone());
        if given == 0 {
            rows.extend(added);
        } else {
            rows.extend(added.into_iter().skip(given));
        }
    }
    rows
}

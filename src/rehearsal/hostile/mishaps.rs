//! What happens to providers and processes: calls that fail, workers that stall or die.

use std::sync::Arc;

use futures_util::future::join_all;

use super::Finding;
use super::base::Base;
use super::run::Stage;
use crate::http_client::recorded::{Disturbance, Gate};
use crate::rehearsal::cases::Case;
use crate::rehearsal::equip::Age;
use crate::rehearsal::report::Seen;
use crate::rehearsal::run::{equip, look_at, receive};
use crate::rehearsal::suite::Suite;
use crate::worker::deliver::deliver;

/// The most calls of a test that are made to fail one at a time; the others are more of the same.
const MOST_ALONE: usize = 8;
/// How often a call is made that is answered with 500, then loses its connection, then is answered.
const TIMES: usize = 3;

/// Each call is answered with 500, then loses its connection, then is answered: all of them, and where that comes to something else
/// one at a time, which says whether it is a call's failure that does it or that there are so many.
pub(super) async fn failing_calls(suite: &Suite, case: &Case, base: &Base) -> Result<Finding, String> {
    let all: Vec<usize> = (0..base.calls_at_work).map(|number| number * TIMES).collect();
    if let Finding::Same = failing(suite, case, base, &all).await? {
        return Ok(Finding::Same);
    }
    for number in 0..base.calls_at_work.min(MOST_ALONE) {
        match failing(suite, case, base, &[number]).await? {
            Finding::Same => {}
            other => return Ok(other),
        }
    }
    Ok(Finding::Same)
}

/// What it comes to when the calls of these numbers fail, and the ones after them.
async fn failing(suite: &Suite, case: &Case, base: &Base, calls: &[usize]) -> Result<Finding, String> {
    let stage = Stage::new(suite, case, base).await?;
    for number in calls {
        let call = base.calls_at_intake + number;
        stage.project.recorded.disturb(call, Disturbance::Status(500));
        stage.project.recorded.disturb(call + 1, Disturbance::Reset);
    }
    let finding = disturbed(&stage).await;
    stage.project.close().await;
    finding
}

async fn disturbed(stage: &Stage<'_>) -> Result<Finding, String> {
    let Stage { suite, case, project, .. } = stage;
    let request = equip(suite, case, project, Age::Fresh).await?.request;
    let mut seen = receive(project, &request).await?;
    project.settle().await?;
    look_at(suite, project, &mut seen).await?;
    stage.must_be_same(seen, "a call that fails and is made again must come to the same").await
}

/// A worker fetches and stalls; its lease ends, another process does the work; then the first one goes on to write. One that was
/// killed is the same without the end.
pub(super) async fn stalled(stage: &Stage<'_>) -> Result<Finding, String> {
    let Stage { suite, case, project, base, .. } = stage;
    let gate = Arc::new(Gate::default());
    // of several records only the first of each lane are claimed at once, so the last call may not be among theirs
    let stalling =
        if base.attempts == 1 { base.calls_at_work.checked_sub(1) } else { base.calls_at_work.checked_sub(1).map(|_| 0) };
    if let Some(call) = stalling {
        project.recorded.disturb(base.calls_at_intake + call, Disturbance::Stall(Arc::clone(&gate)));
    }
    let request = equip(suite, case, project, Age::Fresh).await?.request;
    let mut seen = receive(project, &request).await?;
    let claims = project.claim().await?;
    let late = join_all(claims.iter().map(|claim| deliver(&project.tools, claim)));
    let mut late = std::pin::pin!(late);
    let mut is_late = true;
    if stalling.is_some() {
        tokio::select! {
            () = gate.reached() => {}
            // what was claimed calls nothing
            _ = &mut late => is_late = false,
        }
    }
    project.outlast_leases();
    let other = project.other_process()?;
    project.settle_with(&[&other]).await?;
    let finding = settled(stage, &mut seen, "what another worker does after one died must come to the same").await?;
    if !matches!(finding, Finding::Same) || claims.is_empty() {
        return Ok(finding);
    }
    gate.open();
    if is_late {
        late.await;
    }
    settled(stage, &mut seen, "a worker that lost its lease must write nothing any more").await
}

async fn settled(stage: &Stage<'_>, seen: &mut Seen, why: &str) -> Result<Finding, String> {
    look_at(stage.suite, &stage.project, seen).await?;
    stage.must_be_same(seen.clone(), why).await
}

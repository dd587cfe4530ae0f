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

/// The most calls of a test that are made to fail; the others are more of the same.
const MOST_FAILING: usize = 8;

/// Each call in turn is answered with 500, then loses its connection, then is answered.
pub(super) async fn failing_calls(suite: &Suite, case: &Case, base: &Base) -> Result<Finding, String> {
    for number in 0..base.calls_at_work.min(MOST_FAILING) {
        let stage = Stage::new(suite, case, base).await?;
        let finding = failing_call(&stage, base.calls_at_intake + number).await;
        stage.project.close().await;
        match finding? {
            Finding::Same => {}
            other => return Ok(other),
        }
    }
    Ok(Finding::Same)
}

async fn failing_call(stage: &Stage<'_>, call: usize) -> Result<Finding, String> {
    let Stage { suite, case, project, .. } = stage;
    project.recorded.disturb(call, Disturbance::Status(500));
    project.recorded.disturb(call + 1, Disturbance::Reset);
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

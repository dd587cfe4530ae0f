//! The demo's second act: the webhooks of every source, source by source, and the tables that they wrote.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::demo_text::{Screen, Total};
use crate::rehearsal::play::{Played, Stage};
use crate::rehearsal::programme::{Length, Part, Programme};
use crate::rehearsal::suite::Suite;

/// Plays it; says whether everything was as expected.
pub(super) async fn play(screen: &Screen, stage: Stage<'_>, suites: &[Arc<Suite>], length: Length) -> anyhow::Result<bool> {
    let programme = |run: u32| Programme::of(suites, length, run, stage.tenant_column);
    let first_tenant = |run: u32| programme(run).parts().find_map(|part| part.tenants.first().cloned());
    let programme = programme(stage.next_run(first_tenant).await.map_err(anyhow::Error::msg)?);
    let count = programme.parts().count();
    screen.step(&match length {
        Length::Short => format!("Every source, one webhook of each kind ({count}), each for a customer of its own:"),
        Length::Full => format!("Every source, every webhook that ends well ({count}), each for a customer of its own:"),
    });
    let mut played = Vec::new();
    let rounds = programme.handshakes.iter().map(std::slice::from_ref).chain(programme.rounds.iter().map(Vec::as_slice));
    for parts in rounds {
        let before = played.len();
        played.extend(stage.round(suites, parts, |waited| screen.waiting_for(before + parts.len(), count, waited)).await);
    }
    screen.waited();
    played.sort_by_key(|one: &Played| (one.suite, one.number));
    for (number, suite) in suites.iter().enumerate() {
        let own: Vec<&Played> = played.iter().filter(|one| one.suite == number).collect();
        if !own.is_empty() {
            screen.source(&suite.source.title, &suite.source.path);
            own.into_iter().for_each(|one| screen.played(one));
        }
    }
    screen.left_out(&programme.left_out);
    show_tables(screen, stage, suites, &programme, length).await?;
    let is_right = played.iter().all(|one| one.verdict.is_passed());
    screen.total(&Total {
        webhooks: played.len(),
        sources: played.iter().map(|one| one.suite).collect::<BTreeSet<_>>().len(),
        calls: played.iter().map(|one| one.calls).sum(),
        forwards: played.iter().map(|one| one.forwards).sum(),
        wrong: played.iter().filter(|one| !one.verdict.is_passed()).count(),
    });
    Ok(is_right && !played.is_empty())
}

/// The tables that the sources write, in the order in which they first do.
async fn show_tables(
    screen: &Screen,
    stage: Stage<'_>,
    suites: &[Arc<Suite>],
    programme: &Programme,
    length: Length,
) -> anyhow::Result<()> {
    let parts: Vec<&Part> = programme.parts().collect();
    let mut known = BTreeSet::new();
    let mut counts = Vec::new();
    for suite in suites {
        for write in suite.source.admission.routes.iter().flat_map(|route| &route.pipeline.writes) {
            let table = write.table.value.as_str();
            if !known.insert((write.database.clone(), table.to_ascii_lowercase())) {
                continue;
            }
            let rows = stage.rows(suite, table, &parts).await.map_err(anyhow::Error::msg)?;
            match length {
                Length::Short if rows.is_empty() => {}
                Length::Short => screen.excerpt(table, &rows),
                Length::Full => counts.push((table.to_owned(), rows.len())),
            }
        }
    }
    screen.counts(&counts);
    Ok(())
}

impl Screen {
    /// Progress while webhooks are worked on.
    fn waiting_for(&self, sent: usize, all: usize, waited: Duration) {
        self.progress(&format!("{sent} of {all} webhooks sent, waiting for their rows… {:.1} s", waited.as_secs_f64()));
    }
}

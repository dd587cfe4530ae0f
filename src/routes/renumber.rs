//! Renumberings: a write with `was` touches two things, so its records belong into the lanes of both. Told only where it is certain:
//! places are followed through `extract` to the request.

use std::collections::BTreeSet;

use super::file::FileOptions;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::expr::reads::Reads;
use crate::expr::template::Engine;
use crate::steps::admission::Route;
use crate::steps::extract::Extract;
use crate::steps::map::{Column, Write};
use crate::steps::write_options::Verb;

type Places = BTreeSet<Vec<String>>;

/// Warns of writes with `was` whose lane is that of only one of the two numbers.
pub(super) fn check(options: &FileOptions, file: &Extract, routes: &[Route], engine: &Engine, diagnostics: &mut Diagnostics) {
    for (index, route) in routes.iter().enumerate() {
        let written = options.routes.get(index).and_then(|route| route.lane.as_ref()).or(options.lane.as_ref());
        let Some(lane) = written.filter(|_| !route.queueing.lanes.is_empty()) else { continue };
        let places = |reads: &Reads| origins(reads, &[&route.extract, file], engine);
        for write in route.pipeline.writes.iter().filter(|write| write.verb == Verb::Upsert && !write.was.is_empty()) {
            let is_outside = halves(write, &places, engine).is_some_and(|halves| !covers(route, &halves, &places, engine));
            if let (true, Some(old), Some(new)) = (is_outside, named(&write.was), named(&renumbered(write))) {
                let message = format!(
                    "a row moves from `{old}` to `{new}`, but the lane is not that of both: changes of one of the two could run at the \
                     same time"
                );
                diagnostics.report(
                    Diagnostic::warning("was-outside-lane", lane.span, message)
                        .related(write.was[0].span, "moves a row")
                        .hint(format!("put the record into the lanes of both, as in `lane: [\"row/{old}\", \"row/{new}\"]`")),
                );
            }
        }
    }
}

/// The columns of the key that had another value before.
fn renumbered(write: &Write) -> Vec<Column> {
    let had = |column: &&Column| write.was.iter().any(|was| was.name == column.name);
    write.key.iter().filter(had).cloned().collect()
}

/// As it would stand in a template.
fn named(columns: &[Column]) -> Option<String> {
    let origin = columns.first()?.value.value.origin();
    let name = origin.strip_prefix("$.").unwrap_or(&origin);
    Some(if name.contains('{') { name.to_owned() } else { format!("{{{{ {name} }}}}") })
}

/// What only the old key is taken from, and what only the new one is.
fn halves(write: &Write, places: &dyn Fn(&Reads) -> Places, engine: &Engine) -> Option<(Places, Places)> {
    let of = |columns: &[Column]| {
        let mut reads = Reads::default();
        columns.iter().for_each(|column| column.value.add_reads(engine, &mut reads));
        places(&reads)
    };
    let (old, new) = (of(&write.was), of(&renumbered(write)));
    let only = |one: &Places, other: &Places| one.iter().filter(|place| !meets(place, other)).cloned().collect::<Places>();
    let halves = (only(&old, &new), only(&new, &old));
    (!halves.0.is_empty() && !halves.1.is_empty()).then_some(halves)
}

/// Whether the lanes are those of both halves, or have nothing to do with either.
fn covers(route: &Route, (old, new): &(Places, Places), places: &dyn Fn(&Reads) -> Places, engine: &Engine) -> bool {
    let mut of_lanes = Vec::new();
    for lane in &route.queueing.lanes {
        let mut reads = Reads::default();
        lane.add_reads(engine, &mut reads);
        let read = places(&reads);
        of_lanes.push((read.iter().any(|place| meets(place, old)), read.iter().any(|place| meets(place, new))));
    }
    let (any_old, any_new) = (of_lanes.iter().any(|lane| lane.0), of_lanes.iter().any(|lane| lane.1));
    // one lane of both numbers is the lane of neither
    any_old == any_new && (of_lanes.len() > 1 || !any_old)
}

/// Whether a place is, holds, or is part of one of these.
fn meets(place: &[String], others: &Places) -> bool {
    others.iter().any(|other| place.starts_with(other) || other.starts_with(place))
}

/// The places of the request that these come from.
fn origins(reads: &Reads, extracts: &[&Extract], engine: &Engine) -> Places {
    let mut found = Places::new();
    let mut waiting: Vec<Vec<String>> = reads.places().map(<[String]>::to_vec).collect();
    let mut seen = BTreeSet::new();
    while let Some(place) = waiting.pop() {
        let typed = extracts.iter().find_map(|extract| extract.typed(&place[0]));
        match typed.filter(|_| seen.insert(place[0].clone())) {
            Some(typed) => {
                let mut reads = Reads::default();
                typed.add_reads(engine, &mut reads);
                waiting.extend(reads.places().map(<[String]>::to_vec));
            }
            None if typed.is_none() => {
                found.insert(place);
            }
            None => {}
        }
    }
    found
}

//! Whether a route's records may run after newer ones of their lane: when its rows come from what it fetches at that moment, or have a
//! version that tells which is newer.

use super::map::Write;
use super::pipeline::Pipeline;
use super::write_options::Verb;
use crate::expr::reads::Reads;
use crate::expr::template::Engine;

/// What is the same for all records of a lane.
const SHARED: [&str; 3] = ["tenant", "source", "position"];

/// Whether a route asks the provider about what its delivery names, and takes nothing else than names from the delivery: then its
/// rows are as new as its last run, whatever ran before.
pub fn writes_what_it_fetches(pipeline: &Pipeline, engine: &Engine) -> bool {
    let answers: Vec<&str> = pipeline.enrich.calls().map(|call| call.name.as_str()).collect();
    let fetches = pipeline.enrich.calls().any(|call| !call.reference);
    !pipeline.writes.is_empty()
        && pipeline.writes.iter().all(|write| {
            let fetched = || write.verb == Verb::Insert || reads_only(write, &answers, engine);
            // an older version changes nothing, whenever it comes
            write.version.is_some() || (fetches && fetched())
        })
}

/// Whether a write takes all but the columns that find its rows from answers.
fn reads_only(write: &Write, answers: &[&str], engine: &Engine) -> bool {
    let mut reads = Reads::default();
    write.set.iter().for_each(|column| column.value.add_reads(engine, &mut reads));
    write.when.iter().for_each(|when| when.add_reads(engine, &mut reads));
    write.each.iter().for_each(|(_, list)| list.add_reads(engine, &mut reads));
    let item = write.each.as_ref().map(|(name, _)| name.as_str());
    let names = reads.first_names();
    names.iter().all(|name| answers.contains(name) || SHARED.contains(name) || item == Some(*name))
}

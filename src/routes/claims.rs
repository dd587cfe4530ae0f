//! Who keeps a name or a request that two files claim: what runs already. The other file is told, and keeps its last good version.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::load::LoadedFile;
use super::signing;
use super::source::Source;
use crate::config::diagnostic::Diagnostic;
use crate::config::source::Span;

/// Refuses files whose name or requests another has.
pub(super) fn settle(files: &mut [LoadedFile], running: &[Arc<Source>]) {
    let order = claim_order(files, running);
    refuse_duplicates(files, &order);
    signing::settle(files, &order, running);
    // one that is refused goes on as it was before, which may be in the way of another
    while let Some((index, diagnostic)) = find_overlap(files, &order, running) {
        files[index].diagnostics.report(diagnostic);
        files[index].source = None;
    }
}

/// Unchanged files first, then changed ones of sources that run, then those that bring a known name along, then new ones.
fn claim_order(files: &[LoadedFile], running: &[Arc<Source>]) -> Vec<usize> {
    let rank = |file: &LoadedFile| {
        let Some(known) = running.iter().find(|known| known.name == file.name) else { return 3 };
        match &file.source {
            Some(source) if source.bundle_hash == known.bundle_hash => 0,
            _ if known.path == file.path => 1,
            _ => 2,
        }
    };
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by_cached_key(|index| (rank(&files[*index]), files[*index].path.clone()));
    order
}

fn refuse_duplicates(files: &mut [LoadedFile], order: &[usize]) {
    let mut seen: BTreeMap<String, (String, Option<Span>)> = BTreeMap::new();
    for index in order {
        let file = &mut files[*index];
        let Some(source) = &file.source else { continue };
        match seen.get(&file.name) {
            Some((other, place)) => {
                let message = format!("the source `{}` is described by `{other}` already", file.name);
                let span = file.name_span.unwrap_or(source.receive.span);
                let mut diagnostic = Diagnostic::error("duplicate-source", span, message);
                if let Some(place) = place {
                    diagnostic = diagnostic.related(*place, "described here");
                }
                file.diagnostics.report(diagnostic.hint("give one of them another `source:`"));
                file.source = None;
            }
            None => drop(seen.insert(file.name.clone(), (file.path.clone(), file.name_span))),
        }
    }
}

fn find_overlap(files: &[LoadedFile], order: &[usize], running: &[Arc<Source>]) -> Option<(usize, Diagnostic)> {
    let standing: Vec<&Arc<Source>> = running.iter().filter(|known| stands(files, known)).collect();
    order.iter().enumerate().find_map(|(position, later)| {
        let source = files[*later].source.as_ref()?;
        let message = |other: &Source| format!("`{}` and `{}` can both receive the same request", source.name, other.name);
        let diagnostic = |other| Diagnostic::error("overlapping-receive", source.receive.span, message(other));
        if let Some(other) = standing.iter().find(|other| other.name != source.name && other.receive.overlaps(&source.receive)) {
            let hint = format!("mend `{}` first: its last good version runs and receives this", other.path);
            return Some((*later, diagnostic(other).hint(hint)));
        }
        let mut earlier = order[..position].iter().filter_map(|index| files[*index].source.as_ref());
        let other = earlier.find(|other| other.receive.overlaps(&source.receive))?;
        let diagnostic = diagnostic(other)
            .related(other.receive.span, format!("`{}` receives it too", other.name))
            .hint("give them different paths, or different values of a query parameter or header");
        Some((*later, diagnostic))
    })
}

/// Whether a source goes on in the version that runs because its file has no good one.
fn stands(files: &[LoadedFile], known: &Source) -> bool {
    files.iter().any(|file| file.describes(&known.name, &known.path))
        && !files.iter().any(|file| file.name == known.name && file.source.is_some())
}

//! Whether a route can do its work when the thing is gone: rows go by their keys, and an answer gives none when there is none.

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::source::Span;
use crate::expr::reads::Reads;
use crate::expr::template::Engine;
use crate::steps::admission::Route;
use crate::steps::call::Call;
use crate::steps::map::Write;
use crate::steps::write_options::Verb;

/// Refuses writes whose rows could not be found when the thing is gone.
pub(super) fn refuse_without_key(routes: &[Route], engine: &Engine, diagnostics: &mut Diagnostics) {
    for route in routes {
        let missing = missing_answers(route);
        for write in &route.pipeline.writes {
            let found = missing.iter().find_map(|answer| need_of(write, answer, engine).map(|need| (need, *answer)));
            if let Some((need, answer)) = found {
                let (span, what, hint) = match need {
                    Need::Key { column, span } => (span, format!("the key `{column}`"), "take the key from the request"),
                    Need::List => (
                        write.table.span,
                        "the list of `each`".to_owned(),
                        "write these rows with `replace` and `of`: those of a thing that is gone go without their list",
                    ),
                };
                let message = format!("when the thing is gone there is no answer `{answer}` that could give {what}");
                diagnostics.report(Diagnostic::error("gone-without-key", span, message).hint(hint));
            }
        }
    }
}

/// What a write needs an answer for, to find the rows that go.
enum Need<'a> {
    Key { column: &'a str, span: Span },
    List,
}

fn need_of<'w>(write: &'w Write, answer: &str, engine: &Engine) -> Option<Need<'w>> {
    let (columns, list) = match write.verb {
        Verb::Insert | Verb::Update => (&[][..], None),
        Verb::Upsert | Verb::Delete => (write.key.as_slice(), write.each.as_ref()),
        Verb::Replace => (write.of.as_slice(), None),
    };
    let is_read = |add: &dyn Fn(&mut Reads)| {
        let mut reads = Reads::default();
        add(&mut reads);
        reads.reads_name(answer)
    };
    let column = columns.iter().find(|column| is_read(&|reads| column.value.add_reads(engine, reads)));
    let key = column.map(|column| Need::Key { column: &column.name, span: column.value.span });
    key.or_else(|| list.filter(|(_, list)| is_read(&|reads| list.add_reads(engine, reads))).map(|_| Need::List))
}

/// The answers that may not be there when the thing is gone. Where the delivery says so nothing is fetched. Where a call does, those
/// are there that it waited for.
fn missing_answers(route: &Route) -> Vec<&str> {
    let calls: Vec<&Call> = route.pipeline.enrich.calls().collect();
    let telling: Vec<&Call> = calls.iter().copied().filter(|call| call.may_say_gone()).collect();
    let missing = |call: &&Call| {
        let had = |telling: &&Call| telling.name != call.name && waits_for(telling, &call.name, &calls);
        route.queueing.gone.is_some() || !telling.iter().all(had)
    };
    calls.iter().copied().filter(missing).map(|call| call.name.as_str()).collect()
}

/// Whether a call is made with the answer of another, or with one that was.
fn waits_for(call: &Call, other: &str, calls: &[&Call]) -> bool {
    let mut waiting = vec![call];
    let mut seen: Vec<&str> = Vec::new();
    while let Some(call) = waiting.pop() {
        if call.reads.reads_name(other) {
            return true;
        }
        let further = calls.iter().filter(|next| call.reads.reads_name(&next.name) && !seen.contains(&next.name.as_str()));
        let further: Vec<&Call> = further.copied().collect();
        seen.extend(further.iter().map(|next| next.name.as_str()));
        waiting.extend(further);
    }
    false
}

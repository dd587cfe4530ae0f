//! What is allowed but most likely not meant: routes that are never reached, lanes that hold the event, routes without work.

use super::file::FileOptions;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::steps::admission::Route;
use crate::steps::choose::Pattern;

/// Checks a compiled file as a whole.
pub(super) fn check(options: &FileOptions, routes: &[Route], diagnostics: &mut Diagnostics) {
    warn_of_unreachable(options, routes, diagnostics);
    refuse_patterns_without_event(options, diagnostics);
    warn_of_no_work(options, routes, diagnostics);
    warn_of_event_in_lane(options, routes, diagnostics);
    refuse_gone_without_key(options, diagnostics);
}

fn warn_of_unreachable(options: &FileOptions, routes: &[Route], diagnostics: &mut Diagnostics) {
    for (later, route) in routes.iter().enumerate() {
        let covers = |earlier: &Route| {
            earlier.matcher.when.is_none() && route.matcher.events.iter().all(|event| covered(event, &earlier.matcher.events))
        };
        let first = routes[..later].iter().position(covers);
        if let (Some(first), Some(later)) = (first, options.routes.get(later)) {
            let diagnostic = Diagnostic::warning(
                "unreachable-route",
                later.span,
                "this route is never reached: an earlier one wants all its events",
            );
            diagnostics.report(
                diagnostic.related(options.routes[first].span, "the first match wins").hint("put the narrower route first"),
            );
        }
    }
}

fn covered(event: &Pattern, by: &[Pattern]) -> bool {
    by.iter().any(|pattern| pattern == event || pattern.text() == "*" || (event.is_literal() && pattern.matches(event.text())))
}

fn refuse_patterns_without_event(options: &FileOptions, diagnostics: &mut Diagnostics) {
    let named = options.routes.iter().find(|route| route.event.iter().any(|event| event.text() != "*"));
    if let (None, Some(route)) = (&options.event, named) {
        let message = "this route wants an event by name, but the file does not say where an event's name stands";
        diagnostics.report(
            Diagnostic::error("event-without-name", route.span, message).hint("say it at file level: `event: $.body.event`"),
        );
    }
}

fn warn_of_no_work(options: &FileOptions, routes: &[Route], diagnostics: &mut Diagnostics) {
    for (index, route) in routes.iter().enumerate() {
        if route.pipeline.writes.is_empty() && route.ignore.is_none() {
            let span = options.routes.get(index).map_or(options.span, |route| route.span);
            diagnostics.report(
                Diagnostic::warning("route-without-work", span, "nothing is written here")
                    .hint("add `write:`, or say `ignore: reason` if that is meant"),
            );
        }
    }
}

/// An update and a delete of one thing would run side by side if their lanes differ by the event.
fn warn_of_event_in_lane(options: &FileOptions, routes: &[Route], diagnostics: &mut Diagnostics) {
    let Some(lane) = options.lane.as_ref().filter(|lane| lane.text().is_some_and(|text| text.contains("event"))) else { return };
    let tables = |route: &Route| route.pipeline.writes.iter().map(|write| write.table.value.clone()).collect::<Vec<_>>();
    let shared = routes.iter().enumerate().find_map(|(index, route)| {
        let mine = tables(route);
        routes[index + 1..].iter().flat_map(tables).find(|table| mine.contains(table))
    });
    let reads_event = crate::config::yaml::shorten(lane.text().unwrap_or_default())
        .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .any(|word| word == "event");
    if let Some(table) = shared.filter(|_| reads_event) {
        let message = format!(
            "the lane holds the event, and two routes write `{table}`: an update and a delete of one thing would run side by side"
        );
        diagnostics.report(
            Diagnostic::warning("event-in-lane", lane.span, message)
                .hint("make the lane of the thing itself: `order/{{ number }}`"),
        );
    }
}

/// `gone` deletes by keys; a key that only an answer could give is not there when nothing was fetched.
fn refuse_gone_without_key(options: &FileOptions, diagnostics: &mut Diagnostics) {
    let file = (options.gone.as_ref(), &options.write, &options.enrich);
    let routes = options.routes.iter().map(|route| (route.gone.as_ref().or(options.gone.as_ref()), &route.write, &route.enrich));
    for (gone, writes, enrich) in std::iter::once(file).chain(routes) {
        if gone.is_none() {
            continue;
        }
        for write in writes {
            let columns = if write.replace.is_some() { &write.of } else { &write.key };
            let answers: Vec<&str> = options.enrich.names().chain(enrich.names()).collect();
            let asks = columns.entries.iter().find_map(|(name, node)| {
                let text = node.text()?;
                let answer =
                    answers.iter().find(|answer| text.starts_with(&format!("$.{answer}.")) || text == format!("$.{answer}"))?;
                Some((name, *answer, node.span))
            });
            if let Some((column, answer, span)) = asks {
                let message =
                    format!("when the thing is gone nothing is fetched, so `{answer}` cannot give the key `{}`", column.value);
                diagnostics.report(Diagnostic::error("gone-without-key", span, message).hint("take the key from the request"));
            }
        }
    }
}

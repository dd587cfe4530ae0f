//! What is allowed but most likely not meant: routes that are never reached, lanes that hold the event, routes without work.

use super::file::{FileOptions, RouteOptions};
use super::gone;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::source::{Span, Spanned};
use crate::expr::reads::Reads;
use crate::expr::template::Engine;
use crate::steps::admission::Route;
use crate::steps::choose::Pattern;
use crate::steps::forward::Forward;
use crate::steps::lane::Coalesce;
use crate::steps::map::Write;
use crate::steps::write_options::Verb;

/// Checks a compiled file as a whole.
pub(super) fn check(options: &FileOptions, routes: &[Route], engine: &Engine, diagnostics: &mut Diagnostics) {
    warn_of_unreachable(options, routes, diagnostics);
    refuse_patterns_without_event(options, diagnostics);
    warn_of_no_work(options, routes, diagnostics);
    warn_of_event_in_lane(options, routes, engine, diagnostics);
    gone::refuse_without_key(routes, engine, diagnostics);
}

/// Where a route says which events it wants, or where it begins.
fn place_of(route: &RouteOptions) -> Span {
    match (route.event.first(), route.event.last()) {
        (Some(first), Some(last)) => Span { end: last.span.end, ..first.span },
        _ => route.head,
    }
}

fn warn_of_unreachable(options: &FileOptions, routes: &[Route], diagnostics: &mut Diagnostics) {
    for (later, route) in routes.iter().enumerate() {
        let covers = |earlier: &Route| {
            earlier.matcher.when.is_none() && route.matcher.events.iter().all(|event| covered(event, &earlier.matcher.events))
        };
        let first = routes[..later].iter().position(covers);
        if let (Some(first), Some(later)) = (first, options.routes.get(later)) {
            let message = "this route is never reached: an earlier one wants all its events";
            diagnostics.report(
                Diagnostic::warning("unreachable-route", place_of(later), message)
                    .related(place_of(&options.routes[first]), "the first match wins")
                    .hint("put the narrower route first"),
            );
        }
    }
}

fn covered(event: &Pattern, by: &[Pattern]) -> bool {
    by.iter().any(|pattern| pattern == event || pattern.text() == "*" || (event.is_literal() && pattern.matches(event.text())))
}

fn refuse_patterns_without_event(options: &FileOptions, diagnostics: &mut Diagnostics) {
    let named = options.routes.iter().flat_map(|route| &route.event).find(|event| event.text() != "*");
    if let (None, Some(event)) = (&options.event, named) {
        let message = "a route wants an event by name, but the file does not say where an event's name stands";
        diagnostics.report(
            Diagnostic::error("event-without-name", event.span, message).hint("say it at file level: `event: $.body.event`"),
        );
    }
}

fn warn_of_no_work(options: &FileOptions, routes: &[Route], diagnostics: &mut Diagnostics) {
    for (index, route) in routes.iter().enumerate() {
        if route.pipeline.writes.is_empty() && route.forwards.is_empty() && route.ignore.is_none() {
            let span = options.routes.get(index).map_or(options.head, place_of);
            diagnostics.report(
                Diagnostic::warning("route-without-work", span, "this route writes and forwards nothing")
                    .hint("add `write:` or `forward:`, or say `ignore: reason` if that is meant"),
            );
        }
    }
}

/// An update and a delete of one thing would run side by side if their lanes differ by the event.
fn warn_of_event_in_lane(options: &FileOptions, routes: &[Route], engine: &Engine, diagnostics: &mut Diagnostics) {
    let mut told: Vec<Span> = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let own = options.routes.get(index).and_then(|route| route.lane.as_ref());
        let Some(lane) = own.or(options.lane.as_ref()).filter(|lane| !told.contains(&lane.span)) else { continue };
        let mut reads = Reads::default();
        route.queueing.lanes.iter().for_each(|lane| lane.add_reads(engine, &mut reads));
        let others = routes.iter().enumerate().filter(|(other, _)| *other != index).flat_map(|(_, other)| tables(other));
        let mine: Vec<&str> = tables(route).collect();
        let shared = others.filter(|_| reads.reads_name("event")).find(|table| mine.contains(table));
        if let Some(table) = shared {
            told.push(lane.span);
            let message = format!(
                "the lane holds the event, and two routes write `{table}`: an update and a delete of one thing would run side by side"
            );
            diagnostics.report(
                Diagnostic::warning("event-in-lane", lane.span, message)
                    .hint("make the lane of the thing itself: `order/{{ number }}`"),
            );
        }
    }
}

fn tables(route: &Route) -> impl Iterator<Item = &str> {
    route.pipeline.writes.iter().map(|write| write.table.value.as_str())
}

/// Merged records leave out what each of them would do.
pub(super) fn refuse_coalesced(
    coalesce: Option<&Spanned<Coalesce>>,
    writes: &[Write],
    forwards: &[Forward],
    diagnostics: &mut Diagnostics,
) {
    if let (Some(coalesce), Some(forward)) = (coalesce, forwards.iter().find(|forward| !forward.merged)) {
        let message = format!("the forward `{}` is sent for every record, so none may be merged", forward.name);
        diagnostics.report(
            Diagnostic::error("coalesce-with-forward", forward.place, message)
                .related(coalesce.span, "merges records")
                .hint("say `merged: true` if it may be sent once for all of them, or give its route no `coalesce`"),
        );
    }
    let moved = writes.iter().flat_map(|write| &write.was).next();
    if let (Some(coalesce), Some(moved)) = (coalesce, moved) {
        let message = "`was` says which row each record moves, so none may be merged";
        diagnostics.report(
            Diagnostic::error("coalesce-with-was", moved.span, message)
                .related(coalesce.span, "merges records")
                .hint("give the route that renumbers no `coalesce`"),
        );
    }
    let insert = writes.iter().find(|write| write.verb == Verb::Insert);
    if let (Some(coalesce), Some(insert)) = (coalesce, insert) {
        diagnostics.report(
            Diagnostic::error(
                "coalesce-with-insert",
                insert.table.span,
                "an `insert` makes a row for every record, so none may be merged",
            )
            .related(coalesce.span, "merges records")
            .hint("use `upsert`, or give the route that inserts no `coalesce`"),
        );
    }
}

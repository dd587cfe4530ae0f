//! Two hashes of a version of a source: of all that it was compiled from, and of what decides how its records are queued. When the
//! second changes, what waits is admitted again.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sha2::Digest as _;

use super::receive::Receive;
use crate::config::yaml::{Content, Node};
use crate::model::bundle::Bundle;
use crate::steps::admission::Route;

/// Raised when this program computes something else from the same file than the one before.
const ADMISSION: &str = "admission 1";
/// The options that decide it, of a file and of a route.
const DECIDING: [&str; 9] = ["payload", "event", "extract", "gone", "id", "lane", "coalesce", "tenant", "integration"];
/// The options of a route that decide whether it is taken.
const CHOOSING: [&str; 3] = ["event", "when", "ignore"];

/// SHA-256 of the texts.
pub(super) fn bundle_hash(bundle: &Bundle) -> [u8; 32] {
    hash_of(&serde_json::to_vec(bundle).unwrap_or_default())
}

/// SHA-256 of what decides event, route, lane, id and work hash. It may cover too much, never too little. `for_people` are templates
/// that records have nothing to do with.
pub(super) fn admit_hash(
    root: &Node,
    bundle: &Bundle,
    for_people: &BTreeSet<String>,
    receive: &Receive,
    routes: &[Route],
) -> [u8; 32] {
    let mut text = format!("{ADMISSION}\n{}\n", receive.path_text());
    add_options(root, &DECIDING, &mut text);
    let written: Vec<&Node> = match root.get("routes").map(|routes| (&routes.content, routes)) {
        Some((Content::List(routes), _)) => routes.iter().collect(),
        Some((_, route)) => vec![route],
        None => Vec::new(),
    };
    for route in written {
        add_options(route, &CHOOSING, &mut text);
        add_options(route, &DECIDING, &mut text);
    }
    for route in routes {
        // without a lane, what a route writes decides whether its records run one by one
        let _ = writeln!(text, "{} {}", route.place, route.queueing.each_by_itself);
        if route.queueing.coalesce.is_some() {
            let _ = writeln!(text, "{:?}", route.reads);
        }
    }
    // what a file includes may stand in any of its values; the route files in the bundle only lend calls and secrets
    for (name, path) in bundle.templates.iter().filter(|(name, _)| !for_people.contains(*name)) {
        let _ = writeln!(text, "{name} {:?}", bundle.files.get(path));
    }
    hash_of(text.as_bytes())
}

fn add_options(node: &Node, names: &[&str], text: &mut String) {
    for name in names {
        let value = node.get(name).map(|node| node.to_json().to_string()).unwrap_or_default();
        let _ = writeln!(text, "{name} {value}");
    }
}

fn hash_of(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use crate::routes::load::tests::with_world;
    use crate::routes::load::{TemplateText, Texts, load};
    use crate::routes::source::Source;

    const BASE: &str = "auth: { none: a test }
receive: { path: \"/in/:kind\" }
extract: { id: $.body.id }
lane: \"{% include 'lane.txt' %}\"
coalesce: 2s
apis: { shop: { base: \"https://shop.example\" } }
enrich: { order: \"/orders/{{ id }}\" }
write: { upsert: orders, key: { id: $.id }, set: { total: $.order.total } }
";

    fn source(text: &str, lane: &str) -> Arc<Source> {
        let template = TemplateText { path: "templates/lane.txt".into(), text: lane.into() };
        let texts = Texts {
            routes: BTreeMap::from([("routes.d/a.yaml".to_owned(), text.to_owned())]),
            templates: BTreeMap::from([("lane.txt".to_owned(), template)]),
            ..Texts::default()
        };
        let loaded = with_world(&|_| Err("is not there".to_owned()), |world| load(&texts, world, &[]));
        loaded.files[0].source.clone().unwrap_or_else(|| panic!("{text}: {:?}", loaded.diagnostics.all()))
    }

    #[test]
    fn what_waits_is_admitted_again_when_that_comes_out_differently_and_only_then() {
        let base = source(BASE, "order/{{ id }}");
        for (changes, what, by) in [
            (false, "lane:", "title: a shop\nlane:"),
            (false, "coalesce:", "retry: { first: 1s }\ncoalesce:"),
            (false, "total: $.order.total", "total: $.order.sum"),
            (true, "total: $.order.total", "total: $.body.total"),
            (true, "/in/:kind", "/in/:sort"),
            (true, "$.body.id", "$.body.number"),
            (true, "coalesce: 2s", "coalesce: 3s"),
            (true, "coalesce: 2s", "event: $.body.event"),
            (true, "coalesce: 2s", "payload: { format: json }\ncoalesce: 2s"),
        ] {
            assert!(BASE.contains(what), "{what}");
            let changed = source(&BASE.replace(what, by), "order/{{ id }}");
            assert_ne!(changed.bundle_hash, base.bundle_hash, "{by}");
            assert_eq!(changed.admit_hash != base.admit_hash, changes, "{by}");
        }
        assert_ne!(source(BASE, "orders/{{ id }}").admit_hash, base.admit_hash);
        let insert = |verb: &str| source(&format!("auth: {{ none: a test }}\nwrite: {{ {verb} }}\n"), "");
        let upsert = "upsert: t, key: { a: $.body.a }";
        assert_ne!(insert("insert: t, set: { a: $.body.a }").admit_hash, insert(upsert).admit_hash, "it has one lane for all");
    }

    #[test]
    fn what_a_customer_is_handed_is_part_of_a_version_and_moves_no_record() {
        let onboarding = "{ template: \"{{ 'lane.txt' }}\" }";
        let text = |lane: &str| BASE.replace("{% include 'lane.txt' %}", lane) + "onboarding: " + onboarding + "\n";
        let (apart, shared) = (text("order/{{ id }}"), text("{% include 'lane.txt' %}"));
        let (before, after) = (source(&apart, "a {{ tenant }}"), source(&apart, "b {{ tenant }}"));
        assert!(before.bundle_hash != after.bundle_hash && before.admit_hash == after.admit_hash);
        assert_ne!(source(&shared, "a").admit_hash, source(&shared, "b").admit_hash, "a lane is made of it too");
    }

    #[test]
    fn a_record_may_run_late_when_its_rows_are_fetched_then() {
        let late = |text: &str| source(text, "order/{{ id }}").admission.routes[0].writes_what_it_fetches;
        assert!(late(BASE));
        for (fetches, set) in [
            (true, "total: $.order.total, tenant_no: 7"),
            (false, "total: $.order.total, note: $.body.note"),
            (false, "total: $.order.total, seen: $.received_at"),
            (false, "total: $.id"),
        ] {
            assert_eq!(late(&BASE.replace("total: $.order.total", set)), fetches, "{set}");
        }
        let lines = |list: &str| {
            let write = format!(
                "write: {{ replace: lines, of: {{ id: $.id }}, each: {{ line: {list} }}, key: {{ no: $.line.no }}, set: {{ x: $.line.x }} }}"
            );
            late(&BASE.replace("write: { upsert: orders, key: { id: $.id }, set: { total: $.order.total } }", &write))
        };
        assert!(lines("$.order.lines") && !lines("$.body.lines"));
        assert!(!late(&BASE.replace("upsert: orders,", "upsert: orders, when: body.paid,")), "an older word would decide");
        assert!(!late(&BASE.replace("/orders/{{ id }}", "/orders/newest")), "what it asks for is not what came");
    }
}

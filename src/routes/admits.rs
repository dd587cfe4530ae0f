//! Two hashes of a version of a source: of all that it was compiled from, and of what decides how its records are queued. When the
//! second changes, what waits is admitted again.

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

/// SHA-256 of what decides event, route, lane, id and work hash. It may cover too much, never too little.
pub(super) fn admit_hash(root: &Node, bundle: &Bundle, receive: &Receive, routes: &[Route]) -> [u8; 32] {
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
    for (name, path) in &bundle.templates {
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

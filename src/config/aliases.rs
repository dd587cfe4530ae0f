//! What aliases and merge keys of YAML come to: the names that `<<` brings, and how much a tree is that is repeated.

use super::yaml::{Content, Entry, Node};

/// Adds what `<<` brings; what the map says itself wins, and earlier maps win over later ones.
pub(super) fn merge(mut entries: Vec<Entry>, merged: Vec<Node>) -> Vec<Entry> {
    for node in merged {
        let maps = match node.content {
            Content::List(items) => items,
            content => vec![Node { span: node.span, content }],
        };
        for entry in maps
            .into_iter()
            .filter_map(|map| if let Content::Map(entries) = map.content { Some(entries) } else { None })
            .flatten()
        {
            if !entries.iter().any(|known| known.name.value == entry.name.value) {
                entries.push(entry);
            }
        }
    }
    entries
}

/// How many nodes it has, and how many bytes of text are in them.
pub(super) fn size_of_tree(node: &Node) -> (usize, usize) {
    let join =
        |(nodes, bytes): (usize, usize), (more_nodes, more_bytes): (usize, usize)| (nodes + more_nodes, bytes + more_bytes);
    match &node.content {
        Content::Scalar(scalar) => (1, scalar.text.len()),
        Content::List(items) => items.iter().map(size_of_tree).fold((1, 0), join),
        Content::Map(entries) => {
            let of = |entry: &Entry| join((0, entry.name.value.len()), size_of_tree(&entry.value));
            entries.iter().map(of).fold((1, 0), join)
        }
    }
}

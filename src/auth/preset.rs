//! `preset: NAME`: a scheme that is written already, as data beside this file. What stands beside `preset` overrides it, and each problem
//! is told in the author's file.

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{FromYaml, Named, options, report_choice};
use crate::config::shape::{self, Shape};
use crate::config::source::{Sources, Span, Spanned};
use crate::config::yaml::{Content, Entry, Node, parse};

use super::secret::SecretReference;
use super::secret_form::SecretForm;
use super::signature::algorithm::Algorithm;
use super::signature::options::{Encoding, TimestampOptions, Tolerance, text};

macro_rules! presets {
    ($($name:literal),+ $(,)?) => {
        /// The names of all presets.
        pub const NAMES: &[&str] = &[$($name),+];
        const TEXTS: &[&str] = &[$(include_str!(concat!("presets/", $name, ".yaml"))),+];
    };
}

presets! {
    "standard-webhooks", "svix", "stripe", "github", "gitlab", "shopify", "slack", "twilio", "discord", "sendgrid", "zoom", "meta",
    "hubspot", "woocommerce", "mailgun", "square", "xero", "intercom", "linear", "typeform", "trello", "telegram", "timemoto",
    "clockodo", "rackbeat",
}

options! {
    /// A scheme that is written already. What stands beside `preset` overrides what the preset says: the options of `signature`, or those of
    /// `token`. `hooktable explain` shows the whole scheme.
    pub struct PresetOptions {
        /// Whose.
        preset: Preset,
        /// The key: the name of an entry of `secrets`, or `{ env: NAME }`.
        secret: SecretReference,
        /// As under `signature`.
        at: Vec<Node> as shape::path,
        /// As under `signature`.
        algorithm: Option<Algorithm>,
        /// As under `signature`.
        secret_as: Option<SecretForm>,
        /// As under `signature`.
        encoding: Option<Encoding>,
        /// As under `signature`.
        read: Option<Node> as text,
        /// As under `signature`.
        signed: Option<Node> as text,
        /// As under `signature`.
        timestamp: Option<TimestampOptions>,
        /// As under `signature`.
        id: Vec<Node> as shape::path,
        /// As under `signature`.
        tolerance: Option<Tolerance>,
        /// As under `signature`.
        body_sha256: Option<Node> as shape::path,
        /// As under `signature`.
        each: Named<Node> as shape::path,
        /// As beside `token`.
        token: Option<Node> as shape::text_value,
        /// As beside `token`.
        prefix: Option<String>,
    }
}

/// One of the names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Preset(usize);

impl FromYaml for Preset {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let index = NAMES.iter().position(|name| node.text() == Some(name));
        if index.is_none() {
            match node.text() {
                Some(name) => {
                    let message = format!("there is no preset `{name}`");
                    let diagnostic = Diagnostic::error("unknown-preset", node.span, message);
                    let diagnostic = diagnostic.did_you_mean(name, NAMES.iter().copied(), node.span);
                    let all = format!("there are {}; any other scheme can be written as `signature`", NAMES.join(", "));
                    diagnostics.report(if diagnostic.hint.is_some() { diagnostic } else { diagnostic.hint(all) });
                }
                None => report_choice(NAMES, node, diagnostics),
            }
        }
        index.map(Self)
    }

    fn shape() -> Shape {
        Shape::Word(NAMES)
    }
}

/// The preset that looks for its signature or token at this place; the first where there are several.
pub fn of_place(place: &str) -> Option<&'static str> {
    let looks_there = |text: &'static str| {
        let mut sources = Sources::default();
        let file = sources.add("preset", text);
        let root = parse(&sources, file, &mut Diagnostics::default());
        let at = root.as_ref().and_then(|root| root.get("token").or_else(|| root.get("signature")?.get("at")));
        at.is_some_and(|at| match &at.content {
            Content::List(items) => items.first().and_then(Node::text) == Some(place),
            _ => at.text() == Some(place),
        })
    };
    TEXTS.iter().copied().position(looks_there).map(|index| NAMES[index])
}

/// The whole scheme that stands for a map with `preset`.
pub(super) fn expanded(node: &Node, diagnostics: &mut Diagnostics) -> Option<Node> {
    let written = node.get("preset")?;
    let preset = Preset::from_yaml(written, diagnostics)?;
    let scheme = scheme_of(preset, written.span)?;
    let beside: Vec<&Entry> = node.entries()?.iter().filter(|entry| entry.name.value != "preset").collect();
    let entries = match scheme.as_slice() {
        [Entry { name, value }] if name.value == "signature" => {
            let inner = overridden(value.entries()?, &beside);
            let value = Node { span: node.span, content: Content::Map(inner) };
            vec![Entry { name: name.clone(), value }]
        }
        own => overridden(own, &beside),
    };
    Some(Node { span: node.span, content: Content::Map(entries) })
}

/// A whole file with the schemes in the places of their presets.
pub fn written_out(root: &Node) -> Node {
    let content = match &root.content {
        Content::Scalar(scalar) => Content::Scalar(scalar.clone()),
        Content::List(items) => Content::List(items.iter().map(written_out).collect()),
        Content::Map(entries) => Content::Map(
            entries
                .iter()
                .map(|entry| {
                    let value =
                        if entry.name.value == "auth" { auth_written_out(&entry.value) } else { written_out(&entry.value) };
                    Entry { name: entry.name.clone(), value }
                })
                .collect(),
        ),
    };
    Node { span: root.span, content }
}

fn auth_written_out(node: &Node) -> Node {
    if node.get("preset").is_some() {
        return expanded(node, &mut Diagnostics::default()).unwrap_or_else(|| node.clone());
    }
    let joined = |entry: &Entry| match (entry.name.value.as_str(), &entry.value.content) {
        ("any" | "all", Content::List(items)) => {
            let content = Content::List(items.iter().map(auth_written_out).collect());
            Entry { name: entry.name.clone(), value: Node { span: entry.value.span, content } }
        }
        ("any" | "all", Content::Map(_)) => Entry { name: entry.name.clone(), value: auth_written_out(&entry.value) },
        _ => entry.clone(),
    };
    match node.entries() {
        Some(entries) => Node { span: node.span, content: Content::Map(entries.iter().map(joined).collect()) },
        None => node.clone(),
    }
}

fn overridden(own: &[Entry], beside: &[&Entry]) -> Vec<Entry> {
    let named = |name: &Spanned<String>| beside.iter().find(|entry| entry.name.value == name.value);
    let kept = own.iter().map(|entry| named(&entry.name).map_or_else(|| entry.clone(), |&found| found.clone()));
    let added = beside.iter().filter(|entry| !own.iter().any(|known| known.name.value == entry.name.value));
    kept.chain(added.map(|&entry| entry.clone())).collect()
}

/// What a preset says, as if it stood where it is named.
fn scheme_of(preset: Preset, span: Span) -> Option<Vec<Entry>> {
    let mut sources = Sources::default();
    let file = sources.add("preset", TEXTS[preset.0]);
    let mut root = parse(&sources, file, &mut Diagnostics::default())?;
    move_to(&mut root, span);
    match root.content {
        Content::Map(entries) => Some(entries),
        _ => None,
    }
}

fn move_to(node: &mut Node, span: Span) {
    node.span = span;
    match &mut node.content {
        // its letters do not stand there, so no part of it has a place of its own
        Content::Scalar(scalar) => scalar.offset = None,
        Content::List(items) => items.iter_mut().for_each(|item| move_to(item, span)),
        Content::Map(entries) => {
            for entry in entries {
                entry.name.span = span;
                move_to(&mut entry.value, span);
            }
        }
    }
}

//! YAML 1.2 (core schema) into a tree that remembers where every name and value stands. Aliases and merge keys are expanded
//! within a bound; duplicate names, tags and second documents are problems, and so is what people trip over.

use std::collections::HashMap;

use serde_json::{Map, Number, Value as Json};
use serde_yaml::granit_parser::{Event, Parser, ScalarStyle, StructureStyle};

use super::aliases::{merge, size_of_tree};
use super::diagnostic::{Diagnostic, Diagnostics};
use super::slips;
use super::source::{FileId, Sources, Span, Spanned};

/// The largest file that is read, in bytes.
pub const LARGEST_FILE: usize = 1 << 20;
const MOST_NODES: usize = 50_000;
/// The most bytes of text that anchors and aliases stand for, all together.
const MOST_COPIED_BYTES: usize = 8 << 20;
const MOST_LEVELS: usize = 64;

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it stands, quotes included.
    pub span: Span,
    /// What it is.
    pub content: Content,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A text, number, boolean or null.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order in which it was written.
    Map(Vec<Entry>),
}

/// One name of a map and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The name.
    pub name: Spanned<String>,
    /// The value.
    pub value: Node,
}

/// A scalar as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// Its text, escapes and folding undone.
    pub text: String,
    /// Whether it stood without quotes, so that it may be a number, a boolean or null.
    pub plain: bool,
    /// How many bytes behind the start of the node the text begins, when it stands there letter for letter.
    pub offset: Option<u32>,
}

impl Node {
    /// Its entries, when it is a map.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.content {
            Content::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of a name, when it is a map that has it.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entries()?.iter().find(|entry| entry.name.value == name).map(|entry| &entry.value)
    }

    /// Its text, when it is a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// Whether it is null: `null`, `~` or nothing at all.
    pub fn is_null(&self) -> bool {
        matches!(self.scalar_json(), Some(Json::Null))
    }

    /// The JSON value of a scalar by the core schema. Numbers keep their digits; `017` and `.inf` stay text.
    pub fn scalar_json(&self) -> Option<Json> {
        let Content::Scalar(scalar) = &self.content else { return None };
        if !scalar.plain {
            return Some(Json::String(scalar.text.clone()));
        }
        Some(match scalar.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Json::Null,
            "true" | "True" | "TRUE" => Json::Bool(true),
            "false" | "False" | "FALSE" => Json::Bool(false),
            text => number_of(text).map_or_else(|| Json::String(text.to_owned()), Json::Number),
        })
    }

    /// The JSON value of the whole tree.
    pub fn to_json(&self) -> Json {
        match &self.content {
            Content::Scalar(_) => self.scalar_json().unwrap_or(Json::Null),
            Content::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Content::Map(entries) => {
                Json::Object(entries.iter().map(|entry| (entry.name.value.clone(), entry.value.to_json())).collect::<Map<_, _>>())
            }
        }
    }

    /// The place of a part of a scalar's text, or the whole scalar where its text does not stand letter for letter.
    pub fn part(&self, range: std::ops::Range<usize>) -> Span {
        match &self.content {
            Content::Scalar(Scalar { offset: Some(offset), text, .. }) if range.end <= text.len() => {
                let start = self.span.start as usize + *offset as usize;
                Span::new(self.span.file, start + range.start..start + range.end)
            }
            _ => self.span,
        }
    }

    /// The place to point at when the node as a whole is meant: of a map that runs over lines its first name, of a list its
    /// dash or bracket, so that one problem does not underline half a file.
    pub fn head(&self) -> Span {
        match &self.content {
            Content::Map(entries) => match entries.first() {
                Some(first) if first.name.span.start == self.span.start => first.name.span,
                _ => self.span,
            },
            Content::List(_) => Span { end: self.span.end.min(self.span.start + 1), ..self.span },
            Content::Scalar(_) => self.span,
        }
    }

    /// What it is, in words: “the text `abc`”, “a list”.
    pub fn describe(&self) -> String {
        match &self.content {
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a map".to_owned(),
            Content::Scalar(_) => match self.scalar_json() {
                Some(Json::String(text)) => format!("the text `{}`", shorten(&text)),
                Some(Json::Number(number)) => format!("the number `{number}`"),
                Some(Json::Bool(value)) => format!("`{value}`"),
                _ => "no value".to_owned(),
            },
        }
    }
}

/// `text`, cut where it would fill a line.
pub fn shorten(text: &str) -> String {
    let mut letters = text.chars();
    let start: String = letters.by_ref().take(60).map(|letter| if letter == '\n' { ' ' } else { letter }).collect();
    if letters.next().is_some() { format!("{start}…") } else { start }
}

/// The exact number a plain scalar is, if it is one by the core schema.
fn number_of(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0o") {
        return i128::from_str_radix(digits, 8).ok().and_then(|number| number.to_string().parse().ok());
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return i128::from_str_radix(digits, 16).ok().and_then(|number| number.to_string().parse().ok());
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.starts_with(|letter: char| letter.is_ascii_digit()) {
        return None; // `.5` stays text: JSON has no such number, and `-` or `.inf` are none either
    }
    text.parse().ok()
}

/// Reads a text. `None` when there is no tree to go on with; then something was reported.
pub fn parse(sources: &Sources, file: FileId, diagnostics: &mut Diagnostics) -> Option<Node> {
    let text = &sources.file(file).text;
    if text.len() > LARGEST_FILE {
        let message = format!("the file has {} bytes; at most {LARGEST_FILE} are read", text.len());
        diagnostics.report(Diagnostic::error("file-too-large", Span::new(file, 0..0), message));
        return None;
    }
    let (stack, anchors) = (Vec::new(), HashMap::new());
    let mut builder = Builder { file, text, stack, anchors, nodes: 0, copied_bytes: 0, root: None, diagnostics };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                builder.diagnostics.report(slips::of(text, file, &error));
                return None;
            }
        };
        let span = Span::new(file, span.byte_range().unwrap_or(0..0));
        if matches!(event, Event::DocumentStart(..)) {
            documents += 1;
            if documents > 1 {
                let message = "a second document begins here; a file holds one";
                builder.diagnostics.report(Diagnostic::error("second-document", span, message).hint("remove the `---`"));
                return None;
            }
        }
        builder.take(event, span)?;
    }
    let empty = || Node {
        span: Span::new(file, 0..0),
        content: Content::Scalar(Scalar { text: String::new(), plain: true, offset: None }),
    };
    Some(builder.root.unwrap_or_else(empty))
}

struct Builder<'t, 'd> {
    file: FileId,
    text: &'t str,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    copied_bytes: usize,
    root: Option<Node>,
    diagnostics: &'d mut Diagnostics,
}

struct Frame {
    span: Span,
    anchor: usize,
    flow: bool,
    kind: FrameKind,
}

enum FrameKind {
    List(Vec<Node>),
    /// `template` when its name shows that it is one, without its quotes.
    Map {
        entries: Vec<Entry>,
        name: Option<Spanned<String>>,
        merged: Vec<Node>,
        template: bool,
    },
}

impl Builder<'_, '_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let node = self.scalar(text.into_owned(), style, span);
                self.add(node, anchor)
            }
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor)?;
                let (nodes, bytes) = size_of_tree(known);
                self.nodes += nodes;
                self.copy(bytes, span)?;
                let mut node = self.anchors.get(&anchor)?.clone();
                node.span = span;
                if let Content::Scalar(scalar) = &mut node.content {
                    // its text stands at the anchor, not here
                    scalar.offset = None;
                }
                self.add(node, 0)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.open(FrameKind::List(Vec::new()), style, anchor, span)
            }
            Event::MappingStart(style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let map = FrameKind::Map { entries: Vec::new(), name: None, merged: Vec::new(), template: false };
                self.open(map, style, anchor, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            _ => Some(()),
        }
    }

    /// Counts text that is about to be copied for an alias or for what aliases can name.
    fn copy(&mut self, bytes: usize, span: Span) -> Option<()> {
        self.copied_bytes += bytes;
        if self.copied_bytes > MOST_COPIED_BYTES {
            let message = format!("anchors and aliases stand for more than {MOST_COPIED_BYTES} bytes of text in all");
            self.diagnostics.report(Diagnostic::error("too-many-values", span, message));
            return None;
        }
        Some(())
    }

    fn refuse_tag(&mut self, tagged: bool, span: Span) {
        if tagged {
            self.diagnostics.report(slips::tag(self.text, span));
        }
    }

    fn scalar(&self, text: String, style: ScalarStyle, span: Span) -> Node {
        let written = self.text.get(span.range()).unwrap_or_default();
        let quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
        let skipped = u32::from(quoted);
        let offset = written.get(skipped as usize..).is_some_and(|rest| rest.starts_with(&text)).then_some(skipped);
        Node { span, content: Content::Scalar(Scalar { text, plain: matches!(style, ScalarStyle::Plain), offset }) }
    }

    fn open(&mut self, kind: FrameKind, style: StructureStyle, anchor: usize, span: Span) -> Option<()> {
        if self.stack.len() >= MOST_LEVELS {
            let message = format!("more than {MOST_LEVELS} levels of lists and maps inside each other");
            self.diagnostics.report(Diagnostic::error("too-deep", span, message));
            return None;
        }
        self.stack.push(Frame { span, anchor, flow: matches!(style, StructureStyle::Flow), kind });
        Some(())
    }

    fn close(&mut self, end: Span) -> Option<()> {
        let frame = self.stack.pop()?;
        let (content, last) = match frame.kind {
            FrameKind::List(items) => {
                let last = items.last().map(|item| item.span.end);
                (Content::List(items), last)
            }
            FrameKind::Map { template: true, .. } => {
                // reported already; the rest is checked as if it had its quotes
                let text = self.text.get(frame.span.start as usize..end.end as usize).unwrap_or_default().to_owned();
                (Content::Scalar(Scalar { text, plain: false, offset: Some(0) }), None)
            }
            FrameKind::Map { entries, merged, .. } => {
                let last = entries.last().map(|entry| entry.value.span.end.max(entry.name.span.end));
                (Content::Map(merge(entries, merged)), last)
            }
        };
        let end = if frame.flow { end.end } else { last.unwrap_or(frame.span.end) };
        let node = Node { span: Span { end: end.max(frame.span.start), ..frame.span }, content };
        self.add(node, frame.anchor)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Option<()> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            let message = format!("more than {MOST_NODES} values, aliases counted with what they stand for");
            self.diagnostics.report(Diagnostic::error("too-many-values", node.span, message));
            return None;
        }
        if anchor != 0 {
            self.copy(size_of_tree(&node).1, node.span)?;
            self.anchors.insert(anchor, node.clone());
        }
        let (text, file) = (self.text, self.file);
        let Some(Frame { kind, flow, .. }) = self.stack.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        let FrameKind::Map { entries, name, merged, template } = kind else {
            if let FrameKind::List(items) = kind {
                items.push(node);
            }
            return Some(());
        };
        match name.take() {
            None => *name = Some(name_of(node, text, file, template, self.diagnostics)),
            Some(name) if name.value == "<<" => merged.push(node),
            Some(name) if *flow && slips::lacks_space(&name, &node) => self.diagnostics.report(slips::missing_space(&name)),
            Some(name) => match entries.iter().find(|entry| entry.name.value == name.value) {
                Some(first) => {
                    let first = first.name.span;
                    let message = format!("`{}` is written twice", name.value);
                    self.diagnostics.report(
                        Diagnostic::error("duplicate-name", name.span, message)
                            .related(first, "first here")
                            .hint("keep one of the two"),
                    );
                }
                None => entries.push(Entry { name, value: node }),
            },
        }
        Some(())
    }
}

/// A map's name. A list or a map in its place is most often a template or a path without quotes.
fn name_of(node: Node, text: &str, file: FileId, template: &mut bool, diagnostics: &mut Diagnostics) -> Spanned<String> {
    let span = node.span;
    if let Content::Scalar(scalar) = node.content {
        return Spanned { value: scalar.text, span };
    }
    let before = (span.start as usize).saturating_sub(1);
    *template = text.get(before..before + 2) == Some("{{");
    diagnostics.report(if *template {
        let end = text[before..].find("}}").map_or(span.end as usize, |at| before + at + 2);
        slips::unquoted_template(text, Span::new(file, before..end))
    } else {
        Diagnostic::error("wrong-type", span, "a list or map cannot be a name").hint("put it in quotes if it is meant as a text")
    });
    Spanned { value: String::new(), span }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Node>, Vec<&'static str>) {
        let mut sources = Sources::default();
        let file = sources.add("a.yaml", text);
        let mut diagnostics = Diagnostics::default();
        let node = parse(&sources, file, &mut diagnostics);
        let codes = diagnostics.all().iter().map(|diagnostic| diagnostic.code).collect();
        (node, codes)
    }

    fn json(text: &str) -> String {
        read(text).0.map_or_else(String::new, |node| node.to_json().to_string())
    }

    #[test]
    fn the_core_schema_decides_and_numbers_keep_their_digits() {
        assert_eq!(
            json("[NO, yes, on, 017, 0o17, 3100.00, 18446744073709551616, ~, '1', .inf, -0]"),
            r#"["NO","yes","on","017",15,3100.00,18446744073709551616,null,"1",".inf",-0]"#
        );
    }

    #[test]
    fn aliases_and_merge_keys_are_expanded() {
        assert_eq!(json("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n"), r#"{"a":{"x":1,"y":2},"b":{"y":3,"x":1}}"#);
    }

    #[test]
    fn a_bomb_of_aliases_is_stopped() {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..9 {
            let last = level - 1;
            text.push_str(&format!(
                "a{level}: &a{level} [*a{last},*a{last},*a{last},*a{last},*a{last},*a{last},*a{last},*a{last},*a{last}]\n"
            ));
        }
        assert_eq!(read(&text).1, ["too-many-values"]);
    }

    #[test]
    fn deep_nesting_is_stopped() {
        let (_, codes) = read(&"[".repeat(100_000));
        assert_eq!(codes.len(), 1, "{codes:?}");
    }

    #[test]
    fn slips_have_messages_of_their_own() {
        assert_eq!(read("a: {{ x }}").1, ["unquoted-template"]);
        assert_eq!(read("a: { b: $.a[0], c: 1 }").1, ["unquoted-path"]);
        assert_eq!(read("a: { b:1 }").1, ["missing-space"]);
        assert_eq!(read("a: { \"b:1\", c::d: 1 }").1, [""; 0]);
        assert_eq!(read("a:\n\tb: 1\n").1, ["yaml-tab"]);
        assert_eq!(read("a: 1\na: 2\n").1, ["duplicate-name"]);
        assert_eq!(read("a: !x 1\n").1, ["yaml-tag"]);
        assert_eq!(read("a: 1\n---\nb: 2\n").1, ["second-document"]);
    }

    #[test]
    fn a_long_text_is_not_repeated_by_thousands_of_aliases() {
        let aliases = |count: usize| "- *a\n".repeat(count);
        let text = |count| format!("- &a \"{}\"\n{}", "x".repeat(300_000), aliases(count));
        assert_eq!(read(&text(30_000)).1, ["too-many-values"]);
        assert!(read(&text(20)).1.is_empty());
        let nested =
            format!("- &x \"{}\"\n- {}{}{}\n", "x".repeat(300_000), "&n [".repeat(60), "*x, ".repeat(20), "]".repeat(60));
        assert_eq!(read(&nested).1, ["too-many-values"], "anchors inside each other");
    }

    #[test]
    fn a_part_of_a_scalar_has_its_place() {
        let text = "a: \"{{ xy }}\"\nb: $.xy\n";
        let (node, _) = read(text);
        let node = node.expect("parses");
        let spans = [("a", 3..5), ("b", 2..4)].map(|(name, range)| node.get(name).expect(name).part(range).range());
        assert_eq!(spans.map(|span| &text[span]), ["xy", "xy"]);
    }
}

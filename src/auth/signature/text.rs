//! `signed`: the bytes that a sender signed, put together from the request as it came.

use zeroize::Zeroizing;

use super::places::text_at;
use super::sorted_form;
use super::tokens::{Token, report_unknown, tokens_of};
use crate::auth::evidence::Evidence;
use crate::config::diagnostic::Diagnostics;
use crate::config::yaml::{Content, Node, Scalar};
use crate::expr::jsonpath::Path;
use crate::expr::reads::Reads;
use crate::expr::value::Compiler;
use crate::model::event::EventDocument;

const NAMES: &[&str] = &["body", "timestamp", "id", "method", "url", "path", "query", "host", "secret", "form_sorted"];

/// What is signed.
#[derive(Clone, Debug)]
pub struct SignedText {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub(super) enum Part {
    Text(String),
    Body,
    Timestamp,
    Id,
    Method,
    Url,
    Path,
    Query,
    Host,
    Secret,
    FormSorted,
    /// A place of the document; `true` when it may be missing.
    Place(Path, bool),
}

/// What the parts are taken from.
#[derive(Clone, Copy)]
pub(super) struct Ingredients<'a> {
    pub(super) evidence: &'a Evidence<'a>,
    pub(super) document: &'a EventDocument,
    pub(super) body: &'a [u8],
    pub(super) timestamp: &'a str,
    pub(super) id: &'a str,
    pub(super) secret: &'a [u8],
}

/// Compiles it. Without one, the body is signed.
pub(super) fn compile(node: Option<&Node>, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<SignedText> {
    let Some(node) = node else { return Some(SignedText::of("{body}", vec![Part::Body])) };
    let tokens = tokens_of(node, diagnostics)?;
    let mut parts = Vec::new();
    for token in tokens {
        parts.push(match token {
            Token::Text(text) => Part::Text(text),
            Token::Placeholder(name, range) => match named(&name) {
                Some(part) => part,
                None if name.starts_with('$') => place(&name, range, node, compiler, diagnostics)?,
                None => {
                    report_unknown(&name, range, NAMES, node, diagnostics);
                    return None;
                }
            },
        });
    }
    Some(SignedText::of(node.text().unwrap_or_default(), parts))
}

fn named(name: &str) -> Option<Part> {
    Some(match name {
        "body" => Part::Body,
        "timestamp" => Part::Timestamp,
        "id" => Part::Id,
        "method" => Part::Method,
        "url" => Part::Url,
        "path" => Part::Path,
        "query" => Part::Query,
        "host" => Part::Host,
        "secret" => Part::Secret,
        "form_sorted" => Part::FormSorted,
        _ => return None,
    })
}

fn place(
    name: &str,
    range: std::ops::Range<usize>,
    node: &Node,
    compiler: &Compiler<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Part> {
    let path = name.strip_suffix('?').unwrap_or(name);
    // a node of its own, so that problems of the path stand at their place
    let span = node.part(range);
    let is_exact = span != node.span;
    let scalar = Scalar { text: path.to_owned(), plain: false, offset: is_exact.then_some(0) };
    let inner = Node { span, content: Content::Scalar(scalar) };
    let path = super::places::compile_path(&inner, compiler, diagnostics)?;
    Some(Part::Place(path, name.ends_with('?')))
}

impl SignedText {
    fn of(text: &str, parts: Vec<Part>) -> Self {
        Self { text: text.to_owned(), parts }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it holds the timestamp by that name.
    pub fn holds_timestamp(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Timestamp))
    }

    pub(super) fn holds_id(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Id))
    }

    pub(super) fn holds_secret(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Secret))
    }

    /// Whether it holds the body's bytes.
    pub(super) fn holds_body(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Body))
    }

    pub(super) fn holds_form(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::FormSorted))
    }

    /// Whether it holds values of what stands under this first name.
    pub(super) fn holds_values_of(&self, first_name: &str) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Place(path, _) if path.first_name().0 == first_name))
    }

    /// Whether what stands at a path is a part of it.
    pub(super) fn covers(&self, path: &Path) -> bool {
        let first = path.first_name().0;
        self.parts.iter().any(|part| match part {
            Part::Body => first == "body",
            Part::Url | Part::Query => first == "query",
            Part::Place(known, _) => known.text() == path.text(),
            _ => false,
        })
    }

    pub(super) fn add_reads(&self, reads: &mut Reads) {
        for part in &self.parts {
            if let Part::Place(path, _) = part {
                path.add_reads(reads);
            }
        }
    }

    /// The bytes; the error says what of it is missing.
    pub(super) fn bytes(&self, from: Ingredients<'_>) -> Result<Zeroizing<Vec<u8>>, String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(from.body.len() + 128));
        let request = from.evidence.request;
        for part in &self.parts {
            match part {
                Part::Text(text) => bytes.extend_from_slice(text.as_bytes()),
                Part::Body => bytes.extend_from_slice(from.body),
                Part::Timestamp => bytes.extend_from_slice(from.timestamp.as_bytes()),
                Part::Id => bytes.extend_from_slice(from.id.as_bytes()),
                Part::Method => bytes.extend_from_slice(request.method.as_bytes()),
                Part::Url => bytes.extend_from_slice(from.evidence.url.as_bytes()),
                Part::Path => bytes.extend_from_slice(request.path.as_bytes()),
                Part::Query => bytes.extend_from_slice(request.query.as_bytes()),
                Part::Host => bytes.extend_from_slice(host_of(from.evidence.url).as_bytes()),
                Part::Secret => bytes.extend_from_slice(from.secret),
                Part::FormSorted => bytes.extend_from_slice(&sorted_form::sorted(request, from.body)),
                Part::Place(path, may_be_missing) => match text_at(path, from.document)? {
                    Some(text) => bytes.extend_from_slice(text.as_bytes()),
                    None if *may_be_missing => {}
                    None => return Err(format!("nothing stands at `{}`, which is signed", path.text())),
                },
            }
        }
        Ok(bytes)
    }

    /// One of the usual texts, for the doctor.
    pub(super) fn usual(text: &str) -> Self {
        let pieces = text.split_inclusive('}').flat_map(|piece| {
            let (before, name) = piece.split_once('{').unwrap_or((piece, ""));
            let text = (!before.is_empty()).then(|| Part::Text(before.to_owned()));
            [text, named(name.trim_end_matches('}'))]
        });
        Self::of(text, pieces.flatten().collect())
    }
}

/// The host of a URL with its port.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

//! `pages:` of a call: how a list goes on behind its first page, and when it ends.

use reqwest::Url;
use serde_json::Value as Json;

use super::request::{Page, mapping};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::options;
use crate::config::shape;
use crate::config::source::Spanned;
use crate::config::yaml::Node;
use crate::expr::convert::scalar_text;
use crate::expr::scope::Scope;
use crate::expr::template::{Context, Engine};
use crate::expr::value::{Compiler, Value};
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};

/// How many pages are read when nothing is said.
const MOST: u32 = 20;

options! {
    /// How a list goes on behind its first page: by number, by the URL of the next one, by a cursor, or by offset.
    pub struct PagesOptions {
        /// The query parameter that holds the page's number.
        number: Option<String>,
        /// The number of the first page; 1 when nothing is said.
        first: Option<Spanned<u32>>,
        /// The number of the last page: `$.answer.body.paging.count_pages`. Without it the first empty page is the last.
        last: Option<Node> as shape::text_value,
        /// The URL of the next page: `$.answer.body.next`. The last page has none.
        next: Option<Node> as shape::text_value,
        /// What the next page is asked for with: `$.answer.body.cursor`. The last page has none.
        cursor: Option<Node> as shape::text_value,
        /// The query parameter that holds the cursor.
        r#as: Option<Spanned<String>>,
        /// The query parameter that says how many items are passed over.
        offset: Option<String>,
        /// How many items a page has; one with fewer is the last.
        size: Option<Spanned<u32>>,
        /// The most pages, 20 when nothing is said; a list that goes on beyond them fails.
        most: Option<u32>,
    }
}

/// A compiled way from page to page.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    way: Way,
    /// The most pages.
    pub(super) most: u32,
}

#[derive(Clone, Debug)]
enum Way {
    Number { name: String, first: u32, last: Option<Value> },
    Next(Value),
    Cursor { value: Value, name: String },
    Offset { name: String, size: u32 },
}

/// Compiles one.
pub(super) fn compile(options: &PagesOptions, engine: &Engine, diagnostics: &mut Diagnostics) -> Option<Pages> {
    let scope = Scope::new(["answer"], "`pages`");
    let compiler = Compiler { engine, scope: &scope };
    let mut value = |node: &Node| Value::compile_text(node, &compiler, diagnostics);
    let way = match (&options.number, &options.next, &options.cursor, &options.offset) {
        (Some(name), None, None, None) => {
            let last = match &options.last {
                Some(node) => Some(value(node)?),
                None => None,
            };
            Some(Way::Number { name: name.clone(), first: options.first.as_ref().map_or(1, |first| first.value), last })
        }
        (None, Some(next), None, None) => Some(Way::Next(value(next)?)),
        (None, None, Some(cursor), None) => {
            let cursor = value(cursor)?;
            options.r#as.as_ref().map(|name| Way::Cursor { value: cursor, name: name.value.clone() })
        }
        (None, None, None, Some(name)) => {
            let size = options.size.as_ref().map(|size| size.value).filter(|size| *size > 0);
            size.map(|size| Way::Offset { name: name.clone(), size })
        }
        _ => {
            let message = "`pages` needs one of `number`, `next`, `cursor` and `offset`";
            diagnostics.report(
                Diagnostic::error("one-of", options.head, message)
                    .hint("such as `pages: { number: page, last: $.answer.body.paging.count_pages }`"),
            );
            return None;
        }
    };
    refuse_misplaced(options, diagnostics);
    let Some(way) = way else {
        let (message, hint) = match options.cursor {
            Some(_) => ("`cursor` needs `as`: the query parameter that it goes into", "such as `as: cursor`"),
            None => ("`offset` needs `size`: how many items a page has", "such as `size: 100`"),
        };
        diagnostics.report(Diagnostic::error("missing-option", options.head, message).hint(hint));
        return None;
    };
    Some(Pages { way, most: options.most.unwrap_or(MOST).max(1) })
}

/// Reports options that another way from page to page would have.
fn refuse_misplaced(options: &PagesOptions, diagnostics: &mut Diagnostics) {
    let (number, cursor, offset) = (options.number.is_some(), options.cursor.is_some(), options.offset.is_some());
    let first = options.first.as_ref().map(|first| first.span);
    let last = options.last.as_ref().map(Node::head);
    let of = [
        ("first", first, number, "number"),
        ("last", last, number, "number"),
        ("as", options.r#as.as_ref().map(|name| name.span), cursor, "cursor"),
        ("size", options.size.as_ref().map(|size| size.span), offset, "offset"),
    ];
    for (option, written, is_used, way) in of {
        if let Some(span) = written.filter(|_| !is_used) {
            let message = format!("`{option}` belongs to pages that go on by `{way}`; these do not");
            diagnostics.report(Diagnostic::error("misplaced-option", span, message).hint(format!("remove it, or say `{way}`")));
        }
    }
}

impl Pages {
    /// How the first page is asked for.
    pub(super) fn first(&self) -> Page {
        match &self.way {
            Way::Number { name, first, .. } => with(name, first),
            Way::Offset { name, .. } => with(name, &0),
            Way::Next(_) | Way::Cursor { .. } => Page::default(),
        }
    }

    /// How the page behind number `index` is asked for, counted from 0; nothing when that was the last. `asked` is its URL, `answer`
    /// what it says, with so many `items`.
    pub(super) fn behind(&self, index: u32, asked: &Url, answer: &EventDocument, items: usize) -> Result<Option<Page>, Failure> {
        match &self.way {
            Way::Number { name, first, last } => {
                let number = u64::from(*first) + u64::from(index);
                let is_last = match last {
                    Some(last) => last_page(last, answer)? <= number,
                    None => items == 0,
                };
                Ok((!is_last).then(|| with(name, &(number + 1))))
            }
            Way::Offset { name, size } => {
                let is_last = items < *size as usize;
                Ok((!is_last).then(|| with(name, &(u64::from(index + 1) * u64::from(*size)))))
            }
            Way::Next(next) => {
                let Some(text) = text_of(next, answer)? else { return Ok(None) };
                let url = asked.join(&text).map_err(|_| failure("`pages.next` is no URL"))?;
                refuse_circle(&url == asked)?;
                Ok(Some(Page { url: Some(url), query: Vec::new() }))
            }
            Way::Cursor { value, name } => {
                let Some(text) = text_of(value, answer)? else { return Ok(None) };
                refuse_circle(asked.query_pairs().any(|(known, old)| known == *name && old == text))?;
                Ok(Some(with(name, &text)))
            }
        }
    }
}

fn with(name: &str, value: &impl ToString) -> Page {
    Page { url: None, query: vec![(name.to_owned(), value.to_string())] }
}

/// What leads to the next page; missing, null and empty lead nowhere.
fn text_of(value: &Value, answer: &EventDocument) -> Result<Option<String>, Failure> {
    match value.evaluate(Context::from(answer)).map_err(|error| mapping("`pages`", &error))? {
        None | Some(Json::Null) => Ok(None),
        Some(found) => match scalar_text(&found) {
            Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            None => Err(failure(&format!("`pages`: `{}` is no text or number", value.origin()))),
        },
    }
}

fn last_page(last: &Value, answer: &EventDocument) -> Result<u64, Failure> {
    let text = text_of(last, answer)?.unwrap_or_default();
    text.parse()
        .map_err(|_| failure(&format!("`pages.last`: `{}` is `{text}`; expected the number of the last page", last.origin())))
}

fn refuse_circle(is_circle: bool) -> Result<(), Failure> {
    if is_circle { Err(failure("`pages`: a page says that it is itself the next one")) } else { Ok(()) }
}

fn failure(reason: &str) -> Failure {
    Failure::permanent(Step::Enrich, reason)
}

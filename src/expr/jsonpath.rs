//! JSONPath (RFC 9535) over the event document. A path that can only name one place is walked directly; the others are
//! read once by jsonpath-rust and run by us. What that crate accepts without a word is refused.

use std::borrow::Cow;
use std::sync::Arc;

use jsonpath_rust::parser::errors::JsonPathError;
use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use serde_json::Value as Json;

use super::reads::Reads;
use super::{path_lint, path_run};
use crate::model::event::EventDocument;

/// The longest path that is read, in bytes: parsing is not linear in it.
const LONGEST_PATH: usize = 1024;

/// A compiled path.
#[derive(Clone, Debug)]
pub struct Path {
    text: String,
    first: String,
    rest: Rest,
}

#[derive(Clone, Debug)]
enum Rest {
    Singular(Vec<Segment>),
    /// One place as well, written in a way that only the crate reads: with escapes or spaces.
    One(Box<JpQuery>),
    /// With its trunk: the part of it that names one place.
    Many {
        query: Box<JpQuery>,
        trunk: Box<JpQuery>,
    },
}

/// One step of a path that names one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A field.
    Name(String),
    /// An item, from 0; negative ones count from the end.
    Index(i64),
}

/// What is wrong with a path, and at which bytes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// In words.
    pub message: String,
    /// The bytes of the path that it is about.
    pub range: std::ops::Range<usize>,
    /// The fix.
    pub hint: Option<String>,
}

impl Path {
    /// Reads a path that begins with `$` and a first name.
    pub fn compile(text: &str) -> Result<Self, PathError> {
        let error = |message: String, range, hint: Option<&str>| Err(PathError { message, range, hint: hint.map(str::to_owned) });
        if text.len() > LONGEST_PATH {
            return error(format!("the path has {} bytes; at most {LONGEST_PATH} are read", text.len()), 0..LONGEST_PATH, None);
        }
        if text == "$" {
            let hint = "name what is meant: `$.body` is the whole body";
            return error("`$` alone is the whole event document".to_owned(), 0..1, Some(hint));
        }
        path_lint::check_text(text)?;
        if let Some(segments) = singular(text) {
            let mut segments = segments.into_iter();
            return match segments.next() {
                Some(Segment::Name(first)) => Ok(Self { text: text.to_owned(), first, rest: Rest::Singular(segments.collect()) }),
                _ => error("a path begins with a name of the event document".to_owned(), 0..text.len(), Some("such as `$.body`")),
            };
        }
        let Some((first, _)) = first_name(text) else {
            return error("a path begins with a name of the event document".to_owned(), 0..text.len(), Some("such as `$.body`"));
        };
        let mut query = parse_json_path(text).map_err(|error| explain(&error, text))?;
        path_lint::check_query(&mut query, text)?;
        // the query runs over what stands under the first name
        query.segments.remove(0);
        let trunk = query.segments.iter().take_while(|segment| path_lint::names_one_place(std::slice::from_ref(segment))).count();
        let rest = if trunk == query.segments.len() {
            Rest::One(Box::new(query))
        } else {
            let mut stem = query.clone();
            stem.segments.truncate(trunk);
            Rest::Many { query: Box::new(query), trunk: Box::new(stem) }
        };
        Ok(Self { text: text.to_owned(), first, rest })
    }

    /// The path to a field below the place that this one names.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        let simple = name.starts_with(is_name_start) && name.chars().all(is_name_letter);
        let text = if simple { format!("{}.{name}", self.text) } else { format!("{}['{name}']", self.text) };
        let mut segments = self.segments().unwrap_or_default().to_vec();
        segments.push(Segment::Name(name.to_owned()));
        Self { text, first: self.first.clone(), rest: Rest::Singular(segments) }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first name, and the bytes of the text where it stands.
    pub fn first_name(&self) -> (&str, std::ops::Range<usize>) {
        let start = self.text.find(&self.first).unwrap_or(0);
        (&self.first, start..start + self.first.len())
    }

    /// The segments behind the first name, when it can only name one place.
    pub fn segments(&self) -> Option<&[Segment]> {
        match &self.rest {
            Rest::Singular(segments) => Some(segments),
            Rest::One(_) | Rest::Many { .. } => None,
        }
    }

    /// Whether it gives a list of all that match.
    pub fn gives_list(&self) -> bool {
        matches!(self.rest, Rest::Many { .. })
    }

    /// The names to the one place it can name, first name first; `None` when it can name several or counts items.
    pub fn place(&self) -> Option<Vec<String>> {
        let names = self.segments()?.iter().map(|segment| match segment {
            Segment::Name(name) => Some(name.clone()),
            Segment::Index(_) => None,
        });
        std::iter::once(Some(self.first.clone())).chain(names).collect()
    }

    /// What stands there: one value or nothing for a path that names one place, else a list of all that match.
    pub fn find(&self, document: &EventDocument) -> Option<Json> {
        self.look(document).map(Cow::into_owned)
    }

    /// The same without a copy where it can be had so.
    pub fn look<'d>(&self, document: &'d EventDocument) -> Option<Cow<'d, Json>> {
        let root = document.get(&self.first);
        match &self.rest {
            Rest::Singular(segments) => walk(root?, segments).map(Cow::Borrowed),
            Rest::One(query) => matches_of(query, root).into_iter().next().map(Cow::Owned),
            Rest::Many { query, .. } => Some(Cow::Owned(Json::Array(matches_of(query, root)))),
        }
    }

    /// The list that is looked at item by item. Of a path that can name many it is what matches, but only where there is something
    /// that it looks through: that a list is missing does not mean that it is empty.
    pub fn find_list(&self, document: &EventDocument) -> Option<Json> {
        self.look_at_list(document).map(Cow::into_owned)
    }

    /// The same without a copy where it can be had so.
    pub fn look_at_list<'d>(&self, document: &'d EventDocument) -> Option<Cow<'d, Json>> {
        let Rest::Many { trunk, .. } = &self.rest else { return self.look(document) };
        let looked_through = matches_of(trunk, document.get(&self.first)).into_iter().next()?;
        match looked_through {
            Json::Array(_) | Json::Object(_) => self.look(document),
            Json::Null => None,
            other => Some(Cow::Owned(other)),
        }
    }

    /// Adds the place it looks at: as deep as names go.
    pub fn add_reads(&self, reads: &mut Reads) {
        let mut place = vec![self.first.clone()];
        for segment in self.segments().unwrap_or_default() {
            match segment {
                Segment::Name(name) => place.push(name.clone()),
                Segment::Index(_) => break,
            }
        }
        reads.add(place);
    }
}

fn matches_of(query: &JpQuery, root: Option<&Arc<Json>>) -> Vec<Json> {
    root.map(|root| path_run::find(query, root).into_iter().cloned().collect()).unwrap_or_default()
}

fn walk<'v>(root: &'v Json, segments: &[Segment]) -> Option<&'v Json> {
    segments.iter().try_fold(root, |value, segment| match (segment, value) {
        (Segment::Name(name), Json::Object(fields)) => fields.get(name),
        (Segment::Index(index), items) => path_run::item(items, *index),
        _ => None,
    })
}

fn is_name_start(letter: char) -> bool {
    letter.is_ascii_alphabetic() || letter == '_' || !letter.is_ascii()
}

fn is_name_letter(letter: char) -> bool {
    is_name_start(letter) || letter.is_ascii_digit()
}

/// The segments of a path made only of `.name`, `['name']` and `[1]`; `None` when it has anything else.
fn singular(text: &str) -> Option<Vec<Segment>> {
    let mut rest = text.strip_prefix('$')?;
    let mut segments = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let length = after.find(|letter| !is_name_letter(letter)).unwrap_or(after.len());
            let name = after.get(..length).filter(|name| name.starts_with(is_name_start))?;
            segments.push(Segment::Name(name.to_owned()));
            rest = &after[length..];
        } else {
            let inside = rest.strip_prefix('[')?;
            if let Some(quote @ ('\'' | '"')) = inside.chars().next() {
                let end = inside[1..].find(quote)? + 1;
                let name = inside[1..end].to_owned();
                rest = inside[end + 1..].strip_prefix(']').filter(|_| !name.contains('\\'))?;
                segments.push(Segment::Name(name));
            } else {
                let end = inside.find(']')?;
                let digits = &inside[..end];
                let leading_zero = digits.trim_start_matches('-').starts_with('0') && digits != "0";
                segments.push(Segment::Index(
                    digits
                        .parse()
                        .ok()
                        .filter(|index: &i64| !leading_zero && !digits.starts_with('+') && index.unsigned_abs() < 1 << 53)?,
                ));
                rest = &inside[end + 1..];
            }
        }
    }
    Some(segments)
}

/// The first name of any path and how many bytes `$` and it take.
fn first_name(text: &str) -> Option<(String, usize)> {
    let rest = text.strip_prefix("$.")?;
    let length = rest.find(|letter| !is_name_letter(letter)).unwrap_or(rest.len());
    let name = rest.get(..length).filter(|name| name.starts_with(is_name_start))?;
    Some((name.to_owned(), length + 2))
}

fn explain(error: &JsonPathError, text: &str) -> PathError {
    let JsonPathError::PestError(error) = error else {
        return PathError { message: format!("this is no JSONPath: {error}"), range: 0..text.len(), hint: None };
    };
    let at = match error.location {
        pest::error::InputLocation::Pos(at) => at,
        pest::error::InputLocation::Span((start, _)) => start,
    };
    let at = text.floor_char_boundary(at.min(text.len()));
    let end = text[at..].chars().next().map_or(at, |letter| at + letter.len_utf8());
    let range = if at == end { at.saturating_sub(1)..end } else { at..end };
    let message = if at >= text.len() {
        "the path ends too early".to_owned()
    } else {
        format!("`{}` does not belong here in a path", &text[at..end])
    };
    let hint = if text.contains('?') {
        "a filter is written `$.body.items[?@.price > 10]`"
    } else if range.start > 0 && text[..range.start].ends_with('.') {
        "a name that does not begin with a letter, or holds more than letters, digits and `_`, stands in brackets: `$.body['2nd-name']`"
    } else {
        "a path is written `$.body.items[0].name`, or with `[*]` for all items"
    };
    PathError { message, range, hint: Some(hint.to_owned()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find(path: &str) -> Option<String> {
        let mut document = EventDocument::default();
        let body = r#"{"a":{"b":[{"n":1},{"n":2.50}],"x y":3,"hub.mode":"s"},"big":18446744073709551617,"none":null,"one":1,"back\\slash":4}"#;
        document.set("body", Arc::new(serde_json::from_str(body).expect("json")));
        Path::compile(path).expect(path).find(&document).map(|found| found.to_string())
    }

    #[test]
    fn a_path_gives_a_value_a_list_or_nothing() {
        for (path, expected) in [
            ("$.body.a.b[1].n", Some("2.50")),
            ("$.body.a.b[-1].n", Some("2.50")),
            ("$.body.a['x y']", Some("3")),
            ("$.body.a[\"hub.mode\"]", Some("\"s\"")),
            ("$.body.big", Some("18446744073709551617")),
            ("$.body.none", Some("null")),
            ("$.body.nope", None),
            ("$.query.a", None),
            ("$.body.a.b[*].n", Some("[1,2.50]")),
            ("$.body.a.b[?@.n > 1].n", Some("[2.50]")),
            ("$.body.zzz[*]", Some("[]")),
            ("$.body.a[ 'x y' ]", Some("3")),
            ("$.body.a.b[ -1 ].n", Some("2.50")),
            ("$.body.a[ 'nope' ]", None),
            ("$.body.a.b[?@.n == $.body.one].n", Some("[1]")),
            ("$.body.a.b[?@.n,?@.n > 1].n", Some("[1,2.50,2.50]")),
            ("$.body['back\\\\slash']", Some("4")),
        ] {
            assert_eq!(find(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_missing_list_is_not_an_empty_one() {
        let list = |path: &str| {
            let mut document = EventDocument::default();
            document.set("body", serde_json::json!({ "lines": [], "orders": [{ "lines": [1] }, {}], "none": null, "text": "a" }));
            Path::compile(path).expect(path).find_list(&document).map(|found| found.to_string())
        };
        for (path, expected) in [
            ("$.body.lines", Some("[]")),
            ("$.body.lines[*]", Some("[]")),
            ("$.body.lines[?@.a]", Some("[]")),
            ("$.body.orders[*].lines[*]", Some("[1]")),
            ("$.body.orders[0].lines[*]", Some("[1]")),
            ("$.body[*].lines[*]", Some("[]")),
            ("$.body.nope", None),
            ("$.body.nope[*]", None),
            ("$.body.nope[?@.a]", None),
            ("$.body.orders[1].lines[*]", None),
            ("$.body.none[*]", None),
            ("$.body.text[*]", Some("\"a\"")),
            ("$.order.lines[*]", None),
            ("$.order..lines", None),
        ] {
            assert_eq!(list(path).as_deref(), expected, "{path}");
        }
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            (-3..3i64).prop_map(Json::from),
            "[ab]{0,2}".prop_map(Json::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
                prop::collection::vec(("[abø]|x y|", inner), 0..4).prop_map(|fields| Json::Object(fields.into_iter().collect()))
            ]
        })
    }

    proptest! {
        #[test]
        fn a_path_to_one_place_finds_what_the_standard_finds(
            body in any_json(),
            segments in prop::collection::vec("\\.[abø]|\\['[abø]'\\]|\\[\"x y\"\\]|\\[ ?'x y' ?\\]|\\[''\\]|\\[-?[1-3]\\]|\\[ ?0\\]", 0..5),
        ) {
            use jsonpath_rust::JsonPath as _;
            let text = format!("$.body{}", segments.concat());
            let path = Path::compile(&text).expect("a singular path");
            prop_assert!(!path.gives_list());
            let whole = serde_json::json!({ "body": body });
            let expected = whole.query(&text).expect("a path").into_iter().next().cloned();
            let mut document = EventDocument::default();
            document.set("body", body);
            prop_assert_eq!(path.find(&document), expected, "{}", text);
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_place() {
        for (path, at) in [
            ("$", 0..1),
            ("$[0]", 0..4),
            ("$.body.line items", 11..12),
            ("$.body.a[", 8..9),
            ("$.body.a[0", 8..9),
            ("$.body.a.", 8..9),
            ("$.body[?@[?@>1]]", 10..11),
            ("$.body[?match(@.a, 'x')]", 8..13),
            ("$.body[?count(@.*)]", 8..13),
            ("$.body[?length(@.*) > 1]", 8..14),
            ("$.body[?@.a == $.query.a]", 15..16),
            ("$.body['a\nb']", 9..10),
        ] {
            assert_eq!(Path::compile(path).expect_err(path).range, at, "{path}");
        }
        assert!(Path::compile("$.body[9007199254740992]").is_err());
        assert!(Path::compile(&format!("$.{}", "a".repeat(2000))).is_err());
        assert!(Path::compile(&format!("$.body{}", "[?(".repeat(300))).is_err());
    }
}

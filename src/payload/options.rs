//! `payload:`: how the body is read and split into records.

use super::charset::Charset;
use super::positional::Decode;
use super::{Format, csv, positional};
use crate::config::diagnostic::{Diagnostic, Diagnostics, closest};
use crate::config::options::{FromYaml, Named, options, report_expected};
use crate::config::shape::{self, Shape};
use crate::config::source::{Span, Spanned};
use crate::config::yaml::Node;
use crate::expr::jsonpath::Path;

options! {
    /// How the body is read.
    pub struct PayloadOptions {
        /// The body's format: `json`, `json-lenient` (names without quotes), `form`, `positional` (`1001&1002`), `xml`, `csv`, `ndjson`, `multipart`, `text`, `none` or `jwt`. Without it the content type decides; with it the content type does not matter.
        format: Option<Spanned<FormatName>>,
        /// Whether JSON may also have names without quotes, single quotes, trailing commas and comments, while the content type goes on to decide. `format: json-lenient` takes every body as such JSON.
        lenient: Option<Spanned<bool>>,
        /// The names of the values: of `positional` bodies in order, and of the columns of `csv` bodies without a header row.
        fields: Vec<Spanned<String>>,
        /// What stands between two values: `&` by default in `positional`, `,` in `csv`.
        separator: Option<Spanned<String>>,
        /// Whether the values of a `positional` body are percent-encoded (`percent`, the default) or `raw`.
        decode: Option<Spanned<Decode>>,
        /// The body's charset, such as `iso-8859-1`. Without it the content type's, else UTF-8.
        charset: Option<Charset>,
        /// Places that are lists however often they occur: `[$.body.order.line]`. One XML element or form field looks like a single value.
        lists: Vec<Node> as shape::path,
        /// Paths into the body whose content is masked everywhere, beside what auth, headers that go out, logins and `from:` read. A path through a list means each of its items.
        secret: Vec<Node> as shape::path,
        /// `{ name: path }`: each element of that list is a record of its own, under that name; `body` stays whole.
        split: Named<Node> as shape::path,
    }
}

/// The word for a format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FormatName {
    /// `json`
    Json,
    /// `json-lenient`
    JsonLenient,
    /// `form`
    Form,
    /// `positional`
    Positional,
    /// `xml`
    Xml,
    /// `csv`
    Csv,
    /// `ndjson`
    Ndjson,
    /// `multipart`
    Multipart,
    /// `text`
    Text,
    /// `none`
    None,
    /// `jwt`
    Jwt,
}

impl FormatName {
    /// Every word and what it stands for.
    const ALL: [(&'static str, Self); 11] = [
        ("json", Self::Json),
        ("json-lenient", Self::JsonLenient),
        ("form", Self::Form),
        ("positional", Self::Positional),
        ("xml", Self::Xml),
        ("csv", Self::Csv),
        ("ndjson", Self::Ndjson),
        ("multipart", Self::Multipart),
        ("text", Self::Text),
        ("none", Self::None),
        ("jwt", Self::Jwt),
    ];

    /// The words alone.
    const WORDS: [&'static str; 11] = {
        let mut words = [""; 11];
        let mut at = 0;
        while at < words.len() {
            words[at] = Self::ALL[at].0;
            at += 1;
        }
        words
    };
}

impl FromYaml for FormatName {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let text = node.text().unwrap_or_default();
        if let Some((_, format)) = Self::ALL.iter().find(|(word, _)| *word == text) {
            return Some(*format);
        }
        let words = Self::WORDS;
        let message = format!("expected a format; found {}", node.describe());
        let hint = match closest(text, words) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("the formats are {}", words.map(|word| format!("`{word}`")).join(", ")),
        };
        diagnostics.report(Diagnostic::error("wrong-type", node.span, message).hint(hint));
        None
    }

    fn shape() -> Shape {
        Shape::Word(&Self::WORDS)
    }
}

/// A compiled payload block.
#[derive(Clone, Debug)]
pub struct Payload {
    pub(super) format: Option<Format>,
    /// Whether JSON is read leniently.
    pub(super) is_lenient: bool,
    pub(super) charset: Option<Charset>,
    /// The most bytes that a body may inflate to.
    pub(super) most_bytes: u64,
    /// Places below the body that are always lists.
    lists: Vec<Vec<String>>,
    /// The place below the body that is split, when it is one place.
    split_list: Option<Vec<String>>,
    /// Places in the event document whose content is secret.
    pub secret_places: Vec<Vec<String>>,
    /// The name of one record's element, and where the list is.
    pub split: Option<(String, Path)>,
}

/// Compiles the block; `max_body` is the largest body in bytes, before and after it is inflated.
pub fn compile(options: Option<&PayloadOptions>, max_body: u64, diagnostics: &mut Diagnostics) -> Option<Payload> {
    let Some(options) = options else { return Some(Payload::plain(max_body)) };
    let format = compile_format(options, diagnostics);
    let lists: Vec<_> = options.lists.iter().map(|node| place_in_body(node, "$.body.order.line", diagnostics)).collect();
    let secrets: Vec<_> = options.secret.iter().map(|node| place_in_body(node, "$.body.password", diagnostics)).collect();
    let split = compile_split(&options.split, diagnostics)?;
    let mut secret_places = secrets.into_iter().collect::<Option<Vec<_>>>()?;
    if let Some((name, path)) = &split {
        secret_places.splice(0..0, in_elements(&secret_places, name, path));
    }
    let lists = lists.into_iter().map(|place| place.map(below_body)).collect::<Option<_>>()?;
    let split_list = split.as_ref().and_then(|(_, path)| path.place()).map(below_body);
    Some(Payload {
        format: format?,
        is_lenient: options.lenient.as_ref().is_some_and(|lenient| lenient.value),
        charset: options.charset,
        most_bytes: max_body,
        lists,
        split_list,
        secret_places,
        split,
    })
}

impl Payload {
    /// What is done when a file says nothing.
    fn plain(most_bytes: u64) -> Self {
        Self {
            format: None,
            is_lenient: false,
            charset: None,
            most_bytes,
            lists: Vec::new(),
            split_list: None,
            secret_places: Vec::new(),
            split: None,
        }
    }

    /// The same for bodies of at most `most_bytes`, and the one that goes by the content type alone: for requests that are looked into
    /// before their sender is known.
    pub fn strict(&self, most_bytes: u64) -> [Self; 2] {
        let most_bytes = most_bytes.min(self.most_bytes);
        [Self { most_bytes, ..self.clone() }, Self::plain(most_bytes)]
    }

    /// The places below a body that are always lists: those that the file names and, in formats where one value cannot be told
    /// from a list of one, what is split.
    pub(super) fn lists_in(&self, format: &Format) -> impl Iterator<Item = &[String]> {
        let is_vague = matches!(format, Format::Xml | Format::Form | Format::Multipart);
        let split = self.split_list.as_ref().filter(|_| is_vague);
        self.lists.iter().chain(split).map(Vec::as_slice)
    }
}

fn compile_format(options: &PayloadOptions, diagnostics: &mut Diagnostics) -> Option<Option<Format>> {
    let name = options.format.as_ref().map(|format| format.value);
    let expected = |wanted: &[FormatName]| name.is_some_and(|name| wanted.contains(&name));
    let mut misplaced = |option: &str, span: Span, whose: &str| {
        let message = format!("`{option}` is for {whose}");
        diagnostics.report(Diagnostic::error("misplaced-option", span, message).hint("say which `format` this is, or remove it"));
    };
    if let Some(field) = options.fields.first().filter(|_| !expected(&[FormatName::Positional, FormatName::Csv])) {
        misplaced("fields", field.span, "`format: positional` and `format: csv`");
    }
    if let Some(separator) = options.separator.as_ref().filter(|_| !expected(&[FormatName::Positional, FormatName::Csv])) {
        misplaced("separator", separator.span, "`format: positional` and `format: csv`");
    }
    if let Some(decode) = options.decode.as_ref().filter(|_| !expected(&[FormatName::Positional])) {
        misplaced("decode", decode.span, "`format: positional`");
    }
    if let Some(lenient) = options.lenient.as_ref().filter(|_| name.is_some() && !expected(&[FormatName::Json])) {
        misplaced("lenient", lenient.span, "JSON bodies");
    }
    let listed = options.lists.first().or(options.split.entries.first().map(|(_, node)| node));
    if let Some(node) = listed.filter(|_| expected(&[FormatName::Text, FormatName::None])) {
        misplaced(if options.lists.is_empty() { "split" } else { "lists" }, node.head(), "bodies that can hold lists");
    }
    let fields = distinct(&options.fields, diagnostics)?;
    let Some(format) = &options.format else { return Some(None) };
    let separator = options.separator.as_ref();
    Some(Some(match format.value {
        FormatName::Json => Format::Json,
        FormatName::JsonLenient => Format::JsonLenient,
        FormatName::Form => Format::Form,
        FormatName::Positional => {
            let decode = options.decode.as_ref().map(|decode| decode.value).unwrap_or_default();
            Format::Positional(positional::compile(format.span, fields, separator, decode, diagnostics)?)
        }
        FormatName::Xml => Format::Xml,
        FormatName::Csv => Format::Csv(csv::compile(fields, separator, diagnostics)?),
        FormatName::Ndjson => Format::Ndjson,
        FormatName::Multipart => Format::Multipart,
        FormatName::Text => Format::Text,
        FormatName::None => Format::None,
        FormatName::Jwt => {
            warn_of_unverified_token(format.span, diagnostics);
            Format::Jwt
        }
    }))
}

fn warn_of_unverified_token(format: Span, diagnostics: &mut Diagnostics) {
    let message = "the claims of this token are read, and nothing verifies its signature";
    diagnostics.report(
        Diagnostic::warning("jwt-not-verified", format, message)
            .hint("do not trust the claims more than `auth` lets you trust the sender; fetch what matters from the provider"),
    );
}

fn distinct(fields: &[Spanned<String>], diagnostics: &mut Diagnostics) -> Option<Vec<String>> {
    for (later, field) in fields.iter().enumerate() {
        if let Some(first) = fields[..later].iter().find(|first| first.value == field.value) {
            let message = format!("`{}` names two values", field.value);
            diagnostics.report(Diagnostic::error("duplicate-name", field.span, message).related(first.span, "the first"));
            return None;
        }
    }
    Some(fields.iter().map(|field| field.value.clone()).collect())
}

fn compile_split(split: &Named<Node>, diagnostics: &mut Diagnostics) -> Option<Option<(String, Path)>> {
    match split.entries.as_slice() {
        [] => Some(None),
        [(name, node)] => {
            let path = node.text().map(Path::compile).and_then(Result::ok).filter(|path| path.first_name().0 == "body");
            if path.is_none() {
                report_expected("a path into the body such as `$.body` or `$.body.items`", node, diagnostics);
            }
            Some(Some((name.value.clone(), path?)))
        }
        [_, (name, _), ..] => {
            diagnostics.report(Diagnostic::error("too-many-names", name.span, "`split` takes one name and one path"));
            None
        }
    }
}

/// The names to a place of the body, `body` first. `[*]` may stand in the path: a place in a list is that place in each item.
fn place_in_body(node: &Node, example: &str, diagnostics: &mut Diagnostics) -> Option<Vec<String>> {
    let place_of = |text: &str| Path::compile(text).ok().as_ref().and_then(Path::place);
    let place = node.text().and_then(|text| place_of(text).or_else(|| place_of(&text.replace("[*]", ""))));
    let place = place.filter(|place| place.first().is_some_and(|first| first == "body"));
    if place.is_none() {
        report_expected(&format!("a path to one place of the body such as `{example}`"), node, diagnostics);
    }
    place
}

fn below_body(mut place: Vec<String>) -> Vec<String> {
    place.remove(0);
    place
}

/// Where the secrets of a split list stand in the document of one element.
fn in_elements(places: &[Vec<String>], name: &str, path: &Path) -> Vec<Vec<String>> {
    let Some(list) = path.place() else { return vec![vec![name.to_owned()]; usize::from(!places.is_empty())] };
    let inside = places.iter().filter_map(|place| place.strip_prefix(list.as_slice()));
    inside.map(|rest| std::iter::once(name.to_owned()).chain(rest.iter().cloned()).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::render;
    use crate::config::source::Sources;
    use crate::config::yaml::parse;
    use crate::model::delivery::Request;

    fn compiled(yaml: &str) -> (Option<Payload>, String) {
        let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::default());
        let file = sources.add("a.yaml", yaml);
        let root = parse(&sources, file, &mut diagnostics).expect(yaml);
        let options = PayloadOptions::from_yaml(&root, &mut diagnostics);
        let payload = options.and_then(|options| compile(Some(&options), 1000, &mut diagnostics));
        (payload, render::text(&diagnostics, &sources, false))
    }

    /// What a body becomes, or why it does not.
    fn decoded(yaml: &str, content_type: &str, body: &[u8]) -> String {
        let (payload, problems) = compiled(yaml);
        let payload = payload.expect(&problems);
        let request = Request {
            method: "POST".into(),
            path: "/".into(),
            query: String::new(),
            headers: vec![("content-type".into(), content_type.to_owned().into())],
            body: body.to_vec().into(),
            peer: None,
        };
        match payload.open(&request).map_err(|why| why.to_string()).and_then(|content| content.decode()) {
            Ok(body) => body.map_or_else(|| "missing".to_owned(), |body| body.to_string()),
            Err(reason) => reason,
        }
    }

    #[test]
    fn the_content_type_decides_unless_the_file_does() {
        for (yaml, content_type, body, expected) in [
            ("{}", "application/json", r#"{"a":1.50}"#, r#"{"a":1.50}"#),
            ("{}", "application/x-www-form-urlencoded", "a=1", r#"{"a":"1"}"#),
            ("{ format: json }", "application/x-www-form-urlencoded", r#"{"a":1}"#, r#"{"a":1}"#),
            ("{ format: positional, fields: [old, new] }", "application/json", "1&2", r#"{"old":"1","new":"2"}"#),
            ("{ format: positional, fields: [a, b], separator: ';', decode: raw }", "", "%20;", r#"{"a":"%20","b":""}"#),
            ("{ format: csv, separator: ';', fields: [a] }", "text/plain", "1\n2", r#"[{"a":"1"},{"a":"2"}]"#),
            ("{ format: text }", "application/json", "{", "\"{\""),
            ("{ format: none }", "application/json", "{", "missing"),
            ("{ format: json }", "application/json", "", "missing"),
            ("{}", "application/json", "{a: '1'}", "the body is not JSON: syntax error at line 1, column 2"),
            ("{ lenient: true }", "application/json", "{a: '1'}", r#"{"a":"1"}"#),
            ("{ lenient: true }", "", "{a: 1.50,}", r#"{"a":1.50}"#),
            ("{ lenient: true }", "application/x-www-form-urlencoded", "a=1", r#"{"a":"1"}"#),
            ("{ lenient: false }", "application/json", r#"{"a":1}"#, r#"{"a":1}"#),
            ("{ format: json, lenient: true }", "text/xml", "{a: 1}", r#"{"a":1}"#),
            ("{}", "", " {\"a\":1}", r#"{"a":1}"#),
            ("{}", "text/plain", "[1]", "[1]"),
            ("{}", "text/plain", "0042", "\"0042\""),
            ("{}", "text/plain", "42", "\"42\""),
            ("{}", "text/plain", "{42", "the body is not JSON: syntax error at line 1, column 2"),
            ("{ charset: iso-8859-1 }", "application/json; charset=utf-8", "{\"a\":\"\u{80}\"}", "{\"a\":\"Â€\"}"),
            ("{}", "text/plain; charset=utf-16le", "{\0}\0", "{}"),
        ] {
            assert_eq!(decoded(yaml, content_type, body.as_bytes()), expected, "{yaml} {content_type} {body}");
        }
        let latin = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xF8</a>";
        assert_eq!(decoded("{}", "application/xml", latin), r#"{"a":"ø"}"#);
        assert!(decoded("{}", "application/xml; charset=utf-8", latin).starts_with("the body is no text: byte 46"));
        assert!(decoded("{}", "image/png", b"x").contains("`image/png`"));
    }

    #[test]
    fn lists_are_lists_however_often_they_occur() {
        let one = b"<o><l>1</l></o>";
        assert_eq!(decoded("{}", "text/xml", one), r#"{"o":{"l":"1"}}"#);
        assert_eq!(decoded("{ lists: $.body.o.l }", "text/xml", one), r#"{"o":{"l":["1"]}}"#);
        assert_eq!(decoded("{ lists: [\"$.body.o[*].l\"] }", "text/xml", b"<o/>"), r#"{"o":{"l":[]}}"#);
        assert_eq!(decoded("{ split: { line: $.body.o.l } }", "text/xml", one), r#"{"o":{"l":["1"]}}"#);
        assert_eq!(decoded("{ split: { line: $.body.l } }", "application/json", b"{\"l\":1}"), r#"{"l":1}"#);
        assert_eq!(decoded("{ lists: $.body }", "application/json", b"{\"l\":1}"), r#"[{"l":1}]"#);
    }

    #[test]
    fn secrets_of_a_split_list_are_secret_in_each_element() {
        let payload =
            compiled("{ split: { row: $.body.rows }, secret: [\"$.body.rows[*].pin\", $.body.token] }").0.expect("compiles");
        let places: Vec<String> = payload.secret_places.iter().map(|place| place.join(".")).collect();
        assert_eq!(places, ["row.pin", "body.rows.pin", "body.token"]);
        let payload = compiled("{ split: { row: \"$.body[?@.a]\" }, secret: $.body.pin }").0.expect("compiles");
        assert_eq!(payload.secret_places, [vec!["row"], vec!["body", "pin"]]);
    }

    #[test]
    fn what_makes_no_sense_is_explained() {
        for (yaml, expected) in [
            ("format: jsno", "did you mean `json`?"),
            ("format: protobuf", "the formats are `json`, `json-lenient`, `form`"),
            ("format: positional", "error[missing-option]: `positional` needs the names of its values"),
            ("{ format: positional, fields: [a, a] }", "error[duplicate-name]: `a` names two values"),
            ("{ format: positional, fields: [a], separator: '' }", "a separator is one or more ASCII signs"),
            ("{ format: positional, fields: [a], decode: base64 }", "expected `percent` or `raw`"),
            ("{ format: csv, separator: '||' }", "the separator of csv is one sign"),
            ("{ format: json, fields: [a] }", "error[misplaced-option]: `fields` is for `format: positional` and `format: csv`"),
            ("separator: ';'", "error[misplaced-option]: `separator` is for"),
            ("{ format: form, lenient: true }", "error[misplaced-option]: `lenient` is for JSON bodies"),
            ("{ format: text, split: { line: $.body } }", "error[misplaced-option]: `split` is for bodies that can hold lists"),
            ("{ format: none, lists: $.body.a }", "error[misplaced-option]: `lists` is for bodies that can hold lists"),
            ("{ format: csv, decode: raw }", "error[misplaced-option]: `decode` is for `format: positional`"),
            ("charset: klingon", "expected a charset such as"),
            ("secret: $.query.password", "expected a path to one place of the body"),
            ("format: jwt", "warning[jwt-not-verified]"),
        ] {
            let (_, problems) = compiled(yaml);
            assert!(problems.contains(expected) && problems.contains("^"), "{yaml}: {problems}");
        }
    }
}

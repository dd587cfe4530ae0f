//! `payload:`: how the body is read and split into records.

use super::charset::Charset;
use super::positional::Decode;
use super::{Format, csv, positional};
use crate::config::diagnostic::{Diagnostic, Diagnostics, closest};
use crate::config::options::{FromYaml, Named, options, report_expected};
use crate::config::source::{Span, Spanned};
use crate::config::yaml::Node;
use crate::expr::jsonpath::Path;

options! {
    /// How the body is read.
    pub struct PayloadOptions {
        /// The body's format: `json`, `json-lenient` (names without quotes), `form`, `positional` (`1001&1002`), `xml`, `csv`, `ndjson`, `multipart`, `text`, `none` or `jwt`. Without it the content type decides; with it the content type does not matter.
        format: Option<Spanned<FormatName>>,
        /// The names of the values: of `positional` bodies in order, and of the columns of `csv` bodies without a header row.
        fields: Vec<Spanned<String>>,
        /// What stands between two values: `&` by default in `positional`, `,` in `csv`.
        separator: Option<Spanned<String>>,
        /// Whether the values of a `positional` body are percent-encoded (`percent`, the default) or `raw`.
        decode: Option<Spanned<Decode>>,
        /// The body's charset, such as `iso-8859-1`. Without it the content type's, else UTF-8.
        charset: Option<Charset>,
        /// Places that are lists however often they occur: `[$.body.order.line]`. One XML element or form field looks like a single value.
        lists: Vec<Node>,
        /// Paths into the body whose content is masked everywhere, beside what auth, api headers and `from:` read. A path through a list means each of its items.
        secret: Vec<Node>,
        /// `{ name: path }`: each element of that list is a record of its own, under that name; `body` stays whole.
        split: Named<Node>,
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
}

impl FromYaml for FormatName {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let text = node.text().unwrap_or_default();
        if let Some((_, format)) = Self::ALL.iter().find(|(word, _)| *word == text) {
            return Some(*format);
        }
        let words = Self::ALL.map(|(word, _)| word);
        let message = format!("expected a format; found {}", node.describe());
        let hint = match closest(text, words) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("the formats are {}", words.map(|word| format!("`{word}`")).join(", ")),
        };
        diagnostics.report(Diagnostic::error("wrong-type", node.span, message).hint(hint));
        None
    }
}

/// A compiled payload block.
#[derive(Clone, Debug)]
pub struct Payload {
    pub(super) format: Option<Format>,
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
    Some(Payload { format: format?, charset: options.charset, most_bytes: max_body, lists, split_list, secret_places, split })
}

impl Payload {
    /// What is done when a file says nothing.
    fn plain(most_bytes: u64) -> Self {
        Self {
            format: None,
            charset: None,
            most_bytes,
            lists: Vec::new(),
            split_list: None,
            secret_places: Vec::new(),
            split: None,
        }
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

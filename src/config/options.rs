//! What may be written, read from the YAML tree: the `options!` macro makes a struct of named options with their
//! documentation, and `FromYaml` reads it, reporting every problem at its place and going on.

use serde_json::Value as Json;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::shape::{Meaning, Shape};
use super::source::{Span, Spanned};
use super::yaml::{Content, Entry, Node};

/// The name and documentation of one option, for the reference and for completion.
#[derive(Clone, Copy, Debug)]
pub struct OptionDoc {
    /// As it is written.
    pub name: &'static str,
    /// The doc comment of its field.
    pub doc: &'static str,
}

/// A value that can be read from YAML.
pub trait FromYaml: Sized {
    /// Reads it. What is wrong is reported; `None` when nothing usable is left.
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self>;

    /// What it is when nothing is written. `None` makes the option required.
    fn absent() -> Option<Self> {
        None
    }

    /// What may be written for it.
    fn shape() -> Shape;
}

/// Declares a struct of options: `name: Type` fields with doc comments. The struct gets a `span` (the whole map), a
/// `FromYaml` that reports unknown, missing and ill-typed options, and `OPTIONS`, its documentation as data. A field whose
/// name is a Rust keyword is written `r#where` and read as `where`. `name: Type as shape::condition` says what values mean,
/// `name: Type = "7d"` what it is when nothing is written, for those who read about it.
macro_rules! options {
    (
        $(#[doc = $about:literal])+
        $vis:vis struct $name:ident {
            $( $(#[doc = $doc:literal])+ $field:ident : $type:ty $(as $leaf:path)? $(= $default:literal)? ),+ $(,)?
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        $vis struct $name {
            /// The whole map as it was written.
            pub span: $crate::config::source::Span,
            /// Where it begins, for a problem of the whole.
            pub head: $crate::config::source::Span,
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl $name {
            /// What may be written here.
            pub const OPTIONS: &'static [$crate::config::options::OptionDoc] = &[
                $( $crate::config::options::OptionDoc {
                    name: $crate::config::options::bare_name(stringify!($field)),
                    doc: concat!($($doc),+),
                }, )+
            ];

            /// What may be written here, with the shape of every option.
            pub fn block() -> $crate::config::shape::Block {
                $crate::config::shape::Block {
                    id: concat!(module_path!(), "::", stringify!($name)),
                    doc: concat!($($about),+),
                    options: || {
                        vec![$( $crate::config::shape::OptionShape {
                            name: $crate::config::options::bare_name(stringify!($field)),
                            doc: concat!($($doc),+),
                            shape: <$type as $crate::config::options::FromYaml>::shape()$(.with_leaf($leaf()))?,
                            required: <$type as $crate::config::options::FromYaml>::absent().is_none(),
                            default: [$($default,)?].first().copied(),
                        } ),+]
                    },
                }
            }
        }

        impl $crate::config::options::FromYaml for $name {
            fn from_yaml(
                node: &$crate::config::yaml::Node,
                diagnostics: &mut $crate::config::diagnostic::Diagnostics,
            ) -> Option<Self> {
                let entries = $crate::config::options::map_of(node, Self::OPTIONS, diagnostics)?;
                $( let $field = $crate::config::options::option_of::<$type>(
                    node,
                    entries,
                    &$crate::config::options::OptionDoc {
                        name: $crate::config::options::bare_name(stringify!($field)),
                        doc: concat!($($doc),+),
                    },
                    diagnostics,
                ); )+
                Some(Self { span: node.span, head: node.head(), $( $field: $field?, )+ })
            }

            fn shape() -> $crate::config::shape::Shape {
                $crate::config::shape::Shape::Block(Self::block())
            }
        }
    };
}
pub(crate) use options;

/// `where` of `r#where`.
pub const fn bare_name(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// The entries of a map of options; unknown ones are reported.
pub fn map_of<'n>(node: &'n Node, options: &[OptionDoc], diagnostics: &mut Diagnostics) -> Option<&'n [Entry]> {
    let Content::Map(entries) = &node.content else {
        let names = options.iter().map(|option| format!("`{}`", option.name)).collect::<Vec<_>>().join(", ");
        report_expected_hint("a map of options", node, &format!("its options are {names}"), diagnostics);
        return None;
    };
    for entry in entries {
        if !options.iter().any(|option| option.name == entry.name.value) {
            report_unknown(&entry.name, options.iter().map(|option| option.name), diagnostics);
        }
    }
    Some(entries)
}

/// Reports a name that means nothing where it stands.
pub fn report_unknown<'a>(name: &Spanned<String>, known: impl Iterator<Item = &'a str> + Clone, diagnostics: &mut Diagnostics) {
    let names = known.clone().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let mut diagnostic = Diagnostic::error("unknown-option", name.span, format!("unknown option `{}`", name.value)).did_you_mean(
        &name.value,
        known,
        name.span,
    );
    if diagnostic.hint.is_none() {
        diagnostic = diagnostic.hint(format!("the options here are {names}"));
    }
    diagnostics.report(diagnostic);
}

/// One option of a map, or what it is when it is not written.
pub fn option_of<T: FromYaml>(node: &Node, entries: &[Entry], option: &OptionDoc, diagnostics: &mut Diagnostics) -> Option<T> {
    if let Some(entry) = entries.iter().find(|entry| entry.name.value == option.name) {
        return T::from_yaml(&entry.value, diagnostics);
    }
    let absent = T::absent();
    if absent.is_none() {
        diagnostics.report(
            Diagnostic::error("missing-option", node.head(), format!("missing option `{}`", option.name))
                .label("beside this")
                .hint(format!("`{}` says: {}", option.name, in_a_sentence(option.doc))),
        );
    }
    absent
}

/// A doc comment as a part of a sentence: no capital at its start, no full stop at its end.
fn in_a_sentence(doc: &str) -> String {
    let doc = doc.trim().trim_end_matches('.');
    let mut letters = doc.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Reports that something else was expected.
pub fn report_expected(expected: &str, node: &Node, diagnostics: &mut Diagnostics) {
    diagnostics.report(expected_here(expected, node));
}

/// The same with the fix.
pub fn report_expected_hint(expected: &str, node: &Node, hint: &str, diagnostics: &mut Diagnostics) {
    diagnostics.report(expected_here(expected, node).hint(hint));
}

/// Reports that one of some words was expected.
pub fn report_choice(known: &[&str], node: &Node, diagnostics: &mut Diagnostics) {
    let words: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
    let expected = match words.as_slice() {
        [one] => one.clone(),
        [words @ .., last] => format!("{} or {last}", words.join(", ")),
        [] => String::new(),
    };
    let diagnostic = expected_here(&expected, node);
    diagnostics.report(match node.text() {
        Some(found) => diagnostic.did_you_mean(found, known.iter().copied(), node.span),
        None => diagnostic,
    });
}

/// A problem at a scalar is drawn at the scalar, one at a list or map where that begins.
fn expected_here(expected: &str, node: &Node) -> Diagnostic {
    Diagnostic::error("wrong-type", node.head(), format!("expected {expected}; found {}", node.describe()))
}

impl FromYaml for Node {
    fn from_yaml(node: &Node, _: &mut Diagnostics) -> Option<Self> {
        Some(node.clone())
    }
    fn shape() -> Shape {
        Shape::Free(Meaning::Value)
    }
}

impl FromYaml for String {
    /// Any scalar but null, as its text.
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match &node.content {
            Content::Scalar(scalar) if !node.is_null() => Some(scalar.text.clone()),
            _ => {
                report_expected("a text", node, diagnostics);
                None
            }
        }
    }
    fn shape() -> Shape {
        Shape::Text
    }
}

impl FromYaml for bool {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let value = node.scalar_json().and_then(|json| json.as_bool());
        if value.is_none() {
            report_expected("`true` or `false`", node, diagnostics);
        }
        value
    }
    fn shape() -> Shape {
        Shape::Boolean
    }
}

impl FromYaml for u32 {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let number = match node.scalar_json() {
            Some(Json::Number(number)) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
            _ => None,
        };
        if number.is_none() {
            report_expected("a whole number", node, diagnostics);
        }
        number
    }
    fn shape() -> Shape {
        Shape::WholeNumber
    }
}

impl<T: FromYaml> FromYaml for Option<T> {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        T::from_yaml(node, diagnostics).map(Some)
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
    fn shape() -> Shape {
        T::shape()
    }
}

impl<T: FromYaml> FromYaml for Spanned<T> {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        Some(Spanned { value: T::from_yaml(node, diagnostics)?, span: node.span })
    }
    fn absent() -> Option<Self> {
        None
    }
    fn shape() -> Shape {
        T::shape()
    }
}

impl<T: FromYaml> FromYaml for Vec<T> {
    /// A list; one item may stand without the dash.
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let Content::List(items) = &node.content else {
            return T::from_yaml(node, diagnostics).map(|item| vec![item]);
        };
        // every item is read before giving up, so that all their problems are reported
        let read: Vec<Option<T>> = items.iter().map(|item| T::from_yaml(item, diagnostics)).collect();
        read.into_iter().collect()
    }
    fn absent() -> Option<Self> {
        Some(Vec::new())
    }
    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }
}

/// A map whose names are the author's own, in the order in which they were written.
#[derive(Clone, Debug)]
pub struct Named<T> {
    /// Name and value.
    pub entries: Vec<(Spanned<String>, T)>,
    /// The whole map; `None` when it was not written.
    pub span: Option<Span>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), span: None }
    }
}

impl<T> Named<T> {
    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.entries.iter().find(|(known, _)| known.value == name).map(|(_, value)| value)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.entries.iter().map(|(name, _)| name.value.as_str())
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<T: FromYaml> FromYaml for Named<T> {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let Content::Map(map) = &node.content else {
            let hint = "names of your own, each with its value behind it: `name: …`, without dashes";
            report_expected_hint("a map", node, hint, diagnostics);
            return None;
        };
        let read: Vec<Option<_>> =
            map.iter().map(|entry| T::from_yaml(&entry.value, diagnostics).map(|value| (entry.name.clone(), value))).collect();
        let entries: Option<Vec<_>> = read.into_iter().collect();
        Some(Self { entries: entries?, span: Some(node.span) })
    }
    fn absent() -> Option<Self> {
        Some(Self::default())
    }
    fn shape() -> Shape {
        Shape::Named(Box::new(T::shape()))
    }
}

//! `version`: what says which of two states of a thing is the newer one, so that an older one never overwrites it.

use serde_json::Value as Json;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{FromYaml, options, report_expected_hint, report_unknown};
use crate::config::shape::Shape;
use crate::config::source::{Span, Spanned};
use crate::config::yaml::{Content, Node};
use crate::expr::reads::Reads;
use crate::expr::template::{Context, Engine};
use crate::expr::typed::{LongForm, Typed};
use crate::expr::value::{Compiler, Value};
use crate::model::change::{Cell, ValueType, Version};
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};

options! {
    /// A version that one of the table's own columns keeps.
    pub struct VersionColumnOptions {
        /// The value.
        from: Node as LongForm::value_shape,
        /// The column that keeps it: it is compared and set by every write.
        column: Spanned<String>,
        /// What it is to be.
        r#as: Option<Spanned<ValueType>>,
    }
}

/// `version` as it is written: a value in its short or long form, perhaps with the column that keeps it.
#[derive(Clone, Debug)]
pub struct VersionOptions {
    /// The value.
    pub value: Node,
    /// The column.
    pub column: Option<Spanned<String>>,
}

impl FromYaml for VersionOptions {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        if let (Content::Map(entries), None) = (&node.content, node.get("from")) {
            // a version is no object, so this is the long form with a slip in it
            let known = ["column"].into_iter().chain(LongForm::OPTIONS.iter().map(|option| option.name));
            match entries.iter().find(|entry| !known.clone().any(|known| known == entry.name.value)) {
                Some(unknown) => report_unknown(&unknown.name, known, diagnostics),
                None => report_expected_hint(
                    "`from` in the long form",
                    node,
                    "such as `{ from: $.body.updated_at, column: updated_at }`",
                    diagnostics,
                ),
            }
        }
        let (Content::Map(entries), Some(column)) = (&node.content, node.get("column")) else {
            return Some(Self { value: node.clone(), column: None });
        };
        let column = Spanned::<String>::from_yaml(column, diagnostics)?;
        let others = entries.iter().filter(|entry| entry.name.value != "column").cloned().collect();
        Some(Self { value: Node { span: node.span, content: Content::Map(others) }, column: Some(column) })
    }

    fn shape() -> Shape {
        Shape::OneOf(vec![LongForm::value_shape(), VersionColumnOptions::shape()])
    }
}

/// Where a version comes from.
#[derive(Clone, Debug)]
enum Told {
    /// From the delivery or from an answer.
    By(Box<Typed>),
    /// From the moment at which the first of these calls began.
    Fetched(Vec<String>),
}

/// A compiled version.
#[derive(Clone, Debug)]
pub struct WriteVersion {
    told: Told,
    /// The column that keeps it.
    pub column: Option<Spanned<String>>,
    /// Where it stands.
    pub span: Span,
}

/// The version that is the moment at which the fetch began.
const FETCHED: &str = "fetched";

impl WriteVersion {
    /// Compiles one.
    pub fn compile(options: &VersionOptions, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let column = options.column.clone();
        let span = options.value.span;
        if options.value.get("from").unwrap_or(&options.value).text() == Some(FETCHED) {
            return Some(Self { told: Told::Fetched(Vec::new()), column, span });
        }
        let value = Typed::compile(&options.value, compiler, diagnostics)?;
        if matches!(value.value, Value::Literal(_)) {
            let message = format!("a version is told by each record; `{}` is the same for all of them", value.value.origin());
            diagnostics.report(
                Diagnostic::error("fixed-version", span, message).hint(
                    "a path to what grows with each change, such as `$.body.sequence` or `$.order.lastUpdated`, or `fetched`",
                ),
            );
        }
        Some(Self { told: Told::By(Box::new(value)), column, span })
    }

    /// What it is, for the column that keeps it, before any document is there.
    pub fn kept(&self) -> Option<Version> {
        let column = self.column.as_ref()?.value.clone();
        let (declared, origin) = match &self.told {
            Told::By(value) => (value.declared, value.value.origin()),
            Told::Fetched(_) => (Some(ValueType::Timestamp), FETCHED.to_owned()),
        };
        Some(Version { kept_in_column: true, cell: Cell { column, value: Json::Null, declared, origin } })
    }

    /// What tells it, with what it is to be; nothing where it is the moment of the fetch.
    pub fn typed(&self) -> Option<&Typed> {
        match &self.told {
            Told::By(value) => Some(value),
            Told::Fetched(_) => None,
        }
    }

    /// What tells it; nothing where it is the moment of the fetch.
    pub fn value(&self) -> Option<&Value> {
        self.typed().map(|typed| &typed.value)
    }

    /// Says which calls the values come from that it is the version of. What takes a row away needs none: where nothing was
    /// fetched, the thing was gone when the delivery came.
    pub fn set_calls(&mut self, calls: Vec<String>, takes_away: bool, write: Span, diagnostics: &mut Diagnostics) {
        let Told::Fetched(known) = &mut self.told else { return };
        if calls.is_empty() && !takes_away {
            let message =
                "`version: fetched` is the moment at which the fetch began, and nothing that this write reads is fetched";
            diagnostics.report(Diagnostic::error("fetched-version", write, message).related(self.span, "the version").hint(
                "read the values from the answer of a call, or name what grows with each change: `version: $.body.sequence`",
            ));
        }
        *known = calls;
    }

    /// Adds the places of the event document that it looks at.
    pub fn add_reads(&self, engine: &Engine, reads: &mut Reads) {
        if let Told::By(value) = &self.told {
            value.add_reads(engine, reads);
        }
    }

    /// The version of what a document tells. Without one nobody can say whether it is news.
    pub fn evaluate(&self, document: &EventDocument, place: &str) -> Result<Version, Failure> {
        let failure = |reason: String| Failure::permanent(Step::Map, format!("{place}, `version`: {reason}"));
        let (found, declared, origin) = match &self.told {
            Told::By(value) => {
                let found = value.evaluate(Context::from(document)).map_err(|error| failure(error.0))?;
                (found, value.declared, value.value.origin())
            }
            Told::Fetched(calls) => {
                let received_at = || document.get("received_at").map(|at| Json::clone(at));
                let began_at = document.fetched_at(calls).map(|at| Json::String(at.to_string()));
                (began_at.or_else(received_at), Some(ValueType::Timestamp), FETCHED.to_owned())
            }
        };
        match found {
            Some(value @ (Json::String(_) | Json::Number(_))) => {
                let column = self.column.as_ref().map(|column| column.value.clone());
                Ok(Version {
                    kept_in_column: column.is_some(),
                    cell: Cell { column: column.unwrap_or_default(), value, declared, origin },
                })
            }
            None | Some(Json::Null) => {
                Err(failure(format!("`{origin}` is missing; without it nobody can say whether this is news")))
            }
            Some(other) => {
                let found = crate::expr::value::kind_of(&other);
                Err(failure(format!("`{origin}` is {found}; a version is a number, a text or a moment")))
            }
        }
    }
}

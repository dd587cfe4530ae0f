//! `version`: what says which of two states of a thing is the newer one, so that an older one never overwrites it.

use serde_json::Value as Json;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{FromYaml, options};
use crate::config::shape::Shape;
use crate::config::source::{Span, Spanned};
use crate::config::yaml::{Content, Node};
use crate::expr::template::Context;
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

/// A compiled version.
#[derive(Clone, Debug)]
pub struct WriteVersion {
    /// Its value.
    pub value: Typed,
    /// The column that keeps it.
    pub column: Option<String>,
    /// Where it stands.
    pub span: Span,
}

impl WriteVersion {
    /// Compiles one.
    pub fn compile(options: &VersionOptions, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let value = Typed::compile(&options.value, compiler, diagnostics)?;
        if matches!(value.value, Value::Literal(_)) {
            let message = format!("a version is told by each record; `{}` is the same for all of them", value.value.origin());
            diagnostics.report(
                Diagnostic::error("fixed-version", options.value.span, message)
                    .hint("a path to what grows with each change, such as `$.body.sequence` or `$.order.lastUpdated`"),
            );
        }
        let column = options.column.as_ref().map(|column| column.value.clone());
        Some(Self { value, column, span: options.value.span })
    }

    /// The version of what a document tells. Without one nobody can say whether it is news.
    pub fn evaluate(&self, document: &EventDocument, place: &str) -> Result<Version, Failure> {
        let failure = |reason: String| Failure::permanent(Step::Map, format!("{place}, `version`: {reason}"));
        let origin = self.value.value.origin();
        match self.value.evaluate(Context::from(document)).map_err(|error| failure(error.0))? {
            Some(value @ (Json::String(_) | Json::Number(_))) => {
                let column = self.column.clone();
                let declared = self.value.declared;
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

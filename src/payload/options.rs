//! `payload:`: how the body is read and split into records.

use serde_json::Value as Json;

use super::json;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::{FromYaml, Named, options, report_choice, report_expected};
use crate::config::shape::{self, Shape};
use crate::config::source::Spanned;
use crate::config::yaml::Node;
use crate::expr::jsonpath::Path;
use crate::model::delivery::Request;

options! {
    /// How the body is read.
    pub struct PayloadOptions {
        /// The body's format: `json`. Without it the content type decides.
        format: Option<Spanned<Format>>,
        /// Paths into the body whose content is masked everywhere, beside what auth, api headers and `from:` read.
        secret: Vec<Node> as shape::path,
        /// `{ name: path }`: each element of that list is a record of its own, under that name; `body` stays whole.
        split: Named<Node> as shape::path,
    }
}

/// What a body can be written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// JSON, strictly.
    Json,
}

impl FromYaml for Format {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match node.text() {
            Some("json") => Some(Self::Json),
            _ => {
                report_choice(&["json"], node, diagnostics);
                None
            }
        }
    }
    fn shape() -> Shape {
        Shape::Word(&["json"])
    }
}

/// A compiled payload block.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    format: Option<Format>,
    /// Places in the event document whose content is secret.
    pub secret_places: Vec<Vec<String>>,
    /// The name of one record's element, and where the list is.
    pub split: Option<(String, Path)>,
}

/// Compiles the block.
pub fn compile(options: Option<&PayloadOptions>, diagnostics: &mut Diagnostics) -> Option<Payload> {
    let Some(options) = options else { return Some(Payload::default()) };
    let secret_places = options.secret.iter().map(|node| secret_place(node, diagnostics)).collect::<Vec<_>>();
    let split = match options.split.entries.as_slice() {
        [] => None,
        [(name, node)] => {
            let path = node.text().map(Path::compile).and_then(Result::ok).filter(|path| path.first_name().0 == "body");
            if path.is_none() {
                report_expected("a path into the body such as `$.body` or `$.body.items`", node, diagnostics);
            }
            Some((name.value.clone(), path?))
        }
        [_, (name, _), ..] => {
            diagnostics.report(Diagnostic::error("too-many-names", name.span, "`split` takes one name and one path"));
            return None;
        }
    };
    let secret_places = secret_places.into_iter().collect::<Option<_>>()?;
    Some(Payload { format: options.format.as_ref().map(|format| format.value), secret_places, split })
}

fn secret_place(node: &Node, diagnostics: &mut Diagnostics) -> Option<Vec<String>> {
    let path = node.text().map(Path::compile).and_then(Result::ok);
    let place = path.as_ref().and_then(Path::place).filter(|place| place.first().is_some_and(|first| first == "body"));
    if place.is_none() {
        report_expected("a path to one place of the body such as `$.body.password`", node, diagnostics);
    }
    place
}

impl Payload {
    /// The decoded body; `None` when there is no body.
    pub fn decode(&self, request: &Request) -> Result<Option<Json>, String> {
        if request.body.is_empty() {
            return Ok(None);
        }
        let declared = request.header("content-type").unwrap_or_default();
        let kind = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let plausible =
            kind.is_empty() || kind.ends_with("json") || matches!(kind.as_str(), "text/plain" | "application/octet-stream");
        if self.format.is_none() && !plausible {
            return Err(format!(
                "the body is declared as `{kind}`, which is not read; if it is JSON all the same, say `payload: {{ format: json }}`"
            ));
        }
        json::decode(&request.body).map(Some)
    }
}

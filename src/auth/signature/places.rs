//! Where a signature, a timestamp or an id stands: the first of some paths at which there is something, and only once.

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::yaml::Node;
use crate::expr::convert::scalar_text;
use crate::expr::jsonpath::Path;
use crate::expr::reads::Reads;
use crate::expr::value::{Compiler, Value};
use crate::model::event::EventDocument;

/// Paths that each name one place.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Vec<Path>);

/// Compiles paths.
pub(super) fn compile(nodes: &[Node], compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Places> {
    let paths: Vec<Option<Path>> = nodes.iter().map(|node| compile_path(node, compiler, diagnostics)).collect();
    paths.into_iter().collect::<Option<_>>().map(Places)
}

/// Compiles a path that names one place.
pub(super) fn compile_path(node: &Node, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Path> {
    let value = Value::compile_text(node, compiler, diagnostics)?;
    let path = value.as_path().filter(|path| !path.gives_list()).cloned();
    if path.is_none() {
        let message = "expected the path of one place in the request";
        diagnostics.report(Diagnostic::error("auth-not-a-path", node.span, message).hint("such as `$.headers.x_signature`"));
    }
    path
}

impl Places {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The paths.
    pub(super) fn paths(&self) -> &[Path] {
        &self.0
    }

    /// As they were written: `` `$.headers.a` or `$.headers.b` ``.
    pub(super) fn words(&self) -> String {
        self.0.iter().map(|path| format!("`{}`", path.text())).collect::<Vec<_>>().join(" or ")
    }

    /// Adds the places they look at.
    pub(super) fn add_reads(&self, reads: &mut Reads) {
        self.0.iter().for_each(|path| path.add_reads(reads));
    }

    /// The first text that is not empty; the error says why what stands there cannot be meant.
    pub(super) fn find(&self, document: &EventDocument) -> Result<Option<String>, String> {
        for path in &self.0 {
            if let Some(text) = text_at(path, document)?.filter(|text| !text.is_empty()) {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }
}

/// The text at a path; none when it is missing or null. A header or parameter that stands twice is an error: which of them was meant?
pub(super) fn text_at(path: &Path, document: &EventDocument) -> Result<Option<String>, String> {
    let Some(value) = path.find(document).filter(|value| !value.is_null()) else { return Ok(None) };
    if stands_twice(path, document) {
        return Err(format!("`{}` stands there more than once", path.text()));
    }
    match scalar_text(&value) {
        Some(text) => Ok(Some(text)),
        None => Err(format!("at `{}` stands a list or an object; a text is expected", path.text())),
    }
}

fn stands_twice(path: &Path, document: &EventDocument) -> bool {
    let Some(place) = path.place() else { return false };
    let [block, name] = place.as_slice() else { return false };
    let all = match block.as_str() {
        "headers" => document.get("headers_all"),
        "query" => document.get("query_all"),
        _ => None,
    };
    all.and_then(|all| all.get(name)?.as_array().map(Vec::len)).is_some_and(|count| count > 1)
}

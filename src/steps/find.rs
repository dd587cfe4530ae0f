//! `find:` of a call: the one item of a list that is meant, where a provider has no way of asking for it alone.

use serde_json::Value as Json;

use super::request::mapping;
use crate::config::diagnostic::Diagnostics;
use crate::config::options::options;
use crate::config::shape;
use crate::config::yaml::Node;
use crate::expr::reads::Reads;
use crate::expr::scope::{Scope, SecretValues};
use crate::expr::template::{Context, Engine};
use crate::expr::value::{Compiler, Condition, Value, kind_of};
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};

options! {
    /// The one item of a list that is meant; none is the same as a 404.
    pub struct FindOptions {
        /// The list: a path into the answer, `$.answer.body.data`. It is looked through page by page.
        it: Node as shape::path,
        /// What holds for the item that is meant, which is called `it`: `it.id == id`.
        r#where: Node as shape::condition,
    }
}

/// A compiled search.
#[derive(Clone, Debug)]
pub(super) struct Find {
    list: Value,
    condition: Condition,
}

/// Compiles one. `scope` is that of the call.
pub(super) fn compile(options: &FindOptions, engine: &Engine, scope: &Scope, diagnostics: &mut Diagnostics) -> Option<Find> {
    let answers = Scope::new(["answer"], "`find`");
    let list = Value::compile(&options.it, &Compiler { engine, scope: &answers }, diagnostics);
    let items = scope.with(["it", "answer"]);
    let condition = Condition::compile(&options.r#where, &Compiler { engine, scope: &items }, diagnostics);
    Some(Find { list: list?, condition: condition? })
}

impl Find {
    /// Adds what its condition looks at; the answer and the item are the caller's to leave out.
    pub(super) fn add_reads(&self, engine: &Engine, reads: &mut Reads) {
        self.condition.add_reads(engine, reads);
    }

    /// The list in an answer.
    pub(super) fn list(&self, answer: &EventDocument) -> Result<Vec<Json>, Failure> {
        let found = self.list.list(Context::from(answer)).map_err(|error| mapping("`find`", &error))?;
        list_of(found, &self.list.origin(), "`find`")
    }

    /// The first item that is meant.
    pub(super) fn hit(
        &self,
        items: Vec<Json>,
        document: &EventDocument,
        answer: &EventDocument,
        secrets: &SecretValues,
    ) -> Result<Option<Json>, Failure> {
        let mut document = document.clone();
        if let Some(answer) = answer.get("answer") {
            document.set("answer", std::sync::Arc::clone(answer));
        }
        for item in items {
            document.set("it", item);
            let context = Context { document: &document, secrets: Some(secrets) };
            if self.condition.holds(context).map_err(|error| mapping("`find.where`", &error))? {
                return Ok(document.get("it").map(|item| Json::clone(item)));
            }
        }
        Ok(None)
    }
}

/// A list, or a failure that names what was found in its place.
pub(super) fn list_of(found: Option<Json>, origin: &str, what: &str) -> Result<Vec<Json>, Failure> {
    match found {
        Some(Json::Array(items)) => Ok(items),
        Some(other) => {
            Err(Failure::permanent(Step::Enrich, format!("{what}: `{origin}` is {}; a list is needed", kind_of(&other))))
        }
        None => Err(Failure::permanent(Step::Enrich, format!("{what}: `{origin}` is missing; a list is needed"))),
    }
}

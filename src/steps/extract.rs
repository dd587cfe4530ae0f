//! `extract:`: names that the rest of the file uses, taken out of the request.

use crate::config::diagnostic::Diagnostics;
use crate::config::options::Named;
use crate::config::yaml::Node;
use crate::expr::notes;
use crate::expr::reads::Reads;
use crate::expr::template::{Context, Engine};
use crate::expr::typed::Typed;
use crate::expr::value::Compiler;
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};

/// The compiled names, in the order in which they were written: a later one may use an earlier one.
#[derive(Clone, Debug, Default)]
pub struct Extract(Vec<(String, Typed)>);

/// Compiles them one by one, each seeing those before it.
pub fn compile(names: &Named<Node>, compiler: &Compiler<'_>, diagnostics: &mut Diagnostics) -> Option<Extract> {
    let mut scope = compiler.scope.with_later(names.names(), "a later line of `extract`");
    let mut compiled = Vec::new();
    for (name, node) in &names.entries {
        let compiler = Compiler { engine: compiler.engine, scope: &scope };
        compiled.push(Typed::compile(node, &compiler, diagnostics).map(|typed| (name.value.clone(), typed)));
        scope = scope.with([name.value.as_str()]);
    }
    compiled.into_iter().collect::<Option<_>>().map(Extract)
}

impl Extract {
    /// Adds the names to the document. One that is missing fails unless it says `required: false`.
    pub fn run(&self, document: &mut EventDocument) -> Result<(), Failure> {
        let (result, noted) = notes::watch(|| self.take(document));
        document.add_notes(noted);
        result
    }

    fn take(&self, document: &mut EventDocument) -> Result<(), Failure> {
        for (name, typed) in &self.0 {
            let fail = |reason: String| Failure::permanent(Step::Admission, format!("extract `{name}`: {reason}"));
            match typed.evaluate(Context::from(&*document)).map_err(|error| fail(error.0))? {
                Some(value) => document.set(name, value),
                None if typed.required == Some(false) => {}
                None => return Err(fail(format!("`{}` is missing", typed.value.origin()))),
            }
        }
        Ok(())
    }

    /// All names and their values, in the order in which they are taken out.
    pub fn names(&self) -> impl Iterator<Item = &(String, Typed)> {
        self.0.iter()
    }

    /// Adds the places it looks at.
    pub fn add_reads(&self, engine: &Engine, reads: &mut Reads) {
        self.0.iter().for_each(|(_, typed)| typed.add_reads(engine, reads));
    }

    /// What a name was declared to be, for the tables that rows go to.
    pub fn typed(&self, name: &str) -> Option<&Typed> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, typed)| typed)
    }
}

//! `reply` where it stands: in a route, or at file level for all of them.

use std::sync::Arc;

use super::file::FileOptions;
use crate::config::diagnostic::Diagnostics;
use crate::expr::scope::{Scope, SecretRule};
use crate::expr::template::Engine;
use crate::expr::value::Compiler;
use crate::steps::reply::{self, Reply, ReplyOptions};

/// Compiles a reply over what is `known` when a delivery comes in; one that waits looks at `answers` of calls too.
pub(super) fn compile(
    options: &ReplyOptions,
    known: &Scope,
    answers: &[&str],
    engine: &Engine,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<Reply>> {
    let later: Vec<&str> = answers.iter().copied().chain(["gone"]).collect();
    let known = match &options.wait {
        Some(_) => known.with(later.iter().copied()),
        None => known.with_later(["gone"], "`enrich`"),
    };
    let scope = known.with_secrets(SecretRule::Refused("a reply"));
    reply::compile(options, &later, &Compiler { engine, scope: &scope }, diagnostics).map(Arc::new)
}

/// The file's reply to records that no route works on: none where it looks at what only routes know.
pub(super) fn of_file(file: &FileOptions, known: &Scope, engine: &Engine) -> Option<Arc<Reply>> {
    let mut unheard = Diagnostics::default();
    let reply = compile(file.reply.as_ref()?, known, &[], engine, &mut unheard);
    reply.filter(|_| !unheard.has_errors())
}

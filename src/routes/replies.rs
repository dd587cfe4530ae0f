//! `reply` where it stands: in a route, or at file level for all of them.

use std::sync::Arc;

use super::file::FileOptions;
use crate::config::diagnostic::Diagnostics;
use crate::expr::scope::{Scope, SecretRule};
use crate::expr::template::Engine;
use crate::expr::value::Compiler;
use crate::steps::reply::{self, Reply, ReplyOptions};

/// Compiles a reply over what is `known` when a delivery comes in.
pub(super) fn compile(
    options: &ReplyOptions,
    known: &Scope,
    engine: &Engine,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<Reply>> {
    let scope = known.with_later(["gone"], "`enrich`").with_secrets(SecretRule::Refused("a reply"));
    reply::compile(options, &Compiler { engine, scope: &scope }, diagnostics).map(Arc::new)
}

/// The file's reply to records that no route works on: none where it looks at what only routes know.
pub(super) fn of_file(file: &FileOptions, known: &Scope, engine: &Engine) -> Option<Arc<Reply>> {
    let mut unheard = Diagnostics::default();
    let reply = compile(file.reply.as_ref()?, known, engine, &mut unheard);
    reply.filter(|_| !unheard.has_errors())
}

//! Signing oracles: a handshake that signs for everyone what only the holder of the secret should be able to sign.

use super::handshake::{HandshakeReplyOptions, Input};
use crate::auth::scheme::Auth;
use crate::auth::secret::SecretOptions;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::Named;
use crate::config::yaml::{Content, Node};
use crate::expr::reads::Reads;
use crate::expr::value::{Compiler, Value};

/// Refuses a reply that anyone can have and that signs what its sender says with a secret that verifies deliveries.
pub(super) fn check(
    reply: &HandshakeReplyOptions,
    verified: &Auth,
    input: &Input<'_>,
    compiler: &Compiler<'_>,
    diagnostics: &mut Diagnostics,
) {
    if !lets_everyone_in(verified) {
        return;
    }
    let verifying = input.root.get("auth").map(|auth| secrets_of(auth, input.declared)).unwrap_or_default();
    let written = reply.headers.entries.iter().map(|(_, node)| node).chain(&reply.text).chain(&reply.json);
    for (leaf, value) in written.flat_map(|node| leaves(node, compiler)) {
        let mut reads = Reads::default();
        value.add_reads(compiler.engine, &mut reads);
        let signing = value.secrets().into_iter().find(|name| {
            let origins = origins_of(name, input.declared);
            verifying.iter().any(|known| origins.contains(known))
        });
        if let (Some(name), Some(_)) = (signing, reads.places().next()) {
            let message = format!("anyone could have a delivery signed here: `secret.{name}` verifies deliveries too");
            diagnostics.report(
                Diagnostic::error("signing-oracle", leaf.span, message)
                    .hint("remove the handshake's own `auth`, so that its sender is verified like that of a delivery, or sign with another secret"),
            );
        }
    }
}

/// The scalars below a node, compiled; what does not compile is told elsewhere.
pub(super) fn leaves<'n>(node: &'n Node, compiler: &Compiler<'_>) -> Vec<(&'n Node, Value)> {
    match &node.content {
        Content::Scalar(_) => {
            Value::compile(node, compiler, &mut Diagnostics::default()).map(|value| (node, value)).into_iter().collect()
        }
        Content::List(items) => items.iter().flat_map(|item| leaves(item, compiler)).collect(),
        Content::Map(entries) => entries.iter().flat_map(|entry| leaves(&entry.value, compiler)).collect(),
    }
}

/// A condition on the request is met by whoever writes the request.
fn lets_everyone_in(auth: &Auth) -> bool {
    match auth {
        Auth::None | Auth::Check(_) => true,
        Auth::Any(schemes) => schemes.iter().any(lets_everyone_in),
        Auth::All(schemes) => schemes.iter().all(lets_everyone_in),
        _ => false,
    }
}

/// Where the values of all secrets under `auth` come from, however deep they are named.
pub(super) fn secrets_of(node: &Node, declared: &Named<Vec<SecretOptions>>) -> Vec<String> {
    match &node.content {
        Content::Scalar(_) => Vec::new(),
        Content::List(items) => items.iter().flat_map(|item| secrets_of(item, declared)).collect(),
        Content::Map(entries) => {
            let of = |name: &str, value: &Node| match (name, value.text()) {
                ("secret", Some(secret)) => origins_of(secret, declared),
                ("env" | "file", Some(place)) => vec![format!("{name} {place}")],
                _ => secrets_of(value, declared),
            };
            entries.iter().flat_map(|entry| of(&entry.name.value, &entry.value)).collect()
        }
    }
}

/// Where the values of a declared secret come from: its name, and the variables and files under it.
fn origins_of(name: &str, declared: &Named<Vec<SecretOptions>>) -> Vec<String> {
    let mut origins = vec![format!("name {name}")];
    for option in declared.get(name).into_iter().flatten() {
        origins.extend(option.env.iter().map(|env| format!("env {}", env.value)));
        origins.extend(option.file.iter().map(|file| format!("file {}", file.value)));
    }
    origins
}

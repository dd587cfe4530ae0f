//! Signing oracles: a handshake that signs for everyone what only the holder of the secret should be able to sign. What verifies in
//! other files is compared by `signing`.

use super::handshake::{HandshakeReplyOptions, Input};
use crate::auth::scheme::Auth;
use crate::auth::secret::SecretOptions;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::Named;
use crate::config::source::Span;
use crate::config::yaml::{Content, Node};
use crate::expr::reads::Reads;
use crate::expr::value::{Compiler, Value};

/// Refuses a reply that anyone can have and that signs what its sender says with a secret that verifies what comes to this source.
/// Says where the secrets of such a reply come from, as they may not verify in another file either.
pub(super) fn check(
    reply: &HandshakeReplyOptions,
    verified: &Auth,
    input: &Input<'_>,
    compiler: &Compiler<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<(String, Span)> {
    let mut signing = Vec::new();
    if !lets_everyone_in(verified) {
        return signing;
    }
    let verifying = verifying_in(input.root, input.declared);
    let written = reply.headers.entries.iter().map(|(_, node)| node).chain(&reply.text).chain(&reply.json);
    for (leaf, value) in written.flat_map(|node| leaves(node, compiler)) {
        let mut reads = Reads::default();
        value.add_reads(compiler.engine, &mut reads);
        if reads.places().next().is_none() {
            continue;
        }
        let secrets = value.secrets();
        let verifies = |name: &&String| origins_of(name, input.declared).iter().any(|origin| verifying.contains(origin));
        if let Some(name) = secrets.iter().find(verifies) {
            let message = format!("anyone could have a delivery signed here: `secret.{name}` verifies deliveries too");
            diagnostics.report(
                Diagnostic::error("signing-oracle", leaf.span, message)
                    .hint("remove the handshake's own `auth`, so that its sender is verified like that of a delivery, or sign with another secret"),
            );
        }
        signing.extend(secrets.iter().flat_map(|name| origins_of(name, input.declared)).map(|origin| (origin, leaf.span)));
    }
    signing
}

/// Where the values of all secrets come from that verify deliveries or handshakes of a file.
pub(super) fn verifying_in(root: &Node, declared: &Named<Vec<SecretOptions>>) -> Vec<String> {
    let handshakes = items(root.get("handshake")).into_iter().filter_map(|handshake| handshake.get("auth"));
    root.get("auth").into_iter().chain(handshakes).flat_map(|auth| secrets_of(auth, declared)).collect()
}

/// What a list holds, or the one that stands in its place.
pub(super) fn items(node: Option<&Node>) -> Vec<&Node> {
    match node.map(|node| (&node.content, node)) {
        Some((Content::List(items), _)) => items.iter().collect(),
        Some((_, one)) => vec![one],
        None => Vec::new(),
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

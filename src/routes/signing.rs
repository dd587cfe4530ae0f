//! Secrets that sign what goes out must not verify what comes in: whoever can have something forwarded could have a delivery signed.

use std::sync::Arc;

use super::file::FileOptions;
use super::load::LoadedFile;
use super::oracle::secrets_of;
use super::source::Source;
use crate::auth::secret::SecretOptions;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::Named;
use crate::config::source::Span;
use crate::config::yaml::{Content, Node};

/// Where the secrets of a file come from, by what they are for: `env NAME`, `file PATH`, and `name NAME` within the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins {
    verifying: Vec<String>,
    signing: Vec<(String, Span)>,
    auth: Option<Span>,
}

impl Origins {
    /// Those of a file.
    pub(super) fn of(root: &Node, declared: &Named<Vec<SecretOptions>>) -> Self {
        let handshakes = items(root.get("handshake")).into_iter().filter_map(|handshake| handshake.get("auth"));
        let auths = root.get("auth").into_iter().chain(handshakes);
        let routes = items(root.get("routes"));
        let forwards = std::iter::once(root).chain(routes).filter_map(|level| level.get("forward")).filter_map(Node::entries);
        let signs = forwards.flatten().filter_map(|forward| forward.value.get("sign"));
        Self {
            verifying: auths.flat_map(|auth| secrets_of(auth, declared)).collect(),
            signing: signs.flat_map(|sign| secrets_of(sign, declared).into_iter().map(|one| (one, sign.head()))).collect(),
            auth: root.get("auth").map(Node::head),
        }
    }
}

fn items(node: Option<&Node>) -> Vec<&Node> {
    match node.map(|node| (&node.content, node)) {
        Some((Content::List(items), _)) => items.iter().collect(),
        Some((_, one)) => vec![one],
        None => Vec::new(),
    }
}

/// Refuses a secret that does both in one file.
pub(super) fn check(options: &FileOptions, root: &Node, diagnostics: &mut Diagnostics) -> Origins {
    let origins = Origins::of(root, &options.secrets);
    let mut told = Vec::new();
    for (origin, span) in origins.signing.iter().filter(|(origin, _)| origins.verifying.contains(origin)) {
        if told.contains(span) {
            continue;
        }
        told.push(*span);
        let diagnostic = refused(*span, origin, "deliveries of this source");
        diagnostics.report(match origins.auth {
            Some(auth) => diagnostic.related(auth, "verified here"),
            None => diagnostic,
        });
    }
    origins
}

/// Refuses a secret that signs in one file and verifies in another; the file that came later is told.
pub(super) fn settle(files: &mut [LoadedFile], order: &[usize], running: &[Arc<Source>]) {
    while let Some((index, diagnostic)) = find(files, order, running) {
        files[index].diagnostics.report(diagnostic);
        files[index].source = None;
    }
}

fn find(files: &[LoadedFile], order: &[usize], running: &[Arc<Source>]) -> Option<(usize, Diagnostic)> {
    order.iter().enumerate().find_map(|(position, later)| {
        let source = files[*later].source.as_ref()?;
        let earlier = order[..position].iter().filter_map(|index| files[*index].source.as_ref());
        let kept = running.iter().filter(|known| !files.iter().any(|file| file.name == known.name && file.source.is_some()));
        earlier.chain(kept).filter(|other| other.name != source.name).find_map(|other| {
            let (own, others) = (&source.secret_origins, &other.secret_origins);
            let shared = |span: Span, origin: &String, whose: &str| Some((*later, refused(span, origin, whose)));
            if let Some((origin, span)) = own.signing.iter().find(|(one, _)| is_global(one) && others.verifying.contains(one)) {
                return shared(*span, origin, &format!("deliveries of `{}`", other.name));
            }
            let (origin, _) = others.signing.iter().find(|(one, _)| is_global(one) && own.verifying.contains(one))?;
            let place = own.auth.unwrap_or(source.receive.span);
            Some((*later, verifies(place, origin, &other.name)))
        })
    })
}

/// A name means something only in its own file.
fn is_global(origin: &str) -> bool {
    !origin.starts_with("name ")
}

const HINT: &str = "sign with a secret of its own, which only the target knows";

fn refused(span: Span, origin: &str, whose: &str) -> Diagnostic {
    let message = format!("what is sent may not be signed with `{origin}`: it verifies {whose}");
    Diagnostic::error("signing-with-verifying-secret", span, message).hint(HINT)
}

fn verifies(span: Span, origin: &str, other: &str) -> Diagnostic {
    let message = format!("`{origin}` may not verify deliveries: `{other}` signs with it what it forwards");
    Diagnostic::error("signing-with-verifying-secret", span, message).hint("verify with a secret that signs nothing of ours")
}

//! Secrets that sign what goes out must not verify what comes in: whoever can have something forwarded, or an answer to a handshake,
//! could have a delivery signed.

use std::sync::Arc;

use super::file::FileOptions;
use super::load::LoadedFile;
use super::oracle::{items, secrets_of, verifying_in};
use super::source::Source;
use crate::auth::secret::SecretOptions;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::options::Named;
use crate::config::source::Span;
use crate::config::yaml::Node;

/// Where the secrets of a file come from, by what they are for: `env NAME`, `file PATH`, and `name NAME` within the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins {
    verifying: Vec<String>,
    signing: Vec<(String, Span)>,
    /// Those that sign answers to handshakes that anyone may send.
    answering: Vec<(String, Span)>,
    auth: Option<Span>,
}

impl Origins {
    /// Those of a file.
    fn of(root: &Node, declared: &Named<Vec<SecretOptions>>, answering: Vec<(String, Span)>) -> Self {
        let routes = items(root.get("routes"));
        let forwards = std::iter::once(root).chain(routes).filter_map(|level| level.get("forward")).filter_map(Node::entries);
        let signs = forwards.flatten().filter_map(|forward| forward.value.get("sign"));
        Self {
            verifying: verifying_in(root, declared),
            signing: signs.flat_map(|sign| secrets_of(sign, declared).into_iter().map(|one| (one, sign.head()))).collect(),
            answering,
            auth: root.get("auth").map(Node::head),
        }
    }
}

/// Refuses a secret that does both in one file. `answering` are those that sign for everyone who asks.
pub(super) fn check(
    options: &FileOptions,
    root: &Node,
    answering: Vec<(String, Span)>,
    diagnostics: &mut Diagnostics,
) -> Origins {
    let origins = Origins::of(root, &options.secrets, answering);
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
            let place = own.auth.unwrap_or(source.receive.span);
            let found = if let Some((origin, span)) = shared(&own.signing, &others.verifying) {
                refused(*span, origin, &format!("deliveries of `{}`", other.name))
            } else if let Some((origin, span)) = shared(&own.answering, &others.verifying) {
                answers(*span, origin, &other.name)
            } else if let Some((origin, _)) = shared(&others.signing, &own.verifying) {
                verifies(place, origin, &other.name)
            } else {
                let (origin, _) = shared(&others.answering, &own.verifying)?;
                is_answered(place, origin, &other.name)
            };
            Some((*later, found))
        })
    })
}

/// The first that signs and verifies, whatever it is called in either file.
fn shared<'o>(signing: &'o [(String, Span)], verifying: &[String]) -> Option<&'o (String, Span)> {
    signing.iter().find(|(origin, _)| is_global(origin) && verifying.contains(origin))
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

fn answers(span: Span, origin: &str, other: &str) -> Diagnostic {
    let message = format!("anyone could have a delivery of `{other}` signed here: `{origin}` verifies them");
    Diagnostic::error("signing-oracle", span, message).hint(
        "remove the handshake's own `auth`, so that its sender is verified like that of a delivery, or sign with another secret",
    )
}

fn is_answered(span: Span, origin: &str, other: &str) -> Diagnostic {
    let message = format!("`{origin}` may not verify deliveries: a handshake of `{other}` signs with it for everyone who asks");
    Diagnostic::error("signing-oracle", span, message).hint("verify with a secret that signs nothing of ours")
}

#[cfg(test)]
mod tests {
    use super::super::load::load;
    use super::super::load::tests::{texts, with_world};

    /// What is wrong with the folder of two files, by the file that is told.
    fn problems(first: &str, second: &str) -> Vec<(String, &'static str)> {
        let routes = [("routes.d/a.yaml", first), ("routes.d/b.yaml", second)];
        let loaded = with_world(&|_| Err("is not there".to_owned()), |world| load(&texts(&routes), world, &[]));
        let place = |span: Option<super::Span>| span.map(|span| loaded.texts.file(span.file).path.clone()).unwrap_or_default();
        loaded.diagnostics.all().iter().map(|one| (place(one.span), one.code)).collect()
    }

    const WRITE: &str = "write: { insert: log, set: { body: $.body } }\n";

    fn answers(auth: &str, handshake: &str) -> String {
        format!(
            "auth: {auth}\nsecrets: {{ zoom: {{ env: ZOOM }} }}\nhandshake:\n  - when: body.plainToken\n    {handshake}\n    \
             reply: {{ text: \"{{{{ body.plainToken | hmac('sha256', secret.zoom) | hex }}}}\" }}\n{WRITE}"
        )
    }

    fn verifies(variable: &str) -> String {
        format!("auth: {{ preset: github, secret: hook }}\nsecrets: {{ hook: {{ env: {variable} }} }}\n{WRITE}")
    }

    #[test]
    fn what_a_handshake_signs_for_everyone_verifies_in_no_file() {
        let open = answers("{ api_key: $.query.key }", "auth: { none: Zoom asks }");
        let told = |path: &str| vec![(path.to_owned(), "signing-oracle")];
        assert_eq!(problems(&open, &verifies("ZOOM")), told("routes.d/b.yaml"), "the later file is told");
        assert_eq!(problems(&verifies("ZOOM"), &open), told("routes.d/b.yaml"));
        assert!(problems(&open, &verifies("OTHER")).is_empty());
        let closed = answers("{ api_key: $.query.key }", "auth: { api_key: $.query.key }");
        assert!(problems(&closed, &verifies("ZOOM")).is_empty());
    }

    #[test]
    fn what_a_handshake_signs_for_everyone_verifies_no_other_handshake() {
        let open = answers("{ api_key: $.query.key }", "auth: { none: Zoom asks }");
        let second = "  - { when: body.other, auth: { token: $.headers.x_token, secret: zoom } }\n";
        let both = open.replace(WRITE, &format!("{second}{WRITE}"));
        assert_eq!(problems(&both, &verifies("OTHER")), [("routes.d/a.yaml".to_owned(), "signing-oracle")]);
    }
}

//! The first names of the event document: which exist at which step, and that an author's own names take none of them.

use super::file::FileOptions;
use crate::auth::scheme::AuthOptions;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::source::{Span, Spanned};
use crate::expr::reads::Reads;
use crate::expr::scope::{Scope, SecretRule};
use crate::expr::template::Engine;
use crate::expr::value::Value;
use crate::payload;
use crate::steps::admission::Route;
use crate::steps::extract::Extract;
use crate::steps::integration::IntegrationRule;
use crate::steps::integration_options::IntegrationOptions;
use crate::steps::reply::Reply;

/// What decoding adds.
pub const BODY: [&str; 2] = ["body", "raw"];
/// What the inbox adds.
pub const INBOX: [&str; 4] = ["received_at", "source", "delivery", "attempt"];
const OTHERS: [&str; 13] = [
    "gone",
    "index",
    "tenant",
    "integration",
    "event",
    "claims",
    "answer",
    "session",
    "position",
    "field",
    "secret",
    "it",
    "loop",
];
/// What the text that a customer is handed is made of; its body comes on top.
pub const ONBOARDING: [&str; 7] = ["url", "addresses", "key", "field", "integration", "tenant", "lang"];
/// What means something of its own in an expression.
const WORDS: [&str; 10] = ["and", "or", "not", "in", "is", "if", "else", "true", "false", "none"];

/// The scopes of the steps before a route is chosen.
pub(super) struct Scopes {
    /// What auth looks at.
    pub(super) request: Scope,
    /// What fields of the integration look at.
    pub(super) decoded: Scope,
    /// What tells the event's name.
    pub(super) event: Scope,
    /// What the file's `extract` looks at.
    pub(super) extract: Scope,
}

impl Scopes {
    /// Those of a file.
    pub(super) fn new(options: &FileOptions) -> Self {
        let routes = &options.routes;
        let extracted: Vec<&str> = options.extract.names().chain(routes.iter().flat_map(|route| route.extract.names())).collect();
        let fetched: Vec<&str> = options.enrich.names().chain(routes.iter().flat_map(|route| route.enrich.names())).collect();
        let request = Scope::new(payload::request::NAMES, "what is checked of a request").with(["body"]);
        let split = options.payload.as_ref().map(|payload| &payload.split);
        let decoded = request
            .with(["raw"])
            .with(split.iter().flat_map(|split| split.names()))
            .with(if split.is_some_and(|split| !split.is_empty()) { vec!["index"] } else { vec![] });
        let has_tenant = options.tenant.is_some()
            || options.auth.as_ref().is_some_and(AuthOptions::names_tenant)
            || options.integration.as_ref().is_some_and(IntegrationOptions::names_tenant);
        let has_claims = options.auth.as_ref().is_some_and(AuthOptions::leaves_claims);
        let known = decoded
            .with(INBOX)
            .with(has_tenant.then_some("tenant"))
            .with(options.integration.is_some().then_some("integration"))
            .with(has_claims.then_some("claims"));
        let identified = known.with_secrets(SecretRule::Refused("an event's name"));
        let event = identified
            .with_later(["event"], "this line")
            .with_later(extracted.iter().copied(), "`extract`")
            .with_later(fetched.iter().copied(), "`enrich`");
        let extract = identified
            .with_secrets(SecretRule::Refused("`extract`: its names end in lanes and columns"))
            .with(["event"])
            .with_later(fetched, "`enrich`");
        let fields = decoded.with_secrets(SecretRule::Refused("a field of the integration"));
        let request = request.with_later(INBOX, "the inbox").with_later(["tenant", "event"], "what follows `auth`");
        Self { request, decoded: fields, event, extract }
    }
}

/// Checks the names that a file makes: none is one of ours, and no two steps make the same one.
pub(super) fn check(options: &FileOptions, engine: &Engine, diagnostics: &mut Diagnostics) {
    let routes = &options.routes;
    let split = options.payload.iter().flat_map(|payload| &payload.split.entries).map(|(name, _)| name);
    let extract = options.extract.entries.iter().map(|(name, _)| name);
    let extract = extract.chain(routes.iter().flat_map(|route| &route.extract.entries).map(|(name, _)| name));
    let enrich = options.enrich.entries.iter().map(|(name, _)| name);
    let enrich = enrich.chain(routes.iter().flat_map(|route| &route.enrich.entries).map(|(name, _)| name));
    let writes = options.write.iter().chain(routes.iter().flat_map(|route| route.own_writes()));
    let each = writes.flat_map(|write| &write.each.entries).map(|(name, _)| name);
    let calls = options.enrich.entries.iter().chain(routes.iter().flat_map(|route| &route.enrich.entries));
    let each = each.chain(calls.flat_map(|(_, call)| call.items()));
    let steps: [(&str, Vec<&Spanned<String>>); 4] =
        [("split", split.collect()), ("extract", extract.collect()), ("enrich", enrich.collect()), ("each", each.collect())];
    let mut taken: Vec<(&str, &str, Span)> = Vec::new();
    for (step, names) in &steps {
        for name in names {
            // a route's names may replace the file's, and two writes may call their items alike
            match taken.iter().find(|(other, known, _)| other != step && *known == name.value) {
                Some((other, _, span)) => diagnostics.report(
                    Diagnostic::error("name-taken", name.span, format!("`{}` is a name under `{other}` already", name.value))
                        .related(*span, "made here")
                        .hint("choose another name for one of them"),
                ),
                None => refuse_shadowing(name, engine, diagnostics),
            }
            taken.push((step, &name.value, name.span));
        }
    }
}

/// Whether something looks at the body's bytes.
pub(super) fn reads_raw(
    integration: &IntegrationRule,
    (extract, event): (&Extract, Option<&Value>),
    routes: &[Route],
    reply: Option<&Reply>,
    engine: &Engine,
) -> bool {
    let mut reads = Reads::default();
    integration.add_reads(engine, &mut reads);
    event.iter().for_each(|event| event.add_reads(engine, &mut reads));
    extract.add_reads(engine, &mut reads);
    reply.iter().for_each(|reply| reads.extend(reply.reads()));
    routes.iter().for_each(|route| route.add_all_reads(engine, &mut reads));
    reads.reads_name("raw")
}

/// Reports an author's own name that means something else already.
fn refuse_shadowing(name: &Spanned<String>, engine: &Engine, diagnostics: &mut Diagnostics) {
    let mut reserved = payload::request::NAMES.iter().chain(&BODY).chain(&INBOX).chain(&OTHERS);
    let taken = |what: &str| format!("`{}` is {what} already", name.value);
    let message = if reserved.any(|reserved| *reserved == name.value) {
        taken("a name of the event document")
    } else if WORDS.contains(&name.value.as_str()) {
        taken("a word of the expression language")
    } else if engine.knows_function(&name.value) {
        taken("a function")
    } else if !is_name(&name.value) {
        let message = format!("`{}` cannot be used in a path", name.value);
        let hint = "a name has letters, digits and `_`, and does not begin with a digit";
        diagnostics.report(Diagnostic::error("bad-name", name.span, message).hint(hint));
        return;
    } else {
        return;
    };
    diagnostics.report(Diagnostic::error("name-taken", name.span, message).hint("choose another name"));
}

fn is_name(text: &str) -> bool {
    let start = |letter: char| letter.is_ascii_alphabetic() || letter == '_' || !letter.is_ascii();
    text.starts_with(start) && text.chars().all(|letter| start(letter) || letter.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::load::load;
    use super::super::load::tests::{texts, with_world};

    #[test]
    fn the_bytes_of_the_body_are_there_wherever_a_file_looks_at_them() {
        let head = "auth: { none: a test }\n";
        let write = "write: { insert: t, set: { a: $.body.a } }\n";
        let integration = "integration: { where: { shop: $.raw }, fields: { shop: { label: Shop } } }\n";
        let with_integration = format!("{head}{integration}");
        for (head, rest, expected) in [
            (head, "", false),
            (head, "event: $.raw\n", true),
            (head, "extract: { a: $.raw }\n", true),
            (head, "gone: \"'5' in raw\"\n", true),
            (head, "id: \"{{ raw | sha256 | hex }}\"\n", true),
            (head, "lane: $.raw\n", true),
            (head, "lane: [$.body.a, $.raw]\n", true),
            (head, "routes: [{ when: \"'5' in raw\" }]\n", true),
            (head, "routes: [{ when: \"'5' in raw\", ignore: a test }, { event: \"*\" }]\n", true),
            (head, "routes: [{ extract: { a: $.raw } }]\n", true),
            (head, "routes: [{ id: $.raw }]\n", true),
            (with_integration.as_str(), "", true),
        ] {
            let text = format!("{head}{rest}{write}");
            let loaded = with_world(&|_| Err("is not there".to_owned()), |world| {
                load(&texts(&[("routes.d/a.yaml", text.as_str())]), world, &[])
            });
            let source = loaded.files[0].source.as_ref().unwrap_or_else(|| panic!("{text}: {:?}", loaded.diagnostics.all()));
            assert_eq!(source.admission.reads_raw, expected, "{text}");
        }
    }
}

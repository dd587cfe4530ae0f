//! What files without a source lend to the others. A file takes the `apis` and `secrets` that it uses and no more, so that what others
//! need cannot break it; and it takes nothing of a file that has errors.

use std::collections::BTreeSet;

use super::file::FileOptions;
use super::load::Parsed;
use crate::config::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::config::source::{Span, Spanned};
use crate::config::yaml::{Content, Node};
use crate::expr::template::Engine;
use crate::steps::api::ApiOptions;

/// A file that lends.
pub(super) struct Lender {
    /// The file.
    pub(super) parsed: Parsed,
    /// An error in it, if it has one: then nothing of it is used.
    error: Option<Diagnostic>,
}

/// The files that lend, with what is wrong between them: no two lend an api of one name.
pub(super) fn lenders(files: Vec<Parsed>, diagnostics: &mut Diagnostics) -> Vec<Lender> {
    let first_error = |parsed: &Parsed| parsed.problems.all().iter().find(|one| one.severity == Severity::Error).cloned();
    let mut lenders: Vec<Lender> = files.into_iter().map(|parsed| Lender { error: first_error(&parsed), parsed }).collect();
    let mut seen: Vec<(usize, Spanned<String>)> = Vec::new();
    let mut twice = Vec::new();
    for (index, lender) in lenders.iter().enumerate() {
        for name in lender.apis().map(|(name, _)| name) {
            match seen.iter().find(|(_, known)| known.value == name.value) {
                Some((other, first)) => {
                    let message = format!("two files lend an api `{}`", name.value);
                    let diagnostic = Diagnostic::error("duplicate-name", name.span, message)
                        .related(first.span, "the other")
                        .hint("rename one");
                    diagnostics.report(diagnostic.clone());
                    twice.extend([(index, diagnostic.clone()), (*other, diagnostic)]);
                }
                None => seen.push((index, name.clone())),
            }
        }
    }
    for (index, diagnostic) in twice {
        lenders[index].error.get_or_insert(diagnostic);
    }
    lenders
}

impl Lender {
    fn apis(&self) -> impl Iterator<Item = &(Spanned<String>, ApiOptions)> {
        self.parsed.options.iter().flat_map(|options| &options.apis.entries)
    }
}

/// Adds what a file uses of what is lent; its own names win. Tells from whom.
pub(super) fn borrow<'l>(
    options: &mut FileOptions,
    root: &Node,
    lenders: &'l [Lender],
    engine: &Engine,
    problems: &mut Diagnostics,
) -> Vec<&'l Lender> {
    let apis = wanted_apis(options, lenders);
    let mut texts = vec![root];
    let mut from: Vec<(&Lender, Span)> = Vec::new();
    for lender in lenders {
        for (name, lent) in lender.apis().filter(|(name, _)| apis.iter().any(|(wanted, _)| *wanted == name.value)) {
            if options.apis.get(&name.value).is_none() {
                let place = apis.iter().find_map(|(wanted, place)| (*wanted == name.value).then_some(*place).flatten());
                from.push((lender, place.unwrap_or(root.head())));
                texts.extend(node_of(&lender.parsed.root, &name.value));
                options.apis.entries.push((name.clone(), lent.clone()));
            }
        }
    }
    let mentioned = Mentioned::of(&texts, engine);
    let known = |name: &str| {
        let lent = lenders.iter().filter_map(|lender| lender.parsed.options.as_ref());
        let field = options.integration.as_ref().is_some_and(|integration| integration.fields.get(name).is_some());
        field || options.secrets.get(name).is_some() || lent.into_iter().any(|lent| lent.secrets.get(name).is_some())
    };
    // where a name is none at all, what was meant may be any of them
    let any = mentioned.secrets.iter().any(|name| !known(name));
    for lender in lenders {
        for (name, lent) in lender.parsed.options.iter().flat_map(|lent| &lent.secrets.entries) {
            if (any || mentioned.may_name(&name.value)) && options.secrets.get(&name.value).is_none() {
                from.push((lender, root.head()));
                options.secrets.entries.push((name.clone(), lent.clone()));
            }
        }
    }
    let mut told: Vec<&Lender> = Vec::new();
    for (lender, place) in from {
        if told.iter().any(|known| std::ptr::eq(*known, lender)) {
            continue;
        }
        told.push(lender);
        if let Some(error) = &lender.error {
            let path = &lender.parsed.path;
            let message = format!("this file uses what `{path}` lends, which has errors");
            let diagnostic = Diagnostic::error("lender-with-errors", place, message)
                .hint(format!("mend `{path}`; until then the last good version of both goes on"));
            problems.report(match error.span {
                Some(span) => diagnostic.related(span, "the first of them"),
                None => diagnostic,
            });
        }
    }
    told
}

/// The apis that a file uses, each with the place where it is named if it is.
fn wanted_apis(options: &FileOptions, lenders: &[Lender]) -> Vec<(String, Option<Span>)> {
    let routes = &options.routes;
    let calls = options.enrich.entries.iter().chain(routes.iter().flat_map(|route| &route.enrich.entries));
    let forwards = options.forward.entries.iter().chain(routes.iter().flat_map(|route| &route.forward.entries));
    let (mut named, mut is_any_meant) = (Vec::new(), false);
    for api in calls.map(|(_, call)| call.api()) {
        is_any_meant |= api.is_none();
        named.extend(api);
    }
    for (_, forward) in forwards {
        is_any_meant |= forward.needs_api();
        named.extend(&forward.api);
    }
    // the one api in reach is the file's own if it has one
    is_any_meant &= options.apis.is_empty();
    let lent: Vec<&(Spanned<String>, ApiOptions)> = lenders.iter().flat_map(Lender::apis).collect();
    let is_lent = |name: &str| lent.iter().any(|(known, _)| known.value == name);
    named.extend(options.apis.entries.iter().filter_map(|(_, api)| api.like.as_ref()));
    // where a name is none at all, what was meant may be any of them
    is_any_meant |= named.iter().any(|name| options.apis.get(&name.value).is_none() && !is_lent(&name.value));
    if is_any_meant {
        let place = |name: &str| named.iter().find(|named| named.value == name).map(|named| named.span);
        return lent.iter().map(|(name, _)| (name.value.clone(), place(&name.value))).collect();
    }
    let mut wanted: Vec<(String, Option<Span>)> = named.iter().map(|name| (name.value.clone(), Some(name.span))).collect();
    let own = options.apis.entries.iter().filter_map(|(_, api)| api.budget.as_ref());
    let mut budgets: BTreeSet<&str> = own.map(|budget| budget.value.as_str()).collect();
    // what an api is like, and what it shares a budget with, belongs to it
    loop {
        let before = wanted.len();
        for (name, api) in &lent {
            let is_wanted = wanted.iter().any(|(known, _)| *known == name.value);
            let shares = api.budget.as_ref().is_some_and(|budget| budgets.contains(budget.value.as_str()));
            if shares && !is_wanted {
                wanted.push((name.value.clone(), None));
            }
            if shares || is_wanted {
                budgets.extend(api.budget.as_ref().map(|budget| budget.value.as_str()));
                let like = api.like.iter().filter(|like| !wanted.iter().any(|(known, _)| *known == like.value));
                let like: Vec<_> = like.map(|like| (like.value.clone(), None)).collect();
                wanted.extend(like);
            }
        }
        if wanted.len() == before {
            return wanted;
        }
    }
}

/// Where a lent api is written.
fn node_of<'n>(root: &'n Node, api: &str) -> Option<&'n Node> {
    root.get("apis").and_then(|apis| apis.get(api))
}

/// What the texts of a file mention.
#[derive(Default)]
struct Mentioned {
    /// All words: a secret that is none of them is not used.
    words: BTreeSet<String>,
    /// What is written as the name of a secret.
    secrets: BTreeSet<String>,
}

impl Mentioned {
    fn of(nodes: &[&Node], engine: &Engine) -> Self {
        let mut mentioned = Self::default();
        nodes.iter().for_each(|node| mentioned.add(node, engine));
        mentioned
    }

    fn may_name(&self, secret: &str) -> bool {
        self.words.contains(secret) || !secret.chars().all(is_letter)
    }

    fn add(&mut self, node: &Node, engine: &Engine) {
        match &node.content {
            Content::Scalar(scalar) => {
                self.add_text(&scalar.text);
                for name in engine.templates_of(&scalar.text) {
                    self.add_text(engine.included(&name).map_or("", |file| file.text.as_str()));
                }
            }
            Content::List(items) => items.iter().for_each(|item| self.add(item, engine)),
            Content::Map(entries) => {
                for entry in entries {
                    let name = entry.value.text().filter(|text| entry.name.value == "secret" && text.chars().all(is_letter));
                    self.secrets.extend(name.filter(|name| !matches!(*name, "true" | "false")).map(str::to_owned));
                    self.add(&entry.value, engine);
                }
            }
        }
    }

    fn add_text(&mut self, text: &str) {
        self.words.extend(text.split(|letter| !is_letter(letter)).filter(|word| !word.is_empty()).map(str::to_owned));
        for (_, behind) in text.match_indices("secret.").map(|(at, found)| text.split_at(at + found.len())) {
            let end = behind.find(|letter| !is_letter(letter)).unwrap_or(behind.len());
            self.secrets.extend(Some(behind[..end].to_owned()).filter(|name| !name.is_empty()));
        }
    }
}

fn is_letter(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::{texts, with_world};
    use super::super::load::{Loaded, load};

    fn loaded(files: &[(&str, &str)]) -> Loaded {
        with_world(&|_| Err("is not there".to_owned()), |world| load(&texts(files), world, &[]))
    }

    /// The codes of what is wrong with `a.yaml` beside a file that lends, and what it took of that.
    fn taken(lends: &str, uses: &str) -> (Vec<&'static str>, String) {
        let text = format!("auth: {{ none: a test }}\nwrite: {{ insert: t, set: {{ a: $.body.a }} }}\n{uses}");
        let loaded = loaded(&[("r/a.yaml", text.as_str()), ("r/apis.yaml", lends)]);
        let file = loaded.files.iter().find(|file| file.path == "r/a.yaml").expect("the file");
        let secrets = file.source.iter().flat_map(|source| source.secrets.iter().map(|(name, _)| name.clone()));
        (file.diagnostics.all().iter().map(|one| one.code).collect(), secrets.collect::<Vec<_>>().join(" "))
    }

    const LENDS: &str = "secrets: { one: { env: ONE }, two: { env: TWO }, three: { env: THREE } }\n\
        apis:\n  a: { base: \"https://a.example\", headers: { X-Key: \"{{ secret.one }}\" } }\n  \
        b: { base: \"https://b.example\", headers: { X-Key: \"{{ secret.held_elsewhere }}\" } }\n  \
        c: { like: a, base: \"https://c.example\" }\n";

    #[test]
    fn a_file_takes_what_it_uses_and_nothing_else() {
        for (uses, expected) in [
            ("", ""),
            ("enrich: { x: { api: a, get: /x } }\n", "one"),
            ("enrich: { x: { api: c, get: /x } }\n", "one"),
            ("forward: { x: { post: \"https://x.example\", headers: { X-Key: \"{{ secret.two }}\" } } }\n", "two"),
            ("forward: { x: { api: a, post: /x, headers: { X-Key: \"{{ secret['two'] }}\" } } }\n", "one two"),
            ("apis: { own: { base: \"https://own.example\" } }\nenrich: { x: /x }\n", ""),
            ("apis: { own: { like: a, base: \"https://own.example\" } }\nenrich: { x: { api: own, get: /x } }\n", "one"),
            ("handshake: { when: query.q, auth: { token: $.query.t, secret: three }, reply: { text: ok } }\n", "three"),
        ] {
            assert_eq!(taken(LENDS, uses), (vec![], expected.to_owned()), "{uses}");
        }
    }

    #[test]
    fn an_api_that_is_not_said_may_be_any_of_those_that_are_lent() {
        let one = "apis: { a: { base: \"https://a.example\" } }\n";
        assert_eq!(taken(one, "enrich: { x: /x }\n").0, Vec::<&str>::new());
        let several = taken(LENDS, "enrich: { x: /x }\n").0;
        assert!(several.contains(&"missing-option"), "{several:?}");
    }

    #[test]
    fn a_slip_in_a_name_is_compared_with_what_is_lent() {
        let uses = "forward: { x: { post: \"https://x.example\", headers: { X-Key: \"{{ secret.thre }}\" } } }\n";
        let text = format!("auth: {{ none: a test }}\nwrite: {{ insert: t, set: {{ a: $.body.a }} }}\n{uses}");
        let loaded = loaded(&[("r/a.yaml", text.as_str()), ("r/apis.yaml", LENDS)]);
        let hints: Vec<&str> = loaded.diagnostics.all().iter().filter_map(|one| one.hint.as_deref()).collect();
        assert_eq!(hints, ["did you mean `three`?"]);
    }

    #[test]
    fn of_a_file_with_errors_nothing_is_used() {
        let broken = "apis:\n  a: { base: \"https://a.example\", limts: [1/s] }\n";
        assert_eq!(taken(broken, "enrich: { x: { api: a, get: /x } }\n").0, ["lender-with-errors"]);
        assert_eq!(taken(broken, "").0, Vec::<&str>::new());
    }
}

//! `NAME.test.yaml` as it is written: what is sent, what the provider's API answers, which rows there are before and after.

use crate::config::diagnostic::Diagnostics;
use crate::config::options::{FromYaml, Named, options, report_choice};
use crate::config::shape::{self, Shape};
use crate::config::source::Spanned;
use crate::config::yaml::Node;

options! {
    /// The tests of one route file.
    pub struct TestFile {
        /// A SQL script that makes the throwaway tables; without it they are made from what the routes expect.
        schema: Option<Spanned<String>>,
        /// The tests.
        tests: Vec<TestOptions>,
    }
}

options! {
    /// One test.
    pub struct TestOptions {
        /// What is to be seen, as a sentence.
        name: Spanned<String>,
        /// The tenant that sends.
        tenant: Option<Spanned<String>>,
        /// What the tenant's integration holds; every field that is not named here is `test-NAME`.
        integration: Named<String>,
        /// The request.
        send: SendOptions,
        /// What the provider's API answers.
        apis: Vec<AnswerOptions>,
        /// Rows that are there before, by table.
        given: Named<Vec<Node>> as shape::row,
        /// What is to be seen afterwards.
        expect: ExpectOptions,
    }
}

options! {
    /// The request of a test. Auth is added.
    pub struct SendOptions {
        /// POST by default, or the file's only method.
        method: Option<String>,
        /// The path; the file's own by default.
        path: Option<Spanned<String>>,
        /// What stands behind `?`.
        query: Named<Node> as shape::json,
        /// Headers.
        headers: Named<Node> as shape::json,
        /// A JSON body.
        json: Option<Node> as shape::json,
        /// A body as it is.
        text: Option<String>,
        /// A body from a file. An `.http` file is a captured request: method, path, query and headers come from it too, its credentials do not.
        file: Option<Spanned<String>>,
        /// The claims of the token, where the file asks for a `jwt`; times, issuer and audience are added.
        claims: Named<Node> as shape::json,
        /// `none` leaves auth out, `wrong` sends a wrong one, `stale` signs with a timestamp beyond the tolerance.
        auth: Option<AuthBreak>,
    }
}

/// How the auth of a test is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthBreak {
    /// It is left out.
    None,
    /// It is wrong.
    Wrong,
    /// It is too old.
    Stale,
}

const BREAKS: &[&str] = &["none", "wrong", "stale"];

impl FromYaml for AuthBreak {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        match node.text() {
            Some("none") => Some(Self::None),
            Some("wrong") => Some(Self::Wrong),
            Some("stale") => Some(Self::Stale),
            _ => {
                report_choice(BREAKS, node, diagnostics);
                None
            }
        }
    }
    fn shape() -> Shape {
        Shape::Word(BREAKS)
    }
}

options! {
    /// One recorded answer.
    pub struct AnswerOptions {
        /// The whole address that is fetched. Several answers to the same request are given in turn; the last one repeats.
        get: Option<Spanned<String>>,
        /// The same for a POST.
        post: Option<Spanned<String>>,
        /// The answer's status.
        status: Option<u32> = "200",
        /// Headers that the call must carry, by lower-case name with `_`.
        headers: Named<Node> as shape::json,
        /// A JSON body.
        json: Option<Node> as shape::json,
        /// A body from a file.
        file: Option<Spanned<String>>,
        /// A body as it is.
        text: Option<String>,
    }
}

impl AnswerOptions {
    /// `GET` or `POST`.
    pub fn method(&self) -> &'static str {
        if self.post.is_some() { "POST" } else { "GET" }
    }

    /// The whole address that is asked.
    pub fn url(&self) -> &str {
        self.post.as_ref().or(self.get.as_ref()).map_or("", |url| url.value.as_str())
    }
}

options! {
    /// What is to be seen afterwards.
    pub struct ExpectOptions {
        /// The answer's status.
        status: Option<Spanned<u32>>,
        /// The worst state of the delivery's records.
        state: Option<Spanned<String>>,
        /// A part of the reason that the record shows.
        reason: Option<Spanned<String>>,
        /// Exactly these rows by table, the named columns compared.
        rows: Named<Vec<Node>> as shape::row,
        /// How many calls were made.
        calls: Option<Spanned<u32>>,
        /// The answer itself, for handshakes and where the route has a `reply`.
        answer: Option<AnsweredOptions>,
        /// What a handshake showed to support staff, by name: exactly this. An onboarding window is open.
        shown: Option<Named<String>>,
        /// Exactly what was sent by each forward, in order; those that are not named sent nothing.
        forwards: Named<Vec<SentOptions>>,
    }
}

options! {
    /// An answer as the sender sees it.
    pub struct AnsweredOptions {
        /// The body, as text.
        text: Option<String>,
        /// The body, as JSON; white space and the order of names do not matter.
        json: Option<Node> as shape::json,
        /// Headers that it has.
        headers: Named<Node> as shape::json,
    }
}

options! {
    /// What a forward sent; what is not named does not matter.
    pub struct SentOptions {
        /// The method: `POST`.
        method: Option<String>,
        /// The whole address, with its query.
        url: Option<String>,
        /// Headers, with these values.
        headers: Named<Node> as shape::json,
        /// The body as JSON.
        json: Option<Node> as shape::json,
        /// The fields of a form, in any order.
        form: Named<Node> as shape::json,
        /// The body as text.
        text: Option<String>,
    }
}

/// The path of a file that `relative` names in the file at `path`: `routes.d/samples/order.json`.
pub fn beside(path: &str, relative: &str) -> String {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let root = if folder.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

/// The path of the tests of a route file.
pub fn tests_of(path: &str) -> String {
    format!("{}.test.yaml", path.strip_suffix(".yaml").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_file() {
        assert_eq!(beside("routes.d/a.test.yaml", "../examples/x.sql"), "examples/x.sql");
        assert_eq!(beside("routes.d/a.yaml", "samples/x.json"), "routes.d/samples/x.json");
        assert_eq!(beside("/abs/r/a.yaml", "../x"), "/abs/x");
        assert_eq!(tests_of("routes.d/a.yaml"), "routes.d/a.test.yaml");
    }
}

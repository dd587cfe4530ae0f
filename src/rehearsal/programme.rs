//! What the demo plays after its opening act: the tests of the route files, each for a tenant of its own, so that all can be sent to
//! one server. They go in rounds, in each of which the recorded answers agree.

use std::collections::BTreeSet;
use std::sync::Arc;

use reqwest::Url;

use super::cases::Case;
use super::compare::Row;
use super::suite::Suite;
use super::trial::kinds_of;
use crate::http_client::recorded::RecordedAnswer;
use crate::model::record::RecordState;
use crate::routes::source::{Source, TenantRule};

/// What is played.
#[derive(Default)]
pub struct Programme {
    /// What is answered at once, one after the other: all of a source show their values at the same place.
    pub handshakes: Vec<Part>,
    /// What becomes rows; those of a round side by side.
    pub rounds: Vec<Vec<Part>>,
    /// Tests that cannot be played, each with its reason.
    pub left_out: Vec<(String, &'static str)>,
}

/// One test.
#[derive(Clone)]
pub struct Part {
    /// The number of its suite.
    pub suite: usize,
    /// Its number among the tests of the suite.
    pub number: usize,
    /// The test, about tenants that no other one is about.
    pub case: Case,
    /// These tenants.
    pub tenants: Vec<String>,
}

/// How much is played.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    /// One webhook of each kind of event that a route names, as far as the tests have one, and every handshake.
    Short,
    /// All that end well.
    Full,
}

impl Programme {
    /// What is to be played of these tests. `run` is part of the tenants' names, from 1, so that they are new ones; `tenant_column` is
    /// what rows name them in.
    pub fn of(suites: &[Arc<Suite>], length: Length, run: u32, tenant_column: &str) -> Self {
        let mut programme = Self::default();
        for (number, suite) in suites.iter().enumerate() {
            programme.add(number, suite, length, run, tenant_column);
        }
        programme
    }

    fn add(&mut self, number: usize, suite: &Suite, length: Length, run: u32, tenant_column: &str) {
        let mut seen = BTreeSet::new();
        for (test, case) in suite.cases.iter().enumerate() {
            let is_handshake = is_handshake(&suite.source, case);
            if !(is_handshake || ends_well(case)) {
                continue;
            }
            let is_new = || {
                let kinds = kinds_of(&suite.source, &case.request.arriving());
                let is_done = case.expected.state == Some(RecordState::Done);
                kinds.into_iter().filter(|kind| is_done && !seen.contains(kind)).collect::<Vec<_>>()
            };
            let kinds = if is_handshake || length == Length::Full { Vec::new() } else { is_new() };
            if length == Length::Short && !is_handshake && kinds.is_empty() {
                continue;
            }
            if let Some(reason) = cannot_be_played(&suite.source, case) {
                self.left_out.push((case.name.clone(), reason));
                continue;
            }
            seen.extend(kinds);
            let suffix = if run > 1 { format!(".{run}") } else { String::new() };
            let (case, tenants) = about(case, &format!("{}-{}{suffix}", suite.source.name, test + 1), tenant_column);
            let part = Part { suite: number, number: test, case, tenants };
            if is_handshake {
                self.handshakes.push(part);
                continue;
            }
            match self.rounds.iter_mut().find(|round| round.iter().all(|other| agree(&other.case, &part.case))) {
                Some(round) => round.push(part),
                None => self.rounds.push(vec![part]),
            }
        }
    }

    /// All that is played.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.handshakes.iter().chain(self.rounds.iter().flatten())
    }
}

fn is_handshake(source: &Source, case: &Case) -> bool {
    let arriving = case.request.arriving();
    let params = source.receive.path_parameters(&arriving.path).unwrap_or_default();
    !case.expected.answer.is_empty() && source.handshakes.find(&arriving, &params).is_some()
}

fn ends_well(case: &Case) -> bool {
    matches!(case.expected.state, Some(RecordState::Done | RecordState::Ignored))
}

/// Why a test needs more than a server and simulated APIs that answer.
fn cannot_be_played(source: &Source, case: &Case) -> Option<&'static str> {
    if source.tenant != TenantRule::Caller {
        return Some("its tenant is not told by its sender");
    }
    if case.request.client.is_some() {
        return Some("it comes from an address of its own");
    }
    let fails = |answer: &RecordedAnswer| answer.status == 429 || answer.status >= 500;
    case.answers.iter().any(fails).then_some("its provider fails first, which is waited for")
}

/// The test with another tenant in place of its own, and with further ones in place of those that its rows name besides.
fn about(case: &Case, name: &str, tenant_column: &str) -> (Case, Vec<String>) {
    let mut case = case.clone();
    let own = case.tenant.replace(name.to_owned());
    let mut tenants = vec![name.to_owned()];
    let tables = case.given.iter_mut().chain(&mut case.expected.rows);
    for row in tables.flat_map(|(_, rows)| rows) {
        for (_, value) in row.iter_mut().filter(|(column, _)| column.eq_ignore_ascii_case(tenant_column)) {
            let Some(written) = value.as_str() else { continue };
            let new = if own.as_deref() == Some(written) { name.to_owned() } else { format!("{name}-{written}") };
            if !tenants.contains(&new) {
                tenants.push(new.clone());
            }
            *value = new.into();
        }
    }
    (case, tenants)
}

impl Part {
    /// Whether a row is of one of its tenants, or of nobody's.
    pub fn is_own(&self, row: &Row, tenant_column: &str) -> bool {
        let tenant =
            row.iter().find(|(column, _)| column.eq_ignore_ascii_case(tenant_column)).and_then(|(_, value)| value.as_str());
        tenant.is_none_or(|tenant| self.tenants.iter().any(|own| own == tenant))
    }
}

/// Whether no request is answered differently in the one test and in the other.
fn agree(one: &Case, other: &Case) -> bool {
    let same = |left: &RecordedAnswer, right: &RecordedAnswer| left.is_for(&right.method, &right.url);
    let in_turn = |case: &Case, answer: &RecordedAnswer| case.answers.iter().filter(|known| same(known, answer)).count() > 1;
    one.answers.iter().all(|left| {
        let mut asked = other.answers.iter().filter(|right| same(left, right));
        asked.all(|right| is_same(left, right) && !in_turn(one, left) && !in_turn(other, right))
    })
}

fn is_same(left: &RecordedAnswer, right: &RecordedAnswer) -> bool {
    (left.status, &left.headers, &left.body) == (right.status, &right.headers, &right.body)
}

/// The answers of all tests of a round, each once.
pub fn answers_of(round: &[Part]) -> Vec<RecordedAnswer> {
    let mut all: Vec<RecordedAnswer> = Vec::new();
    for part in round {
        let known = all.len();
        for answer in &part.case.answers {
            let is_there = all[..known].iter().any(|other| {
                other.is_for(&answer.method, &answer.url)
                    && is_same(other, answer)
                    && other.required_headers == answer.required_headers
            });
            if !is_there {
                all.push(answer.clone());
            }
        }
    }
    all
}

/// Everywhere that the sources and tests send requests to.
pub fn origins_of(suites: &[Arc<Suite>]) -> BTreeSet<String> {
    let mut urls: Vec<Url> = Vec::new();
    let mut add = |text: &str| urls.extend(Url::parse(text).ok());
    for suite in suites {
        for route in &suite.source.admission.routes {
            let called = route.pipeline.enrich.calls().map(crate::steps::call::Call::origin);
            called.chain(route.forwards.iter().map(crate::steps::forward::Forward::origin)).for_each(&mut add);
        }
        for case in &suite.cases {
            case.answers.iter().for_each(|answer| add(answer.url.as_str()));
            case.integration.iter().for_each(|(_, value)| add(value));
            let sent = case.expected.forwards.iter().flatten().flat_map(|(_, sent)| sent);
            sent.filter_map(super::forwarded::ExpectedForward::url).for_each(&mut add);
        }
    }
    let web = urls.into_iter().filter(|url| matches!(url.scheme(), "http" | "https"));
    web.map(|url| url.origin().ascii_serialization()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::rehearsal::suite;
    use crate::steps::map::Destination;

    fn shipped() -> Vec<Arc<Suite>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let destinations = [Destination { name: "main".to_owned(), tenant_column: "tenant".to_owned() }];
        let found = suite::read(&root.join("routes.d"), &root.join("templates"), None, &destinations).expect("read");
        assert!(!found.problems.has_errors(), "{:?}", found.problems.all());
        found.suites
    }

    /// Where the routes of a source stand that do something.
    fn working(suite: &Suite) -> BTreeSet<String> {
        let routes = suite.source.admission.routes.iter().filter(|route| route.ignore.is_none());
        routes.map(|route| route.place.clone()).collect()
    }

    #[test]
    fn the_short_one_has_one_webhook_of_every_kind_and_all_handshakes() {
        let suites = shipped();
        let programme = Programme::of(&suites, Length::Short, 1, "tenant");
        for (number, suite) in suites.iter().enumerate() {
            let parts: Vec<&Part> = programme.rounds.iter().flatten().filter(|part| part.suite == number).collect();
            let kinds: BTreeSet<(String, usize)> =
                parts.iter().flat_map(|part| kinds_of(&suite.source, &part.case.request.arriving())).collect();
            let routes: BTreeSet<String> = kinds.iter().map(|(route, _)| route.clone()).collect();
            assert_eq!(routes, working(suite), "{}", suite.source.name);
            assert!(parts.len() <= kinds.len(), "{}: one of each is enough", suite.source.name);
        }
        let names: Vec<&str> = programme.parts().map(|part| part.case.name.as_str()).collect();
        for name in ["a change of the stock changes the stock", "terms of delivery that have another number now keep their row"] {
            assert!(names.contains(&name), "a route's second name: `{name}` in {names:?}");
        }
        assert_eq!(programme.handshakes.len(), 4, "those of Clockodo");
    }

    #[test]
    fn no_two_tests_have_a_tenant_in_common_nor_answers_that_differ() {
        let suites = shipped();
        let programme = Programme::of(&suites, Length::Full, 2, "tenant");
        let tenants: Vec<&String> = programme.parts().flat_map(|part| &part.tenants).collect();
        assert_eq!(tenants.iter().collect::<BTreeSet<_>>().len(), tenants.len());
        assert!(
            tenants.iter().all(|tenant| crate::model::tenant::Tenant::is_name(tenant) && tenant.contains(".2")),
            "{tenants:?}"
        );
        assert!(programme.rounds.len() > 1 && programme.rounds.len() < 15, "{} rounds", programme.rounds.len());
        for round in &programme.rounds {
            let answers = answers_of(round);
            for answer in &answers {
                let same = || answers.iter().filter(|other| other.is_for(&answer.method, &answer.url));
                let own = round.iter().filter(|part| part.case.answers.iter().any(|own| own.is_for(&answer.method, &answer.url)));
                assert!(own.count() == 1 || same().all(|other| is_same(answer, other)), "{}", answer.url);
            }
        }
        let left_out: Vec<&str> = programme.left_out.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(left_out, ["a budget that is used up is waited for"]);
    }

    #[test]
    fn rows_are_of_the_tenants_of_their_test() {
        let suites = shipped();
        let programme = Programme::of(&suites, Length::Full, 1, "tenant");
        let deleted =
            programme.parts().find(|part| part.case.name == "a deleted clocking loses its row, and only that of its tenant");
        let part = deleted.expect("a test with rows of two tenants");
        let own = part.case.tenant.clone().expect("a tenant");
        assert_eq!(part.tenants, [own.clone(), format!("{own}-globex")]);
        let row = |tenant: &str| Row::from_iter([("tenant".to_owned(), tenant.into())]);
        assert!(part.is_own(&row(&own), "tenant") && part.is_own(&row(&part.tenants[1]), "tenant"));
        assert!(!part.is_own(&row("acme"), "tenant") && !part.is_own(&row(&format!("{own}0")), "tenant"));
    }

    #[test]
    fn everything_that_is_called_is_simulated() {
        let origins = origins_of(&shipped());
        for origin in ["https://restapi.e-conomic.com", "https://rackbeat.example", "https://webhook.smarttid.dk"] {
            assert!(origins.contains(origin), "{origin} in {origins:?}");
        }
    }
}

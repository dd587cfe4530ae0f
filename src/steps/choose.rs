//! Which route a record takes: the first in file order whose `event` matches and whose `when` holds.

use crate::config::diagnostic::Diagnostics;
use crate::config::options::{FromYaml, report_expected};
use crate::config::shape::{Form, Shape};
use crate::config::yaml::Node;
use crate::expr::template::Context;
use crate::expr::value::Condition;
use crate::model::event::EventDocument;
use crate::model::failure::{Failure, Step};

/// A name with `*` for any letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern that everything matches.
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// The texts that a template can make, as far as can be told: `*` for each `{{ … }}`.
    pub fn of_template(text: &str) -> Self {
        let mut pattern = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            pattern.push_str(before);
            pattern.push('*');
            rest = after.split_once("}}").map_or("", |(_, rest)| rest);
        }
        pattern.push_str(rest);
        Self(pattern)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether it has no `*`, so that it is one name.
    pub fn is_literal(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether a text matches.
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }

    /// Whether some text matches both.
    pub fn overlaps(&self, other: &Pattern) -> bool {
        if self.is_literal() {
            return other.matches(&self.0);
        }
        if other.is_literal() {
            return self.matches(&other.0);
        }
        meet(self.0.as_bytes(), other.0.as_bytes())
    }
}

/// Whether some text matches both, in time that grows with the product of the lengths only. `met[at]` says it of what is left of
/// `left` from the current letter on and of `right` from `at` on.
fn meet(left: &[u8], right: &[u8]) -> bool {
    let stars_from = |text: &[u8], at: usize| text[at..].iter().all(|letter| *letter == b'*');
    let mut met: Vec<bool> = (0..=right.len()).map(|at| stars_from(right, at)).collect();
    for row in (0..left.len()).rev() {
        let below = met.clone();
        met[right.len()] = stars_from(left, row);
        for at in (0..right.len()).rev() {
            met[at] = match (left[row], right[at]) {
                (b'*', _) | (_, b'*') => below[at] || met[at + 1],
                (one, other) => one == other && below[at + 1],
            };
        }
    }
    met[0]
}

impl FromYaml for Pattern {
    fn from_yaml(node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        const LONGEST: usize = 200;
        match node.text().filter(|text| !text.is_empty() && text.len() <= LONGEST && text.matches('*').count() <= 4) {
            // `**` means nothing more than `*`
            Some(text) => Some(Self(text.replace("**", "*"))),
            None => {
                report_expected("a name, with at most four `*`", node, diagnostics);
                None
            }
        }
    }
    fn shape() -> Shape {
        Shape::Form(Form {
            words: "name, with `*` for any letters",
            pattern: "^[^*]*(\\*+[^*]*){0,4}$",
            numbers: true,
            examples: &["order.created", "order.*", "*"],
        })
    }
}

/// What a route wants.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The names of events; any of them.
    pub events: Vec<Pattern>,
    /// What else must hold.
    pub when: Option<Condition>,
}

impl Matcher {
    /// Whether it wants this event.
    pub fn wants(&self, event: &str, document: &EventDocument) -> Result<bool, Failure> {
        if !self.events.iter().any(|pattern| pattern.matches(event)) {
            return Ok(false);
        }
        let holds = self.when.as_ref().map_or(Ok(true), |when| when.holds(Context::from(document)));
        holds.map_err(|error| Failure::permanent(Step::Admission, format!("`when`: {}", error.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern(text.to_owned())
    }

    #[test]
    fn a_star_is_any_letters() {
        for (text, name, expected) in [
            ("eConomic*", "eConomicOrder", true),
            ("*", "", true),
            ("*.deleted", "user.deleted", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
            ("aa*a", "aa", false),
            ("order", "orders", false),
        ] {
            assert_eq!(pattern(text).matches(name), expected, "{text} {name}");
        }
    }

    #[test]
    fn patterns_with_many_stars_are_compared_at_once() {
        let long = |end: &str| pattern(&format!("{}{end}", "a".repeat(40) + "*").repeat(4));
        assert!(!pattern(&format!("{}b", long("").text())).overlaps(&pattern(&format!("{}c", long("").text()))));
    }

    proptest::proptest! {
        #[test]
        fn patterns_overlap_when_some_text_matches_both(left in "[ab*]{1,4}", right in "[ab*]{1,4}") {
            let (left, right) = (pattern(&left), pattern(&right));
            let texts = (0..=8u32).flat_map(|length| {
                (0..1u32 << length).map(move |bits| {
                    (0..length).map(|at| if bits >> at & 1 == 0 { 'a' } else { 'b' }).collect::<String>()
                })
            });
            let common = texts.into_iter().find(|text| left.matches(text) && right.matches(text));
            proptest::prop_assert_eq!(left.overlaps(&right), common.is_some(), "{:?}", common);
        }
    }

    #[test]
    fn overlapping_patterns_are_told() {
        for (left, right, expected) in [
            ("A*", "*B", true),
            ("A*", "B*", false),
            ("orders/*", "orders/paid", true),
            ("*a", "*b", false),
            ("x", "x", true),
            ("a*c", "ab*", true),
        ] {
            assert_eq!(pattern(left).overlaps(&pattern(right)), expected, "{left} {right}");
            assert_eq!(pattern(right).overlaps(&pattern(left)), expected, "{right} {left}");
        }
    }
}

//! Runs a path that can name several places. The crate reads paths; it would compare numbers as floats, so that two long ids count
//! as one, and copies where a look is enough. What is not allowed is refused before, in `path_lint`.

use std::borrow::Cow;
use std::cmp::Ordering;

use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, FnArg, JpQuery, Literal, Segment, Selector, SingularQuery, SingularQuerySegment,
    Test, TestFunction,
};
use serde_json::{Number, Value as Json};

use super::decimal;

/// All that a query finds in a value, in the RFC's order.
pub(super) fn find<'d>(query: &JpQuery, root: &'d Json) -> Vec<&'d Json> {
    Run { root }.nodes(&query.segments, root)
}

struct Run<'d> {
    root: &'d Json,
}

impl<'d> Run<'d> {
    fn nodes(&self, segments: &[Segment], from: &'d Json) -> Vec<&'d Json> {
        segments.iter().fold(vec![from], |nodes, segment| {
            let mut found = Vec::new();
            nodes.into_iter().for_each(|node| self.segment(segment, node, &mut found));
            found
        })
    }

    fn segment(&self, segment: &Segment, node: &'d Json, found: &mut Vec<&'d Json>) {
        match segment {
            Segment::Descendant(inner) => {
                self.segment(inner, node, found);
                children(node).for_each(|child| self.segment(segment, child, found));
            }
            Segment::Selector(selector) => self.select(selector, node, found),
            Segment::Selectors(selectors) => selectors.iter().for_each(|selector| self.select(selector, node, found)),
        }
    }

    fn select(&self, selector: &Selector, node: &'d Json, found: &mut Vec<&'d Json>) {
        match selector {
            Selector::Name(name) => found.extend(node.get(name)),
            Selector::Index(index) => found.extend(item(node, *index)),
            Selector::Wildcard => found.extend(children(node)),
            Selector::Slice(start, end, step) => slice(node, *start, *end, step.unwrap_or(1), found),
            Selector::Filter(filter) => found.extend(children(node).filter(|child| self.holds(filter, child))),
        }
    }

    fn holds(&self, filter: &Filter, node: &'d Json) -> bool {
        match filter {
            Filter::Or(filters) => filters.iter().any(|filter| self.holds(filter, node)),
            Filter::And(filters) => filters.iter().all(|filter| self.holds(filter, node)),
            Filter::Atom(FilterAtom::Filter { expr, not }) => self.holds(expr, node) != *not,
            Filter::Atom(FilterAtom::Test { expr, not }) => self.tested(expr, node).is_empty() == *not,
            Filter::Atom(FilterAtom::Comparison(comparison)) => self.compares(comparison, node),
        }
    }

    fn tested(&self, test: &Test, node: &'d Json) -> Vec<&'d Json> {
        match test {
            Test::RelQuery(segments) => self.nodes(segments, node),
            Test::AbsQuery(query) => self.nodes(&query.segments, self.root),
            Test::Function(_) => Vec::new(),
        }
    }

    fn compares(&self, comparison: &Comparison, node: &'d Json) -> bool {
        let (left, right) = comparison.vals();
        let (left, right) = (self.value(left, node), self.value(right, node));
        let (left, right) = (left.as_deref(), right.as_deref());
        match comparison {
            Comparison::Eq(..) => equal(left, right),
            Comparison::Ne(..) => !equal(left, right),
            Comparison::Lt(..) => less(left, right),
            Comparison::Gt(..) => less(right, left),
            Comparison::Lte(..) => less(left, right) || equal(left, right),
            Comparison::Gte(..) => less(right, left) || equal(left, right),
        }
    }

    fn value(&self, side: &Comparable, node: &'d Json) -> Option<Cow<'d, Json>> {
        match side {
            Comparable::Literal(literal) => Some(Cow::Owned(written(literal))),
            Comparable::Function(function) => self.function(function, node),
            Comparable::SingularQuery(SingularQuery::Current(segments)) => walk(node, segments).map(Cow::Borrowed),
            Comparable::SingularQuery(SingularQuery::Root(segments)) => walk(self.root, segments).map(Cow::Borrowed),
        }
    }

    fn function(&self, function: &TestFunction, node: &'d Json) -> Option<Cow<'d, Json>> {
        let nodes = |argument: &FnArg| match argument {
            FnArg::Test(test) => self.tested(test, node),
            FnArg::Literal(_) | FnArg::Filter(_) => Vec::new(),
        };
        match function {
            TestFunction::Length(argument) => {
                let value = match argument.as_ref() {
                    FnArg::Literal(literal) => Some(Cow::Owned(written(literal))),
                    FnArg::Test(test) => match test.as_ref() {
                        Test::Function(inner) => self.function(inner, node),
                        other => self.tested(other, node).first().map(|value| Cow::Borrowed(*value)),
                    },
                    FnArg::Filter(_) => None,
                };
                let length = match value.as_deref()? {
                    Json::String(text) => text.chars().count(),
                    Json::Array(items) => items.len(),
                    Json::Object(fields) => fields.len(),
                    Json::Null | Json::Bool(_) | Json::Number(_) => return None,
                };
                Some(Cow::Owned(Json::from(length)))
            }
            TestFunction::Count(argument) => Some(Cow::Owned(Json::from(nodes(argument).len()))),
            TestFunction::Value(argument) => match nodes(argument).as_slice() {
                [one] => Some(Cow::Borrowed(*one)),
                _ => None,
            },
            TestFunction::Custom(..) | TestFunction::Search(..) | TestFunction::Match(..) => None,
        }
    }
}

fn children(node: &Json) -> impl Iterator<Item = &Json> {
    let (items, fields) = match node {
        Json::Array(items) => (Some(items.iter()), None),
        Json::Object(fields) => (None, Some(fields.values())),
        _ => (None, None),
    };
    items.into_iter().flatten().chain(fields.into_iter().flatten())
}

/// The item at an index; negative ones count from the end.
pub(super) fn item(node: &Json, index: i64) -> Option<&Json> {
    let items = node.as_array()?;
    let distance = usize::try_from(index.unsigned_abs()).ok()?;
    items.get(if index < 0 { items.len().checked_sub(distance)? } else { distance })
}

fn slice<'d>(node: &'d Json, start: Option<i64>, end: Option<i64>, step: i64, found: &mut Vec<&'d Json>) {
    let Json::Array(items) = node else { return };
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let from_end = |index: i64| if index < 0 { length + index } else { index };
    let (mut at, end) = if step > 0 {
        (from_end(start.unwrap_or(0)).clamp(0, length), from_end(end.unwrap_or(length)).clamp(0, length))
    } else {
        (from_end(start.unwrap_or(length - 1)).clamp(-1, length - 1), end.map_or(-1, |end| from_end(end).clamp(-1, length - 1)))
    };
    while (step > 0 && at < end) || (step < 0 && at > end) {
        found.extend(usize::try_from(at).ok().and_then(|at| items.get(at)));
        at = at.saturating_add(step);
    }
}

fn walk<'v>(from: &'v Json, segments: &[SingularQuerySegment]) -> Option<&'v Json> {
    segments.iter().try_fold(from, |value, segment| match segment {
        SingularQuerySegment::Name(name) => value.get(name),
        SingularQuerySegment::Index(index) => item(value, *index),
    })
}

fn written(literal: &Literal) -> Json {
    match literal {
        Literal::Int(number) => Json::from(*number),
        Literal::Float(number) => Json::from(*number),
        Literal::String(text) => Json::from(text.as_str()),
        Literal::Bool(value) => Json::from(*value),
        Literal::Null => Json::Null,
    }
}

/// Two values that are not there are equal, too.
fn equal(left: Option<&Json>, right: Option<&Json>) -> bool {
    match (left, right) {
        (None, None) => true,
        (Some(Json::Number(left)), Some(Json::Number(right))) => order(left, right) == Some(Ordering::Equal),
        (Some(Json::Array(left)), Some(Json::Array(right))) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(Some(left), Some(right)))
        }
        (Some(Json::Object(left)), Some(Json::Object(right))) => {
            left.len() == right.len()
                && left.iter().all(|(name, left)| right.get(name).is_some_and(|right| equal(Some(left), Some(right))))
        }
        (Some(left), Some(right)) => left == right,
        _ => false,
    }
}

fn less(left: Option<&Json>, right: Option<&Json>) -> bool {
    match (left, right) {
        (Some(Json::Number(left)), Some(Json::Number(right))) => order(left, right) == Some(Ordering::Less),
        (Some(Json::String(left)), Some(Json::String(right))) => left < right,
        _ => false,
    }
}

/// How two numbers compare, exactly; `None` for one of absurd size, which equals only itself.
fn order(left: &Number, right: &Number) -> Option<Ordering> {
    if let (Some(left), Some(right)) = (left.as_i64(), right.as_i64()) {
        return Some(left.cmp(&right));
    }
    let (left, right) = (left.to_string(), right.to_string());
    match (decimal::parse(&left), decimal::parse(&right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => (left == right).then_some(Ordering::Equal),
    }
}

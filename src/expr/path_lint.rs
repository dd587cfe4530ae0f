//! What a path may not say: what the crate that runs it would accept without a word and then answer wrongly, or at great cost.

use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, FnArg, JpQuery, Literal, Segment, Selector, SingularQuery, SingularQuerySegment,
    Test, TestFunction,
};

use super::decimal;
use super::jsonpath::PathError;

/// The largest index that every JSON implementation holds exactly.
const LARGEST_INDEX: u64 = (1 << 53) - 1;

fn problem(message: impl Into<String>, range: std::ops::Range<usize>, hint: &str) -> PathError {
    PathError { message: message.into(), range, hint: Some(hint.to_owned()) }
}

/// Looks at the letters of a path.
pub(super) fn check_text(text: &str) -> Result<(), PathError> {
    let mut quote = None;
    let mut open: Vec<(usize, bool)> = Vec::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match (quote, letter) {
            (Some(_), '\\') => drop(letters.next()),
            (Some(open), _) if letter == open => quote = None,
            (Some(_), letter) if letter < ' ' => {
                let message = "a control character cannot stand in a name as it is";
                return Err(problem(message, at..at + 1, "write it as `\\n`, `\\t` or `\\u0001`"));
            }
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '[') => open.push((at, false)),
            (None, ']') => drop(open.pop()),
            (None, '?') => {
                if open.iter().rev().skip(1).any(|(_, filter)| *filter) {
                    let hint = "find the outer items first and test the inner ones in an expression";
                    return Err(problem("a filter inside a filter is not supported", at..at + 1, hint));
                }
                if let Some(last) = open.last_mut() {
                    last.1 = true;
                }
            }
            (None, letter) if letter.is_whitespace() && open.is_empty() && !text[at..].trim_start().starts_with(['.', '[']) => {
                let range = at..at + letter.len_utf8();
                return Err(problem("a name with a space needs brackets and quotes", range, "write `$.body['line items']`"));
            }
            _ => {}
        }
    }
    match open.pop() {
        Some((at, filter)) => {
            let hint = if filter { "close it: `[?@.price > 10]`" } else { "close it: `[0]` or `[*]`" };
            Err(problem("this `[` is never closed", at..at + 1, hint))
        }
        None => Ok(()),
    }
}

/// Looks at what was read, whose first segment is the first name, and lets `$` inside filters mean the event document.
pub(super) fn check_query(query: &mut JpQuery, text: &str) -> Result<(), PathError> {
    let first = match query.segments.first() {
        Some(Segment::Selector(Selector::Name(name))) => name.clone(),
        _ => return Ok(()),
    };
    let lint = Lint { text, first };
    query.segments.iter_mut().try_for_each(|segment| lint.segment(segment))
}

struct Lint<'t> {
    text: &'t str,
    first: String,
}

impl Lint<'_> {
    /// Where a word of the path stands, outside the first name.
    fn range(&self, word: &str) -> std::ops::Range<usize> {
        let from = self.first.len() + 2;
        let found = self.text.get(from..).and_then(|rest| rest.find(word)).map(|at| from + at);
        found.map_or(0..self.text.len(), |at| at..at + word.len())
    }

    fn segment(&self, segment: &mut Segment) -> Result<(), PathError> {
        match segment {
            Segment::Descendant(inner) => self.segment(inner),
            Segment::Selector(selector) => self.selector(selector),
            Segment::Selectors(selectors) => selectors.iter_mut().try_for_each(|selector| self.selector(selector)),
        }
    }

    fn selector(&self, selector: &mut Selector) -> Result<(), PathError> {
        match selector {
            Selector::Name(_) | Selector::Wildcard => Ok(()),
            Selector::Index(index) => self.index(*index),
            Selector::Slice(start, end, step) => {
                [start, end, step].into_iter().flatten().try_for_each(|index| self.index(*index))
            }
            Selector::Filter(filter) => self.filter(filter),
        }
    }

    fn index(&self, index: i64) -> Result<(), PathError> {
        if index.unsigned_abs() <= LARGEST_INDEX {
            return Ok(());
        }
        Err(problem(format!("no list has an item {index}"), self.range(&index.to_string()), "indices count from 0"))
    }

    fn filter(&self, filter: &mut Filter) -> Result<(), PathError> {
        match filter {
            Filter::Or(filters) | Filter::And(filters) => filters.iter_mut().try_for_each(|filter| self.filter(filter)),
            Filter::Atom(FilterAtom::Filter { expr, .. }) => self.filter(expr),
            Filter::Atom(FilterAtom::Comparison(comparison)) => self.comparison(comparison),
            Filter::Atom(FilterAtom::Test { expr, .. }) => match expr.as_mut() {
                Test::Function(function) => {
                    let (name, test) = match function.as_ref() {
                        TestFunction::Length(_) => ("length", "`length(@.name) > 3`"),
                        TestFunction::Count(_) => ("count", "`count(@.*) > 3`"),
                        TestFunction::Value(_) => ("value", "`value(@..name) == 'x'`"),
                        _ => return self.function(function),
                    };
                    let message = format!("what `{name}` gives must be compared");
                    Err(problem(message, self.range(name), &format!("write {test}")))
                }
                test => self.test(test),
            },
        }
    }

    fn comparison(&self, comparison: &mut Comparison) -> Result<(), PathError> {
        let (left, right) = match comparison {
            Comparison::Eq(left, right)
            | Comparison::Ne(left, right)
            | Comparison::Gt(left, right)
            | Comparison::Gte(left, right)
            | Comparison::Lt(left, right)
            | Comparison::Lte(left, right) => (left, right),
        };
        [left, right].into_iter().try_for_each(|side| match side {
            Comparable::Literal(Literal::Float(number)) => self.fraction(*number),
            Comparable::Literal(_) => Ok(()),
            Comparable::Function(function) => self.function(function),
            Comparable::SingularQuery(SingularQuery::Current(_)) => Ok(()),
            Comparable::SingularQuery(SingularQuery::Root(segments)) => {
                match segments.first() {
                    Some(SingularQuerySegment::Name(name)) if *name == self.first => drop(segments.remove(0)),
                    _ => return Err(self.elsewhere()),
                }
                Ok(())
            }
        })
    }

    /// A fraction is read as a float; one that has more digits than those hold cannot be compared with.
    fn fraction(&self, number: f64) -> Result<(), PathError> {
        let is_part = |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | 'e' | 'E' | '-' | '+');
        let words = self.text.split(|letter| !is_part(letter)).filter(|word| word.parse() == Ok(number));
        let longest = words.max_by_key(|word| word.len()).unwrap_or_default();
        let read = decimal::parse(&number.to_string());
        if decimal::parse(longest).is_none_or(|written| read == Some(written)) {
            return Ok(());
        }
        let hint = "test the items in an expression, with `compare(item.price, '1.5')`";
        Err(problem(format!("`{longest}` has more digits than a path can compare"), self.range(longest), hint))
    }

    fn test(&self, test: &mut Test) -> Result<(), PathError> {
        match test {
            Test::RelQuery(segments) => segments.iter_mut().try_for_each(|segment| self.segment(segment)),
            Test::AbsQuery(query) => {
                match query.segments.first() {
                    Some(Segment::Selector(Selector::Name(name))) if *name == self.first => drop(query.segments.remove(0)),
                    _ => return Err(self.elsewhere()),
                }
                query.segments.iter_mut().try_for_each(|segment| self.segment(segment))
            }
            Test::Function(function) => self.function(function),
        }
    }

    fn elsewhere(&self) -> PathError {
        let message = format!("a filter can look only at what `$.{}` holds", self.first);
        problem(
            message,
            self.range("$"),
            "test the items in an expression: `{{ body.lines | selectattr('id', 'eq', wanted) | list }}`",
        )
    }

    fn function(&self, function: &mut TestFunction) -> Result<(), PathError> {
        match function {
            TestFunction::Length(argument) => {
                let several = match argument.as_ref() {
                    FnArg::Test(test) => match test.as_ref() {
                        Test::RelQuery(segments) => !names_one_place(segments),
                        Test::AbsQuery(query) => !names_one_place(&query.segments),
                        Test::Function(_) => false,
                    },
                    FnArg::Literal(_) | FnArg::Filter(_) => false,
                };
                if several {
                    let hint = "write `length(@.name)`, or `count(@.*)` for how many match";
                    return Err(problem("`length` takes a path that names one place", self.range("length"), hint));
                }
                self.argument(argument)
            }
            TestFunction::Value(argument) | TestFunction::Count(argument) => self.argument(argument),
            TestFunction::Search(..) => Err(self.pattern("search")),
            TestFunction::Match(..) => Err(self.pattern("match")),
            TestFunction::Custom(name, _) => {
                let hint = "there is `length`, `count` and `value`";
                Err(problem(format!("there is no function `{name}` in a path"), self.range(name), hint))
            }
        }
    }

    fn pattern(&self, name: &str) -> PathError {
        let message = format!("`{name}` is not supported in a path: it would compile the expression for every item");
        problem(message, self.range(name), "test the items in an expression instead")
    }

    fn argument(&self, argument: &mut FnArg) -> Result<(), PathError> {
        match argument {
            FnArg::Literal(_) => Ok(()),
            FnArg::Test(test) => self.test(test),
            FnArg::Filter(filter) => self.filter(filter),
        }
    }
}

/// Whether segments can lead to one place only.
pub(super) fn names_one_place(segments: &[Segment]) -> bool {
    segments.iter().all(|segment| matches!(segment, Segment::Selector(Selector::Name(_) | Selector::Index(_))))
}

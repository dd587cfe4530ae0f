//! Decimals inside expressions: a number with its digits as they were sent. minijinja's operators know only floats, so they must
//! not touch one; our functions (`add`, `mul`, `round`, …) calculate exactly.

use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bigdecimal::BigDecimal;
use minijinja::value::{DynObject, Object, ObjectRepr};
use serde_json::Number;

/// The longest decimal that is calculated with, in digits, exponent counted: `1e999999999` must not become a billion digits.
const MOST_DIGITS: i64 = 1_000;

thread_local! {
    static TOUCHED: Cell<bool> = const { Cell::new(false) };
}

/// A number that is no integer, or one beyond 128 bits.
#[derive(Debug)]
pub(crate) struct Decimal(pub(crate) String);

impl Object for Decimal {
    /// minijinja asks what kind of thing an object is when an operator, a comparison or a filter that knows nothing of decimals
    /// gets hold of one. Its answer would be wrong without an error, so the asking is noted; see [`watch`].
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        TOUCHED.with(|touched| touched.set(true));
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.0.chars().any(|digit| ('1'..='9').contains(&digit))
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        let other = other.downcast_ref::<Self>()?;
        Some(parse(&self.0)?.cmp(&parse(&other.0)?))
    }

    fn render(self: &Arc<Self>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Runs an evaluation and says whether an operator touched a decimal in it.
pub(crate) fn watch<T>(evaluate: impl FnOnce() -> T) -> (T, bool) {
    TOUCHED.with(|touched| touched.set(false));
    let result = evaluate();
    (result, TOUCHED.with(|touched| touched.replace(false)))
}

/// Reads a decimal of bounded size, for calculating with.
pub(crate) fn parse(text: &str) -> Option<BigDecimal> {
    let text = text.trim();
    if text.len() > usize::try_from(MOST_DIGITS).ok()? {
        return None;
    }
    let exponent = text.find(['e', 'E']).map_or(Some(0), |at| text[at + 1..].parse::<i64>().ok())?;
    (exponent.abs() <= MOST_DIGITS).then(|| BigDecimal::from_str(text).ok())?
}

/// Writes a calculated decimal as a JSON number, without an exponent.
pub(crate) fn number(value: &BigDecimal) -> Option<Number> {
    value.to_plain_string().parse().ok()
}

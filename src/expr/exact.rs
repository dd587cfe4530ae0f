//! What an expression may not write because it could not be exact, or would swallow a hole: told from its text, with the way to
//! write it.

use std::ops::Range;

use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, UnaryOpKind};

use super::analysis::range;
use super::decimal;
use super::template::TemplateError;
use super::texts::compile_pattern;

/// The functions that take a fraction as it is written.
const EXACT: [&str; 10] = ["add", "sub", "mul", "div", "sum", "round", "scale", "compare", "abs", "float"];
const REGEX_MATCH: &str = "regex_match";

/// Whether a fraction may stand among the arguments of a function.
pub(super) fn takes_fractions(function: &str) -> bool {
    EXACT.contains(&function)
}

fn problem(message: impl Into<String>, range: Range<usize>, hint: impl Into<String>) -> Option<TemplateError> {
    Some(TemplateError { message: message.into(), range: Some(range), hint: Some(hint.into()) })
}

/// An operator that would lose digits or swallow a hole.
pub(super) fn operator(text: &str, operator: BinOpKind, left: &Expr<'_>, right: &Expr<'_>) -> Option<TemplateError> {
    let between = range(left.span()).end..range(right.span()).start;
    let sign = |sign: &str| {
        let found = text.get(between.clone()).and_then(|text| text.find(sign));
        found.map_or(between.clone(), |at| between.start + at..between.start + at + sign.len())
    };
    match operator {
        BinOpKind::Concat => {
            problem("`~` would write a missing value as nothing", sign("~"), "write `\"{{ a }}{{ b }}\"`, or `[a, b] | join`")
        }
        BinOpKind::Div => problem("`/` would lose digits", sign("/"), "write `div(a, b, 2)`, or `//` for whole numbers"),
        BinOpKind::Pow if !matches!(right, Expr::Const(power) if power.value.is_integer()) => {
            problem("`**` takes a whole number that is written out", sign("**"), "write `a ** 2`")
        }
        _ => None,
    }
}

/// A number with a point or an exponent.
pub(super) fn is_fraction(expression: &Expr<'_>) -> bool {
    match expression {
        Expr::Const(value) => value.value.is_number() && !value.value.is_integer(),
        Expr::UnaryOp(unary) => matches!(unary.op, UnaryOpKind::Neg) && is_fraction(&unary.expr),
        _ => false,
    }
}

/// A fraction outside the exact functions. The engine reads fractions as floats, which it would compare with a decimal of the body
/// without a word and wrongly.
pub(super) fn fraction(text: &str, expression: &Expr<'_>) -> Option<TemplateError> {
    let at = range(expression.span());
    let written = text.get(at.clone()).unwrap_or_default();
    let hint = format!("write `compare(a, {written})`, `add`, `sub`, `mul`, `div(a, {written}, 2)`, or `'{written}' | float`");
    is_fraction(expression).then(|| problem(format!("`{written}` would lose digits here"), at, hint))?
}

/// A fraction given to an exact function that has more digits than the engine reads.
pub(super) fn argument(text: &str, argument: &Expr<'_>) -> Option<TemplateError> {
    let at = range(argument.span());
    let written = text.get(at.clone()).unwrap_or_default().replace(['_', ' '], "");
    let number = match argument {
        Expr::UnaryOp(unary) => unary.expr.as_const().map(|value| format!("-{value}")),
        other => other.as_const().map(|value| value.to_string()),
    };
    if decimal::parse(&written).is_some_and(|written| number.and_then(|number| decimal::parse(&number)) == Some(written)) {
        return None;
    }
    let message = format!("`{written}` has more digits than a number in an expression holds");
    problem(message, at, format!("write it as text: `'{written}'`"))
}

/// A pattern that is written out and cannot be read.
pub(super) fn pattern(function: &str, pattern: Option<&CallArg<'_>>) -> Option<TemplateError> {
    let (REGEX_MATCH, Some(CallArg::Pos(Expr::Const(pattern)))) = (function, pattern) else { return None };
    let reason = compile_pattern(pattern.value.as_str()?).err()?;
    problem(format!("the pattern cannot be read: {reason}"), range(pattern.span()), "it is a regular expression")
}

//! The functions that calculate, exactly, with numbers of any size. Each is both a function and a filter.

use bigdecimal::num_bigint::{BigInt, Sign};
use bigdecimal::{BigDecimal, RoundingMode, Zero as _};
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind};

use super::decimal;
use super::json_value::{from_json, to_json};

/// Adds them to an environment.
pub(crate) fn register(environment: &mut Environment<'static>) {
    macro_rules! both {
        ($($name:literal: $function:expr),+ $(,)?) => { $(
            environment.add_function($name, $function);
            environment.add_filter($name, $function);
        )+ };
    }
    both! {
        "add": add, "sub": sub, "mul": mul, "div": div, "sum": sum, "round": round, "scale": scale, "compare": compare,
    };
}

/// A problem that says all there is to say: it begins with the function in backticks.
pub(super) fn refuse(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// The number that a value is or that its text says.
pub(super) fn number_of(value: &Value, function: &str) -> Result<BigDecimal, Error> {
    let text = match to_json(value) {
        Some(serde_json::Value::Number(number)) => number.to_string(),
        Some(serde_json::Value::String(text)) => text,
        _ => return Err(refuse(format!("`{function}` calculates with numbers; got {}", value.kind()))),
    };
    decimal::parse(&text).ok_or_else(|| refuse(format!("`{function}` calculates with numbers; `{text}` is none")))
}

/// A calculated number as expressions see it.
pub(super) fn value_of(number: &BigDecimal) -> Result<Value, Error> {
    let number = decimal::number(number).ok_or_else(|| refuse("`the result` is no number"))?;
    Ok(from_json(&serde_json::Value::Number(number)))
}

/// `add(a, b)`: a + b, exactly.
fn add(left: Value, right: Value) -> Result<Value, Error> {
    value_of(&(number_of(&left, "add")? + number_of(&right, "add")?))
}

/// `sub(a, b)`: a - b, exactly.
fn sub(left: Value, right: Value) -> Result<Value, Error> {
    value_of(&(number_of(&left, "sub")? - number_of(&right, "sub")?))
}

/// `mul(a, b)`: a × b, exactly.
fn mul(left: Value, right: Value) -> Result<Value, Error> {
    value_of(&(number_of(&left, "mul")? * number_of(&right, "mul")?))
}

/// `div(a, b, 2)`: a / b, rounded half away from zero to that many places.
fn div(left: Value, right: Value, places: i64) -> Result<Value, Error> {
    let (over, over_scale) = number_of(&left, "div")?.into_bigint_and_exponent();
    let (under, under_scale) = number_of(&right, "div")?.into_bigint_and_exponent();
    if under.is_zero() {
        return Err(refuse("`div` cannot divide by 0"));
    }
    let places = places.clamp(-100, 100);
    let shift = places + under_scale - over_scale;
    let power = BigInt::from(10).pow(u32::try_from(shift.unsigned_abs()).unwrap_or(u32::MAX));
    let (over, under) = if shift >= 0 { (over * power, under) } else { (over, under * power) };
    let negative = (over.sign() == Sign::Minus) != (under.sign() == Sign::Minus);
    let (over, under) = (over.magnitude(), under.magnitude());
    let rounded = BigInt::from((over * 2_u32 + under) / (under * 2_u32));
    value_of(&BigDecimal::new(if negative { -rounded } else { rounded }, places).with_scale(places.max(0)))
}

/// `sum(list)`: all added up, exactly.
fn sum(list: Value) -> Result<Value, Error> {
    let mut total = BigDecimal::from(0);
    for item in list.try_iter()? {
        total += number_of(&item, "sum")?;
    }
    value_of(&total)
}

/// `round(x)`, `round(x, 2)`: half away from zero, to that many places.
fn round(value: Value, places: Option<i64>) -> Result<Value, Error> {
    let places = places.unwrap_or(0).clamp(-100, 100);
    value_of(&number_of(&value, "round")?.with_scale_round(places, RoundingMode::HalfUp))
}

/// `scale(x, -2)`: the decimal point moved that many places, so that 1999 becomes 19.99.
fn scale(value: Value, places: i64) -> Result<Value, Error> {
    let (digits, exponent) = number_of(&value, "scale")?.into_bigint_and_exponent();
    value_of(&BigDecimal::new(digits, exponent - places.clamp(-100, 100)))
}

/// `compare(a, b)`: -1, 0 or 1.
fn compare(left: Value, right: Value) -> Result<i64, Error> {
    Ok(number_of(&left, "compare")?.cmp(&number_of(&right, "compare")?) as i64)
}

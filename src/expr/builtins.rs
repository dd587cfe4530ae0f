//! What the engine has of its own and we have mended: its text filters would write a missing or null value into text, its number
//! filters and tests would take a decimal for a float, and `safe` would let a value past the encoding of a URL.

use bigdecimal::{BigDecimal, RoundingMode, Zero as _};
use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, Error, State, filters};

use super::decimal::Decimal;
use super::engine::text_of;
use super::functions::{number_of, refuse, value_of};
use super::texts::{is_hole, of_text};

/// Replaces and removes them.
pub(crate) fn register(environment: &mut Environment<'static>) {
    environment.remove_global("debug");
    for name in ["safe", "escape", "e", "pprint"] {
        environment.remove_filter(name);
    }
    for name in ["safe", "escaped", "sameas", "filter", "test"] {
        environment.remove_test(name);
    }
    texts(environment);
    numbers(environment);
    tests(environment);
}

/// A filter that changes a text: its name, and how.
type Change = (&'static str, fn(&str) -> String);

fn texts(environment: &mut Environment<'static>) {
    let changes: [Change; 4] = [
        ("upper", str::to_uppercase),
        ("lower", str::to_lowercase),
        ("capitalize", capitalized),
        ("title", |text| filters::title(text.into())),
    ];
    for (name, change) in changes {
        environment.add_filter(name, move |value: Value| of_text(&value, |text| like(&value, change(text))));
    }
    environment.add_filter("string", |value: Value| of_text(&value, |text| like(&value, text.to_owned())));
    environment.add_filter("trim", |value: Value, letters: Option<&str>| {
        of_text(&value, |text| {
            let trimmed = letters.map_or(text.trim(), |letters| text.trim_matches(|letter| letters.contains(letter)));
            like(&value, trimmed.to_owned())
        })
    });
    environment.add_filter("replace", |value: Value, from: Value, to: Value| -> Result<Value, Error> {
        let (from, to) = (text_of(&from)?, text_of(&to)?);
        of_text(&value, |text| Value::from(text.replace(&from, &to)))
    });
    environment.add_filter("urlencode", |value: Value| -> Result<Value, Error> {
        if has_parts(&value) { filters::urlencode(&value).map(Value::from) } else { of_text(&value, url_encoded) }
    });
    environment.add_filter("split", |value: Value, by: Option<&str>, most: Option<i64>| -> Result<Value, Error> {
        if is_hole(&value) {
            return Ok(value);
        }
        filters::split(&Value::from(text_of(&value)?), by.map(Into::into), most)
    });
    environment.add_filter("lines", |value: Value| -> Result<Value, Error> {
        if is_hole(&value) { Ok(value) } else { filters::lines(&Value::from(text_of(&value)?)) }
    });
    environment.add_filter("join", join);
    let builtin = Value::from_function(filters::indent);
    environment.add_filter("indent", move |state: &mut State<'_, '_>, value: Value, options: Rest<Value>| {
        if is_hole(&value) {
            return Ok(value);
        }
        let all: Vec<Value> = std::iter::once(text_of(&value)?.into()).chain(options.iter().cloned()).collect();
        builtin.call(state, &all)
    });
    format(environment);
}

/// What has been encoded for a URL stays so.
fn like(value: &Value, text: String) -> Value {
    if value.is_safe() { Value::from_safe_string(text) } else { Value::from(text) }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters.as_str().to_lowercase().chars()).collect()).unwrap_or_default()
}

fn url_encoded(text: &str) -> Value {
    filters::urlencode(&Value::from(text)).map_or(Value::UNDEFINED, Value::from)
}

/// Asked in a way that does not count as touching a decimal.
fn has_parts(value: &Value) -> bool {
    value.downcast_object_ref::<Decimal>().is_none()
        && matches!(value.kind(), ValueKind::Map | ValueKind::Seq | ValueKind::Iterable)
}

/// `[a, b] | join(', ')`: a missing or null item is an error.
fn join(value: Value, by: Option<&str>, keywords: Kwargs) -> Result<Value, Error> {
    let attribute = keywords.get::<Option<&str>>("attribute")?;
    keywords.assert_all_used()?;
    if is_hole(&value) {
        return Ok(value);
    }
    let mut texts = Vec::new();
    for item in value.try_iter()? {
        let item = attribute.map_or(Ok(item.clone()), |name| item.get_attr(name))?;
        texts.push(text_of(&item).map_err(|_| refuse("`join` has an item that is missing or null"))?);
    }
    Ok(Value::from(texts.join(by.unwrap_or_default())))
}

/// `'%03d' | format(number)`: a missing or null value is an error, and a decimal goes in as text only.
fn format(environment: &mut Environment<'static>) {
    let builtin = Value::from_function(filters::format);
    environment.add_filter("format", move |state: &mut State<'_, '_>, pattern: &str, values: Rest<Value>| {
        let mut all = vec![Value::from(pattern)];
        for value in values.iter() {
            if is_hole(value) {
                return Err(refuse("`format` has a value that is missing or null"));
            }
            all.push(match value.downcast_object_ref::<Decimal>() {
                Some(decimal) => Value::from(decimal.0.clone()),
                None => value.clone(),
            });
        }
        builtin.call(state, &all)
    });
}

fn numbers(environment: &mut Environment<'static>) {
    environment.add_filter("abs", |value: Value| value_of(&number_of(&value, "abs")?.abs()));
    environment.add_filter(
        "float",
        |value: Value| {
            if value.is_undefined() { Ok(value) } else { value_of(&number_of(&value, "float")?) }
        },
    );
    environment.add_filter("int", |value: Value| -> Result<Value, Error> {
        match value.downcast_object_ref::<Decimal>() {
            None if value.kind() == ValueKind::Bool => Ok(Value::from(i64::from(value.is_true()))),
            None if is_hole(&value) => Ok(value),
            _ => value_of(&number_of(&value, "int")?.with_scale_round(0, RoundingMode::Down)),
        }
    });
}

fn tests(environment: &mut Environment<'static>) {
    environment.add_test("string", |value: &Value| value.as_str().is_some());
    environment.add_test("boolean", |value: &Value| decimal(value).is_none() && value.kind() == ValueKind::Bool);
    environment.add_test("mapping", |value: &Value| has_parts(value) && value.kind() == ValueKind::Map);
    environment.add_test("sequence", |value: &Value| has_parts(value) && value.kind() == ValueKind::Seq);
    environment.add_test("iterable", |value: &Value| decimal(value).is_none() && value.try_iter().is_ok());
    let is_whole = |value: &Value| value.is_integer() || decimal(value).is_some_and(|number| number.is_integer());
    environment.add_test("number", |value: &Value| value.is_number() || decimal(value).is_some());
    environment.add_test("integer", move |value: &Value| is_whole(value));
    environment.add_test("int", move |value: &Value| is_whole(value));
    environment.add_test("float", move |value: &Value| (value.is_number() || decimal(value).is_some()) && !is_whole(value));
    environment.add_test("odd", |value: &Value| remainder(value, &Value::from(2)).is_some_and(|rest| !rest.is_zero()));
    environment.add_test("even", |value: &Value| remainder(value, &Value::from(2)).is_some_and(|rest| rest.is_zero()));
    environment.add_test("divisibleby", |value: &Value, by: &Value| remainder(value, by).is_some_and(|rest| rest.is_zero()));
    environment.add_test("startingwith", |value: Value, start: &str| {
        !is_hole(&value) && text_of(&value).is_ok_and(|text| text.starts_with(start))
    });
    environment.add_test("endingwith", |value: Value, end: &str| {
        !is_hole(&value) && text_of(&value).is_ok_and(|text| text.ends_with(end))
    });
}

fn decimal(value: &Value) -> Option<BigDecimal> {
    value.downcast_object_ref::<Decimal>().and_then(|decimal| super::decimal::parse(&decimal.0))
}

/// What is left of dividing one whole number by another.
fn remainder(value: &Value, by: &Value) -> Option<BigDecimal> {
    let whole = |value: &Value| {
        let number = match decimal(value) {
            Some(number) => number,
            None if value.is_integer() => super::decimal::parse(&value.to_string())?,
            None => return None,
        };
        number.is_integer().then_some(number)
    };
    let (number, by) = (whole(value)?, whole(by)?);
    (!by.is_zero()).then(|| number % by)
}

//! The functions and filters that expressions have beyond minijinja's own. Numbers are calculated exactly.

use base64::Engine as _;
use bigdecimal::{BigDecimal, RoundingMode};
use hmac::{KeyInit as _, Mac as _};
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind};
use sha2::Digest as _;

use super::decimal;
use super::json_value::{from_json, to_json};

/// Adds them to an environment; each is both a function and a filter.
pub(crate) fn register(environment: &mut Environment<'static>) {
    macro_rules! both {
        ($($name:literal: $function:expr),+ $(,)?) => { $(
            environment.add_function($name, $function);
            environment.add_filter($name, $function);
        )+ };
    }
    both! {
        "add": add, "sub": sub, "mul": mul, "sum": sum, "round": round, "scale": scale, "compare": compare,
        "words": words, "from_json": json_of_text, "sha256": sha256, "hmac": hmac, "hex": hex_of, "base64": base64_of,
    };
    environment.add_filter("tojson", to_json_text);
    environment.remove_global("debug");
}

fn refuse(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

fn number_of(value: &Value, function: &str) -> Result<BigDecimal, Error> {
    let text = match to_json(value) {
        Some(serde_json::Value::Number(number)) => number.to_string(),
        Some(serde_json::Value::String(text)) => text,
        _ => return Err(refuse(format!("`{function}` calculates with numbers; got {}", value.kind()))),
    };
    decimal::parse(&text).ok_or_else(|| refuse(format!("`{function}` calculates with numbers; `{text}` is none")))
}

fn value_of(number: &BigDecimal) -> Result<Value, Error> {
    let number = decimal::number(number).ok_or_else(|| refuse("the result is no number"))?;
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

/// `words(50)`: the first whole words of at most 50 letters; `words(50, part=2)`: the next ones. A word longer than a part is cut.
fn words(text: &str, most: usize, keywords: minijinja::value::Kwargs) -> Result<String, Error> {
    let part = keywords.get::<Option<usize>>("part")?.unwrap_or(1);
    keywords.assert_all_used()?;
    if most == 0 || part == 0 {
        return Err(refuse("`words` counts letters and parts from 1"));
    }
    let mut parts = vec![String::new()];
    for word in text.split_whitespace() {
        for piece in word.chars().collect::<Vec<_>>().chunks(most) {
            let needed = piece.len() + usize::from(parts.last().is_some_and(|last| !last.is_empty()));
            if parts.last().map_or(0, |last| last.chars().count()) + needed > most {
                parts.push(String::new());
            }
            if let Some(last) = parts.last_mut() {
                if !last.is_empty() {
                    last.push(' ');
                }
                last.extend(piece);
            }
        }
    }
    Ok(parts.get(part - 1).cloned().unwrap_or_default())
}

/// `from_json(text)`: the value of a JSON text.
fn json_of_text(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map(|json| from_json(&json)).map_err(|_| refuse("`from_json` needs a JSON text"))
}

fn to_json_text(value: Value) -> Result<String, Error> {
    to_json(&value).map(|json| json.to_string()).ok_or_else(|| refuse("`tojson` of a missing value"))
}

fn bytes_of(value: &Value) -> Vec<u8> {
    value.as_bytes().map_or_else(|| value.to_string().into_bytes(), <[u8]>::to_vec)
}

/// `x | sha256 | hex`.
fn sha256(value: Value) -> Value {
    Value::from_bytes(sha2::Sha256::digest(bytes_of(&value)).to_vec())
}

/// `x | hmac('sha256', key) | hex`.
fn hmac(value: Value, algorithm: &str, key: Value) -> Result<Value, Error> {
    let (bytes, key) = (bytes_of(&value), bytes_of(&key));
    macro_rules! with {
        ($hash:ty) => {{
            let mut mac = hmac::Hmac::<$hash>::new_from_slice(&key).map_err(|_| refuse("`hmac` needs a key"))?;
            mac.update(&bytes);
            mac.finalize().into_bytes().to_vec()
        }};
    }
    Ok(Value::from_bytes(match algorithm {
        "sha256" => with!(sha2::Sha256),
        "sha384" => with!(sha2::Sha384),
        "sha512" => with!(sha2::Sha512),
        other => return Err(refuse(format!("`hmac` knows `sha256`, `sha384` and `sha512`; got `{other}`"))),
    }))
}

/// `bytes | hex`.
fn hex_of(value: Value) -> String {
    hex::encode(bytes_of(&value))
}

/// `bytes | base64`.
fn base64_of(value: Value) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes_of(&value))
}

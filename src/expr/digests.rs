//! The functions that make bytes, or texts of bytes: digests, encodings and JSON. A missing or null input is always an error:
//! nobody means the digest of nothing.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use hmac::{KeyInit as _, Mac as _};
use minijinja::value::Value;
use minijinja::{Environment, Error};
use sha2::Digest as _;

use super::engine::text_of;
use super::functions::refuse;
use super::json_value::{from_json, to_json};
use super::texts::is_hole;

/// Adds them to an environment; each is both a function and a filter.
pub(crate) fn register(environment: &mut Environment<'static>) {
    macro_rules! both {
        ($($name:literal: $function:expr),+ $(,)?) => { $(
            environment.add_function($name, $function);
            environment.add_filter($name, $function);
        )+ };
    }
    both! {
        "sha256": sha256, "hmac": hmac, "hex": hex_of, "base64": base64_of, "from_base64": from_base64,
        "from_json": from_json_text,
    };
    environment.add_filter("tojson", to_json_text);
}

fn bytes_of(value: &Value, function: &str) -> Result<Vec<u8>, Error> {
    match value.as_bytes() {
        Some(bytes) => Ok(bytes.to_vec()),
        None if is_hole(value) => Err(refuse(format!("`{function}` of a value that is missing or null"))),
        None => text_of(value).map(String::into_bytes),
    }
}

/// `x | sha256 | hex`.
fn sha256(value: Value) -> Result<Value, Error> {
    bytes_of(&value, "sha256").map(|bytes| Value::from_bytes(sha2::Sha256::digest(bytes).to_vec()))
}

/// `x | hmac('sha256', key) | hex`.
fn hmac(value: Value, algorithm: &str, key: Value) -> Result<Value, Error> {
    let (bytes, key) = (bytes_of(&value, "hmac")?, bytes_of(&key, "hmac")?);
    macro_rules! with {
        ($hash:ty) => {{
            let mut mac = hmac::Hmac::<$hash>::new_from_slice(&key).map_err(|_| refuse("`hmac` needs a key"))?;
            mac.update(&bytes);
            mac.finalize().into_bytes().to_vec()
        }};
    }
    Ok(Value::from_bytes(match algorithm {
        "sha1" => with!(sha1::Sha1),
        "sha256" => with!(sha2::Sha256),
        "sha384" => with!(sha2::Sha384),
        "sha512" => with!(sha2::Sha512),
        other => return Err(refuse(format!("`hmac` knows `sha1`, `sha256`, `sha384` and `sha512`; got `{other}`"))),
    }))
}

/// `bytes | hex`.
fn hex_of(value: Value) -> Result<String, Error> {
    bytes_of(&value, "hex").map(hex::encode)
}

/// `bytes | base64`.
fn base64_of(value: Value) -> Result<String, Error> {
    bytes_of(&value, "base64").map(|bytes| STANDARD.encode(bytes))
}

/// `text | from_base64`: with or without padding, of either alphabet; a text when it is UTF-8, else bytes.
fn from_base64(value: Value) -> Result<Value, Error> {
    let text = bytes_of(&value, "from_base64")?;
    let engines = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD];
    let decoded = engines.iter().find_map(|engine| engine.decode(text.trim_ascii()).ok());
    let bytes = decoded.ok_or_else(|| refuse("`from_base64` needs base64"))?;
    Ok(String::from_utf8(bytes).map_or_else(|error| Value::from_bytes(error.into_bytes()), Value::from))
}

/// `from_json(text)`: the value of a JSON text.
fn from_json_text(value: Value) -> Result<Value, Error> {
    let bytes = bytes_of(&value, "from_json")?;
    serde_json::from_slice(&bytes).map(|json| from_json(&json)).map_err(|_| refuse("`from_json` needs a JSON text"))
}

fn to_json_text(value: Value) -> Result<String, Error> {
    to_json(&value).map(|json| json.to_string()).ok_or_else(|| refuse("`tojson` of a missing value"))
}

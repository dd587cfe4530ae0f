//! Values that statements are given. There are few kinds, and the absence of a value has a kind too, since PostgreSQL asks.

use crate::clock::Timestamp;

/// A value, or the absence of one of its kind.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Whole numbers, yes and no as 1 and 0, and moments in microseconds.
    Integer(Option<i64>),
    /// Text.
    Text(Option<String>),
    /// Bytes.
    Bytes(Option<Vec<u8>>),
    /// A list of whole numbers.
    Integers(Vec<i64>),
}

/// The values of one row, in the order of its columns.
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$($crate::store::sql::Value::from($value)),*] };
}
pub(crate) use values;

macro_rules! from {
    ($($kind:ident <- $($type:ty: $value:ident => $made:expr),+;)*) => {
        $($(
            impl From<$type> for Value {
                fn from($value: $type) -> Self {
                    Self::$kind(Some($made))
                }
            }
            impl From<Option<$type>> for Value {
                fn from(value: Option<$type>) -> Self {
                    Self::$kind(value.map(|$value| $made))
                }
            }
        )+)*
    };
}

from! {
    Integer <-
        i64: value => value,
        u32: value => i64::from(value),
        bool: value => i64::from(value),
        Timestamp: value => value.as_micros();
    Text <-
        String: value => value,
        &str: value => value.to_owned(),
        &String: value => value.clone();
    Bytes <-
        Vec<u8>: value => value,
        &[u8]: value => value.to_vec(),
        &Vec<u8>: value => value.clone(),
        [u8; 16]: value => value.to_vec(),
        [u8; 32]: value => value.to_vec(),
        &[u8; 16]: value => value.to_vec(),
        &[u8; 32]: value => value.to_vec();
}

impl From<&Option<String>> for Value {
    fn from(value: &Option<String>) -> Self {
        Self::Text(value.clone())
    }
}

impl From<Vec<i64>> for Value {
    fn from(value: Vec<i64>) -> Self {
        Self::Integers(value)
    }
}

/// `[1,2]`, which SQLite reads as a table.
pub(super) fn json_list(numbers: &[i64]) -> String {
    let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
    format!("[{}]", texts.join(","))
}

//! Statements for both engines: one text where they agree, two side by side where they do not. The rest of `store` knows no driver.

mod column;
mod connection;
mod many;
mod query;
mod readers;
mod value;

pub(crate) use column::{Row, fixed, micros, moment};
pub(crate) use connection::{Begun, Connection};
pub(crate) use many::Many;
pub(crate) use query::{Query, Texts, query};
pub(crate) use readers::{READ_LIMIT, Readers};
pub(crate) use value::{Value, values};

/// The texts of a statement that reads a list: `$text` is a macro that is handed, as literals, what stands for a list of numbers
/// at `$1` (a table with the column `value`).
macro_rules! with_numbers {
    ($text:ident) => {
        $crate::store::sql::Texts { sqlite: $text!("json_each($1)"), postgres: $text!("(select unnest($1::bigint[]) as value)") }
    };
}
pub(crate) use with_numbers;

/// The texts of a statement that reads which versions run: `$text` is a macro that is handed, as literals, what stands for the
/// table of versions at `$1` (with the columns `key`, a source, and `value`) and for the admission hash in `active.value`.
macro_rules! with_versions {
    ($text:ident) => {
        $crate::store::sql::Texts {
            sqlite: $text!("json_each($1) active", "unhex(active.value)"),
            postgres: $text!("jsonb_each_text($1::jsonb) active", "decode(active.value, 'hex')"),
        }
    };
}
pub(crate) use with_versions;

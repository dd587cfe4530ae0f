//! What a live table looks like, as plain data, and how its columns and indexes are found by name.

use crate::model::change::ValueType;

use super::dialect::Dialect;

/// What a column takes, decided by its declared type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ColumnKind {
    /// Text as it is.
    Text,
    /// Whole numbers of 64 bits.
    Integer,
    /// Decimals with their digits as they were sent.
    Decimal,
    /// Numbers that the engine keeps as 64-bit integers or floats.
    Numeric,
    /// 64-bit floats.
    Real,
    /// True or false.
    Boolean,
    /// `YYYY-MM-DD`.
    Date,
    /// `HH:MM:SS` with any fraction.
    Time,
    /// RFC 3339 in UTC, or a local date and time.
    Timestamp,
    /// Hyphenated, lower case.
    Uuid,
    /// Compact JSON text.
    Json,
    /// Bytes; other values as they are.
    Bytes,
    /// A list of texts or numbers: PostgreSQL's arrays.
    List,
    /// Nothing is known: values as they are.
    Unknown,
}

impl From<ValueType> for ColumnKind {
    fn from(declared: ValueType) -> Self {
        match declared {
            ValueType::Text => Self::Text,
            ValueType::Integer => Self::Integer,
            ValueType::Decimal => Self::Decimal,
            ValueType::Boolean => Self::Boolean,
            ValueType::Date => Self::Date,
            ValueType::Time => Self::Time,
            ValueType::Timestamp => Self::Timestamp,
            ValueType::Uuid => Self::Uuid,
            ValueType::Json => Self::Json,
            ValueType::Bytes => Self::Bytes,
        }
    }
}

/// A column of a live table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ColumnSchema {
    /// Its name as the database spells it.
    pub name: String,
    /// Its type as it was declared; may be empty.
    pub declared: String,
    /// What that means.
    pub kind: ColumnKind,
    /// Whether the engine turns text that looks like a number into one.
    pub converts_numbers: bool,
    /// Whether it refuses NULL.
    pub not_null: bool,
    /// The SQL text of its default.
    pub default: Option<String>,
    /// Its position in the primary key, from 1.
    pub primary_key: Option<u32>,
    /// Whether the database computes it.
    pub generated: bool,
    /// The type that a value is cast to on its way in (PostgreSQL) or compared as (MySQL); empty where none is needed.
    pub cast: String,
    /// Whether it takes different texts for equal: a collation that folds case, accents or trailing spaces.
    pub folds: bool,
    /// Whether it does so for more than spaces at the end.
    pub folds_letters: bool,
    /// What fits into it, beyond its kind.
    pub limits: Limits,
}

/// What fits into a column beyond its kind, so that nothing is cut or rounded silently; nothing where the engine sets no limit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// The most characters of a text.
    pub characters: Option<u64>,
    /// The smallest and the largest whole number.
    pub whole: Option<(i128, i128)>,
    /// Digits of a decimal: in all, and behind the point.
    pub digits: Option<(u32, u32)>,
    /// Digits of a second's fraction; more are cut.
    pub fraction: Option<u8>,
    /// The words of an enumeration.
    pub words: Vec<String>,
    /// Whether a moment is kept (with an offset) or a local date and time (in UTC); none keeps the text.
    pub zoned: Option<bool>,
    /// Whether texts may not hold the character U+0000.
    pub refuses_nul: bool,
}

/// A unique index, a unique constraint or the primary key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UniqueIndex {
    /// The index's name; `primary key` and `unique constraint` for what has none of its own.
    pub name: String,
    /// Its columns in order.
    pub columns: Vec<String>,
    /// Whether it covers every row by plain columns: neither partial nor on an expression.
    pub whole: bool,
}

/// A live table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableSchema {
    /// The schema that it is in: `main`, `public`, the name of a MySQL database.
    pub schema: String,
    /// Whether it is found without naming its schema.
    pub in_default_schema: bool,
    /// Its name as the database spells it, without a schema.
    pub name: String,
    /// Its columns in order.
    pub columns: Vec<ColumnSchema>,
    /// What keeps its rows apart.
    pub unique_indexes: Vec<UniqueIndex>,
    /// Why nothing may be written to it, if so: an engine without transactions.
    pub refused: Option<String>,
}

impl TableSchema {
    /// The column of that name.
    pub fn column(&self, dialect: Dialect, name: &str) -> Option<&ColumnSchema> {
        let exact = self.columns.iter().find(|column| column.name == name);
        exact.or_else(|| self.columns.iter().find(|column| dialect.same_name(&column.name, name)))
    }

    /// The unique index that covers exactly these columns, in any order.
    pub fn unique_index<'a>(
        &self,
        dialect: Dialect,
        key: impl ExactSizeIterator<Item = &'a str> + Clone,
    ) -> Option<&UniqueIndex> {
        let covers = |index: &UniqueIndex| {
            index.columns.len() == key.len()
                && key.clone().all(|name| index.columns.iter().any(|column| dialect.same_name(column, name)))
        };
        self.unique_indexes.iter().find(|index| index.whole && !index.columns.is_empty() && covers(index))
    }

    /// The columns of the primary key in its order.
    pub fn primary_key(&self) -> Vec<&str> {
        let mut key: Vec<_> = self.columns.iter().filter(|column| column.primary_key.is_some()).collect();
        key.sort_by_key(|column| column.primary_key);
        key.into_iter().map(|column| column.name.as_str()).collect()
    }
}

/// `names` in backticks, those most like `wanted` first, at most twelve.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>, wanted: &str) -> String {
    let mut names: Vec<_> = names.collect();
    names.sort_by(|one, other| strsim::jaro_winkler(other, wanted).total_cmp(&strsim::jaro_winkler(one, wanted)));
    let more = if names.len() > 12 { ", …" } else { "" };
    let shown: Vec<_> = names.iter().take(12).map(|name| format!("`{name}`")).collect();
    format!("{}{more}", shown.join(", "))
}

//! All in which the engines differ when SQL text is made or a declared type is read, side by side.

use super::inspect::{ColumnKind, ColumnSchema, TableSchema};
use super::stored::Stored;
use super::{ddl_types, sqlite_schema};

/// An engine's way of writing SQL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// SQLite 3.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
}

/// Stands for a statement's parameter in what a dialect writes, until its position is known; no identifier can hold it.
pub(super) const PARAMETER: char = '\0';

/// A column as far as statements need to know it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Slot {
    /// Its name as the database spells it.
    pub(super) name: String,
    /// What it takes.
    pub(super) kind: ColumnKind,
    /// See [`ColumnSchema::cast`].
    pub(super) cast: String,
    /// See [`ColumnSchema::folds`].
    pub(super) folds: bool,
    /// Whether it keeps moments, not local times.
    pub(super) zoned: bool,
}

impl Slot {
    /// A column of which only the name is known.
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), kind: ColumnKind::Unknown, cast: String::new(), folds: false, zoned: false }
    }
}

impl From<&ColumnSchema> for Slot {
    fn from(column: &ColumnSchema) -> Self {
        Self {
            name: column.name.clone(),
            kind: column.kind,
            cast: column.cast.clone(),
            folds: column.folds,
            zoned: column.limits.zoned == Some(true),
        }
    }
}

impl Dialect {
    /// As it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
        }
    }

    /// The dialect of a database with this URL.
    pub fn of_url(url: &str) -> Option<Self> {
        match url.split(':').next()? {
            "sqlite" => Some(Self::Sqlite),
            "postgres" | "postgresql" => Some(Self::Postgres),
            "mysql" | "mariadb" => Some(Self::Mysql),
            _ => None,
        }
    }

    /// One identifier, safe to stand in SQL whatever is in it.
    pub fn quote(self, identifier: &str) -> String {
        let identifier = identifier.replace(PARAMETER, "\u{fffd}");
        match self {
            Self::Sqlite | Self::Postgres => format!("\"{}\"", identifier.replace('"', "\"\"")),
            Self::Mysql => format!("`{}`", identifier.replace('`', "``")),
        }
    }

    /// A table's name as a route file writes it (`jobs`, `main.jobs`), quoted.
    pub fn quote_table(self, table: &str) -> String {
        match split_schema(table) {
            (Some(schema), name) => format!("{}.{}", self.quote(schema), self.quote(name)),
            (None, name) => self.quote(name),
        }
    }

    /// The parameter with this position, from 1. MySQL counts them itself, in the order of the text.
    pub fn parameter(self, position: usize) -> String {
        match self {
            Self::Sqlite => format!("?{position}"),
            Self::Postgres => format!("${position}"),
            Self::Mysql => "?".to_owned(),
        }
    }

    /// The start of an insert that reports every conflict, whatever the table says should happen on one.
    pub fn insert_into(self) -> &'static str {
        match self {
            Self::Sqlite => "insert or abort into",
            Self::Postgres | Self::Mysql => "insert into",
        }
    }

    /// What follows the table's name when a row takes all defaults.
    pub fn default_values(self) -> &'static str {
        match self {
            Self::Sqlite | Self::Postgres => "default values",
            Self::Mysql => "() values ()",
        }
    }

    /// The start of an update that reports every conflict.
    pub fn update(self) -> &'static str {
        match self {
            Self::Sqlite => "update or abort",
            Self::Postgres | Self::Mysql => "update",
        }
    }

    /// Whether an insert can name the one unique index whose conflict makes an update of it. MySQL's form takes any index, and
    /// would swallow a row that another one refuses; there, rows are looked up first and inserted plainly.
    pub fn names_conflict(self) -> bool {
        match self {
            Self::Sqlite | Self::Postgres => true,
            Self::Mysql => false,
        }
    }

    /// The end of a query whose rows nobody else may change until the transaction ends.
    pub fn locking(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres | Self::Mysql => " for update",
        }
    }

    /// A parameter as the value of a column. PostgreSQL gets texts and casts them itself: that covers every type, and gives NULLs one.
    pub(super) fn value(self, slot: &Slot) -> String {
        match self {
            Self::Sqlite | Self::Mysql => PARAMETER.to_string(),
            Self::Postgres if slot.cast.is_empty() => PARAMETER.to_string(),
            Self::Postgres if slot.kind == ColumnKind::List => format!(
                "(case when {PARAMETER}::text is not null then array(select jsonb_array_elements_text({PARAMETER}::text::jsonb)) \
                 end)::{}",
                slot.cast
            ),
            Self::Postgres => format!("{PARAMETER}::text::{}", slot.cast),
        }
    }

    /// A value as the engine takes it: MySQL wants moments without their `Z`, its session is in UTC.
    pub(super) fn sent(self, slot: &Slot, value: Stored) -> Stored {
        match (self, slot.kind, value) {
            (Self::Mysql, ColumnKind::Timestamp, Stored::Text(text)) => {
                Stored::Text(text.strip_suffix('Z').unwrap_or(&text).replacen('T', " ", 1))
            }
            (_, _, value) => value,
        }
    }

    /// A column as the text or number that `decode` reads.
    pub(super) fn read(self, slot: &Slot) -> String {
        let column = self.quote(&slot.name);
        match (self, slot.kind) {
            (Self::Sqlite, _) | (Self::Mysql, ColumnKind::Bytes) => column,
            (Self::Postgres, ColumnKind::List) => format!("array_to_json({column})::text"),
            (Self::Postgres, _) => format!("{column}::text"),
            (Self::Mysql, ColumnKind::Integer | ColumnKind::Boolean) => format!("cast({column} + 0 as char)"),
            (Self::Mysql, _) => format!("cast({column} as char)"),
        }
    }

    /// A condition that finds rows by a column and a parameter, by its index where it has one.
    pub(super) fn equal(self, slot: &Slot) -> String {
        let column = self.quote(&slot.name);
        let equal = match self {
            Self::Sqlite | Self::Postgres => format!("{column} = {}", self.value(slot)),
            Self::Mysql => format!("{column} = {}", mysql_compared(slot)),
        };
        // what folds finds too much: only the very same text is the same key. SQLite says it of indexed columns alone
        let may_fold = slot.folds || (self == Self::Sqlite && slot.kind == ColumnKind::Text);
        if may_fold { format!("{equal} and {}", self.same(slot)) } else { equal }
    }

    /// A condition that holds when a column has exactly the value of a parameter, NULL included.
    pub(super) fn same(self, slot: &Slot) -> String {
        let column = self.quote(&slot.name);
        match (self, slot.kind) {
            (Self::Sqlite, _) => format!("{column} is {PARAMETER} collate binary"),
            (Self::Postgres, ColumnKind::Text | ColumnKind::Unknown) if !slot.cast.is_empty() => {
                format!("({column}::text) collate \"C\" is not distinct from ({}::text) collate \"C\"", self.value(slot))
            }
            (Self::Postgres, ColumnKind::Json) => format!("{column}::jsonb is not distinct from {PARAMETER}::text::jsonb"),
            (Self::Postgres, _) => format!("{column} is not distinct from {}", self.value(slot)),
            (Self::Mysql, ColumnKind::Text) => {
                format!("cast(convert({column} using utf8mb4) as binary) <=> cast({PARAMETER} as binary)")
            }
            (Self::Mysql, ColumnKind::Json) if slot.cast.is_empty() => {
                format!("cast({column} as binary) <=> cast({PARAMETER} as binary)")
            }
            (Self::Mysql, _) => format!("{column} <=> {}", mysql_compared(slot)),
        }
    }

    /// Begins a transaction that will write.
    pub fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "begin immediate",
            Self::Postgres | Self::Mysql => "begin",
        }
    }

    /// Whether two spellings name the same table or column.
    pub fn same_name(self, one: &str, other: &str) -> bool {
        one.eq_ignore_ascii_case(other)
    }

    /// What a column with this declared type takes, for the engine that decides it by the name alone.
    pub fn kind_of(self, declared: &str) -> ColumnKind {
        match self {
            Self::Sqlite => sqlite_schema::kind_of(declared),
            Self::Postgres | Self::Mysql => ColumnKind::Unknown,
        }
    }

    /// The type to declare a column of this kind with; a column of a key must be one that can be indexed.
    pub fn type_of(self, kind: ColumnKind, in_key: bool) -> &'static str {
        match self {
            Self::Sqlite => sqlite_schema::type_of(kind),
            Self::Postgres => ddl_types::postgres(kind),
            Self::Mysql if in_key => ddl_types::mysql_key(kind),
            Self::Mysql => ddl_types::mysql(kind),
        }
    }

    /// Whether the engine fills this column by itself when it is left out, though it has no default.
    pub fn fills(self, table: &TableSchema, column: &str) -> bool {
        match self {
            Self::Sqlite => sqlite_schema::is_rowid(table, column),
            Self::Postgres | Self::Mysql => false,
        }
    }
}

/// A parameter that is compared with a column: without the cast, MySQL would compare texts and numbers as floats.
fn mysql_compared(slot: &Slot) -> String {
    match slot.cast.as_str() {
        "" => PARAMETER.to_string(),
        cast => format!("cast({PARAMETER} as {cast})"),
    }
}

/// `main.jobs` is (`main`, `jobs`); `jobs` has no schema.
pub(super) fn split_schema(table: &str) -> (Option<&str>, &str) {
    match table.split_once('.') {
        Some((schema, name)) if !schema.is_empty() && !name.is_empty() => (Some(schema), name),
        _ => (None, table),
    }
}

//! The types that new columns are declared with on PostgreSQL and MySQL, for each kind of value.

use super::inspect::ColumnKind;

/// PostgreSQL's types hold every value of their kind.
pub(super) fn postgres(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Text | ColumnKind::Unknown => "text",
        ColumnKind::Integer => "bigint",
        ColumnKind::Decimal | ColumnKind::Numeric => "numeric",
        ColumnKind::Real => "double precision",
        ColumnKind::Boolean => "boolean",
        ColumnKind::Date => "date",
        ColumnKind::Time => "time",
        ColumnKind::Timestamp => "timestamptz",
        ColumnKind::Uuid => "uuid",
        ColumnKind::Json => "jsonb",
        ColumnKind::Bytes => "bytea",
        ColumnKind::List => "text[]",
    }
}

/// MySQL's: decimals need their digits said, moments are kept in UTC because `timestamp` ends in 2038.
pub(super) fn mysql(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Text | ColumnKind::Unknown => "longtext character set utf8mb4 collate utf8mb4_bin",
        ColumnKind::Integer => "bigint",
        ColumnKind::Decimal | ColumnKind::Numeric => "decimal(38, 10)",
        ColumnKind::Real => "double",
        ColumnKind::Boolean => "boolean",
        ColumnKind::Date => "date",
        ColumnKind::Time => "time(6)",
        ColumnKind::Timestamp => "datetime(6)",
        ColumnKind::Uuid => "char(36) character set ascii collate ascii_bin",
        ColumnKind::Json | ColumnKind::List => "json",
        ColumnKind::Bytes => "longblob",
    }
}

/// What MySQL can index whole; only exactly the same text is the same key.
pub(super) fn mysql_key(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Text | ColumnKind::Unknown | ColumnKind::Json | ColumnKind::List => {
            "varchar(255) character set utf8mb4 collate utf8mb4_bin"
        }
        ColumnKind::Bytes => "varbinary(255)",
        other => mysql(other),
    }
}

//! Our three tables beside the user's: which records were applied, the highest lease of each lane, the versions of rows.

use super::dialect::Dialect;

/// Their names.
pub(super) const NAMES: [&str; 3] = ["hooktable_applied", "hooktable_lane", "hooktable_version"];

/// The statements that make them, for those who must do it themselves too.
pub fn statements(dialect: Dialect) -> [&'static str; 3] {
    match dialect {
        Dialect::Sqlite => [
            "create table if not exists hooktable_applied (
    mark blob not null primary key, at text not null) without rowid",
            "create table if not exists hooktable_lane (
    lane blob not null primary key, fence integer not null, at text not null) without rowid",
            "create table if not exists hooktable_version (
    row_hash blob not null primary key, version text not null, gone integer not null, at text not null) without rowid",
        ],
        Dialect::Postgres => [
            "create table if not exists hooktable_applied (
    mark bytea not null primary key, at timestamptz not null)",
            "create table if not exists hooktable_lane (
    lane bytea not null primary key, fence bigint not null, at timestamptz not null)",
            "create table if not exists hooktable_version (
    row_hash bytea not null primary key, version text not null, gone smallint not null, at timestamptz not null)",
        ],
        Dialect::Mysql => [
            "create table if not exists hooktable_applied (
    mark binary(32) not null primary key, at datetime(6) not null) engine = InnoDB",
            "create table if not exists hooktable_lane (
    lane binary(16) not null primary key, fence bigint not null, at datetime(6) not null) engine = InnoDB",
            "create table if not exists hooktable_version (
    row_hash binary(32) not null primary key, version text character set utf8mb4 collate utf8mb4_bin not null,
    gone smallint not null, at datetime(6) not null) engine = InnoDB",
        ],
    }
}

/// Why they cannot be made, with what someone who may make them can run.
pub(super) fn cannot_make(dialect: Dialect, error: &sqlx::Error) -> String {
    let script: Vec<_> = statements(dialect).iter().map(|statement| format!("{statement};")).collect();
    format!("our tables are not there and cannot be made ({error})\nhint: have them made with\n{}", script.join("\n"))
}

//! Versions: an older state never overwrites a newer one, and a late update does not bring back a row that is gone. Kept beside the
//! tables, by a hash of table and key, or in a column of theirs.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::str::FromStr as _;

use bigdecimal::BigDecimal;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp;
use crate::model::change::{Cell, Operation, Version};
use crate::model::failure::{Failure, Step};

use super::bind::{Bound, Table};
use super::connection::Connection;
use super::decode::decode;
use super::dialect::{Dialect, Slot};
use super::inspect::ColumnKind;
use super::statement::{self, Sql};
use super::stored::Stored;
use super::{marks, moment, number};

/// What a unit knows of versions while it is written.
pub(super) struct Versions {
    /// Whether what has the same version stays as it is, since it may be what came later in its lane.
    is_late: bool,
    /// The rows that this unit itself brought to their version.
    own: HashSet<[u8; 32]>,
}

impl Versions {
    /// Of a unit that has written nothing yet.
    pub(super) fn new(is_late: bool) -> Self {
        Self { is_late, own: HashSet::new() }
    }

    /// Whether a change is news for a row whose version is this much older or newer.
    fn is_news(&self, stored: Ordering, row: [u8; 32]) -> bool {
        match stored {
            Ordering::Less => true,
            Ordering::Equal => !self.is_late || self.own.contains(&row),
            Ordering::Greater => false,
        }
    }
}

/// Whether a change of this version may be made; if so, it is the version of its row from now on.
pub(super) async fn is_news(
    connection: &mut Connection,
    table: &Table,
    operation: &Operation,
    version: &Version,
    versions: &mut Versions,
    now: Timestamp,
) -> Result<bool, Failure> {
    let goes = matches!(operation, Operation::Delete { .. } | Operation::SoftDelete { .. });
    match operation {
        Operation::Insert { .. } => Ok(true),
        Operation::Move { from, to } if version.kept_in_column => {
            Ok(is_news_in_column(connection, table, from, version, versions).await?
                && is_news_in_column(connection, table, to, version, versions).await?)
        }
        // the new key gets its version by the upsert that follows
        Operation::Move { from, to } => Ok(is_news_beside(connection, table, to, version, versions, (false, now)).await?
            && is_news_beside(connection, table, from, version, versions, (true, now)).await?),
        Operation::Replace { of: key, .. } => is_news_beside(connection, table, key, version, versions, (false, now)).await,
        Operation::Upsert { key, .. }
        | Operation::Update { key, .. }
        | Operation::Delete { key }
        | Operation::SoftDelete { key, .. } => match version.kept_in_column {
            true => is_news_in_column(connection, table, key, version, versions).await,
            false => is_news_beside(connection, table, key, version, versions, (goes, now)).await,
        },
    }
}

async fn is_news_in_column(
    connection: &mut Connection,
    table: &Table,
    key: &[Cell],
    version: &Version,
    versions: &mut Versions,
) -> Result<bool, Failure> {
    let key = table.bind_key(key)?;
    let own = table.bind(std::slice::from_ref(&version.cell))?;
    let slots = |bound: &[Bound]| bound.iter().map(|bound| bound.slot.clone()).collect::<Vec<Slot>>();
    let sql = statement::select(table.dialect, &table.quoted, &slots(&own), &slots(&key));
    let rows = table.fetch(connection, &sql, &[&key]).await?;
    let Some(Bound { slot, value }) = own.first() else { return Ok(true) };
    let row = row_hash(table, &key);
    let mut there = rows.into_iter().filter_map(|row| row.into_iter().next()).map(|read| decode(table.dialect, slot, read));
    let is_news = there.all(|there| versions.is_news(compare_stored(slot.kind, &there, value), row));
    if is_news {
        versions.own.insert(row);
    }
    Ok(is_news)
}

/// NULL is older than anything.
fn compare_stored(kind: ColumnKind, one: &Stored, other: &Stored) -> Ordering {
    match (one, other) {
        (Stored::Null, _) => Ordering::Less,
        (Stored::Integer(one), Stored::Integer(other)) => one.cmp(other),
        (Stored::Real(one), Stored::Real(other)) => one.total_cmp(other),
        (one, other) => {
            let text = |value: &Stored| value.clone().into_text().unwrap_or_default();
            let (one, other) = (text(one), text(other));
            match (kind, numbers(&one, &other)) {
                (ColumnKind::Text | ColumnKind::Timestamp | ColumnKind::Date | ColumnKind::Time, _) | (_, None) => {
                    // without their `Z`, moments of one spelling are in the order of their texts
                    one.trim_end_matches('Z').cmp(other.trim_end_matches('Z'))
                }
                (_, Some((one, other))) => one.cmp(&other),
            }
        }
    }
}

async fn is_news_beside(
    connection: &mut Connection,
    table: &Table,
    key: &[Cell],
    version: &Version,
    versions: &mut Versions,
    (goes, now): (bool, Timestamp),
) -> Result<bool, Failure> {
    let row = row_hash(table, &table.bind_key(key)?);
    let own = kept_form(&version.cell)?;
    let failed = |error: sqlx::Error| table.failure(&error);
    let stored = locked(connection, row, now).await.map_err(failed)?;
    if !versions.is_news(compare_kept(&stored, &own), row) {
        return Ok(false);
    }
    store(connection, row, &own, goes, now).await.map_err(failed)?;
    versions.own.insert(row);
    Ok(true)
}

/// By the table and the values of the key in the database's own terms; the order of the columns says nothing.
fn row_hash(table: &Table, key: &[Bound]) -> [u8; 32] {
    let mut parts: Vec<String> = key.iter().map(|bound| format!("{}\0{:?}", bound.name(), bound.value)).collect();
    parts.sort();
    let name = format!("{}\0{}\0", table.schema.schema, table.schema.name);
    Sha256::new().chain_update(name).chain_update(parts.join("\0\0")).finalize().into()
}

/// A version with a letter that says what it is: `n12.5`, `t2026-11-21T10:00:00`, `sabc`.
fn kept_form(cell: &Cell) -> Result<String, Failure> {
    let unusable = |why: &str| Failure::permanent(Step::Map, format!("the version {} from {} {why}", cell.value, cell.origin));
    match &cell.value {
        Json::Number(number) => match number::to_plain(&number.to_string(), None) {
            Some(plain) => Ok(format!("n{plain}")),
            None => Err(unusable("has too many digits")),
        },
        Json::String(text) => match moment::to_moment(text, 9) {
            Some(moment) => Ok(format!("t{}", moment.trim_end_matches('Z'))),
            None => Ok(format!("s{text}")),
        },
        _ => Err(unusable("is neither a number nor a text")),
    }
}

/// How what is stored compares with `own`. Nothing is older than anything; and where one is a number and the other a text, the route
/// was changed in between, and what it says now counts.
fn compare_kept(stored: &str, own: &str) -> Ordering {
    let (Some(kind), Some(stored_kind)) = (own.get(..1), stored.get(..1)) else { return Ordering::Less };
    if kind != stored_kind {
        return Ordering::Less;
    }
    match numbers(&stored[1..], &own[1..]).filter(|_| kind == "n") {
        Some((stored, own)) => stored.cmp(&own),
        None => stored.cmp(own),
    }
}

fn numbers(one: &str, other: &str) -> Option<(BigDecimal, BigDecimal)> {
    let read = |text: &str| number::to_plain(text, None).and_then(|plain| BigDecimal::from_str(&plain).ok());
    read(one).zip(read(other))
}

/// The version that is stored, empty when there is none; nobody else may change it until the transaction ends.
async fn locked(connection: &mut Connection, row: [u8; 32], now: Timestamp) -> sqlx::Result<String> {
    let dialect = connection.dialect();
    let (reserve, read) = match dialect {
        Dialect::Sqlite => (
            "insert into hooktable_version (row_hash, version, gone, at) values (?1, '', 0, ?2) on conflict (row_hash) do nothing",
            "select version from hooktable_version where row_hash = ?1",
        ),
        Dialect::Postgres => (
            "insert into hooktable_version (row_hash, version, gone, at)
             values ($1::text::bytea, '', 0, $2::text::timestamptz) on conflict (row_hash) do nothing",
            "select version from hooktable_version where row_hash = $1::text::bytea for update",
        ),
        Dialect::Mysql => (
            "insert ignore into hooktable_version (row_hash, version, gone, at) values (?, '', 0, ?)",
            "select cast(version as char) from hooktable_version where row_hash = ? for update",
        ),
    };
    let hash = Stored::Bytes(row.to_vec());
    connection.execute(&Sql::with_parameters(reserve, 2), vec![hash.clone(), marks::moment(dialect, now)]).await?;
    let rows = connection.fetch(&Sql::with_parameters(read, 1), vec![hash]).await?;
    Ok(rows.into_iter().flatten().next().and_then(Stored::into_text).unwrap_or_default())
}

async fn store(connection: &mut Connection, row: [u8; 32], version: &str, goes: bool, now: Timestamp) -> sqlx::Result<()> {
    let dialect = connection.dialect();
    let sql = match dialect {
        Dialect::Sqlite => "update hooktable_version set version = ?1, gone = ?2, at = ?3 where row_hash = ?4",
        Dialect::Postgres => {
            "update hooktable_version set version = $1::text, gone = $2::text::smallint, at = $3::text::timestamptz
             where row_hash = $4::text::bytea"
        }
        Dialect::Mysql => "update hooktable_version set version = ?, gone = ?, at = ? where row_hash = ?",
    };
    let values = vec![
        Stored::Text(version.to_owned()),
        Stored::Integer(i64::from(goes)),
        marks::moment(dialect, now),
        Stored::Bytes(row.to_vec()),
    ];
    connection.execute(&Sql::with_parameters(sql, 4), values).await.map(drop)
}

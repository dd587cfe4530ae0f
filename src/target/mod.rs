//! Their tables: the only place that writes user data. One transaction holds a record's mark, its lane's fence and its rows.
//! Knows changes and columns, and not one word about routes or deliveries.

mod alone;
mod bind;
mod catalog;
pub mod clean_up;
pub mod compare;
mod connection;
pub mod database;
pub mod ddl;
mod ddl_types;
mod decode;
pub mod dialect;
mod failures;
mod gathering;
mod health;
pub mod inspect;
mod limits;
mod marks;
mod moment;
mod mysql;
mod mysql_failures;
mod mysql_schema;
mod number;
pub mod options;
pub mod our_tables;
mod patience;
mod postgres;
mod postgres_failures;
mod postgres_schema;
pub mod preview;
mod read;
mod replace;
mod row;
mod sqlite;
mod sqlite_failures;
mod sqlite_schema;
mod statement;
mod stored;
#[cfg(test)]
mod tests;
mod together;
mod unreachable;
mod value;
mod version;
pub mod write;

pub use database::{Database, Targets};
pub use options::DatabaseOptions;
pub use write::{Applied, Unit, WriteError};

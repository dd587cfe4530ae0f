//! Their tables: the only place that writes user data. One transaction holds a record's mark, its lane's fence and its rows.
//! Knows changes and columns, and not one word about routes or deliveries.

mod bind;
pub mod compare;
mod connection;
pub mod database;
pub mod ddl;
pub mod dialect;
mod failures;
pub mod inspect;
mod moment;
mod number;
pub mod options;
pub mod preview;
mod read;
mod replace;
mod row;
mod sqlite;
mod sqlite_schema;
mod statement;
#[cfg(test)]
mod tests;
mod value;
pub mod write;

pub use database::{Database, Targets};
pub use options::DatabaseOptions;
pub use write::{Applied, Unit, WriteError};

//! The state in one SQLite file: its schema, the one thread that writes it, the readers and the checkpointer.

mod checkpoint;
mod connect;
mod ground;
pub(crate) mod open;
mod place;
mod schema;
mod writer;

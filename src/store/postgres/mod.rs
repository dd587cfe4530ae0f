//! The state in one database of PostgreSQL that several processes share: connections, schema, the writer of each process, and what
//! they tell each other.

mod connect;
pub(crate) mod days;
mod news;
pub(crate) mod old_days;
pub(crate) mod open;
mod schema;
mod writer;

pub(crate) use news::follow;

//! The state in one SQLite file: its schema, the one thread that writes it, the readers and the checkpointer.

pub(crate) mod append;
pub(crate) mod checkpoint;
pub(crate) mod claim;
pub(crate) mod closing;
pub(crate) mod connect;
pub(crate) mod further;
pub(crate) mod lane_rows;
pub(crate) mod message;
pub(crate) mod moving;
pub(crate) mod round;
pub(crate) mod rows;
pub(crate) mod schema;
pub(crate) mod sender_ids;
pub(crate) mod writer;

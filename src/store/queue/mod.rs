//! The queue in rows: appends, claims and their ends, each as a few statements over many rows.

pub(crate) mod append;
pub(crate) mod aside;
pub(crate) mod claim;
pub(crate) mod closing;
mod due;
pub(crate) mod fences;
pub(crate) mod forward_rows;
pub(crate) mod further;
pub(crate) mod gates;
pub(crate) mod lane_rows;
pub(crate) mod moving;
pub(crate) mod sender_ids;

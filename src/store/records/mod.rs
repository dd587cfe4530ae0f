//! Records as people see and steer them: lists, one delivery's details, its raw request, replay and discard.

mod details;
mod discard;
mod listing;
mod readmission;
mod replay;

pub use details::{DeliveryDetails, StoredDelivery, find, request, show};
pub use discard::{Discarded, discard};
pub use listing::{Count, Filter, counts, list};
pub use readmission::{Readmission, readmit, to_readmit};
pub use replay::{ReplayAnswer, ask_replay};

//! Records as people see and steer them: lists, one delivery's details, its raw request, replay and discard.

mod changed_pools;
mod details;
mod discard;
mod listing;
mod readmission;
mod replay;
mod replay_many;
mod standing;

pub use changed_pools::{ChangedPool, changed_pools, next_open, pause_changed, readmit_open};
pub use details::{DeliveryDetails, StoredDelivery, find, request, requests, show};
pub use discard::{Discarded, discard};
pub use listing::{Count, Filter, count_open, counts, list};
pub use readmission::{Readmission, Readmitted, readmit, to_readmit};
pub use replay::{Replay, ReplayAnswer, ask_replay};
pub use replay_many::{Group, Matching, ask_replay_matching, count_matching};
pub use standing::{Standing, standing};

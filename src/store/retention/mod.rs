//! Retention: what has been kept long enough goes, in small steps between which everything else goes on; and the lanes are looked
//! after. What is open or dead stays until a person decides.

mod bodies;
mod deliveries;
mod former_lanes;
mod lanes;
mod round;
mod space;
mod targets;
mod turn;

pub use lanes::{Sweep, Swept, WrongLane};
pub use round::{Keep, Removed, Round};
pub use targets::{is_turn_for_targets, targets_forget_before};

//! What the store promises, tried through its public functions.

mod access;
mod budget;
mod changed_lanes;
mod harness;
mod lane_order;
mod onboarding;
mod opening;
mod queue_model;
mod replaying;
mod sender_id;

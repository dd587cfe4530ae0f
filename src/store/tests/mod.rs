//! What the store promises, tried through its public functions.

mod access;
mod at_once;
mod budget;
mod changed_lanes;
mod changed_tenants;
mod clock_back;
mod engines;
mod forwards;
mod harness;
mod lane_lists;
mod lane_order;
mod onboarding;
mod opening;
mod queue_model;
mod replaying;
mod retention;
mod rotation;
mod sender_id;
mod set_ups;
mod shared;
mod whose;

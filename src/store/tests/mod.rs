//! What the store promises, tried through its public functions.

mod access;
mod budget;
mod changed_lanes;
mod changed_tenants;
mod harness;
mod lane_order;
mod onboarding;
mod opening;
mod queue_model;
mod replaying;
mod rotation;
mod sender_id;
mod set_ups;
mod whose;

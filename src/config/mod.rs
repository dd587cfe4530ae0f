//! Text to checked values: files with positions, the YAML tree, the option reader, diagnostics and how they are drawn. Knows
//! YAML and not one word about webhooks.

mod aliases;
pub mod diagnostic;
pub mod explain;
pub mod filled;
pub mod options;
pub mod render;
pub mod schema;
pub mod shape;
mod slips;
pub mod source;
pub mod units;
pub mod yaml;

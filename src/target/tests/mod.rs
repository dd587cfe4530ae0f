//! The target writer against real SQLite files.

mod bench;
mod databases;
mod operations;
mod replacing;
mod schemas;
mod units;
mod values;

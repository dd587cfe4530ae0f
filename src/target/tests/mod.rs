//! The target writer against real databases: SQLite files, and one suite on every engine.

mod away;
mod bench;
mod clean_up;
mod conformance;
mod databases;
mod engines;
mod naughty;
mod operations;
mod replacing;
mod schemas;
mod servers;
mod soft_lists;
mod statements;
mod together;
mod units;
mod values;
mod versions;

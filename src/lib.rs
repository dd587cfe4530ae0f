//! Hooktable: a routing table for webhooks, into your tables. This file is the map: modules stand lowest first, and a
//! module imports only from lines above its own (`tests/it/tidy.rs` holds the rule).

// 0: plain values every layer may name
pub mod clock;
#[doc(hidden)]
pub mod failpoint;
pub mod model;
pub mod secret;
// 1: text to checked values; values out of values; our own tables
pub mod config;
pub mod expr;
pub mod store;
// 2: the outside world: their tables, their APIs, the bytes they send
pub mod http_client;
pub mod payload;
pub mod target;
// 3: who is asking
pub mod auth;
// 4: what happens to a record, step by step
pub mod steps;
// 5: what a route is
pub mod routes;
// 6: HTTP in, jobs out; they meet only in `store` and `routes`
pub mod intake;
pub mod worker;
// 7: a route without the outside world
pub mod rehearsal;
// 9: the parts put together
pub mod app;
// 10: the command line, the only place that prints
pub mod cli;

//! What a route is: the file as written, the compiled source, the table from request to source, loading and reloading.

mod admits;
mod claims;
pub mod compile;
pub mod connected;
pub mod expected;
pub mod explained;
pub mod file;
pub mod folder;
pub mod handshake;
pub mod lint;
pub mod load;
pub mod masking;
pub mod names;
pub mod onboarding;
mod oracle;
pub mod receive;
pub mod registry;
pub mod reload;
mod row_lanes;
pub mod samples;
pub mod shipped;
mod side_by_side;
mod signing;
pub mod source;
pub mod table;
pub mod test_file;
mod verifying;

//! What happens to a record, one file per step, and the two lists of steps: `admission` (request to records) and `pipeline` (record
//! to changes). Pure but for the `http_client` that is handed in; knows no database.

pub mod admission;
pub mod api;
pub mod call;
pub mod choose;
pub mod enrich;
pub mod extract;
pub mod integration;
pub mod integration_options;
pub mod lane;
pub mod late;
pub mod map;
mod mapping;
pub mod pipeline;
pub mod version;
pub mod work;
pub mod write_options;

//! What happens to a record, one file per step, and the two lists of steps: `admission` (request to records) and `pipeline` (record
//! to changes). Pure but for the `http_client` that is handed in; knows no database.

pub mod admission;
mod answer;
pub mod api;
pub mod api_options;
mod ask;
mod body;
pub mod call;
pub mod call_options;
pub mod choose;
pub mod enrich;
pub mod extract;
pub mod find;
pub mod forward;
pub mod forward_request;
pub mod integration;
pub mod integration_options;
pub mod lane;
pub mod late;
pub mod map;
mod mapping;
pub mod pages;
pub mod pipeline;
pub mod reply;
mod request;
pub mod retry_options;
pub mod session;
pub mod version;
pub mod work;
pub mod write_options;

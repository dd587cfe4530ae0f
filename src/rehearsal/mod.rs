//! A route without the outside world: throwaway projects, recorded and simulated provider APIs.

mod answered;
mod captured;
pub mod cases;
pub mod compare;
pub mod demo;
pub mod equip;
pub mod forwarded;
pub mod hostile;
pub mod made_up;
pub mod play;
pub mod programme;
pub mod project;
pub mod report;
pub mod run;
pub mod send;
pub mod sender;
mod signed;
pub mod simulate;
pub mod simulate_file;
pub mod simulate_recorded;
mod simulate_script;
pub mod sketch;
pub mod suite;
pub mod trial;
pub mod tried_change;
pub mod tried_forward;
pub mod tried_reply;

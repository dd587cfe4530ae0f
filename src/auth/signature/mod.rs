//! `signature:`: what a sender computed over its request with a secret, verified on the bytes of the wire, in constant time.

pub mod algorithm;
pub mod compile;
mod doctor;
mod doctor_texts;
pub mod grammar;
pub mod key;
pub mod moment;
pub mod options;
mod places;
mod public_key;
pub mod scheme;
pub mod sign;
mod sorted_form;
mod stand_in;
pub mod text;
mod tokens;

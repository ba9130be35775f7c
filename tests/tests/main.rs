//! Tests against real servers.

mod bad_input;
mod fuzz;
mod harness;
mod kafka;
mod pipeline;
mod postgres;
mod tidy;
mod types;

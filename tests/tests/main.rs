//! Tests against real servers.

mod bad_input;
mod harness;
mod pipeline;
mod tidy;

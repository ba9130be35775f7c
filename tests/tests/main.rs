//! Tests against real servers.

mod harness;
mod pipeline;

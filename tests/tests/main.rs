//! Tests against real servers.

mod bad_input;
mod config;
mod conformance;
mod crash;
mod fanout;
mod fuzz;
mod graph;
mod harness;
mod kafka;
mod network;
mod pipeline;
mod postgres;
mod state;
mod tidy;
mod types;
mod workers;

//! Tests against real servers.

mod bad_input;
mod batch;
mod config;
mod conformance;
mod connector;
mod crash;
mod fanout;
mod fuzz;
mod graph;
mod harness;
mod kafka;
mod lake;
mod local;
mod metadata;
mod network;
mod pipeline;
mod postgres;
mod push;
mod service;
mod sql;
mod state;
mod tidy;
mod transforms;
mod types;
mod workers;

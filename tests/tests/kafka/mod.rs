//! From databases into Kafka: what consumers of committed messages see, replayed, is what the source
//! has, and every change is there once.
//!
//! [`kill`] kills the job at random moments, [`fire`] the broker and the connections to it; [`jobs`] is
//! about what job files ask for.

#![allow(clippy::print_stdout)] // figures of a run, beside its seed

mod avro;
mod compatible;
mod fire;
mod jobs;
mod kill;
mod read_back;
pub(crate) mod replay;
pub(crate) mod scene;
mod tls;
mod transactions;

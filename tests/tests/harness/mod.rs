//! The harness tested with itself: what the other suites lean on must hold.
#![allow(clippy::unwrap_used)]

mod database;
mod kafka;
mod lake;
mod oracle;
mod postgres;
mod process;
mod proxy;
mod rest_catalog;
mod s3;
mod servers;

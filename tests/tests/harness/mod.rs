//! The harness tested with itself: what the other suites lean on must hold.
#![allow(clippy::unwrap_used)]

mod oracle;
mod process;
mod proxy;
mod servers;

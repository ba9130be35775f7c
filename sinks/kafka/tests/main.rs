//! The sink on a real broker.
#![allow(clippy::unwrap_used)]

mod faults;
mod marker;
mod messages;
mod support;
mod targets;

//! One source to several sinks: a mirror, a change log and topics, each exactly once.

#![allow(clippy::print_stdout)]

mod hold;
mod kill;
mod scene;

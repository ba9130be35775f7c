//! One source to several sinks: a mirror, a change log and topics, each exactly once.

mod hold;
mod kill;
mod scene;

//! A topic shared by several processes: whatever happens to one of them, each change is applied once.
//!
//! [`fire`] kills, freezes and adds processes under load; [`refuse`] has what a group cannot do, and what
//! must never be started quietly.

#![allow(clippy::print_stdout)] // figures of a run, beside its seed

mod fire;
mod refuse;
pub(crate) mod scene;

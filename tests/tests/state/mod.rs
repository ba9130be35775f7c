//! State folders that are damaged, old, lost or out of room: the job goes on from the sinks' markers or says what to
//! do, and never reads everything again by itself.

#![allow(clippy::print_stdout)]

mod damage;
pub(crate) mod full;

//! Jobs that end: tables and queries read once, and logs that are read up to a place.
//!
//! [`types`] compares every type with what the snapshot of the change-data-capture source writes, [`parts`]
//! is about which rows are read and how the work is cut, [`forms`] about how job files name things, [`crash`]
//! kills jobs at chosen steps, [`refusals`] is about what a job refuses to begin with, and [`bounded`] about
//! logs that are read up to a place.

mod bounded;
mod crash;
mod forms;
mod job;
mod parts;
mod refusals;
mod types;

//! Every type arrives equal: what was there before, what comes later, and what the source holds.
//!
//! [`corpus`] names the columns and their values, [`values`] mirrors them under several settings
//! of server and process, [`charsets`] compares every character of every charset with the
//! server's own conversion, [`keys`] changes and removes rows by keys of every type, [`chunks`]
//! cuts tables by text keys while they change, [`zero_dates`] is about dates that are none, and
//! [`independent`] reads the same log with another reader.

mod charsets;
mod chunks;
pub(crate) mod corpus;
mod independent;
pub(crate) mod job;
mod keys;
pub(crate) mod log_file;
mod values;
mod zero_dates;

//! PostgreSQL as source and as target: what is at the target in the end is what the source has.
//!
//! [`fire`] and [`kill`] change tables while they are read and while jobs are killed, between every
//! pair of servers; [`faults`] is about servers and connections that fail, [`slot`] about what can
//! happen to a replication slot, [`publication`] about those that somebody made, [`forms`] about how job
//! files name things, [`modes`] about where a job begins and ends, [`transactions`] about
//! large, prepared and interrupted ones, [`toast`] about values that the log leaves out, [`shapes`]
//! about tables that change, [`join`] about those that come into being while a job runs, [`whole`] about
//! those without a key that chunks are cut by, [`names`] about names and sizes nobody expects, [`types`]
//! about every type of column, [`wal`] about the log the server has to keep, and [`refusals`] about what
//! a job refuses to begin with.
//! about tables that change, [`columns`] about what their columns take and hold then, [`names`] about names and sizes nobody expects, [`types`] about every type of column, [`wal`] about the log
//! large, prepared and interrupted ones, [`toast`] about values that the log leaves out, [`ties`]
//! about rows whose order matters to the target, [`shapes`]
//! about tables that change, [`names`] about names and sizes nobody expects, [`types`] about every type of column, [`wal`] about the log
//! the server has to keep, and [`refusals`] about what a job refuses to begin with.

#![allow(clippy::print_stdout)] // figures of a run, beside its seed

mod columns;
mod faults;
mod fire;
mod forms;
pub(crate) mod job;
mod join;
mod kill;
mod modes;
mod names;
mod publication;
mod refusals;
pub(crate) mod scene;
mod shapes;
mod slot;
mod ties;
mod toast;
mod transactions;
pub(crate) mod types;
mod wal;
mod whole;
mod widened;
pub(crate) mod writers;

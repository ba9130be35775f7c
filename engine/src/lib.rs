//! The one path: splits → batches → transforms → writers → checkpoint.
//!
//! [`pipeline::run`] is one attempt of a job and reads like the list in `ARCHITECTURE.md`;
//! [`supervisor::run`] repeats attempts after transient failures, and `group` does so for every share of a
//! work that several processes do together. Knows traits only, never a
//! concrete connector.

mod branch;
mod checkpointer;
mod graph;
mod group;
mod lane;
mod limit;
mod needs;
mod opener;
mod pipeline;
mod queue;
mod restore;
mod route;
mod settings;
mod sources;
mod supervisor;
mod watchdog;

pub use graph::{Branch, FailurePolicy, JobGraph, Node, NodeKind, needs_spool, refuse_unfit_targets};
pub use group::{SHARES_MAX, fit};
pub use limit::ReadLimit;
pub use pipeline::Ended;
pub use route::{Path, Step};
pub use settings::{Settings, StopSignal, stop_channel};
pub use supervisor::{Job, run};

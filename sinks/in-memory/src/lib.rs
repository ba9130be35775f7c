//! The sink `InMemory`: takes every row and keeps none, for trying a job without a target.
//!
//! It counts what it takes; `culvert` shows the counts as it does for every sink. Nothing of a row stays, so
//! nothing can be there twice or be lost; but no marker is kept, and rows since the last checkpoint are taken
//! again after a crash: the contract is at least once. Options that make SeaTunnel's sink of this name fail are
//! refused: a job is made to fail by a fail point here.

mod options;
mod sink;
mod writer;

pub use options::OPTIONS;
pub use sink::{InMemorySink, PLUGIN};

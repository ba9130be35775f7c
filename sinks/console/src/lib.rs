//! The sink `Console`: prints every row to standard output, for looking at a job.
//!
//! Rows are printed when they are written, not when their checkpoint commits: who watches wants to
//! see them at once. A restart after a crash prints the rows since the last checkpoint again, so
//! the contract is at-least-once, and no marker is kept.
//!
//! ```text
//! output rowType: id<Int32>, name<Utf8>
//! subtaskIndex=0  rowIndex=1:  SeaTunnelRow#tableId=cdc.w SeaTunnelRow#kind=INSERT : 1, Alice
//! ```

mod format;
mod sink;
mod writer;

pub use sink::{ConsoleSink, OPTIONS, PLUGIN};

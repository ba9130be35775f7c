//! The sink `Iceberg`: changes into tables of a lake, exactly once.
//!
//! Rows become Parquet files as they come; a checkpoint closes them, and its commit makes them snapshots. How that is
//! once, whatever happens, is told in [`commit`]. `docs/iceberg.md` tells it from the user's side.
//!
//! | file | holds |
//! |---|---|
//! | `options`, `partition` | what the user wrote, checked |
//! | `catalog` | where tables are found, and the compare-and-set that changes them |
//! | `tables`, `evolve`, `types`, `layout` | target tables, their columns and changes of them, and how rows become theirs |
//! | `file`, `data`, `upsert` | files under way; rows that wait in upsert mode |
//! | `snapshot`, `journal`, `commit` | a snapshot from files; a checkpoint as a file; its commit |
//! | `sink`, `writer`, `committer` | the sink as the engine sees it |
//! | `upkeep` | compaction, expiry of snapshots, orphans: beside the stream |
//! | `io`, `error` | the library's files on our storage, and its errors in our terms |

mod catalog;
mod commit;
mod committer;
mod data;
mod error;
mod evolve;
mod file;
mod io;
mod journal;
mod layout;
mod options;
mod partition;
mod sink;
mod snapshot;
mod tables;
mod types;
mod upkeep;
mod upsert;
mod writer;

pub use options::OPTIONS;
pub use sink::{IcebergSink, PLUGIN};

#[cfg(test)]
mod tests;

//! The source `LocalFile`: the rows of files, each once.
//!
//! Which files there are is decided at the first start and kept in the restart point, with size and time of
//! each: a file that comes later is none of this run, and one that changed is refused, because nobody knows
//! which of its rows were read. They are read one after the other, so the restart point needs one place.
//!
//! ```text
//! first start   files of every table found, columns fixed       ─► restart point: files, each with size and time
//! a file        opened, held against its size and time, read in batches, held against them again
//! barrier       between two batches                             ─► restart point: the file, and its next row
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `options` | what the user wrote, checked |
//! | `table` | a table: how its files are read, which columns it has |
//! | `folder` | which files there are; what their paths say |
//! | `plan` | files and columns of a run |
//! | `state` | the restart point |
//! | `source`, `enumerator`, `reader` | the source as the engine sees it |
//!
//! How rows lie in files is the crate `culvert-files`. `docs/local-file.md` tells it from the user's side.

mod enumerator;
mod folder;
mod options;
mod plan;
mod reader;
mod source;
mod state;
mod table;

pub use options::{OPTIONS, RULES};
pub use source::{LocalFileSource, PLUGIN};

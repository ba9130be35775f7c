//! The sink `LocalFile`: rows into files of a folder, exactly once.
//!
//! A file is written where nobody looks (*staged*), and takes its place in the folder with one rename, so a reader
//! never sees half of it. The commit marker is a file as well, the *manifest*:
//!
//! ```text
//! prepare N   files of N written, fsynced                          .culvert/stage/NAME/EPOCH/0, 1, …
//! commit N    manifest of N renamed into its place                 .culvert/NAME.json   ◄ from here on N holds
//!             each file renamed to the name the manifest gives it  T_JOB_RUN_WRITER_N_0.csv, …
//!             manifest renamed into its place again, as "placed"
//! ```
//!
//! A crash behind the first rename is made good by whoever opens the sink next: the manifest says which files are
//! still to be renamed. One in front of it leaves staged files, which are removed, and their rows come again.
//! A lock file makes reading the manifest, looking at its epoch and renaming one step, so a run that was
//! taken over commits nothing. `docs/local-file.md` tells it from the user's side.
//!
//! | file | holds |
//! |---|---|
//! | `options` | what the user wrote, checked |
//! | `plan` | where a table's rows go: columns, folders, names |
//! | `folder`, `manifest` | the hidden folder: the manifest, its lock, staged files |
//! | `sink`, `writer`, `committer` | the sink as the engine sees it |

mod committer;
mod folder;
mod manifest;
mod options;
mod plan;
mod sink;
mod writer;

pub use options::OPTIONS;
pub use sink::{LocalFileSink, PLUGIN};

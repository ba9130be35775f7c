//! The sinks `LocalFile` and `S3File`: rows into files of a folder or a bucket, exactly once.
//!
//! A file is written where nobody looks (*staged*), and takes its place in one step, so a reader never sees half of
//! it. The commit marker is a file as well, the *manifest*; in a folder it looks like this:
//!
//! ```text
//! prepare N   files of N written, fsynced                          .culvert/stage/NAME/EPOCH/0, 1, …
//! commit N    manifest of N renamed into its place                 .culvert/NAME.json   ◄ from here on N holds
//!             each file renamed to the name the manifest gives it  T_JOB_RUN_WRITER_EPOCH_0.csv, …
//!             manifest renamed into its place again, as "placed"
//! ```
//!
//! A crash behind the first rename is made good by whoever opens the sink next: the manifest says which files are
//! still to be renamed. One in front of it leaves staged files, which are removed, and their rows come again.
//! A lock file makes reading the manifest, looking at its epoch and renaming one step, so a run that was
//! taken over commits nothing. In a bucket staged files are uploads that are not completed, and conditional writes stand
//! for the lock: `bucket`. `docs/local-file.md` and `docs/s3-file.md` tell it from the user's side.
//!
//! | file | holds |
//! |---|---|
//! | `options` | what the user wrote, checked; `options/s3` leads to a bucket |
//! | `plan`, `names` | where a table's rows go: columns, folders, names |
//! | `place`, `manifest` | the protocol of a commit, the same everywhere; the marker as a file |
//! | `local` | folders of this machine |
//! | `bucket`, `upload` | buckets, and uploads in parts |
//! | `sink`, `writer`, `committer` | the sinks as the engine sees them |
//!
//! What is behind `place` blocks, and runs on threads that may; what is under way in a bucket runs on the event loop.

mod bucket;
mod committer;
mod local;
mod manifest;
mod names;
mod options;
mod place;
mod plan;
mod sink;
mod upload;
mod writer;

pub use options::{LOCAL_FILE_OPTIONS, S3_FILE_OPTIONS};
pub use sink::{LOCAL_FILE, S3_FILE, local_file, s3_file};

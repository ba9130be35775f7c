//! What a process of its own does: described by its parent in JSON, answered in JSON.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use culvert_api::RowKind;
use serde::{Deserialize, Serialize};

use crate::drain;
use crate::mysql::decode;
use crate::parquet::ParquetSink;

/// The first argument of a process that performs a task.
pub(crate) const COMMAND: &str = "perform";

/// A column as the server describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ColumnText {
    /// Its name.
    pub(crate) name: String,
    /// `information_schema.columns.column_type`.
    pub(crate) column_type: String,
    /// `character_set_name`.
    pub(crate) charset: Option<String>,
}

/// What to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Binlog files into Arrow batches, on one thread.
    Decode {
        /// The files, oldest first.
        files: Vec<PathBuf>,
        /// The table's columns.
        columns: Vec<ColumnText>,
        /// Whether the checksum of each event is verified, as the source does.
        verify: bool,
    },
    /// A job until its source ends.
    Drain {
        /// The job file.
        job: String,
        /// Whether rows are dropped instead of going to the job's sink.
        discard: bool,
        /// The folder of its state.
        state: PathBuf,
    },
    /// A job until its source ends, its rows into files of Parquet instead of its own sink.
    Parquet {
        /// The job file.
        job: String,
        /// The folder of the files.
        folder: PathBuf,
        /// The folder of its state.
        state: PathBuf,
    },
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Rows that were inserted.
    pub(crate) inserted: u64,
    /// Rows that were updated: one for both images.
    pub(crate) updated: u64,
    /// Rows that were deleted.
    pub(crate) deleted: u64,
    /// Checkpoints on the way.
    pub(crate) checkpoints: u64,
}

impl Outcome {
    /// Changes of rows; an update is one.
    pub(crate) fn changes(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }

    /// Adds rows of these kinds.
    pub(crate) fn count(&mut self, kinds: &[RowKind]) {
        for kind in kinds {
            match kind {
                RowKind::Insert => self.inserted += 1,
                RowKind::UpdateBefore => {}
                RowKind::UpdateAfter => self.updated += 1,
                RowKind::Delete => self.deleted += 1,
            }
        }
    }
}

/// Performs a task and prints its outcome.
pub(crate) async fn perform(task: &str) -> Result<()> {
    let task = serde_json::from_str(task).context("the task does not read")?;
    let outcome = match task {
        Task::Decode { files, columns, verify } => decode::run(&files, &columns, verify)?,
        Task::Drain { job, discard, state } => drain::run(&job, discard, &state).await?,
        Task::Parquet { job, folder, state } => {
            drain::into(&job, Arc::new(ParquetSink { folder }), &state).await?
        }
    };
    serde_json::to_writer(std::io::stdout(), &outcome)?;
    std::io::stdout().flush()?;
    Ok(())
}

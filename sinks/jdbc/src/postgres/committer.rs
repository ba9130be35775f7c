//! Makes the staged transaction of a checkpoint visible.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use culvert_api::{Committable, Committer, Error, ErrorKind, JobProgress, Result};

use crate::postgres::marker;
use crate::postgres::name::TargetName;
use crate::postgres::writer::{SharedSession, opened};

/// Commits on the writer's connection.
pub(crate) struct JdbcCommitter {
    pub(crate) session: SharedSession,
    pub(crate) marker_table: TargetName,
    pub(crate) job: String,
    pub(crate) sink: String,
    pub(crate) writer: u32,
    pub(crate) progress: Arc<JobProgress>,
    /// The checkpoint that was last counted.
    pub(crate) counted: u64,
}

#[async_trait]
impl Committer for JdbcCommitter {
    async fn commit(&mut self, committable: &Committable) -> Result<()> {
        let mut session = self.session.lock().await;
        let session = opened(&mut session)?;
        if session.commit(committable.checkpoint).await? {
            if self.counted < committable.checkpoint {
                self.counted = committable.checkpoint;
                self.progress.rows_committed.fetch_add(rows_of(committable), Ordering::Relaxed);
            }
            return Ok(());
        }
        // Nothing is staged for it here: a commit from before a restart is told by its marker.
        let marker = marker::read(session, &self.marker_table, (&self.job, &self.sink, self.writer)).await?;
        if marker.is_some_and(|marker| marker.checkpoint >= committable.checkpoint) {
            return Ok(());
        }
        let message = format!("nothing is staged for checkpoint {}", committable.checkpoint);
        Err(Error::new(ErrorKind::StateMismatch, message).context("sink", &self.sink))
    }

    async fn abort(&mut self, _committable: &Committable) -> Result<()> {
        let mut session = self.session.lock().await;
        match session.as_mut() {
            Some(session) => session.roll_back().await,
            None => Ok(()),
        }
    }
}

/// The rows of a checkpoint, as `prepare_commit` counted them.
fn rows_of(committable: &Committable) -> u64 {
    committable.body.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)).unwrap_or_default()
}

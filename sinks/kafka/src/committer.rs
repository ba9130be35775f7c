//! Makes the staged transaction of a checkpoint visible.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use culvert_api::{Committable, Committer, Error, ErrorKind, Result};

use crate::writer::Session;

/// Commits the writer's transaction; below exactly once there is nothing to commit.
pub(crate) struct KafkaCommitter {
    pub(crate) session: Arc<Session>,
    /// The checkpoint that was last counted.
    pub(crate) counted: u64,
}

impl KafkaCommitter {
    fn count(&mut self, committable: &Committable) {
        if self.counted < committable.checkpoint {
            self.counted = committable.checkpoint;
            let rows = committable.body.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
            let progress = &self.session.context.progress;
            progress.rows_committed.fetch_add(rows.unwrap_or_default(), Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl Committer for KafkaCommitter {
    async fn commit(&mut self, committable: &Committable) -> Result<()> {
        let checkpoint = committable.checkpoint;
        let Some(transactional) = &self.session.transactional else {
            self.count(committable);
            return Ok(());
        };
        if self.session.at_link(move |link| link.commit(checkpoint)).await? {
            self.count(committable);
            return Ok(());
        }
        // Nothing is staged for it here: a commit from before a restart is told by its marker.
        let found = transactional.reader.read(&transactional.owner, &transactional.id).await?;
        if found.is_some_and(|found| found.head.checkpoint >= checkpoint) {
            return Ok(());
        }
        let message = format!("nothing is staged for checkpoint {checkpoint}");
        Err(Error::new(ErrorKind::StateMismatch, message).context("sink", &self.session.context.sink))
    }

    async fn abort(&mut self, _committable: &Committable) -> Result<()> {
        match self.session.transactional {
            Some(_) => self.session.at_link(|link| link.abort()).await,
            None => Ok(()),
        }
    }
}

//! Counts rows.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use async_trait::async_trait;
use culvert_api::{
    ChangeBatch, CommitMarker, Committable, Committer, JobProgress, Result, SchemaChange, SinkWriter,
    TableSchema, WriterContext,
};

use crate::sink::compare;

/// Takes the rows of one job branch.
pub(crate) struct InMemoryWriter {
    context: WriterContext,
    same: Option<Arc<(String, String)>>,
    rows_since_commit: u64,
}

impl InMemoryWriter {
    pub(crate) fn new(context: WriterContext, same: Option<Arc<(String, String)>>) -> InMemoryWriter {
        InMemoryWriter { context, same, rows_since_commit: 0 }
    }
}

#[async_trait]
impl SinkWriter for InMemoryWriter {
    async fn prepare_tables(&mut self, tables: &[Arc<TableSchema>], _fresh: bool) -> Result<()> {
        match &self.same {
            Some(same) => tables.iter().try_for_each(|table| compare(same, table)),
            None => Ok(()),
        }
    }

    async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        let rows = batch.len() as u64;
        self.rows_since_commit += rows;
        self.context.progress.rows_written.fetch_add(rows, Relaxed);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn apply_schema_change(&mut self, _change: &SchemaChange) -> Result<()> {
        Ok(())
    }

    async fn prepare_commit(&mut self, marker: &CommitMarker) -> Result<Committable> {
        let rows = std::mem::take(&mut self.rows_since_commit);
        Ok(Committable { checkpoint: marker.checkpoint, body: rows.to_le_bytes().to_vec() })
    }

    async fn close(&mut self) {}
}

/// Has nothing to make visible; counts.
pub(crate) struct InMemoryCommitter {
    progress: Arc<JobProgress>,
    counted: u64,
}

impl InMemoryCommitter {
    pub(crate) fn new(progress: Arc<JobProgress>) -> InMemoryCommitter {
        InMemoryCommitter { progress, counted: 0 }
    }
}

#[async_trait]
impl Committer for InMemoryCommitter {
    async fn commit(&mut self, committable: &Committable) -> Result<()> {
        if self.counted < committable.checkpoint {
            self.counted = committable.checkpoint;
            let rows = committable.body.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
            self.progress.rows_committed.fetch_add(rows.unwrap_or_default(), Relaxed);
        }
        Ok(())
    }

    async fn abort(&mut self, _committable: &Committable) -> Result<()> {
        Ok(())
    }
}

//! A sink that counts rows and drops them: what is left is the way from the log to a sink.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use async_trait::async_trait;
use culvert_api::{
    ChangeBatch, CommitMarker, Committable, Committer, DeliveryContract, Finding, OpenSink, Result,
    SchemaChange, Sink, SinkWriter, TableSchema, WriterContext,
};

use crate::task::Outcome;

/// Counts and drops.
#[derive(Debug, Default)]
pub(crate) struct DiscardSink {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    inserted: AtomicU64,
    updated: AtomicU64,
    deleted: AtomicU64,
}

impl DiscardSink {
    /// What it was given so far.
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome {
            inserted: self.counts.inserted.load(Relaxed),
            updated: self.counts.updated.load(Relaxed),
            deleted: self.counts.deleted.load(Relaxed),
            checkpoints: 0,
        }
    }
}

#[async_trait]
impl Sink for DiscardSink {
    fn name(&self) -> &str {
        "Discard"
    }

    fn contract(&self) -> DeliveryContract {
        DeliveryContract::AtLeastOnce
    }

    async fn check(&self, _tables: &[Arc<TableSchema>]) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    async fn open(&self, _context: &WriterContext) -> Result<OpenSink> {
        let writer = DiscardWriter { counts: Arc::clone(&self.counts) };
        Ok(OpenSink { writer: Box::new(writer), committer: Box::new(DiscardCommitter), marker: None })
    }

    async fn committed(&self, _job: &str, _sink: &str, _writer: u32) -> Result<Option<CommitMarker>> {
        Ok(None)
    }

    async fn forget(&self, _job: &str, _sink: &str) -> Result<()> {
        Ok(())
    }
}

struct DiscardWriter {
    counts: Arc<Counts>,
}

#[async_trait]
impl SinkWriter for DiscardWriter {
    async fn prepare_tables(&mut self, _tables: &[Arc<TableSchema>], _fresh: bool) -> Result<()> {
        Ok(())
    }

    async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        let mut counted = Outcome::default();
        counted.count(&batch.kinds);
        self.counts.inserted.fetch_add(counted.inserted, Relaxed);
        self.counts.updated.fetch_add(counted.updated, Relaxed);
        self.counts.deleted.fetch_add(counted.deleted, Relaxed);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn apply_schema_change(&mut self, _change: &SchemaChange) -> Result<()> {
        Ok(())
    }

    async fn prepare_commit(&mut self, marker: &CommitMarker) -> Result<Committable> {
        Ok(Committable { checkpoint: marker.checkpoint, body: Vec::new() })
    }

    async fn close(&mut self) {}
}

struct DiscardCommitter;

#[async_trait]
impl Committer for DiscardCommitter {
    async fn commit(&mut self, _committable: &Committable) -> Result<()> {
        Ok(())
    }

    async fn abort(&mut self, _committable: &Committable) -> Result<()> {
        Ok(())
    }
}

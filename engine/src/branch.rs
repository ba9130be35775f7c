//! One branch at work: takes batches from its queue, transforms them, writes them, and takes part
//! in checkpoints.

use std::sync::Arc;
use std::time::Duration;

use culvert_api::failpoint::pass;
use culvert_api::{
    ChangeBatch, Checkpoint, CommitMarker, Committer, Error, ErrorKind, JobProgress, Result, SinkWriter,
};
use tokio::sync::mpsc;

use crate::opener::Opened;
use crate::queue::Flow;
use crate::route::{Routed, Router};

/// What the checkpointer is told of a branch.
#[derive(Debug)]
pub(crate) struct Report {
    /// Which.
    pub(crate) branch: usize,
    /// What.
    pub(crate) word: Word,
}

/// What there is to tell.
#[derive(Debug)]
pub(crate) enum Word {
    /// Everything of this checkpoint is staged.
    Prepared(u64),
    /// This checkpoint is durable at the sink.
    Committed(u64),
    /// The branch has ended, or what feeds it.
    Failed(Error),
    /// Its writer was told that the job has come to its end.
    Finished,
    /// Its sink was opened again.
    Opened(Box<Opened>),
}

/// Everything a branch owns while it runs.
pub(crate) struct BranchWorker {
    /// Its place among the branches.
    pub(crate) at: usize,
    /// The epoch its sink was opened with.
    pub(crate) epoch: u64,
    pub(crate) job: String,
    pub(crate) sink: String,
    /// The writer's index, part of its marker's name.
    pub(crate) writer_index: u32,
    pub(crate) router: Router,
    pub(crate) writer: Box<dyn SinkWriter>,
    pub(crate) committer: Box<dyn Committer>,
    pub(crate) input: mpsc::Receiver<Flow>,
    /// The coordinator's word that a checkpoint is saved and may be committed.
    pub(crate) commit_orders: mpsc::Receiver<u64>,
    pub(crate) reports: mpsc::Sender<Report>,
    pub(crate) flush_after_idle: Duration,
    pub(crate) progress: Arc<JobProgress>,
}

impl BranchWorker {
    /// Works until the queue closes or something fails. Closes the writer in both cases: what is
    /// not committed never becomes visible.
    pub(crate) async fn run(mut self) {
        let result = self.work().await;
        self.writer.close().await;
        if let Err(error) = result {
            self.tell(Word::Failed(error)).await;
        }
    }

    /// Tells the checkpointer. False: it is gone, with an error of its own.
    async fn tell(&mut self, word: Word) -> bool {
        let report = Report { branch: self.at, word };
        self.reports.send(report).await.is_ok()
    }

    async fn work(&mut self) -> Result<()> {
        let mut held_back = false;
        loop {
            let item = if held_back {
                match tokio::time::timeout(self.flush_after_idle, self.input.recv()).await {
                    Ok(item) => item,
                    Err(_) => {
                        let _waiting = self.progress.waits("writing to sink", &self.sink);
                        self.writer.flush().await?;
                        held_back = false;
                        continue;
                    }
                }
            } else {
                self.input.recv().await
            };
            match item {
                None => return Ok(()),
                Some(Flow::End) => {
                    self.writer.finish().await?;
                    self.tell(Word::Finished).await;
                    return Ok(());
                }
                Some(Flow::Batch(batch, _permit)) => {
                    self.write(batch).await?;
                    held_back = true;
                }
                Some(Flow::SchemaChange(change)) => {
                    let routed = self.router.change(&change)?;
                    self.take_all(routed).await?;
                }
                Some(Flow::Barrier(checkpoint)) => {
                    if !self.checkpoint(&checkpoint).await? {
                        return Ok(());
                    }
                    held_back = false;
                }
            }
        }
    }

    async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        pass("engine.transform.before")?;
        let routed = self.router.batch(batch)?;
        for (transform, rows) in self.router.take_rejected() {
            self.progress.rejected.count(&self.sink, &transform, rows);
        }
        pass("engine.transform.after")?;
        self.take_all(routed).await
    }

    async fn take_all(&mut self, routed: Vec<Routed>) -> Result<()> {
        for item in routed {
            match item {
                Routed::Batch(batch) => {
                    pass("engine.write.before")?;
                    self.progress.written.count(&self.sink, &batch);
                    let waiting = self.progress.waits("writing to sink", &self.sink);
                    self.writer.write(batch).await?;
                    drop(waiting);
                    pass("engine.write.after")?;
                }
                Routed::Change(change) => {
                    pass("engine.schema.before")?;
                    let waiting = self.progress.waits("changing a table's shape at sink", &self.sink);
                    self.writer.apply_schema_change(&change).await?;
                    drop(waiting);
                    pass("engine.schema.after")?;
                }
            }
        }
        Ok(())
    }

    /// Stages, reports, waits for the word, commits, reports. False: the coordinator is gone and
    /// the staged rows are dropped with the connection.
    async fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<bool> {
        let marker = CommitMarker {
            job: self.job.clone(),
            sink: self.sink.clone(),
            writer: self.writer_index,
            epoch: self.epoch,
            checkpoint: checkpoint.id,
            source: Some(checkpoint.source.clone()),
        };
        pass("engine.prepare.before")?;
        let waiting = self.progress.waits("preparing a commit at sink", &self.sink);
        let committable = self.writer.prepare_commit(&marker).await?;
        drop(waiting);
        pass("engine.prepare.after")?;
        if !self.tell(Word::Prepared(checkpoint.id)).await {
            return Ok(false);
        }
        match self.commit_orders.recv().await {
            Some(id) if id == checkpoint.id => {}
            _ => {
                self.committer.abort(&committable).await?;
                return Ok(false);
            }
        }
        pass("engine.commit.before")?;
        let waiting = self.progress.waits("committing at sink", &self.sink);
        self.committer.commit(&committable).await?;
        drop(waiting);
        pass("engine.commit.after")?;
        Ok(self.tell(Word::Committed(checkpoint.id)).await)
    }
}

/// Runs a branch to its end. A panic in it is a failure like another, or the checkpointer would wait for
/// a word of it for ever.
pub(crate) async fn watch(worker: BranchWorker) {
    let (branch, sink, reports) = (worker.at, worker.sink.clone(), worker.reports.clone());
    if let Err(panic) = tokio::spawn(worker.run()).await {
        let error = Error::new(ErrorKind::Internal, "the task of a sink panicked")
            .context("sink", sink)
            .caused_by(panic)
            .hint("start the job again: it goes on from its last checkpoint; please report the panic");
        // The coordinator may be gone already, with an error of its own.
        let _ = reports.send(Report { branch, word: Word::Failed(error) }).await;
    }
}

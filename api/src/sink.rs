//! The promises of a sink: a writer stages rows, a committer makes them visible together with
//! the commit marker.
//!
//! Order of calls by the engine: `check` (only `culvert check --connect`) · `open` (takes the
//! fence, returns the marker) · `writer.prepare_tables` · then any number of `write` and
//! `apply_schema_change`; at barrier N `prepare_commit(N)`, after the checkpoint is saved
//! `committer.commit`, then rows again. "Accepted" is what `write` promises; "durable" is what
//! `commit` promises.

use std::sync::Arc;

use async_trait::async_trait;

use crate::batch::ChangeBatch;
use crate::check::Finding;
use crate::checkpoint::CommitMarker;
use crate::error::Result;
use crate::progress::JobProgress;
use crate::schema::{SchemaChange, TableSchema};

/// How often a row can arrive at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryContract {
    /// Once, whatever happens: rows and marker share an atomic unit.
    ExactlyOnce,
    /// Replays overwrite themselves by key.
    EffectivelyOnceByKey,
    /// A crash can repeat rows.
    AtLeastOnce,
}

/// What a writer gets from the engine.
#[derive(Clone, Debug)]
pub struct WriterContext {
    /// The job's name.
    pub job: String,
    /// The sink's name in the job graph, stable across restarts.
    pub sink: String,
    /// The writer's index.
    pub writer: u32,
    /// This attempt's epoch, larger than every earlier one.
    pub epoch: u64,
    /// Counters to keep up.
    pub progress: Arc<JobProgress>,
}

/// What `prepare_commit` staged, for the committer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committable {
    /// The checkpoint it belongs to.
    pub checkpoint: u64,
    /// What the sink's own committer understands.
    pub body: Vec<u8>,
}

/// What [`Sink::open`] returns.
pub struct OpenSink {
    /// Stages rows.
    pub writer: Box<dyn SinkWriter>,
    /// Makes them visible.
    pub committer: Box<dyn Committer>,
    /// What the target says is committed. `None`: the target has never seen this job and sink
    /// before this call. A sink with a contract below exactly-once always answers `None`.
    pub marker: Option<CommitMarker>,
}

/// A target to deliver to.
#[async_trait]
pub trait Sink: Send + Sync {
    /// The plugin's name as users write it.
    fn name(&self) -> &str;

    /// What it promises, with the options it was given.
    fn contract(&self) -> DeliveryContract;

    /// Whether several writers may work on its tables at once, each with its own marker; the reason why
    /// not, as an operator error. A sink whose options would drop rows at a start has to refuse: the rows
    /// may be another writer's.
    fn shareable(&self) -> Result<()> {
        Ok(())
    }

    /// Connects, reads rights and target tables for these upstream tables, writes nothing. `Err`
    /// only when the check itself could not run.
    async fn check(&self, tables: &[Arc<TableSchema>]) -> Result<Vec<Finding>>;

    /// Takes the fence: stores `context.epoch` in the target so that every writer of an older
    /// epoch fails there, and returns the marker as of now. Creates the place for the marker when
    /// it is missing (with checkpoint 0). Writes no rows. The marker that is already there, if
    /// any, decides: an epoch in it that is not smaller than ours is [`crate::ErrorKind::Fenced`],
    /// with the found epoch in the error context `epoch`.
    async fn open(&self, context: &WriterContext) -> Result<OpenSink>;

    /// The marker of one writer as of now, without taking the fence; `None` when there is none. Lets
    /// the engine choose an epoch above it.
    async fn committed(&self, job: &str, sink: &str, writer: u32) -> Result<Option<CommitMarker>>;

    /// Removes the markers of this job and sink, of all writers (asked for by the user: start from
    /// scratch).
    async fn forget(&self, job: &str, sink: &str) -> Result<()>;
}

/// Stages rows of one job branch.
#[async_trait]
pub trait SinkWriter: Send {
    /// Called once after `open`, before any row: makes the target tables ready. `fresh` is true
    /// when nothing of this job was ever committed; only then save modes may drop or create. A table that joins
    /// later is not among these: it comes as a change of shape without a before.
    async fn prepare_tables(&mut self, tables: &[Arc<TableSchema>], fresh: bool) -> Result<()>;

    /// Accepts a batch. `Ok` promises order per key, not durability.
    async fn write(&mut self, batch: ChangeBatch) -> Result<()>;

    /// Nothing arrived for a while: pass on what is held back. Durability still waits for commit.
    async fn flush(&mut self) -> Result<()>;

    /// Follows a change of shape; called only directly after a commit, with nothing staged, and
    /// again after a crash: it must be idempotent. Without a before the table joins: nothing of it was ever
    /// committed, so its target is made where it is missing, by the save modes.
    async fn apply_schema_change(&mut self, change: &SchemaChange) -> Result<()>;

    /// Stages everything before the barrier, with this marker in the same atomic unit. Rows
    /// stay invisible until the committer has committed. No rows are accepted until then.
    async fn prepare_commit(&mut self, marker: &CommitMarker) -> Result<Committable>;

    /// The job has come to its end and everything is committed: called once, before `close`, and only then.
    /// A job that is stopped or fails has not come to its end. An error fails the job.
    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    /// Drops what is staged and ends connections. Nothing uncommitted becomes visible.
    async fn close(&mut self);
}

/// Makes staged rows visible.
#[async_trait]
pub trait Committer: Send {
    /// Commits. Idempotent: committing twice is once. An error leaves open whether it happened;
    /// the marker tells after a restart.
    async fn commit(&mut self, committable: &Committable) -> Result<()>;

    /// Drops what was staged.
    async fn abort(&mut self, committable: &Committable) -> Result<()>;
}

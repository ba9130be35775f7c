//! The promises of a source: it says whether it ends, an enumerator cuts its work into splits, a
//! reader turns splits into change batches.
//!
//! Order of calls by the engine: `check` (only `culvert check --connect`) · `tables` ·
//! `enumerator` with the restored state, before · `reader` with the restored state · then, on one
//! task: `next_splits` whenever the reader wants some, `add_splits`, `next`, and at a checkpoint
//! `request_barrier` until `next` answers with [`SourceEvent::Barrier`].

use std::sync::Arc;

use async_trait::async_trait;

use crate::batch::ChangeBatch;
use crate::check::Finding;
use crate::checkpoint::SourceState;
use crate::error::Result;
use crate::group::Group;
use crate::needs::Needs;
use crate::progress::JobProgress;
use crate::schema::{SchemaChange, TableSchema};

/// Whether a source ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundedness {
    /// It ends: a batch job may use it.
    Bounded,
    /// It goes on until it is stopped.
    Unbounded,
}

/// A piece of work for a reader: a key range of a table, or the log from a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Unique in the job, for example `db.t:17` or `stream`.
    pub id: String,
    /// What the source's own reader understands.
    pub body: Vec<u8>,
}

/// A reader has returned every row of a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitFinished {
    /// The split.
    pub id: String,
    /// What the reader left of it because it was larger than its bounds; goes back to the
    /// enumerator as work still to be done.
    pub remainder: Option<Split>,
}

/// What [`SourceReader::next`] returns. In band: each item comes after everything before it.
#[derive(Debug)]
pub enum SourceEvent {
    /// Rows.
    Batch(ChangeBatch),
    /// A captured table changed its shape.
    SchemaChange(SchemaChange),
    /// A split is done; rows of it lie in earlier batches.
    SplitFinished(SplitFinished),
    /// The answer to `request_barrier`, at the end of a source transaction: every row before it
    /// was returned.
    Barrier {
        /// The reader's part of the source state.
        reader: Vec<u8>,
        /// The position for people.
        position: String,
    },
    /// Nothing happened for a short while. Lets the engine look at its clock.
    Idle,
    /// A bounded source has returned everything.
    End,
}

/// What a reader gets from the engine.
#[derive(Clone, Debug)]
pub struct ReaderContext {
    /// The job's name.
    pub job: String,
    /// The source's name among those of the job; its plugin's where it is the only one.
    pub source: String,
    /// Counters to keep up.
    pub progress: Arc<JobProgress>,
}

/// A database to read changes from.
#[async_trait]
pub trait Source: Send + Sync {
    /// The plugin's name as users write it.
    fn name(&self) -> &str;

    /// Whether it ends by itself.
    fn boundedness(&self) -> Boundedness;

    /// Who shares its work, for a source that several processes can read together. The engine then works
    /// on the shares it is given, each a source of its own, and asks this one for no enumerator or reader.
    fn group(&self) -> Option<Arc<dyn Group>> {
        None
    }

    /// The tables, where the options alone say what they are; `None` when a server has to be asked. Lets a
    /// job file be judged as a whole without a connection.
    fn declared_tables(&self) -> Result<Option<Vec<Arc<TableSchema>>>> {
        Ok(None)
    }

    /// Told before `tables`, at every attempt: which columns anybody needs. The source may leave the others
    /// out of its tables, its rows and its changes of shape. One that overrides nothing reads all of them.
    fn push_down(&self, _needs: Arc<dyn Needs>) {}

    /// Connects, reads server settings, rights and tables, writes nothing. `Err` only when the
    /// check itself could not run.
    async fn check(&self) -> Result<Vec<Finding>>;

    /// The captured tables as of this state, or as they are now without one: what the sinks
    /// prepare for. Those that join a job with state are not among them: the reader tells of each, behind a
    /// barrier whose state does not have it, by a change of shape without a before. Called once per attempt.
    /// Errors are operator errors when a table is missing or unfit.
    async fn tables(&self, state: Option<&SourceState>) -> Result<Vec<Arc<TableSchema>>>;

    /// The enumerator, restored before the reader. Without a state this is a fresh start and the
    /// start position is fixed here.
    async fn enumerator(
        &self,
        context: ReaderContext,
        state: Option<&SourceState>,
    ) -> Result<Box<dyn SplitEnumerator>>;

    /// The reader. Does not read yet.
    async fn reader(
        &self,
        context: ReaderContext,
        state: Option<&SourceState>,
    ) -> Result<Box<dyn SourceReader>>;
}

/// Cuts the work into splits and remembers which are done.
#[async_trait]
pub trait SplitEnumerator: Send {
    /// Up to `wanted` splits for the reader; empty when there is nothing to hand out now. A split
    /// is handed out once until it comes back.
    async fn next_splits(&mut self, wanted: usize) -> Result<Vec<Split>>;

    /// Takes splits back from a reader that failed before finishing them.
    fn add_splits_back(&mut self, splits: Vec<Split>);

    /// The reader finished a split.
    fn split_finished(&mut self, finished: SplitFinished) -> Result<()>;

    /// The state to restore from. Splits handed out and not finished count as not handed out.
    fn snapshot_state(&self) -> Result<Vec<u8>>;
}

/// Turns splits into batches.
#[async_trait]
pub trait SourceReader: Send {
    /// How many more splits the reader can work on now.
    fn splits_wanted(&self) -> usize;

    /// Hands splits over.
    fn add_splits(&mut self, splits: Vec<Split>) -> Result<()>;

    /// The next thing that happened; returns within a short linger even when nothing did. The
    /// engine never drops this future half-way. A transient error ends the attempt; the job is
    /// then restored from its last checkpoint.
    async fn next(&mut self) -> Result<SourceEvent>;

    /// Asks for a barrier at the next end of a source transaction. Asking twice is asking once.
    fn request_barrier(&mut self);

    /// Every sink has committed this state: the source may forget what lies before it.
    async fn checkpoint_complete(&mut self, state: &SourceState) -> Result<()>;

    /// Ends connections and helper tasks.
    async fn close(&mut self);
}

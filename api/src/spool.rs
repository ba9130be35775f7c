//! The spool's promises: the stream between the source and its sinks, kept on disk for as long as
//! some sink does not hold it.
//!
//! Several exactly-once sinks cannot commit in one atomic step. Between the first commit of a
//! checkpoint and the last, a crash leaves them apart, and the source cannot say the same rows again: a
//! snapshot's chunk that is read again shows a later state. So what a checkpoint covers is kept, as a
//! *segment*, before any sink commits it; a sink that is behind takes the segments it lacks.
//!
//! A segment holds the items between two checkpoints and ends with the later one. It knows what the
//! earlier one was, so that segments make a chain: one of another run does not fit into it.

use std::sync::Arc;

use crate::batch::ChangeBatch;
use crate::checkpoint::{Checkpoint, SourceState};
use crate::error::Result;
use crate::schema::{SchemaChange, TableSchema};

/// What a segment holds, in order.
#[derive(Clone, Debug)]
pub enum SpoolItem {
    /// Rows.
    Batch(ChangeBatch),
    /// A captured table changed its shape.
    SchemaChange(SchemaChange),
}

/// The spool of one job, held by one process. Calls block on the disk.
pub trait Spool: Send + Sync {
    /// Begins anew behind a checkpoint, as of which there are these tables: segments of later ones, and what
    /// was appended and not sealed, are forgotten. `last` is `(0, None)` before the first.
    fn start(&self, last: (u64, Option<&SourceState>), tables: &[Arc<TableSchema>]) -> Result<()>;

    /// Adds an item to the open segment.
    fn append(&self, item: &SpoolItem) -> Result<()>;

    /// Ends the open segment with its checkpoint and begins the next. `tables` are those as of the
    /// checkpoint, when any changed in the segment. `Ok` promises that it survives a crash of the machine.
    fn seal(&self, checkpoint: &Checkpoint, tables: Option<&[Arc<TableSchema>]>) -> Result<()>;

    /// The tables as of a checkpoint that some sink stands at.
    fn tables(&self, checkpoint: u64) -> Result<Vec<Arc<TableSchema>>>;

    /// Whether the segments behind this checkpoint lead without a gap to that one, each whole and each
    /// beginning with the state the one before ended with.
    ///
    /// # Errors
    /// [`crate::ErrorKind::StateMismatch`], naming the segment that is missing or does not fit.
    fn verify(&self, behind: (u64, Option<&SourceState>), up_to: &Checkpoint) -> Result<()>;

    /// Reads the segment that ends with this checkpoint.
    fn read(&self, checkpoint: u64) -> Result<Box<dyn SegmentReader>>;

    /// Forgets the segments up to this checkpoint: every sink holds them.
    fn forget(&self, up_to: u64) -> Result<()>;

    /// Bytes of the sealed segments.
    fn bytes(&self) -> u64;
}

/// Reads one segment.
pub trait SegmentReader: Send {
    /// The checkpoint it ends with.
    fn checkpoint(&self) -> &Checkpoint;

    /// The next item; `None` behind the last.
    fn next(&mut self) -> Result<Option<SpoolItem>>;
}

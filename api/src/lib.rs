//! The vocabulary of Culvert and the traits its parts meet at.
//!
//! Nothing here does I/O and nothing of ours lies beneath it. Read [`batch`] for the unit that
//! moves, [`source`] and [`sink`] for the promises of a connector, [`checkpoint`] for what makes
//! delivery exactly once, and [`error`] for the four classes every failure falls into.

pub mod batch;
pub mod check;
pub mod checkpoint;
pub mod condition;
pub mod error;
pub mod event;
pub mod failpoint;
pub mod group;
pub mod guard;
pub mod holding;
pub mod measure;
pub mod needs;
pub mod progress;
pub mod row_kind;
pub mod schema;
pub mod sink;
pub mod source;
pub mod spool;
pub mod sql_text;
pub mod store;
pub mod transform;

pub use batch::{ChangeBatch, LogPlace, RowPosition, Transaction, Unavailable};
pub use check::{Finding, Severity};
pub use checkpoint::{Checkpoint, CommitMarker, SourceState};
pub use condition::{Comparison, Condition};
pub use error::{Error, ErrorClass, ErrorKind, Result};
pub use event::{EventKind, EventListener, EventSeverity, ShapeChange};
pub use group::{Group, Hold, HoldEnd, Member, Share, Turn};
pub use holding::{Holding, Holdings, SourceTables, Taking};
pub use measure::{
    EndToEnd, Flowed, LastCheckpoint, LogStanding, PurgeDistance, Queues, Rejected, SlotRetention,
    StandingTeller, Standings, Traffic,
};
pub use needs::{Narrowing, Needs};
pub use progress::{JobProgress, Phase};
pub use row_kind::{RowKind, RowKindSet};
pub use schema::{Column, Dialect, SchemaChange, SourceType, TableId, TableSchema};
pub use sink::{Committable, Committer, DeliveryContract, OpenSink, Sink, SinkWriter, WriterContext};
pub use source::{
    Boundedness, ReaderContext, Source, SourceEvent, SourceReader, Split, SplitEnumerator, SplitFinished,
};
pub use spool::{SegmentReader, Spool, SpoolItem};
pub use store::StateStore;
pub use transform::Transform;

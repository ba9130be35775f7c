//! Checkpoints and commit markers: what makes delivery exactly once.
//!
//! A checkpoint is saved in the state store before any sink commits it; each sink writes its
//! commit marker in the same atomic unit as the rows. After a crash the markers tell which
//! checkpoint really took effect; the store is a cache of that truth.

use serde::{Deserialize, Serialize};

/// Everything a source needs to go on from a point: opaque to the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// State of the split enumerator: what is planned, handed out, finished.
    pub enumerator: Vec<u8>,
    /// State of the reader: offsets, schema history, finished key ranges.
    pub reader: Vec<u8>,
}

/// One checkpoint of a job. Ids count up from 1; 0 is "before the first row".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Its number.
    pub id: u64,
    /// The epoch that took it.
    pub epoch: u64,
    /// When it was taken, in milliseconds since 1970 UTC. For people; nothing depends on it.
    pub created_ms: u64,
    /// Where the source stands.
    pub source: SourceState,
}

/// What a sink stores beside the rows, in the same atomic unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitMarker {
    /// The job's name.
    pub job: String,
    /// The sink's name in the job graph.
    pub sink: String,
    /// The writer's index.
    pub writer: u32,
    /// The epoch that wrote it. A writer of an older epoch must fail at the sink.
    pub epoch: u64,
    /// The checkpoint that is complete with this commit; 0 before the first.
    pub checkpoint: u64,
    /// The source state of that checkpoint, so that a lost state store can be rebuilt.
    pub source: Option<SourceState>,
}

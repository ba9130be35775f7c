//! What the source stores in a checkpoint. Versioned: `state/testdata` of this crate holds one
//! golden file per version.

use culvert_api::{Error, ErrorKind, Result, TableId};
use culvert_snapshot::{RangeSet, TablePlan};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ddl::TableDef;
use crate::key::KeyBound;
use crate::position::{BinlogPosition, StreamPosition};

/// The version this code writes.
const VERSION: u8 = 1;

/// The enumerator's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EnumeratorState {
    pub(crate) start: StreamPosition,
    pub(crate) tables: Vec<(TableId, TablePlan<KeyBound>)>,
}

/// The reader's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReaderState {
    pub(crate) position: StreamPosition,
    /// `stop.mode`'s place, fixed at the first start.
    pub(crate) stop_at: Option<BinlogPosition>,
    pub(crate) tables: Vec<TableState>,
    /// Definitions of tables of the same databases that are not captured.
    pub(crate) others: Vec<TableDef>,
    /// Default character sets of databases.
    pub(crate) charsets: std::collections::BTreeMap<String, String>,
}

/// One captured table as of the position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableState {
    /// The shape rows are decoded with.
    pub(crate) def: TableDef,
    /// The shape rows leave with, where changes of shape are not followed.
    pub(crate) output: Option<TableDef>,
    pub(crate) version: u64,
    /// Key ranges that left the source.
    pub(crate) done: RangeSet<KeyBound>,
    /// The definition was read at this place; statements before it are already in it.
    pub(crate) known_from: Option<BinlogPosition>,
}

impl TableState {
    pub(crate) fn id(&self) -> TableId {
        TableId::new(&self.def.database, &self.def.table)
    }
}

/// The body of the split that stands for the stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StreamSplit {
    pub(crate) state: ReaderState,
}

/// The body of a split that stands for a chunk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ChunkSplit {
    pub(crate) table: TableId,
    pub(crate) number: u64,
    pub(crate) range: culvert_snapshot::KeyRange<KeyBound>,
}

impl ChunkSplit {
    pub(crate) fn id(&self) -> String {
        format!("{}:{}", self.table, self.number)
    }
}

pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, value)
        .map_err(|error| Error::new(ErrorKind::Internal, "state that cannot be stored").caused_by(error))?;
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    match bytes.split_first() {
        Some((&VERSION, body)) => serde_json::from_slice(body)
            .map_err(|error| Error::new(ErrorKind::Corrupt, "stored source state is damaged").caused_by(error)),
        Some((version, _)) => Err(Error::new(
            ErrorKind::StateMismatch,
            format!("stored source state has version {version}, this program knows {VERSION}"),
        )
        .hint("use the program version that wrote it, or a newer one")),
        None => Err(Error::new(ErrorKind::Corrupt, "stored source state is empty")),
    }
}

//! What the source stores in a checkpoint. Versioned by its first byte; `testdata` holds what each
//! version wrote, and every version still reads.

use culvert_api::{Error, ErrorKind, Result, TableId};
use culvert_postgres::quote;
use culvert_snapshot::{KeyRange, RangeSet, TablePlan};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::key::KeyBound;
use crate::lsn::Lsn;
use crate::shape::TableDef;
use crate::standing::Standing;
use crate::visibility::Snapshot;

#[cfg(test)]
mod tests;

/// The version this code writes.
const VERSION: u8 = 1;

/// The enumerator's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EnumeratorState {
    pub(crate) tables: Vec<(TableId, TablePlan<KeyBound>)>,
}

/// The reader's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReaderState {
    /// The identifier of the database cluster, which its standbys share; empty where the server does
    /// not tell.
    pub(crate) system: String,
    pub(crate) slot: String,
    pub(crate) publication: String,
    /// Behind a commit, or the end of the log between two.
    pub(crate) position: Lsn,
    /// Changes of the transaction behind the position that are in the checkpoint already: a table
    /// changed its shape in the middle of one.
    pub(crate) skip: u64,
    /// `stop.mode`'s place, fixed at the first start.
    pub(crate) stop_at: Option<Lsn>,
    pub(crate) tables: Vec<TableState>,
    /// Transactions up to the position that changed unread rows and may not be visible yet.
    pub(crate) unseen: Vec<u32>,
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
    /// Those of them whose reading the stream has not passed.
    pub(crate) recent: Vec<RecentRange>,
    /// What the server said of it besides; nothing in the states of earlier programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) standing: Option<Standing>,
}

/// A range, what its read view showed, and the end of the log after the view was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecentRange {
    pub(crate) range: KeyRange<KeyBound>,
    pub(crate) snapshot: Snapshot,
    pub(crate) high: Lsn,
}

impl TableState {
    /// A table none of whose rows was read, or one whose rows of before are not wanted.
    pub(crate) fn new(def: TableDef, snapshot_wanted: bool) -> TableState {
        let done = if snapshot_wanted { RangeSet::default() } else { RangeSet::complete() };
        TableState { def, output: None, version: 0, done, recent: Vec::new(), standing: None }
    }

    pub(crate) fn id(&self) -> TableId {
        self.def.id()
    }
}

/// The body of the split that stands for the stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StreamSplit {
    pub(crate) state: ReaderState,
    /// Tables that join: no checkpoint has them yet, and sinks have not heard of them.
    pub(crate) joining: Vec<TableState>,
}

/// The body of a split that stands for a chunk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ChunkSplit {
    pub(crate) table: TableId,
    pub(crate) number: u64,
    pub(crate) range: KeyRange<KeyBound>,
}

impl ChunkSplit {
    pub(crate) fn id(&self) -> String {
        format!("{}:{}", table_text(&self.table), self.number)
    }
}

/// A table's name that no other table's name looks like: a part with a dot in it is quoted.
pub(crate) fn table_text(id: &TableId) -> String {
    let part = |name: &str| {
        if name.contains(['.', '"']) { quote::identifier(name) } else { name.to_owned() }
    };
    let parts = [Some(id.database.as_str()), id.schema.as_deref(), Some(id.table.as_str())];
    parts.into_iter().flatten().map(part).collect::<Vec<_>>().join(".")
}

pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, value)
        .map_err(|error| Error::new(ErrorKind::Internal, "state that cannot be stored").caused_by(error))?;
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    match bytes.split_first() {
        Some((&VERSION, body)) => serde_json::from_slice(body).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "stored source state is damaged").caused_by(error)
        }),
        Some((version, _)) => Err(Error::new(
            ErrorKind::StateMismatch,
            format!("stored source state has version {version}, this program knows {VERSION}"),
        )
        .hint("use the program version that wrote it, or a newer one")),
        None => Err(Error::new(ErrorKind::Corrupt, "stored source state is empty")),
    }
}

//! The unit that moves: rows of one table in one shape, as columns, each row with its kind.

mod keep;

use std::fmt;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_buffer::BooleanBuffer;
use serde::{Deserialize, Serialize};

use crate::row_kind::RowKind;
use crate::schema::TableSchema;

/// Where a row stands in its source: the n-th row of the m-th event of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowPosition {
    /// Index into [`ChangeBatch::transactions`].
    pub transaction: u32,
    /// The event inside the transaction, from 0.
    pub event: u32,
    /// The row inside the event, from 0.
    pub row: u32,
}

/// Where a transaction stands in its server's log, in the server's own terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogPlace {
    /// The binlog of MySQL or MariaDB.
    MySql {
        /// `server_id` of the server where it was committed first.
        server_id: u32,
        /// Its GTID, where the server has them.
        gtid: Option<String>,
        /// The file it begins in.
        file: String,
        /// The offset it begins at.
        offset: u64,
    },
    /// The log of PostgreSQL.
    Postgres {
        /// Its number at the server (`xid`).
        xid: u32,
        /// The place of its commit.
        commit_lsn: u64,
    },
}

/// A transaction of the source, or a chunk of its snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// A GTID, `file:pos` or LSN in a log, `snapshot:table:chunk` for rows that were there before.
    pub name: String,
    /// When it was committed, by the source's clock and as precisely as its log has it, in microseconds
    /// since 1970 UTC. `None` for a snapshot, and where the log does not say.
    pub committed_us: Option<i64>,
    /// Whether its rows were there before the log was followed.
    pub is_snapshot: bool,
    /// Where the log has it, for messages that tell it. `None` for a snapshot, and where a source has no log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<LogPlace>,
}

impl Transaction {
    /// One of a log.
    pub fn logged(name: impl Into<String>, committed_us: Option<i64>) -> Arc<Transaction> {
        Arc::new(Transaction { name: name.into(), committed_us, is_snapshot: false, place: None })
    }

    /// One of a log whose place there is known.
    pub fn placed(name: impl Into<String>, committed_us: Option<i64>, place: LogPlace) -> Arc<Transaction> {
        Arc::new(Transaction { name: name.into(), committed_us, is_snapshot: false, place: Some(place) })
    }

    /// A chunk of a snapshot.
    pub fn snapshot(chunk: impl fmt::Display) -> Arc<Transaction> {
        let name = format!("snapshot:{chunk}");
        Arc::new(Transaction { name, committed_us: None, is_snapshot: true, place: None })
    }
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Rows of one table in one schema version.
///
/// `rows`, `kinds` and `positions` have the same length. The two rows of an update are adjacent,
/// `-U` then `+U`. An update that changes the key leaves the source as `-D` then `+I`; the `+I` may leave
/// out values that did not change, and then stands directly behind its `-D` (see
/// [`moved_from`](ChangeBatch::moved_from)).
#[derive(Clone, Debug)]
pub struct ChangeBatch {
    /// The table's shape; `rows` carries `schema.arrow`.
    pub schema: Arc<TableSchema>,
    /// The values, one column per `schema.columns`.
    pub rows: RecordBatch,
    /// One kind per row.
    pub kinds: Vec<RowKind>,
    /// One position per row.
    pub positions: Vec<RowPosition>,
    /// The transactions the rows come from, in order.
    pub transactions: Vec<Arc<Transaction>>,
    /// Values the log left out, per column that has any; empty when the log told everything. What
    /// is left out is not NULL: `rows` holds a NULL there only because it has to hold something.
    pub unavailable: Vec<Unavailable>,
}

/// The rows of a batch whose value in one column the log left out (an unchanged value stored out of
/// line in PostgreSQL, all but the key of a deleted row without a full replica identity).
#[derive(Clone, Debug, PartialEq)]
pub struct Unavailable {
    /// Place of the column.
    pub column: usize,
    /// One bit per row; set where the value is unavailable.
    pub rows: BooleanBuffer,
}

impl ChangeBatch {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The transaction of a row.
    pub fn transaction(&self, row: usize) -> Option<&Transaction> {
        let number = usize::try_from(self.positions.get(row)?.transaction).ok()?;
        self.transactions.get(number).map(AsRef::as_ref)
    }

    /// Whether the log left this value out.
    pub fn is_unavailable(&self, row: usize, column: usize) -> bool {
        self.unavailable.iter().any(|left_out| {
            left_out.column == column && row < left_out.rows.len() && left_out.rows.value(row)
        })
    }

    /// The row under the key it had before: the delete in front of an insert, when both are the two sides
    /// of one update that changed the key. What the insert leaves out, is what that row holds.
    pub fn moved_from(&self, row: usize) -> Option<usize> {
        let before = row.checked_sub(1)?;
        if (self.kinds.get(before)?, self.kinds.get(row)?) != (&RowKind::Delete, &RowKind::Insert) {
            return None;
        }
        let (left, came) = (self.positions.get(before)?, self.positions.get(row)?);
        let is_one_change = (left.transaction, left.event) == (came.transaction, came.event)
            && left.row.checked_add(1) == Some(came.row);
        is_one_change.then_some(before)
    }

    /// Bytes the batch occupies, as queues count them.
    pub fn memory_bytes(&self) -> usize {
        let columns: usize = self.rows.columns().iter().map(|c| c.get_buffer_memory_size()).sum();
        columns + self.kinds.len() * (size_of::<RowKind>() + size_of::<RowPosition>())
    }
}

#[cfg(test)]
mod tests;

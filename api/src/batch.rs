//! The unit that moves: rows of one table in one shape, as columns, each row with its kind.

use std::sync::Arc;

use arrow_array::{Array, RecordBatch};

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

/// Rows of one table in one schema version.
///
/// `rows`, `kinds` and `positions` have the same length. The two rows of an update are adjacent,
/// `-U` then `+U`. An update that changes the key leaves the source as `-D` then `+I`.
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
    /// Names of the transactions the rows come from, in order: a GTID or `file:pos` in a log,
    /// `snapshot:table:chunk` for rows that were there before.
    pub transactions: Vec<Arc<str>>,
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

    /// Bytes the batch occupies, as queues count them.
    pub fn memory_bytes(&self) -> usize {
        let columns: usize = self.rows.columns().iter().map(|c| c.get_buffer_memory_size()).sum();
        columns + self.kinds.len() * (size_of::<RowKind>() + size_of::<RowPosition>())
    }
}

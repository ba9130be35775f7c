//! Rows that were read, until they make a batch.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::BooleanBuffer;
use culvert_api::{ChangeBatch, Error, ErrorKind, Result, RowKind, RowPosition, TableSchema, Unavailable};
use culvert_values::array;

use super::{Cell, Row};

/// Rows of consecutive messages of one partition.
#[derive(Debug, Default)]
pub struct Rows {
    kinds: Vec<RowKind>,
    positions: Vec<RowPosition>,
    rows: Vec<Row>,
    /// Messages so far, those without a row included.
    messages: u32,
    bytes: usize,
}

impl Rows {
    pub(super) fn push_message(&mut self, found: Vec<(RowKind, Row)>) {
        for (row, (kind, cells)) in (0u32..).zip(found) {
            self.kinds.push(kind);
            self.positions.push(RowPosition { transaction: 0, event: self.messages, row });
            self.bytes += cells.iter().map(size_of_cell).sum::<usize>();
            self.rows.push(cells);
        }
        self.messages = self.messages.saturating_add(1);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Whether the last row is the first half of an update, whose other half is in the next message.
    pub fn ends_half_way(&self) -> bool {
        self.kinds.last() == Some(&RowKind::UpdateBefore)
    }

    /// Bytes that the rows hold.
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// The batch, and none of its rows here any more. `name` is its transaction's: topic, partition and
    /// first offset.
    pub fn take(&mut self, schema: &Arc<TableSchema>, name: &str) -> Result<ChangeBatch> {
        let taken = std::mem::take(self);
        let mut columns = Vec::with_capacity(schema.columns.len());
        let mut unavailable = Vec::new();
        for (at, column) in schema.columns.iter().enumerate() {
            let cells = || taken.rows.iter().map(|row| row.get(at).unwrap_or(&Cell::LeftOut));
            let array = array(&column.data_type, cells()).ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, "a column of a type that is not read from messages")
                    .context("table", &schema.id)
                    .context("column", &column.name)
            })?;
            columns.push(array);
            if cells().any(|cell| *cell == Cell::LeftOut) {
                let rows: BooleanBuffer = cells().map(|cell| *cell == Cell::LeftOut).collect();
                unavailable.push(Unavailable { column: at, rows });
            }
        }
        // A value that was left out is held as a NULL, in columns that take none as well.
        let fields: Vec<_> =
            schema.arrow.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let held = match unavailable.is_empty() {
            true => Arc::clone(&schema.arrow),
            false => Arc::new(arrow_schema::Schema::new(fields)),
        };
        let rows = RecordBatch::try_new(held, columns).map_err(|failed| {
            Error::new(ErrorKind::Internal, "rows of messages do not make a batch")
                .context("table", &schema.id)
                .caused_by(failed)
        })?;
        Ok(ChangeBatch {
            schema: Arc::clone(schema),
            rows,
            kinds: taken.kinds,
            positions: taken.positions,
            transactions: vec![culvert_api::Transaction::logged(name, None)],
            unavailable,
        })
    }
}

fn size_of_cell(cell: &Cell) -> usize {
    size_of::<Cell>()
        + match cell {
            Cell::Text(text) => text.len(),
            Cell::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
}

//! Builds the rows of one table, column by column.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::BooleanBufferBuilder;
use culvert_api::{Error, ErrorKind, Result, RowKind, RowPosition, TableSchema, Unavailable};

use super::{Cell, ColumnBuilder, NanPolicy};
use crate::column::ColumnDef;

/// What a row weighs beside its values.
const ROW_BYTES: usize = 24;

/// Rows on their way into columns.
pub(crate) struct RowsBuilder {
    schema: Arc<TableSchema>,
    columns: Vec<ColumnBuilder>,
    /// Per column that has any: which values the log left out.
    left_out: Vec<Option<BooleanBufferBuilder>>,
    kinds: Vec<RowKind>,
    positions: Vec<RowPosition>,
    bytes: usize,
    /// Columns in which NULL came and was not expected.
    null_in: Vec<usize>,
}

/// Finished rows, in the shape of the table.
pub(crate) struct BuiltRows {
    pub(crate) rows: RecordBatch,
    pub(crate) kinds: Vec<RowKind>,
    pub(crate) positions: Vec<RowPosition>,
    pub(crate) unavailable: Vec<Unavailable>,
}

impl RowsBuilder {
    /// For rows of this shape.
    pub(crate) fn new(schema: Arc<TableSchema>, columns: &[ColumnDef], nan: NanPolicy) -> RowsBuilder {
        RowsBuilder {
            columns: columns.iter().map(|column| ColumnBuilder::new(column, nan)).collect(),
            left_out: columns.iter().map(|_| None).collect(),
            schema,
            kinds: Vec::new(),
            positions: Vec::new(),
            bytes: 0,
            null_in: Vec::new(),
        }
    }

    /// Appends a row: one cell per column, in order. After a failure the builder is of no use. Where NULL
    /// came in a column that is not to have it, `null_in` says so.
    pub(crate) fn append<'a>(
        &mut self,
        kind: RowKind,
        position: RowPosition,
        mut cells: impl Iterator<Item = Result<Cell<'a>>>,
    ) -> Result<()> {
        let row = self.kinds.len();
        for (index, (column, left_out)) in self.columns.iter_mut().zip(&mut self.left_out).enumerate() {
            let cell = cells.next().ok_or_else(wrong_width)??;
            match cell {
                Cell::Unavailable => mark(left_out, row),
                Cell::Text(bytes) | Cell::Binary(bytes) => self.bytes += bytes.len(),
                Cell::Null if !column.is_nullable() => self.null_in.push(index),
                Cell::Null => {}
            }
            column.append(cell)?;
        }
        if cells.next().is_some() {
            return Err(wrong_width());
        }
        self.bytes += ROW_BYTES;
        self.kinds.push(kind);
        self.positions.push(position);
        Ok(())
    }

    /// Columns, by their place, in which NULL came although they are declared NOT NULL.
    pub(crate) fn null_in(&self) -> &[usize] {
        &self.null_in
    }

    /// Takes back the last rows, down to this many. What is left has to be finished next.
    pub(crate) fn take_back(&mut self, rows: usize) {
        self.kinds.truncate(rows);
        self.positions.truncate(rows);
        for bits in self.left_out.iter_mut().flatten() {
            bits.truncate(rows);
        }
        self.null_in.clear();
    }

    /// Rows so far.
    pub(crate) fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Bytes so far, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows; the builder is empty again.
    pub(crate) fn finish(&mut self) -> Result<BuiltRows> {
        if let Some(column) = self.null_in.first().and_then(|index| self.columns.get(*index)) {
            return Err(Error::new(ErrorKind::Value, "NULL in a column that is declared NOT NULL")
                .context("column", column.name()));
        }
        let rows = self.kinds.len();
        // Rows that were taken back stand at the end of the columns.
        let finish = |column: &mut ColumnBuilder| {
            let values = column.finish();
            if values.len() > rows { values.slice(0, rows) } else { values }
        };
        let columns = self.columns.iter_mut().map(finish).collect();
        let mut unavailable = Vec::new();
        for (column, left_out) in self.left_out.iter_mut().enumerate() {
            if let Some(mut bits) = left_out.take() {
                bits.append_n(rows.saturating_sub(bits.len()), false);
                unavailable.push(Unavailable { column, rows: bits.finish() });
            }
        }
        self.bytes = 0;
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema.arrow), columns, &options)
            .map_err(|error| {
                Error::new(ErrorKind::Internal, "rows do not fit their table's schema").caused_by(error)
            })?;
        Ok(BuiltRows {
            rows: batch,
            kinds: std::mem::take(&mut self.kinds),
            positions: std::mem::take(&mut self.positions),
            unavailable,
        })
    }
}

fn mark(left_out: &mut Option<BooleanBufferBuilder>, row: usize) {
    let bits = left_out.get_or_insert_with(|| BooleanBufferBuilder::new(row + 1));
    bits.append_n(row.saturating_sub(bits.len()), false);
    bits.append(true);
}

fn wrong_width() -> Error {
    Error::new(ErrorKind::Corrupt, "a row has another number of columns than its table")
}

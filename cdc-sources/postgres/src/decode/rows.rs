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
    /// Which columns of the rows that come are read, a flag each; `None`: all.
    reads: Option<Arc<[bool]>>,
    /// Per column that has any: which values the log left out.
    left_out: Vec<Option<BooleanBufferBuilder>>,
    kinds: Vec<RowKind>,
    positions: Vec<RowPosition>,
    bytes: usize,
    /// Columns in which NULL came and was not expected: their places here, and in the rows that come.
    null_in: Vec<(usize, usize)>,
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
            reads: None,
            kinds: Vec::new(),
            positions: Vec::new(),
            bytes: 0,
            null_in: Vec::new(),
        }
    }

    /// The same for rows that have more columns than are read: a flag per column that comes.
    pub(crate) fn of_rows(self, reads: Arc<[bool]>) -> RowsBuilder {
        RowsBuilder { reads: Some(reads), ..self }
    }

    /// Appends a row: one cell per column that comes, in order. After a failure the builder is of no use. Where NULL
    /// came in a column that is not to have it, `null_in` says so.
    pub(crate) fn append<'a>(
        &mut self,
        kind: RowKind,
        position: RowPosition,
        mut cells: impl Iterator<Item = Result<Cell<'a>>>,
    ) -> Result<()> {
        let row = self.kinds.len();
        let reads = self.reads.as_deref();
        let width = reads.map_or(self.columns.len(), <[bool]>::len);
        let mut columns = self.columns.iter_mut().zip(&mut self.left_out).enumerate();
        for place in 0..width {
            let cell = cells.next().ok_or_else(wrong_width)??;
            if reads.is_some_and(|reads| !reads[place]) {
                continue;
            }
            let (index, (column, left_out)) = columns.next().ok_or_else(wrong_width)?;
            match cell {
                Cell::Unavailable => mark(left_out, row),
                Cell::Text(bytes) | Cell::Binary(bytes) => self.bytes += bytes.len(),
                Cell::Null if !column.is_nullable() => self.null_in.push((index, place)),
                Cell::Null => {}
            }
            column.append(cell)?;
        }
        if cells.next().is_some() || columns.next().is_some() {
            return Err(wrong_width());
        }
        self.bytes += ROW_BYTES;
        self.kinds.push(kind);
        self.positions.push(position);
        Ok(())
    }

    /// Columns, by their place in the rows that come, in which NULL came although they are declared NOT NULL.
    pub(crate) fn null_in(&self) -> Vec<usize> {
        self.null_in.iter().map(|(_, place)| *place).collect()
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
        if let Some(column) = self.null_in.first().and_then(|(index, _)| self.columns.get(*index)) {
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

//! Rows of one stream as the table that several streams make.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_cast::{CastOptions, cast_with_options};
use culvert_api::{ChangeBatch, Error, ErrorKind, Result, TableSchema, Unavailable};

/// The same rows with the columns of `table`: in its order and types, NULL where the batch has none.
pub(super) fn conform(batch: ChangeBatch, table: &Arc<TableSchema>) -> Result<ChangeBatch> {
    if batch.schema.arrow == table.arrow {
        return Ok(ChangeBatch { schema: Arc::clone(table), ..batch });
    }
    let broken = |cause: arrow_schema::ArrowError| {
        Error::new(ErrorKind::Internal, "rows do not take the shape that their stream was merged into")
            .context("table", &table.id)
            .caused_by(cause)
    };
    // What does not fit is an error, never a NULL.
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(table.columns.len());
    let mut unavailable = Vec::new();
    for (place, column) in table.columns.iter().enumerate() {
        let Some(at) = batch.schema.column_index(&column.name) else {
            columns.push(new_null_array(&column.data_type, batch.len()));
            continue;
        };
        let from = batch.rows.column(at);
        columns.push(match *from.data_type() == column.data_type {
            true => Arc::clone(from),
            false => cast_with_options(from, &column.data_type, &exact).map_err(broken)?,
        });
        let left_out = batch.unavailable.iter().filter(|left_out| left_out.column == at);
        unavailable.extend(left_out.map(|one| Unavailable { column: place, rows: one.rows.clone() }));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.len()));
    let rows =
        RecordBatch::try_new_with_options(Arc::clone(&table.arrow), columns, &options).map_err(broken)?;
    Ok(ChangeBatch { schema: Arc::clone(table), rows, unavailable, ..batch })
}

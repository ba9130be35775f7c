//! The dead-letter table: a row for every row that came and broke a rule.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use arrow_schema::{DataType, TimeUnit};
use culvert_api::{ChangeBatch, Column, Error, ErrorKind, Result, RowKind, RowKindSet, TableId, TableSchema};

use super::DataValidator;
use super::rules::Checked;
use crate::values::{quoted, row_json};

/// The table: the same columns whatever the table is whose rows it tells of, without a key, inserts only.
pub(super) fn schema(id: TableId, input: &TableSchema) -> TableSchema {
    let text = |name: &str| Column::derived(name, DataType::Utf8, false);
    let columns = vec![
        text("source_table_id"),
        text("source_table_path"),
        text("original_data"),
        text("validation_errors"),
        Column::derived("create_time", DataType::Timestamp(TimeUnit::Microsecond, None), false),
    ];
    let schema = TableSchema::new(id, input.version, columns, Vec::new(), RowKindSet::INSERT_ONLY);
    TableSchema { source: input.source, ..schema }
}

/// Tells of the rows that came and do not pass; `None` when there are none.
pub(super) fn batch(
    checks: &[Checked<'_>],
    batch: &ChangeBatch,
    output: &Arc<TableSchema>,
    passes: &BooleanBuffer,
    now_us: i64,
) -> Result<Option<ChangeBatch>> {
    let mut told = BooleanBufferBuilder::new(batch.len());
    let (mut rows, mut errors) = (StringBuilder::new(), StringBuilder::new());
    for (row, kind) in batch.kinds.iter().enumerate() {
        let is_told = super::comes(*kind) && !passes.value(row);
        told.append(is_told);
        if is_told {
            rows.append_value(row_json(batch, row));
            errors.append_value(broken(checks, batch, row));
        }
    }
    // Positions are those of the rows; the values are others.
    let Some(left) = batch.clone().only(&told.finish())? else { return Ok(None) };
    let repeat = |text: &str| -> ArrayRef {
        let mut built = StringBuilder::new();
        (0..left.len()).for_each(|_| built.append_value(text));
        Arc::new(built.finish())
    };
    let columns: Vec<ArrayRef> = vec![
        repeat(&batch.schema.id.table),
        repeat(&batch.schema.id.to_string()),
        Arc::new(rows.finish()),
        Arc::new(errors.finish()),
        Arc::new(TimestampMicrosecondArray::from(vec![now_us; left.len()])),
    ];
    let values = RecordBatch::try_new(output.arrow.clone(), columns).map_err(|cause| {
        Error::new(ErrorKind::Internal, "a batch does not have the columns of its schema")
            .context("transform", DataValidator::PLUGIN)
            .context("table", &output.id)
            .caused_by(cause)
    })?;
    let kinds = vec![RowKind::Insert; left.len()];
    Ok(Some(ChangeBatch { schema: output.clone(), rows: values, kinds, unavailable: Vec::new(), ..left }))
}

/// Every rule that a row breaks, as a JSON list.
fn broken(checks: &[Checked<'_>], batch: &ChangeBatch, row: usize) -> String {
    let errors: Vec<String> = checks
        .iter()
        .filter(|check| check.holds(batch, row) == Some(false))
        .map(|check| {
            let value = batch.rows.columns().get(check.place).map(|array| (array, row));
            let (name, message) = (quoted(check.name), quoted(&check.message(value)));
            format!("{{\"field_name\":{name},\"error_message\":{message}}}")
        })
        .collect();
    format!("[{}]", errors.join(","))
}

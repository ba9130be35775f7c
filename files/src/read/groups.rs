//! Rows out of a Parquet file.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use culvert_api::{Error, ErrorKind, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::ParquetMetaData;

use super::{BATCH_BYTES_MAX, NO_NULL, read_failed, too_short};

/// Rows of a batch at most; fewer where they are large.
const BATCH_ROWS_MAX: usize = 4096;

/// The columns of a Parquet file in the types that rows have here. Blocks.
///
/// # Errors
/// A file that is none is a data error; a type that rows do not have is [`ErrorKind::Unsupported`] and names
/// the column.
pub fn parquet_schema(path: &Path) -> Result<SchemaRef> {
    let located = |error: Error| error.context("file", path.display());
    let file = File::open(path).map_err(|cause| located(read_failed(cause)))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|cause| located(damaged(cause)))?;
    let field = |field: &FieldRef| {
        let of_ours = ours(field.data_type()).ok_or_else(|| {
            let what =
                format!("a file has a column of the type {}, which rows do not have", field.data_type());
            located(Error::new(ErrorKind::Unsupported, what).context("column", field.name()))
                .hint("leave the column out: read_columns")
        })?;
        Ok(Field::new(field.name(), of_ours, true))
    };
    let fields = builder.schema().fields().iter().map(field).collect::<Result<Vec<Field>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// The type that values of a file's type have here. `None`: there is none that holds them all.
fn ours(data_type: &DataType) -> Option<DataType> {
    use DataType as T;
    let inside = |field: &FieldRef| ours(field.data_type());
    Some(match data_type {
        T::Timestamp(_, zone) => T::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| "UTC".into())),
        T::Time32(_) | T::Time64(_) => T::Time64(TimeUnit::Microsecond),
        T::Duration(_) => T::Duration(TimeUnit::Microsecond),
        T::Float16 => T::Float32,
        T::Utf8View => T::Utf8,
        T::BinaryView => T::Binary,
        T::Dictionary(_, value) => ours(value)?,
        T::List(item) | T::LargeList(item) => T::List(Arc::new(Field::new("item", inside(item)?, true))),
        T::Map(entries, _) => {
            let T::Struct(pair) = entries.data_type() else { return None };
            let [key, value] = pair.as_ref() else { return None };
            let pair =
                vec![Field::new("key", inside(key)?, false), Field::new("value", inside(value)?, true)];
            T::Map(Arc::new(Field::new("entries", T::Struct(pair.into()), false)), false)
        }
        T::Struct(fields) => {
            let field = |field: &FieldRef| Some(Field::new(field.name(), inside(field)?, true));
            T::Struct(fields.iter().map(field).collect::<Option<Vec<Field>>>()?.into())
        }
        T::Null | T::Boolean | T::Float32 | T::Float64 | T::Date32 => data_type.clone(),
        T::Decimal128(_, _) | T::Decimal256(_, _) => data_type.clone(),
        T::Utf8 | T::LargeUtf8 | T::Binary | T::LargeBinary | T::FixedSizeBinary(_) => data_type.clone(),
        other if other.is_integer() => data_type.clone(),
        _ => return None,
    })
}

fn damaged(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Value, "a file is no Parquet file, or is damaged").caused_by(cause)
}

/// The rows of a file, in order.
pub(super) struct Groups {
    reader: ParquetRecordBatchReader,
}

impl Groups {
    /// Opens a file at a row. Only what the schema has is decoded.
    pub(super) fn open(file: File, schema: &SchemaRef, from: u64) -> Result<Groups> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(damaged)?;
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        if rows < from {
            return Err(too_short());
        }
        let roots = builder.schema().fields().iter().enumerate();
        let wanted = roots.filter(|(_, field)| schema.field_with_name(field.name()).is_ok());
        let wanted: Vec<usize> = wanted.map(|(at, _)| at).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let count = batch_rows(builder.metadata());
        let reader = builder
            .with_projection(mask)
            .with_offset(usize::try_from(from).unwrap_or(usize::MAX))
            .with_batch_size(count)
            .build()
            .map_err(damaged)?;
        Ok(Groups { reader })
    }

    /// The next rows, with the columns of the schema; `None` at the end.
    pub(super) fn next(&mut self, schema: &SchemaRef) -> Result<Option<RecordBatch>> {
        match self.reader.next() {
            None => Ok(None),
            Some(batch) => conform(&batch.map_err(damaged)?, schema).map(Some),
        }
    }
}

/// How many rows a batch may have, so that its bytes are bounded as well.
fn batch_rows(metadata: &ParquetMetaData) -> usize {
    let of_row = |group: &parquet::file::metadata::RowGroupMetaData| {
        let bytes = usize::try_from(group.total_byte_size()).unwrap_or(usize::MAX);
        bytes / usize::try_from(group.num_rows()).unwrap_or(1).max(1)
    };
    let largest = metadata.row_groups().iter().map(of_row).max().unwrap_or(0);
    (BATCH_BYTES_MAX / largest.max(1)).clamp(1, BATCH_ROWS_MAX)
}

/// The columns of the schema, by name. One that a file does not have is NULL.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let located = |what: &str| Error::new(ErrorKind::Value, what).context("column", field.name());
        let column = match batch.column_by_name(field.name()) {
            Some(column) => exact(column, field.data_type()).ok_or_else(|| {
                let (has, wanted) = (column.data_type(), field.data_type());
                located(&format!(
                    "a file has the type {has} for a column of the type {wanted}, which does not hold its values exactly"
                ))
            })?,
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        if !field.is_nullable() && column.logical_null_count() > 0 {
            return Err(located(NO_NULL));
        }
        columns.push(column);
    }
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|cause| {
        Error::new(ErrorKind::Internal, "a file's columns do not make a batch").caused_by(cause)
    })
}

/// The same values in another type. `None`: there is no way, or they would not come back as they were.
fn exact(column: &ArrayRef, to: &DataType) -> Option<ArrayRef> {
    if column.data_type() == to {
        return Some(Arc::clone(column));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let there = cast_with_options(column, to, &options).ok()?;
    if matches!(column.data_type(), DataType::Dictionary(_, value) if **value == *to) {
        return Some(there);
    }
    let back = cast_with_options(&there, column.data_type(), &options).ok()?;
    (*back == **column).then_some(there)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow_array::{Int32Array, Int64Array, StringArray, TimestampNanosecondArray};

    use super::*;

    #[test]
    fn values_of_another_type_are_taken_where_nothing_is_lost() {
        let is = |column: ArrayRef, to: &DataType| exact(&column, to).is_some();
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        assert!(is(Arc::new(Int32Array::from(vec![Some(1), None])), &DataType::Int64));
        assert!(is(Arc::new(Int64Array::from(vec![1])), &DataType::Int32));
        assert!(!is(Arc::new(Int64Array::from(vec![i64::MAX])), &DataType::Int32));
        assert!(is(Arc::new(TimestampNanosecondArray::from(vec![1_000])), &micros));
        assert!(!is(Arc::new(TimestampNanosecondArray::from(vec![1_001])), &micros));
        assert!(!is(Arc::new(StringArray::from(vec!["007"])), &DataType::Int32));
    }

    #[test]
    fn every_type_has_one_of_ours_or_is_none() {
        assert_eq!(
            ours(&DataType::Time32(TimeUnit::Millisecond)),
            Some(DataType::Time64(TimeUnit::Microsecond))
        );
        let element = DataType::List(Arc::new(Field::new("element", DataType::Utf8View, false)));
        let item = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
        assert_eq!(ours(&element), Some(item));
        assert_eq!(ours(&DataType::Interval(arrow_schema::IntervalUnit::DayTime)), None);
    }
}

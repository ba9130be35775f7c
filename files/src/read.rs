//! Rows out of a file.

mod records;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use culvert_api::{Error, ErrorKind, Result};
use culvert_values::{Cell, array, json, of_text};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::format::{Format, Layout};
use crate::pattern::Pattern;
use crate::write::io_failed;
use records::Records;

/// Bytes of the values of a batch at most, but for its last row.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// What decides how lines are read, beside their layout.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Lines to leave out at the beginning of every file.
    pub skip: u64,
    /// Whether the first line that is left says which columns there are, in which order.
    pub names_in_header: bool,
    /// How dates are written, where it is not as ISO 8601 says.
    pub date: Option<Pattern>,
    /// How times are.
    pub time: Option<Pattern>,
    /// How dates with a time are.
    pub datetime: Option<Pattern>,
    /// What stands for NULL in the format text.
    pub null: Option<String>,
}

/// The schema that a Parquet file has. Blocks.
pub fn parquet_schema(path: &Path) -> Result<SchemaRef> {
    let file = File::open(path).map_err(|cause| io_failed(cause).context("file", path.display()))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|cause| no_parquet(path, cause))?;
    Ok(Arc::clone(builder.schema()))
}

fn no_parquet(path: &Path, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Value, "a file is no Parquet file, or is damaged")
        .context("file", path.display())
        .caused_by(cause)
}

/// A file whose rows are read in order.
pub struct RowReader {
    layout: Arc<Layout>,
    reading: Arc<Reading>,
    schema: SchemaRef,
    path: String,
    body: Body,
    /// The next row, from 0.
    row: u64,
}

enum Body {
    Lines {
        records: Records,
        /// For each column its place in a line; `None`: it is not there.
        places: Vec<Option<usize>>,
        /// How many values a line has.
        width: usize,
    },
    Parquet(ParquetRecordBatchReader),
}

impl RowReader {
    /// Opens a file at a row. Blocks.
    ///
    /// # Errors
    /// An I/O error is [`ErrorKind::Unavailable`] or an operator error; a file that does not fit is a data error.
    pub fn open(
        layout: &Arc<Layout>,
        reading: &Arc<Reading>,
        schema: &SchemaRef,
        path: &Path,
        from: u64,
    ) -> Result<RowReader> {
        let file = File::open(path).map_err(|cause| io_failed(cause).context("file", path.display()))?;
        let body = if layout.format == Format::Parquet {
            Body::Parquet(parquet(file, path, schema, from)?)
        } else {
            let places = (0..schema.fields().len()).map(Some).collect();
            Body::Lines { records: Records::new(layout, file), places, width: schema.fields().len() }
        };
        let (layout, reading, schema) = (Arc::clone(layout), Arc::clone(reading), Arc::clone(schema));
        let mut reader =
            RowReader { layout, reading, schema, path: path.display().to_string(), body, row: from };
        reader.begin(from)?;
        Ok(reader)
    }

    /// Passes what stands before the row.
    fn begin(&mut self, from: u64) -> Result<()> {
        let path = self.path.clone();
        let Body::Lines { records, places, width } = &mut self.body else { return Ok(()) };
        let located = |error: Error| error.context("file", &path);
        for _ in 0..self.reading.skip {
            records.line().map_err(located)?;
        }
        if self.reading.names_in_header
            && let Some(names) = records.values(1).map_err(located)?
        {
            *width = names.len();
            let place = |name: &str| names.iter().position(|found| found.text == name);
            *places = self.schema.fields().iter().map(|field| place(field.name())).collect();
            if let Some((field, _)) = self
                .schema
                .fields()
                .iter()
                .zip(places.iter())
                .find(|(field, place)| place.is_none() && !field.is_nullable())
            {
                return Err(Error::new(ErrorKind::Value, "the header lacks a column that takes no NULL")
                    .context("column", field.name())
                    .context("file", &path));
            }
        }
        for _ in 0..from {
            let passed = match self.layout.format {
                Format::Json => records.object().map(|line| line.is_some()),
                _ => records.values(*width).map(|values| values.is_some()),
            };
            if !passed.map_err(located)? {
                return Err(Error::new(
                    ErrorKind::LogGone,
                    "a file has fewer rows than were read from it before",
                )
                .context("file", &path)
                .hint("put the file back as it was, or start over with --fresh"));
            }
        }
        Ok(())
    }

    /// The number of the next row in its file, from 0.
    pub fn row(&self) -> u64 {
        self.row
    }

    /// The next rows, up to so many; `None` at the end. Blocks.
    pub fn next(&mut self, rows_max: usize) -> Result<Option<RecordBatch>> {
        let batch = match &mut self.body {
            Body::Parquet(reader) => match reader.next() {
                None => None,
                Some(Ok(batch)) => Some(conform(&batch, &self.schema, &self.path)?),
                Some(Err(cause)) => return Err(no_parquet(Path::new(&self.path), cause)),
            },
            Body::Lines { .. } => self.lines(rows_max)?,
        };
        if let Some(batch) = &batch {
            self.row += batch.num_rows() as u64;
        }
        Ok(batch)
    }

    fn lines(&mut self, rows_max: usize) -> Result<Option<RecordBatch>> {
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        let mut bytes = 0;
        while rows.len() < rows_max && bytes < BATCH_BYTES_MAX {
            let number = self.row + rows.len() as u64 + 1;
            match self.one(&mut bytes) {
                Ok(None) => break,
                Ok(Some(row)) => rows.push(row),
                Err(error) => return Err(error.context("file", &self.path).context("row", number)),
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (at, field) in self.schema.fields().iter().enumerate() {
            let cells = rows.iter().map(|row| row.get(at).unwrap_or(&Cell::Null));
            columns.push(array(field.data_type(), cells).ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, "a column of a type that lines do not hold")
                    .context("column", field.name())
            })?);
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map(Some).map_err(|cause| {
            Error::new(ErrorKind::Value, "a column that takes no NULL has one")
                .context("file", &self.path)
                .caused_by(cause)
        })
    }

    /// The next row of lines.
    fn one(&mut self, bytes: &mut usize) -> Result<Option<Vec<Cell>>> {
        let Body::Lines { records, places, width } = &mut self.body else { return Ok(None) };
        if self.layout.format == Format::Json {
            let Some(line) = records.object()? else { return Ok(None) };
            *bytes += line.len();
            return object(line.trim(), &self.schema).map(Some);
        }
        let Some(values) = records.values(*width)? else { return Ok(None) };
        if values.len() != *width {
            let what = format!("a row has {} values for {width} columns", values.len());
            return Err(Error::new(ErrorKind::Value, what)
                .hint("correct field_delimiter or the schema; skip_header_row_number leaves out a header"));
        }
        let mut row = Vec::with_capacity(places.len());
        for (field, place) in self.schema.fields().iter().zip(places.iter()) {
            let Some(value) = place.and_then(|place| values.get(place)) else {
                row.push(Cell::Null);
                continue;
            };
            *bytes += value.text.len() + size_of::<Cell>();
            let cell = cell(&value.text, value.is_quoted, field.data_type(), &self.layout, &self.reading);
            row.push(cell.ok_or_else(|| misfit(field.name(), field.data_type()))?);
        }
        Ok(Some(row))
    }
}

fn misfit(column: &str, data_type: &DataType) -> Error {
    Error::new(ErrorKind::Value, format!("a value does not fit its column of the type {data_type}"))
        .context("column", column)
}

/// A row that is a JSON object. What it does not have is NULL; what the schema does not have is left aside.
fn object(line: &str, schema: &SchemaRef) -> Result<Vec<Cell>> {
    let none = || Error::new(ErrorKind::Value, "a line is no JSON object");
    if !json::is_valid(line) {
        return Err(none());
    }
    let members = json::members(line).ok_or_else(none)?;
    let cell = |field: &arrow_schema::FieldRef| {
        let found = members.iter().rfind(|(name, _)| name == field.name());
        let cell = found.map_or(Some(Cell::Null), |(_, text)| json::cell(text, field.data_type()));
        cell.ok_or_else(|| misfit(field.name(), field.data_type()))
    };
    schema.fields().iter().map(cell).collect()
}

/// A value of a line.
fn cell(
    text: &str,
    is_quoted: bool,
    data_type: &DataType,
    layout: &Layout,
    reading: &Reading,
) -> Option<Cell> {
    let is_text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8);
    let stands_for_null = match (layout.format, &reading.null) {
        (Format::Csv, Some(null)) => !is_quoted && text == null,
        (Format::Csv, None) => !is_quoted && text.is_empty(),
        (_, Some(null)) => text == null,
        // Without a word for it, nothing is NULL, but in a text.
        (_, None) => text.is_empty() && !is_text,
    };
    if stands_for_null || *data_type == DataType::Null {
        return Some(Cell::Null);
    }
    let of_day = |micros: i64| micros.rem_euclid(86_400_000_000);
    match data_type {
        DataType::List(_) | DataType::Map(_, _) | DataType::Struct(_) => {
            json::is_valid(text).then(|| json::cell(text, data_type))?
        }
        DataType::Date32 => match &reading.date {
            Some(pattern) => Some(Cell::Int(pattern.read(text)?.div_euclid(86_400_000_000).into())),
            None => of_text(text, data_type),
        },
        DataType::Time64(_) => match &reading.time {
            Some(pattern) => Some(Cell::Int(of_day(pattern.read(text)?).into())),
            None => of_text(text, data_type),
        },
        DataType::Timestamp(TimeUnit::Microsecond, None) => match &reading.datetime {
            Some(pattern) => Some(Cell::Int(pattern.read(text)?.into())),
            None => of_text(text, data_type),
        },
        _ => of_text(text, data_type),
    }
}

fn parquet(file: File, path: &Path, schema: &SchemaRef, from: u64) -> Result<ParquetRecordBatchReader> {
    let failed = |cause| no_parquet(path, cause);
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?;
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    if rows < from {
        return Err(Error::new(ErrorKind::LogGone, "a file has fewer rows than were read from it before")
            .context("file", path.display())
            .hint("put the file back as it was, or start over with --fresh"));
    }
    // Only what is wanted is decoded.
    let roots = builder.schema().fields().iter().enumerate();
    let wanted: Vec<usize> =
        roots.filter(|(_, field)| schema.field_with_name(field.name()).is_ok()).map(|(at, _)| at).collect();
    let mask = parquet::arrow::ProjectionMask::roots(builder.parquet_schema(), wanted);
    builder
        .with_projection(mask)
        .with_offset(usize::try_from(from).unwrap_or(usize::MAX))
        .with_batch_size(4096)
        .build()
        .map_err(failed)
}

/// The columns of the schema, by name. One that a file does not have is NULL; another type is a data error.
fn conform(batch: &RecordBatch, schema: &SchemaRef, path: &str) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let column = match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Arc::clone(column),
            Some(column) => {
                let what = format!(
                    "a file has the type {} for a column of the type {}",
                    column.data_type(),
                    field.data_type()
                );
                return Err(Error::new(ErrorKind::Value, what)
                    .context("file", path)
                    .context("column", field.name()));
            }
            None => arrow_array::new_null_array(field.data_type(), batch.num_rows()),
        };
        columns.push(column);
    }
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|cause| {
        Error::new(ErrorKind::Value, "a column that takes no NULL has one")
            .context("file", path)
            .caused_by(cause)
    })
}

#[cfg(test)]
mod tests;

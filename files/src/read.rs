//! Rows out of a file.

mod groups;
mod records;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, FieldRef, SchemaRef, TimeUnit};
use culvert_api::{Error, ErrorKind, Result};
use culvert_values::{Cell, array, json, of_text};
use flate2::read::MultiGzDecoder;

use crate::format::{Format, Layout};
use crate::pattern::Pattern;
use groups::Groups;
pub use groups::parquet_schema;
use records::Records;

/// Bytes of the values of a batch at most, but for its last row.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// What is wrong with a NULL in a column that takes none.
const NO_NULL: &str = "a column that takes no NULL has one";

/// What decides how lines are read, beside their layout.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Lines to leave out at the beginning of every file.
    pub skip: u64,
    /// Whether the first line that is left says which columns there are, in which order.
    pub names_in_header: bool,
    /// The columns of a line, in order, where the schema has only some of them. Empty: those of the schema.
    pub columns: Vec<String>,
    /// Whether lines are compressed by gzip.
    pub gzip: bool,
    /// How dates are written, where it is not as ISO 8601 says.
    pub date: Option<Pattern>,
    /// How times are.
    pub time: Option<Pattern>,
    /// How dates with a time are.
    pub datetime: Option<Pattern>,
    /// What stands for NULL in the format text.
    pub null: Option<String>,
}

/// An error of reading a file.
pub fn read_failed(cause: std::io::Error) -> Error {
    use std::io::ErrorKind as Io;
    let (kind, what, hint) = match cause.kind() {
        Io::PermissionDenied => {
            (ErrorKind::Permission, "the file system refused", "grant the job's account the right to read it")
        }
        Io::NotFound | Io::NotADirectory => {
            (ErrorKind::Config, "there is no such file or folder", "correct the path")
        }
        Io::InvalidData | Io::InvalidInput | Io::UnexpectedEof => (
            ErrorKind::Value,
            "a file is not compressed as is said, or is damaged",
            "correct compress_codec, or put the whole file in its place",
        ),
        _ => (ErrorKind::Unavailable, "the file system refused", "the job tries again by itself"),
    };
    Error::new(kind, what).hint(hint).caused_by(cause)
}

/// An error about a file that has fewer rows than it had.
fn too_short() -> Error {
    Error::new(ErrorKind::LogGone, "a file has fewer rows than were read from it before")
        .hint("put the file back as it was, or start over with --fresh")
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
    Groups(Groups),
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
        let located = |error: Error| error.context("file", path.display());
        let file = File::open(path).map_err(|cause| located(read_failed(cause)))?;
        let body = if layout.format == Format::Parquet {
            Body::Groups(Groups::open(file, schema, from).map_err(located)?)
        } else {
            let bytes: Box<dyn Read + Send> =
                if reading.gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
            let names: Vec<&String> = match reading.columns.as_slice() {
                [] => schema.fields().iter().map(|field| field.name()).collect(),
                columns => columns.iter().collect(),
            };
            let place = |field: &FieldRef| names.iter().position(|name| *name == field.name());
            let places = schema.fields().iter().map(place).collect();
            Body::Lines { records: Records::new(layout, bytes), places, width: names.len() }
        };
        let (layout, reading, schema) = (Arc::clone(layout), Arc::clone(reading), Arc::clone(schema));
        let mut reader =
            RowReader { layout, reading, schema, path: path.display().to_string(), body, row: from };
        reader.begin(from).map_err(located)?;
        Ok(reader)
    }

    /// Passes what stands before the row.
    fn begin(&mut self, from: u64) -> Result<()> {
        let Body::Lines { records, places, width } = &mut self.body else { return Ok(()) };
        for _ in 0..self.reading.skip {
            records.line()?;
        }
        if self.reading.names_in_header
            && let Some(names) = records.values(1)?
        {
            *width = names.len();
            let place = |field: &FieldRef| names.iter().position(|found| found.text.trim() == field.name());
            *places = self.schema.fields().iter().map(place).collect();
            let absent = self.schema.fields().iter().zip(places.iter());
            let mut absent = absent.filter(|(field, place)| place.is_none() && !field.is_nullable());
            if let Some((field, _)) = absent.next() {
                return Err(Error::new(ErrorKind::Value, "the header lacks a column that takes no NULL")
                    .context("column", field.name()));
            }
        }
        for _ in 0..from {
            let passed = match self.layout.format {
                Format::Json => records.object()?.is_some(),
                _ => records.values(*width)?.is_some(),
            };
            if !passed {
                return Err(too_short());
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
            Body::Groups(groups) => {
                groups.next(&self.schema).map_err(|error| error.context("file", &self.path))?
            }
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
            match self.one(&mut bytes) {
                Ok(None) => break,
                Ok(Some(row)) => rows.push(row),
                Err(error) => {
                    let error = error.context("file", &self.path);
                    return Err(match &self.body {
                        Body::Lines { records, .. } => error.context("line", records.line_number()),
                        Body::Groups(_) => error,
                    });
                }
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
            Error::new(ErrorKind::Internal, "lines do not make a batch")
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
            row.push(fitting(cell, field)?);
        }
        Ok(Some(row))
    }
}

/// The value of a column, if it is one.
fn fitting(cell: Option<Cell>, field: &FieldRef) -> Result<Cell> {
    let what = match cell {
        Some(Cell::Null) if !field.is_nullable() => NO_NULL.to_owned(),
        Some(cell) => return Ok(cell),
        None => format!("a value does not fit its column of the type {}", field.data_type()),
    };
    Err(Error::new(ErrorKind::Value, what).context("column", field.name()))
}

/// A row that is a JSON object. What it does not have is NULL; what the schema does not have is left aside.
fn object(line: &str, schema: &SchemaRef) -> Result<Vec<Cell>> {
    let none = || Error::new(ErrorKind::Value, "a line is no JSON object");
    if !json::is_valid(line) {
        return Err(none());
    }
    let members = json::members(line).ok_or_else(none)?;
    let cell = |field: &FieldRef| {
        let found = members.iter().rfind(|(name, _)| name == field.name());
        fitting(found.map_or(Some(Cell::Null), |(_, text)| json::cell(text, field.data_type())), field)
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
    // Blanks around a number are no part of it; in a text they may be.
    let text = if layout.format == Format::Csv && !is_text { text.trim() } else { text };
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

#[cfg(test)]
mod tests;

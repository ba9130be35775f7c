//! Rows into a file.

use std::io::{BufWriter, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{Array, RecordBatch};
use arrow_schema::SchemaRef;
use culvert_api::{Error, ErrorKind, Result};
use encoding_rs::UTF_8;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::format::{Format, Layout, option};
use crate::spell;

/// Bytes of lines that are gathered before they go to the file.
const BUFFER_BYTES: usize = 256 << 10;
/// Rows of a group in a Parquet file.
const GROUP_ROWS_MAX: usize = 128 << 10;
/// Bytes that a Parquet file may gather before it writes a group.
const GROUP_BYTES_MAX: usize = 16 << 20;

/// A file that is being written, wherever its bytes go.
pub struct RowFile<W: Write + Send> {
    layout: Arc<Layout>,
    body: Body<W>,
}

enum Body<W: Write + Send> {
    Lines(BufWriter<W>),
    Parquet(Box<ArrowWriter<Watched<W>>>, Failure),
}

/// The last failure of what a Parquet file's bytes go to: its writer makes a text of some of them.
#[derive(Clone, Debug, Default)]
struct Failure(Arc<Mutex<Option<std::io::Error>>>);

impl Failure {
    fn of(&self, cause: ParquetError) -> Error {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(failure) => io_failed(failure),
            None => Error::new(ErrorKind::Internal, "rows could not be written as Parquet").caused_by(cause),
        }
    }
}

/// What remembers why it failed.
struct Watched<W> {
    inner: W,
    failure: Failure,
}

impl<W> Watched<W> {
    fn watch<T>(&self, result: std::io::Result<T>) -> std::io::Result<T> {
        if let Err(cause) = &result
            && cause.kind() != std::io::ErrorKind::Interrupted
        {
            let copy = match cause.raw_os_error() {
                Some(code) => std::io::Error::from_raw_os_error(code),
                None => std::io::Error::new(cause.kind(), cause.to_string()),
            };
            *self.failure.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy);
        }
        result
    }
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes);
        self.watch(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let flushed = self.inner.flush();
        self.watch(flushed)
    }
}

/// Whether every column of a schema can be written; an operator error that names the first that cannot.
pub fn refuse_unfit(layout: &Layout, schema: &SchemaRef) -> Result<()> {
    let unfit = schema.fields().iter().find(|field| !fits(field.data_type()));
    match unfit {
        None => Ok(()),
        Some(field) => {
            let what = format!(
                "a file of the format {:?} cannot hold the type {}",
                layout.format,
                field.data_type()
            );
            Err(Error::new(ErrorKind::Unsupported, what).context("column", field.name()))
        }
    }
}

fn fits(data_type: &arrow_schema::DataType) -> bool {
    use arrow_schema::{DataType as T, TimeUnit};
    match data_type {
        T::List(item) => fits(item.data_type()),
        T::Struct(fields) => fields.iter().all(|field| fits(field.data_type())),
        T::Map(entries, _) => fits(entries.data_type()),
        T::Null => true,
        T::Timestamp(unit, _) => *unit == TimeUnit::Microsecond,
        T::Time64(unit) | T::Duration(unit) => *unit == TimeUnit::Microsecond,
        T::Boolean | T::Date32 | T::Decimal128(_, _) | T::Decimal256(_, _) | T::Float32 | T::Float64 => true,
        T::Utf8 | T::LargeUtf8 | T::Binary | T::LargeBinary | T::FixedSizeBinary(_) => true,
        other => other.is_integer(),
    }
}

/// A value as it stands in a line; `None` for NULL, and for a type that no line holds.
pub fn text_of(array: &dyn Array, row: usize) -> Option<String> {
    if spell::is_null(array, row) {
        return None;
    }
    let mut text = String::new();
    spell::line(array, row, &mut text).map(|()| text)
}

/// An encoding that rows can be written in. The two of 16 bits can only be read.
pub fn refuse_unwritable(layout: &Layout) -> Result<()> {
    if layout.encoding.output_encoding() == layout.encoding {
        return Ok(());
    }
    Err(option("encoding", &format!("is {}, which can be read and not written", layout.encoding.name())))
}

impl<W: Write + Send> RowFile<W> {
    /// Begins a file. Blocks as its bytes do.
    pub fn begin(layout: &Arc<Layout>, file: W, schema: &SchemaRef) -> Result<RowFile<W>> {
        let layout = Arc::clone(layout);
        if layout.format == Format::Parquet {
            let properties = WriterProperties::builder()
                .set_compression(layout.compression)
                .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
                .build();
            let failure = Failure::default();
            let watched = Watched { inner: file, failure: failure.clone() };
            let writer = ArrowWriter::try_new(watched, Arc::clone(schema), Some(properties))
                .map_err(|cause| failure.of(cause))?;
            return Ok(RowFile { layout, body: Body::Parquet(Box::new(writer), failure) });
        }
        let mut begun = RowFile { layout, body: Body::Lines(BufWriter::with_capacity(BUFFER_BYTES, file)) };
        if begun.layout.header && begun.layout.format != Format::Json {
            let mut line = String::new();
            for (at, field) in schema.fields().iter().enumerate() {
                if at > 0 {
                    line.push_str(&begun.layout.field_delimiter);
                }
                begun.value(field.name(), true, field.name(), &mut line)?;
            }
            line.push_str(&begun.layout.row_delimiter);
            begun.put(&line)?;
        }
        Ok(begun)
    }

    /// Adds rows. Blocks as its bytes do.
    ///
    /// # Errors
    /// A data error that names the column, when a value cannot stand in a line: where it holds a delimiter of the
    /// format text, or a character that the encoding lacks. An I/O error is [`ErrorKind::Unavailable`].
    pub fn rows(&mut self, rows: &RecordBatch) -> Result<()> {
        if let Body::Parquet(writer, failure) = &mut self.body {
            writer.write(rows).map_err(|cause| failure.of(cause))?;
            if writer.in_progress_size() > GROUP_BYTES_MAX {
                writer.flush().map_err(|cause| failure.of(cause))?;
            }
            return Ok(());
        }
        let mut text = String::new();
        for row in 0..rows.num_rows() {
            match self.layout.format {
                Format::Json => object(rows, row, &mut text)?,
                _ => self.line(rows, row, &mut text)?,
            }
            text.push_str(&self.layout.row_delimiter);
            if text.len() >= BUFFER_BYTES {
                self.put(&text)?;
                text.clear();
            }
        }
        self.put(&text)
    }

    /// What the bytes go to; some of them may not have gone there yet.
    pub fn target(&mut self) -> &mut W {
        match &mut self.body {
            Body::Lines(writer) => writer.get_mut(),
            Body::Parquet(writer, _) => &mut writer.inner_mut().inner,
        }
    }

    /// Writes what is gathered and gives back what it went to, for whoever knows how to make it last. Blocks as its
    /// bytes do.
    pub fn end(self) -> Result<W> {
        match self.body {
            Body::Lines(writer) => writer.into_inner().map_err(|failed| io_failed(failed.into_error())),
            Body::Parquet(writer, failure) => {
                writer.into_inner().map(|watched| watched.inner).map_err(|cause| failure.of(cause))
            }
        }
    }

    fn put(&mut self, text: &str) -> Result<()> {
        let Body::Lines(writer) = &mut self.body else { return Ok(()) };
        if self.layout.encoding == UTF_8 {
            return writer.write_all(text.as_bytes()).map_err(io_failed);
        }
        let (bytes, _, unmappable) = self.layout.encoding.encode(text);
        if unmappable {
            let what =
                format!("a value has a character that the encoding {} lacks", self.layout.encoding.name());
            return Err(Error::new(ErrorKind::Value, what).hint("encoding = \"UTF-8\" has all of them"));
        }
        writer.write_all(&bytes).map_err(io_failed)
    }

    fn line(&self, rows: &RecordBatch, row: usize, out: &mut String) -> Result<()> {
        let schema = rows.schema_ref();
        let mut text = String::new();
        for (at, (field, column)) in schema.fields().iter().zip(rows.columns()).enumerate() {
            if at > 0 {
                out.push_str(&self.layout.field_delimiter);
            }
            if spell::is_null(column.as_ref(), row) {
                if self.layout.format == Format::Text {
                    out.push_str(&self.layout.null);
                }
                continue;
            }
            text.clear();
            spell::line(column.as_ref(), row, &mut text).ok_or_else(|| no_form(field.name()))?;
            self.value(&text, spell::is_text(column.data_type()), field.name(), out)?;
        }
        Ok(())
    }

    /// Adds a value that is not NULL.
    fn value(&self, text: &str, is_text: bool, column: &str, out: &mut String) -> Result<()> {
        let layout = &self.layout;
        if layout.format == Format::Csv {
            let special = |c: char| c == '"' || c == '\n' || c == '\r';
            // An empty text in quotes is none but an empty text; nothing at all is NULL.
            let needs = text.is_empty() || text.contains(special) || text.contains(&layout.field_delimiter);
            if needs || (layout.quote_all && is_text) {
                out.push('"');
                out.push_str(&text.replace('"', "\"\""));
                out.push('"');
            } else {
                out.push_str(text);
            }
            return Ok(());
        }
        let ends = text.contains(&layout.field_delimiter) || text.contains(&layout.row_delimiter);
        if ends || (text == layout.null && !text.is_empty()) {
            let what = if ends { "a delimiter" } else { "nothing but what stands for NULL" };
            return Err(Error::new(ErrorKind::Value, format!("a value of the format text holds {what}"))
                .context("column", column)
                .hint("take another delimiter or null_format, or the format csv or json, which can tell them apart"));
        }
        out.push_str(text);
        Ok(())
    }
}

/// A row as a JSON object.
fn object(rows: &RecordBatch, row: usize, out: &mut String) -> Result<()> {
    out.push('{');
    for (at, (field, column)) in rows.schema_ref().fields().iter().zip(rows.columns()).enumerate() {
        if at > 0 {
            out.push(',');
        }
        spell::quote(field.name(), out);
        out.push(':');
        spell::json(column.as_ref(), row, out).ok_or_else(|| no_form(field.name()))?;
    }
    out.push('}');
    Ok(())
}

fn no_form(column: &str) -> Error {
    Error::new(ErrorKind::Unsupported, "a column of a type that lines do not hold").context("column", column)
}

/// The disk did not take it: full, or gone for a while. A right that is missing has to be granted.
pub fn io_failed(cause: std::io::Error) -> Error {
    use std::io::ErrorKind as Io;
    let (kind, hint) = match cause.kind() {
        Io::PermissionDenied | Io::ReadOnlyFilesystem => {
            (ErrorKind::Permission, "grant the job's account the right to write there")
        }
        Io::NotFound | Io::NotADirectory => (ErrorKind::Config, "make the folder, or correct the path"),
        Io::StorageFull | Io::QuotaExceeded => {
            (ErrorKind::Unavailable, "make room: the job goes on by itself")
        }
        _ => (ErrorKind::Unavailable, "the job tries again by itself"),
    };
    Error::new(kind, "the file system refused").hint(hint).caused_by(cause)
}

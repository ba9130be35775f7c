//! A Parquet file of a table, under way.

use std::sync::Arc;

use arrow_array::RecordBatch;
use culvert_api::{Error, ErrorKind, Result};
use culvert_storage::join;
use iceberg::io::FileIO;
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, PartitionKey, SchemaRef, TableMetadata};
use iceberg::writer::CurrentFileStatus;
use iceberg::writer::file_writer::{FileWriter, FileWriterBuilder, ParquetWriter, ParquetWriterBuilder};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::error::{failed, option};
use crate::options::Settings;

/// Bytes that a file gathers before it writes a row group.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// Rows of a row group.
const GROUP_ROWS_MAX: usize = 256 << 10;
/// Bytes that an open file takes beside its rows: encoders, dictionaries, a part that is not sent yet.
const FILE_BYTES: usize = 1 << 20;

/// Bytes of a name or value in the name of a folder.
const SEGMENT_BYTES_MAX: usize = 100;

/// A file that rows are added to.
pub(crate) struct OpenFile {
    writer: ParquetWriter,
    partition: Option<PartitionKey>,
    spec_id: i32,
    target_bytes: usize,
    /// Bytes of rows that it was given.
    given: usize,
}

impl OpenFile {
    /// Begins a file of a partition; its name is `name` with an ending.
    pub(crate) async fn begin(
        (settings, files): (&Settings, &FileIO),
        metadata: &TableMetadata,
        (spec_id, partition): (i32, Option<PartitionKey>),
        schema: &SchemaRef,
        name: &str,
    ) -> Result<OpenFile> {
        let data = metadata.properties().get("write.data.path").cloned();
        let mut folder = data.unwrap_or_else(|| join(metadata.location(), "data"));
        if let Some(partition) = &partition {
            folder = join(&folder, &segments(partition)?);
        }
        let beginning = failed("a file was not begun");
        let output = files.new_output(join(&folder, &format!("{name}.parquet"))).map_err(beginning)?;
        let builder = ParquetWriterBuilder::new(properties(settings, metadata)?, Arc::clone(schema));
        let writer = builder.build(output).await.map_err(beginning)?;
        Ok(OpenFile { writer, partition, spec_id, target_bytes: settings.target_bytes(metadata), given: 0 })
    }

    /// Adds rows.
    pub(crate) async fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.writer.write(rows).await.map_err(failed("rows were not written"))?;
        self.given += rows.get_array_memory_size();
        Ok(())
    }

    /// Whether it has the size that is wanted.
    pub(crate) fn is_full(&self) -> bool {
        self.writer.current_written_size() >= self.target_bytes
    }

    /// What it may hold in memory.
    pub(crate) fn held(&self) -> usize {
        FILE_BYTES + self.given.min(GROUP_BYTES_MAX)
    }

    /// Ends it as a file of rows; none where it has none.
    pub(crate) async fn end(self) -> Result<Vec<DataFile>> {
        self.end_as(None).await
    }

    /// Ends it as a file of deletes by these columns.
    pub(crate) async fn end_as_deletes(self, ids: &[i32]) -> Result<Vec<DataFile>> {
        self.end_as(Some(ids)).await
    }

    async fn end_as(self, deletes: Option<&[i32]>) -> Result<Vec<DataFile>> {
        let ended = self.writer.close().await.map_err(failed("a file was not ended"))?;
        let describe = |mut builder: DataFileBuilder| {
            builder.partition_spec_id(self.spec_id);
            if let Some(partition) = &self.partition {
                builder.partition(partition.data().clone());
            }
            if let Some(ids) = deletes {
                builder.content(DataContentType::EqualityDeletes).equality_ids(Some(ids.to_vec()));
            }
            builder.build().map_err(|cause| {
                Error::new(ErrorKind::Internal, "a file was not described").caused_by(cause.to_string())
            })
        };
        ended.into_iter().map(describe).collect()
    }
}

/// The folders of a partition. Engines read values from the metadata: these are for people, and lead nowhere else.
fn segments(key: &PartitionKey) -> Result<String> {
    let types = key.spec().partition_type(key.schema()).map_err(failed("a partition has no folder"))?;
    let fields = key.spec().fields().iter().zip(types.fields()).zip(key.data().iter());
    let segments = fields.map(|((field, kind), value)| {
        let value = field.transform.to_human_string(&kind.field_type, value);
        format!("{}={}", escape(&field.name), escape(&value))
    });
    Ok(segments.collect::<Vec<String>>().join("/"))
}

/// A name or value as part of a folder's name.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if escaped.len() >= SEGMENT_BYTES_MAX {
            break;
        }
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// How the files of a table are encoded: by the job's settings, otherwise by the table's own.
fn properties(settings: &Settings, metadata: &TableMetadata) -> Result<WriterProperties> {
    let table = metadata.properties();
    let property = |name: &str| settings.property(table, name);
    let codec = property("write.parquet.compression-codec").unwrap_or("zstd");
    let level = property("write.parquet.compression-level").and_then(|text| text.parse::<i32>().ok());
    let wrong = || {
        let what =
            format!("has the write.parquet.compression-codec {codec}, or a level of it, that is not known");
        option("iceberg.table.write-props", &what)
    };
    let compression = match codec.to_lowercase().as_str() {
        "zstd" => Compression::ZSTD(
            level.map_or(Ok(ZstdLevel::default()), ZstdLevel::try_new).map_err(|_| wrong())?,
        ),
        "gzip" => {
            let of = |level: i32| GzipLevel::try_new(u32::try_from(level).ok()?).ok();
            Compression::GZIP(level.map_or(Some(GzipLevel::default()), of).ok_or_else(wrong)?)
        }
        "snappy" => Compression::SNAPPY,
        "lz4" | "lz4_raw" => Compression::LZ4_RAW,
        "uncompressed" | "none" => Compression::UNCOMPRESSED,
        _ => return Err(wrong()),
    };
    Ok(WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
        .set_max_row_group_bytes(Some(GROUP_BYTES_MAX))
        .set_created_by(concat!("culvert ", env!("CARGO_PKG_VERSION")).to_owned())
        .build())
}

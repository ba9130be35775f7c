//! A sink that writes Parquet and nothing else: what a lake costs beside its files.
//!
//! One file at a time, ended at every checkpoint, as the sink Iceberg ends its own; the same codec and row groups. No
//! commit, no marker, no sync.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use culvert_api::{
    ChangeBatch, CommitMarker, Committable, Committer, DeliveryContract, Error, ErrorKind, Finding, OpenSink,
    Result, SchemaChange, Sink, SinkWriter, TableSchema, WriterContext,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

/// Bytes and rows of a row group, as the sink Iceberg has them.
const GROUP_BYTES: usize = 16 << 20;
const GROUP_ROWS: usize = 256 << 10;

/// Writes files into a folder.
#[derive(Debug)]
pub(crate) struct ParquetSink {
    pub(crate) folder: PathBuf,
}

#[async_trait]
impl Sink for ParquetSink {
    fn name(&self) -> &str {
        "Parquet"
    }

    fn contract(&self) -> DeliveryContract {
        DeliveryContract::AtLeastOnce
    }

    async fn check(&self, _tables: &[Arc<TableSchema>]) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    async fn open(&self, _context: &WriterContext) -> Result<OpenSink> {
        let writer = ParquetWriter { folder: self.folder.clone(), open: None, next: 0 };
        Ok(OpenSink { writer: Box::new(writer), committer: Box::new(Nothing), marker: None })
    }

    async fn committed(&self, _job: &str, _sink: &str, _writer: u32) -> Result<Option<CommitMarker>> {
        Ok(None)
    }

    async fn forget(&self, _job: &str, _sink: &str) -> Result<()> {
        Ok(())
    }
}

struct ParquetWriter {
    folder: PathBuf,
    open: Option<ArrowWriter<File>>,
    next: u64,
}

fn failed(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Internal, "a file was not written").caused_by(cause)
}

impl ParquetWriter {
    fn begin(&mut self, batch: &ChangeBatch) -> Result<ArrowWriter<File>> {
        self.next += 1;
        let file = File::create(self.folder.join(format!("{}.parquet", self.next))).map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_max_row_group_bytes(Some(GROUP_BYTES))
            .build();
        ArrowWriter::try_new(file, Arc::clone(&batch.schema.arrow), Some(properties)).map_err(failed)
    }
}

#[async_trait]
impl SinkWriter for ParquetWriter {
    async fn prepare_tables(&mut self, _tables: &[Arc<TableSchema>], _fresh: bool) -> Result<()> {
        Ok(())
    }

    async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin(&batch)?,
        };
        let ended = tokio::task::spawn_blocking(move || {
            open.write(&batch.rows).map_err(failed)?;
            Ok::<_, Error>(open)
        });
        self.open = Some(ended.await.map_err(failed)??);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn apply_schema_change(&mut self, _change: &SchemaChange) -> Result<()> {
        Ok(())
    }

    async fn prepare_commit(&mut self, marker: &CommitMarker) -> Result<Committable> {
        if let Some(open) = self.open.take() {
            open.close().map_err(failed)?;
        }
        Ok(Committable { checkpoint: marker.checkpoint, body: Vec::new() })
    }

    async fn close(&mut self) {}
}

struct Nothing;

#[async_trait]
impl Committer for Nothing {
    async fn commit(&mut self, _committable: &Committable) -> Result<()> {
        Ok(())
    }

    async fn abort(&mut self, _committable: &Committable) -> Result<()> {
        Ok(())
    }
}

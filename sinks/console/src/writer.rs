//! Prints rows as they come.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use culvert_api::{
    ChangeBatch, CommitMarker, Committable, Committer, Error, ErrorKind, JobProgress, Result, SchemaChange,
    SinkWriter, TableSchema, WriterContext,
};

use crate::format;
use crate::sink::Output;

/// Text that is gathered before it is handed to the output.
const CHUNK_BYTES: usize = 64 * 1024;

/// Prints the rows of one job branch.
pub(crate) struct ConsoleWriter {
    context: WriterContext,
    output: Output,
    print: bool,
    delay: Duration,
    row_index: u64,
    rows_since_commit: u64,
}

impl ConsoleWriter {
    pub(crate) fn new(context: WriterContext, output: Output, print: bool, delay: Duration) -> ConsoleWriter {
        ConsoleWriter { context, output, print, delay, row_index: 0, rows_since_commit: 0 }
    }

    /// Hands text over. A pipe nobody reads can block, so a thread that may wait does it.
    async fn put(&self, text: String) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let output = self.output.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut output = output.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            output.write_all(text.as_bytes()).and_then(|()| output.flush())
        })
        .await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(cause)) => Err(Error::new(ErrorKind::Config, "could not print to standard output")
                .caused_by(cause)
                .hint("keep the output open for as long as the job runs, or set log.print.data = false")),
            Err(cause) => Err(Error::new(ErrorKind::Internal, "printing was given up").caused_by(cause)),
        }
    }

    async fn put_row_type(&self, schema: &TableSchema) -> Result<()> {
        if !self.print {
            return Ok(());
        }
        let columns: Vec<String> =
            schema.columns.iter().map(|column| format!("{}<{}>", column.name, column.data_type)).collect();
        self.put(format!("output rowType: {}\n", columns.join(", "))).await
    }
}

#[async_trait]
impl SinkWriter for ConsoleWriter {
    async fn prepare_tables(&mut self, tables: &[Arc<TableSchema>], _fresh: bool) -> Result<()> {
        for schema in tables {
            self.put_row_type(schema).await?;
        }
        Ok(())
    }

    async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        let mut text = String::new();
        for (row, kind) in batch.kinds.iter().enumerate() {
            self.row_index += 1;
            if !self.print {
                continue;
            }
            let (writer, index, table) = (self.context.writer, self.row_index, &batch.schema.id);
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "subtaskIndex={writer}  rowIndex={index}:  SeaTunnelRow#tableId={table} SeaTunnelRow#kind={} : ",
                kind.full()
            );
            format::row(&batch, row, &mut text);
            text.push('\n');
            if !self.delay.is_zero() {
                self.put(std::mem::take(&mut text)).await?;
                tokio::time::sleep(self.delay).await;
            } else if text.len() > CHUNK_BYTES {
                self.put(std::mem::take(&mut text)).await?;
            }
        }
        self.put(text).await?;
        let rows = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        self.rows_since_commit += rows;
        self.context.progress.rows_written.fetch_add(rows, Ordering::Relaxed);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn apply_schema_change(&mut self, change: &SchemaChange) -> Result<()> {
        match &change.after {
            Some(schema) => self.put_row_type(schema).await,
            None => Ok(()),
        }
    }

    async fn prepare_commit(&mut self, marker: &CommitMarker) -> Result<Committable> {
        let rows = std::mem::take(&mut self.rows_since_commit);
        Ok(Committable { checkpoint: marker.checkpoint, body: rows.to_le_bytes().to_vec() })
    }

    async fn close(&mut self) {}
}

/// Has nothing to make visible; counts.
pub(crate) struct ConsoleCommitter {
    progress: Arc<JobProgress>,
    counted: u64,
}

impl ConsoleCommitter {
    pub(crate) fn new(progress: Arc<JobProgress>) -> ConsoleCommitter {
        ConsoleCommitter { progress, counted: 0 }
    }
}

#[async_trait]
impl Committer for ConsoleCommitter {
    async fn commit(&mut self, committable: &Committable) -> Result<()> {
        if self.counted < committable.checkpoint {
            self.counted = committable.checkpoint;
            let rows = committable.body.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
            self.progress.rows_committed.fetch_add(rows.unwrap_or_default(), Ordering::Relaxed);
        }
        Ok(())
    }

    async fn abort(&mut self, _committable: &Committable) -> Result<()> {
        Ok(())
    }
}

//! Step 4: a sink with two phases, whose target is a folder of numbered files.
//!
//! Each file is one entry: its first line is the commit marker, the others are rows. A file gets its number by a
//! hard link from where it was prepared, which the file system makes once or not at all: that is the atomic
//! unit. Who opens the sink takes a number as well, so that whoever had it before finds its next number taken.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arrow_json::LineDelimitedWriter;
use async_trait::async_trait;
use culvert_api::{
    ChangeBatch, CommitMarker, Committable, Committer, DeliveryContract, Error, ErrorKind, Finding,
    JobProgress, OpenSink, Result, SchemaChange, Sink, SinkWriter, TableSchema, WriterContext,
};

/// Rows into a folder, exactly once.
pub struct NumberedFiles {
    folder: PathBuf,
}

impl NumberedFiles {
    /// Looks at nothing yet.
    pub fn new(folder: impl Into<PathBuf>) -> NumberedFiles {
        NumberedFiles { folder: folder.into() }
    }
}

fn refused(path: &Path, cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the folder of the sink cannot be used")
        .caused_by(cause)
        .context("path", path.display())
}

fn entry(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:012}.jsonl"))
}

/// The last entry's number and marker; 0 where there is none.
fn last(folder: &Path) -> Result<(u64, Option<CommitMarker>)> {
    let mut number = 0;
    while entry(folder, number + 1).exists() {
        number += 1;
    }
    if number == 0 {
        return Ok((0, None));
    }
    let path = entry(folder, number);
    let text = std::fs::read_to_string(&path).map_err(|cause| refused(&path, cause))?;
    let marker = serde_json::from_str(text.lines().next().unwrap_or_default()).map_err(|cause| {
        Error::new(ErrorKind::Corrupt, "an entry has no marker")
            .caused_by(cause)
            .context("path", path.display())
    })?;
    Ok((number, Some(marker)))
}

/// Writes a file that is complete and on disk when this returns, and is no entry yet.
fn prepare(folder: &Path, name: &str, marker: &CommitMarker, rows: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    let write = || {
        let mut file = File::create(&path)?;
        serde_json::to_writer(&mut file, marker)?;
        file.write_all(b"\n")?;
        file.write_all(rows)?;
        file.sync_all()
    };
    write().map_err(|cause| refused(&path, cause))?;
    Ok(path)
}

/// Gives a prepared file a number; `false` where somebody else has it.
fn take(folder: &Path, prepared: &Path, number: u64) -> Result<bool> {
    match std::fs::hard_link(prepared, entry(folder, number)) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
        Err(cause) => return Err(refused(prepared, cause)),
    }
    // The name must survive a power cut, too.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|cause| refused(folder, cause))?;
    Ok(true)
}

/// Removes what earlier runs prepared and never committed. Whoever prepares now has lost its number already.
fn sweep(folder: &Path) -> Result<()> {
    for found in std::fs::read_dir(folder).map_err(|cause| refused(folder, cause))? {
        let path = found.map_err(|cause| refused(folder, cause))?.path();
        let is_entry = path.extension().is_some_and(|ending| ending == "jsonl");
        if !is_entry {
            std::fs::remove_file(&path).map_err(|cause| refused(&path, cause))?;
        }
    }
    Ok(())
}

#[async_trait]
impl Sink for NumberedFiles {
    fn name(&self) -> &str {
        "NumberedFiles"
    }

    fn contract(&self) -> DeliveryContract {
        DeliveryContract::ExactlyOnce
    }

    async fn check(&self, _tables: &[Arc<TableSchema>]) -> Result<Vec<Finding>> {
        let found = std::fs::read_dir(&self.folder).err();
        Ok(found.map(|error| Finding::error("folder", error.to_string())).into_iter().collect())
    }

    async fn open(&self, context: &WriterContext) -> Result<OpenSink> {
        let folder = &self.folder;
        let (number, marker) = last(folder)?;
        if let Some(found) = marker.as_ref().filter(|found| found.epoch >= context.epoch) {
            let error = Error::new(ErrorKind::Fenced, "a newer run of the job has taken over");
            return Err(error.context("epoch", found.epoch));
        }
        // The fence: the same marker again, with our epoch, as the next entry.
        let fence = CommitMarker {
            job: context.job.clone(),
            sink: context.sink.clone(),
            writer: context.writer,
            epoch: context.epoch,
            checkpoint: marker.as_ref().map_or(0, |marker| marker.checkpoint),
            source: marker.as_ref().and_then(|marker| marker.source.clone()),
        };
        let prepared = prepare(folder, &format!("fence-{}", context.epoch), &fence, b"")?;
        if !take(folder, &prepared, number + 1)? {
            let error = Error::new(ErrorKind::Unavailable, "another run opened the sink at the same time");
            return Err(error.context("entry", number + 1));
        }
        sweep(folder)?;
        let number = Arc::new(AtomicU64::new(number + 1));
        let writer = Writer { folder: folder.clone(), context: context.clone(), rows: Vec::new(), count: 0 };
        let committer = Rename { folder: folder.clone(), number, progress: Arc::clone(&context.progress) };
        Ok(OpenSink { writer: Box::new(writer), committer: Box::new(committer), marker })
    }

    async fn committed(&self, _job: &str, _sink: &str, _writer: u32) -> Result<Option<CommitMarker>> {
        Ok(last(&self.folder)?.1)
    }

    async fn forget(&self, _job: &str, _sink: &str) -> Result<()> {
        let (number, _) = last(&self.folder)?;
        // The newest first: what is left after a crash still begins at 1.
        for number in (1..=number).rev() {
            let path = entry(&self.folder, number);
            std::fs::remove_file(&path).map_err(|cause| refused(&path, cause))?;
        }
        Ok(())
    }
}

/// Phase one: gathers rows, and writes them where nobody looks.
struct Writer {
    folder: PathBuf,
    context: WriterContext,
    rows: Vec<u8>,
    count: u64,
}

#[async_trait]
impl SinkWriter for Writer {
    async fn prepare_tables(&mut self, _tables: &[Arc<TableSchema>], _fresh: bool) -> Result<()> {
        Ok(())
    }

    async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        let mut writer = LineDelimitedWriter::new(&mut self.rows);
        writer.write(&batch.rows).and_then(|()| writer.finish()).map_err(|cause| {
            Error::new(ErrorKind::Unsupported, "rows that JSON cannot hold")
                .caused_by(cause)
                .context("table", &batch.schema.id)
        })?;
        self.count += batch.len() as u64;
        self.context.progress.rows_written.fetch_add(batch.len() as u64, Relaxed);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn apply_schema_change(&mut self, _change: &SchemaChange) -> Result<()> {
        // Each row has the names of its columns.
        Ok(())
    }

    async fn prepare_commit(&mut self, marker: &CommitMarker) -> Result<Committable> {
        let name = format!("prepared-{}-{}", marker.epoch, marker.checkpoint);
        let rows = std::mem::take(&mut self.rows);
        prepare(&self.folder, &name, marker, &rows)?;
        let count = std::mem::take(&mut self.count);
        let body = serde_json::to_vec(&(name, count)).map_err(|cause| {
            Error::new(ErrorKind::Internal, "a name that cannot be kept").caused_by(cause)
        })?;
        Ok(Committable { checkpoint: marker.checkpoint, body })
    }

    async fn close(&mut self) {}
}

/// Phase two: makes it an entry.
struct Rename {
    folder: PathBuf,
    /// The last entry of this run.
    number: Arc<AtomicU64>,
    progress: Arc<JobProgress>,
}

impl Rename {
    fn prepared(&self, committable: &Committable) -> Result<(PathBuf, u64)> {
        let (name, count): (String, u64) = serde_json::from_slice(&committable.body)
            .map_err(|cause| Error::new(ErrorKind::Internal, "what was prepared is lost").caused_by(cause))?;
        Ok((self.folder.join(name), count))
    }
}

#[async_trait]
impl Committer for Rename {
    async fn commit(&mut self, committable: &Committable) -> Result<()> {
        let (prepared, count) = self.prepared(committable)?;
        if !prepared.exists() {
            // Committed before: committing twice is once.
            return Ok(());
        }
        let number = self.number.load(Relaxed) + 1;
        if !take(&self.folder, &prepared, number)? {
            return Err(Error::new(ErrorKind::Fenced, "another run of the job has taken over")
                .context("entry", number));
        }
        self.number.store(number, Relaxed);
        self.progress.rows_committed.fetch_add(count, Relaxed);
        std::fs::remove_file(&prepared).map_err(|cause| refused(&prepared, cause))
    }

    async fn abort(&mut self, committable: &Committable) -> Result<()> {
        let (prepared, _) = self.prepared(committable)?;
        match std::fs::remove_file(&prepared) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(refused(&prepared, cause)),
            _ => Ok(()),
        }
    }
}

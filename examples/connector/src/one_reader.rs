//! Step 1: the lines of one file, by one reader.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use async_trait::async_trait;
use culvert_api::{
    Boundedness, ChangeBatch, Column, Error, ErrorKind, Finding, ReaderContext, Result, RowKind, RowKindSet,
    RowPosition, Source, SourceEvent, SourceReader, SourceState, Split, SplitEnumerator, SplitFinished,
    TableId, TableSchema, Transaction,
};

/// Rows of one batch. What is read is bounded, whatever the file holds.
pub const BATCH_ROWS: usize = 100;

/// The lines of a file: `file`, `line` from 1, `text`.
pub struct OneFile {
    path: PathBuf,
}

impl OneFile {
    /// Looks at nothing yet.
    pub fn new(path: impl Into<PathBuf>) -> OneFile {
        OneFile { path: path.into() }
    }
}

/// The one table of these sources. Its rows are only ever added.
pub fn table() -> Arc<TableSchema> {
    let columns = vec![
        Column::derived("file", DataType::Utf8, false),
        Column::derived("line", DataType::Int64, false),
        Column::derived("text", DataType::Utf8, false),
    ];
    let key = vec!["file".to_owned(), "line".to_owned()];
    Arc::new(TableSchema::new(TableId::new("files", "lines"), 0, columns, key, RowKindSet::INSERT_ONLY))
}

/// Reads a file; the error says which, and what to do.
pub fn lines_of(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|cause| {
        let error = Error::new(ErrorKind::Unavailable, "a file cannot be read").caused_by(cause);
        error.context("file", path.display()).hint("look whether it is there, and may be read")
    })?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Lines `from`.. of a file as a batch of `+I` rows.
pub fn batch(path: &Path, from: usize, lines: &[String]) -> Result<ChangeBatch> {
    let schema = table();
    let name = path.display().to_string();
    let files: ArrayRef = Arc::new(StringArray::from(vec![name.as_str(); lines.len()]));
    let numbers: Vec<i64> = (from + 1..=from + lines.len()).map(|line| line as i64).collect();
    let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
    let texts: ArrayRef = Arc::new(lines.iter().map(Some).collect::<StringArray>());
    let rows = RecordBatch::try_new(Arc::clone(&schema.arrow), vec![files, numbers, texts])
        .map_err(|cause| Error::new(ErrorKind::Internal, "rows that fit no table").caused_by(cause))?;
    Ok(ChangeBatch {
        rows,
        kinds: vec![RowKind::Insert; lines.len()],
        // A file has no transactions: the place of a row is its line.
        positions: (from..from + lines.len())
            .map(|line| RowPosition { transaction: 0, event: line as u32, row: 0 })
            .collect(),
        transactions: vec![Transaction::logged(name, None)],
        unavailable: Vec::new(),
        schema,
    })
}

#[async_trait]
impl Source for OneFile {
    fn name(&self) -> &str {
        "OneFile"
    }

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    async fn check(&self) -> Result<Vec<Finding>> {
        let found = lines_of(&self.path);
        Ok(found.err().map(|error| Finding::error("path", error.to_string())).into_iter().collect())
    }

    async fn tables(&self, _state: Option<&SourceState>) -> Result<Vec<Arc<TableSchema>>> {
        Ok(vec![table()])
    }

    async fn enumerator(
        &self,
        _context: ReaderContext,
        _state: Option<&SourceState>,
    ) -> Result<Box<dyn SplitEnumerator>> {
        Ok(Box::new(NoSplits))
    }

    async fn reader(
        &self,
        _context: ReaderContext,
        _state: Option<&SourceState>,
    ) -> Result<Box<dyn SourceReader>> {
        let lines = lines_of(&self.path)?;
        Ok(Box::new(OneReader { path: self.path.clone(), lines, next: 0, barrier: false, ended: false }))
    }
}

/// Nothing to hand out: the reader does all the work.
struct NoSplits;

#[async_trait]
impl SplitEnumerator for NoSplits {
    async fn next_splits(&mut self, _wanted: usize) -> Result<Vec<Split>> {
        Ok(Vec::new())
    }

    fn add_splits_back(&mut self, _splits: Vec<Split>) {}

    fn split_finished(&mut self, _finished: SplitFinished) -> Result<()> {
        Ok(())
    }

    fn snapshot_state(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

struct OneReader {
    path: PathBuf,
    lines: Vec<String>,
    next: usize,
    barrier: bool,
    ended: bool,
}

#[async_trait]
impl SourceReader for OneReader {
    fn splits_wanted(&self) -> usize {
        0
    }

    fn add_splits(&mut self, _splits: Vec<Split>) -> Result<()> {
        Ok(())
    }

    async fn next(&mut self) -> Result<SourceEvent> {
        // A barrier first: it is asked for when a checkpoint is due, and rows would hold it up.
        if std::mem::take(&mut self.barrier) {
            let position = format!("line {}", self.next);
            return Ok(SourceEvent::Barrier { reader: Vec::new(), position });
        }
        let from = self.next;
        let to = (from + BATCH_ROWS).min(self.lines.len());
        if let Some(lines) = self.lines.get(from..to).filter(|lines| !lines.is_empty()) {
            self.next = to;
            return Ok(SourceEvent::Batch(batch(&self.path, from, lines)?));
        }
        // The end is said once; the engine asks for a last barrier behind it.
        if std::mem::replace(&mut self.ended, true) {
            return Ok(SourceEvent::Idle);
        }
        Ok(SourceEvent::End)
    }

    fn request_barrier(&mut self) {
        self.barrier = true;
    }

    async fn checkpoint_complete(&mut self, _state: &SourceState) -> Result<()> {
        Ok(())
    }

    async fn close(&mut self) {}
}

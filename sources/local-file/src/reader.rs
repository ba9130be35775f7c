//! Reads files, one after the other. While the engine works on a batch, the next one is read.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use async_trait::async_trait;
use culvert_api::{
    ChangeBatch, Error, ErrorKind, JobProgress, Result, RowKind, RowPosition, SourceEvent, SourceReader,
    SourceState, Split, SplitFinished, Transaction,
};
use culvert_files::read::RowReader;
use tokio::task::JoinHandle;

use crate::enumerator::number;
use crate::folder::partitions;
use crate::plan::{Plan, Work};
use crate::state::Place;

/// Rows of a batch at most.
const BATCH_ROWS_MAX: usize = 4_096;
/// How long `next` may wait when there is nothing to do.
const LINGER: Duration = Duration::from_millis(50);

/// The rows that come next, with the reader they came from; `None` at the end of the file.
type Step = Result<Option<(RowReader, RecordBatch)>>;

/// The reader of all tables.
pub(crate) struct FileReader {
    plan: Arc<Plan>,
    progress: Arc<JobProgress>,
    /// Where a file goes on that was begun before the restart.
    resume: Option<(u64, u64)>,
    waiting: VecDeque<(u64, Work)>,
    current: Option<Current>,
    /// Files done, those before the restart included.
    finished: u64,
    barrier_wanted: bool,
}

/// The file that is being read.
struct Current {
    number: u64,
    work: Arc<Work>,
    path: PathBuf,
    /// The next row to leave.
    row: u64,
    /// The columns of the path, with their value.
    partitions: Vec<Option<String>>,
    /// A thread that may block reads the next rows.
    reading: JoinHandle<Step>,
}

impl FileReader {
    pub(crate) fn new(plan: Arc<Plan>, resume: Option<(u64, u64)>, progress: Arc<JobProgress>) -> FileReader {
        progress.chunks_total.store(plan.progress.count(), Relaxed);
        progress.chunks_done.store(plan.progress.finished, Relaxed);
        let finished = plan.progress.finished;
        FileReader {
            plan,
            progress,
            resume,
            waiting: VecDeque::new(),
            current: None,
            finished,
            barrier_wanted: false,
        }
    }

    /// Begins a file; where it was before the restart, if it is that one.
    fn begin(&mut self, number: u64, work: Work) -> Result<()> {
        let none = || Error::new(ErrorKind::Internal, "a file of a table that is not there");
        let table = self.plan.tables.get(work.table).ok_or_else(none)?;
        let shape = self.plan.shapes.get(work.table).ok_or_else(none)?;
        let path = work.file.path(&table.path);
        let found = partitions(&path);
        let value =
            |name: &String| found.iter().find(|(of, _)| of == name).and_then(|(_, value)| value.clone());
        let partitions = shape.partitions.iter().map(value).collect();
        let row = self.resume.take().filter(|(resumed, _)| *resumed == number).map_or(0, |(_, row)| row);
        let work = Arc::new(work);
        let (layout, reading, schema) =
            (Arc::clone(&table.layout), Arc::clone(&table.reading), Arc::clone(&shape.of_file));
        let (folder, file, same) = (table.path.clone(), path.clone(), Arc::clone(&work));
        let reading = tokio::task::spawn_blocking(move || {
            same.file.refuse_changed(&folder)?;
            let reader = RowReader::open(&layout, &reading, &schema, &file, row)?;
            read_on(reader, &folder, &same)
        });
        self.current = Some(Current { number, work, path, row, partitions, reading });
        Ok(())
    }

    /// What the thread brought.
    fn take(&mut self, step: Step) -> Result<SourceEvent> {
        let none = || Error::new(ErrorKind::Internal, "rows of a file that is not read");
        let mut current = self.current.take().ok_or_else(none)?;
        let shape = self.plan.shapes.get(current.work.table).ok_or_else(none)?;
        let table = self.plan.tables.get(current.work.table).ok_or_else(none)?;
        let located = |error: Error| error.context("table", &shape.schema.id);
        let Some((reader, rows)) = step.map_err(located)? else {
            self.finished += 1;
            self.progress.chunks_done.store(self.finished, Relaxed);
            return Ok(SourceEvent::SplitFinished(SplitFinished {
                id: current.number.to_string(),
                remainder: None,
            }));
        };
        self.progress.bytes_read.fetch_add(rows.get_array_memory_size() as u64, Relaxed);
        let count = rows.num_rows();
        let mut columns = rows.columns().to_vec();
        for value in &current.partitions {
            let values: ArrayRef =
                Arc::new(StringArray::from_iter(std::iter::repeat_n(value.as_deref(), count)));
            columns.push(values);
        }
        let rows = RecordBatch::try_new(Arc::clone(&shape.schema.arrow), columns).map_err(|cause| {
            located(Error::new(ErrorKind::Internal, "rows of a file do not make a batch").caused_by(cause))
        })?;
        let transaction = Transaction::snapshot(format_args!("{}:{}", current.path.display(), current.row));
        let position = |row| RowPosition { transaction: 0, event: 0, row };
        let batch = ChangeBatch {
            schema: Arc::clone(&shape.schema),
            rows,
            kinds: vec![RowKind::Insert; count],
            positions: (0..u32::try_from(count).unwrap_or(u32::MAX)).map(position).collect(),
            transactions: vec![transaction],
            unavailable: Vec::new(),
        };
        current.row += count as u64;
        let (folder, work) = (table.path.clone(), Arc::clone(&current.work));
        current.reading = tokio::task::spawn_blocking(move || read_on(reader, &folder, &work));
        self.current = Some(current);
        Ok(SourceEvent::Batch(batch))
    }

    fn position(&self) -> String {
        let at = self.current.as_ref().map(|current| format!(", at row {}", current.row));
        format!("{} of {} files{}", self.finished, self.plan.progress.count(), at.unwrap_or_default())
    }
}

/// The next rows of a file. Its end counts only if the file is what it was when the run began.
fn read_on(mut reader: RowReader, folder: &Path, work: &Work) -> Step {
    match reader.next(BATCH_ROWS_MAX)? {
        Some(rows) => Ok(Some((reader, rows))),
        None => work.file.refuse_changed(folder).map(|()| None),
    }
}

#[async_trait]
impl SourceReader for FileReader {
    fn splits_wanted(&self) -> usize {
        usize::from(self.waiting.is_empty() && self.current.is_none())
    }

    fn add_splits(&mut self, splits: Vec<Split>) -> Result<()> {
        for split in splits {
            let work = serde_json::from_slice(&split.body).map_err(|cause| {
                Error::new(ErrorKind::Internal, "a split that is none of this source").caused_by(cause)
            })?;
            self.waiting.push_back((number(&split.id)?, work));
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<SourceEvent> {
        if self.barrier_wanted {
            self.barrier_wanted = false;
            // A file that waits was not begun: what was resumed is still to come.
            let at = self.current.as_ref().map(|current| (current.number, current.row)).or(self.resume);
            return Ok(SourceEvent::Barrier { reader: Place::new(at).encode()?, position: self.position() });
        }
        let Some(current) = &mut self.current else {
            match self.waiting.pop_front() {
                Some((number, work)) => self.begin(number, work)?,
                None if self.finished == self.plan.progress.count() => return Ok(SourceEvent::End),
                None => tokio::time::sleep(LINGER).await,
            }
            return Ok(SourceEvent::Idle);
        };
        match tokio::time::timeout(LINGER, &mut current.reading).await {
            Err(_) => Ok(SourceEvent::Idle),
            Ok(Ok(step)) => self.take(step),
            Ok(Err(cause)) => {
                Err(Error::new(ErrorKind::Internal, "reading a file was given up").caused_by(cause))
            }
        }
    }

    fn request_barrier(&mut self) {
        self.barrier_wanted = true;
    }

    async fn checkpoint_complete(&mut self, _state: &SourceState) -> Result<()> {
        Ok(())
    }

    async fn close(&mut self) {
        self.current = None;
        self.waiting.clear();
    }
}

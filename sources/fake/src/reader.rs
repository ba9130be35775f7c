//! Reads splits, one after the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use async_trait::async_trait;
use culvert_api::{
    ChangeBatch, Error, ErrorKind, JobProgress, Phase, Result, RowPosition, SourceEvent, SourceReader,
    SourceState, Split, SplitFinished, Transaction,
};
use culvert_values::{Cell, array};

use crate::content::Table;
use crate::enumerator::number;
use crate::state::{Origin, Place, Progress};

/// Rows of a batch at most, but for the other half of its last one.
const BATCH_ROWS_MAX: u64 = 4_096;
/// Bytes of its values, past which no row is added.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// How long `next` may wait when there is nothing to do.
const LINGER: Duration = Duration::from_millis(50);

/// The reader of all tables.
pub(crate) struct FakeReader {
    tables: Arc<Vec<Table>>,
    origin: Origin,
    /// Whether it ends behind the last row.
    ends: bool,
    progress: Arc<JobProgress>,
    /// Where a split goes on that was begun before the restart.
    resume: Option<(usize, u64)>,
    waiting: VecDeque<usize>,
    current: Option<Current>,
    /// Splits done, those before the restart included.
    finished: usize,
    /// No split begins before.
    rest_until: Option<Instant>,
    barrier_wanted: bool,
}

/// The split that is being read.
struct Current {
    split: usize,
    table: usize,
    /// The next row.
    next: u64,
    /// The first row behind.
    end: u64,
}

impl FakeReader {
    pub(crate) fn new(
        tables: Arc<Vec<Table>>,
        done: &Progress,
        resume: Option<(usize, u64)>,
        ends: bool,
        progress: Arc<JobProgress>,
    ) -> FakeReader {
        let reader = FakeReader {
            tables,
            origin: done.origin,
            ends,
            progress,
            resume,
            waiting: VecDeque::new(),
            current: None,
            finished: done.finished,
            rest_until: None,
            barrier_wanted: false,
        };
        reader.progress.set_phase(Phase::Stream);
        reader.progress.chunks_total.store(reader.count() as u64, Relaxed);
        reader.progress.chunks_done.store(reader.finished as u64, Relaxed);
        reader
    }

    fn count(&self) -> usize {
        self.tables.iter().map(|table| table.splits.len()).sum()
    }

    /// Begins a split; where it was before the restart, if it is that one.
    fn begin(&mut self, split: usize) -> Result<()> {
        let none = || Error::new(ErrorKind::Internal, "a split that is in no table").context("split", split);
        let mut left = split;
        for (at, table) in self.tables.iter().enumerate() {
            match table.splits.get(left) {
                None => left -= table.splits.len(),
                Some((from, end)) => {
                    let resumed = self.resume.take().filter(|(resumed, _)| *resumed == split);
                    let next = resumed.map_or(*from, |(_, next)| next.clamp(*from, *end));
                    self.current = Some(Current { split, table: at, next, end: *end });
                    return Ok(());
                }
            }
        }
        Err(none())
    }

    /// The next rows of the current split.
    fn batch(&mut self) -> Result<Option<ChangeBatch>> {
        let Some(current) = &mut self.current else { return Ok(None) };
        let none = || Error::new(ErrorKind::Internal, "a split of a table that is not there");
        let table = self.tables.get(current.table).ok_or_else(none)?;
        let (first, mut bytes) = (current.next, 0);
        let (mut kinds, mut positions, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        let mut event = 0u32;
        while current.next < current.end {
            let (kind, is_second, cells) = table.row(current.next, current.table, self.origin)?;
            let full = current.next - first >= BATCH_ROWS_MAX || bytes >= BATCH_BYTES_MAX;
            if full && !is_second {
                break;
            }
            bytes += cells.iter().map(size).sum::<usize>();
            // The halves of an update are rows of one event.
            event = if is_second { event } else { u32::try_from(current.next - first).unwrap_or(u32::MAX) };
            positions.push(RowPosition { transaction: 0, event, row: u32::from(is_second) });
            kinds.push(kind);
            rows.push(cells);
            current.next += 1;
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let schema = Arc::clone(&table.schema);
        let mut columns = Vec::with_capacity(schema.columns.len());
        for (at, column) in schema.columns.iter().enumerate() {
            let cells = rows.iter().map(|row| row.get(at).unwrap_or(&Cell::Null));
            columns.push(array(&column.data_type, cells).ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, "a column of a type whose values are not made")
                    .context("table", &schema.id)
                    .context("column", &column.name)
            })?);
        }
        let rows = RecordBatch::try_new(Arc::clone(&schema.arrow), columns).map_err(|cause| {
            Error::new(ErrorKind::Internal, "made-up rows do not make a batch")
                .context("table", &schema.id)
                .caused_by(cause)
        })?;
        let transaction = Transaction::logged(format!("{}:{first}", schema.id), None);
        let transactions = vec![transaction];
        Ok(Some(ChangeBatch { schema, rows, kinds, positions, transactions, unavailable: Vec::new() }))
    }

    /// The current split is done.
    fn finish(&mut self, split: usize, table: usize) -> SourceEvent {
        self.current = None;
        self.finished += 1;
        self.progress.chunks_done.store(self.finished as u64, Relaxed);
        let interval = self.tables.get(table).map_or(0, |table| table.interval_ms);
        if interval > 0 && self.finished < self.count() {
            self.rest_until = Some(Instant::now() + Duration::from_millis(interval));
        }
        SourceEvent::SplitFinished(SplitFinished { id: split.to_string(), remainder: None })
    }

    fn position(&self) -> String {
        let at = self.current.as_ref().map(|current| format!(", at row {}", current.next));
        format!("{} of {} splits{}", self.finished, self.count(), at.unwrap_or_default())
    }

    /// How long no split may begin.
    fn rest(&mut self) -> Option<Duration> {
        let left = self.rest_until?.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        if left.is_none() {
            self.rest_until = None;
        }
        left
    }
}

/// Bytes of a value, about.
fn size(cell: &Cell) -> usize {
    size_of::<Cell>()
        + match cell {
            Cell::Text(text) => text.len(),
            Cell::Bytes(bytes) => bytes.len(),
            Cell::List(cells) | Cell::Row(cells) => cells.iter().map(size).sum(),
            Cell::Map(pairs) => pairs.iter().map(|(key, value)| size(key) + size(value)).sum(),
            _ => 0,
        }
}

#[async_trait]
impl SourceReader for FakeReader {
    fn splits_wanted(&self) -> usize {
        usize::from(self.waiting.is_empty() && self.current.is_none())
    }

    fn add_splits(&mut self, splits: Vec<Split>) -> Result<()> {
        for split in splits {
            self.waiting.push_back(number(&split.id)?);
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<SourceEvent> {
        if self.barrier_wanted {
            self.barrier_wanted = false;
            // A split that waits was not begun: what was resumed is still to come.
            let at = self.current.as_ref().map(|current| (current.split, current.next)).or(self.resume);
            let position = self.position();
            return Ok(SourceEvent::Barrier { reader: Place::new(at).encode()?, position });
        }
        if self.current.is_none() {
            if let Some(left) = self.rest() {
                tokio::time::sleep(left.min(LINGER)).await;
                return Ok(SourceEvent::Idle);
            }
            match self.waiting.pop_front() {
                Some(split) => self.begin(split)?,
                None if self.ends && self.finished == self.count() => return Ok(SourceEvent::End),
                None => {
                    tokio::time::sleep(LINGER).await;
                    return Ok(SourceEvent::Idle);
                }
            }
        }
        if let Some(batch) = self.batch()? {
            return Ok(SourceEvent::Batch(batch));
        }
        match self.current.as_ref().map(|current| (current.split, current.table)) {
            Some((split, table)) => Ok(self.finish(split, table)),
            None => Ok(SourceEvent::Idle),
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

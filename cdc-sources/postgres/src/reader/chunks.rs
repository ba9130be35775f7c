//! Rounds: the log stands still between two transactions while chunks are read and leave.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use culvert_api::{
    ChangeBatch, Error, ErrorKind, Result, RowKind, RowPosition, SourceEvent, Split, SplitFinished,
};
use culvert_snapshot::KeyRange;

use super::shape::LookUp;
use super::{LINGER, PgReader};
use crate::catalog::query;
use crate::key::KeyBound;
use crate::lsn::Lsn;
use crate::snapshot::{ChunkMessage, ChunkRequest};
use crate::state::{ChunkSplit, RecentRange, encode};
use crate::visibility::Snapshot;

/// Bytes of rows after which a chunk is cut.
const CHUNK_BYTES_MAX: usize = 64 << 20;
/// No chunk is begun in a round that has lasted this long: the log wants to go on.
const ROUND_LASTS: Duration = Duration::from_millis(500);
/// Views that the stream has to ask about, at most.
const UNPASSED_MAX: usize = 512;

/// A round.
pub(super) struct Round {
    begun: Instant,
    chunks: Vec<RunningChunk>,
}

/// A chunk whose rows are leaving.
struct RunningChunk {
    split: ChunkSplit,
    id: String,
    slot: usize,
    /// What its rows say they come from.
    name: Arc<culvert_api::Transaction>,
    rows: u32,
}

impl Round {
    pub(super) fn running(&self) -> usize {
        self.chunks.len()
    }
}

impl PgReader {
    /// Begins a round when chunks wait and the log has passed the last round, or has nothing to say.
    pub(super) fn begin_round(&mut self) -> Result<()> {
        let its_turn = self.position >= self.round_after || self.quiet;
        if self.incoming.is_empty() || !its_turn || self.ended || self.tables.unpassed() >= UNPASSED_MAX {
            return Ok(());
        }
        self.flush()?;
        self.round = Some(Round { begun: Instant::now(), chunks: Vec::new() });
        self.start_chunks()?;
        self.end_round_if_done();
        Ok(())
    }

    /// Between two answers: more chunks, as long as nobody waits for a barrier or for the log.
    pub(super) fn go_on_with_round(&mut self) -> Result<()> {
        let Some(round) = &self.round else { return Ok(()) };
        if !self.barrier_wanted && round.begun.elapsed() < ROUND_LASTS {
            self.start_chunks()?;
        }
        self.end_round_if_done();
        Ok(())
    }

    fn end_round_if_done(&mut self) {
        if self.round.as_ref().is_some_and(|round| round.chunks.is_empty()) {
            self.round = None;
            self.quiet = false;
        }
    }

    fn start_chunks(&mut self) -> Result<()> {
        let mut later = std::collections::VecDeque::new();
        while let Some(split) = self.incoming.pop_front() {
            let Some(at) = self.tables.by_id(&split.table) else {
                // Dropped meanwhile: there is nothing to read.
                self.finish_split(&split, None)?;
                continue;
            };
            let looked_up = self.lookups.iter().any(|found| found.slot == at);
            let running = self.round.as_ref().map_or(0, Round::running);
            if looked_up || running >= self.config.parallelism {
                later.push_back(split);
                continue;
            }
            let table = &self.tables.slots[at].table;
            let rows = self.config.chunk_rows.saturating_mul(2);
            let request = ChunkRequest {
                split: split.clone(),
                def: Arc::clone(&table.def),
                columns: Arc::clone(&table.read_columns),
                schema: Arc::clone(&table.schema),
                cut: table.cut_of_read(),
                publication: self.publication.clone(),
                unseen: self.unseen.clone().into(),
                rows_max: usize::try_from(rows).unwrap_or(usize::MAX),
                bytes_max: CHUNK_BYTES_MAX,
                nan: self.config.conversion.nan,
                condition: table.condition.clone(),
            };
            self.chunk_reader.start(&mut self.chunk_tasks, request);
            let id = split.id();
            let name = culvert_api::Transaction::snapshot(&id);
            if let Some(round) = &mut self.round {
                round.chunks.push(RunningChunk { split, id, slot: at, name, rows: 0 });
            }
        }
        self.incoming = later;
        Ok(())
    }

    /// Waits for an answer of a chunk task, but not long.
    pub(super) async fn wait_for_chunks(&mut self) -> Result<()> {
        match tokio::time::timeout(LINGER, self.answers.recv()).await {
            Ok(Some(message)) => self.take_answer(message)?,
            Ok(None) => return Err(Error::new(ErrorKind::Internal, "nobody is left to read chunks")),
            Err(_) => {}
        }
        while self.chunk_tasks.try_join_next().is_some() {}
        Ok(())
    }

    fn take_answer(&mut self, message: ChunkMessage) -> Result<()> {
        match message {
            ChunkMessage::Failed(error) => Err(error),
            ChunkMessage::Rows { split, batch } => self.push_snapshot_batch(&split, batch),
            ChunkMessage::Done { split, snapshot, high, cut } => self.chunk_done(&split, snapshot, high, cut),
            ChunkMessage::ShapeChanged { split, high, seen } => {
                let Some(chunk) = self.take_running(&split) else { return Ok(()) };
                // Put back: it is unread, and the log may have more to say about the table first.
                let range = chunk.split.range.clone();
                self.finish_split(&chunk.split, Some(range))?;
                if !self.lookups.iter().any(|found| found.slot == chunk.slot) {
                    self.lookups.push(LookUp { slot: chunk.slot, high, seen });
                }
                Ok(())
            }
        }
    }

    fn take_running(&mut self, id: &str) -> Option<RunningChunk> {
        let chunks = &mut self.round.as_mut()?.chunks;
        let at = chunks.iter().position(|chunk| chunk.id == id)?;
        Some(chunks.remove(at))
    }

    fn push_snapshot_batch(&mut self, split: &str, batch: RecordBatch) -> Result<()> {
        let Some(round) = &mut self.round else { return Ok(()) };
        let Some(chunk) = round.chunks.iter_mut().find(|chunk| chunk.id == split) else { return Ok(()) };
        let table = &self.tables.slots[chunk.slot].table;
        let (rows, _) = table.project(batch, Vec::new())?;
        let count = rows.num_rows();
        let first = chunk.rows;
        let place = |row: usize| first.wrapping_add(u32::try_from(row).unwrap_or(u32::MAX));
        let positions =
            (0..count).map(|row| RowPosition { transaction: 0, event: 0, row: place(row) }).collect();
        chunk.rows = place(count);
        self.ready.push_back(SourceEvent::Batch(ChangeBatch {
            schema: Arc::clone(&table.output),
            rows,
            kinds: vec![RowKind::Insert; count],
            positions,
            transactions: vec![Arc::clone(&chunk.name)],
            unavailable: Vec::new(),
        }));
        Ok(())
    }

    fn chunk_done(
        &mut self,
        split: &str,
        snapshot: Snapshot,
        high: Lsn,
        cut: Option<KeyBound>,
    ) -> Result<()> {
        let Some(chunk) = self.take_running(split) else { return Ok(()) };
        let mut range = chunk.split.range.clone();
        let rest = cut.map(|cut| {
            let up_to = range.up_to.replace(cut.clone());
            KeyRange { after: Some(cut), up_to }
        });
        // Every later view is newer than this one and shows what this one shows.
        self.unseen.retain(|xid| !snapshot.shows(*xid));
        self.round_after = self.round_after.max(high);
        let table = &mut self.tables.slots[chunk.slot].table;
        table.add_done(RecentRange { range, snapshot, high });
        if table.is_complete() {
            self.tables.completed_one();
        }
        self.finish_split(&chunk.split, rest)?;
        self.report_phase();
        Ok(())
    }

    fn finish_split(&mut self, split: &ChunkSplit, rest: Option<KeyRange<KeyBound>>) -> Result<()> {
        let remainder = match rest {
            None => None,
            Some(range) => {
                let rest = ChunkSplit { table: split.table.clone(), number: 0, range };
                Some(Split { id: rest.id(), body: encode(&rest)? })
            }
        };
        self.ready.push_back(SourceEvent::SplitFinished(SplitFinished { id: split.id(), remainder }));
        Ok(())
    }

    /// Lets go of transactions that are visible by now.
    pub(super) async fn forget_visible(&mut self) -> Result<()> {
        let statement = "SELECT pg_catalog.pg_current_snapshot()";
        let rows = query(self.control().await?, statement, "asking which transactions are visible").await?;
        let text = rows.first().and_then(|row| row.get(0)).unwrap_or_default();
        let snapshot: Snapshot = text.parse()?;
        self.unseen.retain(|xid| !snapshot.shows(*xid));
        Ok(())
    }
}

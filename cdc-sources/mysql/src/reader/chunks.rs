//! Chunks: registering, taking answers, and letting go of what was read at the high mark.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::RecordBatch;
use culvert_api::{
    ChangeBatch, Error, ErrorKind, Result, RowKind, RowPosition, SourceEvent, Split, SplitFinished,
    Transaction,
};
use culvert_snapshot::{KeyRange, Window};
use tracing::warn;

use super::MySqlReader;
use crate::merge::{ActiveChunk, ReadChunk, overlay};
use crate::position::BinlogPosition;
use crate::snapshot::{ChunkMessage, ChunkRequest};
use crate::state::{ChunkSplit, encode};

/// Bytes of rows that one chunk may hold in memory.
const CHUNK_BYTES_MAX: usize = 64 << 20;
/// Bytes that may pass through the window of one chunk before it has to be read again.
const WINDOW_BYTES_MAX: usize = 256 << 20;

/// A table without a usable key, read in one piece.
pub(super) struct WholeTable {
    split: ChunkSplit,
    /// The exact place its rows are as of; unknown until its task has opened the view.
    at: Option<BinlogPosition>,
    /// The stream has reached the place: rows leave, the log waits.
    emitting: bool,
    /// An answer that came before the stream was there.
    early: VecDeque<RecordBatch>,
    rows: u32,
    spoilt: bool,
}

impl MySqlReader {
    /// The log waits while a table's exact place is not known, and while its rows leave.
    pub(super) fn holds_the_log(&self) -> bool {
        self.whole.as_ref().is_some_and(|whole| whole.at.is_none() || whole.emitting)
    }

    /// Answers wait while the stream is on its way to a table's exact place.
    pub(super) fn whole_waits(&self) -> bool {
        self.whole.as_ref().is_some_and(|whole| whole.at.is_some() && !whole.emitting)
    }

    pub(super) fn emitting_whole(&self) -> bool {
        self.whole.as_ref().is_some_and(|whole| whole.emitting)
    }

    /// Registers chunks at the stream's position and starts reading them.
    pub(super) fn register_incoming(&mut self) -> Result<()> {
        let mut later = VecDeque::new();
        while let Some(split) = self.incoming.pop_front() {
            let Some(at) = self.tables.find_id(&split.table) else {
                // Dropped meanwhile: there is nothing to read.
                self.finish_split(&split, None)?;
                continue;
            };
            let position = self.log()?.position().clone();
            let table = &self.tables.slots[at].table;
            let known = table.known_from.as_ref().is_none_or(|from| position.binlog.has_reached(from));
            let alone = table.key.is_none();
            if !known || self.whole.is_some() || (alone && !self.active.is_empty()) {
                later.push_back(split);
                continue;
            }
            let request = ChunkRequest {
                split: split.clone(),
                not_before: position,
                columns: Arc::clone(&table.read_columns),
                schema: Arc::clone(&table.schema),
                key: table.key.clone(),
                rows_max: usize::try_from(self.config.chunk_rows.saturating_mul(2))
                    .unwrap_or(usize::MAX >> 1),
                bytes_max: CHUNK_BYTES_MAX,
                conversion: self.config.conversion.clone(),
                condition: table.condition.clone(),
            };
            self.chunk_reader.start(&mut self.chunk_tasks, request);
            if alone {
                self.whole = Some(WholeTable {
                    split,
                    at: None,
                    emitting: false,
                    early: VecDeque::new(),
                    rows: 0,
                    spoilt: false,
                });
            } else {
                self.active.push(ActiveChunk {
                    split,
                    window: Window::new(WINDOW_BYTES_MAX),
                    read: None,
                    spoilt: false,
                });
            }
        }
        self.incoming = later;
        Ok(())
    }

    /// Takes the answers that are there. True: there was one.
    pub(super) fn take_answers(&mut self) -> Result<bool> {
        let mut any = false;
        while !self.whole_waits() {
            let Ok(message) = self.answers.try_recv() else { break };
            self.take_answer(message)?;
            any = true;
        }
        while self.chunk_tasks.try_join_next().is_some() {}
        Ok(any)
    }

    pub(super) fn take_answer(&mut self, message: ChunkMessage) -> Result<()> {
        match message {
            ChunkMessage::Failed(error) => return Err(error),
            ChunkMessage::Read { split, batches, high, cut } => {
                if let Some(chunk) = self.active.iter_mut().find(|chunk| chunk.split.id() == split) {
                    chunk.read = Some(ReadChunk { batches, high, cut });
                }
            }
            ChunkMessage::ShapeChanged { split } => {
                if self.whole.as_ref().is_some_and(|whole| whole.split.id() == split) {
                    if let Some(whole) = self.whole.take() {
                        self.give_back(whole.split)?;
                    }
                } else if let Some(at) = self.active.iter().position(|chunk| chunk.split.id() == split) {
                    let chunk = self.active.remove(at);
                    self.give_back(chunk.split)?;
                }
            }
            ChunkMessage::WholeBegins { split, at } => {
                if let Some(whole) = self.whole.as_mut().filter(|whole| whole.split.id() == split) {
                    whole.at = Some(at);
                }
            }
            ChunkMessage::WholeRows(batch) => {
                if let Some(whole) = &mut self.whole {
                    whole.early.push_back(batch);
                }
                self.emit_whole()?;
            }
            ChunkMessage::WholeEnds => self.end_whole()?,
        }
        Ok(())
    }

    /// Puts a chunk back: it is unread, and its rows of the log were held in its window only.
    fn give_back(&mut self, split: ChunkSplit) -> Result<()> {
        let range = split.range.clone();
        self.finish_split(&split, Some(range))
    }

    fn finish_split(
        &mut self,
        split: &ChunkSplit,
        rest: Option<KeyRange<crate::key::KeyBound>>,
    ) -> Result<()> {
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

    /// Emits the chunks whose high mark the stream has reached.
    pub(super) fn close_chunks(&mut self) -> Result<()> {
        let mut at = 0;
        while at < self.active.len() {
            let position = self.log()?.position().binlog.clone();
            let chunk = &self.active[at];
            if !chunk.read.as_ref().is_some_and(|read| position.has_reached(&read.high)) {
                at += 1;
                continue;
            }
            let chunk = self.active.remove(at);
            if chunk.spoilt {
                warn!(
                    chunk = chunk.split.id(),
                    "a chunk has to be read again: its table changed its shape, or too many of its rows changed meanwhile"
                );
                self.give_back(chunk.split)?;
                continue;
            }
            self.emit_chunk(chunk)?;
        }
        Ok(())
    }

    fn emit_chunk(&mut self, chunk: ActiveChunk) -> Result<()> {
        let Some(read) = chunk.read else { return Ok(()) };
        let Some(slot) = self.tables.find_id(&chunk.split.table) else {
            return self.finish_split(&chunk.split, None);
        };
        let table = &self.tables.slots[slot].table;
        let key = table
            .key
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a chunk of a table without a key"))?;
        let batches = overlay(chunk.window, read.batches, read.cut.as_ref(), key)?;
        self.flush_slot(slot)?;
        let name = Transaction::snapshot(chunk.split.id());
        let mut first = 0;
        for batch in batches {
            let rows = batch.num_rows();
            self.push_snapshot_batch(slot, batch, &name, first)?;
            first += u32::try_from(rows).unwrap_or(0);
        }
        let mut done = chunk.split.range.clone();
        let rest = read.cut.map(|cut| {
            let up_to = done.up_to.replace(cut.clone());
            KeyRange { after: Some(cut), up_to }
        });
        let set = &mut self.tables.slots[slot].table.done;
        set.insert(done);
        if set.is_complete() {
            self.tables.completed_one();
        }
        self.finish_split(&chunk.split, rest)?;
        self.report_phase();
        Ok(())
    }

    fn push_snapshot_batch(
        &mut self,
        slot: usize,
        batch: RecordBatch,
        name: &Arc<Transaction>,
        first: u32,
    ) -> Result<()> {
        let table = &self.tables.slots[slot].table;
        let rows = table.project(batch)?;
        let count = rows.num_rows();
        let positions = (0..count)
            .map(|row| RowPosition { transaction: 0, event: 0, row: first.wrapping_add(row as u32) })
            .collect();
        self.ready.push_back(SourceEvent::Batch(ChangeBatch {
            schema: Arc::clone(&table.output),
            rows,
            kinds: vec![RowKind::Insert; count],
            positions,
            transactions: vec![Arc::clone(name)],
            unavailable: Vec::new(),
        }));
        Ok(())
    }

    /// The stream may have reached the place that a table was read at.
    pub(super) fn begin_whole(&mut self) -> Result<()> {
        if !self.whole_waits() {
            return Ok(());
        }
        let position = self.log()?.position().binlog.clone();
        let Some(whole) = &mut self.whole else { return Ok(()) };
        if whole.at.as_ref().is_some_and(|at| position.has_reached(at)) {
            whole.emitting = true;
            if whole.spoilt {
                return Err(Error::new(
                    ErrorKind::Contention,
                    "a table without a key changed its shape while it was read",
                )
                .context("table", &whole.split.table));
            }
            self.emit_whole()?;
        }
        Ok(())
    }

    fn emit_whole(&mut self) -> Result<()> {
        if !self.emitting_whole() {
            return Ok(());
        }
        let Some(whole) = &mut self.whole else { return Ok(()) };
        let batches: Vec<RecordBatch> = whole.early.drain(..).collect();
        let (id, table, mut first) = (whole.split.id(), whole.split.table.clone(), whole.rows);
        let name = Transaction::snapshot(id);
        if let Some(slot) = self.tables.find_id(&table) {
            for batch in batches {
                let rows = batch.num_rows() as u32;
                self.push_snapshot_batch(slot, batch, &name, first)?;
                first = first.wrapping_add(rows);
            }
        }
        if let Some(whole) = &mut self.whole {
            whole.rows = first;
        }
        Ok(())
    }

    fn end_whole(&mut self) -> Result<()> {
        self.emit_whole()?;
        let Some(whole) = self.whole.take() else { return Ok(()) };
        if let Some(slot) = self.tables.find_id(&whole.split.table) {
            self.tables.slots[slot].table.done.insert(KeyRange::all());
            self.tables.completed_one();
        }
        self.finish_split(&whole.split, None)?;
        self.report_phase();
        Ok(())
    }

    /// What is being read of a table is of its old shape.
    pub(super) fn spoil(&mut self, table: &culvert_api::TableId) {
        for chunk in self.active.iter_mut().filter(|chunk| chunk.split.table == *table) {
            chunk.spoilt = true;
            chunk.window = Window::new(WINDOW_BYTES_MAX);
        }
        if let Some(whole) = self.whole.as_mut().filter(|whole| whole.split.table == *table) {
            whole.spoilt = true;
        }
    }
}

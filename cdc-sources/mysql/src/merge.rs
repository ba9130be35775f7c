//! Lays what the log said over the rows of a chunk.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch, UInt32Array};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take_record_batch;
use culvert_api::{Error, ErrorKind, Result};
use culvert_snapshot::Window;

use crate::decode::KeyValue;
use crate::key::{KeyBound, KeyPlan};
use crate::position::BinlogPosition;
use crate::state::ChunkSplit;

/// A row of the log: its event's batch, and its place there.
#[derive(Debug)]
pub(crate) struct LoggedRow {
    pub(crate) batch: Arc<RecordBatch>,
    pub(crate) row: u32,
    /// What it sorts by.
    pub(crate) sort: KeyBound,
}

/// A chunk between registration and emission.
pub(crate) struct ActiveChunk {
    pub(crate) split: ChunkSplit,
    pub(crate) window: Window<Vec<KeyValue>, LoggedRow>,
    /// What the chunk's task has read, once it has.
    pub(crate) read: Option<ReadChunk>,
    /// Read again later: the table changed its shape, or too much was logged meanwhile.
    pub(crate) spoilt: bool,
}

/// The rows of a chunk, and the place after which the log has nothing more to say about them.
pub(crate) struct ReadChunk {
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) high: BinlogPosition,
    pub(crate) cut: Option<KeyBound>,
}

/// The chunk as of its high mark. Where it was cut, logged rows above the cut belong to the rest,
/// which is read again.
pub(crate) fn overlay(
    window: Window<Vec<KeyValue>, LoggedRow>,
    batches: Vec<RecordBatch>,
    cut: Option<&KeyBound>,
    key: &KeyPlan,
) -> Result<Vec<RecordBatch>> {
    if window.is_empty() {
        return Ok(batches);
    }
    let mut keys = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            keys.push(key.identity(batch, row)?);
        }
    }
    let overlay = window.overlay(keys.into_iter());
    let mut merged = Vec::with_capacity(batches.len() + 1);
    let mut at = 0;
    for batch in batches {
        let mask = BooleanArray::from(overlay.keep[at..at + batch.num_rows()].to_vec());
        at += batch.num_rows();
        let kept = filter_record_batch(&batch, &mask).map_err(broken)?;
        if kept.num_rows() > 0 {
            merged.push(kept);
        }
    }
    let rows = overlay.rows.into_iter().filter(|row| cut.is_none_or(|cut| row.sort <= *cut)).collect();
    if let Some(logged) = gather(rows)? {
        merged.push(logged);
    }
    Ok(merged)
}

/// One batch of rows that lie in many.
fn gather(rows: Vec<LoggedRow>) -> Result<Option<RecordBatch>> {
    let mut by_batch: HashMap<*const RecordBatch, (Arc<RecordBatch>, Vec<u32>)> = HashMap::new();
    for row in rows {
        let entry =
            by_batch.entry(Arc::as_ptr(&row.batch)).or_insert_with(|| (Arc::clone(&row.batch), Vec::new()));
        entry.1.push(row.row);
    }
    let mut parts = Vec::with_capacity(by_batch.len());
    for (batch, mut places) in by_batch.into_values() {
        places.sort_unstable();
        parts.push(take_record_batch(&batch, &UInt32Array::from(places)).map_err(broken)?);
    }
    let Some(first) = parts.first() else { return Ok(None) };
    concat_batches(&first.schema(), &parts).map(Some).map_err(broken)
}

fn broken(error: arrow_schema::ArrowError) -> Error {
    Error::new(ErrorKind::Internal, "rows of a chunk could not be merged").caused_by(error)
}

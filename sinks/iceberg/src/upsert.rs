//! Rows that wait in upsert mode: the last state of each key since the last wave.
//!
//! A wave is about the table as it was in front of it. So of every key it holds the last row, or that there is none,
//! and whether a row of before has to be deleted; what came and went in between was never seen by anybody.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use arrow_row::{OwnedRow, RowConverter, SortField};
use arrow_select::interleave::interleave_record_batch;
use culvert_api::{Error, ErrorKind, Result, RowKind};

use crate::layout::Layout;

/// Bytes that an entry takes beside its key.
const ENTRY_BYTES: usize = 96;

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    /// Batch and place of the row; of one that is gone, a row with its key.
    row: (usize, usize),
    is_gone: bool,
    /// Whether a row of before has to be deleted.
    deletes: bool,
}

/// Rows of a table that wait.
pub(crate) struct Pending {
    converter: RowConverter,
    batches: Vec<RecordBatch>,
    last: HashMap<OwnedRow, Last>,
    bytes: usize,
}

/// A wave, as rows.
#[derive(Debug)]
pub(crate) struct Reduced {
    /// Rows whose key is deleted; the other columns say nothing.
    pub(crate) deletes: Option<RecordBatch>,
    pub(crate) rows: Option<RecordBatch>,
}

fn internal(cause: arrow_schema::ArrowError) -> Error {
    Error::new(ErrorKind::Internal, "rows were not told apart by their key").caused_by(cause)
}

impl Pending {
    pub(crate) fn new(layout: &Layout) -> Result<Pending> {
        let fields = layout.key.iter().filter_map(|(at, _)| layout.arrow.fields().get(*at));
        let fields = fields.map(|field| SortField::new(field.data_type().clone())).collect();
        let converter = RowConverter::new(fields).map_err(internal)?;
        Ok(Pending { converter, batches: Vec::new(), last: HashMap::new(), bytes: 0 })
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes rows in.
    pub(crate) fn add(&mut self, layout: &Layout, rows: RecordBatch, kinds: &[RowKind]) -> Result<()> {
        let key: Vec<_> = layout.key.iter().filter_map(|(at, _)| rows.columns().get(*at)).cloned().collect();
        let keys = self.converter.convert_columns(&key).map_err(internal)?;
        let batch = self.batches.len();
        for (at, kind) in kinds.iter().enumerate() {
            let row = (batch, at);
            let key = keys.row(at);
            // An update under one key is what comes behind it. Under another, by a key that is not the source's, the
            // row goes from where it was.
            let stays = || kinds.get(at + 1) == Some(&RowKind::UpdateAfter) && keys.row(at + 1) == key;
            if *kind == RowKind::UpdateBefore && stays() {
                continue;
            }
            let key = key.owned();
            let known = self.last.get(&key).copied();
            // A row of this wave alone was never in the table.
            let was_new = known.is_some_and(|known| !known.deletes);
            let last = match kind {
                RowKind::Insert => {
                    let deletes = known.map_or(layout.inserts_replace, |known| known.deletes);
                    Last { row, is_gone: false, deletes }
                }
                RowKind::UpdateAfter => Last { row, is_gone: false, deletes: !was_new },
                RowKind::UpdateBefore | RowKind::Delete if was_new => {
                    self.last.remove(&key);
                    continue;
                }
                RowKind::UpdateBefore | RowKind::Delete => Last { row, is_gone: true, deletes: true },
            };
            if known.is_none() {
                self.bytes += key.as_ref().len() + ENTRY_BYTES;
            }
            self.last.insert(key, last);
        }
        self.bytes += rows.get_array_memory_size();
        self.batches.push(rows);
        Ok(())
    }

    /// What the rows amount to; nothing waits any more.
    pub(crate) fn reduce(&mut self) -> Result<Reduced> {
        let mut all: Vec<Last> = self.last.drain().map(|(_, last)| last).collect();
        // In the order in which they came: neighbours stay neighbours.
        all.sort_unstable_by_key(|last| last.row);
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let pick = |wanted: &dyn Fn(&Last) -> bool| {
            let places: Vec<(usize, usize)> =
                all.iter().filter(|last| wanted(last)).map(|last| last.row).collect();
            match places.is_empty() {
                true => Ok(None),
                false => interleave_record_batch(&batches, &places).map(Some).map_err(internal),
            }
        };
        let reduced = Reduced { deletes: pick(&|last| last.deletes)?, rows: pick(&|last| !last.is_gone)? };
        self.batches.clear();
        self.bytes = 0;
        Ok(reduced)
    }
}

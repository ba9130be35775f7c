//! Row events: decoded straight into the table's columns, or routed row by row while the table's
//! snapshot runs.

use std::sync::Arc;
use std::time::Instant;

use arrow_array::UInt32Array;
use arrow_select::take::take_record_batch;
use culvert_api::{ChangeBatch, Error, ErrorKind, Result, RowKind, SourceEvent, Transaction};

use super::MySqlReader;
use crate::decode::{RowDecoder, RowsBuilder};
use crate::event::{Event, RowsEvent};
use crate::log::{RawEvent, xa_unsupported};
use crate::merge::LoggedRow;
use crate::options::Startup;

/// A batch leaves with this many rows …
const BATCH_ROWS: usize = 8192;
/// … or bytes.
const BATCH_BYTES: usize = 4 << 20;
/// A key in a window weighs this much beside its row.
const KEY_BYTES: usize = 64;

/// Rows of one table that wait for more.
pub(super) struct Pending {
    pub(super) builder: RowsBuilder,
    transactions: Vec<Arc<Transaction>>,
}

impl MySqlReader {
    /// A table map: remembers which captured table its number stands for.
    pub(super) fn map_table(&mut self, raw: &RawEvent) -> Result<()> {
        let log = self.log.as_ref().ok_or_else(not_open)?;
        let Event::TableMap(map) = raw.parse(log.context())? else { return Ok(()) };
        let found = self.tables.find(map.schema, map.table);
        self.names.insert(map.table_id, found);
        let Some(at) = found else { return Ok(()) };
        let slot = &mut self.tables.slots[at];
        if slot.decoder.as_ref().is_some_and(|decoder| decoder.matches(&map)) {
            return Ok(());
        }
        slot.decoder = None;
        // A table that is wholly unread is not decoded: its shape may be that of a later time.
        let unread = slot.table.done.ranges().is_empty();
        if !unread || self.active.iter().any(|chunk| chunk.split.table == slot.table.id) {
            let decoder = RowDecoder::new(&slot.table.columns, &map, self.config.conversion.expanded_bytes_max).map_err(|error| {
                error.context("table", &slot.table.id).context("position", log.position()).hint(
                    "the log and the known shape of the table differ; if the table was changed while the log was not written \
                     (sql_log_bin=0), start over with --fresh",
                )
            })?;
            slot.decoder = Some(decoder.reading(&slot.table.reads));
        }
        Ok(())
    }

    /// A row event.
    pub(super) async fn take_rows(&mut self, raw: RawEvent) -> Result<()> {
        let log = self.log.as_mut().ok_or_else(not_open)?;
        let context = log.context().clone();
        let event = match raw.parse(&context)? {
            Event::Rows(event) => event,
            Event::PartialUpdateRows { table_id } => {
                let captured = self.names.get(&table_id).copied().flatten();
                return match captured {
                    None => Ok(()),
                    Some(at) => {
                        Err(Error::new(ErrorKind::Unsupported, "row events hold JSON columns as edits")
                            .context("table", &self.tables.slots[at].table.id)
                            .hint("set binlog_row_value_options='' at the source"))
                    }
                };
            }
            _ => return Ok(()),
        };
        let Some(found) = self.names.get(&event.table_id).copied() else {
            return if event.column_count == 0 {
                Ok(())
            } else {
                Err(Error::new(ErrorKind::Corrupt, "a row event without a table map before it")
                    .context("position", log.position()))
            };
        };
        let Some(at) = found else { return Ok(()) };
        if matches!(self.config.startup, Startup::Time(ms) if u64::from(raw.timestamp()) * 1000 < ms) {
            return Ok(());
        }
        let prepared = match log.transaction() {
            Some(transaction) => {
                transaction.row_events += 1;
                transaction.prepared
            }
            None => return Err(Error::new(ErrorKind::Corrupt, "a row event outside a transaction")),
        };
        if prepared {
            return Err(xa_unsupported().context("table", &self.tables.slots[at].table.id));
        }
        if self.tables.slots[at].table.done.is_complete() {
            self.append(at, &event)
        } else {
            self.route(at, &event).await
        }
    }

    /// The hot path: the table's snapshot is done.
    fn append(&mut self, at: usize, event: &RowsEvent<'_>) -> Result<()> {
        let log = self.log.as_mut().ok_or_else(not_open)?;
        let name = log.transaction_name();
        let number = log.transaction().map_or(0, |transaction| transaction.row_events - 1);
        let slot = &mut self.tables.slots[at];
        let table = &slot.table;
        let Some(decoder) = &slot.decoder else { return Err(no_decoder(&table.id)) };
        let pending = match &mut slot.pending {
            Some(pending) => pending,
            empty => empty.insert(Pending {
                builder: RowsBuilder::new(&table.schema, &table.read_columns, &self.config.conversion)?,
                transactions: Vec::new(),
            }),
        };
        if pending.transactions.last().is_none_or(|last| !Arc::ptr_eq(last, &name)) {
            pending.transactions.push(name);
        }
        let transaction = u32::try_from(pending.transactions.len() - 1).unwrap_or(u32::MAX);
        decoder
            .decode(event, &mut pending.builder, transaction, number)
            .map_err(|error| error.context("table", &table.id).context("position", log.position()))?;
        self.waiting_since.get_or_insert_with(Instant::now);
        if pending.builder.len() >= BATCH_ROWS || pending.builder.bytes() >= BATCH_BYTES {
            self.flush_slot(at)?;
        }
        Ok(())
    }

    /// The table's snapshot runs: each row goes out, into a window, or nowhere.
    async fn route(&mut self, at: usize, event: &RowsEvent<'_>) -> Result<()> {
        let log = self.log.as_mut().ok_or_else(not_open)?;
        let name = log.transaction_name();
        let number = log.transaction().map_or(0, |transaction| transaction.row_events - 1);
        let slot = &mut self.tables.slots[at];
        let table = &slot.table;
        let any_active = self.active.iter().any(|chunk| chunk.split.table == table.id && !chunk.spoilt);
        let Some(key) = &table.key else { return Ok(()) };
        if table.done.ranges().is_empty() && !any_active {
            return Ok(());
        }
        let Some(decoder) = &slot.decoder else { return Err(no_decoder(&table.id)) };
        let mut builder = RowsBuilder::new(&table.schema, &table.read_columns, &self.config.conversion)?;
        decoder
            .decode(event, &mut builder, 0, number)
            .map_err(|error| error.context("table", &table.id).context("position", log.position()))?;
        let rows = builder.finish()?;
        if key.needs_server() && self.control.is_none() {
            self.control = Some(self.config.endpoint.connect().await?);
        }
        let sorts = key.sort_keys(self.control.as_mut(), &rows.rows).await?;
        let weight = rows.rows.get_array_memory_size() / rows.kinds.len().max(1) + KEY_BYTES;
        let batch = Arc::new(rows.rows);
        let mut out = Vec::new();
        for (row, sort) in sorts.into_iter().enumerate() {
            let place = u32::try_from(row).unwrap_or(u32::MAX);
            if table.done.contains(&sort) {
                out.push(place);
                continue;
            }
            let chunk = self.active.iter_mut().find(|chunk| {
                chunk.split.table == table.id && !chunk.spoilt && chunk.split.range.contains(&sort)
            });
            let Some(chunk) = chunk else { continue };
            let kind = rows.kinds[row];
            if kind == RowKind::UpdateBefore {
                continue;
            }
            let identity = key.identity(&batch, row)?;
            let state =
                (kind != RowKind::Delete).then(|| LoggedRow { batch: Arc::clone(&batch), row: place, sort });
            if chunk.window.record(identity, state, weight).is_err() {
                chunk.spoilt = true;
            }
        }
        if out.is_empty() {
            return Ok(());
        }
        self.flush_slot(at)?;
        let table = &self.tables.slots[at].table;
        let kinds = out.iter().map(|row| rows.kinds[*row as usize]).collect();
        let positions = out.iter().map(|row| rows.positions[*row as usize]).collect();
        let taken = take_record_batch(&batch, &UInt32Array::from(out)).map_err(|error| {
            Error::new(ErrorKind::Internal, "rows of an event could not be taken apart").caused_by(error)
        })?;
        self.ready.push_back(SourceEvent::Batch(ChangeBatch {
            schema: Arc::clone(&table.output),
            rows: table.project(taken)?,
            kinds,
            positions,
            transactions: vec![name],
            unavailable: Vec::new(),
        }));
        Ok(())
    }

    /// Passes on the rows of one table that wait.
    pub(super) fn flush_slot(&mut self, at: usize) -> Result<()> {
        let slot = &mut self.tables.slots[at];
        let Some(pending) = &mut slot.pending else { return Ok(()) };
        if pending.builder.is_empty() {
            return Ok(());
        }
        let rows = pending.builder.finish()?;
        let transactions = std::mem::take(&mut pending.transactions);
        self.ready.push_back(SourceEvent::Batch(ChangeBatch {
            schema: Arc::clone(&slot.table.output),
            rows: slot.table.project(rows.rows)?,
            kinds: rows.kinds,
            positions: rows.positions,
            transactions,
            unavailable: Vec::new(),
        }));
        Ok(())
    }

    /// Passes on every row that waits.
    pub(super) fn flush(&mut self) -> Result<()> {
        for at in 0..self.tables.slots.len() {
            self.flush_slot(at)?;
        }
        self.waiting_since = None;
        Ok(())
    }
}

fn not_open() -> Error {
    Error::new(ErrorKind::Internal, "the log is not open")
}

fn no_decoder(table: &culvert_api::TableId) -> Error {
    Error::new(ErrorKind::Corrupt, "a row event without a table map before it").context("table", table)
}

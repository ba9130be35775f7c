//! Changes of the log: decoded straight into their table's columns, where they are to leave.

use std::sync::Arc;
use std::time::Instant;

use culvert_api::{ChangeBatch, Error, ErrorKind, Result, RowKind, RowPosition, SourceEvent};
use tracing::warn;

use super::tables::{LoggedShape, Slot};
use super::{PgReader, Transaction};
use crate::decode::{Cell, RowsBuilder};
use crate::log::{LogItem, OldTuple, Tuple, Value};
use crate::tables::{Captured, Verdict};

/// A batch leaves with this many rows …
const BATCH_ROWS: usize = 8192;
/// … or bytes.
const BATCH_BYTES: usize = 4 << 20;

/// Rows of one table that wait for more.
pub(super) struct Pending {
    builder: RowsBuilder,
    transactions: Vec<Arc<culvert_api::Transaction>>,
}

/// A change of one row: what the log has of the row before and after.
struct Change {
    is_update: bool,
    old: Option<OldTuple>,
    new: Option<Tuple>,
}

/// What becomes of the two sides of a change: the row of before and the row of after.
#[derive(Clone, Copy)]
struct Sides {
    old: Verdict,
    new: Verdict,
    /// The row has another key than before: it leaves as a delete and an insert.
    moved: bool,
}

impl PgReader {
    /// A change, of any table of the publication.
    pub(super) async fn take_change(&mut self, item: LogItem) -> Result<()> {
        match item {
            LogItem::Insert { relation, new } => {
                self.take_row(relation, &Change { is_update: false, old: None, new: Some(new) }).await
            }
            LogItem::Update { relation, old, new } => {
                self.take_row(relation, &Change { is_update: true, old, new: Some(new) }).await
            }
            LogItem::Delete { relation, old } => {
                self.take_row(relation, &Change { is_update: false, old: Some(old), new: None }).await
            }
            LogItem::Truncate { relations, .. } => self.take_truncate(&relations),
            _ => Ok(()),
        }
    }

    async fn take_row(&mut self, relation: u32, change: &Change) -> Result<()> {
        let Some(transaction) = &mut self.transaction else { return Ok(()) };
        let Some(at) = self.tables.by_oid(relation) else {
            transaction.left_unread |= self.discovery.is_joining(relation);
            return Ok(());
        };
        let slot = &self.tables.slots[at];
        // A table that is wholly unread is not decoded: its shape may be that of another time.
        if slot.table.is_unread() {
            transaction.left_unread = true;
            return Ok(());
        }
        let xid = transaction.xid;
        if change.is_update || change.new.is_none() {
            self.refuse_unfit(at)?;
        }
        if slot.table.is_settled() {
            self.check_shape(at).await?;
        }
        let (Some(transaction), Some(slot)) = (&mut self.transaction, self.tables.slots.get(at)) else {
            return Ok(());
        };
        let sides = sides(slot, xid, change)
            .map_err(|error| error.context("table", &slot.table.id).context("position", &transaction.name))?;
        transaction.left_unread |= sides.old == Verdict::Unread || sides.new == Verdict::Unread;
        if sides.old != Verdict::Emit && sides.new != Verdict::Emit {
            return Ok(());
        }
        self.check_shape(at).await?;
        let null_in = self.append(at, sides, change)?;
        if !null_in.is_empty() {
            self.loosen(at, &null_in).await?;
            self.append(at, sides, change)?;
        }
        let Some(slot) = self.tables.slots.get(at) else { return Ok(()) };
        self.waiting_since.get_or_insert_with(Instant::now);
        let full = slot.pending.as_ref().is_some_and(|pending| {
            pending.builder.len() >= BATCH_ROWS || pending.builder.bytes() >= BATCH_BYTES
        });
        if full { self.flush_slot(at) } else { Ok(()) }
    }

    /// Appends a change to the rows that wait. Where it brings NULL in columns that are not to have it, it
    /// is taken back, and their places are returned.
    fn append(&mut self, at: usize, sides: Sides, change: &Change) -> Result<Vec<usize>> {
        let (Some(transaction), Some(slot)) = (&self.transaction, self.tables.slots.get_mut(at)) else {
            return Ok(Vec::new());
        };
        let waiting = slot.pending.as_ref().map_or(0, |pending| pending.builder.len());
        append_change(slot, transaction, sides, change, self.config.conversion.nan)
            .map_err(|error| error.context("table", &slot.table.id).context("position", &transaction.name))?;
        let Some(pending) = &mut slot.pending else { return Ok(Vec::new()) };
        let null_in = pending.builder.null_in();
        if !null_in.is_empty() {
            pending.builder.take_back(waiting);
        }
        Ok(null_in)
    }

    fn take_truncate(&mut self, relations: &[u32]) -> Result<()> {
        let Some(transaction) = &mut self.transaction else { return Ok(()) };
        transaction.left_unread |= relations.iter().any(|oid| self.discovery.is_joining(*oid));
        for at in relations.iter().filter_map(|oid| self.tables.by_oid(*oid)) {
            let table = &self.tables.slots[at].table;
            if !table.is_complete() {
                transaction.left_unread = true;
            }
            if table.all_have_seen(transaction.xid) {
                continue;
            }
            if self.config.fail_on_truncate {
                return Err(Error::new(ErrorKind::Unsupported, "a captured table was truncated, and the log does not name the rows")
                    .context("table", &table.id)
                    .context("position", &transaction.name)
                    .hint("bring the target in line by hand, then set truncate.policy = IGNORE to go on past this place"));
            }
            warn!(table = %table.id, "a captured table was truncated; the target keeps its rows (truncate.policy = IGNORE)");
        }
        Ok(())
    }

    /// Passes on the rows of one table that wait.
    pub(super) fn flush_slot(&mut self, at: usize) -> Result<()> {
        let slot = &mut self.tables.slots[at];
        let Some(pending) = &mut slot.pending else { return Ok(()) };
        if pending.builder.len() == 0 {
            return Ok(());
        }
        let built = pending.builder.finish()?;
        let transactions = std::mem::take(&mut pending.transactions);
        let (rows, unavailable) = slot.table.project(built.rows, built.unavailable)?;
        self.ready.push_back(SourceEvent::Batch(ChangeBatch {
            schema: Arc::clone(&slot.table.output),
            rows,
            kinds: built.kinds,
            positions: built.positions,
            transactions,
            unavailable,
        }));
        Ok(())
    }

    /// Passes on every row that waits.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.waiting_since.take().is_none() {
            return Ok(());
        }
        for at in 0..self.tables.slots.len() {
            self.flush_slot(at)?;
        }
        Ok(())
    }
}

/// Judges both sides of a change by their keys.
fn sides(slot: &Slot, xid: u32, change: &Change) -> Result<Sides> {
    let (old, new) = (change.old.as_ref(), change.new.as_ref());
    let shape = slot
        .relation
        .as_ref()
        .ok_or_else(|| Error::new(ErrorKind::Corrupt, "a row of a table whose shape the log has not told"))?;
    let moved = match (old, new) {
        (Some(old), Some(new)) => is_moved(shape, old, new)?,
        _ => false,
    };
    let judge = |old: Option<&OldTuple>, new: Option<&Tuple>| judge(&slot.table, shape, xid, old, new);
    Ok(match (old, new) {
        _ if slot.table.is_settled() => Sides { old: Verdict::Emit, new: Verdict::Emit, moved },
        (Some(old), Some(new)) if moved => {
            Sides { old: judge(Some(old), None)?, new: judge(Some(old), Some(new))?, moved }
        }
        _ => {
            let verdict = judge(old, new)?;
            Sides { old: verdict, new: verdict, moved }
        }
    })
}

/// What becomes of a row: the new one where there is one, filled up from the old one.
fn judge(
    table: &Captured,
    shape: &LoggedShape,
    xid: u32,
    old: Option<&OldTuple>,
    new: Option<&Tuple>,
) -> Result<Verdict> {
    if table.cut.is_none() {
        return Ok(table.judge_whole(xid));
    }
    let plan = shape.cut.as_ref().ok_or_else(key_changed)?;
    let key = match (old, new) {
        (Some(old), Some(new)) => plan.bound(filled(&old.tuple, new))?,
        (None, Some(new)) => plan.bound(cells(new))?,
        (Some(old), None) => plan.bound(cells(&old.tuple))?,
        (None, None) => return Err(Error::new(ErrorKind::Internal, "a change without a row")),
    };
    Ok(table.judge(&key, xid))
}

fn key_changed() -> Error {
    Error::new(ErrorKind::Unsupported, "a table changed its primary key while its snapshot ran")
        .hint("start over with --fresh once the table rests")
}

/// Whether an update changed the key. The old tuple is there when it may have.
fn is_moved(shape: &LoggedShape, old: &OldTuple, new: &Tuple) -> Result<bool> {
    let Some(key) = &shape.key else { return Err(key_changed()) };
    if key.is_empty() {
        return Ok(false);
    }
    for (index, (before, after)) in old.tuple.columns().zip(new.columns()).enumerate() {
        let (before, after) = (before?, after?);
        if key.contains(&index) && after != Value::Unchanged && before != after {
            return Ok(true);
        }
    }
    Ok(false)
}

fn cell(value: Value<'_>) -> Cell<'_> {
    match value {
        Value::Null => Cell::Null,
        Value::Unchanged => Cell::Unavailable,
        Value::Text(text) => Cell::Text(text),
        Value::Binary(bytes) => Cell::Binary(bytes),
    }
}

fn cells(tuple: &Tuple) -> impl Iterator<Item = Result<Cell<'_>>> {
    tuple.columns().map(|value| value.map(cell))
}

/// The new row; what the update left alone, and the log therefore out, comes from the old one. In one
/// that holds the key only, what is no key looks like NULL: that is not taken.
fn filled<'a>(old: &'a Tuple, new: &'a Tuple) -> impl Iterator<Item = Result<Cell<'a>>> {
    let mut before = old.columns();
    new.columns().map(move |after| {
        let before = before.next();
        match (after?, before) {
            (Value::Unchanged, Some(before)) => match before? {
                Value::Null | Value::Unchanged => Ok(Cell::Unavailable),
                value => Ok(cell(value)),
            },
            (value, _) => Ok(cell(value)),
        }
    })
}

/// The old row where only its key is known.
fn key_only<'a>(shape: &'a LoggedShape, old: &'a Tuple) -> impl Iterator<Item = Result<Cell<'a>>> {
    old.columns().zip(&shape.relation.columns).map(|(value, column)| {
        let value = value?;
        Ok(if column.is_key { cell(value) } else { Cell::Unavailable })
    })
}

fn append_change(
    slot: &mut Slot,
    transaction: &Transaction,
    sides: Sides,
    change: &Change,
    nan: crate::decode::NanPolicy,
) -> Result<()> {
    let Some(shape) = &slot.relation else { return Ok(()) };
    let table = &slot.table;
    let pending = slot.pending.get_or_insert_with(|| Pending {
        builder: RowsBuilder::new(Arc::clone(&table.schema), &table.read_columns, nan)
            .of_rows(Arc::clone(&table.reads)),
        transactions: Vec::new(),
    });
    if pending.transactions.last().is_none_or(|last| !Arc::ptr_eq(last, &transaction.name)) {
        pending.transactions.push(Arc::clone(&transaction.name));
    }
    let number = u32::try_from(pending.transactions.len() - 1).unwrap_or(u32::MAX);
    // The place in the transaction wraps after four billion changes; it is for people.
    let event = u32::try_from((transaction.changes - 1) & u64::from(u32::MAX)).unwrap_or(0);
    let position = |row| RowPosition { transaction: number, event, row };
    let rows = &mut pending.builder;
    let kinds = table.schema.kinds;
    let old_row = |rows: &mut RowsBuilder, kind, old: &OldTuple| {
        if old.is_key_only {
            rows.append(kind, position(0), key_only(shape, &old.tuple))
        } else {
            rows.append(kind, position(0), cells(&old.tuple))
        }
    };
    match (&change.old, &change.new) {
        (None, Some(new)) => {
            // Without an old row it is an insert, or an update that left the key alone.
            let kind = if change.is_update { RowKind::UpdateAfter } else { RowKind::Insert };
            rows.append(kind, position(0), cells(new))
        }
        (Some(old), None) => old_row(rows, RowKind::Delete, old),
        (Some(old), Some(new)) if sides.moved => {
            // Both rows are appended in one go: no flush comes between them, so that a sink finds what the
            // second one leaves out.
            if sides.old == Verdict::Emit {
                old_row(rows, RowKind::Delete, old)?;
            }
            if sides.new == Verdict::Emit {
                if sides.old != Verdict::Emit {
                    refuse_moved_without_value(table, filled(&old.tuple, new))?;
                }
                rows.append(RowKind::Insert, position(1), filled(&old.tuple, new))?;
            }
            Ok(())
        }
        (Some(old), Some(new)) => {
            if !old.is_key_only && kinds.contains(RowKind::UpdateBefore) {
                old_row(rows, RowKind::UpdateBefore, old)?;
            }
            rows.append(RowKind::UpdateAfter, position(1), filled(&old.tuple, new))
        }
        (None, None) => Ok(()),
    }
}

/// A row that came under its new key into a range whose rows have left already, out of one that was not
/// read while it held the row: the target has it under neither key, so what the log leaves out is
/// nowhere.
fn refuse_moved_without_value<'a>(
    table: &Captured,
    cells: impl Iterator<Item = Result<Cell<'a>>>,
) -> Result<()> {
    let mut left_out = Vec::new();
    for (cell, column) in cells.zip(&table.def.columns) {
        if matches!(cell?, Cell::Unavailable) {
            left_out.push(column.name.as_str());
        }
    }
    if left_out.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Value,
        "while the snapshot ran, an update moved a row that had not been read into keys that had, and left a large \
         value alone, which the log therefore does not tell",
    )
    .context("column", left_out.join(", "))
    .hint(format!(
        "run ALTER TABLE {} REPLICA IDENTITY FULL; this place of the log stays as it is: start over with --fresh",
        table.def.quoted()
    )))
}

//! Rows accepted and not yet sent: rendered as lines of COPY into one buffer per table.
//!
//! **Reduction.** Of all changes of one key inside a flush only the last one matters, so only that is
//! sent. Keys are told apart by their rendered bytes; where the target may hold different bytes for one
//! key, rows carry their number and the server drops all but the last of equal keys, as it compares them.
//!
//! **Values the log left out.** An update of a PostgreSQL row does not tell large values that did not
//! change. Such a row takes them from an earlier change of its key in the same flush; what is still
//! left out then is not written: rows are grouped by the columns they lack, and each group is an UPDATE
//! of the others. A row that the target does not have cannot be written so, and stops the job.
//!
//! Where the update changed the key, what is left out stands under the key of before, its *origin*: a
//! delete and an insert come, one directly behind the other. The staged row names its origin, and is
//! completed from the target's row of that key before anything of the flush is written.

mod reduce;

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use arrow_buffer::BooleanBuffer;
use bytes::Bytes;
use culvert_api::{ChangeBatch, Error, ErrorKind, Result, RowKind};

use crate::postgres::encode::{Misfit, Place, Values};
use crate::postgres::plan::{Mode, TablePlan};
use crate::postgres::stage::{FIRST_GROUP, PUT, REMOVE};
use crate::query::Piece;

/// The rows of a batch, ready to be written.
pub(crate) struct Rows<'a> {
    batch: &'a ChangeBatch,
    values: Vec<Values<'a>>,
    left_out: Vec<Option<&'a BooleanBuffer>>,
    any_left_out: bool,
}

impl<'a> Rows<'a> {
    /// Prepares the columns that a plan writes.
    pub(crate) fn new(plan: &'a TablePlan, batch: &'a ChangeBatch) -> Result<Rows<'a>> {
        let place = if plan.mode == Mode::Statement { Place::Statement } else { Place::Copy };
        let columns = batch.rows.columns();
        let any_left_out = !batch.unavailable.is_empty();
        let mut rows = Rows { batch, values: Vec::new(), left_out: Vec::new(), any_left_out };
        for (number, slot) in plan.slots.iter().enumerate() {
            let Some(array) = columns.get(slot.source) else {
                let message = "a batch has fewer columns than its schema";
                return Err(Error::new(ErrorKind::Internal, message).context("table", &batch.schema.id));
            };
            let values =
                Values::new(array, &slot.form, place).map_err(|misfit| misfit_error(plan, misfit, number))?;
            rows.values.push(values);
            let marked = batch.unavailable.iter().find(|left_out| left_out.column == slot.source);
            rows.left_out.push(marked.map(|left_out| &left_out.rows));
        }
        Ok(rows)
    }

    fn is_left_out(&self, row: usize, slot: usize) -> bool {
        self.any_left_out
            && self
                .left_out
                .get(slot)
                .copied()
                .flatten()
                .is_some_and(|rows| row < rows.len() && rows.value(row))
    }

    fn lacks_any(&self, row: usize) -> bool {
        self.any_left_out && (0..self.left_out.len()).any(|slot| self.is_left_out(row, slot))
    }

    /// Slots of a row that the log left out.
    fn left_out(&self, row: usize) -> Vec<usize> {
        match self.any_left_out {
            true => (0..self.left_out.len()).filter(|slot| self.is_left_out(row, *slot)).collect(),
            false => Vec::new(),
        }
    }

    /// Appends a value.
    fn write(&mut self, plan: &TablePlan, row: usize, slot: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.is_left_out(row, slot) {
            return Err(misfit_error(plan, Misfit::Unavailable, slot));
        }
        let Some(column) = self.values.get_mut(slot) else {
            return Err(Error::new(ErrorKind::Internal, "a planned column is not in the batch"));
        };
        column.write(row, out).map_err(|misfit| misfit_error(plan, misfit, slot))
    }
}

#[derive(Clone, Debug)]
struct Operation {
    op: u32,
    key: Range<usize>,
    line: Range<usize>,
    /// The key under which the target has what the line lacks, when that is another than its own.
    origin: Option<Range<usize>>,
}

/// Rows that lack the same columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partial {
    /// Their `op`.
    pub(crate) op: u32,
    /// The slots they lack.
    pub(crate) left_out: Vec<usize>,
    /// Whether the target has what they lack under another key.
    pub(crate) moved: bool,
}

/// Rows that go out together.
#[derive(Debug, Default)]
pub(crate) struct Flush {
    /// The lines of COPY, or the text of statements.
    pub(crate) body: Bytes,
    /// Lines of COPY with the origin's key behind them.
    pub(crate) moved: Bytes,
    /// Whether keys are removed.
    pub(crate) removes: bool,
    /// Whether whole rows are put.
    pub(crate) puts: bool,
    /// Partial rows.
    pub(crate) partial: Vec<Partial>,
    /// Runs of one `op` in the order of the rows: first and last number.
    pub(crate) runs: Vec<(u32, u64, u64)>,
}

/// A staging table of the session.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// Its name.
    pub(crate) name: String,
    /// The session's count of roll-backs when it was made.
    pub(crate) made: u32,
    /// Rows that went through it since it was truncated.
    pub(crate) rows: usize,
}

/// Rows of one table that wait to be sent.
pub(crate) struct Pending {
    /// How they are written.
    pub(crate) plan: Arc<TablePlan>,
    /// The session's staging table.
    pub(crate) stage: Option<Stage>,
    bytes: Vec<u8>,
    operations: Vec<Operation>,
    partial: Vec<Partial>,
    key_before: Option<Vec<u8>>,
    since: Option<Instant>,
}

impl Pending {
    /// No rows yet.
    pub(crate) fn new(plan: Arc<TablePlan>) -> Pending {
        Pending {
            plan,
            stage: None,
            bytes: Vec::new(),
            operations: Vec::new(),
            partial: Vec::new(),
            key_before: None,
            since: None,
        }
    }

    /// Number of operations.
    pub(crate) fn len(&self) -> usize {
        self.operations.len()
    }

    /// Bytes they take.
    pub(crate) fn byte_len(&self) -> usize {
        self.bytes.len() + self.operations.len() * size_of::<Operation>()
    }

    /// When the oldest row came.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Takes a row over.
    pub(crate) fn push(&mut self, kind: RowKind, row: usize, rows: &mut Rows<'_>) -> Result<()> {
        let plan = self.plan.clone();
        if !plan.source.kinds.contains(kind) {
            let message = format!("a {kind} row on an edge without such rows");
            return Err(Error::new(ErrorKind::Internal, message).context("table", &plan.source.id));
        }
        self.since.get_or_insert_with(Instant::now);
        match (plan.mode, kind) {
            (Mode::Append | Mode::Statement, RowKind::UpdateBefore) => Ok(()),
            (Mode::Append, _) => self.append(&plan, row, rows),
            (Mode::Statement, _) => self.fill_in(&plan, row, rows),
            (_, RowKind::UpdateBefore) => {
                if plan.watch_moves {
                    self.key_before = Some(key_of(&plan, row, rows)?);
                }
                Ok(())
            }
            (_, RowKind::Delete) => {
                let key = key_of(&plan, row, rows)?;
                self.remove(&plan, &key);
                Ok(())
            }
            (mode, RowKind::Insert | RowKind::UpdateAfter) => {
                if let Some(before) = self.key_before.take()
                    && kind == RowKind::UpdateAfter
                    && before != key_of(&plan, row, rows)?
                {
                    // The update moved the row away from a key of the target.
                    self.remove(&plan, &before);
                }
                if kind == RowKind::Insert && rows.lacks_any(row) {
                    return self.put_moved(&plan, row, rows);
                }
                let updates = mode == Mode::Separate && kind == RowKind::UpdateAfter && !plan.insert_only;
                self.put(&plan, row, rows, updates)
            }
        }
    }

    fn append(&mut self, plan: &TablePlan, row: usize, rows: &mut Rows<'_>) -> Result<()> {
        let start = self.bytes.len();
        for slot in 0..plan.slots.len() {
            if slot > 0 {
                self.bytes.push(b'\t');
            }
            rows.write(plan, row, slot, &mut self.bytes)?;
        }
        self.bytes.push(b'\n');
        self.operations.push(Operation { op: PUT, key: 0..0, line: start..self.bytes.len(), origin: None });
        Ok(())
    }

    fn fill_in(&mut self, plan: &TablePlan, row: usize, rows: &mut Rows<'_>) -> Result<()> {
        let start = self.bytes.len();
        for piece in &plan.statement.row {
            match piece {
                Piece::Text(text) => self.bytes.extend_from_slice(text),
                Piece::Value(slot) => rows.write(plan, row, *slot, &mut self.bytes)?,
            }
        }
        self.operations.push(Operation { op: PUT, key: 0..0, line: start..self.bytes.len(), origin: None });
        Ok(())
    }

    /// The first fields of a staged line.
    fn open_line(&mut self, plan: &TablePlan, op: u32) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(op.to_string().as_bytes());
        if plan.is_numbered() {
            self.bytes.push(b'\t');
            let number = self.operations.len();
            self.bytes.extend_from_slice(number.to_string().as_bytes());
        }
        start
    }

    fn remove(&mut self, plan: &TablePlan, key: &[u8]) {
        let start = self.open_line(plan, REMOVE);
        self.bytes.push(b'\t');
        let from = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let key = from..self.bytes.len();
        for _ in plan.key_len..plan.slots.len() {
            self.bytes.extend_from_slice(b"\t\\N");
        }
        self.bytes.push(b'\n');
        self.operations.push(Operation { op: REMOVE, key, line: start..self.bytes.len(), origin: None });
    }

    /// Stages a row. `updates`: it must be there already.
    fn put(&mut self, plan: &TablePlan, row: usize, rows: &mut Rows<'_>, updates: bool) -> Result<()> {
        let left_out = rows.left_out(row);
        match left_out.is_empty() && !updates {
            true => self.stage_row(plan, row, rows, PUT, None),
            false => {
                let op = op_of(&mut self.partial, left_out, false);
                self.stage_row(plan, row, rows, op, None)
            }
        }
    }

    /// Stages an insert that lacks values: the second side of an update that changed the key. Its first
    /// side was staged just before, and names the row that has them.
    fn put_moved(&mut self, plan: &TablePlan, row: usize, rows: &mut Rows<'_>) -> Result<()> {
        let left_out = rows.left_out(row);
        let before = self.operations.last().filter(|before| before.op == REMOVE);
        let (Some(before), Some(_)) = (before, rows.batch.moved_from(row)) else {
            let slot = left_out.first().copied().unwrap_or_default();
            return Err(misfit_error(plan, Misfit::Unavailable, slot));
        };
        let origin = before.key.clone();
        let op = op_of(&mut self.partial, left_out, true);
        self.stage_row(plan, row, rows, op, Some(origin))
    }

    fn stage_row(
        &mut self,
        plan: &TablePlan,
        row: usize,
        rows: &mut Rows<'_>,
        op: u32,
        origin: Option<Range<usize>>,
    ) -> Result<()> {
        let start = self.open_line(plan, op);
        let mut key = self.bytes.len() + 1..0;
        for slot in 0..plan.slots.len() {
            self.bytes.push(b'\t');
            if slot >= plan.key_len && rows.is_left_out(row, slot) {
                self.bytes.extend_from_slice(b"\\N");
            } else {
                rows.write(plan, row, slot, &mut self.bytes)?;
            }
            if slot + 1 == plan.key_len {
                key.end = self.bytes.len();
            }
        }
        self.bytes.push(b'\n');
        self.operations.push(Operation { op, key, line: start..self.bytes.len(), origin });
        Ok(())
    }

    /// Hands the rows out and forgets them.
    pub(crate) fn take(&mut self) -> Result<Flush> {
        let flush = match self.plan.mode {
            Mode::Append => Flush { body: self.take_bytes(), puts: true, ..Flush::default() },
            Mode::Statement => Flush { body: self.statements(), ..Flush::default() },
            Mode::Separate => {
                let runs = self.runs();
                let (body, moved) = self.lines();
                let partial = std::mem::take(&mut self.partial);
                Flush { body, moved, runs, partial, ..Flush::default() }
            }
            Mode::Merge => self.reduced()?,
        };
        self.bytes.clear();
        self.operations.clear();
        self.partial.clear();
        self.since = None;
        Ok(flush)
    }

    fn take_bytes(&mut self) -> Bytes {
        let next = Vec::with_capacity(self.bytes.len());
        Bytes::from(std::mem::replace(&mut self.bytes, next))
    }

    fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    /// The user's statement with all rows.
    fn statements(&self) -> Bytes {
        let statement = &self.plan.statement;
        let mut text = Vec::with_capacity(self.bytes.len() + statement.head.len() + statement.tail.len());
        text.extend_from_slice(&statement.head);
        for (place, operation) in self.operations.iter().enumerate() {
            if place > 0 {
                text.extend_from_slice(statement.joint);
            }
            text.extend_from_slice(self.slice(&operation.line));
        }
        text.extend_from_slice(&statement.tail);
        Bytes::from(text)
    }

    /// Runs of one `op`. A run of updates ends where a key would come twice, because one UPDATE takes
    /// only one of two staged rows; where keys cannot be told apart here, after every row.
    fn runs(&self) -> Vec<(u32, u64, u64)> {
        let mut runs: Vec<(u32, u64, u64)> = Vec::new();
        let mut keys: std::collections::HashSet<&[u8]> = std::collections::HashSet::new();
        for (number, operation) in (0_u64..).zip(&self.operations) {
            let key = self.slice(&operation.key);
            let exact = self.plan.key_match == crate::postgres::key::KeyMatch::Exact;
            let may_join = operation.op < FIRST_GROUP || (exact && !keys.contains(key));
            match runs.last_mut() {
                Some((op, _, last)) if *op == operation.op && may_join => *last = number,
                _ => {
                    keys.clear();
                    runs.push((operation.op, number, number));
                }
            }
            keys.insert(key);
        }
        runs
    }
}

/// The `op` of rows that lack these columns.
fn op_of(partial: &mut Vec<Partial>, left_out: Vec<usize>, moved: bool) -> u32 {
    let known = partial.iter().find(|known| known.moved == moved && known.left_out == left_out);
    if let Some(known) = known {
        return known.op;
    }
    let op = FIRST_GROUP + u32::try_from(partial.len()).unwrap_or(u32::MAX - FIRST_GROUP);
    partial.push(Partial { op, left_out, moved });
    op
}

/// The fields of the key.
fn key_of(plan: &TablePlan, row: usize, rows: &mut Rows<'_>) -> Result<Vec<u8>> {
    let mut key = Vec::with_capacity(24);
    for slot in 0..plan.key_len {
        if slot > 0 {
            key.push(b'\t');
        }
        rows.write(plan, row, slot, &mut key)?;
    }
    Ok(key)
}

/// Names table and column, never the value.
pub(crate) fn misfit_error(plan: &TablePlan, misfit: Misfit, slot: usize) -> Error {
    let column = plan.slots.get(slot).map(|slot| slot.name.as_str()).unwrap_or_default();
    let kind = match misfit {
        Misfit::Type | Misfit::Zone => ErrorKind::Unsupported,
        _ => ErrorKind::Value,
    };
    let failure =
        Error::new(kind, format!("column `{column}` of {} cannot take a value: {misfit}", plan.label))
            .context("table", &plan.source.id);
    match misfit {
        Misfit::Unavailable => failure.hint(format!(
            "let the log hold whole rows; run on the source: ALTER TABLE {} REPLICA IDENTITY FULL",
            source_table(plan)
        )),
        _ => failure,
    }
}

/// An update of a part of a row that is not there: what it does not tell, in these slots, cannot be known.
pub(crate) fn unknown_row(plan: &TablePlan, left_out: impl Iterator<Item = usize>) -> Error {
    let names: Vec<&str> =
        left_out.filter_map(|slot| plan.slots.get(slot)).map(|slot| slot.name.as_str()).collect();
    Error::new(
        ErrorKind::Value,
        format!(
            "an update tells only a part of its row (the source's log left unchanged values out), and {} has no row \
             of that key to keep the rest of",
            plan.label
        ),
    )
    .context("table", &plan.source.id)
    .context("columns", names.join(", "))
    .hint(format!(
        "let the job load the table (startup.mode = initial), or run on the source: ALTER TABLE {} REPLICA IDENTITY \
         FULL, and fill the target anew",
        source_table(plan)
    ))
}

/// The source's table as it stands in a statement there.
fn source_table(plan: &TablePlan) -> String {
    let id = &plan.source.id;
    match &id.schema {
        Some(schema) => culvert_postgres::quote::qualified(schema, &id.table),
        None => culvert_postgres::quote::identifier(&id.table),
    }
}

#[cfg(test)]
mod tests;

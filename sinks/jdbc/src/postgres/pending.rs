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

use std::collections::HashMap;
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
    values: Vec<Values<'a>>,
    left_out: Vec<Option<&'a BooleanBuffer>>,
    any_left_out: bool,
}

impl<'a> Rows<'a> {
    /// Prepares the columns that a plan writes.
    pub(crate) fn new(plan: &'a TablePlan, batch: &'a ChangeBatch) -> Result<Rows<'a>> {
        let place = if plan.mode == Mode::Statement { Place::Statement } else { Place::Copy };
        let columns = batch.rows.columns();
        let mut rows =
            Rows { values: Vec::new(), left_out: Vec::new(), any_left_out: !batch.unavailable.is_empty() };
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
}

/// Rows that go out together.
#[derive(Debug, Default)]
pub(crate) struct Flush {
    /// The lines of COPY, or the text of statements.
    pub(crate) body: Bytes,
    /// Whether keys are removed.
    pub(crate) removes: bool,
    /// Whether whole rows are put.
    pub(crate) puts: bool,
    /// The `op`s of partial rows, and the slots each leaves out.
    pub(crate) groups: Vec<(u32, Vec<usize>)>,
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
    groups: Vec<Vec<usize>>,
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
            groups: Vec::new(),
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
        self.operations.push(Operation { op: PUT, key: 0..0, line: start..self.bytes.len() });
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
        self.operations.push(Operation { op: PUT, key: 0..0, line: start..self.bytes.len() });
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
        self.operations.push(Operation { op: REMOVE, key, line: start..self.bytes.len() });
    }

    /// Stages a row. `updates`: it must be there already.
    fn put(&mut self, plan: &TablePlan, row: usize, rows: &mut Rows<'_>, updates: bool) -> Result<()> {
        let left_out = rows.left_out(row);
        let op = match left_out.is_empty() && !updates {
            true => PUT,
            false => self.group(left_out),
        };
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
        self.operations.push(Operation { op, key, line: start..self.bytes.len() });
        Ok(())
    }

    /// The `op` of rows that lack these columns.
    fn group(&mut self, left_out: Vec<usize>) -> u32 {
        let known = self.groups.iter().position(|group| *group == left_out);
        let place = known.unwrap_or_else(|| {
            self.groups.push(left_out);
            self.groups.len() - 1
        });
        FIRST_GROUP + u32::try_from(place).unwrap_or(u32::MAX - FIRST_GROUP)
    }

    /// Hands the rows out and forgets them.
    pub(crate) fn take(&mut self) -> Result<Flush> {
        let flush = match self.plan.mode {
            Mode::Append => Flush { body: self.take_bytes(), puts: true, ..Flush::default() },
            Mode::Statement => Flush { body: self.statements(), ..Flush::default() },
            Mode::Separate => {
                let runs = self.runs();
                let groups = self.numbered_groups();
                Flush { body: self.take_bytes(), runs, groups, ..Flush::default() }
            }
            Mode::Merge => self.reduced()?,
        };
        self.bytes.clear();
        self.operations.clear();
        self.groups.clear();
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

    fn numbered_groups(&self) -> Vec<(u32, Vec<usize>)> {
        (FIRST_GROUP..).zip(self.groups.iter().cloned()).collect()
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

    /// The last change of every key.
    fn reduced(&mut self) -> Result<Flush> {
        let mut survivors: Vec<Option<Line>> =
            self.operations.iter().map(|one| Some(Line { op: one.op, text: None })).collect();
        let mut groups = std::mem::take(&mut self.groups);
        let mut last: HashMap<&[u8], usize> = HashMap::with_capacity(self.operations.len());
        let mut dropped = false;
        for (place, operation) in self.operations.iter().enumerate() {
            let Some(before) = last.insert(self.slice(&operation.key), place) else { continue };
            dropped = true;
            let earlier = survivors.get_mut(before).and_then(Option::take);
            if operation.op >= FIRST_GROUP
                && let Some(earlier) = earlier
            {
                let merged = self.merge(&earlier, before, place, &mut groups)?;
                survivors.get_mut(place).into_iter().for_each(|line| *line = Some(merged.clone()));
            }
        }
        let mut flush = Flush::default();
        let mut used = vec![false; groups.len()];
        for line in survivors.iter().flatten() {
            match line.op {
                REMOVE => flush.removes = true,
                PUT => flush.puts = true,
                group => {
                    let place = usize::try_from(group - FIRST_GROUP).unwrap_or(usize::MAX);
                    used.get_mut(place).into_iter().for_each(|flag| *flag = true);
                }
            }
        }
        let numbered = (FIRST_GROUP..).zip(groups).zip(used);
        flush.groups = numbered.filter(|(_, used)| *used).map(|(group, _)| group).collect();
        flush.body = match dropped {
            false => self.take_bytes(),
            true => {
                let mut body = Vec::with_capacity(self.bytes.len());
                for (operation, line) in self.operations.iter().zip(&survivors) {
                    match line {
                        Some(Line { text: Some(text), .. }) => body.extend_from_slice(text),
                        Some(Line { text: None, .. }) => body.extend_from_slice(self.slice(&operation.line)),
                        None => {}
                    }
                }
                Bytes::from(body)
            }
        };
        Ok(flush)
    }

    /// A partial row with what an earlier change of its key in this flush has told.
    fn merge(
        &self,
        earlier: &Line,
        before: usize,
        place: usize,
        groups: &mut Vec<Vec<usize>>,
    ) -> Result<Line> {
        let plan = &self.plan;
        let left_out_of = |op: u32, groups: &[Vec<usize>]| {
            let group = op.checked_sub(FIRST_GROUP).and_then(|group| usize::try_from(group).ok());
            group.and_then(|group| groups.get(group).cloned()).unwrap_or_default()
        };
        if earlier.op == REMOVE {
            let message = format!("an update of a row of {} that was deleted before", plan.source.id);
            return Err(Error::new(ErrorKind::Value, message).context("table", &plan.source.id));
        }
        let (Some(first), Some(second)) = (self.operations.get(before), self.operations.get(place)) else {
            return Err(Error::new(ErrorKind::Internal, "a staged row is missing"));
        };
        let missing_now = left_out_of(second.op, groups);
        let missing_before = left_out_of(earlier.op, groups);
        let missing: Vec<usize> =
            missing_now.iter().copied().filter(|slot| missing_before.contains(slot)).collect();
        let old_text = earlier.text.as_deref().unwrap_or_else(|| self.slice(&first.line));
        let old = fields(old_text);
        let new = fields(self.slice(&second.line));
        let lead = 1 + usize::from(plan.is_numbered());
        let op = match missing.is_empty() {
            true => PUT,
            false => {
                let known = groups.iter().position(|group| *group == missing);
                let number = known.unwrap_or_else(|| {
                    groups.push(missing);
                    groups.len() - 1
                });
                FIRST_GROUP + u32::try_from(number).unwrap_or_default()
            }
        };
        // A whole row before makes a whole row; a partial one stays an update of what is there.
        let mut text = op.to_string().into_bytes();
        for (number, (old, new)) in old.iter().zip(&new).enumerate().skip(1) {
            text.push(b'\t');
            let from_old = number >= lead && missing_now.contains(&(number - lead));
            text.extend_from_slice(if from_old { old } else { new });
        }
        text.push(b'\n');
        Ok(Line { op, text: Some(text) })
    }
}

#[derive(Clone, Debug)]
struct Line {
    op: u32,
    /// `None`: as it stands in the buffer.
    text: Option<Vec<u8>>,
}

/// The fields of a line; a tab inside a value is escaped.
fn fields(line: &[u8]) -> Vec<&[u8]> {
    line.strip_suffix(b"\n").unwrap_or(line).split(|byte| *byte == b'\t').collect()
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

/// The source's table as it stands in a statement there.
pub(crate) fn source_table(plan: &TablePlan) -> String {
    let id = &plan.source.id;
    match &id.schema {
        Some(schema) => culvert_postgres::quote::qualified(schema, &id.table),
        None => culvert_postgres::quote::identifier(&id.table),
    }
}

#[cfg(test)]
mod tests;

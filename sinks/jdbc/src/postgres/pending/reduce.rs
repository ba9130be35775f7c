//! What of a table's waiting rows is sent: the last change of every key, put together with what earlier
//! changes of its row have told.
//!
//! A partial row goes on from the line its key had before. One that came to its key by an update goes on
//! from the line that its origin had before the row left it, and takes over that line's own origin: a
//! row that moved twice lacks what the target has under the first of its keys. A line of a key that is
//! left is not sent, so that every origin names a row as the target has it before the flush, wherever
//! the flush moves others to and from meanwhile.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use culvert_api::{Error, ErrorKind, Result};

use crate::postgres::pending::{Flush, Operation, Partial, Pending, op_of, unknown_row};
use crate::postgres::stage::{FIRST_GROUP, PUT, REMOVE};

/// What becomes of an operation.
#[derive(Clone, Debug)]
struct Line {
    op: u32,
    /// `None`: as it stands in the buffer.
    text: Option<Vec<u8>>,
    origin: Option<Range<usize>>,
}

impl Line {
    fn of(operation: &Operation) -> Line {
        Line { op: operation.op, text: None, origin: operation.origin.clone() }
    }
}

impl Pending {
    /// The last change of every key.
    pub(super) fn reduced(&mut self) -> Result<Flush> {
        let mut survivors: Vec<Option<Line>> =
            self.operations.iter().map(|operation| Some(Line::of(operation))).collect();
        let mut partial = std::mem::take(&mut self.partial);
        let mut last: HashMap<&[u8], usize> = HashMap::with_capacity(self.operations.len());
        let mut changed = false;
        // What the key of the operation before had, until that removed it.
        let mut left: Option<(usize, Line)> = None;
        for (place, operation) in self.operations.iter().enumerate() {
            let replaced = last
                .insert(self.slice(&operation.key), place)
                .and_then(|before| Some((before, survivors.get_mut(before)?.take()?)));
            changed |= replaced.is_some() || operation.origin.is_some();
            let (goes_on_from, replaced) = match operation.origin.is_some() {
                true => (left.take(), None),
                false if operation.op >= FIRST_GROUP => (replaced, None),
                false => (None, replaced),
            };
            if let Some((before, earlier)) = goes_on_from {
                let merged = self.merge(&earlier, before, place, &mut partial)?;
                survivors.get_mut(place).into_iter().for_each(|line| *line = Some(merged.clone()));
            }
            left = replaced.filter(|_| operation.op == REMOVE);
        }
        let mut flush = Flush::default();
        let ops: std::collections::HashSet<u32> = survivors.iter().flatten().map(|line| line.op).collect();
        partial.retain(|group| ops.contains(&group.op));
        flush.removes = ops.contains(&REMOVE);
        // A row that moved is a whole one by the time it is put.
        flush.puts = ops.contains(&PUT) || partial.iter().any(|group| group.moved);
        flush.partial = partial;
        (flush.body, flush.moved) = match changed {
            false => (self.take_bytes(), Bytes::new()),
            true => self.bodies(&survivors),
        };
        Ok(flush)
    }

    /// All lines, none left out.
    pub(super) fn lines(&mut self) -> (Bytes, Bytes) {
        if self.operations.iter().all(|operation| operation.origin.is_none()) {
            return (self.take_bytes(), Bytes::new());
        }
        let lines: Vec<Option<Line>> =
            self.operations.iter().map(|operation| Some(Line::of(operation))).collect();
        self.bodies(&lines)
    }

    /// Lines without and with an origin.
    fn bodies(&self, lines: &[Option<Line>]) -> (Bytes, Bytes) {
        let (mut body, mut moved) = (Vec::with_capacity(self.bytes.len()), Vec::new());
        for (operation, line) in self.operations.iter().zip(lines) {
            let Some(line) = line else { continue };
            let text = line.text.as_deref().unwrap_or_else(|| self.slice(&operation.line));
            let Some(origin) = &line.origin else {
                body.extend_from_slice(text);
                continue;
            };
            moved.extend_from_slice(text.strip_suffix(b"\n").unwrap_or(text));
            moved.push(b'\t');
            moved.extend_from_slice(self.slice(origin));
            moved.push(b'\n');
        }
        (Bytes::from(body), Bytes::from(moved))
    }

    /// A partial row with what an earlier change of it in this flush has told.
    fn merge(&self, earlier: &Line, before: usize, place: usize, partial: &mut Vec<Partial>) -> Result<Line> {
        let plan = &self.plan;
        let left_out_of = |op: u32, partial: &[Partial]| {
            partial
                .iter()
                .find(|group| group.op == op)
                .map(|group| group.left_out.clone())
                .unwrap_or_default()
        };
        let (Some(first), Some(second)) = (self.operations.get(before), self.operations.get(place)) else {
            return Err(Error::new(ErrorKind::Internal, "a staged row is missing"));
        };
        let missing_now = left_out_of(second.op, partial);
        if earlier.op == REMOVE {
            return Err(unknown_row(plan, missing_now.into_iter()));
        }
        let missing_before = left_out_of(earlier.op, partial);
        let missing: Vec<usize> =
            missing_now.iter().copied().filter(|slot| missing_before.contains(slot)).collect();
        let old_text = earlier.text.as_deref().unwrap_or_else(|| self.slice(&first.line));
        let old = fields(old_text);
        let new = fields(self.slice(&second.line));
        let lead = 1 + usize::from(plan.is_numbered());
        // A whole row before makes a whole row; a partial one stays an update of what is there.
        let (op, origin) = match missing.is_empty() {
            true => (PUT, None),
            false => {
                let origin = earlier.origin.clone().or_else(|| second.origin.clone());
                (op_of(partial, missing, origin.is_some()), origin)
            }
        };
        let mut text = op.to_string().into_bytes();
        for (number, (old, new)) in old.iter().zip(&new).enumerate().skip(1) {
            text.push(b'\t');
            let from_old = number >= lead && missing_now.contains(&(number - lead));
            text.extend_from_slice(if from_old { old } else { new });
        }
        text.push(b'\n');
        Ok(Line { op, text: Some(text), origin })
    }
}

/// The fields of a line; a tab inside a value is escaped.
fn fields(line: &[u8]) -> Vec<&[u8]> {
    line.strip_suffix(b"\n").unwrap_or(line).split(|byte| *byte == b'\t').collect()
}

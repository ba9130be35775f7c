//! Updates of which the source's log tells a part only: PostgreSQL leaves out an unchanged value that
//! is stored out of line.
//!
//! Such a value is not NULL, so the row cannot be written anew: the columns that are known are set,
//! by the key, in the row that is there. While the row's other values still wait here (an insert, or
//! an update that told everything), the two are put together into one complete row, so that what
//! is sent holds every key at most once, as everywhere else.
//!
//! Where such an update changed the key, a delete and an insert come, one directly behind the other, and
//! what the insert leaves out is in the target under the old key. So nothing of this table waits any more
//! when the two come: the row that is there gets its new key and values by a statement of its own.
//!
//! A rendered row is `(literal,literal,…)`, one literal per slot of the plan. In a partial one the
//! literal of an unknown value is empty, which no literal is.

use std::collections::HashMap;
use std::ops::Range;

use culvert_api::{Error, ErrorKind, Result};

use crate::mysql::encode::Literals;
use crate::mysql::pending::{Action, Operation, Pending};
use crate::mysql::plan::{Mode, Piece, TablePlan};
use crate::mysql::quote::identifier;
use culvert_api::sql_text::mysql::end_of_quoted;

/// The last operation of every key, kept only from the first partial row on.
#[derive(Default)]
pub(super) struct LastOfKey {
    place: HashMap<Vec<u8>, usize>,
    /// Operations from 0 that `place` knows.
    known: usize,
}

impl LastOfKey {
    pub(super) fn clear(&mut self) {
        self.place.clear();
        self.known = 0;
    }
}

impl Pending {
    /// Takes over an update that tells only a part of its row.
    pub(super) fn patch(&mut self, source_row: usize, literals: &mut [Literals<'_>]) -> Result<()> {
        let plan = self.plan.clone();
        let key = self.render(&plan.key, source_row, literals)?;
        let patch = self.render_known(source_row, literals)?;
        // Without reduction nothing changes its place, and every row is sent as it came.
        let before = if plan.mode == Mode::Separate { None } else { self.last_of(&key) };
        let (action, row) = match before.map(|(action, row)| (action, self.part(&row).to_vec())) {
            None => (Action::Patch, patch),
            Some((action @ (Action::Put | Action::Patch), old)) => {
                let merged = merge(&old, self.part(&patch));
                self.bytes.truncate(patch.start);
                self.bytes.extend_from_slice(&merged);
                (action, patch.start..self.bytes.len())
            }
            Some((Action::Change | Action::Remove, _)) => {
                let left_out = (0..literals.len()).filter(|slot| is_left_out(literals, *slot, source_row));
                return Err(unknown_row(&plan, &left_out.collect::<Vec<_>>()));
            }
        };
        self.operations.push(Operation { action, key, row });
        Ok(())
    }

    /// The row with an empty literal for every value that was left out.
    fn render_known(&mut self, row: usize, literals: &mut [Literals<'_>]) -> Result<Range<usize>> {
        let start = self.bytes.len();
        for slot in 0..literals.len() {
            self.bytes.push(if slot == 0 { b'(' } else { b',' });
            if !is_left_out(literals, slot, row) {
                self.render(&[Piece::Value(slot)], row, literals)?;
            }
        }
        self.bytes.push(b')');
        Ok(start..self.bytes.len())
    }

    /// What was last done to a key since the rows began to wait.
    fn last_of(&mut self, key: &Range<usize>) -> Option<(Action, Range<usize>)> {
        for place in self.last_of_key.known..self.operations.len() {
            let key = self.key(place).to_vec();
            self.last_of_key.place.insert(key, place);
        }
        self.last_of_key.known = self.operations.len();
        let place = *self.last_of_key.place.get(self.part(key))?;
        self.operations.get(place).map(|last| (last.action, last.row.clone()))
    }

    /// Whether a row that is known in part can be changed where it is.
    pub(crate) fn changes_in_place(&self) -> bool {
        matches!(self.plan.mode, Mode::Upsert | Mode::Replace | Mode::Separate) && !self.plan.insert_only
    }

    /// The statement that gives the row of the key in row `before` the key of row `after`, and what that
    /// tells.
    pub(crate) fn move_row(
        &mut self,
        before: usize,
        after: usize,
        literals: &mut [Literals<'_>],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let plan = self.plan.clone();
        let start = self.bytes.len();
        // The key is not among what may be left out.
        self.render(&plan.key, after, literals)?;
        let old_key = self.render(&plan.key, before, literals)?;
        out.clear();
        out.extend_from_slice(&plan.update_head);
        let mut joint = "";
        for (place, slot) in plan.slots.iter().enumerate() {
            if is_left_out(literals, place, after) {
                continue;
            }
            let value = self.render(&[Piece::Value(place)], after, literals)?;
            out.extend_from_slice(format!("{joint}{} = ", identifier(&slot.name)).as_bytes());
            out.extend_from_slice(self.part(&value));
            joint = ", ";
        }
        out.extend_from_slice(&plan.where_key);
        out.extend_from_slice(self.part(&old_key));
        out.extend_from_slice(plan.key_end());
        self.bytes.truncate(start);
        Ok(())
    }

    /// The slots that the row of an operation leaves out.
    pub(crate) fn left_out_of(&self, operation: usize) -> Vec<usize> {
        let values = values(self.row(operation)).into_iter().enumerate();
        values.filter(|(_, literal)| literal.is_empty()).map(|(slot, _)| slot).collect()
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }
}

fn is_left_out(literals: &[Literals<'_>], slot: usize, row: usize) -> bool {
    literals.get(slot).is_some_and(|column| column.is_left_out(row))
}

/// An update of a part of a row that is not there: what it does not tell cannot be known.
pub(crate) fn unknown_row(plan: &TablePlan, left_out: &[usize]) -> Error {
    let names = left_out.iter().filter_map(|slot| plan.slots.get(*slot)).map(|slot| slot.name.as_str());
    Error::new(
        ErrorKind::Value,
        format!(
            "an update tells only a part of its row (the source's log left unchanged values out), and {} has no row \
             of that key to keep the rest of",
            plan.label
        ),
    )
    .context("table", &plan.source.id)
    .context("columns", names.collect::<Vec<_>>().join(", "))
    .hint(format!("run on the source: {}; then fill the target anew", full_identity(plan)))
}

/// A value that must be known and was left out.
pub(super) fn left_out(plan: &TablePlan, slot: usize) -> Error {
    let column = plan.slots.get(slot).map(|slot| slot.name.as_str()).unwrap_or_default();
    Error::new(
        ErrorKind::Value,
        format!(
            "column `{column}` of {} needs its value, and the source's log left it out, as it did not change",
            plan.label
        ),
    )
    .context("table", &plan.source.id)
    .hint(format!("run on the source: {}", full_identity(plan)))
}

/// The statement that makes a PostgreSQL table log its rows whole.
fn full_identity(plan: &TablePlan) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let id = &plan.source.id;
    let schema = id.schema.as_deref().map(|schema| format!("{}.", quoted(schema))).unwrap_or_default();
    format!("ALTER TABLE {schema}{} REPLICA IDENTITY FULL", quoted(&id.table))
}

/// The literals of a rendered row.
pub(super) fn values(row: &[u8]) -> Vec<&[u8]> {
    let inner = row.strip_prefix(b"(").and_then(|row| row.strip_suffix(b")")).unwrap_or_default();
    let mut values = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(byte) = inner.get(at) {
        match byte {
            b'\'' => at = end_of_quoted(inner, at).unwrap_or(inner.len()),
            b',' => {
                values.push(inner.get(start..at).unwrap_or_default());
                at += 1;
                start = at;
            }
            _ => at += 1,
        }
    }
    values.push(inner.get(start..).unwrap_or_default());
    values
}

/// The row after the update: its values where it tells them, the former ones elsewhere.
fn merge(old: &[u8], patch: &[u8]) -> Vec<u8> {
    let mut merged = Vec::with_capacity(old.len().max(patch.len()));
    for (place, (old, new)) in values(old).into_iter().zip(values(patch)).enumerate() {
        merged.push(if place == 0 { b'(' } else { b',' });
        merged.extend_from_slice(if new.is_empty() { old } else { new });
    }
    merged.push(b')');
    merged
}

/// Appends `a = literal, b = literal` for what a partial row tells outside the key.
pub(super) fn assignments(plan: &TablePlan, row: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    for (head, literal) in plan.patch_heads.iter().zip(values(row)) {
        if head.is_empty() || literal.is_empty() {
            continue;
        }
        if out.len() > start {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(head);
        out.extend_from_slice(literal);
    }
    // With nothing to change the statement still finds out whether the row is there.
    if out.len() == start {
        out.extend_from_slice(&plan.patch_nothing);
    }
}

#[cfg(test)]
mod tests;

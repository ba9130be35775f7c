//! Rows accepted and not yet sent: rendered into one buffer per table, and turned into steps.
//!
//! **Reduction.** Of all changes of one key inside a flush only the last one matters, so only that
//! is sent: deletes first, then the rest. Keys are told apart by their rendered bytes. That is too
//! fine where the target's collation holds two different texts for one key ('a' and 'A'): with
//! deletes first, `-D 'A'` could then run before the upsert of 'a' that it should undo. So when two
//! surviving keys could be one key in the target, the steps keep the order of the rows: the last
//! change of such a key is then the last one to run, whatever the bytes.

mod partial;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use culvert_api::{Error, ErrorKind, Result, RowKind};

use crate::mysql::encode::{Literals, Misfit};
use crate::mysql::key::KeyMatch;
use crate::mysql::plan::{Mode, Piece, TablePlan};

pub(crate) use partial::unknown_row;

/// Keys in one DELETE: above some hundreds of conditions the servers begin to scan the table.
const DELETE_KEYS_MAX: usize = 500;

/// How large one statement may become.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Rows.
    pub(crate) rows: usize,
    /// Bytes; a single row may be larger.
    pub(crate) bytes: usize,
}

/// What an operation does to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// The row is there afterwards.
    Put,
    /// The row that is there gets new values.
    Change,
    /// The row that is there gets new values in some columns; the others are not known here.
    Patch,
    /// The row is not there afterwards.
    Remove,
}

#[derive(Clone, Debug)]
struct Operation {
    action: Action,
    key: Range<usize>,
    row: Range<usize>,
}

/// Rows of one table that wait to be sent.
pub(crate) struct Pending {
    /// How they are written.
    pub(crate) plan: Arc<TablePlan>,
    bytes: Vec<u8>,
    operations: Vec<Operation>,
    key_before: Option<Vec<u8>>,
    last_of_key: partial::LastOfKey,
    since: Option<Instant>,
}

/// One kind of statement over some operations, to be cut into statements of bounded size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// `INSERT` of these rows.
    Insert(Vec<usize>),
    /// `INSERT … ON DUPLICATE KEY UPDATE` of these rows.
    Upsert(Vec<usize>),
    /// `DELETE` of these keys; `checked` when the source deleted them, so that foreign keys of the
    /// target may act on it.
    Delete {
        /// The operations.
        operations: Vec<usize>,
        /// Whether foreign keys may act.
        checked: bool,
    },
    /// `UPDATE` of one row.
    Update(usize),
    /// `UPDATE` of the columns that are known, of these rows, each by a statement of its own. The
    /// rows must be there.
    Patch(Vec<usize>),
    /// A statement of the user's for one row.
    Run(usize),
}

/// The last operation of every key, by what it does.
#[derive(Default)]
struct Survivors {
    puts: Vec<usize>,
    patches: Vec<usize>,
    removes: Vec<usize>,
}

impl Pending {
    /// No rows yet.
    pub(crate) fn new(plan: Arc<TablePlan>) -> Pending {
        Pending {
            plan,
            bytes: Vec::new(),
            operations: Vec::new(),
            key_before: None,
            last_of_key: partial::LastOfKey::default(),
            since: None,
        }
    }

    /// Number of operations.
    pub(crate) fn len(&self) -> usize {
        self.operations.len()
    }

    /// Bytes they take.
    pub(crate) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// When the oldest row came.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Forgets the rows, keeps the buffers.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.operations.clear();
        self.last_of_key.clear();
        self.since = None;
    }

    /// Takes a row over.
    pub(crate) fn push(&mut self, kind: RowKind, row: usize, literals: &mut [Literals<'_>]) -> Result<()> {
        let plan = self.plan.clone();
        if !plan.source.kinds.contains(kind) {
            let message = format!("a {kind} row on an edge without such rows");
            return Err(Error::new(ErrorKind::Internal, message).context("table", &plan.source.id));
        }
        self.since.get_or_insert_with(Instant::now);
        match (plan.mode, kind) {
            (Mode::Append | Mode::PerRow, RowKind::UpdateBefore) => Ok(()),
            (Mode::Append | Mode::PerRow, _) => self.add(Action::Put, 0..0, &plan.row, row, literals),
            (_, RowKind::UpdateBefore) => {
                if plan.watch_moves {
                    let key = self.render(&plan.key, row, literals)?;
                    self.key_before = self.bytes.get(key.clone()).map(<[u8]>::to_vec);
                    self.bytes.truncate(key.start);
                }
                Ok(())
            }
            (_, RowKind::Delete) => {
                let key = self.render(&plan.key, row, literals)?;
                self.add(Action::Remove, key, &[], row, literals)
            }
            (mode, RowKind::Insert | RowKind::UpdateAfter) => {
                let is_update = kind == RowKind::UpdateAfter;
                let moved = match self.key_before.take().filter(|_| is_update) {
                    Some(before) => self.leave_old_key(&before, row, literals)?,
                    None => false,
                };
                let is_patch = is_update && !moved && !plan.insert_only;
                if is_patch && literals.iter().any(|column| column.is_left_out(row)) {
                    return self.patch(row, literals);
                }
                let key = self.render(&plan.key, row, literals)?;
                let change = mode == Mode::Separate && kind == RowKind::UpdateAfter && !plan.insert_only;
                let (action, pieces) =
                    if change { (Action::Change, &plan.assignments) } else { (Action::Put, &plan.row) };
                self.add(action, key, pieces, row, literals)
            }
        }
    }

    /// An update that moved the row away from a key of the target removes it there.
    fn leave_old_key(&mut self, before: &[u8], row: usize, literals: &mut [Literals<'_>]) -> Result<bool> {
        let plan = self.plan.clone();
        let after = self.render(&plan.key, row, literals)?;
        let moved = self.bytes.get(after.clone()) != Some(before);
        self.bytes.truncate(after.start);
        if moved {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(before);
            let key = start..self.bytes.len();
            self.operations.push(Operation { action: Action::Remove, row: 0..0, key });
        }
        Ok(moved)
    }

    fn add(
        &mut self,
        action: Action,
        key: Range<usize>,
        pieces: &[Piece],
        row: usize,
        literals: &mut [Literals<'_>],
    ) -> Result<()> {
        let row = self.render(pieces, row, literals)?;
        self.operations.push(Operation { action, key, row });
        Ok(())
    }

    fn render(
        &mut self,
        pieces: &[Piece],
        row: usize,
        literals: &mut [Literals<'_>],
    ) -> Result<Range<usize>> {
        let start = self.bytes.len();
        for piece in pieces {
            match piece {
                Piece::Text(text) => self.bytes.extend_from_slice(text),
                Piece::Value(slot) => {
                    let Some(column) = literals.get_mut(*slot) else {
                        return Err(Error::new(ErrorKind::Internal, "a planned column is not in the batch"));
                    };
                    if column.is_left_out(row) {
                        return Err(partial::left_out(&self.plan, *slot));
                    }
                    if let Err(misfit) = column.write(row, &mut self.bytes) {
                        return Err(misfit_error(&self.plan, misfit, *slot));
                    }
                }
            }
        }
        Ok(start..self.bytes.len())
    }

    /// What to run, in order.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let all = || (0..self.operations.len()).collect::<Vec<usize>>();
        match self.plan.mode {
            Mode::Append => vec![Step::Insert(all())],
            Mode::PerRow => all().into_iter().map(Step::Run).collect(),
            Mode::Separate => self.in_order(&all()),
            Mode::Upsert => {
                let last = self.last_per_key();
                if self.may_be_one_key(&last) {
                    return self.in_order(&last);
                }
                let Survivors { puts, patches, removes } = self.split(&last);
                vec![
                    Step::Delete { operations: self.with_cascades(removes, &puts), checked: true },
                    Step::Upsert(puts),
                    Step::Patch(patches),
                ]
            }
            Mode::Replace => {
                let last = self.last_per_key();
                if self.may_be_one_key(&last) {
                    return self.one_by_one();
                }
                let Survivors { puts, patches, removes } = self.split(&last);
                vec![
                    Step::Delete { operations: self.with_cascades(removes, &puts), checked: true },
                    Step::Delete { operations: puts.clone(), checked: false },
                    // A row that is known in part stays where it is. It comes before the inserts,
                    // which may want a unique value that it gives up.
                    Step::Patch(patches),
                    Step::Insert(puts),
                ]
            }
        }
        .into_iter()
        .filter(|step| !step.is_empty())
        .collect()
    }

    fn key(&self, operation: usize) -> &[u8] {
        self.operations.get(operation).and_then(|one| self.bytes.get(one.key.clone())).unwrap_or_default()
    }

    fn row(&self, operation: usize) -> &[u8] {
        self.operations.get(operation).and_then(|one| self.bytes.get(one.row.clone())).unwrap_or_default()
    }

    fn action(&self, operation: usize) -> Option<Action> {
        self.operations.get(operation).map(|one| one.action)
    }

    /// The last operation of every key, in the order of the rows.
    fn last_per_key(&self) -> Vec<usize> {
        let mut seen: HashSet<&[u8]> = HashSet::with_capacity(self.operations.len());
        let mut last: Vec<usize> =
            (0..self.operations.len()).rev().filter(|operation| seen.insert(self.key(*operation))).collect();
        last.reverse();
        last
    }

    fn split(&self, operations: &[usize]) -> Survivors {
        let mut survivors = Survivors::default();
        for operation in operations {
            match self.action(*operation) {
                Some(Action::Remove) => survivors.removes.push(*operation),
                Some(Action::Patch) => survivors.patches.push(*operation),
                _ => survivors.puts.push(*operation),
            }
        }
        survivors
    }

    /// Where foreign keys point at the table, a delete that a later insert of the same key took
    /// back is run all the same: the source's server deleted the children with it, and InnoDB does
    /// not log that.
    fn with_cascades(&self, mut removes: Vec<usize>, puts: &[usize]) -> Vec<usize> {
        if self.plan.is_referenced {
            let put: HashSet<&[u8]> = puts.iter().map(|operation| self.key(*operation)).collect();
            let mut taken: HashSet<&[u8]> = HashSet::new();
            for operation in 0..self.operations.len() {
                let key = self.key(operation);
                if self.action(operation) == Some(Action::Remove) && put.contains(key) && taken.insert(key) {
                    removes.push(operation);
                }
            }
        }
        removes
    }

    /// Whether two different rendered keys could be one key in the target.
    fn may_be_one_key(&self, operations: &[usize]) -> bool {
        match self.plan.key_match {
            KeyMatch::Exact => false,
            KeyMatch::Unsure => true,
            KeyMatch::Folded => {
                // Printable ASCII texts that are one key under any collation differ at most in
                // letter case and blanks; about others nothing is assumed.
                let mut seen = HashSet::with_capacity(operations.len());
                operations.iter().any(|operation| {
                    let key = self.key(*operation);
                    let plain = key.iter().all(|byte| (b' '..=b'~').contains(byte));
                    let folded: Vec<u8> =
                        key.iter().filter(|byte| **byte != b' ').map(u8::to_ascii_lowercase).collect();
                    !plain || !seen.insert(folded)
                })
            }
        }
    }

    /// Runs of one kind in the order of the rows.
    fn in_order(&self, operations: &[usize]) -> Vec<Step> {
        let upserts = self.plan.mode == Mode::Upsert;
        let mut steps: Vec<Step> = Vec::new();
        for operation in operations.iter().copied() {
            match (self.action(operation), steps.last_mut()) {
                (Some(Action::Remove), Some(Step::Delete { operations, .. })) => operations.push(operation),
                (Some(Action::Remove), _) => {
                    steps.push(Step::Delete { operations: vec![operation], checked: true });
                }
                (Some(Action::Put), Some(Step::Upsert(run) | Step::Insert(run))) => run.push(operation),
                (Some(Action::Put), _) if upserts => steps.push(Step::Upsert(vec![operation])),
                (Some(Action::Put), _) => steps.push(Step::Insert(vec![operation])),
                (Some(Action::Change), _) => steps.push(Step::Update(operation)),
                (Some(Action::Patch), _) => steps.push(Step::Patch(vec![operation])),
                (None, _) => {}
            }
        }
        steps
    }

    /// Every operation by itself, none left out: slow, and right whatever the collation.
    fn one_by_one(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for operation in 0..self.operations.len() {
            if self.action(operation) == Some(Action::Patch) {
                steps.push(Step::Patch(vec![operation]));
                continue;
            }
            let removed = self.action(operation) == Some(Action::Remove);
            steps.push(Step::Delete { operations: vec![operation], checked: removed });
            if !removed {
                steps.push(Step::Insert(vec![operation]));
            }
        }
        steps
    }

    /// Writes the next statement of a step into `out`, beginning with its operation number `from`
    /// (counted within the step); returns the number after the last one the statement holds.
    pub(crate) fn statement(&self, step: &Step, from: usize, limits: Limits, out: &mut Vec<u8>) -> usize {
        out.clear();
        let plan = &self.plan;
        let (next, tail): (usize, &[u8]) = match step {
            Step::Insert(run) => {
                out.extend_from_slice(&plan.insert_head);
                (join(out, b",", run, from, limits, |one| self.row(one)), &plan.insert_tail)
            }
            Step::Upsert(run) => {
                out.extend_from_slice(&plan.insert_head);
                (join(out, b",", run, from, limits, |one| self.row(one)), &plan.upsert_tail)
            }
            Step::Delete { operations, .. } => {
                out.extend_from_slice(&plan.delete_head);
                let limits = Limits { rows: limits.rows.min(DELETE_KEYS_MAX), ..limits };
                let joint: &[u8] = if plan.single_key { b"," } else { b" OR " };
                (join(out, joint, operations, from, limits, |one| self.key(one)), plan.key_end())
            }
            Step::Update(one) => {
                for part in [plan.update_head.as_slice(), self.row(*one), &plan.where_key, self.key(*one)] {
                    out.extend_from_slice(part);
                }
                (from + 1, plan.key_end())
            }
            Step::Patch(run) => {
                let one = run.get(from).copied().unwrap_or_default();
                out.extend_from_slice(&plan.update_head);
                partial::assignments(plan, self.row(one), out);
                out.extend_from_slice(&plan.where_key);
                out.extend_from_slice(self.key(one));
                (from + 1, plan.key_end())
            }
            Step::Run(one) => {
                out.extend_from_slice(self.row(*one));
                (from + 1, b"")
            }
        };
        out.extend_from_slice(tail);
        next
    }
}

impl Step {
    /// Number of operations.
    pub(crate) fn len(&self) -> usize {
        match self {
            Step::Insert(run)
            | Step::Upsert(run)
            | Step::Patch(run)
            | Step::Delete { operations: run, .. } => run.len(),
            Step::Update(_) | Step::Run(_) => 1,
        }
    }

    /// The operation at a place of the step; `None` for steps of one row.
    pub(crate) fn operation(&self, place: usize) -> Option<usize> {
        match self {
            Step::Insert(run)
            | Step::Upsert(run)
            | Step::Patch(run)
            | Step::Delete { operations: run, .. } => run.get(place).copied(),
            Step::Update(_) | Step::Run(_) => None,
        }
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl TablePlan {
    /// What closes a condition on keys.
    fn key_end(&self) -> &'static [u8] {
        if self.single_key { b")" } else { b"" }
    }
}

/// Appends parts until a limit is reached; the first one always goes in.
fn join<'a>(
    out: &mut Vec<u8>,
    joint: &[u8],
    run: &[usize],
    from: usize,
    limits: Limits,
    part: impl Fn(usize) -> &'a [u8],
) -> usize {
    let mut next = from;
    while let Some(operation) = run.get(next) {
        let part = part(*operation);
        if next > from {
            if next - from >= limits.rows || out.len() + part.len() > limits.bytes {
                break;
            }
            out.extend_from_slice(joint);
        }
        out.extend_from_slice(part);
        next += 1;
    }
    next
}

/// Names table and column, never the value.
pub(crate) fn misfit_error(plan: &TablePlan, misfit: Misfit, slot: usize) -> Error {
    let column = plan.slots.get(slot).map(|slot| slot.name.as_str()).unwrap_or_default();
    let kind = match misfit {
        Misfit::Type | Misfit::Zone => ErrorKind::Unsupported,
        _ => ErrorKind::Value,
    };
    Error::new(kind, format!("column `{column}` of {} cannot take a value: {misfit}", plan.label))
        .context("table", &plan.source.id)
}

#[cfg(test)]
mod tests;

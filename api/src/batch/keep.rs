//! Fewer rows of a batch.

use arrow_array::BooleanArray;
use arrow_buffer::BooleanBuffer;
use arrow_select::filter::filter_record_batch;

use super::{ChangeBatch, Unavailable};
use crate::error::{Error, ErrorKind, Result};
use crate::row_kind::RowKind;

impl ChangeBatch {
    /// The rows whose values pass a condition, `passes` holding one answer per row; `None` when none do.
    /// An update of which one side alone passes is a row that came (`+I`) or went (`-D`), as whoever sees
    /// nothing but the passing rows has to see it.
    pub fn keep(mut self, passes: &BooleanBuffer) -> Result<Option<ChangeBatch>> {
        for row in 1..self.kinds.len().min(passes.len()) {
            if (self.kinds[row - 1], self.kinds[row]) != (RowKind::UpdateBefore, RowKind::UpdateAfter) {
                continue;
            }
            match (passes.value(row - 1), passes.value(row)) {
                (true, false) => self.kinds[row - 1] = RowKind::Delete,
                (false, true) => self.kinds[row] = RowKind::Insert,
                _ => {}
            }
        }
        self.only(passes)
    }

    /// The rows of these places, as they are; `None` when there are none. What the two sides of an update
    /// become is up to the caller: see [`ChangeBatch::keep`].
    pub fn only(self, passes: &BooleanBuffer) -> Result<Option<ChangeBatch>> {
        if passes.len() != self.kinds.len() {
            return Err(Error::new(ErrorKind::Internal, "a batch and a choice of its rows differ in length")
                .context("table", &self.schema.id));
        }
        match passes.count_set_bits() {
            0 => return Ok(None),
            all if all == self.kinds.len() => return Ok(Some(self)),
            _ => {}
        }
        let rows =
            filter_record_batch(&self.rows, &BooleanArray::new(passes.clone(), None)).map_err(|cause| {
                Error::new(ErrorKind::Internal, "a batch and its row kinds differ in length")
                    .context("table", &self.schema.id)
                    .caused_by(cause)
            })?;
        let unavailable = self.unavailable.iter().map(|one| Unavailable {
            column: one.column,
            rows: passes.set_indices().map(|row| row < one.rows.len() && one.rows.value(row)).collect(),
        });
        Ok(Some(ChangeBatch {
            rows,
            kinds: passes.set_indices().map(|row| self.kinds[row]).collect(),
            positions: passes.set_indices().map(|row| self.positions[row]).collect(),
            unavailable: unavailable.filter(|one| one.rows.count_set_bits() > 0).collect(),
            schema: self.schema,
            transactions: self.transactions,
        }))
    }
}

//! A pure function from batches to batches.

use std::sync::Arc;

use crate::batch::ChangeBatch;
use crate::condition::Condition;
use crate::error::Result;
use crate::schema::TableSchema;

/// A step between source and sink: no I/O, no state. Batches share their columns with other branches of
/// the job; a transform makes new ones and never changes those it was given.
///
/// # Rules that every transform keeps
/// - Row kinds, positions and order of the rows that stay are those that came in, unless changing them is
///   what the transform is for.
/// - Where it drops one side of an update, it uses [`ChangeBatch::keep`], so that a sink learns that the
///   row came or went.
/// - A key column that does not leave makes the table one without a key.
/// - `version` and `source` of a schema pass through.
pub trait Transform: Send + Sync {
    /// The plugin's name as users write it.
    fn name(&self) -> &str;

    /// The tables that leave for this table that enters, each with its own id: none when its rows are
    /// dropped, one as a rule, more where rows part. Called once per schema version, the same for the
    /// same schema; errors are operator errors and name the column.
    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>>;

    /// Which columns of a table that enters matter: those whose values leave in columns that are wanted, those
    /// that tell which rows leave, and those that `map_schema` must find. `wanted` has a flag per column for
    /// each table that `map_schema` gives; the answer has one per column of `input`. All, unless a transform
    /// knows better: it must then give the same for [`TableSchema::narrowed`] tables and rows.
    fn needs(&self, input: &TableSchema, _wanted: &[Vec<bool>]) -> Result<Vec<bool>> {
        Ok(vec![true; input.columns.len()])
    }

    /// What a row of a table that enters has to fulfil to matter, as far as that is known: no row that fails it
    /// leaves, or has anything to do with one that does. `later` is what a row that leaves has to fulfil behind.
    /// Nothing is known, unless a transform knows better.
    fn condition(&self, _input: &TableSchema, _later: Option<Condition>) -> Option<Condition> {
        None
    }

    /// The rows that leave, in order; never an empty batch. `outputs` is what `map_schema` returned for
    /// `batch.schema`, and every batch that leaves carries one of them.
    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>>;

    /// As [`apply`](Transform::apply), and adds to `rejected` the rows that came (`+I`, `+U`) and were turned away
    /// because they broke a rule: dropped, or told of in another table. None are, unless a transform knows better.
    fn apply_counted(
        &self,
        batch: ChangeBatch,
        outputs: &[Arc<TableSchema>],
        _rejected: &mut u64,
    ) -> Result<Vec<ChangeBatch>> {
        self.apply(batch, outputs)
    }
}

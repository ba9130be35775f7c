//! A pure function from batches to batches.

use std::sync::Arc;

use crate::batch::ChangeBatch;
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

    /// The rows that leave, in order; never an empty batch. `outputs` is what `map_schema` returned for
    /// `batch.schema`, and every batch that leaves carries one of them.
    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>>;
}

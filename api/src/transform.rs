//! A pure function from batches to batches.

use std::sync::Arc;

use crate::batch::ChangeBatch;
use crate::error::Result;
use crate::schema::TableSchema;

/// A step between source and sink: no I/O, no clock, no state.
pub trait Transform: Send + Sync {
    /// The plugin's name as users write it.
    fn name(&self) -> &str;

    /// The schema that leaves for this schema that enters. Called once per schema version; errors
    /// are operator errors and name the column.
    fn map_schema(&self, input: &TableSchema) -> Result<TableSchema>;

    /// The rows that leave; `None` when none do. `output` is what `map_schema` returned for
    /// `batch.schema`. Never changes what another branch sees.
    fn apply(&self, batch: ChangeBatch, output: &Arc<TableSchema>) -> Result<Option<ChangeBatch>>;
}

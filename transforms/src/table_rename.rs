//! Renames tables by rules.

use std::sync::Arc;

use culvert_api::{ChangeBatch, Result, TableId, TableSchema, Transform};
use culvert_config::{OptionDef, Options, Rule};

use crate::layout::{needs_as_wanted, refusal, the_one};
use crate::rename::{CONVERT_CASE, PREFIX, REPLACEMENTS, Renaming, SUFFIX};

/// Renames tables by letter case, replacements, prefix and suffix; databases and schemas get the letter case.
#[derive(Clone, Debug)]
pub struct TableRename {
    renaming: Renaming,
}

impl TableRename {
    /// The plugin's name as users write it.
    pub const PLUGIN: &'static str = "TableRename";

    /// The options.
    pub const OPTIONS: &'static [OptionDef] = &[CONVERT_CASE, PREFIX, SUFFIX, REPLACEMENTS];

    /// What holds between options.
    pub const RULES: &'static [Rule] = &[];

    /// Makes the transform. Errors are [`culvert_api::ErrorKind::Config`].
    pub fn from_options(options: &Options) -> Result<TableRename> {
        Ok(TableRename { renaming: Renaming::from_options(TableRename::PLUGIN, options)? })
    }
}

impl Transform for TableRename {
    fn name(&self) -> &str {
        TableRename::PLUGIN
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        let id = TableId {
            database: self.renaming.cased(&input.id.database),
            schema: input.id.schema.as_ref().map(|schema| self.renaming.cased(schema)),
            table: self.renaming.rename(&input.id.table),
        };
        if id.table.is_empty() {
            return Err(refusal(TableRename::PLUGIN, input, "the table's new name is empty"));
        }
        Ok(vec![TableSchema { id, ..input.clone() }])
    }

    fn needs(&self, input: &TableSchema, wanted: &[Vec<bool>]) -> Result<Vec<bool>> {
        Ok(needs_as_wanted(input, wanted))
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        let schema = the_one(TableRename::PLUGIN, outputs)?.clone();
        Ok(if batch.is_empty() { Vec::new() } else { vec![ChangeBatch { schema, ..batch }] })
    }
}

#[cfg(test)]
mod tests;

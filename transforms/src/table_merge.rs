//! Merges the tables of shards into one.

use std::sync::Arc;

use culvert_api::{ChangeBatch, Error, ErrorKind, Result, TableId, TableSchema, Transform};
use culvert_config::{OptionDef, Options, Rule};

use crate::layout::{needs_as_wanted, the_one};

/// Gives every table one name. The key stays: its values must be different in different shards.
#[derive(Clone, Debug)]
pub struct TableMerge {
    database: Option<String>,
    schema: Option<String>,
    table: String,
}

impl TableMerge {
    /// The plugin's name as users write it.
    pub const PLUGIN: &'static str = "TableMerge";

    /// The options.
    pub const OPTIONS: &'static [OptionDef] = &[
        OptionDef::string("database").doc("The merged table's database; each table's own otherwise."),
        OptionDef::string("schema").doc("The merged table's schema; each table's own otherwise."),
        OptionDef::string("table").required().doc("The merged table's name."),
    ];

    /// What holds between options.
    pub const RULES: &'static [Rule] = &[];

    /// Makes the transform. Errors are [`ErrorKind::Config`].
    pub fn from_options(options: &Options) -> Result<TableMerge> {
        let given = |name: &str| options.opt_str(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let Some(table) = given("table") else {
            return Err(Error::new(ErrorKind::Config, "option `table` is empty"));
        };
        Ok(TableMerge { database: given("database"), schema: given("schema"), table })
    }
}

impl Transform for TableMerge {
    fn name(&self) -> &str {
        TableMerge::PLUGIN
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        let id = TableId {
            database: self.database.as_ref().unwrap_or(&input.id.database).clone(),
            schema: self.schema.as_ref().or(input.id.schema.as_ref()).cloned(),
            table: self.table.clone(),
        };
        Ok(vec![TableSchema { id, ..input.clone() }])
    }

    fn needs(&self, input: &TableSchema, wanted: &[Vec<bool>]) -> Result<Vec<bool>> {
        Ok(needs_as_wanted(input, wanted))
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        let schema = the_one(TableMerge::PLUGIN, outputs)?.clone();
        Ok(if batch.is_empty() { Vec::new() } else { vec![ChangeBatch { schema, ..batch }] })
    }
}

#[cfg(test)]
mod tests;

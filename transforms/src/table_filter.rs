//! Keeps or drops whole tables.

use std::sync::Arc;

use culvert_api::{ChangeBatch, Result, TableId, TableSchema, Transform};
use culvert_config::{OptionDef, Options, Rule};
use regex::Regex;

use crate::layout::needs_as_wanted;
use crate::pattern::compile_whole;

/// Keeps the tables whose names match, or drops them.
#[derive(Clone, Debug)]
pub struct TableFilter {
    database: Option<Regex>,
    schema: Option<Regex>,
    table: Option<Regex>,
    drops: bool,
}

impl TableFilter {
    /// The plugin's name as users write it.
    pub const PLUGIN: &'static str = "TableFilter";

    /// The options.
    pub const OPTIONS: &'static [OptionDef] = &[
        OptionDef::string("database_pattern")
            .doc("A regular expression that the database's whole name matches."),
        OptionDef::string("schema_pattern").doc("A regular expression that the schema's whole name matches."),
        OptionDef::string("table_pattern").doc("A regular expression that the table's whole name matches."),
        OptionDef::choice("pattern_mode", &["INCLUDE", "EXCLUDE"])
            .default("INCLUDE")
            .doc("Whether tables that match all patterns stay (INCLUDE) or are dropped (EXCLUDE)."),
    ];

    /// What holds between options.
    pub const RULES: &'static [Rule] = &[];

    /// Makes the transform. Errors are [`culvert_api::ErrorKind::Config`].
    pub fn from_options(options: &Options) -> Result<TableFilter> {
        let pattern = |name: &str| {
            let text = options.opt_str(name);
            text.map(|text| compile_whole(TableFilter::PLUGIN, name, text, true)).transpose()
        };
        Ok(TableFilter {
            database: pattern("database_pattern")?,
            schema: pattern("schema_pattern")?,
            table: pattern("table_pattern")?,
            drops: options.enum_value("pattern_mode") == "EXCLUDE",
        })
    }

    fn stays(&self, id: &TableId) -> bool {
        let fits = |pattern: &Option<Regex>, name: &str| pattern.as_ref().is_none_or(|p| p.is_match(name));
        let matches = fits(&self.database, &id.database)
            && fits(&self.schema, id.schema.as_deref().unwrap_or(""))
            && fits(&self.table, &id.table);
        matches != self.drops
    }
}

impl Transform for TableFilter {
    fn name(&self) -> &str {
        TableFilter::PLUGIN
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        Ok(if self.stays(&input.id) { vec![input.clone()] } else { Vec::new() })
    }

    fn needs(&self, input: &TableSchema, wanted: &[Vec<bool>]) -> Result<Vec<bool>> {
        Ok(needs_as_wanted(input, wanted))
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        match outputs.first() {
            Some(output) if !batch.is_empty() => Ok(vec![ChangeBatch { schema: output.clone(), ..batch }]),
            _ => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests;

//! Renames columns by rules.

use std::sync::Arc;

use culvert_api::{ChangeBatch, Result, TableSchema, Transform};
use culvert_config::{OptionDef, Options, Rule};

use crate::layout::{Layout, the_one};
use crate::nested::Nested;
use crate::rename::{CONVERT_CASE, PREFIX, REPLACEMENTS, Renaming, SUFFIX};

/// Renames every column: by a rule of its own, or by letter case, replacements, prefix and suffix.
#[derive(Clone, Debug)]
pub struct FieldRename {
    /// Name at the source, name that leaves; these win.
    specific: Vec<(String, String)>,
    renaming: Renaming,
}

impl FieldRename {
    /// The plugin's name as users write it.
    pub const PLUGIN: &'static str = "FieldRename";

    /// The options.
    pub const OPTIONS: &'static [OptionDef] = &[
        CONVERT_CASE,
        PREFIX,
        SUFFIX,
        REPLACEMENTS,
        OptionDef::objects("specific").doc(
            "Names of single columns, which no other rule changes: blocks of `field_name` and `target_name`.",
        ),
    ];

    /// What holds between options.
    pub const RULES: &'static [Rule] = &[];

    /// Makes the transform. Errors are [`culvert_api::ErrorKind::Config`].
    pub fn from_options(options: &Options) -> Result<FieldRename> {
        let mut specific = Vec::new();
        for block in Nested::list(FieldRename::PLUGIN, options, "specific") {
            block.only(&["field_name", "target_name"])?;
            specific.push((block.needed("field_name")?.to_owned(), block.needed("target_name")?.to_owned()));
        }
        Ok(FieldRename { specific, renaming: Renaming::from_options(FieldRename::PLUGIN, options)? })
    }

    fn layout(&self, input: &TableSchema) -> Layout {
        let mut layout = Layout::of(FieldRename::PLUGIN, input);
        layout.rename(|name| match self.specific.iter().find(|(from, _)| from == name) {
            Some((_, to)) => to.clone(),
            None => self.renaming.rename(name),
        });
        layout
    }
}

impl Transform for FieldRename {
    fn name(&self) -> &str {
        FieldRename::PLUGIN
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        Ok(vec![self.layout(input).schema(input)?])
    }

    fn needs(&self, input: &TableSchema, wanted: &[Vec<bool>]) -> Result<Vec<bool>> {
        Ok(self.layout(input).needs(input, wanted))
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        let layout = self.layout(&batch.schema);
        layout.batch(batch, the_one(FieldRename::PLUGIN, outputs)?, &[])
    }
}

#[cfg(test)]
mod tests;

//! Keeps the columns of a list under new names, in its order.

use std::sync::Arc;

use culvert_api::{ChangeBatch, Column, Error, ErrorKind, Result, TableSchema, Transform};
use culvert_config::{OptionDef, Options, Rule};

use crate::layout::{Layout, Origin, column, find, the_one};

/// Keeps the listed columns, renamed and in the order of the list, and drops the others.
#[derive(Clone, Debug)]
pub struct FieldMapper {
    /// Name at the source, name that leaves.
    pairs: Vec<(String, String)>,
}

impl FieldMapper {
    /// The plugin's name as users write it.
    pub const PLUGIN: &'static str = "FieldMapper";

    /// The options.
    pub const OPTIONS: &'static [OptionDef] = &[OptionDef::map("field_mapper").required().doc(
        "The columns that stay, in this order: `name = new_name`. All others are dropped, those that are added later too.",
    )];

    /// What holds between options.
    pub const RULES: &'static [Rule] = &[];

    /// Makes the transform. Errors are [`ErrorKind::Config`].
    pub fn from_options(options: &Options) -> Result<FieldMapper> {
        let pairs = options.map("field_mapper").to_vec();
        if pairs.is_empty() {
            return Err(Error::new(ErrorKind::Config, "option `field_mapper` names no column"));
        }
        if let Some((from, _)) = pairs.iter().find(|(_, to)| to.is_empty()) {
            return Err(Error::new(ErrorKind::Config, format!("option `field_mapper.{from}` is empty")));
        }
        Ok(FieldMapper { pairs })
    }

    fn layout(&self, input: &TableSchema) -> Result<Layout> {
        let mut layout = Layout::empty(FieldMapper::PLUGIN);
        for (from, to) in &self.pairs {
            let place = find(FieldMapper::PLUGIN, input, from)?;
            let renamed = Column { name: to.clone(), ..column(FieldMapper::PLUGIN, input, place)? };
            layout.push(renamed, Origin::Same(place));
        }
        Ok(layout)
    }
}

impl Transform for FieldMapper {
    fn name(&self) -> &str {
        FieldMapper::PLUGIN
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        Ok(vec![self.layout(input)?.schema(input)?])
    }

    fn needs(&self, input: &TableSchema, _wanted: &[Vec<bool>]) -> Result<Vec<bool>> {
        // Every column that is named must be there, wanted or not.
        Ok(self.layout(input)?.needs(input, &[]))
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        let layout = self.layout(&batch.schema)?;
        layout.batch(batch, the_one(FieldMapper::PLUGIN, outputs)?, &[])
    }
}

#[cfg(test)]
mod tests;

//! Copies columns under new names.

use std::sync::Arc;

use culvert_api::{ChangeBatch, Column, Error, ErrorKind, Result, TableSchema, Transform};
use culvert_config::{OptionDef, Options, Rule};

use crate::layout::{Layout, Origin, column, find, the_one};

/// Appends copies of columns; a copy under a name that is there takes that column's place.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Name of the copy, name of what is copied.
    pairs: Vec<(String, String)>,
}

impl Copy {
    /// The plugin's name as users write it.
    pub const PLUGIN: &'static str = "Copy";

    /// The options.
    pub const OPTIONS: &'static [OptionDef] = &[
        OptionDef::map("fields").doc("The copies: `new_name = name`. Columns that are there stay."),
        OptionDef::string("src_field").doc("The column to copy: the older way for one copy."),
        OptionDef::string("dest_field").doc("The copy's name: the older way for one copy."),
    ];

    /// What holds between options.
    pub const RULES: &'static [Rule] =
        &[Rule::OneOf(&["fields", "src_field"]), Rule::Together(&["src_field", "dest_field"])];

    /// Makes the transform. Errors are [`ErrorKind::Config`].
    pub fn from_options(options: &Options) -> Result<Copy> {
        let pairs = match options.is_set("src_field") {
            true => vec![(options.str("dest_field").to_owned(), options.str("src_field").to_owned())],
            false => options.map("fields").to_vec(),
        };
        if pairs.is_empty() || pairs.iter().any(|(to, from)| to.is_empty() || from.is_empty()) {
            return Err(Error::new(ErrorKind::Config, "option `fields` names no column, or an empty one"));
        }
        Ok(Copy { pairs })
    }

    fn layout(&self, input: &TableSchema) -> Result<Layout> {
        let mut layout = Layout::of(Copy::PLUGIN, input);
        for (to, from) in &self.pairs {
            let place = find(Copy::PLUGIN, input, from)?;
            let copied = Column { name: to.clone(), ..column(Copy::PLUGIN, input, place)? };
            layout.put(copied, Origin::Same(place));
        }
        Ok(layout)
    }
}

impl Transform for Copy {
    fn name(&self) -> &str {
        Copy::PLUGIN
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        Ok(vec![self.layout(input)?.schema(input)?])
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        let layout = self.layout(&batch.schema)?;
        layout.batch(batch, the_one(Copy::PLUGIN, outputs)?, &[])
    }
}

#[cfg(test)]
mod tests;

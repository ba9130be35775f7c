//! Keeps or drops columns.

use std::sync::Arc;

use culvert_api::{ChangeBatch, Error, ErrorKind, Result, TableSchema, Transform};
use culvert_config::{OptionDef, Options, Rule};

use crate::layout::{Layout, Origin, column, find, the_one};

/// Keeps the columns of a list, in its order, or drops them.
#[derive(Clone, Debug)]
pub struct Filter {
    choice: Choice,
}

#[derive(Clone, Debug)]
enum Choice {
    Include(Vec<String>),
    Exclude(Vec<String>),
}

impl Filter {
    /// The plugin's name as users write it.
    pub const PLUGIN: &'static str = "Filter";

    /// The options; exactly one of them must be set.
    pub const OPTIONS: &'static [OptionDef] = &[
        OptionDef::list("include_fields")
            .doc("The columns that stay, in this order. Columns that are added later are dropped. Not with exclude_fields."),
        OptionDef::list("exclude_fields")
            .doc("The columns that are dropped. Columns that are added later stay. Not with include_fields."),
    ];

    /// What holds between options.
    pub const RULES: &'static [Rule] = &[Rule::OneOf(&["include_fields", "exclude_fields"])];

    /// Makes the transform. Errors are [`ErrorKind::Config`].
    pub fn from_options(options: &Options) -> Result<Filter> {
        let names = |option: &str| {
            let names = options.list(option).to_vec();
            match names.is_empty() {
                false => Ok(names),
                true => Err(Error::new(ErrorKind::Config, format!("option `{option}` names no column"))),
            }
        };
        let choice = match options.is_set("include_fields") {
            true => Choice::Include(names("include_fields")?),
            false => Choice::Exclude(names("exclude_fields")?),
        };
        Ok(Filter { choice })
    }

    fn layout(&self, input: &TableSchema) -> Result<Layout> {
        let mut layout = Layout::empty(Filter::PLUGIN);
        let places = |names: &[String]| {
            names.iter().map(|name| find(Filter::PLUGIN, input, name)).collect::<Result<Vec<usize>>>()
        };
        let staying = match &self.choice {
            Choice::Include(names) => places(names)?,
            Choice::Exclude(names) => {
                // What the source leaves out is dropped already.
                let is_there = |name: &&String| !input.withheld.contains(*name);
                let names: Vec<String> = names.iter().filter(is_there).cloned().collect();
                let dropped = places(&names)?;
                (0..input.columns.len()).filter(|place| !dropped.contains(place)).collect()
            }
        };
        for place in staying {
            layout.push(column(Filter::PLUGIN, input, place)?, Origin::Same(place));
        }
        Ok(layout)
    }
}

impl Transform for Filter {
    fn name(&self) -> &str {
        Filter::PLUGIN
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        Ok(vec![self.layout(input)?.schema(input)?])
    }

    fn needs(&self, input: &TableSchema, wanted: &[Vec<bool>]) -> Result<Vec<bool>> {
        let layout = self.layout(input)?;
        Ok(match &self.choice {
            // Every column that is named must be there, wanted or not.
            Choice::Include(_) => layout.needs(input, &[]),
            Choice::Exclude(_) => layout.needs(input, wanted),
        })
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        let layout = self.layout(&batch.schema)?;
        layout.batch(batch, the_one(Filter::PLUGIN, outputs)?, &[])
    }
}

#[cfg(test)]
mod tests;

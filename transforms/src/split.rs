//! Splits a text column into several.

use std::sync::Arc;

use arrow_schema::DataType;
use culvert_api::{ChangeBatch, Column, Error, ErrorKind, Result, TableSchema, Transform};
use culvert_config::{OptionDef, Options, Rule};
use regex::Regex;

use crate::layout::{Layout, Origin, find_text, the_one};
use crate::pattern::{compile, matches};
use crate::text::split_text;

/// Splits one text column into as many parts as there are output columns; the last one takes the rest,
/// missing ones are NULL.
#[derive(Clone, Debug)]
pub struct Split {
    field: String,
    separator: Regex,
    outputs: Vec<String>,
}

impl Split {
    /// The plugin's name as users write it.
    pub const PLUGIN: &'static str = "Split";

    /// The options.
    pub const OPTIONS: &'static [OptionDef] = &[
        OptionDef::string("separator")
            .required()
            .doc("What stands between the parts, a regular expression: write `\\\\|` for a bar."),
        OptionDef::string("split_field").required().doc("The text column to split."),
        OptionDef::list("output_fields")
            .required()
            .doc("The parts' columns; one that is there already is replaced. The last one takes the rest."),
    ];

    /// What holds between options.
    pub const RULES: &'static [Rule] = &[];

    /// Makes the transform. Errors are [`ErrorKind::Config`].
    pub fn from_options(options: &Options) -> Result<Split> {
        let outputs = options.list("output_fields").to_vec();
        if outputs.is_empty() {
            return Err(Error::new(ErrorKind::Config, "option `output_fields` names no column"));
        }
        let separator = compile(Split::PLUGIN, "separator", options.str("separator"))?;
        Ok(Split { field: options.str("split_field").to_owned(), separator, outputs })
    }

    fn layout(&self, input: &TableSchema) -> Result<Layout> {
        let place = find_text(Split::PLUGIN, input, &self.field)?;
        let mut layout = Layout::of(Split::PLUGIN, input);
        for (new, name) in self.outputs.iter().enumerate() {
            let part = Column::derived(name, DataType::Utf8, true);
            layout.put(part, Origin::New { from: Some(place), new });
        }
        Ok(layout)
    }

    /// The parts, as Java's `split` with a limit gives them: an empty match at the beginning parts nothing.
    fn parts<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut parts = Vec::with_capacity(self.outputs.len());
        let mut from = 0;
        for found in matches(&self.separator, text) {
            if parts.len() + 1 >= self.outputs.len() {
                break;
            }
            let Some(whole) = found.get(0) else { continue };
            if whole.end() == 0 {
                continue;
            }
            parts.push(&text[from..whole.start()]);
            from = whole.end();
        }
        parts.push(&text[from..]);
        parts
    }
}

impl Transform for Split {
    fn name(&self) -> &str {
        Split::PLUGIN
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        Ok(vec![self.layout(input)?.schema(input)?])
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        let place = find_text(Split::PLUGIN, &batch.schema, &self.field)?;
        let layout = self.layout(&batch.schema)?;
        let new = split_text(Split::PLUGIN, &batch, place, self.outputs.len(), |text| match text {
            Some(text) => self.parts(text).into_iter().map(|part| Some(part.to_owned())).collect(),
            None => Vec::new(),
        })?;
        layout.batch(batch, the_one(Split::PLUGIN, outputs)?, &new)
    }
}

#[cfg(test)]
mod tests;

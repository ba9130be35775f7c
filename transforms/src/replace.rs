//! Replaces parts of a text column.

use std::sync::Arc;

use culvert_api::{ChangeBatch, Column, Result, TableSchema, Transform};
use culvert_config::{OptionDef, Options, Rule};
use regex::Regex;

use crate::layout::{Layout, Origin, column, find_text, the_one};
use crate::pattern::{Replacement, compile, matches};
use crate::text::map_text;

/// Replaces what a text or a pattern finds in one text column.
#[derive(Clone, Debug)]
pub struct Replace {
    field: String,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    Plain { pattern: String, replacement: String },
    Regex { pattern: Regex, replacement: Replacement, first: bool },
}

impl Replace {
    /// The plugin's name as users write it.
    pub const PLUGIN: &'static str = "Replace";

    /// The options.
    pub const OPTIONS: &'static [OptionDef] = &[
        OptionDef::string("replace_field").required().doc("The text column."),
        OptionDef::string("pattern")
            .required()
            .doc("What is replaced: a text, or a regular expression with is_regex."),
        OptionDef::string("replacement")
            .required()
            .placeholders()
            .doc("What stands in its place; with is_regex `$1` or `${name}` is a group of the pattern."),
        OptionDef::boolean("is_regex").default("false").doc("Whether the pattern is a regular expression."),
        OptionDef::boolean("replace_first")
            .default("false")
            .doc("Replace only what is found first; of effect with is_regex alone."),
    ];

    /// What holds between options.
    pub const RULES: &'static [Rule] = &[];

    /// Makes the transform. Errors are [`culvert_api::ErrorKind::Config`].
    pub fn from_options(options: &Options) -> Result<Replace> {
        let (pattern, replacement) = (options.str("pattern"), options.str("replacement"));
        let how = match options.bool("is_regex") {
            false => How::Plain { pattern: pattern.to_owned(), replacement: replacement.to_owned() },
            true => {
                let pattern = compile(Replace::PLUGIN, "pattern", pattern)?;
                let replacement = Replacement::parse(Replace::PLUGIN, "replacement", replacement, &pattern)?;
                How::Regex { pattern, replacement, first: options.bool("replace_first") }
            }
        };
        Ok(Replace { field: options.str("replace_field").to_owned(), how })
    }

    fn layout(&self, input: &TableSchema) -> Result<Layout> {
        let place = find_text(Replace::PLUGIN, input, &self.field)?;
        let old = column(Replace::PLUGIN, input, place)?;
        let mut layout = Layout::of(Replace::PLUGIN, input);
        let replaced = Column::derived(old.name, arrow_schema::DataType::Utf8, old.nullable);
        layout.put(replaced, Origin::New { from: Some(place), new: 0 });
        Ok(layout)
    }

    fn replaced(&self, text: &str) -> String {
        match &self.how {
            How::Plain { pattern, replacement } => text.replace(pattern, replacement),
            How::Regex { pattern, replacement, first } => {
                let mut out = String::with_capacity(text.len());
                let mut copied = 0;
                for found in matches(pattern, text).take(if *first { 1 } else { usize::MAX }) {
                    let Some(whole) = found.get(0) else { continue };
                    out.push_str(&text[copied..whole.start()]);
                    replacement.append(&found, &mut out);
                    copied = whole.end();
                }
                out.push_str(&text[copied..]);
                out
            }
        }
    }
}

impl Transform for Replace {
    fn name(&self) -> &str {
        Replace::PLUGIN
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        Ok(vec![self.layout(input)?.schema(input)?])
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        let place = find_text(Replace::PLUGIN, &batch.schema, &self.field)?;
        let layout = self.layout(&batch.schema)?;
        let new = map_text(Replace::PLUGIN, &batch, place, |_, text| Ok(self.replaced(text)))?;
        layout.batch(batch, the_one(Replace::PLUGIN, outputs)?, &[new])
    }
}

#[cfg(test)]
mod tests;

//! Extracts the groups of a pattern from a text column.

use std::sync::Arc;

use arrow_schema::DataType;
use culvert_api::{ChangeBatch, Column, Error, ErrorKind, Result, TableSchema, Transform};
use culvert_config::{OptionDef, Options, Rule};
use regex::Regex;

use crate::layout::{Layout, Origin, find_text, the_one};
use crate::pattern::compile;
use crate::text::split_text;

/// Puts the groups of a pattern's first match into columns of their own.
#[derive(Clone, Debug)]
pub struct RegexExtract {
    field: String,
    pattern: Regex,
    outputs: Vec<String>,
    defaults: Vec<String>,
}

impl RegexExtract {
    /// The plugin's name as users write it.
    pub const PLUGIN: &'static str = "RegexExtract";

    /// The options.
    pub const OPTIONS: &'static [OptionDef] = &[
        OptionDef::string("source_field").required().doc("The text column to extract from."),
        OptionDef::string("regex_pattern").required().doc(
            "A regular expression with as many groups as there are output fields; it may match anywhere.",
        ),
        OptionDef::list("output_fields")
            .required()
            .doc("The groups' columns; one that is there already is replaced."),
        OptionDef::list("default_values").doc(
            "What the columns hold where the pattern does not match or the value is NULL; NULL otherwise.",
        ),
    ];

    /// What holds between options.
    pub const RULES: &'static [Rule] = &[];

    /// Makes the transform. Errors are [`ErrorKind::Config`].
    pub fn from_options(options: &Options) -> Result<RegexExtract> {
        let pattern = compile(RegexExtract::PLUGIN, "regex_pattern", options.str("regex_pattern"))?;
        let outputs = options.list("output_fields").to_vec();
        let defaults = options.list("default_values").to_vec();
        let groups = pattern.captures_len() - 1;
        let wrong = |message: String| Error::new(ErrorKind::Config, message);
        if groups != outputs.len() || outputs.is_empty() {
            return Err(wrong(format!(
                "Regex group count ({groups}) must equal output fields size ({})",
                outputs.len()
            ))
            .hint("write (?:…) for a group that is not extracted"));
        }
        if !defaults.is_empty() && defaults.len() != outputs.len() {
            return Err(wrong(format!(
                "Default values size ({}) must equal output fields size ({})",
                defaults.len(),
                outputs.len()
            )));
        }
        Ok(RegexExtract { field: options.str("source_field").to_owned(), pattern, outputs, defaults })
    }

    fn layout(&self, input: &TableSchema) -> Result<Layout> {
        let place = find_text(RegexExtract::PLUGIN, input, &self.field)?;
        let mut layout = Layout::of(RegexExtract::PLUGIN, input);
        for (new, name) in self.outputs.iter().enumerate() {
            let group = Column::derived(name, DataType::Utf8, true);
            layout.put(group, Origin::New { from: Some(place), new });
        }
        Ok(layout)
    }

    fn groups(&self, text: Option<&str>) -> Vec<Option<String>> {
        match text.and_then(|text| self.pattern.captures(text)) {
            Some(found) => found.iter().skip(1).map(|group| Some(group?.as_str().to_owned())).collect(),
            None => self.defaults.iter().map(|default| Some(default.clone())).collect(),
        }
    }
}

impl Transform for RegexExtract {
    fn name(&self) -> &str {
        RegexExtract::PLUGIN
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        Ok(vec![self.layout(input)?.schema(input)?])
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        let place = find_text(RegexExtract::PLUGIN, &batch.schema, &self.field)?;
        let layout = self.layout(&batch.schema)?;
        let new =
            split_text(RegexExtract::PLUGIN, &batch, place, self.outputs.len(), |text| self.groups(text))?;
        layout.batch(batch, the_one(RegexExtract::PLUGIN, outputs)?, &new)
    }
}

#[cfg(test)]
mod tests;

//! Lets rows of some kinds pass and drops the others.

use std::sync::Arc;

use culvert_api::{
    ChangeBatch, Condition, Error, ErrorKind, Result, RowKind, RowKindSet, TableSchema, Transform,
};
use culvert_config::{OptionDef, Options, Rule, nearest};

use crate::layout::needs_as_wanted;

/// Lets rows of some kinds pass, as they are.
#[derive(Clone, Debug)]
pub struct FilterRowKind {
    passing: RowKindSet,
}

impl FilterRowKind {
    /// The plugin's name as users write it.
    pub const PLUGIN: &'static str = "FilterRowKind";

    /// The options; exactly one of them must be set.
    pub const OPTIONS: &'static [OptionDef] = &[
        OptionDef::list("include_kinds").doc(
            "The kinds that pass, of INSERT, UPDATE_BEFORE, UPDATE_AFTER and DELETE. Not with exclude_kinds.",
        ),
        OptionDef::list("exclude_kinds").doc("The kinds that are dropped. Not with include_kinds."),
    ];

    /// What must be set together.
    pub const RULES: &'static [Rule] = &[Rule::OneOf(&["include_kinds", "exclude_kinds"])];

    /// Makes the transform. Errors are [`ErrorKind::Config`].
    pub fn from_options(options: &Options) -> Result<FilterRowKind> {
        let kinds = |name: &str| kinds(options, name);
        let passing = match (options.is_set("include_kinds"), options.is_set("exclude_kinds")) {
            (true, false) => kinds("include_kinds")?,
            (false, true) => kinds("exclude_kinds")?.complement(),
            _ => {
                return Err(Error::new(
                    ErrorKind::Config,
                    "These options(include_kinds,exclude_kinds) are mutually exclusive, allowing only one set of \
                     options to be configured.",
                ));
            }
        };
        Ok(FilterRowKind { passing })
    }
}

fn kinds(options: &Options, name: &str) -> Result<RowKindSet> {
    let mut found = Vec::new();
    for word in options.list(name) {
        let Some(kind) = RowKind::from_full(word.trim()) else {
            let error = Error::new(ErrorKind::Config, format!("option `{name}` has the unknown kind {word}"));
            let all = "one of INSERT, UPDATE_BEFORE, UPDATE_AFTER, DELETE";
            return Err(error.hint(match nearest(word.trim(), RowKind::ALL.map(RowKind::full)) {
                Some(meant) => format!("did you mean {meant}? {all}"),
                None => all.to_owned(),
            }));
        };
        found.push(kind);
    }
    if found.is_empty() {
        return Err(Error::new(ErrorKind::Config, format!("option `{name}` names no kind")));
    }
    Ok(RowKindSet::of(&found))
}

impl Transform for FilterRowKind {
    fn name(&self) -> &str {
        FilterRowKind::PLUGIN
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        Ok(vec![TableSchema { kinds: input.kinds.intersect(self.passing), ..input.clone() }])
    }

    fn needs(&self, input: &TableSchema, wanted: &[Vec<bool>]) -> Result<Vec<bool>> {
        Ok(needs_as_wanted(input, wanted))
    }

    fn condition(&self, _input: &TableSchema, later: Option<Condition>) -> Option<Condition> {
        later
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        let passes = batch.kinds.iter().map(|kind| self.passing.contains(*kind)).collect();
        let Some(left) = batch.only(&passes)? else { return Ok(Vec::new()) };
        Ok(outputs.iter().map(|output| ChangeBatch { schema: output.clone(), ..left.clone() }).collect())
    }
}

#[cfg(test)]
mod tests;

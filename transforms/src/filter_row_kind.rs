//! Lets rows of some kinds pass and drops the others.

use std::sync::Arc;

use arrow_array::BooleanArray;
use arrow_buffer::BooleanBuffer;
use arrow_select::filter::filter_record_batch;
use culvert_api::{
    ChangeBatch, Error, ErrorKind, Result, RowKind, RowKindSet, TableSchema, Transform, Unavailable,
};
use culvert_config::{OptionDef, Options, Rule};

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
            return Err(error.hint("one of INSERT, UPDATE_BEFORE, UPDATE_AFTER, DELETE"));
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

    fn map_schema(&self, input: &TableSchema) -> Result<TableSchema> {
        Ok(TableSchema { kinds: input.kinds.intersect(self.passing), ..input.clone() })
    }

    fn apply(&self, batch: ChangeBatch, output: &Arc<TableSchema>) -> Result<Option<ChangeBatch>> {
        let passes: Vec<bool> = batch.kinds.iter().map(|kind| self.passing.contains(*kind)).collect();
        if !passes.contains(&true) {
            return Ok(None);
        }
        if !passes.contains(&false) {
            return Ok(Some(ChangeBatch { schema: output.clone(), ..batch }));
        }
        let rows =
            filter_record_batch(&batch.rows, &BooleanArray::from(passes.clone())).map_err(|cause| {
                Error::new(ErrorKind::Internal, "a batch and its row kinds differ in length")
                    .context("table", &output.id)
                    .caused_by(cause)
            })?;
        Ok(Some(ChangeBatch {
            schema: output.clone(),
            rows,
            kinds: kept(batch.kinds, &passes),
            positions: kept(batch.positions, &passes),
            transactions: batch.transactions,
            unavailable: kept_unavailable(batch.unavailable, &passes),
        }))
    }
}

fn kept_unavailable(unavailable: Vec<Unavailable>, passes: &[bool]) -> Vec<Unavailable> {
    let rows = |all: &BooleanBuffer| {
        all.iter().zip(passes).filter_map(|(bit, passes)| passes.then_some(bit)).collect()
    };
    let left_out =
        unavailable.into_iter().map(|one| Unavailable { column: one.column, rows: rows(&one.rows) });
    left_out.filter(|one| one.rows.count_set_bits() > 0).collect()
}

fn kept<T>(values: Vec<T>, passes: &[bool]) -> Vec<T> {
    values.into_iter().zip(passes).filter_map(|(value, passes)| passes.then_some(value)).collect()
}

#[cfg(test)]
mod tests;

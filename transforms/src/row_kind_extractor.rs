//! Makes a change log of a change stream: every row becomes an insert that carries its former kind
//! in a column.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::DataType;
use culvert_api::{
    ChangeBatch, Column, Condition, Error, ErrorKind, Result, RowKind, RowKindSet, TableSchema, Transform,
};
use culvert_config::{OptionDef, Options, Rule};

use crate::layout::needs_as_wanted;

/// How the column spells a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    /// `+I`
    Short,
    /// `INSERT`
    Full,
}

/// Appends a column with the kind of every row and makes every row an insert.
///
/// An update gives two rows, `-U` and `+U`. The primary key of the schema keeps its name, so that a
/// sink that finds that key in its target still knows it; a target without a key takes every row.
#[derive(Clone, Debug)]
pub struct RowKindExtractor {
    field: String,
    spelling: Spelling,
}

impl RowKindExtractor {
    /// The plugin's name as users write it.
    pub const PLUGIN: &'static str = "RowKindExtractor";

    /// The options.
    pub const OPTIONS: &'static [OptionDef] = &[
        OptionDef::string("custom_field_name")
            .default("row_kind")
            .doc("The name of the column that is appended."),
        OptionDef::choice("transform_type", &["SHORT", "FULL"]).default("SHORT").doc(
            "How a kind is spelt: `+I`, `-U`, `+U`, `-D`, or INSERT, UPDATE_BEFORE, UPDATE_AFTER, DELETE.",
        ),
    ];

    /// What holds between options.
    pub const RULES: &'static [Rule] = &[];

    /// Makes the transform. Errors are [`ErrorKind::Config`].
    pub fn from_options(options: &Options) -> Result<RowKindExtractor> {
        let field = options.str("custom_field_name").to_string();
        if field.trim().is_empty() {
            return Err(Error::new(ErrorKind::Config, "option `custom_field_name` is empty"));
        }
        let spelling = match options.enum_value("transform_type") {
            "FULL" => Spelling::Full,
            _ => Spelling::Short,
        };
        Ok(RowKindExtractor { field, spelling })
    }

    fn spell(&self, kind: RowKind) -> &'static str {
        match self.spelling {
            Spelling::Short => kind.short(),
            Spelling::Full => kind.full(),
        }
    }
}

impl Transform for RowKindExtractor {
    fn name(&self) -> &str {
        RowKindExtractor::PLUGIN
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        // No database tells columns apart by letter case alone.
        if input.column_index(&self.field).is_some() {
            return Err(Error::new(ErrorKind::Config, format!("field name {} already exists", self.field))
                .context("table", &input.id)
                .hint("choose another custom_field_name for RowKindExtractor"));
        }
        let mut columns = input.columns.clone();
        columns.push(Column::derived(self.field.clone(), DataType::Utf8, false));
        Ok(vec![TableSchema { kinds: RowKindSet::INSERT_ONLY, ..input.with_columns(columns) }])
    }

    fn needs(&self, input: &TableSchema, wanted: &[Vec<bool>]) -> Result<Vec<bool>> {
        Ok(needs_as_wanted(input, wanted))
    }

    fn condition(&self, _input: &TableSchema, later: Option<Condition>) -> Option<Condition> {
        // Its own column is text, and in no condition.
        later
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        let [output] = outputs else {
            return Err(Error::new(ErrorKind::Internal, "one table is one table after RowKindExtractor"));
        };
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let spelt = StringArray::from_iter_values(batch.kinds.iter().map(|kind| self.spell(*kind)));
        // Columns are shared, not copied, with whoever else holds the batch.
        let mut columns: Vec<ArrayRef> = batch.rows.columns().to_vec();
        columns.push(Arc::new(spelt));
        let rows = RecordBatch::try_new(output.arrow.clone(), columns).map_err(|cause| {
            Error::new(ErrorKind::Internal, "a batch does not have the columns of its schema")
                .context("table", &output.id)
                .caused_by(cause)
        })?;
        let kinds = vec![RowKind::Insert; batch.kinds.len()];
        Ok(vec![ChangeBatch { schema: output.clone(), rows, kinds, ..batch }])
    }
}

#[cfg(test)]
mod tests;

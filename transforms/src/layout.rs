//! Which columns leave a transform and where each comes from: the one place that decides about keys,
//! left-out values and declared types.
//!
//! A column that leaves with the values of one that came shares them, keeps its declared type, its left-out
//! values and its part in the key. A column that is worked out of another one has values of its own; they
//! are left out where the log left out what they are worked out of, because a sink that keeps its old value
//! there keeps the right one.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_buffer::BooleanBuffer;
use arrow_schema::DataType;
use culvert_api::{
    ChangeBatch, Column, Error, ErrorKind, Result, RowKind, RowKindSet, TableSchema, Unavailable,
};
use culvert_config::nearest;

/// Where a column that leaves comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The values of this input column.
    Same(usize),
    /// Values worked out of this input column, at this place among the new ones; different values stay
    /// different, so that a key stays a key.
    OneToOne {
        /// The input column.
        from: usize,
        /// The place among the new columns.
        new: usize,
    },
    /// Values worked out of this input column, or of none, at this place among the new ones.
    New {
        /// The input column.
        from: Option<usize>,
        /// The place among the new columns.
        new: usize,
    },
}

impl Origin {
    /// The input column.
    fn from(self) -> Option<usize> {
        match self {
            Origin::Same(from) | Origin::OneToOne { from, .. } => Some(from),
            Origin::New { from, .. } => from,
        }
    }

    /// The input column whose part in the key it can take over.
    fn key(self) -> Option<usize> {
        match self {
            Origin::Same(from) | Origin::OneToOne { from, .. } => Some(from),
            Origin::New { .. } => None,
        }
    }
}

/// The columns that leave, in order.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    plugin: &'static str,
    columns: Vec<(Column, Origin)>,
}

impl Layout {
    /// No column yet.
    pub(crate) fn empty(plugin: &'static str) -> Layout {
        Layout { plugin, columns: Vec::new() }
    }

    /// All columns as they come.
    pub(crate) fn of(plugin: &'static str, input: &TableSchema) -> Layout {
        let same = |(place, column): (usize, &Column)| (column.clone(), Origin::Same(place));
        Layout { plugin, columns: input.columns.iter().enumerate().map(same).collect() }
    }

    /// Appends a column.
    pub(crate) fn push(&mut self, column: Column, origin: Origin) {
        self.columns.push((column, origin));
    }

    /// Takes the place of the column of this name, or appends one.
    pub(crate) fn put(&mut self, column: Column, origin: Origin) {
        match self.columns.iter_mut().find(|(there, _)| there.name == column.name) {
            Some(there) => *there = (column, origin),
            None => self.push(column, origin),
        }
    }

    /// The columns' names as they are, for renaming.
    pub(crate) fn rename(&mut self, name: impl Fn(&str) -> String) {
        for (column, _) in &mut self.columns {
            column.name = name(&column.name);
        }
    }

    /// The table that leaves. Errors: no column is left, or two have one name.
    pub(crate) fn schema(&self, input: &TableSchema) -> Result<TableSchema> {
        if self.columns.is_empty() {
            let error = refusal(self.plugin, input, "no column is left");
            return Err(error.hint("keep at least one column"));
        }
        let mut names = HashSet::new();
        if let Some((twice, _)) = self.columns.iter().find(|(column, _)| !names.insert(&column.name)) {
            return Err(refusal(self.plugin, input, "two columns that leave have one name")
                .context("column", &twice.name)
                .hint("give them different names"));
        }
        let columns: Vec<Column> = self.columns.iter().map(|(column, _)| column.clone()).collect();
        let key = self.key(input);
        let schema = TableSchema::new(input.id.clone(), input.version, columns, key, input.kinds);
        Ok(TableSchema { source: input.source, ..schema })
    }

    /// The key's columns under their new names; none when one of them does not leave. Where a key column
    /// leaves several times, the one that kept its name counts, else the first.
    fn key(&self, input: &TableSchema) -> Vec<String> {
        let heir = |name: &String| {
            let place = input.column_index(name)?;
            let mut heirs = self.columns.iter().filter(|(_, origin)| origin.key() == Some(place));
            let first = heirs.clone().next()?;
            let same_name = heirs.find(|(column, _)| column.name == *name);
            Some(same_name.unwrap_or(first).0.name.clone())
        };
        input.primary_key.iter().map(heir).collect::<Option<Vec<String>>>().unwrap_or_default()
    }

    /// Which input columns the wanted ones of these are made of, a flag each.
    pub(crate) fn needs(&self, input: &TableSchema, wanted: &[Vec<bool>]) -> Vec<bool> {
        let mut needs = vec![false; input.columns.len()];
        for (place, (_, origin)) in self.columns.iter().enumerate() {
            let is_wanted = wanted.first().and_then(|wanted| wanted.get(place)).copied().unwrap_or(true);
            if let Some(need) = origin.from().and_then(|from| needs.get_mut(from)) {
                *need |= is_wanted;
            }
        }
        needs
    }

    /// The rows as they leave; `new` holds the values of the new columns.
    pub(crate) fn batch(
        &self,
        batch: ChangeBatch,
        output: &Arc<TableSchema>,
        new: &[ArrayRef],
    ) -> Result<Vec<ChangeBatch>> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let broken = || {
            Error::new(ErrorKind::Internal, "a batch does not have the columns of its schema")
                .context("transform", self.plugin)
                .context("table", &output.id)
        };
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        let mut unavailable = Vec::new();
        for (place, (_, origin)) in self.columns.iter().enumerate() {
            let values = match origin {
                Origin::Same(from) => batch.rows.columns().get(*from),
                Origin::OneToOne { new: at, .. } | Origin::New { new: at, .. } => new.get(*at),
            };
            // Shared, not copied, with whoever else holds the batch.
            columns.push(values.cloned().ok_or_else(broken)?);
            let left_out = origin.from().and_then(|from| left_out(&batch, from));
            unavailable.extend(left_out.map(|rows| Unavailable { column: place, rows: rows.clone() }));
        }
        let count = RecordBatchOptions::new().with_row_count(Some(batch.len()));
        let rows = RecordBatch::try_new_with_options(output.arrow.clone(), columns, &count)
            .map_err(|cause| broken().caused_by(cause))?;
        Ok(vec![ChangeBatch { schema: output.clone(), rows, unavailable, ..batch }])
    }
}

/// What a transform needs that lets all columns pass, and adds some behind them at most: what is wanted of
/// them. Of a table that it drops, nothing.
pub(crate) fn needs_as_wanted(input: &TableSchema, wanted: &[Vec<bool>]) -> Vec<bool> {
    let is_wanted = |place| wanted.iter().any(|wanted| wanted.get(place).copied().unwrap_or(true));
    (0..input.columns.len()).map(is_wanted).collect()
}

/// The rows in which the log left out a column's value.
pub(crate) fn left_out(batch: &ChangeBatch, column: usize) -> Option<&BooleanBuffer> {
    batch.unavailable.iter().find(|one| one.column == column).map(|one| &one.rows)
}

/// An operator error about a table that does not fit a transform.
pub(crate) fn refusal(plugin: &str, input: &TableSchema, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Schema, message).context("transform", plugin).context("table", &input.id)
}

/// The place of a column that an option names: by exact name first, then in any letter case.
pub(crate) fn find(plugin: &str, input: &TableSchema, name: &str) -> Result<usize> {
    input.column_index(name).ok_or_else(|| {
        let names = || input.columns.iter().map(|column| column.name.as_str());
        let error = refusal(plugin, input, "the table has no such column").context("column", name);
        error.hint(match nearest(name, names()) {
            Some(near) => format!("did you mean '{near}'? Otherwise change the transform's options"),
            None => format!("there are: {}", names().collect::<Vec<&str>>().join(", ")),
        })
    })
}

/// The place of a text column that an option names.
pub(crate) fn find_text(plugin: &str, input: &TableSchema, name: &str) -> Result<usize> {
    let place = find(plugin, input, name)?;
    match input.columns.get(place).map(|column| &column.data_type) {
        Some(DataType::Utf8 | DataType::LargeUtf8) => Ok(place),
        other => {
            let found = other.map_or_else(String::new, ToString::to_string);
            let error = refusal(plugin, input, format!("the column holds {found}, and text is needed"));
            Err(error
                .context("column", name)
                .hint("turn it into text first, with the transform Sql and CAST"))
        }
    }
}

/// The column at a place that [`find`] gave.
pub(crate) fn column(plugin: &str, input: &TableSchema, place: usize) -> Result<Column> {
    input.columns.get(place).cloned().ok_or_else(|| {
        Error::new(ErrorKind::Internal, "a column was found where there is none")
            .context("transform", plugin)
            .context("table", &input.id)
    })
}

/// The values of the column at a place that [`find`] gave.
pub(crate) fn values<'b>(plugin: &str, batch: &'b ChangeBatch, place: usize) -> Result<&'b ArrayRef> {
    batch.rows.columns().get(place).ok_or_else(|| {
        Error::new(ErrorKind::Internal, "a batch does not have the columns of its schema")
            .context("transform", plugin)
            .context("table", &batch.schema.id)
    })
}

/// The one table that leaves a transform that parts no rows.
pub(crate) fn the_one<'o>(plugin: &str, outputs: &'o [Arc<TableSchema>]) -> Result<&'o Arc<TableSchema>> {
    match outputs {
        [output] => Ok(output),
        _ => Err(Error::new(ErrorKind::Internal, "one table is one table after this transform")
            .context("transform", plugin)),
    }
}

/// The kinds that can occur after rows were dropped one by one: a row that came or went alone is no update.
pub(crate) fn kinds_when_rows_are_dropped(kinds: RowKindSet) -> RowKindSet {
    let is_update = kinds.contains(RowKind::UpdateBefore) && kinds.contains(RowKind::UpdateAfter);
    let occurs = |kind: &RowKind| {
        kinds.contains(*kind) || is_update && matches!(kind, RowKind::Insert | RowKind::Delete)
    };
    RowKindSet::of(&RowKind::ALL.into_iter().filter(occurs).collect::<Vec<RowKind>>())
}

/// The rows that pass a condition, see [`ChangeBatch::keep`]. A row that comes because of an update must be
/// known whole: what the log leaves out nobody has yet.
pub(crate) fn keep(plugin: &str, batch: ChangeBatch, passes: &BooleanBuffer) -> Result<Vec<ChangeBatch>> {
    for row in 1..batch.len().min(passes.len()) {
        let is_update =
            (batch.kinds[row - 1], batch.kinds[row]) == (RowKind::UpdateBefore, RowKind::UpdateAfter);
        if is_update && passes.value(row) && !passes.value(row - 1) {
            let lacking = batch.unavailable.iter().find(|one| row < one.rows.len() && one.rows.value(row));
            if let Some(lacking) = lacking {
                return Err(lacks_value(plugin, &batch, row, lacking.column));
            }
        }
    }
    Ok(batch.keep(passes)?.into_iter().collect())
}

/// The log left out a value that the transform cannot do without.
pub(crate) fn lacks_value(plugin: &str, batch: &ChangeBatch, row: usize, column: usize) -> Error {
    let name = batch.schema.columns.get(column).map_or("?", |column| column.name.as_str());
    let mut error = refusal(plugin, &batch.schema, "the log left out a value that the transform needs")
        .context("column", name);
    if let Some(transaction) = batch.transaction(row) {
        error = error.context("position", transaction);
    }
    let schema = batch.schema.id.schema.as_ref().map_or_else(String::new, |schema| format!("{schema}."));
    error.hint(format!("ALTER TABLE {schema}{} REPLICA IDENTITY FULL; at the source", batch.schema.id.table))
}

/// A row whose value does not fit, by the transform's own rule.
pub(crate) fn unfit_row(
    plugin: &str,
    batch: &ChangeBatch,
    row: usize,
    column: &str,
    message: impl Into<String>,
) -> Error {
    let error = Error::new(ErrorKind::Value, message)
        .context("transform", plugin)
        .context("table", &batch.schema.id)
        .context("column", column);
    match batch.transaction(row) {
        Some(transaction) => error.context("position", transaction),
        None => error,
    }
}

/// Whether a row of this kind is a new state of its table.
pub(crate) fn comes(kind: RowKind) -> bool {
    matches!(kind, RowKind::Insert | RowKind::UpdateAfter)
}

/// How many new states do not pass.
pub(crate) fn turned_away(batch: &ChangeBatch, passes: &BooleanBuffer) -> u64 {
    batch.kinds.iter().zip(passes).filter(|(kind, passes)| comes(**kind) && !passes).count() as u64
}

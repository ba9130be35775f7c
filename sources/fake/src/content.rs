//! The rows of a table.

use std::sync::Arc;

use culvert_api::{Error, ErrorKind, Result, RowKind, TableSchema};
use culvert_config::{Entry, Value};
use culvert_values::{Cell, written};

use crate::made::{Maker, now};
use crate::options::option;
use crate::state::Origin;

/// A table and its rows.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) content: Content,
    /// First row and first row behind, of each split.
    pub(crate) splits: Vec<(u64, u64)>,
    /// How long a reader waits between two splits, in milliseconds.
    pub(crate) interval_ms: u64,
}

/// Where rows come from.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// They are written in the job file; behind the last one comes the first again.
    Written(Vec<Written>),
    /// They are made up.
    Made(Box<Maker>),
}

/// A value of a job file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    /// This one.
    Cell(Cell),
    /// The time when the job started: `CURRENT_TIMESTAMP`, `CURRENT_TIME`, `CURRENT_DATE`.
    Now,
}

/// A row of a job file.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) kind: RowKind,
    pub(crate) values: Vec<Said>,
    /// Whether it is the other half of the row in front.
    pub(crate) is_second: bool,
}

impl Said {
    /// Reads a value; `None` when it does not fit.
    pub(crate) fn read(value: &Value, data_type: &arrow_schema::DataType) -> Option<Said> {
        let word = value.scalar_text().unwrap_or_default();
        let is_word = ["CURRENT_TIMESTAMP", "CURRENT_TIME", "CURRENT_DATE"].contains(&word);
        if is_word && now(data_type, 0).is_some() {
            return Some(Said::Now);
        }
        written(value, data_type).map(Said::Cell)
    }

    /// The value.
    pub(crate) fn cell(&self, data_type: &arrow_schema::DataType, origin: Origin) -> Cell {
        match self {
            Said::Cell(cell) => cell.clone(),
            Said::Now => now(data_type, origin.now_us).unwrap_or(Cell::Null),
        }
    }
}

impl Table {
    /// Number of rows.
    pub(crate) fn rows(&self) -> u64 {
        self.splits.last().map_or(0, |(_, end)| *end)
    }

    /// A row's kind, whether it is the other half of the one in front, and its values.
    pub(crate) fn row(
        &self,
        number: u64,
        table: usize,
        origin: Origin,
    ) -> Result<(RowKind, bool, Vec<Cell>)> {
        match &self.content {
            Content::Made(maker) => {
                Ok((RowKind::Insert, false, maker.row(&self.schema, table, number, origin)))
            }
            Content::Written(rows) => {
                let length = u64::try_from(rows.len()).unwrap_or(u64::MAX).max(1);
                let row = usize::try_from(number % length).ok().and_then(|at| rows.get(at));
                let none = || Error::new(ErrorKind::Internal, "a row is asked for that is not there");
                let row = row.ok_or_else(none)?;
                let types = self.schema.columns.iter().map(|column| &column.data_type);
                let cells =
                    row.values.iter().zip(types).map(|(value, data_type)| value.cell(data_type, origin));
                Ok((row.kind, row.is_second, cells.collect()))
            }
        }
    }
}

/// The rows of the option `rows`.
pub(crate) fn rows(schema: &TableSchema, blocks: &[Vec<Entry>]) -> Result<Vec<Written>> {
    let mut rows: Vec<Written> = Vec::with_capacity(blocks.len());
    for (number, block) in (1usize..).zip(blocks) {
        let (kind, values) = row(schema, block, number)?;
        rows.push(Written { kind, values, is_second: false });
    }
    pair(schema, &mut rows)?;
    Ok(rows)
}

fn row(schema: &TableSchema, block: &[Entry], number: usize) -> Result<(RowKind, Vec<Said>)> {
    let wrong = |what: String| option("rows", &format!("{what} in row {number} of table {}", schema.id));
    let mut kind = RowKind::Insert;
    let mut fields: Option<&[Value]> = None;
    for entry in block {
        match (entry.key.as_str(), &entry.value) {
            ("kind", value) => {
                let word = value.scalar_text().unwrap_or_default();
                kind = RowKind::from_full(word).ok_or_else(|| {
                    wrong("has no kind INSERT, UPDATE_BEFORE, UPDATE_AFTER or DELETE".to_owned())
                })?;
            }
            ("fields", Value::List(values)) => fields = Some(values),
            (key, _) => return Err(wrong(format!("has '{key}', which is not `kind` or a list `fields`,"))),
        }
    }
    let fields = fields.ok_or_else(|| wrong("has no `fields`".to_owned()))?;
    if fields.len() != schema.columns.len() {
        let (found, columns) = (fields.len(), schema.columns.len());
        return Err(wrong(format!("has {found} values for {columns} columns")));
    }
    let mut values = Vec::with_capacity(fields.len());
    for (value, column) in fields.iter().zip(&schema.columns) {
        let said = Said::read(value, &column.data_type).ok_or_else(|| {
            wrong(format!("has a value that does not fit the column {} ({})", column.name, column.data_type))
        })?;
        if said == Said::Cell(Cell::Null) && !column.nullable {
            return Err(wrong(format!("has a NULL for the column {}, which takes none,", column.name)));
        }
        values.push(said);
    }
    Ok((kind, values))
}

/// Holds the halves of updates together. One that changes the key is a delete and an insert.
fn pair(schema: &TableSchema, rows: &mut [Written]) -> Result<()> {
    let key = schema.key_indices();
    let mut at = 0;
    while let Some(rest) = rows.get_mut(at..).filter(|rest| !rest.is_empty()) {
        at += 1;
        match rest {
            [before, after, ..]
                if (before.kind, after.kind) == (RowKind::UpdateBefore, RowKind::UpdateAfter) =>
            {
                at += 1;
                after.is_second = true;
                if key.iter().any(|column| before.values.get(*column) != after.values.get(*column)) {
                    before.kind = RowKind::Delete;
                    after.kind = RowKind::Insert;
                }
            }
            [alone, ..] if matches!(alone.kind, RowKind::UpdateBefore | RowKind::UpdateAfter) => {
                let what = format!(
                    "has an {} without its other half in row {at} of table {}",
                    alone.kind.full(),
                    schema.id
                );
                return Err(option("rows", &what)
                    .hint("an update is two rows: UPDATE_BEFORE, and directly behind it UPDATE_AFTER"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Cuts this many rows into splits, `copies` times over; `rows` are not parted from their other half.
pub(crate) fn splits(count: u64, wanted: u64, copies: u64, rows: &[Written]) -> Vec<(u64, u64)> {
    let size = count.div_ceil(wanted.max(1)).max(1);
    let is_second =
        |at: u64| usize::try_from(at).ok().and_then(|at| rows.get(at)).is_some_and(|row| row.is_second);
    let mut cut = Vec::new();
    for copy in 0..copies {
        let mut from = 0;
        while from < count {
            let mut end = from.saturating_add(size).min(count);
            if is_second(end) {
                end += 1;
            }
            cut.push((copy * count + from, copy * count + end));
            from = end;
        }
    }
    cut
}

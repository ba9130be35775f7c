//! The order of a table's key, as the server sorts it, known on our side as well.
//!
//! A chunk is a key range, and the stream has to tell on which side of a bound the key of a logged
//! row lies. Integers, numerics, temporals, uuid and bytea compare here as they do on the server, and
//! so does text under a collation that goes by bytes. A key is cut by its leading run of such columns;
//! a table whose key has none is read whole.

#[cfg(test)]
mod tests;
mod value;

use culvert_api::{Error, ErrorKind, Result};
use culvert_postgres::quote::{identifier, literal};
use culvert_snapshot::KeyRange;
use serde::{Deserialize, Serialize};

pub(crate) use self::value::KeyValue;
use crate::column::{ColumnDef, PgType};
use crate::decode::Cell;
use crate::shape::TableDef;

/// One end of a chunk: the values of the columns that chunks are cut by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct KeyBound(pub(crate) Vec<KeyValue>);

/// One column that chunks are cut by.
#[derive(Clone, Debug)]
struct KeyColumn {
    index: usize,
    name: String,
    kind: PgType,
    declaration: String,
}

/// How a table is cut into chunks.
#[derive(Clone, Debug)]
pub(crate) struct KeyPlan {
    columns: Vec<KeyColumn>,
}

impl KeyPlan {
    /// The plan for a table, or `None` when it has no key that chunks can be cut by.
    pub(crate) fn new(def: &TableDef, key: &[String]) -> Option<KeyPlan> {
        let mut columns = Vec::new();
        for name in key {
            let index = def.column_index(name)?;
            let column = def.columns.get(index)?;
            // A range never selects NULLs.
            if column.nullable || !is_ordered(column) {
                break;
            }
            columns.push(KeyColumn {
                index,
                name: name.clone(),
                kind: column.kind.clone(),
                declaration: column.declaration.clone(),
            });
        }
        (!columns.is_empty()).then_some(KeyPlan { columns })
    }

    /// The order of these columns by a key, all of it, for a reader that leaves comparing to the server: so
    /// text may be in any collation. `None` when there is a column whose order here and there may differ.
    pub(crate) fn of_server(columns: &[ColumnDef], key: &[String]) -> Option<KeyPlan> {
        let column = |name: &String| {
            let index = columns.iter().position(|column| column.name == *name)?;
            let column = columns.get(index)?;
            let is_text = matches!(column.kind, PgType::Text | PgType::Char);
            // Of what is made by users, `>` may be another operator than the one that sorts.
            let is_plain = !is_text || TEXT_TYPES.contains(&column.type_oid);
            let as_sorted = ColumnDef { bytewise: true, ..column.clone() };
            (is_plain && !column.nullable && is_ordered(&as_sorted)).then(|| KeyColumn {
                index,
                name: column.name.clone(),
                kind: column.kind.clone(),
                declaration: column.declaration.clone(),
            })
        };
        let columns: Vec<KeyColumn> = key.iter().map(column).collect::<Option<_>>()?;
        (!columns.is_empty()).then_some(KeyPlan { columns })
    }

    /// The condition that selects what is behind a key.
    pub(crate) fn behind(&self, bound: &KeyBound) -> Vec<String> {
        self.conditions(&KeyRange { after: Some(bound.clone()), up_to: None })
    }

    /// The same for rows whose columns stand elsewhere; `None` when one of them is missing there.
    pub(crate) fn placed(&self, find: impl Fn(&str) -> Option<usize>) -> Option<KeyPlan> {
        let mut columns = self.columns.clone();
        for column in &mut columns {
            column.index = find(&column.name)?;
        }
        Some(KeyPlan { columns })
    }

    /// The key's place among the bounds, from the row's columns in order.
    pub(crate) fn bound<'a>(&self, cells: impl Iterator<Item = Result<Cell<'a>>>) -> Result<KeyBound> {
        let mut values = vec![None; self.columns.len()];
        for (index, cell) in cells.enumerate() {
            let cell = cell?;
            for (column, value) in self.columns.iter().zip(&mut values) {
                if column.index == index {
                    *value = Some(column.read(cell)?);
                }
            }
        }
        let values: Option<Vec<KeyValue>> = values.into_iter().collect();
        values.map(KeyBound).ok_or_else(without_key)
    }

    /// The bound from the texts of its columns, in the plan's order.
    pub(crate) fn bound_from_texts<'a>(
        &self,
        texts: impl Iterator<Item = Option<&'a str>>,
    ) -> Result<KeyBound> {
        let mut values = Vec::with_capacity(self.columns.len());
        for (column, text) in self.columns.iter().zip(texts) {
            values.push(column.read(Cell::Text(text.ok_or_else(without_key)?.as_bytes()))?);
        }
        if values.len() == self.columns.len() { Ok(KeyBound(values)) } else { Err(without_key()) }
    }

    /// The columns that chunks are cut by, for ORDER BY and for lists of results.
    pub(crate) fn names(&self) -> String {
        self.columns.iter().map(|column| identifier(&column.name)).collect::<Vec<_>>().join(", ")
    }

    /// The condition that selects a range; empty for every key.
    pub(crate) fn conditions(&self, range: &KeyRange<KeyBound>) -> Vec<String> {
        let row = |names: String| if self.columns.len() == 1 { names } else { format!("ROW({names})") };
        let compare = |operator: &str, bound: &KeyBound| {
            let literals: Vec<String> =
                self.columns.iter().zip(&bound.0).map(|(column, value)| column.literal(value)).collect();
            format!("{} {operator} {}", row(self.names()), row(literals.join(", ")))
        };
        let after = range.after.as_ref().map(|bound| compare("OPERATOR(pg_catalog.>)", bound));
        let up_to = range.up_to.as_ref().map(|bound| compare("OPERATOR(pg_catalog.<=)", bound));
        after.into_iter().chain(up_to).collect()
    }
}

impl KeyColumn {
    fn read(&self, cell: Cell<'_>) -> Result<KeyValue> {
        KeyValue::read(&self.kind, cell).map_err(|error| error.context("column", &self.name))
    }

    fn literal(&self, value: &KeyValue) -> String {
        format!("{}::{}", literal(&value.text(&self.kind)), self.declaration)
    }
}

/// `name`, `text`, `character`, `character varying`.
const TEXT_TYPES: &[u32] = &[19, 25, 1042, 1043];

fn is_ordered(column: &ColumnDef) -> bool {
    match column.kind {
        PgType::Bool
        | PgType::Int2
        | PgType::Int4
        | PgType::Int8
        | PgType::Oid
        | PgType::Decimal { .. }
        | PgType::Numeric
        | PgType::Uuid
        | PgType::Bytea
        | PgType::Date
        | PgType::Time
        | PgType::Timestamp
        | PgType::TimestampTz => true,
        // Enums are text here and sort by their labels' order there; `bytewise` says so.
        PgType::Text | PgType::Char => column.bytewise,
        PgType::Float4 | PgType::Float8 | PgType::Jsonb | PgType::Bit | PgType::Printed => false,
    }
}

fn without_key() -> Error {
    Error::new(ErrorKind::Corrupt, "a row without its key")
}

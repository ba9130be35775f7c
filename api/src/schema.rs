//! Tables, columns, and how they change.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::row_kind::RowKindSet;

/// The full name of a table. MySQL has no schema level; PostgreSQL has one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableId {
    /// The database (MySQL calls it schema, too).
    pub database: String,
    /// The schema inside the database, where the server has such a level.
    pub schema: Option<String>,
    /// The table's own name.
    pub table: String,
}

impl TableId {
    /// A table of a server without a schema level.
    pub fn new(database: impl Into<String>, table: impl Into<String>) -> TableId {
        TableId { database: database.into(), schema: None, table: table.into() }
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{}.{}.{}", self.database, schema, self.table),
            None => write!(f, "{}.{}", self.database, self.table),
        }
    }
}

/// The family of databases whose way of writing types a declaration follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// MySQL and MariaDB.
    MySql,
    /// PostgreSQL and what speaks its SQL.
    Postgres,
}

/// A column's type as its database declares it: `int(10) unsigned`, `enum('a','b')`, `numeric(10,2)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceType {
    /// Whose language it is.
    pub dialect: Dialect,
    /// The declaration.
    pub declaration: String,
}

impl SourceType {
    /// A declaration of MySQL or MariaDB.
    pub fn mysql(declaration: impl Into<String>) -> SourceType {
        SourceType { dialect: Dialect::MySql, declaration: declaration.into() }
    }

    /// A declaration of PostgreSQL.
    pub fn postgres(declaration: impl Into<String>) -> SourceType {
        SourceType { dialect: Dialect::Postgres, declaration: declaration.into() }
    }
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The column's name as the source spells it.
    pub name: String,
    /// How its values are held in a batch. `docs/types.md` has the mapping from source types.
    pub data_type: DataType,
    /// Whether NULL may occur.
    pub nullable: bool,
    /// The type as the source database declares it, so that a sink of the same family can create an
    /// equal column. `None` for columns a transform added.
    pub source_type: Option<SourceType>,
}

impl Column {
    /// A column that no database declared, as a transform adds it.
    pub fn derived(name: impl Into<String>, data_type: DataType, nullable: bool) -> Column {
        Column { name: name.into(), data_type, nullable, source_type: None }
    }
}

/// The shape of one table on one edge of the job graph, at one version.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSchema {
    /// Which table.
    pub id: TableId,
    /// Which of the job's sources it comes from: its place among them, 0 where there is one.
    pub source: u32,
    /// Counts up by one with every change of the table's shape that the source saw.
    pub version: u64,
    /// The columns in order.
    pub columns: Vec<Column>,
    /// Names of columns that the table has beside these and that the source leaves out, because nobody
    /// needs them: [`crate::needs`].
    pub withheld: Vec<String>,
    /// Names of the primary key's columns in key order; empty without a key.
    pub primary_key: Vec<String>,
    /// The row kinds that can occur on this edge.
    pub kinds: RowKindSet,
    /// The same columns as Arrow knows them; what every batch of this schema carries.
    pub arrow: SchemaRef,
}

impl TableSchema {
    /// Builds the schema and its Arrow form.
    pub fn new(
        id: TableId,
        version: u64,
        columns: Vec<Column>,
        primary_key: Vec<String>,
        kinds: RowKindSet,
    ) -> TableSchema {
        let fields: Vec<Field> = columns
            .iter()
            .map(|column| Field::new(&column.name, column.data_type.clone(), column.nullable))
            .collect();
        let arrow = Arc::new(Schema::new(fields));
        let withheld = Vec::new();
        TableSchema { id, source: 0, version, columns, withheld, primary_key, kinds, arrow }
    }

    /// Whether rows of both look alike: the same table, columns, key and kinds, whatever the version.
    pub fn is_shaped_like(&self, other: &TableSchema) -> bool {
        self.id == other.id
            && self.columns == other.columns
            && self.primary_key == other.primary_key
            && self.kinds == other.kinds
    }

    /// The same table with these columns, and with as much of its key as is among them: all or nothing.
    pub fn with_columns(&self, columns: Vec<Column>) -> TableSchema {
        let has = |name: &String| columns.iter().any(|column| column.name == *name);
        let primary_key =
            if self.primary_key.iter().all(has) { self.primary_key.clone() } else { Vec::new() };
        let schema = TableSchema::new(self.id.clone(), self.version, columns, primary_key, self.kinds);
        TableSchema { source: self.source, ..schema }
    }

    /// The table as a source delivers it that leaves out all columns but those at these places.
    pub fn narrowed(&self, places: &[usize]) -> TableSchema {
        let (mut columns, mut withheld) = (Vec::new(), self.withheld.clone());
        for (place, column) in self.columns.iter().enumerate() {
            if places.contains(&place) {
                columns.push(column.clone());
            } else {
                withheld.push(column.name.clone());
            }
        }
        TableSchema { withheld, ..self.with_columns(columns) }
    }

    /// The column's place, by exact name first and then in any letter case.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|column| column.name == name)
            .or_else(|| self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name)))
    }

    /// Places of the primary key's columns; empty without a key.
    pub fn key_indices(&self) -> Vec<usize> {
        self.primary_key.iter().filter_map(|name| self.column_index(name)).collect()
    }
}

/// The shape of a captured table changed between two transactions. In band: every row before it
/// has the old shape, every row after it the new one.
#[derive(Clone, Debug)]
pub struct SchemaChange {
    /// The shape before; `None` when the table is new to the job.
    pub before: Option<Arc<TableSchema>>,
    /// The shape after; `None` when the table was dropped.
    pub after: Option<Arc<TableSchema>>,
    /// The statement as the source logged it, without row values.
    pub statement: String,
}

impl SchemaChange {
    /// The table that changed.
    pub fn table(&self) -> Option<&TableId> {
        self.after.as_ref().or(self.before.as_ref()).map(|schema| &schema.id)
    }

    /// Which of the job's sources it comes from.
    pub fn source(&self) -> Option<u32> {
        self.after.as_ref().or(self.before.as_ref()).map(|schema| schema.source)
    }

    /// Makes the tables those behind the change.
    pub fn follow(&self, tables: &mut Vec<Arc<TableSchema>>) {
        let Some(source) = self.source() else { return };
        let ids = [self.table(), self.before.as_ref().map(|before| &before.id)];
        tables.retain(|known| known.source != source || !ids.contains(&Some(&known.id)));
        tables.extend(self.after.clone());
    }
}

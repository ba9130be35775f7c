//! Tables as programs are told of them: in `culvert plan --format json` and at the interface.

use std::sync::Arc;

use culvert_api::{RowKind, TableSchema};
use serde::Serialize;
use utoipa::ToSchema;

/// A table on an edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ShownTable {
    /// Its full name.
    name: String,
    /// Which of the job's sources it comes from: its place among them, from 0.
    source: u32,
    /// The columns of its key, in their order; none where it has no key.
    key: Vec<String>,
    /// The kinds of rows that can occur: `+I`, `-U`, `+U`, `-D`.
    #[schema(value_type = Vec<String>)]
    kinds: Vec<&'static str>,
    /// Its columns, in their order.
    columns: Vec<ShownColumn>,
}

/// A column of a table on an edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ShownColumn {
    /// Its name.
    name: String,
    /// How its values are held: docs/types.md.
    r#type: String,
    /// As the database declares it, where one does.
    declared: Option<String>,
    /// Whether NULL may occur.
    nullable: bool,
}

impl ShownTable {
    pub(crate) fn of(table: &Arc<TableSchema>) -> ShownTable {
        let column = |column: &culvert_api::Column| ShownColumn {
            name: column.name.clone(),
            r#type: column.data_type.to_string(),
            declared: column.source_type.as_ref().map(|declared| declared.declaration.clone()),
            nullable: column.nullable,
        };
        let kinds = RowKind::ALL.into_iter().filter(|kind| table.kinds.contains(*kind));
        ShownTable {
            name: table.id.to_string(),
            source: table.source,
            key: table.primary_key.clone(),
            kinds: kinds.map(RowKind::short).collect(),
            columns: table.columns.iter().map(column).collect(),
        }
    }
}

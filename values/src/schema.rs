//! The table of an option block `schema`.
//!
//! The block's options are definitions of their own, so that every plugin that has such a block lists the
//! same: [`TABLE`], [`FIELDS`], [`COLUMNS`], [`KEY`] and those without effect.

use std::collections::BTreeMap;

use arrow_schema::{DataType, Field};
use culvert_api::{Column, Error, ErrorKind, Result, RowKindSet, TableId, TableSchema};
use culvert_config::{Entry, OptionDef, Options, Value};

use crate::{DataTypeError, data_type};

/// The table's name.
pub const TABLE: OptionDef = OptionDef::string("schema.table")
    .doc("The table's name: `table`, `database.table` or `database.schema.table`.");
/// The columns, as names and types.
pub const FIELDS: OptionDef = OptionDef::map("schema.fields").doc("The columns: a name and a type each.");
/// The columns, as blocks.
pub const COLUMNS: OptionDef = OptionDef::objects("schema.columns").doc(
    "The columns as blocks with `name`, `type`, `nullable` and `defaultValue`, instead of `schema.fields`.",
);
/// The primary key.
pub const KEY: OptionDef = OptionDef::list("schema.primaryKey.columnNames")
    .alias(&["schema.primary_keys", "primary_keys"])
    .doc("The columns of the table's key.");
/// The name of the primary key.
pub const KEY_NAME: OptionDef =
    OptionDef::string("schema.primaryKey.name").ignored("a key needs no name here").doc("The key's name.");
/// Other keys.
pub const CONSTRAINTS: OptionDef = OptionDef::objects("schema.constraintKeys")
    .ignored("rows are found by the primary key")
    .doc("Other keys.");
/// Words about the table.
pub const COMMENT: OptionDef =
    OptionDef::string("schema.comment").ignored("comments are not carried on").doc("Words about the table.");
/// Whether a name of two parts begins with a schema.
pub const SCHEMA_FIRST: OptionDef = OptionDef::boolean("schema.schema_first")
    .default("false")
    .refused("write all three: `database.schema.table`")
    .doc("Whether `schema.table` is `schema.table`, not `database.table`.");
/// Another place that knows the table. Whoever builds the source has laid what that gives under the block.
pub const METADATA: OptionDef = OptionDef::string("schema.metadata_table_id")
    .doc("The id of a table at the metadata provider: what it gives lies under what `schema` says itself.");

/// A table that was declared.
#[derive(Clone, Debug)]
pub struct Declared {
    /// The table; it may have every row kind.
    pub schema: TableSchema,
    /// What stands in each column where nothing is said.
    pub defaults: Vec<Option<Value>>,
}

/// An error about an option; `what` completes "option 'x' ".
fn option(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::Config, format!("option '{name}' {what}"))
}

/// The declared table. Where `schema.table` does not name it, it is called `unnamed`.
///
/// # Errors
/// An operator error that names the column, when a type is unknown, a column is there twice, or a key's column
/// is not there.
pub fn declared(options: &Options, unnamed: TableId) -> Result<Declared> {
    let mut columns = fields(options)?;
    let mut defaults = vec![None; columns.len()];
    for entry in options.objects("schema.columns") {
        let (column, default) = column(entry)?;
        columns.push(column);
        defaults.push(default);
    }
    if columns.is_empty() {
        return Err(option("schema", "is missing: nothing else says which columns there are").hint(
            "schema { table = \"db.orders\", fields { id = bigint, name = string }, primaryKey { columnNames = [id] } }",
        ));
    }
    for (at, column) in columns.iter().enumerate() {
        if columns.iter().take(at).any(|earlier| earlier.name == column.name) {
            return Err(option("schema", &format!("names the column {} twice", column.name)));
        }
    }
    let key = options.list("schema.primaryKey.columnNames").to_vec();
    for name in &key {
        let Some(column) = columns.iter_mut().find(|column| column.name == *name) else {
            let what = format!("names the column {name}, which `schema` does not have");
            return Err(option("schema.primaryKey", &what));
        };
        column.nullable = false;
    }
    let id = options.opt_str("schema.table").filter(|name| !name.is_empty()).map_or(unnamed, table_id);
    let schema = TableSchema::new(id, 1, columns, key, RowKindSet::ALL);
    Ok(Declared { schema, defaults })
}

/// The table of a name: `table`, `database.table` or `database.schema.table`.
pub fn table_id(name: &str) -> TableId {
    let mut parts = name.splitn(3, '.').map(str::to_owned);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(database), Some(schema), Some(table)) => TableId { database, schema: Some(schema), table },
        (Some(database), Some(table), None) => TableId::new(database, table),
        _ => TableId::new("", name),
    }
}

/// Refuses what lies in one another, for those who cannot take it. `who` reads the columns.
pub fn refuse_nested(schema: &TableSchema, who: &str) -> Result<()> {
    match schema
        .columns
        .iter()
        .find(|column| column.data_type.is_nested() || column.data_type == DataType::Null)
    {
        None => Ok(()),
        Some(column) => {
            let what = format!(
                "has the type {} for the column {}, which {who} does not read",
                column.data_type, column.name
            );
            Err(option("schema", &what))
        }
    }
}

fn fields(options: &Options) -> Result<Vec<Column>> {
    let pairs: Vec<(&str, &str)> = options
        .map("schema.fields")
        .iter()
        .map(|(name, declared)| (name.as_str(), declared.as_str()))
        .collect();
    let columns = row(&pairs)?;
    Ok(columns.into_iter().map(|(name, data_type)| Column::derived(name, data_type, true)).collect())
}

/// Names and types; those of a row that is declared as a block have its name in front: `row.field`.
fn row<'a>(pairs: &[(&'a str, &'a str)]) -> Result<Vec<(String, DataType)>> {
    let mut order: Vec<&str> = Vec::new();
    let mut inside: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    let mut fields = Vec::new();
    for (name, declared) in pairs {
        match name.split_once('.') {
            None => fields.push((*name, Some(*declared))),
            Some((name, field)) => {
                if !order.contains(&name) {
                    order.push(name);
                    fields.push((name, None));
                }
                inside.entry(name).or_default().push((field, *declared));
            }
        }
    }
    let mut typed = Vec::with_capacity(fields.len());
    for (name, declared) in fields {
        let data_type = match (declared, inside.get(name)) {
            (Some(declared), _) => known(name, declared)?,
            (None, pairs) => row_type(row(pairs.map_or(&[], Vec::as_slice))?),
        };
        typed.push((name.to_owned(), data_type));
    }
    Ok(typed)
}

fn row_type(fields: Vec<(String, DataType)>) -> DataType {
    let fields: Vec<Field> =
        fields.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect();
    DataType::Struct(fields.into())
}

fn known(column: &str, declared: &str) -> Result<DataType> {
    data_type(declared).map_err(|unknown| {
        option("schema", &format!("has a column {column} whose type is not known: {unknown}"))
            .hint(DataTypeError::HINT)
    })
}

/// The type that a value of a job file declares: a text, or a block of fields for a row. `column` is for errors.
pub fn declared_type(column: &str, value: &Value) -> Result<DataType> {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            let fields = entries.iter().map(|entry| {
                let name = format!("{column}.{}", entry.key);
                Ok((entry.key.clone(), declared_type(&name, &entry.value)?))
            });
            Ok(row_type(fields.collect::<Result<_>>()?))
        }
        value => known(column, value.scalar_text().unwrap_or_default()),
    }
}

fn column(entry: &[Entry]) -> Result<(Column, Option<Value>)> {
    let get = |key: &str| entry.iter().find(|found| found.key == key).map(|found| &found.value);
    let text = |key: &str| get(key).and_then(Value::scalar_text);
    let known = ["name", "type", "nullable", "comment", "columnLength", "columnScale", "defaultValue"];
    if let Some(unknown) = entry.iter().find(|found| !known.contains(&found.key.as_str())) {
        return Err(option("schema.columns", &format!("does not know '{}'", unknown.key)));
    }
    let name = text("name").ok_or_else(|| option("schema.columns", "has a column without a `name`"))?;
    let declared = get("type")
        .ok_or_else(|| option("schema.columns", &format!("has no `type` for the column {name}")))?;
    let nullable = match text("nullable") {
        None => true,
        Some(word) => word.parse().map_err(|_| {
            option("schema.columns", &format!("has a `nullable` that is not true or false: {name}"))
        })?,
    };
    let default = get("defaultValue").filter(|value| !matches!(value, Value::Null)).cloned();
    Ok((Column::derived(name, declared_type(name, declared)?, nullable), default))
}

#[cfg(test)]
mod tests;

//! `avro`: the row, flat, as Avro's binary form behind the registry's five bytes.
//!
//! ```text
//! 00  00 00 00 07  <record>
//! |   |            the fields one after the other, as Avro's specification has it
//! |   the schema's number in the registry, highest byte first
//! always zero
//! ```
//!
//! The key is such a record as well, of the key's columns. What happened to the row is in the header
//! `row_kind`, as in `json`. Encoding knows no registry: the number is zero until [`stamp`] puts it in.

mod form;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use culvert_api::{Error, ErrorKind, Result, TableId, TableSchema};
use serde_json::{Value, json};

use super::object::Row;
use super::{Message, column_error};
use form::Form;

/// The bytes in front of a record.
const HEAD: [u8; 5] = [0; 5];

/// What the messages of a table have in common.
#[derive(Debug)]
pub(crate) struct AvroPlan {
    /// One of every column.
    forms: Vec<Field>,
    /// The schemas, as the registry gets them; without a key there is none for it.
    pub(crate) key: Option<Arc<str>>,
    pub(crate) value: Arc<str>,
}

#[derive(Debug)]
struct Field {
    form: Form,
    nullable: bool,
}

/// The numbers that the registry gave a topic's schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) key: Option<u32>,
    pub(crate) value: u32,
}

impl AvroPlan {
    /// Plans a table with these columns in the key and in the value.
    pub(crate) fn new(
        table: &TableSchema,
        key: &[usize],
        value: &[usize],
        decimals_as_text: bool,
    ) -> Result<AvroPlan> {
        for column in key.iter().chain(value).filter_map(|place| table.columns.get(*place)) {
            if !is_name(&column.name) {
                let what = format!("column {} has a name that no field of Avro can have", column.name);
                return Err(Error::new(ErrorKind::Schema, what)
                    .context("table", &table.id)
                    .hint("Avro's names have letters and digits of ASCII and `_`, no digit first: leave the column out, or use one of the JSON formats"));
            }
        }
        let field = |column: &culvert_api::Column| Field {
            form: Form::of(&column.data_type, decimals_as_text),
            nullable: column.nullable,
        };
        let forms: Vec<Field> = table.columns.iter().map(field).collect();
        let schema = |name: &str, places: &[usize]| record(table, name, places, &forms);
        let key = (!key.is_empty()).then(|| schema("Key", key));
        let value = schema("Value", value);
        Ok(AvroPlan { forms, key, value })
    }
}

/// A record's schema.
fn record(table: &TableSchema, name: &str, places: &[usize], forms: &[Field]) -> Arc<str> {
    let fields = places.iter().filter_map(|place| table.columns.get(*place).zip(forms.get(*place)));
    let fields = fields.map(|(column, field)| match field.nullable {
        true => json!({ "name": column.name, "type": ["null", field.form.schema()], "default": null }),
        false => json!({ "name": column.name, "type": field.form.schema() }),
    });
    let fields: Vec<Value> = fields.collect();
    json!({ "type": "record", "name": name, "namespace": namespace(&table.id), "fields": fields })
        .to_string()
        .into()
}

/// The table's name with `_` for what a namespace cannot hold. It names a schema; the data does not need it.
fn namespace(table: &TableId) -> String {
    let levels = [Some(&table.database), table.schema.as_ref(), Some(&table.table)];
    let level = |name: &String| {
        let kept = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let text: String = name.chars().map(kept).collect();
        if is_name(&text) { text } else { format!("_{text}") }
    };
    levels.into_iter().flatten().map(level).collect::<Vec<String>>().join(".")
}

fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().next().is_some_and(|first| !first.is_ascii_digit())
}

/// The message's value.
pub(super) fn value(row: Row<'_>) -> Result<Vec<u8>> {
    let mut out = HEAD.to_vec();
    for column in row.plan.value.iter().copied() {
        if row.is_unavailable(column) {
            let what = "the source's log left out a value, which the format avro cannot say";
            return Err(column_error(row, column, what).hint(
                "ALTER TABLE … REPLICA IDENTITY FULL on the source makes its log complete; where it lacks only \
                 rows before changes, tombstones_on_delete = true does without them",
            ));
        }
        field(row, column, &mut out)?;
    }
    Ok(out)
}

/// The message's key.
pub(super) fn key(row: Row<'_>) -> Result<Option<Vec<u8>>> {
    if row.plan.key.is_empty() {
        return Ok(None);
    }
    let mut out = HEAD.to_vec();
    for column in row.plan.key.iter().copied() {
        if row.is_unavailable(column) {
            return Err(row.key_left_out(column));
        }
        field(row, column, &mut out)?;
    }
    Ok(Some(out))
}

fn field(row: Row<'_>, column: usize, out: &mut Vec<u8>) -> Result<()> {
    let plan = row.plan.avro.as_ref().and_then(|plan| plan.forms.get(column));
    let (Some(field), Some(array)) = (plan, row.batch.rows.columns().get(column)) else {
        return Err(Error::new(ErrorKind::Internal, "a table was planned for another format or shape"));
    };
    let failed = |why: &str| column_error(row, column, &format!("the column's value {why}"));
    match (array.is_null(row.index), field.nullable) {
        (true, false) => return Err(failed("is NULL, and the column is declared without")),
        (true, true) => {
            form::long(0, out);
            return Ok(());
        }
        (false, true) => form::long(1, out),
        (false, false) => {}
    }
    field.form.append(array.as_ref(), row.index, out).map_err(failed)
}

/// Puts the numbers of the schemas into a message.
pub(crate) fn stamp(message: &mut Message, ids: Ids) {
    for (bytes, id) in [(&mut message.key, ids.key), (&mut message.value, Some(ids.value))] {
        if let (Some(place), Some(id)) = (bytes.as_mut().and_then(|bytes| bytes.get_mut(1..5)), id) {
            place.copy_from_slice(&id.to_be_bytes());
        }
    }
}

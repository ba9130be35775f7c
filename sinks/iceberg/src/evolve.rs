//! A table's schema behind a change of the source's columns.
//!
//! Looks at the table and not only at the change, so that it can be run again after a crash. Columns keep their
//! numbers through every change of name, place and type, and that is what keeps old files readable (table spec,
//! "Schema Evolution").

use std::collections::BTreeSet;

use culvert_api::sql_text::{renames, same_name};
use culvert_api::{Column, Error, ErrorKind, Result, SchemaChange, TableSchema};
use iceberg::spec::{NestedField, NestedFieldRef, PrimitiveType, Schema, TableMetadata, Type};

use crate::error::failed;
use crate::types::{Ids, fits, of_column};

/// The schema that follows a change; `None` when the table has it already.
pub(crate) fn follow(
    metadata: &TableMetadata,
    change: &SchemaChange,
    before: &TableSchema,
    after: &TableSchema,
) -> Result<Option<Schema>> {
    let current = metadata.current_schema();
    let renamed = renames(change, before, after);
    let mut fields: Vec<NestedFieldRef> = current.as_struct().fields().to_vec();
    for (old, new) in &renamed {
        let is_there = fields.iter().any(|field| same_name(&field.name, new));
        if let Some(field) = fields.iter_mut().find(|field| same_name(&field.name, old)).filter(|_| !is_there)
        {
            *field = NestedField { name: new.clone(), ..NestedField::clone(field) }.into();
        }
    }
    let mut ids = Ids(metadata.last_column_id());
    for column in &after.columns {
        follow_column(&mut fields, column, after, metadata, &mut ids)?;
    }
    for column in &before.columns {
        let stays = after.columns.iter().any(|kept| same_name(&kept.name, &column.name))
            || renamed.iter().any(|(old, _)| same_name(old, &column.name));
        if !stays {
            drop_column(&mut fields, current, metadata, &column.name)?;
        }
    }
    if fields == current.as_struct().fields() {
        return Ok(None);
    }
    let identifiers: BTreeSet<i32> = current.identifier_field_ids().collect();
    let schema = Schema::builder()
        .with_schema_id(current.schema_id() + 1)
        .with_fields(fields)
        .with_identifier_field_ids(identifiers)
        .build();
    schema.map(Some).map_err(failed("the table's next schema was not made"))
}

fn follow_column(
    fields: &mut Vec<NestedFieldRef>,
    column: &Column,
    table: &TableSchema,
    metadata: &TableMetadata,
    ids: &mut Ids,
) -> Result<()> {
    let Some(at) = fields.iter().position(|field| same_name(&field.name, &column.name)) else {
        let id = ids.next();
        let field_type = of_column(&table.id, column, ids)?;
        // Columns that append mode adds stay last.
        fields.push(NestedField::optional(id, &column.name, field_type).into());
        return Ok(());
    };
    let wanted = of_column(&table.id, column, &mut Ids(metadata.last_column_id()))?;
    let Some(field) = fields.get_mut(at) else { return Ok(()) };
    if fits(&wanted, &field.field_type) {
        if field.required && column.nullable && !is_identifier(metadata, field.id) {
            *field = NestedField { required: false, ..NestedField::clone(field) }.into();
        }
        return Ok(());
    }
    if !widens(&field.field_type, &wanted) {
        let what = format!(
            "the column {} is {} now, and tables of Iceberg do not change {} into that",
            column.name, wanted, field.field_type
        );
        return Err(Error::new(ErrorKind::Schema, what).context("table", &table.id).hint(
            "keep the old type with the transform Sql (CAST), or give the column another name; without schema-changes.enabled the source leaves such changes out",
        ));
    }
    *field = NestedField { field_type: Box::new(wanted), ..NestedField::clone(field) }.into();
    Ok(())
}

fn is_identifier(metadata: &TableMetadata, id: i32) -> bool {
    metadata.current_schema().identifier_field_ids().any(|known| known == id)
}

/// Whether a table may change a column's type like this (table spec, "Schema Evolution").
fn widens(from: &Type, into: &Type) -> bool {
    use PrimitiveType as P;
    match (from, into) {
        (Type::Primitive(P::Int), Type::Primitive(P::Long))
        | (Type::Primitive(P::Float), Type::Primitive(P::Double)) => true,
        (
            Type::Primitive(P::Decimal { precision: a, scale: s }),
            Type::Primitive(P::Decimal { precision: b, scale: t }),
        ) => a < b && s == t,
        _ => false,
    }
}

/// Drops a column; one that tells rows apart, or parts the table, stays.
fn drop_column(
    fields: &mut Vec<NestedFieldRef>,
    current: &Schema,
    metadata: &TableMetadata,
    name: &str,
) -> Result<()> {
    let Some(at) = fields.iter().position(|field| same_name(&field.name, name)) else { return Ok(()) };
    let Some(id) = fields.get(at).map(|field| field.id) else { return Ok(()) };
    if current.identifier_field_ids().any(|known| known == id) {
        return Err(Error::new(
            ErrorKind::Schema,
            format!("the column {name} is gone, and it tells the table's rows apart"),
        )
        .hint("make the table anew, or let the source have the column again"));
    }
    if metadata.default_partition_spec().fields().iter().any(|part| part.source_id == id) {
        // Partitions of old files are made of it: it stays, and new rows have NULL there.
        return Ok(());
    }
    fields.remove(at);
    Ok(())
}

#[cfg(test)]
mod tests;

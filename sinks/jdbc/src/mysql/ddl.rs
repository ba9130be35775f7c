//! Statements that make target tables and follow the source's changes of shape.

mod printed;

use culvert_api::{Column, Dialect, Error, ErrorKind, Finding, Result, SchemaChange, TableSchema};

use crate::alteration::{Filling, filling};
use crate::mysql::column_type;
use crate::mysql::connect::Server;
use crate::mysql::options::Settings;
use crate::mysql::quote::{TargetName, identifier, identifiers};
use crate::mysql::target::{TargetColumn, TargetTable, same_name};
use crate::placeholder;
use culvert_api::sql_text::Lexis;
use culvert_api::sql_text::mysql::LEXIS;
use culvert_api::sql_text::renames;

/// Bytes that the columns of a row may take together, with some room for what is counted beside.
const ROW_BYTES_MAX: usize = 60_000;

/// `CREATE TABLE` for an upstream table.
///
/// A table that only inserts arrive for is created without a key unless `primary_keys` is set: the
/// change log that RowKindExtractor makes holds one key many times.
pub(crate) fn create_table(
    settings: &Settings,
    source: &TableSchema,
    name: &TargetName,
    server: &Server,
) -> Result<String> {
    let key = created_key(settings, source);
    let in_key = |column: &Column| key.iter().any(|name| same_name(name, &column.name));
    let mut declared = Vec::with_capacity(source.columns.len());
    for column in &source.columns {
        declared.push(column_type::declare(column, in_key(column), server)?);
    }
    // Together the columns of a row have 65,535 bytes; a text lies elsewhere.
    if declared.iter().map(|one| column_type::row_bytes(one)).sum::<usize>() > ROW_BYTES_MAX {
        for (column, one) in source.columns.iter().zip(&mut declared) {
            let is_ours =
                column.source_type.as_ref().is_none_or(|source| source.dialect == Dialect::Postgres);
            if is_ours && !in_key(column) {
                *one = column_type::off_row(one).map_or_else(|| one.clone(), str::to_owned);
            }
        }
    }
    let mut parts = Vec::with_capacity(source.columns.len() + 1);
    for (column, declared) in source.columns.iter().zip(&declared) {
        let nullable = column.nullable && !in_key(column);
        parts.push(definition(&settings.shared.field_case.of(&column.name), declared, nullable, None));
    }
    if !key.is_empty() {
        let names: Vec<String> = key.iter().map(|name| settings.shared.field_case.of(name)).collect();
        parts.push(format!("PRIMARY KEY ({})", identifiers(names.iter().map(String::as_str))));
    }
    Ok(format!(
        "CREATE TABLE IF NOT EXISTS {} ({}) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
        name.quoted(),
        parts.join(", ")
    ))
}

/// The key that a created table gets.
fn created_key(settings: &Settings, source: &TableSchema) -> Vec<String> {
    let declared = placeholder::fill_list(&settings.shared.primary_keys, source);
    match (settings.shared.create_index, declared.is_empty(), source.kinds.is_insert_only()) {
        (false, _, _) => Vec::new(),
        (true, false, _) => declared,
        (true, true, true) => Vec::new(),
        (true, true, false) => source.primary_key.clone(),
    }
}

/// Refuses to create a table that could not be written to: rows are updated and deleted by a key.
pub(crate) fn refuse_created_without_key(
    settings: &Settings,
    source: &TableSchema,
    name: &TargetName,
) -> Result<()> {
    if source.kinds.is_insert_only() || !created_key(settings, source).is_empty() {
        return Ok(());
    }
    let message = format!(
        "{name} would be created without a key, and rows of {} can be updated and deleted: the sink could not tell \
         which row is meant",
        source.id
    );
    let hint = match settings.shared.create_index {
        true => {
            "give the source table a primary key, or set primary_keys; or keep every change as a row of its own \
             with the transform RowKindExtractor"
        }
        false => {
            "remove create_index = false; or keep every change as a row of its own with the transform \
             RowKindExtractor"
        }
    };
    Err(Error::new(ErrorKind::Schema, message).hint(hint))
}

/// What a person should know about the columns that are made for an upstream table.
pub(crate) fn remarks(
    settings: &Settings,
    source: &TableSchema,
    name: &TargetName,
    server: &Server,
) -> Vec<Finding> {
    let key = created_key(settings, source);
    let of_column = |column: &Column| {
        let in_key = key.iter().any(|key| same_name(key, &column.name));
        column_type::remark(column, in_key, server)
    };
    let remarks = source.columns.iter().filter_map(of_column);
    remarks.map(|remark| Finding { subject: name.to_string(), ..remark }).collect()
}

/// One column: name, type, NULL, default.
fn definition(name: &str, declared: &str, nullable: bool, default: Option<&str>) -> String {
    let is_timestamp = column_type::base_name(declared) == "timestamp";
    let tail = match (nullable, default) {
        (true, Some(default)) => format!("NULL DEFAULT {default}"),
        (true, None) => "NULL".to_string(),
        (false, Some(default)) => format!("NOT NULL DEFAULT {default}"),
        // Without a default of its own, the first `timestamp` of a table may be set to the current
        // time at every update.
        (false, None) if is_timestamp => "NOT NULL DEFAULT '1971-01-01 00:00:00'".to_string(),
        (false, None) => "NOT NULL".to_string(),
    };
    format!("{} {declared} {tail}", identifier(name))
}

/// The `ALTER TABLE` that brings the target from where it is to the shape after the change; `None`
/// when it is there already. Looks at the target and not only at the change, so that it can be
/// run again after a crash.
pub(crate) fn follow(
    settings: &Settings,
    change: &SchemaChange,
    target: &TargetTable,
    server: &Server,
) -> Result<Option<String>> {
    let (Some(before), Some(after)) = (&change.before, &change.after) else {
        return Ok(None);
    };
    let renamed = renames(change, before, after);
    let mut clauses = Vec::new();
    for column in &after.columns {
        let old = renamed.iter().find(|(_, new)| same_name(new, &column.name)).map(|(old, _)| old.as_str());
        let name = settings.shared.field_case.of(&column.name);
        let was = before.columns.iter().find(|known| same_name(&known.name, old.unwrap_or(&column.name)));
        let is_key = target
            .uniques
            .iter()
            .any(|index| index.is_primary && index.columns.iter().any(|key| same_name(key, &column.name)));
        let nullable = column.nullable && !is_key;
        match (target.column(&column.name), old.and_then(|old| target.column(old)), was) {
            (None, Some(present), _) => clauses.push(format!(
                "CHANGE COLUMN {} {}",
                identifier(&present.name),
                definition(&name, &column_type::declare(column, is_key, server)?, nullable, None)
            )),
            (None, None, None) => clauses.push(add_column(change, after, column, &name, server)?),
            (None, None, Some(_)) => {
                return Err(Error::new(
                    ErrorKind::Schema,
                    format!("{} has lost column `{}`, which the source still has", target.name, column.name),
                )
                .hint("add it to the target again, with its values"));
            }
            (Some(present), _, Some(was)) if was.source_type != column.source_type => {
                let declared = column_type::declare(column, is_key, server)?;
                let wanted = definition(&present.name, &declared, nullable, None);
                clauses.push(format!("MODIFY COLUMN {wanted}"));
            }
            (Some(present), _, Some(was)) if was.nullable != column.nullable => {
                if present.nullable != nullable && !present.generated {
                    let wanted = definition(&present.name, &as_it_is(present), nullable, None);
                    clauses.push(format!("MODIFY COLUMN {wanted}"));
                }
            }
            (Some(_), _, _) => {}
        }
    }
    for column in &before.columns {
        let gone = !after.columns.iter().any(|kept| same_name(&kept.name, &column.name))
            && !renamed.iter().any(|(old, _)| same_name(old, &column.name));
        if let (true, Some(present)) = (gone, target.column(&column.name)) {
            clauses.push(format!("DROP COLUMN {}", identifier(&present.name)));
        }
    }
    Ok((!clauses.is_empty()).then(|| format!("ALTER TABLE {} {}", target.name.quoted(), clauses.join(", "))))
}

/// The type of a column that keeps it.
fn as_it_is(present: &TargetColumn) -> String {
    match &present.collation {
        Some(collation) => format!("{} COLLATE {collation}", present.column_type),
        None => present.column_type.clone(),
    }
}

/// Whether a PostgreSQL server declared the table, and so the statement that changed it is in its words.
fn is_of_postgres(table: &TableSchema) -> bool {
    let declared = |column: &Column| column.source_type.as_ref().map(|declared| declared.dialect);
    table.columns.iter().any(|column| declared(column) == Some(Dialect::Postgres))
}

fn lexis_of(table: &TableSchema) -> &'static Lexis {
    if is_of_postgres(table) { &culvert_api::sql_text::postgres::LEXIS } else { &LEXIS }
}

fn add_column(
    change: &SchemaChange,
    after: &TableSchema,
    column: &Column,
    name: &str,
    server: &Server,
) -> Result<String> {
    let declared = column_type::declare(column, false, server)?;
    // In an append log the rows that are there tell of a time before the column.
    if after.kinds.is_insert_only() {
        return Ok(format!("ADD COLUMN {}", definition(name, &declared, true, None)));
    }
    let refused = |why: &str| {
        Error::new(
            ErrorKind::Unsupported,
            format!("column `{}` was added to {} with values {why}", column.name, after.id),
        )
        .hint(
            "add the column to the target by hand, copy its values from the source, and start the job again",
        )
    };
    let default = match filling(&change.statement, &column.name, lexis_of(after)) {
        Filling::Nothing => None,
        Filling::Literal(text) if is_of_postgres(after) => Some(
            printed::default(&text, &column.data_type, &declared)
                .ok_or_else(|| refused("that have no form in the target"))?,
        ),
        Filling::Literal(text) => Some(text),
        Filling::Computed => {
            return Err(refused("that are computed per row, and the log does not hold them"));
        }
    };
    let definition = definition(name, &declared, column.nullable, default.as_deref());
    Ok(format!("ADD COLUMN {definition}"))
}

#[cfg(test)]
mod tests;

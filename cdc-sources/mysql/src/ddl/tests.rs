//! Statements in, definitions out, without a server.
#![allow(clippy::unwrap_used)]

mod alter;
mod classify;
mod create;
mod robust;
mod track;

use super::*;

/// MySQL, newest, default modes.
fn mysql() -> ParseOptions {
    ParseOptions::default()
}

/// Parses in database `d`.
fn read(sql: &str, options: &ParseOptions) -> Statement {
    parse(sql, "d", options)
}

/// The definition a CREATE TABLE makes in a utf8mb4 database.
fn create(sql: &str, options: &ParseOptions) -> TableDef {
    match read(sql, options) {
        Statement::CreateTable(create) => create.definition(Some("utf8mb4")),
        other => panic!("{sql}: {other:?}"),
    }
}

/// Applies an ALTER TABLE to a definition.
fn alter(table: &mut TableDef, sql: &str, options: &ParseOptions) -> Result<Changed, ApplyError> {
    match read(sql, options) {
        Statement::AlterTable(alter) | Statement::CreateIndex(alter) | Statement::DropIndex(alter) => {
            apply(table, &alter, Some("utf8mb4"))
        }
        other => panic!("{sql}: {other:?}"),
    }
}

/// The columns as `name type charset NULL?`, one string each.
fn shown(table: &TableDef) -> Vec<String> {
    let show = |column: &ColumnDef| {
        let charset = column.charset.as_deref().map(|set| format!(" {set}")).unwrap_or_default();
        let null = if column.nullable { "" } else { " not null" };
        let generated = if column.generated { " generated" } else { "" };
        format!("{} {}{charset}{null}{generated}", column.name, column.column_type)
    };
    table.columns.iter().map(show).collect()
}

/// The columns' names.
fn names(table: &TableDef) -> Vec<&str> {
    table.columns.iter().map(|column| column.name.as_str()).collect()
}

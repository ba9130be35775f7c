//! Statements that make target tables and follow the source's changes of shape.

use culvert_api::sql_text::{renames, same_name};
use culvert_api::{Column, Dialect, Error, ErrorKind, Finding, Result, SchemaChange, TableSchema};
use culvert_postgres::quote::{identifier, identifiers, literal};

use crate::alteration::{Filling, filling};
use crate::placeholder;
use crate::postgres::connect::{Session, field};
use crate::postgres::declare;
use crate::postgres::name::{TargetName, refuse_long};
use crate::postgres::options::Settings;
use crate::postgres::target::TargetTable;
use culvert_api::sql_text::Lexis;
use culvert_api::sql_text::mysql::LEXIS as MYSQL_LEXIS;
use culvert_api::sql_text::postgres::{LEXIS, unquoted};

/// Whether the schema exists.
pub(crate) async fn has_schema(session: &mut Session, schema: &str) -> Result<bool> {
    let rows = session
        .rows(
            "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1)",
            &[&schema],
            "looking for the target's schema",
        )
        .await?;
    rows.first().map_or(Ok(false), |row| field(row, 0))
}

/// The statement that makes a schema.
pub(crate) fn create_schema(schema: &str) -> String {
    format!("CREATE SCHEMA IF NOT EXISTS {}", identifier(schema))
}

/// `CREATE TABLE` for an upstream table, and what a person should know about its types.
///
/// A table that only inserts arrive for is created without a key unless `primary_keys` is set: the
/// change log that RowKindExtractor makes holds one key many times.
pub(crate) async fn create_table(
    session: &mut Session,
    settings: &Settings,
    source: &TableSchema,
    name: &TargetName,
) -> Result<(String, Vec<Finding>)> {
    let key = created_key(settings, source);
    let (types, findings) = declare::types(session, &source.columns, &name.to_string()).await?;
    let field_case = settings.shared.field_case;
    let mut parts = Vec::with_capacity(source.columns.len() + 1);
    for (column, declared) in source.columns.iter().zip(&types) {
        let column_name = field_case.of(&column.name);
        refuse_long("column's", &column_name)?;
        let is_key = key.iter().any(|name| same_name(name, &column.name));
        let null = if column.nullable && !is_key { "" } else { " NOT NULL" };
        parts.push(format!("{} {declared}{null}", identifier(&column_name)));
    }
    if !key.is_empty() {
        let names: Vec<String> = key.iter().map(|name| field_case.of(name)).collect();
        parts.push(format!("PRIMARY KEY ({})", identifiers(names.iter().map(String::as_str))));
    }
    Ok((format!("CREATE TABLE IF NOT EXISTS {} ({})", name.quoted(), parts.join(", ")), findings))
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

/// The statements, to be run as one, that bring the target from where it is to the shape after the
/// change; `None` when it is there already. Looks at the target and not only at the change, so that
/// it can be run again after a crash.
pub(crate) async fn follow(
    session: &mut Session,
    settings: &Settings,
    change: &SchemaChange,
    target: &TargetTable,
) -> Result<Option<String>> {
    let (Some(before), Some(after)) = (&change.before, &change.after) else {
        return Ok(None);
    };
    let (types, findings) = declare::types(session, &after.columns, &target.name.to_string()).await?;
    for finding in findings {
        tracing::warn!(table = %finding.subject, "{}", finding.message);
    }
    let renamed = renames(change, before, after);
    let table = target.name.quoted();
    let (mut statements, mut clauses) = (Vec::new(), Vec::new());
    for (column, declared) in after.columns.iter().zip(&types) {
        let old = renamed.iter().find(|(_, new)| same_name(new, &column.name)).map(|(old, _)| old.as_str());
        let was = before.columns.iter().find(|known| same_name(&known.name, old.unwrap_or(&column.name)));
        let present = match (target.column(&column.name), old.and_then(|old| target.column(old))) {
            (None, Some(present)) => {
                let name = settings.shared.field_case.of(&column.name);
                refuse_long("column's", &name)?;
                statements.push(format!(
                    "ALTER TABLE {table} RENAME COLUMN {} TO {}",
                    identifier(&present.name),
                    identifier(&name)
                ));
                Some((present, name))
            }
            (Some(present), _) => Some((present, present.name.clone())),
            (None, None) => None,
        };
        match (present, was) {
            (Some((present, name)), Some(was)) => {
                clauses.extend(altered(column, was, declared, present, &name, target));
            }
            (Some(_), None) => {}
            (None, None) => {
                clauses.push(add_column(session, settings, change, column, declared, target).await?)
            }
            (None, Some(_)) => {
                return Err(Error::new(
                    ErrorKind::Schema,
                    format!("{} has lost column `{}`, which the source still has", target.name, column.name),
                )
                .hint("add it to the target again, with its values"));
            }
        }
    }
    for column in &before.columns {
        let gone = !after.columns.iter().any(|kept| same_name(&kept.name, &column.name))
            && !renamed.iter().any(|(old, _)| same_name(old, &column.name));
        if let (true, Some(present)) = (gone, target.column(&column.name)) {
            clauses.push(format!("DROP COLUMN {}", identifier(&present.name)));
        }
    }
    if !clauses.is_empty() {
        statements.push(format!("ALTER TABLE {table} {}", clauses.join(", ")));
    }
    Ok((!statements.is_empty()).then(|| statements.join("; ")))
}

/// How the source's statements are written.
fn lexis(table: &TableSchema) -> &'static Lexis {
    let is_mysql =
        |column: &Column| column.source_type.as_ref().is_some_and(|found| found.dialect == Dialect::MySql);
    if table.columns.iter().any(is_mysql) { &MYSQL_LEXIS } else { &LEXIS }
}

/// Clauses for a column that is there and changed.
fn altered(
    column: &Column,
    was: &Column,
    declared: &str,
    present: &crate::postgres::target::TargetColumn,
    name: &str,
    target: &TargetTable,
) -> Vec<String> {
    let mut clauses = Vec::new();
    let quoted = identifier(name);
    if was.source_type != column.source_type && present.column_type != declared {
        clauses.push(format!("ALTER COLUMN {quoted} TYPE {declared} USING {quoted}::{declared}"));
    }
    let of_key = |index: &crate::postgres::target::UniqueIndex| {
        index.is_primary && index.columns.iter().any(|key| key.name == present.name)
    };
    if was.nullable != column.nullable && !target.uniques.iter().any(of_key) {
        match (column.nullable, present.not_null) {
            (true, true) => clauses.push(format!("ALTER COLUMN {quoted} DROP NOT NULL")),
            (false, false) => clauses.push(format!("ALTER COLUMN {quoted} SET NOT NULL")),
            _ => {}
        }
    }
    clauses
}

async fn add_column(
    session: &mut Session,
    settings: &Settings,
    change: &SchemaChange,
    column: &Column,
    declared: &str,
    target: &TargetTable,
) -> Result<String> {
    let Some(after) = &change.after else {
        return Err(Error::new(ErrorKind::Internal, "a change of shape without a shape"));
    };
    let name = settings.shared.field_case.of(&column.name);
    refuse_long("column's", &name)?;
    let quoted = identifier(&name);
    // In an append log the rows that are there tell of a time before the column.
    if after.kinds.is_insert_only() {
        return Ok(format!("ADD COLUMN {quoted} {declared}"));
    }
    let null = if column.nullable { "" } else { " NOT NULL" };
    let told = filling(&change.statement, &column.name, lexis(after));
    let value = match &told {
        Filling::Literal(text) => default_literal(text, std::ptr::eq(lexis(after), &MYSQL_LEXIS)),
        Filling::Nothing if column.nullable => return Ok(format!("ADD COLUMN {quoted} {declared}")),
        Filling::Nothing => implied_value(column),
        Filling::Computed => None,
    };
    match value {
        Some(value) => Ok(format!("ADD COLUMN {quoted} {declared}{null} DEFAULT {}", literal(&value))),
        None if is_empty(session, target).await? => Ok(format!("ADD COLUMN {quoted} {declared}{null}")),
        None => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "column `{}` was added to {} with values that the log does not hold",
                column.name, after.id
            ),
        )
        .hint(
            "add the column to the target by hand, copy its values from the source, and start the job again",
        )),
    }
}

async fn is_empty(session: &mut Session, target: &TargetTable) -> Result<bool> {
    let query = format!("SELECT 1 FROM {} LIMIT 1", target.name.quoted());
    Ok(session.texts(&query, &format!("reading {}", target.name)).await?.is_empty())
}

/// What MySQL gives rows that are there in a NOT NULL column without a default. `None` where that is
/// not known: PostgreSQL's log does not tell defaults.
fn implied_value(column: &Column) -> Option<String> {
    let source = column.source_type.as_ref().filter(|found| found.dialect == Dialect::MySql)?;
    let base = source.declaration.to_ascii_lowercase();
    let is = |words: &[&str]| words.iter().any(|word| base.starts_with(word));
    if column.data_type.is_numeric() && !is(&["year"]) {
        return Some("0".into());
    }
    if is(&["char", "varchar", "text", "tinytext", "mediumtext", "longtext", "set", "varbinary", "blob"]) {
        return Some(String::new());
    }
    None
}

/// The text of a literal of the source's; `None` for forms that mean another thing here.
fn default_literal(text: &str, is_mysql: bool) -> Option<String> {
    if !is_mysql {
        return unquoted(text);
    }
    let inner = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(inner) = inner('\'') {
        return Some(without_escapes(&inner.replace("''", "'")));
    }
    if let Some(inner) = inner('"') {
        return Some(without_escapes(&inner.replace("\"\"", "\"")));
    }
    if text.eq_ignore_ascii_case("true") {
        return Some("1".into());
    }
    if text.eq_ignore_ascii_case("false") {
        return Some("0".into());
    }
    text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')).then(|| text.to_string())
}

/// MySQL's escapes ("String Literals" in its manual).
fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, c == '\\') {
            (_, true) => match rest.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some('b') => out.push('\u{8}'),
                Some('Z') => out.push('\u{1a}'),
                Some('0') => out.push('\0'),
                Some(other @ ('%' | '_')) => out.extend(['\\', other]),
                Some(other) => out.push(other),
                None => {}
            },
            (c, false) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_of_the_source_become_texts() {
        let mysql = |text: &str| default_literal(text, true);
        assert_eq!(mysql("'it''s \\'x\\\\'").as_deref(), Some("it's 'x\\"));
        assert_eq!(mysql("\"a\"").as_deref(), Some("a"));
        assert_eq!(mysql("-5").as_deref(), Some("-5"));
        assert_eq!(mysql("TRUE").as_deref(), Some("1"));
        assert_eq!(mysql("b'10'"), None);
        let postgres = |text: &str| default_literal(text, false);
        assert_eq!(postgres("'a\\b'").as_deref(), Some("a\\b"));
        assert_eq!(postgres(literal("\\x00 'it'").trim_start()).as_deref(), Some("\\x00 'it'"));
        assert_eq!(postgres("E'a\\nb'"), None);
    }
}

//! Which columns a logged `ALTER TABLE` renames.

use crate::schema::{Dialect, SchemaChange, TableSchema};
use crate::sql_text::{Lexis, mysql, postgres, tokens};

/// How the database of a table quotes: as PostgreSQL, unless a column says otherwise.
fn lexis_of(table: &TableSchema) -> &'static Lexis {
    let is_mysql = table
        .columns
        .iter()
        .any(|column| column.source_type.as_ref().is_some_and(|found| found.dialect == Dialect::MySql));
    if is_mysql { &mysql::LEXIS } else { &postgres::LEXIS }
}

/// Whether two column names mean the same column.
pub fn same_name(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

/// Columns that were renamed, old name and new, as the statement says. A column that is gone and
/// one that is new are otherwise two columns.
pub fn renames(change: &SchemaChange, before: &TableSchema, after: &TableSchema) -> Vec<(String, String)> {
    let lexis = lexis_of(after);
    let words = tokens(&change.statement, lexis);
    let has =
        |table: &TableSchema, name: &str| table.columns.iter().any(|column| same_name(&column.name, name));
    let mut found = Vec::new();
    for (place, word) in words.iter().enumerate() {
        let next = |offset: usize| words.get(place + offset).copied().unwrap_or_default();
        let is_column = usize::from(next(1).eq_ignore_ascii_case("column"));
        let pair = if word.eq_ignore_ascii_case("change") {
            let exists = if next(1 + is_column).eq_ignore_ascii_case("if") { 2 } else { 0 };
            (next(1 + is_column + exists), next(2 + is_column + exists))
        } else if word.eq_ignore_ascii_case("rename") && is_column == 1 {
            let exists = if next(2).eq_ignore_ascii_case("if") { 2 } else { 0 };
            (next(2 + exists), next(4 + exists))
        } else {
            continue;
        };
        let (old, new) = ((lexis.bare_name)(pair.0), (lexis.bare_name)(pair.1));
        if has(before, &old) && has(after, &new) && !same_name(&old, &new) {
            found.push((old, new));
        }
    }
    found
}

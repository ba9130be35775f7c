//! Statements that make target tables and follow the source's changes of shape.

use culvert_api::{Column, Error, ErrorKind, Result, SchemaChange, TableSchema};

use crate::mysql::column_type;
use crate::mysql::connect::Server;
use crate::mysql::quote::{TargetName, identifier, identifiers};
use crate::mysql::scan::{bare_name, tokens};
use crate::mysql::target::{TargetTable, same_name};
use crate::options::Settings;
use crate::placeholder;

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
    let mut parts = Vec::with_capacity(source.columns.len() + 1);
    for column in &source.columns {
        let is_key = in_key(column);
        let nullable = column.nullable && !is_key;
        parts.push(definition(
            column,
            &settings.field_case.of(&column.name),
            is_key,
            nullable,
            None,
            server,
        )?);
    }
    if !key.is_empty() {
        let names: Vec<String> = key.iter().map(|name| settings.field_case.of(name)).collect();
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
    let declared = placeholder::fill_list(&settings.primary_keys, source);
    match (settings.create_index, declared.is_empty(), source.kinds.is_insert_only()) {
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
    let hint = match settings.create_index {
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

/// One column: name, type, NULL, default.
fn definition(
    column: &Column,
    name: &str,
    in_key: bool,
    nullable: bool,
    default: Option<&str>,
    server: &Server,
) -> Result<String> {
    let declared = column_type::declare(column, in_key, server)?;
    let is_timestamp = column_type::base_name(&declared) == "timestamp";
    let tail = match (nullable, default) {
        (true, Some(default)) => format!("NULL DEFAULT {default}"),
        (true, None) => "NULL".to_string(),
        (false, Some(default)) => format!("NOT NULL DEFAULT {default}"),
        // Without a default of its own, the first `timestamp` of a table may be set to the current
        // time at every update.
        (false, None) if is_timestamp => "NOT NULL DEFAULT '1971-01-01 00:00:00'".to_string(),
        (false, None) => "NOT NULL".to_string(),
    };
    Ok(format!("{} {declared} {tail}", identifier(name)))
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
        let name = settings.field_case.of(&column.name);
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
                definition(column, &name, is_key, nullable, None, server)?
            )),
            (None, None, None) => clauses.push(add_column(change, after, column, &name, server)?),
            (None, None, Some(_)) => {
                return Err(Error::new(
                    ErrorKind::Schema,
                    format!("{} has lost column `{}`, which the source still has", target.name, column.name),
                )
                .hint("add it to the target again, with its values"));
            }
            (Some(present), _, Some(was))
                if was.source_type != column.source_type || was.nullable != column.nullable =>
            {
                let wanted = definition(column, &present.name, is_key, nullable, None, server)?;
                clauses.push(format!("MODIFY COLUMN {wanted}"));
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

fn add_column(
    change: &SchemaChange,
    after: &TableSchema,
    column: &Column,
    name: &str,
    server: &Server,
) -> Result<String> {
    // In an append log the rows that are there tell of a time before the column.
    if after.kinds.is_insert_only() {
        return Ok(format!("ADD COLUMN {}", definition(column, name, false, true, None, server)?));
    }
    let default = match filling(&change.statement, &column.name) {
        Filling::Nothing => None,
        Filling::Literal(text) => Some(text),
        Filling::Computed => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "column `{}` was added to {} with values that are computed per row, and the log does not hold them",
                    column.name, after.id
                ),
            )
            .hint("add the column to the target by hand, copy its values from the source, and start the job again"));
        }
    };
    let definition = definition(column, name, false, column.nullable, default.as_deref(), server)?;
    Ok(format!("ADD COLUMN {definition}"))
}

/// Columns that were renamed, old name and new, as the statement says. A column that is gone and
/// one that is new are otherwise two columns.
fn renames(change: &SchemaChange, before: &TableSchema, after: &TableSchema) -> Vec<(String, String)> {
    let words = tokens(&change.statement);
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
        let (old, new) = (bare_name(pair.0), bare_name(pair.1));
        if has(before, &old) && has(after, &new) && !same_name(&old, &new) {
            found.push((old, new));
        }
    }
    found
}

/// What rows that are there get in a column that is added.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Filling {
    /// NULL, or the type's zero.
    Nothing,
    /// This literal.
    Literal(String),
    /// Something the statement does not tell.
    Computed,
}

fn filling(statement: &str, column: &str) -> Filling {
    let words = tokens(statement);
    let is = |word: &str, wanted: &[&str]| wanted.iter().any(|known| word.eq_ignore_ascii_case(known));
    let defined_here = |place: &usize| {
        let before = place.checked_sub(1).and_then(|before| words.get(before)).copied().unwrap_or_default();
        words.get(*place).is_some_and(|word| same_name(&bare_name(word), column))
            && is(before, &["add", "column", "exists", "(", ","])
    };
    let Some(at) = (0..words.len()).find(defined_here) else {
        return Filling::Nothing;
    };
    let mut depth = 0_usize;
    let mut filling = Filling::Nothing;
    for (place, word) in words.iter().enumerate().skip(at + 1) {
        match *word {
            "(" => depth += 1,
            ")" if depth == 0 => break,
            ")" => depth -= 1,
            "," if depth == 0 => break,
            // Clauses of the column inside parentheses belong to its type or to an expression.
            _ if depth > 0 => {}
            word if is(word, &["as", "generated", "auto_increment"]) => return Filling::Computed,
            word if is(word, &["default"]) => filling = literal(words.get(place + 1..).unwrap_or_default()),
            _ => {}
        }
    }
    filling
}

/// The literal at the start of these words.
fn literal(words: &[&str]) -> Filling {
    let first = words.first().copied().unwrap_or_default();
    let second = words.get(1).copied().unwrap_or_default();
    let is_text = |word: &str| word.starts_with('\'') || word.starts_with('"');
    if first.eq_ignore_ascii_case("null") {
        return Filling::Nothing;
    }
    if is_text(first) || first.eq_ignore_ascii_case("true") || first.eq_ignore_ascii_case("false") {
        return Filling::Literal(first.to_string());
    }
    if is_text(second)
        && (first.starts_with('_') || ["b", "x", "n"].iter().any(|p| first.eq_ignore_ascii_case(p)))
    {
        return Filling::Literal(format!("{first}{second}"));
    }
    // A number comes in pieces: -, 1, ., 5.
    let mut number = String::new();
    for word in words {
        let sign = number.is_empty() && matches!(*word, "-" | "+");
        let digits = word.starts_with(|c: char| c.is_ascii_digit())
            && (number.is_empty() || number.ends_with(['-', '+', '.']));
        if !(sign || digits || (*word == "." && !number.contains('.'))) {
            break;
        }
        number.push_str(word);
    }
    match number.trim_start_matches(['-', '+']).is_empty() {
        true => Filling::Computed,
        false => Filling::Literal(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rows_that_are_there_get() {
        let of = |definition: &str| {
            filling(&format!("ALTER TABLE t ADD COLUMN c {definition}, ADD d int default 9"), "c")
        };
        assert_eq!(of("int"), Filling::Nothing);
        assert_eq!(of("int NOT NULL DEFAULT -5 AFTER `default`"), Filling::Literal("-5".into()));
        assert_eq!(of("decimal(10,2) default 1.50 comment 'as'"), Filling::Literal("1.50".into()));
        assert_eq!(of("varchar(9) DEFAULT 'it''s, (x'"), Filling::Literal("'it''s, (x'".into()));
        assert_eq!(of("bit(2) default b'10'"), Filling::Literal("b'10'".into()));
        assert_eq!(of("int default null"), Filling::Nothing);
        assert_eq!(of("datetime DEFAULT current_timestamp()"), Filling::Computed);
        assert_eq!(of("int default (1 + 1)"), Filling::Computed);
        assert_eq!(of("int as (a + 1) stored"), Filling::Computed);
        assert_eq!(of("int auto_increment"), Filling::Computed);
        assert_eq!(
            filling("alter table t add (x int, `c` int default 7)", "C"),
            Filling::Literal("7".into())
        );
        assert_eq!(
            filling("alter table t add if not exists c int default 3", "c"),
            Filling::Literal("3".into())
        );
    }
}

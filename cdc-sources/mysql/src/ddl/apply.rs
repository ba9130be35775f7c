//! One `ALTER TABLE` applied to one table's definition.

use std::collections::HashMap;

use thiserror::Error;

use super::character_set::CharsetClause;
use super::column_spec::convert;
use super::create::key_name;
use super::{
    AlterAction, AlterTable, COLUMNS_MAX, ColumnDef, ColumnSpec, KEYS_MAX, Place, TableDef, UniqueKey,
    same_name,
};

/// What a statement changed in a table's definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changed {
    /// Nothing that is kept here: a comment, an index, the storage engine …
    Nothing,
    /// The name, a unique key, a collation or the default character set. Rows look as before.
    Definition,
    /// A column or the primary key.
    Columns,
}

/// Why a statement does not fit the definition it is applied to. The definition is then not that of
/// the server's table, and has to be read anew.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ApplyError {
    /// An action names a column that is not there.
    #[error("the statement names column `{0}`, which the tracked definition of the table does not have")]
    UnknownColumn(String),
    /// An action adds a column that is there.
    #[error("the statement adds column `{0}`, which the tracked definition of the table has already")]
    DuplicateColumn(String),
    /// The conversion is to the database's character set, which is not known.
    #[error("the statement converts to the default character set of the database, which is not known")]
    UnknownCharset,
    /// More columns or keys than any server allows.
    #[error("the statement leaves the table with more columns or keys than a server allows")]
    TooMany,
}

/// Applies the actions to `table`. On an error the table is as before.
///
/// As on the server, dropped and changed columns are looked up by their names before the statement,
/// and `AFTER` by the names after it; so two columns can change names in one statement.
/// `database_charset` is what a conversion to the default goes by. A new name is applied, too.
pub fn apply(
    table: &mut TableDef,
    alter: &AlterTable,
    database_charset: Option<&str>,
) -> Result<Changed, ApplyError> {
    let mut next = table.clone();
    charsets(&mut next, alter, database_charset)?;
    columns(&mut next, alter)?;
    drop_keys(&mut next, alter);
    add_keys(&mut next, alter)?;
    table_actions(&mut next, alter);
    settle_keys(&mut next);
    if next.columns.len() > COLUMNS_MAX || next.unique_keys.len() > KEYS_MAX {
        return Err(ApplyError::TooMany);
    }
    let changed = compare(table, &next);
    *table = next;
    Ok(changed)
}

fn compare(before: &TableDef, after: &TableDef) -> Changed {
    let same_column = |left: &ColumnDef, right: &ColumnDef| {
        left.name == right.name
            && left.column_type == right.column_type
            && left.charset == right.charset
            && left.nullable == right.nullable
            && left.generated == right.generated
    };
    let same_columns = before.columns.len() == after.columns.len()
        && before.columns.iter().zip(&after.columns).all(|(left, right)| same_column(left, right));
    if !same_columns || before.primary_key != after.primary_key {
        Changed::Columns
    } else if before != after {
        Changed::Definition
    } else {
        Changed::Nothing
    }
}

/// Default character set and conversions come first: columns without a character set of their own
/// take the new default.
fn charsets(
    table: &mut TableDef,
    alter: &AlterTable,
    database_charset: Option<&str>,
) -> Result<(), ApplyError> {
    for action in &alter.actions {
        let (clause, converts) = match action {
            AlterAction::ConvertCharset(clause) => (clause, true),
            AlterAction::DefaultCharset(clause) => (clause, false),
            _ => continue,
        };
        // A collation alone that fits several character sets leaves the table's in place.
        let fallback = match &clause.collation {
            Some(_) => table.default_charset.as_deref().or(database_charset),
            None => database_charset,
        };
        let resolved: CharsetClause = clause.or_default(fallback, None);
        if converts {
            let charset = resolved.charset.as_deref().ok_or(ApplyError::UnknownCharset)?;
            for column in &mut table.columns {
                convert(column, charset, resolved.collation.as_deref());
            }
        }
        table.default_charset = resolved.charset;
        table.default_collation = resolved.collation;
    }
    Ok(())
}

/// What becomes of one column of the old definition.
enum Fate<'a> {
    Kept,
    Dropped,
    Renamed(&'a str),
    Changed(&'a ColumnSpec, bool),
}

fn fates<'a>(table: &TableDef, alter: &'a AlterTable) -> Result<Vec<Fate<'a>>, ApplyError> {
    let places: HashMap<String, usize> =
        table.columns.iter().enumerate().map(|(place, column)| (column.name.to_lowercase(), place)).collect();
    let mut fates: Vec<Fate<'a>> = table.columns.iter().map(|_| Fate::Kept).collect();
    for action in &alter.actions {
        let (name, if_exists, fate) = match action {
            AlterAction::DropColumn { name, if_exists } => (name, if_exists, Fate::Dropped),
            AlterAction::RenameColumn { from, to, if_exists } => (from, if_exists, Fate::Renamed(to)),
            AlterAction::ChangeColumn { name, column, if_exists, place } => {
                (name, if_exists, Fate::Changed(column, place.is_some()))
            }
            _ => continue,
        };
        match places.get(&name.to_lowercase()).and_then(|place| fates.get_mut(*place)) {
            Some(slot) => *slot = fate,
            None if *if_exists => {}
            None => return Err(ApplyError::UnknownColumn(name.clone())),
        }
    }
    Ok(fates)
}

fn columns(table: &mut TableDef, alter: &AlterTable) -> Result<(), ApplyError> {
    let fates = fates(table, alter)?;
    let (charset, collation) = (table.default_charset.clone(), table.default_collation.clone());
    let resolve = |spec: &ColumnSpec| spec.resolve(charset.as_deref(), collation.as_deref());
    let before = std::mem::take(&mut table.columns);
    let mut after = Vec::with_capacity(before.len());
    let mut new_names: HashMap<String, Option<String>> = HashMap::new();
    for (column, fate) in before.iter().zip(&fates) {
        match fate {
            Fate::Kept => after.push(column.clone()),
            Fate::Dropped => {
                new_names.insert(column.name.to_lowercase(), None);
            }
            Fate::Renamed(to) => {
                new_names.insert(column.name.to_lowercase(), Some((*to).to_owned()));
                after.push(ColumnDef { name: (*to).to_owned(), ..column.clone() });
            }
            Fate::Changed(spec, moves) => {
                new_names.insert(column.name.to_lowercase(), Some(spec.name.clone()));
                if !moves {
                    after.push(resolve(spec));
                }
            }
        }
    }
    let was_there = |name: &str| before.iter().any(|column| same_name(&column.name, name));
    for action in &alter.actions {
        match action {
            AlterAction::AddColumn { column, if_not_exists, place } => {
                if *if_not_exists && (was_there(&column.name) || position(&after, &column.name).is_some()) {
                    continue;
                }
                if position(&after, &column.name).is_some() {
                    return Err(ApplyError::DuplicateColumn(column.name.clone()));
                }
                insert(&mut after, resolve(column), place.as_ref())?;
            }
            AlterAction::ChangeColumn { name, column, place: Some(place), .. } if was_there(name) => {
                insert(&mut after, resolve(column), Some(place))?;
            }
            _ => {}
        }
        if after.len() > COLUMNS_MAX {
            return Err(ApplyError::TooMany);
        }
    }
    table.columns = after;
    rename_in_keys(table, &new_names);
    Ok(())
}

fn position(columns: &[ColumnDef], name: &str) -> Option<usize> {
    columns.iter().position(|column| same_name(&column.name, name))
}

fn insert(columns: &mut Vec<ColumnDef>, column: ColumnDef, place: Option<&Place>) -> Result<(), ApplyError> {
    let index = match place {
        None => columns.len(),
        Some(Place::First) => 0,
        Some(Place::After(name)) => match position(columns, name) {
            Some(index) => index + 1,
            None => return Err(ApplyError::UnknownColumn(name.clone())),
        },
    };
    columns.insert(index, column);
    Ok(())
}

/// Carries changed names (lower-case old name to new one, `None` when dropped) into the keys.
fn rename_in_keys(table: &mut TableDef, new_names: &HashMap<String, Option<String>>) {
    if new_names.is_empty() {
        return;
    }
    let carry = |columns: &mut Vec<String>| {
        let renamed = columns.drain(..).filter_map(|name| match new_names.get(&name.to_lowercase()) {
            Some(new) => new.clone(),
            None => Some(name),
        });
        *columns = renamed.collect::<Vec<String>>();
    };
    carry(&mut table.primary_key);
    for key in &mut table.unique_keys {
        carry(&mut key.columns);
    }
    table.unique_keys.retain(|key| !key.columns.is_empty());
}

fn drop_keys(table: &mut TableDef, alter: &AlterTable) {
    for action in &alter.actions {
        match action {
            AlterAction::DropPrimaryKey => table.primary_key.clear(),
            AlterAction::DropKey { name } if same_name(name, "PRIMARY") => table.primary_key.clear(),
            AlterAction::DropKey { name } => table.unique_keys.retain(|key| !same_name(&key.name, name)),
            AlterAction::RenameKey { from, to } => {
                for key in &mut table.unique_keys {
                    if same_name(&key.name, from) {
                        key.name.clone_from(to);
                    }
                }
            }
            _ => {}
        }
    }
}

fn add_keys(table: &mut TableDef, alter: &AlterTable) -> Result<(), ApplyError> {
    for action in &alter.actions {
        match action {
            AlterAction::AddPrimaryKey { columns, if_not_exists }
                if !*if_not_exists || table.primary_key.is_empty() =>
            {
                table.primary_key.clone_from(columns);
            }
            AlterAction::AddColumn { column, .. } | AlterAction::ChangeColumn { column, .. }
                if position(&table.columns, &column.name).is_some() =>
            {
                if column.primary {
                    table.primary_key = vec![column.name.clone()];
                }
                if column.unique {
                    add_unique(table, None, std::slice::from_ref(&column.name), false);
                }
            }
            AlterAction::AddUnique { name, columns, if_not_exists, or_replace } => {
                if *or_replace && let Some(name) = name {
                    table.unique_keys.retain(|key| !same_name(&key.name, name));
                }
                add_unique(table, name.as_deref(), columns, *if_not_exists);
            }
            _ => {}
        }
        if table.unique_keys.len() > KEYS_MAX {
            return Err(ApplyError::TooMany);
        }
    }
    Ok(())
}

fn add_unique(table: &mut TableDef, name: Option<&str>, columns: &[String], if_not_exists: bool) {
    let mut columns = columns.to_vec();
    for column in &mut columns {
        if let Some(own) = table.columns.iter().find(|own| same_name(&own.name, column)) {
            column.clone_from(&own.name);
        }
    }
    let taken: Vec<String> = table.unique_keys.iter().map(|key| key.name.clone()).collect();
    let Some(name) = name.map(str::to_owned).or_else(|| key_name(&columns, &taken)) else { return };
    let there = table.unique_keys.iter().any(|key| same_name(&key.name, &name));
    if !(there && if_not_exists) {
        table.unique_keys.push(UniqueKey { name, columns });
    }
}

fn table_actions(table: &mut TableDef, alter: &AlterTable) {
    // ADD PERIOD counts as `false`: written period columns hide nothing, wherever the clause stands.
    let mut versioning = None;
    for action in &alter.actions {
        match action {
            AlterAction::RenameTable { to } => {
                table.database.clone_from(&to.database);
                table.table.clone_from(&to.table);
            }
            AlterAction::SystemVersioning(on) => versioning = Some(versioning.unwrap_or(true) && *on),
            _ => {}
        }
    }
    if let Some(hidden) = versioning {
        table.hidden_period = hidden;
    }
}

/// Spells the keys' columns as the columns are spelled, and takes NULL from the primary key's.
pub(super) fn settle_keys(table: &mut TableDef) {
    let TableDef { columns, primary_key, unique_keys, .. } = table;
    let keys = unique_keys.iter_mut().map(|key| &mut key.columns);
    for name in keys.flatten().chain(primary_key.iter_mut()) {
        if let Some(column) = columns.iter().find(|column| same_name(&column.name, name)) {
            name.clone_from(&column.name);
        }
    }
    for name in primary_key.iter() {
        if let Some(column) = columns.iter_mut().find(|column| column.name == *name) {
            column.nullable = false;
        }
    }
}

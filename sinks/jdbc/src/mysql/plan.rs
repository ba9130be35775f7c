//! How rows of one upstream table are written: decided once per schema version, from the target's
//! real shape.
//!
//! | edge | target | statements |
//! |---|---|---|
//! | inserts only | no key the rows have | append every row |
//! | any | a key | last operation per key: delete, upsert |
//! | any | a key and further unique indexes | last operation per key: delete all touched, insert |
//! | more than inserts | no key | refused at start |
//!
//! **Why a second unique index changes the way.** `ON DUPLICATE KEY UPDATE` acts on whichever
//! unique index collides first, so a new row whose mail address still stands in another row would
//! overwrite that row; and two rows that swap a unique value have no order in which two upserts
//! both succeed. When all touched rows go first, what remains is untouched, and what comes back is
//! the state after the last change, which the source's own indexes allowed.

use std::sync::Arc;

use culvert_api::{Dialect, Error, ErrorKind, Finding, Result, TableSchema};

use crate::alteration;
use crate::mysql::column_type;
use crate::mysql::connect::Server;
use crate::mysql::encode::Form;
use crate::mysql::key::{self, KeyMatch};
use crate::mysql::options::Settings;
use crate::mysql::quote::{TargetName, identifier, identifiers};
use crate::mysql::target::{TargetTable, same_name};
pub(crate) use crate::query::Piece;

/// The alias of the new row in an upsert.
const ROW_ALIAS: &str = "culvert_new";

/// One written column.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// Its place among the upstream columns.
    pub(crate) source: usize,
    /// Its name in the target.
    pub(crate) name: String,
    /// How the target wants its values.
    pub(crate) form: Form,
}

/// The way rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Every row is a new row.
    Append,
    /// `INSERT … ON DUPLICATE KEY UPDATE` by the only unique index.
    Upsert,
    /// Delete what is touched, then insert.
    Replace,
    /// An INSERT for an insert, an UPDATE for an update, in order.
    Separate,
    /// A statement of the user's, once per row.
    PerRow,
}

/// How rows of one upstream table are written.
#[derive(Clone, Debug)]
pub(crate) struct TablePlan {
    /// The upstream shape this holds for.
    pub(crate) source: Arc<TableSchema>,
    /// The target for messages.
    pub(crate) label: String,
    /// Written columns.
    pub(crate) slots: Vec<Slot>,
    /// The way.
    pub(crate) mode: Mode,
    /// Parts of one row in an INSERT.
    pub(crate) row: Vec<Piece>,
    /// Parts of the assignments of an UPDATE.
    pub(crate) assignments: Vec<Piece>,
    /// Parts of one key: a literal for a single column, a condition for several.
    pub(crate) key: Vec<Piece>,
    /// Whether `key` is a single literal.
    pub(crate) single_key: bool,
    /// How well key bytes tell keys apart.
    pub(crate) key_match: KeyMatch,
    /// Whether an update may move a row to another key of the target without a delete before it,
    /// so that the key before must be compared with the one after.
    pub(crate) watch_moves: bool,
    /// Whether updates are written as inserts, too.
    pub(crate) insert_only: bool,
    /// Whether foreign keys point at the target, so that deletes must run with their checks on.
    pub(crate) is_referenced: bool,
    /// What comes before the rows of an INSERT.
    pub(crate) insert_head: Vec<u8>,
    /// What comes after them.
    pub(crate) insert_tail: Vec<u8>,
    /// What comes after the rows of an upsert.
    pub(crate) upsert_tail: Vec<u8>,
    /// What comes before the keys of a DELETE.
    pub(crate) delete_head: Vec<u8>,
    /// What comes before the assignments of an UPDATE.
    pub(crate) update_head: Vec<u8>,
    /// What comes before the key of an UPDATE.
    pub(crate) where_key: Vec<u8>,
    /// Per slot what comes before its literal in the UPDATE of a row that is known in part; empty for
    /// the key's.
    pub(crate) patch_heads: Vec<Vec<u8>>,
    /// The assignment that changes nothing.
    pub(crate) patch_nothing: Vec<u8>,
}

/// Makes the plan for a target table, and says what a person should know about it.
pub(crate) fn for_table(
    settings: &Settings,
    source: &Arc<TableSchema>,
    target: &TargetTable,
    server: &Server,
) -> Result<(TablePlan, Vec<Finding>)> {
    target.refuse_engine_without_transactions()?;
    let mut findings = Vec::new();
    let slots = slots(source, target)?;
    let key = key::choose(settings, source, target, &mut findings)?;
    let mode = match &key {
        None => Mode::Append,
        Some(_) if !settings.shared.enable_upsert || settings.shared.insert_only => Mode::Separate,
        Some(key) if key.has_others => Mode::Replace,
        Some(_) => Mode::Upsert,
    };
    let mut key_slots = Vec::new();
    for name in key.iter().flat_map(|key| &key.index.columns) {
        let slot = slots.iter().position(|slot| same_name(&slot.name, name)).ok_or_else(|| {
            Error::new(ErrorKind::Schema, format!("key column `{name}` of {} is computed there", target.name))
                .context("table", &source.id)
        })?;
        key_slots.push(slot);
    }
    if mode == Mode::Replace {
        findings.extend(warn_about_reset_columns(target, &slots));
    }
    let of_key =
        |name: &str| key_slots.iter().any(|slot| slots.get(*slot).is_some_and(|slot| slot.name == name));
    let changed: Vec<usize> = (0..slots.len())
        .filter(|slot| settings.shared.update_key || slots.get(*slot).is_some_and(|slot| !of_key(&slot.name)))
        .collect();
    let names = |indices: &[usize]| -> Vec<String> {
        indices.iter().filter_map(|slot| slots.get(*slot)).map(|slot| slot.name.clone()).collect()
    };
    let key_names = names(&key_slots);
    let quoted = target.name.quoted();
    let all: Vec<usize> = (0..slots.len()).collect();
    let single_key = key_slots.len() == 1;
    let where_key = match key_names.as_slice() {
        [only] => format!("{} IN (", identifier(only)),
        _ => String::new(),
    };
    let plan = TablePlan {
        label: target.name.to_string(),
        mode,
        row: row_pieces(&all),
        assignments: assignment_pieces(&slots, &changed),
        key: key_pieces(&slots, &key_slots),
        single_key,
        key_match: key::match_of(source, target, &slots, &key_slots),
        watch_moves: !key_slots.is_empty() && !key::is_upstream(source, &key_names),
        insert_only: settings.shared.insert_only,
        is_referenced: target.is_referenced,
        insert_head: format!(
            "INSERT INTO {quoted} ({}) VALUES ",
            identifiers(slots.iter().map(|slot| slot.name.as_str()))
        )
        .into_bytes(),
        insert_tail: Vec::new(),
        upsert_tail: upsert_tail(&names(&changed), &key_names, &target.name, server).into_bytes(),
        delete_head: format!("DELETE FROM {quoted} WHERE {where_key}").into_bytes(),
        update_head: format!("UPDATE {quoted} SET ").into_bytes(),
        where_key: format!(" WHERE {where_key}").into_bytes(),
        patch_heads: patch_heads(&slots, &key_slots),
        patch_nothing: key_names
            .first()
            .map(|name| format!("{0} = {0}", identifier(name)).into_bytes())
            .unwrap_or_default(),
        source: source.clone(),
        slots,
    };
    Ok((plan, findings))
}

/// The columns that are written: every upstream column the target does not compute itself.
fn slots(source: &TableSchema, target: &TargetTable) -> Result<Vec<Slot>> {
    let mut slots: Vec<Slot> = Vec::with_capacity(source.columns.len());
    let mut missing = Vec::new();
    for (place, column) in source.columns.iter().enumerate() {
        let Some(found) = target.column(&column.name) else {
            missing.push(column.name.as_str());
            continue;
        };
        if !column_type::is_writable(&column.data_type) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("column `{}` of type {} cannot be written", column.name, column.data_type),
            )
            .context("table", &source.id));
        }
        if let Some(loss) = column_type::loss(&column.data_type, found.form.family) {
            return Err(Error::new(
                ErrorKind::Schema,
                format!(
                    "column `{}` ({}) does not fit {} column `{}` ({}): {loss}",
                    column.name, column.data_type, target.name, found.name, found.column_type
                ),
            )
            .context("table", &source.id)
            .hint(alteration::CHANGE_TYPE));
        }
        if slots.iter().any(|slot| slot.name == found.name) {
            return Err(Error::new(
                ErrorKind::Schema,
                format!("two columns of {} go to column `{}` of {}", source.id, found.name, target.name),
            ));
        }
        if !found.generated {
            let from_year_one =
                column.source_type.as_ref().is_some_and(|declared| declared.dialect == Dialect::Postgres);
            let form = Form { from_year_one, ..found.form };
            slots.push(Slot { source: place, name: found.name.clone(), form });
        }
    }
    if !missing.is_empty() {
        return Err(Error::new(
            ErrorKind::Schema,
            format!("{} has no column {} that {} has", target.name, identifiers(missing), source.id),
        )
        .hint(alteration::ADD_MISSING));
    }
    let unfilled: Vec<&str> = target
        .columns
        .iter()
        .filter(|column| !column.optional && source.column_index(&column.name).is_none())
        .map(|column| column.name.as_str())
        .collect();
    if !unfilled.is_empty() {
        return Err(Error::new(
            ErrorKind::Schema,
            format!(
                "{} needs a value in column {}, which {} does not have",
                target.name,
                identifiers(unfilled),
                source.id
            ),
        )
        .hint("give these columns a default, or let them take NULL"));
    }
    Ok(slots)
}

fn warn_about_reset_columns(target: &TargetTable, slots: &[Slot]) -> Option<Finding> {
    let own: Vec<&str> = target
        .columns
        .iter()
        .filter(|column| !column.generated && !slots.iter().any(|slot| slot.name == column.name))
        .map(|column| column.name.as_str())
        .collect();
    (!own.is_empty()).then(|| {
        Finding::warning(
            target.name.to_string(),
            format!(
                "the table has more than one unique index, so updated rows are written anew, and its own column {} \
                 falls back to the default",
                identifiers(own)
            ),
        )
        .hint("drop the further unique indexes of the target, or fill these columns elsewhere")
    })
}

fn row_pieces(slots: &[usize]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (place, slot) in slots.iter().enumerate() {
        pieces.push(Piece::Text(if place == 0 { b"(".to_vec() } else { b",".to_vec() }));
        pieces.push(Piece::Value(*slot));
    }
    pieces.push(Piece::Text(if slots.is_empty() { b"()".to_vec() } else { b")".to_vec() }));
    pieces
}

fn assignment_pieces(slots: &[Slot], changed: &[usize]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for index in changed {
        let Some(slot) = slots.get(*index) else { continue };
        let comma = if pieces.is_empty() { "" } else { ", " };
        pieces.push(Piece::Text(format!("{comma}{} = ", identifier(&slot.name)).into_bytes()));
        pieces.push(Piece::Value(*index));
    }
    pieces
}

fn patch_heads(slots: &[Slot], key: &[usize]) -> Vec<Vec<u8>> {
    let head = |(place, slot): (usize, &Slot)| match key.contains(&place) {
        true => Vec::new(),
        false => format!("{} = ", identifier(&slot.name)).into_bytes(),
    };
    slots.iter().enumerate().map(head).collect()
}

/// One column's literal, or `(a = … AND b = …)`. Row constructors in `IN` would be shorter, but
/// MariaDB does not use the index for them.
fn key_pieces(slots: &[Slot], key: &[usize]) -> Vec<Piece> {
    if let [only] = key {
        return vec![Piece::Value(*only)];
    }
    let mut pieces = Vec::new();
    for index in key {
        let Some(slot) = slots.get(*index) else { continue };
        let joint = if pieces.is_empty() { "(" } else { " AND " };
        pieces.push(Piece::Text(format!("{joint}{} = ", identifier(&slot.name)).into_bytes()));
        pieces.push(Piece::Value(*index));
    }
    if !pieces.is_empty() {
        pieces.push(Piece::Text(b")".to_vec()));
    }
    pieces
}

fn upsert_tail(changed: &[String], key: &[String], target: &TargetName, server: &Server) -> String {
    // With nothing to change, setting the key to itself keeps the row as it is.
    let columns = if changed.is_empty() { key } else { changed };
    let alias = if target.table.eq_ignore_ascii_case(ROW_ALIAS) { "culvert_new_row" } else { ROW_ALIAS };
    let assignments: Vec<String> = columns
        .iter()
        .map(|name| {
            let column = identifier(name);
            match server.has_row_alias() {
                true => format!("{column} = {}.{column}", identifier(alias)),
                false => format!("{column} = VALUES({column})"),
            }
        })
        .collect();
    let alias = if server.has_row_alias() { format!(" AS {}", identifier(alias)) } else { String::new() };
    format!("{alias} ON DUPLICATE KEY UPDATE {}", assignments.join(", "))
}

#[cfg(test)]
pub(crate) mod tests;

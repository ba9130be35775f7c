//! How rows of one upstream table are written: decided once per schema version, from the target's
//! real shape.
//!
//! | edge | target | way |
//! |---|---|---|
//! | inserts only | no key the rows have | COPY into the target |
//! | any | a key | COPY into a staging table, then a merge: delete, insert or update by key |
//! | any | a key and further unique indexes | the same, and rows whose unique values change go first |
//! | any, `enable_upsert = false` | a key | the same, run by run in the order of the rows |
//! | more than inserts | no key | refused at start |
//! | inserts and updates, `query` | any | the user's statement |
//!
//! **Why a further unique index changes the way.** Two rows that swap a unique value have no order in
//! which two updates both succeed, and a new row may take a value that another row leaves in the same
//! flush. So rows whose unique values change are deleted before anything is put; what remains is
//! untouched, and what comes back is the state after the last change, which the source's own indexes
//! allowed. Where foreign keys would notice such a delete (cascade, or a check that cannot wait), the
//! values are moved in place instead, those first whose new value is free.

use std::sync::Arc;

use culvert_api::{Dialect, Error, ErrorKind, Finding, Result, RowKind, TableSchema};
use culvert_postgres::quote::{identifier, identifiers};

use crate::alteration;
use crate::postgres::column_type::{self, Form};
use crate::postgres::connect::Server;
use crate::postgres::key::{self, KeyMatch};
use crate::postgres::name::TargetName;
use crate::postgres::options::Settings;
use crate::postgres::order::Member;
use crate::postgres::stage::Staging;
use crate::postgres::target::{ForeignKey, TargetColumn, TargetTable, UniqueIndex};
use crate::query::Piece;
use culvert_api::sql_text::same_name;

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
    /// Every row is a new row: COPY into the target.
    Append,
    /// The last change per key, merged from the stage.
    Merge,
    /// An INSERT for an insert, an UPDATE for an update, in order.
    Separate,
    /// A statement of the user's.
    Statement,
}

/// A statement of the user's, cut at its rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statement {
    /// What comes before the rows.
    pub(crate) head: Vec<u8>,
    /// Parts of one row.
    pub(crate) row: Vec<Piece>,
    /// What comes after the rows.
    pub(crate) tail: Vec<u8>,
    /// What stands between two rows.
    pub(crate) joint: &'static [u8],
}

/// How rows of one upstream table are written.
#[derive(Clone, Debug)]
pub(crate) struct TablePlan {
    /// The upstream shape this holds for.
    pub(crate) source: Arc<TableSchema>,
    /// The target for messages.
    pub(crate) label: String,
    /// Written columns; those of the key come first, in its order.
    pub(crate) slots: Vec<Slot>,
    /// How many of them are the key.
    pub(crate) key_len: usize,
    /// The way.
    pub(crate) mode: Mode,
    /// How well key bytes tell keys apart.
    pub(crate) key_match: KeyMatch,
    /// Whether an update may move a row to another key of the target without a delete before it, so
    /// that the key before must be compared with the one after.
    pub(crate) watch_moves: bool,
    /// Whether updates are written as inserts, too.
    pub(crate) insert_only: bool,
    /// The target's number in the catalog; 0 when it is not known.
    pub(crate) table: u32,
    /// Numbers of tables whose rows must come before this one's and go after them: foreign keys that
    /// mind the order within a transaction.
    pub(crate) parents: Vec<u32>,
    /// Numbers of tables that a foreign key of this one refers to.
    pub(crate) refers_to: Vec<u32>,
    /// COPY into the target, for [`Mode::Append`].
    pub(crate) copy: String,
    /// The staging table and the statements that merge it.
    pub(crate) staging: Option<Staging>,
    /// The user's statement.
    pub(crate) statement: Statement,
}

impl TablePlan {
    /// The plan of a statement of the user's.
    pub(crate) fn of_statement(
        source: Arc<TableSchema>,
        label: String,
        slots: Vec<Slot>,
        statement: Statement,
    ) -> TablePlan {
        TablePlan {
            source,
            label,
            slots,
            key_len: 0,
            mode: Mode::Statement,
            key_match: KeyMatch::Exact,
            watch_moves: false,
            insert_only: true,
            table: 0,
            parents: Vec::new(),
            refers_to: Vec::new(),
            copy: String::new(),
            staging: None,
            statement,
        }
    }

    /// What the order of the tables is made from.
    pub(crate) fn member(&self) -> Member<'_> {
        let gives_way = self.mode == Mode::Merge && self.staging.as_ref().is_some_and(Staging::gives_way);
        Member { table: self.table, parents: &self.parents, gives_way }
    }

    /// Whether a staged row carries its number: the server needs it to find the last of equal keys,
    /// and runs are told by it.
    pub(crate) fn is_numbered(&self) -> bool {
        self.mode == Mode::Separate || (self.mode == Mode::Merge && self.key_match == KeyMatch::Unsure)
    }
}

/// Makes the plan for a target table, and says what a person should know about it.
pub(crate) fn for_table(
    settings: &Settings,
    source: &Arc<TableSchema>,
    target: &TargetTable,
    server: Server,
) -> Result<(TablePlan, Vec<Finding>)> {
    target.refuse_unfit()?;
    let shared = &settings.shared;
    let mut findings = Vec::new();
    let without_keys;
    let target = match settings.ignores_foreign_keys {
        true => {
            findings.extend(warn_about_cascades(source, target));
            without_keys = TargetTable { foreign_keys: Vec::new(), ..target.clone() };
            &without_keys
        }
        false => target,
    };
    let mut slots = slots(source, target)?;
    let Some(index) = key::choose(settings, source, target, &mut findings)? else {
        let columns = identifiers(slots.iter().map(|slot| slot.name.as_str()));
        let copy = format!("COPY {} ({columns}) FROM STDIN", target.name.quoted());
        let plan = TablePlan {
            copy,
            mode: Mode::Append,
            table: target.oid,
            parents: parents(target, |key| key.minds_order()),
            refers_to: parents(target, |_| true),
            ..TablePlan::of_statement(source.clone(), target.name.to_string(), slots, Statement::default())
        };
        return Ok((plan, findings));
    };
    key_first(&mut slots, index, source, target)?;
    let key_len = index.columns.len();
    let mode = match !shared.enable_upsert || shared.insert_only {
        true => Mode::Separate,
        false => Mode::Merge,
    };
    let mut plan = TablePlan {
        key_len,
        mode,
        key_match: key::match_of(source, index, slots.get(..key_len).unwrap_or_default()),
        watch_moves: !key::is_upstream(source, &index.columns),
        insert_only: shared.insert_only,
        table: target.oid,
        parents: parents(target, |key| key.minds_order()),
        refers_to: parents(target, |_| true),
        ..TablePlan::of_statement(source.clone(), target.name.to_string(), slots, Statement::default())
    };
    if source.kinds.contains(RowKind::UpdateAfter) {
        refuse_fixed_identities(&plan, target)?;
    }
    let staging = Staging::new(&plan, target, index, shared.update_key, server)?;
    if staging.replaces() {
        findings.extend(warn_about_reset_columns(target, &plan.slots));
    }
    plan.staging = Some(staging);
    Ok((plan, findings))
}

fn parents(target: &TargetTable, which: impl Fn(&ForeignKey) -> bool) -> Vec<u32> {
    let from_here = target.foreign_keys.iter().filter(|key| key.child == target.oid && which(key));
    from_here.map(|key| key.parent).collect()
}

/// What a person should know before the first rows are loaded: chunks of tables are read and committed
/// in no order between them, whatever their foreign keys say.
pub(crate) fn warn_about_first_load(plans: &[&TablePlan]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for plan in plans {
        let is_parent = |other: &&&TablePlan| other.table != 0 && plan.refers_to.contains(&other.table);
        let Some(parent) = plans.iter().find(is_parent) else { continue };
        let message = format!(
            "a foreign key refers to {}, which this job writes too: while the first rows are loaded, some may come \
             and be committed before those they refer to, and the target would refuse them",
            parent.label
        );
        findings.push(Finding::warning(&plan.label, message).hint(
            "for a first load set foreign_keys = \"IGNORE\" (it may stay), or drop the key until the load is through",
        ));
    }
    findings
}

/// Cascades of MySQL are not in its log: the target's own keys repeat them.
fn warn_about_cascades(source: &TableSchema, target: &TargetTable) -> Option<Finding> {
    let is_mysql = source
        .columns
        .iter()
        .any(|column| column.source_type.as_ref().is_some_and(|declared| declared.dialect == Dialect::MySql));
    let acts = |key: &&ForeignKey| key.parent == target.oid && !matches!(key.on_delete, 'a' | 'r');
    (is_mysql && target.foreign_keys.iter().any(|key| acts(&key))).then(|| {
        Finding::warning(
            target.name.to_string(),
            "foreign_keys = \"IGNORE\", and a foreign key of the target deletes or changes rows that refer to a deleted \
             one: MySQL's log does not tell such changes, so the target would keep these rows as they are",
        )
        .hint("use foreign_keys = \"CHECK\" once the first rows are loaded")
    })
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
        // What a column of the very type held, fits.
        let is_same = column.source_type.as_ref().is_some_and(|source| {
            source.dialect == Dialect::Postgres && source.declaration == found.column_type
        });
        let loss = column_type::loss(&column.data_type, &found.form);
        if let Some(loss) = loss.filter(|_| !found.generated && !is_same) {
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
            slots.push(Slot { source: place, name: found.name.clone(), form: found.form.clone() });
        }
    }
    if !missing.is_empty() {
        return Err(Error::new(
            ErrorKind::Schema,
            format!("{} has no column {} that {} has", target.name, identifiers(missing), source.id),
        )
        .hint(alteration::ADD_MISSING));
    }
    refuse_unfilled(source, target)?;
    Ok(slots)
}

fn refuse_unfilled(source: &TableSchema, target: &TargetTable) -> Result<()> {
    let unfilled: Vec<&str> = target
        .columns
        .iter()
        .filter(|column| !column.optional && source.column_index(&column.name).is_none())
        .map(|column| column.name.as_str())
        .collect();
    if unfilled.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Schema,
        format!(
            "{} needs a value in column {}, which {} does not have",
            target.name,
            identifiers(unfilled),
            source.id
        ),
    )
    .hint("give these columns a default, or let them take NULL"))
}

/// Puts the slots of the key first, in its order.
fn key_first(
    slots: &mut [Slot],
    index: &UniqueIndex,
    source: &TableSchema,
    target: &TargetTable,
) -> Result<()> {
    for (place, column) in index.columns.iter().enumerate() {
        let found = slots.iter().position(|slot| slot.name == column.name).ok_or_else(|| {
            let message = format!("key column `{}` of {} is computed there", column.name, target.name);
            Error::new(ErrorKind::Schema, message).context("table", &source.id)
        })?;
        if let Some(moved) = slots.get_mut(place..=found) {
            moved.rotate_right(1);
        }
    }
    Ok(())
}

/// A column GENERATED ALWAYS AS IDENTITY takes values when rows come, and none afterwards.
fn refuse_fixed_identities(plan: &TablePlan, target: &TargetTable) -> Result<()> {
    let is_fixed = |slot: &&Slot| target.column(&slot.name).is_some_and(|column| column.identity_always);
    match plan.slots.iter().skip(plan.key_len).find(is_fixed) {
        None => Ok(()),
        Some(slot) => {
            let column = identifier(&slot.name);
            let message = format!("{} lets nobody update column {column} (GENERATED ALWAYS)", target.name);
            Err(Error::new(ErrorKind::Schema, message).hint(format!(
                "run: ALTER TABLE {} ALTER COLUMN {column} SET GENERATED BY DEFAULT",
                target.name.quoted()
            )))
        }
    }
}

fn warn_about_reset_columns(target: &TargetTable, slots: &[Slot]) -> Option<Finding> {
    let is_own = |column: &&TargetColumn| {
        !column.generated && !slots.iter().any(|slot| same_name(&slot.name, &column.name))
    };
    let own: Vec<&str> = target.columns.iter().filter(is_own).map(|column| column.name.as_str()).collect();
    (!own.is_empty()).then(|| {
        Finding::warning(
            target.name.to_string(),
            format!(
                "the table has more than one unique index, so rows whose unique values change are written anew, and \
                 its own column {} falls back to the default",
                identifiers(own)
            ),
        )
        .hint("make the further unique constraints DEFERRABLE, or fill these columns elsewhere")
    })
}

/// The name of a target table that is not there, for plans.
pub(crate) fn missing(name: &TargetName, source: &TableSchema) -> Error {
    let message = format!("target table {name} does not exist, or the sink's account may not see it");
    Error::new(ErrorKind::Schema, message).context("table", &source.id)
}

#[cfg(test)]
pub(crate) mod tests;

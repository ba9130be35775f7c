//! Partitions as the log tells them: each has an identity of its own.
//!
//! Rows of a partition come as rows of its table. Before them the log tells the shape of the table and,
//! right behind it, that of the partition, with the identity it had then. One whose identity lacks the
//! table's key can only be followed while rows are inserted: which partition a later change belongs to
//! is not told.

use std::collections::HashMap;
use std::sync::Arc;

use culvert_api::Result;

use super::PgReader;
use crate::log::Relation;
use crate::partitions::other_identity;

/// The partitions that the log has spoken of.
#[derive(Default)]
pub(super) struct Leaves {
    /// The place of the partitioned table whose shape was told last, and after how many changes of the
    /// transaction.
    told: Option<(usize, u64)>,
    /// The place of a partition's table, by the partition's oid.
    tables: HashMap<u32, usize>,
    /// Partitions that do not log their table's key, with the table's place.
    unfit: HashMap<u32, (usize, Arc<Relation>)>,
}

impl PgReader {
    /// The shape of a captured table was told.
    pub(super) fn table_told(&mut self, at: usize) {
        let partitioned = self.tables.slots[at].table.def.partitioned;
        let changes = self.transaction.as_ref().map(|transaction| transaction.changes);
        self.leaves.told = changes.filter(|_| partitioned).map(|changes| (at, changes));
    }

    /// The shape of another one was told: perhaps of a partition of the one before.
    pub(super) fn other_told(&mut self, relation: &Arc<Relation>) {
        let changes = self.transaction.as_ref().map(|transaction| transaction.changes);
        if let Some((at, before)) = self.leaves.told.take()
            && changes == Some(before)
        {
            self.leaves.tables.insert(relation.id, at);
        }
        let Some(&at) = self.leaves.tables.get(&relation.id) else { return };
        let Some(slot) = self.tables.slots.get(at) else { return };
        if is_fit(relation, &slot.table.schema.primary_key) {
            self.leaves.unfit.remove(&relation.id);
        } else {
            self.leaves.unfit.insert(relation.id, (at, Arc::clone(relation)));
        }
    }

    /// Refuses a change of a row that may lie in a partition which does not log the table's key.
    pub(super) fn refuse_unfit(&self, at: usize) -> Result<()> {
        let Some((_, leaf)) = self.leaves.unfit.values().find(|(of, _)| *of == at) else { return Ok(()) };
        let table = &self.tables.slots[at].table;
        let identity: Vec<&str> =
            leaf.columns.iter().filter(|column| column.is_key).map(|column| column.name.as_str()).collect();
        let error = other_identity((&leaf.schema, &leaf.table), &table.schema.primary_key, &identity);
        let way_out = error.hint_text().unwrap_or_default().to_owned();
        Err(error.context("table", &table.id).hint(format!(
            "{way_out}; what was changed before that stays in the log as it is: when the job stops here again, start over \
             with --fresh"
        )))
    }
}

/// Whether old rows of the partition can be told by this key.
fn is_fit(leaf: &Relation, key: &[String]) -> bool {
    let is_told = |name: &String| leaf.columns.iter().any(|column| column.is_key && column.name == *name);
    leaf.identity == 'f' || (!key.is_empty() && key.iter().all(is_told))
}

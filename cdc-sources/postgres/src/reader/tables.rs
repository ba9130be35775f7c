//! The captured tables by name, by oid, and by place.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use culvert_api::{Result, TableId};

use super::rows::Pending;
use crate::key::KeyPlan;
use crate::lsn::Lsn;
use crate::pgoutput::Relation;
use crate::state::{ReaderState, TableState};
use crate::tables::{Captured, Conversion};

/// One captured table at work.
pub(super) struct Slot {
    pub(super) table: Captured,
    /// What the log said last about the table's shape; its rows follow it.
    pub(super) relation: Option<LoggedShape>,
    /// Rows that wait for more.
    pub(super) pending: Option<Pending>,
    /// The file that holds the table's rows is another one than the table's shape says, and that was told.
    pub(super) file_changed: bool,
    /// Dropped: kept in place, so that places stay valid.
    pub(super) gone: bool,
}

/// The shape of a table's rows in the log.
pub(super) struct LoggedShape {
    pub(super) relation: Arc<Relation>,
    /// It was compared with the table's shape: rows can be decoded.
    pub(super) checked: bool,
    /// It was told before in this stream: something about the table changed.
    pub(super) again: bool,
    /// Where the columns that chunks are cut by stand in rows of the log.
    pub(super) cut: Option<KeyPlan>,
    /// Where the key's columns stand in rows of the log; `None` when one is missing.
    pub(super) key: Option<Vec<usize>>,
}

impl LoggedShape {
    pub(super) fn new(relation: Arc<Relation>, table: &Captured) -> LoggedShape {
        let find = |name: &str| relation.columns.iter().position(|column| column.name == name);
        let cut = table.cut.as_ref().and_then(|plan| plan.placed(find));
        let key = table.schema.primary_key.iter().map(|name| find(name)).collect();
        LoggedShape { cut, key, relation, checked: false, again: false }
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) slots: Vec<Slot>,
    by_oid: HashMap<u32, usize>,
    by_id: HashMap<TableId, usize>,
    incomplete: usize,
}

impl Tables {
    pub(super) fn restore(state: &ReaderState, conversion: &Conversion) -> Result<Tables> {
        let mut tables = Tables::default();
        for table in &state.tables {
            tables.add(Captured::from_state(table.clone(), conversion)?);
        }
        Ok(tables)
    }

    pub(super) fn add(&mut self, table: Captured) {
        let at = self.slots.len();
        self.by_oid.insert(table.def.oid, at);
        self.by_id.insert(table.id.clone(), at);
        self.incomplete += usize::from(!table.is_complete());
        self.slots.push(Slot { table, relation: None, pending: None, file_changed: false, gone: false });
    }

    pub(super) fn remove(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        if slot.gone {
            return;
        }
        slot.gone = true;
        self.incomplete -= usize::from(!slot.table.is_complete());
        self.by_oid.remove(&slot.table.def.oid);
        self.by_id.remove(&slot.table.id);
    }

    pub(super) fn by_oid(&self, oid: u32) -> Option<usize> {
        self.by_oid.get(&oid).copied()
    }

    pub(super) fn by_id(&self, id: &TableId) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The tables as the server numbers them.
    pub(super) fn oids(&self) -> HashSet<u32> {
        self.by_oid.keys().copied().collect()
    }

    /// A table's last range is done.
    pub(super) fn completed_one(&mut self) {
        self.incomplete -= 1;
    }

    /// Every row of before has left.
    pub(super) fn all_complete(&self) -> bool {
        self.incomplete == 0
    }

    /// Views that the stream has not passed.
    pub(super) fn unpassed(&self) -> usize {
        self.slots.iter().filter(|slot| !slot.gone).map(|slot| slot.table.recent.len()).sum()
    }

    /// Forgets the views that the stream has passed.
    pub(super) fn pass(&mut self, position: Lsn) {
        self.slots.iter_mut().for_each(|slot| slot.table.pass(position));
    }

    pub(super) fn to_state(&self) -> Vec<TableState> {
        self.slots.iter().filter(|slot| !slot.gone).map(|slot| slot.table.to_state()).collect()
    }
}

//! The captured tables by name and by place.

use std::collections::HashMap;

use culvert_api::{Result, TableId};

use super::rows::Pending;
use crate::decode::RowDecoder;
use crate::options::MySqlConfig;
use crate::state::{ReaderState, TableState};
use crate::tables::Captured;

/// One captured table at work.
pub(super) struct Slot {
    pub(super) table: Captured,
    /// The decoder for the last table map.
    pub(super) decoder: Option<RowDecoder>,
    /// Rows that wait for more.
    pub(super) pending: Option<Pending>,
    /// Dropped or renamed away: kept in place, so that places stay valid.
    pub(super) gone: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) slots: Vec<Slot>,
    by_name: HashMap<String, HashMap<String, usize>>,
    incomplete: usize,
}

impl Tables {
    pub(super) fn restore(state: &ReaderState, config: &MySqlConfig) -> Result<Tables> {
        let mut tables = Tables::default();
        for table in &state.tables {
            tables.add(Captured::from_state(table.clone(), config)?);
        }
        Ok(tables)
    }

    pub(super) fn add(&mut self, table: Captured) -> usize {
        let at = self.slots.len();
        let id = &table.id;
        self.by_name.entry(id.database.clone()).or_default().insert(id.table.clone(), at);
        self.incomplete += usize::from(!table.done.is_complete());
        self.slots.push(Slot { table, decoder: None, pending: None, gone: false });
        at
    }

    pub(super) fn remove(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        if slot.gone {
            return;
        }
        slot.gone = true;
        if !slot.table.done.is_complete() {
            self.incomplete -= 1;
        }
        let id = slot.table.id.clone();
        if let Some(tables) = self.by_name.get_mut(&id.database)
            && tables.get(&id.table) == Some(&at)
        {
            tables.remove(&id.table);
        }
    }

    pub(super) fn find(&self, database: &str, table: &str) -> Option<usize> {
        self.by_name.get(database)?.get(table).copied()
    }

    pub(super) fn find_id(&self, id: &TableId) -> Option<usize> {
        self.find(&id.database, &id.table)
    }

    /// A table's last range is done.
    pub(super) fn completed_one(&mut self) {
        self.incomplete -= 1;
    }

    pub(super) fn all_complete(&self) -> bool {
        self.incomplete == 0
    }

    pub(super) fn to_state(&self) -> Vec<TableState> {
        self.slots.iter().filter(|slot| !slot.gone).map(|slot| slot.table.to_state()).collect()
    }
}

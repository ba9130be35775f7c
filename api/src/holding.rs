//! What a running job holds, for people who watch it: the tables of its sources as they are now, and the
//! checkpoint that each sink has committed.
//!
//! Written at starts, checkpoints and changes of shape, never at a batch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::schema::{SchemaChange, TableSchema};

/// How a sink takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Taking {
    /// Rows as they come.
    Rows,
    /// What it lacks, because it was away.
    Missed,
    /// Nothing: it failed, and is tried again.
    #[default]
    Nothing,
}

impl Taking {
    /// The word: `live`, `catching_up`, `held`.
    pub fn word(self) -> &'static str {
        match self {
            Taking::Rows => "live",
            Taking::Missed => "catching_up",
            Taking::Nothing => "held",
        }
    }
}

/// What a sink has committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// The checkpoint that it has committed, 0 before the first; `None` while it was never reached.
    pub committed: Option<u64>,
    /// The newest checkpoint that was saved: what it is to commit.
    pub saved: u64,
    /// How it takes part.
    pub taking: Taking,
}

/// The sinks of a job.
#[derive(Debug, Default)]
pub struct Holdings(Mutex<BTreeMap<String, Holding>>);

impl Holdings {
    /// Says what a sink has committed.
    pub fn set(&self, sink: &str, holding: Holding) {
        self.told().insert(sink.to_owned(), holding);
    }

    /// A sink takes part no more.
    pub fn forget(&self, sink: &str) {
        self.told().remove(sink);
    }

    /// What every sink has committed.
    pub fn all(&self) -> Vec<(String, Holding)> {
        self.told().iter().map(|(sink, holding)| (sink.clone(), *holding)).collect()
    }

    fn told(&self) -> MutexGuard<'_, BTreeMap<String, Holding>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tables that leave the sources, as of what was read last.
#[derive(Debug, Default)]
pub struct SourceTables(Mutex<Option<Vec<Arc<TableSchema>>>>);

impl SourceTables {
    /// An attempt begins with these.
    pub fn set(&self, tables: &[Arc<TableSchema>]) {
        *self.tables() = Some(tables.to_vec());
    }

    /// One of them changes.
    pub fn follow(&self, change: &SchemaChange) {
        if let Some(tables) = self.tables().as_mut() {
            change.follow(tables);
        }
    }

    /// All of them; `None` before the first attempt has asked.
    pub fn all(&self) -> Option<Vec<Arc<TableSchema>>> {
        self.tables().clone()
    }

    fn tables(&self) -> MutexGuard<'_, Option<Vec<Arc<TableSchema>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{RowKindSet, TableId};

    fn table(source: u32, name: &str, version: u64) -> Arc<TableSchema> {
        let schema =
            TableSchema::new(TableId::new("d", name), version, Vec::new(), Vec::new(), RowKindSet::ALL);
        Arc::new(TableSchema { source, ..schema })
    }

    fn change(before: Option<Arc<TableSchema>>, after: Option<Arc<TableSchema>>) -> SchemaChange {
        SchemaChange { before, after, statement: String::new() }
    }

    #[test]
    fn tables_are_followed_through_changes_renames_and_ends() {
        let tables = SourceTables::default();
        tables.follow(&change(None, Some(table(0, "a", 0))));
        assert_eq!(tables.all(), None);
        tables.set(&[table(0, "a", 0), table(1, "a", 0)]);
        tables.follow(&change(Some(table(0, "a", 0)), Some(table(0, "a", 1))));
        tables.follow(&change(Some(table(0, "a", 1)), Some(table(0, "b", 2))));
        tables.follow(&change(None, Some(table(0, "c", 0))));
        assert_eq!(tables.all().unwrap(), [table(1, "a", 0), table(0, "b", 2), table(0, "c", 0)]);
        tables.follow(&change(Some(table(0, "c", 0)), None));
        assert_eq!(tables.all().unwrap(), [table(1, "a", 0), table(0, "b", 2)]);
    }

    #[test]
    fn sinks_come_move_and_go() {
        let holdings = Holdings::default();
        holdings.set("b", Holding { committed: Some(3), saved: 3, taking: Taking::Rows });
        holdings.set("a", Holding::default());
        let b = Holding { committed: Some(4), saved: 5, taking: Taking::Rows };
        holdings.set("b", b);
        assert_eq!(holdings.all(), [("a".to_owned(), Holding::default()), ("b".to_owned(), b)]);
        holdings.forget("a");
        assert_eq!(holdings.all(), [("b".to_owned(), b)]);
    }
}

//! A copy of a table kept up by the log alone: the oracle of these tests.

use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;

use culvert_source_postgres::log::{LogItem, OldTuple, Relation, Tuple, Value};
use culvert_tests::oracle::postgres::rows;

use super::Scene;

/// A row: NULL is `None`.
type Row = Vec<Option<String>>;

/// Tables with their whole rows, by name and first column.
#[derive(Debug, Default)]
pub(super) struct Replica {
    relations: HashMap<u32, Arc<Relation>>,
    tables: HashMap<String, BTreeMap<String, Row>>,
    in_transaction: bool,
    pub(super) transactions: usize,
    pub(super) changes: usize,
}

impl Replica {
    /// Applies an item; panics when it contradicts what came before.
    pub(super) fn apply(&mut self, item: &LogItem) {
        match item {
            LogItem::Begin { .. } => assert!(!std::mem::replace(&mut self.in_transaction, true)),
            LogItem::Commit { .. } => {
                assert!(std::mem::replace(&mut self.in_transaction, false));
                self.transactions += 1;
            }
            LogItem::Relation(relation) => {
                self.relations.insert(relation.id, Arc::clone(relation));
            }
            LogItem::Insert { relation, new } => self.insert(*relation, row(new)),
            LogItem::Update { relation, old, new } => {
                let new = row(new);
                let key = old.as_ref().map_or_else(|| key(&new), old_key);
                self.remove(*relation, &key);
                self.insert(*relation, new);
            }
            LogItem::Delete { relation, old } => self.remove(*relation, &old_key(old)),
            LogItem::Truncate { relations, .. } => {
                for relation in relations {
                    self.table(*relation).clear();
                }
            }
            LogItem::Message { .. } | LogItem::Position(_) => {}
        }
    }

    fn table(&mut self, relation: u32) -> &mut BTreeMap<String, Row> {
        assert!(self.in_transaction);
        self.changes += 1;
        let relation = &self.relations[&relation];
        self.tables.entry(relation.table.clone()).or_default()
    }

    fn insert(&mut self, relation: u32, row: Row) {
        assert_eq!(row.len(), self.relations[&relation].columns.len());
        match self.table(relation).entry(key(&row)) {
            Entry::Vacant(place) => drop(place.insert(row)),
            Entry::Occupied(place) => panic!("{} is there already", place.key()),
        }
    }

    fn remove(&mut self, relation: u32, key: &str) {
        assert!(self.table(relation).remove(key).is_some(), "{key} is not there");
    }

    /// Compares a table row by row with what the server holds.
    pub(super) async fn assert_same(&self, scene: &Scene<'_>, table: &str) {
        let client = scene.server.client(&scene.database).await;
        let found = rows(&client, &format!("SELECT * FROM {table}")).await;
        let found: BTreeMap<String, Row> = found.into_iter().map(|row| (key(&row), row)).collect();
        let empty = BTreeMap::new();
        let ours = self.tables.get(table).unwrap_or(&empty);
        assert_eq!(ours.len(), found.len(), "rows of {table}");
        assert!(*ours == found, "rows of {table} differ");
    }
}

fn key(row: &Row) -> String {
    row[0].clone().unwrap()
}

fn old_key(old: &OldTuple) -> String {
    key(&row(&old.tuple))
}

/// A whole row; the tables of these tests have no values left out.
pub(super) fn row(tuple: &Tuple) -> Row {
    let text = |value: culvert_api::Result<Value<'_>>| match value.unwrap() {
        Value::Null => None,
        Value::Text(bytes) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
        Value::Unchanged | Value::Binary(_) => panic!("no text"),
    };
    tuple.columns().map(text).collect()
}

//! What a job measures for people who watch it: traffic per table and kind, checkpoints, queues.
//!
//! Written at every batch, so a batch costs one lock and no allocation once its table is known.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::batch::ChangeBatch;
use crate::row_kind::RowKind;
use crate::schema::TableId;

/// Tables that one end tells apart; rows of further ones are counted together, under [`Traffic::OTHERS`].
pub const TABLES_MAX: usize = 10_000;

/// Rows and bytes of one table at one end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flowed {
    /// Rows by kind, in the order of [`RowKind::ALL`].
    pub rows: [u64; 4],
    /// Bytes of the rows as they lie in memory.
    pub bytes: u64,
}

/// Rows and bytes that passed the ends of a job: what left a source, what a sink took.
#[derive(Debug, Default)]
pub struct Traffic(Mutex<BTreeMap<String, HashMap<TableId, Flowed>>>);

impl Traffic {
    /// The name of the tables past [`TABLES_MAX`].
    pub const OTHERS: &str = "*";

    /// Counts a batch at an end of the job.
    pub fn count(&self, end: &str, batch: &ChangeBatch) {
        let mut rows = [0u64; RowKind::ALL.len()];
        for kind in &batch.kinds {
            rows[*kind as usize] += 1;
        }
        let bytes = batch.memory_bytes() as u64;
        let mut ends = self.ends();
        if !ends.contains_key(end) {
            ends.insert(end.to_owned(), HashMap::new());
        }
        let Some(tables) = ends.get_mut(end) else { return };
        let flowed = match tables.get_mut(&batch.schema.id) {
            Some(flowed) => flowed,
            None => {
                let id = match tables.len() < TABLES_MAX {
                    true => batch.schema.id.clone(),
                    false => TableId::new("", Traffic::OTHERS),
                };
                tables.entry(id).or_default()
            }
        };
        flowed.rows.iter_mut().zip(rows).for_each(|(all, more)| *all += more);
        flowed.bytes += bytes;
    }

    /// What has passed: end, table, figures.
    pub fn totals(&self) -> Vec<(String, TableId, Flowed)> {
        let ends = self.ends();
        let of_end = |(end, tables): (&String, &HashMap<TableId, Flowed>)| {
            let end = end.clone();
            let of_table = move |(table, flowed): (&TableId, &Flowed)| (end.clone(), table.clone(), *flowed);
            tables.iter().map(of_table).collect::<Vec<_>>()
        };
        ends.iter().flat_map(of_end).collect()
    }

    fn ends(&self) -> MutexGuard<'_, BTreeMap<String, HashMap<TableId, Flowed>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest completed checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct LastCheckpoint {
    /// Its number.
    pub id: u64,
    /// When it was complete.
    pub ended: Instant,
    /// From its barrier to the last sink's commit.
    pub took: Duration,
    /// Bytes of the source's state in it.
    pub bytes: usize,
}

/// How many bytes wait in front of each sink, asked of the queues themselves.
#[derive(Default)]
pub struct Queues(Mutex<BTreeMap<String, Depth>>);

type Depth = Box<dyn Fn() -> u64 + Send>;

impl Queues {
    /// Says how the depth of a sink's queue is found; an earlier queue of the sink is forgotten.
    pub fn set(&self, sink: &str, depth: impl Fn() -> u64 + Send + 'static) {
        self.depths().insert(sink.to_owned(), Box::new(depth));
    }

    /// Bytes per sink, now.
    pub fn bytes(&self) -> Vec<(String, u64)> {
        self.depths().iter().map(|(sink, depth)| (sink.clone(), depth())).collect()
    }

    fn depths(&self) -> MutexGuard<'_, BTreeMap<String, Depth>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.bytes()).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int32Array, RecordBatch};
    use arrow_schema::DataType;

    use super::*;
    use crate::{Column, RowKindSet, RowPosition, TableSchema, Transaction};

    fn batch(table: &str, kinds: &[RowKind]) -> ChangeBatch {
        let columns = vec![Column::derived("id", DataType::Int32, false)];
        let id = TableId::new("shop", table);
        let schema = Arc::new(TableSchema::new(id, 1, columns, vec!["id".into()], RowKindSet::ALL));
        let ids: ArrayRef = Arc::new(Int32Array::from(vec![1; kinds.len()]));
        ChangeBatch {
            rows: RecordBatch::try_new(schema.arrow.clone(), vec![ids]).unwrap(),
            schema,
            kinds: kinds.to_vec(),
            positions: vec![RowPosition { transaction: 0, event: 0, row: 0 }; kinds.len()],
            transactions: vec![Transaction::logged("t", None)],
            unavailable: Vec::new(),
        }
    }

    #[test]
    fn rows_are_counted_per_end_table_and_kind() {
        use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
        let traffic = Traffic::default();
        traffic.count("source", &batch("a", &[Insert, Insert, Delete]));
        traffic.count("source", &batch("a", &[UpdateBefore, UpdateAfter]));
        traffic.count("sink", &batch("a", &[Insert]));
        let found: Vec<(String, String, [u64; 4])> = traffic
            .totals()
            .into_iter()
            .map(|(end, table, flowed)| (end, table.table, flowed.rows))
            .collect();
        let expected = [("sink", [1, 0, 0, 0]), ("source", [2, 1, 1, 1])];
        assert_eq!(found, expected.map(|(end, rows)| (end.to_owned(), "a".to_owned(), rows)));
        assert!(traffic.totals().iter().all(|(_, _, flowed)| flowed.bytes > 0));
    }

    #[test]
    fn tables_past_the_limit_are_counted_together() {
        let traffic = Traffic::default();
        for table in 0..TABLES_MAX + 5 {
            traffic.count("source", &batch(&format!("t{table}"), &[RowKind::Insert]));
        }
        let totals = traffic.totals();
        assert_eq!(totals.len(), TABLES_MAX + 1);
        let others = totals.iter().find(|(_, table, _)| table.table == Traffic::OTHERS).unwrap();
        assert_eq!(others.2.rows, [5, 0, 0, 0]);
    }
}

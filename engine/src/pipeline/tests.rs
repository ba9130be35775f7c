//! The eight steps with a source and sinks in memory, whose faults are exact.

#![allow(clippy::unwrap_used)]

mod apart;
mod graphs;
mod memory;

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::DataType;
use async_trait::async_trait;
use culvert_api::{
    Boundedness, ChangeBatch, Column, Finding, ReaderContext, Result, RowKind, RowKindSet, RowPosition,
    Source, SourceEvent, SourceReader, SourceState, Split, SplitEnumerator, SplitFinished, TableId,
    TableSchema,
};

use memory::{Memory, Scene};

const BATCHES: u64 = 60;
const ROWS: usize = 500;

fn schema(table: u64) -> Arc<TableSchema> {
    let columns = vec![Column::derived("n", DataType::Int64, false)];
    let id = TableId::new("db", format!("t{table}"));
    Arc::new(TableSchema::new(id, 0, columns, Vec::new(), RowKindSet::INSERT_ONLY))
}

/// Emits the numbers from 0 on, `rows` to a batch; each batch is a transaction.
struct Numbers {
    table: u64,
    batches: u64,
    rows: usize,
    /// The first number.
    from: i64,
}

impl Numbers {
    fn of(table: u64) -> Numbers {
        Numbers { table, batches: BATCHES, rows: ROWS, from: 0 }
    }
}

struct NumbersReader {
    schema: Arc<TableSchema>,
    batches: u64,
    rows: usize,
    from: i64,
    next: u64,
    barrier: bool,
    ended: bool,
}

struct NoSplits;

#[async_trait]
impl SplitEnumerator for NoSplits {
    async fn next_splits(&mut self, _wanted: usize) -> Result<Vec<Split>> {
        Ok(Vec::new())
    }
    fn add_splits_back(&mut self, _splits: Vec<Split>) {}
    fn split_finished(&mut self, _finished: SplitFinished) -> Result<()> {
        Ok(())
    }
    fn snapshot_state(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Source for Numbers {
    fn name(&self) -> &str {
        "Numbers"
    }
    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }
    async fn check(&self) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }
    async fn tables(&self, _state: Option<&SourceState>) -> Result<Vec<Arc<TableSchema>>> {
        Ok(vec![schema(self.table)])
    }
    async fn enumerator(
        &self,
        _: ReaderContext,
        _: Option<&SourceState>,
    ) -> Result<Box<dyn SplitEnumerator>> {
        Ok(Box::new(NoSplits))
    }
    async fn reader(&self, _: ReaderContext, state: Option<&SourceState>) -> Result<Box<dyn SourceReader>> {
        let next = state.map_or(0, |state| u64::from_le_bytes(state.reader.clone().try_into().unwrap()));
        let Numbers { table, batches, rows, from } = *self;
        let schema = schema(table);
        Ok(Box::new(NumbersReader { schema, batches, rows, from, next, barrier: false, ended: false }))
    }
}

#[async_trait]
impl SourceReader for NumbersReader {
    fn splits_wanted(&self) -> usize {
        0
    }
    fn add_splits(&mut self, _splits: Vec<Split>) -> Result<()> {
        Ok(())
    }
    async fn next(&mut self) -> Result<SourceEvent> {
        tokio::task::yield_now().await;
        if std::mem::take(&mut self.barrier) {
            let reader = self.next.to_le_bytes().to_vec();
            return Ok(SourceEvent::Barrier { reader, position: self.next.to_string() });
        }
        if self.next == self.batches {
            return Ok(if std::mem::replace(&mut self.ended, true) {
                SourceEvent::Idle
            } else {
                SourceEvent::End
            });
        }
        let count = self.rows as i64;
        let first = self.from + self.next as i64 * count;
        let numbers = Int64Array::from_iter_values(first..first + count);
        let schema = Arc::clone(&self.schema);
        let rows = RecordBatch::try_new(Arc::clone(&schema.arrow), vec![Arc::new(numbers)]).unwrap();
        let positions =
            (0..self.rows as u32).map(|row| RowPosition { transaction: 0, event: 0, row }).collect();
        let transactions = vec![culvert_api::Transaction::logged(self.next.to_string(), None)];
        self.next += 1;
        Ok(SourceEvent::Batch(ChangeBatch {
            schema,
            rows,
            kinds: vec![RowKind::Insert; self.rows],
            positions,
            transactions,
            unavailable: Vec::new(),
        }))
    }
    fn request_barrier(&mut self) {
        self.barrier = true;
    }
    async fn checkpoint_complete(&mut self, _state: &SourceState) -> Result<()> {
        Ok(())
    }
    async fn close(&mut self) {}
}

fn every_number() -> Vec<i64> {
    (0..BATCHES as i64 * ROWS as i64).collect()
}

/// Runs a job with one sink to its end and returns what the target holds.
async fn run_with(faults: &[(u64, bool)], queue_bytes_max: usize) -> (Vec<i64>, u64) {
    let sink = Memory::failing(faults);
    Scene { queue_bytes_max, ..Scene::of(vec![sink.stops()]) }.run().await;
    (sink.rows(), sink.commits())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_arrives_once_and_in_order() {
    let (rows, commits) = run_with(&[], 1 << 20).await;
    assert_eq!(rows, every_number());
    assert!(commits >= 2, "checkpoints were taken on the way: {commits}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_behind_a_barrier_does_not_stop_the_commit() {
    // Less than one batch fits: the source waits for room nearly always.
    assert_eq!(run_with(&[], 1).await.0, every_number());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_and_failed_commits_neither_lose_nor_repeat_rows() {
    let faults = [(1, false), (2, true), (4, true), (5, false), (6, true)];
    assert_eq!(run_with(&faults, 1 << 16).await.0, every_number());
}

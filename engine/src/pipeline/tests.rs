//! The eight steps with a source and a sink in memory, whose faults are exact.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::DataType;
use async_trait::async_trait;
use culvert_api::{
    Boundedness, ChangeBatch, Checkpoint, Column, CommitMarker, Committable, Committer, DeliveryContract,
    Error, ErrorKind, Finding, JobProgress, OpenSink, ReaderContext, Result, RowKind, RowKindSet,
    RowPosition, SchemaChange, Sink, SinkWriter, Source, SourceEvent, SourceReader, SourceState, Split,
    SplitEnumerator, SplitFinished, StateStore, TableId, TableSchema, WriterContext,
};

use crate::graph::{JobGraph, Node, NodeKind};
use crate::pipeline::Ended;
use crate::settings::{Settings, stop_channel};
use crate::supervisor::{Job, run};

const BATCHES: u64 = 60;
const ROWS: usize = 500;

fn schema() -> Arc<TableSchema> {
    let columns = vec![Column::derived("n", DataType::Int64, false)];
    Arc::new(TableSchema::new(TableId::new("db", "t"), 0, columns, Vec::new(), RowKindSet::INSERT_ONLY))
}

/// Emits the numbers from 0 on, `ROWS` to a batch; each batch is a transaction.
struct Numbers;

struct NumbersReader {
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
        Ok(vec![schema()])
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
        Ok(Box::new(NumbersReader { next, barrier: false, ended: false }))
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
        if self.next == BATCHES {
            return Ok(if std::mem::replace(&mut self.ended, true) {
                SourceEvent::Idle
            } else {
                SourceEvent::End
            });
        }
        let first = self.next as i64 * ROWS as i64;
        let numbers = Int64Array::from_iter_values(first..first + ROWS as i64);
        let schema = schema();
        let rows = RecordBatch::try_new(Arc::clone(&schema.arrow), vec![Arc::new(numbers)]).unwrap();
        let positions = (0..ROWS as u32).map(|row| RowPosition { transaction: 0, event: 0, row }).collect();
        let transactions = vec![Arc::from(self.next.to_string())];
        self.next += 1;
        Ok(SourceEvent::Batch(ChangeBatch {
            schema,
            rows,
            kinds: vec![RowKind::Insert; ROWS],
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

/// What goes wrong at a commit, once each, in order: the number of the commit from 1, and whether
/// it took effect although its answer was lost.
type Faults = VecDeque<(u64, bool)>;

#[derive(Default)]
struct Target {
    rows: Vec<i64>,
    marker: Option<CommitMarker>,
    commits: u64,
    faults: Faults,
}

#[derive(Clone)]
struct Memory(Arc<Mutex<Target>>, Arc<Mutex<Staged>>);

#[derive(Default)]
struct Staged {
    rows: Vec<i64>,
    marker: Option<CommitMarker>,
}

#[async_trait]
impl Sink for Memory {
    fn name(&self) -> &str {
        "Memory"
    }
    fn contract(&self) -> DeliveryContract {
        DeliveryContract::ExactlyOnce
    }
    async fn check(&self, _tables: &[Arc<TableSchema>]) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }
    async fn open(&self, context: &WriterContext) -> Result<OpenSink> {
        let mut target = self.0.lock().unwrap();
        let marker = target.marker.clone();
        let kept = marker.clone().unwrap_or(CommitMarker {
            job: context.job.clone(),
            sink: context.sink.clone(),
            writer: 0,
            epoch: 0,
            checkpoint: 0,
            source: None,
        });
        target.marker = Some(CommitMarker { epoch: context.epoch, ..kept });
        *self.1.lock().unwrap() = Staged::default();
        Ok(OpenSink { writer: Box::new(self.clone()), committer: Box::new(self.clone()), marker })
    }
    async fn committed(&self, _job: &str, _sink: &str) -> Result<Option<CommitMarker>> {
        Ok(self.0.lock().unwrap().marker.clone())
    }
    async fn forget(&self, _job: &str, _sink: &str) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl SinkWriter for Memory {
    async fn prepare_tables(&mut self, _tables: &[Arc<TableSchema>], _fresh: bool) -> Result<()> {
        Ok(())
    }
    async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        let numbers = batch.rows.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
        self.1.lock().unwrap().rows.extend(numbers.values());
        Ok(())
    }
    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }
    async fn apply_schema_change(&mut self, _change: &SchemaChange) -> Result<()> {
        Ok(())
    }
    async fn prepare_commit(&mut self, marker: &CommitMarker) -> Result<Committable> {
        self.1.lock().unwrap().marker = Some(marker.clone());
        Ok(Committable { checkpoint: marker.checkpoint, body: Vec::new() })
    }
    async fn close(&mut self) {}
}

#[async_trait]
impl Committer for Memory {
    async fn commit(&mut self, _committable: &Committable) -> Result<()> {
        let mut target = self.0.lock().unwrap();
        target.commits += 1;
        let fault = match target.faults.front() {
            Some((number, effect)) if *number == target.commits => Some(*effect),
            _ => None,
        };
        if fault.is_some() {
            target.faults.pop_front();
        }
        if fault != Some(false) {
            let staged = std::mem::take(&mut *self.1.lock().unwrap());
            target.rows.extend(staged.rows);
            target.marker = staged.marker;
        }
        match fault {
            None => Ok(()),
            Some(_) => Err(Error::new(ErrorKind::Connection, "the answer never came")),
        }
    }
    async fn abort(&mut self, _committable: &Committable) -> Result<()> {
        Ok(())
    }
}

#[derive(Default)]
struct Kept(Mutex<(Vec<Checkpoint>, u64)>);

impl StateStore for Kept {
    fn load(&self) -> Result<Vec<Checkpoint>> {
        Ok(self.0.lock().unwrap().0.clone())
    }
    fn save(&self, checkpoint: &Checkpoint) -> Result<()> {
        self.0.lock().unwrap().0.push(checkpoint.clone());
        Ok(())
    }
    fn prune_below(&self, from: u64) -> Result<()> {
        self.0.lock().unwrap().0.retain(|checkpoint| checkpoint.id >= from);
        Ok(())
    }
    fn prune_above(&self, last: u64) -> Result<()> {
        self.0.lock().unwrap().0.retain(|checkpoint| checkpoint.id <= last);
        Ok(())
    }
    fn next_epoch(&self, above: u64) -> Result<u64> {
        let mut kept = self.0.lock().unwrap();
        kept.1 = kept.1.max(above) + 1;
        Ok(kept.1)
    }
    fn reset(&self) -> Result<()> {
        Ok(())
    }
}

/// Runs the job to its end and returns what the target holds.
async fn run_with(faults: &[(u64, bool)], queue_bytes_max: usize) -> (Vec<i64>, u64) {
    let target =
        Arc::new(Mutex::new(Target { faults: faults.iter().copied().collect(), ..Target::default() }));
    let sink = Memory(Arc::clone(&target), Arc::default());
    let job = Job {
        name: "numbers".into(),
        graph: JobGraph {
            nodes: vec![
                Node { name: "numbers".into(), kind: NodeKind::Source(Arc::new(Numbers)), inputs: vec![] },
                Node { name: "memory".into(), kind: NodeKind::Sink(Arc::new(sink)), inputs: vec![0] },
            ],
        },
        store: Arc::new(Kept::default()),
        settings: Settings {
            checkpoint_interval: Duration::ZERO,
            retry_initial: Duration::from_millis(1),
            queue_bytes_max,
            ..Settings::default()
        },
        progress: Arc::new(JobProgress::default()),
    };
    let (_keep, stop) = stop_channel();
    let ended = tokio::time::timeout(Duration::from_secs(60), run(&job, stop)).await;
    assert_eq!(ended.expect("the job does not hang").unwrap(), Ended::Finished);
    let target = target.lock().unwrap();
    (target.rows.clone(), target.commits)
}

fn every_number() -> Vec<i64> {
    (0..BATCHES as i64 * ROWS as i64).collect()
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

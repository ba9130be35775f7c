//! Sink, store and spool in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::Int64Array;
use async_trait::async_trait;
use culvert_api::{
    ChangeBatch, Checkpoint, CommitMarker, Committable, Committer, DeliveryContract, Error, ErrorKind,
    Finding, JobProgress, OpenSink, Result, SchemaChange, SegmentReader, Sink, SinkWriter, SourceState,
    Spool, SpoolItem, StateStore, TableSchema, WriterContext,
};

use super::Numbers;
use crate::graph::{FailurePolicy, JobGraph, Node, NodeKind, needs_spool};
use crate::pipeline::Ended;
use crate::settings::{Settings, StopSignal, stop_channel};
use crate::supervisor::{Job, run};

/// What goes wrong at a commit, once each, in order: the number of the commit from 1, and whether
/// it took effect although its answer was lost.
type Faults = VecDeque<(u64, bool)>;

#[derive(Default)]
struct Target {
    rows: Vec<i64>,
    marker: Option<CommitMarker>,
    commits: u64,
    faults: Faults,
    /// How often it cannot be reached, from the first failed commit on.
    away: u32,
    /// What being away looks like.
    away_kind: Option<ErrorKind>,
    failed: bool,
}

/// A target, seen by everyone who opens it.
#[derive(Clone)]
pub(super) struct Memory(Arc<Mutex<Target>>);

/// A writer and committer of it.
struct Opened {
    target: Memory,
    epoch: u64,
    staged: Arc<Mutex<Staged>>,
}

#[derive(Default)]
struct Staged {
    rows: Vec<i64>,
    marker: Option<CommitMarker>,
}

impl Memory {
    pub(super) fn failing(faults: &[(u64, bool)]) -> Memory {
        let faults = faults.iter().copied().collect();
        Memory(Arc::new(Mutex::new(Target { faults, ..Target::default() })))
    }

    /// After its first failed commit it cannot be reached this many times.
    pub(super) fn away(self, times: u32, kind: ErrorKind) -> Memory {
        {
            let mut target = self.0.lock().unwrap();
            (target.away, target.away_kind) = (times, Some(kind));
        }
        self
    }

    /// Another run takes it over, once it has failed.
    pub(super) fn taken_over(&self) -> bool {
        let mut target = self.0.lock().unwrap();
        let failed = target.failed;
        if let Some(marker) = target.marker.as_mut().filter(|_| failed) {
            marker.epoch = 1_000;
        }
        failed
    }

    pub(super) fn rows(&self) -> Vec<i64> {
        self.0.lock().unwrap().rows.clone()
    }

    pub(super) fn commits(&self) -> u64 {
        self.0.lock().unwrap().commits
    }

    pub(super) fn checkpoint(&self) -> u64 {
        self.0.lock().unwrap().marker.as_ref().map_or(0, |marker| marker.checkpoint)
    }

    pub(super) fn stops(&self) -> (Memory, FailurePolicy) {
        (self.clone(), FailurePolicy::Stop)
    }

    pub(super) fn is_held(&self) -> (Memory, FailurePolicy) {
        (self.clone(), FailurePolicy::Hold)
    }

    fn reach(&self) -> Result<()> {
        let mut target = self.0.lock().unwrap();
        if target.failed && target.away > 0 {
            target.away -= 1;
            return Err(Error::new(target.away_kind.unwrap(), "the target cannot be reached"));
        }
        Ok(())
    }
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
        self.reach()?;
        let mut target = self.0.lock().unwrap();
        let marker = target.marker.clone();
        if marker.as_ref().is_some_and(|marker| marker.epoch >= context.epoch) {
            return Err(Error::new(ErrorKind::Fenced, "an epoch that is not larger"));
        }
        let kept = marker.clone().unwrap_or(CommitMarker {
            job: context.job.clone(),
            sink: context.sink.clone(),
            writer: 0,
            epoch: 0,
            checkpoint: 0,
            source: None,
        });
        target.marker = Some(CommitMarker { epoch: context.epoch, ..kept });
        let staged = Arc::default();
        let half = || Opened { target: self.clone(), epoch: context.epoch, staged: Arc::clone(&staged) };
        Ok(OpenSink { writer: Box::new(half()), committer: Box::new(half()), marker })
    }
    async fn committed(&self, _job: &str, _sink: &str, _writer: u32) -> Result<Option<CommitMarker>> {
        self.reach()?;
        Ok(self.0.lock().unwrap().marker.clone())
    }
    async fn forget(&self, _job: &str, _sink: &str) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl SinkWriter for Opened {
    async fn prepare_tables(&mut self, _tables: &[Arc<TableSchema>], _fresh: bool) -> Result<()> {
        Ok(())
    }
    async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        let numbers = batch.rows.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
        self.staged.lock().unwrap().rows.extend(numbers.values());
        Ok(())
    }
    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }
    async fn apply_schema_change(&mut self, _change: &SchemaChange) -> Result<()> {
        Ok(())
    }
    async fn prepare_commit(&mut self, marker: &CommitMarker) -> Result<Committable> {
        self.staged.lock().unwrap().marker = Some(marker.clone());
        Ok(Committable { checkpoint: marker.checkpoint, body: Vec::new() })
    }
    async fn close(&mut self) {}
}

#[async_trait]
impl Committer for Opened {
    async fn commit(&mut self, committable: &Committable) -> Result<()> {
        let mut target = self.target.0.lock().unwrap();
        if target.marker.as_ref().is_some_and(|marker| marker.epoch != self.epoch) {
            return Err(Error::new(ErrorKind::Fenced, "another epoch"));
        }
        target.commits += 1;
        let fault = match target.faults.front() {
            Some((number, effect)) if *number == target.commits => Some(*effect),
            _ => None,
        };
        if fault.is_some() {
            target.faults.pop_front();
            target.failed = true;
        }
        if fault != Some(false) {
            let staged = std::mem::take(&mut *self.staged.lock().unwrap());
            let before = target.marker.as_ref().map_or(0, |marker| marker.checkpoint);
            assert_eq!(committable.checkpoint, before + 1, "checkpoints without a gap");
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

/// A store that keeps everything.
#[derive(Default)]
pub(super) struct Kept(Mutex<(Vec<Checkpoint>, u64)>);

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

#[derive(Clone)]
struct Segment {
    behind: (u64, Option<SourceState>),
    items: Vec<SpoolItem>,
    checkpoint: Checkpoint,
}

/// A spool that keeps its promises in memory.
#[derive(Default)]
pub(super) struct Spooled(Mutex<Segments>);

#[derive(Default)]
struct Segments {
    sealed: Vec<Segment>,
    behind: (u64, Option<SourceState>),
    open: Vec<SpoolItem>,
    tables: Vec<Arc<TableSchema>>,
}

struct Reading(Segment);

impl SegmentReader for Reading {
    fn checkpoint(&self) -> &Checkpoint {
        &self.0.checkpoint
    }
    fn next(&mut self) -> Result<Option<SpoolItem>> {
        Ok((!self.0.items.is_empty()).then(|| self.0.items.remove(0)))
    }
}

impl Spool for Spooled {
    fn start(&self, last: (u64, Option<&SourceState>), tables: &[Arc<TableSchema>]) -> Result<()> {
        let mut segments = self.0.lock().unwrap();
        segments.tables = tables.to_vec();
        segments.sealed.retain(|segment| segment.checkpoint.id <= last.0);
        segments.open.clear();
        segments.behind = (last.0, last.1.cloned());
        Ok(())
    }
    fn append(&self, item: &SpoolItem) -> Result<()> {
        self.0.lock().unwrap().open.push(item.clone());
        Ok(())
    }
    fn tables(&self, _checkpoint: u64) -> Result<Vec<Arc<TableSchema>>> {
        Ok(self.0.lock().unwrap().tables.clone())
    }
    fn seal(&self, checkpoint: &Checkpoint, _tables: Option<&[Arc<TableSchema>]>) -> Result<()> {
        let mut segments = self.0.lock().unwrap();
        let items = std::mem::take(&mut segments.open);
        let next = (checkpoint.id, Some(checkpoint.source.clone()));
        let behind = std::mem::replace(&mut segments.behind, next);
        segments.sealed.push(Segment { behind, items, checkpoint: checkpoint.clone() });
        Ok(())
    }
    fn verify(&self, behind: (u64, Option<&SourceState>), up_to: &Checkpoint) -> Result<()> {
        let mismatch = || Error::new(ErrorKind::StateMismatch, "the segments do not fit");
        let segments = self.0.lock().unwrap();
        let mut before = (behind.0, behind.1.cloned());
        while before.0 < up_to.id {
            let next =
                segments.sealed.iter().find(|segment| segment.behind == before).ok_or_else(mismatch)?;
            before = (next.checkpoint.id, Some(next.checkpoint.source.clone()));
        }
        if before == (up_to.id, Some(up_to.source.clone())) { Ok(()) } else { Err(mismatch()) }
    }
    fn read(&self, checkpoint: u64) -> Result<Box<dyn SegmentReader>> {
        let segments = self.0.lock().unwrap();
        let found = segments.sealed.iter().find(|segment| segment.checkpoint.id == checkpoint).cloned();
        let missing = || Error::new(ErrorKind::StateMismatch, "the segment is missing");
        Ok(Box::new(Reading(found.ok_or_else(missing)?)))
    }
    fn forget(&self, up_to: u64) -> Result<()> {
        self.0.lock().unwrap().sealed.retain(|segment| segment.checkpoint.id > up_to);
        Ok(())
    }
    fn bytes(&self) -> u64 {
        self.0.lock().unwrap().sealed.iter().map(|segment| segment.items.len() as u64).sum()
    }
}

/// Makes the nodes from a seed, the seed, and which nodes each sink reads.
type Before = (fn(u64) -> Vec<Node>, u64, Vec<Vec<usize>>);

/// A job, from the numbers into these sinks where no other nodes are given.
pub(super) struct Scene {
    pub(super) sinks: Vec<(Memory, FailurePolicy)>,
    /// What stands before the sinks, and which of it each sink reads.
    pub(super) before: Option<Before>,
    pub(super) store: Arc<Kept>,
    pub(super) spool: Arc<Spooled>,
    pub(super) queue_bytes_max: usize,
    pub(super) spool_bytes_max: u64,
}

impl Scene {
    pub(super) fn of(sinks: Vec<(Memory, FailurePolicy)>) -> Scene {
        Scene {
            sinks,
            before: None,
            store: Arc::default(),
            spool: Arc::default(),
            queue_bytes_max: 1 << 20,
            spool_bytes_max: 1 << 30,
        }
    }

    pub(super) fn job(&self) -> Job {
        let node = |name: String, kind, inputs, on_failure| Node { name, kind, inputs, on_failure };
        let (mut nodes, inputs) = match &self.before {
            Some((make, seed, inputs)) => (make(*seed), inputs.clone()),
            None => {
                let source = NodeKind::Source(Arc::new(Numbers::of(0)));
                let numbers = node("numbers".into(), source, vec![], FailurePolicy::Stop);
                (vec![numbers], vec![vec![0]; self.sinks.len()])
            }
        };
        for (at, ((sink, policy), inputs)) in self.sinks.iter().zip(inputs).enumerate() {
            let sink = NodeKind::Sink(Arc::new(sink.clone()));
            nodes.push(node(format!("memory-{at}"), sink, inputs, *policy));
        }
        let graph = JobGraph { nodes };
        let spooled = needs_spool(&graph.branches().unwrap().1);
        Job {
            name: "numbers".into(),
            graph,
            store: Some(Arc::clone(&self.store) as Arc<dyn StateStore>),
            spool: spooled.then(|| Arc::clone(&self.spool) as Arc<dyn Spool>),
            settings: Settings {
                checkpoint_interval: Duration::ZERO,
                retry_initial: Duration::from_millis(1),
                retry_longest: Duration::from_millis(5),
                queue_bytes_max: self.queue_bytes_max,
                spool_bytes_max: self.spool_bytes_max,
                ..Settings::default()
            },
            progress: Arc::new(JobProgress::default()),
        }
    }

    /// Runs the job until it ends by itself or is stopped.
    pub(super) async fn run_until(&self, stop: StopSignal) -> Result<Ended> {
        let job = self.job();
        let ended = tokio::time::timeout(Duration::from_secs(60), run(&job, stop)).await;
        ended.expect("the job does not hang")
    }

    /// Runs the job to its end.
    pub(super) async fn run(&self) {
        let (_keep, stop) = stop_channel();
        assert_eq!(self.run_until(stop).await.unwrap(), Ended::Finished);
    }
}

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::sync::Mutex;

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use culvert_api::{
    ChangeBatch, Column, JobProgress, RowKind, RowKindSet, RowPosition, SchemaChange, TableId, Transaction,
};

use super::*;

/// What a scripted source does next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Row(i64),
    /// A barrier of its own and a change of shape behind it.
    Ddl,
}

/// Plays its acts one by one, then ends; what it was told is kept.
struct Script {
    acts: Vec<Act>,
    forgotten: Arc<Mutex<Vec<u64>>>,
}

struct Playing {
    acts: Vec<Act>,
    next: usize,
    ready: VecDeque<SourceEvent>,
    barrier: bool,
    ended: bool,
    forgotten: Arc<Mutex<Vec<u64>>>,
}

fn table(version: u64) -> Arc<TableSchema> {
    let columns = vec![Column::derived("n", DataType::Int64, false)];
    Arc::new(TableSchema::new(TableId::new("db", "t"), version, columns, vec![], RowKindSet::ALL))
}

fn row(number: i64) -> ChangeBatch {
    let schema = table(0);
    let numbers: arrow_array::ArrayRef = Arc::new(arrow_array::Int64Array::from(vec![number]));
    ChangeBatch {
        rows: RecordBatch::try_new(Arc::clone(&schema.arrow), vec![numbers]).unwrap(),
        schema,
        kinds: vec![RowKind::Insert],
        positions: vec![RowPosition { transaction: 0, event: 0, row: 0 }],
        transactions: vec![Transaction::logged("t", None)],
        unavailable: vec![],
    }
}

fn number(batch: &ChangeBatch) -> i64 {
    batch.rows.column(0).as_any().downcast_ref::<arrow_array::Int64Array>().unwrap().value(0)
}

#[async_trait]
impl Source for Script {
    fn name(&self) -> &str {
        "Script"
    }
    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }
    async fn check(&self) -> Result<Vec<Finding>> {
        Ok(vec![])
    }
    async fn tables(&self, _: Option<&SourceState>) -> Result<Vec<Arc<TableSchema>>> {
        Ok(vec![table(0)])
    }
    async fn enumerator(
        &self,
        _: ReaderContext,
        _: Option<&SourceState>,
    ) -> Result<Box<dyn SplitEnumerator>> {
        Ok(Box::new(InTheReader))
    }
    async fn reader(&self, _: ReaderContext, state: Option<&SourceState>) -> Result<Box<dyn SourceReader>> {
        let next = state.map_or(0, |state| usize::from(state.reader[0]));
        Ok(Box::new(Playing {
            acts: self.acts.clone(),
            next,
            ready: VecDeque::new(),
            barrier: false,
            ended: false,
            forgotten: Arc::clone(&self.forgotten),
        }))
    }
}

#[async_trait]
impl SourceReader for Playing {
    fn splits_wanted(&self) -> usize {
        0
    }
    fn add_splits(&mut self, _: Vec<Split>) -> Result<()> {
        Ok(())
    }
    async fn next(&mut self) -> Result<SourceEvent> {
        tokio::task::yield_now().await;
        if let Some(event) = self.ready.pop_front() {
            return Ok(event);
        }
        let at = u8::try_from(self.next).unwrap();
        let barrier = || SourceEvent::Barrier { reader: vec![at], position: at.to_string() };
        if std::mem::take(&mut self.barrier) {
            return Ok(barrier());
        }
        match self.acts.get(self.next) {
            Some(Act::Row(number)) => {
                self.next += 1;
                Ok(SourceEvent::Batch(row(*number)))
            }
            Some(Act::Ddl) => {
                let barrier = barrier();
                self.next += 1;
                let (before, after) = (Some(table(0)), Some(table(1)));
                let change = SchemaChange { before, after, statement: "ALTER".into() };
                self.ready.push_back(SourceEvent::SchemaChange(change));
                Ok(barrier)
            }
            None => Ok(if std::mem::replace(&mut self.ended, true) {
                SourceEvent::Idle
            } else {
                SourceEvent::End
            }),
        }
    }
    fn request_barrier(&mut self) {
        self.barrier = true;
    }
    async fn checkpoint_complete(&mut self, state: &SourceState) -> Result<()> {
        self.forgotten.lock().unwrap().push(u64::from(state.reader[0]));
        Ok(())
    }
    async fn close(&mut self) {}
}

type Forgotten = Arc<Mutex<Vec<u64>>>;

fn sources(scripts: &[&[Act]]) -> (Sources, Vec<Forgotten>) {
    let forgotten: Vec<Forgotten> = scripts.iter().map(|_| Arc::default()).collect();
    let sources = scripts.iter().zip(&forgotten).enumerate().map(|(at, (acts, forgotten))| {
        let script = Script { acts: acts.to_vec(), forgotten: Arc::clone(forgotten) };
        (format!("s{at}"), Arc::new(script) as Arc<dyn Source>)
    });
    (Sources::new(sources.collect()), forgotten)
}

fn context() -> ReaderContext {
    ReaderContext { job: "j".into(), source: "s".into(), progress: Arc::new(JobProgress::default()) }
}

/// Plays to the end; a barrier is asked for before every `every`-th event. What came, in order.
async fn play(sources: &Sources, state: Option<&SourceState>, every: usize) -> Vec<SourceEvent> {
    let mut reader = sources.reader(context(), state).await.unwrap();
    let mut events = Vec::new();
    let (mut ended, mut calls) = (false, 0);
    loop {
        calls += 1;
        if ended || calls % every == 0 {
            reader.request_barrier();
        }
        match reader.next().await.unwrap() {
            SourceEvent::Idle => {}
            SourceEvent::End => ended = true,
            event => {
                let last = ended && matches!(event, SourceEvent::Barrier { .. });
                events.push(event);
                if last {
                    reader.close().await;
                    return events;
                }
            }
        }
    }
}

const A: &[Act] = &[Act::Row(1), Act::Row(2), Act::Ddl, Act::Row(3), Act::Ddl, Act::Ddl, Act::Row(4)];
const B: &[Act] = &[Act::Row(10), Act::Ddl, Act::Row(11)];
const C: &[Act] = &[];

fn rows_of(events: &[SourceEvent], source: u32) -> Vec<i64> {
    let rows = events.iter().filter_map(|event| match event {
        SourceEvent::Batch(batch) if batch.schema.source == source => Some(number(batch)),
        _ => None,
    });
    rows.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_comes_once_in_the_order_of_its_source() {
    for every in 2..12 {
        let events = play(&sources(&[A, B, C]).0, None, every).await;
        assert_eq!(rows_of(&events, 0), [1, 2, 3, 4]);
        assert_eq!(rows_of(&events, 1), [10, 11]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_shape_follows_its_barrier_directly() {
    for every in 2..30 {
        let events = play(&sources(&[A, B, C]).0, None, every).await;
        let mut changes = 0;
        for (at, event) in events.iter().enumerate() {
            if !matches!(event, SourceEvent::SchemaChange(_)) {
                continue;
            }
            changes += 1;
            let before = events[..at].iter().rev().find(|e| !matches!(e, SourceEvent::SchemaChange(_)));
            assert!(matches!(before, Some(SourceEvent::Barrier { .. })), "rows between: {events:?}");
        }
        assert_eq!(changes, 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_at_any_barrier_goes_on_without_a_gap_or_a_repeat() {
    for every in 2..8 {
        let (all, _) = sources(&[A, B, C]);
        let events = play(&all, None, every).await;
        for (at, event) in events.iter().enumerate() {
            let SourceEvent::Barrier { reader, .. } = event else { continue };
            let state = SourceState { enumerator: vec![], reader: reader.clone() };
            let rest = play(&all, Some(&state), every).await;
            for source in [0, 1] {
                let mut rows = rows_of(&events[..at], source);
                rows.extend(rows_of(&rest, source));
                assert_eq!(rows, rows_of(&events, source), "restarted at event {at}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_source_is_told_what_it_may_forget() {
    let (all, forgotten) = sources(&[A, B]);
    let mut reader = all.reader(context(), None).await.unwrap();
    let states = [("s0", state_of(3)), ("s1", state_of(1))];
    let state = SourceState { enumerator: vec![], reader: state::join(&states).unwrap() };
    reader.checkpoint_complete(&state).await.unwrap();
    reader.close().await;
    assert_eq!(forgotten.iter().map(|told| told.lock().unwrap().clone()).collect::<Vec<_>>(), [[3], [1]]);
}

fn state_of(at: u8) -> SourceState {
    SourceState { enumerator: vec![7], reader: vec![at] }
}

#[test]
fn the_state_of_several_is_that_of_each_by_name() {
    let bytes = state::join(&[("a", state_of(1)), ("b", state_of(2))]).unwrap();
    assert_eq!(
        bytes,
        b"CVSOURCE\x01\x01\0\0\0a\x01\0\0\0\x07\x01\0\0\0\x01\x01\0\0\0b\x01\0\0\0\x07\x01\0\0\0\x02"
    );
    let stored = SourceState { enumerator: vec![], reader: bytes };
    let split = |names: &[&'static str]| state::split(&stored, names.iter().copied());
    assert_eq!(split(&["b", "a"]).unwrap(), [state_of(2), state_of(1)]);
    for (names, told) in [(&["a"][..], "'b'"), (&["a", "c"], "'c'"), (&["a", "b", "c"], "'c'")] {
        let error = split(names).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StateMismatch);
        assert!(error.to_string().contains(told), "{error}");
    }
    for damaged in [&stored.reader[..12], b"CVSOURCE\x02", b"something else"] {
        let state = SourceState { enumerator: vec![], reader: damaged.to_vec() };
        assert_eq!(state::split(&state, ["a"].into_iter()).unwrap_err().kind(), ErrorKind::StateMismatch);
    }
}

#[test]
fn more_sources_than_there_are_bits_are_refused() {
    assert!(Labels::of(SOURCES_MAX - 1).is_ok());
    assert_eq!(Labels::of(SOURCES_MAX).err().unwrap().kind(), ErrorKind::Unsupported);
}

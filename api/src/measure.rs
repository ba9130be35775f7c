//! What a job measures for people who watch it: traffic per table and kind, checkpoints, queues, and where its
//! sources stand in the logs of their servers.
//!
//! Traffic is written at every batch, so a batch costs one lock and no allocation once its table is known. Where a
//! source stands its server is asked now and then, by somebody the stream does not wait for.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::batch::ChangeBatch;
use crate::progress::JobProgress;
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

/// Where a source stands in the log of its server, and what the server keeps of that log, as it said last. A
/// figure is absent where the server does not tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStanding {
    /// Bytes of log between what every sink has committed and the log's end.
    pub lag_bytes: Option<u64>,
    /// Bytes of log between what the source has read and the log's end.
    pub unread_bytes: Option<u64>,
    /// Transactions that the server has committed, and not every sink.
    pub lag_transactions: Option<u64>,
    /// Messages that are in a topic, and that not every sink has committed.
    pub lag_messages: Option<u64>,
    /// What a replication slot keeps.
    pub slot: Option<SlotRetention>,
    /// How far a binlog's file is from being purged.
    pub purge: Option<PurgeDistance>,
}

/// What a replication slot of PostgreSQL makes its server keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRetention {
    /// Bytes of WAL from the slot's `restart_lsn` to the end.
    pub retained_bytes: u64,
    /// `safe_wal_size`: bytes that can still be written before the slot may be lost; below zero it may be at any
    /// time. Absent where `max_slot_wal_keep_size` sets no limit.
    pub safe_bytes: Option<i64>,
    /// `wal_status`: `reserved`, `extended`, `unreserved`, `lost`.
    pub wal_status: String,
}

/// What lies in front of the binlog file that a job would go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeDistance {
    /// Older files that the server still has. Zero: this one is the next to go.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// The least time until the server's own rules let it go. Absent where they never do.
    pub time: Option<Duration>,
}

impl PurgeDistance {
    /// Whether this one is nearer to being purged.
    fn is_before(&self, other: &PurgeDistance) -> bool {
        let of = |distance: &PurgeDistance| (distance.time.unwrap_or(Duration::MAX), distance.files);
        of(self) < of(other)
    }
}

impl LogStanding {
    /// Two as one: what is behind is added up; of what may be lost, the worse.
    fn with(self, other: LogStanding) -> LogStanding {
        let sum = |one: Option<u64>, other: Option<u64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other),
        };
        let slot = match (self.slot, other.slot) {
            (Some(one), Some(other)) if one.retained_bytes < other.retained_bytes => Some(other),
            (one, other) => one.or(other),
        };
        let purge = match (self.purge, other.purge) {
            (Some(one), Some(other)) if other.is_before(&one) => Some(other),
            (one, other) => one.or(other),
        };
        LogStanding {
            lag_bytes: sum(self.lag_bytes, other.lag_bytes),
            unread_bytes: sum(self.unread_bytes, other.unread_bytes),
            lag_transactions: sum(self.lag_transactions, other.lag_transactions),
            lag_messages: sum(self.lag_messages, other.lag_messages),
            slot,
            purge,
        }
    }
}

/// Where the sources of a job stand in the logs of their servers.
#[derive(Debug, Default)]
pub struct Standings(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    next: u64,
    /// By teller: the source's name, and what was told last.
    by_teller: BTreeMap<u64, (String, Option<LogStanding>)>,
}

impl Standings {
    /// Where each source stands. Several tellers of one source are one: the partitions of a topic are added up.
    pub fn by_source(&self) -> Vec<(String, LogStanding)> {
        let mut sources: BTreeMap<String, LogStanding> = BTreeMap::new();
        for (source, standing) in self.told().by_teller.values() {
            if let Some(standing) = standing {
                let known = sources.remove(source).unwrap_or_default();
                sources.insert(source.clone(), known.with(standing.clone()));
            }
        }
        sources.into_iter().collect()
    }

    /// Where the job stands: all its sources together.
    pub fn of_job(&self) -> LogStanding {
        let all = self.by_source().into_iter().map(|(_, standing)| standing);
        all.fold(LogStanding::default(), LogStanding::with)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who tells where a source, or a part of it, stands. When it ends, nothing is told of it any more.
#[derive(Debug)]
pub struct StandingTeller {
    progress: Arc<JobProgress>,
    number: u64,
}

impl StandingTeller {
    /// Begins to tell of a source; nothing is known of it yet.
    pub fn begin(progress: &Arc<JobProgress>, source: &str) -> StandingTeller {
        let mut told = progress.standings.told();
        told.next += 1;
        let number = told.next;
        told.by_teller.insert(number, (source.to_owned(), None));
        drop(told);
        StandingTeller { progress: Arc::clone(progress), number }
    }

    /// Tells where the source stands; `None` when that is not known any more. Behind [`end`](Self::end) it
    /// changes nothing, so a question under way may be answered late.
    pub fn tell(&self, standing: Option<LogStanding>) {
        if let Some((_, last)) = self.progress.standings.told().by_teller.get_mut(&self.number) {
            *last = standing;
        }
    }

    /// Takes back what was told, for good.
    pub fn end(&self) {
        self.progress.standings.told().by_teller.remove(&self.number);
    }
}

impl Drop for StandingTeller {
    fn drop(&mut self) {
        self.end();
    }
}

/// Time from the commit of the newest row of a checkpoint at the source to the moment every sink had committed
/// that checkpoint, in milliseconds.
#[derive(Debug, Default)]
pub struct EndToEnd(Mutex<EndToEndFigures>);

#[derive(Debug, Default)]
struct EndToEndFigures {
    last_ms: Option<u64>,
    longest_ms: Option<u64>,
}

impl EndToEnd {
    /// A checkpoint with rows of a log is complete.
    pub fn took(&self, ms: u64) {
        let mut figures = self.figures();
        figures.last_ms = Some(ms);
        figures.longest_ms = figures.longest_ms.max(Some(ms));
    }

    /// Of the newest such checkpoint.
    pub fn last_ms(&self) -> Option<u64> {
        self.figures().last_ms
    }

    /// The longest since the last call, which begins anew; `None` when no such checkpoint was completed since.
    pub fn take_longest_ms(&self) -> Option<u64> {
        self.figures().longest_ms.take()
    }

    fn figures(&self) -> MutexGuard<'_, EndToEndFigures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows that a transform turned away because they broke a rule: by sink they were on the way to, and transform.
#[derive(Debug, Default)]
pub struct Rejected(Mutex<BTreeMap<(String, String), u64>>);

impl Rejected {
    /// Counts rows.
    pub fn count(&self, sink: &str, transform: &str, rows: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *all.entry((sink.to_owned(), transform.to_owned())).or_default() += rows;
    }

    /// Sink, transform, rows.
    pub fn totals(&self) -> Vec<(String, String, u64)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|((sink, transform), rows)| (sink.clone(), transform.clone(), *rows)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

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

    #[test]
    fn parts_of_a_source_are_added_up_and_sources_stay_apart() {
        let progress = Arc::new(JobProgress::default());
        let of = |lag: u64| Some(LogStanding { lag_messages: Some(lag), ..LogStanding::default() });
        let parts = ["topic", "topic", "other"].map(|source| StandingTeller::begin(&progress, source));
        parts.iter().zip([3, 4, 50]).for_each(|(part, lag)| part.tell(of(lag)));
        let found = progress.standings.by_source();
        let lags: Vec<_> = found.iter().map(|(source, it)| (source.as_str(), it.lag_messages)).collect();
        assert_eq!(lags, [("other", Some(50)), ("topic", Some(7))]);
        let job = progress.standings.of_job();
        assert_eq!((job.lag_messages, job.lag_bytes), (Some(57), None));
    }

    #[test]
    fn of_a_teller_that_has_ended_nothing_is_told() {
        let progress = Arc::new(JobProgress::default());
        let teller = StandingTeller::begin(&progress, "source");
        assert!(progress.standings.by_source().is_empty());
        teller.tell(Some(LogStanding::default()));
        assert_eq!(progress.standings.by_source().len(), 1);
        teller.end();
        teller.tell(Some(LogStanding::default()));
        assert!(progress.standings.by_source().is_empty());
    }

    #[test]
    fn of_what_may_be_lost_the_worse_counts() {
        let purge = |files, seconds: Option<u64>| {
            let time = seconds.map(Duration::from_secs);
            LogStanding { purge: Some(PurgeDistance { files, bytes: 0, time }), ..LogStanding::default() }
        };
        assert_eq!(purge(1, None).with(purge(9, Some(5))), purge(9, Some(5)));
        assert_eq!(purge(3, None).with(purge(2, None)), purge(2, None));
        let slot = |retained_bytes| LogStanding {
            slot: Some(SlotRetention { retained_bytes, safe_bytes: None, wal_status: "reserved".into() }),
            ..LogStanding::default()
        };
        assert_eq!(slot(1).with(slot(2)).with(LogStanding::default()), slot(2));
    }

    #[test]
    fn the_longest_is_told_once() {
        let times = EndToEnd::default();
        [5, 90, 7].into_iter().for_each(|ms| times.took(ms));
        assert_eq!((times.last_ms(), times.take_longest_ms()), (Some(7), Some(90)));
        assert_eq!((times.last_ms(), times.take_longest_ms()), (Some(7), None));
    }
}

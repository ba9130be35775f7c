//! The reader: follows the log, lets chunks out between two of its transactions, and emits rows, in
//! one order.
//!
//! Everything happens on the one task that calls `next`. The log and the chunks take turns: in a round
//! the log stands still at a commit while chunks are read and their rows leave; then the log goes on
//! at least to the place behind the last chunk's view. For a logged row of a table whose snapshot is
//! not behind the stream, what the views showed decides (see [`crate::snapshot`]).

mod chunks;
mod discovery;
mod leaves;
mod rows;
mod shape;
mod tables;
mod watch;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use culvert_api::{
    Error, ErrorKind, LogPlace, Phase, ReaderContext, Result, SchemaChange, SourceEvent, SourceReader,
    SourceState, Split,
};
use culvert_postgres::Client;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::chunks::Round;
use self::discovery::Discovery;
use self::leaves::Leaves;
use self::shape::LookUp;
use self::tables::Tables;
use self::watch::Watch;
use crate::catalog::ServerInfo;
use crate::enumerator::STREAM;
use crate::log::{LogItem, LogOptions, LogStream};
use crate::lsn::Lsn;
use crate::newcomers::Memory;
use crate::options::{PgConfig, Stop};
use crate::probe::Probe;
use crate::slot::{OwnHolder, Slot};
use crate::snapshot::{ChunkMessage, ChunkReader};
use crate::source::is_at_its_end;
use crate::state::{ChunkSplit, ReaderState, StreamSplit, TableState, decode, encode};
use crate::tables::Captured;

/// Rows that wait for more are passed on after this long.
const LINGER: Duration = Duration::from_millis(20);
/// Items taken in before the engine gets a look.
const ITEMS_PER_TURN: usize = 4096;
/// Messages of chunk tasks that may wait; each holds a batch.
const ANSWERS_MAX: usize = 4;
/// How often a quiet server is asked where it is, when something waits for that.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// Transactions that a later view has to show, before a view is taken only to let them go.
const UNSEEN_MAX: usize = 4096;

/// The transaction that is being taken in.
struct Transaction {
    xid: u32,
    /// The place of its commit.
    name: Arc<culvert_api::Transaction>,
    /// Changes taken in, of any table.
    changes: u64,
    /// Changes that an earlier attempt has delivered.
    skip: u64,
    /// A row of it was left to a later read.
    left_unread: bool,
}

/// The PostgreSQL source's reader.
pub(crate) struct PgReader {
    config: Arc<PgConfig>,
    server: ServerInfo,
    context: ReaderContext,
    /// Values came in binary that are read as text: the next attempt asks for text.
    text_only: Arc<AtomicBool>,
    holder: OwnHolder,
    /// What to start from, until the log is open.
    start: Option<StreamSplit>,
    opened: bool,
    log: Option<LogStream>,
    /// The log sends binary values.
    binary: bool,
    system: String,
    slot: String,
    publication: String,
    /// Everything before has been taken in; between two transactions.
    position: Lsn,
    /// The position that every sink has committed.
    acknowledged: Lsn,
    /// For the next transaction.
    skip: u64,
    transaction: Option<Transaction>,
    stop_at: Option<Lsn>,
    tables: Tables,
    discovery: Discovery,
    leaves: Leaves,
    watch: Watch,
    unseen: Vec<u32>,
    /// Chunks handed over and not begun.
    incoming: VecDeque<ChunkSplit>,
    round: Option<Round>,
    /// The log goes on to here before the next round.
    round_after: Lsn,
    /// Nothing came for a while.
    quiet: bool,
    asked: Instant,
    /// Tables whose shape is looked up once the log has reached a place.
    lookups: Vec<LookUp>,
    chunk_reader: ChunkReader,
    chunk_tasks: JoinSet<()>,
    answers: mpsc::Receiver<ChunkMessage>,
    /// For definitions; opened when first needed.
    control: Option<Client>,
    ready: VecDeque<SourceEvent>,
    barrier_wanted: bool,
    ended: bool,
    /// Every sink has what there was.
    end_committed: bool,
    /// When the oldest row that waits was taken in.
    waiting_since: Option<Instant>,
    bytes_reported: u64,
    /// Who asks how far the log goes on.
    probe: Option<Probe>,
}

/// The part of the state that says what the server may forget.
#[derive(Deserialize)]
struct Acknowledged {
    position: Lsn,
}

impl PgReader {
    pub(crate) fn new(
        config: Arc<PgConfig>,
        server: ServerInfo,
        text_only: Arc<AtomicBool>,
        memory: Memory,
        holder: OwnHolder,
        context: ReaderContext,
    ) -> PgReader {
        let (answers_in, answers) = mpsc::channel(ANSWERS_MAX);
        let chunk_reader =
            ChunkReader::new(config.endpoint.clone(), server.clone(), config.parallelism, answers_in);
        let discovery = Discovery::new(memory, config.snapshots());
        PgReader {
            config,
            server,
            context,
            text_only,
            holder,
            start: None,
            opened: false,
            log: None,
            binary: false,
            system: String::new(),
            slot: String::new(),
            publication: String::new(),
            position: Lsn(0),
            acknowledged: Lsn(0),
            skip: 0,
            transaction: None,
            stop_at: None,
            tables: Tables::default(),
            discovery,
            leaves: Leaves::default(),
            watch: Watch::new(),
            unseen: Vec::new(),
            incoming: VecDeque::new(),
            round: None,
            round_after: Lsn(0),
            quiet: false,
            asked: Instant::now(),
            lookups: Vec::new(),
            chunk_reader,
            chunk_tasks: JoinSet::new(),
            answers,
            control: None,
            ready: VecDeque::new(),
            barrier_wanted: false,
            ended: false,
            end_committed: false,
            waiting_since: None,
            bytes_reported: 0,
            probe: None,
        }
    }

    /// Connects to the log at the position of the state.
    async fn open(&mut self) -> Result<()> {
        let StreamSplit { state, joining } = self.start.take().ok_or_else(|| {
            Error::new(ErrorKind::Internal, "the reader was asked for rows before it had its split")
        })?;
        self.opened = true;
        self.tables = Tables::restore(&state, &self.config.conversion)?;
        (self.position, self.acknowledged) = (state.position, state.position);
        self.skip = state.skip;
        self.stop_at = state.stop_at;
        let ended = joining.is_empty() && is_at_its_end(&self.config, &state);
        (self.system, self.slot, self.publication) = (state.system, state.slot, state.publication);
        self.unseen = state.unseen;
        self.report_phase();
        if ended {
            return self.end();
        }
        self.look_at_files().await?;
        let has_binary = state.tables.iter().chain(&joining).all(|table| table.def.has_binary());
        self.binary = has_binary && !self.text_only.load(Relaxed);
        let options = LogOptions {
            slot: self.slot.clone(),
            publication: self.publication.clone(),
            start: self.position,
            binary: self.binary,
            streaming: true,
            messages: false,
            origin_none: self.config.origin_none,
            spill_folder: self.config.spill_folder.clone(),
            spill_bytes_max: self.config.spill_bytes_max,
            server_version: self.server.version,
        };
        let log = LogStream::open(&self.config.endpoint, options).await?;
        self.holder.note(log.backend());
        self.log = Some(log);
        // Held by us from here on: whoever moved it before has done so by now, and of a slot that is
        // ahead the server would begin there, without a word.
        let client = self.config.endpoint.connect().await?;
        if let Some(found) = Slot::read(&client, &self.slot).await? {
            found.judge_moved(self.position)?;
        }
        self.probe = Some(Probe::begin(&self.config.endpoint, &self.slot, &self.context, self.position));
        tracing::info!(
            position = %self.position,
            slot = self.slot,
            tables = state.tables.len(),
            binary = self.binary,
            "following the log"
        );
        self.join(joining)
    }

    /// Takes in tables that join. The checkpoint before does not have them, and sinks are told of each:
    /// where their target is missing they make it, as they do at the beginning of a job.
    fn join(&mut self, joining: Vec<TableState>) -> Result<()> {
        if joining.is_empty() {
            return Ok(());
        }
        self.push_barrier(self.skip)?;
        for state in joining {
            let table = Captured::from_state(state, &self.config.conversion)?;
            let change = SchemaChange {
                before: None,
                after: Some(Arc::clone(&table.output)),
                statement: format!("CREATE TABLE {}", table.def.quoted()),
            };
            self.ready.push_back(SourceEvent::SchemaChange(change));
            self.tables.add(table);
        }
        self.report_phase();
        Ok(())
    }

    fn log(&mut self) -> Result<&mut LogStream> {
        self.log.as_mut().ok_or_else(|| Error::new(ErrorKind::Internal, "the log is not open"))
    }

    fn report_phase(&self) {
        let streaming = self.tables.all_complete();
        self.context.progress.set_phase(if streaming { Phase::Stream } else { Phase::Snapshot });
    }

    /// The reader's state as of the last transaction's end, with `changes` of the next one in it.
    fn state(&self, changes: u64) -> ReaderState {
        ReaderState {
            system: self.system.clone(),
            slot: self.slot.clone(),
            publication: self.publication.clone(),
            position: self.position,
            skip: changes,
            stop_at: self.stop_at,
            tables: self.tables.to_state(),
            unseen: self.unseen.clone(),
        }
    }

    /// Everything that can only happen between two transactions.
    async fn settle(&mut self) -> Result<()> {
        if self.ended {
            return if self.barrier_wanted { self.push_barrier(0) } else { Ok(()) };
        }
        if self.transaction.is_some() {
            return Ok(());
        }
        self.tables.pass(self.position);
        if let Some(probe) = &self.probe {
            probe.read(self.position);
        }
        self.watch_tables()?;
        if self.round.is_some() {
            self.go_on_with_round()?;
            if self.round.is_some() {
                return Ok(());
            }
        }
        self.look_up_shapes(self.position).await?;
        self.discover().await?;
        self.look_for_the_end()?;
        if self.barrier_wanted {
            self.push_barrier(self.skip)?;
        }
        self.begin_round()
    }

    /// Passes on what waits, then the state.
    fn push_barrier(&mut self, changes: u64) -> Result<()> {
        self.flush()?;
        self.barrier_wanted = false;
        let state = self.state(changes);
        let position = state.position.to_string();
        self.ready.push_back(SourceEvent::Barrier { reader: encode(&state)?, position });
        Ok(())
    }

    fn look_for_the_end(&mut self) -> Result<()> {
        let waits = !self.tables.all_complete() || self.tables.unpassed() > 0 || self.discovery.is_busy();
        if self.ended || waits {
            return Ok(());
        }
        let reached = match self.stop_at {
            Some(stop) => self.position >= stop,
            None => matches!(self.config.startup, crate::options::Startup::SnapshotOnly),
        };
        if reached { self.end() } else { Ok(()) }
    }

    fn end(&mut self) -> Result<()> {
        self.flush()?;
        self.ended = true;
        self.ready.push_back(SourceEvent::End);
        Ok(())
    }

    /// Whether somebody waits for the position to move, although nothing may happen at the server.
    fn awaits_position(&self) -> bool {
        self.stop_at.is_some()
            || !self.lookups.is_empty()
            || self.joins_behind().is_some()
            || !self.tables.all_complete()
            || self.tables.unpassed() > 0
    }

    async fn take_in(&mut self, item: LogItem) -> Result<()> {
        self.quiet = false;
        match item {
            LogItem::Begin { xid, commit_lsn, commit_time_us } => {
                // Its rows may be of a newer shape than the one that was seen before it.
                self.look_up_shapes(commit_lsn).await?;
                let skip = std::mem::take(&mut self.skip);
                let place = LogPlace::Postgres { xid, commit_lsn: commit_lsn.0 };
                let name =
                    culvert_api::Transaction::placed(commit_lsn.to_string(), Some(commit_time_us), place);
                self.transaction = Some(Transaction { xid, name, changes: 0, skip, left_unread: false });
                self.report_lag(commit_time_us);
                Ok(())
            }
            LogItem::Relation(relation) => self.take_relation(relation).await,
            LogItem::Insert { .. }
            | LogItem::Update { .. }
            | LogItem::Delete { .. }
            | LogItem::Truncate { .. } => {
                let Some(transaction) = &mut self.transaction else {
                    return Err(Error::new(ErrorKind::Corrupt, "a change outside a transaction"));
                };
                transaction.changes += 1;
                if transaction.changes <= transaction.skip {
                    return Ok(());
                }
                self.take_change(item).await
            }
            LogItem::Message { .. } => Ok(()),
            LogItem::Commit { end_lsn, .. } => self.commit(end_lsn).await,
            LogItem::Position(lsn) => {
                self.position = self.position.max(lsn);
                Ok(())
            }
        }
    }

    async fn commit(&mut self, end: Lsn) -> Result<()> {
        self.position = self.position.max(end);
        let Some(transaction) = self.transaction.take() else {
            return Err(Error::new(ErrorKind::Corrupt, "a commit outside a transaction"));
        };
        if transaction.left_unread {
            self.unseen.push(transaction.xid);
            if self.unseen.len() >= UNSEEN_MAX {
                self.forget_visible().await?;
            }
        }
        Ok(())
    }

    fn report_lag(&mut self, commit_time_us: i64) {
        let bytes = self.log.as_ref().map_or(0, LogStream::bytes);
        self.context.progress.bytes_read.fetch_add(bytes - self.bytes_reported, Relaxed);
        self.bytes_reported = bytes;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let committed = u128::try_from(commit_time_us / 1000).unwrap_or(0);
        let lag = u64::try_from(now.saturating_sub(committed)).unwrap_or(u64::MAX);
        self.context.progress.lag_ms.store(lag, Relaxed);
    }

    /// Whether this transaction is behind the place or the time to stop at. Tables that are being read need
    /// the log to go on.
    fn ends_before(&self, item: &LogItem) -> bool {
        let LogItem::Begin { commit_lsn, commit_time_us, .. } = item else { return false };
        let is_behind = self.stop_at.is_some_and(|stop| *commit_lsn >= stop)
            || match self.config.stop {
                Stop::Time(ms) => u64::try_from(*commit_time_us / 1000).is_ok_and(|at| at > ms),
                _ => false,
            };
        is_behind && self.tables.all_complete() && self.tables.unpassed() == 0 && self.skip == 0
    }

    /// Takes in what is there, up to a batch or a turn. True: something happened.
    async fn take_what_is_there(&mut self) -> Result<bool> {
        for turn in 0..ITEMS_PER_TURN {
            let Some(item) = self.log()?.try_next()? else { return Ok(turn > 0) };
            if self.ends_before(&item) {
                self.end()?;
                return Ok(true);
            }
            let boundary = matches!(item, LogItem::Commit { .. } | LogItem::Position(_));
            self.take_in(item).await?;
            if boundary {
                self.settle().await?;
            }
            if !self.ready.is_empty() || self.ended || self.round.is_some() {
                return Ok(true);
            }
        }
        Ok(true)
    }

    /// Waits for an item of the log, but not long.
    async fn wait(&mut self) -> Result<()> {
        let Some(log) = self.log.as_mut() else { return Ok(()) };
        match tokio::time::timeout(LINGER, log.next()).await {
            Ok(item) => {
                let item = item?;
                if self.ends_before(&item) { self.end() } else { self.take_in(item).await }
            }
            Err(_) => {
                self.quiet = true;
                if self.awaits_position() && self.asked.elapsed() >= ASK_EVERY {
                    self.asked = Instant::now();
                    self.log()?.request_position();
                }
                Ok(())
            }
        }
    }

    async fn control(&mut self) -> Result<&Client> {
        if self.control.as_ref().is_none_or(|client| client.is_closed()) {
            self.control = Some(self.config.endpoint.connect().await?);
        }
        self.control.as_ref().ok_or_else(|| Error::new(ErrorKind::Internal, "no connection"))
    }
}

#[async_trait]
impl SourceReader for PgReader {
    fn splits_wanted(&self) -> usize {
        if !self.opened {
            return usize::from(self.start.is_none());
        }
        if self.tables.all_complete() || self.ended {
            return 0;
        }
        let busy = self.incoming.len() + self.round.as_ref().map_or(0, Round::running);
        self.config.parallelism.saturating_sub(busy)
    }

    fn add_splits(&mut self, splits: Vec<Split>) -> Result<()> {
        for split in splits {
            if split.id == STREAM {
                self.start = Some(decode(&split.body)?);
            } else {
                self.incoming.push_back(decode(&split.body)?);
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<SourceEvent> {
        if let Some(event) = self.ready.pop_front() {
            return Ok(event);
        }
        if !self.opened {
            self.open().await?;
        }
        self.settle().await?;
        if self.ready.is_empty() && !self.ended {
            if self.round.is_some() {
                self.wait_for_chunks().await?;
            } else {
                let busy = self.take_what_is_there().await?;
                if !busy && self.ready.is_empty() {
                    self.wait().await?;
                }
            }
            self.settle().await?;
        }
        if self.waiting_since.is_some_and(|since| since.elapsed() >= LINGER) {
            self.flush()?;
        }
        Ok(self.ready.pop_front().unwrap_or(SourceEvent::Idle))
    }

    fn request_barrier(&mut self) {
        self.barrier_wanted = true;
    }

    async fn checkpoint_complete(&mut self, state: &SourceState) -> Result<()> {
        let Acknowledged { position } = decode(&state.reader)?;
        if let Some(log) = &self.log {
            log.acknowledge(position);
        }
        if let Some(probe) = &self.probe {
            probe.committed(position);
        }
        self.acknowledged = position;
        self.end_committed = self.ended && position == self.position;
        Ok(())
    }

    async fn close(&mut self) {
        self.probe = None;
        self.chunk_tasks.shutdown().await;
        self.watch.end().await;
        self.chunk_reader.rest().await;
        if let Some(log) = self.log.take() {
            log.close().await;
        }
        if self.config.drop_on_end && self.end_committed {
            self.drop_slot().await;
        }
        self.control = None;
    }
}

impl PgReader {
    /// The source has returned everything, and nobody goes on from here.
    async fn drop_slot(&self) {
        let dropping = async {
            let client = self.config.endpoint.connect().await?;
            let (slot, publication) = (&self.slot, &self.publication);
            crate::slot::drop_both(&client, &self.server, slot, publication, &self.context.job).await
        };
        if let Err(error) = dropping.await {
            tracing::warn!(
                slot = self.slot,
                "the replication slot could not be dropped: {error}; until it is, the server keeps its log: \
                 SELECT pg_drop_replication_slot('{}')",
                self.slot
            );
        }
    }
}

//! The reader: follows the log, merges chunks into it, and emits rows, in one order.
//!
//! Everything happens on the one task that calls `next`. Chunk tasks only read; what they read is
//! held until the stream has reached their high mark and then leaves between two transactions.

mod chunks;
mod rows;
mod shape;
mod tables;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use culvert_api::{
    Error, ErrorKind, Phase, ReaderContext, Result, SchemaChange, SourceEvent, SourceReader, SourceState,
    Split,
};
use mysql_async::Conn;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::chunks::WholeTable;
use self::tables::Tables;
use crate::catalog::quote_table;
use crate::connect::ServerInfo;
use crate::enumerator::STREAM;
use crate::log::{LogItem, LogStream};
use crate::merge::ActiveChunk;
use crate::options::{MySqlConfig, Stop};
use crate::position::StreamPosition;
use crate::probe::Probe;
use crate::shapes::Shapes;
use crate::snapshot::{ChunkMessage, ChunkReader};
use crate::state::{ChunkSplit, ReaderState, StreamSplit, TableState, decode, encode};
use crate::tables::Captured;

/// Rows that wait for more are passed on after this long.
const LINGER: Duration = Duration::from_millis(20);
/// Events taken in before the chunk tasks get a look.
const EVENTS_PER_TURN: usize = 256;
/// Messages of chunk tasks that may wait.
const ANSWERS_MAX: usize = 4;

/// The MySQL source's reader.
pub(crate) struct MySqlReader {
    config: Arc<MySqlConfig>,
    server: ServerInfo,
    context: ReaderContext,
    /// What to start from, until the log is open.
    start: Option<StreamSplit>,
    log: Option<LogStream>,
    stop_at: Option<crate::position::BinlogPosition>,
    tables: Tables,
    shapes: Option<Shapes>,
    /// Chunks handed over and not yet registered.
    incoming: VecDeque<ChunkSplit>,
    active: Vec<ActiveChunk>,
    whole: Option<WholeTable>,
    chunk_reader: ChunkReader,
    chunk_tasks: JoinSet<()>,
    answers: mpsc::Receiver<ChunkMessage>,
    /// For sort weights and definitions; opened when first needed.
    control: Option<Conn>,
    ready: VecDeque<SourceEvent>,
    barrier_wanted: bool,
    ended: bool,
    /// Rows of a transaction were taken in, and its end was not.
    in_transaction: bool,
    /// When the oldest row that waits was taken in.
    waiting_since: Option<Instant>,
    bytes_reported: u64,
    /// Who asks how far the log goes on.
    probe: Option<Probe>,
    names: HashMap<u64, Option<usize>>,
}

/// The part of the state that says how far the sinks are.
#[derive(Deserialize)]
struct Committed {
    position: StreamPosition,
}

impl MySqlReader {
    pub(crate) fn new(config: Arc<MySqlConfig>, server: ServerInfo, context: ReaderContext) -> MySqlReader {
        let (answers_in, answers) = mpsc::channel(ANSWERS_MAX);
        let chunk_reader = ChunkReader::new(config.endpoint.clone(), server.clone(), answers_in);
        MySqlReader {
            tables: Tables::default(),
            config,
            server,
            context,
            start: None,
            log: None,
            stop_at: None,
            shapes: None,
            incoming: VecDeque::new(),
            active: Vec::new(),
            whole: None,
            chunk_reader,
            chunk_tasks: JoinSet::new(),
            answers,
            control: None,
            ready: VecDeque::new(),
            barrier_wanted: false,
            ended: false,
            in_transaction: false,
            waiting_since: None,
            bytes_reported: 0,
            probe: None,
            names: HashMap::new(),
        }
    }

    /// Connects to the log at the position of the state.
    async fn open(&mut self) -> Result<()> {
        let StreamSplit { state, joining } = self.start.take().ok_or_else(|| {
            Error::new(ErrorKind::Internal, "the reader was asked for rows before it had its split")
        })?;
        self.tables = Tables::restore(&state, &self.config)?;
        let captured = state.tables.iter().map(|table| table.def.clone());
        let others = state.others.iter().cloned();
        self.shapes = Some(Shapes::new(&self.server, state.charsets.clone(), captured.chain(others)));
        self.stop_at.clone_from(&state.stop_at);
        self.log = Some(
            LogStream::open(&self.config.endpoint, &self.server, self.config.server_id, &state.position)
                .await?,
        );
        let from = self.log()?.position().clone();
        self.probe = Some(Probe::begin(&self.config.endpoint, &self.server, &self.context, &from));
        tracing::info!(position = %state.position, tables = state.tables.len(), "following the binlog");
        self.join(joining)?;
        self.report_phase();
        Ok(())
    }

    /// Takes in tables that join. The checkpoint before does not have them, and sinks are told of each: where
    /// their target is missing they make it, as they do at the beginning of a job. A target that goes missing
    /// later is another matter: rows of it would be lost.
    fn join(&mut self, joining: Vec<TableState>) -> Result<()> {
        if joining.is_empty() {
            return Ok(());
        }
        self.push_barrier()?;
        for state in joining {
            let statement = format!("CREATE TABLE {}", quote_table(&state.id()));
            if let Some(shapes) = self.shapes.as_mut() {
                shapes.follow(state.def.clone());
            }
            let table = Captured::from_state(state, &self.config)?;
            let after = Some(Arc::clone(&table.output));
            self.ready.push_back(SourceEvent::SchemaChange(SchemaChange { before: None, after, statement }));
            self.tables.add(table);
        }
        Ok(())
    }

    fn log(&mut self) -> Result<&mut LogStream> {
        self.log.as_mut().ok_or_else(|| Error::new(ErrorKind::Internal, "the log is not open"))
    }

    fn report_phase(&self) {
        let streaming = self.tables.all_complete();
        self.context.progress.set_phase(if streaming { Phase::Stream } else { Phase::Snapshot });
    }

    /// The reader's state as of the last transaction's end.
    fn state(&mut self) -> Result<ReaderState> {
        let position = self.log()?.position().clone();
        let shapes = self.shapes.as_ref();
        let others = shapes
            .map(|shapes| {
                shapes
                    .tables()
                    .filter(|def| self.tables.find(&def.database, &def.table).is_none())
                    .cloned()
                    .collect()
            })
            .unwrap_or_default();
        Ok(ReaderState {
            position,
            stop_at: self.stop_at.clone(),
            tables: self.tables.to_state(),
            others,
            charsets: shapes.map(Shapes::charsets).unwrap_or_default(),
        })
    }

    /// Everything that can only happen between two transactions.
    fn settle(&mut self) -> Result<()> {
        if self.ended {
            // Perhaps inside the first transaction past the end; nothing of it was taken in, and
            // the position is still the one behind the last transaction.
            return if self.barrier_wanted { self.push_barrier() } else { Ok(()) };
        }
        if !self.log()?.at_boundary() {
            return Ok(());
        }
        self.close_chunks()?;
        self.begin_whole()?;
        if self.emitting_whole() {
            // A table read whole leaves in one piece: a barrier inside it could not be resumed.
            return Ok(());
        }
        self.look_for_the_end()?;
        if self.barrier_wanted {
            self.push_barrier()?;
        }
        self.register_incoming()
    }

    /// Passes on what waits, then the state.
    fn push_barrier(&mut self) -> Result<()> {
        self.flush()?;
        self.barrier_wanted = false;
        let state = self.state()?;
        let position = state.position.to_string();
        self.ready.push_back(SourceEvent::Barrier { reader: encode(&state)?, position });
        Ok(())
    }

    fn look_for_the_end(&mut self) -> Result<()> {
        if self.ended || !self.tables.all_complete() {
            return Ok(());
        }
        let reached = match &self.stop_at {
            Some(stop) => {
                let stop = stop.clone();
                self.log()?.position().binlog.has_reached(&stop)
            }
            None => matches!(self.config.startup, crate::options::Startup::SnapshotOnly),
        };
        if reached {
            self.end()?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.flush()?;
        self.ended = true;
        self.ready.push_back(SourceEvent::End);
        Ok(())
    }

    async fn take_in(&mut self, item: LogItem) -> Result<()> {
        self.in_transaction = match &item {
            LogItem::TableMap(_) | LogItem::Rows(_) => true,
            LogItem::Committed { .. } => false,
            LogItem::Statement { alone, .. } => self.in_transaction && !alone,
            LogItem::Heartbeat => self.in_transaction,
        };
        match item {
            LogItem::TableMap(raw) => self.map_table(&raw),
            LogItem::Rows(raw) => self.take_rows(raw).await,
            LogItem::Statement { schema, sql, sql_mode, alone } => {
                self.names.clear();
                self.change_shape(&sql, &schema, sql_mode).await?;
                if alone {
                    self.log()?.end_statement()?;
                    self.report_place(0);
                }
                Ok(())
            }
            LogItem::Committed { timestamp } => {
                self.names.clear();
                self.report_lag(timestamp);
                self.report_place(timestamp);
                Ok(())
            }
            LogItem::Heartbeat => {
                self.report_place(0);
                Ok(())
            }
        }
    }

    fn report_lag(&mut self, timestamp: u32) {
        let bytes = self.log.as_ref().map_or(0, LogStream::bytes);
        self.context.progress.bytes_read.fetch_add(bytes - self.bytes_reported, Relaxed);
        self.bytes_reported = bytes;
        if timestamp > 0 {
            let now =
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
            self.context.progress.lag_ms.store(now.saturating_sub(u64::from(timestamp) * 1000), Relaxed);
        }
    }

    fn report_place(&self, timestamp: u32) {
        if let (Some(probe), Some(log)) = (&self.probe, &self.log) {
            probe.read(&log.position().binlog, timestamp);
        }
    }

    /// Whether the first transaction after the stop time is at hand.
    fn past_stop_time(&self, timestamp: u32) -> bool {
        let is_past = matches!(self.config.stop, Stop::Time(ms) if u64::from(timestamp) * 1000 > ms);
        // Half a transaction is none, and tables that are being read need the log to go on.
        is_past && !self.in_transaction && self.tables.all_complete() && self.whole.is_none()
    }

    /// Takes in what is there, up to a batch or a turn. True: something happened.
    async fn take_what_is_there(&mut self) -> Result<bool> {
        for turn in 0..EVENTS_PER_TURN {
            if self.holds_the_log() {
                return Ok(turn > 0);
            }
            let Some(item) = self.log()?.try_next()? else { return Ok(turn > 0) };
            if self.ends_before(&item) {
                self.end()?;
                return Ok(true);
            }
            self.take_in(item).await?;
            self.settle()?;
            if !self.ready.is_empty() {
                return Ok(true);
            }
        }
        Ok(true)
    }

    fn ends_before(&mut self, item: &LogItem) -> bool {
        match item {
            LogItem::TableMap(raw) | LogItem::Rows(raw) => self.past_stop_time(raw.timestamp()),
            _ => false,
        }
    }
}

#[async_trait]
impl SourceReader for MySqlReader {
    fn splits_wanted(&self) -> usize {
        if self.log.is_none() {
            return usize::from(self.start.is_none());
        }
        if self.tables.all_complete() {
            return 0;
        }
        let busy = self.active.len() + self.incoming.len() + usize::from(self.whole.is_some());
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
        if self.log.is_none() {
            self.open().await?;
        }
        self.settle()?;
        if self.ready.is_empty() && !self.ended {
            let busy = self.take_what_is_there().await?;
            let answered = self.take_answers()?;
            if !busy && !answered && self.ready.is_empty() {
                self.wait().await?;
            }
            self.settle()?;
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
        // A binlog is kept by the server's own rules; there is nothing to release.
        if let Some(probe) = &self.probe {
            let Committed { position } = decode(&state.reader)?;
            probe.committed(position);
        }
        Ok(())
    }

    async fn close(&mut self) {
        self.probe = None;
        self.chunk_tasks.shutdown().await;
        if let Some(log) = self.log.take() {
            log.close().await;
        }
        if let Some(conn) = self.control.take() {
            // The server notices by itself; a failure to say goodbye changes nothing.
            let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        }
    }
}

impl MySqlReader {
    /// Waits for an event of the log or an answer of a chunk task, but not long.
    async fn wait(&mut self) -> Result<()> {
        let holds = self.holds_the_log();
        let deaf = self.whole_waits();
        let Some(log) = self.log.as_mut() else { return Ok(()) };
        let item = tokio::select! {
            item = log.next(), if !holds => Some(item?),
            message = self.answers.recv(), if !deaf => {
                if let Some(message) = message {
                    self.take_answer(message)?;
                }
                None
            }
            () = tokio::time::sleep(LINGER) => None,
        };
        match item {
            Some(item) if self.ends_before(&item) => self.end(),
            Some(item) => self.take_in(item).await,
            None => Ok(()),
        }
    }
}

//! The binlog as a stream of transactions: transport, checksums, positions, and where a
//! transaction begins and ends.
//!
//! The transport is the client library's replication connection ("Replication Protocol" in the
//! MySQL manual, COM_BINLOG_DUMP and COM_BINLOG_DUMP_GTID; "Replication protocol" in MariaDB's).
//! Events are parsed by our own code. A transaction is
//!
//! ```text
//!   MySQL     GTID | anonymous GTID, QUERY(BEGIN), (TABLE_MAP, ROWS*)*, XID | QUERY(COMMIT)
//!   MariaDB   GTID (no BEGIN follows),             (TABLE_MAP, ROWS*)*, XID | QUERY(COMMIT)
//!   DDL       GTID, QUERY(statement)
//! ```
//!
//! The position moves at the end of a transaction, on rotation and on heartbeats, so that a quiet
//! table never pins an old file. Positions past 4 GiB are widened from the 32 bits on the wire.

use std::sync::Arc;
use std::time::{Duration, Instant};

use culvert_api::{Error, ErrorKind, LogPlace, Result};
use futures_util::{FutureExt, StreamExt};
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Sid};
use mysql_common::binlog::consts::BinlogChecksumAlg;

use crate::connect::{Endpoint, Flavor, ServerInfo};
use crate::error::from_client;
use crate::event::{self, CHECKSUM_LENGTH, Event, FormatDescription, ParseContext};
use crate::gtid::{GtidPosition, MariaDbGtid, MySqlGtid};
use crate::position::StreamPosition;

/// The server sends a heartbeat after this long without an event.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Without any event or heartbeat for this long the connection counts as lost: it is one that is open and
/// dead, or its server stands still.
const SILENCE_MAX: Duration = Duration::from_secs(7);
/// The same before the first one: the server may have to look for the place in its log.
const FIRST_WORD_MAX: Duration = Duration::from_secs(15);
/// Past this the stream was left alone on purpose, and its silence says nothing.
const LISTENING_GAP: Duration = Duration::from_secs(2);
/// The most bytes a compressed statement may expand to.
const EXPANDED_BYTES_MAX: usize = 1 << 30;

/// The transaction being read.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// Its GTID, or `file:offset` of its begin; made when first asked for.
    name: Option<Arc<culvert_api::Transaction>>,
    /// When it was committed, in microseconds; in whole seconds where the log has no better.
    committed_us: Option<i64>,
    gtid: Option<Gtid>,
    /// Inside BEGIN … COMMIT, or between a MariaDB GTID and its end.
    in_block: bool,
    /// Rows of an `XA PREPARE`: not committed by the end of this group.
    pub(crate) prepared: bool,
    /// Row events of captured tables so far.
    pub(crate) row_events: u32,
    /// Where it begins.
    pub(crate) begin: crate::position::BinlogPosition,
    in_payload: bool,
}

#[derive(Clone, Debug)]
enum Gtid {
    MySql(event::MySqlGtidEvent),
    MariaDb(MariaDbGtid),
}

/// An event as it came, to be parsed by its consumer without a copy.
#[derive(Debug)]
pub(crate) struct RawEvent {
    event: mysql_common::binlog::events::Event,
}

impl RawEvent {
    /// Seconds since 1970, as the server's clock says.
    pub(crate) fn timestamp(&self) -> u32 {
        self.event.header().timestamp()
    }

    pub(crate) fn parse(&self, context: &ParseContext) -> Result<Event<'_>> {
        let header = self.event.header();
        event::parse(header.event_type_raw(), header.flags_raw(), self.body(), context)
    }

    /// The body without a checksum. The first event of a stream, an artificial rotation, comes
    /// before the format that says whether there are checksums, and the transport leaves its
    /// checksum on; four last bytes that are the checksum of all before them are one.
    fn body(&self) -> &[u8] {
        let data = self.event.data();
        if self.event.header().event_type_raw() != event::kind::ROTATE || self.event.checksum().is_some() {
            return data;
        }
        let Some((body, stored)) = data.split_last_chunk::<CHECKSUM_LENGTH>() else { return data };
        let header = self.event.header();
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&header.timestamp().to_le_bytes());
        hasher.update(&[header.event_type_raw()]);
        hasher.update(&header.server_id().to_le_bytes());
        hasher.update(&header.event_size().to_le_bytes());
        hasher.update(&header.log_pos().to_le_bytes());
        hasher.update(&header.flags_raw().to_le_bytes());
        hasher.update(body);
        if hasher.finalize() == u32::from_le_bytes(*stored) { body } else { data }
    }
}

/// What the stream came to.
#[derive(Debug)]
pub(crate) enum LogItem {
    /// The shape of a table for the row events after it.
    TableMap(RawEvent),
    /// Rows.
    Rows(RawEvent),
    /// A statement that is neither a begin nor an end of a transaction.
    Statement {
        /// The default database it ran in.
        schema: String,
        /// Its text.
        sql: Vec<u8>,
        /// The session's SQL mode, where logged.
        sql_mode: Option<u64>,
        /// It is a transaction of its own: [`LogStream::end_statement`] has to be called.
        alone: bool,
    },
    /// A transaction has ended; the position has moved behind it.
    Committed {
        /// Seconds since 1970 of the commit, as the server's clock says.
        timestamp: u32,
    },
    /// The position moved, or the server showed that it is alive.
    Heartbeat,
}

/// The stream of one replication connection.
pub(crate) struct LogStream {
    stream: BinlogStream,
    context: ParseContext,
    /// Behind the last transaction.
    position: StreamPosition,
    /// Behind the last event.
    read_to: crate::position::BinlogPosition,
    /// The server that wrote the last event first.
    server_id: u32,
    transaction: Option<Transaction>,
    flavor: Flavor,
    bytes: u64,
    /// When the last event came, or listening began.
    silent_since: Instant,
    /// When somebody last listened.
    listened: Instant,
}

impl LogStream {
    /// Connects and asks for everything after a position: by GTID where there is one, by file and
    /// offset otherwise.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        server: &ServerInfo,
        server_id: u32,
        from: &StreamPosition,
    ) -> Result<LogStream> {
        let mut conn = endpoint.connect().await?;
        let nanos = HEARTBEAT.as_nanos();
        let mut setup =
            vec![format!("SET @master_heartbeat_period = {nanos}, @source_heartbeat_period = {nanos}")];
        let mut request = BinlogStreamRequest::new(server_id);
        let by_file = from.gtid.is_none();
        match &from.gtid {
            Some(GtidPosition::MariaDb(set)) => {
                setup.push("SET @mariadb_slave_capability = 4".to_owned());
                setup.push(format!("SET @slave_connect_state = '{set}', @slave_gtid_strict_mode = 0, @slave_gtid_ignore_duplicates = 0"));
            }
            Some(GtidPosition::MySql(set)) => {
                let sids: Vec<Sid<'static>> = set
                    .to_string()
                    .split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(|part| part.parse::<Sid<'static>>())
                    .collect::<Result<_, _>>()
                    .map_err(|error| {
                        Error::new(ErrorKind::Internal, "a GTID set that the client library refuses")
                            .caused_by(error)
                    })?;
                request = request.with_gtid().with_gtid_set(sids);
            }
            None => {
                if server.flavor == Flavor::MariaDb {
                    setup.push("SET @mariadb_slave_capability = 4".to_owned());
                }
                request =
                    request.with_filename(from.binlog.file.as_bytes()).with_pos(from.binlog.offset.max(4));
            }
        }
        for statement in setup {
            conn.query_drop(statement)
                .await
                .map_err(|error| from_client(error, "preparing the binlog stream"))?;
        }
        let stream = conn
            .get_binlog_stream(request)
            .await
            .map_err(|error| from_client(error, "opening the binlog stream"))?;
        // A place on another server means nothing on this one; its stream will tell.
        let here = by_file || from.server == server.id;
        let read_to = if here { from.binlog.clone() } else { crate::position::BinlogPosition::default() };
        let position =
            StreamPosition { binlog: read_to.clone(), gtid: from.gtid.clone(), server: server.id.clone() };
        Ok(LogStream {
            stream,
            context: ParseContext {
                format: FormatDescription::assumed(),
                expanded_bytes_max: EXPANDED_BYTES_MAX,
            },
            position,
            read_to,
            server_id: 0,
            transaction: None,
            flavor: server.flavor,
            bytes: 0,
            silent_since: Instant::now(),
            listened: Instant::now(),
        })
    }

    /// The position behind the last transaction.
    pub(crate) fn position(&self) -> &StreamPosition {
        &self.position
    }

    /// Between two transactions.
    pub(crate) fn at_boundary(&self) -> bool {
        self.transaction.is_none()
    }

    /// The transaction being read.
    pub(crate) fn transaction(&mut self) -> Option<&mut Transaction> {
        self.transaction.as_mut()
    }

    /// What parsing needs to know.
    pub(crate) fn context(&self) -> &ParseContext {
        &self.context
    }

    /// Bytes taken in so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The name of the transaction being read, as row positions show it.
    pub(crate) fn transaction_name(&mut self) -> Arc<culvert_api::Transaction> {
        let Some(transaction) = &mut self.transaction else {
            return culvert_api::Transaction::logged(self.read_to.to_string(), None);
        };
        let committed_us = transaction.committed_us;
        let name = transaction.name.get_or_insert_with(|| {
            let gtid = match &transaction.gtid {
                Some(Gtid::MySql(gtid)) if !gtid.anonymous => Some(match &gtid.tag {
                    Some(tag) => format!("{}:{}:{}", gtid.uuid, tag.as_str(), gtid.number),
                    None => format!("{}:{}", gtid.uuid, gtid.number),
                }),
                Some(Gtid::MariaDb(gtid)) => Some(gtid.to_string()),
                _ => None,
            };
            let name = gtid.clone().unwrap_or_else(|| transaction.begin.to_string());
            let place = LogPlace::MySql {
                server_id: self.server_id,
                gtid,
                file: transaction.begin.file.clone(),
                offset: transaction.begin.offset,
            };
            culvert_api::Transaction::placed(name, committed_us, place)
        });
        Arc::clone(name)
    }

    /// The next item if it is there already.
    pub(crate) fn try_next(&mut self) -> Result<Option<LogItem>> {
        while let Some(event) = self.stream.next().now_or_never() {
            let event = match event {
                Some(Ok(event)) => event,
                Some(Err(error)) => return Err(from_client(error, "reading the binlog")),
                None => return Err(Error::new(ErrorKind::Connection, "the server ended the binlog stream")),
            };
            if let Some(item) = self.take_in(RawEvent { event })? {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    /// The next item; waits for it. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<LogItem> {
        loop {
            // This future is dropped and made again while nothing happens: the clock of the silence
            // runs on, but not over a time in which nobody listened.
            let now = Instant::now();
            if now.duration_since(self.listened) > LISTENING_GAP {
                self.silent_since = now;
            }
            self.listened = now;
            let silence_max = if self.bytes == 0 { FIRST_WORD_MAX } else { SILENCE_MAX };
            let given_up = self.silent_since + silence_max;
            let event = match tokio::time::timeout_at(given_up.into(), self.stream.next()).await {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) => return Err(from_client(error, "reading the binlog")),
                Ok(None) => {
                    return Err(Error::new(ErrorKind::Connection, "the server ended the binlog stream"));
                }
                Err(_) => {
                    return Err(Error::new(
                        ErrorKind::Connection,
                        format!("no event and no heartbeat from the server for {silence_max:?}"),
                    ));
                }
            };
            if let Some(item) = self.take_in(RawEvent { event })? {
                return Ok(item);
            }
        }
    }

    fn take_in(&mut self, raw: RawEvent) -> Result<Option<LogItem>> {
        self.silent_since = Instant::now();
        self.listened = self.silent_since;
        let header = raw.event.header();
        self.bytes += u64::from(header.event_size());
        self.verify(&raw)?;
        let event_type = header.event_type_raw();
        let artificial = header.flags_raw() & event::FLAG_ARTIFICIAL != 0;
        let before = self.read_to.offset;
        self.server_id = header.server_id();
        if !artificial && header.log_pos() != 0 && event_type != event::kind::FORMAT_DESCRIPTION {
            self.read_to.offset = widen(before, header.log_pos());
        }
        // Rows and table maps, by far the most events, go to their consumer unparsed.
        match event_type {
            event::kind::TABLE_MAP => return Ok(Some(LogItem::TableMap(raw))),
            event::kind::WRITE_ROWS_V1..=event::kind::DELETE_ROWS_V1
            | event::kind::WRITE_ROWS..=event::kind::DELETE_ROWS
            | event::kind::PARTIAL_UPDATE_ROWS
            | event::kind::MARIADB_WRITE_ROWS_COMPRESSED_V1..=event::kind::MARIADB_DELETE_ROWS_COMPRESSED => {
                return Ok(Some(LogItem::Rows(raw)));
            }
            _ => {}
        }
        let context = self.context.clone();
        let timestamp = header.timestamp();
        match raw.parse(&context)? {
            Event::FormatDescription(format) => self.context.format = format,
            Event::Rotate(rotate) => {
                self.read_to.file = rotate.file.to_owned();
                self.read_to.offset = rotate.position;
                // The rotation that a stream begins with is made up: by GTID it names the start of a
                // file, far before what the GTIDs stand for. Only a logged one moves the position.
                return Ok(if artificial { None } else { self.moved() });
            }
            Event::Heartbeat(heartbeat) => {
                if let Some(position) = heartbeat.position {
                    self.read_to.offset = position;
                }
                if !heartbeat.file.is_empty() && heartbeat.file != self.read_to.file {
                    self.read_to.file = heartbeat.file.to_owned();
                }
                return Ok(self.moved().or(Some(LogItem::Heartbeat)));
            }
            Event::MySqlGtid(gtid) => {
                let exact = gtid.immediate_commit_us.and_then(|micros| i64::try_from(micros).ok());
                let committed_us = exact.or(seconds(timestamp));
                self.begin((Some(Gtid::MySql(gtid)), committed_us), before, false)?;
            }
            Event::MariaDbGtid(gtid) => {
                let (standalone, prepared) = (gtid.is_standalone(), gtid.is_prepared_xa());
                let id = gtid.gtid(header.server_id());
                self.begin((Some(Gtid::MariaDb(id)), seconds(timestamp)), before, !standalone)?;
                if let Some(transaction) = &mut self.transaction {
                    transaction.prepared = prepared;
                }
            }
            Event::TransactionPayload(_) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.in_payload = true;
                }
            }
            Event::Xid(_) => return self.commit(timestamp).map(Some),
            Event::XaPrepare(prepare) => {
                let rows = self.transaction.as_ref().map_or(0, |transaction| transaction.row_events);
                if !prepare.one_phase && rows > 0 {
                    return Err(xa_unsupported());
                }
                return self.commit(timestamp).map(Some);
            }
            Event::Query(query) => return self.statement(&query, before, timestamp),
            Event::Incident(incident) => {
                return Err(Error::new(
                    ErrorKind::LogGone,
                    format!(
                        "the server reports an incident (code {}): events may be missing from its binlog",
                        incident.code
                    ),
                )
                .hint("compare source and target, or start over with --fresh"));
            }
            Event::Unknown(kind) => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("an event of unknown type {kind} in the binlog"),
                )
                .context("position", &self.read_to)
                .hint("the server is newer than this version knows; skipping the event could lose rows"));
            }
            _ => {}
        }
        Ok(None)
    }

    fn verify(&self, raw: &RawEvent) -> Result<()> {
        // Events inside a compressed payload carry no checksum of their own.
        if self.transaction.as_ref().is_some_and(|transaction| transaction.in_payload) {
            return Ok(());
        }
        let Some(stored) = raw.event.checksum() else { return Ok(()) };
        let algorithm = match raw.event.footer().get_checksum_alg() {
            Ok(Some(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32)) => {
                BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32
            }
            _ => return Ok(()),
        };
        if raw.event.calc_checksum(algorithm) == u32::from_le_bytes(stored) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Connection,
            "an event of the binlog fails its checksum: damaged on the way or on the server's disk",
        )
        .context("position", &self.read_to)
        .hint("if it stays, run mysqlbinlog --verify-binlog-checksum on the server's file"))
    }

    /// Moves the position while no transaction is open.
    fn moved(&mut self) -> Option<LogItem> {
        if self.transaction.is_some() {
            return None;
        }
        self.position.binlog.clone_from(&self.read_to);
        Some(LogItem::Heartbeat)
    }

    fn begin(
        &mut self,
        (gtid, committed_us): (Option<Gtid>, Option<i64>),
        offset: u64,
        in_block: bool,
    ) -> Result<()> {
        if let Some(open) = &self.transaction
            && (open.in_payload || open.row_events > 0 || open.in_block)
        {
            return Err(Error::new(ErrorKind::Connection, "a transaction of the binlog has no end: its events were lost or a compressed payload is damaged")
                .context("position", &open.begin));
        }
        let begin = crate::position::BinlogPosition::new(self.read_to.file.clone(), offset);
        self.transaction = Some(Transaction {
            name: None,
            committed_us,
            gtid,
            in_block,
            prepared: false,
            row_events: 0,
            begin,
            in_payload: false,
        });
        Ok(())
    }

    fn commit(&mut self, timestamp: u32) -> Result<LogItem> {
        let gtid = self.transaction.take().and_then(|transaction| transaction.gtid);
        match (&mut self.position.gtid, gtid) {
            (Some(GtidPosition::MySql(set)), Some(Gtid::MySql(gtid))) if !gtid.anonymous => {
                set.add(&MySqlGtid { uuid: gtid.uuid, tag: gtid.tag, number: gtid.number });
            }
            (Some(GtidPosition::MariaDb(set)), Some(Gtid::MariaDb(gtid))) => set.update(gtid),
            _ => {}
        }
        self.position.binlog.clone_from(&self.read_to);
        Ok(LogItem::Committed { timestamp })
    }

    /// Ends the transaction that a lone statement is.
    pub(crate) fn end_statement(&mut self) -> Result<()> {
        self.commit(0).map(drop)
    }

    fn statement(
        &mut self,
        query: &event::Query<'_>,
        before: u64,
        timestamp: u32,
    ) -> Result<Option<LogItem>> {
        let sql: &[u8] = &query.sql;
        let word = |text: &str| sql.len() == text.len() && sql.eq_ignore_ascii_case(text.as_bytes());
        let starts =
            |text: &str| sql.len() >= text.len() && sql[..text.len()].eq_ignore_ascii_case(text.as_bytes());
        if self.transaction.is_none() {
            // Servers before GTIDs, and statements outside any group.
            self.begin((None, seconds(timestamp)), before, false)?;
        }
        let Some(transaction) = &mut self.transaction else { return Ok(None) };
        if word("BEGIN") || word("START TRANSACTION") {
            transaction.in_block = true;
            return Ok(None);
        }
        if word("COMMIT") {
            return self.commit(timestamp).map(Some);
        }
        if starts("ROLLBACK") {
            if transaction.row_events > 0 {
                return Err(Error::new(ErrorKind::Unsupported, "the binlog holds a rolled-back transaction with rows (it changed a non-transactional table, too)")
                    .context("position", &transaction.begin));
            }
            return if word("ROLLBACK") { self.commit(timestamp).map(Some) } else { Ok(None) };
        }
        if starts("SAVEPOINT ") {
            return Ok(None);
        }
        if starts("XA START") || starts("XA BEGIN") {
            (transaction.in_block, transaction.prepared) = (true, true);
            return Ok(None);
        }
        if starts("XA END") {
            return Ok(None);
        }
        if starts("XA COMMIT") || starts("XA ROLLBACK") {
            return self.commit(timestamp).map(Some);
        }
        let mut alone = !transaction.in_block;
        if alone && contains_start_transaction(sql) && self.flavor == Flavor::MySql {
            // CREATE TABLE … SELECT since MySQL 8.0.21: its rows follow in the same transaction.
            transaction.in_block = true;
            alone = false;
        }
        Ok(Some(LogItem::Statement {
            schema: query.schema.to_owned(),
            sql: sql.to_vec(),
            sql_mode: query.sql_mode,
            alone,
        }))
    }

    /// Ends the connection.
    pub(crate) async fn close(self) {
        // The server notices by itself; a failure to say goodbye changes nothing.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.stream.close()).await;
    }
}

/// Row events of an XA transaction that is not committed yet.
pub(crate) fn xa_unsupported() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "a captured table was changed by a two-phase XA transaction, which is not supported yet",
    )
    .hint("exclude the table, or let the application use ordinary transactions")
}

fn contains_start_transaction(sql: &[u8]) -> bool {
    let tail = sql.trim_ascii_end();
    let mark = b"START TRANSACTION";
    tail.len() > mark.len() && tail[tail.len() - mark.len()..].eq_ignore_ascii_case(mark)
}

/// An event's timestamp in microseconds; made-up events have none.
fn seconds(timestamp: u32) -> Option<i64> {
    (timestamp > 0).then(|| i64::from(timestamp) * 1_000_000)
}

/// The full offset behind an event from its low 32 bits, given the offset before it.
fn widen(before: u64, low: u32) -> u64 {
    const WRAP: u64 = 1 << 32;
    let mut offset = (before & !(WRAP - 1)) | u64::from(low);
    if offset + WRAP / 2 < before {
        offset += WRAP;
    }
    offset
}

#[cfg(test)]
mod tests;

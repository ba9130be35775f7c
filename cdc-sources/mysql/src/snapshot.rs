//! Reads one chunk in a read view that is known to be late enough.
//!
//! In group commit a transaction is in the binlog before the storage engine shows it. A chunk
//! registered at stream position `p0` must therefore be read in a view that *shows* everything up
//! to `p0`, because the stream has already dropped those rows as "not read yet":
//!
//! - MySQL with GTIDs: `WAIT_FOR_EXECUTED_GTID_SET(p0)`, then open the view. A GTID enters
//!   `gtid_executed` after the engine commit.
//! - MariaDB: a consistent snapshot tells its own exact place (`binlog_snapshot_file`,
//!   `binlog_snapshot_position`); it is taken again until that place covers `p0`.
//! - MySQL without GTIDs, and tables without a usable key everywhere else: `LOCK TABLES … READ`
//!   waits for every writer of the table, for as long as opening the view takes.
//!
//! After the SELECT the end of the binlog is the high mark. Tables without a usable key cannot be
//! merged by key; they are read whole, from a view whose place in the log is known exactly.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use culvert_api::{Error, ErrorKind, Result, RowKind, RowPosition, TableId, TableSchema};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};
use tokio::sync::{Mutex, mpsc};

use crate::catalog::{quote, quote_table};
use crate::column::{Conversion, MySqlColumn};
use crate::connect::{Endpoint, Flavor, ServerInfo, log_end_place};
use crate::decode::RowsBuilder;
use crate::error::from_client;
use crate::gtid::{GtidPosition, MariaDbGtidSet};
use crate::key::{KeyBound, KeyPlan};
use crate::position::{BinlogPosition, StreamPosition};
use crate::state::ChunkSplit;
use crate::value_text::RowText;

/// How long a view may take to show what the stream has passed.
const VISIBLE_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two looks at MariaDB's snapshot position.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Rows per batch while reading.
const BATCH_ROWS: usize = 8192;

/// What the reader wants read.
#[derive(Clone, Debug)]
pub(crate) struct ChunkRequest {
    pub(crate) split: ChunkSplit,
    /// The stream had passed this place when the chunk was registered.
    pub(crate) not_before: StreamPosition,
    pub(crate) columns: Arc<[MySqlColumn]>,
    pub(crate) schema: Arc<TableSchema>,
    /// `None`: read the table whole, from an exact place.
    pub(crate) key: Option<KeyPlan>,
    pub(crate) rows_max: usize,
    pub(crate) bytes_max: usize,
    pub(crate) conversion: Conversion,
    /// Rows that fail it are left out.
    pub(crate) condition: Option<String>,
}

/// What a chunk's task answers.
#[derive(Debug)]
pub(crate) enum ChunkMessage {
    /// A keyed chunk is read: the rows, and the end of the log after them. `cut` says that only
    /// the keys up to there were read.
    Read { split: String, batches: Vec<RecordBatch>, high: BinlogPosition, cut: Option<KeyBound> },
    /// A whole table begins, exactly at this place of the log.
    WholeBegins { split: String, at: BinlogPosition },
    /// Some of its rows.
    WholeRows(RecordBatch),
    /// All its rows were sent.
    WholeEnds,
    /// The table's shape is no longer what the stream knows at this place; try again later.
    ShapeChanged { split: String },
    /// It failed.
    Failed(Error),
}

/// Connections that chunk tasks share, one per task at work.
#[derive(Clone)]
pub(crate) struct ChunkReader {
    endpoint: Endpoint,
    server: ServerInfo,
    idle: Arc<Mutex<Vec<Conn>>>,
    answers: mpsc::Sender<ChunkMessage>,
}

impl ChunkReader {
    pub(crate) fn new(
        endpoint: Endpoint,
        server: ServerInfo,
        answers: mpsc::Sender<ChunkMessage>,
    ) -> ChunkReader {
        ChunkReader { endpoint, server, idle: Arc::default(), answers }
    }

    /// Reads a chunk in a task of its own and answers over the channel.
    pub(crate) fn start(&self, tasks: &mut tokio::task::JoinSet<()>, request: ChunkRequest) {
        let reader = self.clone();
        tasks.spawn(async move {
            let message = match reader.read(&request).await {
                Ok(message) => message,
                Err(error) if error.kind() == ErrorKind::Schema => {
                    tracing::info!(table = %request.split.table, "a chunk's table changed its shape meanwhile: {error}");
                    ChunkMessage::ShapeChanged { split: request.split.id() }
                }
                Err(error) => ChunkMessage::Failed(error.context("chunk", request.split.id())),
            };
            // The reader is gone when the attempt has ended; then nobody needs the answer.
            let _ = reader.answers.send(message).await;
        });
    }

    async fn connection(&self) -> Result<Conn> {
        let idle = self.idle.lock().await.pop();
        match idle {
            Some(conn) => Ok(conn),
            None => self.endpoint.connect().await,
        }
    }

    async fn read(&self, request: &ChunkRequest) -> Result<ChunkMessage> {
        let mut conn = self.connection().await?;
        match &request.key {
            Some(key) => {
                self.open_view(&mut conn, request).await?;
                let (batches, cut_at) = read_rows(&mut conn, request, key).await?;
                let cut = match cut_at {
                    None => None,
                    Some(raw) => {
                        // Rows may still be on their way here: leave them to the old connection.
                        conn = self.endpoint.connect().await?;
                        Some(key.bound_at(&mut conn, raw).await?)
                    }
                };
                let high = log_end_place(&mut conn, &self.server).await?.0;
                run(&mut conn, "COMMIT").await?;
                self.idle.lock().await.push(conn);
                Ok(ChunkMessage::Read { split: request.split.id(), batches, high, cut })
            }
            None => {
                let at = self.open_exact_view(&mut conn, request).await?;
                self.send(ChunkMessage::WholeBegins { split: request.split.id(), at }).await?;
                self.send_rows(&mut conn, request).await?;
                run(&mut conn, "COMMIT").await?;
                self.idle.lock().await.push(conn);
                Ok(ChunkMessage::WholeEnds)
            }
        }
    }

    async fn send(&self, message: ChunkMessage) -> Result<()> {
        self.answers
            .send(message)
            .await
            .map_err(|_| Error::new(ErrorKind::Unavailable, "the attempt has ended"))
    }

    /// Opens a view that shows everything up to the stream's place.
    async fn open_view(&self, conn: &mut Conn, request: &ChunkRequest) -> Result<()> {
        match &request.not_before.gtid {
            Some(GtidPosition::MySql(set)) => {
                let wait = VISIBLE_WITHIN.as_secs();
                let late: Option<Option<i64>> = conn
                    .exec_first(format!("SELECT WAIT_FOR_EXECUTED_GTID_SET(?, {wait})"), (set.to_string(),))
                    .await
                    .map_err(|error| from_client(error, "waiting for transactions to become visible"))?;
                if late.flatten() != Some(0) {
                    return Err(not_visible(&request.split.table));
                }
                run(conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT").await
            }
            Some(GtidPosition::MariaDb(set)) => {
                if self.exact_mariadb_view(conn, &request.not_before, set).await?.is_some() {
                    return Ok(());
                }
                self.locked_view(conn, &request.split.table).await.map(drop)
            }
            None => self.locked_view(conn, &request.split.table).await.map(drop),
        }
    }

    /// Opens a view whose place in the log is known exactly, not before the stream's.
    async fn open_exact_view(&self, conn: &mut Conn, request: &ChunkRequest) -> Result<BinlogPosition> {
        if let (Flavor::MariaDb, Some(GtidPosition::MariaDb(set))) =
            (self.server.flavor, &request.not_before.gtid)
            && let Some(at) = self.exact_mariadb_view(conn, &request.not_before, set).await?
        {
            return Ok(at);
        }
        self.locked_view(conn, &request.split.table).await
    }

    /// MariaDB: a consistent snapshot and its place. `None`: the server does not tell it.
    async fn exact_mariadb_view(
        &self,
        conn: &mut Conn,
        not_before: &StreamPosition,
        set: &MariaDbGtidSet,
    ) -> Result<Option<BinlogPosition>> {
        let begun = Instant::now();
        loop {
            run(conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
            let Some(at) = snapshot_position(conn).await? else {
                run(conn, "ROLLBACK").await?;
                return Ok(None);
            };
            // By file and offset where that can say yes. It cannot right after a rotation, when the
            // stream is in the new file and the last commit in the old one; GTIDs can, but the
            // server reads the file for them.
            if at.has_reached(&not_before.binlog) || gtids_at(conn, &at).await? >= *set {
                return Ok(Some(at));
            }
            run(conn, "ROLLBACK").await?;
            if begun.elapsed() > VISIBLE_WITHIN {
                return Ok(None);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Opens a view while the table is locked against writers: its place is the end of the log.
    async fn locked_view(&self, conn: &mut Conn, table: &TableId) -> Result<BinlogPosition> {
        let mut lock = self.endpoint.connect().await?;
        let statement = format!("LOCK TABLES {} READ", quote_table(table));
        run(&mut lock, &statement).await.map_err(|error| {
            error.context("table", table).hint(
                "this table needs a short read lock: GRANT LOCK TABLES to the user, or give the table a primary key and the server GTIDs",
            )
        })?;
        let at = log_end_place(&mut lock, &self.server).await?.0;
        run(conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
        run(&mut lock, "UNLOCK TABLES").await?;
        // Already unlocked; a failure to say goodbye changes nothing.
        let _ = lock.disconnect().await;
        Ok(at)
    }

    async fn send_rows(&self, conn: &mut Conn, request: &ChunkRequest) -> Result<()> {
        let mut builder = ChunkRows::new(request)?;
        let statement = select(request, None);
        let mut result = conn.exec_iter(statement, ()).await.map_err(|error| reading(error, request))?;
        while let Some(row) = result.next().await.map_err(|error| reading(error, request))? {
            builder.append(&row.unwrap())?;
            if builder.rows() >= BATCH_ROWS || builder.bytes() >= request.bytes_max {
                let batch = builder.finish_rows()?;
                self.send(ChunkMessage::WholeRows(batch)).await?;
            }
        }
        drop(result);
        if builder.rows() > 0 {
            let batch = builder.finish_rows()?;
            self.send(ChunkMessage::WholeRows(batch)).await?;
        }
        Ok(())
    }
}

async fn gtids_at(conn: &mut Conn, place: &BinlogPosition) -> Result<MariaDbGtidSet> {
    let found: Option<Option<Vec<u8>>> = conn
        .exec_first("SELECT BINLOG_GTID_POS(?, ?)", (&place.file, place.offset))
        .await
        .map_err(|error| from_client(error, "asking for a snapshot's place"))?;
    String::from_utf8_lossy(&found.flatten().unwrap_or_default()).parse()
}

/// MariaDB's `binlog_snapshot_file` and `binlog_snapshot_position` of the open transaction.
async fn snapshot_position(conn: &mut Conn) -> Result<Option<BinlogPosition>> {
    let rows: Vec<(Vec<u8>, Vec<u8>)> = conn
        .query("SHOW STATUS LIKE 'binlog_snapshot_%'")
        .await
        .map_err(|error| from_client(error, "asking for a snapshot's place"))?;
    let get = |name: &str| {
        let row = rows.iter().find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()));
        row.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    let (file, offset) = (get("binlog_snapshot_file"), get("binlog_snapshot_position"));
    Ok(match (file, offset.and_then(|text| text.parse().ok())) {
        (Some(file), Some(offset)) if !file.is_empty() => Some(BinlogPosition::new(file, offset)),
        _ => None,
    })
}

async fn run(conn: &mut Conn, statement: &str) -> Result<()> {
    conn.query_drop(statement).await.map_err(|error| from_client(error, "reading a chunk"))
}

fn reading(error: mysql_async::Error, request: &ChunkRequest) -> Error {
    from_client(error, "reading a chunk").context("table", &request.split.table)
}

fn not_visible(table: &TableId) -> Error {
    Error::new(
        ErrorKind::Contention,
        format!("transactions before the chunk did not become visible within {VISIBLE_WITHIN:?}"),
    )
    .context("table", table)
}

fn select(request: &ChunkRequest, key: Option<&KeyPlan>) -> String {
    let names: Vec<String> = request.columns.iter().map(|column| quote(&column.name)).collect();
    let mut statement = format!("SELECT {} FROM {}", names.join(", "), quote_table(&request.split.table));
    let range = key.map(|key| key.conditions(&request.split.range));
    let conditions: Vec<String> = range.into_iter().flatten().chain(request.condition.clone()).collect();
    if !conditions.is_empty() {
        statement.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
    }
    if let Some(key) = key {
        statement.push_str(&key.order_by());
        // One row more than the bound tells whether anything is left.
        if key.can_end_anywhere() {
            statement.push_str(&format!(" LIMIT {}", request.rows_max + 1));
        }
    }
    statement
}

/// Reads the rows of a keyed chunk up to its bounds. The second value is the raw key of the last
/// row when there are more.
async fn read_rows(
    conn: &mut Conn,
    request: &ChunkRequest,
    key: &KeyPlan,
) -> Result<(Vec<RecordBatch>, Option<Vec<Vec<u8>>>)> {
    let mut builder = ChunkRows::new(request)?;
    let mut batches = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    let mut result =
        conn.exec_iter(select(request, Some(key)), ()).await.map_err(|error| reading(error, request))?;
    let mut last: Option<Vec<Vec<u8>>> = None;
    while let Some(row) = result.next().await.map_err(|error| reading(error, request))? {
        if let Some(key) = last.take() {
            drop(result);
            if builder.rows() > 0 {
                batches.push(builder.finish_rows()?);
            }
            return Ok((batches, Some(key)));
        }
        let row = row.unwrap();
        rows += 1;
        let full = rows >= request.rows_max || bytes + builder.bytes() >= request.bytes_max;
        if full && key.can_end_anywhere() {
            last = Some(key.cut_columns().map(|index| raw_key(&row, index)).collect::<Result<_>>()?);
        }
        builder.append(&row)?;
        if builder.rows() >= BATCH_ROWS {
            bytes += builder.bytes();
            batches.push(builder.finish_rows()?);
        }
    }
    drop(result);
    if builder.rows() > 0 {
        batches.push(builder.finish_rows()?);
    }
    Ok((batches, None))
}

/// The rows of a chunk on their way into columns.
struct ChunkRows {
    builder: RowsBuilder,
    text: RowText,
}

impl ChunkRows {
    fn new(request: &ChunkRequest) -> Result<ChunkRows> {
        let builder = RowsBuilder::new(&request.schema, &request.columns, &request.conversion)?;
        Ok(ChunkRows { builder, text: RowText::default() })
    }

    fn rows(&self) -> usize {
        self.builder.len()
    }

    fn bytes(&self) -> usize {
        self.builder.bytes()
    }

    fn append(&mut self, values: &[Value]) -> Result<()> {
        let nowhere = RowPosition { transaction: 0, event: 0, row: 0 };
        self.builder.append_text_row(self.text.of(values), RowKind::Insert, nowhere)
    }

    fn finish_rows(&mut self) -> Result<RecordBatch> {
        Ok(self.builder.finish()?.rows)
    }
}

/// The raw bytes of a key column.
pub(crate) fn raw_key(values: &[Value], index: usize) -> Result<Vec<u8>> {
    let mut text = RowText::default();
    let value = values.get(index..=index).unwrap_or_default();
    let key = text.of(value).next().flatten().map(<[u8]>::to_vec);
    key.ok_or_else(|| Error::new(ErrorKind::Corrupt, "a row without its key"))
}

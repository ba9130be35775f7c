//! Reads one chunk in a read view whose contents are known.
//!
//! A chunk is read in a transaction of its own, whose `pg_current_snapshot()` tells which transactions
//! it shows. The log stands still at a commit meanwhile, and the view must show every transaction that
//! the log has returned so far and whose rows were dropped as "not read yet": a commit is in the log
//! before it is visible, so this is looked at, and a newer view is taken until it holds.
//!
//! The table is locked (ACCESS SHARE) before the view is opened: a TRUNCATE or a rewriting ALTER TABLE
//! between the two would make the table look empty to the view ("MVCC Caveats" in the manual). Its
//! columns are then compared with those the log knows; where they differ, the view's own are told. The end of the log after the view is opened is
//! where the stream no longer has to ask what the view showed.
//!
//! A table without a key that can be cut is one chunk, and [`blocks`] reads it by several connections.

mod blocks;
pub(crate) mod copy;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use culvert_api::{Error, ErrorClass, ErrorKind, Result, RowKind, RowPosition, TableId, TableSchema};
use culvert_postgres::quote::{identifier, literal};
use culvert_postgres::{Client, Endpoint, from_client};
use futures_util::StreamExt as _;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};

use self::blocks::{BlockRange, SharedView};
use self::copy::{CopyRow, CopyRows};
use crate::catalog::{NOT_NULL, ServerInfo, is_true, query, read_table, text};
use crate::column::{ColumnDef, PgType};
use crate::decode::{NanPolicy, RowsBuilder};
use crate::filling::Fillings;
use crate::key::{KeyBound, KeyPlan};
use crate::lsn::Lsn;
use crate::publication::Published;
use crate::shape::TableDef;
use crate::state::ChunkSplit;
use crate::visibility::Snapshot;

/// How long a view may take to show what the stream has passed.
const VISIBLE_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two views.
const LOOK_AGAIN: Duration = Duration::from_millis(3);
/// Rows and bytes per batch while reading.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 4 << 20;

/// What the reader wants read.
#[derive(Clone, Debug)]
pub(crate) struct ChunkRequest {
    pub(crate) split: ChunkSplit,
    pub(crate) def: Arc<TableDef>,
    /// The columns that are read.
    pub(crate) columns: Arc<[ColumnDef]>,
    pub(crate) schema: Arc<TableSchema>,
    /// For rows of these columns; `None`: read the table whole.
    pub(crate) cut: Option<KeyPlan>,
    /// The publication that the log is read by.
    pub(crate) publication: String,
    /// Transactions that the view has to show.
    pub(crate) unseen: Arc<[u32]>,
    pub(crate) rows_max: usize,
    pub(crate) bytes_max: usize,
    pub(crate) nan: NanPolicy,
    /// Rows that fail it are left out.
    pub(crate) condition: Option<String>,
}

/// What a chunk's task answers.
#[derive(Debug)]
pub(crate) enum ChunkMessage {
    /// Some of its rows.
    Rows { split: String, batch: RecordBatch },
    /// All of them were sent. `cut` says that only the keys up to there were read.
    Done { split: String, snapshot: Snapshot, high: Lsn, cut: Option<KeyBound> },
    /// The table is not what the log knows at this place. Nothing was sent.
    ShapeChanged { split: String, high: Lsn, seen: Option<Box<Seen>> },
    /// It failed.
    Failed(Error),
}

/// A table as a view shows it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) def: TableDef,
    pub(crate) fillings: Fillings,
}

/// Connections that chunk tasks share, one per task at work and per helper of one.
#[derive(Clone)]
pub(crate) struct ChunkReader {
    endpoint: Endpoint,
    server: ServerInfo,
    connections_max: usize,
    /// One per connection that may read at the same time.
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Client>>>,
    answers: mpsc::Sender<ChunkMessage>,
}

/// A view, and the place behind everything it shows.
struct View {
    snapshot: Snapshot,
    high: Lsn,
    same_shape: bool,
}

impl ChunkReader {
    pub(crate) fn new(
        endpoint: Endpoint,
        server: ServerInfo,
        connections_max: usize,
        answers: mpsc::Sender<ChunkMessage>,
    ) -> ChunkReader {
        let permits = Arc::new(Semaphore::new(connections_max));
        ChunkReader { endpoint, server, connections_max, permits, idle: Arc::default(), answers }
    }

    /// Reads a chunk in a task of its own and answers over the channel.
    pub(crate) fn start(&self, tasks: &mut tokio::task::JoinSet<()>, request: ChunkRequest) {
        let (reader, request) = (self.clone(), Arc::new(request));
        tasks.spawn(async move {
            let message = match reader.read(&request).await {
                Ok(message) => message,
                Err(error) => ChunkMessage::Failed(error.context("chunk", request.split.id())),
            };
            // The reader is gone when the attempt has ended; then nobody needs the answer.
            let _ = reader.answers.send(message).await;
        });
    }

    /// Gives the server its connections back.
    pub(crate) async fn rest(&self) {
        self.idle.lock().await.clear();
    }

    async fn connection(&self) -> Result<Client> {
        let idle = self.idle.lock().await.pop();
        match idle {
            Some(client) => Ok(client),
            None => self.endpoint.connect().await,
        }
    }

    async fn read(&self, request: &Arc<ChunkRequest>) -> Result<ChunkMessage> {
        let _permit = self.permit().await?;
        let client = self.connection().await?;
        let split = request.split.id();
        let (view, shared) = match self.open_views(&client, request).await {
            Ok(views) => views,
            // Dropped or renamed: nothing was sent, and the log may tell.
            Err(error) if error.kind() == ErrorKind::Schema => {
                tracing::info!(table = %request.split.table, "a chunk's table is not there: {error}");
                let client = self.endpoint.connect().await?;
                let high = crate::catalog::log_end(&client, &self.server).await?;
                return Ok(ChunkMessage::ShapeChanged { split, high, seen: None });
            }
            Err(error) => return Err(error),
        };
        if !view.same_shape {
            let seen = self.look(&client, request).await?;
            return Ok(ChunkMessage::ShapeChanged { split, high: view.high, seen });
        }
        let (cut, whole_result) = match shared {
            Some(shared) => {
                self.read_together(&client, request, shared).await?;
                (None, true)
            }
            None => self.send_rows(&client, request, None).await?,
        };
        if whole_result {
            query(&client, "COMMIT", "reading a chunk").await?;
            self.idle.lock().await.push(client);
        }
        Ok(ChunkMessage::Done { split, snapshot: view.snapshot, high: view.high, cut })
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        permit.map_err(|_| Error::new(ErrorKind::Internal, "the permits to read are gone"))
    }

    /// Opens a view, and shares it with others where that pays.
    async fn open_views(
        &self,
        client: &Client,
        request: &ChunkRequest,
    ) -> Result<(View, Option<SharedView>)> {
        let view = self.open_view(client, request).await?;
        if request.cut.is_some() || self.connections_max < 2 || !view.same_shape {
            return Ok((view, None));
        }
        match SharedView::export(client, request.def.oid, self.connections_max).await {
            Ok(shared) => Ok((view, shared)),
            // Not every product shares views; with the statement the transaction has failed.
            Err(error) if error.class() == ErrorClass::Operator => {
                tracing::info!(table = %request.split.table, "one connection reads the table alone: {error}");
                query(client, "ROLLBACK", "reading a chunk").await?;
                Ok((self.open_view(client, request).await?, None))
            }
            Err(error) => Err(error),
        }
    }

    /// The table's shape in the view.
    async fn look(&self, client: &Client, request: &ChunkRequest) -> Result<Option<Box<Seen>>> {
        let published = Published::read(client, &self.server, &request.publication).await?;
        let Some(def) = read_table(client, &self.server, request.def.oid, &published).await? else {
            return Ok(None);
        };
        let fillings = Fillings::read(client, def.oid).await?;
        Ok(Some(Box::new(Seen { def, fillings })))
    }

    async fn send(&self, message: ChunkMessage) -> Result<()> {
        self.answers
            .send(message)
            .await
            .map_err(|_| Error::new(ErrorKind::Unavailable, "the attempt has ended"))
    }

    /// Opens a view that shows everything the stream has dropped as unread.
    async fn open_view(&self, client: &Client, request: &ChunkRequest) -> Result<View> {
        let begun = Instant::now();
        loop {
            let view = self.view(client, request).await?;
            if request.unseen.iter().all(|xid| view.snapshot.shows(*xid)) {
                return Ok(view);
            }
            query(client, "ROLLBACK", "reading a chunk").await?;
            if begun.elapsed() > VISIBLE_WITHIN {
                return Err(Error::new(
                    ErrorKind::Contention,
                    format!(
                        "transactions that are in the log did not become visible within {VISIBLE_WITHIN:?}; a standby \
                         that synchronous_standby_names waits for may be away"
                    ),
                )
                .context("table", &request.split.table));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// One round trip. LOCK opens no view; the first SELECT does.
    async fn view(&self, client: &Client, request: &ChunkRequest) -> Result<View> {
        let def = &request.def;
        let statement = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE {} IN ACCESS SHARE MODE; \
             SELECT 'view', pg_catalog.pg_current_snapshot(); SELECT 'high', pg_catalog.pg_current_wal_insert_lsn(); \
             SELECT 'column', a.attname, a.atttypid, a.atttypmod, a.attgenerated <> '', a.attnum, {NOT_NULL}, \
             pg_catalog.pg_relation_filenode(c.oid) FROM pg_catalog.pg_attribute a \
             JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.oid = {} AND n.nspname = {} AND c.relname = {} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            def.quoted_alone(),
            def.oid,
            literal(&def.schema),
            literal(&def.table)
        );
        let (mut snapshot, mut high) = (None, None);
        let mut expected = def.columns.iter().peekable();
        let mut same_shape = true;
        let rows = query(client, &statement, "opening a read view").await;
        for row in rows.map_err(|error| unreadable(error, def))? {
            match text(&row, 0) {
                "view" => snapshot = Some(text(&row, 1).parse()?),
                "high" => high = Some(self.server.behind_record(text(&row, 1).parse()?)),
                _ => {
                    let (Ok(type_oid), Ok(typmod)) = (text(&row, 2).parse(), text(&row, 3).parse()) else {
                        return Err(Error::new(ErrorKind::Corrupt, "the catalog tells no type of a column"));
                    };
                    let next = expected.next_if(|column| {
                        column.is_like(text(&row, 1), type_oid, typmod)
                            // Dropped and added again, or with NULL in its rows, or all of them written anew.
                            && (column.number == 0 || text(&row, 5).parse() == Ok(column.number))
                            && (column.nullable || is_true(&row, 6))
                            && def.filenode.is_none_or(|file| text(&row, 7).parse() == Ok(file))
                    });
                    // Columns that are not published may be anything.
                    same_shape &= next.is_some() || def.listed || is_true(&row, 4);
                }
            }
        }
        same_shape &= expected.next().is_none();
        match (snapshot, high) {
            (Some(snapshot), Some(high)) => Ok(View { snapshot, high, same_shape }),
            _ => Err(Error::new(ErrorKind::Corrupt, "the server tells nothing about a read view")),
        }
    }

    /// Sends the rows, or those in a range of blocks. The second value: everything the server had to
    /// say was taken.
    async fn send_rows(
        &self,
        client: &Client,
        request: &ChunkRequest,
        blocks: Option<BlockRange>,
    ) -> Result<(Option<KeyBound>, bool)> {
        let reading = |error| from_client(error, "reading a chunk").context("table", &request.split.table);
        let stream = client.copy_out(&copy_statement(request, blocks)).await.map_err(reading)?;
        let mut stream = std::pin::pin!(stream);
        let mut rows = ChunkRows::new(request);
        let mut in_rows = CopyRows::default();
        while let Some(data) = stream.next().await {
            let mut data = data.map_err(reading)?;
            while let Some(row) = in_rows.next(&mut data, request.columns.len())? {
                if rows.is_behind_limit(&row)? {
                    let cut = rows.limit.take();
                    self.send_batch(request, &mut rows).await?;
                    return Ok((rows.cut(cut), false));
                }
                rows.append(&row).map_err(|error| error.context("table", &request.split.table))?;
                if rows.builder.len() >= BATCH_ROWS || rows.builder.bytes() >= BATCH_BYTES {
                    self.send_batch(request, &mut rows).await?;
                }
            }
        }
        if !in_rows.ended {
            return Err(Error::new(ErrorKind::Connection, "the connection ended inside a chunk"));
        }
        self.send_batch(request, &mut rows).await?;
        // The statement asks for no more than this many rows.
        let limit = rows.limit.take().filter(|_| rows.rows >= request.rows_max);
        Ok((rows.cut(limit), true))
    }

    async fn send_batch(&self, request: &ChunkRequest, rows: &mut ChunkRows<'_>) -> Result<()> {
        if rows.builder.len() == 0 {
            return Ok(());
        }
        rows.bytes += rows.builder.bytes();
        let batch = rows.builder.finish()?.rows;
        self.send(ChunkMessage::Rows { split: request.split.id(), batch }).await
    }
}

/// The rows of a chunk on their way into columns, and where the chunk has to be cut.
struct ChunkRows<'a> {
    request: &'a ChunkRequest,
    builder: RowsBuilder,
    rows: usize,
    bytes: usize,
    /// The key of the row with which the chunk was full. Rows of the same key belong to it.
    limit: Option<KeyBound>,
}

impl<'a> ChunkRows<'a> {
    fn new(request: &'a ChunkRequest) -> ChunkRows<'a> {
        let builder = RowsBuilder::new(Arc::clone(&request.schema), &request.columns, request.nan);
        ChunkRows { request, builder, rows: 0, bytes: 0, limit: None }
    }

    fn is_behind_limit(&self, row: &CopyRow) -> Result<bool> {
        match (&self.limit, &self.request.cut) {
            (Some(limit), Some(plan)) => Ok(plan.bound(row.cells(&self.request.columns))? != *limit),
            _ => Ok(false),
        }
    }

    fn append(&mut self, row: &CopyRow) -> Result<()> {
        let nowhere = RowPosition { transaction: 0, event: 0, row: 0 };
        self.builder.append(RowKind::Insert, nowhere, row.cells(&self.request.columns))?;
        self.rows += 1;
        let full =
            self.rows >= self.request.rows_max || self.bytes + self.builder.bytes() >= self.request.bytes_max;
        if let (true, None, Some(plan)) = (full, &self.limit, &self.request.cut) {
            self.limit = Some(plan.bound(row.cells(&self.request.columns))?);
        }
        Ok(())
    }

    /// Where the chunk ends early; nowhere when that is its end anyway.
    fn cut(&self, limit: Option<KeyBound>) -> Option<KeyBound> {
        limit.filter(|limit| self.request.split.range.up_to.as_ref() != Some(limit))
    }
}

/// Names the statement that lets the account read a table.
fn unreadable(error: Error, def: &TableDef) -> Error {
    match error.kind() {
        ErrorKind::Permission => {
            error.hint(format!("run GRANT SELECT ON TABLE {} TO the job's account", def.quoted()))
        }
        _ => error,
    }
}

/// How a column is asked for. Where the binary form is not read here, as what the output function
/// prints: a cast to text is another function for some types (`inet`, `"char"`), and so is a test for
/// NULL of a composite.
pub(crate) fn expression(column: &ColumnDef) -> String {
    let name = identifier(&column.name);
    match column.kind {
        PgType::Printed => {
            format!("CASE WHEN {name} IS DISTINCT FROM NULL THEN pg_catalog.format('%s', {name}) END")
        }
        _ => name,
    }
}

fn copy_statement(request: &ChunkRequest, blocks: Option<BlockRange>) -> String {
    let columns: Vec<String> = request.columns.iter().map(expression).collect();
    let mut statement = format!("COPY (SELECT {} FROM {}", columns.join(", "), request.def.quoted_alone());
    let mut conditions: Vec<String> = request.def.filter.iter().map(|filter| format!("({filter})")).collect();
    if let Some(plan) = &request.cut {
        conditions.extend(plan.conditions(&request.split.range));
    }
    conditions.extend(request.condition.clone());
    conditions.extend(blocks.map(|blocks| blocks.condition()));
    if !conditions.is_empty() {
        statement.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
    }
    if let Some(plan) = &request.cut {
        let (names, rows) = (plan.names(), request.rows_max);
        statement.push_str(&format!(" ORDER BY {names} FETCH FIRST {rows} ROWS WITH TIES"));
    }
    statement.push_str(") TO STDOUT (FORMAT binary)");
    statement
}

/// The key with which a chunk of so many rows ends, or `None` past the end of the table.
pub(crate) async fn bound_after(
    client: &Client,
    (def, plan): (&TableDef, &KeyPlan),
    range: &culvert_snapshot::KeyRange<KeyBound>,
    rows: u64,
) -> Result<Option<KeyBound>> {
    let mut conditions: Vec<String> = def.filter.iter().map(|filter| format!("({filter})")).collect();
    conditions.extend(plan.conditions(range));
    let filter =
        if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let names = plan.names();
    let statement = format!(
        "SELECT {names} FROM {}{filter} ORDER BY {names} OFFSET {} LIMIT 1",
        def.quoted_alone(),
        rows.saturating_sub(1)
    );
    let rows = query(client, &statement, "looking for a chunk's end")
        .await
        .map_err(|error| unreadable(error, def).context("table", table_id(def)))?;
    match rows.first() {
        None => Ok(None),
        Some(row) => {
            let texts = (0..row.len()).map(|column| crate::catalog::optional(row, column));
            plan.bound_from_texts(texts).map(Some)
        }
    }
}

fn table_id(def: &TableDef) -> TableId {
    def.id()
}

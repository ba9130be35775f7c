//! The source: puts connection, catalog, enumerator and reader together.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use culvert_api::{
    Boundedness, Error, ErrorKind, Finding, Needs, ReaderContext, Result, Source, SourceReader, SourceState,
    SplitEnumerator, TableId, TableSchema,
};
use culvert_config::Options;
use culvert_snapshot::{RangeSet, TablePlan};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::Mutex;

use crate::catalog::{Catalog, list_tables, read_catalog};
use crate::check;
use crate::connect::{Flavor, ServerInfo};
use crate::enumerator::MySqlEnumerator;
use crate::error::from_client;
use crate::gtid::GtidPosition;
use crate::key::{KeyBound, KeyPlan};
use crate::log::LogStream;
use crate::options::{MySqlConfig, Startup, Stop, drawn_server_id};
use crate::position::{BinlogPosition, StreamPosition};
use crate::reader::MySqlReader;
use crate::shapes::database_charsets;
use crate::state::{EnumeratorState, ReaderState, StreamSplit, TableState, decode};
use crate::tables::{Captured, output_of};

/// A MySQL or MariaDB server to read changes from.
pub struct MySqlSource {
    config: Arc<MySqlConfig>,
    /// What the last call of `tables` prepared, for the enumerator and the reader of one attempt.
    prepared: Mutex<Option<Prepared>>,
}

#[derive(Clone)]
struct Prepared {
    server: ServerInfo,
    start: ReaderState,
    /// Tables that join a job with state; the state does not have them.
    joining: Vec<TableState>,
    plans: Vec<(TableId, TablePlan<KeyBound>)>,
}

impl MySqlSource {
    /// The plugin's name.
    pub const NAME: &'static str = "MySQL-CDC";

    /// Builds the source from its options; `parallelism` is the job's. Nothing is connected yet.
    pub fn from_options(options: &Options, parallelism: u32) -> Result<MySqlSource> {
        Ok(MySqlSource {
            config: Arc::new(MySqlConfig::from_options(options, parallelism)?),
            prepared: Mutex::new(None),
        })
    }

    async fn prepare(&self, state: Option<&SourceState>) -> Result<Prepared> {
        let mut conn = self.config.endpoint.connect().await?;
        let server = ServerInfo::read(&mut conn).await?;
        check::require(&server)?;
        let prepared = match state {
            None => self.prepare_fresh(&mut conn, server).await?,
            Some(state) => self.prepare_restored(&mut conn, server, state).await?,
        };
        // The connection has done its work; how it ends does not matter.
        let _ = conn.disconnect().await;
        Ok(prepared)
    }

    fn snapshots(&self) -> bool {
        matches!(self.config.startup, Startup::Initial | Startup::SnapshotOnly)
    }

    async fn prepare_fresh(&self, conn: &mut Conn, server: ServerInfo) -> Result<Prepared> {
        let catalog = read_catalog(conn, &server, &self.config.selection).await?;
        let charsets = database_charsets(conn).await?;
        let position = self.start_position(conn, &server, &catalog).await?;
        // A job that may not read the log is refused here, before its target is touched. The id is
        // another one, because a check must not push a running job off the server.
        LogStream::open(&self.config.endpoint, &server, drawn_server_id(), &position).await?.close().await;
        let stop_at = match &self.config.stop {
            Stop::Latest => Some(catalog.position.binlog.clone()),
            Stop::At(place) => Some(place.clone()),
            // Of a time that is over, the log has everything already; nothing may come behind it.
            Stop::Time(ms) if *ms < now_ms(conn).await? => Some(catalog.position.binlog.clone()),
            Stop::Never | Stop::Time(_) => None,
        };
        let snapshots = self.snapshots();
        let tables: Vec<TableState> = catalog
            .tables
            .into_iter()
            .map(|def| TableState {
                def,
                output: None,
                version: 0,
                done: if snapshots { RangeSet::default() } else { RangeSet::complete() },
                known_from: None,
            })
            .collect();
        let plans = if snapshots {
            tables.iter().map(|table| (table.id(), TablePlan::new())).collect()
        } else {
            Vec::new()
        };
        let start = ReaderState { position, stop_at, tables, others: Vec::new(), charsets };
        Ok(Prepared { server, start, joining: Vec::new(), plans })
    }

    async fn start_position(
        &self,
        conn: &mut Conn,
        server: &ServerInfo,
        catalog: &Catalog,
    ) -> Result<StreamPosition> {
        let at = |binlog, gtid| StreamPosition { binlog, gtid, server: server.id.clone() };
        match &self.config.startup {
            // On MySQL the end of the log is ahead of the executed GTIDs while transactions commit: the
            // place that fits the GTIDs is not known until the stream tells.
            Startup::Initial | Startup::SnapshotOnly | Startup::Latest
                if server.flavor == Flavor::MySql && server.gtid =>
            {
                Ok(at(BinlogPosition::default(), catalog.position.gtid.clone()))
            }
            Startup::Initial | Startup::SnapshotOnly | Startup::Latest => Ok(catalog.position.clone()),
            Startup::Earliest | Startup::Time(_) => {
                let first = first_file(conn).await?;
                let gtid = match server.flavor {
                    Flavor::MariaDb => Some(mariadb_position(conn, &first).await?),
                    Flavor::MySql if server.gtid => Some(GtidPosition::MySql(purged(conn).await?.parse()?)),
                    Flavor::MySql => None,
                };
                Ok(at(first, gtid))
            }
            Startup::At(place) => {
                let gtid = match server.flavor {
                    Flavor::MariaDb => Some(mariadb_position(conn, place).await?),
                    // MySQL cannot tell the GTIDs before a place; the stream goes on by file then.
                    Flavor::MySql => None,
                };
                Ok(at(place.clone(), gtid))
            }
            Startup::BehindGtids(text) => {
                let gtid = match server.flavor {
                    Flavor::MariaDb => GtidPosition::MariaDb(text.parse()?),
                    Flavor::MySql => GtidPosition::MySql(text.parse()?),
                };
                Ok(at(BinlogPosition::default(), Some(gtid)))
            }
        }
    }

    /// The state as saved, less the tables the job no longer names, and those that join.
    async fn prepare_restored(
        &self,
        conn: &mut Conn,
        server: ServerInfo,
        state: &SourceState,
    ) -> Result<Prepared> {
        let mut start: ReaderState = decode(&state.reader)?;
        let saved: EnumeratorState = decode(&state.enumerator)?;
        if start.position.server != server.id && start.position.gtid.is_none() {
            return Err(Error::new(
                ErrorKind::StateMismatch,
                format!("the saved position belongs to server {}, this one is {}, and without GTIDs it means nothing here", start.position.server, server.id),
            )
            .hint("point the job at the server it followed, or start over with --fresh"));
        }
        start.tables.retain(|table| self.config.selection.matches(&table.id()));
        let known = |id: &TableId| start.tables.iter().any(|table| table.id() == *id);
        // A plan without its table: the barrier in front of one that joined went out, and nothing behind it.
        let mut plans: Vec<_> = saved.tables.into_iter().filter(|(id, _)| known(id)).collect();
        let joined: Vec<TableId> =
            list_tables(conn, &self.config.selection).await?.into_iter().filter(|id| !known(id)).collect();
        let mut joining = Vec::new();
        if !joined.is_empty() {
            let catalog = read_catalog(conn, &server, &self.config.selection).await?;
            for def in catalog.tables {
                let id = TableId::new(&def.database, &def.table);
                if !joined.contains(&id) {
                    continue;
                }
                tracing::info!(table = %id, "a table joins the job");
                let done = if self.snapshots() { RangeSet::default() } else { RangeSet::complete() };
                if self.snapshots() {
                    plans.push((id, TablePlan::new()));
                }
                joining.push(TableState {
                    def,
                    output: None,
                    version: 0,
                    done,
                    known_from: Some(catalog.position.binlog.clone()),
                });
            }
        }
        Ok(Prepared { server, start, joining, plans })
    }

    async fn prepared(&self, state: Option<&SourceState>) -> Result<Prepared> {
        let mut prepared = self.prepared.lock().await;
        match &*prepared {
            Some(ready) => Ok(ready.clone()),
            None => Ok(prepared.insert(self.prepare(state).await?).clone()),
        }
    }
}

async fn first_file(conn: &mut Conn) -> Result<BinlogPosition> {
    let row: Option<mysql_async::Row> = conn
        .query_first("SHOW BINARY LOGS")
        .await
        .map_err(|error| from_client(error, "listing binlog files"))?;
    let name: Option<Vec<u8>> = row.and_then(|mut row| row.take(0));
    let name = name.ok_or_else(|| Error::new(ErrorKind::LogGone, "the server has no binlog file"))?;
    Ok(BinlogPosition::new(String::from_utf8_lossy(&name).into_owned(), 4))
}

async fn mariadb_position(conn: &mut Conn, place: &BinlogPosition) -> Result<GtidPosition> {
    let found: Option<Option<Vec<u8>>> = conn
        .exec_first("SELECT BINLOG_GTID_POS(?, ?)", (&place.file, place.offset))
        .await
        .map_err(|error| from_client(error, "asking for the GTIDs at a place"))?;
    let found = found.flatten().ok_or_else(|| {
        Error::new(ErrorKind::LogGone, format!("the server's binlog has no place {place}"))
            .hint("SHOW BINARY LOGS lists the files there are")
    })?;
    Ok(GtidPosition::MariaDb(String::from_utf8_lossy(&found).parse()?))
}

/// The server's clock.
async fn now_ms(conn: &mut Conn) -> Result<u64> {
    let found: Option<u64> = conn
        .query_first("SELECT FLOOR(UNIX_TIMESTAMP(NOW(3)) * 1000)")
        .await
        .map_err(|error| from_client(error, "asking for the server's time"))?;
    found.ok_or_else(|| Error::new(ErrorKind::Corrupt, "the server tells no time"))
}

async fn purged(conn: &mut Conn) -> Result<String> {
    let found: Option<Option<Vec<u8>>> = conn
        .query_first("SELECT @@GLOBAL.gtid_purged")
        .await
        .map_err(|error| from_client(error, "asking for purged GTIDs"))?;
    Ok(String::from_utf8_lossy(&found.flatten().unwrap_or_default()).into_owned())
}

#[async_trait]
impl Source for MySqlSource {
    fn name(&self) -> &str {
        MySqlSource::NAME
    }

    fn boundedness(&self) -> Boundedness {
        match (&self.config.stop, &self.config.startup) {
            (Stop::Never, startup) if *startup != Startup::SnapshotOnly => Boundedness::Unbounded,
            _ => Boundedness::Bounded,
        }
    }

    fn push_down(&self, needs: Arc<dyn Needs>) {
        self.config.narrowing.set(needs);
    }

    async fn check(&self) -> Result<Vec<Finding>> {
        check::findings(&self.config).await
    }

    async fn tables(&self, state: Option<&SourceState>) -> Result<Vec<Arc<TableSchema>>> {
        let ready = self.prepare(state).await?;
        let mut schemas = Vec::new();
        for table in &ready.start.tables {
            let def = table.output.as_ref().unwrap_or(&table.def);
            schemas.push(Arc::new(output_of(def, table.version, &self.config)?));
        }
        *self.prepared.lock().await = Some(ready);
        Ok(schemas)
    }

    async fn enumerator(
        &self,
        context: ReaderContext,
        state: Option<&SourceState>,
    ) -> Result<Box<dyn SplitEnumerator>> {
        let ready = self.prepared(state).await?;
        let mut keys: HashMap<TableId, Option<KeyPlan>> = HashMap::new();
        for table in ready.start.tables.iter().chain(&ready.joining) {
            let captured = Captured::from_state(table.clone(), &self.config)?;
            keys.insert(captured.id, captured.key);
        }
        let config = &self.config;
        let enumerator = MySqlEnumerator::new(
            config.endpoint.clone(),
            StreamSplit { state: ready.start, joining: ready.joining },
            ready.plans,
            &keys,
            config.chunk_rows,
            context.progress,
        )?;
        Ok(Box::new(enumerator))
    }

    async fn reader(
        &self,
        context: ReaderContext,
        state: Option<&SourceState>,
    ) -> Result<Box<dyn SourceReader>> {
        let ready = self.prepared(state).await?;
        // The next attempt prepares anew.
        *self.prepared.lock().await = None;
        Ok(Box::new(MySqlReader::new(Arc::clone(&self.config), ready.server, context)))
    }
}

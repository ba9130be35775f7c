//! The source: puts connection, catalog, slot, enumerator and reader together.
//!
//! `tables` looks and writes nothing; `enumerator` makes the publication and the slot, because only
//! then the job is known and about to start.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use culvert_api::{
    Boundedness, Error, ErrorKind, Finding, Needs, ReaderContext, Result, Source, SourceReader, SourceState,
    SplitEnumerator, TableId, TableSchema,
};
use culvert_config::Options;
use culvert_postgres::Client;
use culvert_snapshot::TablePlan;
use tokio::sync::Mutex;

use crate::catalog::{
    Found, ServerInfo, describe, find_tables, log_end, query, read_tables, refuse_unmet, text,
};
use crate::check;
use crate::enumerator::PgEnumerator;
use crate::key::{KeyBound, KeyPlan};
use crate::lsn::Lsn;
use crate::newcomers::{Judge, Memory};
use crate::options::{PgConfig, Startup, Stop};
use crate::publication::Published;
use crate::reader::PgReader;
use crate::row_filter;
use crate::shape::{TableDef, refuse_made_anew};
use crate::slot::{self, OwnHolder, Slot};
use crate::standing;
use crate::state::{EnumeratorState, ReaderState, StreamSplit, TableState, decode};
use crate::tables::{Captured, output_of};

/// How long the end of the log may take to reach the server's disk.
const FLUSHED_WITHIN: Duration = Duration::from_secs(2);
/// Pause between two looks at it.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A PostgreSQL server to read changes from.
pub struct PostgresSource {
    config: Arc<PgConfig>,
    /// What the last call of `tables` prepared, for the enumerator and the reader of one attempt.
    prepared: Mutex<Option<Prepared>>,
    /// Values came in binary that are read as text.
    text_only: Arc<AtomicBool>,
    /// What attempts hand on about new tables.
    memory: Memory,
    /// The slot is there because of an earlier attempt.
    slot_is_ours: AtomicBool,
    /// Who reads it for the attempt at work, or read it for the last one.
    holder: OwnHolder,
}

#[derive(Clone)]
struct Prepared {
    server: ServerInfo,
    /// The state to go on from, less the tables the job no longer names; `None` for a fresh start.
    restored: Option<ReaderState>,
    /// The captured tables; all of them at a fresh start.
    tables: Vec<TableState>,
    /// Tables that join a job with state.
    joining: Vec<TableDef>,
    /// What the publication has to have, or the start is refused.
    published: Vec<TableDef>,
    plans: Vec<(TableId, TablePlan<KeyBound>)>,
}

impl PostgresSource {
    /// The plugin's name.
    pub const NAME: &'static str = "Postgres-CDC";

    /// Builds the source from its options; `parallelism` is the job's. Nothing is connected yet.
    pub fn from_options(options: &Options, parallelism: u32) -> Result<PostgresSource> {
        Ok(PostgresSource {
            config: Arc::new(PgConfig::from_options(options, parallelism)?),
            prepared: Mutex::new(None),
            text_only: Arc::default(),
            memory: Memory::default(),
            slot_is_ours: AtomicBool::new(false),
            holder: OwnHolder::default(),
        })
    }

    async fn prepare(&self, state: Option<&SourceState>) -> Result<Prepared> {
        let client = self.config.endpoint.connect().await?;
        self.holder.end(&client).await?;
        let server = ServerInfo::read(&client).await?;
        check::require(&server)?;
        if self.config.origin_none && server.version < 160_000 {
            let message =
                format!("publication.origin = NONE needs server version 16, this is {}", server.version_text);
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        match state {
            None => self.prepare_fresh(&client, server).await,
            Some(state) => self.prepare_restored(&client, server, state).await,
        }
    }

    /// The names of slot and publication as far as they are known before the job is.
    fn known_names(&self) -> (Option<String>, Option<String>) {
        let slot = self.config.slot.clone();
        let publication = self.config.publication.clone().or_else(|| slot.clone());
        (slot, publication)
    }

    async fn prepare_fresh(&self, client: &Client, server: ServerInfo) -> Result<Prepared> {
        let config = &self.config;
        let (slot, publication) = self.known_names();
        let published = match &publication {
            Some(name) => Published::read(client, &server, name).await?,
            None => Published::to_be_made(),
        };
        let defs = read_tables(client, &server, &config.selection, &published).await?;
        let name = publication.as_deref().unwrap_or("of the job");
        for def in &defs {
            published.judge(name, def, config)?;
        }
        published.judge_absence(name, &defs.iter().collect::<Vec<_>>(), config.autocreate)?;
        if let Some(name) = &slot {
            let found = Slot::read(client, name).await?;
            slot::judge_begin(&server, config, name, found.as_ref())?;
            if !self.slot_is_ours.load(Relaxed) && slot::would_take_over(config, found.as_ref(), &published) {
                return Err(slot::not_ours(name));
            }
        }
        let snapshots = config.snapshots();
        let tables = defs.iter().map(|def| TableState::new(def.clone(), snapshots)).collect();
        let plans = if snapshots {
            defs.iter().map(|def| (def.id(), TablePlan::new())).collect()
        } else {
            Vec::new()
        };
        Ok(Prepared { server, restored: None, tables, joining: Vec::new(), published: defs, plans })
    }

    /// The state as saved, less the tables the job no longer names, and the tables that join. One that
    /// is named is refused when it cannot be followed; one that an expression happens to match is left
    /// out, and so is every one once the job has begun.
    async fn prepare_restored(
        &self,
        client: &Client,
        server: ServerInfo,
        state: &SourceState,
    ) -> Result<Prepared> {
        let config = &self.config;
        let mut start: ReaderState = decode(&state.reader)?;
        let saved: EnumeratorState = decode(&state.enumerator)?;
        refuse_other_place(&start, &server, config)?;
        let published = Published::read(client, &server, &start.publication).await?;
        let found = find_tables(client, &server, &config.selection).await?;
        if self.memory.is_first() {
            refuse_unmet(&server, &config.selection, &found)?;
        }
        let mut tables = std::mem::take(&mut start.tables);
        tables.retain(|table| config.selection.matches(&table.id()) && is_still_there(table, &found));
        let is_known = |other: &Found| tables.iter().any(|table| table.def.oid == other.oid);
        let is_named =
            |other: &Found| self.memory.is_first() && config.selection.names(&other.id(&server.database));
        let (known, new): (Vec<_>, Vec<_>) = found.into_iter().partition(is_known);
        let (named, matched): (Vec<_>, Vec<_>) = new.into_iter().partition(is_named);
        let known = describe(client, &server, &known, &published).await?;
        let mut joining = describe(client, &server, &named, &published).await?;
        let must_be: Vec<TableDef> = known.iter().chain(&joining).cloned().collect();
        for def in &must_be {
            published.judge(&start.publication, def, config)?;
        }
        for table in tables.iter().filter(|table| !table.done.ranges().is_empty()) {
            if let Some(now) = known.iter().find(|def| def.oid == table.def.oid) {
                refuse_made_anew(&table.def, now)?;
            }
        }
        let judge = self.judge(client, &server, &start.publication);
        joining.extend(judge.fit(&published, matched).await?);
        let plans: Vec<_> =
            saved.tables.into_iter().filter(|(id, _)| tables.iter().any(|table| table.id() == *id)).collect();
        let at_its_end = joining.is_empty()
            && is_at_its_end(config, &ReaderState { tables: tables.clone(), ..start.clone() });
        if !at_its_end {
            let publication = (start.publication.as_str(), config.fail_on_truncate);
            standing::judge(client, &server, publication, &mut tables).await?;
            published.judge_absence(
                &start.publication,
                &must_be.iter().collect::<Vec<_>>(),
                config.autocreate,
            )?;
            let found = Slot::read(client, &start.slot).await?;
            found.ok_or_else(|| slot::gone(&start.slot))?.judge_position(&server, start.position)?;
        }
        Ok(Prepared { server, restored: Some(start), tables, joining, published: must_be, plans })
    }

    fn judge<'a>(&'a self, client: &'a Client, server: &'a ServerInfo, publication: &'a str) -> Judge<'a> {
        Judge { client, server, config: &self.config, publication, memory: &self.memory }
    }

    async fn prepared(&self, state: Option<&SourceState>) -> Result<Prepared> {
        let mut prepared = self.prepared.lock().await;
        match &*prepared {
            Some(ready) => Ok(ready.clone()),
            None => Ok(prepared.insert(self.prepare(state).await?).clone()),
        }
    }

    /// Makes what has to be there at the server, and finds where to begin.
    async fn start(&self, ready: &Prepared, job: &str) -> Result<StreamSplit> {
        let config = &self.config;
        let client = config.endpoint.connect().await?;
        let server = &ready.server;
        let mut start = match &ready.restored {
            Some(restored) => restored.clone(),
            None => {
                let (slot, publication) = config.names(job);
                ReaderState {
                    system: server.system.clone(),
                    slot,
                    publication,
                    position: Lsn(0),
                    skip: 0,
                    stop_at: None,
                    tables: Vec::new(),
                    unseen: Vec::new(),
                }
            }
        };
        start.tables.clone_from(&ready.tables);
        if ready.restored.is_some() && ready.joining.is_empty() && is_at_its_end(config, &start) {
            return Ok(StreamSplit { state: start, joining: Vec::new() });
        }
        // The publication first: the log is read with the catalog as of each place in it, and would
        // not know of one that was made later.
        let published = Published::read(&client, server, &start.publication).await?;
        if let Some(warning) = published.inserts_only(&start.publication) {
            tracing::warn!("{warning}");
        }
        let tables: Vec<&TableDef> = ready.published.iter().collect();
        for def in &tables {
            published.judge(&start.publication, def, config)?;
        }
        let wishes = row_filter::wishes(config, server, &start.tables)?;
        let named = (start.publication.as_str(), job);
        let anew = ready.restored.is_none() && slot::begins_anew(config);
        published.settle_filters(&client, named, &tables, &wishes, anew).await?;
        published.ensure(&client, server, named, &tables, (config.autocreate, &wishes)).await?;
        if ready.restored.is_none() && config.row_filter {
            // What the server leaves out is part of what a table is like.
            let now = Published::read(&client, server, &start.publication).await?;
            start.tables.iter_mut().for_each(|table| table.def.filter = now.filter(&table.def));
        }
        if ready.restored.is_some() {
            let mut joining = self.join(&client, ready, &start.publication).await?;
            standing::note(&client, server, &start.publication, &mut start.tables).await?;
            standing::note(&client, server, &start.publication, &mut joining).await?;
            return Ok(StreamSplit { state: start, joining });
        }
        standing::note(&client, server, &start.publication, &mut start.tables).await?;
        self.slot_is_ours.store(true, Relaxed);
        start.position = slot::begin(&client, server, config, &start.slot).await?;
        start.stop_at = match &config.stop {
            Stop::Latest => Some(flushed_end(&client, server).await?),
            // Of a time that is over, the log has everything already; nothing may come behind it.
            Stop::Time(ms) if *ms < now_ms(&client).await? => Some(flushed_end(&client, server).await?),
            Stop::Never | Stop::Time(_) => None,
            Stop::At(place) => Some(Lsn(*place)),
        };
        if config.snapshots() {
            slot::wait_for_writers(&client, &tables).await?;
        }
        Ok(StreamSplit { state: start, joining: Vec::new() })
    }

    /// Publishes the tables that join, and waits until they can be read.
    async fn join(&self, client: &Client, ready: &Prepared, publication: &str) -> Result<Vec<TableState>> {
        if ready.joining.is_empty() {
            return Ok(Vec::new());
        }
        let published = Published::read(client, &ready.server, publication).await?;
        let judge = self.judge(client, &ready.server, publication);
        let joining = judge.publish(&published, ready.joining.clone()).await?;
        if self.config.snapshots() {
            let unawaited = joining.iter().filter(|def| !self.memory.is_awaited(def.oid));
            slot::wait_for_writers(client, &unawaited.collect::<Vec<_>>()).await?;
        }
        let snapshots = self.config.snapshots();
        let joining = joining.into_iter().map(|def| {
            tracing::info!(table = %def.id(), "a table joins the job");
            TableState::new(def, snapshots)
        });
        Ok(joining.collect())
    }
}

/// Whether a table of the state may still have rows to come. One that was dropped half-read has no
/// rows to read any more; one that was made anew under its name is another.
fn is_still_there(table: &TableState, there: &[Found]) -> bool {
    let id = table.id();
    let now = there.iter().find(|other| other.id(&table.def.database) == id);
    match now {
        Some(other) if other.oid != table.def.oid => {
            tracing::warn!(table = %id, "the table was dropped and made anew: it joins as a new table; rows of the old one stay at the target");
            false
        }
        None if there.iter().any(|other| other.oid == table.def.oid) => {
            tracing::warn!(table = %id, "the table was renamed to another name that is captured: it joins as a new table; rows under the old name stay at the target");
            false
        }
        None if !table.done.is_complete() => {
            tracing::warn!(table = %id, "the table was dropped before it was read; its rows at the target stay");
            false
        }
        _ => true,
    }
}

/// The server's clock.
async fn now_ms(client: &Client) -> Result<u64> {
    let statement =
        "SELECT pg_catalog.floor(EXTRACT(epoch FROM pg_catalog.clock_timestamp()) * 1000)::bigint";
    let rows = query(client, statement, "asking for the server's time").await?;
    rows.first()
        .and_then(|row| text(row, 0).parse().ok())
        .ok_or_else(|| Error::new(ErrorKind::Corrupt, "the server tells no time"))
}

/// Whether everything that was to be read has been read.
pub(crate) fn is_at_its_end(config: &PgConfig, state: &ReaderState) -> bool {
    let settled = state.tables.iter().all(|table| table.done.is_complete() && table.recent.is_empty());
    let reached = match state.stop_at {
        Some(stop) => state.position >= stop,
        None => config.startup == Startup::SnapshotOnly,
    };
    settled && reached && state.skip == 0
}

/// Refuses a state that belongs to another server, database, slot or publication.
fn refuse_other_place(state: &ReaderState, server: &ServerInfo, config: &PgConfig) -> Result<()> {
    let mismatch = |message: String, hint: &str| {
        Err(Error::new(ErrorKind::StateMismatch, message).hint(format!("{hint}, or start over with --fresh")))
    };
    if !state.system.is_empty() && !server.system.is_empty() && state.system != server.system {
        return mismatch(
            format!(
                "the saved position belongs to the database cluster {}, this one is {}",
                state.system, server.system
            ),
            "point the job at the cluster it followed, or at a standby of it that was promoted",
        );
    }
    if let Some(table) = state.tables.iter().find(|table| table.def.database != server.database) {
        let (was, now) = (&table.def.database, &server.database);
        return mismatch(
            format!("the job followed database '{was}', and the url says '{now}'"),
            "set the url back",
        );
    }
    for (option, now, was) in [
        ("slot.name", &config.slot, &state.slot),
        ("publication.name", &config.publication, &state.publication),
    ] {
        if let Some(now) = now.as_ref().filter(|now| *now != was) {
            return mismatch(
                format!(
                    "the job followed '{was}', and {option} says '{now}', which may have begun elsewhere"
                ),
                &format!("set {option} = \"{was}\""),
            );
        }
    }
    Ok(())
}

/// The end of the log, as far as a commit can reach: what is written and not yet on disk goes there
/// within moments when a commit is among it, and perhaps never when not.
async fn flushed_end(client: &Client, server: &ServerInfo) -> Result<Lsn> {
    let end = log_end(client, server).await?;
    let begun = Instant::now();
    loop {
        let rows =
            query(client, "SELECT pg_catalog.pg_current_wal_flush_lsn()", "asking for the end of the log")
                .await?;
        let flushed: Lsn = rows.first().map(|row| text(row, 0)).unwrap_or_default().parse()?;
        let flushed = server.behind_record(flushed);
        if flushed >= end || begun.elapsed() > FLUSHED_WITHIN {
            return Ok(end.min(flushed));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

#[async_trait]
impl Source for PostgresSource {
    fn name(&self) -> &str {
        PostgresSource::NAME
    }

    fn boundedness(&self) -> Boundedness {
        match (&self.config.stop, &self.config.startup) {
            (Stop::Never, startup) if *startup != Startup::SnapshotOnly => Boundedness::Unbounded,
            _ => Boundedness::Bounded,
        }
    }

    fn push_down(&self, needs: Arc<dyn Needs>) {
        self.config.conversion.narrowing.set(needs);
    }

    async fn check(&self) -> Result<Vec<Finding>> {
        check::findings(&self.config).await
    }

    async fn tables(&self, state: Option<&SourceState>) -> Result<Vec<Arc<TableSchema>>> {
        let ready = self.prepare(state).await?;
        let mut schemas = Vec::new();
        for table in &ready.tables {
            let def = table.output.as_ref().unwrap_or(&table.def);
            schemas.push(Arc::new(output_of(def, table.version, &self.config.conversion)?));
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
        let start = self.start(&ready, &context.job).await?;
        let config = &self.config;
        let mut plans = ready.plans;
        if config.snapshots() {
            plans.extend(start.joining.iter().map(|table| (table.id(), TablePlan::new())));
        }
        let mut cuts: HashMap<TableId, Option<(Arc<TableDef>, KeyPlan)>> = HashMap::new();
        for table in ready.tables.iter().chain(&start.joining) {
            let captured = Captured::from_state(table.clone(), &config.conversion)?;
            cuts.insert(captured.id, captured.cut.map(|plan| (captured.def, plan)));
        }
        let enumerator = PgEnumerator::new(
            config.endpoint.clone(),
            start,
            plans,
            &cuts,
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
        self.memory.begin();
        let (config, text_only) = (Arc::clone(&self.config), Arc::clone(&self.text_only));
        let (memory, holder) = (self.memory.clone(), self.holder.clone());
        Ok(Box::new(PgReader::new(config, ready.server, text_only, memory, holder, context)))
    }
}

//! Stages rows: gathers them per table and sends them in wide flushes, all inside the transaction of
//! the current checkpoint. Rows whose order among each other matters to the target (`order`) are sent at
//! the end of the checkpoint, unless too many bytes of them wait.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use culvert_api::failpoint::pass;
use culvert_api::{
    ChangeBatch, CommitMarker, Committable, Error, ErrorKind, Result, SchemaChange, SinkWriter, TableId,
    TableSchema, WriterContext,
};
use tokio::sync::Mutex;

use crate::alteration;
use crate::options::{DataSaveMode, SchemaSaveMode};
use crate::placeholder;
use crate::postgres::connect::Session;
use crate::postgres::ddl;
use crate::postgres::error::{self, Early};
use crate::postgres::flush;
use crate::postgres::marker;
use crate::postgres::name::TargetName;
use crate::postgres::options::Settings;
use crate::postgres::order::{self, Group, Member};
use crate::postgres::pending::{Pending, Rows};
use crate::postgres::plan::{self, Mode, TablePlan};
use crate::postgres::target::TargetTable;

/// Rows that wait in all tables together, in bytes.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Rows that wait in one table, in bytes; a single row may be larger.
const TABLE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The same for a table whose rows wait for the end of the checkpoint.
const HELD_TABLE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The text of a user's statement over many rows, in bytes.
const STATEMENT_BYTES_MAX: usize = 1024 * 1024;

/// The connection that writer and committer share; `None` after it was closed.
pub(crate) type SharedSession = Arc<Mutex<Option<Session>>>;

/// The session, or the error for a closed one.
pub(crate) fn opened(session: &mut Option<Session>) -> Result<&mut Session> {
    session
        .as_mut()
        .ok_or_else(|| Error::new(ErrorKind::Connection, "the connection to the target is closed"))
}

/// Stages rows of one job branch.
pub(crate) struct JdbcWriter {
    settings: Arc<Settings>,
    context: WriterContext,
    session: SharedSession,
    tables: Vec<Pending>,
    places: HashMap<TableId, usize>,
    groups: Vec<Group>,
    /// Per table, whether its rows wait for the end of the checkpoint.
    held: Vec<bool>,
    /// Why rows that wait for the end of this checkpoint were sent before, if they were.
    early: Option<Early>,
    rows_staged: u64,
}

impl JdbcWriter {
    pub(crate) fn new(settings: Arc<Settings>, context: WriterContext, session: SharedSession) -> JdbcWriter {
        JdbcWriter {
            settings,
            context,
            session,
            tables: Vec::new(),
            places: HashMap::new(),
            groups: Vec::new(),
            held: Vec::new(),
            early: None,
            rows_staged: 0,
        }
    }

    /// The place of a table whose plan is for this shape; makes the plan when there is none.
    async fn place_of(&mut self, schema: &Arc<TableSchema>) -> Result<usize> {
        let known = self.places.get(&schema.id).copied();
        if let Some(place) = known
            && let Some(pending) = self.tables.get(place)
            && (Arc::ptr_eq(&pending.plan.source, schema) || *pending.plan.source == **schema)
        {
            return Ok(place);
        }
        if let Some(place) = known {
            if self.tables.get(place).is_some_and(|pending| pending.len() > 0) {
                self.note_early(place, Early::Shape);
            }
            self.send(place).await?;
        }
        let plan = {
            let mut session = self.session.lock().await;
            let session = opened(&mut session)?;
            let stage = known.and_then(|place| self.tables.get_mut(place)).and_then(|old| old.stage.take());
            if let Some(stage) = stage {
                let drop = format!("DROP TABLE IF EXISTS pg_temp.{}", stage.name);
                session.plain(&drop, "dropping a staging table of an older shape").await?;
            }
            Arc::new(make_plan(&self.settings, session, schema).await?)
        };
        let place = match known {
            Some(place) => {
                if let Some(pending) = self.tables.get_mut(place) {
                    *pending = Pending::new(plan);
                }
                place
            }
            None => {
                self.tables.push(Pending::new(plan));
                let place = self.tables.len() - 1;
                self.places.insert(schema.id.clone(), place);
                place
            }
        };
        self.group();
        Ok(place)
    }

    fn group(&mut self) {
        let members: Vec<Member<'_>> = self.tables.iter().map(|pending| pending.plan.member()).collect();
        self.groups = order::groups(&members);
        self.held = vec![false; self.tables.len()];
        for (place, _) in self.groups.iter().filter(|group| group.holds).flat_map(|group| &group.places) {
            self.held.get_mut(*place).into_iter().for_each(|held| *held = true);
        }
    }

    fn is_held(&self, place: usize) -> bool {
        self.held.get(place).copied().unwrap_or_default()
    }

    fn note_early(&mut self, place: usize, why: Early) {
        if self.is_held(place) {
            self.early = Some(why);
        }
    }

    /// Sends what waits for one table, and for those that foreign keys tie to it.
    async fn send(&mut self, place: usize) -> Result<()> {
        let of_table = |group: &&Group| group.places.iter().any(|(member, _)| *member == place);
        let Some(group) = self.groups.iter().find(of_table) else { return Ok(()) };
        let mut session = self.session.lock().await;
        let sent = flush::send(opened(&mut session)?, &mut self.tables, group).await;
        sent.map_err(|failure| error::explain_early(failure, self.early))
    }

    /// Sends all that waits; without `held`, what does not have to wait for the end of the checkpoint.
    async fn send_all(&mut self, held: bool) -> Result<()> {
        let mut session = self.session.lock().await;
        let session = opened(&mut session)?;
        for group in self.groups.iter().filter(|group| held || !group.holds) {
            let sent = flush::send(session, &mut self.tables, group).await;
            sent.map_err(|failure| error::explain_early(failure, self.early))?;
        }
        Ok(())
    }

    fn waiting(&self) -> usize {
        self.tables.iter().map(Pending::byte_len).sum()
    }

    /// Sends tables whose oldest row has waited long enough, and all when too much waits.
    async fn send_due(&mut self) -> Result<()> {
        if self.waiting() > WAITING_BYTES_MAX {
            self.send_all(false).await?;
        }
        if self.waiting() > WAITING_BYTES_MAX {
            self.early = Some(Early::All { bytes: WAITING_BYTES_MAX });
            return self.send_all(true).await;
        }
        let interval = self.settings.shared.batch_interval;
        for place in 0..self.tables.len() {
            let since = self.tables.get(place).and_then(Pending::since);
            if since.is_some_and(|since| since.elapsed() >= interval) && !self.is_held(place) {
                self.send(place).await?;
            }
        }
        Ok(())
    }

    /// Save modes: only before the first row of a job.
    async fn save_modes(&self, session: &mut Session, schema: &TableSchema, name: &TargetName) -> Result<()> {
        let settings = &self.settings;
        let found = TargetTable::read(session, name).await?;
        let create = match (settings.shared.schema_save_mode, found.is_some()) {
            (SchemaSaveMode::Recreate, _) => {
                let drop = format!("DROP TABLE IF EXISTS {}", name.quoted());
                session.plain(&drop, &format!("dropping {name}")).await?;
                true
            }
            (SchemaSaveMode::Create, there) => !there,
            (SchemaSaveMode::Error, false) => {
                let message = format!("target table {name} does not exist");
                return Err(Error::new(ErrorKind::Schema, message)
                    .hint("create it, or set schema_save_mode = CREATE_SCHEMA_WHEN_NOT_EXIST"));
            }
            (SchemaSaveMode::Error | SchemaSaveMode::Ignore, _) => false,
        };
        if create {
            create_table(session, settings, schema, name).await?;
        }
        if found.is_none() || create {
            return Ok(());
        }
        self.data_save_mode(session, schema, name).await
    }

    async fn data_save_mode(
        &self,
        session: &mut Session,
        schema: &TableSchema,
        name: &TargetName,
    ) -> Result<()> {
        let table = name.quoted();
        match self.settings.shared.data_save_mode {
            DataSaveMode::Append => Ok(()),
            DataSaveMode::Drop => {
                session.plain(&format!("TRUNCATE TABLE {table}"), &format!("emptying {name}")).await
            }
            DataSaveMode::Custom => {
                let custom_sql = self.settings.shared.custom_sql.as_deref().unwrap_or_default();
                session.plain(&placeholder::fill(custom_sql, schema), "running custom_sql").await
            }
            DataSaveMode::Error => {
                let query = format!("SELECT 1 FROM {table} LIMIT 1");
                match session.texts(&query, &format!("reading {name}")).await?.is_empty() {
                    true => Ok(()),
                    false => Err(Error::new(ErrorKind::Schema, format!("target table {name} is not empty"))
                        .hint("empty it, or choose another data_save_mode")),
                }
            }
        }
    }
}

/// Attempts to make a table while other writers make it, too.
const CREATE_ATTEMPTS: u32 = 5;

async fn create_table(
    session: &mut Session,
    settings: &Settings,
    schema: &TableSchema,
    name: &TargetName,
) -> Result<()> {
    let (statement, findings) = ddl::create_table(session, settings, schema, name).await?;
    for finding in findings {
        tracing::warn!(table = %finding.subject, "{}", finding.message);
    }
    let mut statements = vec![statement];
    if !ddl::has_schema(session, &name.schema).await? {
        statements.insert(0, ddl::create_schema(&name.schema));
    }
    let doing = format!("creating {name}");
    // Several writers that make it at once: all but one are told that a name is taken, and look again.
    for _ in 0..CREATE_ATTEMPTS {
        let mut code = None;
        for statement in &statements {
            code = session.attempt(&session.on_own_path(statement), &doing).await?;
            if code.is_some() {
                break;
            }
        }
        match code {
            None => return Ok(()),
            Some(code) if !error::NAME_TAKEN.contains(&code.as_str()) => break,
            Some(_) if TargetTable::read(session, name).await?.is_some() => return Ok(()),
            Some(_) => {}
        }
    }
    // Once more, for the server's own words.
    let statements = statements.join("; ");
    session
        .define(&statements, &doing)
        .await
        .map_err(|failure| failure.hint(format!("the statement was: {statements}")))
}

/// Reads the target's shape and decides how rows are written there.
pub(crate) async fn make_plan(
    settings: &Settings,
    session: &mut Session,
    schema: &Arc<TableSchema>,
) -> Result<TablePlan> {
    if let Some(template) = settings.template(schema)? {
        let target = match template.target() {
            Some((named, table)) => {
                let schema = named.unwrap_or_else(|| settings.schema_of(schema));
                TargetTable::read(session, &TargetName { schema, table }).await?
            }
            None => None,
        };
        if let Some(target) = &target {
            target.refuse_unfit()?;
        }
        return template.plan(schema, target.as_ref());
    }
    let name = settings.target(schema)?;
    let Some(target) = TargetTable::read(session, &name).await? else {
        return Err(missing_table(session, settings, schema, &name).await);
    };
    let (plan, findings) = plan::for_table(settings, schema, &target, session.server)?;
    for finding in findings {
        tracing::warn!(table = %finding.subject, "{}", finding.message);
    }
    Ok(plan)
}

/// The error for a target table that is not there, with the statement that makes it.
pub(crate) async fn missing_table(
    session: &mut Session,
    settings: &Settings,
    schema: &TableSchema,
    name: &TargetName,
) -> Error {
    let error = plan::missing(name, schema);
    match ddl::create_table(session, settings, schema, name).await {
        Ok((statement, _)) => error.hint(format!("run: {statement}")),
        Err(_) => error,
    }
}

#[async_trait]
impl SinkWriter for JdbcWriter {
    async fn prepare_tables(&mut self, tables: &[Arc<TableSchema>], fresh: bool) -> Result<()> {
        if fresh {
            let session = self.session.clone();
            let mut session = session.lock().await;
            let session = opened(&mut session)?;
            let mut done = HashSet::new();
            for schema in tables {
                if schema_is_generated(&self.settings, schema)? {
                    let name = self.settings.target(schema)?;
                    if done.insert(name.clone()) {
                        self.save_modes(session, schema, &name).await?;
                    }
                }
            }
        }
        for schema in tables {
            match self.place_of(schema).await {
                Ok(_) => {}
                // A crash may have come between a change of shape that the target followed and its checkpoint.
                // The change comes again; a row that does not fit all the same is refused when it comes.
                Err(error)
                    if !fresh
                        && alteration::may_have_been_followed(&error)
                        && schema_is_generated(&self.settings, schema)? =>
                {
                    tracing::warn!(table = %schema.id, "the target is not as at the last checkpoint: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        if fresh {
            let plans: Vec<&TablePlan> = self.tables.iter().map(|pending| pending.plan.as_ref()).collect();
            for finding in plan::warn_about_first_load(&plans) {
                tracing::warn!(table = %finding.subject, "{}", finding.message);
            }
        }
        Ok(())
    }

    async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        let place = self.place_of(&batch.schema).await?;
        let Some(plan) = self.tables.get(place).map(|pending| pending.plan.clone()) else {
            return Err(Error::new(ErrorKind::Internal, "a planned table is missing"));
        };
        let (rows_max, bytes_max) = match (plan.mode, self.is_held(place)) {
            (_, true) => (usize::MAX, HELD_TABLE_BYTES_MAX),
            (Mode::Statement, _) => (self.settings.shared.batch_rows, STATEMENT_BYTES_MAX),
            _ => (self.settings.shared.batch_rows, TABLE_BYTES_MAX),
        };
        let mut rows = Rows::new(&plan, &batch)?;
        for (row, kind) in batch.kinds.iter().enumerate() {
            let Some(pending) = self.tables.get_mut(place) else { continue };
            pending.push(*kind, row, &mut rows)?;
            let is_full = pending.len() >= rows_max || pending.byte_len() >= bytes_max;
            // The two sides of a changed key go together: the old one has what the new one leaves out.
            if is_full && batch.moved_from(row + 1).is_none() {
                self.note_early(place, Early::Table { bytes: bytes_max });
                self.send(place).await?;
            }
        }
        let rows = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        self.rows_staged += rows;
        self.context.progress.rows_written.fetch_add(rows, Ordering::Relaxed);
        self.send_due().await
    }

    async fn flush(&mut self) -> Result<()> {
        self.send_all(false).await?;
        let mut session = self.session.lock().await;
        opened(&mut session)?.keep_alive().await
    }

    async fn apply_schema_change(&mut self, change: &SchemaChange) -> Result<()> {
        let Some(after) = &change.after else {
            tracing::warn!(table = ?change.table(), "a source table was dropped; its target stays as it is");
            return Ok(());
        };
        let shared = self.session.clone();
        let mut session = shared.lock().await;
        let session = opened(&mut session)?;
        if !session.is_clean() || self.tables.iter().any(|pending| pending.len() > 0) {
            return Err(Error::new(ErrorKind::Internal, "a change of shape came while rows were staged"));
        }
        if !schema_is_generated(&self.settings, after)? {
            return Ok(());
        }
        let name = self.settings.target(after)?;
        match TargetTable::read(session, &name).await? {
            Some(target) => {
                if let Some(statement) = ddl::follow(session, &self.settings, change, &target).await? {
                    tracing::info!(table = %name, "following a change of shape: {statement}");
                    let doing = format!("following a change of shape in {name}");
                    session.define(&statement, &doing).await?;
                }
            }
            None if change.before.is_none() => self.save_modes(session, after, &name).await?,
            None => return Err(missing_table(session, &self.settings, after, &name).await),
        }
        Ok(())
    }

    async fn prepare_commit(&mut self, marker: &CommitMarker) -> Result<Committable> {
        self.send_all(true).await?;
        self.early = None;
        let table = self.settings.marker_name()?;
        let mut session = self.session.lock().await;
        let session = opened(&mut session)?;
        pass("jdbc.marker.before")?;
        marker::stage(session, &table, marker).await?;
        pass("jdbc.marker.after")?;
        session.prepared(marker.checkpoint);
        let rows = std::mem::take(&mut self.rows_staged);
        Ok(Committable { checkpoint: marker.checkpoint, body: rows.to_le_bytes().to_vec() })
    }

    async fn close(&mut self) {
        self.tables.clear();
        self.places.clear();
        self.groups.clear();
        self.held.clear();
        // The server rolls back what was not committed.
        self.session.lock().await.take();
    }
}

/// Whether the sink writes the statements for this table itself, and so owns its shape.
fn schema_is_generated(settings: &Settings, schema: &TableSchema) -> Result<bool> {
    Ok(settings.template(schema)?.is_none())
}

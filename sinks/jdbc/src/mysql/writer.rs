//! Stages rows: gathers them per table, sends them in few statements, all inside the transaction
//! of the current checkpoint.

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
use crate::mysql::connect::{Server, Session};
use crate::mysql::ddl;
use crate::mysql::encode::Literals;
use crate::mysql::error;
use crate::mysql::marker;
use crate::mysql::options::Settings;
use crate::mysql::pending::{Limits, Pending, Step, misfit_error, unknown_row};
use crate::mysql::plan::{self, TablePlan};
use crate::mysql::quote::TargetName;
use crate::mysql::target::TargetTable;
use crate::options::{DataSaveMode, SchemaSaveMode};
use crate::placeholder;

/// Rows that wait in all tables together, in bytes; one table alone sends at a statement's size.
const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;

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
    server: Server,
    tables: Vec<Pending>,
    places: HashMap<TableId, usize>,
    statement: Vec<u8>,
    rows_staged: u64,
}

impl JdbcWriter {
    pub(crate) fn new(
        settings: Arc<Settings>,
        context: WriterContext,
        session: SharedSession,
        server: Server,
    ) -> JdbcWriter {
        JdbcWriter {
            settings,
            context,
            session,
            server,
            tables: Vec::new(),
            places: HashMap::new(),
            statement: Vec::new(),
            rows_staged: 0,
        }
    }

    fn limits(&self) -> Limits {
        Limits { rows: self.settings.shared.batch_rows, bytes: self.server.statement_bytes }
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
            self.send(place).await?;
        }
        let plan = {
            let mut session = self.session.lock().await;
            Arc::new(make_plan(&self.settings, opened(&mut session)?, schema).await?)
        };
        match known.and_then(|place| self.tables.get_mut(place).map(|pending| (place, pending))) {
            Some((place, pending)) => {
                pending.plan = plan;
                Ok(place)
            }
            None => {
                self.tables.push(Pending::new(plan));
                let place = self.tables.len() - 1;
                self.places.insert(schema.id.clone(), place);
                Ok(place)
            }
        }
    }

    /// Sends what waits for one table.
    async fn send(&mut self, place: usize) -> Result<()> {
        let limits = self.limits();
        let Some(pending) = self.tables.get_mut(place).filter(|pending| pending.len() > 0) else {
            return Ok(());
        };
        let mut session = self.session.lock().await;
        let session = opened(&mut session)?;
        for step in pending.steps() {
            // Only tables that foreign keys point at: everywhere else the switch changes nothing.
            let watched = pending.plan.is_referenced && matches!(step, Step::Delete { checked: true, .. });
            if watched {
                delete_watched(session, pending, &step, limits, &mut self.statement).await?;
                continue;
            }
            if let Step::Patch(run) = step {
                patch(session, pending, run, limits, &mut self.statement).await?;
                continue;
            }
            let mut sent = 0;
            while sent < step.len() {
                sent = pending.statement(&step, sent, limits, &mut self.statement);
                session.stage_rows(&self.statement, &pending.plan.label, None).await?;
            }
        }
        pending.clear();
        Ok(())
    }

    /// Follows an update that changed the key and left values out: row `after` and the delete in front of
    /// it. The row is in the target by then, whole, and is changed there.
    async fn move_row(&mut self, place: usize, after: usize, literals: &mut [Literals<'_>]) -> Result<()> {
        self.send(place).await?;
        let Some(pending) = self.tables.get_mut(place) else { return Ok(()) };
        pending.move_row(after.saturating_sub(1), after, literals, &mut self.statement)?;
        let mut session = self.session.lock().await;
        let session = opened(&mut session)?;
        session.stage_rows(&self.statement, &pending.plan.label, None).await?;
        if session.rows_matched() == 1 {
            return Ok(());
        }
        let left_out =
            (0..literals.len()).filter(|slot| literals.get(*slot).is_some_and(|one| one.is_left_out(after)));
        Err(unknown_row(&pending.plan, &left_out.collect::<Vec<_>>()))
    }

    async fn send_all(&mut self) -> Result<()> {
        for place in 0..self.tables.len() {
            self.send(place).await?;
        }
        Ok(())
    }

    /// Sends tables whose oldest row has waited long enough.
    async fn send_due(&mut self) -> Result<()> {
        let waiting: usize = self.tables.iter().map(Pending::byte_len).sum();
        let interval = self.settings.shared.batch_interval;
        for place in 0..self.tables.len() {
            let since = self.tables.get(place).and_then(Pending::since);
            if waiting > WAITING_BYTES_MAX || since.is_some_and(|since| since.elapsed() >= interval) {
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
                session
                    .plain(&format!("DROP TABLE IF EXISTS {}", name.quoted()), &format!("drop {name}"))
                    .await?;
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
            let statement = ddl::create_table(settings, schema, name, &self.server)?;
            for remark in ddl::remarks(settings, schema, name, &self.server) {
                tracing::warn!(table = %remark.subject, "{}", remark.message);
            }
            session
                .plain(&statement, &format!("create {name}"))
                .await
                .map_err(|failure| failure.hint(format!("the statement was: {statement}")))?;
        }
        if found.is_none() || create {
            return Ok(());
        }
        match settings.shared.data_save_mode {
            DataSaveMode::Append => Ok(()),
            DataSaveMode::Drop => {
                session.plain(&format!("TRUNCATE TABLE {}", name.quoted()), &format!("empty {name}")).await
            }
            DataSaveMode::Custom => {
                let statement =
                    placeholder::fill(settings.shared.custom_sql.as_deref().unwrap_or_default(), schema);
                session.plain(&statement, "run custom_sql").await
            }
            DataSaveMode::Error => {
                let query = format!("SELECT 1 FROM {} LIMIT 1", name.quoted());
                let row: Option<i64> = session.first(&query, &format!("read {name}")).await?;
                match row {
                    None => Ok(()),
                    Some(_) => {
                        Err(Error::new(ErrorKind::Schema, format!("target table {name} is not empty"))
                            .hint("empty it, or choose another data_save_mode"))
                    }
                }
            }
        }
    }
}

/// Deletes that the target's foreign keys may act on, so that it removes the children the source's
/// server removed without logging it.
///
/// A key that a child still refers to is deleted all the same: the child's own delete is to come in
/// this checkpoint, otherwise the source would not have let the parent go.
async fn delete_watched(
    session: &mut Session,
    pending: &Pending,
    step: &Step,
    limits: Limits,
    statement: &mut Vec<u8>,
) -> Result<()> {
    const ON: &str = "SET SESSION foreign_key_checks = 1";
    const OFF: &str = "SET SESSION foreign_key_checks = 0";
    let doing = "switch the checks of foreign keys";
    let label = &pending.plan.label;
    let tolerated = Some(error::ROW_IS_REFERENCED);
    session.plain(ON, doing).await?;
    let mut sent = 0;
    while sent < step.len() {
        let next = pending.statement(step, sent, limits, statement);
        if !session.stage_rows(statement, label, tolerated).await? {
            // One of the keys is referred to; the others keep their cascades.
            let alone = next - sent == 1;
            while sent < next {
                let one = pending.statement(step, sent, Limits { rows: 1, ..limits }, statement);
                if alone || !session.stage_rows(statement, label, tolerated).await? {
                    session.plain(OFF, doing).await?;
                    session.stage_rows(statement, label, None).await?;
                    session.plain(ON, doing).await?;
                }
                sent = one;
            }
        }
        sent = next;
    }
    session.plain(OFF, doing).await
}

/// Updates rows of which only a part is known. Each must be there, or its unknown part would be lost.
///
/// Several changes of one row are one update by now, so one row can want a unique value that another
/// is yet to give up. It waits for the next round then; a round that brings nothing forward means
/// that rows exchange values in a circle.
async fn patch(
    session: &mut Session,
    pending: &Pending,
    mut run: Vec<usize>,
    limits: Limits,
    statement: &mut Vec<u8>,
) -> Result<()> {
    let plan = &pending.plan;
    while !run.is_empty() {
        let step = Step::Patch(run);
        let mut waiting = Vec::new();
        for place in 0..step.len() {
            pending.statement(&step, place, limits, statement);
            let tolerated = (step.len() > 1).then_some(error::DUPLICATE_ENTRY);
            if !session.stage_rows(statement, &plan.label, tolerated).await? {
                waiting.extend(step.operation(place));
            } else if session.rows_matched() == 0 {
                let left_out = step.operation(place).map(|one| pending.left_out_of(one));
                return Err(unknown_row(plan, &left_out.unwrap_or_default()));
            }
        }
        if waiting.len() == step.len() {
            let message = format!(
                "rows of {} exchange the values of a unique index, and the source's log left out other values of them, \
                 so they cannot be written anew",
                plan.label
            );
            return Err(Error::new(ErrorKind::Value, message).context("table", &plan.source.id).hint(
                "set REPLICA IDENTITY FULL on the source table, or drop the target's further unique index",
            ));
        }
        run = waiting;
    }
    Ok(())
}

/// Reads the target's shape and decides how rows are written there.
pub(crate) async fn make_plan(
    settings: &Settings,
    session: &mut Session,
    schema: &Arc<TableSchema>,
) -> Result<TablePlan> {
    if let Some(template) = settings.template(schema)? {
        let target = match template.target() {
            Some((database, table)) => {
                let database = match database {
                    Some(database) => database,
                    None => settings.database_of(schema)?,
                };
                TargetTable::read(session, &TargetName { database, table }).await?
            }
            None => None,
        };
        if let Some(target) = &target {
            target.refuse_engine_without_transactions()?;
        }
        return template.plan(schema, target.as_ref());
    }
    let name = settings.target(schema)?;
    let Some(target) = TargetTable::read(session, &name).await? else {
        return Err(missing_table(settings, schema, &name, &session.server));
    };
    let (plan, findings) = plan::for_table(settings, schema, &target, &session.server)?;
    for finding in findings {
        tracing::warn!(table = %finding.subject, "{}", finding.message);
    }
    Ok(plan)
}

/// The error for a target table that is not there, with the statement that makes it.
pub(crate) fn missing_table(
    settings: &Settings,
    schema: &TableSchema,
    name: &TargetName,
    server: &Server,
) -> Error {
    let message = format!("target table {name} does not exist, or the sink's account may not see it");
    let error = Error::new(ErrorKind::Schema, message).context("table", &schema.id);
    match ddl::create_table(settings, schema, name, server) {
        Ok(statement) => error.hint(format!("run: {statement}")),
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
        // Reading opened a transaction, which would hold metadata locks.
        let mut session = self.session.lock().await;
        opened(&mut session)?.end("COMMIT", "end the reading of target tables").await
    }

    async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        let place = self.place_of(&batch.schema).await?;
        let limits = self.limits();
        let Some(plan) = self.tables.get(place).map(|pending| pending.plan.clone()) else {
            return Err(Error::new(ErrorKind::Internal, "a planned table is missing"));
        };
        let mut literals = literals(&plan, &batch)?;
        let mut kinds = batch.kinds.iter().copied().enumerate();
        while let Some((row, kind)) = kinds.next() {
            let Some(pending) = self.tables.get_mut(place) else { continue };
            if batch.moved_from(row + 1).is_some()
                && literals.iter().any(|column| column.is_left_out(row + 1))
                && pending.changes_in_place()
            {
                self.move_row(place, row + 1, &mut literals).await?;
                kinds.next();
                continue;
            }
            pending.push(kind, row, &mut literals)?;
            if pending.len() >= limits.rows || pending.byte_len() >= limits.bytes {
                self.send(place).await?;
            }
        }
        let rows = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        self.rows_staged += rows;
        self.context.progress.rows_written.fetch_add(rows, Ordering::Relaxed);
        self.send_due().await
    }

    async fn flush(&mut self) -> Result<()> {
        self.send_all().await?;
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
        if schema_is_generated(&self.settings, after)? {
            let name = self.settings.target(after)?;
            match TargetTable::read(session, &name).await? {
                Some(target) => {
                    if let Some(statement) = ddl::follow(&self.settings, change, &target, &self.server)? {
                        tracing::info!(table = %name, "following a change of shape: {statement}");
                        let doing = format!("follow a change of shape in {name}");
                        session.plain(&statement, &doing).await?;
                    }
                }
                None if change.before.is_none() => self.save_modes(session, after, &name).await?,
                None => return Err(missing_table(&self.settings, after, &name, &self.server)),
            }
        }
        session.end("COMMIT", "end the change of shape").await
    }

    async fn prepare_commit(&mut self, marker: &CommitMarker) -> Result<Committable> {
        self.send_all().await?;
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
        if let Some(session) = self.session.lock().await.take() {
            session.close().await;
        }
    }
}

/// Whether the sink writes the statements for this table itself, and so owns its shape.
fn schema_is_generated(settings: &Settings, schema: &TableSchema) -> Result<bool> {
    Ok(settings.template(schema)?.is_none())
}

fn literals<'a>(plan: &TablePlan, batch: &'a ChangeBatch) -> Result<Vec<Literals<'a>>> {
    let columns = batch.rows.columns();
    let mut literals = Vec::with_capacity(plan.slots.len());
    for (place, slot) in plan.slots.iter().enumerate() {
        let Some(array) = columns.get(slot.source) else {
            let message = "a batch has fewer columns than its schema";
            return Err(Error::new(ErrorKind::Internal, message).context("table", &batch.schema.id));
        };
        let left_out = batch.unavailable.iter().find(|left_out| left_out.column == slot.source);
        let column = Literals::new(array, slot.form).map_err(|misfit| misfit_error(plan, misfit, place))?;
        literals.push(column.leaving_out(left_out));
    }
    Ok(literals)
}

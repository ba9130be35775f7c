//! Statements of the log that change a captured table.

use std::sync::Arc;

use culvert_api::{Error, ErrorKind, Result, SchemaChange, SourceEvent, TableId};
use culvert_snapshot::RangeSet;
use tracing::{info, warn};

use super::MySqlReader;
use crate::catalog::read_table;
use crate::ddl::{Changed, Effect, Statement, TableDef, TableName};
use crate::shapes::{Shapes, id_of};
use crate::state::{TableState, encode};
use crate::tables::Captured;

/// Bytes of a statement that travel with a change of shape.
const STATEMENT_BYTES_MAX: usize = 4096;

impl MySqlReader {
    /// Applies a statement to the known shapes and passes on what it changed.
    pub(super) async fn change_shape(
        &mut self,
        sql: &[u8],
        schema: &str,
        sql_mode: Option<u64>,
    ) -> Result<()> {
        let before = self.state()?;
        let shapes = self.shapes.as_mut().ok_or_else(|| Error::new(ErrorKind::Internal, "no shapes"))?;
        let (statement, effects) = shapes.apply(sql, schema, sql_mode);
        if let Statement::Dml { table, .. } = &statement {
            return self.refuse_statement_format(table.as_ref());
        }
        if !effects.iter().any(|effect| self.concerns(effect)) {
            return Ok(());
        }
        // Rows of the old shape leave first, and their checkpoint is complete before the target
        // changes: a target's DDL commits whatever is open.
        self.flush()?;
        let position = before.position.to_string();
        self.ready.push_back(SourceEvent::Barrier { reader: encode(&before)?, position });
        self.barrier_wanted = false;
        let text = String::from_utf8_lossy(&sql[..sql.len().min(STATEMENT_BYTES_MAX)]).into_owned();
        let mut away = Vec::new();
        for effect in effects {
            self.apply_effect(effect, &text, &mut away).await?;
        }
        for id in away {
            self.forget_table(&id, "was renamed");
        }
        Ok(())
    }

    fn concerns(&self, effect: &Effect) -> bool {
        let captured = |table: &TableName| self.tables.find(&table.database, &table.table).is_some();
        let wanted = |table: &TableName| captured(table) || self.config.selection.matches(&id_of(table));
        match effect {
            Effect::Created { after } => wanted(&after.name()),
            Effect::Altered { before, after, changed } => {
                (*changed != Changed::Nothing || before.name() != after.name())
                    && (captured(&before.name()) || wanted(&after.name()))
            }
            Effect::Dropped { table, .. } | Effect::RowsMoved { table, .. } => captured(table),
            Effect::NeedsReread { table: Some(table), .. } => wanted(table),
            // No table could be told: look at the next table map, which has to agree.
            Effect::NeedsReread { table: None, .. } => false,
        }
    }

    async fn apply_effect(&mut self, effect: Effect, text: &str, away: &mut Vec<TableId>) -> Result<()> {
        match effect {
            Effect::Created { after } => self.adopt(after, text),
            Effect::Altered { before, after, .. } => {
                let (from, to) = (before.name(), after.name());
                if from != to && self.tables.find(&from.database, &from.table).is_some() {
                    // Another table may take the name within the same statement.
                    away.push(id_of(&from));
                }
                away.retain(|id| *id != id_of(&to));
                if self.tables.find(&to.database, &to.table).is_some() {
                    self.reshape(after, text)
                } else if from != to {
                    self.adopt(after, text)
                } else {
                    Ok(())
                }
            }
            Effect::Dropped { table, .. } => {
                self.forget_table(&id_of(&table), "was dropped");
                Ok(())
            }
            Effect::RowsMoved { table, emptied } => self.rows_moved(&id_of(&table), emptied),
            Effect::NeedsReread { table: Some(table), reason } => {
                self.reread(&id_of(&table), &reason, text).await
            }
            Effect::NeedsReread { table: None, .. } => Ok(()),
        }
    }

    fn refuse_statement_format(&self, table: Option<&TableName>) -> Result<()> {
        let captured = table.is_none_or(|table| self.tables.find(&table.database, &table.table).is_some());
        if !captured {
            return Ok(());
        }
        let name =
            table.map_or_else(|| "a table that cannot be told".to_owned(), |table| id_of(table).to_string());
        Err(Error::new(ErrorKind::Config, "the log holds a data change as a statement instead of rows")
            .context("table", name)
            .hint("set binlog_format=ROW at the source, for every session that writes; what the statement changed is not in the log"))
    }

    /// A table that the job captures came into being: all its rows come through the log.
    fn adopt(&mut self, def: TableDef, text: &str) -> Result<()> {
        let id = id_of(&def.name());
        if self.tables.find_id(&id).is_some() {
            return self.reshape(def, text);
        }
        if !self.config.selection.matches(&id) {
            return Ok(());
        }
        info!(table = %id, "a new table joins the job");
        let state =
            TableState { def, output: None, version: 0, done: RangeSet::complete(), known_from: None };
        let table = Captured::from_state(state, &self.config)?;
        let change =
            SchemaChange { before: None, after: Some(Arc::clone(&table.output)), statement: text.to_owned() };
        self.tables.add(table);
        self.ready.push_back(SourceEvent::SchemaChange(change));
        Ok(())
    }

    fn reshape(&mut self, def: TableDef, text: &str) -> Result<()> {
        let Some(at) = self.tables.find(&def.database, &def.table) else { return Ok(()) };
        let follow = self.config.follow_shapes;
        let slot = &mut self.tables.slots[at];
        let before = Arc::clone(&slot.table.output);
        let unfinished = !slot.table.done.is_complete();
        let key_before = slot.table.schema.primary_key.clone();
        slot.table.reshape(def, follow, &self.config)?;
        slot.decoder = None;
        slot.pending = None;
        let id = slot.table.id.clone();
        if unfinished && slot.table.schema.primary_key != key_before {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "a table changed its primary key while its snapshot ran",
            )
            .context("table", &id)
            .hint("start over with --fresh once the table rests"));
        }
        let after = Arc::clone(&slot.table.output);
        self.spoil(&id);
        if !follow {
            warn!(table = %id, "the table changed its shape; rows keep the shape the job started with (schema-changes.enabled = false)");
        } else if before.columns != after.columns || before.primary_key != after.primary_key {
            info!(table = %id, version = after.version, "the table changed its shape");
            let change =
                SchemaChange { before: Some(before), after: Some(after), statement: text.to_owned() };
            self.ready.push_back(SourceEvent::SchemaChange(change));
        }
        Ok(())
    }

    fn forget_table(&mut self, id: &TableId, what: &str) {
        if let Some(at) = self.tables.find_id(id) {
            warn!(table = %id, "a captured table {what}; its rows stay at the target, and no more will come");
            self.tables.remove(at);
            self.spoil(id);
        }
    }

    fn rows_moved(&mut self, id: &TableId, emptied: bool) -> Result<()> {
        let what = if emptied { "was truncated" } else { "lost or gained a partition with its rows" };
        if self.config.fail_on_truncate {
            return Err(Error::new(ErrorKind::Unsupported, format!("a captured table {what}, and the log does not name the rows"))
                .context("table", id)
                .hint("bring the target in line by hand, then set truncate.policy = IGNORE to go on past this place"));
        }
        warn!(table = %id, "a captured table {what}; the target keeps its rows (truncate.policy = IGNORE)");
        Ok(())
    }

    /// The statement could not be followed: the server's catalog tells the shape as of now.
    async fn reread(&mut self, id: &TableId, reason: &str, text: &str) -> Result<()> {
        if self.control.is_none() {
            self.control = Some(self.config.endpoint.connect().await?);
        }
        let Some(conn) = self.control.as_mut() else { return Ok(()) };
        warn!(table = %id, "{reason}: reading the table's definition from the server");
        let def = match read_table(conn, id).await {
            Ok(def) => def,
            Err(error) if error.kind() == ErrorKind::Schema => {
                self.forget_table(id, "is gone");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if let Some(shapes) = self.shapes.as_mut() {
            Shapes::replace(shapes, def.clone());
        }
        if self.tables.find_id(id).is_some() { self.reshape(def, text) } else { self.adopt(def, text) }
    }
}

//! Shapes: what the log says about a table against what is known of it.
//!
//! The log tells a table's columns before its first row and again after they changed. They are
//! compared only when a row is about to leave: what a later read will see anyway may have had another
//! shape. A table that is read by chunks may have changed without a row in the log; then the catalog
//! is asked, once the log has reached the place where the chunk found out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use culvert_api::{Error, ErrorKind, Result, SchemaChange, SourceEvent, TableId};
use tracing::{info, warn};

use super::PgReader;
use super::tables::LoggedShape;
use crate::catalog::{declarations, fillings, list_tables, read_table, read_types};
use crate::column::{ColumnDef, PgType, TypeInfo};
use crate::log::{Relation, RelationColumn};
use crate::lsn::Lsn;
use crate::publication::Published;
use crate::shape::{Filling, Identity, TableDef, alteration, number_renamed, refuse_made_anew};

impl PgReader {
    /// The shape of a table's next rows.
    pub(super) async fn take_relation(&mut self, relation: Arc<Relation>) -> Result<()> {
        let Some(at) = self.tables.by_oid(relation.id) else {
            return self.take_unknown_relation(&relation).await;
        };
        let slot = &mut self.tables.slots[at];
        // The first time in a stream it says nothing but the shape; later, that something changed.
        let again = slot.relation.is_some();
        slot.relation = Some(LoggedShape { again, ..LoggedShape::new(relation, &slot.table) });
        self.table_told(at);
        Ok(())
    }

    /// A table that the job does not know, or knows under another oid: it was made anew.
    async fn take_unknown_relation(&mut self, relation: &Arc<Relation>) -> Result<()> {
        self.other_told(relation);
        let id = TableId {
            database: self.server.database.clone(),
            schema: Some(relation.schema.clone()),
            table: relation.table.clone(),
        };
        if !self.config.selection.matches(&id) {
            return Ok(());
        }
        let (server, selection) = (self.server.clone(), self.config.selection.clone());
        let now = list_tables(self.control().await?, &server, &selection).await?;
        // A partition is told beside the table whose rows it holds. One that is gone again, or renamed,
        // has rows of no table that is captured.
        if now.iter().any(|(oid, other)| *oid == relation.id && *other == id) {
            Err(joining(&id))
        } else {
            Ok(())
        }
    }

    /// Makes sure that the next row of the table can be decoded, and that what is known of its shape
    /// has left before.
    pub(super) async fn check_shape(&mut self, at: usize) -> Result<()> {
        let slot = &self.tables.slots[at];
        let Some(shape) = &slot.relation else { return Ok(()) };
        if shape.checked {
            return Ok(());
        }
        let relation = Arc::clone(&shape.relation);
        let def = Arc::clone(&slot.table.def);
        let again = shape.again;
        refuse_other_name(&def, &relation.schema, &relation.table)?;
        let same = is_same(&def, &relation);
        if !same || again {
            let after = self.define(&def, &relation).await?;
            refuse_made_anew(&def, &after)?;
            if !same {
                self.reshape(at, after).await?;
            }
        }
        let slot = &mut self.tables.slots[at];
        slot.relation = Some(LoggedShape { checked: true, ..LoggedShape::new(relation, &slot.table) });
        if self.binary && !slot.table.def.has_binary() {
            self.text_only.store(true, Relaxed);
            return Err(Error::new(
                ErrorKind::Unavailable,
                "a table got a column whose values have to come as text: the log is opened again",
            )
            .context("table", &slot.table.id));
        }
        Ok(())
    }

    /// The definition that a relation stands for. The relation is of then and the catalog of now: the
    /// catalog fills in what the relation does not tell, for columns that are still what they were.
    async fn define(&mut self, before: &TableDef, relation: &Relation) -> Result<TableDef> {
        let (server, publication) = (self.server.clone(), self.publication.clone());
        let client = self.control().await?;
        let published = Published::read(client, &server, &publication).await?;
        let now = read_table(client, &server, relation.id, &published).await?;
        let oids = relation.columns.iter().map(|column| column.type_oid).collect();
        let types = read_types(client, oids).await?;
        let wanted: Vec<(u32, i32)> =
            relation.columns.iter().map(|column| (column.type_oid, column.typmod)).collect();
        let written = declarations(client, &wanted).await?;
        let known = [now.as_ref(), Some(before)];
        let mut columns: Vec<ColumnDef> = relation
            .columns
            .iter()
            .zip(written)
            .map(|(column, declaration)| column_of(column, declaration, &known, &types))
            .collect();
        number_renamed(&mut columns, before, now.as_ref());
        let has = |key: &[String]| {
            key.iter().all(|name| relation.columns.iter().any(|column| column.name == *name))
        };
        let as_now = |key: &Vec<String>| {
            now.as_ref()
                .filter(|now| now.key.len() == key.len() && now.key.iter().all(|name| key.contains(name)))
        };
        let key = match before.key_of(relation).filter(|_| !before.partitioned) {
            Some(key) => as_now(&key).map_or(key, |now| now.key.clone()),
            None => match &now {
                Some(now) if has(&now.key) => now.key.clone(),
                _ if has(&before.key) => before.key.clone(),
                _ => Vec::new(),
            },
        };
        let identity = match (relation.identity, before.identity) {
            _ if before.partitioned => now.as_ref().map_or(before.identity, |now| now.identity),
            ('f', _) => Identity::Full,
            ('d' | 'i', _) if !key.is_empty() => Identity::Key,
            (_, identity) => identity,
        };
        let shape = now.as_ref().unwrap_or(before);
        Ok(TableDef {
            columns,
            key,
            identity,
            listed: shape.listed,
            filter: shape.filter.clone(),
            ..before.clone()
        })
    }

    /// Gives a table a new shape, after everything of the old one has left. The checkpoint between the
    /// two is complete before the target changes: a target's DDL may commit whatever is open.
    async fn reshape(&mut self, at: usize, def: TableDef) -> Result<()> {
        let follow = self.config.follow_shapes;
        let before_def = Arc::clone(&self.tables.slots[at].table.def);
        let id = def.id();
        let filling = if follow { fillings(self.control().await?, def.oid).await? } else { HashMap::new() };
        self.flush()?;
        let unchanged = {
            let table = &self.tables.slots[at].table;
            let new = crate::tables::schema_of(&def, table.version, &self.config.conversion)?;
            new.columns == table.output.columns
                && new.primary_key == table.output.primary_key
                && new.kinds == table.output.kinds
        };
        if follow && !unchanged {
            let changes = self.transaction.as_ref().map_or(self.skip, |transaction| {
                // The change that brought the shape along is still to come.
                (transaction.changes - 1).max(transaction.skip)
            });
            self.push_barrier(changes)?;
        }
        let slot = &mut self.tables.slots[at];
        let before = Arc::clone(&slot.table.output);
        let key_before = slot.table.schema.primary_key.clone();
        slot.table.reshape(def, follow, &self.config.conversion)?;
        slot.pending = None;
        if !slot.table.is_complete() && slot.table.schema.primary_key != key_before {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "a table changed its primary key while its snapshot ran",
            )
            .context("table", &id)
            .hint("start over with --fresh once the table rests"));
        }
        let table = &slot.table;
        let after = Arc::clone(&table.output);
        if !follow {
            warn!(table = %id, "the table changed its shape; rows keep the shape the job started with (schema-changes.enabled = false)");
        } else if !unchanged {
            let of_column = |name: &str| filling.get(name).cloned().unwrap_or(Filling::Nothing);
            let statement = alteration(&before_def, &table.def, &of_column);
            info!(table = %id, version = after.version, "the table changed its shape: {statement}");
            let change = SchemaChange { before: Some(before), after: Some(after), statement };
            self.ready.push_back(SourceEvent::SchemaChange(change));
        }
        Ok(())
    }

    /// Looks up tables that chunks found changed, once the log has said all it has about them.
    pub(super) async fn look_up_shapes(&mut self) -> Result<()> {
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.lookups).into_iter().partition(|(_, place)| self.has_passed(*place));
        self.lookups = later;
        for (at, _) in due {
            self.look_up_shape(at).await?;
        }
        Ok(())
    }

    fn has_passed(&self, place: Lsn) -> bool {
        self.position >= place
    }

    async fn look_up_shape(&mut self, at: usize) -> Result<()> {
        let def = Arc::clone(&self.tables.slots[at].table.def);
        if self.tables.slots[at].gone {
            return Ok(());
        }
        let (server, publication) = (self.server.clone(), self.publication.clone());
        let selection = self.config.selection.clone();
        let client = self.control().await?;
        let published = Published::read(client, &server, &publication).await?;
        let Some(now) = read_table(client, &server, def.oid, &published).await? else {
            if list_tables(client, &server, &selection).await?.iter().any(|(_, id)| *id == def.id()) {
                return Err(joining(&def.id()));
            }
            warn!(table = %def.id(), "a captured table was dropped; its rows stay at the target, and no more will come");
            self.flush()?;
            self.tables.remove(at);
            self.report_phase();
            return Ok(());
        };
        refuse_other_name(&def, &now.schema, &now.table)?;
        if now.columns == def.columns && now.key == def.key {
            return Ok(());
        }
        refuse_made_anew(&def, &now)?;
        self.reshape(at, now).await?;
        // What the log said before is of another shape; it will say it again.
        let slot = &mut self.tables.slots[at];
        if let Some(shape) = slot.relation.take() {
            slot.relation = Some(LoggedShape::new(shape.relation, &slot.table));
        }
        Ok(())
    }
}

/// Whether rows of the relation have the table's shape.
fn is_same(def: &TableDef, relation: &Relation) -> bool {
    let same_identity = def.partitioned
        || match (relation.identity, def.identity) {
            ('d' | 'i', Identity::Full) => false,
            ('d' | 'i', _) => def.key_of(relation).is_none_or(|key| key == def.key),
            // A wider identity tells more than is needed.
            _ => true,
        };
    def.has_columns_of(relation) && same_identity
}

fn column_of(
    column: &RelationColumn,
    declaration: String,
    known: &[Option<&TableDef>],
    types: &HashMap<u32, TypeInfo>,
) -> ColumnDef {
    let find = |def: &&TableDef| {
        def.columns
            .iter()
            .find(|other| other.name == column.name && other.type_oid == column.type_oid)
            .cloned()
    };
    let like = known.iter().flatten().find_map(find);
    ColumnDef {
        name: column.name.clone(),
        number: like.as_ref().map_or(0, |like| like.number),
        type_oid: column.type_oid,
        typmod: column.typmod,
        kind: PgType::resolve(column.type_oid, column.typmod, &|oid| types.get(&oid)),
        declaration,
        // What is not known may be NULL, and does not sort by its bytes.
        nullable: like.as_ref().is_none_or(|like| like.nullable),
        bytewise: like.is_some_and(|like| like.bytewise),
    }
}

fn refuse_other_name(def: &TableDef, schema: &str, table: &str) -> Result<()> {
    if def.schema == schema && def.table == table {
        return Ok(());
    }
    let (old, new) = (def.id(), TableId { schema: Some(schema.into()), table: table.into(), ..def.id() });
    Err(Error::new(ErrorKind::Schema, format!("table {old} was renamed to {new}")).hint(
        "to follow it under its new name, put that name into table-names: it joins as a new table, with a snapshot of its \
         own; to go on without it, take the old name out",
    ))
}

/// Ends the attempt; the next one finds the table, publishes it and reads it.
fn joining(id: &TableId) -> Error {
    Error::new(ErrorKind::Unavailable, "a table came into being: the job goes on with it")
        .context("table", id)
}

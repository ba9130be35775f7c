//! Shapes: what the log says about a table against what is known of it.
//!
//! The log tells a table's columns before its first row and again after they changed. They are
//! compared only when a row is about to leave: what a later read will see anyway may have had another
//! shape. A table that is read by chunks may have changed without a row in the log; the chunk then says
//! what it saw, and that holds from the place of its view on: what the catalog says later may be ahead
//! of the log.
//!
//! Neither a relation nor a position tells which columns take NULL: that is of the catalog of now. So a
//! column only ever comes to take NULL, and the rows have the last word.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use culvert_api::{Error, ErrorKind, Result, SchemaChange, SourceEvent, TableId};
use tracing::{info, warn};

use super::PgReader;
use super::tables::LoggedShape;
use crate::catalog::{declarations, list_tables, read_files, read_table, read_types};
use crate::column::{ColumnDef, PgType, TypeInfo};
use crate::filling::{Filling, Fillings};
use crate::key::KeyPlan;
use crate::log::{Relation, RelationColumn};
use crate::lsn::Lsn;
use crate::newcomers::joining;
use crate::publication::Published;
use crate::shape::{Identity, TableDef, alteration, number_renamed, refuse_made_anew};
use crate::snapshot::Seen;
use crate::tables::Captured;

/// A table whose shape is to be what a chunk saw, from the place behind the chunk's view on.
pub(super) struct LookUp {
    pub(super) slot: usize,
    pub(super) high: Lsn,
    /// `None`: the chunk found no table.
    pub(super) seen: Option<Box<Seen>>,
}

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
        let has_file = def.partitioned || def.filenode.is_some();
        if !same || again || slot.file_changed || !has_file {
            let after = self.define(&def, &relation).await?;
            refuse_made_anew(&def, &after)?;
            let filenode = after.filenode;
            if !same {
                self.reshape(at, after, None).await?;
            } else if after.is_looser_than(&def) {
                let mut loose = (*def).clone();
                loose.keep_loose(&after);
                self.reshape(at, loose, None).await?;
            }
            self.watch_file(at, def.filenode, filenode);
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
        // A file of a later shape tells nothing about columns that were added in between.
        let filenode = match &now {
            Some(now) if now.has_columns_of(relation) => now.filenode,
            _ => before.filenode,
        };
        let mut def = TableDef {
            columns,
            key,
            identity,
            listed: shape.listed,
            filter: shape.filter.clone(),
            filenode,
            ..before.clone()
        };
        def.keep_loose(before);
        Ok(def)
    }

    /// Takes note of the file that holds a table's rows. A new one was written row by row, and the log
    /// has nothing of it.
    fn watch_file(&mut self, at: usize, before: Option<u32>, now: Option<u32>) {
        let slot = &mut self.tables.slots[at];
        if before != now {
            if before.is_some() && !slot.file_changed && !slot.table.is_unread() {
                warn_rewritten(&slot.table.id);
            }
            slot.file_changed = false;
        }
        slot.table.note_file(now);
    }

    /// Says which tables were rewritten since their last row came, and has their next row looked at.
    pub(super) async fn look_at_files(&mut self) -> Result<()> {
        let known =
            self.tables.slots.iter().filter_map(|slot| Some((slot.table.def.oid, slot.table.def.filenode?)));
        let known: HashMap<u32, u32> = known.collect();
        if known.is_empty() {
            return Ok(());
        }
        let now = read_files(self.control().await?, known.keys()).await?;
        self.control = None;
        for (oid, filenode) in now {
            let Some(at) = self.tables.by_oid(oid).filter(|_| known.get(&oid) != Some(&filenode)) else {
                continue;
            };
            let slot = &mut self.tables.slots[at];
            slot.file_changed = true;
            if !slot.table.is_unread() {
                warn_rewritten(&slot.table.id);
            }
        }
        Ok(())
    }

    /// Rows brought NULL in columns that were not to have it: they take it from here on.
    pub(super) async fn loosen(&mut self, at: usize, columns: &[usize]) -> Result<()> {
        let table = &self.tables.slots[at].table;
        let mut def = (*table.def).clone();
        for index in columns {
            let Some(column) = def.columns.get_mut(*index) else { continue };
            if table.schema.primary_key.contains(&column.name) {
                return Err(Error::new(ErrorKind::Value, "NULL in a column of the key")
                    .context("table", &table.id)
                    .context("column", &column.name));
            }
            column.nullable = true;
        }
        self.reshape(at, def, None).await
    }

    /// Gives a table a new shape, after everything of the old one has left. The checkpoint between the
    /// two is complete before the target changes: a target's DDL may commit whatever is open.
    async fn reshape(&mut self, at: usize, mut def: TableDef, fillings: Option<Fillings>) -> Result<()> {
        let follow = self.config.follow_shapes;
        let before_def = Arc::clone(&self.tables.slots[at].table.def);
        let id = def.id();
        let added: Vec<String> = def
            .columns
            .iter()
            .filter(|column| before_def.same_column(column).is_none())
            .map(|column| column.name.clone())
            .collect();
        let fillings = match fillings {
            Some(fillings) => fillings,
            None if follow && !added.is_empty() => Fillings::read(self.control().await?, def.oid).await?,
            None => Fillings::default(),
        };
        let fillings: HashMap<String, Filling> = added
            .into_iter()
            .map(|name| {
                let filling = fillings.of(&name, &before_def, &def);
                (name, filling)
            })
            .collect();
        // Rows that were there have NULL, whatever was declared afterwards.
        for column in def.columns.iter_mut().filter(|column| !def.key.contains(&column.name)) {
            column.nullable |= fillings.get(&column.name) == Some(&Filling::Nothing);
        }
        self.flush()?;
        let unchanged = {
            let table = &self.tables.slots[at].table;
            let new = crate::tables::output_of(&def, table.version, &self.config.conversion)?;
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
        let cut_by =
            |table: &Captured| (table.schema.primary_key.clone(), table.cut.as_ref().map(KeyPlan::names));
        let cut_before = cut_by(&slot.table);
        slot.table.reshape(def, follow, &self.config.conversion)?;
        slot.pending = None;
        if !slot.table.is_complete() && cut_by(&slot.table) != cut_before {
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
            let of_column = |name: &str| fillings.get(name).cloned().unwrap_or_default();
            let statement = alteration(&before_def, &table.def, &of_column);
            info!(table = %id, version = after.version, "the table changed its shape: {statement}");
            let change = SchemaChange { before: Some(before), after: Some(after), statement };
            self.ready.push_back(SourceEvent::SchemaChange(change));
        }
        Ok(())
    }

    /// Gives tables that chunks found changed the shapes that were seen, where the stream has passed the
    /// views: whoever wrote a row of an older shape was done before the change, and the change before
    /// the view.
    pub(super) async fn look_up_shapes(&mut self, passed: Lsn) -> Result<()> {
        if self.lookups.is_empty() {
            return Ok(());
        }
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.lookups).into_iter().partition(|found| passed >= found.high);
        self.lookups = later;
        for LookUp { slot, seen, .. } in due {
            match seen {
                Some(seen) => self.take_seen_shape(slot, *seen).await?,
                None => self.look_for_table(slot).await?,
            }
        }
        Ok(())
    }

    async fn take_seen_shape(&mut self, at: usize, seen: Seen) -> Result<()> {
        if self.tables.slots[at].gone {
            return Ok(());
        }
        let def = Arc::clone(&self.tables.slots[at].table.def);
        let Seen { def: mut now, fillings } = seen;
        refuse_other_name(&def, &now.schema, &now.table)?;
        refuse_made_anew(&def, &now)?;
        now.keep_loose(&def);
        let same = now.columns == def.columns && now.key == def.key;
        let filenode = now.filenode;
        if same {
            self.watch_file(at, def.filenode, filenode);
            return Ok(());
        }
        self.reshape(at, now, Some(fillings)).await?;
        self.watch_file(at, def.filenode, filenode);
        // What the log said before is of another shape; it will say it again.
        let slot = &mut self.tables.slots[at];
        if let Some(shape) = slot.relation.take() {
            slot.relation = Some(LoggedShape::new(shape.relation, &slot.table));
        }
        Ok(())
    }

    /// A chunk found no table.
    async fn look_for_table(&mut self, at: usize) -> Result<()> {
        let def = Arc::clone(&self.tables.slots[at].table.def);
        if self.tables.slots[at].gone {
            return Ok(());
        }
        let (server, publication) = (self.server.clone(), self.publication.clone());
        let selection = self.config.selection.clone();
        let client = self.control().await?;
        let published = Published::read(client, &server, &publication).await?;
        if let Some(now) = read_table(client, &server, def.oid, &published).await? {
            // Where the name is the same, it was another one for a moment, and the chunk is read again.
            return refuse_other_name(&def, &now.schema, &now.table);
        }
        if list_tables(client, &server, &selection).await?.iter().any(|(_, id)| *id == def.id()) {
            return Err(joining(std::iter::once(&def.id())));
        }
        warn!(table = %def.id(), "a captured table was dropped; its rows stay at the target, and no more will come");
        self.flush()?;
        self.tables.remove(at);
        self.report_phase();
        Ok(())
    }
}

fn warn_rewritten(id: &TableId) {
    warn!(
        table = %id,
        "the table was rewritten; values of old rows may differ at the target if a USING clause or a volatile default \
         computed them: compare, or fill anew"
    );
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

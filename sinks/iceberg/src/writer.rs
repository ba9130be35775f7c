//! Stages the rows of a job branch.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use async_trait::async_trait;
use culvert_api::failpoint::pass;
use culvert_api::{
    ChangeBatch, CommitMarker, Committable, Error, ErrorKind, Result, SchemaChange, SinkWriter, TableId,
    TableSchema, WriterContext,
};

use crate::commit::Commits;
use crate::committer::body;
use crate::data::DataFiles;
use crate::journal::{Journal, TableFiles};
use crate::layout::Layout;
use crate::options::Settings;
use crate::tables::Tables;
use crate::upsert::Pending;

/// The writer of a job branch.
pub(crate) struct IcebergWriter {
    settings: Arc<Settings>,
    context: WriterContext,
    commits: Commits,
    tables: Tables,
    run: String,
    layouts: HashMap<TableId, Arc<Layout>>,
    /// Away while a thread that may block works with it.
    staged: Option<Staged>,
    rows: u64,
}

/// What is staged for a checkpoint.
struct Staged {
    files: DataFiles,
    /// Upsert mode: rows that wait, each with how its table is written.
    pending: HashMap<TableId, (Arc<Layout>, Pending)>,
    memory_max: usize,
}

impl Staged {
    async fn write(&mut self, layout: &Arc<Layout>, batch: &ChangeBatch) -> Result<()> {
        let rows = layout.rows(batch)?;
        if layout.key.is_empty() {
            return self.files.add(layout, &rows).await;
        }
        let id = &batch.schema.id;
        if !self.pending.get(id).is_some_and(|(known, _)| Arc::ptr_eq(known, layout)) {
            self.seal(id).await?;
            self.pending.insert(id.clone(), (Arc::clone(layout), Pending::new(layout)?));
        }
        if let Some((layout, pending)) = self.pending.get_mut(id) {
            pending.add(layout, rows, &batch.kinds)?;
        }
        while self.pending.values().map(|(_, pending)| pending.bytes()).sum::<usize>() > self.memory_max / 2 {
            let largest = self.pending.iter().max_by_key(|(_, (_, pending))| pending.bytes());
            let Some(largest) = largest.map(|(id, _)| id.clone()) else { break };
            self.seal(&largest).await?;
        }
        Ok(())
    }

    /// Makes a wave of the rows that wait for a table.
    async fn seal(&mut self, id: &TableId) -> Result<()> {
        let Some((layout, mut pending)) = self.pending.remove(id) else { return Ok(()) };
        let reduced = pending.reduce()?;
        if let Some(deletes) = reduced.deletes {
            self.files.delete(&layout, &deletes).await?;
        }
        if let Some(rows) = reduced.rows {
            self.files.add(&layout, &rows).await?;
        }
        Ok(())
    }

    async fn seal_all(&mut self) -> Result<()> {
        let ids: Vec<TableId> = self.pending.keys().cloned().collect();
        for id in ids {
            self.seal(&id).await?;
        }
        Ok(())
    }
}

impl IcebergWriter {
    pub(crate) fn new(
        settings: Arc<Settings>,
        context: WriterContext,
        commits: Commits,
        run: String,
    ) -> IcebergWriter {
        let prefix = format!("{}-{}-{}", run, context.writer, context.epoch);
        let files = DataFiles::new(Arc::clone(&settings), commits.files.clone(), prefix);
        let staged = Staged { files, pending: HashMap::new(), memory_max: settings.memory_max };
        let tables = Tables { settings: Arc::clone(&settings), commits: commits.clone(), run: run.clone() };
        IcebergWriter {
            settings,
            context,
            commits,
            tables,
            run,
            layouts: HashMap::new(),
            staged: Some(staged),
            rows: 0,
        }
    }

    async fn layout(&mut self, table: &Arc<TableSchema>) -> Result<Arc<Layout>> {
        if let Some(layout) = self.layouts.get(&table.id).filter(|layout| layout.is_for(table)) {
            return Ok(Arc::clone(layout));
        }
        let target = self.tables.load(table).await?;
        let layout = Arc::new(Layout::new(&self.settings, table, target, &self.run)?);
        if let Some(other) =
            self.layouts.values().find(|known| known.ident() == layout.ident() && known.table.id != table.id)
        {
            let what = format!("two tables are for {}", layout.ident());
            return Err(Error::new(ErrorKind::Config, what)
                .context("first", &other.table.id)
                .context("second", &table.id)
                .hint("write ${table_name}, ${schema_name} or ${database_name} into namespace and table so that each has its own"));
        }
        self.layouts.insert(table.id.clone(), Arc::clone(&layout));
        Ok(layout)
    }

    /// Works on what is staged on a thread that may block: rows are encoded and compressed there.
    async fn work<T: Send + 'static, F>(&mut self, call: F) -> Result<T>
    where
        F: AsyncFnOnce(&mut Staged) -> Result<T> + Send + 'static,
    {
        let given_up = || Error::new(ErrorKind::Internal, "files are written on after a failure");
        let mut staged = self.staged.take().ok_or_else(given_up)?;
        let runtime = tokio::runtime::Handle::current();
        let ended = tokio::task::spawn_blocking(move || {
            let result = runtime.block_on(call(&mut staged));
            (staged, result)
        });
        let (staged, result) = ended.await.map_err(|cause| {
            Error::new(ErrorKind::Internal, "writing files was given up").caused_by(cause)
        })?;
        // After a failure nothing more is written: the attempt begins again.
        if result.is_ok() {
            self.staged = Some(staged);
        }
        result
    }
}

/// Upsert mode: rows that are there would have no value of a key's new column, and be found by no delete.
fn refuse_new_key(before: &TableSchema, after: &TableSchema) -> Result<()> {
    let is_new =
        |name: &&String| before.column_index(name).is_none() && before.columns.len() < after.columns.len();
    match after.primary_key.iter().find(is_new) {
        Some(name) => Err(Error::new(ErrorKind::Schema, format!("the key has a new column, {name}, by which rows of before are not found"))
            .context("table", &after.id)
            .hint("start over with --fresh and data_save_mode = DROP_DATA, or set iceberg.table.primary-keys to columns that were there")),
        None => Ok(()),
    }
}

#[async_trait]
impl SinkWriter for IcebergWriter {
    async fn prepare_tables(&mut self, tables: &[Arc<TableSchema>], fresh: bool) -> Result<()> {
        for table in tables {
            self.tables.prepare(table, fresh, false).await?;
            match self.layout(table).await {
                // A run before this one may have followed a change that the source comes to again: then no row of
                // this shape comes any more. If one does, it is refused like this.
                Err(error) if !fresh && self.settings.evolves && error.kind() == ErrorKind::Schema => {
                    tracing::info!(table = %table.id, %error, "the table has another shape already");
                }
                made => drop(made?),
            }
        }
        Ok(())
    }

    async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let layout = self.layout(&batch.schema).await?;
        let count = batch.len() as u64;
        self.work(async move |staged| staged.write(&layout, &batch).await).await?;
        self.rows += count;
        self.context.progress.rows_written.fetch_add(count, Relaxed);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn apply_schema_change(&mut self, change: &SchemaChange) -> Result<()> {
        let Some(after) = &change.after else { return Ok(()) };
        match &change.before {
            None => self.tables.adopt(after).await?,
            Some(before) => {
                if self.settings.upsert && self.settings.primary_keys.is_empty() {
                    refuse_new_key(before, after)?;
                }
                self.tables.evolve(change, before, after).await?
            }
        }
        if let Some(id) = change.table() {
            self.layouts.remove(id);
        }
        self.layout(after).await.map(drop)
    }

    async fn prepare_commit(&mut self, marker: &CommitMarker) -> Result<Committable> {
        let waves = self
            .work(async |staged| {
                staged.seal_all().await?;
                staged.files.finish().await
            })
            .await?;
        let rows = std::mem::take(&mut self.rows);
        let mut journal = Journal::of(marker, &self.run, rows);
        for (ident, waves) in waves {
            let layout = self.layouts.values().find(|layout| layout.ident() == &ident).ok_or_else(|| {
                Error::new(ErrorKind::Internal, "files of a table that nobody writes to")
                    .context("table", &ident)
            })?;
            let spec_id = layout.spec.spec_id();
            journal.tables.push(TableFiles::new(&ident, &layout.target.metadata, spec_id, waves)?);
        }
        let location = self.commits.journal_location(marker.epoch, marker.checkpoint).await?;
        pass("iceberg.journal.before")?;
        self.commits.write(&journal, &location).await?;
        pass("iceberg.journal.after")?;
        Ok(Committable { checkpoint: marker.checkpoint, body: body(&location, &journal)? })
    }

    async fn close(&mut self) {
        self.staged = None;
    }
}

//! Writes staged files.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow_array::{RecordBatch, UInt64Array};
use arrow_select::take::take_record_batch;
use async_trait::async_trait;
use culvert_api::failpoint::pass;
use culvert_api::{
    ChangeBatch, CommitMarker, Committable, Error, ErrorKind, Result, SchemaChange, SinkWriter, TableId,
    TableSchema, WriterContext,
};
use culvert_files::Format;
use culvert_files::write::RowFile;

use crate::committer::body;
use crate::manifest::{Manifest, Placed};
use crate::names::escape;
use crate::options::{SaveMode, Settings};
use crate::place::{Place, Root, owned};
use crate::plan::{Naming, Plan};
use crate::sink::blocking;

/// Files that are open at once, of Parquet: each gathers up to 16 MiB of rows.
const PARQUET_FILES_MAX: usize = 16;
/// Bytes that the job's name takes in a file's name at most.
const JOB_BYTES_MAX: usize = 80;

/// The writer of a job branch.
pub(crate) struct FileWriter<R: Root> {
    settings: Arc<Settings>,
    root: Arc<R>,
    place: R::Place,
    context: WriterContext,
    run: String,
    plans: HashMap<TableId, Arc<Plan>>,
    /// Away while a thread that may block works with it.
    staged: Option<Staged<R::Place>>,
    rows: u64,
}

/// The staged files of a checkpoint.
struct Staged<P: Place> {
    place: P,
    epoch: u64,
    naming: Naming,
    /// By their plan's address and folder: rows of two tables, or of two shapes of one, are never in one file.
    open: BTreeMap<(PathBuf, usize), Open<P>>,
    /// Files that are complete.
    done: Vec<Placed<P::Staged>>,
    /// The next file's number.
    next: u64,
}

struct Open<P: Place> {
    file: RowFile<P::File>,
    to: PathBuf,
    rows: usize,
    /// Holds the address that it is found by.
    plan: Arc<Plan>,
}

impl<R: Root> FileWriter<R> {
    pub(crate) fn new(
        settings: Arc<Settings>,
        root: Arc<R>,
        place: R::Place,
        context: WriterContext,
        run: String,
    ) -> FileWriter<R> {
        let mut job = escape(&context.job);
        job.truncate(JOB_BYTES_MAX);
        let naming = Naming {
            transaction: format!("T_{job}_{run}_{}_{}", context.writer, context.epoch),
            unique: format!("{run}{:08x}", context.epoch),
        };
        let staged = Staged {
            place: place.clone(),
            epoch: context.epoch,
            naming,
            open: BTreeMap::new(),
            done: Vec::new(),
            next: 0,
        };
        let plans = HashMap::new();
        FileWriter { settings, root, place, context, run, plans, staged: Some(staged), rows: 0 }
    }

    fn plan(&mut self, table: &Arc<TableSchema>) -> Result<Arc<Plan>> {
        if let Some(plan) = self.plans.get(&table.id).filter(|plan| plan.is_for(table)) {
            return Ok(Arc::clone(plan));
        }
        let plan = Arc::new(Plan::new(&self.settings, table)?);
        self.plans.insert(table.id.clone(), Arc::clone(&plan));
        Ok(plan)
    }

    /// Works on the staged files. After a failure that is another's fault, because it has taken over, that is said.
    async fn work<T: Send + 'static>(
        &mut self,
        call: impl FnOnce(&mut Staged<R::Place>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let given_up = || Error::new(ErrorKind::Internal, "files are written on after a failure");
        let mut staged = self.staged.take().ok_or_else(given_up)?;
        let (place, context) = (self.place.clone(), self.context.clone());
        let (staged, result) = blocking(move || {
            let result = call(&mut staged).map_err(|error| {
                match owned(&place, context.epoch, (&context.job, &context.sink)) {
                    Err(taken) if taken.kind() == ErrorKind::Fenced => taken,
                    _ => error,
                }
            });
            Ok((staged, result))
        })
        .await?;
        self.staged = Some(staged);
        result
    }
}

impl<P: Place> Staged<P> {
    /// Adds rows of a folder.
    fn add(
        &mut self,
        settings: &Settings,
        plan: &Arc<Plan>,
        folder: PathBuf,
        rows: &RecordBatch,
    ) -> Result<()> {
        let key = (folder, Arc::as_ptr(plan).addr());
        let mut from = 0;
        while from < rows.num_rows() {
            if !self.open.contains_key(&key) {
                self.make_room(settings)?;
                let open = self.begin(settings, plan, &key.0)?;
                self.open.insert(key.clone(), open);
            }
            let Some(open) = self.open.get_mut(&key) else { continue };
            let count = (rows.num_rows() - from).min(settings.file_rows_max.saturating_sub(open.rows));
            open.file.rows(&rows.slice(from, count))?;
            self.place.pass_on(open.file.target())?;
            open.rows += count;
            from += count;
            if open.rows >= settings.file_rows_max {
                self.end(&key)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, settings: &Settings, plan: &Arc<Plan>, folder: &std::path::Path) -> Result<Open<P>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_us = i64::try_from(now.as_micros()).unwrap_or(0);
        let to = folder.join(self.naming.file(settings, self.next, now_us));
        let file = self.place.begin(self.epoch, self.next, &to)?;
        self.next += 1;
        let file = RowFile::begin(&settings.layout, file, &plan.schema)?;
        Ok(Open { file, to, rows: 0, plan: Arc::clone(plan) })
    }

    /// Ends a file when there are as many as there may be.
    fn make_room(&mut self, settings: &Settings) -> Result<()> {
        let most =
            if settings.layout.format == Format::Parquet { PARQUET_FILES_MAX } else { P::LINE_FILES_MAX };
        if self.open.len() < most {
            return Ok(());
        }
        // The one with the most rows is the last to gain from more.
        let fullest = self.open.iter().max_by_key(|(_, open)| open.rows).map(|(key, _)| key.clone());
        fullest.map_or(Ok(()), |key| self.end(&key))
    }

    fn end(&mut self, key: &(PathBuf, usize)) -> Result<()> {
        self.open.remove(key).map_or(Ok(()), |open| self.end_all(vec![open]))
    }

    fn end_all(&mut self, open: Vec<Open<P>>) -> Result<()> {
        let mut files = Vec::with_capacity(open.len());
        let mut places = Vec::with_capacity(open.len());
        for Open { file, to, plan, .. } in open {
            files.push(file.end().map_err(|error| error.context("path", to.display()))?);
            places.push(to);
            drop(plan);
        }
        let staged = self.place.end(files)?;
        self.done.extend(staged.into_iter().zip(places).map(|(from, to)| Placed { from, to }));
        Ok(())
    }

    /// Ends all files; nothing is staged any more but what is in the answer.
    fn finish(&mut self) -> Result<Vec<Placed<P::Staged>>> {
        let open = std::mem::take(&mut self.open).into_values().collect();
        pass("file.staged.before")?;
        self.end_all(open)?;
        pass("file.staged.after")?;
        Ok(std::mem::take(&mut self.done))
    }
}

#[async_trait]
impl<R: Root> SinkWriter for FileWriter<R> {
    async fn prepare_tables(&mut self, tables: &[Arc<TableSchema>], fresh: bool) -> Result<()> {
        let plans = tables.iter().map(|table| self.plan(table)).collect::<Result<Vec<_>>>()?;
        let mode = self.settings.save_mode;
        if fresh && mode != SaveMode::Append {
            let root = Arc::clone(&self.root);
            blocking(move || plans.iter().try_for_each(|plan| root.clear(&plan.folder, mode))).await?;
        }
        Ok(())
    }

    async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let plan = self.plan(&batch.schema)?;
        let settings = Arc::clone(&self.settings);
        let count = batch.len() as u64;
        self.work(move |staged| {
            let rows = plan.rows(&batch)?;
            for (partition, places) in plan.partitions(&settings, &batch)? {
                let folder =
                    if partition.is_empty() { plan.folder.clone() } else { plan.folder.join(&partition) };
                let located = |error: Error| error.context("table", &batch.schema.id);
                if places.len() == rows.num_rows() {
                    staged.add(&settings, &plan, folder, &rows).map_err(located)?;
                    continue;
                }
                let part = take_record_batch(&rows, &UInt64Array::from(places)).map_err(|cause| {
                    Error::new(ErrorKind::Internal, "rows were not parted by their folders").caused_by(cause)
                })?;
                staged.add(&settings, &plan, folder, &part).map_err(located)?;
            }
            Ok(())
        })
        .await?;
        self.rows += count;
        self.context.progress.rows_written.fetch_add(count, Relaxed);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn apply_schema_change(&mut self, change: &SchemaChange) -> Result<()> {
        match &change.after {
            Some(table) => self.plan(table).map(drop),
            None => Ok(()),
        }
    }

    async fn prepare_commit(&mut self, marker: &CommitMarker) -> Result<Committable> {
        let files = self.work(Staged::finish).await?;
        let rows = std::mem::take(&mut self.rows);
        let manifest = Manifest::of(marker, &self.run, files);
        Ok(Committable { checkpoint: marker.checkpoint, body: body::<R::Place>(rows, &manifest)? })
    }

    async fn close(&mut self) {
        self.staged = None;
    }
}

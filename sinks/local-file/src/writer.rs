//! Writes staged files.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow_array::{RecordBatch, UInt64Array};
use arrow_select::take::take_record_batch;
use async_trait::async_trait;
use culvert_api::{
    ChangeBatch, CommitMarker, Committable, Error, ErrorKind, Result, SchemaChange, SinkWriter, TableId,
    TableSchema, WriterContext,
};
use culvert_files::Format;
use culvert_files::write::RowFile;

use crate::committer::{body, owned};
use crate::folder::{Folder, HIDDEN, at, escape, make, sync};
use crate::manifest::{Manifest, Placed};
use crate::options::{SaveMode, Settings};
use crate::plan::{Naming, Plan};
use crate::sink::blocking;

/// Files that are open at once, of lines: each has a buffer of 256 KiB.
const LINE_FILES_MAX: usize = 64;
/// Files that are open at once, of Parquet: each gathers up to 16 MiB of rows.
const PARQUET_FILES_MAX: usize = 16;
/// Bytes that the job's name takes in a file's name at most.
const JOB_BYTES_MAX: usize = 80;

/// The writer of a job branch.
pub(crate) struct LocalFileWriter {
    settings: Arc<Settings>,
    folder: Folder,
    context: WriterContext,
    run: String,
    plans: HashMap<TableId, Arc<Plan>>,
    /// Away while a thread that may block works with it.
    staged: Option<Staged>,
    rows: u64,
}

/// The staged files of a checkpoint.
#[derive(Default)]
struct Staged {
    /// By their plan's address and folder: rows of two tables, or of two shapes of one, are never in one file.
    open: BTreeMap<(PathBuf, usize), Open>,
    /// Files that are complete, with the folder each is to be in.
    done: Vec<(PathBuf, PathBuf)>,
    /// The next file's number.
    next: u64,
}

struct Open {
    file: RowFile,
    path: PathBuf,
    rows: usize,
    /// Holds the address that it is found by.
    plan: Arc<Plan>,
}

impl LocalFileWriter {
    pub(crate) fn new(
        settings: Arc<Settings>,
        folder: Folder,
        context: WriterContext,
        run: String,
    ) -> LocalFileWriter {
        LocalFileWriter {
            settings,
            folder,
            context,
            run,
            plans: HashMap::new(),
            staged: Some(Staged::default()),
            rows: 0,
        }
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
        call: impl FnOnce(&mut Staged) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let given_up = || Error::new(ErrorKind::Internal, "files are written on after a failure");
        let mut staged = self.staged.take().ok_or_else(given_up)?;
        let (folder, context) = (self.folder.clone(), self.context.clone());
        let (staged, result) = blocking(move || {
            let result = call(&mut staged).map_err(|error| {
                match owned(&folder, context.epoch, (&context.job, &context.sink)) {
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

impl Staged {
    /// Adds rows of a folder.
    fn add(
        &mut self,
        settings: &Settings,
        stage: &Path,
        plan: &Arc<Plan>,
        folder: PathBuf,
        rows: &RecordBatch,
    ) -> Result<()> {
        let key = (folder, Arc::as_ptr(plan).addr());
        let mut from = 0;
        while from < rows.num_rows() {
            if !self.open.contains_key(&key) {
                self.make_room(settings)?;
                make(stage)?;
                let path = stage.join(self.next.to_string());
                self.next += 1;
                let file = File::create_new(&path).map_err(at(&path))?;
                let file = RowFile::begin(&settings.layout, file, &plan.schema)?;
                self.open.insert(key.clone(), Open { file, path, rows: 0, plan: Arc::clone(plan) });
            }
            let Some(open) = self.open.get_mut(&key) else { continue };
            let count = (rows.num_rows() - from).min(settings.file_rows_max.saturating_sub(open.rows));
            open.file.rows(&rows.slice(from, count))?;
            open.rows += count;
            from += count;
            if open.rows >= settings.file_rows_max {
                self.end(&key)?;
            }
        }
        Ok(())
    }

    /// Ends a file when there are as many as there may be.
    fn make_room(&mut self, settings: &Settings) -> Result<()> {
        let most = if settings.layout.format == Format::Parquet { PARQUET_FILES_MAX } else { LINE_FILES_MAX };
        if self.open.len() < most {
            return Ok(());
        }
        // The one with the most rows is the last to gain from more.
        let fullest = self.open.iter().max_by_key(|(_, open)| open.rows).map(|(key, _)| key.clone());
        fullest.map_or(Ok(()), |key| self.end(&key))
    }

    fn end(&mut self, key: &(PathBuf, usize)) -> Result<()> {
        let Some(open) = self.open.remove(key) else { return Ok(()) };
        open.file.end().map_err(|error| error.context("path", open.path.display()))?;
        self.done.push((open.path, key.0.clone()));
        drop(open.plan);
        Ok(())
    }

    /// Ends all files and names them; nothing is staged any more but what is in the answer.
    fn finish(&mut self, settings: &Settings, stage: &Path, naming: &Naming) -> Result<Vec<Placed>> {
        let keys: Vec<_> = self.open.keys().cloned().collect();
        for key in keys {
            self.end(&key)?;
        }
        let mut numbers: HashMap<PathBuf, usize> = HashMap::new();
        let mut files = Vec::with_capacity(self.done.len());
        for (from, folder) in std::mem::take(&mut self.done) {
            let number = numbers.entry(folder.clone()).or_default();
            files.push(Placed { from, to: folder.join(naming.file(settings, *number)) });
            *number += 1;
        }
        if !files.is_empty() {
            sync(stage)?;
        }
        Ok(files)
    }
}

/// What a first start does with the files of a table.
fn clear(settings: &Settings, folder: &Path) -> Result<()> {
    if settings.save_mode == SaveMode::Append || !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        let path = entry.path();
        if entry.file_name() == HIDDEN {
            continue;
        }
        let is_folder = entry.file_type().map_err(at(&path))?.is_dir();
        match settings.save_mode {
            SaveMode::Drop { folders: true } if is_folder => fs::remove_dir_all(&path).map_err(at(&path))?,
            _ if is_folder => clear(settings, &path)?,
            SaveMode::Drop { .. } => fs::remove_file(&path).map_err(at(&path))?,
            _ => {
                return Err(Error::new(ErrorKind::Config, "there are files in the folder already")
                    .context("file", path.display())
                    .hint("move them away, or set data_save_mode = APPEND_DATA"));
            }
        }
    }
    Ok(())
}

#[async_trait]
impl SinkWriter for LocalFileWriter {
    async fn prepare_tables(&mut self, tables: &[Arc<TableSchema>], fresh: bool) -> Result<()> {
        let plans = tables.iter().map(|table| self.plan(table)).collect::<Result<Vec<_>>>()?;
        if fresh {
            let settings = Arc::clone(&self.settings);
            blocking(move || plans.iter().try_for_each(|plan| clear(&settings, &plan.folder))).await?;
        }
        Ok(())
    }

    async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let plan = self.plan(&batch.schema)?;
        let (settings, stage) = (Arc::clone(&self.settings), self.folder.stage(self.context.epoch));
        let count = batch.len() as u64;
        self.work(move |staged| {
            let rows = plan.rows(&batch)?;
            for (partition, places) in plan.partitions(&settings, &batch)? {
                let folder =
                    if partition.is_empty() { plan.folder.clone() } else { plan.folder.join(&partition) };
                let located = |error: Error| error.context("table", &batch.schema.id);
                if places.len() == rows.num_rows() {
                    staged.add(&settings, &stage, &plan, folder, &rows).map_err(located)?;
                    continue;
                }
                let part = take_record_batch(&rows, &UInt64Array::from(places)).map_err(|cause| {
                    Error::new(ErrorKind::Internal, "rows were not parted by their folders").caused_by(cause)
                })?;
                staged.add(&settings, &stage, &plan, folder, &part).map_err(located)?;
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
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut job = escape(&marker.job);
        job.truncate(JOB_BYTES_MAX);
        let naming = Naming {
            transaction: format!("T_{job}_{}_{}_{}", self.run, marker.writer, marker.checkpoint),
            now_us: i64::try_from(now.as_micros()).unwrap_or(0),
            unique: format!("{}{:08x}", self.run, marker.checkpoint),
        };
        let (settings, stage) = (Arc::clone(&self.settings), self.folder.stage(self.context.epoch));
        let (folder, epoch) = (self.folder.clone(), self.context.epoch);
        let files = self
            .work(move |staged| {
                let files = staged.finish(&settings, &stage, &naming)?;
                for file in &files {
                    folder.refuse_far(epoch, &file.to)?;
                }
                Ok(files)
            })
            .await?;
        let rows = std::mem::take(&mut self.rows);
        let manifest = Manifest::of(marker, &self.run, files);
        Ok(Committable { checkpoint: marker.checkpoint, body: body(rows, &manifest)? })
    }

    async fn close(&mut self) {
        self.staged = None;
    }
}

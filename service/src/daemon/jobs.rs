//! Every job of the service: kept, started, stopped, started again.
//!
//! A change of a job's state is written to the registry before it is carried out, so that a process that
//! dies in between leaves a job that the next one starts, or one that somebody wanted to end. Changes take
//! turns; none waits for a job while it has its turn.

mod change;
mod holding;
mod settle;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use culvert_api::{Error, ErrorKind, JobProgress, Phase, RowKind, Traffic};
use culvert_config::mask_secrets;
use culvert_state::Registry;

use crate::daemon::model::{
    Definition, Figures, JobId, JobInfo, JobStatus, Refusal, SourceFigures, TableFigures, milliseconds,
};
use crate::daemon::record::{self, Described, JobRecord};
use crate::daemon::running::Running;
use crate::daemon::settings::ServiceSettings;
use crate::events::Events;
use crate::metadata::Provider;

pub(crate) use change::Submission;

/// Why a running job is ending.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ask {
    Savepoint,
    Cancel,
    /// It starts again as this.
    Change(Definition),
}

/// One job.
struct Entry {
    record: JobRecord,
    /// `None` where the definition does not read any more.
    described: Option<Described>,
    running: Option<Arc<Running>>,
    ask: Option<Ask>,
    /// What it had done when it ended.
    figures: Figures,
    tables: Vec<TableFigures>,
}

impl Entry {
    fn new(record: JobRecord, described: Option<Described>, running: Option<Arc<Running>>) -> Entry {
        Entry { record, described, running, ask: None, figures: Figures::default(), tables: Vec::new() }
    }
}

/// Tables of one job that are told of.
const TABLES_TOLD_MAX: usize = 1000;

/// All jobs of a service.
pub(crate) struct Jobs {
    settings: ServiceSettings,
    registry: Arc<Registry>,
    events: Arc<Events>,
    entries: Mutex<BTreeMap<JobId, Entry>>,
    /// Held by whoever changes the registry.
    turn: tokio::sync::Mutex<()>,
    /// The service ends: what stops now is to start again with the next process.
    closing: AtomicBool,
}

impl Jobs {
    /// Opens the registry; starts nothing.
    ///
    /// # Errors
    /// As [`Registry::open`]; one service has a folder.
    pub(crate) fn open(settings: ServiceSettings) -> Result<Arc<Jobs>, Error> {
        let registry = Registry::open(&settings.data.join("registry"))?;
        let events = Events::open(&settings.data.join("events"), settings.events_kept)?;
        let folder = |error| {
            Error::new(ErrorKind::Permission, "the folder of the service cannot be used").caused_by(error)
        };
        for inside in ["jobs", "logs"] {
            let path = settings.data.join(inside);
            std::fs::create_dir_all(&path)
                .map_err(|error| folder(error).context("folder", path.display()))?;
        }
        let kept: Vec<(u64, JobRecord)> = registry.all()?;
        let entry = |(id, record): (u64, JobRecord)| {
            let read = record::read(&record.definition, record.file.as_deref(), settings.metadata.as_ref());
            let described = read.ok().map(|sound| sound.described);
            (JobId(id), Entry::new(record, described, None))
        };
        let entries = kept.into_iter().map(entry).collect();
        Ok(Arc::new(Jobs {
            settings,
            registry: Arc::new(registry),
            events,
            entries: Mutex::new(entries),
            turn: tokio::sync::Mutex::default(),
            closing: AtomicBool::new(false),
        }))
    }

    /// All jobs, the newest first.
    pub(crate) fn list(&self) -> Vec<JobInfo> {
        let entries = self.entries();
        let mut all: Vec<JobInfo> = entries.iter().map(|(id, entry)| info(*id, entry)).collect();
        all.sort_by_key(|job| std::cmp::Reverse((job.created_ms, job.id)));
        all
    }

    /// One job.
    pub(crate) fn get(&self, id: JobId) -> Option<JobInfo> {
        self.entries().get(&id).map(|entry| info(id, entry))
    }

    /// What has passed of a job's tables: those with the most rows, at most [`TABLES_TOLD_MAX`].
    pub(crate) fn tables(&self, id: JobId) -> Option<Vec<TableFigures>> {
        let entries = self.entries();
        let entry = entries.get(&id)?;
        Some(entry.running.as_ref().map_or_else(|| entry.tables.clone(), |it| tables(&it.progress)))
    }

    /// The job of a file of the jobs folder: its number, whether it has ended, and its text.
    pub(crate) fn of_file(&self, file: &str) -> Option<(JobId, bool, String)> {
        let entries = self.entries();
        let newest = entries.iter().rev().find(|(_, entry)| entry.record.file.as_deref() == Some(file));
        newest.map(|(id, entry)| (*id, entry.running.is_none(), entry.record.definition.text.clone()))
    }

    /// The files of the jobs folder that jobs come from.
    pub(crate) fn files(&self) -> Vec<String> {
        self.entries().values().filter_map(|entry| entry.record.file.clone()).collect()
    }

    /// The job file as it was written, secrets masked.
    pub(crate) fn masked_text(&self, id: JobId) -> Option<String> {
        self.entries().get(&id).map(|entry| mask_secrets(&entry.record.definition.text))
    }

    /// The figures of a running job as they are written, for whoever exports them.
    pub(crate) fn progress(&self) -> Vec<(JobId, String, Arc<JobProgress>)> {
        let entries = self.entries();
        let of_one = |(id, entry): (&JobId, &Entry)| {
            let running = entry.running.as_ref()?;
            Some((*id, entry.record.name.clone(), Arc::clone(&running.progress)))
        };
        entries.iter().filter_map(of_one).collect()
    }

    /// What happens in the jobs.
    pub(crate) fn events(&self) -> &Arc<Events> {
        &self.events
    }

    /// Where jobs find the options that they name by an id.
    pub(crate) fn metadata(&self) -> Option<&Arc<Provider>> {
        self.settings.metadata.as_ref()
    }

    /// The folder of the jobs' logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.settings.data.join("logs")
    }

    /// The folder of everything the service keeps.
    pub(crate) fn data(&self) -> &Path {
        &self.settings.data
    }

    /// The jobs that neither move nor were stopped by somebody, and why.
    pub(crate) fn unready(&self) -> Vec<String> {
        let stuck = |job: &JobInfo| match job.status {
            JobStatus::Pending
            | JobStatus::Scheduled
            | JobStatus::Stalled
            | JobStatus::Degraded
            | JobStatus::Failed => true,
            JobStatus::Running
            | JobStatus::DoingSavepoint
            | JobStatus::SavepointDone
            | JobStatus::Canceling
            | JobStatus::Canceled
            | JobStatus::Finished => false,
        };
        let told = |job: JobInfo| {
            format!(
                "job {} ({}) is {}: {}",
                job.id,
                job.name,
                job.status,
                job.reason.as_deref().unwrap_or("-")
            )
        };
        self.list().into_iter().filter(stuck).map(told).collect()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<JobId, Entry>> {
        // Entries are replaced as a whole, and nothing in between can panic.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record of a job, to be changed and written by whoever has the turn.
    fn record(&self, id: JobId) -> Result<JobRecord, Refusal> {
        self.entries().get(&id).map(|entry| entry.record.clone()).ok_or(Refusal::Unknown(id))
    }

    /// Writes a record. It is on disk when this returns.
    async fn keep(&self, id: JobId, record: &JobRecord) -> Result<(), Error> {
        let (registry, record) = (Arc::clone(&self.registry), record.clone());
        off_loop(move || registry.put(id.0, &record)).await
    }

    /// Where the state of a job lies: it belongs to the name.
    fn state_folder(&self, name: &str) -> PathBuf {
        self.settings.data.join("jobs").join(folder_name(name))
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Relaxed)
    }
}

/// Runs what waits for the disk off the event loop.
async fn off_loop<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(call).await.map_err(|error| {
        Error::new(ErrorKind::Internal, "a call of the registry panicked").caused_by(error)
    })?
}

/// A name as the name of a folder: other names give other folders.
fn folder_name(name: &str) -> String {
    let mut safe = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || (byte == b'.' && !safe.is_empty()) {
            safe.push(char::from(byte));
        } else {
            safe.push_str(&format!("%{byte:02X}"));
        }
    }
    if safe.len() <= 200 {
        return safe;
    }
    // File names end at 255 bytes.
    let sum = crc32fast::hash(name.as_bytes());
    let head: String = safe.chars().take(180).collect();
    format!("{head}%{sum:08x}{:x}", name.len())
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// What a running job is doing, and why it does not do it well.
fn at_work(running: &Running, ask: Option<&Ask>) -> (JobStatus, Option<String>) {
    let progress = &running.progress;
    let degraded = progress.degraded();
    match ask {
        Some(Ask::Cancel) => return (JobStatus::Canceling, None),
        Some(Ask::Savepoint | Ask::Change(_)) => return (JobStatus::DoingSavepoint, None),
        None => {}
    }
    if let Some(why) = progress.stalled() {
        return (JobStatus::Stalled, Some(why));
    }
    match (progress.phase(), degraded) {
        (_, Some(why)) => (JobStatus::Degraded, Some(why)),
        (Phase::Starting, None) => (JobStatus::Scheduled, None),
        (Phase::Snapshot | Phase::Stream | Phase::Stopping | Phase::Waiting, None) => {
            (JobStatus::Running, None)
        }
    }
}

fn info(id: JobId, entry: &Entry) -> JobInfo {
    let record = &entry.record;
    let (status, reason) = match &entry.running {
        Some(running) => at_work(running, entry.ask.as_ref()),
        None => (record.status, record.reason.clone()),
    };
    let described = entry.described.as_ref();
    JobInfo {
        id,
        name: record.name.clone(),
        status,
        reason: reason.or_else(|| record.reason.clone()),
        asked_by: record.asked_by.clone(),
        file: record.file.clone(),
        mode: described.map_or("STREAMING", |described| described.mode),
        created_ms: record.created_ms,
        started_ms: record.started_ms,
        ended_ms: record.ended_ms,
        restored: record.restored,
        delivery: described.map_or("", |described| described.delivery),
        env: described.map(|described| described.env.clone()).unwrap_or_default(),
        graph: described.map(|described| described.graph.clone()).unwrap_or_default(),
        figures: entry.running.as_ref().map_or_else(|| entry.figures.clone(), |it| figures(&it.progress)),
    }
}

/// The figures of a job as they are now.
pub(crate) fn figures(progress: &JobProgress) -> Figures {
    Figures {
        rows_read: progress.rows_read.load(Relaxed),
        bytes_read: progress.bytes_read.load(Relaxed),
        rows_written: progress.rows_written.load(Relaxed),
        rows_committed: progress.rows_committed.load(Relaxed),
        chunks_done: progress.chunks_done.load(Relaxed),
        chunks_total: progress.chunks_total.load(Relaxed),
        checkpoints: progress.checkpoints.load(Relaxed),
        lag_ms: progress.lag_ms.load(Relaxed),
        restarts: progress.restarts.load(Relaxed),
        position: progress.position(),
        end_to_end_lag_ms: progress.end_to_end.last_ms(),
        snapshot_left_ms: progress.snapshot_left().map(milliseconds),
        rows_rejected: progress.rejected.totals().into_iter().map(|(_, _, rows)| rows).sum(),
        sources: progress.standings.by_source().into_iter().map(|it| SourceFigures::of(it.0, it.1)).collect(),
    }
}

/// What has passed of the tables, the busiest first.
fn tables(progress: &JobProgress) -> Vec<TableFigures> {
    let ends = [("source", &progress.read), ("sink", &progress.written)];
    let of_end = |(role, traffic): (&'static str, &Traffic)| {
        traffic.totals().into_iter().map(move |(end, table, flowed)| {
            let rows = RowKind::ALL.into_iter().map(RowKind::short).zip(flowed.rows);
            TableFigures { role, end, table: table.to_string(), rows: rows.collect(), bytes: flowed.bytes }
        })
    };
    let mut all: Vec<TableFigures> = ends.into_iter().flat_map(of_end).collect();
    all.sort_by(|one, other| {
        other.total().cmp(&one.total()).then_with(|| (&one.table, one.role).cmp(&(&other.table, other.role)))
    });
    all.truncate(TABLES_TOLD_MAX);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_folders_are_plain_and_differ() {
        assert_eq!(folder_name("orders-2_a.b"), "orders-2_a.b");
        assert_eq!(folder_name("../../etc"), "%2E.%2F..%2Fetc");
        assert_eq!(folder_name("a/b"), "a%2Fb");
        assert_eq!(folder_name("a_b"), "a_b");
        assert_eq!(folder_name("ä"), "%C3%A4");
        let (one, other) = (folder_name(&"ä".repeat(300)), folder_name(&format!("{}b", "ä".repeat(299))));
        assert!(one != other && one.len() < 255, "{one}");
    }
}

//! What somebody asks for: submit, savepoint, cancel, restore, update, remove.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;

use culvert_api::{Error, ErrorKind, EventKind, EventListener};
use tokio::task::JoinSet;

use super::{Ask, Entry, Jobs, now_ms, off_loop};
use crate::daemon::log::{self, JobLog};
use crate::daemon::model::{Definition, JobId, JobInfo, JobStatus, Refusal};
use crate::daemon::record::{self, JobRecord, Sound};
use crate::daemon::running::{Outcome, Running, Start};

/// How long a job that is cancelled may take to finish its checkpoint.
const CANCEL_PATIENCE: Duration = Duration::from_secs(10);

/// How long the end of a job waits until it is on disk as an event.
const EVENTS_WITHIN: Duration = Duration::from_secs(2);

/// How long a job that is given up may take to close its files, at the end of the service.
const GIVEN_UP_WITHIN: Duration = Duration::from_millis(1500);

/// How often a job is tried to be started that waits for its metadata provider.
const START_AGAIN_EVERY: Duration = Duration::from_secs(3);

/// A job to start.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    /// Its number, where somebody chose one.
    pub(crate) id: Option<JobId>,
    pub(crate) definition: Definition,
    /// It is a job that has ended, which goes on from its restart point.
    pub(crate) restore: bool,
    /// Forget the restart point of an earlier job of this name, and the markers at the targets.
    pub(crate) fresh: bool,
    /// The file of the jobs folder it comes from.
    pub(crate) file: Option<String>,
}

impl Jobs {
    /// Starts every job that was at work when the last process ended, and settles those that somebody
    /// wanted to end.
    pub(crate) async fn start_all(self: &Arc<Self>) {
        let all: Vec<(JobId, JobRecord)> = {
            let entries = self.entries();
            entries.iter().map(|(id, entry)| (*id, entry.record.clone())).collect()
        };
        for (id, mut record) in all {
            let _turn = self.turn.lock().await;
            if record.is_wanted() {
                let by = record.asked_by.clone();
                let started = self.start(id, record.clone(), false, &by).await;
                if let Err(refusal) = &started
                    && refusal.passes()
                {
                    tracing::warn!(job = record.name, "the job waits to be started again: {refusal}");
                    record.status = JobStatus::Pending;
                    record.reason = Some(refusal.to_string());
                    self.replace(id, record).await;
                    tokio::spawn(Jobs::start_later(Arc::downgrade(self), id));
                } else if let Err(refusal) = started {
                    tracing::error!(job = record.name, "the job cannot be started again: {refusal}");
                    record.status = JobStatus::Failed;
                    record.reason = Some(refusal.to_string());
                    self.tell_status(id, &record).await;
                    self.replace(id, record).await;
                }
                continue;
            }
            self.pay_listeners(id, &record);
            if record.status.is_end() {
                continue;
            }
            record.status = match record.status {
                JobStatus::Canceling => JobStatus::Canceled,
                _ => JobStatus::SavepointDone,
            };
            let why = "the service ended first; the restart point is the job's last checkpoint";
            record.reason = Some(why.to_owned());
            record.ended_ms = Some(now_ms());
            self.tell_status(id, &record).await;
            self.replace(id, record).await;
        }
    }

    /// Starts a job whose metadata provider could not be asked, when it can. It is let go when somebody has ended
    /// or started it meanwhile.
    async fn start_later(jobs: Weak<Jobs>, id: JobId) {
        loop {
            tokio::time::sleep(START_AGAIN_EVERY).await;
            // The service may have ended.
            let Some(jobs) = jobs.upgrade() else { return };
            let Ok(record) = jobs.record(id) else { return };
            // Asked once before it has the turn: others must not wait for a provider that does not answer.
            let read = record::read(&record.definition, record.file.as_deref(), jobs.metadata());
            if read.is_err_and(|refusal| refusal.passes()) {
                continue;
            }
            let _turn = jobs.turn.lock().await;
            let Ok(mut record) = jobs.record(id) else { return };
            if record.status != JobStatus::Pending || jobs.is_running(id) || jobs.is_closing() {
                return;
            }
            let by = record.asked_by.clone();
            record.reason = None;
            match jobs.start(id, record.clone(), false, &by).await {
                Err(refusal) if refusal.passes() => {}
                Err(refusal) => {
                    tracing::error!(job = record.name, "the job cannot be started again: {refusal}");
                    record.status = JobStatus::Failed;
                    record.reason = Some(refusal.to_string());
                    jobs.tell_status(id, &record).await;
                    jobs.replace(id, record).await;
                    return;
                }
                Ok(_) => return,
            }
        }
    }

    /// Checks, keeps and starts a job.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        submission: Submission,
        by: &str,
    ) -> Result<JobInfo, Refusal> {
        if submission.restore {
            let id = submission
                .id
                .ok_or_else(|| Refusal::Conflict("restoring a job needs its number".to_owned()))?;
            return self.restore(id, Some(submission.definition), by).await;
        }
        let sound = record::read(&submission.definition, submission.file.as_deref(), self.metadata())?;
        let _turn = self.turn.lock().await;
        let id = self.number_for(submission.id)?;
        let record = JobRecord {
            name: sound.job.name.clone(),
            definition: submission.definition,
            before: None,
            file: submission.file,
            status: JobStatus::Pending,
            reason: None,
            asked_by: by.to_owned(),
            created_ms: now_ms(),
            started_ms: None,
            ended_ms: None,
            restored: false,
        };
        self.start_sound(id, record, sound, submission.fresh, by).await
    }

    /// Stops a job behind a checkpoint, and returns when it has stopped.
    pub(crate) async fn savepoint(&self, id: JobId, by: &str) -> Result<JobInfo, Refusal> {
        let running = self.ask(id, Ask::Savepoint, by).await?;
        let _ = running.ended().await;
        self.settled(id, &running).await
    }

    /// Stops a job: behind a checkpoint where that takes no longer than [`CANCEL_PATIENCE`]. Its restart
    /// point is kept. A job that has failed is no longer waited for by anybody.
    pub(crate) async fn cancel(&self, id: JobId, by: &str) -> Result<JobInfo, Refusal> {
        {
            let _turn = self.turn.lock().await;
            let mut record = self.record(id)?;
            if !self.is_running(id) {
                if record.status == JobStatus::Failed || !record.status.is_end() {
                    record.status = JobStatus::Canceled;
                    record.asked_by = by.to_owned();
                    self.replace(id, record).await;
                }
                return self.get(id).ok_or(Refusal::Unknown(id));
            }
        }
        let running = self.ask(id, Ask::Cancel, by).await?;
        if tokio::time::timeout(CANCEL_PATIENCE, running.ended()).await.is_err() {
            tracing::warn!(job = %id, "cancelled without a checkpoint: the one under way did not come to its end");
            running.give_up();
            let _ = running.ended().await;
        }
        self.settled(id, &running).await
    }

    /// Starts a job that has ended, from its restart point; with another definition where one is given.
    pub(crate) async fn restore(
        self: &Arc<Self>,
        id: JobId,
        changed: Option<Definition>,
        by: &str,
    ) -> Result<JobInfo, Refusal> {
        let _turn = self.turn.lock().await;
        let mut record = self.record(id)?;
        if self.is_running(id) {
            return Err(Refusal::Conflict(format!("job {id} ({}) is running", record.name)));
        }
        if let Some(mut definition) = changed {
            // The name is what the restart point belongs to.
            definition.name = definition.name.or_else(|| record.definition.name.clone());
            if definition != record.definition {
                record.before = Some(std::mem::replace(&mut record.definition, definition));
            }
        }
        self.start(id, record, false, by).await
    }

    /// Gives a job another definition: a running one stops behind a checkpoint and goes on from there. What
    /// is wrong with the definition is refused before anything stops; one that then fails before its first
    /// checkpoint is taken back.
    pub(crate) async fn update(
        self: &Arc<Self>,
        id: JobId,
        mut changed: Definition,
        by: &str,
    ) -> Result<JobInfo, Refusal> {
        let record = self.record(id)?;
        changed.name = changed.name.or_else(|| record.definition.name.clone());
        let sound = record::read(&changed, record.file.as_deref(), self.metadata())?;
        self.refuse_other(id, &record, &sound)?;
        if !self.is_running(id) {
            return self.restore(id, Some(changed), by).await;
        }
        if changed == record.definition {
            return self.get(id).ok_or(Refusal::Unknown(id));
        }
        let running = self.ask(id, Ask::Change(changed), by).await?;
        let _ = running.ended().await;
        self.settled(id, &running).await
    }

    /// Changes how much a running job may read in a second; 0 is no limit.
    pub(crate) fn limit(&self, id: JobId, rows: u64, bytes: u64) -> Result<(), Refusal> {
        let entries = self.entries();
        let entry = entries.get(&id).ok_or(Refusal::Unknown(id))?;
        let running = entry.running.as_ref();
        let running = running.ok_or_else(|| Refusal::Conflict(format!("job {id} is not running")))?;
        running.read_limit.set(rows, bytes);
        Ok(())
    }

    /// Forgets a job that has ended: its log, and its restart point where no other job has its name.
    pub(crate) async fn remove(&self, id: JobId) -> Result<(), Refusal> {
        let _turn = self.turn.lock().await;
        let record = self.record(id)?;
        if self.is_running(id) {
            return Err(Refusal::Conflict(format!("job {id} ({}) is running: cancel it first", record.name)));
        }
        let registry = Arc::clone(&self.registry);
        let shared =
            self.entries().iter().any(|(other, entry)| *other != id && entry.record.name == record.name);
        let state = (!shared).then(|| self.state_folder(&record.name));
        let log = log::path(&self.logs(), id);
        off_loop(move || {
            registry.remove(id.0)?;
            // What is left of these does no harm.
            let _ = std::fs::remove_file(log.with_extension("log.1"));
            let _ = std::fs::remove_file(log);
            match state.map(std::fs::remove_dir_all) {
                Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::new(ErrorKind::Permission, "the job's state cannot be removed")
                        .caused_by(error))
                }
                _ => Ok(()),
            }
        })
        .await?;
        self.events.stop(id, &[]);
        self.entries().remove(&id);
        Ok(())
    }

    /// Tells the listeners of a job that has ended what the last process owes them.
    fn pay_listeners(&self, id: JobId, record: &JobRecord) {
        let read = record::read(&record.definition, record.file.as_deref(), self.metadata());
        let Ok(sound) = read else { return };
        let mut owed = sound.job.listeners;
        owed.retain(|listener| self.events.owes(id, listener));
        if !owed.is_empty() {
            self.events.start(Some(id), owed);
            self.events.finish(id);
        }
    }

    /// Tells of the state of a job that has ended, and waits until that is on disk: it is written after this,
    /// so that a process that dies in between tells it twice.
    pub(super) async fn tell_status(&self, id: JobId, record: &JobRecord) {
        let told = self.events.of_job(Some(id), &record.name);
        told.tell(EventKind::JobStatus { status: record.status.word(), reason: record.reason.clone() });
        // An error means that it panicked; the state is written all the same.
        let _ = tokio::task::spawn_blocking(move || told.keep(EVENTS_WITHIN)).await;
    }

    /// Stops every job behind a checkpoint, to be started again by the next process. What takes longer than
    /// allowed is given up.
    pub(crate) async fn close(&self) {
        self.closing.store(true, Relaxed);
        let all: Vec<Arc<Running>> =
            self.entries().values().filter_map(|entry| entry.running.clone()).collect();
        all.iter().for_each(|running| running.stop());
        let mut ends: JoinSet<Outcome> = all.iter().map(|running| running.ended()).collect();
        if !within(self.settings.stop_timeout, &mut ends).await {
            tracing::warn!(
                "jobs that have not finished their checkpoint are given up; they go on from the one before"
            );
            all.iter().for_each(|running| running.give_up());
            // A database that is open while the process ends can take it down on the way.
            within(GIVEN_UP_WITHIN, &mut ends).await;
        }
    }

    /// Asks a running job to end.
    async fn ask(&self, id: JobId, ask: Ask, by: &str) -> Result<Arc<Running>, Refusal> {
        let _turn = self.turn.lock().await;
        let mut record = self.record(id)?;
        let running = {
            let entries = self.entries();
            let entry = entries.get(&id).ok_or(Refusal::Unknown(id))?;
            match (&entry.running, &entry.ask) {
                (Some(running), None) => Arc::clone(running),
                // A cancellation overrides what waits for a checkpoint.
                (Some(running), Some(_)) if ask == Ask::Cancel => Arc::clone(running),
                (Some(_), Some(_)) => {
                    return Err(Refusal::Conflict(format!("job {id} ({}) is being stopped", record.name)));
                }
                (None, _) => {
                    let (name, status) = (&record.name, record.status);
                    return Err(Refusal::Conflict(format!(
                        "job {id} ({name}) is not running: it is {status}"
                    )));
                }
            }
        };
        record.asked_by = by.to_owned();
        record.reason = None;
        match ask {
            Ask::Savepoint => record.status = JobStatus::DoingSavepoint,
            Ask::Cancel => record.status = JobStatus::Canceling,
            // A process that dies now leaves a job to be started as it was.
            Ask::Change(_) => {}
        }
        self.keep(id, &record).await?;
        if let Some(entry) = self.entries().get_mut(&id) {
            entry.record = record;
            entry.ask = Some(ask);
        }
        running.stop();
        Ok(running)
    }

    /// Starts a job as its record says. The turn is the caller's.
    pub(super) async fn start(
        self: &Arc<Self>,
        id: JobId,
        record: JobRecord,
        fresh: bool,
        by: &str,
    ) -> Result<JobInfo, Refusal> {
        let sound = record::read(&record.definition, record.file.as_deref(), self.metadata())?;
        self.refuse_other(id, &record, &sound)?;
        self.start_sound(id, record, sound, fresh, by).await
    }

    async fn start_sound(
        self: &Arc<Self>,
        id: JobId,
        mut record: JobRecord,
        sound: Sound,
        fresh: bool,
        by: &str,
    ) -> Result<JobInfo, Refusal> {
        self.refuse_start(id, &record.name)?;
        let Sound { mut job, described } = sound;
        let listeners = std::mem::take(&mut job.listeners);
        let Some(graph) = job.graph else { return Err(Refusal::Invalid(job.problems)) };
        let folder = self.state_folder(&record.name);
        record.status = JobStatus::Scheduled;
        record.asked_by = by.to_owned();
        record.started_ms = Some(now_ms());
        record.ended_ms = None;
        record.restored = !fresh && folder.exists();
        self.keep(id, &record).await?;
        let log = JobLog::new(&self.logs(), id);
        let (name, settings) = (record.name.clone(), job.settings);
        tracing::info!(job = name, id = %id, by, restored = record.restored, "the job starts");
        self.events.stop(id, &listeners);
        self.events.start(Some(id), listeners);
        let told = self.events.of_job(Some(id), &name);
        told.tell(EventKind::JobStatus {
            status: JobStatus::Scheduled.word(),
            reason: record.reason.clone(),
        });
        let start = Start { id, name, graph, settings, folder, fresh, log, told };
        let running = Arc::new(Running::start(start));
        let end = Box::pin(running.ended());
        let described = Some(described);
        let started = Arc::clone(&running);
        let entry = Entry::new(record, described, Some(running));
        self.entries().insert(id, entry);
        tokio::spawn(Arc::clone(self).settle_at_its_end(id, started, end));
        self.get(id).ok_or(Refusal::Unknown(id))
    }

    /// A definition may change, what its restart point depends on may not.
    fn refuse_other(&self, id: JobId, record: &JobRecord, sound: &Sound) -> Result<(), Refusal> {
        if sound.job.name != record.name {
            return Err(Refusal::Conflict(format!(
                "job {id} is called {}, and its restart point belongs to that name; submit {} as a job of its own",
                record.name, sound.job.name
            )));
        }
        let before = self.entries().get(&id).and_then(|entry| entry.described.clone());
        match before {
            Some(before) if before.fingerprint != sound.described.fingerprint => {
                Err(Refusal::Conflict(format!(
                    "the restart point of job {id} is for {}, and the job is now {}; cancel it and submit the changed job under another name",
                    before.fingerprint, sound.described.fingerprint
                )))
            }
            _ => Ok(()),
        }
    }

    /// Whether there is room for a job of this name.
    fn refuse_start(&self, id: JobId, name: &str) -> Result<(), Refusal> {
        if self.is_closing() {
            return Err(Refusal::Conflict("the service is ending".to_owned()));
        }
        let entries = self.entries();
        let running = || entries.iter().filter(|(_, entry)| entry.running.is_some());
        if let Some((other, _)) = running().find(|(_, entry)| entry.record.name == name) {
            return Err(Refusal::Conflict(format!(
                "job {other} has the name {name} and is running; a job's restart point and markers belong to its name"
            )));
        }
        if running().count() >= self.settings.jobs_max {
            return Err(Refusal::Conflict(format!(
                "{} jobs are running, as many as jobs.max allows; job {id} was not started",
                self.settings.jobs_max
            )));
        }
        Ok(())
    }

    /// The number for a new job.
    fn number_for(&self, wanted: Option<JobId>) -> Result<JobId, Refusal> {
        let entries = self.entries();
        if let Some(id) = wanted {
            return match entries.contains_key(&id) {
                true => Err(Refusal::Conflict(format!("there is a job {id} already"))),
                false => Ok(id),
            };
        }
        // Milliseconds and two digits: below 2^53, and in the order of their submission.
        let mut number = now_ms().saturating_mul(100);
        while entries.contains_key(&JobId(number)) {
            number += 1;
        }
        Ok(JobId(number))
    }
}

/// Waits until all have ended; `false` when the time is over.
async fn within(limit: Duration, ends: &mut JoinSet<Outcome>) -> bool {
    let all = async { while ends.join_next().await.is_some() {} };
    tokio::time::timeout(limit, all).await.is_ok()
}

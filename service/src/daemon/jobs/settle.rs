//! What becomes of a job that has ended.

use std::pin::Pin;
use std::sync::Arc;

use super::{Ask, Jobs, figures, now_ms, tables};
use crate::daemon::model::{JobId, JobInfo, JobStatus, Refusal};
use crate::daemon::record::{JobRecord, reason_of};
use crate::daemon::running::{Outcome, Running};

impl Jobs {
    /// Waits for the end of a job and takes it in. Boxed, because a change that is taken back starts the job
    /// again.
    pub(super) fn settle_at_its_end(
        self: Arc<Self>,
        id: JobId,
        started: Arc<Running>,
        end: Pin<Box<dyn Future<Output = Outcome> + Send>>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let outcome = end.await;
            self.settle(id, &started, outcome).await;
        })
    }

    /// Takes in that a job has ended. A change that failed before its first checkpoint is taken back.
    async fn settle(self: &Arc<Self>, id: JobId, ended: &Arc<Running>, outcome: Outcome) {
        let _turn = self.turn.lock().await;
        let Ok(mut record) = self.record(id) else { return };
        let (ask, done) = {
            let mut entries = self.entries();
            let Some(entry) = entries.get_mut(&id) else { return };
            if !entry.running.as_ref().is_some_and(|running| Arc::ptr_eq(running, ended)) {
                return;
            }
            entry.figures = figures(&ended.progress);
            entry.tables = tables(&ended.progress);
            entry.running = None;
            (entry.ask.take(), entry.figures.checkpoints)
        };
        if self.is_closing() && ask.is_none() && matches!(outcome, Outcome::Stopped | Outcome::GivenUp) {
            return;
        }
        if let (Outcome::Stopped, Some(Ask::Change(changed))) = (&outcome, &ask) {
            record.before = Some(std::mem::replace(&mut record.definition, changed.clone()));
            let by = record.asked_by.clone();
            let Err(refusal) = self.start(id, record.clone(), false, &by).await else { return };
            return self.end(id, record, JobStatus::Failed, Some(refusal.to_string())).await;
        }
        let proven = record.before.take().filter(|_| done == 0 && ask.is_none());
        if let (Outcome::Failed(error), Some(before)) = (&outcome, proven) {
            let why = reason_of(error);
            tracing::error!(job = record.name, "the changed job failed, the change is taken back: {why}");
            record.definition = before;
            record.reason =
                Some(format!("the last change was taken back, because the job failed with it: {why}"));
            let by = record.asked_by.clone();
            let Err(refusal) = self.start(id, record.clone(), false, &by).await else { return };
            record.reason = Some(format!("{why}; and as it was before: {refusal}"));
        }
        let (status, reason) = end_of(&outcome, ask.as_ref());
        self.end(id, record, status, reason).await;
    }

    async fn end(&self, id: JobId, mut record: JobRecord, status: JobStatus, reason: Option<String>) {
        match (status, &reason) {
            (JobStatus::Failed, Some(why)) => {
                tracing::error!(job = record.name, id = %id, "the job failed: {why}")
            }
            _ => tracing::info!(job = record.name, id = %id, "the job is {status}"),
        }
        record.status = status;
        record.reason = reason.or(record.reason);
        record.ended_ms = Some(now_ms());
        self.tell_status(id, &record).await;
        self.events.finish(id);
        self.replace(id, record).await;
        self.forget_the_oldest().await;
    }

    /// Waits until the end of a job has been taken in.
    pub(super) async fn settled(&self, id: JobId, ended: &Arc<Running>) -> Result<JobInfo, Refusal> {
        loop {
            {
                // Whoever takes it in has the turn from before it is no longer running until its record says so.
                let _turn = self.turn.lock().await;
                let is_same = |now: &Arc<Running>| Arc::ptr_eq(now, ended);
                let entries = self.entries();
                if !entries.get(&id).is_some_and(|entry| entry.running.as_ref().is_some_and(is_same)) {
                    drop(entries);
                    return self.get(id).ok_or(Refusal::Unknown(id));
                }
            }
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn is_running(&self, id: JobId) -> bool {
        self.entries().get(&id).is_some_and(|entry| entry.running.is_some())
    }

    /// Writes a record and shows it. Where the disk does not take it, it is shown all the same: the next
    /// process then finds what was before, and does it again.
    pub(super) async fn replace(&self, id: JobId, record: JobRecord) {
        if let Err(error) = self.keep(id, &record).await {
            tracing::error!(job = record.name, "the registry could not be written: {error}");
        }
        if let Some(entry) = self.entries().get_mut(&id) {
            entry.record = record;
        }
    }

    /// Takes finished jobs off the list, the oldest first, where there are more than are kept.
    async fn forget_the_oldest(&self) {
        let old: Vec<JobId> = {
            let entries = self.entries();
            let finished =
                |entry: &super::Entry| entry.running.is_none() && entry.record.status == JobStatus::Finished;
            let mut all: Vec<(u64, JobId)> = entries
                .iter()
                .filter(|(_, entry)| finished(entry))
                .map(|(id, entry)| (entry.record.ended_ms.unwrap_or(0), *id))
                .collect();
            all.sort_unstable();
            let more = all.len().saturating_sub(self.settings.history_max);
            all.into_iter().take(more).map(|(_, id)| id).collect()
        };
        for id in old {
            let registry = Arc::clone(&self.registry);
            let log = crate::daemon::log::path(&self.logs(), id);
            let forgotten = super::off_loop(move || {
                registry.remove(id.0)?;
                let _ = std::fs::remove_file(log.with_extension("log.1"));
                let _ = std::fs::remove_file(log);
                Ok(())
            });
            match forgotten.await {
                Ok(()) => drop(self.entries().remove(&id)),
                Err(error) => tracing::error!("the registry could not be written: {error}"),
            }
        }
    }
}

/// The state of a job that has ended so, after it was asked for this.
fn end_of(outcome: &Outcome, ask: Option<&Ask>) -> (JobStatus, Option<String>) {
    let late =
        || Some("its checkpoint did not come to its end; the restart point is the one before".to_owned());
    match (outcome, ask) {
        (Outcome::Finished, _) => (JobStatus::Finished, None),
        (Outcome::Failed(error), _) => (JobStatus::Failed, Some(reason_of(error))),
        (Outcome::Stopped, Some(Ask::Savepoint)) => (JobStatus::SavepointDone, None),
        (Outcome::Stopped, Some(Ask::Cancel | Ask::Change(_)) | None) => (JobStatus::Canceled, None),
        (Outcome::GivenUp, Some(Ask::Savepoint)) => (JobStatus::SavepointDone, late()),
        (Outcome::GivenUp, _) => (JobStatus::Canceled, late()),
    }
}

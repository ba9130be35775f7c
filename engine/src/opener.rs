//! Opens a sink and makes its branch ready to work: at the start, and again after a failure that the
//! other sinks do not share.

use std::sync::Arc;

use culvert_api::{
    Checkpoint, CommitMarker, Error, ErrorKind, EventKind, JobProgress, OpenSink, Result, SourceState, Spool,
    StateStore, TableSchema, WriterContext,
};
use tokio::sync::mpsc;

use crate::branch::{BranchWorker, Report};
use crate::checkpointer::blocking;
use crate::graph::Branch;
use crate::pipeline::Attempt;
use crate::queue::{Sender, queue};
use crate::route::Router;
use crate::settings::Settings;

/// The way to a branch at work.
#[derive(Debug)]
pub(crate) struct Link {
    /// Takes what travels in band.
    pub(crate) queue: Sender,
    /// Takes the word that a checkpoint is saved and may be committed.
    pub(crate) commit_orders: mpsc::Sender<u64>,
}

/// Where a sink stands: the checkpoint its marker names, 0 before the first, and its source state.
pub(crate) type Place = (u64, Option<SourceState>);

/// A branch that is ready to work.
pub(crate) struct Opened {
    pub(crate) worker: BranchWorker,
    pub(crate) link: Link,
    pub(crate) place: Place,
    pub(crate) epoch: u64,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("checkpoint", &self.place.0).finish_non_exhaustive()
    }
}

/// What opening takes.
#[derive(Clone)]
pub(crate) struct Opener {
    job: String,
    writer: u32,
    pub(crate) branches: Arc<[Branch]>,
    pub(crate) store: Arc<dyn StateStore>,
    pub(crate) spool: Option<Arc<dyn Spool>>,
    pub(crate) settings: Settings,
    pub(crate) progress: Arc<JobProgress>,
    pub(crate) reports: mpsc::Sender<Report>,
}

impl Opener {
    pub(crate) fn new(attempt: &Attempt<'_>, reports: mpsc::Sender<Report>) -> Opener {
        Opener {
            job: attempt.job.to_owned(),
            writer: attempt.writer,
            branches: attempt.branches.into(),
            store: Arc::clone(attempt.store),
            spool: attempt.spool.cloned(),
            settings: attempt.settings.clone(),
            progress: Arc::clone(attempt.progress),
            reports,
        }
    }

    /// Whether another process may do this part of the job next.
    pub(crate) fn is_share(&self) -> bool {
        self.writer != 0
    }

    /// The sink's name for those who watch the job, whose shares have sinks of the same name.
    pub(crate) fn watched_name(&self, at: usize) -> String {
        let name = &self.branches[at].name;
        if self.writer == 0 { name.clone() } else { format!("{name} #{}", self.writer) }
    }

    /// Tells that a sink's writer is open.
    pub(crate) fn told_open(&self, at: usize) {
        self.progress.tell(EventKind::WriterOpened { sink: self.branches[at].name.clone() });
    }

    /// What a sink is told when it is opened.
    pub(crate) fn context(&self, at: usize, epoch: u64) -> WriterContext {
        WriterContext {
            job: self.job.clone(),
            sink: self.branches[at].name.clone(),
            writer: self.writer,
            epoch,
            progress: Arc::clone(&self.progress),
        }
    }

    /// Makes the target tables ready as of where the sink stands.
    pub(crate) async fn ready(
        &self,
        at: usize,
        epoch: u64,
        mut opened: OpenSink,
        place: Place,
        tables: &[Arc<TableSchema>],
    ) -> Result<Opened> {
        let branch = &self.branches[at];
        let mut router = Router::new(&branch.name, &branch.paths);
        let mapped = router.begin(tables)?;
        let waiting = self.progress.waits("making tables ready at sink", &branch.name);
        opened.writer.prepare_tables(&mapped, place.0 == 0).await?;
        drop(waiting);
        let (queue_in, queue_out) = queue(self.settings.queue_bytes_max);
        self.progress.queues.set(&branch.name, queue_in.depth());
        let (orders_in, orders_out) = mpsc::channel(1);
        let worker = BranchWorker {
            at,
            epoch,
            job: self.job.clone(),
            sink: branch.name.clone(),
            writer_index: self.writer,
            router,
            writer: opened.writer,
            committer: opened.committer,
            input: queue_out,
            commit_orders: orders_out,
            reports: self.reports.clone(),
            flush_after_idle: self.settings.flush_after_idle,
            progress: Arc::clone(&self.progress),
        };
        Ok(Opened { worker, link: Link { queue: queue_in, commit_orders: orders_in }, place, epoch })
    }

    /// The tables as of where a sink stands that is not with the others. The source is not asked: it is at
    /// work, and further on.
    pub(crate) async fn tables_at(&self, checkpoint: u64) -> Result<Vec<Arc<TableSchema>>> {
        let Some(spool) = self.spool.clone() else {
            return Err(Error::new(ErrorKind::Internal, "a sink is behind without a spool"));
        };
        off_loop(move || spool.tables(checkpoint)).await
    }

    /// Opens a sink that failed, with an epoch of its own. The spool has to lead from where it stands to
    /// the newest sealed checkpoint. `ours` is the newest epoch of this run: a newer one in the marker is
    /// another run's, which has taken over meanwhile and must not be taken from.
    pub(crate) async fn reopen(&self, at: usize, sealed: &Checkpoint, ours: u64) -> Result<Opened> {
        let branch = &self.branches[at];
        let waiting = self.progress.waits("opening sink", &branch.name);
        let found = branch.sink.committed(&self.job, &branch.name, self.writer).await?;
        let above = found.map_or(0, |marker| marker.epoch);
        if above > ours {
            let message = format!("another run of job '{}' has taken over sink '{}'", self.job, branch.name);
            return Err(Error::new(ErrorKind::Fenced, message).context("epoch", above));
        }
        let epoch = blocking(&self.store, move |store| store.next_epoch(above)).await?;
        let opened = branch.sink.open(&self.context(at, epoch)).await?;
        drop(waiting);
        let place = place_of(&branch.name, opened.marker.as_ref())?;
        let Some(spool) = self.spool.clone() else {
            return Err(Error::new(ErrorKind::Internal, "a sink is held without a spool"));
        };
        let (behind, up_to) = (place.clone(), sealed.clone());
        off_loop(move || spool.verify((behind.0, behind.1.as_ref()), &up_to)).await?;
        let tables = self.tables_at(place.0).await?;
        self.ready(at, epoch, opened, place, &tables).await
    }
}

/// Where a sink stands by its marker.
fn place_of(sink: &str, marker: Option<&CommitMarker>) -> Result<Place> {
    match marker {
        Some(CommitMarker { checkpoint: 0, .. }) => Ok((0, None)),
        Some(CommitMarker { checkpoint, source: Some(source), .. }) => {
            Ok((*checkpoint, Some(source.clone())))
        }
        _ => Err(Error::new(
            ErrorKind::StateMismatch,
            format!(
                "sink '{sink}' lost its commit marker: the target was replaced or its marker table removed"
            ),
        )
        .hint("restore the target; the job goes on with it by itself")),
    }
}

/// Runs a call that blocks on the disk off the event loop.
pub(crate) async fn off_loop<T: Send + 'static>(
    call: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(call)
        .await
        .map_err(|error| Error::new(ErrorKind::Internal, "a call of the spool panicked").caused_by(error))?
}

//! Steps 6 and 7: collects what the branches prepared, saves the checkpoint, lets them commit.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use culvert_api::failpoint::pass;
use culvert_api::{ChangeBatch, Checkpoint, Error, ErrorKind, JobProgress, Result, SourceState, StateStore};
use tokio::sync::mpsc;
use tracing::warn;

use crate::branch::BranchReport;
use crate::queue::{Flow, Sender};
use crate::settings::Settings;

/// Runs a call of the store, which blocks on the disk, off the event loop.
pub(crate) async fn blocking<T: Send + 'static>(
    store: &Arc<dyn StateStore>,
    call: impl FnOnce(&dyn StateStore) -> Result<T> + Send + 'static,
) -> Result<T> {
    let store = Arc::clone(store);
    tokio::task::spawn_blocking(move || call(store.as_ref())).await.map_err(|error| {
        Error::new(ErrorKind::Internal, "a call of the state store panicked").caused_by(error)
    })?
}

/// One branch as the coordinator sees it.
pub(crate) struct BranchHandle {
    pub(crate) queue: Sender,
    pub(crate) commit_orders: mpsc::Sender<u64>,
}

struct InFlight {
    checkpoint: Arc<Checkpoint>,
    position: String,
    started: Instant,
    prepared: usize,
    committed: usize,
    warned: bool,
}

/// Takes one checkpoint at a time while rows go on flowing behind its barrier.
pub(crate) struct Checkpointer {
    store: Arc<dyn StateStore>,
    settings: Settings,
    progress: Arc<JobProgress>,
    epoch: u64,
    last_id: u64,
    in_flight: Option<InFlight>,
    /// The state of the newest completed checkpoint: the same again is not worth another.
    last_source: Option<SourceState>,
    last_started: Instant,
    last_ended: Instant,
    branches: Vec<BranchHandle>,
    reports: mpsc::Receiver<BranchReport>,
    /// Completed and not yet told to the source.
    completed: Option<SourceState>,
}

impl Checkpointer {
    pub(crate) fn new(
        store: Arc<dyn StateStore>,
        settings: Settings,
        progress: Arc<JobProgress>,
        epoch: u64,
        last: (u64, Option<SourceState>),
        branches: Vec<BranchHandle>,
        reports: mpsc::Receiver<BranchReport>,
    ) -> Checkpointer {
        let now = Instant::now();
        Checkpointer {
            store,
            settings,
            progress,
            epoch,
            last_id: last.0,
            in_flight: None,
            last_source: last.1,
            last_started: now,
            last_ended: now,
            branches,
            reports,
            completed: None,
        }
    }

    /// Whether it is time to ask the reader for a barrier.
    pub(crate) fn due(&self, rows_waiting: bool) -> bool {
        let interval = if rows_waiting {
            self.settings.checkpoint_interval
        } else {
            self.settings.quiet_checkpoint_interval
        };
        self.in_flight.is_none()
            && self.last_started.elapsed() >= interval
            && self.last_ended.elapsed() >= self.settings.checkpoint_min_pause
    }

    /// Sends the barrier of a new checkpoint, after the one under way has completed. Nothing is
    /// sent when there is nothing new.
    pub(crate) async fn begin(&mut self, source: SourceState, position: String, rows: bool) -> Result<()> {
        self.settle().await?;
        self.last_started = Instant::now();
        if !rows && self.last_source.as_ref() == Some(&source) {
            return Ok(());
        }
        let created_ms =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        self.last_id += 1;
        let checkpoint = Arc::new(Checkpoint { id: self.last_id, epoch: self.epoch, created_ms, source });
        self.in_flight = Some(InFlight {
            checkpoint: Arc::clone(&checkpoint),
            position,
            started: Instant::now(),
            prepared: 0,
            committed: 0,
            warned: false,
        });
        self.send_all(|| Flow::Barrier(Arc::clone(&checkpoint))).await
    }

    /// Sends rows to every branch, waiting for room. A branch that waits for the word to commit
    /// makes no room: its reports are taken in meanwhile, or both would wait for ever.
    pub(crate) async fn send_batch(&mut self, batch: ChangeBatch) -> Result<()> {
        for at in 0..self.branches.len() {
            let room = loop {
                tokio::select! {
                    room = self.branches[at].queue.room_for(&batch) => break room,
                    report = self.reports.recv() => match report {
                        Some(report) => self.take_in(report).await?,
                        None => return Err(gone()),
                    },
                }
            };
            let sent = match room {
                Ok(room) => self.branches[at].queue.send(Flow::Batch(batch.clone(), room)).await,
                Err(closed) => Err(closed),
            };
            if sent.is_err() {
                return Err(self.failure().await);
            }
        }
        Ok(())
    }

    /// Sends an item to every branch.
    pub(crate) async fn send_all(&mut self, item: impl Fn() -> Flow) -> Result<()> {
        for at in 0..self.branches.len() {
            let sent = loop {
                tokio::select! {
                    sent = self.branches[at].queue.send(item()) => break sent,
                    report = self.reports.recv() => match report {
                        Some(report) => self.take_in(report).await?,
                        None => return Err(gone()),
                    },
                }
            };
            if sent.is_err() {
                return Err(self.failure().await);
            }
        }
        Ok(())
    }

    /// Takes in what the branches reported meanwhile, without waiting, and returns the state that
    /// every sink has committed since the last call.
    pub(crate) async fn poll(&mut self) -> Result<Option<SourceState>> {
        while let Ok(report) = self.reports.try_recv() {
            self.take_in(report).await?;
        }
        self.warn_when_slow();
        Ok(self.completed.take())
    }

    /// Waits until the checkpoint under way has completed.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        while self.in_flight.is_some() {
            let wait = self.settings.checkpoint_warn_after;
            match tokio::time::timeout(wait, self.reports.recv()).await {
                Ok(Some(report)) => self.take_in(report).await?,
                Ok(None) => return Err(gone()),
                Err(_) => self.warn_when_slow(),
            }
        }
        Ok(())
    }

    /// The error of the branch that has ended.
    pub(crate) async fn failure(&mut self) -> Error {
        while let Some(report) = self.reports.recv().await {
            if let BranchReport::Failed(error) = report {
                return error;
            }
        }
        gone()
    }

    async fn take_in(&mut self, report: BranchReport) -> Result<()> {
        let branches = self.branches.len();
        let in_flight = match report {
            BranchReport::Failed(error) => return Err(error),
            BranchReport::Prepared(id) => {
                let in_flight = self.expect(id)?;
                in_flight.prepared += 1;
                in_flight
            }
            BranchReport::Committed(id) => {
                let in_flight = self.expect(id)?;
                in_flight.committed += 1;
                in_flight
            }
        };
        if in_flight.committed == branches {
            return self.complete().await;
        }
        if in_flight.prepared == branches && in_flight.committed == 0 {
            let checkpoint = Arc::clone(&in_flight.checkpoint);
            let id = checkpoint.id;
            pass("engine.save.before")?;
            blocking(&self.store, move |store| store.save(&checkpoint)).await?;
            pass("engine.save.after")?;
            for at in 0..branches {
                if self.branches[at].commit_orders.send(id).await.is_err() {
                    return Err(self.failure().await);
                }
            }
        }
        Ok(())
    }

    fn expect(&mut self, id: u64) -> Result<&mut InFlight> {
        match &mut self.in_flight {
            Some(in_flight) if in_flight.checkpoint.id == id => Ok(in_flight),
            _ => {
                Err(Error::new(ErrorKind::Internal, "a sink answered for a checkpoint that is not under way")
                    .context("checkpoint", id))
            }
        }
    }

    async fn complete(&mut self) -> Result<()> {
        let Some(done) = self.in_flight.take() else { return Err(gone()) };
        self.last_ended = Instant::now();
        self.progress.checkpoints.fetch_add(1, Relaxed);
        self.progress.set_position(done.position);
        let keep_from = done.checkpoint.id.saturating_sub(self.settings.checkpoints_kept);
        blocking(&self.store, move |store| store.prune_below(keep_from)).await?;
        self.last_source = Some(done.checkpoint.source.clone());
        self.completed.clone_from(&self.last_source);
        Ok(())
    }

    fn warn_when_slow(&mut self) {
        let limit = self.settings.checkpoint_warn_after;
        if let Some(in_flight) = &mut self.in_flight
            && !in_flight.warned
            && in_flight.started.elapsed() > limit
        {
            in_flight.warned = true;
            warn!(
                checkpoint = in_flight.checkpoint.id,
                seconds = in_flight.started.elapsed().as_secs(),
                "a checkpoint is slow; the job goes on and waits for the sink"
            );
        }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Internal, "a sink's task ended without a word")
}

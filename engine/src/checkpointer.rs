//! Steps 6 and 7: collects what the branches prepared, saves the checkpoint, lets them commit.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use culvert_api::failpoint::pass;
use culvert_api::{
    ChangeBatch, Checkpoint, Error, ErrorKind, EventKind, LastCheckpoint, Result, SourceState, StateStore,
    TableSchema,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::warn;

use crate::branch::{Report, Word};
use crate::lane::{Lane, LaneState};
use crate::opener::{Opener, off_loop};
use crate::queue::Flow;
use crate::settings::StopSignal;

/// How long the checkpointer waits for a word before it looks at the clock.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a checkpoint waits until the events that lie before it are on disk. A disk that is slower than
/// this loses no row, but after a crash an event may be missing.
const EVENTS_WITHIN: Duration = Duration::from_secs(1);

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

struct InFlight {
    checkpoint: Arc<Checkpoint>,
    position: String,
    started: Instant,
    /// When the newest of its rows was committed at the source, in microseconds since 1970.
    newest_row_us: Option<i64>,
    /// The branches that take part and have not prepared.
    unprepared: BTreeSet<usize>,
    /// The branches that take part and have not committed.
    uncommitted: BTreeSet<usize>,
    /// It is saved, and the word to commit is given.
    ordered: bool,
    warned: bool,
}

/// Takes one checkpoint at a time while rows go on flowing behind its barrier.
pub(crate) struct Checkpointer {
    pub(crate) opener: Opener,
    /// One per branch, in order.
    pub(crate) lanes: Vec<Lane>,
    /// As of what was sent last; kept up with a spool.
    pub(crate) tables: Vec<Arc<TableSchema>>,
    /// They changed since the last checkpoint was begun.
    pub(crate) tables_changed: bool,
    pub(crate) reports: mpsc::Receiver<Report>,
    /// Branches at work, and what feeds them.
    pub(crate) tasks: JoinSet<()>,
    /// Who opens sinks again.
    pub(crate) openings: JoinSet<()>,
    /// The newest checkpoint that was begun.
    pub(crate) last_id: u64,
    /// The newest checkpoint that was saved.
    pub(crate) saved: u64,
    /// The newest checkpoint whose segment is sealed, with a spool.
    pub(crate) sealed: Option<Arc<Checkpoint>>,
    /// What every sink holds, as the source was told.
    pub(crate) released: u64,
    /// The spool was full at the last look.
    pub(crate) told_full: bool,
    epoch: u64,
    /// The newest epoch of this run: a sink that is opened again gets one of its own.
    pub(crate) newest_epoch: u64,
    in_flight: Option<InFlight>,
    /// The state of the newest completed checkpoint: the same again is not worth another.
    last_source: Option<SourceState>,
    /// When the newest row since the last barrier was committed at the source, where its log says so.
    newest_row_us: Option<i64>,
    last_started: Instant,
    last_ended: Instant,
    /// Held by every sink and not yet told to the source.
    completed: Option<SourceState>,
    /// The branches whose writers were told that the job has come to its end.
    finished: BTreeSet<usize>,
}

impl Checkpointer {
    pub(crate) fn new(
        opener: Opener,
        epoch: u64,
        last: Option<Checkpoint>,
        (lanes, tables): (Vec<Lane>, Vec<Arc<TableSchema>>),
        reports: mpsc::Receiver<Report>,
    ) -> Checkpointer {
        let now = Instant::now();
        let last = last.map(Arc::new);
        let last_id = last.as_ref().map_or(0, |last| last.id);
        let least = lanes.iter().map(Lane::holds).min().flatten();
        Checkpointer {
            opener,
            lanes,
            tables,
            tables_changed: false,
            reports,
            tasks: JoinSet::new(),
            openings: JoinSet::new(),
            last_id,
            saved: last_id,
            released: least.unwrap_or(0),
            told_full: false,
            epoch,
            newest_epoch: epoch,
            in_flight: None,
            last_source: last.as_ref().map(|last| last.source.clone()),
            newest_row_us: None,
            sealed: last,
            last_started: now,
            last_ended: now,
            completed: None,
            finished: BTreeSet::new(),
        }
    }

    /// Remembers when the rows of a batch were committed at the source.
    pub(crate) fn note_commit_times(&mut self, batch: &ChangeBatch) {
        let newest = batch.transactions.iter().filter_map(|transaction| transaction.committed_us).max();
        self.newest_row_us = self.newest_row_us.max(newest);
    }

    /// Whether it is time to ask the reader for a barrier.
    pub(crate) fn due(&self, rows_waiting: bool) -> bool {
        let settings = &self.opener.settings;
        let interval =
            if rows_waiting { settings.checkpoint_interval } else { settings.quiet_checkpoint_interval };
        self.in_flight.is_none()
            && self.last_started.elapsed() >= interval
            && self.last_ended.elapsed() >= settings.checkpoint_min_pause
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
        if let Some(spool) = self.opener.spool.clone() {
            let last = Arc::clone(&checkpoint);
            let tables = std::mem::take(&mut self.tables_changed).then(|| self.tables.clone());
            off_loop(move || spool.seal(&last, tables.as_deref())).await?;
            self.sealed = Some(Arc::clone(&checkpoint));
        }
        // Who joins takes part from the start: else the others could be through before it is asked.
        let joining = self.joining(checkpoint.id);
        let live = (0..self.lanes.len()).filter(|at| self.lanes[*at].is_live());
        let live: BTreeSet<usize> = live.chain(joining.iter().copied()).collect();
        self.in_flight = Some(InFlight {
            checkpoint: Arc::clone(&checkpoint),
            position,
            started: Instant::now(),
            newest_row_us: self.newest_row_us.take(),
            unprepared: live.clone(),
            uncommitted: live,
            ordered: false,
            warned: false,
        });
        self.send_barrier(&checkpoint).await?;
        self.join(joining, checkpoint.id).await?;
        // Where every sink is held or behind there is nobody to wait for.
        self.advance().await
    }

    /// Whether a branch takes part in the checkpoint under way, and has not prepared.
    pub(crate) fn takes_part(&self, at: usize) -> bool {
        self.in_flight.as_ref().is_some_and(|in_flight| in_flight.unprepared.contains(&at))
    }

    /// A branch takes no part any more: the others go on without it.
    pub(crate) fn take_no_part(&mut self, at: usize) {
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.unprepared.remove(&at);
            in_flight.uncommitted.remove(&at);
        }
    }

    /// Takes in what the branches reported meanwhile, without waiting, and returns the state that
    /// every sink holds since the last call.
    pub(crate) async fn poll(&mut self) -> Result<Option<SourceState>> {
        while let Ok(report) = self.reports.try_recv() {
            self.hear(Some(report)).await?;
        }
        self.tend();
        self.warn_when_slow();
        Ok(self.completed.take())
    }

    /// Waits until the checkpoint under way has completed.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        while self.in_flight.is_some() {
            self.wait().await?;
        }
        Ok(())
    }

    /// Waits until every sink holds the newest checkpoint, or until stopping is asked for.
    pub(crate) async fn level(&mut self, stop: &StopSignal) -> Result<()> {
        while !self.all_level() && !stop.is_set() {
            self.wait().await?;
        }
        Ok(())
    }

    /// Tells every sink that the job has come to its end; all of them hold the newest checkpoint.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        let mut told = BTreeSet::new();
        for (at, lane) in self.lanes.iter().enumerate() {
            if let LaneState::Live(link) = &lane.state
                && link.queue.send(Flow::End).await.is_ok()
            {
                told.insert(at);
            }
        }
        while !told.is_subset(&self.finished) {
            self.wait().await?;
        }
        Ok(())
    }

    /// Waits for a word, for a short while.
    pub(crate) async fn wait(&mut self) -> Result<()> {
        self.tend();
        self.warn_when_slow();
        match tokio::time::timeout(LOOK_EVERY, self.reports.recv()).await {
            Ok(report) => self.hear(report).await,
            Err(_) => Ok(()),
        }
    }

    /// Takes in a report.
    pub(crate) async fn hear(&mut self, report: Option<Report>) -> Result<()> {
        let Some(Report { branch, word }) = report else {
            return Err(Error::new(ErrorKind::Internal, "the sinks' tasks ended without a word"));
        };
        match word {
            Word::Failed(error) => self.failed(branch, error)?,
            Word::Finished => drop(self.finished.insert(branch)),
            Word::Opened(opened) => self.opened(branch, *opened),
            Word::Prepared(id) => self.prepared(branch, id).await?,
            Word::Committed(id) => self.committed(branch, id).await?,
        }
        self.advance().await
    }

    async fn prepared(&mut self, at: usize, id: u64) -> Result<()> {
        match &self.lanes[at].state {
            LaneState::Behind { link, feeding } if *feeding == Some(id) => {
                // Saved long ago. A branch that has ended says why.
                let _ = link.commit_orders.send(id).await;
            }
            LaneState::Live(_) => {
                self.expect(id)?.unprepared.remove(&at);
            }
            // It was held in between.
            _ => {}
        }
        Ok(())
    }

    async fn committed(&mut self, at: usize, id: u64) -> Result<()> {
        let lane = &mut self.lanes[at];
        let source = match &mut lane.state {
            LaneState::Behind { feeding, .. } if *feeding == Some(id) => {
                *feeding = None;
                let Some(spool) = self.opener.spool.clone() else { return Ok(()) };
                off_loop(move || Ok(spool.read(id)?.checkpoint().source.clone())).await?
            }
            LaneState::Live(_) => {
                let in_flight = self.expect(id)?;
                in_flight.uncommitted.remove(&at);
                in_flight.checkpoint.source.clone()
            }
            _ => return Ok(()),
        };
        let lane = &mut self.lanes[at];
        lane.failures = 0;
        lane.place = Some((id, Some(source)));
        self.tell_holdings();
        self.released().await
    }

    /// Passes on what every sink holds.
    async fn released(&mut self) -> Result<()> {
        let Some((id, source)) = self.release() else { return Ok(()) };
        self.completed = source;
        if let Some(spool) = self.opener.spool.clone() {
            off_loop(move || spool.forget(id)).await?;
        }
        Ok(())
    }

    /// Saves the checkpoint under way when all have prepared, ends it when all have committed.
    async fn advance(&mut self) -> Result<()> {
        let Some(in_flight) = &mut self.in_flight else { return Ok(()) };
        if !in_flight.unprepared.is_empty() {
            return Ok(());
        }
        if !in_flight.ordered {
            in_flight.ordered = true;
            let checkpoint = Arc::clone(&in_flight.checkpoint);
            let id = checkpoint.id;
            let takes_part: Vec<usize> = in_flight.uncommitted.iter().copied().collect();
            pass("engine.save.before")?;
            let progress = Arc::clone(&self.opener.progress);
            let save = move |store: &dyn StateStore| {
                progress.keep_events(EVENTS_WITHIN);
                store.save(&checkpoint)
            };
            blocking(&self.opener.store, save).await?;
            pass("engine.save.after")?;
            self.saved = id;
            self.tell_holdings();
            for at in takes_part {
                if let LaneState::Live(link) = &self.lanes[at].state {
                    // A branch that has ended says why.
                    let _ = link.commit_orders.send(id).await;
                }
            }
        }
        if self.in_flight.as_ref().is_some_and(|in_flight| in_flight.uncommitted.is_empty()) {
            return self.complete().await;
        }
        Ok(())
    }

    /// The number of the checkpoint under way.
    pub(crate) fn under_way(&self) -> Option<u64> {
        self.in_flight.as_ref().map(|in_flight| in_flight.checkpoint.id)
    }

    /// Ends the branches; they drop what is not committed.
    pub(crate) async fn close(mut self) {
        let held = |lane: &Lane| matches!(lane.state, LaneState::Held { .. });
        for (branch, _) in self.opener.branches.iter().zip(&self.lanes).filter(|(_, lane)| !held(lane)) {
            self.opener.progress.tell(EventKind::WriterClosed { sink: branch.name.clone() });
        }
        if self.opener.is_share() {
            (0..self.lanes.len())
                .for_each(|at| self.opener.progress.sinks.forget(&self.opener.watched_name(at)));
        }
        self.lanes.clear();
        // What feeds a queue ends with it.
        drop(self.reports);
        self.openings.abort_all();
        while self.tasks.join_next().await.is_some() {}
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
        let Some(done) = self.in_flight.take() else { return Ok(()) };
        self.last_ended = Instant::now();
        self.opener.progress.checkpoints.fetch_add(1, Relaxed);
        self.opener.progress.set_position(done.position);
        let SourceState { enumerator, reader } = &done.checkpoint.source;
        self.opener.progress.set_last_checkpoint(LastCheckpoint {
            id: done.checkpoint.id,
            ended: self.last_ended,
            took: done.started.elapsed(),
            bytes: enumerator.len() + reader.len(),
        });
        if let Some(committed_us) = done.newest_row_us {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
            let committed_ms = u128::try_from(committed_us / 1000).unwrap_or(0);
            let took = now.saturating_sub(committed_ms);
            self.opener.progress.end_to_end.took(u64::try_from(took).unwrap_or(u64::MAX));
        }
        if self.lanes.iter().all(Lane::is_live) {
            self.opener.progress.set_degraded(None);
        }
        let keep_from = done.checkpoint.id.saturating_sub(self.opener.settings.checkpoints_kept);
        blocking(&self.opener.store, move |store| store.prune_below(keep_from)).await?;
        self.last_source = Some(done.checkpoint.source.clone());
        Ok(())
    }

    fn warn_when_slow(&mut self) {
        let limit = self.opener.settings.checkpoint_warn_after;
        if let Some(in_flight) = &mut self.in_flight
            && !in_flight.warned
            && in_flight.started.elapsed() > limit
        {
            in_flight.warned = true;
            self.opener.progress.tell(EventKind::CheckpointSlow {
                checkpoint: in_flight.checkpoint.id,
                seconds: in_flight.started.elapsed().as_secs(),
            });
            warn!(
                checkpoint = in_flight.checkpoint.id,
                seconds = in_flight.started.elapsed().as_secs(),
                "a checkpoint is slow; the job goes on and waits for the sink"
            );
        }
    }
}

//! How far each sink is: it takes rows as they come, takes the spool's segments because it is behind, or
//! is held after a failure that the others do not share.
//!
//! ```text
//!             failure, policy "hold"                    opened again
//!   Live ───────────────────────────► Held ◄─────────────────────────► Behind
//!     ▲                                          failure                 │
//!     └──────────── joined: at a barrier, holding everything before it ──┘
//! ```
//!
//! A sink that is behind joins at the barrier of checkpoint N when it holds N - 1: it is fed the segment
//! of N, which is sealed by then, and after that what comes next. Until the segment is in its queue
//! the source waits, so the two never mix.

use std::sync::Arc;
use std::time::Instant;

use culvert_api::{
    Checkpoint, Error, ErrorClass, ErrorKind, Holding, Result, SchemaChange, SourceState, Spool, SpoolItem,
    Taking,
};
use tokio::sync::oneshot;
use tracing::{error, info};

use crate::branch::{Report, Word, watch};
use crate::checkpointer::Checkpointer;
use crate::graph::{Branch, FailurePolicy};
use crate::opener::{Link, Opened, Place, off_loop};
use crate::queue::{Flow, Sender};
use crate::supervisor::back_off;

/// One sink, as the checkpointer sees it.
pub(crate) struct Lane {
    pub(crate) state: LaneState,
    /// Where the sink stands; `None` while it was never reached.
    pub(crate) place: Option<Place>,
    /// Failures since it last committed.
    pub(crate) failures: u32,
}

/// How a sink takes part.
pub(crate) enum LaneState {
    /// It takes rows as they come.
    Live(Link),
    /// It takes segments, one at a time.
    Behind {
        link: Link,
        /// The checkpoint of the segment under way.
        feeding: Option<u64>,
    },
    /// It failed, and is opened again at this moment.
    Held {
        again: Instant,
        /// Somebody is at it.
        opening: bool,
    },
}

impl Lane {
    /// The checkpoint the sink holds.
    pub(crate) fn holds(&self) -> Option<u64> {
        self.place.as_ref().map(|place| place.0)
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state, LaneState::Live(_))
    }

    fn holding(&self, saved: u64) -> Holding {
        let taking = match self.state {
            LaneState::Live(_) => Taking::Rows,
            LaneState::Behind { .. } => Taking::Missed,
            LaneState::Held { .. } => Taking::Nothing,
        };
        Holding { committed: self.holds(), saved, taking }
    }
}

impl Checkpointer {
    /// Tells whoever watches the job what its sinks have committed.
    pub(crate) fn tell_holdings(&self) {
        for (at, lane) in self.lanes.iter().enumerate() {
            self.opener.progress.sinks.set(&self.opener.watched_name(at), lane.holding(self.saved));
        }
    }

    /// Sends an item to every sink that takes rows as they come, and keeps it for the others.
    pub(crate) async fn send_all(&mut self, item: SpoolItem) -> Result<()> {
        if let Some(spool) = self.opener.spool.clone() {
            if let SpoolItem::SchemaChange(change) = &item {
                self.follow(change);
            }
            let kept = item.clone();
            off_loop(move || spool.append(&kept)).await?;
        }
        for at in 0..self.lanes.len() {
            self.send(at, &item).await?;
        }
        Ok(())
    }

    /// Keeps up which tables there are.
    fn follow(&mut self, change: &SchemaChange) {
        change.follow(&mut self.tables);
        self.tables_changed = true;
    }

    /// Sends an item to one sink, waiting for room. A branch that waits for the word to commit makes no
    /// room: reports are taken in meanwhile, or both would wait for ever.
    async fn send(&mut self, at: usize, item: &SpoolItem) -> Result<()> {
        if !self.opener.branches[at].takes(item) {
            return Ok(());
        }
        while let LaneState::Live(link) = &self.lanes[at].state {
            let queue = link.queue.clone();
            tokio::select! {
                sent = queue.deliver(item) => match sent {
                    Ok(()) => return Ok(()),
                    // It has ended, and says why.
                    Err(_) => self.wait().await?,
                },
                report = self.reports.recv() => self.hear(report).await?,
            }
        }
        Ok(())
    }

    /// Sends the barrier of a checkpoint to the sinks that take rows as they come.
    pub(crate) async fn send_barrier(&mut self, checkpoint: &Arc<Checkpoint>) -> Result<()> {
        for at in 0..self.lanes.len() {
            while let LaneState::Live(link) = &self.lanes[at].state {
                let queue = link.queue.clone();
                tokio::select! {
                    sent = queue.send(Flow::Barrier(Arc::clone(checkpoint))) => match sent {
                        Ok(()) => break,
                        Err(_) => self.wait().await?,
                    },
                    report = self.reports.recv() => self.hear(report).await?,
                }
            }
        }
        Ok(())
    }

    /// The sinks that hold everything before a checkpoint, and take its segment to be level with the others.
    pub(crate) fn joining(&self, checkpoint: u64) -> Vec<usize> {
        let level = |lane: &Lane| {
            lane.holds() == Some(checkpoint - 1)
                && matches!(lane.state, LaneState::Behind { feeding: None, .. })
        };
        (0..self.lanes.len()).filter(|at| level(&self.lanes[*at])).collect()
    }

    /// At the barrier of a checkpoint, whose segment is sealed: these sinks take that segment, and then what
    /// comes next.
    pub(crate) async fn join(&mut self, joining: Vec<usize>, checkpoint: u64) -> Result<()> {
        for at in joining {
            // It has failed in between, and may even be there again.
            if !self.takes_part(at) {
                continue;
            }
            let lane = &mut self.lanes[at];
            let again = LaneState::Held { again: Instant::now(), opening: false };
            let link = match std::mem::replace(&mut lane.state, again) {
                LaneState::Behind { link, feeding: None } => link,
                other => {
                    lane.state = other;
                    continue;
                }
            };
            info!(sink = self.opener.branches[at].name, checkpoint, "the sink has caught up");
            let queue = link.queue.clone();
            lane.state = LaneState::Live(link);
            self.tell_holdings();
            let mut fed = self.feed(at, queue, checkpoint);
            loop {
                tokio::select! {
                    // An end without a word is a failure, and is reported as one.
                    _ = &mut fed => break,
                    report = self.reports.recv() => self.hear(report).await?,
                }
            }
        }
        Ok(())
    }

    /// Starts what is due: the next segment for a sink that is behind, a new attempt for one that is held.
    pub(crate) fn tend(&mut self) {
        let Some(sealed) = self.sealed.clone() else { return };
        for at in 0..self.lanes.len() {
            let lane = &mut self.lanes[at];
            let next = lane.holds().map(|holds| holds + 1);
            match &mut lane.state {
                LaneState::Behind { link, feeding: feeding @ None } => {
                    // The newest segment is not fed while its own sinks have not saved it: a checkpoint
                    // that is not saved may never be.
                    if let Some(next) = next.filter(|next| *next <= self.saved) {
                        *feeding = Some(next);
                        let queue = link.queue.clone();
                        self.feed(at, queue, next);
                    }
                }
                LaneState::Held { again, opening } if !*opening && *again <= Instant::now() => {
                    *opening = true;
                    let (opener, sealed, ours) =
                        (self.opener.clone(), Arc::clone(&sealed), self.newest_epoch);
                    self.openings.spawn(async move {
                        let word = match opener.reopen(at, &sealed, ours).await {
                            Ok(opened) => Word::Opened(Box::new(opened)),
                            Err(error) => Word::Failed(error),
                        };
                        // The checkpointer may be gone already.
                        let _ = opener.reports.send(Report { branch: at, word }).await;
                    });
                }
                _ => {}
            }
        }
    }

    /// Feeds a segment and its barrier to a queue, in a task of its own; the answer says that it has ended.
    fn feed(&mut self, at: usize, queue: Sender, checkpoint: u64) -> oneshot::Receiver<()> {
        let (done, fed) = oneshot::channel();
        let Some(spool) = self.opener.spool.clone() else { return fed };
        let (reports, branch) = (self.opener.reports.clone(), self.opener.branches[at].clone());
        self.tasks.spawn(async move {
            if let Err(error) = pour(spool, queue, checkpoint, &branch).await {
                // The checkpointer may be gone already.
                let _ = reports.send(Report { branch: at, word: Word::Failed(error) }).await;
            }
            let _ = done.send(());
        });
        fed
    }

    /// A sink was opened again: it goes on from where it stands.
    pub(crate) fn opened(&mut self, at: usize, opened: Opened) {
        self.newest_epoch = self.newest_epoch.max(opened.epoch);
        let lane = &mut self.lanes[at];
        info!(sink = self.opener.branches[at].name, checkpoint = opened.place.0, "the sink is there again");
        self.opener.told_open(at);
        lane.place = Some(opened.place);
        lane.state = LaneState::Behind { link: opened.link, feeding: None };
        self.tasks.spawn(watch(opened.worker));
        self.tell_holdings();
    }

    /// A sink has failed: it is held where its policy says so and others go on, else the attempt ends.
    pub(crate) fn failed(&mut self, at: usize, failure: Error) -> Result<()> {
        let others = self
            .lanes
            .iter()
            .enumerate()
            .any(|(other, lane)| other != at && !matches!(lane.state, LaneState::Held { .. }));
        let held = self.opener.spool.is_some()
            && self.opener.branches[at].on_failure == FailurePolicy::Hold
            // Another run has taken over: it is the whole job that has to end.
            && failure.kind() != ErrorKind::Fenced;
        if !held || !others {
            return Err(failure);
        }
        let lane = &mut self.lanes[at];
        lane.failures += 1;
        let settings = &self.opener.settings;
        let wait = match failure.class() {
            ErrorClass::Transient => back_off(settings, lane.failures),
            // Somebody has to act first.
            ErrorClass::Operator | ErrorClass::Data | ErrorClass::Fatal => settings.retry_longest,
        };
        lane.state = LaneState::Held { again: Instant::now() + wait, opening: false };
        error!(
            sink = self.opener.branches[at].name,
            checkpoint = lane.place.as_ref().map(|place| place.0),
            "the sink is held, the others go on; next attempt in {:.1} s: {failure}",
            wait.as_secs_f64()
        );
        let held = format!("sink {} is held: {failure}", self.opener.branches[at].name);
        self.opener.progress.set_degraded(Some(held));
        self.take_no_part(at);
        self.tell_holdings();
        Ok(())
    }

    /// Whether every sink holds the newest checkpoint.
    pub(crate) fn all_level(&self) -> bool {
        self.lanes.iter().all(|lane| lane.holds() == Some(self.last_id))
    }

    /// Whether the spool holds more than it may for sinks that are behind.
    pub(crate) fn spool_is_full(&mut self) -> bool {
        let Some(spool) = &self.opener.spool else { return false };
        let behind = self.lanes.iter().any(|lane| !lane.is_live());
        let full = behind && self.saved > 0 && spool.bytes() > self.opener.settings.spool_bytes_max;
        if full && !self.told_full {
            let names: Vec<&str> = self
                .lanes
                .iter()
                .zip(self.opener.branches.iter())
                .filter(|(lane, _)| !lane.is_live())
                .map(|(_, branch)| branch.name.as_str())
                .collect();
            let limit = self.opener.settings.spool_bytes_max;
            error!(
                "the spool has reached its limit of {limit} bytes: the job waits for {}",
                names.join(", ")
            );
        }
        self.told_full = full;
        full
    }

    /// The least checkpoint over all sinks, when it has risen: the source may forget what lies before it.
    pub(crate) fn release(&mut self) -> Option<(u64, Option<SourceState>)> {
        let least = self.lanes.iter().map(|lane| lane.place.as_ref()).min_by_key(|place| place.map(|p| p.0));
        let least = least.flatten().filter(|place| place.0 > self.released)?;
        self.released = least.0;
        Some(least.clone())
    }
}

/// Pours a segment and its barrier into a queue. A queue that closes ends it: the branch says why.
async fn pour(spool: Arc<dyn Spool>, queue: Sender, checkpoint: u64, branch: &Branch) -> Result<()> {
    let mut reader = off_loop(move || spool.read(checkpoint)).await?;
    loop {
        let (back, item) = off_loop(move || {
            let item = reader.next()?;
            Ok((reader, item))
        })
        .await?;
        reader = back;
        let sent = match item {
            Some(item) if !branch.takes(&item) => Ok(()),
            Some(item) => queue.deliver(&item).await,
            None => {
                let barrier = Flow::Barrier(Arc::new(reader.checkpoint().clone()));
                let _ = queue.send(barrier).await;
                return Ok(());
            }
        };
        if sent.is_err() {
            return Ok(());
        }
    }
}

//! Figures of a running job that several parts write and the command line reads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::event::{EventKind, EventListener, Listening};
use crate::holding::{Holdings, SourceTables};
use crate::measure::{EndToEnd, LastCheckpoint, Queues, Rejected, Standings, Traffic};

/// What a job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Connecting, restoring, planning.
    Starting = 0,
    /// Reading what was there before, while the log is followed.
    Snapshot = 1,
    /// Following the log.
    Stream = 2,
    /// Waiting before the next attempt after a transient failure.
    Waiting = 3,
    /// Finishing the last checkpoint.
    Stopping = 4,
}

/// Counters of one job; cheap to update, never blocking.
#[derive(Debug, Default)]
pub struct JobProgress {
    phase: AtomicU8,
    /// Rows that left the source.
    pub rows_read: AtomicU64,
    /// Bytes of log or result sets that the source took in.
    pub bytes_read: AtomicU64,
    /// Rows that sinks accepted, uncommitted ones included.
    pub rows_written: AtomicU64,
    /// Rows that sinks committed.
    pub rows_committed: AtomicU64,
    /// Snapshot chunks whose rows left the source.
    pub chunks_done: AtomicU64,
    /// Snapshot chunks expected over all tables; an estimate until planning ends.
    pub chunks_total: AtomicU64,
    /// Checkpoints completed by this process.
    pub checkpoints: AtomicU64,
    /// Time between the last transaction's commit on the source and its arrival here, in ms.
    pub lag_ms: AtomicU64,
    /// Attempts after a transient failure since the process started.
    pub restarts: AtomicU64,
    /// What left the sources, by source and table.
    pub read: Traffic,
    /// What the sinks accepted, by sink and table.
    pub written: Traffic,
    /// What waits in front of the sinks.
    pub queues: Queues,
    /// Where the sources stand in the logs of their servers.
    pub standings: Standings,
    /// From a row's commit at the source to its commit at every sink.
    pub end_to_end: EndToEnd,
    /// What transforms turned away.
    pub rejected: Rejected,
    /// When the snapshot began or went on, and the chunks that were done then.
    snapshot_begun: Mutex<Option<(Instant, u64)>>,
    /// What the sinks have committed.
    pub sinks: Holdings,
    /// The tables that leave the sources.
    pub tables: SourceTables,
    last_checkpoint: Mutex<Option<LastCheckpoint>>,
    position: Mutex<String>,
    /// What the job waits for now.
    waits: Mutex<Waits>,
    stalled: Mutex<Option<String>>,
    degraded: Mutex<Option<String>>,
    listening: Listening,
    /// It was past [`Phase::Starting`] once.
    has_worked: AtomicBool,
    /// A snapshot was begun, and its end was not told of.
    in_snapshot: AtomicBool,
}

#[derive(Debug, Default)]
struct Waits {
    next: u64,
    open: BTreeMap<u64, (&'static str, String, Instant)>,
}

/// A call that waits for somebody outside; over when this is dropped.
#[derive(Debug)]
pub struct Waiting<'a> {
    progress: &'a JobProgress,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Ok(mut waits) = self.progress.waits.lock() {
            waits.open.remove(&self.number);
        }
    }
}

impl JobProgress {
    /// What the job is doing.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Snapshot,
            2 => Phase::Stream,
            3 => Phase::Waiting,
            _ => Phase::Stopping,
        }
    }

    /// Sets what the job is doing.
    pub fn set_phase(&self, phase: Phase) {
        let before = self.phase.swap(phase as u8, Relaxed);
        if before == phase as u8 {
            return;
        }
        let works = matches!(phase, Phase::Snapshot | Phase::Stream);
        if works && !self.has_worked.swap(true, Relaxed) {
            self.tell(EventKind::JobStatus { status: "RUNNING", reason: None });
        }
        if phase == Phase::Snapshot {
            if let Ok(mut begun) = self.snapshot_begun.lock() {
                *begun = Some((Instant::now(), self.chunks_done.load(Relaxed)));
            }
            self.in_snapshot.store(true, Relaxed);
            self.tell(EventKind::SnapshotStarted);
        }
    }

    /// Tells that a snapshot has been read, where one was under way and the source is past it: `ended` where it
    /// has nothing more. Called when every row that was read has left the source.
    pub fn tell_of_snapshot(&self, ended: bool) {
        let past = ended || self.phase() == Phase::Stream;
        if past && self.in_snapshot.swap(false, Relaxed) {
            self.tell(EventKind::SnapshotFinished {
                chunks: self.chunks_done.load(Relaxed),
                rows: self.rows_read.load(Relaxed),
            });
        }
    }

    /// Sets who is told of what happens; the first one stays.
    pub fn set_listener(&self, listener: Arc<dyn EventListener>) {
        self.listening.set(listener);
    }

    /// Tells that something happened; never waits.
    pub fn tell(&self, kind: EventKind) {
        if let Some(listener) = self.listening.get() {
            listener.tell(kind);
        }
    }

    /// Waits, for so long at most, until what was told is on disk. Blocks.
    pub fn keep_events(&self, within: Duration) {
        if let Some(listener) = self.listening.get() {
            listener.keep(within);
        }
    }

    /// How long the snapshot will go on, if the chunks to come take as long as those since it began or went on.
    /// `None` while there is none, and before its first chunk.
    pub fn snapshot_left(&self) -> Option<Duration> {
        let (since, before) = (*self.snapshot_begun.lock().ok()?)?;
        let (done, all) = (self.chunks_done.load(Relaxed), self.chunks_total.load(Relaxed));
        let (fresh, left) = (done.saturating_sub(before), all.saturating_sub(done));
        if self.phase() != Phase::Snapshot || fresh == 0 || left == 0 {
            return None;
        }
        Duration::try_from_secs_f64(since.elapsed().as_secs_f64() / fresh as f64 * left as f64).ok()
    }

    /// Says that a call begins that waits for somebody outside: `what` is done, `whom` it is done with.
    pub fn waits(&self, what: &'static str, whom: &str) -> Waiting<'_> {
        let mut number = 0;
        if let Ok(mut waits) = self.waits.lock() {
            waits.next += 1;
            number = waits.next;
            waits.open.insert(number, (what, whom.to_owned(), Instant::now()));
        }
        Waiting { progress: self, number }
    }

    /// The call that waits the longest: what, for whom, how long.
    pub fn longest_wait(&self) -> Option<(&'static str, String, Duration)> {
        let waits = self.waits.lock().ok()?;
        let (what, whom, since) = waits.open.values().min_by_key(|(_, _, since)| *since)?;
        Some((what, whom.clone(), since.elapsed()))
    }

    /// Why nothing moves, when something should.
    pub fn stalled(&self) -> Option<String> {
        self.stalled.lock().ok()?.clone()
    }

    /// Sets or takes back that nothing moves.
    pub fn set_stalled(&self, why: Option<String>) {
        let Ok(mut stalled) = self.stalled.lock() else { return };
        let before = std::mem::replace(&mut *stalled, why.clone());
        drop(stalled);
        match (before, why) {
            (before, Some(reason)) if before.as_ref() != Some(&reason) => {
                self.tell(EventKind::JobStalled { reason })
            }
            (Some(from), None) => self.tell(EventKind::JobRecovered { from }),
            _ => {}
        }
    }

    /// The newest completed checkpoint of this process.
    pub fn last_checkpoint(&self) -> Option<LastCheckpoint> {
        *self.last_checkpoint.lock().ok()?
    }

    /// Says that a checkpoint is complete.
    pub fn set_last_checkpoint(&self, done: LastCheckpoint) {
        if let Ok(mut last) = self.last_checkpoint.lock() {
            *last = Some(done);
        }
    }

    /// Why the job goes on otherwise than it should.
    pub fn degraded(&self) -> Option<String> {
        self.degraded.lock().ok()?.clone()
    }

    /// Sets or takes back that the job goes on otherwise than it should: an attempt failed, a sink is held.
    pub fn set_degraded(&self, why: Option<String>) {
        let Ok(mut degraded) = self.degraded.lock() else { return };
        let before = std::mem::replace(&mut *degraded, why.clone());
        drop(degraded);
        match (before, why) {
            (before, Some(reason)) if before.as_ref() != Some(&reason) => {
                self.tell(EventKind::JobDegraded { reason })
            }
            (Some(from), None) => self.tell(EventKind::JobRecovered { from }),
            _ => {}
        }
    }

    /// The source position of the newest completed checkpoint, for people.
    pub fn position(&self) -> String {
        self.position.lock().map(|text| text.clone()).unwrap_or_default()
    }

    /// Sets the source position for people.
    pub fn set_position(&self, text: String) {
        if let Ok(mut position) = self.position.lock() {
            *position = text;
        }
    }
}

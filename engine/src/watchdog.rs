//! Says so when a job waits for a server for too long: RUNNING has to mean that data moves. And what else only
//! shows by looking again and again: lag past its threshold, how far a snapshot is.
//!
//! It looks at the calls that wait for somebody outside ([`JobProgress::waits`]). A source that has nothing
//! to say is no such call: its reader returns after a short linger, and a server that has gone silent is the
//! source's to notice, by its heartbeats.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use culvert_api::{EventKind, JobProgress, Phase};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::settings::Settings;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches one job until it is dropped.
pub(crate) struct Watchdog {
    task: JoinHandle<()>,
    progress: Arc<JobProgress>,
    rejected: Arc<Rejected>,
}

impl Watchdog {
    pub(crate) fn start(job: &str, progress: &Arc<JobProgress>, settings: &Settings) -> Watchdog {
        let (job, progress) = (job.to_owned(), Arc::clone(progress));
        let (stall_after, lag_over) = (settings.stall_after, settings.lag_over);
        let retention_over = settings.slot_retention_over;
        let rejected = Arc::<Rejected>::default();
        let (shown, counting) = (Arc::clone(&progress), Arc::clone(&rejected));
        let task = tokio::spawn(async move {
            let mut looks = tokio::time::interval(LOOK_EVERY.min(stall_after / 2));
            let (mut lag, mut snapshot) = (Lag { over: false }, Share::default());
            let mut retention = Retention { over: false };
            loop {
                looks.tick().await;
                look(&job, &progress, stall_after);
                if let Some(threshold) = lag_over {
                    lag.look(&progress, threshold);
                }
                if let Some(threshold) = retention_over {
                    retention.look(&progress, threshold);
                }
                counting.look(&progress);
                snapshot.look(&progress);
            }
        });
        Watchdog { task, progress: shown, rejected }
    }
}

/// Whether a slot holds back more than it should.
struct Retention {
    over: bool,
}

impl Retention {
    /// Tells when what the slot holds back crosses the threshold.
    fn look(&mut self, progress: &JobProgress, threshold_bytes: u64) {
        let Some(slot) = progress.standings.of_job().slot else { return };
        let over = slot.retained_bytes > threshold_bytes;
        if over && !self.over {
            progress.tell(EventKind::SlotRetention { bytes: slot.retained_bytes, threshold_bytes });
        }
        self.over = over;
    }
}

/// Rows that were turned away and told of.
#[derive(Default)]
struct Rejected(AtomicU64);

impl Rejected {
    /// Tells of rows that were turned away since the last look, all together.
    fn look(&self, progress: &JobProgress) {
        let total: u64 = progress.rejected.totals().iter().map(|(_, _, rows)| rows).sum();
        let before = self.0.swap(total, Relaxed);
        if total > before {
            progress.tell(EventKind::DeadLetterRows { rows: total - before, total });
        }
    }
}

/// Whether changes arrive in time.
struct Lag {
    over: bool,
}

impl Lag {
    /// Tells when the lag of the stream crosses the threshold. While a snapshot is read changes wait by design.
    fn look(&mut self, progress: &JobProgress, threshold: Duration) {
        if progress.phase() != Phase::Stream {
            return;
        }
        let lag_ms = progress.lag_ms.load(Relaxed);
        let threshold_ms = u64::try_from(threshold.as_millis()).unwrap_or(u64::MAX);
        let over = lag_ms > threshold_ms;
        if over != self.over {
            self.over = over;
            progress.tell(match over {
                true => EventKind::LagOver { lag_ms, threshold_ms },
                false => EventKind::LagUnder { lag_ms, threshold_ms },
            });
        }
    }
}

/// How much of a snapshot has been told of.
#[derive(Default)]
struct Share {
    tenths: u64,
}

impl Share {
    /// Tells of every tenth of a snapshot, between its start and its end.
    fn look(&mut self, progress: &JobProgress) {
        if progress.phase() != Phase::Snapshot {
            self.tenths = 0;
            return;
        }
        let (chunks_done, chunks_total) =
            (progress.chunks_done.load(Relaxed), progress.chunks_total.load(Relaxed));
        let tenths = (chunks_done * 10).checked_div(chunks_total).unwrap_or(0);
        if tenths > self.tenths && chunks_done < chunks_total {
            self.tenths = tenths;
            progress.tell(EventKind::SnapshotProgress { chunks_done, chunks_total });
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.task.abort();
        // A job may end between two looks.
        self.rejected.look(&self.progress);
    }
}

fn look(job: &str, progress: &JobProgress, stall_after: Duration) {
    let stalled = progress.longest_wait().filter(|(_, _, since)| *since >= stall_after);
    let why = stalled.as_ref().map(|(what, whom, _)| format!("{what} {whom}").trim_end().to_owned());
    let before = progress.stalled();
    if why == before {
        return;
    }
    match (&why, stalled) {
        (Some(why), Some((_, _, since))) => warn!(job, "STALLED: {why} takes {} s", since.as_secs()),
        _ => info!(job, "the job moves again"),
    }
    progress.set_stalled(why);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Mutex;

    use culvert_api::EventListener;

    use super::*;

    #[derive(Default)]
    struct Told(Mutex<Vec<EventKind>>);

    impl EventListener for Told {
        fn tell(&self, kind: EventKind) {
            self.0.lock().unwrap().push(kind);
        }

        fn keep(&self, _within: Duration) {}
    }

    #[test]
    fn lag_is_told_of_when_it_crosses_the_threshold_of_a_stream() {
        let (progress, told) = (JobProgress::default(), Arc::new(Told::default()));
        progress.set_listener(told.clone());
        let mut lag = Lag { over: false };
        for (phase, ms) in [
            (Phase::Snapshot, 9_000),
            (Phase::Stream, 9_000),
            (Phase::Stream, 8_000),
            (Phase::Stream, 20),
            (Phase::Stream, 10),
        ] {
            progress.set_phase(phase);
            progress.lag_ms.store(ms, Relaxed);
            progress.tell_of_snapshot(false);
            lag.look(&progress, Duration::from_secs(1));
        }
        let expected = [
            EventKind::JobStatus { status: "RUNNING", reason: None },
            EventKind::SnapshotStarted,
            EventKind::SnapshotFinished { chunks: 0, rows: 0 },
            EventKind::LagOver { lag_ms: 9_000, threshold_ms: 1_000 },
            EventKind::LagUnder { lag_ms: 20, threshold_ms: 1_000 },
        ];
        assert_eq!(*told.0.lock().unwrap(), expected);
    }

    #[test]
    fn every_tenth_of_a_snapshot_is_told_of_once() {
        let (progress, told) = (JobProgress::default(), Arc::new(Told::default()));
        progress.set_phase(Phase::Snapshot);
        progress.set_listener(told.clone());
        progress.chunks_total.store(100, Relaxed);
        let mut share = Share::default();
        for done in [0, 9, 10, 12, 35, 39, 100] {
            progress.chunks_done.store(done, Relaxed);
            share.look(&progress);
        }
        let told: Vec<u64> = told
            .0
            .lock()
            .unwrap()
            .iter()
            .map(|kind| match kind {
                EventKind::SnapshotProgress { chunks_done, .. } => *chunks_done,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(told, [10, 35]);
    }

    #[test]
    fn a_long_wait_is_a_stall_until_it_is_over() {
        let progress = JobProgress::default();
        let waiting = progress.waits("committing at sink", "a");
        let other = progress.waits("reading from source", "b");
        look("job", &progress, Duration::from_secs(3600));
        assert_eq!(progress.stalled(), None);
        look("job", &progress, Duration::ZERO);
        assert_eq!(progress.stalled().as_deref(), Some("committing at sink a"));
        drop(waiting);
        look("job", &progress, Duration::ZERO);
        assert_eq!(progress.stalled().as_deref(), Some("reading from source b"));
        drop(other);
        look("job", &progress, Duration::ZERO);
        assert_eq!(progress.stalled(), None);
    }
}

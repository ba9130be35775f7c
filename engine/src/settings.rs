//! What a job may be told about its own running, and how it is told to stop.

use std::time::Duration;

use tokio::sync::watch;

use crate::limit::ReadLimit;

/// Limits and intervals of one job. Every one has a default that suits an always-on job.
#[derive(Clone, Debug)]
pub struct Settings {
    /// From one checkpoint's trigger to the next.
    pub checkpoint_interval: Duration,
    /// At least this long between the end of a checkpoint and the next trigger.
    pub checkpoint_min_pause: Duration,
    /// A checkpoint that takes longer is warned about; it never ends the job.
    pub checkpoint_warn_after: Duration,
    /// How often a checkpoint is taken when the position moved but no row did, so that a quiet
    /// table pins no old log. A job whose target is the source server would otherwise feed itself.
    pub quiet_checkpoint_interval: Duration,
    /// Bytes of batches that may wait in front of one sink.
    pub queue_bytes_max: usize,
    /// Rows held back in a writer are passed on after this long without new ones.
    pub flush_after_idle: Duration,
    /// How much may be read in a second; may be changed while the job runs.
    pub read_limit: ReadLimit,
    /// A call to a server that takes longer is told of as a stall.
    pub stall_after: Duration,
    /// Changes that arrive later than this after their commit are told of; `None`: never.
    pub lag_over: Option<Duration>,
    /// A replication slot that holds back more bytes of its server's log is told of; `None`: never.
    pub slot_retention_over: Option<u64>,
    /// First wait after a transient failure; doubles each time.
    pub retry_initial: Duration,
    /// Longest wait between two attempts.
    pub retry_longest: Duration,
    /// Attempts without a completed checkpoint in between before the job gives up.
    pub retry_budget: u32,
    /// Sealed bytes of the spool past which the source waits for the sinks that are behind.
    pub spool_bytes_max: u64,
    /// Checkpoints kept in the store behind the newest committed one.
    pub checkpoints_kept: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            checkpoint_interval: Duration::from_secs(1),
            checkpoint_min_pause: Duration::ZERO,
            checkpoint_warn_after: Duration::from_secs(30),
            quiet_checkpoint_interval: Duration::from_secs(30),
            queue_bytes_max: 32 << 20,
            flush_after_idle: Duration::from_millis(100),
            read_limit: ReadLimit::default(),
            retry_initial: Duration::from_millis(500),
            stall_after: Duration::from_secs(20),
            lag_over: None,
            slot_retention_over: None,
            // A job is to go on within 10 s when what it waits for is there again.
            retry_longest: Duration::from_secs(5),
            retry_budget: 10_000,
            spool_bytes_max: 16 << 30,
            checkpoints_kept: 3,
        }
    }
}

/// The receiving side of a request to stop.
#[derive(Clone, Debug)]
pub struct StopSignal(watch::Receiver<bool>);

/// A way to ask a job to stop: send `true`. Dropping the sender asks, too.
pub fn stop_channel() -> (watch::Sender<bool>, StopSignal) {
    let (sender, receiver) = watch::channel(false);
    (sender, StopSignal(receiver))
}

impl StopSignal {
    /// Whether stopping was asked for.
    pub fn is_set(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until stopping is asked for.
    pub async fn wait(&mut self) {
        // An error means that nobody is left to ask: the same as being asked.
        let _ = self.0.wait_for(|asked| *asked).await;
    }
}

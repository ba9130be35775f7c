//! Repeats attempts: one way to recover from everything that passes by waiting.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use culvert_api::{ErrorClass, JobProgress, Phase, Result, Spool, StateStore};
use tracing::{info, warn};

use crate::graph::JobGraph;
use crate::pipeline::{self, Attempt, Ended};
use crate::settings::{Settings, StopSignal};
use crate::watchdog::Watchdog;

/// Everything a job needs to run.
pub struct Job {
    /// Its name; part of every commit marker.
    pub name: String,
    /// What it does.
    pub graph: JobGraph,
    /// Its state.
    pub store: Arc<dyn StateStore>,
    /// What its sinks do not all hold; where [`crate::needs_spool`] says so.
    pub spool: Option<Arc<dyn Spool>>,
    /// Its limits.
    pub settings: Settings,
    /// Its figures.
    pub progress: Arc<JobProgress>,
}

/// Runs a job until it is stopped, has finished, or needs a person.
///
/// A transient failure tears the attempt down and starts the next one from the markers, after a
/// wait that doubles up to a limit. The budget of attempts refills with every completed
/// checkpoint. While waiting, a stop takes effect at once.
pub async fn run(job: &Job, mut stop: StopSignal) -> Result<Ended> {
    let (source, branches) = job.graph.branches()?;
    let attempt = Attempt {
        job: &job.name,
        writer: 0,
        source: &source,
        branches: &branches,
        store: &job.store,
        spool: job.spool.as_ref(),
        settings: &job.settings,
        progress: &job.progress,
    };
    let _watchdog = Watchdog::start(&job.name, &job.progress, job.settings.stall_after);
    let mut failures = 0u32;
    let mut checkpoints_seen = 0;
    loop {
        let error = match pipeline::run(&attempt, &stop).await {
            Ok(ended) => return Ok(ended),
            Err(error) => error,
        };
        let checkpoints = job.progress.checkpoints.load(Relaxed);
        if checkpoints > checkpoints_seen {
            checkpoints_seen = checkpoints;
            failures = 0;
        }
        failures += 1;
        if error.class() != ErrorClass::Transient || failures > job.settings.retry_budget {
            return Err(error);
        }
        if stop.is_set() {
            warn!(job = job.name, "{error}; stopping as asked, the restart point is the last checkpoint");
            return Ok(Ended::Stopped);
        }
        let wait = back_off(&job.settings, failures);
        job.progress.set_phase(Phase::Waiting);
        job.progress.restarts.fetch_add(1, Relaxed);
        warn!(job = job.name, attempt = failures, "{error}; next attempt in {:.1} s", wait.as_secs_f64());
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.wait() => {
                info!(job = job.name, "stopped while waiting; the restart point is the last checkpoint");
                return Ok(Ended::Stopped);
            }
        }
    }
}

pub(crate) fn back_off(settings: &Settings, failures: u32) -> Duration {
    let factor = 1u32 << failures.saturating_sub(1).min(16);
    settings.retry_initial.saturating_mul(factor).min(settings.retry_longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit() {
        let settings = Settings::default();
        let waits: Vec<u128> = (1..=8).map(|n| back_off(&settings, n).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 5000, 5000, 5000, 5000]);
        assert_eq!(back_off(&settings, u32::MAX), settings.retry_longest);
    }
}

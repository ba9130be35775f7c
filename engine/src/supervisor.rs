//! Repeats attempts: one way to recover from everything that passes by waiting.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use culvert_api::{Error, ErrorClass, ErrorKind, JobProgress, Phase, Result, Spool, StateStore};
use tracing::{info, warn};

use crate::graph::JobGraph;
use crate::group;
use crate::pipeline::{self, Attempt, Ended};
use crate::settings::{Settings, StopSignal};
use crate::watchdog::Watchdog;

/// Everything a job needs to run.
pub struct Job {
    /// Its name; part of every commit marker.
    pub name: String,
    /// What it does.
    pub graph: JobGraph,
    /// Its state. `None` where a group shares the work: each share brings its own.
    pub store: Option<Arc<dyn StateStore>>,
    /// What its sinks do not all hold; where [`crate::needs_spool`] says so.
    pub spool: Option<Arc<dyn Spool>>,
    /// Its limits.
    pub settings: Settings,
    /// Its figures.
    pub progress: Arc<JobProgress>,
}

/// Runs a job until it is stopped, has finished, or needs a person.
pub async fn run(job: &Job, stop: StopSignal) -> Result<Ended> {
    let (source, branches) = job.graph.branches()?;
    let _watchdog = Watchdog::start(&job.name, &job.progress, &job.settings);
    if let Some(group) = source.group() {
        group::fit(source.as_ref(), &branches)?;
        return group::run(job, group.as_ref(), &branches, stop).await;
    }
    let Some(store) = &job.store else {
        return Err(Error::new(ErrorKind::Internal, "a job without a state store"));
    };
    let attempt = Attempt {
        job: &job.name,
        writer: 0,
        source: &source,
        branches: &branches,
        store,
        spool: job.spool.as_ref(),
        settings: &job.settings,
        progress: &job.progress,
    };
    let mut tries = Tries::new(&job.name, &job.settings, &job.progress);
    loop {
        match pipeline::run(&attempt, &stop).await {
            Ok(ended) => return Ok(ended),
            Err(error) => {
                if !tries.another_after(error, &stop).await? {
                    return Ok(Ended::Stopped);
                }
            }
        }
    }
}

/// How often something is tried again that fails by what passes.
///
/// A transient failure tears the attempt down and starts the next one from the markers, after a
/// wait that doubles up to a limit. The budget of attempts refills with every completed
/// checkpoint. While waiting, a stop takes effect at once.
pub(crate) struct Tries<'a> {
    name: &'a str,
    settings: &'a Settings,
    progress: &'a JobProgress,
    failures: u32,
    checkpoints_seen: u64,
}

impl<'a> Tries<'a> {
    pub(crate) fn new(name: &'a str, settings: &'a Settings, progress: &'a JobProgress) -> Tries<'a> {
        let checkpoints_seen = progress.checkpoints.load(Relaxed);
        Tries { name, settings, progress, failures: 0, checkpoints_seen }
    }

    /// Waits for the time of the next attempt; `false` when stopping was asked for instead. The error comes
    /// back when waiting does not help.
    pub(crate) async fn another_after(&mut self, error: Error, stop: &StopSignal) -> Result<bool> {
        let checkpoints = self.progress.checkpoints.load(Relaxed);
        if checkpoints > self.checkpoints_seen {
            self.checkpoints_seen = checkpoints;
            self.failures = 0;
        }
        self.failures += 1;
        if error.class() != ErrorClass::Transient || self.failures > self.settings.retry_budget {
            return Err(error);
        }
        let (name, failures) = (self.name, self.failures);
        if stop.is_set() {
            warn!(job = name, "{error}; stopping as asked, the restart point is the last checkpoint");
            return Ok(false);
        }
        let wait = back_off(self.settings, failures);
        self.progress.set_phase(Phase::Waiting);
        self.progress.restarts.fetch_add(1, Relaxed);
        self.progress.set_degraded(Some(format!("attempt {failures} failed: {error}")));
        warn!(job = name, attempt = failures, "{error}; next attempt in {:.1} s", wait.as_secs_f64());
        let on = pause(wait, stop).await;
        if !on {
            info!(job = name, "stopped while waiting; the restart point is the last checkpoint");
        }
        Ok(on)
    }
}

/// Waits; `false` when stopping was asked for meanwhile.
pub(crate) async fn pause(wait: Duration, stop: &StopSignal) -> bool {
    let mut stop = stop.clone();
    tokio::select! {
        () = tokio::time::sleep(wait) => true,
        () = stop.wait() => false,
    }
}

pub(crate) fn back_off(settings: &Settings, failures: u32) -> Duration {
    let factor = 1u32 << failures.saturating_sub(1).min(16);
    settings.retry_initial.saturating_mul(factor).min(settings.retry_longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_completed_checkpoint_refills_the_budget() {
        let settings = Settings { retry_budget: 2, ..Settings::default() };
        let progress = JobProgress::default();
        let (_stop, signal) = crate::settings::stop_channel();
        let mut tries = Tries::new("job", &settings, &progress);
        let lost = || Error::new(ErrorKind::Connection, "lost");
        for _ in 0..3 {
            assert!(tries.another_after(lost(), &signal).await.is_ok());
            assert!(tries.another_after(lost(), &signal).await.is_ok());
            progress.checkpoints.fetch_add(1, Relaxed);
        }
        assert!(tries.another_after(lost(), &signal).await.is_ok());
        assert!(tries.another_after(lost(), &signal).await.is_ok());
        assert!(tries.another_after(lost(), &signal).await.is_err());
    }

    #[test]
    fn waits_double_up_to_the_limit() {
        let settings = Settings::default();
        let waits: Vec<u128> = (1..=8).map(|n| back_off(&settings, n).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 5000, 5000, 5000, 5000]);
        assert_eq!(back_off(&settings, u32::MAX), settings.retry_longest);
    }
}

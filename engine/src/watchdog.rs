//! Says so when a job waits for a server for too long: RUNNING has to mean that data moves.
//!
//! It looks at the calls that wait for somebody outside ([`JobProgress::waits`]). A source that has nothing
//! to say is no such call: its reader returns after a short linger, and a server that has gone silent is the
//! source's to notice, by its heartbeats.

use std::sync::Arc;
use std::time::Duration;

use culvert_api::JobProgress;
use tokio::task::JoinHandle;
use tracing::{info, warn};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches one job until it is dropped.
pub(crate) struct Watchdog(JoinHandle<()>);

impl Watchdog {
    pub(crate) fn start(job: &str, progress: &Arc<JobProgress>, stall_after: Duration) -> Watchdog {
        let (job, progress) = (job.to_owned(), Arc::clone(progress));
        Watchdog(tokio::spawn(async move {
            let mut looks = tokio::time::interval(LOOK_EVERY.min(stall_after / 2));
            loop {
                looks.tick().await;
                look(&job, &progress, stall_after);
            }
        }))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.abort();
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
    use super::*;

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

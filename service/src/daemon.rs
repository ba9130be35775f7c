//! `culvert serve`: many jobs in one process, always on.
//!
//! [`jobs`] keeps, starts and stops them, [`running`] is one of them at work, [`folder`] takes them from a
//! folder of job files, [`log`] gives each its own log, [`settings`] is the service's own file.

mod folder;
pub(crate) mod jobs;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod model;
mod record;
mod running;
mod settings;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use culvert_config::{Problem, Report};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::arguments::ServeOptions;
use crate::events::config::{self, Listener};
use crate::http;
use crate::terminal::{complain, complains_in_colour};
use folder::JobsFolder;

use jobs::Jobs;

pub(crate) use settings::SERVICE_OPTIONS;

/// How long others may hold the list of jobs at the end.
const LET_GO_WITHIN: Duration = Duration::from_millis(500);
/// How long requests under way may take at the end.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// The listeners that the service's file names.
pub(crate) fn listeners_of_service(file: &Path) -> Result<Vec<Listener>, Vec<Problem>> {
    settings::read(Some(file), None).map(|(_, listeners)| listeners)
}

/// Serves until it is told to end; the exit code.
pub(crate) async fn serve(options: ServeOptions) -> u8 {
    let read = settings::read(options.config.as_deref(), options.data)
        .and_then(|read| Ok((read, config::defined(&options.properties)?)));
    let ((settings, listeners), defined) = match read {
        Ok(read) => read,
        Err(problems) => {
            tell(&problems);
            return 2;
        }
    };
    let signals = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            complain(&format!("error: signals cannot be received: {error}"));
            return 2;
        }
    };
    let opening = settings.clone();
    let opened = tokio::task::spawn_blocking(move || Jobs::open(opening)).await;
    let jobs = match opened {
        Ok(Ok(jobs)) => jobs,
        Ok(Err(error)) => {
            complain(&format!("error: {error}"));
            return 2;
        }
        Err(error) => {
            complain(&format!("error: the service could not be opened: {error}"));
            return 2;
        }
    };
    let (stop, stopped) = tokio::sync::watch::channel(false);
    // The address is taken first, so that one that is taken already starts no job.
    let prepared = match settings.http.enabled {
        true => http::prepare(settings.http.clone(), jobs.data()).await.map(Some),
        false => Ok(None),
    };
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            complain(&format!("error: {error}"));
            close(jobs).await;
            return 2;
        }
    };
    jobs.events().start(None, config::with_defined(listeners, defined));
    jobs.start_all().await;
    let serving = match prepared.map(|prepared| prepared.serve(Arc::clone(&jobs), stopped)) {
        Some(Err(error)) => {
            complain(&format!("error: {error}"));
            close(jobs).await;
            return 2;
        }
        serving => serving.and_then(Result::ok),
    };
    let watching = settings.jobs_folder.clone().map(|path| {
        let folder = JobsFolder::new(path, Arc::clone(&jobs));
        tokio::spawn(folder.watch(settings.jobs_folder_interval))
    });
    tracing::info!(data = %settings.data.display(), "the service is ready");
    notify(NotifyState::Ready);
    wait_for_the_end(&jobs, signals).await;
    notify(NotifyState::Stopping);
    tracing::info!("the service ends: jobs finish their checkpoints");
    if let Some(watching) = watching {
        watching.abort();
        // Being cancelled is its normal end.
        let _ = watching.await;
    }
    // What is asked from now on would be lost.
    let _ = stop.send(true);
    if let Some(mut serving) = serving
        && tokio::time::timeout(LAST_ANSWERS, &mut serving).await.is_err()
    {
        serving.abort();
        let _ = serving.await;
    }
    close(jobs).await;
    0
}

/// Ends the jobs, writes what is to be told of them, and closes every database.
async fn close(jobs: Arc<Jobs>) {
    jobs.close().await;
    jobs.events().close().await;
    let_go(jobs).await;
}

/// Closes the registry here: a database that another thread closes while the process ends can take it down.
async fn let_go(jobs: Arc<Jobs>) {
    let begun = Instant::now();
    // Whoever took in the end of a job, or answered last, has a hold of it for a moment longer.
    while Arc::strong_count(&jobs) > 1 && begun.elapsed() < LET_GO_WITHIN {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // An error means that closing panicked; nothing is left to be done about it.
    let _ = tokio::task::spawn_blocking(move || drop(jobs)).await;
}

/// Waits for a signal, and tells systemd's watchdog that the service lives as long as it can look at its jobs.
async fn wait_for_the_end(jobs: &Arc<Jobs>, (mut terminate, mut interrupt): (Signal, Signal)) {
    let watched = sd_notify::watchdog_enabled().map(|limit| limit / 3);
    let mut looks = tokio::time::interval(watched.unwrap_or(Duration::from_secs(3600)));
    loop {
        tokio::select! {
            _ = terminate.recv() => return,
            _ = interrupt.recv() => return,
            _ = looks.tick() => {
                let shown = Arc::clone(jobs);
                let looked = tokio::task::spawn_blocking(move || shown.list().len()).await;
                if watched.is_some() && looked.is_ok() {
                    notify(NotifyState::Watchdog);
                }
            }
        }
    }
}

/// Tells systemd, where it listens.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("systemd could not be told: {error}");
    }
}

fn tell(problems: &[Problem]) {
    let mut report = Report::default();
    problems.iter().for_each(|problem| report.add(problem));
    complain(&report.findings_text(complains_in_colour()));
}

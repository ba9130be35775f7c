//! One job at work, on threads of its own.
//!
//! A job has a runtime of its own: one that computes, waits or panics takes no time from the others, and
//! when it is given up its tasks end with it. What it may hold in memory is bounded by its own queues.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use culvert_api::{Error, ErrorKind, JobProgress};
use culvert_engine::{Ended, Job, JobGraph, ReadLimit, Settings, stop_channel};
use tokio::sync::watch;

use crate::daemon::log::{self, JobLog};
use crate::daemon::model::JobId;
use crate::events::Told;
use crate::state;

/// Threads of one job that wait for the network and compute; more wait for the disk.
const THREADS: usize = 2;
/// Threads of one job that may wait at one time: for the disk, and for names of hosts to be resolved while a writer of every
/// share waits for the answers of a bucket. They come when they are needed.
const BLOCKING_THREADS_MAX: usize = 16 + culvert_engine::SHARES_MAX;
/// How long a job that has ended may take to let go of its files.
const LET_GO: Duration = Duration::from_secs(5);

/// How a job ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// Its sources have ended.
    Finished,
    /// It was asked to, behind a checkpoint.
    Stopped,
    /// It was given up before it had finished its checkpoint: the restart point is the one before.
    GivenUp,
    /// It cannot go on.
    Failed(Arc<Error>),
}

/// What a job begins with.
pub(crate) struct Start {
    pub(crate) id: JobId,
    pub(crate) name: String,
    pub(crate) graph: JobGraph,
    pub(crate) settings: Settings,
    /// Where its state lies.
    pub(crate) folder: PathBuf,
    /// Forget the state and the markers first.
    pub(crate) fresh: bool,
    pub(crate) log: Arc<JobLog>,
    /// Who hears what happens in it.
    pub(crate) told: Arc<Told>,
}

/// The nodes of a job, for as long as it is at work: connectors hold files and connections.
struct Shown(Mutex<Option<JobGraph>>);

impl Shown {
    fn nodes(&self) -> MutexGuard<'_, Option<JobGraph>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self) {
        let nodes = self.nodes().take();
        drop(nodes);
    }
}

/// A job at work.
pub(crate) struct Running {
    pub(crate) progress: Arc<JobProgress>,
    pub(crate) read_limit: ReadLimit,
    graph: Arc<Shown>,
    stop: watch::Sender<bool>,
    give_up: watch::Sender<bool>,
    ended: watch::Receiver<Option<Outcome>>,
}

impl Running {
    /// Starts a job. Whatever becomes of it is told by [`Running::ended`].
    pub(crate) fn start(start: Start) -> Running {
        let progress = Arc::new(JobProgress::default());
        progress.set_listener(start.told.clone());
        let read_limit = start.settings.read_limit.clone();
        let graph = Arc::new(Shown(Mutex::new(Some(start.graph.clone()))));
        let (stop, stop_signal) = stop_channel();
        let (give_up, mut given_up) = watch::channel(false);
        let (told, ended) = watch::channel(None);
        let (id, shared, shown) = (start.id, Arc::clone(&progress), Arc::clone(&graph));
        let work = move || {
            let nodes = Arc::clone(&shown);
            let outcome = on_own_threads(start, shared, |job| async move {
                let outcome = tokio::select! {
                    ended = culvert_engine::run(&job, stop_signal) => match ended {
                        Ok(Ended::Finished) => Outcome::Finished,
                        Ok(Ended::Stopped) => Outcome::Stopped,
                        Err(error) => Outcome::Failed(Arc::new(error)),
                    },
                    // An error means that nobody is left who could ask.
                    _ = given_up.wait_for(|asked| *asked) => Outcome::GivenUp,
                };
                nodes.forget();
                outcome
            });
            // A job that panicked did not come to it.
            shown.forget();
            // Nobody listens any more when the service ends.
            let _ = told.send(Some(outcome));
        };
        if let Err(error) = std::thread::Builder::new().name(format!("job-{id}")).spawn(work) {
            tracing::error!(job = %id, "no thread could be started for the job: {error}");
        }
        Running { progress, read_limit, graph, stop, give_up, ended }
    }

    /// The job's nodes, for whoever wants to know what passes between them; `None` when it has ended.
    pub(crate) fn graph(&self) -> Option<JobGraph> {
        self.graph.nodes().clone()
    }

    /// Asks the job to finish its checkpoint and end.
    pub(crate) fn stop(&self) {
        // It may have ended already.
        let _ = self.stop.send(true);
    }

    /// Ends the job as a crash would: the restart point is its last checkpoint.
    pub(crate) fn give_up(&self) {
        let _ = self.give_up.send(true);
    }

    /// Waits for the end, in a future that holds nothing of this.
    pub(crate) fn ended(&self) -> impl Future<Output = Outcome> + use<> {
        let mut ended = self.ended.clone();
        async move {
            let outcome = match ended.wait_for(Option::is_some).await {
                Ok(outcome) => outcome.clone(),
                Err(_) => None,
            };
            outcome.unwrap_or_else(|| {
                Outcome::Failed(Arc::new(Error::new(
                    ErrorKind::Internal,
                    "the job's thread ended without a word",
                )))
            })
        }
    }
}

/// Makes the threads, opens the state, runs, and waits until everything is let go.
fn on_own_threads<F: Future<Output = Outcome>>(
    start: Start,
    progress: Arc<JobProgress>,
    run: impl FnOnce(Job) -> F,
) -> Outcome {
    log::enter(&start.log);
    let logs = Arc::clone(&start.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name(format!("job-{}", start.id))
        .on_thread_start(move || log::enter(&logs))
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = Error::new(ErrorKind::Unavailable, "no threads for the job").caused_by(error);
            return Outcome::Failed(Arc::new(error));
        }
    };
    let worked = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let opened = state::open(&start.graph, &start.name, Some(start.folder), start.fresh).await;
            let (store, spool) = match opened {
                Ok(opened) => opened,
                Err(error) => return Outcome::Failed(Arc::new(error)),
            };
            let (name, graph, settings) = (start.name, start.graph, start.settings);
            run(Job { name, graph, store, spool, settings, progress }).await
        })
    }));
    // The next start of this job opens the same files.
    runtime.shutdown_timeout(LET_GO);
    worked.unwrap_or_else(|_| {
        Outcome::Failed(Arc::new(Error::new(ErrorKind::Internal, "the job panicked; its log says where")))
    })
}

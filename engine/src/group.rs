//! Work that several processes share: an attempt for every share that the group gives this process.
//!
//! A share is restored, read and committed like a job of its own. Taking one over needs no word with whoever
//! had it: the new epoch in its marker makes the old one's next commit fail. So a share that fails as
//! [`ErrorKind::Fenced`] is nothing to be alarmed about; the group says soon that it is somebody else's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use culvert_api::{Error, ErrorKind, Group, Hold, JobProgress, Phase, Result, Share, Source, Turn};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tracing::{Instrument, info, info_span, warn};

use crate::graph::{Branch, needs_spool};
use crate::pipeline::{self, Attempt, Ended};
use crate::settings::{Settings, StopSignal, stop_channel};
use crate::supervisor::{Job, Tries, pause};

/// Shares that one process works on; each has connections of its own.
pub const SHARES_MAX: usize = 128;
/// Bytes of batches that may wait in front of the sink of one share.
const SHARE_QUEUE_BYTES_MAX: usize = 4 << 20;
/// How long a fenced share waits for the group to say whose it is.
const FENCED_PAUSE: Duration = Duration::from_secs(10);
/// How often a share may be fenced while the group says that it is ours.
const FENCES_MAX: u32 = 3;

/// Runs the job as a member of its group, until it is stopped or needs a person.
pub(crate) async fn run(
    job: &Job,
    group: &dyn Group,
    branches: &[Branch],
    stop: StopSignal,
) -> Result<Ended> {
    let settings = Settings {
        queue_bytes_max: job.settings.queue_bytes_max.min(SHARE_QUEUE_BYTES_MAX),
        ..job.settings.clone()
    };
    let work = Arc::new(Work {
        job: job.name.clone(),
        branches: branches.to_vec(),
        settings,
        progress: Arc::clone(&job.progress),
    });
    let mut tries = Tries::new(&job.name, &job.settings, &job.progress);
    loop {
        match membership(&work, group, &stop).await {
            Ok(ended) => return Ok(ended),
            Err(error) => {
                if !tries.another_after(error, &stop).await? {
                    return Ok(Ended::Stopped);
                }
            }
        }
    }
}

/// Refuses what cannot stand behind a source whose work is shared.
pub fn fit(source: &dyn Source, branches: &[Branch]) -> Result<()> {
    if source.group().is_none() {
        return Ok(());
    }
    if needs_spool(branches) {
        let message = "several sinks that can stand apart, behind a source whose work is shared";
        return Err(Error::new(ErrorKind::Unsupported, format!("{message}, are not supported"))
            .hint("what lies between them would have to be on the disk of every process: use a job per sink, each with a group of its own"));
    }
    for branch in branches {
        branch.sink.shareable().map_err(|error| error.context("sink", &branch.name))?;
    }
    Ok(())
}

/// What every share works with.
struct Work {
    job: String,
    branches: Vec<Branch>,
    settings: Settings,
    progress: Arc<JobProgress>,
}

impl Work {
    async fn on(&self, share: &Share, stop: &StopSignal) -> Result<Ended> {
        let attempt = Attempt {
            job: &self.job,
            writer: share.writer,
            source: &share.source,
            branches: &self.branches,
            store: &share.store,
            spool: None,
            settings: &self.settings,
            progress: &self.progress,
        };
        let mut tries = Tries::new(&self.job, &self.settings, &self.progress);
        loop {
            match pipeline::run(&attempt, stop).await {
                Ok(ended) => return Ok(ended),
                Err(error) => {
                    if !tries.another_after(error, stop).await? {
                        return Ok(Ended::Stopped);
                    }
                }
            }
        }
    }
}

/// From joining to leaving.
async fn membership(work: &Arc<Work>, group: &dyn Group, stop: &StopSignal) -> Result<Ended> {
    work.progress.set_phase(Phase::Starting);
    let mut member = group.join(&work.job, &work.progress).await?;
    let mut shares = Shares { work: Arc::clone(work), running: BTreeMap::new(), tasks: JoinSet::new() };
    let mut asked = stop.clone();
    let result = loop {
        let next = tokio::select! {
            () = asked.wait() => break Ok(Ended::Stopped),
            turn = member.next() => turn.and_then(|turn| shares.turn(turn)),
            Some(ended) = shares.tasks.join_next(), if !shares.tasks.is_empty() => shares.ended(ended),
        };
        if let Err(error) = next {
            break Err(error);
        }
    };
    work.progress.set_phase(Phase::Stopping);
    shares.finish().await;
    member.leave().await;
    result
}

/// The shares of this process.
struct Shares {
    work: Arc<Work>,
    running: BTreeMap<u32, Running>,
    tasks: JoinSet<(u32, Result<Ended>)>,
}

/// A share at work.
struct Running {
    share: Share,
    stop: watch::Sender<bool>,
    /// It was taken away, and is held until it has ended.
    hold: Option<Hold>,
    /// It was given again before it had ended.
    again: Option<Share>,
    fences: u32,
}

impl Shares {
    fn turn(&mut self, turn: Turn) -> Result<()> {
        match turn {
            Turn::Given(shares) => {
                for share in shares {
                    match self.running.get_mut(&share.writer) {
                        Some(running) => running.again = Some(share),
                        None => self.begin(share, 0)?,
                    }
                }
            }
            Turn::Taken(writers, hold) => {
                for writer in writers {
                    let Some(running) = self.running.get_mut(&writer) else { continue };
                    running.again = None;
                    running.hold = Some(hold.clone());
                    // A share that has ended takes no word any more.
                    let _ = running.stop.send(true);
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, share: Share, fences: u32) -> Result<()> {
        if self.running.len() >= SHARES_MAX {
            let message =
                format!("more than {SHARES_MAX} shares fell to this process, {} among them", share.name);
            return Err(
                Error::new(ErrorKind::Unsupported, message).hint("start the job on more machines at once")
            );
        }
        let (stop, signal) = stop_channel();
        let (work, writer, taken) = (Arc::clone(&self.work), share.writer, share.clone());
        let span = info_span!("share", name = share.name);
        let task = async move {
            if fences > 0 && !pause(FENCED_PAUSE, &signal).await {
                return (writer, Ok(Ended::Stopped));
            }
            (writer, work.on(&taken, &signal).await)
        };
        self.tasks.spawn(task.instrument(span));
        self.running.insert(share.writer, Running { share, stop, hold: None, again: None, fences });
        Ok(())
    }

    /// One has ended. An error is the process's: the others end, too.
    fn ended(&mut self, ended: Result<(u32, Result<Ended>), JoinError>) -> Result<()> {
        let (writer, result) = ended.map_err(|panic| {
            Error::new(ErrorKind::Internal, "the task of a share panicked").caused_by(panic)
        })?;
        let Some(running) = self.running.remove(&writer) else { return Ok(()) };
        let was_asked = *running.stop.borrow();
        let Running { share, hold, again, fences, .. } = running;
        match result {
            Ok(_) => info!(share = share.name, "its last checkpoint is made"),
            Err(error) if was_asked => {
                warn!(share = share.name, "{error}; whoever has it next goes on from its last checkpoint");
            }
            Err(error) if error.kind() == ErrorKind::Fenced && fences < FENCES_MAX => {
                warn!(share = share.name, "{error}; waiting for the group to say whose it is");
                drop(hold);
                return self.begin(again.unwrap_or(share), fences + 1);
            }
            Err(error) => return Err(error.context("share", share.name)),
        }
        drop(hold);
        again.map_or(Ok(()), |share| self.begin(share, 0))
    }

    /// A last checkpoint for everyone.
    async fn finish(&mut self) {
        for running in self.running.values_mut() {
            running.again = None;
            let _ = running.stop.send(true);
        }
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok((_, Ok(_))) => {}
                Ok((writer, Err(error))) => {
                    let name = self.running.get(&writer).map_or("", |running| running.share.name.as_str());
                    warn!(share = name, "{error}; whoever has it next goes on from its last checkpoint");
                }
                Err(panic) => warn!("the task of a share panicked: {panic}"),
            }
        }
        self.running.clear();
    }
}

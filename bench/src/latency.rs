//! End to end: from the commit at the source until another connection sees the row in the target.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use culvert_api::Phase;
use culvert_engine::stop_channel;
use culvert_tests::scratch;

use crate::job;
use crate::spread::Spread;

/// Time between two checkpoints: a row is visible when the one after it is committed.
pub(crate) const CHECKPOINT: Duration = Duration::from_millis(100);
/// Rows that are measured.
const ROWS: u64 = 200;
/// Rows before them.
const WARM_UP: u64 = 10;
/// Ids that the backlog does not have.
pub(crate) const FIRST_ID: u64 = 1 << 40;
/// The longest a row may take, and the longest for anything to begin or end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks at the target.
const POLL: Duration = Duration::from_micros(500);

/// How often a job here makes a checkpoint, for people.
pub(crate) fn checkpoints() -> String {
    format!("checkpoints every {} ms", CHECKPOINT.as_millis())
}

/// Both ends of the way.
pub(crate) trait Ends {
    /// Commits the row of this id at the source.
    async fn commit(&mut self, id: u64) -> Result<()>;
    /// Whether the target has it.
    async fn is_visible(&mut self, id: u64) -> Result<bool>;
}

/// Runs the job of this text meanwhile, which reads from now on.
pub(crate) async fn of_job(text: &str, ends: &mut impl Ends) -> Result<Spread> {
    while_running(text, async || trickle(ends).await).await
}

/// Does something while the job of this text runs, which reads from now on.
pub(crate) async fn while_running<T>(text: &str, body: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
    let folder = scratch::folder("l");
    let job = job::build(text, &folder, None)?;
    let progress = job.progress.clone();
    let (stop, signal) = stop_channel();
    let runtime = tokio::runtime::Handle::current();
    // On a thread of its own, as in the program, where nothing else happens on the job's task.
    let running = std::thread::spawn(move || runtime.block_on(culvert_engine::run(&job, signal)));
    let begun = Instant::now();
    while progress.phase() != Phase::Stream && !running.is_finished() {
        ensure!(begun.elapsed() < PATIENCE, "the job does not come to stream");
        tokio::time::sleep(POLL).await;
    }
    let done = if running.is_finished() { None } else { Some(body().await?) };
    // A job that has ended does not listen.
    let _ = stop.send(true);
    running.join().map_err(|_| anyhow!("the job panicked"))??;
    std::fs::remove_dir_all(&folder)?;
    done.context("the job has ended early")
}

/// Commits one row after the other and waits for each.
pub(crate) async fn trickle(ends: &mut impl Ends) -> Result<Spread> {
    let mut times = Vec::new();
    for row in 0..WARM_UP + ROWS {
        // So that rows meet the checkpoints at any moment, and not always the same one.
        tokio::time::sleep(Duration::from_millis(row * 37 % 100)).await;
        let id = FIRST_ID + row;
        ends.commit(id).await?;
        let committed = Instant::now();
        while !ends.is_visible(id).await? {
            if committed.elapsed() > PATIENCE {
                bail!("a row was not in the target after {PATIENCE:?}");
            }
            tokio::time::sleep(POLL).await;
        }
        if row >= WARM_UP {
            times.push(committed.elapsed());
        }
    }
    Ok(Spread::of(times))
}

//! End to end: from the commit at the source until another connection sees the row in the target.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use culvert_api::Phase;
use culvert_engine::stop_channel;
use culvert_tests::{Server, scratch};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::backlog::{DATABASE, TABLE};
use crate::job::{self, Mode, TARGET_DATABASE};
use crate::spread::Spread;

/// Time between two checkpoints: a row is visible when the one after it is committed.
pub(crate) const CHECKPOINT: Duration = Duration::from_millis(100);
/// Rows that are measured.
const ROWS: u64 = 200;
/// Rows before them.
const WARM_UP: u64 = 10;
/// Ids that the backlog does not have.
const FIRST_ID: u64 = 1 << 40;
/// The longest a row may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks at the target.
const POLL: Duration = Duration::from_micros(500);

/// Commits one row after the other and waits for each.
pub(crate) async fn run(source: &Server, target: &Server) -> Result<Spread> {
    let mut to = target.conn().await;
    to.query_drop(format!("DROP DATABASE IF EXISTS {TARGET_DATABASE}")).await?;
    to.query_drop(format!("CREATE DATABASE {TARGET_DATABASE}")).await?;
    let folder = scratch::folder("l");
    let job = job::build(&job::text(source, target, Mode::Latest, CHECKPOINT), &folder, None)?;
    let progress = job.progress.clone();
    let (stop, signal) = stop_channel();
    let runtime = tokio::runtime::Handle::current();
    // On a thread of its own, as in the program, where nothing else happens on the job's task.
    let running = std::thread::spawn(move || runtime.block_on(culvert_engine::run(&job, signal)));
    let begun = Instant::now();
    while progress.phase() != Phase::Stream {
        ensure!(!running.is_finished() && begun.elapsed() < PATIENCE, "the job does not come to stream");
        tokio::time::sleep(POLL).await;
    }
    let mut from = source.conn().await;
    let mut times = Vec::new();
    for row in 0..WARM_UP + ROWS {
        // So that rows meet the checkpoints at any moment, and not always the same one.
        tokio::time::sleep(Duration::from_millis(row * 37 % 100)).await;
        let id = FIRST_ID + row;
        from.query_drop(insert(id)).await?;
        let committed = Instant::now();
        until_visible(&mut to, id, committed).await?;
        if row >= WARM_UP {
            times.push(committed.elapsed());
        }
    }
    stop.send(true).context("the job has ended early")?;
    running.join().map_err(|_| anyhow!("the job panicked"))??;
    from.disconnect().await?;
    to.disconnect().await?;
    Ok(Spread::of(times))
}

async fn until_visible(to: &mut Conn, id: u64, committed: Instant) -> Result<()> {
    let query = format!("SELECT 1 FROM {TARGET_DATABASE}.{TABLE} WHERE id = {id}");
    while committed.elapsed() < PATIENCE {
        if to.query_first::<u8, _>(&query).await?.is_some() {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
    bail!("a row was not in the target after {PATIENCE:?}")
}

fn insert(id: u64) -> String {
    format!(
        "INSERT INTO {DATABASE}.{TABLE} VALUES ({id}, 1, 2.5, '2026-01-02 03:04:05.678901', \
         '2026-01-02 03:04:05.678', '12:34:56', 'trickle', REPEAT('x', 437))"
    )
}

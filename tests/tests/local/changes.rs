//! Changes of a server into files, while the job is killed and tables change their shape.

#![allow(clippy::print_stdout)] // figures of a run, beside its seed

use std::sync::Arc;
use std::time::Duration;

use culvert_tests::{Flavor, random, seed, shared};
use rand::Rng;

use super::LIMIT;
use crate::crash::files;
use crate::crash::judge::Verdict;
use crate::crash::scene::{DDL_EVERY, Scene, Writer};

const ROWS: i64 = 2_000;
const SNAPSHOT_KILLS: u32 = 2;
const KILLS: u32 = 4;

async fn killed(flavor: Flavor, seed: u64) {
    let mut random = random::generator(seed);
    let scene = Scene::new((shared(flavor).await.into(), None, None, None), ROWS, 50).await;
    let mut kill = async |wait: std::ops::Range<u64>| {
        let running = scene.start();
        // The moment is random on purpose; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(random.random_range(wait))).await;
        running.kill();
    };
    for _ in 0..SNAPSHOT_KILLS {
        kill(100..500).await;
    }
    // Something of the first shape is there before it changes.
    let mut running = scene.start();
    scene.caught_up(-1, &mut running).await;
    running.kill();
    let writer = Writer::start(Arc::clone(&scene.source), Some(DDL_EVERY), ROWS, seed);
    for _ in 0..KILLS {
        kill(100..900).await;
    }
    let mut running = scene.start();
    let transactions = writer.stop().await;
    scene.source.run(&["ALTER TABLE m ADD COLUMN last_one INT DEFAULT 9"]).await;
    scene.caught_up(-2, &mut running).await;
    running.terminate(LIMIT).assert_code(0);
    let [history, rows] = scene.judge().await;
    for verdict in [&history, &rows] {
        assert_eq!(Verdict { changes: 0, ..verdict.clone() }, Verdict::default());
    }
    let written = files::rows(scene.files(), "m");
    let (first, last) = (&written[0], &written[written.len() - 1]);
    assert!(first.get("last_one").is_none(), "a file of the first shape has its columns: {first}");
    assert_eq!(last["last_one"], 9, "{last}");
    println!(
        "{flavor:?} to files: {} kills, {transactions} transactions, {} changes, 0 lost, 0 twice",
        SNAPSHOT_KILLS + KILLS,
        history.changes
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_killed_while_tables_change_writes_each_change_once() {
    let seed = seed();
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        killed(flavor, seed).await;
    }
}

//! `kill -9` at random moments of snapshot, hand-over and stream: nothing lost, nothing twice.

use std::time::Duration;

use culvert_tests::{Flavor, Server, random, seed};
use rand::Rng;

use super::LIMIT;
use super::fire::widened;
use super::workload::{Scene, Writers};

/// Kills per server in a normal run; `CULVERT_KILLS` asks for more.
const KILLS: u32 = 10;
/// Rows of the largest table.
const ROWS: u64 = 20_000;

fn kills() -> u32 {
    std::env::var("CULVERT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS)
}

async fn killed_at_random(flavor: Flavor) {
    let seed = seed();
    let mut random = random::generator(seed);
    let server = Server::start(flavor, widened(flavor)).await;
    // Small chunks: many places to be killed at.
    let scene = Scene::new(&server, &server, ROWS, 200, None).await;
    let writers = Writers::start(&server, &scene.source, 2, ROWS, seed).await;
    for _ in 0..kills() {
        let mirror = scene.mirror_job.start();
        let log = scene.log_job.start();
        // The moment is random on purpose; nothing is waited for.
        let pause = Duration::from_millis(random.random_range(50..1500));
        tokio::time::sleep(pause).await;
        mirror.kill();
        log.kill();
    }
    let mirror = scene.mirror_job.start();
    let log = scene.log_job.start();
    let committed = writers.stop().await;
    scene.catch_up(&server, &server, [&mirror, &log]).await;
    mirror.terminate(LIMIT).assert_code(0);
    log.terminate(LIMIT).assert_code(0);
    scene.compare(&server, &server).await;
    println!("{}: {} kills of two jobs, {committed} transactions, 0 lost, 0 twice", flavor.name(), kills());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_on_mariadb() {
    killed_at_random(Flavor::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_on_mysql() {
    killed_at_random(Flavor::MySql).await;
}

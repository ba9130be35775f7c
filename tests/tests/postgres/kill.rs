//! `kill -9` at random moments of snapshot, hand-over and stream: nothing lost, nothing twice.

use std::time::Duration;

use culvert_tests::database::Kind;
use culvert_tests::{Flavor, PgVersion, postgres_shared, random, seed, shared};
use rand::Rng;

use super::scene::Scene;
use super::writers::Writers;

/// Kills per pair in a normal run; `CULVERT_KILLS` asks for more.
const KILLS: u32 = 6;
/// Rows of the largest table.
const ROWS: u64 = 10_000;

fn kills() -> u32 {
    std::env::var("CULVERT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS)
}

async fn killed_at_random<'a>(what: &str, source: impl Into<Kind<'a>>, target: impl Into<Kind<'a>>) {
    let seed = seed();
    let mut random = random::generator(seed);
    // Small chunks: many places to be killed at.
    let scene = Scene::new(source, target, ROWS, 200, None).await;
    let writers = Writers::start(&scene.source, 2, ROWS, seed).await;
    for _ in 0..kills() {
        let jobs = scene.start();
        // The moment is random on purpose; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(random.random_range(50..1500))).await;
        jobs.mirror.kill();
        jobs.log.kill();
    }
    let jobs = scene.start();
    let committed = writers.stop().await;
    scene.ended_well(jobs).await;
    println!("{what}: {} kills of two jobs, {committed} transactions, 0 lost, 0 twice", kills());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_on_postgres_15() {
    let server = postgres_shared(PgVersion::V15).await;
    killed_at_random("postgres15", server, server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_on_postgres_17() {
    let server = postgres_shared(PgVersion::V17).await;
    killed_at_random("postgres17", server, server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_from_mysql_to_postgres() {
    let target = postgres_shared(PgVersion::V17).await;
    killed_at_random("mysql to postgres", shared(Flavor::MySql).await, target).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_from_postgres_to_mariadb() {
    let source = postgres_shared(PgVersion::V17).await;
    killed_at_random("postgres to mariadb", source, shared(Flavor::MariaDb).await).await;
}

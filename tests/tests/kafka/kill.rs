//! `kill -9` at random moments of snapshot, hand-over and stream: nothing lost, nothing twice.

use std::time::Duration;

use culvert_tests::database::Kind;
use culvert_tests::{Flavor, PgVersion, kafka_shared, postgres_shared, random, seed, shared};
use rand::Rng;

use super::scene::Scene;
use crate::postgres::writers::Writers;

/// Kills per source in a normal run; `CULVERT_KILLS` asks for more.
const KILLS: u32 = 10;
/// Rows of the largest table.
const ROWS: u64 = 6_000;

fn kills() -> u32 {
    std::env::var("CULVERT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS)
}

async fn killed_at_random<'a>(what: &str, source: impl Into<Kind<'a>>) {
    let seed = seed();
    let mut random = random::generator(seed);
    let kafka = kafka_shared().await;
    let scene = Scene::new(source, kafka, kafka.bootstrap(), ROWS).await;
    let writers = Writers::start(&scene.source, 2, ROWS, seed).await;
    for kill in 0..kills() {
        let job = scene.job.start();
        // The moment is random on purpose; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(random.random_range(300..2500))).await;
        job.kill();
        // A state folder that is lost is rebuilt from the marker.
        if kill % 4 == 3 {
            let _ = std::fs::remove_dir_all(&scene.job.state);
        }
    }
    let job = scene.job.start();
    let committed = writers.stop().await;
    scene.caught_up(&job).await;
    job.stop();
    let messages = scene.compare().await;
    println!("{what}: {} kills, {committed} transactions, {messages} messages, 0 lost, 0 twice", kills());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_from_mariadb() {
    killed_at_random("mariadb to kafka", shared(Flavor::MariaDb).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_from_postgres_17() {
    killed_at_random("postgres17 to kafka", postgres_shared(PgVersion::V17).await).await;
}

//! `kill -9` between the commits of several sinks, and at random moments: each sink has everything once.

use std::time::Duration;

use culvert_tests::database::Kind;
use culvert_tests::{Flavor, PgVersion, kafka_shared, postgres_shared, random, seed, shared};
use rand::Rng;

use super::scene::Scene;
use crate::postgres::job::LIMIT;
use crate::postgres::writers::Writers;

/// Kills per source in a normal run; `CULVERT_KILLS` asks for more.
const KILLS: u32 = 8;
/// Rows of the largest table.
const ROWS: u64 = 6_000;
/// What a start says that finds them apart.
const APART: &str = "the sinks stand at";
/// Where sinks are apart, or about to be.
const POINTS: [&str; 3] = ["engine.commit.after", "jdbc.commit.after", "kafka.commit.after"];

async fn killed<'a>(what: &str, source: impl Into<Kind<'a>>, mirror: impl Into<Kind<'a>>) {
    let kills = std::env::var("CULVERT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let seed = seed();
    let mut random = random::generator(seed);
    let kafka = kafka_shared().await;
    let scene = Scene::new(source, mirror, shared(Flavor::MySql).await, kafka, ROWS, "").await;
    let writers = Writers::start(&scene.source, 1, ROWS, seed).await;
    let fail_point = scene.job.file.with_file_name("failpoint");
    let mut apart = 0;
    for kill in 0..kills {
        if kill % 3 == 2 {
            let job = scene.job.start();
            // The moment is random on purpose; nothing is waited for.
            tokio::time::sleep(Duration::from_millis(random.random_range(300..2500))).await;
            apart += u32::from(job.kill().stderr.contains(APART));
            continue;
        }
        let point = POINTS[random.random_range(0..POINTS.len())];
        let passes = random.random_range(0..6);
        std::fs::write(&fail_point, format!("{point} kill {passes}\n")).expect("the file is written");
        let job = scene.job.culvert(&[]).env("CULVERT_FAILPOINT", &fail_point).start();
        let log = job.wait(LIMIT).stderr;
        assert!(!fail_point.exists(), "the job did not end at {point}:\n{log}");
        apart += u32::from(log.contains(APART));
    }
    let job = scene.job.start();
    let committed = writers.stop().await;
    scene.mark(-1).await;
    scene.mirrored(-1, &job).await;
    scene.logged(-1, &job).await;
    scene.told(&job).await;
    job.stop();
    scene.compare().await;
    println!(
        "{what}: {kills} kills, {apart} starts with sinks apart, {committed} transactions, 0 lost, 0 twice"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_mariadb() {
    killed("fan-out of mariadb", shared(Flavor::MariaDb).await, postgres_shared(PgVersion::V17).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_postgres_17() {
    let server = postgres_shared(PgVersion::V17).await;
    killed("fan-out of postgres 17", server, shared(Flavor::MariaDb).await).await;
}

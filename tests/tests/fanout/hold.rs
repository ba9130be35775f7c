//! A sink that fails is held or stops the job, by its policy.

use culvert_tests::{
    Database, Flavor, PgOptions, PgVersion, Postgres, kafka_shared, postgres_shared, seed, shared,
};
use tokio_postgres::types::PgLsn;

use super::scene::Scene;
use crate::postgres::writers::Writers;

/// Rows of the largest table.
const ROWS: u64 = 3_000;

async fn lsn(database: &Database<'_>, query: &str) -> PgLsn {
    database.value(query).await.expect("a position").parse().expect("a position of the log")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_sink_catches_up_and_the_source_forgets_nothing_before() {
    let target = Postgres::start(PgVersion::V15, PgOptions::default()).await;
    let kafka = kafka_shared().await;
    let source = postgres_shared(PgVersion::V17).await;
    let log = shared(Flavor::MariaDb).await;
    let scene = Scene::new(source, &target, log, kafka, ROWS, "failure.policy = hold").await;
    let job = scene.job.start();
    scene.mark(-1).await;
    scene.mirrored(-1, &job).await;
    scene.logged(-1, &job).await;

    target.kill9();
    let writers = Writers::start(&scene.source, 2, ROWS, seed()).await;
    job.until_said("the sink is held").await;
    let held_at = lsn(&scene.source, "SELECT pg_current_wal_lsn()::text").await;
    writers.more(200).await;
    scene.mark(-2).await;
    scene.noted(-2, &job).await;
    // A crash while it is held, and the target still away.
    job.kill();
    let job = scene.job.start();
    job.until_said("the others go on").await;
    writers.more(100).await;
    let committed = writers.stop().await;
    scene.mark(-3).await;
    scene.logged(-3, &job).await;
    scene.told(&job).await;
    let slot = format!(
        "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = '{}'",
        scene.slot
    );
    let confirmed = lsn(&scene.source, &slot).await;
    assert!(confirmed <= held_at, "{confirmed} was confirmed, but a sink is held since {held_at}");

    target.restart().await;
    scene.mirrored(-3, &job).await;
    let end = lsn(&scene.source, "SELECT pg_current_wal_lsn()::text").await;
    scene.mark(-4).await;
    scene.mirrored(-4, &job).await;
    scene.logged(-4, &job).await;
    culvert_tests::wait::until(crate::postgres::job::LIMIT, "the slot to move on", async || {
        lsn(&scene.source, &slot).await >= end
    })
    .await;
    scene.told(&job).await;
    assert!(job.stop().contains("the sink has caught up"));
    scene.compare().await;
    println!("one sink held over two runs: {committed} transactions, 0 lost, 0 twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_policy_the_job_waits_for_its_sink() {
    let target = Postgres::start(PgVersion::V15, PgOptions::default()).await;
    let kafka = kafka_shared().await;
    let (source, log) = (shared(Flavor::MySql).await, shared(Flavor::MariaDb).await);
    let scene = Scene::new(source, &target, log, kafka, ROWS, "").await;
    let job = scene.job.start();
    scene.mark(-1).await;
    scene.mirrored(-1, &job).await;
    scene.logged(-1, &job).await;
    target.kill9();
    let writers = Writers::start(&scene.source, 2, ROWS, seed()).await;
    job.until_said("next attempt in").await;
    writers.more(100).await;
    target.restart().await;
    writers.stop().await;
    scene.mark(-2).await;
    scene.mirrored(-2, &job).await;
    scene.logged(-2, &job).await;
    scene.told(&job).await;
    let log = job.stop();
    assert!(!log.contains("the sink is held"), "{log}");
    scene.compare().await;
}

//! Snapshot under fire: tables are read in parallel chunks while writers change them.

use culvert_tests::database::Kind;
use culvert_tests::{Flavor, PgOptions, PgVersion, Postgres, postgres_shared, seed, shared};

use super::job::until;
use super::scene::Scene;
use super::widened::Widened;
use super::writers::Writers;

/// Writers at the same time.
const WRITERS: u64 = 4;

async fn snapshot_under_fire<'a>(
    what: &str,
    source: impl Into<Kind<'a>>,
    target: impl Into<Kind<'a>>,
    rows: u64,
) {
    let seed = seed();
    let scene = Scene::new(source, target, rows, 2000, None).await;
    let writers = Writers::start(&scene.source, WRITERS, rows, seed).await;
    let jobs = scene.start();
    // Every chunk has left the source once the last row of the snapshot is there; the writers go
    // on until both snapshots are through.
    for (job, database) in [(&jobs.mirror, &scene.mirror), (&jobs.log, &scene.log)] {
        let most = format!("SELECT CASE WHEN COUNT(*) >= {} THEN 1 ELSE 0 END FROM item", rows * 9 / 10);
        until(database, &most, "1", job).await;
    }
    writers.more(200).await;
    let committed = writers.stop().await;
    scene.ended_well(jobs).await;
    println!("{what}: {rows} rows read under {committed} transactions");
}

/// Reading a snapshot while commits are in the log and not yet visible.
async fn widened(version: PgVersion) {
    let server = Postgres::start(version, PgOptions::default()).await;
    let target = postgres_shared(version).await;
    let widened = Widened::new(&server).await;
    snapshot_under_fire(version.name(), &server, target, 40_000).await;
    drop(widened);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_under_fire_on_15() {
    widened(PgVersion::V15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_under_fire_on_17() {
    widened(PgVersion::V17).await;
}

/// As fast as the writers can, where nothing holds commits back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_under_fire_from_15_to_17() {
    let source = postgres_shared(PgVersion::V15).await;
    snapshot_under_fire("15 to 17", source, postgres_shared(PgVersion::V17).await, 60_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_under_fire_from_mysql_to_postgres() {
    let target = postgres_shared(PgVersion::V17).await;
    snapshot_under_fire("mysql to postgres", shared(Flavor::MySql).await, target, 20_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_under_fire_from_mariadb_to_postgres() {
    let target = postgres_shared(PgVersion::V15).await;
    snapshot_under_fire("mariadb to postgres", shared(Flavor::MariaDb).await, target, 20_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_under_fire_from_postgres_to_mysql() {
    let source = postgres_shared(PgVersion::V17).await;
    snapshot_under_fire("postgres to mysql", source, shared(Flavor::MySql).await, 20_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_under_fire_from_postgres_to_mariadb() {
    let source = postgres_shared(PgVersion::V15).await;
    snapshot_under_fire("postgres to mariadb", source, shared(Flavor::MariaDb).await, 20_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_under_fire_from_mysql_to_mariadb() {
    let target = shared(Flavor::MariaDb).await;
    snapshot_under_fire("mysql to mariadb", shared(Flavor::MySql).await, target, 20_000).await;
}

//! Snapshot under fire: a table is read in parallel chunks while writers change it.

use culvert_tests::{Flavor, Server, ServerOptions, seed};

use super::workload::{Scene, Writers};
use super::{LIMIT, until_count};

/// Rows of the table that is read.
const ROWS: u64 = 200_000;
/// Writers at the same time.
const WRITERS: u64 = 4;

/// Between the log and the storage engine a commit waits this long, so that a reader that trusts
/// the end of the log would miss rows.
pub(crate) fn widened(flavor: Flavor) -> ServerOptions {
    match flavor {
        Flavor::MySql => {
            ServerOptions::default().arg("--binlog-group-commit-sync-delay=3000").arg("--sync-binlog=1")
        }
        Flavor::MariaDb => {
            ServerOptions::default().arg("--binlog-commit-wait-count=4").arg("--binlog-commit-wait-usec=5000")
        }
    }
}

async fn snapshot_under_fire(flavor: Flavor, options: ServerOptions, rows: u64) {
    let seed = seed();
    let server = Server::start(flavor, options).await;
    let scene = Scene::new(&server, &server, rows, 4000, None).await;
    let writers = Writers::start(&server, &scene.source, WRITERS, rows, seed).await;
    let mirror = scene.mirror_job.start();
    let log = scene.log_job.start();
    // Every chunk has left the source once the last row of the snapshot is there; the writers go
    // on until both snapshots are through.
    for (job, database) in [(&mirror, &scene.mirror), (&log, &scene.log)] {
        let query = format!("SELECT COUNT(*) >= {} FROM {database}.item", rows * 9 / 10);
        until_table(&server, database).await;
        until_count(&server, &query, 1, Some(job)).await;
    }
    let so_far = writers.committed();
    culvert_tests::wait::until(LIMIT, "200 more transactions", async || writers.committed() > so_far + 200)
        .await;
    let committed = writers.stop().await;
    scene.catch_up(&server, &server, [&mirror, &log]).await;
    mirror.terminate(LIMIT).assert_code(0);
    log.terminate(LIMIT).assert_code(0);
    scene.compare(&server, &server).await;
    println!("{}: {rows} rows read under {committed} transactions", flavor.name());
}

/// The mirror's tables are made by the job.
async fn until_table(server: &Server, database: &str) {
    let query = format!(
        "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{database}' AND TABLE_NAME = 'item'"
    );
    until_count(server, &query, 1, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_under_fire_on_mariadb() {
    snapshot_under_fire(Flavor::MariaDb, widened(Flavor::MariaDb), ROWS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_under_fire_on_mysql() {
    snapshot_under_fire(Flavor::MySql, widened(Flavor::MySql), ROWS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_under_fire_on_mysql_without_gtids() {
    let options = ServerOptions { gtid: false, ..widened(Flavor::MySql) };
    snapshot_under_fire(Flavor::MySql, options, 20_000).await;
}

//! Tables of Iceberg while what is around them fails: the service of S3, the catalog, the disk, and other
//! writers of the same tables.

#![allow(clippy::print_stdout)] // figures of a run

use std::collections::BTreeSet;
use std::time::Duration;

use culvert_tests::process::Running;
use culvert_tests::s3::{Fault, Requests};
use culvert_tests::{RestCatalog, S3, lake_shared, wait};

use super::iceberg_crash::{ROWS, TABLES, UPKEEP, assert_once, job};
use super::warehouse::Warehouse;
use crate::postgres::job::{LIMIT, TestJob, tail};
use crate::state::full::Small;

/// How slow a slow service is.
const SLOW: Duration = Duration::from_millis(40);
/// Rows that another writer adds.
const FOREIGN: usize = 12;

/// Waits until all faults of a service were met.
async fn until_met(s3: &S3, running: &mut Running) {
    wait::until_ok(LIMIT, "the faults to be met", async || {
        assert!(running.ended().is_none(), "it ended: {}", tail(&running.stderr()));
        match s3.faults_pending() {
            0 => Ok(()),
            left => Err(format!("{left} are left; {}", tail(&running.stderr()))),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_fails_loses_nothing_and_makes_nothing_twice() {
    let (lake, s3) = (lake_shared().await, S3::start());
    let warehouse = Warehouse::bucket(&s3);
    let text = job(&warehouse.sink("shop", UPKEEP)).replace("read-interval = 20", "read-interval = 100");
    let mut running = TestJob::new("faulty", &text).culvert(&[]).start();
    wait::until(LIMIT, "the first commits", async || {
        s3.seen(&Requests::of("PUT").with("/orders/metadata/v3")) > 0
    })
    .await;
    s3.slow(Some(SLOW));
    // What the answer to a commit was is unknown; so it is for everything in front of it.
    for part in [".metadata.json", "/journal/", ".parquet", ".avro", "version-hint"] {
        s3.next(2, Requests::of("PUT").with(part), Fault::Lose);
        s3.next(1, Requests::of("PUT").with(part), Fault::Cut);
        s3.next(1, Requests::of("PUT").with(part), Fault::Error("SlowDown"));
    }
    s3.next(3, Requests::of("GET").with(".metadata.json"), Fault::Error("InternalError"));
    s3.next(3, Requests::of("HEAD"), Fault::Cut);
    until_met(&s3, &mut running).await;
    s3.slow(None);
    running.wait(LIMIT).assert_code(0);
    for table in TABLES {
        assert_once(lake, table, &warehouse.table(&format!("shop.{table}"))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_that_dies_and_comes_back_loses_nothing() {
    let lake = lake_shared().await;
    let catalog = RestCatalog::start().await;
    let warehouse = Warehouse::rest(&catalog);
    let text = job(&warehouse.sink("shop", "")).replace("read-interval = 20", "read-interval = 60");
    let mut running = TestJob::new("catalog", &text).culvert(&[]).start();
    for round in 1..=2 {
        wait::until_ok(LIMIT, "a commit", async || {
            assert!(running.ended().is_none(), "it ended: {}", tail(&running.stderr()));
            let rows = lake.try_rows(&warehouse.table("shop.orders")).await?.rows.len();
            if rows > round * 400 { Ok(()) } else { Err(format!("{rows} rows")) }
        })
        .await;
        catalog.kill9();
        running.wait_for_stderr(LIMIT, "the catalog cannot be reached").await;
        catalog.restart().await;
    }
    running.wait(LIMIT).assert_code(0);
    for table in TABLES {
        assert_once(lake, table, &warehouse.table(&format!("shop.{table}"))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_write_and_expire_the_same_table_while_the_job_is_killed() {
    let lake = lake_shared().await;
    let warehouse = Warehouse::sqlite();
    let text = job(&warehouse.sink("shop", ""))
        .replace("checkpoint.interval = 20", "checkpoint.interval = 250")
        .replace("read-interval = 20", "read-interval = 150");
    let job = TestJob::new("others", &text);
    let table = warehouse.table("shop.orders");
    let mut running = job.culvert(&[]).start();
    wait::until(LIMIT, "a commit", async || {
        lake.try_rows(&table).await.is_ok_and(|read| !read.rows.is_empty())
    })
    .await;
    let (mut added, mut expired) = (0, 0);
    while added < FOREIGN {
        let row = format!("SELECT (-{added} - 1)::BIGINT AS id, 'theirs' AS part, 1::INTEGER AS n");
        // Who is second begins anew, here as there.
        if lake.try_append(&table, &row).await.is_ok() {
            added += 1;
            if added % 4 == 0 {
                running.kill();
                // Nothing of the job's commits is in the history any more when it starts.
                wait::until_ok(LIMIT, "snapshots to expire", async || lake.try_expire(&table).await).await;
                expired += 1;
                running = job.culvert(&[]).start();
            }
        }
    }
    running.wait(LIMIT).assert_code(0);
    let read = lake.rows(&table).await.only(&["id"]);
    let ids: Vec<i64> = read
        .rows
        .iter()
        .map(|row| row[0].as_deref().and_then(|id| id.parse().ok()).expect("a number"))
        .collect();
    let different: BTreeSet<i64> = ids.iter().copied().collect();
    assert_eq!(ids.len(), different.len(), "rows are there twice");
    assert!(different.range(1..).copied().eq(1..=ROWS as i64), "rows are lost");
    assert_eq!(different.range(..1).count(), FOREIGN, "rows of another writer are lost");
    println!("{added} commits of another writer, {expired} expiries and kills, 0 lost, 0 twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_waited_for() {
    let lake = lake_shared().await;
    let warehouse = Warehouse::folder();
    let small = Small::new(&warehouse.folder);
    let text = job(&warehouse.sink("shop", "")).replace("read-interval = 20", "read-interval = 60");
    let mut running = TestJob::new("full", &text).culvert(&[]).start();
    let table = warehouse.table("shop.orders");
    wait::until(LIMIT, "a commit", async || {
        lake.try_rows(&table).await.is_ok_and(|read| !read.rows.is_empty())
    })
    .await;
    small.fill();
    running.wait_for_stderr(LIMIT, "No space left on device").await;
    assert!(running.ended().is_none() && running.stderr().contains("make room"), "{}", running.stderr());
    small.empty();
    running.wait(LIMIT).assert_code(0);
    for table in TABLES {
        assert_once(lake, table, &warehouse.table(&format!("shop.{table}"))).await;
    }
}

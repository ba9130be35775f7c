//! Tables of Iceberg behind crashes: each row is there once, whatever happened and wherever the catalog is.

#![allow(clippy::print_stdout)] // figures of a run, beside its seed

use std::collections::BTreeSet;
use std::time::Duration;

use culvert_tests::lake::LakeTable;
use culvert_tests::{Lake, RestCatalog, lake_shared, random, s3_shared, scratch, seed, wait};
use rand::Rng;
use rand::rngs::StdRng;

use super::warehouse::Warehouse;
use crate::postgres::job::{LIMIT, TestJob, tail};

/// Rows of a table.
pub(super) const ROWS: u64 = 6000;
/// Kills at a moment of no choice, for each warehouse.
const KILLS: usize = 3;
/// The tables of a job: a crash comes between them as well.
pub(super) const TABLES: [&str; 2] = ["orders", "customers"];

/// As often as a checkpoint: files are rewritten beside the commits all the time.
pub(super) const UPKEEP: &str =
    "upkeep.interval.ms = 1, upkeep.compaction.enabled = true, upkeep.compaction.files.min = 2";

/// Where a job fails, in the order of a checkpoint.
const POINTS: &[&str] = &[
    "engine.prepare.after",
    "iceberg.journal.before",
    "iceberg.journal.after",
    "engine.save.before",
    "engine.save.after",
    "engine.commit.before",
    "iceberg.marker.before",
    "iceberg.table.before",
    "iceberg.marker.after",
    "iceberg.table.after",
    "engine.commit.after",
];

/// Something that happens to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// At a point, behind so many passes of it.
    Point { point: &'static str, action: &'static str, passes: u32 },
    /// `kill -9` behind so many milliseconds.
    Kill(u64),
}

/// Two tables, in many checkpoints.
pub(super) fn job(sink: &str) -> String {
    let table = |name: &str| {
        format!(
            "{{ row.num = {ROWS}, split.num = 60, split.read-interval = 20, seed = 7, auto.increment.enabled = true\n\
             schema = {{ table = \"shop.{name}\", fields {{ id = bigint, part = string, n = int }}, \
             primaryKey {{ columnNames = [id] }} }} }}"
        )
    };
    format!(
        "env {{ job.mode = \"BATCH\", checkpoint.interval = 20, job.retry.interval.seconds = 0 }}\n\
         source {{ FakeSource {{ tables_configs = [{}] }} }}\nsink {{ {sink} }}\n",
        TABLES.map(table).join(", ")
    )
}

/// All that is to happen over one kind of warehouse.
fn faults(random: &mut StdRng, is_atomic: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    for &point in POINTS {
        if is_atomic && point == "iceberg.table.after" {
            continue; // There, all tables are one commit.
        }
        // Behind both tables, and between them.
        let all: &[u32] = if point.starts_with("iceberg.table") { &[0, 1] } else { &[1] };
        for passes in all {
            for action in ["error", "kill"] {
                let passes = passes + 2 * random.random_range(0..2);
                faults.push(Fault::Point { point, action, passes });
            }
        }
    }
    faults.extend((0..KILLS).map(|_| Fault::Kill(random.random_range(50..900))));
    faults
}

/// Runs a job to its end, through as many faults as happen before; returns how many.
async fn run(job: &TestJob, faults: &[Fault]) -> usize {
    let file = scratch::folder("fail").join("point");
    let start = || job.culvert(&[]).env("CULVERT_FAILPOINT", &file).start();
    let mut running = start();
    for (met, fault) in faults.iter().enumerate() {
        match fault {
            Fault::Kill(pause) => {
                // The moment is random on purpose; nothing is waited for.
                tokio::time::sleep(Duration::from_millis(*pause)).await;
                running.kill();
                running = start();
            }
            Fault::Point { point, action, passes } => {
                std::fs::write(&file, format!("{point} {action} {passes}\n")).expect("the file is written");
                let what = format!("{fault:?} or the job's end");
                wait::until_ok(LIMIT, &what, async || {
                    let over = !file.exists() || running.ended().is_some();
                    if over { Ok(()) } else { Err(tail(&running.stderr())) }
                })
                .await;
                if file.exists() {
                    std::fs::remove_file(&file).expect("it is ours");
                    running.wait(LIMIT).assert_code(0);
                    return met;
                }
                if *action == "kill" {
                    let finished = running.wait(LIMIT);
                    assert_eq!(finished.code, None, "{}", finished.stderr);
                    running = start();
                }
            }
        }
    }
    running.wait(LIMIT).assert_code(0);
    faults.len()
}

/// Each row once, and each checkpoint.
pub(super) async fn assert_once(lake: &Lake, what: &str, table: &LakeTable) {
    let read = lake.rows(table).await;
    let id = |row: &Vec<Option<String>>| -> u64 {
        row[0].as_deref().and_then(|id| id.parse().ok()).expect("a number")
    };
    let ids: Vec<u64> = read.only(&["id"]).rows.iter().map(id).collect();
    let different: BTreeSet<u64> = ids.iter().copied().collect();
    assert_eq!(ids.len(), different.len(), "{what}: rows are there twice");
    assert!(different.iter().copied().eq(1..=ROWS), "{what}: {} of {ROWS} rows", different.len());
    let by_duckdb = lake.rows_by_duckdb(table).await;
    assert_eq!(by_duckdb.only(&["id", "part", "n"]), read.only(&["id", "part", "n"]), "{what} by DuckDB");
    let described = lake.describe(table).await;
    let mut snapshots = described["snapshots"].as_array().expect("snapshots").clone();
    snapshots.sort_by_key(|snapshot| snapshot["sequence"].as_i64());
    let checkpoints: Vec<u64> = snapshots
        .iter()
        .filter(|snapshot| snapshot["summary"]["culvert.upkeep"].is_null())
        .map(|snapshot| snapshot["summary"]["culvert.checkpoint"].as_str().and_then(|text| text.parse().ok()))
        .map(|checkpoint| checkpoint.expect("every other snapshot is a checkpoint's"))
        .collect();
    assert!(checkpoints.is_sorted_by(|a, b| a < b), "{what}: {checkpoints:?}");
}

/// Has everything happen, in as many jobs as it takes, and looks at the tables of each.
async fn crashes(warehouse: &Warehouse) {
    let lake = lake_shared().await;
    let seed = seed();
    let mut random = random::generator(seed);
    let all = faults(&mut random, warehouse.is_atomic);
    let (mut jobs, mut met) = (0, 0);
    while met < all.len() {
        jobs += 1;
        let namespace = format!("shop{jobs}");
        let name = format!("crash {namespace}");
        let left = all.get(met..).unwrap_or_default();
        // Every second one with upkeep between all of it.
        let options = if jobs % 2 == 0 { UPKEEP } else { "" };
        let more = run(&TestJob::new(&name, &job(&warehouse.sink(&namespace, options))), left).await;
        assert!(more > 0, "{:?} does not happen", left.first());
        met += more;
        for table in TABLES {
            let what = format!("{namespace}.{table} in {}", warehouse.name);
            assert_once(lake, &what, &warehouse.table(&format!("{namespace}.{table}"))).await;
        }
    }
    println!("{}: {met} faults, {jobs} jobs, 0 rows lost, 0 twice", warehouse.name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_is_there_once_behind_every_crash_in_a_folder() {
    crashes(&Warehouse::folder()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_is_there_once_behind_every_crash_in_a_bucket() {
    crashes(&Warehouse::bucket(s3_shared().await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_is_there_once_behind_every_crash_with_a_catalog_in_sqlite() {
    crashes(&Warehouse::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_is_there_once_behind_every_crash_with_a_catalog_in_postgres() {
    crashes(&Warehouse::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_is_there_once_behind_every_crash_with_a_rest_catalog() {
    let catalog = RestCatalog::start().await;
    crashes(&Warehouse::rest(&catalog)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_is_there_once_behind_every_crash_with_a_rest_catalog_over_a_bucket() {
    let s3 = s3_shared().await;
    let catalog = RestCatalog::start_on(s3, &s3.fresh_bucket("lake")).await;
    crashes(&Warehouse::rest_on(&catalog, s3)).await;
}

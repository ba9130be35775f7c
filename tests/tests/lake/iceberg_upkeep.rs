//! What the upkeep of a running job removes, and what it leaves alone.

use std::collections::BTreeSet;
use std::time::Duration;

use culvert_tests::{S3, lake_shared};

use super::iceberg_crash::{ROWS, TABLES, UPKEEP, job};
use super::warehouse::Warehouse;
use crate::postgres::job::TestJob;

/// Older than orphans have to be.
const OLD: Duration = Duration::from_secs(2 * 3600);

/// All that there is, while the stream goes on.
const ALL: &str =
    "upkeep.snapshots.age.max.ms = 1, upkeep.snapshots.min = 1, upkeep.orphans.age.min.ms = 3600000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_files_that_nothing_names_go_and_everything_else_stays() {
    let (lake, s3) = (lake_shared().await, S3::start());
    let bucket = s3.fresh_bucket("upkeep");
    let warehouse = Warehouse::bucket_named(&s3, &bucket);
    let options = format!("{UPKEEP}, {ALL}");
    TestJob::new("before", &job(&warehouse.sink("shop", ""))).run().assert_code(0);
    let parquet = |table: &str| {
        let keys = s3.keys(&bucket, &format!("wh/shop/{table}/data/"));
        keys.into_iter().filter(|key| key.ends_with(".parquet")).collect::<BTreeSet<_>>()
    };
    let first = parquet("orders");
    for name in ["data/orphan.parquet", "metadata/orphan.avro", "data/note.txt"] {
        s3.put(&bucket, &format!("wh/shop/orders/{name}"), b"nobody names it");
    }
    s3.age(&bucket, OLD);
    s3.put(&bucket, "wh/shop/orders/data/young.parquet", b"perhaps somebody is about to name it");

    TestJob::new("behind", &job(&warehouse.sink("shop", &options))).run().assert_code(0);
    for table in TABLES {
        let place = warehouse.table(&format!("shop.{table}"));
        let read = lake.rows(&place).await;
        let mut ids: Vec<u64> = read.only(&["id"]).rows.iter().map(|row| number(row[0].as_deref())).collect();
        ids.sort_unstable();
        // Both jobs wrote the same numbers.
        assert!(ids.iter().copied().eq((1..=ROWS).flat_map(|id| [id, id])), "{} rows of {table}", ids.len());
        assert_eq!(lake.rows_by_duckdb(&place).await.rows.len(), ids.len());
        let described = lake.describe(&place).await;
        let snapshots = described["snapshots"].as_array().expect("snapshots").len();
        assert!(snapshots < 100, "{snapshots} snapshots of {table}, of more than 100 commits");
    }
    let there = |name: &str| s3.object(&bucket, &format!("wh/shop/orders/{name}")).is_some();
    assert!(!there("data/orphan.parquet") && !there("metadata/orphan.avro"), "orphans are left");
    assert!(there("data/note.txt") && there("data/young.parquet"), "what is not an orphan is gone");
    let left: Vec<_> = parquet("orders").intersection(&first).cloned().collect();
    assert!(left.len() < first.len(), "nothing of the first job was put together and let go");
}

fn number(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).expect("a number")
}

//! The REST catalog keeps tables in folders and buckets, through its own crash.

use culvert_tests::lake::Foreign;
use culvert_tests::{RestCatalog, lake_shared, s3_shared};

const ROWS: &str = "SELECT range AS id, DATE '2024-01-01' + (range % 2)::INT AS day FROM range(4)";
const BY_DAY: Foreign<'_> = Foreign { partition: &[("day", "day")], identifier: &["id"], properties: &[] };

#[tokio::test]
async fn tables_of_a_folder_survive_a_crash_of_their_catalog() {
    let lake = lake_shared().await;
    let catalog = RestCatalog::start().await;
    let table = catalog.table("n.t");
    lake.make(&table, ROWS, BY_DAY).await;
    catalog.kill9();
    assert!(lake.try_rows(&table).await.is_err());
    catalog.restart().await;
    lake.append(&table, "SELECT 4::BIGINT AS id, DATE '2024-01-03' AS day").await;
    let read = lake.rows(&table).await;
    assert_eq!((read.rows.len(), lake.files(&table).await.len()), (5, 3));
    assert_eq!(lake.rows_by_duckdb(&table).await, read);
    let about = lake.describe(&table).await;
    assert_eq!(about["location"].as_str(), Some(format!("{}/n/t", catalog.warehouse()).as_str()));
    assert_eq!(lake.tables(&table).await, ["n.t"]);
}

#[tokio::test]
async fn tables_of_a_bucket_are_the_catalogs_as_well() {
    let lake = lake_shared().await;
    let s3 = s3_shared().await;
    let bucket = s3.fresh_bucket("rest");
    let catalog = RestCatalog::start_on(s3, &bucket).await;
    let table = catalog.table("n.t");
    lake.make(&table, ROWS, BY_DAY).await;
    lake.delete(&table, "id = 3").await;
    let read = lake.rows(&table).await;
    assert_eq!(read.only(&["id"]).rows.into_iter().flatten().flatten().collect::<Vec<_>>(), ["0", "1", "2"]);
    assert_eq!(lake.rows_by_duckdb(&table).await, read);
    // The catalog wrote the metadata, pyiceberg the data.
    let keys = s3.keys(&bucket, "warehouse/n/t/");
    assert!(keys.iter().any(|key| key.ends_with(".metadata.json")), "{keys:?}");
    assert!(keys.iter().any(|key| key.contains("/data/day_day=2024-01-02/")), "{keys:?}");
}

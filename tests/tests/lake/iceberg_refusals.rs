//! What a job says that cannot write its tables of Iceberg, and what its first start does with those that are
//! there.

use culvert_tests::lake::{Foreign, LakeTable};
use culvert_tests::{Database, Lake, PgVersion, RestCatalog, lake_shared, postgres_shared, s3_shared, wait};

use super::iceberg_crash::{TABLES, assert_once, job};
use super::warehouse::{Warehouse, s3_config};
use crate::postgres::job::{LIMIT, TestJob};

/// Three rows, once. What a job of a name has committed holds for all jobs of that name.
fn few(name: &str, sink: &str) -> TestJob {
    let text = format!(
        "env {{ job.mode = BATCH, job.retry.times = 0 }}\n\
         source {{ FakeSource {{ row.num = 3, auto.increment.enabled = true\n\
         schema = {{ table = \"d.t\", fields {{ id = bigint, s = string }}, primaryKey {{ columnNames = [id] }} }} }} }}\n\
         sink {{ {sink} }}\n"
    );
    TestJob::new(name, &text)
}

fn sink(config: &str) -> String {
    format!("Iceberg {{ catalog_name = lake, namespace = d, iceberg.catalog.config = {{ {config} }} }}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_or_forbidden_is_said() {
    let (s3, server) = (s3_shared().await, postgres_shared(PgVersion::V17).await);
    let bucket = s3.fresh_bucket("refused");
    let right = s3_config(s3);
    let wrong = right.replace("culvert-secret", "another");
    let database = Database::fresh(server, "refused").await;
    server.create_role("reader_of_catalog", "", database.name(), &[]).await;
    let url = database.url();
    let tables = "warehouse = \"/nowhere/at/all\"";
    for (config, said) in [
        (
            format!("type = hadoop, warehouse = \"s3://{bucket}/w\", {wrong}"),
            &["refuses access", "secret"][..],
        ),
        (
            format!("type = hadoop, warehouse = \"s3://no-such-bucket/w\", {right}"),
            &["the bucket is missing", "no-such-bucket"],
        ),
        ("type = hadoop".to_owned(), &["iceberg.catalog.config", "lacks warehouse"]),
        ("type = hadoop, warehouse = \"relative\"".to_owned(), &["iceberg.catalog.config", "absolute path"]),
        ("type = hive, uri = \"thrift://h:9083\"".to_owned(), &["iceberg.catalog.config", "hive", "rest"]),
        ("type = rest".to_owned(), &["iceberg.catalog.config", "lacks uri"]),
        (
            format!("type = jdbc, {tables}, uri = \"{url}\", jdbc.user = postgres, jdbc.password = wrong"),
            &["password"],
        ),
        (
            format!(
                "type = jdbc, {tables}, uri = \"{url}\", jdbc.user = reader_of_catalog, jdbc.password = root"
            ),
            &["permission denied"],
        ),
        (
            format!("type = jdbc, {tables}, uri = \"{url}x\", jdbc.user = postgres, jdbc.password = root"),
            &["does not exist"],
        ),
        ("type = hadoop, warehouse = \"/tmp\", warehous = \"/x\"".to_owned(), &["warehous", "not known"]),
    ] {
        eprintln!("{config}");
        let log = few("refused", &sink(&config)).refused(said);
        for secret in ["another", "culvert-secret", "jdbc.password"] {
            assert!(!log.contains(secret), "{log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_dropped_under_the_job_ends_it() {
    let lake = lake_shared().await;
    let warehouse = Warehouse::sqlite();
    let text = job(&warehouse.sink("shop", "")).replace("read-interval = 20", "read-interval = 200");
    let running = TestJob::new("dropped", &text).culvert(&[]).start();
    let table = warehouse.table("shop.orders");
    wait::until(LIMIT, "a commit", async || {
        lake.try_rows(&table).await.is_ok_and(|read| !read.rows.is_empty())
    })
    .await;
    lake.drop_table(&table).await;
    let finished = running.wait(LIMIT);
    finished.assert_code(2);
    let log = &finished.stderr;
    assert!(
        log.contains("the table is gone from its catalog")
            && log.contains("orders")
            && log.contains("--fresh"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_runs_of_a_job_the_older_ends() {
    let lake = lake_shared().await;
    let warehouse = Warehouse::folder();
    let text = job(&warehouse.sink("shop", "")).replace("read-interval = 20", "read-interval = 100");
    let [first, second] = [(); 2].map(|()| TestJob::new("twins", &text));
    let mut older = first.culvert(&[]).start();
    let table = warehouse.table("shop.orders");
    wait::until(LIMIT, "a commit", async || {
        lake.try_rows(&table).await.is_ok_and(|read| !read.rows.is_empty())
    })
    .await;
    // Its state is another folder, so that nothing but the sink keeps them apart.
    let mut newer = second.culvert(&[]).start();
    wait::until(LIMIT, "one of them to end", async || older.ended().is_some() || newer.ended().is_some())
        .await;
    let (ended, goes_on) = if older.ended().is_some() { (older, newer) } else { (newer, older) };
    let finished = ended.wait(LIMIT);
    assert!(
        finished.code != Some(0) && finished.stderr.contains("has taken over sink"),
        "{}",
        finished.stderr
    );
    goes_on.wait(LIMIT).assert_code(0);
    for table in TABLES {
        assert_once(lake, table, &warehouse.table(&format!("shop.{table}"))).await;
    }
}

/// The column `id`, sorted.
async fn ids(lake: &Lake, table: &LakeTable) -> Vec<String> {
    lake.rows(table).await.only(&["id"]).rows.into_iter().flatten().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_does_with_tables_what_the_save_modes_say() {
    what_the_save_modes_say(&Warehouse::sqlite()).await;
    let s3 = s3_shared().await;
    let catalog = RestCatalog::start_on(s3, &s3.fresh_bucket("modes")).await;
    what_the_save_modes_say(&Warehouse::rest_on(&catalog, s3)).await;
}

async fn what_the_save_modes_say(warehouse: &Warehouse) {
    let lake = lake_shared().await;
    let (mut number, theirs) = (0, "SELECT 9::BIGINT AS id, 'theirs' AS s, 1::INTEGER AS old");
    let mut fresh = || {
        number += 1;
        (format!("d{number}"), warehouse.table(&format!("d{number}.t")))
    };
    for (mode, is_there, expected) in [
        ("schema_save_mode = ERROR_WHEN_SCHEMA_NOT_EXIST", false, Err("the table is missing in the catalog")),
        ("schema_save_mode = IGNORE", false, Err("the table is missing in the catalog")),
        ("schema_save_mode = RECREATE_SCHEMA", true, Ok(&["1", "2", "3"][..])),
        ("schema_save_mode = ERROR_WHEN_SCHEMA_NOT_EXIST", true, Ok(&["1", "2", "3", "9"])),
        ("", false, Ok(&["1", "2", "3"])),
        ("", true, Ok(&["1", "2", "3", "9"])),
        ("data_save_mode = DROP_DATA", true, Ok(&["1", "2", "3"])),
        ("data_save_mode = ERROR_WHEN_DATA_EXISTS", true, Err("there are rows in the table already")),
        ("data_save_mode = ERROR_WHEN_DATA_EXISTS", false, Ok(&["1", "2", "3"])),
        ("data_save_mode = CUSTOM_PROCESSING", false, Err("data_save_mode")),
    ] {
        eprintln!("{mode}, {is_there} in {}", warehouse.name);
        let (namespace, table) = fresh();
        if is_there {
            lake.make(&table, theirs, Foreign::default()).await;
        }
        let job = few(&namespace, &warehouse.sink(&namespace, mode));
        match expected {
            Err(said) => {
                job.refused(&[said]);
                if is_there {
                    assert_eq!(ids(lake, &table).await, ["9"], "what is there stays");
                }
            }
            Ok(expected) => {
                job.run().assert_code(0);
                assert_eq!(ids(lake, &table).await, expected, "{mode}");
                let has_old = lake.rows(&table).await.names().contains(&"old");
                assert_eq!(has_old, is_there && !mode.contains("RECREATE"), "{mode}");
            }
        }
    }
}

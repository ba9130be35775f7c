//! Tables of Iceberg whose source changes its shape under a running job, and tables that are parted.

use culvert_tests::database::Kind;
use culvert_tests::lake::{LakeTable, Read};
use culvert_tests::{Database, Flavor, Lake, PgVersion, lake_shared, postgres_shared, shared, wait};

use super::warehouse::Warehouse;
use crate::postgres::job::{Job, JobSpec, LIMIT, TestJob};

const EVOLVES: &str = "iceberg.table.schema-evolution-enabled = true";

fn job(name: &str, source: &Database<'_>, sink: &str) -> TestJob {
    let name = format!("{name} {} {}", source.name(), source.port());
    let spec = JobSpec::mirror(&name, source, &["t"], source);
    TestJob::new(
        &name,
        &format!(
            "env {{ job.mode = \"STREAMING\", checkpoint.interval = 200, job.retry.interval.seconds = 0 }}\n\
             source {{ {}\n  schema-changes.enabled = true\n}} }}\nsink {{ {sink} }}\n",
            spec.source_block()
        ),
    )
}

/// Waits until a table has so many rows.
async fn until_rows(lake: &Lake, table: &LakeTable, rows: usize, job: &Job) -> Read {
    wait::until_ok(LIMIT, &format!("{rows} rows in the lake"), async || {
        job.assert_running();
        match lake.try_rows(table).await {
            Ok(read) if read.rows.len() == rows => Ok(read),
            Ok(read) => Err(format!("{} rows", read.rows.len())),
            Err(error) => Err(error),
        }
    })
    .await
}

/// Its columns with their types.
async fn columns(lake: &Lake, table: &LakeTable) -> Vec<(String, String, u64)> {
    let described = lake.describe(table).await;
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let fields = described["fields"].as_array().expect("fields").iter();
    fields
        .map(|field| (text(&field["name"]), text(&field["type"]), field["id"].as_u64().expect("a number")))
        .collect()
}

async fn filled(server: Kind<'static>) -> Database<'static> {
    let source = Database::fresh(server, "shape").await;
    let table = source.table("t");
    source
        .run(&[
            &format!(
                "CREATE TABLE {table} (id INT PRIMARY KEY, a VARCHAR(20), n INT, d DECIMAL(6,2), old INT)"
            ),
            &format!("INSERT INTO {table} VALUES (1, 'one', 1, 1.50, 7), (2, NULL, -2, NULL, NULL)"),
        ])
        .await;
    if source.is_postgres() {
        source.run(&[&format!("ALTER TABLE {table} REPLICA IDENTITY FULL")]).await;
    }
    source
}

/// Old rows and new ones are read behind every change of a shape that Iceberg has.
async fn followed(server: Kind<'static>) {
    let lake = lake_shared().await;
    let source = filled(server).await;
    let warehouse = Warehouse::folder();
    let table = warehouse.table("d.t");
    let job = job("followed", &source, &warehouse.sink("d", EVOLVES)).start();
    until_rows(lake, &table, 2, &job).await;
    let before = columns(lake, &table).await;
    let t = source.table("t");
    let change = |name: &str, into: &str| match source.is_postgres() {
        true => format!("ALTER TABLE {t} ALTER COLUMN {name} TYPE {into}"),
        false => format!("ALTER TABLE {t} MODIFY COLUMN {name} {into}"),
    };
    source
        .run(&[
            &format!("ALTER TABLE {t} ADD COLUMN more VARCHAR(9)"),
            &format!("INSERT INTO {t} VALUES (3, 'three', 3, 3.25, 9, 'more')"),
            &change("n", "BIGINT"),
            &change("d", "DECIMAL(20,2)"),
            &format!("INSERT INTO {t} VALUES (4, 'four', 3000000000, 123456789012345678.25, 9, NULL)"),
            &format!("ALTER TABLE {t} DROP COLUMN old"),
            &format!("INSERT INTO {t} VALUES (5, 'five', 5, 5, 'x')"),
            &format!("ALTER TABLE {t} RENAME COLUMN a TO b"),
            &format!("INSERT INTO {t} VALUES (6, 'six', 6, 6, 'y')"),
        ])
        .await;
    until_rows(lake, &table, 6, &job).await;
    job.stop();
    let names = ["id", "b", "n", "d", "more"];
    let mut expected = source.rows(&format!("SELECT id, b, n, d, more FROM {t}")).await;
    expected.sort_unstable();
    for (engine, read) in
        [("pyiceberg", lake.rows(&table).await), ("DuckDB", lake.rows_by_duckdb(&table).await)]
    {
        assert_eq!(read.only(&names).rows, expected, "{engine}");
        assert!(!read.names().contains(&"old"), "{engine}");
    }
    let after = columns(lake, &table).await;
    let number = |columns: &[(String, String, u64)], name: &str| {
        let found = columns.iter().find(|(have, ..)| have == name);
        found.unwrap_or_else(|| panic!("no {name} in {columns:?}")).2
    };
    assert_eq!(number(&after, "b"), number(&before, "a"), "a column keeps its number under another name");
    assert_eq!(number(&after, "n"), number(&before, "n"));
    let kind = |name: &str| after.iter().find(|(have, ..)| have == name).expect("it is there").1.clone();
    assert_eq!((kind("n").as_str(), kind("d").as_str()), ("long", "decimal(20, 2)"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_come_go_widen_and_change_their_name_at_every_source() {
    followed(shared(Flavor::MySql).await.into()).await;
    followed(shared(Flavor::MariaDb).await.into()).await;
    followed(postgres_shared(PgVersion::V17).await.into()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_iceberg_has_no_change_for_stops_the_job_with_what_can_be_done() {
    let lake = lake_shared().await;
    let source = filled(shared(Flavor::MySql).await.into()).await;
    let t = source.table("t");
    let warehouse = Warehouse::sqlite();
    let (fixed, evolving) = (warehouse.sink("fixed", ""), warehouse.sink("evolving", EVOLVES));
    let running =
        [("fixed", job("fixed", &source, &fixed)), ("evolving", job("evolving", &source, &evolving))];
    let [fixed, evolving] =
        running.map(|(namespace, job)| (warehouse.table(&format!("{namespace}.t")), job.start()));
    until_rows(lake, &fixed.0, 2, &fixed.1).await;
    until_rows(lake, &evolving.0, 2, &evolving.1).await;
    source
        .run(&[
            &format!("ALTER TABLE {t} ADD COLUMN more INT"),
            &format!("INSERT INTO {t} VALUES (3, 'three', 3, 3, 3, 3)"),
        ])
        .await;
    let log = fixed.1.ended(2);
    assert!(log.contains("more") && log.contains("schema-evolution-enabled"), "{log}");
    assert_eq!(lake.rows(&fixed.0).await.rows.len(), 2);
    until_rows(lake, &evolving.0, 3, &evolving.1).await;
    source
        .run(&[
            &format!("ALTER TABLE {t} MODIFY COLUMN n VARCHAR(30)"),
            &format!("INSERT INTO {t} VALUES (4, 'four', 'n', 3, 3, 3)"),
        ])
        .await;
    let log = evolving.1.ended(2);
    assert!(log.contains("the column n is string now") && log.contains("CAST"), "{log}");
    assert_eq!(lake.rows(&evolving.0).await.rows.len(), 3, "what came before the change is there");
}

/// Rows of a day and an hour, texts, and NULLs.
const PARTED: &str = r#"
env { job.mode = BATCH }
source { FakeSource {
  schema = { table = "d.TABLE", fields { id = bigint, s = string, at = timestamp, day = date } }
  rows = [
    { kind = INSERT, fields = [1, "alpha", "2024-02-29T23:59:59", "2024-02-29"] }
    { kind = INSERT, fields = [2, "alps", "2024-03-01T00:00:00", "1969-12-31"] }
    { kind = INSERT, fields = [3, "é/=%x", "1969-12-31T23:00:00", "2024-03-01"] }
    { kind = INSERT, fields = [4, null, null, null] }
  ]
} }
sink { SINK }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_parted_as_engines_expect_it() {
    let lake = lake_shared().await;
    let warehouse = Warehouse::folder();
    for (table, parts, expected) in [
        (
            "one",
            "s, day(at)",
            &[["alpha", "2024-02-29"], ["alps", "2024-03-01"], ["é/=%x", "1969-12-31"], ["-", "-"]][..],
        ),
        ("two", "truncate(s, 2), hour(at)", &[["al", "474791"], ["al", "474792"], ["é/", "-1"], ["-", "-"]]),
        ("three", "month(day), year(at)", &[["649", "54"], ["-1", "54"], ["650", "-1"], ["-", "-"]]),
        (
            "four",
            "day, bucket(id, 1)",
            &[["2024-02-29", "0"], ["1969-12-31", "0"], ["2024-03-01", "0"], ["-", "0"]],
        ),
    ] {
        let sink = warehouse.sink("d", &format!("iceberg.table.partition-keys = \"{parts}\""));
        let text = PARTED.replace("TABLE", table).replace("SINK", &sink);
        TestJob::new(&format!("parted {table}"), &text).run().assert_code(0);
        let table = warehouse.table(&format!("d.{table}"));
        let files = lake.files(&table).await;
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let mut found: Vec<Vec<String>> =
            files.iter().map(|file| file.partition.iter().map(|(_, text)| value(text)).collect()).collect();
        found.sort();
        let mut expected: Vec<Vec<String>> =
            expected.iter().map(|row| row.map(str::to_owned).to_vec()).collect();
        expected.sort();
        assert_eq!(found, expected, "{parts}");
        let read = lake.rows(&table).await;
        assert_eq!(read.rows.len(), 4);
        assert_eq!(lake.rows_by_duckdb(&table).await, read, "{parts}");
    }
    // Buckets and hours of the engine's own making are the same.
    let mine = buckets_of_both(lake).await;
    assert_eq!(mine.0, mine.1, "a bucket is another one than pyiceberg's");
}

/// Buckets of a job's rows, and of the same rows that pyiceberg wrote.
async fn buckets_of_both(lake: &Lake) -> (Vec<String>, Vec<String>) {
    let warehouse = Warehouse::sqlite();
    let sink = warehouse.sink("d", "iceberg.table.partition-keys = \"bucket(id, 7), bucket(s, 5)\"");
    let text = PARTED.replace("TABLE", "ours").replace("SINK", &sink);
    TestJob::new("buckets", &text).run().assert_code(0);
    let theirs = warehouse.table("d.theirs");
    let rows =
        "SELECT * FROM (VALUES (1::BIGINT, 'alpha'), (2, 'alps'), (3, 'é/=%x'), (4, NULL)) AS t(id, s)";
    let parts = [("id", "bucket[7]"), ("s", "bucket[5]")];
    lake.make(&theirs, rows, culvert_tests::lake::Foreign { partition: &parts, ..Default::default() }).await;
    let mut sides = Vec::new();
    for table in [warehouse.table("d.ours"), theirs] {
        let files = lake.files(&table).await;
        let mut values: Vec<String> = files
            .iter()
            .map(|file| format!("{:?}", file.partition.iter().map(|(_, text)| text).collect::<Vec<_>>()))
            .collect();
        values.sort();
        sides.push(values);
    }
    let second = sides.pop().expect("two sides");
    (sides.pop().expect("two sides"), second)
}

//! The lake's engines read what others wrote, agree with one another, and see every difference.

use culvert_tests::lake::{Foreign, assert_same};
use culvert_tests::{
    Database, LakeTable, PgVersion, lake_shared, postgres, postgres_shared, s3_shared, scratch,
};

/// One value of each type that has a form of its own, in DuckDB's SQL.
const VALUES: &str = "1::INT AS id, 1.50::DECIMAL(10,2) AS d, TIMESTAMP '2024-01-01 01:02:03.5' AS ts, \
     TIMESTAMPTZ '2024-01-01 01:02:03+02' AS tz, TIME '01:02:03' AS t, DATE '0001-01-01' AS day, \
     0.1::FLOAT AS f, '-inf'::DOUBLE AS g, true AS b, '\\xFF'::BLOB AS x, NULL::BIGINT AS n, 'é''' AS s, \
     [1, NULL] AS l";

fn table_in_a_folder(name: &str) -> LakeTable {
    let folder = scratch::folder("warehouse");
    let folder = folder.display();
    LakeTable::sql(&format!("sqlite:///{folder}/catalog.db"), &format!("file://{folder}"), name)
}

#[tokio::test]
async fn both_engines_read_each_type_the_same() {
    let lake = lake_shared().await;
    let table = table_in_a_folder("n.t");
    assert!(lake.try_rows(&table).await.unwrap_err().contains("NoSuchTable"));
    assert_eq!(lake.tables(&table).await, Vec::<String>::new());
    let foreign =
        Foreign { partition: &[("ts", "day")], identifier: &["id"], properties: &[("owner", "somebody")] };
    lake.make(&table, &format!("SELECT {VALUES}"), foreign).await;
    assert_eq!(lake.tables(&table).await, ["n.t"]);
    let read = lake.rows(&table).await;
    assert_eq!(read.names(), ["id", "d", "ts", "tz", "t", "day", "f", "g", "b", "x", "n", "s", "l"]);
    let expected = [
        Some("1"),
        Some("1.50"),
        Some("2024-01-01 01:02:03.5"),
        Some("2023-12-31 23:02:03"),
        Some("01:02:03"),
        Some("0001-01-01"),
        Some("0.10000000149011612"),
        Some("-inf"),
        Some("1"),
        Some("FF"),
        None,
        Some("é'"),
        Some(r#"["1", null]"#),
    ];
    assert_eq!(read.rows, [expected.map(|value| value.map(str::to_owned)).to_vec()]);
    assert_eq!(lake.rows_by_duckdb(&table).await, read);
    let about = lake.describe(&table).await;
    assert_eq!(about["fields"][1]["type"], "decimal(10, 2)");
    assert_eq!((&about["fields"][1]["id"], &about["fields"][0]["required"]), (&2.into(), &true.into()));
    assert_eq!((&about["identifier"][0], &about["properties"]["owner"]), (&"id".into(), &"somebody".into()));
    assert_eq!(
        (&about["partition"][0]["transform"], &about["partition"][0]["source"]),
        (&"day".into(), &"ts".into())
    );
    assert_eq!((&about["snapshots"][0]["operation"], &about["format"]), (&"append".into(), &2.into()));
    let files = lake.files(&table).await;
    assert_eq!((files.len(), files[0].kind.as_str(), files[0].rows), (1, "data", 1));
    assert_eq!(files[0].partition, [("ts_day".to_owned(), Some("2024-01-01".to_owned()))]);
    let path = files[0].path.strip_prefix("file://").unwrap();
    assert_eq!(std::fs::metadata(path).unwrap().len(), files[0].bytes);
    let same = LakeTable::at(about["metadata"].as_str().unwrap());
    assert_eq!(lake.rows(&same).await, read);
    assert_eq!(lake.rows_by_duckdb(&same).await, read);
}

#[tokio::test]
async fn a_table_on_s3_is_seen_as_it_is_now_and_as_it_was() {
    let lake = lake_shared().await;
    let s3 = s3_shared().await;
    let bucket = s3.fresh_bucket("lake");
    let folder = scratch::folder("catalog");
    let uri = format!("sqlite:///{}/catalog.db", folder.display());
    let table = LakeTable::sql(&uri, &format!("s3://{bucket}/warehouse"), "n.t").on(s3);
    lake.make(&table, "SELECT range AS id, 'x' || range AS s FROM range(10)", Foreign::default()).await;
    let first = lake.describe(&table).await["current"].as_i64().unwrap();
    lake.append(&table, "SELECT 10::BIGINT AS id, 'ten' AS s").await;
    lake.delete(&table, "id < 9").await;
    lake.alter(&table, "1::INT AS more", &[], &[("s", "text")]).await;
    let read = lake.rows(&table).await;
    assert_eq!(read.names(), ["id", "text", "more"]);
    assert_eq!(
        read.only(&["text", "id"]).rows,
        [["ten", "10"], ["x9", "9"]].map(|row| row.map(|text| Some(text.to_owned())).to_vec())
    );
    assert_eq!(lake.rows_by_duckdb(&table).await, read);
    assert_eq!(lake.rows_at(&table, first).await.rows.len(), 10);
    let files = lake.files(&table).await;
    let kept = s3.keys(&bucket, "warehouse/n/t/data/");
    assert!(files.len() < kept.len(), "{files:?} {kept:?}");
    for file in &files {
        let key = file.path.strip_prefix(&format!("s3://{bucket}/")).unwrap();
        assert_eq!(s3.object(&bucket, key).unwrap().len() as u64, file.bytes);
    }
    let all = format!("SELECT count(*) AS n FROM read_parquet('s3://{bucket}/warehouse/n/t/data/*.parquet')");
    assert!(lake.duckdb(&all, Some(s3)).await.rows[0][0].as_deref().unwrap().parse::<u32>().unwrap() >= 11);
    lake.drop_table(&table).await;
    assert_eq!(lake.tables(&table).await, Vec::<String>::new());
}

#[tokio::test]
async fn parquet_files_are_read_without_a_table() {
    let lake = lake_shared().await;
    let folder = scratch::folder("parquet");
    let made = format!(
        "COPY (SELECT {VALUES}, 'a' AS part UNION ALL SELECT {VALUES}, 'b' AS part) TO '{}' \
         (FORMAT parquet, PARTITION_BY (part))",
        folder.join("t").display()
    );
    lake.duckdb(&made, None).await;
    let by_pyarrow = lake.parquet(&folder.join("t")).await;
    assert_eq!(by_pyarrow.rows.len(), 2);
    let query = format!("SELECT * FROM read_parquet('{}/**/*.parquet')", folder.join("t").display());
    assert_eq!(lake.duckdb(&query, None).await, by_pyarrow);
    let file = std::fs::read_dir(folder.join("t/part=a")).unwrap().next().unwrap().unwrap().path();
    let about = lake.parquet_schema(&file).await;
    assert_eq!((&about["rows"], &about["fields"][1][1]), (&1.into(), &"decimal128(10, 2)".into()));
}

#[tokio::test]
async fn a_lake_equals_its_source() {
    let lake = lake_shared().await;
    let source = Database::fresh(postgres_shared(PgVersion::V17).await, "lake").await;
    source
        .run(&[
            "CREATE TABLE t (id int, d numeric(10,2), ts timestamp, tz timestamptz, t time, day date, f real, \
             g float8, b boolean, x bytea, n bigint, s text)",
            "INSERT INTO t VALUES (1, 1.50, '2024-01-01 01:02:03.5', '2024-01-01 01:02:03+02', '01:02:03', \
             '0001-01-01', 0.1, '-inf', true, '\\xff', NULL, 'é''')",
        ])
        .await;
    // The catalog itself is in a database.
    let server = postgres_shared(PgVersion::V17).await;
    let (user, password, port) = (postgres::USER, postgres::PASSWORD, server.port());
    let uri = format!("postgresql+psycopg2://{user}:{password}@127.0.0.1:{port}/{}", source.name());
    let warehouse = format!("file://{}", scratch::folder("warehouse").display());
    let table = LakeTable::sql(&uri, &warehouse, "n.t");
    lake.make(&table, &format!("SELECT {VALUES}"), Foreign::default()).await;
    assert_same((&source, "t"), &lake.rows(&table).await).await;
    assert_same((&source, "t"), &lake.rows_by_duckdb(&table).await).await;
}

#[tokio::test]
#[should_panic(expected = "1 only in ")]
async fn a_value_that_differs_in_its_last_digit_is_a_difference() {
    let lake = lake_shared().await;
    let source = Database::fresh(postgres_shared(PgVersion::V15).await, "lake").await;
    source
        .run(&["CREATE TABLE t (ts timestamp)", "INSERT INTO t VALUES ('2024-01-01 00:00:00.000001')"])
        .await;
    let read = lake.duckdb("SELECT TIMESTAMP '2024-01-01 00:00:00.000002' AS ts", None).await;
    assert_same((&source, "t"), &read).await;
}

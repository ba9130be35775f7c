//! Files of Parquet hold what the source holds, by pyarrow and by DuckDB: every type, every kind of change,
//! every codec.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::path::Path;

use culvert_tests::database::Shown;
use culvert_tests::lake::Read;
use culvert_tests::oracle::{self, Row};
use culvert_tests::{Database, Lake, Postgres, Server, both, lake_shared, postgres_both, scratch, wait};
use serde_json::json;

use crate::postgres::job::{JobSpec, LIMIT, TestJob};
use crate::postgres::types::corpus as postgres_corpus;
use crate::types::corpus as mysql_corpus;

/// The column that says what happened to a row.
const KIND: &str = "op";
/// The most digits of a decimal that DuckDB has; it makes a double of a longer one.
const DUCKDB_DIGITS_MAX: u32 = 38;

/// Tables into files of a folder each.
fn job(name: &str, source: &Database<'_>, tables: &[&str], folder: &Path, options: [&str; 2]) -> TestJob {
    let [source_options, sink_options] = options;
    let text = format!(
        "env {{ job.mode = \"STREAMING\", checkpoint.interval = 200, job.retry.interval.seconds = 0 }}\n\
         source {{ {}\n  {source_options}\n}} }}\n\
         sink {{ LocalFile {{\n  path = \"{}/${{table_name}}\"\n  file_format_type = parquet\n  \
         row_kind_column = {KIND}\n  {sink_options}\n}} }}\n",
        JobSpec::mirror(name, source, tables, source).source_block(),
        folder.display(),
    );
    TestJob::new(name, &text)
}

/// What DuckDB reads of a table's files.
async fn by_duckdb(lake: &Lake, folder: &Path) -> Read {
    let files = all_files(folder);
    lake.duckdb(&format!("SELECT * FROM read_parquet({files}, hive_partitioning = true)"), None).await
}

/// A pattern for all files of a table, as DuckDB's SQL takes it.
fn all_files(folder: &Path) -> String {
    format!("'{}'", folder.join("**/*.parquet").display().to_string().replace('\'', "''"))
}

/// Compares rows that were read with those of the source, column by column in the form of each.
#[track_caller]
pub(super) fn assert_read(what: &str, expected: &[Row], read: &Read, columns: &[(String, Shown)]) {
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let mut found = read.only(&names).rows;
    for row in &mut found {
        for (value, (_, shown)) in
            row.iter_mut().zip(columns).filter(|(_, (_, shown))| *shown == Shown::Rounded)
        {
            *value = value.take().map(|text| shown.canonical(text));
        }
    }
    found.sort_unstable();
    oracle::assert_same(("the source", expected), (what, &found));
}

/// A declared decimal's number of digits.
fn digits(declared: &str) -> u32 {
    let inside = declared.to_ascii_lowercase();
    let inside = inside.strip_prefix("decimal(").or_else(|| inside.strip_prefix("numeric("));
    inside.and_then(|inside| inside.split([',', ')']).next()?.parse().ok()).unwrap_or(0)
}

async fn postgres(server: &Postgres) {
    let lake = lake_shared().await;
    let source = Database::fresh(server, "parquet").await;
    source.run(postgres_corpus::DEFINITIONS).await;
    let mut tables = postgres_corpus::everywhere();
    tables.extend(postgres_corpus::own_types());
    let mut extremes = postgres_corpus::extremes();
    for table in &mut extremes {
        // What a file of this format has no value for is refused, not written.
        table
            .columns
            .retain(|column| !column.declared.starts_with("date") && !column.declared.starts_with("time"));
    }
    tables.extend(extremes);
    for table in &tables {
        source.run(&[&table.create()]).await;
        for statement in table.inserts(1) {
            source.run(&[&statement]).await;
        }
    }
    let folder = scratch::folder("parquet");
    let names: Vec<&str> = tables.iter().map(|table| table.name).collect();
    let name = format!("parquet {} {}", source.name(), source.port());
    job(&name, &source, &names, &folder, ["stop.mode = LATEST", ""]).run().assert_code(0);
    for table in &tables {
        let mut columns = source.shape(table.name).await;
        let rows = source.rows_as(table.name, &columns, None).await;
        assert_eq!(rows.len(), table.rows(), "{}", table.name);
        let folder = folder.join(table.name);
        assert_read(
            &format!("{} by pyarrow", table.name),
            &rows,
            &lake.parquet(&folder).await,
            &columns.columns,
        );
        let long = |name: &String| {
            let declared =
                table.columns.iter().find(|column| column.name == *name).map(|column| column.declared);
            // Past 76 digits it is a text.
            (DUCKDB_DIGITS_MAX + 1..=76).contains(&digits(declared.unwrap_or_default()))
        };
        columns.columns.retain(|(name, _)| !long(name));
        let rows = source.rows_as(table.name, &columns, None).await;
        let read = by_duckdb(lake, &folder).await;
        assert_read(&format!("{} by DuckDB", table.name), &rows, &read, &columns.columns);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_of_postgres_is_read_back() {
    postgres_both(postgres).await;
}

/// What MySQL is asked for so that its answer is what the file has, and the form of both.
pub(super) fn asked(column: &mysql_corpus::Column) -> (String, Shown) {
    let name = oracle::quoted(&column.name);
    let declared = column.declared.to_ascii_uppercase();
    let is = |kind: &str| declared.starts_with(kind);
    if is("BIT") || is("YEAR") || declared.contains("ZEROFILL") {
        return (format!("{name} + 0"), Shown::Printed);
    }
    if is("DATETIME") || is("TIMESTAMP") {
        return (name, Shown::Time);
    }
    if is("TIME") {
        // Hours past 24 and a sign are no time of day: the file has whole microseconds.
        let start = "TIMESTAMP('2000-01-01 00:00:00')";
        return (format!("TIMESTAMPDIFF(MICROSECOND, {start}, ADDTIME({start}, {name}))"), Shown::Printed);
    }
    match column.shown {
        mysql_corpus::Shown::Real => (format!("CONCAT({name} * 1e0)"), Shown::Rounded),
        mysql_corpus::Shown::Bytes => (format!("HEX({name})"), Shown::Bytes),
        _ => (format!("CONVERT({name} USING utf8mb4)"), Shown::Printed),
    }
}

/// The rows of a table with these columns, sorted.
pub(super) async fn asked_rows(
    source: &Database<'_>,
    table: &str,
    columns: &[(String, (String, Shown))],
) -> Vec<Row> {
    let list: Vec<&str> = columns.iter().map(|(_, (expression, _))| expression.as_str()).collect();
    let mut rows = source.rows(&format!("SELECT {} FROM {}", list.join(", "), source.table(table))).await;
    for row in &mut rows {
        for (value, (_, (_, shown))) in row.iter_mut().zip(columns) {
            *value = value.take().map(|text| shown.canonical(text));
        }
    }
    rows.sort_unstable();
    rows
}

/// An address has several spellings, of which MariaDB has one and a text another. Afterwards both have one.
pub(super) fn respell(rows: &mut [Row], place: Option<usize>) {
    let place = place.expect("the column is there");
    for text in rows.iter_mut().filter_map(|row| row[place].as_mut()) {
        *text = text.parse::<Ipv6Addr>().expect("an address").to_string();
    }
    rows.sort_unstable();
}

async fn mysql(server: &Server) {
    let lake = lake_shared().await;
    let source = Database::fresh(server, "parquet").await;
    let tables = mysql_corpus::tables(server.flavor());
    for table in &tables {
        source.run(&[&table.create(source.name())]).await;
        for statement in table.inserts(source.name(), 1) {
            source.run(&[&statement]).await;
        }
    }
    let folder = scratch::folder("parquet");
    let names: Vec<&str> = tables.iter().map(|table| table.name).collect();
    let name = format!("parquet {} {}", source.name(), source.port());
    job(&name, &source, &names, &folder, ["stop.mode = LATEST", ""]).run().assert_code(0);
    for table in &tables {
        let folder = folder.join(table.name);
        let long = |column: &&mysql_corpus::Column| digits(&column.declared) > DUCKDB_DIGITS_MAX;
        let shape = |columns: &mut dyn Iterator<Item = &mysql_corpus::Column>| -> Vec<_> {
            let id = ("id".to_owned(), ("id".to_owned(), Shown::Printed));
            std::iter::once(id).chain(columns.map(|column| (column.name.clone(), asked(column)))).collect()
        };
        let all = shape(&mut table.columns.iter());
        let short = shape(&mut table.columns.iter().filter(|column| !long(column)));
        for (engine, columns, read) in
            [("pyarrow", all, lake.parquet(&folder).await), ("DuckDB", short, by_duckdb(lake, &folder).await)]
        {
            let (mut rows, mut read) = (asked_rows(&source, table.name, &columns).await, read);
            assert_eq!(rows.len(), table.rows(), "{}", table.name);
            for column in table.columns.iter().filter(|column| column.declared == "INET6") {
                respell(&mut rows, columns.iter().position(|(name, _)| *name == column.name));
                respell(&mut read.rows, read.columns.iter().position(|(name, _)| *name == column.name));
            }
            let forms: Vec<_> = columns.into_iter().map(|(name, (_, shown))| (name, shown)).collect();
            assert_read(&format!("{} by {engine}", table.name), &rows, &read, &forms);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_of_mysql_and_mariadb_is_read_back() {
    both(mysql).await;
}

/// How many rows of each kind there are, and the rows that are left when each `-U` and `-D` has taken one
/// away.
fn folded(read: &Read, names: &[&str]) -> (BTreeMap<String, usize>, Vec<Row>) {
    let mut kinds = BTreeMap::new();
    let mut left: BTreeMap<Row, i64> = BTreeMap::new();
    let kinds_and_rows = read.only(&[&[KIND], names].concat());
    for mut row in kinds_and_rows.rows {
        let kind = row.remove(0).expect("every row has a kind");
        *left.entry(row).or_default() += if matches!(kind.as_str(), "+I" | "+U") { 1 } else { -1 };
        *kinds.entry(kind).or_default() += 1;
    }
    assert!(left.values().all(|count| (0..=1).contains(count)), "taken away and never there: {left:?}");
    (kinds, left.into_iter().filter(|(_, count)| *count == 1).map(|(row, _)| row).collect())
}

async fn changes(server: &Server) {
    let lake = lake_shared().await;
    let source = Database::fresh(server, "changes").await;
    let parts = "ELT(seq % 6 + 1, 'a', 'b c', 'x/y', 'é=%', NULL, '2024')";
    let row =
        format!("SELECT seq, {parts}, DATE '2024-01-01' + INTERVAL seq % 3 DAY, seq / 8, '__' FROM numbers");
    source
        .run(&[
            "CREATE TABLE numbers (seq INT PRIMARY KEY)",
            "INSERT INTO numbers WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 220) \
             SELECT i FROM n",
            "CREATE TABLE t (id INT PRIMARY KEY, part VARCHAR(20), day DATE, v DECIMAL(10,3), s VARCHAR(9))",
            &format!("INSERT INTO t {row} WHERE seq <= 200"),
        ])
        .await;
    let folder = scratch::folder("parquet");
    let options = ["", "have_partition = true\n  partition_by = [part, day]"];
    let name = format!("changes {} {}", source.name(), source.port());
    let job = job(&name, &source, &["t"], &folder, options).start();
    let files = folder.join("t");
    let reached = async |rows: usize| {
        wait::until_ok(LIMIT, &format!("{rows} rows in files"), async || {
            job.assert_running();
            // A query that names no file is refused.
            let files_there = lake.duckdb(&format!("SELECT * FROM glob({})", all_files(&files)), None).await;
            let there =
                if files_there.rows.is_empty() { 0 } else { by_duckdb(lake, &files).await.rows.len() };
            if there == rows { Ok(()) } else { Err(there) }
        })
        .await;
    };
    reached(200).await;
    source
        .run(&[
            "UPDATE t SET v = v + 1 WHERE id <= 50",
            "UPDATE t SET part = 'moved', day = NULL WHERE id BETWEEN 60 AND 69",
            "DELETE FROM t WHERE id > 180",
            &format!("INSERT INTO t {row} WHERE seq > 200"),
        ])
        .await;
    reached(200 + 2 * 60 + 20 + 20).await;
    job.stop();
    let names = ["id", "part", "day", "v", "s"];
    let mut expected = source.rows("SELECT id, part, day, v, s FROM t").await;
    expected.sort_unstable();
    assert_eq!(expected.len(), 200);
    for (engine, read) in [("pyarrow", lake.parquet(&files).await), ("DuckDB", by_duckdb(lake, &files).await)]
    {
        let (kinds, mut left) = folded(&read, &names);
        left.sort_unstable();
        let counts = [("+I", 220), ("+U", 60), ("-D", 20), ("-U", 60)];
        assert_eq!(kinds, counts.map(|(kind, count)| (kind.to_owned(), count)).into(), "{engine}");
        oracle::assert_same(("the source", &expected), (engine, &left));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_in_folders_by_value_come_to_what_the_source_holds() {
    both(changes).await;
}

#[tokio::test]
async fn every_codec_is_read_back_and_is_the_one_that_was_asked_for() {
    let lake = lake_shared().await;
    let mut plain: Option<Read> = None;
    let codecs =
        [("none", "UNCOMPRESSED"), ("snappy", "SNAPPY"), ("lz4", "LZ4"), ("gzip", "GZIP"), ("zstd", "ZSTD")];
    for (codec, known_as) in codecs {
        let folder = scratch::folder("parquet");
        let text = format!(
            "env {{ job.mode = BATCH }}\n\
             source {{ FakeSource {{\n  row.num = 5000\n  seed = 11\n  schema = {{ table = \"d.t\", fields {{ id = bigint, \
             s = string, d = \"decimal(20, 4)\", f = double, b = boolean, at = timestamp, day = date, x = bytes }} }}\n}} }}\n\
             sink {{ LocalFile {{ path = \"{}\", file_format_type = parquet, compress_codec = {codec} }} }}\n",
            folder.display()
        );
        TestJob::new(&format!("codec {codec}"), &text).run().assert_code(0);
        let read = lake.parquet(&folder).await;
        assert_eq!(read.rows.len(), 5000);
        assert_eq!(by_duckdb(lake, &folder).await, read, "{codec}");
        let entries = std::fs::read_dir(&folder).expect("it is there").flatten();
        let mut files = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "parquet"));
        let file = files.next().expect("a file");
        assert_eq!(lake.parquet_schema(&file).await["codecs"], json!([known_as]));
        assert_eq!(plain.get_or_insert(read.clone()), &read, "{codec}");
    }
}

//! Rows that no sink needs, where tables are read as they are: by the source Jdbc, and by snapshots under
//! writes. What arrives is what the source's own server answers to the whole WHERE.

use culvert_tests::database::Kind;
use culvert_tests::{Database, Flavor, PgVersion, postgres_shared, random, seed, shared};
use rand::Rng;

use crate::postgres::job::{JobSpec, TestJob, until};

const ROWS: usize = 3_000;

/// A condition of which the server can be asked a part, and that part.
const WHERE: &str = "(a > 40 AND a NOT IN (50, 60) OR b IS NULL) AND v <> 'v7' AND 90 >= a";
const PART: &str = "(a > 40 AND a NOT IN (50, 60) OR b IS NULL) AND 90 >= a";

async fn create(source: &Database<'_>) {
    let t = source.table("t");
    source.run(&[&format!("CREATE TABLE {t} (id int PRIMARY KEY, a int, b bigint, v varchar(20))")]).await;
    let row = |row: usize| {
        let b = if row.is_multiple_of(9) { "NULL".to_owned() } else { row.to_string() };
        let a = if row.is_multiple_of(31) { "NULL".to_owned() } else { (row % 100).to_string() };
        format!("({row}, {a}, {b}, 'v{}')", row % 10)
    };
    let rows = (0..ROWS).map(row).collect::<Vec<_>>().join(", ");
    source.run(&[&format!("INSERT INTO {t} VALUES {rows}")]).await;
}

async fn count(database: &Database<'_>, condition: &str) -> usize {
    let query = format!("SELECT COUNT(*) FROM {} WHERE {condition}", database.table("t"));
    database.value(&query).await.and_then(|rows| rows.parse().ok()).unwrap_or_default()
}

async fn assert_equal(source: &Database<'_>, target: &Database<'_>) {
    let query = |database: &Database<'_>, condition: &str| {
        format!("SELECT id, a, b, v FROM {} WHERE {condition} ORDER BY id", database.table("t"))
    };
    let wanted = source.rows(&query(source, WHERE)).await;
    assert!(wanted.len() > 100, "{} rows", wanted.len());
    assert_eq!(wanted, target.rows(&query(target, "1 = 1")).await);
}

/// The rows that the closing table of a job says were read.
fn rows_read(stdout: &str) -> usize {
    let line = stdout.lines().find(|line| line.contains("Rows read")).unwrap_or_default();
    let digits: String = line.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no rows read in {stdout}"))
}

async fn of_tables<'a>(source: impl Into<Kind<'a>>, target: impl Into<Kind<'a>>) {
    let source = Database::fresh(source, "rows").await;
    let target_server = target.into();
    create(&source).await;
    // In the order of the key and in parts, in parts without an order; behind what adds a column.
    for (read, transform) in [
        ("split.size = 100", ""),
        ("partition_column = id, partition_num = 7", ""),
        (
            "where_condition = \"where id % 2 = 0 or id % 2 = 1\"",
            "FilterRowKind { include_kinds = [INSERT] }",
        ),
    ] {
        let target = Database::fresh(target_server, "rows").await;
        let block = |database: &Database<'_>| {
            let user = if database.is_postgres() { "postgres" } else { "root" };
            format!("Jdbc {{ url = \"{}\", username = {user}, password = root", database.url())
        };
        let schema = if source.is_postgres() { "public." } else { "" };
        let table = if target.is_postgres() { "public.t" } else { "t" };
        let text = format!(
            "env {{ job.mode = BATCH, parallelism = 2 }}\n\
             source {{ {}, table_path = \"{}.{schema}t\", {read} }} }}\n\
             transform {{ {transform}\n  Sql {{ query = \"SELECT * FROM t WHERE {WHERE}\" }} }}\n\
             sink {{ {}, database = \"{}\", table = \"{table}\", generate_sink_sql = true }} }}\n",
            block(&source),
            source.name(),
            block(&target),
            target.name(),
        );
        let finished = TestJob::new(target.name(), &text).run();
        finished.assert_code(0);
        assert!(finished.stderr.contains("pushed down: the table is read where"), "{}", finished.stderr);
        assert_eq!(rows_read(&finished.stdout), count(&source, PART).await, "{read}");
        assert_equal(&source, &target).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_needed_rows_of_tables() {
    let (mysql, mariadb) = (shared(Flavor::MySql).await, shared(Flavor::MariaDb).await);
    let postgres = postgres_shared(PgVersion::V17).await;
    of_tables(mysql, postgres).await;
    of_tables(postgres, mariadb).await;
    of_tables(mariadb, mysql).await;
}

/// Writers while the snapshot runs, then a crash, then more of them: rows pass the condition in either
/// direction before, while and after their chunk is read.
async fn of_a_snapshot_under_writes<'a>(server: impl Into<Kind<'a>>) {
    let server = server.into();
    let (source, target) = (Database::fresh(server, "rows").await, Database::fresh(server, "rows").await);
    create(&source).await;
    let t = source.table("t");
    if source.is_postgres() {
        source.run(&[&format!("ALTER TABLE {t} REPLICA IDENTITY FULL")]).await;
    }
    let name = format!("rows {} {}", source.name(), source.port());
    let query = format!("Sql {{ query = \"SELECT * FROM t WHERE {WHERE}\" }}");
    let spec = JobSpec {
        transform: &query,
        source_options: "snapshot.split.size = 50",
        ..JobSpec::mirror(&name, &source, &["t"], &target)
    };
    let test = spec.ready();
    let mut random = random::generator(seed());
    let mut job = test.start();
    for round in 0..60 {
        let from: usize = random.random_range(0..ROWS);
        let up_to = from + random.random_range(1..400);
        let between = format!("id BETWEEN {from} AND {up_to}");
        let statement = match random.random_range(0..6) {
            0 => format!("UPDATE {t} SET a = 100 - a WHERE {between}"),
            1 => format!("UPDATE {t} SET b = NULL WHERE {between}"),
            2 => format!("UPDATE {t} SET b = id, v = 'v{}' WHERE {between}", random.random_range(0..10)),
            3 => format!("DELETE FROM {t} WHERE {between} AND id % 3 = 0"),
            4 => format!("UPDATE {t} SET a = a + 7 WHERE {between}"),
            _ => format!("INSERT INTO {t} VALUES ({}, 45, NULL, 'new')", 10_000 + round),
        };
        source.run(&[&statement]).await;
        if round == 30 {
            job.kill();
            job = test.start();
        }
    }
    source.run(&[&format!("INSERT INTO {t} VALUES (99999, 45, 1, 'end')")]).await;
    until(&target, &format!("SELECT COUNT(*) FROM {} WHERE id = 99999", target.table("t")), "1", &job).await;
    let rows = count(&source, WHERE).await.to_string();
    until(&target, &format!("SELECT COUNT(*) FROM {}", target.table("t")), &rows, &job).await;
    job.until_said("pushed down: the table is read where").await;
    job.stop();
    assert_equal(&source, &target).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_under_writes_leaves_out_what_no_sink_needs() {
    of_a_snapshot_under_writes(shared(Flavor::MySql).await).await;
    of_a_snapshot_under_writes(shared(Flavor::MariaDb).await).await;
    of_a_snapshot_under_writes(postgres_shared(PgVersion::V15).await).await;
    of_a_snapshot_under_writes(postgres_shared(PgVersion::V17).await).await;
}

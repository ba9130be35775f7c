//! Logs and snapshots of tables with columns that nobody needs: what arrives equals the source's own answer,
//! and the other columns are not read, or their values would stop the job.

use culvert_tests::database::Kind;
use culvert_tests::{Database, Flavor, PgVersion, postgres_shared, shared};

use crate::postgres::job::{Job, JobSpec, until};

/// Rows before the job begins.
const ROWS: usize = 600;

/// The columns that arrive, in the order of the table.
const WANTED: &str = "k, n, a, b";

/// Reads and drops what stands in front of the key, behind it, and between.
const DROPS: &str = "Filter { exclude_fields = [\"doc\", \"bad\", \"wide\"] }";

/// A value that no column of ours holds: whoever reads it stops the job.
fn unreadable(database: &Database<'_>) -> (&'static str, &'static str) {
    if database.is_postgres() { ("numeric(10,2)", "'NaN'") } else { ("date", "'0000-00-00'") }
}

async fn create(source: &Database<'_>) {
    let (bad, value) = unreadable(source);
    let text = if source.is_postgres() { "text" } else { "longtext" };
    source
        .run(&[&format!(
            "CREATE TABLE {} (doc {text}, bad {bad}, k varchar(20) NOT NULL, n int NOT NULL, a varchar(50), wide {text}, b int, PRIMARY KEY (k, n))",
            source.table("t")
        )])
        .await;
    let row = |row: usize| {
        format!("('doc {row}', {value}, 'k{}', {row}, 'a{row}', repeat('w', 50), {row})", row % 7)
    };
    let rows = (0..ROWS).map(row).collect::<Vec<_>>().join(", ");
    insert(source, &rows).await;
}

async fn insert(source: &Database<'_>, rows: &str) {
    let insert = format!("INSERT INTO {} (doc, bad, k, n, a, wide, b) VALUES {rows}", source.table("t"));
    if source.is_postgres() {
        source.run(&[&insert]).await;
    } else {
        // Dates that are none are refused otherwise.
        source.run(&["SET SESSION sql_mode = ''", &insert]).await;
    }
}

/// Every kind of change, the last of which inserts a row that says that all before it are there.
async fn write(source: &Database<'_>, round: usize) {
    let (t, value) = (source.table("t"), unreadable(source).1);
    let at = 1000 + round * 10;
    insert(
        source,
        &format!(
            "(NULL, {value}, 'new', {at}, NULL, '', NULL), ('x', NULL, 'new', {}, 'y', NULL, 1)",
            at + 1
        ),
    )
    .await;
    source
        .run(&[
            // Nothing of it is wanted.
            &format!("UPDATE {t} SET doc = 'changed', wide = NULL WHERE n % 5 = {}", round % 5),
            &format!(
                "UPDATE {t} SET a = 'round {round}', wide = repeat('v', 3000) WHERE n % 11 = {}",
                round % 11
            ),
            &format!("UPDATE {t} SET b = NULL WHERE n % 13 = {}", round % 13),
            // Another key.
            &format!(
                "UPDATE {t} SET k = 'moved', doc = 'too' WHERE n % 17 = {} AND n BETWEEN 20 AND 900",
                round % 17
            ),
            &format!("DELETE FROM {t} WHERE n % 29 = {} AND n BETWEEN 20 AND 900", round % 29),
        ])
        .await;
    insert(source, &format!("('end', {value}, 'round', {round}, 'end', '', 0)")).await;
}

/// Waits for the last row of a round and for as many rows as the source has: a chunk may still be read.
async fn until_written(source: &Database<'_>, target: &Database<'_>, round: usize, job: &Job) {
    let query = format!("SELECT COUNT(*) FROM {} WHERE k = 'round' AND n = {round}", target.table("t"));
    until(target, &query, "1", job).await;
    let count = |database: &Database<'_>| format!("SELECT COUNT(*) FROM {}", database.table("t"));
    let rows = source.value(&count(source)).await.unwrap_or_default();
    until(target, &count(target), &rows, job).await;
}

async fn assert_equal(source: &Database<'_>, target: &Database<'_>, columns: &str) {
    let query =
        |database: &Database<'_>| format!("SELECT {columns} FROM {} ORDER BY k, n", database.table("t"));
    let (wanted, found) = (source.rows(&query(source)).await, target.rows(&query(target)).await);
    assert!(wanted.len() > ROWS / 2, "{} rows", wanted.len());
    assert_eq!(wanted, found);
}

async fn columns_nobody_needs_are_not_read<'a>(server: impl Into<Kind<'a>>) {
    let server = server.into();
    let (source, target) = (Database::fresh(server, "push").await, Database::fresh(server, "push").await);
    create(&source).await;
    let name = format!("push {} {}", source.name(), source.port());
    let options = "snapshot.split.size = 40\n  schema-changes.enabled = true";
    let spec = JobSpec {
        transform: DROPS,
        source_options: options,
        ..JobSpec::mirror(&name, &source, &["t"], &target)
    };
    let test = spec.ready();
    let job = test.start();
    // Into the snapshot, whose chunks are told apart by a key that stands elsewhere in what is read.
    for round in 0..12 {
        write(&source, round).await;
    }
    until_written(&source, &target, 11, &job).await;
    job.until_said("pushed down: 4 of 7 columns are read").await;
    job.kill();
    write(&source, 12).await;
    let job = test.start();
    until_written(&source, &target, 12, &job).await;
    assert_equal(&source, &target, WANTED).await;

    // Shapes: of a column that nobody needs, and of two that are wanted.
    let t = source.table("t");
    let other = if source.is_postgres() {
        "ALTER COLUMN bad TYPE numeric(12,2)"
    } else {
        "MODIFY wide varchar(9000)"
    };
    source.run(&[&format!("ALTER TABLE {t} {other}")]).await;
    write(&source, 13).await;
    source.run(&[&format!("ALTER TABLE {t} ADD COLUMN c int, DROP COLUMN b, ADD COLUMN e int")]).await;
    source.run(&[&format!("UPDATE {t} SET c = n, e = 1000 + n WHERE n % 2 = 0")]).await;
    source.run(&[&format!("INSERT INTO {t} (doc, k, n) VALUES ('end', 'round', 14)")]).await;
    until_written(&source, &target, 14, &job).await;
    job.until_said("pushed down: 5 of 8 columns are read").await;
    job.stop();
    assert_equal(&source, &target, "k, n, a, c, e").await;
    let left: Vec<String> = target.shape("t").await.columns.iter().map(|column| column.0.clone()).collect();
    assert!(!left.iter().any(|name| ["doc", "bad", "wide"].contains(&name.as_str())), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_nobody_needs_are_not_read_from_mysql() {
    columns_nobody_needs_are_not_read(shared(Flavor::MySql).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_nobody_needs_are_not_read_from_mariadb() {
    columns_nobody_needs_are_not_read(shared(Flavor::MariaDb).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_nobody_needs_are_not_read_from_postgres() {
    columns_nobody_needs_are_not_read(postgres_shared(PgVersion::V15).await).await;
}

/// Where shapes are not followed: rows keep the columns that the job began with, less those nobody needs.
async fn of_a_shape_that_is_kept<'a>(server: impl Into<Kind<'a>>) {
    let server = server.into();
    let (source, target) = (Database::fresh(server, "push").await, Database::fresh(server, "push").await);
    create(&source).await;
    let name = format!("kept {} {}", source.name(), source.port());
    let job = JobSpec { transform: DROPS, ..JobSpec::mirror(&name, &source, &["t"], &target) }.ready();
    let running = job.start();
    write(&source, 0).await;
    until_written(&source, &target, 0, &running).await;
    let t = source.table("t");
    source.run(&[&format!("ALTER TABLE {t} ADD COLUMN c int, DROP COLUMN b")]).await;
    source.run(&[&format!("UPDATE {t} SET c = n, a = 'c' WHERE n % 3 = 0")]).await;
    source.run(&[&format!("INSERT INTO {t} (k, n) VALUES ('round', 1)")]).await;
    until_written(&source, &target, 1, &running).await;
    running.kill();
    source.run(&[&format!("INSERT INTO {t} (k, n) VALUES ('round', 2)")]).await;
    let running = job.start();
    until_written(&source, &target, 2, &running).await;
    running.stop();
    assert_equal(&source, &target, "k, n, a").await;
    let lost = format!("SELECT COUNT(*) FROM {} WHERE a = 'c' AND b IS NOT NULL", target.table("t"));
    assert_eq!(target.value(&lost).await.as_deref(), Some("0"), "what is gone is NULL");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_nobody_needs_of_a_shape_that_is_kept() {
    of_a_shape_that_is_kept(shared(Flavor::MariaDb).await).await;
    of_a_shape_that_is_kept(postgres_shared(PgVersion::V17).await).await;
}

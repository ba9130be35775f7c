//! Killed at chosen steps and started again: no row is lost, none is there twice.

use culvert_api::failpoint::FAILPOINT_VARIABLE;
use culvert_tests::database::{Kind, assert_same};
use culvert_tests::{Database, Flavor, PgVersion, postgres_shared, scratch, shared};

use super::job::{Batch, path, quoted, value};
use crate::postgres::job::LIMIT;

const ROWS: usize = 20_000;
/// Rows that one statement reads of a table in order: many places to be killed at.
const STEP: usize = 50;
/// So slowly that there is something left to read at every kill, however long a commit takes.
const ROWS_PER_SECOND: u32 = 5_000;

/// Where the job is killed, run after run. Every run passes far more points than it is let pass.
const KILLS: &[&str] = &[
    "engine.enumerate.after kill",
    "engine.read.after kill 12",
    "jdbc.commit.before kill 1",
    "engine.read.after kill 40",
    "jdbc.commit.after kill 1",
    "engine.save.after kill 1",
    "engine.write.after kill 30",
    "engine.commit.before kill 2",
    "engine.forget.after kill 1",
    "engine.prepare.after kill 1",
];

async fn filled(source: &Database<'_>) {
    for (table, key) in [("t", ", PRIMARY KEY (id)"), ("loose", "")] {
        source
            .run(&[&format!(
                "CREATE TABLE {} (id int NOT NULL, w varchar(100), n int NOT NULL{key})",
                source.table(table)
            )])
            .await;
        for part in (0..ROWS).collect::<Vec<_>>().chunks(2_000) {
            let rows =
                part.iter().map(|row| format!("({row}, 'row {row} of many, with some text', {})", row % 500));
            let rows = rows.collect::<Vec<_>>().join(", ");
            source.run(&[&format!("INSERT INTO {} VALUES {rows}", source.table(table))]).await;
        }
    }
}

async fn killed<'a>(source: impl Into<Kind<'a>>, target: impl Into<Kind<'a>>) {
    let source = Database::fresh(source, "killed").await;
    let target = Database::fresh(target, "killed").await;
    filled(&source).await;
    // The first is in order and resumed behind its keys; the second leaves part by part.
    let read = format!(
        "table_list = [{{ table_path = {} }}, {{ table_path = {}, partition_column = n, partition_num = 8 }}]\n  \
         split.size = {STEP}",
        quoted(&path(&source, "t")),
        quoted(&path(&source, "loose")),
    );
    let name = format!("killed {} {}", source.name(), target.port());
    let batch = Batch { rows_per_second: ROWS_PER_SECOND, ..Batch::new(&name, &source, &read, &target) };
    let job = batch.ready();
    let file = scratch::folder("point").join("point");
    let mut checkpoint = 0;
    for point in KILLS {
        std::fs::write(&file, point).expect("the scratch folder is ours");
        let finished = job.culvert(&[]).env(FAILPOINT_VARIABLE, &file).run(LIMIT);
        assert_eq!(finished.code, None, "{point}: {}", finished.stderr);
        let found = target.query("SELECT MAX(checkpoint) FROM culvert_commit").await;
        let found = found.ok().and_then(|rows| rows.into_iter().next()?.into_iter().next()?);
        let found = found.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        assert!(found >= checkpoint, "{point}: checkpoint {found} after {checkpoint}");
        checkpoint = found;
    }
    job.run().assert_code(0);
    for table in ["t", "loose"] {
        let rows = value(&target, &format!("SELECT COUNT(*) FROM {}", target.table(table))).await;
        assert_eq!(rows, ROWS.to_string(), "{table}");
        assert_same((&source, table), (&target, table)).await;
    }
    // It has ended: another run adds nothing.
    job.run().assert_code(0);
    for table in ["t", "loose"] {
        assert_same((&source, table), (&target, table)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_from_mysql_to_postgres() {
    killed(shared(Flavor::MySql).await, postgres_shared(PgVersion::V17).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_from_mariadb_to_mariadb() {
    killed(shared(Flavor::MariaDb).await, shared(Flavor::MariaDb).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_from_postgres_to_postgres() {
    killed(postgres_shared(PgVersion::V15).await, postgres_shared(PgVersion::V15).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_from_postgres_to_mariadb() {
    killed(postgres_shared(PgVersion::V17).await, shared(Flavor::MariaDb).await).await;
}

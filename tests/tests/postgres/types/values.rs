//! The corpus, copied: rows that were there before the job, the same rows again afterwards, then
//! changed and removed.

use culvert_tests::database::{Kind, Shape, assert_same};
use culvert_tests::oracle::{self, Row};
use culvert_tests::{Database, PgOptions, PgVersion, Postgres, postgres_both, postgres_shared};

use super::corpus::{DEFINITIONS, LATER, Table, everywhere, extremes, own_types};
use crate::postgres::job::{Job, JobSpec, until, until_rows};

/// A job that copies tables of the corpus.
pub(super) struct Copied<'a> {
    pub(super) source: Database<'a>,
    pub(super) target: Database<'a>,
    tables: Vec<Table>,
    job: Option<Job>,
}

impl<'a> Copied<'a> {
    /// Makes and fills the tables and starts the job; waits until the first rows are there.
    pub(super) async fn start(
        source: Database<'a>,
        target: Database<'a>,
        tables: Vec<Table>,
        options: &str,
    ) -> Copied<'a> {
        for table in &tables {
            source.run(&[&table.create()]).await;
            run(&source, &table.inserts(1)).await;
        }
        let names: Vec<&str> = tables.iter().map(|table| table.name).collect();
        let name = format!("{} {}", source.name(), source.port());
        let spec = JobSpec { source_options: options, ..JobSpec::mirror(&name, &source, &names, &target) };
        let job = spec.ready().start();
        for table in &tables {
            until_rows(&target, table.name, table.rows() as u64, &job).await;
        }
        Copied { source, target, tables, job: Some(job) }
    }

    fn job(&self) -> &Job {
        self.job.as_ref().expect("it runs until the end")
    }

    /// The same rows again, from the log: equal to those of the snapshot and to the source.
    pub(super) async fn later(&self) {
        for table in &self.tables {
            run(&self.source, &table.inserts(LATER)).await;
        }
        for table in &self.tables {
            until_rows(&self.target, table.name, table.rows() as u64 * 2, self.job()).await;
            let shape = self.source.shape(table.name).await.between(&self.source, &self.target);
            let rows = self.target.rows_as(table.name, &shape, Some("id")).await;
            let (snapshot, log) = rows.split_at(table.rows());
            let what = format!("{} of {}", table.name, self.target.name());
            same(&what, &shape, snapshot, log);
            let origin = self.source.rows_as(table.name, &shape, Some("id")).await;
            same(&what, &shape, &origin, &rows);
        }
    }

    /// Every value is replaced by another one, some rows go; then the job stops.
    pub(super) async fn changed(mut self) {
        for table in &self.tables {
            let name = self.source.table(table.name);
            self.source
                .run(&[
                    &table.rotate(),
                    &format!("UPDATE {name} SET touched = touched + 1 WHERE id < {LATER}"),
                    &format!("DELETE FROM {name} WHERE id % 3 = 2"),
                ])
                .await;
        }
        for table in &self.tables {
            let left = format!(
                "SELECT COUNT(*) FROM {} WHERE id < {LATER} AND touched = 0 OR id % 3 = 2",
                self.target.table(table.name)
            );
            until(&self.target, &left, "0", self.job()).await;
        }
        if let Some(job) = self.job.take() {
            job.stop();
        }
        for table in &self.tables {
            assert_same((&self.source, table.name), (&self.target, table.name)).await;
        }
    }
}

pub(super) async fn run(database: &Database<'_>, statements: &[String]) {
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    database.run(&statements).await;
}

/// Compares rows in order, without their ids, and names the columns that differ.
fn same(what: &str, shape: &Shape, left: &[Row], right: &[Row]) {
    let mut found = Vec::new();
    assert_eq!(left.len(), right.len(), "{what}");
    for (number, (a, b)) in left.iter().zip(right).enumerate() {
        for ((name, _), (x, y)) in shape.columns.iter().zip(a.iter().zip(b)) {
            if name != "id" && x != y {
                let short = |text: &Option<String>| {
                    text.as_ref().map_or("NULL".to_string(), |text| text.chars().take(120).collect())
                };
                found.push(format!("{what}: {name} of row {number}: {} / {}", short(x), short(y)));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The declared types of a table's columns.
async fn declared(database: &Database<'_>, table: &str) -> Vec<Row> {
    let query = format!(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = \
         '{}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        oracle::postgres::quoted_table(table)
    );
    database.rows(&query).await
}

fn all() -> Vec<Table> {
    let mut all = everywhere();
    all.extend(extremes());
    all.extend(own_types());
    all
}

async fn copied<'a>(source: impl Into<Kind<'a>>, target: impl Into<Kind<'a>>, options: &str) {
    let source = Database::fresh(source, "types").await;
    let target = Database::fresh(target, "copy").await;
    source.run(DEFINITIONS).await;
    target.run(DEFINITIONS).await;
    let copied = Copied::start(source, target, all(), options).await;
    copied.later().await;
    for table in &copied.tables {
        let (was, is) =
            (declared(&copied.source, table.name).await, declared(&copied.target, table.name).await);
        oracle::assert_same(("the source's types", &was), ("the target's", &is));
    }
    copied.changed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_and_types_are_equal() {
    postgres_both(async |server| copied(server, server, "").await).await;
}

/// From the old version to the new one, where the source prints otherwise by default.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_own_settings_change_nothing() {
    let options = PgOptions::default()
        .setting("TimeZone", "Asia/Kolkata")
        .setting("DateStyle", "German, DMY")
        .setting("IntervalStyle", "iso_8601")
        .setting("bytea_output", "escape")
        .setting("extra_float_digits", "-15")
        .setting("xmlbinary", "hex");
    let source = Postgres::start(PgVersion::V15, options).await;
    copied(&source, postgres_shared(PgVersion::V17).await, "").await;
}

/// The target knows nothing of the types that were made in the source: their text arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_the_target_does_not_have_arrive_as_text() {
    postgres_both(async |server| {
        let source = Database::fresh(server, "types").await;
        let target = Database::fresh(server, "copy").await;
        source.run(DEFINITIONS).await;
        let copied = Copied::start(source, target, own_types(), "").await;
        copied.later().await;
        copied.changed().await;
    })
    .await;
}

/// The last years that the server knows are behind the end of what we count in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_past_all_counting_is_refused() {
    let server = postgres_shared(PgVersion::V15).await;
    let source = Database::fresh(server, "late").await;
    let target = Database::fresh(server, "copy").await;
    source
        .run(&[
            "CREATE TABLE t (id int PRIMARY KEY, at timestamp)",
            "INSERT INTO t VALUES (1, '294276-12-31 23:59:59')",
        ])
        .await;
    let name = format!("{} {}", source.name(), source.port());
    JobSpec::mirror(&name, &source, &["t"], &target).ready().refused_value(&["public.t", "column=at"]);
}

/// NaN where only digits have room: by policy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_numeric_that_is_no_number_is_never_a_number() {
    let server = postgres_shared(PgVersion::V17).await;
    let source = Database::fresh(server, "nan").await;
    let target = Database::fresh(server, "copy").await;
    source
        .run(&[
            "CREATE TABLE t (id int PRIMARY KEY, n numeric(10,2))",
            "INSERT INTO t VALUES (1, 1.5), (2, 'NaN')",
        ])
        .await;
    let name = format!("{} {}", source.name(), source.port());
    let spec = JobSpec::mirror(&name, &source, &["t"], &target);
    spec.ready().refused_value(&["public.t", "NaN", "numeric-nan.policy"]);
    let name = format!("{name} null");
    let lenient = JobSpec { source_options: "numeric-nan.policy = NULL", name: &name, ..spec };
    let job = lenient.ready().start_with(&["--fresh"]);
    until_rows(&target, "t", 2, &job).await;
    source.run(&["INSERT INTO t VALUES (3, 'NaN'), (4, 4)"]).await;
    until_rows(&target, "t", 4, &job).await;
    job.stop();
    let rows = "SELECT string_agg(concat_ws('=', id, n), ',' ORDER BY id) FROM t";
    assert_eq!(target.value(rows).await.as_deref(), Some("1=1.50,2,3,4=4.00"));
}

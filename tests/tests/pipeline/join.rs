//! Tables that a changed job file names, or that were made while the job was stopped: their targets are made, as
//! at the beginning of a job; a target that was there and is gone still stops the job.

use culvert_tests::database::{Kind, assert_same};
use culvert_tests::{Database, Flavor, PgVersion, postgres_shared, shared};

use crate::postgres::job::{Job, JobSpec, LIMIT, TestJob, until, until_rows};

/// A mirror whose file changes between two starts.
struct Scene<'a> {
    source: Database<'a>,
    target: Database<'a>,
    job: TestJob,
}

impl<'a> Scene<'a> {
    /// A mirror of `early`, stopped behind its snapshot; `added` is there, with rows, and its file does not name it.
    async fn stopped(source: impl Into<Kind<'a>>, target: impl Into<Kind<'a>>) -> Scene<'a> {
        let source = Database::fresh(source, "joins").await;
        let target = Database::fresh(target, "joins").await;
        for table in ["early", "added"] {
            source.run(&[&format!("CREATE TABLE {table} (id INT PRIMARY KEY, v VARCHAR(20))")]).await;
            let rows: Vec<String> = (0..300).map(|id| format!("({id}, 'first')")).collect();
            source.run(&[&format!("INSERT INTO {table} VALUES {}", rows.join(", "))]).await;
        }
        let name = format!("joins {} {}", source.name(), source.port());
        let job = Scene::spec(&name, &source, &["early"], &target).ready();
        let running = job.start();
        until_rows(&target, "early", 300, &running).await;
        running.stop();
        assert!(!target.has_table("added").await);
        Scene { source, target, job }
    }

    fn spec<'b>(
        name: &'b str,
        source: &'b Database<'a>,
        tables: &'b [&'b str],
        target: &'b Database<'a>,
    ) -> JobSpec<'b> {
        let source_options = "snapshot.split.size = 50";
        JobSpec { source_options, ..JobSpec::mirror(name, source, tables, target) }
    }

    /// Writes the file anew.
    fn mirror(&self, tables: &[&str]) {
        self.job.rewrite(&Scene::spec(&self.job.name, &self.source, tables, &self.target).text());
    }

    /// Both tables go on, and are equal in the end.
    async fn both_go_on(&self, job: Job) {
        for table in ["early", "added"] {
            let changes = [
                format!("UPDATE {table} SET v = 'later' WHERE id % 3 = 0"),
                format!("DELETE FROM {table} WHERE id % 7 = 0"),
                format!("INSERT INTO {table} VALUES (1000, 'end')"),
            ];
            self.source.run(&changes.each_ref().map(String::as_str)).await;
        }
        for table in ["early", "added"] {
            until(&self.target, &format!("SELECT count(*) FROM {table} WHERE id = 1000"), "1", &job).await;
            until_rows(&self.target, table, 258, &job).await;
        }
        job.stop();
        for table in ["early", "added"] {
            assert_same((&self.source, table), (&self.target, table)).await;
        }
    }
}

async fn named<'a>(source: impl Into<Kind<'a>>, target: impl Into<Kind<'a>>) {
    let scene = Scene::stopped(source, target).await;
    scene
        .source
        .run(&["INSERT INTO early VALUES (300, 'meanwhile')", "DELETE FROM early WHERE id = 300"])
        .await;
    scene.mirror(&["early", "added"]);
    let job = scene.job.start();
    scene.both_go_on(job).await;
}

/// The target is made, and nothing is committed: the next start finds it there.
async fn killed<'a>(source: impl Into<Kind<'a>>, target: impl Into<Kind<'a>>) {
    let scene = Scene::stopped(source, target).await;
    scene.mirror(&["early", "added"]);
    let fail_point = scene.job.file.with_file_name("failpoint");
    std::fs::write(&fail_point, "engine.schema.after kill\n").expect("the file is written");
    let log = scene.job.culvert(&[]).env("CULVERT_FAILPOINT", &fail_point).start().wait(LIMIT).stderr;
    assert!(!fail_point.exists(), "{log}");
    assert!(scene.target.has_table("added").await, "{log}");
    let rows = scene.target.value(&format!("SELECT COUNT(*) FROM {}", scene.target.table("added"))).await;
    assert_eq!(rows.as_deref(), Some("0"), "{log}");
    let job = scene.job.start();
    scene.both_go_on(job).await;
}

/// Somebody dropped what the job had written: going on would leave out rows.
async fn dropped<'a>(source: impl Into<Kind<'a>>, target: impl Into<Kind<'a>>) {
    let scene = Scene::stopped(source, target).await;
    scene.mirror(&["early", "added"]);
    scene.target.run(&[&format!("DROP TABLE {}", scene.target.table("early"))]).await;
    scene.job.refused(&["early", "CREATE TABLE"]);
    assert!(!scene.target.has_table("early").await && !scene.target.has_table("added").await);
}

/// The same of one that joined itself.
async fn dropped_later<'a>(source: impl Into<Kind<'a>>, target: impl Into<Kind<'a>>) {
    let scene = Scene::stopped(source, target).await;
    scene.mirror(&["early", "added"]);
    let job = scene.job.start();
    until_rows(&scene.target, "added", 300, &job).await;
    job.stop();
    scene.target.run(&[&format!("DROP TABLE {}", scene.target.table("added"))]).await;
    scene.job.refused(&["added", "CREATE TABLE"]);
    assert!(!scene.target.has_table("added").await);
}

macro_rules! between {
    ($($name:ident: $source:expr => $target:expr;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_table_that_the_file_names_now() {
                named($source, $target).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn killed_behind_the_making_of_a_target() {
                killed($source, $target).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_target_that_is_gone_stops_the_job() {
                dropped($source, $target).await;
                dropped_later($source, $target).await;
            }
        }
    )*};
}

between! {
    mariadb_into_postgres: shared(Flavor::MariaDb).await => postgres_shared(PgVersion::V17).await;
    mysql_into_mariadb: shared(Flavor::MySql).await => shared(Flavor::MariaDb).await;
    postgres_into_mysql: postgres_shared(PgVersion::V17).await => shared(Flavor::MySql).await;
}

/// The log has its making and its rows; the read has them, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_made_while_the_job_was_stopped() {
    for flavor in Flavor::ALL {
        let scene = Scene::stopped(shared(flavor).await, postgres_shared(PgVersion::V17).await).await;
        scene.mirror(&["(early|late.*)"]);
        let made = [
            "CREATE TABLE late (id INT PRIMARY KEY)",
            "INSERT INTO late VALUES (1), (2)",
            "ALTER TABLE late ADD COLUMN v VARCHAR(20) DEFAULT 'x'",
            "INSERT INTO late VALUES (3, 'y')",
        ];
        scene.source.run(&made).await;
        let job = scene.job.start();
        until_rows(&scene.target, "late", 3, &job).await;
        scene
            .source
            .run(&["UPDATE late SET v = 'z' WHERE id = 1", "INSERT INTO late VALUES (4, 'end')"])
            .await;
        until(&scene.target, "SELECT count(*) FROM late WHERE id = 4", "1", &job).await;
        job.stop();
        assert_same((&scene.source, "late"), (&scene.target, "late")).await;
    }
}

//! Columns that come to take NULL, and what rows that were there have in new ones, at every kind of
//! target.

use culvert_tests::database::{Kind, assert_same};
use culvert_tests::{Database, Flavor, Postgres, postgres_both, shared};

use super::job::{Job, JobSpec, TestJob, until, until_rows};

struct Pair<'a> {
    source: Database<'a>,
    target: Database<'a>,
    job: TestJob,
}

impl<'a> Pair<'a> {
    /// A table with two rows, and a job that mirrors it.
    async fn new(server: &'a Postgres, target: Kind<'a>, what: &str, options: &str) -> Pair<'a> {
        let source = Database::fresh(server, what).await;
        let target = Database::fresh(target, "copy").await;
        source
            .run(&[
                "CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL, b varchar(20) NOT NULL)",
                "INSERT INTO t VALUES (1, 1, 'one'), (2, 2, 'two')",
            ])
            .await;
        let name = format!("{} {} {}", source.name(), server.port(), target.port());
        let spec = JobSpec { source_options: options, ..JobSpec::mirror(&name, &source, &["t"], &target) };
        let job = spec.ready();
        Pair { source, target, job }
    }

    async fn started(&self) -> Job {
        let job = self.job.start();
        until_rows(&self.target, "t", 2, &job).await;
        job
    }

    async fn arrived(&self, id: u32, job: &Job) {
        until(&self.target, &format!("SELECT count(*) FROM t WHERE id = {id}"), "1", job).await;
    }

    async fn same(&self) {
        assert_same((&self.source, "t"), (&self.target, "t")).await;
    }
}

async fn targets(server: &Postgres) -> [Kind<'_>; 3] {
    [server.into(), shared(Flavor::MariaDb).await.into(), shared(Flavor::MySql).await.into()]
}

const FOLLOW: &str = "schema-changes.enabled = true";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_comes_to_take_null_and_the_target_follows() {
    postgres_both(async |server| {
        for target in targets(server).await {
            let pair = Pair::new(server, target, "loose", FOLLOW).await;
            let job = pair.started().await;
            pair.source
                .run(&["BEGIN; INSERT INTO t VALUES (3, 3, 'three'); ALTER TABLE t ALTER a DROP NOT NULL; \
                     INSERT INTO t VALUES (4, NULL, 'four'); UPDATE t SET a = NULL WHERE id = 1; COMMIT"])
                .await;
            pair.arrived(4, &job).await;
            pair.same().await;
            job.kill();
            // The log has NULL where the catalog says that there is none.
            pair.source
                .run(&[
                    "ALTER TABLE t ALTER b DROP NOT NULL",
                    "INSERT INTO t VALUES (5, 5, NULL)",
                    "UPDATE t SET b = 'five' WHERE id = 5",
                    "ALTER TABLE t ALTER b SET NOT NULL",
                    "INSERT INTO t VALUES (6, NULL, 'six')",
                ])
                .await;
            let job = pair.job.start();
            pair.arrived(6, &job).await;
            pair.same().await;
            job.stop();
        }
    })
    .await;
}

/// Where changes are not followed, the target's own columns decide.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_null_that_the_target_does_not_take_is_told_with_the_statement() {
    postgres_both(async |server| {
        for target in targets(server).await {
            let pair = Pair::new(server, target, "strict", "").await;
            pair.started().await.stop();
            pair.source
                .run(&[
                    "INSERT INTO t VALUES (3, 3, 'three')",
                    "ALTER TABLE t ALTER a DROP NOT NULL",
                    "INSERT INTO t VALUES (4, NULL, 'four')",
                ])
                .await;
            let (said, statement) = if pair.target.is_postgres() {
                let statement = "ALTER TABLE \"public\".\"t\" ALTER COLUMN \"a\" DROP NOT NULL";
                (statement.to_owned(), statement.to_owned())
            } else {
                let table = pair.target.table("t");
                let statement = format!("ALTER TABLE {} MODIFY COLUMN `a` ", table.replace('`', ""));
                (statement, format!("ALTER TABLE {table} MODIFY COLUMN `a` int NULL"))
            };
            pair.job.refused_value(&[&said]);
            pair.target.run(&[&statement]).await;
            let job = pair.job.start();
            pair.arrived(4, &job).await;
            pair.same().await;
            job.stop();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_there_have_the_default_of_a_new_column() {
    postgres_both(async |server| {
        for target in targets(server).await {
            let pair = Pair::new(server, target, "default", FOLLOW).await;
            let job = pair.started().await;
            pair.source
                .run(&[
                    "CREATE DOMAIN seven AS int DEFAULT 7",
                    "ALTER TABLE t ADD c int NOT NULL DEFAULT 5, ADD d bytea DEFAULT '\\x0068', ADD e seven, \
                     ADD f varchar(20) NOT NULL DEFAULT 'it''s a\\b', ADD g int",
                    "INSERT INTO t VALUES (3, 3, 'three')",
                ])
                .await;
            pair.arrived(3, &job).await;
            pair.same().await;
            // Where the default is gone with a rewrite, nothing is guessed.
            pair.source
                .run(&[
                    "ALTER TABLE t ADD h int NOT NULL DEFAULT 5, ALTER a TYPE bigint",
                    "INSERT INTO t VALUES (4, 4, 'four')",
                ])
                .await;
            let said = job.ended(2);
            assert!(said.contains("column `h`") && said.contains("by hand"), "{said}");
        }
    })
    .await;
}

/// What a rewrite puts into rows is in no log: it is said, once, and nobody is stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewritten_table_is_said() {
    const SAID: &str = "the table was rewritten";
    postgres_both(async |server| {
        let pair = Pair::new(server, server.into(), "rewritten", FOLLOW).await;
        let job = pair.started().await;
        pair.source
            .run(&[
                "INSERT INTO t VALUES (3, 3, 'three')",
                "ALTER TABLE t ALTER a TYPE int USING a * 100",
                "INSERT INTO t VALUES (4, 4, 'four')",
            ])
            .await;
        pair.arrived(4, &job).await;
        job.until_said(SAID).await;
        let said = job.stop();
        assert_eq!(said.matches(SAID).count(), 1, "{said}");
        // While the job stands still, without and with a row behind it.
        pair.source.run(&["ALTER TABLE t ALTER a TYPE int USING a + 1"]).await;
        let job = pair.job.start();
        job.until_said(SAID).await;
        pair.source.run(&["INSERT INTO t VALUES (5, 5, 'five')"]).await;
        pair.arrived(5, &job).await;
        let said = job.stop();
        assert_eq!(said.matches(SAID).count(), 1, "{said}");
        // It is known now.
        let job = pair.job.start();
        pair.source.run(&["INSERT INTO t VALUES (6, 6, 'six')"]).await;
        pair.arrived(6, &job).await;
        let said = job.stop();
        assert!(!said.contains(SAID), "{said}");
    })
    .await;
}

/// The target's enum has to know a label before a row has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_that_the_target_lacks_is_told() {
    postgres_both(async |server| {
        let source = Database::fresh(server, "label").await;
        let target = Database::fresh(server, "copy").await;
        let mood = "CREATE TYPE mood AS ENUM ('glad')";
        source
            .run(&[mood, "CREATE TABLE t (id int PRIMARY KEY, m mood)", "INSERT INTO t VALUES (1, 'glad')"])
            .await;
        target.run(&[mood]).await;
        let name = format!("{} {}", source.name(), server.port());
        let job = JobSpec::mirror(&name, &source, &["t"], &target).ready();
        let running = job.start();
        until_rows(&target, "t", 1, &running).await;
        running.stop();
        source.run(&["ALTER TYPE mood ADD VALUE 'sad'", "INSERT INTO t VALUES (2, 'sad')"]).await;
        job.refused_value(&["22P02", "ALTER TYPE … ADD VALUE"]);
        target.run(&["ALTER TYPE mood ADD VALUE 'sad'"]).await;
        let running = job.start();
        until_rows(&target, "t", 2, &running).await;
        running.stop();
        assert_same((&source, "t"), (&target, "t")).await;
    })
    .await;
}

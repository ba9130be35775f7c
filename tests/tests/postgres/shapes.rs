//! Changes of a table's shape, while the job runs and while it does not; tables in parts.

use culvert_tests::database::assert_same;
use culvert_tests::{Database, Postgres, postgres_both};

use super::job::{Job, JobSpec, TestJob, until, until_rows};

struct Shaped<'a> {
    source: Database<'a>,
    target: Database<'a>,
    job: TestJob,
}

impl<'a> Shaped<'a> {
    async fn new(server: &'a Postgres, what: &str, options: &str) -> Shaped<'a> {
        let source = Database::fresh(server, what).await;
        let target = Database::fresh(server, "copy").await;
        source
            .run(&[
                "CREATE TABLE t (id int PRIMARY KEY, a varchar(20), b int)",
                "INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2)",
            ])
            .await;
        let name = format!("{} {}", source.name(), server.port());
        let spec = JobSpec { source_options: options, ..JobSpec::mirror(&name, &source, &["t"], &target) };
        let job = spec.ready();
        Shaped { source, target, job }
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

const FOLLOW: &str = "schema-changes.enabled = true";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_shape_are_followed() {
    postgres_both(async |server| {
        let scene = Shaped::new(server, "follow", FOLLOW).await;
        let job = scene.started().await;
        scene
            .source
            .run(&[
                "ALTER TABLE t ADD COLUMN c timestamptz(3)",
                "INSERT INTO t VALUES (3, 'three', 3, '2024-02-29 01:02:03.004+00')",
                "ALTER TABLE t ALTER a TYPE varchar(200), DROP COLUMN b",
                "INSERT INTO t VALUES (4, repeat('long', 30), NULL)",
                "ALTER TABLE t RENAME a TO name",
                "UPDATE t SET name = 'renamed' WHERE id = 1",
                "INSERT INTO t VALUES (5, 'five', NULL)",
            ])
            .await;
        scene.arrived(5, &job).await;
        scene.same().await;
        // Killed, changed while it is down, started again: rows are decoded as of their place.
        job.kill();
        scene
            .source
            .run(&[
                "INSERT INTO t VALUES (6, 'six', NULL)",
                "ALTER TABLE t ADD COLUMN d bigint",
                "INSERT INTO t VALUES (7, 'seven', NULL, 4000000000)",
                "ALTER TABLE t DROP COLUMN c",
                "INSERT INTO t VALUES (8, 'eight', 1)",
            ])
            .await;
        let job = scene.job.start();
        scene.arrived(8, &job).await;
        scene.same().await;
        job.stop();
    })
    .await;
}

/// Changes inside a transaction that also writes: rows before and behind them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_shape_inside_a_transaction_are_followed() {
    postgres_both(async |server| {
        let scene = Shaped::new(server, "inside", FOLLOW).await;
        let job = scene.started().await;
        scene
            .source
            .run(&[
                "BEGIN; INSERT INTO t VALUES (3, 'three', 3); ALTER TABLE t ADD COLUMN c int; \
                 INSERT INTO t VALUES (4, 'four', 4, 44); COMMIT",
                "BEGIN; ALTER TABLE t ADD COLUMN d int; INSERT INTO t VALUES (5, 'five', 5, 55, 555); ROLLBACK",
                "INSERT INTO t VALUES (6, 'six', 6, 66)",
            ])
            .await;
        scene.arrived(6, &job).await;
        scene.same().await;
        job.stop();
    })
    .await;
}

/// The default: the target keeps the shape the job started with, across restarts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shape_is_kept_by_default() {
    postgres_both(async |server| {
        let scene = Shaped::new(server, "kept", "").await;
        let job = scene.started().await;
        scene
            .source
            .run(&[
                "ALTER TABLE t ADD COLUMN c int, DROP COLUMN b",
                "INSERT INTO t (id, a, c) VALUES (3, 'three', 33)",
            ])
            .await;
        until(&scene.target, "SELECT count(*) FROM t WHERE id = 3 AND a = 'three' AND b IS NULL", "1", &job)
            .await;
        job.kill();
        scene
            .source
            .run(&["ALTER TABLE t ADD COLUMN d int", "INSERT INTO t (id, a) VALUES (4, 'four')"])
            .await;
        let job = scene.job.start();
        until(&scene.target, "SELECT count(*) FROM t WHERE id = 4 AND a = 'four'", "1", &job).await;
        job.stop();
    })
    .await;
}

/// A renamed table: its rows are not taken for those of the table that takes its name, and none are
/// skipped in silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamed_table_is_no_silent_gap() {
    postgres_both(async |server| {
        let scene = Shaped::new(server, "renamed", "").await;
        let job = scene.started().await;
        scene.source.run(&["ALTER TABLE t RENAME TO old", "INSERT INTO old VALUES (3, 'three', 3)"]).await;
        let said = culvert_tests::wait::until_ok(super::job::LIMIT, "it is said", async || {
            let said = job.stderr();
            if said.contains("public.t") && said.contains("renamed") {
                Ok(said)
            } else {
                Err(super::job::tail(&said))
            }
        })
        .await;
        assert!(said.contains("public.old") || said.contains("renamed"), "{said}");
        // Whether it stopped or warned, nothing of the old table is in the target as the new one's.
        let rows = scene.target.value("SELECT string_agg(id::text, ',' ORDER BY id) FROM t").await;
        assert!(matches!(rows.as_deref(), Some("1,2" | "1,2,3")), "{rows:?}");
    })
    .await;
}

/// A table of the same name that is another one: it joins as a new one, and that is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_dropped_and_made_again_is_a_new_one() {
    postgres_both(async |server| {
        let scene = Shaped::new(server, "again", "").await;
        scene.started().await.stop();
        scene
            .source
            .run(&[
                "DELETE FROM t WHERE id = 1",
                "DROP TABLE t",
                "CREATE TABLE t (id int PRIMARY KEY, a varchar(20), b int)",
                "INSERT INTO t VALUES (7, 'seven', 7)",
            ])
            .await;
        let job = scene.job.start();
        scene.arrived(7, &job).await;
        scene.source.run(&["INSERT INTO t VALUES (8, 'eight', 8)"]).await;
        scene.arrived(8, &job).await;
        let said = job.stop();
        assert!(said.contains("public.t") && said.contains("made anew"), "{said}");
    })
    .await;
}

/// A partitioned table arrives as one, whatever happens to its parts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partitioned_table_is_one_table() {
    postgres_both(async |server| {
        let source = Database::fresh(server, "parts").await;
        let target = Database::fresh(server, "copy").await;
        source
            .run(&[
                "CREATE TABLE t (id int, day date, a text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
                "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
                "CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY LIST (id)",
                "CREATE TABLE t_2_rest PARTITION OF t_2 DEFAULT",
                "INSERT INTO t SELECT n, '2024-06-01'::date + n, 'x' FROM generate_series(1, 400) n",
            ])
            .await;
        let name = format!("{} {}", source.name(), server.port());
        let options = "snapshot.split.size = 50";
        let spec = JobSpec { source_options: options, ..JobSpec::mirror(&name, &source, &["t"], &target) };
        let job = spec.ready().start();
        until_rows(&target, "t", 400, &job).await;
        source
            .run(&[
                "INSERT INTO t VALUES (1001, '2024-03-03', 'new')",
                // From one part to another.
                "UPDATE t SET day = day + 150 WHERE id % 10 = 0",
                "UPDATE t SET a = 'changed' WHERE id % 7 = 0",
                "DELETE FROM t WHERE id % 9 = 0",
                "CREATE TABLE t_3 PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
                "INSERT INTO t VALUES (1002, '2026-03-03', 'in the new part')",
                "INSERT INTO t_1 VALUES (1003, '2024-12-31', 'directly')",
                "INSERT INTO t VALUES (9999, '2025-12-31', 'end')",
            ])
            .await;
        until(&target, "SELECT count(*) FROM t WHERE id = 9999", "1", &job).await;
        job.stop();
        assert_same((&source, "t"), (&target, "t")).await;
    })
    .await;
}

/// Columns that the server computes are not in the log, and so are left out of the snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_computed_column_is_the_same_in_snapshot_and_log() {
    postgres_both(async |server| {
        let source = Database::fresh(server, "computed").await;
        let target = Database::fresh(server, "copy").await;
        source
            .run(&[
                "CREATE TABLE t (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED, b text)",
                "INSERT INTO t VALUES (1, 10, DEFAULT, 'x')",
            ])
            .await;
        let name = format!("{} {}", source.name(), server.port());
        let job = JobSpec::mirror(&name, &source, &["t"], &target).ready().start();
        until_rows(&target, "t", 1, &job).await;
        source.run(&["INSERT INTO t VALUES (2, 20, DEFAULT, 'y')", "UPDATE t SET a = 11 WHERE id = 1"]).await;
        until(&target, "SELECT count(*) FROM t WHERE (id, a) IN ((1, 11), (2, 20))", "2", &job).await;
        job.stop();
        // No server of these versions has it in its log.
        let names: Vec<String> = target.shape("t").await.columns.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["id", "a", "b"]);
        let rows = target.rows("SELECT id, a, b FROM t ORDER BY id").await;
        assert_eq!(rows, source.rows("SELECT id, a, b FROM t ORDER BY id").await);
    })
    .await;
}

/// A table that joins a running job's list is read while the others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_joins_is_read_and_followed() {
    postgres_both(async |server| {
        let scene = Shaped::new(server, "join", "").await;
        let job = scene.started().await;
        scene
            .source
            .run(&[
                "CREATE TABLE late (id int PRIMARY KEY, a text)",
                "INSERT INTO late SELECT n, 'before' FROM generate_series(1, 500) n",
            ])
            .await;
        job.stop();
        let text = std::fs::read_to_string(&scene.job.file).expect("the job file is there");
        scene.job.rewrite(&text.replace("public.t\"\"\"", "public.(t|late)\"\"\""));
        scene
            .source
            .run(&[
                "UPDATE late SET a = 'while it was down' WHERE id < 50",
                "INSERT INTO t VALUES (3, 'c', 3)",
            ])
            .await;
        let job = scene.job.start();
        until_rows(&scene.target, "late", 500, &job).await;
        scene
            .source
            .run(&["UPDATE late SET a = 'followed' WHERE id > 450", "INSERT INTO late VALUES (999, 'end')"])
            .await;
        until(&scene.target, "SELECT count(*) FROM late WHERE id = 999", "1", &job).await;
        scene.arrived(3, &job).await;
        job.stop();
        scene.same().await;
        assert_same((&scene.source, "late"), (&scene.target, "late")).await;
    })
    .await;
}

/// A transaction wrote to the table before it joined, and ends after its snapshot: the log tells what
/// it wrote before only when the table was published then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_joins_with_a_transaction_under_way() {
    postgres_both(async |server| {
        let scene = Shaped::new(server, "under", "").await;
        let late = ["CREATE TABLE late (id int PRIMARY KEY, a text)"];
        scene.source.run(&late).await;
        scene.source.run(&["INSERT INTO late SELECT n, 'before' FROM generate_series(1, 50) n"]).await;
        scene.target.run(&late).await;
        scene.started().await.stop();
        let writer = server.client(scene.source.name()).await;
        let begin =
            "BEGIN; INSERT INTO late VALUES (100, 'under way'); UPDATE late SET a = 'under way' WHERE id = 1";
        writer.batch_execute(begin).await.expect("it begins");
        let text = std::fs::read_to_string(&scene.job.file).expect("the job file is there");
        scene.job.rewrite(&text.replace("public.t\"\"\"", "public.(t|late)\"\"\""));
        let job = scene.job.start();
        // The snapshot may wait for the transaction, so the transaction does not wait for it.
        job.until_said("a new table is published").await;
        scene.source.run(&["INSERT INTO t VALUES (3, 'c', 3)"]).await;
        let read = "SELECT count(*) FROM late WHERE id = 50";
        let patience = std::time::Duration::from_secs(3);
        let waited = tokio::time::timeout(patience, until(&scene.target, read, "1", &job)).await;
        println!("read before the transaction ended: {}", waited.is_ok());
        writer.batch_execute("INSERT INTO late VALUES (101, 'and after'); COMMIT").await.expect("it commits");
        until(&scene.target, "SELECT count(*) FROM late WHERE id = 101", "1", &job).await;
        until_rows(&scene.target, "late", 52, &job).await;
        job.stop();
        assert_same((&scene.source, "late"), (&scene.target, "late")).await;
    })
    .await;
}

/// The rows of a table that inherits from another one are its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_with_heirs_is_itself() {
    postgres_both(async |server| {
        let source = Database::fresh(server, "heirs").await;
        let target = Database::fresh(server, "copy").await;
        source
            .run(&[
                "CREATE TABLE t (id int PRIMARY KEY, a text)",
                "CREATE TABLE heir (more int, PRIMARY KEY (id)) INHERITS (t)",
                "INSERT INTO t VALUES (1, 'own')",
                "INSERT INTO heir VALUES (2, 'of the heir', 5)",
            ])
            .await;
        let name = format!("{} {}", source.name(), server.port());
        let job = JobSpec::mirror(&name, &source, &["t", "heir"], &target).ready().start();
        until_rows(&target, "heir", 1, &job).await;
        source
            .run(&[
                "INSERT INTO heir VALUES (3, 'later', 6)",
                "UPDATE t SET a = a || '!'",
                "INSERT INTO t VALUES (4, 'end')",
            ])
            .await;
        until(&target, "SELECT count(*) FROM t WHERE id = 4", "1", &job).await;
        until_rows(&target, "heir", 2, &job).await;
        job.stop();
        let ids = |database: &'_ Database<'_>, of: &str| {
            format!(
                "SELECT id, a FROM {}{of} ORDER BY id",
                if database.name() == source.name() { "ONLY " } else { "" }
            )
        };
        for table in ["t", "heir"] {
            assert_eq!(
                target.rows(&ids(&target, table)).await,
                source.rows(&ids(&source, table)).await,
                "{table}"
            );
        }
    })
    .await;
}

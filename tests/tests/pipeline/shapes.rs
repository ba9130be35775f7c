//! Changes of a table's shape, while the job runs and while it does not.

use culvert_tests::process::Running;
use culvert_tests::{Flavor, RowMetadata, Server, ServerOptions, oracle};

use super::{JobSpec, LIMIT, TestJob, until_count};

struct Shaped {
    server: Server,
    source: String,
    target: String,
    job: TestJob,
}

impl Shaped {
    /// A server whose table maps carry no names, so that only the statements of the log tell.
    async fn new(flavor: Flavor, follow: bool) -> Shaped {
        let options = ServerOptions { row_metadata: RowMetadata::Minimal, ..ServerOptions::default() };
        let server = Server::start(flavor, options).await;
        let source = server.fresh_database("shape").await;
        let target = server.fresh_database("copy").await;
        server
            .execute(&[
                &format!("CREATE TABLE {source}.t (id INT PRIMARY KEY, a VARCHAR(20), b INT)"),
                &format!("INSERT INTO {source}.t VALUES (1, 'one', 1), (2, 'two', 2)"),
            ])
            .await;
        let job = TestJob::new(&JobSpec {
            name: &format!("shape-{}-{follow}", flavor.name()),
            source_url: server.url(&source),
            server_id: 4712,
            tables: &[&format!("{source}.[a-z]+")],
            source: if follow { "schema-changes.enabled = true" } else { "" },
            transform: "",
            sink_url: server.url(&target),
            target_database: &target,
            sink: "",
        });
        Shaped { server, source, target, job }
    }

    async fn run(&self, statements: &[&str]) {
        let statements: Vec<String> =
            statements.iter().map(|text| text.replace("DB", &self.source)).collect();
        let list: Vec<&str> = statements.iter().map(String::as_str).collect();
        self.server.execute(&list).await;
    }

    async fn until(&self, query: &str, wanted: u64, job: &Running) {
        let query = query.replace("COPY", &self.target);
        until_count(&self.server, &query, wanted, Some(job)).await;
    }

    async fn started(&self) -> Running {
        let job = self.job.start();
        let made = format!(
            "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{}' AND TABLE_NAME = 't'",
            self.target
        );
        until_count(&self.server, &made, 1, Some(&job)).await;
        self.until("SELECT COUNT(*) FROM COPY.t WHERE id = 2", 1, &job).await;
        job
    }

    async fn same(&self, table: &str) {
        let (mut left, mut right) = (self.server.conn().await, self.server.conn().await);
        let (source, target) = (format!("{}.{table}", self.source), format!("{}.{table}", self.target));
        oracle::assert_same_table((&mut left, &source), (&mut right, &target)).await;
    }
}

async fn followed(flavor: Flavor) {
    let scene = Shaped::new(flavor, true).await;
    let job = scene.started().await;
    scene
        .run(&[
            "ALTER TABLE DB.t ADD COLUMN c DATETIME(3) NULL AFTER a",
            "INSERT INTO DB.t VALUES (3, 'three', '2024-02-29 01:02:03.004', 3)",
            "ALTER TABLE DB.t MODIFY a VARCHAR(200), DROP COLUMN b",
            "INSERT INTO DB.t VALUES (4, REPEAT('long', 30), NULL)",
            "ALTER TABLE DB.t CHANGE a name VARCHAR(200) NOT NULL DEFAULT ''",
            "UPDATE DB.t SET name = 'renamed' WHERE id = 1",
            "CREATE TABLE DB.joined (id BIGINT UNSIGNED PRIMARY KEY, x ENUM('a','b'))",
            "INSERT INTO DB.joined VALUES (18446744073709551615, 'b')",
            "INSERT INTO DB.t VALUES (5, 'five', NULL)",
        ])
        .await;
    scene.until("SELECT COUNT(*) FROM COPY.t WHERE id = 5", 1, &job).await;
    scene.same("t").await;
    scene.same("joined").await;
    // Killed, changed while it is down, started again: rows are decoded as of their place.
    job.kill();
    scene
        .run(&[
            "INSERT INTO DB.t VALUES (6, 'six', NULL)",
            "ALTER TABLE DB.t ADD COLUMN d INT UNSIGNED FIRST",
            "INSERT INTO DB.t (d, id, name) VALUES (4000000000, 7, 'seven')",
            "ALTER TABLE DB.t DROP COLUMN c",
            "INSERT INTO DB.t (d, id, name) VALUES (1, 8, 'eight')",
        ])
        .await;
    let job = scene.job.start();
    scene.until("SELECT COUNT(*) FROM COPY.t WHERE id = 8", 1, &job).await;
    scene.same("t").await;
    // As tools for online changes do it: a copy under another name takes the table's place.
    scene
        .run(&[
            "CREATE TABLE DB.t_1 LIKE DB.t",
            "ALTER TABLE DB.t_1 ADD COLUMN e DECIMAL(10,2) NULL",
            "INSERT INTO DB.t_1 (d, id, name) SELECT d, id, name FROM DB.t",
            "RENAME TABLE DB.t TO DB.t_2, DB.t_1 TO DB.t",
            "INSERT INTO DB.t (id, name, e) VALUES (9, 'nine', -1.50)",
        ])
        .await;
    scene.until("SELECT COUNT(*) FROM COPY.t WHERE id = 9", 1, &job).await;
    scene.same("t").await;
    job.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_shape_are_followed_on_mariadb() {
    followed(Flavor::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_shape_are_followed_on_mysql() {
    followed(Flavor::MySql).await;
}

/// The default: the target keeps the shape the job started with, across restarts.
async fn kept(flavor: Flavor) {
    let scene = Shaped::new(flavor, false).await;
    let job = scene.started().await;
    scene
        .run(&[
            "ALTER TABLE DB.t ADD COLUMN c INT FIRST, DROP COLUMN b",
            "INSERT INTO DB.t (id, a, c) VALUES (3, 'three', 33)",
        ])
        .await;
    scene.until("SELECT COUNT(*) FROM COPY.t WHERE id = 3 AND a = 'three' AND b IS NULL", 1, &job).await;
    job.kill();
    scene
        .run(&["ALTER TABLE DB.t ADD COLUMN d INT AFTER c", "INSERT INTO DB.t (id, a) VALUES (4, 'four')"])
        .await;
    let job = scene.job.start();
    scene.until("SELECT COUNT(*) FROM COPY.t WHERE id = 4 AND a = 'four'", 1, &job).await;
    let log = job.terminate(LIMIT);
    log.assert_code(0);
    assert!(log.stderr.contains("keep the shape"), "the job says so: {}", log.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shape_is_kept_by_default_on_mariadb() {
    kept(Flavor::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shape_is_kept_by_default_on_mysql() {
    kept(Flavor::MySql).await;
}

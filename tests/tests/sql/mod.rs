//! The transform Sql in whole jobs: which rows reach the target, and what a change of shape does.

use culvert_tests::process::Running;
use culvert_tests::{Flavor, Server, ServerOptions, oracle};

use crate::pipeline::{JobSpec, LIMIT, TestJob, until_count};

/// A server with a table of two rows, a target, and a job with a query between them.
struct Scene {
    server: Server,
    source: String,
    target: String,
    job: TestJob,
}

impl Scene {
    async fn new(
        flavor: Flavor,
        name: &str,
        transform: &str,
        target_table: Option<&str>,
        sink: &str,
    ) -> Scene {
        let server = Server::start(flavor, ServerOptions::default()).await;
        let source = server.fresh_database("asked").await;
        let target = server.fresh_database("answered").await;
        server
            .execute(&[
                &format!("CREATE TABLE {source}.t (id INT PRIMARY KEY, name VARCHAR(20), extra INT)"),
                &format!("INSERT INTO {source}.t VALUES (1, 'one', 1), (2, 'two', 2)"),
            ])
            .await;
        if let Some(columns) = target_table {
            server.execute(&[&format!("CREATE TABLE {target}.t {columns}")]).await;
        }
        let job = TestJob::new(&JobSpec {
            name: &format!("sql-{name}-{}", flavor.name()),
            source_url: server.url(&source),
            server_id: 4730,
            tables: &[&format!("{source}.t")],
            source: "plugin_output = rows, schema-changes.enabled = true",
            transform,
            sink_url: server.url(&target),
            target_database: &target,
            sink: &format!("plugin_input = made, {sink}"),
        });
        Scene { server, source, target, job }
    }

    async fn run(&self, statements: &[&str]) {
        for statement in statements {
            self.server.execute(&[&statement.replace("DB", &self.source)]).await;
        }
    }

    async fn until(&self, query: &str, wanted: u64, job: &Running) {
        until_count(&self.server, &query.replace("COPY", &self.target), wanted, Some(job)).await;
    }

    /// The rows of a query, their values joined by blanks.
    async fn rows(&self, query: &str) -> Vec<String> {
        let mut conn = self.server.conn().await;
        let rows = oracle::rows_in_order(&mut conn, &query.replace("COPY", &self.target)).await;
        let text = |value: Option<String>| value.unwrap_or_else(|| "NULL".to_owned());
        rows.into_iter().map(|row| row.into_iter().map(text).collect::<Vec<_>>().join(" ")).collect()
    }
}

/// The rows that were inserted, of a change log.
async fn inserted_rows(flavor: Flavor) {
    let transform = "RowKindExtractor { plugin_input = rows, plugin_output = trans_row }\n \
         Sql { plugin_input = trans_row, plugin_output = made, \
               query = \"select id, name from trans_row where row_kind = '+I'\" }";
    let scene = Scene::new(flavor, "seed", transform, Some("(id INT, name VARCHAR(20))"), "table = t").await;
    let job = scene.job.start();
    scene.until("SELECT COUNT(*) FROM COPY.t", 2, &job).await;
    scene
        .run(&[
            "INSERT INTO DB.t VALUES (3, 'three', 3)",
            "UPDATE DB.t SET name = 'changed' WHERE id = 1",
            "DELETE FROM DB.t WHERE id = 2",
            "INSERT INTO DB.t VALUES (4, NULL, 4)",
        ])
        .await;
    scene.until("SELECT COUNT(*) FROM COPY.t WHERE id = 4", 1, &job).await;
    assert_eq!(scene.rows("SELECT * FROM COPY.t ORDER BY id").await, ["1 one", "2 two", "3 three", "4 NULL"]);
    job.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inserted_rows_mariadb() {
    inserted_rows(Flavor::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inserted_rows_mysql() {
    inserted_rows(Flavor::MySql).await;
}

/// A mirror of the rows that pass: rows come and go with their values.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_holds_what_passes() {
    let query = "Sql { plugin_input = rows, plugin_output = made, \
                 query = \"select id as number, UPPER(name) as name from t where extra > 1\" }";
    let scene = Scene::new(Flavor::MariaDb, "mirror", query, None, "table = t").await;
    let job = scene.job.start();
    scene
        .run(&[
            "INSERT INTO DB.t VALUES (3, 'three', 0), (4, 'four', 4), (5, 'five', 5)",
            "UPDATE DB.t SET extra = 9 WHERE id = 1",
            "UPDATE DB.t SET extra = 0 WHERE id = 4",
            "UPDATE DB.t SET name = 'fifth' WHERE id = 5",
            "DELETE FROM DB.t WHERE id = 2",
            "INSERT INTO DB.t VALUES (6, 'six', 6)",
        ])
        .await;
    let made = format!(
        "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{}' AND TABLE_NAME = 't'",
        scene.target
    );
    until_count(&scene.server, &made, 1, Some(&job)).await;
    scene.until("SELECT COUNT(*) FROM COPY.t WHERE number = 6", 1, &job).await;
    assert_eq!(
        scene.rows("SELECT number, name FROM COPY.t ORDER BY number").await,
        ["1 ONE", "5 FIFTH", "6 SIX"]
    );
    job.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_columns_follow_a_change_of_shape() {
    let query =
        "Sql { plugin_input = rows, plugin_output = made, query = \"select *, extra + 1 as more from t\" }";
    let scene = Scene::new(
        Flavor::MariaDb,
        "all",
        query,
        Some("(id INT PRIMARY KEY, name VARCHAR(20), extra INT, more INT)"),
        "table = t",
    )
    .await;
    let job = scene.job.start();
    scene.until("SELECT COUNT(*) FROM COPY.t", 2, &job).await;
    scene
        .run(&[
            "ALTER TABLE DB.t ADD COLUMN c INT NULL",
            "INSERT INTO DB.t (id, name, extra, c) VALUES (3, 'three', 3, 33)",
        ])
        .await;
    scene.until("SELECT COUNT(*) FROM COPY.t WHERE id = 3", 1, &job).await;
    let rows = scene.rows("SELECT id, name, extra, more, c FROM COPY.t ORDER BY id").await;
    assert_eq!(rows, ["1 one 1 2 NULL", "2 two 2 3 NULL", "3 three 3 4 33"]);
    job.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_does_not_see_an_added_column_and_stops_at_a_dropped_one() {
    let query = "Sql { plugin_input = rows, plugin_output = made, query = \"select id, name from t\" }";
    let scene = Scene::new(
        Flavor::MariaDb,
        "list",
        query,
        Some("(id INT PRIMARY KEY, name VARCHAR(20))"),
        "table = t",
    )
    .await;
    let job = scene.job.start();
    scene.until("SELECT COUNT(*) FROM COPY.t", 2, &job).await;
    scene
        .run(&[
            "ALTER TABLE DB.t ADD COLUMN c INT NULL",
            "INSERT INTO DB.t (id, name, c) VALUES (3, 'three', 33)",
        ])
        .await;
    scene.until("SELECT COUNT(*) FROM COPY.t WHERE id = 3", 1, &job).await;
    assert_eq!(scene.rows("SELECT * FROM COPY.t ORDER BY id").await, ["1 one", "2 two", "3 three"]);
    scene.run(&["ALTER TABLE DB.t DROP COLUMN name", "INSERT INTO DB.t (id) VALUES (4)"]).await;
    let ended = job.wait(LIMIT);
    assert_ne!(ended.code, Some(0));
    for part in ["there is no column `name`", "transform=Sql", "column=name"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

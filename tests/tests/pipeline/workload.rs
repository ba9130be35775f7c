//! Writers that change three tables at random: one with a number as key, one with text, one
//! without a key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use culvert_tests::process::Running;
use culvert_tests::{Server, oracle, random};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use rand::Rng;
use tokio::task::JoinSet;

use super::{JobSpec, TestJob, until_count};

/// The tables, and what tells their rows apart.
pub(crate) const TABLES: [(&str, &[&str]); 3] = [("item", &["id"]), ("label", &["name"]), ("event", &[])];

/// A source database, the databases of a mirror and a change log beside it, and the jobs that
/// fill them.
pub(crate) struct Scene {
    pub(crate) source: String,
    pub(crate) mirror: String,
    pub(crate) log: String,
    pub(crate) mirror_job: TestJob,
    pub(crate) log_job: TestJob,
}

impl Scene {
    /// Creates the tables, fills them with `rows` items, and writes the job files. `source_port`
    /// is where the jobs reach the source (a proxy, perhaps).
    pub(crate) async fn new(
        server: &Server,
        target: &Server,
        rows: u64,
        chunk: u64,
        source_url: Option<String>,
    ) -> Scene {
        let source = server.fresh_database("source").await;
        let mirror = target.fresh_database("mirror").await;
        let log = target.fresh_database("log").await;
        create_source(server, &source, rows).await;
        create_log(target, &log).await;
        let url = source_url.unwrap_or_else(|| server.url(&source));
        let names: Vec<String> = TABLES.iter().map(|(table, _)| format!("{source}.{table}")).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        // A table without a key cannot be mirrored; its change log is complete all the same.
        let keyed = &all[..2];
        let id = 20_000 + u32::from(server.port());
        let split = format!("snapshot.split.size = {chunk}");
        let mirror_job = TestJob::new(&JobSpec {
            name: &format!("mirror-{source}"),
            source_url: url.clone(),
            server_id: id,
            tables: keyed,
            source: &split,
            transform: "",
            sink_url: target.url(&mirror),
            target_database: &mirror,
            sink: "",
        });
        let log_job = TestJob::new(&JobSpec {
            name: &format!("log-{source}"),
            source_url: url,
            server_id: id + 100_000,
            tables: &all,
            source: &split,
            transform: "RowKindExtractor { }",
            sink_url: target.url(&log),
            target_database: &log,
            sink: "",
        });
        Scene { source, mirror, log, mirror_job, log_job }
    }

    /// Marks the end of the source's changes and waits until both targets have the mark and as
    /// many rows of each table as the source: a mark alone can overtake chunks of a snapshot.
    pub(crate) async fn catch_up(&self, server: &Server, target: &Server, jobs: [&Running; 2]) {
        self.catch_up_to(-1, server, target, jobs).await;
    }

    /// The same with a mark of one's own, for more than one time.
    pub(crate) async fn catch_up_to(&self, id: i64, server: &Server, target: &Server, jobs: [&Running; 2]) {
        let mark = format!("INSERT INTO {}.item VALUES ({id}, 0, 'mark', NULL, NULL)", self.source);
        server.execute(&[&mark]).await;
        let made = format!(
            "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{}' AND TABLE_NAME IN ('item', 'label')",
            self.mirror
        );
        until_count(target, &made, 2, Some(jobs[0])).await;
        until_count(
            target,
            &format!("SELECT COUNT(*) FROM {}.item WHERE id = {id}", self.mirror),
            1,
            Some(jobs[0]),
        )
        .await;
        until_count(
            target,
            &format!("SELECT COUNT(*) FROM {}.item WHERE id = {id}", self.log),
            1,
            Some(jobs[1]),
        )
        .await;
        let mut conn = server.conn().await;
        for (table, key) in TABLES {
            let count: Option<u64> = conn
                .query_first(format!("SELECT COUNT(*) FROM {}.{table}", self.source))
                .await
                .expect("rows can be counted");
            let count = count.expect("a count");
            if !key.is_empty() {
                until_count(
                    target,
                    &format!("SELECT COUNT(*) FROM {}.{table}", self.mirror),
                    count,
                    Some(jobs[0]),
                )
                .await;
            }
            let net = format!(
                "SELECT CAST(SUM(IF(row_kind IN ('+I', '+U'), 1, -1)) AS SIGNED) FROM {}.{table}",
                self.log
            );
            until_count(target, &net, count, Some(jobs[1])).await;
        }
    }

    /// Source and mirror are equal row for row; every change log replays, legally, to the source.
    pub(crate) async fn compare(&self, server: &Server, target: &Server) {
        let mut at_source = server.conn().await;
        let mut at_target = target.conn().await;
        for (table, key) in TABLES {
            let origin = format!("{}.{table}", self.source);
            if !key.is_empty() {
                let copy = format!("{}.{table}", self.mirror);
                oracle::assert_same_table((&mut at_source, &origin), (&mut at_target, &copy)).await;
            }
            let logged = format!("{}.{table}", self.log);
            let changes = oracle::AppendLog::read(&mut at_target, &logged, "seq", "row_kind", key).await;
            let replayed =
                oracle::replay(&changes).unwrap_or_else(|violation| panic!("{logged}: {violation}"));
            let names: Vec<String> = oracle::columns(&mut at_source, &origin)
                .await
                .iter()
                .map(|name| oracle::quoted(name))
                .collect();
            let query = format!("SELECT {} FROM {}", names.join(", "), oracle::quoted_table(&origin));
            let rows = oracle::rows(&mut at_source, &query).await;
            oracle::assert_same((&origin, &rows), (&logged, &replayed));
        }
    }
}

pub(crate) async fn create_source(server: &Server, database: &str, rows: u64) {
    server
        .execute(&[
            &format!(
                "CREATE TABLE {database}.item (id BIGINT PRIMARY KEY, part INT NOT NULL, name VARCHAR(60), \
                 note VARCHAR(200), changed DATETIME(6))"
            ),
            &format!("CREATE TABLE {database}.label (name VARCHAR(40) PRIMARY KEY, uses INT NOT NULL) CHARACTER SET utf8mb4"),
            &format!("CREATE TABLE {database}.event (item BIGINT, what VARCHAR(20), at DATETIME(3))"),
        ])
        .await;
    let mut conn = server.conn().await;
    // Sparse keys, so that even steps would make empty chunks.
    let mut first = 1;
    while first <= rows {
        let last = (first + 4999).min(rows);
        let values: Vec<String> = (first..=last)
            .map(|n| format!("({},{},'item {n}','{}',NOW(6))", n * 7, n % 97, "x".repeat((n % 60) as usize)))
            .collect();
        conn.query_drop(format!("INSERT INTO {database}.item VALUES {}", values.join(",")))
            .await
            .expect("rows are inserted");
        first = last + 1;
    }
    let labels: Vec<String> = (0..rows / 50).map(|n| format!("('{}', {n})", label(n))).collect();
    if !labels.is_empty() {
        conn.query_drop(format!("INSERT INTO {database}.label VALUES {}", labels.join(",")))
            .await
            .expect("labels are inserted");
    }
    let events: Vec<String> = (0..rows / 100).map(|n| format!("({n}, 'begin', NULL)")).collect();
    if !events.is_empty() {
        conn.query_drop(format!("INSERT INTO {database}.event VALUES {}", events.join(",")))
            .await
            .expect("events are inserted");
    }
}

/// Names whose collation order differs from their byte order.
fn label(n: u64) -> String {
    let word = ["Ärger", "apfel", "Birne", "zebra", "Éclair", "öl", "Zug", "émail"][(n % 8) as usize];
    format!("{word}-{n}")
}

async fn create_log(target: &Server, database: &str) {
    target
        .execute(&[
            &format!(
                "CREATE TABLE {database}.item (id BIGINT, part INT, name VARCHAR(60), note VARCHAR(200), changed DATETIME(6), \
                 row_kind VARCHAR(13), seq BIGINT AUTO_INCREMENT PRIMARY KEY)"
            ),
            &format!(
                "CREATE TABLE {database}.label (name VARCHAR(40) CHARACTER SET utf8mb4, uses INT, row_kind VARCHAR(13), seq BIGINT AUTO_INCREMENT PRIMARY KEY)"
            ),
            &format!(
                "CREATE TABLE {database}.event (item BIGINT, what VARCHAR(20), at DATETIME(3), row_kind VARCHAR(13), seq BIGINT AUTO_INCREMENT PRIMARY KEY)"
            ),
        ])
        .await;
}

/// Writers at work.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
    committed: Arc<AtomicU64>,
}

impl Writers {
    /// Starts `count` writers on the database.
    pub(crate) async fn start(server: &Server, database: &str, count: u64, rows: u64, seed: u64) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let committed = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let conn = server.conn().await;
            let writer = Writer {
                conn,
                database: database.to_owned(),
                random: random::generator(seed + number),
                rows,
                next_id: 1_000_000_000 + number,
                step: count,
            };
            tasks.spawn(writer.run(Arc::clone(&stop), Arc::clone(&committed)));
        }
        Writers { stop, tasks, committed }
    }

    /// Transactions committed so far.
    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Relaxed)
    }

    /// Stops them and returns how many transactions they committed.
    pub(crate) async fn stop(mut self) -> u64 {
        self.stop.store(true, Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a writer panicked");
        }
        self.committed.load(Relaxed)
    }
}

struct Writer<R> {
    conn: Conn,
    database: String,
    random: R,
    rows: u64,
    next_id: u64,
    step: u64,
}

impl<R: Rng> Writer<R> {
    async fn run(mut self, stop: Arc<AtomicBool>, committed: Arc<AtomicU64>) {
        while !stop.load(Relaxed) {
            match self.transaction().await {
                Ok(()) => {
                    committed.fetch_add(1, Relaxed);
                }
                // Deadlocks, lock waits and keys that are taken belong to the game.
                Err(Error::Server(error)) if [1213, 1205, 1062].contains(&error.code) => {
                    self.conn.query_drop("ROLLBACK").await.expect("a rollback works");
                }
                Err(error) => panic!("a writer failed: {error}"),
            }
        }
    }

    async fn transaction(&mut self) -> Result<(), Error> {
        self.conn.query_drop("START TRANSACTION").await?;
        for _ in 0..self.random.random_range(1..=4) {
            let statement = self.statement();
            self.conn.query_drop(statement).await?;
        }
        // Some transactions never happen.
        let end = if self.random.random_range(0..20) == 0 { "ROLLBACK" } else { "COMMIT" };
        self.conn.query_drop(end).await
    }

    fn any_id(&mut self) -> u64 {
        if self.random.random_range(0..4) == 0 {
            let back = self.random.random_range(0..200) * self.step;
            self.next_id.saturating_sub(back)
        } else {
            self.random.random_range(1..=self.rows.max(1)) * 7
        }
    }

    fn fresh_id(&mut self) -> u64 {
        if self.random.random_bool(0.5) {
            self.next_id += self.step;
            self.next_id
        } else {
            // Between the sparse keys: lands in chunks that are being read.
            self.random.random_range(1..=self.rows.max(1)) * 7 + self.random.random_range(1..7)
        }
    }

    fn statement(&mut self) -> String {
        let db = self.database.clone();
        let id = self.any_id();
        match self.random.random_range(0..14) {
            0..=2 => {
                let fresh = self.fresh_id();
                format!("INSERT INTO {db}.item VALUES ({fresh}, {}, 'new {fresh}', NULL, NOW(6))", fresh % 97)
            }
            3..=5 => format!(
                "UPDATE {db}.item SET part = part + 1, note = UUID(), changed = NOW(6) WHERE id = {id}"
            ),
            6 => {
                let part = self.random.random_range(0..97);
                format!(
                    "UPDATE {db}.item SET name = CONCAT('n', id) WHERE part = {part} AND id BETWEEN {id} AND {id} + 2000"
                )
            }
            7 => {
                let fresh = self.fresh_id();
                format!("UPDATE {db}.item SET id = {fresh} WHERE id = {id}")
            }
            8 => format!("DELETE FROM {db}.item WHERE id = {id}"),
            9 => format!("INSERT INTO {db}.event VALUES ({id}, 'saw', NOW(3))"),
            10 => format!("UPDATE {db}.event SET what = 'seen' WHERE item = {id} LIMIT 1"),
            11 => {
                let n = self.random.random_range(0..(self.rows / 50).max(1));
                let name = label(n);
                // Sometimes only the letter case changes: another key, the same for the collation.
                if self.random.random_bool(0.3) {
                    format!("UPDATE {db}.label SET name = UPPER(name), uses = uses + 1 WHERE name = '{name}'")
                } else {
                    format!("UPDATE {db}.label SET uses = uses + 1 WHERE name = '{name}'")
                }
            }
            12 => {
                let n = self.random.random_range(0..self.rows.max(1));
                format!(
                    "INSERT INTO {db}.label VALUES ('{}', 1) ON DUPLICATE KEY UPDATE uses = uses + 1",
                    label(n)
                )
            }
            _ => {
                let n = self.random.random_range(0..(self.rows / 50).max(1));
                format!("DELETE FROM {db}.label WHERE name = '{}'", label(n))
            }
        }
    }
}

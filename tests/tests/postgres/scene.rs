//! A source with tables of every sort, a mirror and change logs of it, and the jobs between them.

use std::time::Duration;

use culvert_tests::database::{Kind, assert_replays, assert_same};
use culvert_tests::{Database, wait};

use super::job::{Job, JobSpec, TestJob, until, until_rows};
use crate::pipeline::workload as mysql;

/// A table, the columns of its key, and what is made of it.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) key: &'static [&'static str],
    mirrored: bool,
    logged: bool,
}

/// A table without a key cannot be mirrored. `document` does not log whole rows before a change, so
/// its history cannot be appended; PostgreSQL only.
pub(crate) const TABLES: [Table; 4] = [
    Table { name: "item", key: &["id"], mirrored: true, logged: true },
    Table { name: "label", key: &["name"], mirrored: true, logged: true },
    Table { name: "event", key: &[], mirrored: false, logged: true },
    Table { name: "document", key: &["id"], mirrored: true, logged: false },
];

/// Databases and jobs.
pub(crate) struct Scene<'a> {
    pub(crate) source: Database<'a>,
    pub(crate) mirror: Database<'a>,
    pub(crate) log: Database<'a>,
    pub(crate) mirror_job: TestJob,
    pub(crate) log_job: TestJob,
}

/// Both jobs of a scene at work.
pub(crate) struct Jobs {
    pub(crate) mirror: Job,
    pub(crate) log: Job,
}

impl<'a> Scene<'a> {
    /// Creates the tables, fills them with `rows` items, and writes the job files. `url` is where
    /// the jobs reach the source's server instead of directly.
    pub(crate) async fn new(
        server: impl Into<Kind<'a>>,
        target: impl Into<Kind<'a>>,
        rows: u64,
        chunk: u64,
        url: Option<&dyn Fn(&str) -> String>,
    ) -> Scene<'a> {
        let target = target.into();
        let source = Database::fresh(server, "source").await;
        let mirror = Database::fresh(target, "mirror").await;
        let log = Database::fresh(target, "log").await;
        match source.server() {
            Kind::MySql(server) => mysql::create_source(server, source.name(), rows).await,
            Kind::Postgres(_) => create_source(&source, rows).await,
        }
        create_log(&log).await;
        let names = |which: fn(&Table) -> bool| -> Vec<&str> {
            tables(&source).filter(|table| which(table)).map(|table| table.name).collect()
        };
        let split = format!("snapshot.split.size = {chunk}");
        let url = url.map(|url| url(source.name()));
        let job = |name: &str, log_job: bool, database: &Database<'a>| {
            let tables = names(if log_job { |table| table.logged } else { |table| table.mirrored });
            let name = format!("{name} {} {}", source.name(), source.port());
            let spec = if log_job {
                JobSpec::log(&name, &source, &tables, database)
            } else {
                JobSpec::mirror(&name, &source, &tables, database)
            };
            JobSpec { source_options: &split, source_url: url.clone(), ..spec }.ready()
        };
        let (mirror_job, log_job) = (job("mirror", false, &mirror), job("log", true, &log));
        Scene { source, mirror, log, mirror_job, log_job }
    }

    pub(crate) fn start(&self) -> Jobs {
        Jobs { mirror: self.mirror_job.start(), log: self.log_job.start() }
    }

    /// Starts both and waits until they are through with their snapshot.
    pub(crate) async fn started(&self) -> Jobs {
        let jobs = self.start();
        self.catch_up(-2, &jobs).await;
        jobs
    }

    /// Marks the end of the source's changes with an item of this id and waits until both targets
    /// have the mark and as many rows of each table as the source: a mark alone can overtake chunks
    /// of a snapshot.
    pub(crate) async fn catch_up(&self, id: i64, jobs: &Jobs) {
        self.mark(id).await;
        for (database, job) in [(&self.mirror, &jobs.mirror), (&self.log, &jobs.log)] {
            until(database, &marked(database, id), "1", job).await;
        }
        for table in tables(&self.source) {
            let count = format!("SELECT COUNT(*) FROM {}", self.source.table(table.name));
            let count = self.source.value(&count).await.expect("a count");
            if table.mirrored {
                let count = count.parse().expect("a number");
                until_rows(&self.mirror, table.name, count, &jobs.mirror).await;
            }
            if table.logged {
                until(&self.log, &net(&self.log, table), &count, &jobs.log).await;
            }
        }
    }

    /// Marks the end of the source's changes with an item of this id.
    async fn mark(&self, id: i64) {
        let mark = format!("INSERT INTO {} VALUES ({id}, 0, 'mark', NULL, NULL)", self.source.table("item"));
        self.source.run(&[&mark]).await;
    }

    /// Does what [`Scene::catch_up`] does, for jobs that are no processes of their own: `told` says how they are.
    pub(crate) async fn catch_up_within(&self, limit: Duration, id: i64, told: impl Fn() -> String) {
        self.mark(id).await;
        let mut wanted: Vec<(&Database<'_>, String, String)> = Vec::new();
        for database in [&self.mirror, &self.log] {
            wanted.push((database, marked(database, id), "1".to_owned()));
        }
        for table in tables(&self.source) {
            let count = format!("SELECT COUNT(*) FROM {}", self.source.table(table.name));
            let count = self.source.value(&count).await.expect("a count");
            if table.mirrored {
                let query = format!("SELECT COUNT(*) FROM {}", self.mirror.table(table.name));
                wanted.push((&self.mirror, query, count.clone()));
            }
            if table.logged {
                wanted.push((&self.log, net(&self.log, table), count));
            }
        }
        for (database, query, wanted) in wanted {
            wait::until_ok(limit, &query, async || match database.query(&query).await {
                Ok(rows) if rows[0][0].as_deref() == Some(&wanted) => Ok(()),
                Ok(rows) => Err(format!("{:?} of {wanted}; {}", rows[0][0], told())),
                Err(error) => Err(format!("{error}; {}", told())),
            })
            .await;
        }
    }

    /// Source and mirror are equal row for row; every change log replays, legally, to the source.
    pub(crate) async fn compare(&self) {
        for table in tables(&self.source) {
            let source = (&self.source, table.name);
            if table.mirrored {
                assert_same(source, (&self.mirror, table.name)).await;
            }
            if table.logged {
                assert_replays(source, (&self.log, table.name), table.key).await;
            }
        }
    }

    /// Waits until the last change is there, stops the jobs and compares; returns both logs.
    pub(crate) async fn ended_well(&self, jobs: Jobs) -> String {
        self.catch_up(-1, &jobs).await;
        let mirror = jobs.mirror.stop();
        let log = jobs.log.stop();
        self.compare().await;
        mirror + &log
    }
}

fn marked(database: &Database<'_>, id: i64) -> String {
    format!("SELECT COUNT(*) FROM {} WHERE id = {id}", database.table("item"))
}

/// What the log of a table comes to: rows.
fn net(log: &Database<'_>, table: &Table) -> String {
    format!(
        "SELECT COALESCE(SUM(CASE WHEN row_kind IN ('+I', '+U') THEN 1 ELSE -1 END), 0) FROM {}",
        log.table(table.name)
    )
}

/// The tables there are at this source.
pub(crate) fn tables(source: &Database<'_>) -> impl Iterator<Item = &'static Table> {
    let all = if source.is_postgres() { TABLES.len() } else { TABLES.len() - 1 };
    TABLES.iter().take(all)
}

/// Names whose order in a language differs from their byte order.
pub(crate) const WORDS: [&str; 8] = ["Ärger", "apfel", "Birne", "zebra", "Éclair", "öl", "Zug", "émail"];

/// What the column `body` of a document holds: long, and not to be compressed, so that it is stored
/// out of line and an update of another column leaves it out of the log.
pub(crate) const BODY: &str =
    "(SELECT string_agg(md5(random()::text || n), '') FROM generate_series(1, 90) AS n)";

pub(crate) async fn create_source(source: &Database<'_>, rows: u64) {
    let words = WORDS.map(|word| format!("'{word}'")).join(",");
    source
        .run(&[
            "CREATE TABLE item (id bigint PRIMARY KEY, part int NOT NULL, name varchar(60), \
             note varchar(200), changed timestamp(6))",
            "CREATE TABLE label (name varchar(40) COLLATE \"und-x-icu\" PRIMARY KEY, uses int NOT NULL)",
            "CREATE TABLE event (item bigint, what varchar(20), at timestamp(3))",
            "CREATE TABLE document (id bigint PRIMARY KEY, reads int NOT NULL, body text)",
            "ALTER TABLE document ALTER body SET STORAGE EXTERNAL",
            "ALTER TABLE item REPLICA IDENTITY FULL",
            "ALTER TABLE label REPLICA IDENTITY FULL",
            "ALTER TABLE event REPLICA IDENTITY FULL",
            // Sparse keys, so that even steps would make empty chunks.
            &format!(
                "INSERT INTO item SELECT n * 7, n % 97, 'item ' || n, repeat('x', (n % 60)::int), now() \
                 FROM generate_series(1, {rows}) AS n"
            ),
            &format!(
                "INSERT INTO label SELECT (ARRAY[{words}])[1 + n % 8] || '-' || n, n \
                 FROM generate_series(0, {rows} / 50) AS n"
            ),
            &format!("INSERT INTO event SELECT n, 'begin', NULL FROM generate_series(1, {rows} / 100) AS n"),
            &format!(
                "INSERT INTO document SELECT n, 0, {BODY} FROM generate_series(1, {rows} / 200 + 3) AS n"
            ),
            "ANALYZE",
        ])
        .await;
}

pub(crate) async fn create_log(log: &Database<'_>) {
    let end = if log.is_postgres() {
        "row_kind varchar(13), seq bigserial PRIMARY KEY"
    } else {
        "row_kind VARCHAR(13), seq BIGINT AUTO_INCREMENT PRIMARY KEY"
    };
    let (six, three) =
        if log.is_postgres() { ("timestamp(6)", "timestamp(3)") } else { ("DATETIME(6)", "DATETIME(3)") };
    for table in [
        format!("item (id BIGINT, part INT, name VARCHAR(60), note VARCHAR(200), changed {six}, {end})"),
        format!("label (name VARCHAR(40), uses INT, {end})"),
        format!("event (item BIGINT, what VARCHAR(20), at {three}, {end})"),
    ] {
        log.run(&[&format!("CREATE TABLE {table}")]).await;
    }
}

//! What every case stands on: tables, an account whose password must never be seen, a job file.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use culvert_tests::certificates::Certificates;
use culvert_tests::oracle::{Row, rows, rows_in_order};
use culvert_tests::process::{Finished, Running};
use culvert_tests::{Culvert, Flavor, Server, ServerOptions, scratch, wait};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

/// The password of every account here; nothing else contains it.
pub(super) const PASSWORD: &str = "zebra-S3cret-41";

/// How long a program may take to end, and a row to arrive, on a busy machine.
pub(super) const LIMIT: Duration = Duration::from_secs(120);

/// Replica ids of jobs, one each.
static NEXT_SERVER_ID: AtomicU32 = AtomicU32::new(70_000);

/// A job file under construction: one option per line.
#[derive(Clone)]
pub(super) struct JobText {
    env: Vec<String>,
    source: Vec<(String, String)>,
    transform: Vec<String>,
    sink: Vec<(String, String)>,
}

impl JobText {
    /// Sets an option of the source; the value is HOCON.
    pub(super) fn source(mut self, key: &str, value: impl Into<String>) -> JobText {
        set(&mut self.source, key, value.into());
        self
    }

    /// Sets an option of the sink.
    pub(super) fn sink(mut self, key: &str, value: impl Into<String>) -> JobText {
        set(&mut self.sink, key, value.into());
        self
    }

    /// Leaves options of the source out.
    pub(super) fn without_source(mut self, keys: &[&str]) -> JobText {
        self.source.retain(|(key, _)| !keys.contains(&key.as_str()));
        self
    }

    /// Leaves options of the sink out.
    pub(super) fn without_sink(mut self, keys: &[&str]) -> JobText {
        self.sink.retain(|(key, _)| !keys.contains(&key.as_str()));
        self
    }

    /// Replaces the section `env`.
    pub(super) fn env(mut self, lines: &[&str]) -> JobText {
        self.env = lines.iter().map(ToString::to_string).collect();
        self
    }

    /// Replaces the transforms.
    pub(super) fn transforms(mut self, lines: &[&str]) -> JobText {
        self.transform = lines.iter().map(ToString::to_string).collect();
        self
    }

    /// The file's text.
    pub(super) fn text(&self) -> String {
        let options = |pairs: &[(String, String)]| -> Vec<String> {
            pairs.iter().map(|(key, value)| format!("    {key} = {value}")).collect()
        };
        let mut lines = vec!["env {".to_string()];
        lines.extend(self.env.iter().map(|line| format!("  {line}")));
        lines.extend(["}".into(), "source {".into(), "  MySQL-CDC {".into()]);
        lines.extend(options(&self.source));
        lines.extend(["  }".into(), "}".into(), "transform {".into()]);
        lines.extend(self.transform.iter().map(|line| format!("  {line}")));
        lines.extend(["}".into(), "sink {".into(), "  jdbc {".into()]);
        lines.extend(options(&self.sink));
        lines.extend(["  }".into(), "}".into(), String::new()]);
        lines.join("\n")
    }

    /// The number of the first line that contains a text.
    pub(super) fn line(&self, part: &str) -> usize {
        let text = self.text();
        text.lines().position(|line| line.contains(part)).expect("the job file has that line") + 1
    }
}

fn set(pairs: &mut Vec<(String, String)>, key: &str, value: String) {
    match pairs.iter_mut().find(|(known, _)| known == key) {
        Some(pair) => pair.1 = value,
        None => pairs.push((key.to_string(), value)),
    }
}

/// A database with a source table `w` of two rows and an empty change log `w2`, an account that may
/// do everything, and a folder for job file and state.
pub(super) struct Bed<'s> {
    pub(super) server: &'s Server,
    pub(super) db: String,
    pub(super) user: String,
    pub(super) server_id: u32,
    folder: TempDir,
}

impl<'s> Bed<'s> {
    pub(super) async fn new(server: &'s Server, name: &str) -> Bed<'s> {
        let db = server.fresh_database(&format!("bad_{name}")).await;
        let user = format!("u_{db}");
        let bed = Bed {
            server,
            user: user.clone(),
            server_id: NEXT_SERVER_ID.fetch_add(1, Ordering::Relaxed),
            folder: tempfile::tempdir().unwrap(),
            db: db.clone(),
        };
        bed.account(&user, &["ALL PRIVILEGES ON *.*"]).await;
        server
            .execute(&[
                &format!("CREATE TABLE {db}.w (id INT PRIMARY KEY, name VARCHAR(50))"),
                &format!("CREATE TABLE {db}.w2 (id INT, name VARCHAR(50), row_kind VARCHAR(13))"),
                &format!("INSERT INTO {db}.w VALUES (1, 'Alice'), (2, 'Bob')"),
            ])
            .await;
        bed
    }

    /// Makes an account with [`PASSWORD`].
    pub(super) async fn account(&self, name: &str, grants: &[&str]) {
        let mut statements = vec![format!("CREATE USER '{name}'@'%' IDENTIFIED BY '{PASSWORD}'")];
        statements.extend(grants.iter().map(|grant| format!("GRANT {grant} TO '{name}'@'%'")));
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        self.server.execute(&statements).await;
    }

    /// The job that writes the change log of `w` to `w2`.
    pub(super) fn job(&self) -> JobText {
        let url = format!("\"{}\"", self.server.url(&self.db));
        JobText {
            env: vec![
                "job.mode = \"STREAMING\"".into(),
                "checkpoint.interval = 100".into(),
                format!("job.name = \"{}\"", self.db),
            ],
            source: Vec::new(),
            transform: vec!["RowKindExtractor { }".into()],
            sink: Vec::new(),
        }
        .source("url", &url)
        .source("username", format!("\"{}\"", self.user))
        .source("password", format!("\"{PASSWORD}\""))
        .source("table-names", format!("[\"{}.w\"]", self.db))
        .source("server-id", self.server_id.to_string())
        .sink("url", &url)
        .sink("username", format!("\"{}\"", self.user))
        .sink("password", format!("\"{PASSWORD}\""))
        .sink("database", &self.db)
        .sink("table", "w2")
        .sink("generate_sink_sql", "true")
    }

    /// A path in the folder of this bed.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The state folder that [`Bed::run`] uses.
    pub(super) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Writes a file.
    pub(super) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// `culvert run` of a job file, with further arguments.
    pub(super) fn run_file(&self, file: &Path, more: &[&str]) -> Culvert {
        let (file, state) = (file.display().to_string(), self.state().display().to_string());
        let mut arguments = vec!["run", "-c", &file, "--state", &state];
        arguments.extend(more);
        Culvert::new(&arguments)
    }

    /// `culvert run` of a job.
    pub(super) fn run(&self, job: &JobText) -> Culvert {
        self.run_file(&self.file("job.conf", &job.text()), &[])
    }

    /// `culvert check` of a job, with further arguments.
    pub(super) fn check(&self, job: &JobText, more: &[&str]) -> Finished {
        let file = self.file("job.conf", &job.text()).display().to_string();
        let mut arguments = vec!["check", "-c", &file];
        arguments.extend(more);
        keeps_the_secret(Culvert::new(&arguments).run(LIMIT))
    }

    /// Starts a job and waits until the two first rows are at the target and committed.
    pub(super) async fn start(&self, job: &JobText) -> Running {
        let mut running = self.run(job).start();
        self.await_ids(&mut running, "1,2").await;
        running
    }

    /// Waits until the change log holds these ids, in this order.
    pub(super) async fn await_ids(&self, running: &mut Running, ids: &str) {
        wait::until_ok(LIMIT, &format!("the ids {ids} in {}.w2", self.db), async || {
            let found = self.ids().await;
            match running.ended() {
                _ if found == ids => Ok(()),
                None => Err(found),
                Some(status) => panic!("it ended ({status}) with ids {found}: {}", running.stderr()),
            }
        })
        .await;
    }

    /// The ids in the change log, in the order of their arrival.
    pub(super) async fn ids(&self) -> String {
        let query = format!("SELECT id FROM {}.w2", self.db);
        let all = rows_in_order(&mut self.server.conn().await, &query).await;
        all.concat().into_iter().flatten().collect::<Vec<String>>().join(",")
    }

    /// Inserts rows into `w`.
    pub(super) async fn insert(&self, ids: &[u32]) {
        for id in ids {
            self.server.execute(&[&format!("INSERT INTO {}.w VALUES ({id}, 'x')", self.db)]).await;
        }
    }

    /// Everything in the database: definitions and rows.
    pub(super) async fn contents(&self) -> Vec<(String, Vec<Row>)> {
        let mut conn = self.server.conn().await;
        let mut all = Vec::new();
        let tables = rows(&mut conn, &format!("SHOW TABLES FROM {}", self.db)).await;
        for table in tables.concat().into_iter().flatten() {
            let mut found = rows(&mut conn, &format!("SHOW CREATE TABLE {}.{table}", self.db)).await;
            found.extend(rows(&mut conn, &format!("SELECT * FROM {}.{table}", self.db)).await);
            all.push((table, found));
        }
        all
    }

    /// Runs a job that must be refused: exit code 2, each of `said` in its complaint, no secret, and
    /// the database as it was.
    pub(super) async fn refused(&self, job: &JobText, said: &[&str]) -> Finished {
        let culvert = self.run(job);
        self.refused_run(culvert, said).await
    }

    /// [`Bed::refused`] for any command line.
    pub(super) async fn refused_run(&self, culvert: Culvert, said: &[&str]) -> Finished {
        let before = self.contents().await;
        let finished = keeps_the_secret(culvert.run(LIMIT));
        finished.assert_code(2);
        says(&finished.stderr, said);
        assert_eq!(self.contents().await, before, "something was written; it said:\n{}", finished.stderr);
        finished
    }
}

/// Asserts that a text contains all parts.
#[track_caller]
pub(super) fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

/// Asserts that no password was printed.
#[track_caller]
pub(super) fn keeps_the_secret(finished: Finished) -> Finished {
    for output in [&finished.stdout, &finished.stderr] {
        assert!(!output.contains(PASSWORD), "a password was printed:\n{output}");
    }
    finished
}

/// A server of this module alone, whose global settings and logs a test may spoil while it holds
/// it. It offers TLS with `certificates`.
pub(super) struct Spoilable {
    pub(super) server: Server,
    pub(super) certificates: Certificates,
    /// Of an authority that the server knows nothing of.
    pub(super) stranger: Certificates,
}

/// The spoilable server of a flavour, with sound settings.
pub(super) async fn spoilable(flavor: Flavor) -> MutexGuard<'static, Spoilable> {
    static MARIADB: OnceCell<Mutex<Spoilable>> = OnceCell::const_new();
    static MYSQL: OnceCell<Mutex<Spoilable>> = OnceCell::const_new();
    let cell = match flavor {
        Flavor::MariaDb => &MARIADB,
        Flavor::MySql => &MYSQL,
    };
    let held = cell.get_or_init(async || {
        let certificates = Certificates::generate(&scratch::folder("c"));
        let stranger = Certificates::generate(&scratch::folder("c"));
        let options = ServerOptions { tls: Some(certificates.clone()), ..Default::default() };
        let server = Server::start(flavor, options).await;
        Mutex::new(Spoilable { server, certificates, stranger })
    });
    let held = held.await.lock().await;
    // A test that failed may have left others behind.
    let sound = ["SET GLOBAL binlog_format = 'ROW'", "SET GLOBAL binlog_row_image = 'FULL'"];
    held.server.execute(&sound).await;
    if flavor == Flavor::MySql {
        set_gtid_mode(&held.server, true).await;
    }
    held
}

/// Moves `gtid_mode` of a MySQL to ON or OFF, step by step as the server wants it.
pub(super) async fn set_gtid_mode(server: &Server, on: bool) {
    const MODES: [&str; 4] = ["OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"];
    let found = rows(&mut server.conn().await, "SELECT @@GLOBAL.gtid_mode").await.concat().remove(0);
    let at = MODES.iter().position(|mode| Some(*mode) == found.as_deref()).expect("a known mode");
    let way: Vec<&str> = if on { MODES[at..].to_vec() } else { MODES[..=at].iter().rev().copied().collect() };
    for mode in way {
        server.execute(&[&format!("SET GLOBAL gtid_mode = {mode}")]).await;
    }
}

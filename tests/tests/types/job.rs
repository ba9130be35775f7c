//! A running `culvert` that mirrors a database into another one on the same server.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use culvert_tests::process::Running;
use culvert_tests::server::PASSWORD;
use culvert_tests::{Culvert, Server, oracle, scratch, wait};
use mysql_async::Conn;

/// How long anything may take on a busy machine.
pub(super) const LIMIT: Duration = Duration::from_secs(120);

/// What to run.
#[derive(Clone, Debug)]
pub(super) struct Mirror<'a> {
    pub(super) server: &'a Server,
    pub(super) source: &'a str,
    pub(super) target: &'a str,
    /// Further lines of the source's block.
    pub(super) source_options: &'a str,
    /// The process's own time zone.
    pub(super) zone: &'a str,
}

impl<'a> Mirror<'a> {
    /// All tables of `source` into tables of the same names in `target`.
    pub(super) fn new(server: &'a Server, source: &'a str, target: &'a str) -> Mirror<'a> {
        Mirror { server, source, target, source_options: "", zone: "UTC" }
    }

    /// Starts the job.
    pub(super) fn start(&self) -> Job {
        let folder = scratch::folder("j");
        let file = folder.join("mirror.conf");
        fs::write(&file, self.text()).expect("the scratch folder is ours");
        let arguments = [
            "run",
            "-c",
            &file.display().to_string(),
            "--state",
            &folder.join("state").display().to_string(),
        ]
        .map(str::to_owned);
        let running = Culvert::new(&arguments).env("TZ", self.zone).start();
        Job { running, folder }
    }

    fn text(&self) -> String {
        let Mirror { source, target, source_options, .. } = self;
        format!(
            r#"
env {{ parallelism = 2, job.mode = "STREAMING", checkpoint.interval = 100, job.retry.times = 0 }}
source {{
  MySQL-CDC {{
    url = "{}"
    username = "root"
    password = "{PASSWORD}"
    table-pattern = "{source}[.].*"
    {source_options}
  }}
}}
sink {{
  Jdbc {{
    url = "{}"
    driver = "com.mysql.cj.jdbc.Driver"
    username = "root"
    password = "{PASSWORD}"
    database = "{target}"
    table = "${{table_name}}"
    generate_sink_sql = true
  }}
}}
"#,
            self.server.url(source),
            self.server.url(target),
        )
    }
}

/// A running job.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) running: Running,
    folder: PathBuf,
}

impl Job {
    /// Waits until the query answers this one text.
    ///
    /// # Panics
    /// After [`LIMIT`], or when the job has ended.
    pub(super) async fn until(&mut self, conn: &mut Conn, query: &str, wanted: &str) {
        wait::until_ok(LIMIT, &format!("`{query}` to answer {wanted}"), async || {
            self.assert_running();
            let found = first(conn, query).await;
            if found.as_deref() == Some(wanted) {
                Ok(())
            } else {
                Err(format!("{found:?}; {}", self.running.stderr()))
            }
        })
        .await;
    }

    /// Waits until the condition finds nothing to say.
    pub(super) async fn until_none(&mut self, what: &str, mut look: impl AsyncFnMut() -> Option<String>) {
        wait::until_ok(LIMIT, what, async || {
            self.assert_running();
            match look().await {
                None => Ok(()),
                Some(found) => Err(found),
            }
        })
        .await;
    }

    fn assert_running(&mut self) {
        if let Some(status) = self.running.ended() {
            panic!("the job ended ({status}): {}{}", self.running.stdout(), self.running.stderr());
        }
    }

    /// Stops it as an operator would.
    pub(super) fn stop(self) {
        self.running.terminate(LIMIT).assert_code(0);
        let _ = fs::remove_dir_all(self.folder);
    }
}

/// The first value a query answers; `None` also when it fails, as it does while a table is missing.
async fn first(conn: &mut Conn, query: &str) -> Option<String> {
    use mysql_async::prelude::Queryable;
    conn.query_first::<String, _>(query).await.ok().flatten()
}

/// A connection that takes and prints text in utf8mb4 and instants in UTC.
pub(crate) async fn conn(server: &Server) -> Conn {
    let mut conn = server.conn().await;
    run(&mut conn, "SET NAMES utf8mb4").await;
    run(&mut conn, "SET time_zone = '+00:00'").await;
    conn
}

/// Runs a statement.
pub(crate) async fn run(conn: &mut Conn, statement: &str) {
    use mysql_async::prelude::Queryable;
    if let Err(error) = conn.query_drop(statement).await {
        let shown: String = statement.chars().take(300).collect();
        panic!("the server refused `{shown}`: {error}");
    }
}

/// How a table differs between two databases in the given expressions; `None` when it does not.
pub(super) async fn difference(
    conn: &mut Conn,
    table: &str,
    expressions: &str,
    source: &str,
    target: &str,
) -> Option<String> {
    let query = |database: &str| {
        format!("SELECT {expressions} FROM {}.{}", oracle::quoted(database), oracle::quoted(table))
    };
    let left = oracle::rows(conn, &query(source)).await;
    let right = oracle::rows(conn, &query(target)).await;
    oracle::difference((source, &left), (target, &right)).map(|text| format!("{table}: {text}"))
}

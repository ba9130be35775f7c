//! Jobs between databases of either kind.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use culvert_tests::process::{Finished, Running};
use culvert_tests::{Culvert, Database, scratch, wait};

/// How long anything may take before a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// What a job does.
pub(crate) struct JobSpec<'a> {
    pub(crate) name: &'a str,
    pub(crate) source: &'a Database<'a>,
    /// Where the job reaches the source, when not directly.
    pub(crate) source_url: Option<String>,
    /// Names of tables; in a PostgreSQL they are in the schema `public`.
    pub(crate) tables: &'a [&'a str],
    /// Further lines of the source block.
    pub(crate) source_options: &'a str,
    /// Lines of the transform section.
    pub(crate) transform: &'a str,
    pub(crate) target: &'a Database<'a>,
    /// Further lines of the sink block.
    pub(crate) sink_options: &'a str,
}

impl<'a> JobSpec<'a> {
    /// Mirrors tables.
    pub(crate) fn mirror(
        name: &'a str,
        source: &'a Database<'a>,
        tables: &'a [&'a str],
        target: &'a Database<'a>,
    ) -> JobSpec<'a> {
        JobSpec {
            name,
            source,
            source_url: None,
            tables,
            source_options: "",
            transform: "",
            target,
            sink_options: "",
        }
    }

    /// Appends every change to tables of the same names.
    pub(crate) fn log(
        name: &'a str,
        source: &'a Database<'a>,
        tables: &'a [&'a str],
        target: &'a Database<'a>,
    ) -> JobSpec<'a> {
        JobSpec { transform: "RowKindExtractor { }", ..JobSpec::mirror(name, source, tables, target) }
    }

    /// The slot a job of this name reads from.
    pub(crate) fn slot(name: &str) -> String {
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
    }

    /// The job file's text.
    pub(crate) fn text(&self) -> String {
        format!(
            "env {{ job.mode = \"STREAMING\", checkpoint.interval = 200, parallelism = 2, \
             job.retry.interval.seconds = 0 }}\n\
             source {{ {}\n  {}\n}} }}\n\
             transform {{ {} }}\n\
             sink {{ Jdbc {{\n  url = \"{}\"\n{}  {}\n}} }}\n",
            self.source_block(),
            self.source_options,
            self.transform,
            self.target.url(),
            self.sink_block(),
            self.sink_options,
        )
    }

    pub(crate) fn source_block(&self) -> String {
        let url = self.source_url.clone().unwrap_or_else(|| self.source.url());
        let name = self.source.name();
        if self.source.is_postgres() {
            format!(
                "Postgres-CDC {{\n  base-url = \"{url}\"\n  username = postgres\n  password = root\n  \
                 database-names = [\"{name}\"]\n  schema-names = [\"public\"]\n  table-names = [{}]\n  \
                 slot.name = \"{}\"",
                listed(self.tables, |table| format!("{name}.public.{table}")),
                JobSpec::slot(self.name),
            )
        } else {
            format!(
                "MySQL-CDC {{\n  url = \"{url}\"\n  username = root\n  password = root\n  \
                 table-names = [{}]",
                listed(self.tables, |table| format!("{name}.{table}")),
            )
        }
    }

    pub(crate) fn sink_block(&self) -> String {
        let (driver, user, table) = if self.target.is_postgres() {
            ("org.postgresql.Driver", "postgres", "public.${table_name}")
        } else {
            ("com.mysql.cj.jdbc.Driver", "root", "${table_name}")
        };
        let mut lines = format!(
            "  driver = \"{driver}\"\n  username = {user}\n  password = root\n  database = \"{}\"\n  \
             generate_sink_sql = true\n",
            self.target.name()
        );
        if !self.sink_options.contains("table =") {
            lines.push_str(&format!("  table = \"{table}\"\n"));
        }
        lines
    }

    /// The job, not yet started.
    pub(crate) fn ready(&self) -> TestJob {
        TestJob::new(self.name, &self.text())
    }
}

/// Quoted entries of a list. Entries are regular expressions.
fn listed(tables: &[&str], full: impl Fn(&str) -> String) -> String {
    let entries = tables.iter().map(|table| format!("\"\"\"{}\"\"\"", full(table)));
    entries.collect::<Vec<String>>().join(", ")
}

/// A job file, and the folder of its state.
pub(crate) struct TestJob {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) state: PathBuf,
}

impl TestJob {
    pub(crate) fn new(name: &str, text: &str) -> TestJob {
        let folder = scratch::folder("j");
        let file = folder.join("job.conf");
        std::fs::write(&file, text).expect("the job file is written");
        TestJob { name: name.to_owned(), file, state: folder.join("state") }
    }

    /// Replaces the job file.
    pub(crate) fn rewrite(&self, text: &str) {
        std::fs::write(&self.file, text).expect("the job file is written");
    }

    pub(crate) fn culvert(&self, more: &[&str]) -> Culvert {
        let file = self.file.to_string_lossy().into_owned();
        let state = self.state.to_string_lossy().into_owned();
        let mut arguments = vec!["run", "-c", &file, "-n", &self.name, "--state", &state];
        arguments.extend(more);
        Culvert::new(&arguments)
    }

    /// As one of several processes: its state is not in a folder.
    pub(crate) fn shared(&self, more: &[&str]) -> Culvert {
        let file = self.file.to_string_lossy().into_owned();
        let mut arguments = vec!["run", "-c", &file, "-n", &self.name];
        arguments.extend(more);
        Culvert::new(&arguments)
    }

    pub(crate) fn start(&self) -> Job {
        self.start_with(&[])
    }

    pub(crate) fn start_with(&self, more: &[&str]) -> Job {
        Job { running: Mutex::new(self.culvert(more).start()) }
    }

    /// Runs it to its own end.
    pub(crate) fn run(&self) -> Finished {
        self.culvert(&[]).run(LIMIT)
    }

    /// Runs it to its own end, which must be a refusal that says all this: a person has to act.
    #[track_caller]
    pub(crate) fn refused(&self, said: &[&str]) -> String {
        self.ends_with(2, said)
    }

    /// The same because of a value.
    #[track_caller]
    pub(crate) fn refused_value(&self, said: &[&str]) -> String {
        self.ends_with(1, said)
    }

    #[track_caller]
    fn ends_with(&self, code: i32, said: &[&str]) -> String {
        let finished = self.run();
        finished.assert_code(code);
        for part in said {
            assert!(finished.stderr.contains(part), "`{part}` is not in:\n{}", finished.stderr);
        }
        finished.stderr
    }
}

/// A running job. A wait for what it does ends when it does.
pub(crate) struct Job {
    running: Mutex<Running>,
}

impl Job {
    pub(crate) fn of(running: Running) -> Job {
        Job { running: Mutex::new(running) }
    }

    pub(crate) fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Panics, with the end of its log, when it has ended.
    #[track_caller]
    pub(crate) fn assert_running(&self) {
        let mut running = self.running();
        if let Some(status) = running.ended() {
            panic!("the job ended ({status}): {}", tail(&running.stderr()));
        }
    }

    pub(crate) fn stderr(&self) -> String {
        self.running().stderr()
    }

    /// Waits until its log says this.
    pub(crate) async fn until_said(&self, text: &str) {
        wait::until_ok(LIMIT, &format!("`{text}` in the job's log"), async || {
            if self.stderr().contains(text) {
                return Ok(());
            }
            self.assert_running();
            Err(tail(&self.stderr()))
        })
        .await;
    }

    /// Waits until its log says this once more than it does now.
    pub(crate) async fn until_said_again(&self, text: &str) {
        let before = self.stderr().matches(text).count();
        wait::until_ok(LIMIT, &format!("`{text}` again in the job's log"), async || {
            self.assert_running();
            let log = self.stderr();
            if log.matches(text).count() > before { Ok(()) } else { Err(tail(&log)) }
        })
        .await;
    }

    pub(crate) fn kill(self) -> Finished {
        self.into_running().kill()
    }

    /// Ends it as an operator would; returns its log.
    #[track_caller]
    pub(crate) fn stop(self) -> String {
        let finished = self.into_running().terminate(LIMIT);
        finished.assert_code(0);
        finished.stderr
    }

    /// Waits for its own end, with this exit code; returns its log.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> String {
        let finished = self.into_running().wait(LIMIT);
        finished.assert_code(code);
        finished.stderr
    }

    fn into_running(self) -> Running {
        self.running.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last lines of a log.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("\n")
}

/// Waits until a query answers with this. Failures of the query are waited out: no such table yet,
/// a server that starts.
pub(crate) async fn until(database: &Database<'_>, query: &str, wanted: &str, job: &Job) {
    wait::until_ok(LIMIT, &format!("`{query}` to answer {wanted} in {}", database.name()), async || {
        let found = match database.query(query).await {
            Ok(rows) => rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten(),
            Err(error) => Some(error),
        };
        if found.as_deref() == Some(wanted) {
            return Ok(());
        }
        job.assert_running();
        Err(format!("{found:?}; the job's log ends with\n{}", tail(&job.stderr())))
    })
    .await;
}

/// Waits until a table holds so many rows.
pub(crate) async fn until_rows(database: &Database<'_>, table: &str, rows: u64, job: &Job) {
    let query = format!("SELECT COUNT(*) FROM {}", database.table(table));
    until(database, &query, &rows.to_string(), job).await;
}

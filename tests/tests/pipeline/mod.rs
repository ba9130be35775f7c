//! The whole path under load and faults: what is at the target in the end is what the source has.

#![allow(clippy::print_stdout)] // figures of a run, beside its seed

mod faults;
mod fire;
mod flush;
mod join;
mod kill;
mod modes;
mod shapes;
pub(crate) mod workload;

use std::path::PathBuf;
use std::time::Duration;

use culvert_tests::process::Running;
use culvert_tests::{Culvert, Server, oracle, scratch, wait};

/// How long anything may take before a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);

/// A job file made for a test, and the folder of its state.
pub(crate) struct TestJob {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) state: PathBuf,
}

/// What a test job does.
pub(crate) struct JobSpec<'a> {
    pub(crate) name: &'a str,
    pub(crate) source_url: String,
    pub(crate) server_id: u32,
    /// Entries of `table-names`.
    pub(crate) tables: &'a [&'a str],
    /// Further lines of the source block.
    pub(crate) source: &'a str,
    /// Lines of the transform section.
    pub(crate) transform: &'a str,
    pub(crate) sink_url: String,
    pub(crate) target_database: &'a str,
    /// Further lines of the sink block.
    pub(crate) sink: &'a str,
}

impl TestJob {
    pub(crate) fn new(spec: &JobSpec<'_>) -> TestJob {
        let folder = scratch::folder(spec.name);
        let tables: Vec<String> = spec.tables.iter().map(|table| format!("\"{table}\"")).collect();
        let text = format!(
            "env {{ job.mode = \"STREAMING\", checkpoint.interval = 300, parallelism = 2, job.retry.interval.seconds = 0 }}\n\
             source {{ MySQL-CDC {{\n  url = \"{}\"\n  username = root\n  password = root\n  server-id = {}\n  \
             table-names = [{}]\n  {}\n}} }}\n\
             transform {{ {} }}\n\
             sink {{ jdbc {{\n  url = \"{}\"\n  driver = \"com.mysql.cj.jdbc.Driver\"\n  username = root\n  password = root\n  \
             database = \"{}\"\n  generate_sink_sql = true\n  {}\n}} }}\n",
            spec.source_url,
            spec.server_id,
            tables.join(", "),
            spec.source,
            spec.transform,
            spec.sink_url,
            spec.target_database,
            spec.sink,
        );
        let file = folder.join(format!("{}.conf", spec.name));
        std::fs::write(&file, text).expect("the job file is written");
        TestJob { name: spec.name.to_owned(), file, state: folder.join("state") }
    }

    pub(crate) fn start(&self) -> Running {
        self.start_with(&[])
    }

    pub(crate) fn start_with(&self, more: &[&str]) -> Running {
        let file = self.file.to_string_lossy().into_owned();
        let state = self.state.to_string_lossy().into_owned();
        let mut arguments = vec!["run", "-c", &file, "-n", &self.name, "--state", &state];
        arguments.extend(more);
        Culvert::new(&arguments).start()
    }
}

/// Waits until a query at a server answers with this number.
pub(crate) async fn until_count(server: &Server, query: &str, wanted: u64, job: Option<&Running>) {
    let mut conn = server.conn().await;
    let what = format!("{query} = {wanted}");
    wait::until_ok(LIMIT, &what, async || {
        let found = match oracle::rows(&mut conn, query).await.into_iter().next() {
            Some(mut row) => row.remove(0).unwrap_or_default(),
            None => String::from("nothing"),
        };
        if found == wanted.to_string() {
            Ok(())
        } else {
            let log = job.map(|job| job.stderr()).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(5).collect();
            Err(format!("found {found}; the job's log ends with {tail:?}"))
        }
    })
    .await;
}

//! Jobs of the source `Jdbc`.

use culvert_tests::Database;

use crate::postgres::job::{JobSpec, TestJob};

/// A job that reads from one database and writes to another.
pub(super) struct Batch<'a> {
    pub(super) name: &'a str,
    pub(super) source: &'a Database<'a>,
    /// Lines of the source block behind url and account.
    pub(super) read: &'a str,
    pub(super) target: &'a Database<'a>,
    /// Further lines of the sink block.
    pub(super) write: &'a str,
    /// Most rows to read in a second; 0 for no limit.
    pub(super) rows_per_second: u32,
}

impl<'a> Batch<'a> {
    /// Writes to tables of the same names.
    pub(super) fn new(
        name: &'a str,
        source: &'a Database<'a>,
        read: &'a str,
        target: &'a Database<'a>,
    ) -> Batch<'a> {
        Batch { name, source, read, target, write: "", rows_per_second: 0 }
    }

    /// The job, not yet started.
    pub(super) fn ready(&self) -> TestJob {
        let user = if self.source.is_postgres() { "postgres" } else { "root" };
        let read = format!(
            "Jdbc {{\n  url = \"{}\"\n  user = {user}\n  password = root\n  {}\n}}",
            self.source.url(),
            self.read
        );
        let mirror =
            JobSpec { sink_options: self.write, ..JobSpec::mirror(self.name, self.source, &[], self.target) };
        let limit = match self.rows_per_second {
            0 => String::new(),
            rows => format!(", read_limit.rows_per_second = {rows}"),
        };
        let text = format!(
            "env {{ job.mode = \"BATCH\", checkpoint.interval = 20, parallelism = 3, job.retry.interval.seconds = 0{limit} }}\n\
             source {{ {read} }}\n\
             sink {{ Jdbc {{\n  url = \"{}\"\n{}  {}\n}} }}\n",
            self.target.url(),
            mirror.sink_block(),
            self.write,
        );
        TestJob::new(self.name, &text)
    }

    /// Runs it to its own end.
    #[track_caller]
    pub(super) fn run(&self) {
        self.ready().run().assert_code(0);
    }
}

/// A table's full name as `table_path` takes it.
pub(super) fn path(database: &Database<'_>, table: &str) -> String {
    if database.is_postgres() {
        format!("{}.public.{table}", database.name())
    } else {
        format!("{}.{table}", database.name())
    }
}

/// A text in a job file. The blank keeps a quote at its end apart from the closing ones.
pub(super) fn quoted(text: &str) -> String {
    let blank = if text.ends_with('"') { " " } else { "" };
    format!("\"\"\"{text}{blank}\"\"\"")
}

/// A query's single value.
pub(super) async fn value(database: &Database<'_>, query: &str) -> String {
    database.value(query).await.unwrap_or_else(|| "NULL".into())
}

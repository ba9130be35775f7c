//! A database whose changes go to a topic, and the processes that share it.

use culvert_tests::database::{Kind, Shown, assert_same};
use culvert_tests::oracle;
use culvert_tests::{Database, Kafka, Server, wait};

use crate::kafka::scene::job_text;
use crate::pipeline::workload;
use crate::postgres::job::{Job, LIMIT, TestJob, tail};
use crate::postgres::scene::create_log;

/// Partitions of the topic.
pub(crate) const PARTITIONS: usize = 6;

/// What the processes make of the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Makes {
    /// A table with the same rows.
    Mirror,
    /// A table with every change.
    Log,
}

/// The declared columns of the table `item`.
const SCHEMA: &str = "schema { fields { id = bigint, part = int, name = string, note = string, \
     changed = timestamp }, primaryKey { columnNames = [id] } }";

/// Source, topic, target, and the job files.
pub(crate) struct Scene<'a> {
    pub(crate) source: Database<'a>,
    pub(crate) target: Database<'a>,
    pub(crate) topic: String,
    pub(crate) makes: Makes,
    pub(crate) producer: TestJob,
    name: String,
    text: String,
}

impl<'a> Scene<'a> {
    /// Creates the tables, fills the source with `rows` items, and writes the job files.
    pub(crate) async fn new(
        source: &'a Server,
        kafka: &'a Kafka,
        target: impl Into<Kind<'a>>,
        (makes, rows): (Makes, u64),
    ) -> Scene<'a> {
        Scene::by(source, (kafka, kafka.bootstrap()), target, (makes, rows)).await
    }

    /// The same, with another way to the broker for the processes.
    pub(crate) async fn by(
        source: &'a Server,
        (kafka, way): (&'a Kafka, String),
        target: impl Into<Kind<'a>>,
        (makes, rows): (Makes, u64),
    ) -> Scene<'a> {
        let source = Database::fresh(source, "tokafka").await;
        let Kind::MySql(server) = source.server() else { unreachable!("made above") };
        workload::create_source(server, source.name(), rows).await;
        let target = Database::fresh(target, "shared").await;
        if makes == Makes::Log {
            create_log(&target).await;
        }
        let prefix = kafka.fresh_name(&format!("{}-{}", source.name(), source.port()));
        let topic = format!("{prefix}.item");
        let sink = format!(
            "Kafka {{\n  bootstrap.servers = \"{}\"\n  topic = \"{topic}\"\n  format = debezium_json\n  \
             semantics = EXACTLY_ONCE\n  progress_topic = \"{prefix}.progress\"\n  topic_partitions = {PARTITIONS}\n}}",
            kafka.bootstrap()
        );
        let producer = TestJob::new(&format!("to kafka {prefix}"), &job_text(&source, &["item"], "", &sink));
        let transform = if makes == Makes::Log { "RowKindExtractor { }" } else { "" };
        let text = worker_text(&way, &topic, transform, &jdbc(&target));
        Scene { source, target, topic, makes, producer, name: format!("shared {prefix}"), text }
    }

    /// A process of the group, not yet started: a machine of its own.
    pub(crate) fn worker(&self) -> Worker {
        let file = TestJob::new(&self.name, &self.text);
        Worker { file, job: None }
    }

    /// Waits until the target holds what the source has.
    pub(crate) async fn caught_up(&self, workers: &[Worker]) {
        wait::until_ok(LIMIT, "the target to hold what the source has", async || {
            for worker in workers {
                worker.job().assert_running();
            }
            let shape = self.source.shape("item").await.between(&self.source, &self.target);
            let wanted = self.source.rows_as("item", &shape, None).await;
            if !self.target.has_table("item").await {
                return Err(format!("no table yet: {}", logs(workers)));
            }
            let ours = match self.makes {
                Makes::Mirror => self.target.rows_as("item", &shape, None).await,
                Makes::Log => {
                    // What came in less what went out: as many as there are rows in the end.
                    let query = "SELECT SUM(CASE WHEN row_kind IN ('+I', '+U') THEN 1 ELSE -1 END) FROM item";
                    let count: usize =
                        self.target.value(query).await.and_then(|text| text.parse().ok()).unwrap_or(0);
                    if count == wanted.len() && self.is_last_there(&wanted).await {
                        return Ok(());
                    }
                    return Err(format!("{count} of {} rows: {}", wanted.len(), logs(workers)));
                }
            };
            if ours == wanted {
                return Ok(());
            }
            Err(format!("{} of {} rows: {}", ours.len(), wanted.len(), logs(workers)))
        })
        .await;
    }

    /// Partitions are written side by side, so only the history of each key has an order.
    async fn assert_replays(&self) {
        let mut shape = self.source.shape("item").await.between(&self.source, &self.target);
        let wanted = self.source.rows_as("item", &shape, None).await;
        shape.columns.push(("row_kind".into(), Shown::Printed));
        let mut changes = self.target.rows_as("item", &shape, Some("seq")).await;
        changes.sort_by(|one, other| one[0].cmp(&other[0]));
        let changes = changes.into_iter().map(|mut row| {
            let kind = row.pop().flatten().expect("a change has a kind");
            (kind, row)
        });
        let log = oracle::AppendLog { changes: changes.collect(), key: vec![0] };
        let replayed = oracle::replay(&log).unwrap_or_else(|violation| panic!("the log: {violation}"));
        oracle::assert_same(("the source", &wanted), ("the log", &replayed));
    }

    /// Whether the newest values of the source are in the log.
    async fn is_last_there(&self, wanted: &[oracle::Row]) -> bool {
        let found =
            self.target.rows("SELECT DISTINCT id, note FROM item WHERE row_kind IN ('+I', '+U')").await;
        let found: std::collections::HashSet<_> = found.into_iter().collect();
        // id and note are the first and the fourth column.
        wanted.iter().all(|row| found.contains(&vec![row[0].clone(), row[3].clone()]))
    }

    /// The target is what it must be.
    pub(crate) async fn compare(&self) {
        match self.makes {
            Makes::Mirror => assert_same((&self.source, "item"), (&self.target, "item")).await,
            Makes::Log => self.assert_replays().await,
        }
    }
}

/// The ends of their logs.
pub(crate) fn logs(workers: &[Worker]) -> String {
    workers.iter().map(|worker| tail(&worker.job().stderr())).collect::<Vec<_>>().join("\n---\n")
}

/// One process of the group, with a folder of its own.
pub(crate) struct Worker {
    file: TestJob,
    job: Option<Job>,
}

impl Worker {
    pub(crate) fn start(&mut self) {
        self.job = Some(Job::of(self.file.shared(&[]).start()));
    }

    pub(crate) fn job(&self) -> &Job {
        self.job.as_ref().expect("it was started")
    }

    pub(crate) fn kill(&mut self) {
        self.job.take().expect("it was started").kill();
    }

    pub(crate) fn stop(&mut self) -> String {
        self.job.take().expect("it was started").stop()
    }
}

/// A job from a topic into a sink block.
pub(crate) fn worker_text(bootstrap: &str, topic: &str, transform: &str, sink: &str) -> String {
    format!(
        "env {{ job.mode = \"STREAMING\", checkpoint.interval = 200, job.retry.interval.seconds = 0 }}\n\
         source {{ Kafka {{\n  bootstrap.servers = \"{bootstrap}\"\n  topic = \"{topic}\"\n  format = debezium_json\n  \
         start_mode = earliest\n  {SCHEMA}\n  kafka.config {{ session.timeout.ms = 6000, heartbeat.interval.ms = 500 }}\n}} }}\n\
         transform {{ {transform} }}\nsink {{ {sink} }}\n"
    )
}

/// The sink block of a target.
pub(crate) fn jdbc(target: &Database<'_>) -> String {
    let (driver, user, table) = if target.is_postgres() {
        ("org.postgresql.Driver", "postgres", "public.item")
    } else {
        ("com.mysql.cj.jdbc.Driver", "root", "item")
    };
    format!(
        "Jdbc {{\n  url = \"{}\"\n  driver = \"{driver}\"\n  username = {user}\n  password = root\n  \
         database = \"{}\"\n  generate_sink_sql = true\n  table = \"{table}\"\n}}",
        target.url(),
        target.name()
    )
}

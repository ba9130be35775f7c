//! A source with tables of every sort, a topic for each, and the job between them.

use culvert_tests::database::Kind;
use culvert_tests::kafka::Record;
use culvert_tests::oracle::{self, Row};
use culvert_tests::{Database, Isolation, Kafka, wait};

use super::replay::{Replayed, plain_time};
use crate::pipeline::workload as mysql;
use crate::postgres::job::{Job, LIMIT, TestJob, tail};
use crate::postgres::scene::{Table, create_source, tables};

/// Source, broker, and the job's file.
pub(crate) struct Scene<'a> {
    pub(crate) source: Database<'a>,
    pub(crate) kafka: &'a Kafka,
    pub(crate) prefix: String,
    pub(crate) job: TestJob,
}

impl<'a> Scene<'a> {
    /// Creates the tables, fills them with `rows` items, and writes the job file.
    pub(crate) async fn new(
        server: impl Into<Kind<'a>>,
        kafka: &'a Kafka,
        bootstrap: String,
        rows: u64,
    ) -> Scene<'a> {
        let source = Database::fresh(server, "tokafka").await;
        match source.server() {
            Kind::MySql(server) => mysql::create_source(server, source.name(), rows).await,
            Kind::Postgres(_) => create_source(&source, rows).await,
        }
        let prefix = kafka.fresh_name(&format!("{}-{}", source.name(), source.port()));
        let sink = format!(
            "Kafka {{\n  bootstrap.servers = \"{bootstrap}\"\n  topic = \"{prefix}.${{table_name}}\"\n  \
             format = debezium_json\n  semantics = EXACTLY_ONCE\n  progress_topic = \"{prefix}.progress\"\n  \
             topic_partitions = 3\n  kafka.config {{ acks = all, compression.type = zstd }}\n}}"
        );
        let names: Vec<&str> = tables(&source).map(|table| table.name).collect();
        let text = job_text(&source, &names, "", &sink);
        let job = TestJob::new(&format!("to kafka {prefix}"), &text);
        Scene { source, kafka, prefix, job }
    }

    fn topic(&self, table: &Table) -> String {
        format!("{}.{}", self.prefix, table.name)
    }

    /// Waits until the topics, replayed, hold what the source has; legal or not is judged at once.
    pub(crate) async fn caught_up(&self, job: &Job) {
        wait::until_ok(LIMIT, "the topics to hold what the source has", async || {
            job.assert_running();
            for table in tables(&self.source) {
                let (rows, replayed) = self.both(table).await;
                if rows != replayed.rows {
                    let (name, found, wanted) = (table.name, replayed.rows.len(), rows.len());
                    return Err(format!(
                        "{name}: {found} rows of {wanted}; the job's log: {}",
                        tail(&job.stderr())
                    ));
                }
            }
            Ok(())
        })
        .await;
    }

    /// Every topic replays, legally, to the source's table; returns how many messages there were.
    pub(crate) async fn compare(&self) -> usize {
        let mut messages = 0;
        for table in tables(&self.source) {
            let (rows, replayed) = self.both(table).await;
            oracle::assert_same((table.name, &rows), (&self.topic(table), &replayed.rows));
            messages += replayed.messages;
        }
        messages
    }

    /// The source's rows and what the topic replays to.
    async fn both(&self, table: &Table) -> (Vec<Row>, Replayed) {
        let shape = self.source.shape(table.name).await;
        let columns: Vec<String> = shape.columns.iter().map(|(name, _)| name.clone()).collect();
        let records = self.kafka.read(&self.topic(table), Isolation::Committed).await;
        let replayed = Replayed::of(&records, &columns, !table.key.is_empty())
            .unwrap_or_else(|violation| panic!("{}: {violation}", self.topic(table)));
        let list: Vec<String> = columns.iter().map(|column| self.source.quoted(column)).collect();
        let query = format!("SELECT {} FROM {}", list.join(", "), self.source.table(table.name));
        let mut rows = self.source.rows(&query).await;
        for row in &mut rows {
            for (value, column) in row.iter_mut().zip(&columns) {
                *value = value.take().map(|text| plain_time(column, text));
            }
        }
        rows.sort_unstable();
        (rows, replayed)
    }
}

/// A job from tables of a source into a sink block.
pub(crate) fn job_text(source: &Database<'_>, tables: &[&str], transform: &str, sink: &str) -> String {
    let (name, url) = (source.name(), source.url());
    let block = if source.is_postgres() {
        let names: Vec<String> = tables.iter().map(|table| format!("\"{name}.public.{table}\"")).collect();
        format!(
            "Postgres-CDC {{\n  base-url = \"{url}\"\n  username = postgres\n  password = root\n  \
             database-names = [\"{name}\"]\n  schema-names = [\"public\"]\n  slot.name = \"{name}_{}\"\n  \
             table-names = [{}]",
            source.port(),
            names.join(", ")
        )
    } else {
        let names: Vec<String> = tables.iter().map(|table| format!("\"{name}.{table}\"")).collect();
        format!(
            "MySQL-CDC {{\n  url = \"{url}\"\n  username = root\n  password = root\n  table-names = [{}]",
            names.join(", ")
        )
    };
    format!(
        "env {{ job.mode = \"STREAMING\", checkpoint.interval = 200, parallelism = 2, \
         job.retry.interval.seconds = 0, job.retry.times = 100 }}\n\
         source {{ {block}\n  snapshot.split.size = 300\n}} }}\ntransform {{ {transform} }}\nsink {{ {sink} }}\n"
    )
}

/// Waits for so many messages in a topic.
pub(crate) async fn until(kafka: &Kafka, topic: &str, count: usize, job: &Job) -> Vec<Record> {
    wait::until_ok(LIMIT, "messages in the topic", async || {
        job.assert_running();
        let found = kafka.read(topic, Isolation::Committed).await;
        if found.len() >= count { Ok(found) } else { Err(tail(&job.stderr())) }
    })
    .await
}

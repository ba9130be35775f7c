//! A source, three sinks of different kinds, and the job between them.

use culvert_tests::database::{Kind, assert_replays, assert_same};
use culvert_tests::oracle::{self, Row};
use culvert_tests::{Database, Isolation, Kafka, wait};

use crate::kafka::replay::{Replayed, plain_time};
use crate::pipeline::workload as mysql;
use crate::postgres::job::{JobSpec, LIMIT, TestJob, tail, until};
use crate::postgres::scene::{create_log, create_source, tables};

/// The tables of the job: both have a key.
const TABLES: [&str; 2] = ["item", "label"];

/// Databases, broker and job.
pub(crate) struct Scene<'a> {
    pub(crate) source: Database<'a>,
    pub(crate) mirror: Database<'a>,
    log: Database<'a>,
    kafka: &'a Kafka,
    prefix: String,
    pub(crate) job: TestJob,
    pub(crate) slot: String,
}

impl<'a> Scene<'a> {
    /// Creates the tables, fills them with `rows` items, and writes the job file. `mirror` holds
    /// further options of the mirror's sink.
    pub(crate) async fn new(
        source: impl Into<Kind<'a>>,
        mirror_server: impl Into<Kind<'a>>,
        log_server: impl Into<Kind<'a>>,
        kafka: &'a Kafka,
        rows: u64,
        mirror_options: &str,
    ) -> Scene<'a> {
        let source = Database::fresh(source, "fan").await;
        let mirror = Database::fresh(mirror_server, "fanmirror").await;
        let log = Database::fresh(log_server, "fanlog").await;
        match source.server() {
            Kind::MySql(server) => mysql::create_source(server, source.name(), rows).await,
            Kind::Postgres(_) => create_source(&source, rows).await,
        }
        create_log(&log).await;
        let name = format!("fan {} {}", source.name(), source.port());
        let prefix = kafka.fresh_name(&name.replace(' ', "-"));
        let from = JobSpec::mirror(&name, &source, &TABLES, &mirror);
        let (to_mirror, to_log) =
            (from.sink_block(), JobSpec::log(&name, &source, &TABLES, &log).sink_block());
        let text = format!(
            "env {{ job.mode = \"STREAMING\", checkpoint.interval = 200, parallelism = 2, \
             job.retry.interval.seconds = 0 }}\n\
             source {{ {}\n  snapshot.split.size = 300\n  plugin_output = all\n}} }}\n\
             transform {{ RowKindExtractor {{ plugin_input = all, plugin_output = kinds }} }}\n\
             sink {{\n\
             Kafka {{ plugin_input = all, bootstrap.servers = \"{}\", topic = \"{prefix}.${{table_name}}\", \
             format = debezium_json, semantics = EXACTLY_ONCE, progress_topic = \"{prefix}.progress\", \
             topic_partitions = 2 }}\n\
             Jdbc {{ plugin_input = all, url = \"{}\"\n{to_mirror}\n{mirror_options}\n}}\n\
             Jdbc {{ plugin_input = kinds, url = \"{}\"\n{to_log}\n}}\n}}\n",
            from.source_block(),
            kafka.bootstrap(),
            mirror.url(),
            log.url(),
        );
        let job = TestJob::new(&name, &text);
        let slot = JobSpec::slot(&name);
        Scene { source, mirror, log, kafka, prefix, job, slot }
    }

    /// Marks the end of the source's changes.
    pub(crate) async fn mark(&self, id: i64) {
        let mark = format!("INSERT INTO {} VALUES ({id}, 0, 'mark', NULL, NULL)", self.source.table("item"));
        self.source.run(&[&mark]).await;
    }

    /// Waits until the change log has a mark.
    pub(crate) async fn noted(&self, id: i64, job: &crate::postgres::job::Job) {
        let query = format!("SELECT COUNT(*) FROM {} WHERE id = {id}", self.log.table("item"));
        until(&self.log, &query, "1", job).await;
    }

    /// Waits until the change log has a mark and as many rows as the source, which nobody changes.
    pub(crate) async fn logged(&self, id: i64, job: &crate::postgres::job::Job) {
        self.noted(id, job).await;
        for table in TABLES {
            let net = format!(
                "SELECT COALESCE(SUM(CASE WHEN row_kind IN ('+I', '+U') THEN 1 ELSE -1 END), 0) FROM {}",
                self.log.table(table)
            );
            until(&self.log, &net, &self.count(&self.source, table).await, job).await;
        }
    }

    /// Waits until the mirror has a mark and as many rows as the source.
    pub(crate) async fn mirrored(&self, id: i64, job: &crate::postgres::job::Job) {
        let query = format!("SELECT COUNT(*) FROM {} WHERE id = {id}", self.mirror.table("item"));
        until(&self.mirror, &query, "1", job).await;
        for table in TABLES {
            let query = format!("SELECT COUNT(*) FROM {}", self.mirror.table(table));
            until(&self.mirror, &query, &self.count(&self.source, table).await, job).await;
        }
    }

    /// Waits until the topics replay to what the source has.
    pub(crate) async fn told(&self, job: &crate::postgres::job::Job) {
        wait::until_ok(LIMIT, "the topics to hold what the source has", async || {
            job.assert_running();
            for table in TABLES {
                let (rows, replayed) = self.replayed(table).await;
                if rows != replayed.rows {
                    let (found, wanted) = (replayed.rows.len(), rows.len());
                    return Err(format!("{table}: {found} rows of {wanted}; {}", tail(&job.stderr())));
                }
            }
            Ok(())
        })
        .await;
    }

    /// The mirror equals the source row for row; change log and topics replay, legally, to it.
    pub(crate) async fn compare(&self) {
        for table in tables(&self.source).filter(|table| TABLES.contains(&table.name)) {
            let source = (&self.source, table.name);
            assert_same(source, (&self.mirror, table.name)).await;
            assert_replays(source, (&self.log, table.name), table.key).await;
            let (rows, replayed) = self.replayed(table.name).await;
            oracle::assert_same((table.name, &rows), ("its topic", &replayed.rows));
        }
    }

    async fn count(&self, database: &Database<'_>, table: &str) -> String {
        database.value(&format!("SELECT COUNT(*) FROM {}", database.table(table))).await.expect("a count")
    }

    /// The source's rows and what the topic replays to; legal or not is judged at once.
    async fn replayed(&self, table: &str) -> (Vec<Row>, Replayed) {
        let columns: Vec<String> =
            self.source.shape(table).await.columns.into_iter().map(|(name, _)| name).collect();
        let topic = format!("{}.{table}", self.prefix);
        let records = self.kafka.read(&topic, Isolation::Committed).await;
        let replayed =
            Replayed::of(&records, &columns, true).unwrap_or_else(|violation| panic!("{topic}: {violation}"));
        let list: Vec<String> = columns.iter().map(|column| self.source.quoted(column)).collect();
        let query = format!("SELECT {} FROM {}", list.join(", "), self.source.table(table));
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

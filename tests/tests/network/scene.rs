//! A job whose two connections go through proxies.

use std::time::Duration;

use culvert_tests::database::Kind;
use culvert_tests::{Database, Isolation, Kafka, Proxy, wait};

use crate::postgres::job::{Job, JobSpec, LIMIT, TestJob, tail};

/// Within this the job goes on when the network is well again.
pub(crate) const HEALED_WITHIN: Duration = Duration::from_secs(10);

/// Where the rows go.
#[derive(Clone, Copy)]
pub(crate) enum To<'a> {
    Database(Kind<'a>),
    /// A broker of the test's own, whose proxy is its own.
    Kafka(&'a Kafka),
}

pub(crate) struct Scene<'a> {
    pub(crate) source: Database<'a>,
    target: Option<Database<'a>>,
    kafka: Option<&'a Kafka>,
    topic: String,
    pub(crate) to_source: Proxy,
    own_proxy: Option<Proxy>,
    pub(crate) job: TestJob,
    marks: std::cell::Cell<i64>,
}

impl<'a> Scene<'a> {
    pub(crate) async fn new(from: impl Into<Kind<'a>>, to: To<'a>) -> Scene<'a> {
        let source = Database::fresh(from, "net").await;
        source
            .run(&[
                "CREATE TABLE m (id BIGINT PRIMARY KEY, v VARCHAR(40))",
                "INSERT INTO m VALUES (1, 'first'), (2, 'first')",
            ])
            .await;
        let to_source = Proxy::start(source.port()).await;
        let name = format!("net {} {}", source.name(), source.port());
        let tables = ["m"];
        let through = |url: String, from: u16, to: u16| url.replace(&format!(":{from}/"), &format!(":{to}/"));
        let url = through(source.url(), source.port(), to_source.port());
        let (target, kafka, own_proxy, topic, sink) = match to {
            To::Database(server) => {
                let target = Database::fresh(server, "nettarget").await;
                let proxy = Proxy::start(target.port()).await;
                let block = JobSpec::mirror(&name, &source, &tables, &target).sink_block();
                let url = through(target.url(), target.port(), proxy.port());
                let sink = format!("Jdbc {{ url = \"{url}\"\n{block} }}");
                (Some(target), None, Some(proxy), String::new(), sink)
            }
            To::Kafka(kafka) => {
                let topic = kafka.fresh_name(&name.replace(' ', "-"));
                let sink = format!(
                    "Kafka {{ bootstrap.servers = \"{}\", topic = \"{topic}\", format = debezium_json, \
                     semantics = EXACTLY_ONCE, progress_topic = \"{topic}.progress\" }}",
                    kafka.proxied_bootstrap()
                );
                (None, Some(kafka), None, topic, sink)
            }
        };
        let spec = JobSpec { source_url: Some(url), ..JobSpec::mirror(&name, &source, &tables, &source) };
        let text = format!(
            "env {{ job.mode = \"STREAMING\", checkpoint.interval = 100, job.retry.interval.seconds = 0 }}\n\
             source {{ {} }} }}\nsink {{ {sink} }}\n",
            spec.source_block(),
        );
        let job = TestJob::new(&name, &text);
        Scene { source, target, kafka, topic, to_source, own_proxy, job, marks: std::cell::Cell::new(10) }
    }

    /// The proxy in front of the target.
    pub(crate) fn to_target(&self) -> &Proxy {
        match (&self.own_proxy, self.kafka) {
            (Some(proxy), _) => proxy,
            (None, Some(kafka)) => kafka.proxy(),
            (None, None) => panic!("a scene has a target"),
        }
    }

    /// The target, where it is a database.
    pub(crate) fn target(&self) -> &Database<'a> {
        self.target.as_ref().expect("the target is a database")
    }

    /// A new row at the source.
    pub(crate) async fn mark(&self) -> i64 {
        let mark = self.marks.get() + 1;
        self.marks.set(mark);
        self.source.run(&[&format!("INSERT INTO {} VALUES ({mark}, 'mark')", self.source.table("m"))]).await;
        mark
    }

    /// Waits until the target has it.
    pub(crate) async fn arrived(&self, mark: i64, job: &Job, limit: Duration, after: &str) {
        wait::until_ok(limit, &format!("row {mark} at the target, after {after}"), async || {
            job.assert_running();
            let there = match (&self.target, self.kafka) {
                (Some(target), _) => {
                    let query = format!("SELECT COUNT(*) FROM {} WHERE id = {mark}", target.table("m"));
                    matches!(target.query(&query).await, Ok(rows) if rows == [vec![Some("1".to_owned())]])
                }
                (None, Some(kafka)) => self.keys(kafka).await.contains(&mark),
                (None, None) => false,
            };
            if there { Ok(()) } else { Err(tail(&job.stderr())) }
        })
        .await;
    }

    async fn keys(&self, kafka: &Kafka) -> Vec<i64> {
        let records = kafka.read(&self.topic, Isolation::Committed).await;
        let key = |key: &str| serde_json::from_str::<serde_json::Value>(key).ok()?["id"].as_i64();
        records.iter().filter_map(|record| key(record.key.as_deref()?)).collect()
    }

    /// Starts the job and waits until its snapshot is there.
    pub(crate) async fn started(&self) -> Job {
        let job = self.job.start();
        let mark = self.mark().await;
        self.arrived(mark, &job, LIMIT, "the start").await;
        job
    }

    /// Ends the job; the target has every row of the source once.
    pub(crate) async fn ended_well(&self, job: Job) {
        let mark = self.mark().await;
        self.arrived(mark, &job, LIMIT, "everything").await;
        job.stop();
        let count = format!("SELECT id FROM {} ORDER BY id", self.source.table("m"));
        let rows = self.source.rows(&count).await;
        let found = match (&self.target, self.kafka) {
            (Some(target), _) => {
                target.rows(&format!("SELECT id FROM {} ORDER BY id", target.table("m"))).await
            }
            (None, Some(kafka)) => {
                let mut keys = self.keys(kafka).await;
                keys.sort_unstable();
                keys.iter().map(|key| vec![Some(key.to_string())]).collect()
            }
            (None, None) => Vec::new(),
        };
        assert_eq!(found, rows, "every row of the source, once");
    }
}

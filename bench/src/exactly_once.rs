//! What exactly once costs, and how soon a row is visible under load.
//!
//! The cost is measured where there is a choice: into Kafka, whose transactions can be left out. A
//! SQL sink writes its marker in a transaction that it needs in any case.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow};
use culvert_tests::{Flavor, Kafka, KafkaOptions, PgOptions, PgVersion, Postgres, Server, scratch};
use mysql_async::prelude::Queryable;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use crate::latency;
use crate::measure;
use crate::mysql::backlog;
use crate::say;
use crate::spread::Spread;
use crate::statements::{DATABASE, TABLE};
use crate::task::Task;

/// Pairs of runs.
const PAIRS: usize = 5;
/// Time between two commits of the writer.
const TICK: Duration = Duration::from_millis(10);
/// How long rows are measured, after a warm-up.
const MEASURED: Duration = Duration::from_secs(10);
const WARM_UP: Duration = Duration::from_secs(2);
/// How long the last rows may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time between two looks at a table.
const POLL: Duration = Duration::from_millis(1);
/// Time between two checkpoints, and two transactions of the bare producer.
const CHECKPOINTS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];
const RATES: [u64; 2] = [1_000, 10_000];
/// The table of the rows whose way is timed.
const TIMED: &str = "timed";

/// One run each way, one after the other: from the first message to the end of the program. What a start
/// takes is no part of it, which exactly once does more of: the marker is read and the id is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) at_least_once: Duration,
    pub(crate) exactly_once: Duration,
}

impl Pair {
    /// In per cent of the time of at least once.
    pub(crate) fn cost(&self) -> f64 {
        (self.exactly_once.as_secs_f64() / self.at_least_once.as_secs_f64() - 1.0) * 100.0
    }
}

/// Everything measured here.
#[derive(Debug)]
pub(crate) struct Exactness {
    /// Changes of one run.
    pub(crate) changes: u64,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) latencies: Vec<(String, Spread)>,
}

/// Measures it with MariaDB as the source, this many rows inserted for a run.
pub(crate) async fn measure(rows: u64) -> Result<Exactness> {
    say(&format!("exactly once: starting servers and writing a backlog of {rows} rows"));
    let source = Server::start(Flavor::MariaDb, backlog::source_options(Flavor::MariaDb)).await;
    let kafka = Kafka::start(KafkaOptions::default()).await;
    let postgres = Postgres::start(PgVersion::V17, PgOptions { fsync: true, ..PgOptions::default() }).await;
    let backlog = backlog::write(&source, rows).await?;
    let mut pairs = Vec::new();
    for number in 0..=PAIRS {
        let mut times = [Duration::ZERO; 2];
        // Who is first alternates.
        for turn in 0..2 {
            let at = (number + turn) % 2;
            let semantics = ["AT_LEAST_ONCE", "EXACTLY_ONCE"][at];
            let state = scratch::folder("x");
            let topic = kafka.fresh_name("cost");
            let job =
                job_text(&source, TABLE, Duration::from_secs(1), true, &to_kafka(&kafka, &topic, semantics));
            measure::task(&Task::Drain { job, discard: false, state: state.clone() })?;
            let ended = SystemTime::now();
            std::fs::remove_dir_all(&state)?;
            let bootstrap = kafka.bootstrap();
            let first = tokio::task::spawn_blocking(move || first_message(&bootstrap, &topic)).await??;
            times[at] = ended.duration_since(first)?;
        }
        let [at_least_once, exactly_once] = times;
        let pair = Pair { at_least_once, exactly_once };
        say(&format!("exactly once: pair {number}: {:+.1} %", pair.cost()));
        // The first one warms caches.
        if number > 0 {
            pairs.push(pair);
        }
    }
    let changes = backlog.counts.changes();
    let latencies = latencies(&source, &kafka, &postgres).await?;
    Ok(Exactness { changes, pairs, latencies })
}

/// When the topic's first message was sent; its producer says so.
fn first_message(bootstrap: &str, topic: &str) -> Result<SystemTime> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "culvert-bench")
        .set("isolation.level", "read_committed")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let mut first: Option<i64> = None;
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        let mut one = TopicPartitionList::new();
        one.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
        consumer.assign(&one)?;
        let Some(message) = consumer.poll(PATIENCE) else { continue };
        let sent = message?.timestamp().to_millis().context("a message without a time")?;
        first = Some(first.map_or(sent, |known| known.min(sent)));
    }
    let millis = u64::try_from(first.context("nothing came")?)?;
    Ok(SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
}

async fn latencies(source: &Server, kafka: &Kafka, postgres: &Postgres) -> Result<Vec<(String, Spread)>> {
    let mut latencies = Vec::new();
    for rate in RATES {
        for interval in CHECKPOINTS {
            let every = format!("{} rows/s, checkpoints every {} ms", rate, interval.as_millis());
            say(&format!("exactly once: {every}"));
            let topic = kafka.fresh_name("load");
            kafka.create_topic(&topic, 1, &[]).await;
            let text = job_text(source, TIMED, interval, false, &to_kafka(kafka, &topic, "EXACTLY_ONCE"));
            empty(source).await?;
            let spread = latency::while_running(&text, async || {
                let reader = TopicReader::start(kafka.bootstrap(), topic.clone());
                let written = write(source, rate).await?;
                reader.spread(&written)
            });
            latencies.push((format!("MariaDB to Kafka, {every}"), spread.await?));

            // Another database for each job, which finds no marker of the one before it.
            let database = postgres.fresh_database("load").await;
            let sink = format!(
                "Jdbc {{ url = \"{}\", username = postgres, password = root, database = {database}, \
                 table = \"public.{TIMED}\", generate_sink_sql = true }}",
                postgres.url(&database)
            );
            empty(source).await?;
            let text = job_text(source, TIMED, interval, false, &sink);
            let spread = latency::while_running(&text, async || {
                let reader = TableReader::start(postgres, &database).await?;
                let written = write(source, rate).await?;
                reader.spread(&written).await
            });
            latencies.push((format!("MariaDB to PostgreSQL, {every}"), spread.await?));
        }
        say(&format!("exactly once: bare, {rate} rows/s"));
        for interval in CHECKPOINTS {
            let topic = kafka.fresh_name("bare");
            kafka.create_topic(&topic, 1, &[]).await;
            let reader = TopicReader::start(kafka.bootstrap(), topic.clone());
            let bootstrap = kafka.bootstrap();
            let (sent, name) = (topic.clone(), topic.clone());
            let written =
                tokio::task::spawn_blocking(move || produce(&bootstrap, &sent, &name, rate, interval));
            let spread = reader.spread(&written.await??)?;
            let what =
                format!("bare producer, {rate} rows/s, a transaction every {} ms", interval.as_millis());
            latencies.push((what, spread));
        }
        let database = postgres.fresh_database("bare").await;
        postgres.execute(&database, &[&create(true)]).await;
        let reader = TableReader::start(postgres, &database).await?;
        let client = postgres.client(&database).await;
        let written =
            paced(rate, async |first, last| Ok(client.batch_execute(&insert(first, last)).await?)).await?;
        let spread = reader.spread(&written).await?;
        latencies.push((format!("bare INSERT and COMMIT into PostgreSQL, {rate} rows/s"), spread));
    }
    Ok(latencies)
}

fn to_kafka(kafka: &Kafka, topic: &str, semantics: &str) -> String {
    format!(
        "Kafka {{ bootstrap.servers = \"{}\", topic = \"{topic}\", format = json, semantics = {semantics}, \
         progress_topic = \"{topic}.progress\" }}",
        kafka.bootstrap()
    )
}

/// A job over one table: the log so far, or what comes from now on.
fn job_text(source: &Server, table: &str, checkpoint: Duration, so_far: bool, sink: &str) -> String {
    let modes = if so_far { "startup.mode = EARLIEST, stop.mode = LATEST" } else { "startup.mode = LATEST" };
    format!(
        "env {{ parallelism = 1, job.mode = STREAMING, checkpoint.interval = {} }}\n\
         source {{ MySQL-CDC {{ url = \"{}\", username = root, password = root, server-id = 5401\n\
         table-names = [\"{DATABASE}.{table}\"], {modes} }} }}\nsink {{ {sink} }}\n",
        checkpoint.as_millis(),
        source.url(DATABASE),
    )
}

fn create(postgres: bool) -> String {
    let time = if postgres { "timestamp(6)" } else { "DATETIME(6)" };
    format!(
        "CREATE TABLE {TIMED} (id BIGINT PRIMARY KEY, at {time} NOT NULL, customer INT NOT NULL, note VARCHAR(200) NOT NULL)"
    )
}

fn insert(first: u64, last: u64) -> String {
    let note = "x".repeat(120);
    let rows: Vec<String> = (first..=last)
        .map(|id| format!("({id},'2026-01-02 03:04:05.678901',{},'{note}')", id % 977))
        .collect();
    format!("INSERT INTO {TIMED} VALUES {}", rows.join(","))
}

async fn empty(source: &Server) -> Result<()> {
    let mut conn = source.conn().await;
    conn.query_drop(format!("USE {DATABASE}")).await?;
    conn.query_drop(format!("DROP TABLE IF EXISTS {TIMED}")).await?;
    conn.query_drop(create(false)).await?;
    conn.disconnect().await?;
    Ok(())
}

/// When the last row of each commit was committed.
type Written = Vec<(u64, Instant)>;

/// Commits rows at this rate; what comes after the warm-up is timed.
async fn paced(rate: u64, mut commit: impl AsyncFnMut(u64, u64) -> Result<()>) -> Result<Written> {
    let each = rate * TICK.as_millis() as u64 / 1000;
    let mut ticks = tokio::time::interval(TICK);
    let (begun, mut next, mut written) = (Instant::now(), 1, Vec::new());
    while begun.elapsed() < WARM_UP + MEASURED {
        ticks.tick().await;
        let last = next + each - 1;
        commit(next, last).await?;
        if begun.elapsed() > WARM_UP {
            written.push((last, Instant::now()));
        }
        next = last + 1;
    }
    Ok(written)
}

async fn write(source: &Server, rate: u64) -> Result<Written> {
    let mut conn = source.conn().await;
    conn.query_drop(format!("USE {DATABASE}")).await?;
    let written = paced(rate, async |first, last| Ok(conn.query_drop(insert(first, last)).await?)).await?;
    conn.disconnect().await?;
    Ok(written)
}

/// The limit: the same rows from a bare producer, a transaction per interval.
fn produce(bootstrap: &str, topic: &str, id: &str, rate: u64, interval: Duration) -> Result<Written> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", id)
        .set("linger.ms", "5")
        .create()?;
    producer.init_transactions(PATIENCE)?;
    let each = rate * TICK.as_millis() as u64 / 1000;
    let note = "x".repeat(120);
    let (begun, mut next, mut written) = (Instant::now(), 1u64, Vec::new());
    let mut ticks = 0u32;
    while begun.elapsed() < WARM_UP + MEASURED {
        producer.begin_transaction()?;
        let opened = Instant::now();
        while opened.elapsed() < interval {
            ticks += 1;
            std::thread::sleep((TICK * ticks).saturating_sub(begun.elapsed()));
            for row in next..next + each {
                let value = format!(
                    "{{\"id\":{row},\"at\":\"2026-01-02T03:04:05.678901\",\"customer\":1,\"note\":\"{note}\"}}"
                );
                let key = row.to_string();
                let record = BaseRecord::to(topic).key(&key).payload(&value);
                producer.send(record).map_err(|(error, _)| error)?;
            }
            next += each;
            if begun.elapsed() > WARM_UP {
                written.push((next - 1, Instant::now()));
            }
        }
        producer.commit_transaction(PATIENCE)?;
    }
    Ok(written)
}

/// Reads committed messages and notes when each was there.
struct TopicReader {
    seen: Arc<Mutex<HashMap<u64, Instant>>>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Result<()>>,
}

impl TopicReader {
    fn start(bootstrap: String, topic: String) -> TopicReader {
        let (seen, stop) = (Arc::<Mutex<HashMap<u64, Instant>>>::default(), Arc::new(AtomicBool::new(false)));
        let (noted, asked) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let consumer: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", &bootstrap)
                .set("group.id", "culvert-bench")
                .set("isolation.level", "read_committed")
                .set("fetch.wait.max.ms", "5")
                .create()?;
            let mut all = TopicPartitionList::new();
            all.add_partition_offset(&topic, 0, Offset::Beginning)?;
            consumer.assign(&all)?;
            while !asked.load(Relaxed) {
                let Some(message) = consumer.poll(Duration::from_millis(50)) else { continue };
                let message = message?;
                let id = message.payload().and_then(id_of).context("a message without an id")?;
                noted.lock().map_err(|_| anyhow!("a reader panicked"))?.insert(id, Instant::now());
            }
            Ok(())
        });
        TopicReader { seen, stop, thread }
    }

    fn spread(self, written: &Written) -> Result<Spread> {
        let last = written.last().context("nothing was written")?.0;
        let begun = Instant::now();
        while !self.seen.lock().map_err(|_| anyhow!("a reader panicked"))?.contains_key(&last) {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "the last row is not in the topic");
            std::thread::sleep(POLL);
        }
        self.stop.store(true, Relaxed);
        self.thread.join().map_err(|_| anyhow!("a reader panicked"))??;
        let seen = self.seen.lock().map_err(|_| anyhow!("a reader panicked"))?;
        let times = written.iter().map(|(id, at)| {
            let there = seen.get(id).with_context(|| format!("row {id} is not in the topic"))?;
            Ok(there.saturating_duration_since(*at))
        });
        Ok(Spread::of(times.collect::<Result<_>>()?))
    }
}

/// `{"id":17,…` or Debezium's `…"after":{"id":17,…`: the digits behind the last such key.
fn id_of(payload: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(payload).ok()?;
    let (_, rest) = text.rsplit_once("\"id\":")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Looks at a table all the time and notes its largest id.
struct TableReader {
    looks: Arc<Mutex<Vec<(u64, Instant)>>>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl TableReader {
    async fn start(postgres: &Postgres, database: &str) -> Result<TableReader> {
        let client = postgres.client(database).await;
        let (looks, stop) = (Arc::<Mutex<Vec<(u64, Instant)>>>::default(), Arc::new(AtomicBool::new(false)));
        let (noted, asked) = (Arc::clone(&looks), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let query = format!("SELECT COALESCE(max(id), 0) FROM {TIMED}");
            while !asked.load(Relaxed) {
                // The table may not be there yet.
                if let Ok(row) = client.query_one(&query, &[]).await
                    && let Ok(mut looks) = noted.lock()
                {
                    looks.push((row.get::<_, i64>(0) as u64, Instant::now()));
                }
                tokio::time::sleep(POLL).await;
            }
        });
        Ok(TableReader { looks, stop, task })
    }

    async fn spread(self, written: &Written) -> Result<Spread> {
        let last = written.last().context("nothing was written")?.0;
        let begun = Instant::now();
        loop {
            let newest =
                self.looks.lock().map_err(|_| anyhow!("a reader panicked"))?.last().map(|look| look.0);
            if newest >= Some(last) {
                break;
            }
            anyhow::ensure!(begun.elapsed() < PATIENCE, "the last row is not in the table");
            tokio::time::sleep(POLL).await;
        }
        self.stop.store(true, Relaxed);
        self.task.await?;
        let looks = self.looks.lock().map_err(|_| anyhow!("a reader panicked"))?;
        let times = written.iter().map(|(id, at)| {
            let place = looks.partition_point(|(newest, _)| newest < id);
            let (_, seen) = looks.get(place).with_context(|| format!("row {id} was never seen"))?;
            Ok(seen.saturating_duration_since(*at))
        });
        Ok(Spread::of(times.collect::<Result<_>>()?))
    }
}

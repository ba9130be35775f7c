//! A source that is written to, a target, a job, and the cells that are played on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use culvert_tests::database::Kind as ServerKind;
use culvert_tests::oracle::Row;
use culvert_tests::process::Running;
use culvert_tests::{Database, Isolation, Kafka, random, scratch, wait};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::cells::{Action, Cell, Phase};
use super::files;
use super::judge::{Change, Kind, Values, Verdict};
use super::lake::{LakeServers, Layout, Tables};
use super::report::Line;
use crate::postgres::job::{JobSpec, LIMIT, TestJob, tail};

/// Where changes come from.
#[derive(Clone, Copy)]
pub(crate) enum Server {
    MySql,
    MariaDb,
    Postgres,
}

/// All of them.
pub(crate) const SOURCES: [Server; 3] = [Server::MySql, Server::MariaDb, Server::Postgres];

impl Server {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Server::MySql => "MySQL",
            Server::MariaDb => "MariaDB",
            Server::Postgres => "PostgreSQL",
        }
    }
}

/// Where they go.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    MySql,
    Postgres,
    Kafka,
    Files,
    Parquet,
    ParquetOnS3,
    Lake,
    LakeOnS3,
}

/// All of them.
pub(crate) const TARGETS: [Target; 8] = [
    Target::MySql,
    Target::Postgres,
    Target::Kafka,
    Target::Files,
    Target::Parquet,
    Target::ParquetOnS3,
    Target::Lake,
    Target::LakeOnS3,
];

impl Target {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Target::MySql => "MySQL",
            Target::Postgres => "PostgreSQL",
            Target::Kafka => "Kafka",
            Target::Files => "files",
            Target::Parquet => "Parquet",
            Target::ParquetOnS3 => "Parquet on S3",
            Target::Lake => "Iceberg",
            Target::LakeOnS3 => "Iceberg on S3",
        }
    }

    pub(crate) fn is_kafka(self) -> bool {
        matches!(self, Target::Kafka)
    }

    /// Whether it is none that a server has.
    pub(crate) fn is_files(self) -> bool {
        !matches!(self, Target::MySql | Target::Postgres | Target::Kafka)
    }

    /// What there is of a lake, and whether it is in a bucket.
    pub(crate) fn lake(self) -> Option<(Layout, bool)> {
        match self {
            Target::Parquet => Some((Layout::Parquet, false)),
            Target::ParquetOnS3 => Some((Layout::Parquet, true)),
            Target::Lake => Some((Layout::Iceberg, false)),
            Target::LakeOnS3 => Some((Layout::Iceberg, true)),
            Target::MySql | Target::Postgres | Target::Kafka | Target::Files => None,
        }
    }
}

/// How long a point may take to be passed before its cell counts for nothing.
const PASSED_WITHIN: Duration = Duration::from_secs(10);
/// Steps that an attempt takes once.
const AT_THE_START: [&str; 2] = ["engine.restore", "engine.enumerate"];
/// Times that a point may be passed before it acts.
const PASSES: u32 = 3;
/// The writer's pause between two transactions: it goes on all the time, and leaves the processors
/// to the job.
const PAUSE: Duration = Duration::from_millis(8);
/// Transactions between two changes of shape.
pub(crate) const DDL_EVERY: u64 = 25;
/// The same into tables of Iceberg, where each is several commits of metadata.
const DDL_OF_LAKES_EVERY: u64 = 250;
/// The columns that the judge looks at, behind the key.
const JUDGED: [&str; 2] = ["n", "v"];

/// Rows there are at the start, rows of a chunk, and cells played before the judge looks.
fn size(phase: Phase) -> (i64, u32, usize) {
    match phase {
        Phase::Snapshot => (12_000, 20, usize::MAX),
        Phase::HandOver => (60, 10, 1),
        Phase::Stream | Phase::Ddl => (60, 1000, 60),
    }
}

/// Databases or topics, and the job.
pub(crate) struct Scene {
    pub(crate) source: Arc<Database<'static>>,
    /// The log tables; `None` for topics and files.
    log: Option<Database<'static>>,
    /// `None` without log tables: files.
    kafka: Option<&'static Kafka>,
    prefix: String,
    files: PathBuf,
    /// `None`: the files are none of a lake.
    lake: Option<Tables>,
    pub(crate) job: TestJob,
    fail_point: PathBuf,
    rows: i64,
}

/// The source, and one of the targets; none of them is files.
pub(crate) type Servers =
    (ServerKind<'static>, Option<ServerKind<'static>>, Option<&'static Kafka>, Option<LakeServers>);

/// Plays cells in one scene and judges it; returns those that it had no room for.
pub(crate) async fn play(
    (source, target, kafka, lake): Servers,
    phase: Phase,
    mut cells: Vec<Cell>,
    seed: u64,
    line: &mut Line,
) -> Vec<Cell> {
    let (rows, chunk, most) = size(phase);
    let scene = Scene::new((source, target, kafka, lake), rows, chunk).await;
    let mut random = random::generator(seed);
    let mut running: Option<Running> = None;
    if matches!(phase, Phase::Stream | Phase::Ddl) {
        let mut started = scene.start();
        scene.caught_up(-1, &mut started).await;
        running = Some(started);
    }
    let is_iceberg = lake.is_some_and(|lake| lake.layout == Layout::Iceberg);
    let every = if is_iceberg { DDL_OF_LAKES_EVERY } else { DDL_EVERY };
    let ddl_every = (phase == Phase::Ddl).then_some(every);
    let writer = Writer::start(Arc::clone(&scene.source), ddl_every, rows, seed);
    let mut played = 0;
    while played < most && !cells.is_empty() {
        if phase == Phase::Snapshot && scene.is_through().await {
            break;
        }
        let cell = cells.remove(0);
        scene.cell(&cell, &mut running, &mut random, line).await;
        played += 1;
    }
    let mut running = scene.alive(running);
    let transactions = writer.stop().await;
    scene.caught_up(-2, &mut running).await;
    running.terminate(LIMIT).assert_code(0);
    line.judged(transactions, &scene.judge().await);
    scene.leave().await;
    cells
}

impl Scene {
    /// Creates the tables, fills them with rows, and writes the job file.
    pub(crate) async fn new((source, target, kafka, lake): Servers, rows: i64, chunk: u32) -> Scene {
        let source = Database::fresh(source, "crash").await;
        source
            .run(&[
                "CREATE TABLE m (id BIGINT PRIMARY KEY, n INT NOT NULL, v VARCHAR(40))",
                "CREATE TABLE e (n BIGINT NOT NULL)",
            ])
            .await;
        if source.is_postgres() {
            source.run(&["ALTER TABLE m REPLICA IDENTITY FULL", "ALTER TABLE e REPLICA IDENTITY FULL"]).await;
        }
        let all: Vec<String> = (1..=rows).map(|id| format!("({id}, 0, 'first')")).collect();
        for part in all.chunks(2000) {
            source.run(&[&format!("INSERT INTO m VALUES {}", part.join(","))]).await;
        }
        source.run(&["INSERT INTO e VALUES (-1000)"]).await;
        let log = match target {
            None => None,
            Some(server) => {
                let log = Database::fresh(server, "crashlog").await;
                let end = if log.is_postgres() { "bigserial" } else { "BIGINT AUTO_INCREMENT" };
                let end = format!("row_kind VARCHAR(13), seq {end} PRIMARY KEY");
                log.run(&[
                    &format!("CREATE TABLE m (id BIGINT, n INT, v VARCHAR(40), {end})"),
                    &format!("CREATE TABLE e (n BIGINT, {end})"),
                ])
                .await;
                Some(log)
            }
        };
        let name = format!("crash {} {}", source.name(), source.port());
        let prefix = kafka.map_or_else(String::new, |kafka| kafka.fresh_name(&name.replace(' ', "-")));
        let files = scratch::folder("files");
        let topics = kafka.map(|kafka| (kafka, prefix.as_str()));
        let lake = lake.map(|lake| Tables::new(lake, &files));
        let to_files = lake.as_ref().map_or_else(|| files::sink_block(&files), Tables::sink_block);
        let text = job_text(&name, &source, log.as_ref(), topics, &to_files, chunk);
        let job = TestJob::new(&name, &text);
        let fail_point = job.file.with_file_name("failpoint");
        Scene { source: Arc::new(source), log, kafka, prefix, files, lake, job, fail_point, rows }
    }

    /// The folder of the files, where they are the target.
    pub(crate) fn files(&self) -> &Path {
        &self.files
    }

    pub(crate) fn start(&self) -> Running {
        self.job.culvert(&[]).env("CULVERT_FAILPOINT", &self.fail_point).start()
    }

    /// The process, started again when it has ended.
    fn alive(&self, running: Option<Running>) -> Running {
        if let Some(mut running) = running
            && running.ended().is_none()
        {
            return running;
        }
        self.start()
    }

    /// Arms the point, waits until it has acted, and takes in how the process ended.
    async fn cell(&self, cell: &Cell, running: &mut Option<Running>, random: &mut StdRng, line: &mut Line) {
        let Cell { point, action } = cell;
        let once = AT_THE_START.iter().any(|step| point.starts_with(step));
        let passes = if once { 0 } else { random.random_range(0..=PASSES) };
        let part = self.fail_point.with_extension("part");
        std::fs::write(&part, format!("{point} {} {passes}\n", action.word())).expect("the file is written");
        std::fs::rename(&part, &self.fail_point).expect("the file is renamed");
        if once {
            // A job that is well would not pass it again.
            running.take().map(Running::kill);
        }
        let mut job = self.alive(running.take());
        let begun = Instant::now();
        let mut passed = true;
        while self.fail_point.exists() && passed {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let ended = job.ended();
            assert!(
                ended.is_none() || !self.fail_point.exists(),
                "the job ended ({ended:?}) before {point}: {}",
                tail(&job.stderr())
            );
            passed = begun.elapsed() < PASSED_WITHIN || std::fs::remove_file(&self.fail_point).is_err();
        }
        if std::env::var_os("CULVERT_CRASH_TIMES").is_some() {
            eprintln!("{} {point} {action} {:?}", self.job.name, begun.elapsed());
        }
        if passed {
            line.acted(point, *action);
        } else {
            line.idle(&format!("{point} {action}"));
        }
        if !passed || action.is_survived() {
            *running = Some(job);
            return;
        }
        if *action == Action::Panic && self.outlived(&mut job, point).await {
            *running = Some(job);
            return;
        }
        let finished = job.wait(LIMIT);
        if std::env::var_os("CULVERT_CRASH_TIMES").is_some() {
            eprintln!("LOG {}\n{}", self.job.name, finished.stderr);
        }
        match action {
            Action::Kill => assert_eq!(finished.code, None, "{point}: {}", tail(&finished.stderr)),
            _ => assert!(
                matches!(finished.code, Some(1 | 101)),
                "{point}: a panic ended the job with {:?}: {}",
                finished.code,
                tail(&finished.stderr)
            ),
        }
    }

    /// Whether the job has gone on behind a panic: one of a sink's task whose attempt had failed already ends
    /// nothing more.
    async fn outlived(&self, job: &mut Running, point: &str) -> bool {
        let said = format!("the fail point {point} was reached");
        wait::until_ok(LIMIT, "the panicked job to end or to go on", async || {
            if job.ended().is_some() {
                return Ok(false);
            }
            let log = job.stderr();
            let behind = log.rsplit_once(&said).map_or("", |(_, behind)| behind);
            if behind.contains("INFO starting") { Ok(true) } else { Err(tail(&log)) }
        })
        .await
    }

    /// Whether every row of the start has left the snapshot.
    async fn is_through(&self) -> bool {
        if let Some(lake) = &self.lake {
            let rows = lake.rows("m", &[files::KIND, "n"]).await;
            let first = |row: &&Row| row[0].as_deref() == Some("+I") && row[1].as_deref() == Some("0");
            return rows.iter().filter(first).count() as i64 >= self.rows - 1000;
        }
        let rows = match (&self.log, self.kafka) {
            (Some(log), _) => {
                let query =
                    format!("SELECT COUNT(*) FROM {} WHERE row_kind = '+I' AND n = 0", log.table("m"));
                log.value(&query).await.and_then(|count| count.parse().ok()).unwrap_or(0)
            }
            (None, Some(kafka)) => {
                // No need to look into the messages: each is at least one row of the snapshot or a change.
                kafka.read(&format!("{}.m", self.prefix), Isolation::Committed).await.len() as i64
            }
            (None, None) => {
                let first = |row: &&Value| files::kind(row) == Kind::Insert && row["n"] == 0;
                files::rows(&self.files, "m").iter().filter(first).count() as i64
            }
        };
        rows >= self.rows - 1000
    }

    /// Marks both tables, which nobody writes to, and waits until the target has the marks and as many rows.
    pub(crate) async fn caught_up(&self, mark: i64, running: &mut Running) {
        let source = &self.source;
        source
            .run(&[
                &format!("INSERT INTO {} (id, n, v) VALUES ({mark}, 0, 'mark')", source.table("m")),
                &format!("INSERT INTO {} VALUES ({mark})", source.table("e")),
            ])
            .await;
        let wanted = (self.count("m").await, self.count("e").await);
        wait::until_ok(LIMIT, "the target to have the mark", async || {
            if let Some(ended) = running.ended() {
                panic!("the job ended ({ended}): {}", tail(&running.stderr()));
            }
            let (history, rows) = self.found().await;
            // A mark alone can overtake chunks of the snapshot.
            let comes = |change: &&Change| matches!(change.kind, Kind::Insert | Kind::After);
            let net = 2 * history.iter().filter(comes).count() as i64 - history.len() as i64;
            let there = (net, rows.len() as i64);
            if there == wanted && history.iter().any(|change| change.key == mark) && rows.contains(&mark) {
                return Ok(());
            }
            Err(format!("{there:?} rows of {wanted:?}; {}", tail(&running.stderr())))
        })
        .await;
    }

    async fn count(&self, table: &str) -> i64 {
        let query = format!("SELECT COUNT(*) FROM {}", self.source.table(table));
        number(self.source.value(&query).await.as_deref())
    }

    /// What is missing in the target and what is there twice, of both tables.
    pub(crate) async fn judge(&self) -> [Verdict; 2] {
        let query = format!("SELECT id, n, v FROM {}", self.source.table("m"));
        let mut there: BTreeMap<i64, Values> = BTreeMap::new();
        for row in self.source.rows(&query).await {
            let mut row = row.into_iter();
            let key = number(row.next().flatten().as_deref());
            there.insert(key, row.collect());
        }
        let query = format!("SELECT n FROM {}", self.source.table("e"));
        let rows: Vec<i64> =
            self.source.rows(&query).await.iter().map(|row| number(row[0].as_deref())).collect();
        let (history, found) = self.found().await;
        [Verdict::of_history(&history, &there), Verdict::of_rows(&found, &rows)]
    }

    /// Leaves the servers as they were: they have a limit of replication slots, and every start of a job
    /// looks through all tables.
    async fn leave(&self) {
        if self.source.is_postgres() {
            let slot = JobSpec::slot(&self.job.name);
            self.source.run(&[&format!("SELECT pg_drop_replication_slot('{slot}')")]).await;
        }
        for database in
            self.log.iter().chain([self.source.as_ref()]).filter(|database| !database.is_postgres())
        {
            database.run(&[&format!("DROP DATABASE {}", database.quoted(database.name()))]).await;
        }
    }

    /// What a user of the target finds of both tables.
    async fn found(&self) -> (Vec<Change>, Vec<i64>) {
        if let Some(lake) = &self.lake {
            let rows = lake.rows("e", &["n"]).await;
            return (
                lake.history("m", JUDGED).await,
                rows.iter().map(|row| number(row[0].as_deref())).collect(),
            );
        }
        match (&self.log, self.kafka) {
            (Some(log), _) => {
                let query = format!("SELECT row_kind, id, n, v FROM {} ORDER BY seq", log.table("m"));
                let history = log.rows(&query).await.into_iter().map(|row| {
                    let mut row = row.into_iter();
                    let kind = Kind::of(row.next().flatten().as_deref().unwrap_or_default());
                    let key = number(row.next().flatten().as_deref());
                    Change { kind, key, values: row.collect() }
                });
                let history = history.collect();
                let query = format!("SELECT n FROM {} WHERE row_kind = '+I'", log.table("e"));
                let rows = log.rows(&query).await;
                (history, rows.iter().map(|row| number(row[0].as_deref())).collect())
            }
            (None, Some(kafka)) => {
                let mut history = Vec::new();
                for record in kafka.read(&format!("{}.m", self.prefix), Isolation::Committed).await {
                    history.extend(changes(record.value.as_deref().unwrap_or("null")));
                }
                let records = kafka.read(&format!("{}.e", self.prefix), Isolation::Committed).await;
                let values = records.iter().map(|record| {
                    let value: Value = parsed(record.value.as_deref().unwrap_or("null"));
                    value["after"]["n"].as_i64().unwrap_or_else(|| panic!("no row: {value}"))
                });
                (history, values.collect())
            }
            (None, None) => {
                let rows = files::rows(&self.files, "e");
                let value = |row: &Value| row["n"].as_i64().unwrap_or_else(|| panic!("no row: {row}"));
                (files::history(&self.files, "m", JUDGED), rows.iter().map(value).collect())
            }
        }
    }
}

fn number(text: Option<&str>) -> i64 {
    text.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{text:?} is no number"))
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The changes of one of Debezium's envelopes.
fn changes(text: &str) -> Vec<Change> {
    let value = parsed(text);
    let one = |kind, image: &str| {
        let image = &value[image];
        let text = |name: &str| match &image[name] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let key = image["id"].as_i64().unwrap_or_else(|| panic!("no key: {value}"));
        Change { kind, key, values: JUDGED.map(text).to_vec() }
    };
    match value["op"].as_str() {
        Some("c" | "r") => vec![one(Kind::Insert, "after")],
        Some("u") => vec![one(Kind::Before, "before"), one(Kind::After, "after")],
        Some("d") => vec![one(Kind::Delete, "before")],
        _ => panic!("no operation: {value}"),
    }
}

fn job_text(
    name: &str,
    source: &Database<'_>,
    log: Option<&Database<'_>>,
    kafka: Option<(&Kafka, &str)>,
    to_files: &str,
    chunk: u32,
) -> String {
    let tables = ["m", "e"];
    let from = JobSpec::mirror(name, source, &tables, source).source_block();
    let (transform, sink) = match (log, kafka) {
        (Some(log), _) => {
            let block = JobSpec::log(name, source, &tables, log).sink_block();
            ("RowKindExtractor { }", format!("Jdbc {{ url = \"{}\"\n{block} }}", log.url()))
        }
        (None, Some((kafka, prefix))) => (
            "",
            format!(
                "Kafka {{ bootstrap.servers = \"{}\", topic = \"{prefix}.${{table_name}}\", \
                 format = debezium_json, semantics = EXACTLY_ONCE, progress_topic = \"{prefix}.progress\" }}",
                kafka.bootstrap()
            ),
        ),
        (None, None) => ("", to_files.to_owned()),
    };
    format!(
        "env {{ job.mode = \"STREAMING\", checkpoint.interval = 40, job.retry.interval.seconds = 0 }}\n\
         source {{ {from}\n  snapshot.split.size = {chunk}\n  schema-changes.enabled = true\n}} }}\n\
         transform {{ {transform} }}\nsink {{ {sink} }}\n"
    )
}

/// Writes until it is stopped. Every state of a row is another.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

impl Writer {
    pub(crate) fn start(
        source: Arc<Database<'static>>,
        ddl_every: Option<u64>,
        rows: i64,
        seed: u64,
    ) -> Writer {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut random = random::generator(seed);
            let (mut fresh, mut transactions, mut alterations) = (1_000_000, 0u64, 0u64);
            let mut pace = tokio::time::interval(PAUSE);
            while !asked.load(Relaxed) {
                pace.tick().await;
                transactions += 1;
                source.run(&["BEGIN"]).await;
                for _ in 0..random.random_range(1..=3) {
                    let statement = statement(&mut random, &mut fresh, rows);
                    source.run(&[&statement]).await;
                }
                source.run(&[&format!("INSERT INTO e VALUES ({transactions})"), "COMMIT"]).await;
                if ddl_every.is_some_and(|every| transactions % every == 0) {
                    source.run(&[&alteration(source.is_postgres(), &mut alterations)]).await;
                }
            }
            transactions
        });
        Writer { stop, task }
    }

    pub(crate) async fn stop(self) -> u64 {
        self.stop.store(true, Relaxed);
        self.task.await.expect("the writer does not panic")
    }
}

fn statement(random: &mut StdRng, fresh: &mut i64, rows: i64) -> String {
    let (first, last) = (*fresh - 40, *fresh);
    let id = if random.random() { random.random_range(first..=last) } else { random.random_range(1..=rows) };
    match random.random_range(0..10) {
        0..=3 => {
            *fresh += 1;
            format!("INSERT INTO m (id, n, v) VALUES ({fresh}, 1, 'new')")
        }
        4..=8 => format!("UPDATE m SET n = n + 1, v = 'changed {}' WHERE id = {id}", random.random::<u16>()),
        _ => format!("DELETE FROM m WHERE id = {id}"),
    }
}

/// Columns come, are widened, and go; never more than a few.
fn alteration(is_postgres: bool, alterations: &mut u64) -> String {
    let round = *alterations / 4;
    *alterations += 1;
    let width = 40 + *alterations;
    match *alterations % 4 {
        1 => format!("ALTER TABLE m ADD COLUMN x{round} INT DEFAULT 7"),
        2 if is_postgres => format!("ALTER TABLE m ALTER COLUMN v TYPE VARCHAR({width})"),
        2 => format!("ALTER TABLE m MODIFY COLUMN v VARCHAR({width})"),
        3 => format!("ALTER TABLE m ADD COLUMN y{round} VARCHAR(20)"),
        _ if round > 0 => format!("ALTER TABLE m DROP COLUMN x{}", round - 1),
        _ => "ALTER TABLE m ADD COLUMN z BIGINT".to_owned(),
    }
}

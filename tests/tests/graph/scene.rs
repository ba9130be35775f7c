//! Two shards of one table on two servers and a third source: one job, a sink for the shards and one for the third.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use culvert_tests::oracle::{self, Row};
use culvert_tests::{Database, Flavor, PgVersion, postgres_shared, random, shared};
use rand::Rng;
use tokio::task::JoinHandle;

use crate::postgres::job::{Job, JobSpec, TestJob, until};

/// Rows of each table before the job begins.
const ROWS: i64 = 800;

/// Where rows come from and go to.
pub(crate) struct Scene {
    pub(crate) shards: [Database<'static>; 2],
    audit: Database<'static>,
    pub(crate) mirror: Database<'static>,
    pub(crate) job: TestJob,
}

fn orders(columns: &str) -> String {
    format!("CREATE TABLE orders (id BIGINT PRIMARY KEY, amount INT NOT NULL{columns})")
}

impl Scene {
    /// Makes the databases, fills them, and writes the job file. `columns` are further ones of the second
    /// shard's table.
    pub(crate) async fn new(columns: &str) -> Scene {
        let (maria, mysql) = (shared(Flavor::MariaDb).await, shared(Flavor::MySql).await);
        let postgres = postgres_shared(PgVersion::V17).await;
        let mirror = Database::fresh(postgres, "graphmirror").await;
        // A shard has one name on all servers.
        let name = format!("shard_of_{}", mirror.name());
        for server in [maria, mysql] {
            server.execute(&[&format!("CREATE DATABASE `{name}`")]).await;
        }
        let shards = [Database::open(maria, &name), Database::open(mysql, &name)];
        let audit = Database::fresh(postgres, "graphaudit").await;
        for (at, shard) in shards.iter().enumerate() {
            shard.run(&[&orders(if at == 0 { "" } else { columns })]).await;
            fill(shard, "INSERT INTO orders (id, amount) VALUES", |n| format!("({}, {n})", id(at, n))).await;
        }
        audit.run(&["CREATE TABLE audit (id BIGINT PRIMARY KEY, amount INT NOT NULL)"]).await;
        fill(&audit, "INSERT INTO audit VALUES", |n| format!("({n}, {n})")).await;
        let job = TestJob::new(&name, &text(&name, &shards, &audit, &mirror));
        Scene { shards, audit, mirror, job }
    }

    /// Starts clients that write to all three sources until they are stopped.
    pub(crate) fn writers(&self, seed: u64) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let sources = [(&self.shards[0], "orders"), (&self.shards[1], "orders"), (&self.audit, "audit")];
        let clients = sources.into_iter().enumerate().map(|(at, (database, table))| {
            let database = Database::open(database.server(), database.name());
            tokio::spawn(write(at, database, table, seed, Arc::clone(&stop)))
        });
        Writers { clients: clients.collect(), stop }
    }

    /// Waits until the mirrors hold a last row of every source, and as many rows: a last row may come before the
    /// snapshot has read all of its table. Nobody else writes.
    pub(crate) async fn caught_up(&self, job: &Job) {
        for (at, shard) in self.shards.iter().enumerate() {
            shard.run(&[&format!("INSERT INTO orders (id, amount) VALUES ({}, -1)", -1 - at as i64)]).await;
        }
        self.audit.run(&["INSERT INTO audit VALUES (-9, -1)"]).await;
        until(&self.mirror, "SELECT COUNT(*) FROM public.orders WHERE id < 0", "2", job).await;
        until(&self.mirror, "SELECT COUNT(*) FROM public.audit WHERE id < 0", "1", job).await;
        let count = async |database: &Database<'_>, table: &str| {
            let counted = database.value(&format!("SELECT COUNT(*) FROM {table}")).await;
            counted.and_then(|count| count.parse::<u64>().ok()).expect("a table has a number of rows")
        };
        let orders = count(&self.shards[0], "orders").await + count(&self.shards[1], "orders").await;
        let audit = count(&self.audit, "audit").await;
        until(&self.mirror, "SELECT COUNT(*) FROM public.orders", &orders.to_string(), job).await;
        until(&self.mirror, "SELECT COUNT(*) FROM public.audit", &audit.to_string(), job).await;
    }

    /// The mirrors hold what the sources hold, all shards together.
    pub(crate) async fn compare(&self, columns: &str) {
        let query = |table: &str| format!("SELECT {columns} FROM {table}");
        let mut wanted: Vec<Row> = Vec::new();
        for shard in &self.shards {
            wanted.extend(shard.rows(&query("orders")).await);
        }
        wanted.sort_unstable();
        let mut found = self.mirror.rows(&query("public.orders")).await;
        found.sort_unstable();
        oracle::assert_same(("the shards", &wanted), ("their mirror", &found));
        let audit = "SELECT id, amount FROM public.audit ORDER BY id";
        oracle::assert_same(
            ("audit", &self.audit.rows(audit).await),
            ("its mirror", &self.mirror.rows(audit).await),
        );
    }
}

/// The n-th key of a shard.
fn id(shard: usize, n: i64) -> i64 {
    n * 2 + shard as i64
}

async fn fill(database: &Database<'_>, insert: &str, row: impl Fn(i64) -> String) {
    let rows: Vec<String> = (0..ROWS).map(row).collect();
    database.run(&[&format!("{insert} {}", rows.join(", "))]).await;
}

fn text(name: &str, shards: &[Database<'_>; 2], audit: &Database<'_>, mirror: &Database<'_>) -> String {
    let mut text = "env { job.mode = STREAMING, checkpoint.interval = 200, parallelism = 2, \
                    job.retry.interval.seconds = 0 }\nsource {\n"
        .to_owned();
    for (at, shard) in shards.iter().enumerate() {
        let spec = JobSpec::mirror(name, shard, &["orders"], mirror);
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "{}\n snapshot.split.size = 100\n schema-changes.enabled = true\n plugin_output = shard_{at} }}",
            spec.source_block()
        );
    }
    let spec = JobSpec::mirror(name, audit, &["audit"], mirror);
    let _ = writeln!(text, "{}\n plugin_output = audit }}\n}}", spec.source_block());
    let sink = |inputs: &str| {
        format!("Jdbc {{ plugin_input = \"{inputs}\", url = \"{}\"\n{}\n}}", mirror.url(), spec.sink_block())
    };
    let _ = writeln!(text, "sink {{\n{}\n{}\n}}", sink("shard_0, shard_1"), sink("audit"));
    text
}

/// Clients at work.
pub(crate) struct Writers {
    clients: Vec<JoinHandle<u64>>,
    stop: Arc<AtomicBool>,
}

impl Writers {
    /// Stops them; how many changes they made.
    pub(crate) async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut changes = 0;
        for client in self.clients {
            changes += client.await.expect("the client goes on to the end");
        }
        changes
    }
}

async fn write(at: usize, database: Database<'static>, table: &str, seed: u64, stop: Arc<AtomicBool>) -> u64 {
    let mut random = random::generator(seed.wrapping_add(at as u64));
    let table = database.table(table);
    let mut changes = 0;
    while !stop.load(Ordering::Relaxed) {
        let key = id(at % 2, random.random_range(0..ROWS * 2));
        let amount = random.random_range(0..1_000_000);
        let statement = match random.random_range(0..4) {
            0 => format!("DELETE FROM {table} WHERE id = {key}"),
            1 if database.is_postgres() => {
                format!("INSERT INTO {table} (id, amount) VALUES ({key}, {amount}) ON CONFLICT DO NOTHING")
            }
            1 => format!("INSERT IGNORE INTO {table} (id, amount) VALUES ({key}, {amount})"),
            _ => format!("UPDATE {table} SET amount = {amount} WHERE id = {key}"),
        };
        database.run(&[&statement]).await;
        changes += 1;
    }
    changes
}
